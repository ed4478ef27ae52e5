from __future__ import annotations

import hashlib
import inspect
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_text import prose

from humpback_pipeline.web.screens import Screens, ScreenSettings

TEXT = f"## Reading the tide table\n\n{prose(900)}"
EVERYTHING = ScreenSettings(gopher=True, c4=True, personal_data="mask")


@pytest.fixture
def lists(tmp_path: Path) -> ScreenSettings:
    (tmp_path / "urls.txt").write_text("# mine\nbad.example\n~casino\n")
    (tmp_path / "toxic.txt").write_text("grumble\n!scoundrel\n")
    return ScreenSettings(
        url_blocklist=tmp_path / "urls.txt", toxic_words=tmp_path / "toxic.txt", max_toxic_share=0.1
    )


def test_screens_that_are_off_look_at_nothing() -> None:
    screens = Screens(ScreenSettings())
    text = "{lorem ipsum} jane.doe@mail.com " * 90
    result = screens.screen(text, "en")
    assert result.text is text
    assert (result.reason, result.n_masked) == (None, {})
    assert screens.page_reason("http://[broken") is None
    assert screens.mask(text) is text
    assert screens.file_hashes() == {}


def test_screens_of_a_good_segment_keep_it_as_it_is() -> None:
    result = Screens(EVERYTHING).screen(TEXT, "en")
    assert (result.text, result.reason, result.n_masked) == (TEXT, None, {})


def test_screens_name_the_rule_that_a_segment_breaks() -> None:
    dots = "## Table\n\n" + "The tide is rising and we have to wait ... and wait ...\n" * 12
    assert Screens(ScreenSettings(gopher=True)).screen(dots, "en").reason == "gopher_ellipses"
    latin = f"{TEXT}\n\nLorem ipsum dolor sit amet."
    assert Screens(ScreenSettings(c4=True)).screen(latin, "en").reason == "c4_lorem_ipsum"
    assert Screens(ScreenSettings(gopher=True)).screen(latin, "en").reason is None


def test_screens_page_reason_by_blocklist(lists: ScreenSettings) -> None:
    screens = Screens(lists)
    assert screens.page_reason("https://www.bad.example/tides") == "blocked_url"
    assert screens.page_reason("https://good.example/casino-night") == "blocked_url"
    assert screens.page_reason("https://good.example/tides") is None


def test_screens_toxic_by_share_and_by_single_word(lists: ScreenSettings) -> None:
    screens = Screens(lists)
    assert screens.screen(f"{TEXT} Grumble.", "en").reason is None
    assert screens.screen("Grumble " * 50 + TEXT, "en").reason == "toxic"
    assert screens.screen(f"{TEXT} Scoundrel!", "en").reason == "toxic"


def test_screens_personal_data_masked_dropped_or_kept() -> None:
    text = f"{TEXT}\n\nWrite to jane.doe@harbour.org or call +44 20 7946 0958."
    masked = Screens(ScreenSettings(personal_data="mask")).screen(text, "en")
    assert masked.text == f"{TEXT}\n\nWrite to <email> or call <phone>."
    assert (masked.reason, masked.n_masked) == (None, {"email": 1, "phone": 1})
    dropped = Screens(ScreenSettings(personal_data="drop"))
    assert dropped.screen(text, "en").reason == "personal_data"
    assert dropped.screen(TEXT, "en").reason is None
    assert Screens(ScreenSettings(personal_data="keep")).screen(text, "en").text == text


def test_screens_mask_a_header_only_where_masking_is_asked_for() -> None:
    header = "Write to jane.doe@harbour.org"
    assert Screens(ScreenSettings(personal_data="mask")).mask(header) == "Write to <email>"
    assert Screens(ScreenSettings(personal_data="drop")).mask(header) == header


def test_screens_file_hashes_follow_the_content(lists: ScreenSettings) -> None:
    assert lists.toxic_words
    assert lists.url_blocklist
    hashes = Screens(lists).file_hashes()
    assert hashes == {
        "url_blocklist": hashlib.sha256(lists.url_blocklist.read_bytes()).hexdigest(),
        "toxic_words": hashlib.sha256(lists.toxic_words.read_bytes()).hexdigest(),
    }
    lists.toxic_words.write_text("grumble\n")
    assert Screens(lists).file_hashes()["toxic_words"] != hashes["toxic_words"]


@pytest.mark.parametrize(
    ("setting", "content", "message"),
    [
        ("url_blocklist", None, r"url_blocklist: .*list\.txt cannot be read .*readable text file"),
        ("url_blocklist", b"# nothing\n\n", r"url_blocklist: .*list\.txt has no entry; write one"),
        ("url_blocklist", b"a.com\nhttps://b.com/x\n", r"list\.txt, line 2: .*without scheme"),
        ("url_blocklist", b"casino\n", r"list\.txt, line 1: .*~casino .* \.casino"),
        ("url_blocklist", b"a.com\n~two words\n", r"list\.txt, line 2: .*one word a line"),
        ("url_blocklist", b"a.com\n\xff.com\n", r"list\.txt, line 2: not UTF-8; save it as UTF-8"),
        ("toxic_words", None, r"toxic_words: .*list\.txt cannot be read"),
        ("toxic_words", b"a\n!\n", r"toxic_words: .*list\.txt, line 2: no word after '!'"),
    ],
)
def test_screens_of_a_bad_list_raise_naming_line_and_remedy(
    tmp_path: Path, setting: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / "list.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Screens(ScreenSettings(**{setting: path}))


def test_screens_signatures_are_those_the_stage_calls() -> None:
    assert list(inspect.signature(Screens.screen).parameters) == ["self", "text", "language"]
    assert list(ScreenSettings.__dataclass_fields__) == [
        "url_blocklist",
        "gopher",
        "c4",
        "personal_data",
        "toxic_words",
        "max_toxic_share",
    ]


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(max_size=300) | st.text("ab1 .@:+-#`>|*\n\\{}…()", max_size=300),
    language=st.sampled_from(["en", "zh", None, ""]),
)
def test_screens_of_any_text_never_raise(text: str, language: str | None) -> None:
    result = Screens(EVERYTHING).screen(text, language)
    assert result.reason is None or result.reason.startswith(("gopher_", "c4_"))
    if not result.n_masked:
        assert result.text == text
