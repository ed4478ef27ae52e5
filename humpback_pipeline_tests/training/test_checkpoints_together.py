"""Checkpoints of two processes: whole from both, or none and no end to the training."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MEMBER = """
import sys
from pathlib import Path
from humpback_pipeline.training import ranks
from humpback_pipeline.training.checkpoints import Checkpoints, write_facts

folder, failing_rank = Path(sys.argv[1]), int(sys.argv[2])
ranks.join(folder / "meet")
checkpoints = Checkpoints(folder / "checkpoints")

def write_part(part):
    (part / f"random-{ranks.rank()}.json").write_text("[]")
    write_facts(part, {"best_step": None})
    if is_full and ranks.rank() == failing_rank:
        raise OSError(28, "No space left on device")

said = []
for step, is_full in ((1, False), (2, True), (3, False)):
    said.append(checkpoints.write("checkpoint", step, write_part))
print(said, checkpoints.last().name)
"""


@pytest.mark.parametrize("failing_rank", [0, 1])
def test_disk_that_fails_one_process_leaves_no_checkpoint_and_both_go_on(
    failing_rank: int, tmp_path: Path
) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", MEMBER, str(tmp_path), str(failing_rank)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2", "RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        told = [process.communicate(timeout=120)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert told == ["[True, False, True] checkpoint-3\n"] * 2
    left = sorted((tmp_path / "checkpoints").iterdir())
    assert [path.name for path in left] == ["checkpoint-1", "checkpoint-3"]
    names = ["random-0.json", "random-1.json", "training.json"]
    assert [sorted(path.name for path in folder.iterdir()) for folder in left] == [names] * 2
