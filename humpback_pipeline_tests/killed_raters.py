"""A script: rates a home in a child process that is killed again and again, then in one that ends.

Arguments: the home's folder, and a JSON list of how many answers are on disk when each child but
the last is killed. Prints a JSON list of `Attempt`. Models are imported once, and each child is a
fork of that.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

# Of whoever imports this, pytest has already told where helpers are.
sys.path.insert(0, str(Path(__file__).parent))

from rating_home import EngineLog, RatingHome, watch_engines

SHARDS = ("a", "b")
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Attempt:
    """One child: how it ended (a negative signal number), what it asked, what it left on disk."""

    ended: int
    asked: list[tuple[str, str, str]]
    n_saved: int
    shards_done: list[str]


def rate_with_kills(home: RatingHome, kills: Sequence[int]) -> list[Attempt]:
    """Run this file; see there."""
    done = subprocess.run(
        [sys.executable, __file__, str(home.folder), json.dumps(kills)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S * (len(kills) + 1),
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    return [
        Attempt(**{**one, "asked": [tuple(asked) for asked in one["asked"]]})
        for one in json.loads(done.stdout.splitlines()[-1])
    ]


def ledger_lines(home: RatingHome) -> list[str]:
    """Of each line of the ratings' ledgers its file and key."""
    return [
        f"{path.name} {json.loads(line)['key']}"
        for path in _ledgers(home)
        for line in path.read_text(encoding="utf-8").splitlines()
    ]


def _ledgers(home: RatingHome) -> list[Path]:
    folder = home.folder / "home" / "ledgers"
    return [
        path
        for name in ("backward_model_readings", "curation_scores_1")
        for path in sorted((folder / name).glob("*.jsonl"))
    ]


def _n_saved(home: RatingHome) -> int:
    return sum(path.read_bytes().count(b"\n") for path in _ledgers(home))


def _attempt(home: RatingHome, number: int, fatal: int | None) -> Attempt:
    log = home.folder / f"asked-{number}.jsonl"
    log.touch()
    child = os.fork()
    if child == 0:
        _rate(home, log)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and not _has_ended(child):
        if fatal is not None and _n_saved(home) >= fatal:
            break
        time.sleep(0.001)
    if fatal is not None or time.monotonic() >= deadline:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    folders = [home.open().datasets.versions("curation_scores_1", shard) for shard in SHARDS]
    return Attempt(
        ended=os.waitstatus_to_exitcode(status),
        asked=[tuple(json.loads(line)) for line in log.read_text().splitlines()],
        n_saved=_n_saved(home),
        shards_done=[
            shard for shard, versions in zip(SHARDS, folders, strict=True) if versions.has_current()
        ],
    )


def _rate(home: RatingHome, log: Path) -> None:
    """In the child."""
    try:
        from humpback_pipeline.generation.process import die_with_parent
        from humpback_pipeline.stages.rating import write_curation_scores

        die_with_parent()
        watch_engines(setattr, EngineLog(file=log))
        for _ in write_curation_scores(home.open(), 1, SHARDS):
            pass
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def _has_ended(child: int) -> bool:
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _main(folder: str, kills: str) -> None:
    # What every child would have to import; nothing is computed before the forks, as threads of
    # this process would be missing in them.
    import torch  # noqa: F401
    from transformers.models.llama import modeling_llama  # noqa: F401

    gc.freeze()  # as each engine's end collects garbage
    home = RatingHome(Path(folder))
    fatal = [*json.loads(kills), None]
    attempts = [_attempt(home, number, after) for number, after in enumerate(fatal)]
    sys.stdout.write(json.dumps([asdict(attempt) for attempt in attempts]) + "\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
