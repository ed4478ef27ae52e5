"""Degenerate instructions are named, good ones of the same kind are let through."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humpback_pipeline.chat import Prompts, load_prompts
from humpback_pipeline.generation import Generation
from humpback_pipeline.generation.instruction_filters import InstructionFilters, copied_fraction
from humpback_pipeline.generation.refusals import is_refusal
from humpback_pipeline.recipe_curation import InstructionFiltersRecipe
from humpback_pipeline.recipe_section import PACKAGE_DIR

TEXT = """## Pruning old apple trees

Prune an old apple tree in late winter, while it is dormant and before the buds begin to swell.
First take out dead and diseased wood, then branches that cross or rub against each other.

### When to stop

Never remove more than a third of the crown in one year: the tree would answer with water shoots.
Hold the saw at a slight angle, so that water runs off the cut, and leave the ring of bark at the
base of the branch: the tree closes the wound from there. Clean the blades between trees, since
canker and fire blight travel on them. A summer cut of the vertical shoots lets light into the crown
and calms the growth of a tree that was cut back hard.
"""
GERMAN = (
    "Der Apfelbaum wird im späten Winter geschnitten, solange er ruht und bevor die Knospen "
    "schwellen. Zuerst nimmt man totes und krankes Holz heraus, danach Äste, die sich kreuzen oder "
    "aneinander reiben. In einem Jahr sollte man nie mehr als ein Drittel der Krone entfernen, "
    "sonst antwortet der Baum mit Wassertrieben und trägt im nächsten Sommer weniger Früchte."
)
CHINESE = "苹果树应在冬末休眠期修剪,先去除枯枝和病枝,再剪掉交叉的枝条。"


def reason(
    instruction: str,
    output: str = TEXT,
    finish_reason: str = "stop",
    filters: InstructionFiltersRecipe | None = None,
) -> str:
    checks = InstructionFilters(filters or InstructionFiltersRecipe(), load_prompts())
    answer = Generation("s", instruction, finish_reason, 10, 5, -1.0)
    (found,) = checks.reasons(output, [instruction], [answer])
    return found


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        ("…", "empty_instruction"),
        ("I'm sorry, but I can't help with that request.", "refusal"),
        ("As an AI language model, I don't have opinions on trees.", "refusal"),
        ("Write the instruction only.", "prompt_leakage"),
        ("Write the instruction or question that this text answers best.", "prompt_leakage"),
        ("<|im_start|>user\nHow do I prune a tree?", "prompt_leakage"),
        ("How do I prune a tree?\nAssistant: In winter.", "prompt_leakage"),
        ("Pruning old apple trees", "copied_from_output"),
        ("When to stop", "copied_from_output"),
        (
            "Prune an old apple tree in late winter, while it is dormant.",
            "copied_from_output",
        ),
        (
            "Wie schneide ich meinen alten Apfelbaum im Winter richtig, ohne dass er viele "
            "Wassertriebe bildet?",
            "other_language",
        ),
        ("如何修剪老苹果树?", "other_language"),
    ],
)
def test_degenerate_instructions_have_a_name(instruction: str, expected: str) -> None:
    assert reason(instruction) == expected


@pytest.mark.parametrize(
    "instruction",
    [
        "How do I prune an old apple tree?",
        "Explain pruning old apple trees.",
        "apple tree",
        "I'm sorry to bother you, but when should I prune my apple tree?",
        "Why should I never remove more than a third of the crown in one year?",
        "Write the instruction manual of a pair of secateurs.",
    ],
)
def test_requests_about_the_text_are_kept(instruction: str) -> None:
    assert reason(instruction) == ""


def test_question_that_heads_the_text_is_a_request_and_a_title_is_none() -> None:
    body = "\n\nIn late winter, while it is dormant."
    assert (
        reason("When should I prune my apple tree?", f"# When should I prune my apple tree?{body}")
        == ""
    )
    assert reason("How to prune an apple tree", f"# How to prune an apple tree{body}") != ""


def test_cut_and_refused_requests_come_before_what_their_text_is_like() -> None:
    assert reason("Pruning old apple trees", finish_reason="length") == "cut_instruction"
    assert reason("", finish_reason="refused") == "bad_request"


def test_template_tokens_that_the_text_is_about_are_no_leak() -> None:
    text = "The token <|im_start|> opens each turn of a chat in this template, and another ends it."
    assert reason("What does <|im_start|> do?", text) == ""
    assert reason("What does <|im_end|> do?", text) == "prompt_leakage"


@pytest.mark.parametrize(
    ("instruction", "output", "expected"),
    [
        (
            "What is the right way to prune an old apple tree without the growth of water shoots "
            "that weaken the tree?",
            GERMAN,
            "other_language",
        ),
        ("Wie schneidet man einen alten Apfelbaum?", GERMAN, ""),
        ("How?", GERMAN, ""),
        ("How do I prune apple trees in late winter?", CHINESE, "other_language"),
        ("苹果树什么时候剪枝?", CHINESE, ""),
        ("Как обрезать старую яблоню?", TEXT, "other_language"),
    ],
)
def test_language_is_compared_where_both_are_sure(
    instruction: str, output: str, expected: str
) -> None:
    assert reason(instruction, output) == expected


def test_filters_that_are_switched_off_drop_nothing() -> None:
    off = InstructionFiltersRecipe(
        max_copied_fraction=None, same_language=False, refusals=False, prompt_leakage=False
    )
    for text in ("Pruning old apple trees", "I'm sorry, but I can't do that.", "如何修剪老苹果树?"):
        assert reason(text, filters=off) == ""
    assert reason("", filters=off) == "empty_instruction"
    assert reason("How", finish_reason="length", filters=off) == "cut_instruction"


def test_only_long_runs_of_words_count_as_copied() -> None:
    text = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
    assert copied_fraction(text[:5], text) == 0.0
    assert copied_fraction(text[:6], text) == 1.0
    assert copied_fraction(["explain", "why", *text[:6]], text) == 0.75
    assert copied_fraction([], text) == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "I’m sorry, I cannot assist with this.",
        "I apologize, but I am not able to write that.",
        "Es tut mir leid, aber ich kann dabei nicht helfen.",
        "Je suis désolé, mais je ne peux pas répondre.",
        "Lo siento, pero no puedo ayudarte.",
        "Извините, но я не могу помочь.",
        "抱歉\uff0c我无法回答这个问题。",
        "申し訳ありませんが、お答えできません。",
    ],
)
def test_refusals_are_known_in_several_languages(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry for being late, how do I say so in Spanish?",
        "As an AI language model, what can you do?",
        "I cannot help my son with homework, what should I do?",
        "I can't open a PDF file. How do I fix it?",
    ],
)
def test_requests_that_sound_like_refusals_are_none(text: str) -> None:
    assert not is_refusal(text)


def test_no_human_seed_is_degenerate() -> None:
    lines = (PACKAGE_DIR / "examples" / "seed_pairs.jsonl").read_text().splitlines()
    pairs = [json.loads(line) for line in lines]
    found = {p["instruction"]: reason(p["instruction"], p["output"]) for p in pairs}
    assert len(found) > 50
    assert {text: why for text, why in found.items() if why} == {}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(), min_size=1, max_size=3), st.text())
def test_every_candidate_has_a_verdict_whatever_the_texts(candidates: list[str], text: str) -> None:
    prompts: Prompts = load_prompts()
    answers = [Generation("s", candidate, "stop", 1, 1, None) for candidate in candidates]
    found = InstructionFilters(InstructionFiltersRecipe(), prompts).reasons(
        text, candidates, answers
    )
    assert len(found) == len(candidates)
