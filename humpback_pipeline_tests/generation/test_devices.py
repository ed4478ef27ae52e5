"""Leases on GPUs: exclusive, in groups, and free again when their holder dies."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from humpback_pipeline.generation import GenerationError, devices, lease_devices
from humpback_pipeline.generation.devices import EngineSlot, visible_gpus

HOLDER = """
import sys, time
from pathlib import Path
from humpback_pipeline.generation import devices
devices.visible_gpus = lambda: ("0", "1")
with devices.lease_devices(1, folder=Path(sys.argv[1])) as slots:
    print(slots[0].gpus[0], flush=True)
    time.sleep(120)
"""


@pytest.fixture
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "visible_gpus", lambda: ("0", "1", "2", "3"))


@pytest.mark.usefixtures("four_gpus")
def test_lease_takes_all_free_gpus_and_no_gpu_twice(tmp_path: Path) -> None:
    with lease_devices(2, folder=tmp_path) as first, lease_devices(folder=tmp_path) as rest:
        assert [slot.gpus for slot in first] == [("0",), ("1",)]
        assert [slot.gpus for slot in rest] == [("2",), ("3",)]
        with (
            pytest.raises(GenerationError, match="CUDA_VISIBLE_DEVICES"),
            lease_devices(folder=tmp_path, timeout_s=0.0),
        ):
            pass
    with lease_devices(folder=tmp_path) as slots:
        assert len(slots) == 4


@pytest.mark.usefixtures("four_gpus")
def test_lease_in_groups_leaves_no_gpu_locked_that_fits_no_group(tmp_path: Path) -> None:
    with (
        lease_devices(1, folder=tmp_path),
        lease_devices(None, 2, folder=tmp_path) as pair,
        lease_devices(folder=tmp_path) as rest,
    ):
        assert [slot.gpus for slot in pair] == [("1", "2")]
        assert [slot.gpus for slot in rest] == [("3",)]


@pytest.mark.usefixtures("four_gpus")
def test_group_larger_than_the_machine_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(GenerationError, match=r"tensor_parallel_size is 8, but only 4"),
        lease_devices(None, 8, folder=tmp_path),
    ):
        pass


def test_lease_of_a_killed_process_is_free_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "visible_gpus", lambda: ("0", "1"))
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == "0"
        with lease_devices(folder=tmp_path) as slots:
            assert [slot.gpus for slot in slots] == [("1",)]
        holder.kill()
        holder.wait()
    with lease_devices(folder=tmp_path) as slots:
        assert [slot.gpus for slot in slots] == [("0",), ("1",)]


def test_visible_devices_are_named_as_the_environment_names_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_gpus() == ("0", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-7f, nonsense")
    assert visible_gpus() == ("3", "GPU-7f")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == ()


def test_without_gpus_there_is_one_slot_unless_more_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(devices, "visible_gpus", lambda: ())
    with lease_devices(folder=tmp_path) as slots:
        assert [(slot.gpus, slot.alone, slot.environment) for slot in slots] == [((), True, {})]
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(devices, "_n_cpus", lambda: 8)
    with lease_devices(2, folder=tmp_path) as slots:
        assert [slot.environment for slot in slots] == [{"OMP_NUM_THREADS": "4"}] * 2


def test_ending_a_slot_ends_its_processes_also_those_that_come_late() -> None:
    slot = EngineSlot()
    early = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    slot.adopt(early)
    started_s = time.monotonic()
    slot.end()
    assert early.poll() == -9
    late = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    slot.adopt(late)
    assert late.wait(10) == -9
    assert time.monotonic() - started_s < 20


def test_slot_in_this_process_shows_its_gpus_only_within_the_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import os

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    with EngineSlot(("2",)).in_this_process():
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "2"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1,2"


@pytest.mark.parametrize(
    ("visible", "gpus", "device"),
    [
        (("0", "1", "2"), ("2",), "cuda:2"),
        (("4", "7"), ("7",), "cuda:1"),
        (("GPU-b",), ("GPU-b",), "cuda:0"),
        (("0", "1"), (), "cpu"),
    ],
)
def test_slot_knows_its_gpu_by_torchs_name(
    visible: tuple[str, ...], gpus: tuple[str, ...], device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "visible_gpus", lambda: visible)
    assert EngineSlot(gpus).torch_device == device
