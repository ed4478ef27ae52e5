"""Progress lines: often enough to follow, rare enough for a log."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from humpback_pipeline import progress
from humpback_pipeline.generation.ledger import Ledger
from humpback_pipeline.generation.resuming import answer_with_ledger
from humpback_pipeline.generation.streaming import in_batches
from humpback_pipeline.progress import Progress, ProgressMeter, duration, one_line, paced


class Clock:
    """Time that passes when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1_000.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now_s)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def work(clock: Clock, n_units: int, unit_s: float) -> list[Progress]:
    told: list[Progress] = []
    start_s = clock.now_s
    meter = ProgressMeter("work", n_units, "units", told.append, _start_s=start_s)
    for _ in range(n_units):
        clock.now_s += unit_s
        meter.advance()
    return told


def test_first_and_last_unit_are_told_and_pauses_are_kept(clock: Clock) -> None:
    told = work(clock, 300, 0.1)
    assert (told[0].done, told[-1].done) == (1, 300)
    pauses = [b.elapsed_s - a.elapsed_s for a, b in pairwise(told[:-1])]
    assert min(pauses) >= 5.0 - 1e-6
    assert len(told) == 7


def test_days_of_work_leave_hundreds_of_lines(clock: Clock) -> None:
    told = work(clock, 3 * 24 * 3_600, 1.0)
    assert 100 < len(told) < 600
    pauses = [b.elapsed_s - a.elapsed_s for a, b in pairwise(told)]
    assert max(pauses) < 0.02 * told[-1].elapsed_s


def test_listener_that_is_told_too_often_hears_less_but_the_end(clock: Clock) -> None:
    told: list[Progress] = []
    listener = paced(told.append)
    for second in range(20):
        clock.now_s += 1
        listener(Progress("segments of a", second, None, "pages", float(second)))
        listener(Progress("m0", second, 19, "steps", float(second)))
    assert [p.done for p in told if p.stage == "segments of a"] == [0, 5, 10, 15]
    assert [p.done for p in told if p.stage == "m0"] == [0, 5, 10, 15, 19]


def test_detail_is_only_made_for_somebody_who_hears_it(clock: Clock) -> None:
    made: list[int] = []
    meter = ProgressMeter("work", None, "units", lambda _: None, _start_s=clock.now_s)
    for unit in range(10):
        clock.now_s += 1
        meter.advance(detail=lambda unit=unit: str(made.append(unit)))
    assert made == [0, 5]


def test_end_of_work_without_a_total_is_told_once(clock: Clock) -> None:
    told: list[Progress] = []
    meter = ProgressMeter("pages", None, "pages", told.append, _start_s=clock.now_s)
    for _ in range(3):
        clock.now_s += 1
        meter.advance()
    meter.finish("done")
    meter.finish("done")
    assert [(p.done, p.total, p.detail) for p in told] == [(1, None, ""), (3, 3, "done")]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59, "59 s"),
        (60, "1 min 0 s"),
        (754, "12 min 34 s"),
        (12_000, "3 h 20 min"),
        (200_000, "2 d 7 h"),
    ],
)
def test_time_left_is_told_in_units_people_use(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_sample_is_one_short_line() -> None:
    assert one_line("  a\n\n b\t c ") == "a b c"
    assert one_line("x" * 100) == "x" * 59 + "…"


def test_line_names_rate_time_left_and_the_last_sample(tmp_path: Path) -> None:
    told: list[Progress] = []
    answer_with_ledger(
        ["a", "b", "c"],
        ["a", "b", "c"],
        partial(in_batches, lambda chunk: [{"text": record.upper()} for record in chunk]),
        ledger=Ledger(tmp_path / "ledger.jsonl"),
        chunk_size=2,
        stage="writing",
        unit="segments",
        on_progress=told.append,
        describe=lambda record, answer: f"{record} → {answer['text']}",
    )
    assert [p.detail for p in told] == ["a → A", "c → C"]
    assert str(Progress("writing", 2, 4, "segments", 4.0, "b → B")) == (
        "writing: 2/4 segments, 0.50 segments/s, ETA 4 s · b → B"
    )
