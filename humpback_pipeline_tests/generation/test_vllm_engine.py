"""The vLLM engine for real: it agrees with transformers, serves adapters, and leaves nothing."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from tiny_settings import tiny_settings

from humpback_pipeline.chat import Prompts
from humpback_pipeline.curation import Pair, rate_pairs
from humpback_pipeline.generation import (
    GenerationError,
    GenerationRequest,
    TextGenerator,
    open_generator,
)
from humpback_pipeline.generation.streaming import Task, WindowFeed, stream_answers
from humpback_pipeline.recipe_curation import SamplingRecipe

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="no vLLM here"),
]

DIGITS = ("1", "2", "3", "4", "5")
GREEDY = SamplingRecipe(temperature=0.0, max_new_tokens=12)
TEXTS = ["Hi", "How do the tides of the sea work, and why twice a day?", "Name it."]


def requests_of(prefix: str = "") -> list[GenerationRequest]:
    return [
        GenerationRequest(f"r{n}", [{"role": "user", "content": text}], prefix)
        for n, text in enumerate(TEXTS)
    ]


@pytest.fixture(scope="module")
def vllm(tiny_model: Path, cache_dir: Path) -> Iterator[TextGenerator]:
    settings = tiny_settings("vllm", own_process=True)
    with open_generator(tiny_model, settings, cache_dir=cache_dir) as opened:
        yield opened


def test_choose_agrees_with_transformers(vllm: TextGenerator, generator: TextGenerator) -> None:
    ours = vllm.choose(requests_of("Score: "), DIGITS)
    theirs = generator.choose(requests_of("Score: "), DIGITS)

    for mine, reference in zip(ours, theirs, strict=True):
        assert mine.request_id == reference.request_id
        assert mine.probabilities == pytest.approx(reference.probabilities, abs=0.02)
        assert mine.mass == pytest.approx(reference.mass, abs=0.02)


def test_ratings_agree_with_transformers(
    vllm: TextGenerator, generator: TextGenerator, prompts: Prompts
) -> None:
    pairs = [Pair(text, f"{text} The moon pulls the sea.") for text in TEXTS]

    ours = rate_pairs(pairs, vllm, "expected", prompts=prompts)
    theirs = rate_pairs(pairs, generator, "expected", prompts=prompts)

    assert [r.rating for r in ours] == pytest.approx([r.rating for r in theirs], abs=0.05)


def test_generate_samples_and_measures_its_own_tokens(
    vllm: TextGenerator, generator: TextGenerator
) -> None:
    sampled = vllm.generate(requests_of(), SamplingRecipe(max_new_tokens=12))
    greedy = vllm.generate(requests_of(), GREEDY)
    reference = generator.generate(requests_of(), GREEDY)

    assert [answer.request_id for answer in sampled] == ["r0", "r1", "r2"]
    assert all(1 <= answer.n_tokens <= 12 for answer in sampled)
    assert [a.n_prompt_tokens for a in sampled] == [a.n_prompt_tokens for a in reference]
    for mine, theirs in zip(greedy, reference, strict=True):
        assert mine.text[:1] == theirs.text[:1]
        if mine.text == theirs.text:
            assert mine.mean_logprob == pytest.approx(theirs.mean_logprob, abs=0.05)


def test_killed_engine_is_replaced_and_nothing_answered_is_asked_again(
    tiny_model: Path, cache_dir: Path, generator: TextGenerator, caplog: pytest.LogCaptureFixture
) -> None:
    settings = tiny_settings("vllm", own_process=True, max_concurrent_sequences=4)
    requests = [
        replace(r, request_id=f"{n}-{r.request_id}") for n in range(8) for r in requests_of()
    ]
    feed = WindowFeed(requests, 8)
    answers: dict[int, str] = {}
    with open_generator(tiny_model, settings, cache_dir=cache_dir) as opened:
        killed = child_of(opened).pid
        for finished in stream_answers(opened, Task("generate", (GREEDY,)), feed):
            assert not answers.keys() & {i for i, _ in finished}
            answers.update((i, answer.request_id) for i, answer in finished)
            feed.saved(len(finished))
            if len(answers) >= 6 and child_of(opened).pid == killed:
                os.kill(killed, signal.SIGKILL)
        assert [answers[i] for i in range(24)] == [request.request_id for request in requests]
        assert child_of(opened).pid != killed
        assert "max_concurrent_sequences 4 → 2" in caplog.text


def test_stream_that_is_given_up_leaves_the_engine_clean(vllm: TextGenerator) -> None:
    long = SamplingRecipe(max_new_tokens=2_000)
    requests = [
        replace(r, request_id=f"{n}-{r.request_id}") for n in range(30) for r in requests_of()
    ]
    stream = stream_answers(vllm, Task("generate", (long,)), WindowFeed(requests, 50))
    next(stream)
    stream.close()
    start_s = time.monotonic()

    answers = vllm.generate(requests_of(), GREEDY)

    assert [answer.request_id for answer in answers] == ["r0", "r1", "r2"]
    assert time.monotonic() - start_s < 10


def test_native_adapter_agrees_with_merged_one_and_close_returns_memory(
    generator: TextGenerator, tiny_adapter: Path, cache_dir: Path
) -> None:
    """The native one runs in a child; the merged one is the transformers engine's."""
    native_settings = tiny_settings("vllm", own_process=True, adapters="native")
    native = open_generator(tiny_adapter, native_settings, cache_dir=cache_dir)
    child = child_of(native)
    held_bytes = child.memory_info().rss
    ours = native.choose(requests_of("Score: "), DIGITS)
    native.close()
    with open_generator(tiny_adapter, tiny_settings("transformers"), cache_dir=cache_dir) as merged:
        theirs = merged.choose(requests_of("Score: "), DIGITS)

    plain = generator.choose(requests_of("Score: "), DIGITS)
    for mine, reference, base in zip(ours, theirs, plain, strict=True):
        # Merged weights are rounded to bf16 once more; the adapter moves far more than that.
        assert mine.probabilities == pytest.approx(reference.probabilities, abs=0.1)
        assert base.probabilities != pytest.approx(reference.probabilities, abs=0.2)
    assert held_bytes > 500_000_000
    assert not child.is_running()


# Unguarded on purpose: notebooks and scripts have no `if __name__ == "__main__"`.
SCRIPT = """
import os, sys, torch
from pathlib import Path
from humpback_pipeline.generation import GenerationRequest, open_generator
sys.path.insert(0, sys.argv[3])
from tiny_settings import tiny_settings
request = GenerationRequest("a", [{"role": "user", "content": "Hi"}], "Score: ")
before, threads = dict(os.environ), torch.set_num_threads
settings, cache_dir = tiny_settings("vllm", own_process=False), Path(sys.argv[2])
for _ in range(2):
    with open_generator(sys.argv[1], settings, cache_dir=cache_dir) as engine:
        print(*engine.choose([request], ("1", "2"))[0].probabilities)
left = {name: os.environ.get(name) for name in {*os.environ, *before}}
changed = {name for name, value in left.items() if value != before.get(name)}
assert not [name for name in changed if name in before or "VLLM" in name or name == "LD_PRELOAD"]
assert torch.set_num_threads is threads
"""


def test_engine_in_this_process_can_be_opened_twice_and_undoes_its_settings(
    tiny_model: Path, cache_dir: Path
) -> None:
    folder = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tiny_model), str(cache_dir), folder],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-3_000:]
    first, second = done.stdout.split("\n")[:2]
    assert first == second
    assert sum(map(float, first.split())) == pytest.approx(1.0)


ORPHAN_SCRIPT = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from tiny_settings import tiny_settings
from humpback_pipeline.generation import open_generator
settings = tiny_settings("vllm", own_process=True)
engine = open_generator(sys.argv[1], settings, cache_dir=Path(sys.argv[2]))
print(engine.pid, flush=True)
time.sleep(120)
"""


def test_engine_ends_when_its_killed_parent_cannot_close_it(
    tiny_model: Path, cache_dir: Path
) -> None:
    folder = str(Path(__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", ORPHAN_SCRIPT, str(tiny_model), str(cache_dir), folder],
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        engine = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        deadline = time.monotonic() + 15
        while engine.is_running() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not engine.is_running()


def test_start_that_fails_says_what_to_change(tiny_model: Path, cache_dir: Path) -> None:
    settings = tiny_settings("vllm", own_process=True, max_model_tokens=100_000)
    with pytest.raises(GenerationError, match=r"(?s)could not start on .*max_model_tokens"):
        open_generator(tiny_model, settings, cache_dir=cache_dir)


def child_of(generator: TextGenerator) -> psutil.Process:
    pid = generator.pid  # type: ignore[attr-defined]
    assert pid != os.getpid()
    return psutil.Process(pid)


def test_plain_text_is_continued_without_a_template_up_to_a_stop(
    vllm: TextGenerator, generator: TextGenerator
) -> None:
    plain = [replace(request, plain_text=True) for request in requests_of()]
    whole = vllm.generate(plain, GREEDY)
    reference = generator.generate(plain, GREEDY)
    # The tiny model's tokens are bytes: any character it wrote may be the one to stop at.
    stops = [next((c for c in answer.text if c.isascii()), "x") for answer in whole]

    stopped = vllm.generate(
        [replace(request, stop=(stop,)) for request, stop in zip(plain, stops, strict=True)], GREEDY
    )

    assert [a.n_prompt_tokens for a in whole] == [a.n_prompt_tokens for a in reference]
    assert whole[0].n_prompt_tokens < vllm.generate(requests_of(), GREEDY)[0].n_prompt_tokens
    for mine, all_of_it, stop in zip(stopped, whole, stops, strict=True):
        assert all_of_it.text.startswith(mine.text)
        if stop in all_of_it.text:
            assert mine.text == all_of_it.text.partition(stop)[0] + stop
            assert mine.finish_reason == "stop"
