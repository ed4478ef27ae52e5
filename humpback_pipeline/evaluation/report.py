"""The report: one self-contained HTML page with a run's tables and plots."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from .paper import PAPER_DATA_STATISTICS, PAPER_SELECTION_QUALITY, PAPER_WIN_RATES
from .plots import is_wide_png, png_data_uri
from .report_data import ReportData, WinRateRow

if TYPE_CHECKING:
    from jinja2 import Environment

TOP = "top"
# The sections of the template, whose ids and places it knows.
BUILT_IN = {
    "funnel": "From pages to pairs",
    "models": "Models",
    "ratings": "Ratings",
    "curated": "Curated sets",
    "selection": "Selection quality",
    "win-rates": "Win rates",
    "statistics": "Data statistics",
    "diversity": "Instruction diversity",
    "figures": "Further figures",
    "timings": "Time and cost",
    "provenance": "Provenance",
}
_MINUS = "−"
_FEW_PROMPTS = 100
_SHOWN_OUTPUT_CHARS = 1_200


@dataclass(frozen=True)
class KeyNumber:
    """One figure of the summary: the number, what it is, and a word of context."""

    value: str
    label: str
    context: str = ""


def render_report(data: ReportData) -> str:
    """Return the run's report as one HTML page.

    The page needs no network: style is inline, images are data URIs. All text is escaped. Parts of
    `data` that are None or empty are named as not computed instead of being shown.
    """
    template = _environment().get_template("report.html.jinja")
    return template.render(
        data=data,
        contents=contents(data),
        key_numbers=key_numbers(data),
        win_rate_notes=win_rate_notes(data.win_rates or [], data.win_rates_are_compared),
        paper_statistics=PAPER_DATA_STATISTICS,
        paper_selection=PAPER_SELECTION_QUALITY,
        paper_win_rates=PAPER_WIN_RATES,
    )


def contents(data: ReportData) -> list[tuple[str, str]]:
    """Id and title of every section, in the order of the page.

    Raises ValueError for a section that is to follow one that there is not.
    """
    if unknown := {part.after for part in data.sections} - {TOP, *BUILT_IN}:
        raise ValueError(f"report: no section {', '.join(sorted(unknown))} to follow")
    listed: list[tuple[str, str]] = []
    for name in (TOP, *BUILT_IN):
        if name in BUILT_IN and (name != "figures" or data.figures):
            listed.append((name, BUILT_IN[name]))
        listed += [(part.id, part.title) for part in data.sections if part.after == name]
    return listed


def key_numbers(data: ReportData) -> list[KeyNumber]:
    """Return the figures that sum the run up, of those that were computed."""
    numbers = []
    if data.funnel:
        first, last = data.funnel[0], data.funnel[-1]
        numbers.append(
            KeyNumber(f"{last.rows:,}", last.stage, f"from {first.rows:,} {first.stage.lower()}")
        )
    if data.curated_sets:
        curated = data.curated_sets[-1]
        share = f"{curated.rows / curated.n_rated:.0%} of the rated, " if curated.n_rated else ""
        numbers.append(
            KeyNumber(
                f"{curated.rows:,}",
                f"pairs in {curated.name}",
                f"{share}rating ≥ {curated.threshold:.2f}",
            )
        )
    if data.models:
        model = data.models[-1]
        if model.loss_before is not None and model.loss_after is not None:
            change = format_change(model.loss_after - model.loss_before)
            numbers.append(
                KeyNumber(
                    f"{model.loss_after:.3f}",
                    f"held-out loss of {model.name}",
                    f"{change} from {model.loss_before:.3f} before training",
                )
            )
    if data.selection_quality:
        quality = data.selection_quality[-1]
        numbers.append(
            KeyNumber(
                f"{quality.precision:.2f} / {quality.recall:.2f}",
                f"precision / recall of {quality.rater}",
                f"on {quality.n:,} labelled pairs",
            )
        )
    if data.win_rates:
        final = data.win_rates[-1]
        known_to = f"± {format_number(final.standard_error, 1)}"
        if final.interval:
            low, high = (format_number(bound, 1) for bound in final.interval)
            known_to = f"95 % {low}–{high}"
        numbers.append(
            KeyNumber(
                f"{final.rate:.1f} %",
                f"win rate of {final.model}",
                f"{known_to}, over {final.n:,} prompts",
            )
        )
    if data.timings:
        total_s = sum(timing.seconds for timing in data.timings)
        numbers.append(KeyNumber(format_duration(total_s), "time in steps", "sum over the steps"))
    return numbers


def win_rate_notes(rows: list[WinRateRow], are_compared: bool = False) -> list[str]:
    """Return sentences on how far the win rates can be trusted: sample size, first against last.

    are_compared: a paired test says the latter elsewhere, and better.
    """
    notes = []
    n_least = min((row.n for row in rows), default=_FEW_PROMPTS)
    if n_least < _FEW_PROMPTS:
        notes.append(
            f"Few prompts (n = {n_least}): near 50 % the standard error alone can reach "
            f"{50 / math.sqrt(n_least):.1f} points. Read these figures as a direction, not a rank."
        )
    if len(rows) > 1 and not are_compared:
        first, last = rows[0], rows[-1]
        difference = last.rate - first.rate
        error = math.hypot(first.standard_error, last.standard_error)
        if not math.isnan(error):
            verdict = (
                "more than two standard errors: unlikely to be chance"
                if abs(difference) > 2 * error
                else "within two standard errors: these prompts cannot tell the two apart"
            )
            notes.append(
                f"{last.model} against {first.model}: {format_change(difference, 1)} points, "
                f"standard error {error:.1f} (taking the two as independent); {verdict}."
            )
    return notes


def format_number(value: float | None, decimals: int = 0) -> str:
    """Return a number with thousands separators; "–" for None and NaN."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:,.{decimals}f}".replace("-", _MINUS)


def format_change(value: float, decimals: int = 3) -> str:
    """Return a difference with its sign."""
    return f"{value:+,.{decimals}f}".replace("-", _MINUS)


def format_duration(seconds: float) -> str:
    """Return a duration as people write it: 42 s, 3 min 20 s, 2 h 05 min."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest_s:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def clip_text(text: str, max_chars: int = _SHOWN_OUTPUT_CHARS) -> str:
    """Return the text, cut at `max_chars` characters with a note of how many are left out."""
    if len(text) <= max_chars:
        return text
    return f"{text[:max_chars].rstrip()} … [{len(text) - max_chars:,} more characters]"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("humpback_pipeline.evaluation", package_path=""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=format_number,
        change=format_change,
        duration=format_duration,
        clip=clip_text,
        data_uri=png_data_uri,
        wide=is_wide_png,
    )
    return environment
