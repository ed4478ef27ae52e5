"""Rows of a report about how a run went: funnel, models, ratings, curated sets, time."""

from __future__ import annotations

from pydantic import Field

from .report_record import ReportRecord


class FunnelStage(ReportRecord):
    """One stage of the data's way: rows that came out, and rows dropped there by reason."""

    stage: str
    rows: int = Field(ge=0)
    dropped: dict[str, int] = Field({})
    note: str | None = None


class ModelSummary(ReportRecord):
    """One trained model; losses are nats per output token on held-out pairs."""

    name: str
    description: str | None = None
    loss_before: float | None = None
    loss_after: float | None = None
    n_held_out: int | None = None
    n_examples: int | None = None
    steps: int | None = None
    tokens: int | None = None
    tokens_per_s: float | None = None
    seconds: float | None = None
    loss_curve_png: bytes | None = None


class RatingSummary(ReportRecord):
    """The ratings of one iteration."""

    iteration: int
    rater: str
    n: int
    mean: float | None = None
    sd: float | None = None
    histogram_png: bytes | None = None


class SamplePair(ReportRecord):
    """One rated pair, shown to the reader."""

    rating: float
    instruction: str
    output: str
    url: str | None = None
    rationale: str | None = None


class CuratedSet(ReportRecord):
    """The pairs of one iteration at or above the threshold, and samples around it."""

    name: str
    threshold: float
    rows: int
    n_rated: int | None = None
    best: list[SamplePair] = Field([])
    borderline: list[SamplePair] = Field([])
    worst: list[SamplePair] = Field([])


class IterationRow(ReportRecord):
    """One iteration: its curated set against the last, its rater on labelled pairs.

    note: why iterating ended here, or what was carried on.
    """

    iteration: int
    rater: str
    rated: int
    kept: int
    lowest_rating: float | None = None
    jaccard: float | None = None
    gained: int | None = None
    lost: int | None = None
    rating_correlation: float | None = None
    precision: float | None = None
    precision_low: float | None = None
    precision_high: float | None = None
    recall: float | None = None
    auc: float | None = None
    note: str = ""


class Timing(ReportRecord):
    """How long one step took, in seconds of wall clock, and what it cost in tokens."""

    step: str
    seconds: float
    tokens: int | None = None
    note: str | None = None
