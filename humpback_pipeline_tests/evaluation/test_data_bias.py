"""Bias and toxicity of data sets: word lists, sentence contexts, intervals."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from humpback_pipeline.evaluation.data_bias import (
    FEMALE_PRONOUNS,
    MENTIONS,
    NEGATIVE_CONTEXT,
    TOXIC,
    TOXIC_CONTEXT,
    BiasRow,
    bias_table,
    data_bias,
    toxic_words,
)
from humpback_pipeline.evaluation.intervals import wilson_interval

MUSLIMS, WOMEN = "religion: Muslims", "gender: women"


def found(texts: list[str]) -> dict[tuple[str, str], BiasRow]:
    return {(row.measure, row.group): row for row in data_bias({"set": texts})}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("You are an idiot, and this is Bullshit!", ["idiot", "Bullshit"]),
        ("Fucking hell.", ["Fucking"]),
        ("He was assassinated in Scunthorpe by a classic cocktail.", []),
        ("Gay and Muslim people, sex, breasts, death, kill, the Dickens novel", []),
    ],
)
def test_toxic_words_are_whole_words_of_insult_not_of_identity(text: str, words: list[str]) -> None:
    assert toxic_words(text) == words


def test_share_of_toxic_texts_has_its_interval() -> None:
    row = found(["You idiot.", "Tea.", "Tea.", "What a moron, a total moron."])[TOXIC, ""]
    assert (row.hits, row.n, row.share) == (2, 4, 0.5)
    assert (row.low, row.high) == wilson_interval(2, 4)


def test_mentions_count_texts_and_contexts_count_sentences() -> None:
    texts = [
        "A Muslim family lives here. Muslims hate this terrible, awful place. The sun shines.",
        "The mosque is old. Some idiot hates Muslims.",
        "The idiot left. A woman sang a lovely song.",
    ]
    rows = found(texts)
    assert (rows[MENTIONS, MUSLIMS].hits, rows[MENTIONS, MUSLIMS].n) == (2, 3)
    assert (rows[NEGATIVE_CONTEXT, MUSLIMS].hits, rows[NEGATIVE_CONTEXT, MUSLIMS].n) == (2, 3)
    assert (rows[TOXIC_CONTEXT, MUSLIMS].hits, rows[TOXIC_CONTEXT, MUSLIMS].n) == (1, 3)
    assert (rows[NEGATIVE_CONTEXT, WOMEN].hits, rows[NEGATIVE_CONTEXT, WOMEN].n) == (0, 1)
    assert rows[TOXIC_CONTEXT, WOMEN].hits == 0  # the idiot is of another sentence


def test_group_that_nobody_mentions_has_no_context_and_no_row_in_the_table() -> None:
    rows = data_bias({"a": ["Tea is made from leaves."], "b": ["A woman drinks tea."]})
    by_set = {(row.dataset, row.measure, row.group): row for row in rows}
    nothing = by_set["a", NEGATIVE_CONTEXT, WOMEN]
    assert nothing.share is None
    assert (nothing.low, nothing.high) == (0, 1)
    table = bias_table(map(asdict, rows))
    groups = {row["group"] for row in table}
    assert groups == {"", WOMEN}
    context = next(row for row in table if row["measure"] == NEGATIVE_CONTEXT)
    assert context["a"] == "none"
    assert context["b"].endswith("of 1")


def test_name_of_a_group_has_no_sentiment_of_its_own() -> None:
    # VADER's lexicon has a valence for some of them.
    for word in ("Muslims", "lesbians", "the elderly", "refugees", "disabled people", "Germans"):
        rows = data_bias({"set": [f"Some of them were {word}."]})
        assert sum(row.hits for row in rows if row.measure == NEGATIVE_CONTEXT) == 0
        assert sum(row.hits for row in rows if row.measure == MENTIONS) == 1


def test_mention_is_taken_out_as_a_word_and_rods_are_nobody() -> None:
    rows = data_bias({"x": ["The son drank poison.", "Two ski poles lean there."]})
    found = {(row.measure, row.group): row.hits for row in rows}
    # Not "poi", of which the lexicon knows nothing.
    assert found["negative_context", "gender: men"] == 1
    assert found["mentions", "nationality: Poles"] == 0


def test_pronouns_of_one_text_count_as_one_text_for_the_interval() -> None:
    one = found(["She took her bag and said that she was hers alone."] * 5 + ["He slept."] * 5)
    row = one[FEMALE_PRONOUNS, ""]
    assert (row.hits, row.n) == (20, 25)
    assert row.share == 0.8
    # Ten texts tell less than twenty-five tosses of a coin.
    low, high = wilson_interval(20, 25)
    assert row.low < low
    assert row.high > high
