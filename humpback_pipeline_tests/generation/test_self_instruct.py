"""Self-Instruct with scripted models: what is asked, kept and dropped, and how a run resumes."""

from __future__ import annotations

import hashlib
import logging
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from humpback_pipeline.generation import Generation, GenerationRequest
from humpback_pipeline.generation.engine import ClosesOnExit
from humpback_pipeline.generation.few_shot_prompts import load_plain_prompts
from humpback_pipeline.generation.self_instruct import SelfInstructResult, self_instruct
from humpback_pipeline.generation.self_instruct_filters import (
    output_problem,
    parse_tasks,
    task_problem,
)
from humpback_pipeline.generation.self_instruct_similarity import InstructionPool, rouge_l
from humpback_pipeline.progress import Progress
from humpback_pipeline.recipe_curation import SamplingRecipe
from humpback_pipeline.recipe_self_instruct import SelfInstructSettings

VERBS = ("Describe", "Explain", "Compare", "Summarise", "Translate", "Criticise", "Rank")
NOUNS = tuple(f"{kind}{n}" for kind in ("tide", "violin", "glacier") for n in range(5))
ENDS = ("for children", "in verse", "with doubts")
PROMPTS = load_plain_prompts()
SEEDS = pl.DataFrame(
    [(f"How would seed {n}\nhelp with number{n}?", f"Seed output {n}.") for n in range(12)],
    schema={"instruction": pl.String, "output": pl.String},
    orient="row",
)


class KilledError(Exception):
    pass


class Scripted(ClosesOnExit):
    """Answers each request by `answer`, as often as `life` allows, then dies."""

    name = "scripted"
    model_hash = "0"
    n_truncated = 0
    choose: Any = None
    likelihoods: Any = None

    def __init__(
        self, answer: Callable[[GenerationRequest], tuple[str, str]], life: int = 100_000
    ) -> None:
        self.answer, self.life = answer, life
        self.asked: list[GenerationRequest] = []
        self.identity: dict[str, str | int] = {"engine": "scripted"}

    def generate(
        self, requests: Sequence[GenerationRequest], sampling: SamplingRecipe
    ) -> list[Generation]:
        if len(self.asked) >= self.life:
            raise KilledError
        self.asked += requests
        answers = [(request, *self.answer(request)) for request in requests]
        return [Generation(r.request_id, text, ended, 10, 5, -1.0) for r, text, ended in answers]

    @property
    def task_prompts(self) -> list[str]:
        return [prompt for prompt in map(prompt_of, self.asked) if is_list(prompt)]


def prompt_of(request: GenerationRequest) -> str:
    return request.messages[0]["content"]


def is_list(prompt: str) -> bool:
    return prompt.startswith("Come up with")


def lively(request: GenerationRequest) -> tuple[str, str]:
    """Four tasks a prompt, of which some are no use, and outputs, of which some are none either."""
    prompt = prompt_of(request)
    chance = random.Random(hashlib.sha256(prompt.encode()).digest())
    if not is_list(prompt):
        asked = prompt.rpartition("Instruction:\n")[2].removesuffix("\n### Response:\n")
        kind = chance.random()
        if kind < 0.1:
            return "", "stop"
        if kind < 0.2:
            return asked, "stop"
        if kind < 0.3:
            return f"On {asked} and on", "length"
        return f"Answer to {asked}\n\n### Instruction:\nAnd another one", "stop"
    number = int(prompt.rpartition("\n")[2].removesuffix("."))
    tasks = [
        " ".join([chance.choice(VERBS), *chance.sample(NOUNS, 3), chance.choice(ENDS)])
        for _ in range(4)
    ]
    if chance.random() < 0.3:
        tasks[1] = "Draw a picture of it for me."
    listed = [f" {tasks[0]}", *(f"{number + n}. {task}" for n, task in enumerate(tasks) if n)]
    return "\n".join(listed), "length" if chance.random() < 0.3 else "stop"


def run(
    engine: Scripted,
    folder: Path,
    on_progress: Any = lambda _: None,
    seeds: pl.DataFrame = SEEDS,
    **fields: Any,
) -> SelfInstructResult:
    chosen = {"n_pairs": 25, "prompts_per_round": 4, **fields}
    return self_instruct(
        seeds,
        engine,
        SelfInstructSettings(**chosen),
        prompts=PROMPTS,
        ledger_folder=folder,
        chunk_size=4,
        on_progress=on_progress,
    )


def test_pairs_are_new_and_unlike_and_all_else_is_counted(tmp_path: Path) -> None:
    engine = Scripted(lively)

    result = run(engine, tmp_path)

    assert result.pairs.columns == ["pair_id", "instruction", "output"]
    assert result.pairs.height == 25
    assert result.stop_reason == "all 25 pairs made"
    assert result.pairs["pair_id"].n_unique() == 25
    texts = [*SEEDS["instruction"], *result.pairs["instruction"]]
    for n, text in enumerate(texts[len(SEEDS) :], len(SEEDS)):
        assert max(rouge_l(text, other) for other in texts[:n]) < 0.7
    assert all(
        row["output"] == f"Answer to {row['instruction']}" for row in result.pairs.to_dicts()
    )
    assert {"similar_to_pool", "unsuitable_word", "cut_task", "empty_output", "cut_output"} <= (
        result.dropped.keys()
    )
    # Four tasks were written after each prompt, and each of them is somewhere.
    assert 4 * result.n_prompts == 25 + sum(result.dropped.values())
    assert result.dropped_rows.height == sum(result.dropped.values())
    assert set(result.dropped_rows["round"]) <= set(range(1, result.n_rounds + 1))


def test_lists_show_seeds_first_and_later_some_generated_tasks(tmp_path: Path) -> None:
    engine = Scripted(lively)

    result = run(engine, tmp_path)

    seeds = {" ".join(instruction.split()) for instruction in SEEDS["instruction"]}
    made = set(result.pairs["instruction"])
    n_generated = []
    for prompt in engine.task_prompts:
        header, _, listed = prompt.partition("\n\n")
        *lines, last = listed.split("\n")
        assert header == "Come up with a series of tasks:"
        assert [line.partition(". ")[0] for line in lines] == [str(n) for n in range(1, 9)]
        assert last == "9."
        tasks = [line.partition(". ")[2] for line in lines]
        assert len(set(tasks)) == 8
        n_generated.append(sum(task in made for task in tasks))
        assert all(task in seeds or task in made for task in tasks)
    assert n_generated[:4] == [0] * 4
    assert set(n_generated[4:]) == {2}
    assert len(set(engine.task_prompts)) == len(engine.task_prompts)
    for request in engine.asked:
        assert request.plain_text
        ends_list = is_list(prompt_of(request))
        assert request.stop == (("\n\n", "\n17.") if ends_list else ("\n### Instruction:",))


def test_same_seed_gives_the_same_pairs_and_another_seed_others(tmp_path: Path) -> None:
    first = run(Scripted(lively), tmp_path / "a")

    assert run(Scripted(lively), tmp_path / "b").pairs.equals(first.pairs)
    shuffled = SEEDS.sample(fraction=1.0, shuffle=True, seed=1)
    assert run(Scripted(lively), tmp_path / "d", seeds=shuffled).pairs.equals(first.pairs)
    assert not run(Scripted(lively), tmp_path / "c", seed=1).pairs.equals(first.pairs)


@settings(max_examples=6, deadline=None)
@given(lives=st.lists(st.integers(1, 40), max_size=5))
def test_killed_runs_end_with_the_pairs_of_an_unkilled_one(
    tmp_path_factory: pytest.TempPathFactory, lives: list[int]
) -> None:
    whole_engine = Scripted(lively)
    whole = run(whole_engine, tmp_path_factory.mktemp("whole"), n_pairs=12)
    folder = tmp_path_factory.mktemp("killed")
    asked: list[str] = []
    n_kills = 0
    for life in [*lives, 100_000]:
        engine = Scripted(lively, life)
        try:
            result = run(engine, folder, n_pairs=12)
        except KilledError:
            n_kills += 1
        asked += map(prompt_of, engine.asked)

    assert result.pairs.equals(whole.pairs)
    assert result.dropped_rows.equals(whole.dropped_rows)
    assert result.n_rounds == whole.n_rounds
    # Whoever was killed had saved all that was answered: nothing is asked twice.
    assert sorted(asked) == sorted(map(prompt_of, whole_engine.asked))
    assert n_kills <= len(lives)


def test_finished_run_is_given_again_without_asking(tmp_path: Path) -> None:
    first = run(Scripted(lively), tmp_path)
    again = Scripted(lively, life=0)

    assert run(again, tmp_path).pairs.equals(first.pairs)
    assert again.asked == []


def test_other_settings_are_not_answered_from_the_old_ledgers(tmp_path: Path) -> None:
    run(Scripted(lively), tmp_path)
    engine = Scripted(lively)

    run(engine, tmp_path, sampling=SamplingRecipe(temperature=0.3))

    assert engine.task_prompts


def test_pool_that_does_not_grow_ends_the_work_with_the_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def stuck(request: GenerationRequest) -> tuple[str, str]:
        if is_list(prompt_of(request)):
            return " Describe the tides of the sea.", "stop"
        return "They come and go.", "stop"

    caplog.set_level(logging.WARNING)

    result = run(Scripted(stuck), tmp_path, max_barren_rounds=2)

    assert result.pairs["instruction"].to_list() == ["Describe the tides of the sea."]
    assert result.n_rounds == 3
    assert result.stop_reason.startswith("1 of 25 pairs made: the last 2 round(s) brought no new")
    assert result.dropped == {"similar_to_pool": 11}
    assert "1 of 25 pairs made" in caplog.text


def test_model_that_writes_nothing_gives_an_empty_table(tmp_path: Path) -> None:
    result = run(Scripted(lambda _: ("\n\n", "stop")), tmp_path)

    assert result.pairs.is_empty()
    assert result.pairs.schema["output"] == pl.String
    assert result.dropped == {"no_task": 12}


def test_rounds_are_bounded(tmp_path: Path) -> None:
    result = run(Scripted(lively), tmp_path, n_pairs=1_000, max_rounds=2)

    assert result.n_rounds == 2
    assert result.n_prompts == 8
    assert result.stop_reason.endswith("in 2 round(s), which is max_rounds")


def test_more_tasks_than_needed_are_surplus_and_not_answered(tmp_path: Path) -> None:
    engine = Scripted(lively)

    result = run(engine, tmp_path, n_pairs=1, prompts_per_round=32)

    assert result.pairs.height == 1
    assert result.n_prompts == 4
    assert result.dropped["surplus"] >= 1


def test_refused_requests_are_counted(tmp_path: Path) -> None:
    result = run(Scripted(lambda _: ("", "refused")), tmp_path, max_barren_rounds=1)

    assert result.dropped == {"bad_request": 4}


def test_progress_tells_pairs_rate_and_time_left(tmp_path: Path) -> None:
    told: list[Progress] = []

    run(Scripted(lively), tmp_path, on_progress=told.append)

    overall = [line for line in told if line.stage == "self-instruct"]
    assert overall[-1].done == overall[-1].total == 25
    assert overall[0].total == 25
    assert "ETA" in str(overall[0])
    assert any(line.stage == "self-instruct, round 1: tasks" for line in told)


def test_seeds_too_long_to_show_are_left_out_and_without_any_it_is_an_error(tmp_path: Path) -> None:
    long = pl.DataFrame({"instruction": ["word " * 200], "output": ["x"]})
    chosen = SelfInstructSettings(n_pairs=2)

    def make(seeds: pl.DataFrame, engine: Scripted) -> SelfInstructResult:
        return self_instruct(seeds, engine, chosen, prompts=PROMPTS, ledger_folder=tmp_path)

    engine = Scripted(lively)
    make(pl.concat([SEEDS, long]), engine)
    assert not any("word word" in prompt for prompt in engine.task_prompts)
    with pytest.raises(ValueError, match="none of the 1 seed instructions has 150 words"):
        make(long, Scripted(lively))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"n_demonstrations": 8, "last_task_number": 8}, "last_task_number"),
        ({"n_demonstrations": 1}, "n_generated_demonstrations"),
        ({"min_words": 9, "max_words": 8}, "max_words"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(fields: dict[str, int], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        SelfInstructSettings(**fields)


ONE_LINE = st.text(st.sampled_from("abc äß,.?!()'-1 "), min_size=1).map(
    lambda text: " ".join(f"x{text}x".split())
)


@given(tasks=st.lists(ONE_LINE, min_size=1, max_size=8), mark=st.sampled_from([".", " .", ")"]))
def test_listed_tasks_are_parsed_back(tasks: list[str], mark: str) -> None:
    text = "\n".join([tasks[0], *(f"{9 + n}{mark} {task}" for n, task in enumerate(tasks) if n)])
    expected = [task[:1].upper() + task[1:] for task in tasks]

    assert parse_tasks(text, 9, 16, is_cut=False) == (expected, "")
    assert parse_tasks(f"9{mark} {text}", 9, 16, is_cut=False) == (expected, "")
    assert parse_tasks(f"{text}\n17. Beyond it", 9, 16, is_cut=True) == (expected, "")
    assert parse_tasks(f"{text}\n\nNow the answers.", 9, 16, is_cut=True) == (expected, "")
    assert parse_tasks(text, 9, 16, is_cut=True) == (expected[:-1], expected[-1])


@given(st.text(st.sampled_from("ab 179.)\n\"'")), st.integers(1, 20), st.integers(0, 20))
def test_any_text_is_parsed_into_single_lines(text: str, first: int, more: int) -> None:
    whole = parse_tasks(text, first, first + more, is_cut=False)
    cut = parse_tasks(text, first, first + more, is_cut=True)

    assert all(task and task == " ".join(task.split()) for task in whole.tasks)
    assert whole.unfinished == ""
    assert [*cut.tasks, *filter(None, [cut.unfinished])] == whole.tasks
    assert len(whole.tasks) <= more + 1


def test_numbered_list_inside_a_task_stays_in_it() -> None:
    text = "Sort these by size:\n1. the moon\n2. the sun\n10. Name a tide."

    assert parse_tasks(text, 9, 16, is_cut=False).tasks == [
        "Sort these by size: 1. the moon 2. the sun",
        "Name a tide.",
    ]


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ("Name three tides", "too_short"),
        ("Name three spring tides.", ""),
        ("word " * 151, "too_long"),
        ("word " * 150, ""),
        ("Describe this Picture in detail.", "unsuitable_word"),
        ("Describe a picturesque village by the sea.", ""),
        ("Please go to the shop for me.", "unsuitable_word"),
        ("Write a program that adds numbers.", "write_a_program"),
        ("- describe the tides of a sea", "starts_with_punctuation"),
        ("Émile asks what tides are.", "not_english_letters"),
        ("A: перевести это на английский язык", "not_english_letters"),
        ("Translate 'über' to English now.", ""),
    ],
)
def test_task_problem(task: str, reason: str) -> None:
    assert task_problem(task, SelfInstructSettings()) == reason


@pytest.mark.parametrize(
    ("output", "ended", "reason"),
    [
        ("They come and go.", "stop", ""),
        ("They come and", "length", "cut_output"),
        ("…", "stop", "empty_output"),
        ("…", "length", "empty_output"),
        ("They come.\n# Task\n## Response:\nIt goes.", "stop", "prompt_leakage"),
        ("They come.\n**Instruction:** Explain ebb.", "stop", "prompt_leakage"),
        ("The Response: it comes.\nInstructions: none", "stop", ""),
        ("explain the tides", "stop", "output_is_instruction"),
        ("Known  output!", "stop", "repeated_output"),
        ("The sea is wide and the sea is deep. " * 8, "stop", "looping_output"),
        (" ".join(map(str, range(300))), "stop", ""),
        ("", "refused", "bad_request"),
    ],
)
def test_output_problem(output: str, ended: str, reason: str) -> None:
    known = {"known output"}

    assert output_problem("Explain the tides.", output, ended, known, PROMPTS.labels) == reason


WORDS = st.lists(st.sampled_from("abcd"), max_size=9)


@given(WORDS, WORDS)
def test_rouge_l_is_the_f_measure_of_the_longest_common_subsequence(
    one: list[str], other: list[str]
) -> None:
    lengths = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            best = max(lengths[i][j + 1], lengths[i + 1][j])
            lengths[i + 1][j + 1] = lengths[i][j] + 1 if a == b else best
    lcs = lengths[-1][-1]
    expected = 1.0
    if one and other:
        precision, recall = lcs / len(one), lcs / len(other)
        expected = 2 * precision * recall / (precision + recall) if lcs else 0.0
    elif one or other:
        expected = 0.0

    found = rouge_l(" ".join(one), ", ".join(other).upper())

    assert found == pytest.approx(expected)


def test_pool_holds_what_is_exactly_as_alike_as_the_bound() -> None:
    pool = InstructionPool(["a b c d e f g x y z"])

    assert pool.holds_like("A b, c d e f g 1 2 3", 0.7)  # seven of ten words
    assert not pool.holds_like("a b c d e f 1 2 3 4", 0.7)
    pool.add("a b c d e f 1 2 3 4")
    assert len(pool) == 2
    assert pool.holds_like("a b c d e f 1 2 3 4", 1.0)
    assert not InstructionPool().holds_like("anything", 0.1)
