"""Checks of written instructions and of the backward models that write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from humpback_pipeline.stages.backward_model import InstructionLikelihood
from humpback_pipeline.stages.checks.outcome import CheckOutcome
from humpback_pipeline.storage import Manifest

MAX_SAME_SHARE = 0.5
# Of fewer, two alike may be chance.
MIN_INSTRUCTIONS = 5
N_SHOWN_CHARS = 200


def check_augmented_not_empty(manifests: Mapping[str, Manifest]) -> CheckOutcome:
    """Some segment of the run's shards got an instruction; `manifests`: shard → its manifest.

    Shards that the sample passed over are no failure: there was nothing to write for them.
    """
    rows = sum(manifest.rows or 0 for manifest in manifests.values())
    reasons: dict[str, int] = {}
    for manifest in manifests.values():
        for reason, n in manifest.facts["dropped"].items():
            reasons[reason] = reasons.get(reason, 0) + n
    dropped = sum(reasons.values())
    facts = {"pairs": rows, "dropped": dropped, "shards": len(manifests)}
    if not rows and not dropped:
        message = "No segment of these shards is in the sample, so there was nothing to write."
        return CheckOutcome("not_empty", True, message, facts)
    if rows:
        return CheckOutcome("not_empty", True, f"{rows:,} pairs of {len(manifests)} shards.", facts)
    named = ", ".join(f"{n:,} {reason}" for reason, n in sorted(reasons.items()))
    message = (
        f"All {dropped:,} instructions were dropped ({named}): the backward model has not learnt "
        "to write one and stop. Look at dropped_instructions, raise "
        "augmentation.sampling.max_new_tokens or augmentation.candidates, or train longer."
    )
    return CheckOutcome("not_empty", False, message, facts)


def check_instructions_vary(manifest: Manifest) -> CheckOutcome:
    """Not most of a shard's instructions are one and the same sentence."""
    name = "instructions_vary"
    rows = manifest.rows or 0
    commonest = manifest.facts["most_common"]
    n, n_distinct = int(commonest["n"]), int(manifest.facts["n_distinct"])
    share = n / rows if rows else 0.0
    facts = {"pairs": rows, "distinct": n_distinct, "commonest_share": round(share, 4)}
    message = f"{n_distinct:,} different instructions in {rows:,} pairs."
    if rows < MIN_INSTRUCTIONS or share <= MAX_SAME_SHARE:
        return CheckOutcome(name, True, message, facts)
    shown = str(commonest["instruction"])[:N_SHOWN_CHARS]
    message += (
        f" {n:,} of them ({share:.0%}) are {shown!r}: the backward model does not look at the "
        "text. Train it longer or on more varied seeds, or raise the temperature."
    )
    return CheckOutcome(name, False, message, facts)


def check_instruction_likelihood_rose(
    rows: Sequence[InstructionLikelihood], carried_from: str | None = None
) -> CheckOutcome:
    """The last backward model finds held-out instructions likelier than the model before it.

    rows: the base and each backward model in order (`instruction_likelihoods`). carried_from: the
    model that it is a copy of, if iterating has ended.
    """
    name = "instruction_likelihood_rose"
    if carried_from:
        return CheckOutcome(name, True, f"{carried_from} is carried on; nothing was trained.")
    last, before = rows[-1], rows[-2]
    if last.gain is None:
        message = "No examples are held out (seed.dev_fraction), so there is nothing to compare."
        return CheckOutcome(name, True, message)
    facts = {"logprob": last.logprob, "logprob_before": before.logprob, "gain": last.gain}
    message = (
        f"Held-out instructions have a log-probability of {last.logprob:.3f} nats a token under "
        f"{last.model}, {before.logprob:.3f} under {before.model} ({last.gain:+.3f})."
    )
    if last.gain > 0:
        return CheckOutcome(name, True, message, facts)
    message += (
        " The curated pairs taught it nothing about human instructions: the pairs written anew may "
        "be no better than those of the model before (augmentation.retrain_backward_model)."
    )
    return CheckOutcome(name, False, message, facts)
