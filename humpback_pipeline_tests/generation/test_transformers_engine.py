"""The transformers engine, on a real model: order, padding, log-probabilities, seeds."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_settings import tiny_settings

from humpback_pipeline.chat import render_prompt
from humpback_pipeline.curation import expected_rating
from humpback_pipeline.generation import (
    GenerationError,
    GenerationRequest,
    TextGenerator,
    open_generator,
)
from humpback_pipeline.generation.probabilities import normalise_choices
from humpback_pipeline.generation.transformers_engine import TransformersGenerator
from humpback_pipeline.generation.transformers_sampling import sample
from humpback_pipeline.models import load_causal_lm, load_tokenizer
from humpback_pipeline.recipe_curation import SamplingRecipe

SAMPLING = SamplingRecipe(temperature=0.7, top_p=0.9, max_new_tokens=12)
GREEDY = SamplingRecipe(temperature=0.0, max_new_tokens=12)
DIGITS = ("1", "2", "3", "4", "5")


def requests_of(*texts: str, prefix: str = "") -> list[GenerationRequest]:
    return [
        GenerationRequest(f"r{n}", [{"role": "user", "content": text}], prefix)
        for n, text in enumerate(texts)
    ]


REQUESTS = requests_of("Hi", "How do the tides of the sea work, and why twice a day?", "Name it.")


def test_answers_keep_their_order_and_do_not_depend_on_the_batch(generator: TextGenerator) -> None:
    together = generator.generate(REQUESTS, GREEDY)
    alone = [generator.generate([request], GREEDY)[0] for request in REQUESTS]

    assert [answer.request_id for answer in together] == ["r0", "r1", "r2"]
    assert [answer.text for answer in together] == [answer.text for answer in alone]
    assert [a.n_prompt_tokens for a in together] == [a.n_prompt_tokens for a in alone]


def test_logprobs_are_the_models_own_even_when_sampling(tiny_model: Path, cache_dir: Path) -> None:
    import torch

    model, tokenizer = load_causal_lm(tiny_model, device="cpu"), load_tokenizer(tiny_model)
    settings = tiny_settings("transformers")
    # The batch is asked below its public face: bytes that are no text cannot be told from it.
    engine = TransformersGenerator(tiny_model, settings, cache_dir=cache_dir)
    prompts = [render_prompt(tokenizer, request.messages) for request in REQUESTS]
    answers = sample(model, tokenizer, engine._padded(prompts), SAMPLING)

    for prompt, (ids, logprobs, ended) in zip(prompts, answers, strict=True):
        with torch.inference_mode():
            logits = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1].float()
        expected = logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None])[:, 0]
        assert logprobs == pytest.approx(expected.tolist(), abs=0.15)
        assert (ids[-1] == tokenizer.eos_token_id) is ended
        assert ended or len(ids) == SAMPLING.max_new_tokens


def test_answer_cut_at_the_limit_says_so(generator: TextGenerator) -> None:
    answers = generator.generate(requests_of(*"abcdefgh"), SamplingRecipe(max_new_tokens=3))

    assert all(answer.n_tokens <= 3 for answer in answers)
    assert {a.finish_reason for a in answers if a.n_tokens < 3} <= {"stop"}
    assert "length" in {a.finish_reason for a in answers}


def test_choose_equals_the_models_softmax_over_the_choices(
    generator: TextGenerator, tiny_model: Path
) -> None:
    import torch

    requests = requests_of("Rate this.", "Rate that answer, which is longer.", prefix="Score: ")
    chosen = generator.choose(requests, DIGITS)
    tokenizer, model = load_tokenizer(tiny_model), load_causal_lm(tiny_model, device="cpu")
    digits = [tokenizer.convert_tokens_to_ids(digit) for digit in DIGITS]
    for request, answer in zip(requests, chosen, strict=True):
        prompt = render_prompt(tokenizer, request.messages, "Score: ")
        with torch.inference_mode():
            logits = model(torch.tensor([prompt])).logits[0, -1].float()
        expected = logits[digits].softmax(-1).tolist()
        assert answer.probabilities == pytest.approx(expected, abs=0.03)
        assert answer.mass == pytest.approx(float(logits.softmax(-1)[digits].sum()), abs=0.03)


def test_same_seed_gives_the_same_samples_and_leaves_torch_alone(
    tiny_model: Path, cache_dir: Path
) -> None:
    import torch

    samples = []
    torch.manual_seed(5)
    untouched = torch.rand(1)
    torch.manual_seed(5)
    for _ in range(2):
        with open_generator(
            tiny_model, tiny_settings("transformers"), cache_dir=cache_dir
        ) as opened:
            samples.append([a.text for a in opened.generate(REQUESTS, SAMPLING)])
    assert samples[0] == samples[1]
    assert torch.equal(torch.rand(1), untouched)


def test_adapter_is_served_merged(tiny_model: Path, tiny_adapter: Path, cache_dir: Path) -> None:
    settings = tiny_settings("transformers")
    requests = requests_of("Rate this.", prefix="Score: ")
    with (
        open_generator(tiny_model, settings, cache_dir=cache_dir) as base,
        open_generator(tiny_adapter, settings, cache_dir=cache_dir) as adapted,
    ):
        plain, changed = base.choose(requests, DIGITS)[0], adapted.choose(requests, DIGITS)[0]

    assert base.model_hash != adapted.model_hash
    assert plain.probabilities != pytest.approx(changed.probabilities, abs=0.01)


def test_closed_engine_refuses(tiny_model: Path, cache_dir: Path) -> None:
    with open_generator(tiny_model, tiny_settings("transformers"), cache_dir=cache_dir) as opened:
        pass
    with pytest.raises(GenerationError, match="closed"):
        opened.generate(REQUESTS, GREEDY)


logprobs = st.lists(
    st.floats(max_value=0.0) | st.sampled_from([math.nan, -math.inf]), min_size=5, max_size=5
)


@given(logprobs)
def test_expected_rating_is_in_range_for_any_logprobs(values: list[float]) -> None:
    answer = normalise_choices("a", values)

    assert math.fsum(answer.probabilities) == pytest.approx(1.0)
    assert 0.0 <= answer.mass <= 1.0
    assert 1.0 <= expected_rating(answer.probabilities) <= 5.0
    best = (
        max((v, -n) for n, v in enumerate(values) if not math.isnan(v))
        if any(v > -math.inf for v in values)
        else None
    )
    assert best is None or answer.probabilities[-best[1]] == max(answer.probabilities)
