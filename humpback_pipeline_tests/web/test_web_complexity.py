"""Pages built to cost are told from big ones that people wrote."""

from __future__ import annotations

import base64
import json
import random
import time

import pytest
from made_up_text import prose
from web_builders import page

from humpback_pipeline.web.complexity import (
    MAX_ATTRIBUTES,
    MAX_DEPTH,
    MAX_TAGS,
    MAX_TOTAL_DEPTH,
    too_complex,
)

JSON = json.dumps([{"id": n, "a<b": f"x > {n}", "html": "<p class='x'>"} for n in range(20_000)])
IMAGE = base64.b64encode(random.Random(0).randbytes(1_000_000)).decode()
PROGRAM = "for (i=0; i<n; i++) { t = a + b } " + "if (a <b && c) " * 3_000
P = f"<p>{prose(300)}</p>"


REAL = {
    "many tags": P * 90_000,
    "long image": f'<h1>T</h1><img alt="A boat" src="data:image/png;base64,{IMAGE}">{P}',
    "unquoted image": f"<h1>T</h1><img src=data:image/png;base64,{IMAGE}>{P}",
    "inline style": f'<h1>T</h1><style>a{{background:url("data:{IMAGE}")}}</style>{P}',
    "script of data": f"<h1>T</h1><script>window.x = {JSON};</script>{P}",
    "scripts of program": f"<h1>T</h1><script>{PROGRAM}</script>{P}" * 20,
    "script in upper case": f"<h1>T</h1><SCRIPT>{PROGRAM}</SCRIPT>{P}",
    "program in a comment": f"<h1>T</h1><!-- {PROGRAM} -->{P}",
    "data attributes": f"<h1>T</h1><div data-x='{JSON[:100_000].replace(chr(39), '')}'></div>{P}",
    "long title attribute": f'<h1>T</h1><div title="{prose(20_000)}">x</div>{P}',
    "many attributes": "<h1>T</h1>" + f"<p {' '.join(f'a{n}=1' for n in range(200))}>x</p>" * 50,
    "wide forum": "<div><table><tr><td>"
    + f"<div><b>x</b><blockquote>{P}</blockquote></div>" * 9_999,
    "items left open": "<ul>" + "<li>x<p>y" * 40_000,
    "anchors left open": "<h1>T</h1>" + '<a name="x">y <p>' * 40_000,
    "more ends than starts": f"<h1>T</h1>{P}" + "</div></b>" * 9_000,
    "deep, but short": "<div>" * 900 + P,
}


@pytest.mark.parametrize("body", REAL.values(), ids=REAL)
def test_too_complex_big_page_that_people_wrote_passes(body) -> None:
    assert too_complex(page(body)) is None


def test_too_complex_empty_anchors_of_xhtml_do_not_nest() -> None:
    doctype = b'<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN">'
    body = page('<div id="x"/><a id="y"/><i class="icon" /><p>Words.</p>' * 3_000)
    assert too_complex(doctype + body) is None
    assert too_complex(body) == "too_deep"  # by HTML's rules the slash means nothing


def names(n: int) -> list[str]:
    return [f"a{number}" for number in range(n)]


MANY = MAX_ATTRIBUTES + 1
HOSTILE = {
    "tags": ("too_many_tags", "<br>" * (MAX_TAGS + 1)),
    "options": ("too_many_tags", "<select>" + "<OPTION>x" * 20_001),
    "less-than signs": ("too_many_tags", "<" * 2_000_000),
    "comments": ("too_many_tags", "<!-- x -->" * (MAX_TAGS + 1)),
    "attributes": ("too_many_attributes", f"<p {' '.join(names(MANY))}>x"),
    "attributes with values": ("too_many_attributes", f"<p {'=1 '.join(names(MANY))}>x"),
    "quoted ends of tags": ("too_many_attributes", f"""<p {'=">" '.join(names(MANY))}>x"""),
    "attributes without spaces": ("too_many_attributes", f"""<p {'="x"'.join(names(MANY))}>x"""),
    "attributes parted by slashes": ("too_many_attributes", f"<p {'/'.join(names(MANY))}>x"),
    "attributes on lines": ("too_many_attributes", "<p\n" + "=\n'y'\n".join(names(MANY)) + "\n>x"),
    "quote within a value": (
        "too_many_attributes",
        f"<p x=it's {' '.join(names(MANY))} y=it's>x",
    ),
    "attributes never ended": ("too_many_attributes", "<p " + " ".join(names(200_000))),
    "attributes after a script": (
        "too_many_attributes",
        f"<script>{PROGRAM}</script><p {' '.join(names(MANY))}>x",
    ),
    "attributes after a script in a comment": (
        "too_many_attributes",
        f"<!-- <script> --><p {' '.join(names(MANY))}>x<script></script>",
    ),
    "attributes of many tags": (
        "too_many_attributes",
        f"<p {' '.join(names(MANY))}>x" * 1_000,
    ),
    "depth": ("too_deep", "<div>" * 10_000),
    "depth of mixed tags": ("too_deep", "<B><i><u><s>" * 2_000),
    "depth of lists": ("too_deep", "<ul><li>" * 4_000),
    "depth with wrong ends": ("too_deep", "<div></font>" * 10_000),
    "depth with ends in comments": ("too_deep", "<div><!--</div>-->" * 10_000),
    "depth with ends in attributes": ("too_deep", '<div a="</div>">' * 10_000),
    "paragraphs at some depth": ("too_deep", "<div>" * 500 + "<p>x" * 20_000),
}


@pytest.mark.parametrize(("reason", "body"), HOSTILE.values(), ids=HOSTILE)
def test_too_complex_names_what_no_one_wrote(reason, body) -> None:
    assert too_complex(page(body)) == reason


def test_too_complex_limits_are_inclusive() -> None:
    assert too_complex(b"<" * MAX_TAGS) is None
    assert too_complex(b"<" * (MAX_TAGS + 1)) == "too_many_tags"
    assert too_complex(f"<p {' '.join(names(MAX_ATTRIBUTES))}>".encode()) is None
    filler = b"<p>" * 6_000
    assert too_complex(filler + b"<div>" * MAX_DEPTH) is None
    assert too_complex(filler + b"<div>" * (MAX_DEPTH + 1)) == "too_deep"
    n_within = MAX_TOTAL_DEPTH // 500 - 500
    assert too_complex(b"<div>" * 500 + b"<p>" * n_within) is None


# Each is a chance for one of the expressions to take time by the square of the length.
PIECES = [
    b"<p ",
    b"<p \"",
    b"<p a='<p b=\"",
    b"<p" + b" x" * 400 + b">",
    b"<p <p <p >",
    b"<p   =  ",
    b"<!--",
    b"<!-- -->",
    b"<div></div>",
    b"<script>i<n " + b"a " * 1_000 + b"</script>",
    b"<script>i<n " + b"a " * 1_000,
    b"<div a='",
    b"/ ",
    b" ",
    b"<i/>",
]  # fmt: skip


@pytest.mark.parametrize("start", [b"", b"<a", b"<!DOCTYPE html PUBLIC 'xhtml'>"])
@pytest.mark.parametrize("piece", PIECES, ids=lambda piece: str(piece[:14]))
def test_too_complex_takes_time_by_the_length(start, piece) -> None:
    html = start + piece * min(2_000_000 // len(piece), MAX_TAGS // max(1, piece.count(b"<")))
    began = time.process_time()
    too_complex(html)
    assert time.process_time() - began < 2.0  # by the square, most take minutes
