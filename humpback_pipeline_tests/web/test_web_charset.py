from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humpback_pipeline.web.charset import decode_html

TEXTS = {
    "ru": "Приливы и отливы сменяют друг друга дважды в сутки, и опытный капитан проверяет "
    "таблицу, прежде чем покинуть гавань. Ветер с запада может изменить глубину на полметра.",
    "ja": "潮の満ち引きは一日に二回起こります。港を出る前に、経験豊かな船長は潮見表を確認します。"
    "西からの風は水深を変えることがあります。",
    "zh": "潮汐每天涨落两次，有经验的船长在离开港口之前会查看潮汐表。西风可能会使水深改变半米，"
    "所以小船要等到涨潮的后半段。",
    "zh-tw": "潮汐每天漲落兩次，有經驗的船長在離開港口之前會查看潮汐表。西風可能會使水深改變半米。",
    "ko": "조수는 하루에 두 번 밀려오고 나갑니다. "
    "노련한 선장은 항구를 떠나기 전에 조석표를 확인합니다.",
    "cs": "Příliv a odliv se střídají dvakrát denně a zkušený kapitán si před opuštěním přístavu "
    "prohlédne tabulku. Žluťoučký kůň úpěl ďábelské ódy.",
    "pl": "Przypływy i odpływy następują po sobie dwa razy dziennie, a doświadczony kapitan "
    "sprawdza tabelę przed opuszczeniem portu. Zażółć gęślą jaźń.",
    "de": "Die Gezeiten wechseln zweimal täglich, und ein erfahrener Kapitän prüft die Tabelle.",
    "el": "Οι παλίρροιες αλλάζουν δύο φορές την ημέρα και ένας έμπειρος καπετάνιος το ξέρει.",
}
ENCODED = [
    ("ru", "windows-1251"),
    ("ru", "koi8-r"),
    ("ru", "iso-8859-5"),
    ("ja", "shift_jis"),
    ("ja", "euc-jp"),
    ("ja", "iso-2022-jp"),
    ("zh", "gb18030"),
    ("zh", "gb2312"),
    ("zh-tw", "big5"),
    ("ko", "euc-kr"),
    ("cs", "iso-8859-2"),
    ("pl", "iso-8859-2"),
    ("pl", "windows-1250"),
    ("de", "iso-8859-1"),
    ("el", "iso-8859-7"),
    *((language, f"utf-{form}") for language in ("ru", "zh", "de") for form in ("8", "16le")),
    *((language, f"utf-{form}") for language in ("ja", "de") for form in ("16be", "32le", "32be")),
]
SEVEN_BIT = [("iso-2022-jp", "ja"), ("iso-2022-kr", "ko"), ("hz-gb-2312", "zh")]


def page_in(language: str, head: str = "<title>x</title>") -> str:
    return f"<!DOCTYPE html><html><head>{head}</head><body><p>{TEXTS[language]}</p></body></html>"


@pytest.mark.parametrize(("language", "encoding"), ENCODED)
def test_decode_html_by_the_http_header(language, encoding) -> None:
    html = page_in(language)
    assert decode_html(html.encode(encoding), encoding) == html


@pytest.mark.parametrize(("language", "encoding"), ENCODED)
@pytest.mark.parametrize(
    "head",
    [
        "<meta charset={}>",
        "<meta content='text/html; charset={}' http-equiv=content-type>",
        '<!-- <meta charset=koi8-u> --><META\nCHARSET="{}" />',
    ],
)
def test_decode_html_by_its_meta(language, encoding, head) -> None:
    html = page_in(language, head.format(encoding))
    assert decode_html(html.encode(encoding)) == html


def test_decode_html_by_its_xml_declaration() -> None:
    html = '<?xml version="1.0" encoding="windows-1251"?>\n' + page_in("ru")
    assert decode_html(html.encode("windows-1251")) == html


@pytest.mark.parametrize(("language", "encoding"), ENCODED)
@pytest.mark.parametrize("stated", [None, "utf-8", "x-unheard-of"])
def test_decode_html_by_detection(language, encoding, stated) -> None:
    html = page_in(language)
    assert decode_html(html.encode(encoding), stated) == html


@pytest.mark.parametrize("stated", [None, "iso-8859-1", "utf-8"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_decode_html_by_its_byte_order_mark(encoding, stated) -> None:
    html = page_in("ru", "<meta charset=windows-1251>")
    assert decode_html(html.encode(encoding), stated) == html


@pytest.mark.parametrize(("encoding", "language"), SEVEN_BIT)
def test_decode_html_in_seven_bits_is_not_taken_for_utf8(encoding, language) -> None:
    html = page_in(language)
    data = html.encode(encoding.split("-gb")[0])
    assert data.isascii()
    assert decode_html(data, encoding) == html
    stated = page_in(language, f"<meta charset={encoding}>")
    assert decode_html(stated.encode(encoding.split("-gb")[0])) == stated


def test_decode_html_header_comes_before_meta() -> None:
    html = page_in("ru", "<meta charset=koi8-r>")
    assert decode_html(html.encode("windows-1251"), "windows-1251") == html
    assert decode_html(html.encode("koi8-r")) == html


@pytest.mark.parametrize("stated", ["windows-1251", "iso-8859-1", "shift_jis", "gbk", "utf-16"])
def test_decode_html_utf8_is_believed_against_what_is_stated(stated) -> None:
    html = page_in("cs", f"<meta charset={stated}>")
    assert decode_html(html.encode(), stated) == html


def test_decode_html_nearly_valid_utf8_stays_utf8() -> None:
    data = page_in("ru").encode()
    cut = data[: data.index("полметра".encode()) + 3]
    assert decode_html(cut, "windows-1251").endswith("на п\ufffd")
    broken = data.replace("гавань".encode(), b"\xff" + "гавань".encode())
    assert "\ufffdгавань" in decode_html(broken)


def test_decode_html_refuted_multibyte_statement_gives_way_to_the_next() -> None:
    html = page_in("ru", "<meta charset=windows-1251>")
    assert decode_html(html.encode("windows-1251"), "shift_jis") == html


@pytest.mark.parametrize("text", ["通", "通知"[:1] * 3])
def test_decode_html_few_chinese_characters_that_are_valid_utf8_by_chance(text) -> None:
    html = f"<p>{text}</p>"
    data = html.encode("gb2312")
    data.decode("utf-8")
    assert decode_html(data, "gb2312") == html
    assert decode_html(data) == data.decode("utf-8")


@pytest.mark.parametrize("text", ["©", "café", "Ελλάδα", "naïve – “quoted”", "路"])
def test_decode_html_few_utf8_characters_under_a_false_chinese_statement(text) -> None:
    html = f"<p>{text} and plain words</p>"
    if text == "Ελλάδα":
        html *= 3  # with as few letters as one word has, either reading may be right
    assert decode_html(html.encode(), "gbk") == html


def test_decode_html_utf16_of_little_markup() -> None:
    html = f"<p>{TEXTS['zh'] * 30}"
    assert decode_html(html.encode("utf-16-le"), "utf-16") == html
    assert decode_html(html.encode("utf-16-be")) == html


def test_decode_html_stray_nuls_do_not_make_utf16() -> None:
    html = page_in("de").replace("<p>", "<p>\0\0")
    assert decode_html(html.encode(), "utf-16") == html


@settings(max_examples=300, deadline=None)
@given(
    data=st.one_of(
        st.binary(max_size=300),
        st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace")),
        st.builds(
            lambda text, codec: text.encode(codec, "replace"),
            st.text(max_size=100),
            st.sampled_from(["utf-16", "utf-32-le", "gb18030", "iso2022_jp", "cp1251"]),
        ),
    ),
    charset=st.one_of(
        st.none(),
        st.text(max_size=12),
        st.sampled_from(["utf-16", "hz-gb-2312", "iso-2022-jp", "rot13", "idna", "undefined"]),
    ),
    meta=st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789-_.:", max_size=12),
)
def test_decode_html_never_raises(data, charset, meta) -> None:
    assert isinstance(decode_html(data, charset), str)
    assert isinstance(decode_html(b"<meta charset=" + meta.encode() + b">" + data, charset), str)
