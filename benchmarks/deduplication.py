"""Deduplication: time and memory as segments grow, against peers on the same segments.

Segments are made up by a seeded generator: 600-3,000 characters, a fifth of them near duplicates of
earlier ones, in chains (each of the one before) and in stars (each of the first). Every measurement
is a process of its own. Usage:

    python benchmarks/deduplication.py [--sizes 25000,50000,100000] [--peer-size 20000]

One peer is rensa's own loop, one RMinHash and one RMinHashLSH.query a segment. The other is
datasketch, measured if it can be imported: pip install --target FOLDER datasketch, then run with
PYTHONPATH=FOLDER. All have 128 slots, 16 bands of 8, shingles of 5 words, threshold 0.8.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

import polars as pl
from near_duplicates.made_up_segments import BATCH, Batch, generate
from near_duplicates.memory import AnonymousPeak, memory_kb
from near_duplicates.peer_loops import n_clusters

from humpback_pipeline.text.contamination import ContaminationIndex
from humpback_pipeline.text.stable_hash import string_hashes
from humpback_pipeline.text.words import WordBatch
from humpback_pipeline.web.duplicate_finder import DuplicateFinder
from humpback_pipeline.web.selection import draws_of, hosts_of, sample_rows

THRESHOLD, N_SLOTS, N_BANDS, NGRAM = 0.8, 128, 16, 5
EVALUATION_TEXTS = 805


def ours(batches: Iterator[Batch]) -> int:
    """This project's columns; returns how many are kept."""
    with DuplicateFinder(THRESHOLD, ngram=NGRAM) as finder:
        for batch in batches:
            finder.add(batch.ids, WordBatch(batch.texts))
        return int((finder.resolve().reasons == 0).sum())


def rensa_loop(batches: Iterator[Batch]) -> int:
    """Rensa as its manual shows it."""
    from rensa import RMinHash, RMinHashLSH

    def make_sketch(shingles: list[str]) -> RMinHash:
        sketch = RMinHash(num_perm=N_SLOTS, seed=42)
        sketch.update(shingles)
        return sketch

    index = RMinHashLSH(threshold=THRESHOLD, num_perm=N_SLOTS, num_bands=N_BANDS)
    return n_clusters(batches, index, make_sketch, THRESHOLD, NGRAM)


def datasketch_loop(batches: Iterator[Batch]) -> int:
    """Datasketch's MinHash and MinHashLSH in the same way."""
    from datasketch import MinHash, MinHashLSH

    def make_sketch(shingles: list[str]) -> MinHash:
        sketch = MinHash(num_perm=N_SLOTS)
        sketch.update_batch([shingle.encode() for shingle in shingles])
        return sketch

    index = MinHashLSH(num_perm=N_SLOTS, params=(N_BANDS, N_SLOTS // N_BANDS))
    return n_clusters(batches, index, make_sketch, THRESHOLD, NGRAM)


def contamination(batches: Iterator[Batch]) -> int:
    """Screen against as many evaluation texts as AlpacaEval has; none is of these segments."""
    index = evaluation_index()
    return sum(len(batch.ids) - len(index.matches(WordBatch(batch.texts))) for batch in batches)


@lru_cache
def evaluation_index() -> ContaminationIndex:
    """Made once, in the first round that warms up."""
    texts = [text for batch in generate(EVALUATION_TEXTS, seed=1) for text in batch.texts]
    return ContaminationIndex(texts, 13)


WAYS: dict[str, Callable[[Iterator[Batch]], int]] = {
    "ours": ours,
    "rensa loop": rensa_loop,
    "datasketch": datasketch_loop,
    "contamination": contamination,
}


@dataclass
class Measurement:
    """n: segments. kept, clusters: found and true. seconds, cpu_s: without making the segments.

    peak_mb: largest resident memory above that of the start, mapped files included; anonymous_mb:
    without them, since the system may drop their pages at any time.
    """

    way: str
    n: int
    kept: int
    clusters: int
    seconds: float
    cpu_s: float
    peak_mb: float
    anonymous_mb: float


def measure(way: str, n: int) -> Measurement:
    """One way over `n` segments in this process; the time of the generator is not counted."""
    making_s, making_cpu_s, clusters = 0.0, 0.0, 0

    def timed() -> Iterator[Batch]:
        nonlocal making_s, making_cpu_s, clusters
        batches = generate(n)
        while True:
            start, start_cpu = time.perf_counter(), time.process_time()
            batch = next(batches, None)
            making_s += time.perf_counter() - start
            making_cpu_s += time.process_time() - start_cpu
            if batch is None:
                return
            clusters = batch.clusters[-1] + 1
            yield batch

    WAYS[way](generate(BATCH))  # imports, and caches of a fixed size
    start_kb = memory_kb("VmHWM")
    sampler = AnonymousPeak()
    sampler.start()
    start, start_cpu = time.perf_counter(), time.process_time()
    kept = WAYS[way](timed())
    seconds = time.perf_counter() - start - making_s
    cpu_s = time.process_time() - start_cpu - making_cpu_s
    sampler.ended.set()
    peak_mb = (memory_kb("VmHWM") - start_kb) / 1024
    anonymous_mb = (sampler.peak_kb - sampler.start_kb) / 1024
    return Measurement(way, n, kept, clusters, seconds, cpu_s, peak_mb, anonymous_mb)


def in_own_process(way: str, n: int) -> Measurement:
    """`measure` in a fresh interpreter, so that one way's memory is not another's."""
    command = [sys.executable, __file__, "--one", way, str(n)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return Measurement(**json.loads(answer))


def show(m: Measurement) -> None:
    """One line."""
    print(
        f"{m.way:>14} {m.n:>10,} segments {m.seconds:7.1f} s (CPU {m.cpu_s:6.1f}) "
        f"{m.n / m.seconds:7,.0f} segments/s "
        f"peak {m.peak_mb:7.0f} MB ({m.peak_mb * 2**20 / m.n:5.0f} B/segment), "
        f"anonymous {m.anonymous_mb:7.0f} MB; kept {m.kept:,}, clusters {m.clusters:,}",
        flush=True,
    )


def sampling(n: int) -> None:
    """A sample with a cap for each host out of `n` segments' ids and URLs."""
    numbers = pl.Series(range(n), dtype=pl.UInt64)
    frame = pl.DataFrame({"n": numbers}).select(
        segment_id=pl.format("{}-{}", pl.lit("0123456789abcdef"), "n"),
        url=pl.format("https://www.host{}.example.org/page/{}", pl.col("n") % (n // 50), "n"),
    )
    start = time.perf_counter()
    hosts = string_hashes(hosts_of(frame["url"]))
    draws = draws_of(frame["segment_id"], 0)
    taken = int((sample_rows(draws, hosts, n // 10, 20) == 0).sum())
    seconds = time.perf_counter() - start
    print(f"{'sampling':>14} {n:>10,} segments {seconds:8.1f} s, capped at 20 a host: {taken:,}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print growth, then the peers at one size with the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", default="25000,50000,100000")
    parser.add_argument("--peer-size", type=int, default=20_000)
    parser.add_argument("--one", nargs=2, metavar=("WAY", "N"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(asdict(measure(options.one[0], int(options.one[1])))))
        return
    for size in options.sizes.split(","):
        show(in_own_process("ours", int(size)))
    show(in_own_process("contamination", options.peer_size))
    sampling(1_000_000)
    reference = in_own_process("ours", options.peer_size)
    show(reference)
    for way in ("rensa loop", "datasketch"):
        if way == "datasketch" and importlib.util.find_spec("datasketch") is None:
            print("datasketch is not installed: see the head of this file")
            continue
        peer = in_own_process(way, options.peer_size)
        show(peer)
        speed, cpu = peer.seconds / reference.seconds, peer.cpu_s / reference.cpu_s
        share = reference.peak_mb / peer.peak_mb
        print(
            f"{'':>14} ours against {way}: {speed:.1f} times as fast (by CPU time {cpu:.1f}), "
            f"{share:.0%} of its memory"
        )


if __name__ == "__main__":
    main()
