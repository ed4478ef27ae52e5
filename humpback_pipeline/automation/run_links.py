"""Addresses of runs in the UI, for messages that leave it."""

from __future__ import annotations

import os

UI_URL_VARIABLE = "HUMPBACK_UI_URL"
DEFAULT_UI_URL = "http://127.0.0.1:3000"


def run_url(run_id: str) -> str | None:
    """The run's page; its host from $HUMPBACK_UI_URL, where others reach it. None without a run."""
    base = os.environ.get(UI_URL_VARIABLE, "").strip() or DEFAULT_UI_URL
    return f"{base.rstrip('/')}/runs/{run_id}" if run_id else None
