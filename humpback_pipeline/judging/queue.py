"""One annotator's way through the pairs: what is next, and a journal that survives any end.

The journal is a JSONL file that only grows. Each answer is on disk before the next pair is shown;
taking one back is a line of its own. Reading the lines again gives the same state.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from humpback_pipeline.evaluation.human_files import RawJudgement, judgement_files, read_file
from humpback_pipeline.evaluation.human_judgements import SKIPPED, UNDONE, normal_choice
from humpback_pipeline.evaluation.human_pairs import CHOICES, SHOWN

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class StalePairError(LookupError):
    """The answer is to a pair that is not the one to judge now, as of a second tab."""


class AnnotatorNameError(ValueError):
    """The name cannot be that of a file."""


@dataclass(frozen=True)
class BlindedPair:
    """What an annotator sees."""

    pair_id: str
    instruction: str
    first: str
    second: str


def judgements_file(folder: Path, annotator: str) -> Path:
    """Where an annotator's judgements are. Raises AnnotatorNameError."""
    if not _NAME.fullmatch(annotator):
        raise AnnotatorNameError(
            f"annotator {annotator!r}: a name has letters, digits, '.', '_' and '-', begins "
            "with a letter or digit, and has at most 64 of them"
        )
    return folder / f"{annotator}.jsonl"


def read_pairs(path: Path) -> list[BlindedPair]:
    """Read the exported pairs.jsonl. Raises OSError, ValueError naming the line."""
    pairs = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if line.strip():
            try:
                row = json.loads(line)
                pairs.append(BlindedPair(*(str(row[name]) for name in SHOWN)))
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{path}:{number}: not a pair ({error!r}); materialise human_evaluation_pairs "
                    "again, which writes the file anew"
                ) from error
    return pairs


def judged_by_others(folder: Path, annotator: str) -> Counter[str]:
    """Pair → how many others have judged it, by the files in the folder."""
    latest: dict[tuple[str, str], str | None] = {}
    for path in judgement_files(folder):
        for record in read_file(path):
            if isinstance(record, RawJudgement) and record.annotator != annotator:
                latest[record.annotator, record.pair_id] = normal_choice(record.choice)
    return Counter(pair_id for (_, pair_id), choice in latest.items() if choice in CHOICES)


class JudgingQueue:
    """The pairs of one annotator; every method is safe in threads.

    pairs: in the order to judge them. folder: where NAME.jsonl is, or will be at the first answer.
    done_by_others: pairs that need no further judgement; left out unless this annotator has
    answered them. Raises AnnotatorNameError.
    """

    def __init__(
        self,
        pairs: Sequence[BlindedPair],
        folder: Path,
        annotator: str,
        done_by_others: frozenset[str] = frozenset(),
    ) -> None:
        self.annotator = annotator
        self.path = judgements_file(folder, annotator)
        self._lock = threading.Lock()
        self._answers: dict[str, str] = {}
        """Pair → choice or `skipped`, the latest last."""
        self._reopened: str | None = None
        self._pairs = {pair.pair_id: pair for pair in pairs}
        for record in read_file(self.path) if self.path.is_file() else ():
            if isinstance(record, RawJudgement):
                self._apply(record.pair_id, normal_choice(record.choice))
        unneeded = done_by_others - self._answers.keys()
        self._pairs = {name: pair for name, pair in self._pairs.items() if name not in unneeded}
        if self._reopened in unneeded:  # taken back, and judged by enough others since
            self._reopened = None

    def state(self) -> dict[str, Any]:
        """What the page shows: annotator, n_total, n_judged, n_skipped, can_undo, pair or None."""
        with self._lock:
            return self._state()

    def answer(self, pair_id: str, choice: str) -> dict[str, Any]:
        """Record a choice or `skipped` for the current pair; return the new state.

        Raises ValueError for another choice, StalePairError for another pair, OSError if it could
        not be written; then nothing has changed.
        """
        if choice not in (*CHOICES, SKIPPED):
            raise ValueError(f"choice {choice!r} is none of {', '.join((*CHOICES, SKIPPED))}")
        with self._lock:
            if pair_id != self._current():
                raise StalePairError(f"{pair_id} is not the pair to judge now")
            self._record(pair_id, choice)
            return self._state()

    def undo(self) -> dict[str, Any]:
        """Take back the latest answer, whose pair is then the current one; return the new state."""
        with self._lock:
            if self._answers:
                self._record(next(reversed(self._answers)), UNDONE)
            return self._state()

    def _state(self) -> dict[str, Any]:
        current = self._current()
        choices = Counter(self._answers.values())
        return {
            "annotator": self.annotator,
            "n_total": len(self._pairs),
            "n_judged": sum(choices[choice] for choice in CHOICES),
            "n_skipped": choices[SKIPPED],
            "can_undo": bool(self._answers),
            "pair": None if current is None else asdict(self._pairs[current]),
        }

    def _current(self) -> str | None:
        if self._reopened is not None:
            return self._reopened
        open_pairs = (name for name in self._pairs if name not in self._answers)
        skipped = (name for name, choice in self._answers.items() if choice == SKIPPED)
        return next(open_pairs, next(skipped, None))

    def _record(self, pair_id: str, choice: str) -> None:
        row = {
            "pair_id": pair_id,
            "choice": choice,
            "annotator": self.annotator,
            "judged_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        _append(self.path, json.dumps(row))
        self._apply(pair_id, choice)

    def _apply(self, pair_id: str, choice: str | None) -> None:
        if choice is None or pair_id not in self._pairs:  # of pairs that have been replaced since
            return
        self._answers.pop(pair_id, None)
        if choice == UNDONE:
            self._reopened = pair_id
            return
        self._answers[pair_id] = choice
        if self._reopened == pair_id:
            self._reopened = None


def _append(path: Path, line: str) -> None:
    """Write a line at the end of the file and to the disk; mend an end that was cut off."""
    is_new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
        torn = bool(end) and file.read(1) != b"\n"
        file.write((b"\n" if torn else b"") + line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    if is_new:  # or the name might not survive a power cut
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
