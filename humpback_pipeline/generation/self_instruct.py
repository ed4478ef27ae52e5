"""Self-Instruct (Wang et al., ACL 2023): the baseline that makes its pairs up from the seeds.

The base model continues lists of tasks, those that are new join the pool that the next lists are
drawn from, and it answers each after worked examples. Nothing is trained on the way. Departures
from the paper: instruction and input are one text, as in the seeds, so that classification tasks
are not treated apart; of the generated tasks, only those with a usable output are shown again; the
engines know no presence penalty, so that repetition is left to the filters.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from humpback_pipeline.generation.engine import TextGenerator
from humpback_pipeline.generation.few_shot_prompts import Demonstrations, PlainPrompts
from humpback_pipeline.generation.self_instruct_rounds import (
    DROPPED_COLUMNS,
    PAIR_COLUMNS,
    SelfInstructRounds,
)
from humpback_pipeline.progress import OnProgress, ProgressMeter, ignore_progress
from humpback_pipeline.recipe_self_instruct import SelfInstructSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SelfInstructResult:
    """pairs: columns `PAIR_COLUMNS`, in the order they were made.

    dropped: reason → how many tasks or outputs had to go; `surplus` are tasks that were no longer
    needed. dropped_rows: columns `DROPPED_COLUMNS`; text is the output, or what was written where
    there is no instruction. stop_reason: why no further round was made. n_prompts: for tasks.
    n_prompts_cut: prompts of either kind that did not fit. demonstrations: shown before each task
    that was to be answered.
    """

    pairs: pl.DataFrame
    dropped: dict[str, int]
    dropped_rows: pl.DataFrame
    n_rounds: int
    stop_reason: str
    n_prompts: int
    n_prompts_cut: int
    demonstrations: Demonstrations


def self_instruct(
    seeds: pl.DataFrame,
    generator: TextGenerator,
    settings: SelfInstructSettings,
    *,
    prompts: PlainPrompts,
    ledger_folder: Path,
    chunk_size: int = 1_024,
    on_progress: OnProgress = ignore_progress,
) -> SelfInstructResult:
    """Make up to `n_pairs` pairs from seed pairs (columns instruction, output).

    Every answer goes through a ledger of its round in `ledger_folder`, so that a killed run asks
    nothing twice. Ends early, and says so, when rounds in a row bring no pair or at `max_rounds`.
    Raises ValueError if no seed's instruction is short enough to be shown, LedgerBusyError.
    """
    work = SelfInstructRounds(
        seeds, generator, settings, prompts, ledger_folder, chunk_size, on_progress
    )
    meter = ProgressMeter("self-instruct", settings.n_pairs, "pairs", on_progress)
    n_rounds = n_barren = 0
    stop_reason = ""
    while not stop_reason:
        n_rounds += 1
        n_new = work.do_round(n_rounds)
        n_barren = 0 if n_new else n_barren + 1
        meter.advance(n_new, detail=f"round {n_rounds}, {work.told()}")
        stop_reason = _stop_reason(settings, len(work.pairs), n_rounds, n_barren)
    meter.finish(stop_reason)
    if len(work.pairs) < settings.n_pairs:
        logger.warning("self-instruct: %s; dropped: %s", stop_reason, work.told())
    rows = pl.DataFrame(work.dropped, schema=DROPPED_COLUMNS, orient="row")
    return SelfInstructResult(
        pairs=pl.DataFrame(work.pairs, schema=PAIR_COLUMNS, orient="row"),
        dropped=dict(Counter(rows["reason"].to_list()).most_common()),
        dropped_rows=rows,
        n_rounds=n_rounds,
        stop_reason=stop_reason,
        n_prompts=work.n_prompts,
        n_prompts_cut=work.n_prompts_cut,
        demonstrations=work.demonstrations,
    )


def _stop_reason(settings: SelfInstructSettings, n_pairs: int, n_rounds: int, n_barren: int) -> str:
    made = f"{n_pairs:,} of {settings.n_pairs:,} pairs"
    if n_pairs >= settings.n_pairs:
        return f"all {n_pairs:,} pairs made"
    if n_barren >= settings.max_barren_rounds:
        return (
            f"{made} made: the last {n_barren} round(s) brought no new one. More seeds, a stronger "
            "base model or a higher temperature may help"
        )
    if n_rounds >= settings.max_rounds:
        return f"{made} made in {n_rounds} round(s), which is max_rounds"
    return ""
