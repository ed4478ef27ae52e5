"""Check of the judgements that people made."""

from __future__ import annotations

from humpback_pipeline.stages.checks.outcome import CheckOutcome
from humpback_pipeline.storage import Manifest

USABLE = "judgements_usable"


def check_judgements_usable(manifest: Manifest) -> CheckOutcome:
    """Every record in the folder could be read and belongs to a pair of now."""
    facts = manifest.facts
    n_bad, n = sum(facts["n_bad"].values()), facts["n_records"]
    counts = {"records": n, "bad": n_bad, **facts["n_bad"]}
    if not n:
        return CheckOutcome(USABLE, True, "There are no judgements yet.", counts)
    if not n_bad:
        return CheckOutcome(USABLE, True, f"All {n:,} records could be used.", counts)
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(facts["n_bad"].items()))
    message = (
        f"{n_bad:,} of {n:,} records cannot be used ({reasons}); the page lists them. unknown_pair "
        "means that the answers have changed since: judge the new pairs, and move old files away."
    )
    return CheckOutcome(USABLE, False, message, counts)
