"""Follows a run in Dagster's event log and prints what a person wants to see of it."""

from __future__ import annotations

import logging
import time

import dagster as dg
from dagster import DagsterEventType, EventLogEntry

from humpback_pipeline.automation.step_errors import innermost_message

PROGRESS_MARK = "progress | "


class RunWatcher:
    """Prints a run's steps as they start, progress and end."""

    def __init__(self, instance: dg.DagsterInstance, tag: str, value: str) -> None:
        self.instance = instance
        self.tags = {tag: value}
        self.failures: list[str] = []
        self._run_id: str | None = None
        self._cursor: str | None = None
        self._start_s = time.monotonic()
        self._started_at: dict[str, float] = {}
        self._n_done = 0

    def print_new(self) -> None:
        """Print the events since the last call."""
        if self._run_id is None:
            runs = self.instance.get_runs(dg.RunsFilter(tags=self.tags), limit=1)
            if not runs:
                return
            self._run_id = runs[0].run_id
        while True:
            page = self.instance.get_records_for_run(self._run_id, cursor=self._cursor, limit=500)
            for record in page.records:
                self._print(record.event_log_entry)
            self._cursor = page.cursor
            if not page.has_more:
                return

    def succeeded(self) -> bool:
        """Whether the run ended well."""
        run = self.instance.get_run_by_id(self._run_id) if self._run_id else None
        return run is not None and run.status == dg.DagsterRunStatus.SUCCESS

    def _print(self, entry: EventLogEntry) -> None:
        event = entry.dagster_event
        if event is None:
            if entry.user_message.startswith(PROGRESS_MARK):
                self._line(f"    {entry.user_message.removeprefix(PROGRESS_MARK)}")
            elif int(entry.level) >= logging.WARNING:
                self._line(f"  ! {entry.user_message.splitlines()[0]}")
            return
        step = event.step_key or ""
        if event.event_type == DagsterEventType.STEP_START:
            self._started_at[step] = entry.timestamp
            self._line(f"▶ {step}")
        elif event.event_type == DagsterEventType.STEP_SUCCESS:
            self._n_done += 1
            took_s = entry.timestamp - self._started_at.get(step, entry.timestamp)
            self._line(f"✓ {step}  {took_s:.0f} s  ({self._n_done} steps done)")
        elif event.event_type == DagsterEventType.STEP_FAILURE:
            message = innermost_message(event)
            self.failures.append(f"{step}: {message}")
            self._line(f"✗ {step}: {message}")

    def _line(self, text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._start_s), 60)
        print(f"[{minutes:02d}:{seconds:02d}] {text}", flush=True)
