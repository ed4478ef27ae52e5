"""Checks of the selection: it is measured on unseen pairs, and the scorer tells good from bad."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from humpback_pipeline.stages.checks.outcome import CheckOutcome
from humpback_pipeline.stages.seen_pairs import SEEN, seen_sentences
from humpback_pipeline.storage import Manifest

# A coin toss has 0.5. Below this, the curated set is little better than a random one.
MIN_AUC = 0.7
NAME = "scorer_discriminates"
UNSEEN = "known_pairs_unseen"


def check_known_pairs_unseen(manifest: Manifest) -> CheckOutcome:
    """No figure is of pairs that the models were trained on; says how many were left out.

    `manifest`: of a dataset `rater_calibration_t` or `selection_quality`.
    """
    counts = manifest.facts[SEEN]
    rows = [{"set": name, **count} for name, count in counts.items()]
    passed = not any(count["flattered"] for count in counts.values())
    return CheckOutcome(UNSEEN, passed, " ".join(seen_sentences(counts)), {"sets": rows})


def check_scorer_discriminates(manifest: Manifest) -> CheckOutcome:
    """Of each M_t, the recipe's scorer has an AUC of `MIN_AUC` or more on the labelled pairs.

    The base model rates nothing that is trained on, so it is left out. `manifest`: of the dataset
    `selection_quality`.
    """
    scorer = manifest.facts["scorer"]
    rows = [row for row in manifest.facts["quality"] if row["rater"] != "base"]
    if not rows:
        message = f"No model's ratings by scorer '{scorer}' of labelled pairs: none was measured."
        return CheckOutcome(NAME, False, message)
    worst = min(rows, key=lambda row: row["auc"])
    low, high = worst["auc_interval"]
    found = (
        f"{worst['rater']} with scorer '{scorer}' has an AUC of {worst['auc']:.2f} "
        f"(95 % interval {low:.2f} to {high:.2f}) on {worst['n']:,} labelled pairs"
    )
    facts = {
        "auc": worst["auc"],
        "bound": MIN_AUC,
        "raters": [{name: row[name] for name in ("rater", "auc", "n")} for row in rows],
    }
    if worst["auc"] >= MIN_AUC:
        return CheckOutcome(NAME, True, f"{found}.", facts)
    better = _best_other(manifest.facts["comparison"]["labelled"], worst["rater"])
    advice = (
        f"Set curation.scorer to '{better['scorer']}', which has {better['auc']:.2f} here"
        if better is not None and better["auc"] > worst["auc"]
        else "No scorer compared does better: use a larger base model"
    )
    message = f"{found}: close to chance, the selection is little better than a lottery. {advice}."
    return CheckOutcome(NAME, False, message, facts)


def _best_other(rows: list[dict[str, Any]], rater: str) -> Mapping[str, Any] | None:
    """The scorer with the highest AUC; one that needs labels only if it beats all others."""
    of_rater = [row for row in rows if row["rater"] == rater]
    order = sorted(of_rater, key=lambda row: (-row["auc"], row["cross_validated"]))
    return order[0] if order else None
