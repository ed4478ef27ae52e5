"""`shards`: what is there, and taking a partition away whose file is gone."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
import pytest
from sensed import Sensed

from humpback_pipeline.commands.shards import forget_shard, list_shards


@pytest.fixture
def ready(sensed: Sensed, monkeypatch: pytest.MonkeyPatch) -> Sensed:
    """Two segmented shards, one of them changed since, a new file, junk, and one that is gone."""
    for key in ("a", "b", "c"):
        sensed.add_warc(key)
    sensed.segment("a", "b", "c")
    sensed.add_warc("b", pages="d")
    sensed.add_warc("d")
    (sensed.warc_dir / "junk.warc").write_text("junk")
    (sensed.warc_dir / "c.warc.gz").unlink()
    directory = Path(sensed.instance.root_directory)
    (directory / "dagster.yaml").touch()
    monkeypatch.setenv("DAGSTER_HOME", str(directory))
    monkeypatch.setenv("HUMPBACK_RECIPE", str(sensed.folder / "sensed.yaml"))
    monkeypatch.setenv("HUMPBACK_HOME", str(sensed.folder / "home"))
    return sensed


def test_list_tells_of_each_shard_whether_it_is_there_segmented_and_changed(
    ready: Sensed, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list_shards() == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert lines["a"].endswith("segmented")
    assert lines["b"].endswith("changed since it was segmented")
    assert lines["c"].endswith("file is gone; partition and segments kept")
    assert lines["d"].endswith("new: not segmented yet")
    assert lines["junk"].endswith("cannot be opened as WARC")
    assert [lines[key].split()[1] for key in "abcd"] == ["yes", "yes", "yes", "no"]


def test_forgotten_partition_is_unregistered_and_its_data_kept(ready: Sensed) -> None:
    assert forget_shard("c") == 0
    assert ready.registered == ["a", "b"]
    assert ready.workspace.datasets.manifest("clueweb_segments", "c").rows is not None


def test_partition_with_its_file_or_unknown_is_refused_with_a_remedy(ready: Sensed) -> None:
    with pytest.raises(ValueError, match="move the file out"):
        forget_shard("a")
    with pytest.raises(LookupError, match="registered are: a, b, c"):
        forget_shard("zebra")
    assert ready.registered == ["a", "b", "c"]


def test_dagster_home_is_the_one_named(ready: Sensed) -> None:
    with dg.DagsterInstance.get() as instance:
        assert instance.root_directory == os.environ["DAGSTER_HOME"]
