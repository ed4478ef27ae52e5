from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_text import prose

from humpback_pipeline.web import (
    FILTERS,
    FilterThresholds,
    Segment,
    SegmentLimits,
    drop_reason,
    load_navigation_headers,
)
from humpback_pipeline.web.filters import capital_share, count_repeats, repeated_sentence_share
from humpback_pipeline.web.navigation import is_boilerplate_line

THRESHOLDS = FilterThresholds()


def segment(header: str = "Reading the tide table", text: str | None = None) -> Segment:
    text = f"## {header}\n\n{prose(900)}" if text is None else text
    return Segment(
        segment_id="s",
        document_id="d",
        url="https://example.com",
        language="en",
        header=header,
        header_level=2,
        header_path=(header,),
        text=text,
        text_chars=len(text),
        crawl_date=None,
        warc_file="a.warc.gz",
        record_offset=0,
    )


def test_drop_reason_of_a_good_segment_is_none() -> None:
    assert drop_reason(segment(), THRESHOLDS) is None
    assert all(rule(segment(), THRESHOLDS) is None for rule in FILTERS)


@pytest.mark.parametrize(
    ("chars", "reason"),
    [(599, "too_short"), (600, None), (3_000, None), (3_001, "too_long")],
)
def test_drop_reason_length_limits_are_inclusive(chars, reason) -> None:
    assert drop_reason(segment(text=prose(4_000)[:chars]), THRESHOLDS) == reason


@pytest.mark.parametrize("header", ["", "  ", "***", "— · —"])
def test_drop_reason_empty_header(header) -> None:
    assert drop_reason(segment(header), THRESHOLDS) == "empty_header"


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("INSTALLATION NOTES", "header_capitals"),
        ("BUY NOW and SAVE BIG", "header_capitals"),
        ("DESCRIPTION", "header_capitals"),
        ("The UUID Type", None),
        ("東京の天気", None),
        ("مواعيد المد", None),
    ],
)
def test_drop_reason_header_capitals(header, reason) -> None:
    assert drop_reason(segment(header), THRESHOLDS) == reason


@pytest.mark.parametrize("header", ["DESCRIPTION", "HTTP API", "SQL"])
def test_drop_reason_header_capitals_of_threshold_one_is_off(header) -> None:
    assert drop_reason(segment(header), replace(THRESHOLDS, header_capitals=1.0)) is None


@pytest.mark.parametrize(
    ("text", "share"),
    [("", 0.0), ("123 –", 0.0), ("潮汐", 0.0), ("Abcd", 0.25), ("ÉTÉ", 1.0), ("ШТОРМ", 1.0)],
)
def test_capital_share_is_of_letters_that_have_case(text, share) -> None:
    assert capital_share(text) == share


def test_drop_reason_uppercase_text() -> None:
    assert drop_reason(segment(text=prose(900).upper()), THRESHOLDS) == "uppercase_text"


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("Advertisement", "navigation_header"),
        ("Local advertisements", "navigation_header"),
        ("Forum", "navigation_header"),
        ("Quick Links", "navigation_header"),
        ("Get our free newsletter!", "navigation_header"),
        ("Share:", "navigation_header"),
        ("You may also like…", "navigation_header"),
        ("How to share a folder", None),
        ("Searching and sorting", None),
        ("How to log in over SSH", None),
        ("Reinforcement learning", None),
    ],
)
def test_drop_reason_navigation_header(header, reason) -> None:
    assert drop_reason(segment(header), THRESHOLDS) == reason


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("© 2024 Harbour Press. All rights reserved.", True),
        ("Categories: boats, knots", True),
        ("Advertisement", True),
        ("12 comments", True),
        ("Sign up for our weekly newsletter and get 10 % off.", True),
        ("This slideshow requires JavaScript.", True),
        ("See also", False),
        ("The forum was the centre of a Roman town, where people met to trade and talk.", False),
        ("Follow the coast until the lighthouse comes in sight.", False),
        ("Copyright law protects the author of a work. " + prose(300), False),
    ],
)
def test_is_boilerplate_line(line, expected) -> None:
    assert is_boilerplate_line(line, load_navigation_headers()) is expected


def test_load_navigation_headers_of_a_user_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("# mine\nfish of the day  # daily\n=crew\n")
    own = replace(THRESHOLDS, navigation_headers=load_navigation_headers(path))
    assert drop_reason(segment("The Fish of the Day"), own) == "navigation_header"
    assert drop_reason(segment("Crew"), own) == "navigation_header"
    assert drop_reason(segment("Crew training"), own) is None
    assert drop_reason(segment("Forum"), own) is None


def test_load_navigation_headers_of_an_empty_file_raises(tmp_path: Path) -> None:
    path = tmp_path / "empty.txt"
    path.write_text("# nothing\n")
    with pytest.raises(ValueError, match=r"empty\.txt"):
        load_navigation_headers(path)


@pytest.mark.parametrize(
    ("language", "wanted", "reason"),
    [
        ("en", ("en",), None),
        ("de", ("en",), "language"),
        ("de", ("en", "de"), None),
        (None, ("en",), "language"),
        (None, None, None),
    ],
)
def test_drop_reason_language(language, wanted, reason) -> None:
    thresholds = replace(THRESHOLDS, languages=wanted)
    assert drop_reason(replace(segment(), language=language), thresholds) == reason


def test_drop_reason_repeated_sentences() -> None:
    base = prose(700)
    slogan = "Our boats are the best boats that money can buy anywhere on this coast."
    nearly = "Our boats are the best boats that money can buy anywhere on the coast."
    repeated = f"{base} {slogan} {slogan} {nearly}"
    assert drop_reason(segment(text=repeated), THRESHOLDS) == "repeated_sentences"
    assert drop_reason(segment(text=f"{base} {slogan}"), THRESHOLDS) is None


def test_drop_reason_repeated_lines_of_code_and_tables_do_not_count() -> None:
    code = "```\n" + "result = compute_the_next_value(result, step, factor, limit)\n" * 8 + "```"
    table = "| a b c d e f g h |\n" * 8
    assert drop_reason(segment(text=f"{prose(700)}\n\n{code}\n\n{table}"), THRESHOLDS) is None


def test_drop_reason_repeated_sentences_of_chinese_and_thai() -> None:
    chinese = "".join(f"第{n}次涨潮时船长都要先看表再决定出海。" for n in range(9))
    slogan = "我们的船是这片海岸上能买到的最好的船。"
    plain = (
        "潮水慢慢上涨，小船在港口外等待。北风会改变水深，所以老船长总是多留半米。晚上大家喝热汤。"
    )
    assert repeated_sentence_share(plain, 3, 0.7, 6) == 0.0
    assert repeated_sentence_share(plain + slogan * 3, 3, 0.7, 6) == pytest.approx(2 / 6)
    assert repeated_sentence_share(chinese, 3, 0.7, 6) > 0.5
    thai = "น้ำขึ้นช้าๆ และเรือเล็กรออยู่นอกท่า"
    assert repeated_sentence_share(f"{thai}\n{thai}", 3, 0.7, 6) == 0.5


def test_repeated_sentence_share_of_hindi_keeps_words_whole() -> None:
    text = "समुद्र का पानी धीरे धीरे ऊपर आता है। नावें बंदरगाह के बाहर रुकी रहती हैं।"
    assert repeated_sentence_share(text, 3, 0.7, 7) == 0.0
    assert repeated_sentence_share(f"{text} {text}", 3, 0.7, 7) == 0.5
    assert repeated_sentence_share(f"{text} {text}", 3, 0.7, 9) == 0.0


def test_repeated_sentence_share_counts_a_sentence_shorter_than_the_ngram() -> None:
    text = "Boats go out. Boats go out. Boats come in."
    assert repeated_sentence_share(text, 5, 0.7, 2) == pytest.approx(1 / 3)
    assert repeated_sentence_share("", 3, 0.7, 6) == 0.0


NGRAMS = st.sampled_from([("a",), ("b",), ("c",), ("d",), ("e",), ("f",)])


@settings(max_examples=300, deadline=None)
@given(
    sets=st.lists(st.frozensets(NGRAMS, min_size=1), max_size=12),
    similarity=st.sampled_from([0.0, 0.2, 0.25, 0.5, 2 / 3, 0.7, 0.75, 0.8, 1.0]),
)
def test_count_repeats_agrees_with_comparing_all_pairs(sets, similarity) -> None:
    expected = sum(
        any(len(a & b) / len(a | b) >= similarity for b in sets[:index])
        for index, a in enumerate(sets)
    )
    assert count_repeats(sets, similarity) == expected


@pytest.mark.parametrize("limits", [{"min_chars": -1}, {"min_chars": 9, "max_chars": 8}])
def test_segment_limits_that_are_impossible_raise(limits) -> None:
    with pytest.raises(ValueError, match="min_chars"):
        SegmentLimits(**limits)
