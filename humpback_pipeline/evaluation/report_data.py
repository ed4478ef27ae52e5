"""The plain values a report is made of; whatever is None or empty was not computed."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from .diversity import InstructionDiversity
from .selection_quality import PrecisionRecall
from .win_rates import WinRate

_N_TOP_PAIRS = 5


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FunnelStage(_Record):
    """One stage of the data's way: rows that came out, and rows dropped there by reason."""

    stage: str
    rows: int = Field(ge=0)
    dropped: dict[str, int] = {}
    note: str | None = None


class ModelSummary(_Record):
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


class RatingSummary(_Record):
    """The ratings of one iteration."""

    iteration: int
    rater: str
    n: int
    mean: float | None = None
    sd: float | None = None
    histogram_png: bytes | None = None


class SamplePair(_Record):
    """One rated pair, shown to the reader."""

    rating: float
    instruction: str
    output: str
    url: str | None = None


class CuratedSet(_Record):
    """The pairs of one iteration at or above the threshold, and samples around it."""

    name: str
    threshold: float
    rows: int
    n_rated: int | None = None
    best: list[SamplePair] = []
    borderline: list[SamplePair] = []
    worst: list[SamplePair] = []


class IterationRow(_Record):
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


class SelectionQualityRow(_Record):
    """One rater and scorer on labelled pairs (see `precision_recall` and `compare_selection`)."""

    rater: str
    scorer: str = ""
    precision: float
    recall: float
    f1: float | None = None
    auc: float
    n_selected: int
    n_positive: int
    n: int
    threshold: float | None
    precision_interval: tuple[float, float] | None = None
    recall_interval: tuple[float, float] | None = None
    f1_interval: tuple[float, float] | None = None
    auc_interval: tuple[float, float] | None = None
    n_errors: int = 0
    few_pairs: bool = False
    cross_validated: bool = False

    @classmethod
    def of(cls, rater: str, measured: PrecisionRecall) -> SelectionQualityRow:
        """Return the row of a measurement."""
        return cls(rater=rater, **asdict(measured))


class PreferenceAgreementRow(_Record):
    """How often one rater and scorer agree with preferences (see `preference_agreement`)."""

    rater: str
    scorer: str
    agreement: float
    interval: tuple[float, float]
    agreement_when_shorter: float | None
    n_shorter: int
    n_ties: int
    n: int


class WinRateRow(_Record):
    """The win rate of one model over the reference answers, in percent (see `win_rate`)."""

    model: str
    rate: float
    standard_error: float
    n_wins: int
    n_losses: int
    n_draws: int
    n: int
    length_controlled_rate: float | None = None
    length_controlled_method: str | None = None

    @classmethod
    def of(cls, model: str, measured: WinRate) -> WinRateRow:
        """Return the row of a measurement."""
        values = asdict(measured)
        del values["n_unusable"]
        return cls(model=model, **values)


class DataStatisticsRow(_Record):
    """One row of `data_statistics`: pass `DataStatisticsRow(**row)` for row in `.to_dicts()`."""

    dataset: str
    n_examples: int
    instruction_chars_mean: float | None = None
    instruction_chars_sd: float | None = None
    output_chars_mean: float | None = None
    output_chars_sd: float | None = None


class DiversitySummary(_Record):
    """The diversity of one data set's instructions (see `instruction_diversity`)."""

    dataset: str
    n: int
    n_parsed: int
    share_parsed: float
    n_distinct_pairs: int
    distinct_1: float
    distinct_2: float
    seed_overlap: float | None = None
    share_near_copies: float | None = None
    top_pairs: list[str] = []
    sunburst_png: bytes | None = None

    @classmethod
    def of(
        cls, dataset: str, measured: InstructionDiversity, sunburst_png: bytes | None = None
    ) -> DiversitySummary:
        """Return the row of a measurement, with the verb–noun pairs that occur more than once."""
        values = asdict(measured)
        del values["n_total"], values["verb_nouns"]
        top_pairs = [f"{p.verb} {p.noun} ({p.n})" for p in measured.verb_nouns if p.n > 1]
        return cls(
            dataset=dataset, top_pairs=top_pairs[:_N_TOP_PAIRS], sunburst_png=sunburst_png, **values
        )


class Timing(_Record):
    """How long one step took, in seconds of wall clock, and what it cost in tokens."""

    step: str
    seconds: float
    tokens: int | None = None
    note: str | None = None


class Figure(_Record):
    """A further plot: PNG bytes, what it shows in words (the alt text), and a caption."""

    title: str
    png: bytes
    alt: str
    caption: str | None = None


class ReportData(_Record):
    """Everything `render_report` shows. Only the first three fields are required."""

    title: str
    created: datetime
    recipe_name: str
    recipe_yaml: str | None = None
    recipe_hash: str | None = None
    hashes: dict[str, str] = {}
    hardware: str | None = None
    judge: str | None = None
    funnel: list[FunnelStage] | None = None
    models: list[ModelSummary] | None = None
    ratings: list[RatingSummary] | None = None
    curated_sets: list[CuratedSet] | None = None
    iterations: list[IterationRow] = []
    selection_quality: list[SelectionQualityRow] | None = Field(
        None, description="Of the scorer in use, a row for each rater; the last rated last."
    )
    selection_scorers: list[SelectionQualityRow] = Field([], description="Of all scorers.")
    selection_hard: list[SelectionQualityRow] = Field([], description="Same, on harder pairs.")
    preference_agreement: list[PreferenceAgreementRow] = []
    selection_plot_png: bytes | None = None
    selection_notes: list[str] = []
    win_rates: list[WinRateRow] | None = None
    win_rates_plot_png: bytes | None = None
    data_statistics: list[DataStatisticsRow] | None = None
    diversity: list[DiversitySummary] | None = None
    timings: list[Timing] | None = None
    figures: list[Figure] = []
    notes: list[str] = []
