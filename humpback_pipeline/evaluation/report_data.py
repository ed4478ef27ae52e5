"""The plain values a report is made of; whatever is None or empty was not computed."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from .report_measure_rows import (
    DataStatisticsRow,
    DiversitySummary,
    PreferenceAgreementRow,
    SelectionQualityRow,
    WinRateRow,
)
from .report_record import ReportRecord
from .report_run_rows import (
    CuratedSet,
    FunnelStage,
    IterationRow,
    ModelSummary,
    RatingSummary,
    SamplePair,
    Timing,
)
from .report_sections import Figure, ReportSection

__all__ = [
    "CuratedSet",
    "DataStatisticsRow",
    "DiversitySummary",
    "Figure",
    "FunnelStage",
    "IterationRow",
    "ModelSummary",
    "PreferenceAgreementRow",
    "RatingSummary",
    "ReportData",
    "ReportSection",
    "SamplePair",
    "SelectionQualityRow",
    "Timing",
    "WinRateRow",
]


class ReportData(ReportRecord):
    """Everything `render_report` shows. Only the first three fields are required."""

    title: str
    created: datetime
    recipe_name: str
    recipe_yaml: str | None = None
    recipe_hash: str | None = None
    hashes: dict[str, str] = Field({})
    hardware: str | None = None
    judge: str | None = None
    funnel: list[FunnelStage] | None = None
    models: list[ModelSummary] | None = None
    ratings: list[RatingSummary] | None = None
    curated_sets: list[CuratedSet] | None = None
    iterations: list[IterationRow] = Field([])
    selection_quality: list[SelectionQualityRow] | None = Field(
        None, description="Of the scorer in use, a row for each rater; the last rated last."
    )
    selection_scorers: list[SelectionQualityRow] = Field([], description="Of all scorers.")
    selection_hard: list[SelectionQualityRow] = Field([], description="Same, on harder pairs.")
    preference_agreement: list[PreferenceAgreementRow] = Field([])
    selection_plot_png: bytes | None = None
    selection_notes: list[str] = Field([])
    win_rates: list[WinRateRow] | None = None
    win_rates_are_compared: bool = False
    win_rates_plot_png: bytes | None = None
    data_statistics: list[DataStatisticsRow] | None = None
    diversity: list[DiversitySummary] | None = None
    timings: list[Timing] | None = None
    figures: list[Figure] = Field([])
    sections: list[ReportSection] = Field([], description="Further ones, each after another.")
    notes: list[str] = Field([])
