"""WARC to segments against datatrove: pages a second, and what the speed buys and costs.

On the same shards, one process each, in turns: datatrove's WarcReader + Trafilatura, then this
project with each of its extractors. Beside the speed stand segments, recall of documentation
sections and the share of segments with a suspect line (segment_quality.py), so that the choice of
extractor is a measured one. Usage:

    python benchmarks/corpus.py SHARD… [--rounds 3] [--recall-step 5] [--two]

Without a shard, the bundled examples are read: too few pages to say much. `--two` adds the speed of
two processes over two copies of the first shard against one. The peer is installed in an
environment of its own, below .humpback, on the first run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import segment_quality
from segment_judging.suspect_lines import suspects

from humpback_pipeline.recipe_section import PACKAGE_DIR
from humpback_pipeline.web import EXTRACTORS, segment_shard

PEER = Path(__file__).parent / "datatrove_peer"
PEER_ENVIRONMENT = PACKAGE_DIR.parent / ".humpback" / "benchmarks" / "datatrove"
EXAMPLES = PACKAGE_DIR / "examples" / "warc"


def main() -> None:
    """Measure every shard and print speeds, ratios and quality."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("shards", nargs="*", type=Path, default=sorted(EXAMPLES.glob("*.warc.gz")))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--recall-step", type=int, default=5, help="measure every N-th page")
    parser.add_argument("--two", action="store_true", help="also two processes against one")
    arguments = parser.parse_args()
    peer = peer_python()
    for shard in arguments.shards:
        print(f"{shard.name}:", flush=True)
        compare(shard, peer, arguments.rounds, arguments.recall_step)
    if arguments.two:
        for extractor in EXTRACTORS:
            two_against_one(arguments.shards[0], extractor, arguments.rounds)


def compare(shard: Path, peer: Path, rounds: int, recall_step: int) -> None:
    """Print one shard's speeds, in turns, and the quality of each extractor's segments."""
    rates: dict[str, list[float]] = {name: [] for name in ("datatrove", *EXTRACTORS)}
    for _ in range(rounds):
        rates["datatrove"].append(datatrove_rate(peer, shard))
        for extractor in EXTRACTORS:
            rates[extractor].append(own_rate(shard, extractor))
    print(f"  {'datatrove':>12}: {median(rates['datatrove']):7.1f} pages/s")
    for extractor in EXTRACTORS:
        # Ratios of neighbours in time, as other work on the machine slows whole stretches.
        ratios = [a / b for a, b in zip(rates[extractor], rates["datatrove"], strict=True)]
        texts = [segment.text for segment in segment_shard(shard, extractor=extractor)]
        recall = segment_quality.shard_recall(shard, extractor, recall_step)
        found = suspects(texts)
        print(
            f"  {extractor:>12}: {median(rates[extractor]):7.1f} pages/s, "
            f"{median(ratios):5.2f} x datatrove ({min(ratios):.2f}-{max(ratios):.2f}); "
            f"{len(texts)} segments, {found.n_suspect / max(1, found.n):.1%} with a suspect "
            f"line; {recall.n_found / max(1, recall.n):.1%} of {recall.n} sections found",
            flush=True,
        )


def datatrove_rate(peer: Path, shard: Path) -> float:
    """Pages a second of datatrove on a shard."""
    command = [str(peer), str(PEER / "read_pages.py"), str(shard.absolute())]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    figures = json.loads(ran.stdout.strip().splitlines()[-1])
    if not figures["pages"]:
        return float("nan")  # it reads nothing of ClueWeb12 and ClueWeb09
    return float(figures["pages"] / figures["seconds"])


def own_rate(shard: Path, extractor: str) -> float:
    """Pages a second of this project on a shard, in a fresh process, imports left out."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pages, seconds = pool.submit(_timed, shard, extractor).result()
    return pages / seconds


def two_against_one(shard: Path, extractor: str, rounds: int) -> None:
    """Print how much faster two processes cut two copies of a shard than one process does."""
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        copies = [Path(folder) / f"{n}-{shard.name}" for n in range(2)]
        for copy in copies:
            shutil.copyfile(shard, copy)
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            list(pool.map(_timed, copies, [extractor] * 2))  # imports, and both workers started
            for _ in range(rounds):
                started = time.perf_counter()
                for copy in copies:
                    pool.submit(_timed, copy, extractor).result()
                one_s = time.perf_counter() - started
                started = time.perf_counter()
                list(pool.map(_timed, copies, [extractor] * 2))
                ratios.append(one_s / (time.perf_counter() - started))
    print(f"{extractor}: two processes {median(ratios):.2f} x one (median of {rounds})")


def peer_python() -> Path:
    """Python of the peer's environment, which is made if it is not there."""
    python = PEER_ENVIRONMENT / "bin" / "python"
    if not (PEER_ENVIRONMENT / "complete").exists():
        print("installing the peer …", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", PEER_ENVIRONMENT], check=True)
        requirements = PEER / "requirements.txt"
        _run_quietly([python, "-m", "pip", "install", "-q", "-r", requirements])
        (PEER_ENVIRONMENT / "complete").touch()
    return python


def _run_quietly(command: Sequence[str | Path]) -> None:
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{ran.stderr}")


def _timed(shard: Path, extractor: str) -> tuple[int, float]:
    import trafilatura  # noqa: F401  # so that its import is not timed

    started = time.perf_counter()
    stream = segment_shard(shard, extractor=extractor)
    for _ in stream:
        pass
    return stream.report.n_documents, time.perf_counter() - started


if __name__ == "__main__":
    main()
