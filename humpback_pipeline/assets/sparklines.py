"""Small plots that an asset's page shows at once.

Dagster's UI renders Markdown inline only below 1,000 characters and hides the rest behind a click,
so these are tiny SVG drawings; the full plot stands beside each as a second entry.
"""

import base64
import html
from collections.abc import Sequence

import dagster as dg

INLINE_CHARS = 1_000
WIDTH, HEIGHT, TEXT_HEIGHT = 240, 48, 12
MAX_POINTS = 30
N_BARS = 20
COLOUR = "#4a90c2"


def line(values: Sequence[float], label: str) -> dg.MetadataValue:
    """A curve of `values`, thinned out to a few points; first and last value are written."""
    if not values:
        return dg.MetadataValue.md("No values.")
    step = max(1, (len(values) - 1) // (MAX_POINTS - 1) + 1)
    points = [*values[::step]]
    if (len(values) - 1) % step:
        points.append(values[-1])
    low, high = min(points), max(points)
    scale = (HEIGHT - 6) / ((high - low) or 1.0)
    gap = (WIDTH - 4) / max(1, len(points) - 1)
    path = " ".join(
        f"{2 + n * gap:.0f},{HEIGHT - 3 - (value - low) * scale:.0f}"
        for n, value in enumerate(points)
    )
    drawing = f'<polyline fill="none" stroke="{COLOUR}" stroke-width="2" points="{path}"/>'
    return _picture(drawing, f"{values[0]:.3f}", f"{values[-1]:.3f}", label)


def bars(values: Sequence[float], low: float, high: float, label: str) -> dg.MetadataValue:
    """A histogram of `values` between `low` and `high`."""
    if not values:
        return dg.MetadataValue.md("No values.")
    counts = [0] * N_BARS
    span = (high - low) or 1.0
    for value in values:
        share = min(1.0, max(0.0, (value - low) / span))
        counts[min(N_BARS - 1, int(share * N_BARS))] += 1
    gap = WIDTH / N_BARS
    scale = (HEIGHT - 2) / max(counts)
    path = "".join(
        f"M{(n + 0.5) * gap:.0f} {HEIGHT}v-{max(1.0, count * scale):.0f}"
        for n, count in enumerate(counts)
        if count
    )
    drawing = f'<path stroke="{COLOUR}" stroke-width="{gap - 2:.0f}" d="{path}"/>'
    return _picture(drawing, f"{low:g}", f"{high:g}", f"{label}, {len(values):,} values")


def _picture(drawing: str, left: str, right: str, label: str) -> dg.MetadataValue:
    bottom = HEIGHT + TEXT_HEIGHT
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{bottom}" '
        f'font-family="sans-serif" font-size="10" fill="#888">{drawing}'
        f'<text y="{bottom - 2}">{left}</text>'
        f'<text x="{WIDTH}" y="{bottom - 2}" text-anchor="end">{right}</text></svg>'
    )
    data = base64.b64encode(svg.encode()).decode()
    return dg.MetadataValue.md(f"![{html.escape(label)}](data:image/svg+xml;base64,{data})")
