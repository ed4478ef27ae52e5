from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humpback_pipeline.web.screens import MASKS, find_personal_data, mask_personal_data


def found(text: str) -> list[tuple[str, str]]:
    return [(piece.kind, text[piece.start : piece.end]) for piece in find_personal_data(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to jane.doe@harbour.org.", ["jane.doe@harbour.org"]),
        ("mail (j_d+boats@mail.co.uk), or", ["j_d+boats@mail.co.uk"]),
        ("Jane Doe <jane@harbour.org> wrote", ["<jane@harbour.org>"]),
        ("Contact jane@harbour.org: she knows", ["jane@harbour.org"]),
        ("jane@example.com, joe@mail.example.org, a@b.test, root@localhost", []),
        ("ssh user@host.dom or login@remote.domain, me@mydomain.com", []),
        ("git clone git@github.com:owner/repo.git", []),
        ("postgres://user:pass@db.harbour.org/name", []),
        ("background: icon@2x.png; logo@3x.svg", []),
        ("npm install left-pad@1.3.0 @types/node@18", []),
        ("a decorator @app.route and user@host", []),
    ],
)
def test_personal_data_email(text: str, expected: list[str]) -> None:
    assert found(text) == [("email", address) for address in expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from 84.23.17.200 port 22", ["84.23.17.200"]),
        ("client 84.23.17.200, server", ["84.23.17.200"]),
        ("at 2a00:1450:4001:82a::200e today", ["2a00:1450:4001:82a::200e"]),
        ("The IP address 8.8.4.4 answers.", ["8.8.4.4"]),
        ("127.0.0.1, 10.1.2.3, 192.168.0.1, 172.16.0.9, 169.254.1.1, 0.0.0.0", []),
        ("192.0.2.7, 198.51.100.2, 203.0.113.9, 2001:db8::1, ::1, fe80::1", []),
        ("255.255.255.0 and 224.0.0.251 and 84.23.0.0/16", []),
        ("version 101.20.30.40, v84.23.17.200, Chrome/84.23.17.200, pkg==84.23.17.200", []),
        ("Upgrade to 1.2.3.4 or 12.4.0.1.", []),
        ("#### 36.7.2.1. Data Types\n\nas 1.3.6.1.4.1.343 or 300.1.2.3", []),
        ("std::vector, 12:30:45, a::b, Cafe::Beef, 00:1b:44:11:3a:b7", []),
    ],
)
def test_personal_data_ip(text: str, expected: list[str]) -> None:
    assert found(text) == [("ip", address) for address in expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ring +44 20 7946 0958 today", ["+44 20 7946 0958"]),
        ("Tel.: 030 / 901820 ab 9 Uhr", ["030 / 901820"]),
        ("Phone: 0151 702 3000.", ["0151 702 3000"]),
        (
            "please call 0345 744 4422 or 03457 125 678 (text)",
            ["0345 744 4422", "03457 125 678"],
        ),
        ("office (212) 736-5000, fax 212-736-5001", ["(212) 736-5000", "212-736-5001"]),
        ("(212) 555-0143 is in films", []),
        ("ISBN 978-0-13-468599-1, ISSN 1234-5678", []),
        ("on 2024-01-15 12:30:45, 15.01.2024, 1999-2003", []),
        ("call 10000000 times; cell 123456789", []),
        ("0x7fff5694dc58 3.14159265358979 123456789012", []),
        ("commit 123-456-7890, key 100-200-3000", []),
        ("a + 1234567 + 89, n+10000000", []),
        ("RFC 2616, port 8080, 1.000.000,00 EUR", []),
    ],
)
def test_personal_data_phone(text: str, expected: list[str]) -> None:
    assert found(text) == [("phone", number) for number in expected]


def test_mask_personal_data_counts_each_kind() -> None:
    text = "jane@harbour.org, joe@harbour.org, 84.23.17.200, +44 20 7946 0958"
    masked, counts = mask_personal_data(text)
    assert masked == "<email>, <email>, <ip>, <phone>"
    assert counts == {"email": 2, "ip": 1, "phone": 1}


PIECES = st.sampled_from(
    ["jane@harbour.org", "84.23.17.200", "+44 20 7946 0958", "(212) 736-5000", "2a00:1450::200e"]
)
TEXTS = st.lists(PIECES | st.text(max_size=12) | st.text("1.:@+- \n<>", max_size=12), max_size=8)


@settings(max_examples=150, deadline=None)
@given(TEXTS)
def test_mask_personal_data_changes_nothing_outside_the_pieces(parts: list[str]) -> None:
    text = "".join(parts)
    masked, counts = mask_personal_data(text)
    pieces = find_personal_data(text)
    assert sum(counts.values()) == len(pieces)
    rest = masked
    end = 0
    for piece in pieces:
        assert end <= piece.start < piece.end
        kept = text[end : piece.start]
        assert rest.startswith(kept + MASKS[piece.kind])
        rest = rest[len(kept) + len(MASKS[piece.kind]) :]
        end = piece.end
    assert rest == text[end:]
