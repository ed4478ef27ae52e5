"""Settings for all tests."""

from __future__ import annotations

import os

# Before torch is imported: spinning OpenMP threads would make tests crawl on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
