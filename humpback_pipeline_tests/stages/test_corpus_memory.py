"""Memory that does not grow with the shard."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from warcio.archiveiterator import ArchiveIterator

from humpback_pipeline.recipe_section import PACKAGE_DIR

BUNDLED = PACKAGE_DIR / "examples" / "warc" / "web-00000.warc.gz"
N_COPIES = 40
MAX_BYTES = 600_000_000

CUT = """
import sys
from humpback_pipeline.assets.corpus import _shard_metadata
from humpback_pipeline.assets.dataset_checks import dataset_checks
from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.segment_processes import write_all_segments
from humpback_pipeline.web import SEGMENT_SCHEMA
if __name__ == "__main__":
    fields = {"home": sys.argv[1] + "/home", "corpus.warc_dir": sys.argv[1] + "/warc"}
    workspace = Workspace(load_recipe("demo", {**fields, "corpus.extractor": "resiliparse"}))
    (_, manifest), = write_all_segments(workspace, ["large"])
    _shard_metadata(workspace, "large", manifest)
    checks = dataset_checks(workspace, manifest, ["segment_id"], SEGMENT_SCHEMA)
    assert all(check.passed for check in checks)
    print(manifest.rows, manifest.facts["n_documents"], len(manifest.files))
"""


def write_repeated(target: Path) -> int:
    """The bundled pages many times over, each time under other ids and with other texts."""
    raw = gzip.decompress(BUNDLED.read_bytes())
    with BUNDLED.open("rb") as stream:
        n_pages = sum(r.rec_type == "response" for r in ArchiveIterator(stream))
    with target.open("wb") as out:
        for copy in range(N_COPIES):
            # As long as what they replace, so that every Content-Length stays true.
            ids = re.sub(rb"(<urn:uuid:)....", rb"\g<1>%04d" % copy, raw)
            text = re.sub(rb"<p>(\w)\w{4}", rb"<p>\g<1>%04d" % copy, ids)
            out.write(gzip.compress(text, compresslevel=1))
    return n_pages


def peak_bytes(pid: int) -> dict[int, int]:
    """Process → most memory it has held so far, of a process and of all it has started.

    Not `getrusage`: what that calls a process's peak may be that of whoever started it.
    """
    peaks = {}
    with contextlib.suppress(psutil.Error, OSError):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            status = Path(f"/proc/{process.pid}/status").read_text()
            if found := re.search(r"VmHWM:\s+(\d+) kB", status):
                peaks[process.pid] = int(found[1]) * 1024
    return peaks


@pytest.mark.slow
def test_memory_stays_bounded_whatever_the_size_of_the_shard(tmp_path: Path) -> None:
    (tmp_path / "warc").mkdir()
    n_pages = write_repeated(tmp_path / "warc" / "large.warc.gz")
    kept = {name: v for name, v in os.environ.items() if not name.startswith("HUMPBACK_")}
    process = subprocess.Popen(
        [sys.executable, "-c", CUT, str(tmp_path)], env=kept, stdout=subprocess.PIPE, text=True
    )
    peaks = {}
    while process.poll() is None:
        peaks.update(peak_bytes(process.pid))
        time.sleep(0.05)
    assert process.stdout is not None
    output = process.communicate()[0]
    assert process.returncode == 0
    rows, documents, parts = map(int, output.split())
    assert parts > 1
    # Two bundled pages were not found when they were fetched. Equal ids or texts would be dropped.
    assert documents == N_COPIES * (n_pages - 2)
    assert rows > documents
    assert len(peaks) >= 2  # the one that cuts, and the one that watches and draws the page
    assert 50_000_000 < max(peaks.values()) < MAX_BYTES
