"""Few-shot prompts: their text, which examples are shown, and where an output ends."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from endpoint_server import Server, settings_for
from hypothesis import given
from hypothesis import strategies as st

from humpback_pipeline.chat import PromptError
from humpback_pipeline.generation import (
    Generation,
    GenerationRequest,
    Ledger,
    TextGenerator,
    generate_all,
    open_generator,
)
from humpback_pipeline.generation.engine import ClosesOnExit
from humpback_pipeline.generation.few_shot import few_shot_answers, few_shot_responses
from humpback_pipeline.generation.few_shot_prompts import (
    Demonstration,
    choose_demonstrations,
    load_plain_prompts,
    shorten,
)
from humpback_pipeline.generation.fitting import PromptFitter
from humpback_pipeline.generation.respond import RESPONSE_COLUMNS
from humpback_pipeline.recipe_curation import SamplingRecipe

TEMPLATES = load_plain_prompts()
SEEDS = pl.DataFrame(
    {"instruction": [f"Ask {n}?" for n in range(9)], "output": [f"Say {n}." for n in range(9)]}
)
SAMPLING = SamplingRecipe(max_new_tokens=16)


@dataclass(frozen=True)
class Prompt:
    prompt_id: str
    instruction: str
    output: str = "reference"


class Scripted(ClosesOnExit):
    """Answers with the texts given, in a window of so many tokens."""

    name = "scripted"
    model_hash = "0"
    n_truncated = 0
    choose: Any = None
    likelihoods: Any = None

    def __init__(self, *answers: tuple[str, str], window: int = 0) -> None:
        self.answers = answers
        self.requests: list[GenerationRequest] = []
        self.identity: dict[str, str | int] = {"engine": "scripted", "max_model_tokens": window}

    def generate(
        self, requests: Sequence[GenerationRequest], sampling: SamplingRecipe
    ) -> list[Generation]:
        self.requests += requests
        return [
            Generation(request.request_id, text, ended, 10, 5, -1.0)
            for request, (text, ended) in zip(requests, self.answers, strict=True)
        ]


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    yield started
    started.stop()


def test_prompt_is_plain_text_with_the_same_examples_before_each_instruction() -> None:
    engine = Scripted(("1", "stop"), ("2", "stop"))

    frame = few_shot_responses(
        [Prompt("a", "Why?"), Prompt("b", "How?")],
        SEEDS,
        engine,
        SAMPLING,
        n_shots=2,
        templates=TEMPLATES,
        generator_name="base, 2 shots",
    )

    first, second = sorted(engine.requests, key=lambda request: request.request_id)
    text = first.messages[0]["content"]
    one, other, asked = text.split("\n\n")
    shown = [f"### Instruction:\nAsk {n}?\n### Response:\nSay {n}." for n in range(9)]
    assert one in shown
    assert other in shown
    assert one != other
    assert asked == "### Instruction:\nWhy?\n### Response:\n"
    assert second.messages[0]["content"] == text.replace("Why?", "How?")
    assert first.plain_text
    assert first.stop == ("\n### Instruction:",)
    assert dict(frame.schema) == RESPONSE_COLUMNS
    assert frame.row(1) == ("b", "How?", "2", "reference", "base, 2 shots", 5, "stop")


def test_output_ends_where_the_next_example_begins() -> None:
    engine = Scripted(
        (" Spring tide.\n\n### Instruction:\nName another", "length"),
        (" Spring tide\nis one", "length"),
        ("### Instruction:\nName one\n### Response:\nno", "stop"),
        (" The ### Instruction: stays.\n", "stop"),
    )
    prompts = [Prompt(str(n), "Name it.") for n in range(4)]

    answers = few_shot_answers(prompts, SEEDS, engine, SAMPLING, n_shots=1, templates=TEMPLATES)

    assert answers.frame.select("output", "finish_reason").rows() == [
        ("Spring tide.", "stop"),
        ("Spring tide\nis one", "length"),
        ("", "stop"),
        ("The ### Instruction: stays.", "stop"),
    ]
    assert answers.n_ended_by_marker == 2


@given(st.randoms(use_true_random=False), st.integers(0, 12))
def test_choice_of_examples_hangs_on_the_seed_and_not_on_the_order(
    chance: random.Random, n: int
) -> None:
    rows = SEEDS.rows()
    chance.shuffle(rows)
    shuffled = pl.DataFrame(rows, schema=SEEDS.schema, orient="row")

    chosen = choose_demonstrations(SEEDS, n, TEMPLATES, seed=3)

    assert choose_demonstrations(pl.concat([shuffled, SEEDS]), n, TEMPLATES, seed=3) == chosen
    assert len(chosen.shown) == min(n, 9)
    assert chosen.n_left_out == max(0, n - 9)
    assert chosen.n_shortened == 0
    assert choose_demonstrations(SEEDS, 4, TEMPLATES, seed=4).shown != chosen.shown


def test_example_that_holds_the_marker_is_never_shown() -> None:
    bad = pl.DataFrame({"instruction": ["Ask?"], "output": ["Say.\n### Instruction:\nno"]})

    assert choose_demonstrations(bad, 1, TEMPLATES).shown == ()


LONG = pl.DataFrame(
    {
        "instruction": [f"Ask {n}?" for n in range(4)],
        "output": [f"The output {n} of six words. " * (20 + 5 * n) for n in range(4)],
    }
)


@given(st.integers(0, 4_000))
def test_examples_fit_shortened_at_sentences_or_fewer(max_chars: int) -> None:
    chosen = choose_demonstrations(LONG, 4, TEMPLATES, max_chars=max_chars)

    assert len(chosen.shown) == 4 - chosen.n_left_out
    if chosen.shown:
        assert len(TEMPLATES.few_shot(chosen.shown, "")) <= max_chars
    assert all(one.output.endswith("words.") and len(one.output) >= 150 for one in chosen.shown)
    whole = {output.strip() for output in LONG["output"]}
    assert chosen.n_shortened == sum(one.output not in whole for one in chosen.shown)


def test_examples_are_fitted_into_the_engines_window() -> None:
    prompts = [Prompt("a", "Why? " * 20)]
    wide, narrow = Scripted(("x", "stop"), window=2_000), Scripted(("x", "stop"), window=600)

    answers = [
        few_shot_answers(prompts, LONG, engine, SAMPLING, n_shots=4, templates=TEMPLATES)
        for engine in (wide, narrow)
    ]

    assert [len(a.demonstrations.shown) for a in answers] == [4, 4]
    assert answers[0].demonstrations.n_shortened == 0
    assert answers[1].demonstrations.n_shortened == 4
    assert len(narrow.requests[0].messages[0]["content"]) <= 3 * (600 - 16)


@given(st.text(st.sampled_from("ab. \n?!"), max_size=80), st.integers(1, 60))
def test_shorten_only_takes_the_end_away(text: str, max_chars: int) -> None:
    shorter = shorten(text, max_chars)

    assert text.startswith(shorter)
    assert len(shorter) <= max_chars or shorter == text


def test_plain_text_is_read_without_a_chat_template_and_cut_where_it_may_be(
    tiny_model: Path,
) -> None:
    from humpback_pipeline.models import load_tokenizer

    tokenizer = load_tokenizer(tiny_model)
    fitter = PromptFitter(tokenizer, 200)
    text = TEMPLATES.few_shot([Demonstration("Ask?", "Say <|im_end|> it. " * 20)], "Why?")
    message: Any = {"role": "user", "content": text}

    short = fitter.fit(GenerationRequest("a", [{**message, "content": "Why?"}], plain_text=True), 9)
    cut = fitter.fit(
        GenerationRequest("b", [message], cuttable=("Say <|im_end|> it. " * 20,), plain_text=True),
        10,
    )

    assert short.token_ids == tokenizer("Why?")["input_ids"]
    assert not short.cut
    assert cut.cut
    assert len(cut.token_ids) <= 190
    read = tokenizer.decode(cut.token_ids)
    # The end of a turn that stands in somebody's text is words, as in any prompt.
    assert read.startswith("### Instruction:\nAsk?\n### Response:\nSay < |im_end|> it. Say")
    assert read.endswith("\n\n### Instruction:\nWhy?\n### Response:\n")


def test_real_engine_answers_each_prompt_once(generator: TextGenerator, tmp_path: Path) -> None:
    prompts = [Prompt("a", "Why?"), Prompt("b", "How so?")]

    def answer() -> pl.DataFrame:
        return few_shot_responses(
            prompts,
            SEEDS,
            generator,
            SAMPLING,
            n_shots=2,
            templates=TEMPLATES,
            ledger=Ledger(tmp_path / "few.jsonl"),
        )

    first = answer()

    assert first["n_tokens"].min() >= 1  # type: ignore[operator]
    assert len(Ledger(tmp_path / "few.jsonl").read()) == 2
    # Sampled anew they would differ: the second time, both come from the ledger.
    assert answer().equals(first)


def test_plain_text_and_its_stops_have_answers_of_their_own_in_the_ledger(tmp_path: Path) -> None:
    messages: Any = [{"role": "user", "content": "Why?"}]
    asked = [
        GenerationRequest("a", messages),
        GenerationRequest("a", messages, plain_text=True),
        GenerationRequest("a", messages, plain_text=True, stop=("\n",)),
    ]
    engine = Scripted(("1", "stop"), ("2", "stop"), ("3", "stop"))

    answers = generate_all(asked, engine, SAMPLING, ledger=Ledger(tmp_path / "l.jsonl"))

    assert [answer.text for answer in answers] == ["1", "2", "3"]


def test_endpoint_completes_plain_text_up_to_the_stop(server: Server) -> None:
    server.reply = lambda path, body: (
        200,
        {"choices": [{"text": " Spring tide.\n### Instruction:", "finish_reason": "stop"}]},
    )
    with open_generator("tiny", settings_for(server.base_url)) as engine:
        answers = few_shot_answers(
            [Prompt("a", "Name it.")], SEEDS, engine, SAMPLING, n_shots=1, templates=TEMPLATES
        )

    assert answers.frame["output"].to_list() == ["Spring tide."]
    assert answers.n_ended_by_marker == 1
    assert server.paths == ["/v1/completions"]
    body = server.bodies[0]
    assert body["prompt"].endswith("### Instruction:\nName it.\n### Response:\n")
    assert body["stop"] == ["\n### Instruction:"]
    assert body["max_tokens"] == 16
    assert not {"messages", "logprobs"} & body.keys()


@pytest.mark.parametrize(
    ("few_shot", "tasks", "told"),
    [
        ("Q: {instruction}", "{tasks}", "output"),
        ("Q: {instruction}\nA: {output}\nEnd", "{tasks}", "one example"),
        ("{instruction}\nA: {output}", "{tasks}", "one example"),
        ("Q: {instruction}\n\n{output}", "{tasks}", "one example"),
        ("A: {output}\nQ: {instruction}", "{tasks}", "one example"),
        ("Q: {instruction}\nor {instruction}\nA: {output}", "{tasks}", "once each"),
        ("Q: {instruction}\nA: {output}", "Tasks:", "tasks"),
        ("Q: {instruction}\nA: {output}", "{tasks}\nEnd", "at the end"),
    ],
)
def test_prompt_file_without_what_it_must_hold_is_refused(
    few_shot: str, tasks: str, told: str, tmp_path: Path
) -> None:
    files = tmp_path / "few.txt", tmp_path / "tasks.txt"
    for path, text in zip(files, (few_shot, tasks), strict=True):
        path.write_text(text)

    with pytest.raises(PromptError, match=told):
        load_plain_prompts(*files)


def test_prompt_files_of_ones_own_are_used(tmp_path: Path) -> None:
    path = tmp_path / "few.txt"
    path.write_text("Q: {instruction}\nA: {output}\n")

    own = load_plain_prompts(path)

    assert (
        own.few_shot([Demonstration("Ask?", "Say.")], "Why?") == "Q: Ask?\nA: Say.\n\nQ: Why?\nA:"
    )
    assert own.marker == "\nQ:"
    assert own.hashes()["few_shot"] != TEMPLATES.hashes()["few_shot"]
    assert own.hashes()["self_instruct"] == TEMPLATES.hashes()["self_instruct"]
    with pytest.raises(PromptError, match="no such prompt file"):
        load_plain_prompts(tmp_path / "missing.txt")
