from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_text import prose

from humpback_pipeline.web.prose import prose_lines
from humpback_pipeline.web.screens import (
    C4_RULES,
    GOPHER_RULES,
    Rule,
    broken_rule,
    c4_statistics,
    gopher_statistics,
)
from humpback_pipeline.web.screens.repetition import repetition_statistics

HEAD = "## Reading the tide table\n\n"
GOOD = HEAD + prose(1_200)
CODE = "```python\nwhile tide < 3: {wait} # # # ...\n\n```"
TABLE = "| hour | tide |\n| --- | --- |\n" + "| 1 | 2 |\n" * 9


def gopher(text: str, language: str | None = "en") -> str | None:
    return broken_rule(GOPHER_RULES, gopher_statistics(text, language))


def c4(text: str) -> str | None:
    return broken_rule(C4_RULES, c4_statistics(text))


def test_rule_bounds_are_inclusive_and_none_is_no_verdict() -> None:
    rule = Rule("number", lambda value: value, minimum=1, maximum=2)
    assert [rule.is_broken_by(v) for v in (0.9, 1, 2, 2.1, None)] == [1, 0, 0, 1, 0]


def test_prose_lines_leave_out_code_and_tables() -> None:
    text = "# Head\n\nText.\n- one\n  more\n  ```\n  code\n  ```\n2. two\n"
    text += "> ~~~\n> code\n> ~~~\n| a |\n> said"
    assert [(line.kind, line.text) for line in prose_lines(text)] == [
        ("heading", "Head"),
        ("text", ""),
        ("text", "Text."),
        ("bullet", "one"),
        ("item", "more"),
        ("bullet", "two"),
        ("text", "said"),
    ]


def test_prose_lines_close_a_fence_only_by_one_as_long() -> None:
    text = "````\n```\ncode\n```\nstill code\n````\nText, `code` and ```more```"
    assert [line.text for line in prose_lines(text)] == ["Text, `code` and ```more```"]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (GOOD, None),
        (f"{GOOD}\n\n{CODE}\n\n{TABLE}", None),
        (HEAD + "it is so " * 30 + "to me or to us as we go up by it " * 9, "word_length"),
        (HEAD + prose(600).replace(" w", " # w").replace(" a", " # a"), "hash_signs"),
        (HEAD + prose(600).replace(" w", " … w").replace(" a", " … a"), "ellipses"),
        (HEAD + "\n".join(f"- {prose(60, n)}" for n in range(12)), "bullet_lines"),
        (HEAD + "\n\n".join(f"{prose(60, n)[:-1]}…" for n in range(9)), "ellipsis_lines"),
        (HEAD + "the tide of 1200 1300 1400 15:00 16.00 17000 " * 9, "letters"),
        (HEAD + "Ebbe kommt immer wieder nach jeder Flut zurueck " * 9, "stop_words"),
        (HEAD + f"{prose(80)}\n\n" * 6, "duplicate_lines"),
        (HEAD + "\n".join(f"to the harbour master {n}th" for n in range(20)), "top_2gram"),
        (HEAD + f"{prose(900)} {prose(200)} {prose(200)}", "duplicate_5grams"),
    ],
)
def test_gopher_rules_each_find_what_they_are_for(text: str, rule: str | None) -> None:
    assert gopher(text) == rule


def test_gopher_stop_words_only_for_a_language_with_a_list() -> None:
    german = (
        "## Gezeiten\n\nWer bei Ebbe ausläuft, braucht einen Plan: Wann kippt der Strom, wie tief "
        "bleibt die Rinne, wo wartet man notfalls? Erfahrene Schiffer lesen am Vorabend ihre "
        "Tafel, fragen im Hafen nach und rechnen mit einer Reserve. Bläst starker Westwind, steht "
        "das Wasser höher als vorhergesagt; Ostwind drückt es hinaus. Kinder tragen immer Westen, "
        "auch wenn sie murren. Abends schmeckt heiße Suppe."
    )
    assert gopher_statistics(german, "de").n_stop_words is None
    assert gopher(german, "de") is None
    assert gopher(german, "en") == "stop_words"


def test_gopher_word_rules_do_not_judge_chinese() -> None:
    chinese = "## 潮汐表\n\n" + "".join(
        f"第{n}天的潮水涨得很慢，船长先看表再出海。" for n in range(40)
    )
    statistics = gopher_statistics(chinese, "zh")
    assert (statistics.mean_word_chars, statistics.letter_word_share) == (None, None)
    assert gopher("## 潮\n\n" + "船长先看表再出海。" * 90, "zh") is not None


def test_gopher_does_not_judge_the_few_words_beside_much_code() -> None:
    text = f"{HEAD}Run `x # # # # #` ... now ... and ... wait ...\n\n{CODE}"
    assert gopher_statistics(text, "en").ellipses_per_word > 0.1
    assert gopher(text) is None


def test_repetition_counts_overlapping_runs_once() -> None:
    words = ["a", "b", "c", "d", "e", "f"] * 3
    found = repetition_statistics(["x", "x", "yy"], ["p", "p"], words, 18)
    assert found.duplicate_lines == pytest.approx(1 / 3)
    assert found.duplicate_line_chars == pytest.approx(1 / 4)
    assert found.duplicate_paragraphs == 0.5
    assert found.top_ngram_chars == {2: 6 / 18, 3: 9 / 18, 4: 12 / 18}
    assert found.duplicate_ngram_chars[5] == pytest.approx(12 / 18)
    assert found.duplicate_ngram_chars[10] == pytest.approx(12 / 18)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from(["a", "bb", "ccc"]), max_size=60))
def test_repetition_shares_stay_within_bounds(words: list[str]) -> None:
    found = repetition_statistics(words, words, words, sum(map(len, words)))
    shares = [*found.duplicate_ngram_chars.values(), found.duplicate_lines]
    assert all(0.0 <= share <= 1.0 for share in shares)
    runs = {n: len(words) - n + 1 for n in found.duplicate_ngram_chars}
    for n, share in found.duplicate_ngram_chars.items():
        grams = [tuple(words[i : i + n]) for i in range(max(runs[n], 0))]
        assert (share > 0) == (len(set(grams)) < len(grams))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (GOOD, None),
        (f"{GOOD}\n\n{CODE}\n\n{TABLE}", None),
        (f"{HEAD}Run these:\n\n- `tide`\n- tables\n- lamps\n\n{CODE}\n\n{TABLE}", None),
        (f"{GOOD} Pass `{{name}}` to JavaScript.", None),
        (f"{GOOD}\n\nLorem  ipsum dolor.", "lorem_ipsum"),
        (f"{GOOD} if (x) {{ return }}", "curly_bracket"),
        (f"{HEAD}{prose(300)}\n\nPlease enable JavaScript in your browser to go on.", "javascript"),
        (f"{HEAD}{prose(300)}\n\n{'This site uses cookies for you. ' * 5}", "policy"),
        (HEAD + "\n\n".join(f"Buy boat number {n} now" for n in range(30)), None),
        (HEAD + prose(90), "few_sentences"),
    ],
)
def test_c4_rules_each_find_what_they_are_for(text: str, rule: str | None) -> None:
    if rule is None and "Buy boat" in text:
        rule = "no_terminal_punctuation"
    assert c4(text) == rule


def test_c4_accepts_the_full_stops_of_other_scripts() -> None:
    chinese = "## 潮汐表\n\n" + "\n\n".join(
        f"第{n}天的潮水涨得很慢，船长先看表再出海。" for n in range(9)
    )
    assert c4(chinese) is None


def test_statistics_can_be_judged_by_other_rules() -> None:
    strict = [replace(C4_RULES[-1], minimum=10_000)]
    assert broken_rule(strict, c4_statistics(GOOD)) == "few_sentences"
