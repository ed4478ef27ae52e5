"""Checks of pairs: enough seeds, few lost, none that the models are measured on."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from humpback_pipeline.recipe import SeedRecipe
from humpback_pipeline.stages.checks.memory import PassedCheck
from humpback_pipeline.stages.checks.outcome import CheckOutcome
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, hash_text

MIN_TRAIN_PAIRS = 2


def check_seed_rows(manifest: Manifest, seed: SeedRecipe) -> CheckOutcome:
    """Two pairs to train on at least; says so where none is held out to measure the loss on."""
    splits = manifest.facts["splits"]
    train, dev = int(splits.get("train", 0)), int(splits.get("dev", 0))
    facts = {"train": train, "dev": dev}
    message = f"{train:,} pairs to train on, {dev:,} held out."
    if train < MIN_TRAIN_PAIRS:
        message += f" Training needs {MIN_TRAIN_PAIRS}: add pairs, or see why they were dropped."
        return CheckOutcome("seed_rows", False, message, facts)
    if seed.dev_fraction > 0 and not dev:
        message += (
            f" seed.dev_fraction {seed.dev_fraction:g} of so few pairs holds none out, so training "
            "has no held-out loss: add pairs or raise it."
        )
    return CheckOutcome("seed_rows", True, message, facts)


def check_dropped_share(
    rows: int, dropped: Mapping[str, int], max_fraction: float, what: str = "pairs"
) -> CheckOutcome:
    """Share of records that were dropped, all reasons together; `dropped`: reason → count."""
    n_dropped = sum(dropped.values())
    n_all = rows + n_dropped
    share = n_dropped / n_all if n_all else 0.0
    facts = {"rows": rows, "dropped": n_dropped, "dropped_share": round(share, 4), **dropped}
    reasons = ", ".join(f"{reason} {n:,}" for reason, n in sorted(dropped.items()) if n)
    message = f"{n_dropped:,} of {n_all:,} {what} dropped ({share:.1%})"
    message += f": {reasons}." if reasons else "."
    if share <= max_fraction:
        return CheckOutcome("dropped_share", True, message, facts)
    return CheckOutcome("dropped_share", False, f"{message} More than {max_fraction:.0%}.", facts)


def check_not_empty(n: int, what: str, remedy: str) -> CheckOutcome:
    """There is something to go on with; `what` is counted, `remedy` says what to do at none."""
    if n:
        return CheckOutcome("not_empty", True, f"{n:,} {what}.", {"rows": n})
    return CheckOutcome("not_empty", False, f"No {what}. {remedy}".strip(), {"rows": n})


def check_no_contamination(workspace: Workspace, manifest: Manifest) -> CheckOutcome:
    """No pair shares a long run of words with what the models are measured on.

    Looks at the rows as they are on disk, whatever the selection believed: evaluation prompts with
    their references, and the held-out seeds. Made once for the same rows and the same texts.
    """
    from humpback_pipeline.curation import ContaminationIndex

    name = "no_contamination"
    texts = _held_out_texts(workspace)
    n_words = workspace.recipe.curation.contamination_ngram_words
    folder = workspace.datasets.versions(manifest.name).folder / manifest.version
    passed = PassedCheck(workspace, name, folder, hash_text("\0".join(texts)), n_words)
    if note := passed.recall():
        return CheckOutcome(name, True, note["message"], note["facts"])
    index = ContaminationIndex(texts, n_words)
    files = sorted(folder.glob("*.parquet"))
    kept = pl.scan_parquet(files, glob=False).select("pair_id", "instruction", "output").collect()
    shared = zip(
        kept["pair_id"],
        index.contaminated(kept["instruction"]),
        index.contaminated(kept["output"]),
        strict=True,
    )
    found = [
        pair_id for pair_id, by_instruction, by_output in shared if by_instruction or by_output
    ]
    facts = {
        "pairs": kept.height,
        "contaminated": len(found),
        "held_out_texts": len(texts),
        "ngram_words": n_words,
        "pair_ids": ", ".join(found[:20]),
    }
    if not found:
        message = (
            f"None of {kept.height:,} pairs shares {n_words} words with {len(texts):,} texts kept "
            "for measuring."
        )
        passed.remember({"message": message, "facts": facts})
        return CheckOutcome(name, True, message, facts)
    message = (
        f"{len(found):,} pairs share {n_words} words with evaluation data or held-out seeds "
        f"({', '.join(found[:3])} …): win rates would be too good. Materialise {manifest.name} "
        "again with rebuild: true."
    )
    return CheckOutcome(name, False, message, facts)


def _held_out_texts(workspace: Workspace) -> list[str]:
    """Evaluation prompts, their references, and the seeds that are held out."""
    from humpback_pipeline.seeds import read_evaluation_prompts
    from humpback_pipeline.stages.seed import SEED_PAIRS

    prompts = read_evaluation_prompts(workspace.recipe.evaluation.prompts)
    texts = [text for p in prompts for text in (p.instruction, p.output) if text]
    dev = workspace.datasets.read(SEED_PAIRS).filter(pl.col("split") == "dev")
    return [*texts, *dev["instruction"].to_list(), *dev["output"].to_list()]
