"""When a page counts as stuck, and which page a process that ended was at."""

from __future__ import annotations

from humpback_pipeline.stages.page_mark import PageMark, PageWatch
from humpback_pipeline.web.page_places import page_place


def test_page_that_waits_for_the_machine_is_not_stuck() -> None:
    watch = PageWatch(limit_s=10.0)
    seconds = range(0, 100, 2)
    # A tenth of a core: 5 s of CPU time in 50 s, never asleep.
    assert not any(watch.is_stuck(7, float(s), s / 10, asleep=False) for s in seconds[:25])
    assert watch.is_stuck(7, 150.0, 15.1, asleep=False)


def test_page_is_stuck_once_it_has_slept_or_worked_long_enough_at_one_place() -> None:
    working, sleeping, reading = PageWatch(10.0), PageWatch(10.0), PageWatch(10.0)
    work = [working.is_stuck(7, float(s), float(s), asleep=False) for s in range(13)]
    sleep = [sleeping.is_stuck(7, float(s), 3.0, asleep=True) for s in range(13)]
    read = [reading.is_stuck((7, s), float(s), float(s), asleep=False) for s in range(60)]
    assert work.index(True) == sleep.index(True) == 11
    assert not any(read)
    assert not any(reading.is_stuck(None, float(s), float(s), asleep=True) for s in range(60, 90))


def test_time_in_which_both_processes_were_stopped_is_no_hang() -> None:
    watch = PageWatch(10.0)
    assert not watch.is_stuck(7, 0.0, 1.0, asleep=True)
    assert not watch.is_stuck(7, 3_600.0, 1.0, asleep=True)


def test_mark_keeps_its_place_and_blames_no_page_between_two() -> None:
    mark = PageMark()
    assert (mark.page, mark.position) == (None, 0)
    mark.at(0)
    assert mark.page == 0
    place = page_place(5_000_000_000, nth=3)
    mark.at(place)
    with mark.paused():
        assert (mark.page, mark.position) == (None, 5_000_000_000)
    assert mark.page == place
    mark.at(-1)
    assert (mark.page, mark.position) == (None, 5_000_000_000)
