"""Small plots on the assets' pages: short enough for the UI to show them at once."""

from __future__ import annotations

import base64
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humpback_pipeline.assets import sparklines

FLOATS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=2_000)


def drawing(markdown: str) -> ElementTree.Element:
    encoded = re.fullmatch(r"!\[.*\]\(data:image/svg\+xml;base64,(.*)\)", markdown)
    assert encoded
    return ElementTree.fromstring(base64.b64decode(encoded[1]))


@given(FLOATS)
def test_any_curve_stays_inline_and_within_its_frame(values: list[float]) -> None:
    text = sparklines.line(values, "training loss of backward model M_yx").value
    assert len(text) < sparklines.INLINE_CHARS
    (polyline,) = drawing(text).iter("{http://www.w3.org/2000/svg}polyline")
    points = [tuple(map(float, point.split(","))) for point in polyline.attrib["points"].split()]
    assert all(0 <= x <= sparklines.WIDTH and 0 <= y <= sparklines.HEIGHT for x, y in points)


@given(FLOATS)
def test_any_histogram_stays_inline(values: list[float]) -> None:
    text = sparklines.bars(values, 0, max(values), "instruction length (characters)").value
    assert len(text) < sparklines.INLINE_CHARS
    drawing(text)


def test_histogram_has_a_bar_where_values_are() -> None:
    text = sparklines.bars([1.0, 1.0, 5.0], 1.0, 5.0, "ratings").value
    (path,) = drawing(text).iter("{http://www.w3.org/2000/svg}path")
    heights = [float(height) for height in re.findall(r"v-(\d+)", path.attrib["d"])]
    assert heights == pytest.approx([46, 23])


def test_no_values_say_so() -> None:
    assert sparklines.line([], "loss").value == sparklines.bars([], 0, 1, "x").value == "No values."
