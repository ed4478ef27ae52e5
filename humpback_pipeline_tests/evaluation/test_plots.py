"""The plots: PNG images with what was asked for, also where there is little to show."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from humpback_pipeline.evaluation import (
    VerbNounCount,
    lengths_histogram,
    loss_curve,
    png_data_uri,
    ratings_histogram,
    scaling_plot,
    sunburst_plot,
    win_rate_bars,
)
from humpback_pipeline.evaluation.sunburst import _rings

PLOTS = {
    "ratings": lambda: ratings_histogram([1.0, 2.5, 4.5, 5.0], [4.0, 4.5]),
    "ratings, none": lambda: ratings_histogram([]),
    "lengths": lambda: lengths_histogram({"seed": [10, 20, 30], "web": [100, 900], "none": []}),
    "lengths, none": lambda: lengths_histogram({}),
    "loss": lambda: loss_curve([(0, 2.0), (1, 1.5)], [(0, 2.1), (1, 1.7)]),
    "loss, none": lambda: loss_curve([]),
    "scaling": lambda: scaling_plot({"all": ([10, 100], [40, 50]), "one": ([10], [30])}),
    "win rates": lambda: win_rate_bars([("m0", 40.0, 5.0), ("m1", 60.0, float("nan"))]),
    "win rates, none": lambda: win_rate_bars([]),
    "sunburst": lambda: sunburst_plot([VerbNounCount("write", "poem", 3)], "Seeds"),
    "sunburst, none": lambda: sunburst_plot([]),
}


@pytest.mark.parametrize("name", PLOTS)
def test_plot_is_a_png_with_ink_on_it(name):
    image = Image.open(io.BytesIO(PLOTS[name]()))
    assert image.format == "PNG"
    assert image.width >= 700
    assert np.asarray(image.convert("L")).min() < 140


def test_plot_of_same_numbers_has_same_bytes():
    assert PLOTS["loss"]() == PLOTS["loss"]()


def test_plot_changes_with_its_numbers():
    assert win_rate_bars([("m0", 40.0, 5.0)]) != win_rate_bars([("m0", 41.0, 5.0)])


def test_sunburst_rings_share_the_circle():
    counts = [VerbNounCount(f"v{i}", f"n{j}", i + j + 1) for i in range(30) for j in range(6)]
    inner, outer = _rings(counts, n_verbs=20, n_nouns=4)
    assert (len(inner), len(outer)) == (20, 80)
    assert inner[0].label == "v29"
    for ring in (inner, outer):
        assert sum(wedge.share for wedge in ring) == pytest.approx(1.0)
    assert sum(wedge.share for wedge in outer[:4]) == pytest.approx(inner[0].share)


def test_png_data_uri_holds_the_bytes():
    assert png_data_uri(b"abc") == "data:image/png;base64,YWJj"


def test_importing_evaluation_is_light():
    heavy = "matplotlib pandas sklearn spacy torch transformers datasets alpaca_eval dagster jinja2"
    code = (
        "import sys, humpback_pipeline.evaluation\n"
        f"print([name for name in {heavy.split()!r} if name in sys.modules])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert shown.strip() == "[]"
