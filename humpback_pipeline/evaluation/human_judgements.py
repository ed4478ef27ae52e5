"""What people judged: all files of a folder, the last word of each annotator, unblinded."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from .human_files import BadJudgement, RawJudgement, judgement_files, read_file
from .human_pairs import CHOICES, FIRST, NO_DIFFERENCE, SECOND

WIN, LOSS = "win", "loss"
OUTCOMES = (WIN, NO_DIFFERENCE, LOSS)
SKIPPED, UNDONE = "skipped", "undone"
JUDGEMENTS_SCHEMA = {
    "pair_id": pl.String,
    "annotator": pl.String,
    "comparison": pl.String,
    "prompt_id": pl.String,
    "model": pl.String,
    "baseline": pl.String,
    "choice": pl.String,
    "outcome": pl.String,
    "judged_at": pl.String,
    "file": pl.String,
}
UNKNOWN_PAIR, UNKNOWN_CHOICE = "unknown_pair", "unknown_choice"
_SPELLINGS = {
    **{choice: choice for choice in (*CHOICES, SKIPPED, UNDONE)},
    "1": FIRST,
    "2": SECOND,
    "0": NO_DIFFERENCE,
    "a": FIRST,
    "b": SECOND,
    "first_better": FIRST,
    "second_better": SECOND,
    "the_first_answer_is_significantly_better": FIRST,
    "the_second_answer_is_significantly_better": SECOND,
    "there_is_no_significant_difference": NO_DIFFERENCE,
    "tie": NO_DIFFERENCE,
    "same": NO_DIFFERENCE,
    "none": NO_DIFFERENCE,
}
_NO_TIME = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Judgements:
    """All usable judgements, and what became of the rest.

    frame: `JUDGEMENTS_SCHEMA`, one row for each pair and annotator. outcome is the model's: win,
    no_difference or loss. n_files: files read. n_records: records found, of which n_unanswered have
    no choice yet or were skipped or undone, n_replaced were followed by another of the same person
    on the same pair (the last counts), and `bad` cannot be used.
    """

    frame: pl.DataFrame
    bad: tuple[BadJudgement, ...] = ()
    n_files: int = 0
    n_records: int = 0
    n_unanswered: int = 0
    n_replaced: int = 0

    @property
    def n_bad(self) -> dict[str, int]:
        """Reason → records."""
        return dict(Counter(record.reason for record in self.bad))


def read_judgements(folder: Path, pairs: pl.DataFrame) -> Judgements:
    """Read all files of a folder (.jsonl, .csv, .json; none is fine) and unblind them.

    pairs: `PAIRS_SCHEMA`. A judgement of a pair that is not among them is bad: it was made on
    other answers. Raises OSError for a folder that cannot be read.
    """
    files = judgement_files(folder)
    records = [record for path in files for record in read_file(path)]
    bad = [record for record in records if isinstance(record, BadJudgement)]
    raw = [record for record in records if isinstance(record, RawJudgement)]
    key = {row["pair_id"]: row for row in pairs.iter_rows(named=True)}
    # Stable: records without a time count in the order of files and lines.
    raw.sort(key=lambda record: _time(record.judged_at))
    latest: dict[tuple[str, str], tuple[str, RawJudgement]] = {}
    n_replaced = n_unanswered = 0
    for record in raw:
        choice = normal_choice(record.choice)
        if not record.choice.strip():
            n_unanswered += 1
        elif record.pair_id not in key:
            bad.append(record.bad(UNKNOWN_PAIR, record.pair_id))
        elif choice is None:
            bad.append(record.bad(UNKNOWN_CHOICE, record.choice))
        else:
            place = record.pair_id, record.annotator
            n_replaced += place in latest
            latest[place] = choice, record
    rows = [
        _row(record, choice, key[record.pair_id])
        for choice, record in latest.values()
        if choice in CHOICES
    ]
    frame = pl.DataFrame(rows, schema=JUDGEMENTS_SCHEMA).sort("pair_id", "annotator")
    return Judgements(
        frame,
        bad=tuple(bad),
        n_files=len(files),
        n_records=len(records),
        n_unanswered=n_unanswered + len(latest) - len(rows),
        n_replaced=n_replaced,
    )


def normal_choice(text: str) -> str | None:
    """One of `CHOICES`, `skipped` or `undone`; None for anything else."""
    return _SPELLINGS.get("_".join(text.strip().rstrip(".").lower().replace("-", " ").split()))


def outcome_of(choice: str, model_is_first: bool) -> str:
    """What a choice means for the model: win, no_difference or loss."""
    if choice == NO_DIFFERENCE:
        return NO_DIFFERENCE
    return WIN if (choice == FIRST) == model_is_first else LOSS


def _row(record: RawJudgement, choice: str, pair: dict[str, Any]) -> dict[str, Any]:
    return {
        "pair_id": record.pair_id,
        "annotator": record.annotator,
        **{name: pair[name] for name in ("comparison", "prompt_id", "model", "baseline")},
        "choice": choice,
        "outcome": outcome_of(choice, pair["first_model"] == pair["model"]),
        "judged_at": record.judged_at or None,
        "file": record.file,
    }


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return _NO_TIME
    return time if time.tzinfo else time.replace(tzinfo=UTC)
