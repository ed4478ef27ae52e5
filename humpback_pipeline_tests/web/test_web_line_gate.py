"""Many expressions tried against a line give what all of them together would."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from humpback_pipeline.web import line_patterns
from humpback_pipeline.web.line_gate import LineExpressions

EXPRESSIONS = (
    r"(?:ab|ca)?b",
    r"a(?!b)|(?=.*c)b.*|[|)(]a",
    r"\(a\|b\)|\d+ a",
    r"(?-i:[A-C])b(?:c{2,3}|a?)",
    r"[^a]bc|.{0,3}\bbca\b",
    r"sign ?up[.!]?|[€$] ?\d",
    r"(?<!a)ca+(?<=aa)|\w{2,3}…",
)
JOINED = re.compile("|".join(f"(?:{expression})" for expression in EXPRESSIONS), re.IGNORECASE)
PAGE_EXPRESSIONS = line_patterns._EXPRESSIONS["line"] + line_patterns._EXPRESSIONS["promotion"]


@settings(max_examples=500, deadline=None)
@given(st.text("abcABC 13٣|()€…", max_size=6))
@example("sıgn up")
@example("SİGN UP!")
@example("ſign up")
@example("٣ a")
@example("")
def test_matches_agrees_with_one_joined_expression(line) -> None:
    assert LineExpressions(EXPRESSIONS).matches(line) is bool(JOINED.fullmatch(line))


def test_matches_of_each_expression_alone_agrees_with_it() -> None:
    lines = [f"{a}{b}{c}" for a in ("", "a", "B", "3") for b in ("b", "ca", "…") for c in ("", "C")]
    for expression in EXPRESSIONS:
        alone = LineExpressions([expression])
        for line in lines:
            assert alone.matches(line) is bool(re.fullmatch(expression, line, re.IGNORECASE))


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(st.data())
def test_matches_finds_every_line_that_an_expression_of_ours_describes(data) -> None:
    # Look-arounds hinder the making of lines; what is left of an expression makes enough of them.
    expression = data.draw(st.sampled_from([e for e in PAGE_EXPRESSIONS if "(?!" not in e]))
    compiled = re.compile(expression, re.IGNORECASE)
    line = data.draw(st.from_regex(compiled, fullmatch=True))
    if "\n" not in line and compiled.fullmatch(line):
        assert line_patterns.BOILERPLATE_LINE.matches(line)


@pytest.mark.parametrize("line", ["Copyright © 2021 The Harbour", "Share this", "Skip to content"])
def test_matches_known_lines_of_pages(line) -> None:
    assert line_patterns.BOILERPLATE_LINE.matches(line)
