"""The two-ring sunburst of root verbs and their noun objects."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .diversity import VerbNounCount
from .plots import PALETTE, to_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INNER, _MIDDLE, _OUTER = 0.18, 0.56, 1.0
_SMALLEST_LABELLED = 0.007  # share of the circle; a narrower wedge cannot hold a readable word


@dataclass(frozen=True)
class _Wedge:
    label: str
    start: float
    share: float
    colour: tuple[float, float, float]


def sunburst_plot(
    verb_nouns: Iterable[VerbNounCount],
    title: str = "",
    *,
    n_verbs: int = 20,
    n_nouns: int = 4,
) -> bytes:
    """Return the PNG of a two-ring sunburst: root verbs inside, their commonest objects outside.

    verb_nouns: counts from `instruction_diversity`. n_verbs: commonest verbs shown. n_nouns:
    commonest objects shown of each. Angles are shares of what is shown, as in the paper's figure
    and in Self-Instruct's. With nothing to show the plot says so.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 6.4 if not title else 6.8), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlim=(-1.03, 1.03), ylim=(-1.03, 1.03), aspect="equal")
    axes.axis("off")
    if title:
        axes.set_title(title, fontsize=11)
    inner, outer = _rings(verb_nouns, n_verbs, n_nouns)
    if not inner:
        axes.text(0, 0, "no instruction had a root verb\nwith a noun object", ha="center")
    for wedge in inner:
        _draw(axes, wedge, _INNER, _MIDDLE, bold=True)
    for wedge in outer:
        _draw(axes, wedge, _MIDDLE, _OUTER, bold=False)
    return to_png(figure, dpi=120)


def _rings(
    verb_nouns: Iterable[VerbNounCount], n_verbs: int, n_nouns: int
) -> tuple[list[_Wedge], list[_Wedge]]:
    nouns_of: dict[str, Counter[str]] = defaultdict(Counter)
    for row in verb_nouns:
        nouns_of[row.verb][row.noun] += row.n
    verbs = sorted(nouns_of, key=lambda verb: (-nouns_of[verb].total(), verb))[:n_verbs]
    shown = {verb: nouns_of[verb].most_common(n_nouns) for verb in verbs}
    total = sum(n for nouns in shown.values() for _, n in nouns)
    inner, outer, start = [], [], 0.0
    for number, verb in enumerate(verbs):
        colour = _rgb(PALETTE[number % len(PALETTE)])
        share = sum(n for _, n in shown[verb]) / total
        inner.append(_Wedge(verb, start, share, _lighten(colour, 0.35)))
        for noun, n in shown[verb]:
            outer.append(_Wedge(noun, start, n / total, _lighten(colour, 0.65)))
            start += n / total
    return inner, outer


def _draw(axes: Axes, wedge: _Wedge, radius_in: float, radius_out: float, bold: bool) -> None:
    from matplotlib.patches import Wedge

    # Clockwise from twelve o'clock, the commonest verb first.
    theta_end = 90 - 360 * wedge.start
    theta_start = theta_end - 360 * wedge.share
    axes.add_patch(
        Wedge(
            (0, 0),
            radius_out,
            theta_start,
            theta_end,
            width=radius_out - radius_in,
            facecolor=wedge.colour,
            edgecolor="white",
            linewidth=1,
        )
    )
    if wedge.share < _SMALLEST_LABELLED:
        return
    middle = (theta_start + theta_end) / 2
    radius = (radius_in + radius_out) / 2
    is_left = 90 < middle % 360 < 270
    axes.text(
        radius * np.cos(np.radians(middle)),
        radius * np.sin(np.radians(middle)),
        wedge.label if len(wedge.label) <= 14 else wedge.label[:13] + "…",
        rotation=middle + 180 if is_left else middle,
        ha="center",
        va="center",
        fontsize=9 if wedge.share > 0.02 else 7,
        fontweight="bold" if bold else "normal",
        color="#1a1a1a",
    )


def _rgb(colour: str) -> tuple[float, float, float]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))  # type: ignore[return-value]


def _lighten(colour: tuple[float, float, float], by: float) -> tuple[float, float, float]:
    return tuple(channel + (1 - channel) * by for channel in colour)  # type: ignore[return-value]
