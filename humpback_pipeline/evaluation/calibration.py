"""AlpacaEval's prompts and the table its length control is calibrated with.

The table (`df_gamed.csv` of the data set tatsu-lab/alpaca_eval, CC BY-NC 4.0) holds the difficulty
of each prompt and the preferences of two baselines told to be verbose and concise. It is not
shipped here; it is read from a path or from the local hub cache, and fetched only when asked for.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

N_ALPACA_EVAL_PROMPTS = 805
# SHA-256 of AlpacaEval's 805 prompts in their published order, each followed by a NUL byte.
_ALPACA_EVAL_PROMPTS_SHA256 = "19335c314b25f2550db9138cbbc7c1219ac28967bd6062cd323182405afbd7f1"
_CALIBRATION_REPOSITORY = "tatsu-lab/alpaca_eval"
_CALIBRATION_FILE = "df_gamed.csv"
_CALIBRATION_COLUMNS = {
    "model",
    "index",
    "preference",
    "std_delta_len",
    "instruction_difficulty",
    "not_gamed_baseline",
}


class CalibrationTableMissingError(FileNotFoundError):
    """AlpacaEval's calibration table is neither given nor in the local hub cache."""


def alpaca_eval_indexes(frame: pd.DataFrame) -> list[int] | None:
    """Return each row's position among AlpacaEval's prompts, or None if these are other prompts."""
    if "index" in frame:
        if not frame["index"].isin(range(N_ALPACA_EVAL_PROMPTS)).all():
            return None
        return [int(value) for value in frame["index"]]
    if len(frame) != N_ALPACA_EVAL_PROMPTS or "instruction" not in frame:
        return None
    digest = hashlib.sha256()
    for instruction in frame["instruction"]:
        digest.update(str(instruction).encode() + b"\0")
    if digest.hexdigest() != _ALPACA_EVAL_PROMPTS_SHA256:
        return None
    return list(range(N_ALPACA_EVAL_PROMPTS))


def find_calibration(calibration: str | Path | None, download: bool) -> Path:
    """Return the table's path: the one given, the cached one, or (if `download`) a fetched one.

    Raises CalibrationTableMissingError when there is none.
    """
    if calibration is not None:
        path = Path(calibration)
        if not path.is_file():
            raise CalibrationTableMissingError(f"calibration table {path} does not exist")
        return path
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    cached = try_to_load_from_cache(_CALIBRATION_REPOSITORY, _CALIBRATION_FILE, repo_type="dataset")
    if isinstance(cached, str):
        return Path(cached)
    if download:
        return Path(
            hf_hub_download(_CALIBRATION_REPOSITORY, _CALIBRATION_FILE, repo_type="dataset")
        )
    raise CalibrationTableMissingError(
        f"length_controlled_v1 needs AlpacaEval's calibration table ({_CALIBRATION_FILE} of the "
        f"data set {_CALIBRATION_REPOSITORY}), which is not in the local hub cache. Pass its path "
        "as calibration=…, or download=True to fetch it once, or use "
        "method='length_controlled_minimal', which needs no table but is not the figure of the "
        "leaderboard"
    )


def read_calibration(path: Path) -> pd.DataFrame:
    """Return the calibration table; raises ValueError when a column is missing."""
    import pandas as pd

    table = pd.read_csv(path)
    missing = _CALIBRATION_COLUMNS - set(table.columns)
    if missing:
        raise ValueError(f"calibration table {path} lacks the columns {sorted(missing)}")
    return table.drop(columns=["model"])
