"""Event files for TensorBoard, beside whatever else the recipe reports to."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


def tensorboard_callbacks(log_dir: Path) -> list[Any]:
    """A Trainer's callback that writes event files to `log_dir`; only the main process does."""
    from transformers.integrations import TensorBoardCallback, is_tensorboard_available

    if not is_tensorboard_available():
        logger.warning("no TensorBoard files are written: the package tensorboard is not installed")
        return []
    callback = TensorBoardCallback()
    callback.logging_dir = str(log_dir)
    return [callback]
