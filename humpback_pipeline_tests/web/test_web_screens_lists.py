from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humpback_pipeline.web.screens import ToxicWords, UrlBlocklist


def blocklist(*entries: str) -> UrlBlocklist:
    found = UrlBlocklist()
    for entry in entries:
        found.add(entry)
    return found


@pytest.mark.parametrize(
    ("url", "blocked"),
    [
        ("https://bad.example/", True),
        ("HTTPS://WWW.Bad.Example:8443/a?b", True),
        ("http://user@deep.down.bad.example./x", True),
        ("//bad.example/x", True),
        ("bad.example", True),
        ("https://notbad.example/", False),
        ("https://bad.example.org/", False),
        ("https://good.example/bad.example/", False),
        ("https://münchen.example/x", True),
        ("https://xn--mnchen-3ya.example/x", True),
        ("https://any.thing.zip/x", True),
        ("https://hosts-line.example/", True),
        ("https://localhost/", False),
        ("http://[2001:db8::1]/x", False),
        ("", False),
    ],
)
def test_url_blocklist_domains_block_their_subdomains(url: str, blocked: bool) -> None:
    entries = ["Bad.Example", "*.münchen.example", ".zip", "0.0.0.0 hosts-line.example"]
    assert blocklist(*entries, "127.0.0.1 localhost").blocks(url) is blocked


@pytest.mark.parametrize(
    ("url", "blocked"),
    [
        ("https://good.example/online-casino/", True),
        ("https://casino.example/", True),
        ("https://good.example/?q=Casino", True),
        ("https://good.example/%43asino", True),
        ("https://good.example/casinos", False),
        ("https://good.example/", False),
    ],
)
def test_url_blocklist_words_are_whole_words_of_the_url(url: str, blocked: bool) -> None:
    assert blocklist("~Casino").blocks(url) is blocked


@settings(max_examples=100, deadline=None)
@given(
    labels=st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=2, max_size=5),
    listed=st.sets(st.sampled_from(["a.b", "b.c", "c.d", "a.b.c", "d.d"]), min_size=1),
)
def test_url_blocklist_agrees_with_the_plain_definition(
    labels: list[str], listed: set[str]
) -> None:
    host = ".".join(labels)
    expected = any(host == domain or host.endswith(f".{domain}") for domain in listed)
    assert blocklist(*sorted(listed)).blocks(f"https://{host}/x") is expected


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_url_blocklist_of_any_url_never_raises(url: str) -> None:
    assert blocklist("bad.example", "~casino").blocks(url) in (True, False)


def test_toxic_words_count_phrases_once_and_ignore_case() -> None:
    toxic = ToxicWords(["sea", "sea dog", "🤬"])
    found = toxic.statistics("The SEA dog saw the sea. Seaside dogs 🤬!")
    assert (found.n_words, found.n_listed, found.n_never) == (8, 4, 0)
    assert found.share == 0.5


def test_toxic_words_marked_never_are_counted_apart() -> None:
    toxic = ToxicWords(["!sea dog", "sea", "!🤬"])
    assert toxic.statistics("The sea. A sea-dog!").n_never == 1
    assert toxic.statistics("Fine 🤬").n_never == 1
    assert toxic.statistics("The sea.").n_never == 0


def test_toxic_words_of_chinese_need_no_spaces() -> None:
    found = ToxicWords(["坏人"]).statistics("他是坏人。坏天气。")
    assert (found.n_words, found.n_listed) == (7, 2)


def test_toxic_words_of_an_empty_text_have_share_zero() -> None:
    assert ToxicWords(["a"]).statistics("").share == 0.0
