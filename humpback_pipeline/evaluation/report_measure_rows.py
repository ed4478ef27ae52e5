"""Rows of a report about what was measured: selection, win rates, the data."""

from __future__ import annotations

from dataclasses import asdict

from pydantic import Field

from .diversity import InstructionDiversity
from .report_record import ReportRecord
from .selection_quality import PrecisionRecall
from .win_rates import WinRate

_N_TOP_PAIRS = 5


class SelectionQualityRow(ReportRecord):
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


class PreferenceAgreementRow(ReportRecord):
    """How often one rater and scorer agree with preferences (see `preference_agreement`)."""

    rater: str
    scorer: str
    agreement: float
    interval: tuple[float, float]
    agreement_when_shorter: float | None
    n_shorter: int
    n_ties: int
    n: int


class WinRateRow(ReportRecord):
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
    interval: tuple[float, float] | None = None

    @classmethod
    def of(cls, model: str, measured: WinRate) -> WinRateRow:
        """Return the row of a measurement."""
        values = asdict(measured)
        del values["n_unusable"]
        return cls(model=model, interval=measured.interval, **values)


class DataStatisticsRow(ReportRecord):
    """One row of `data_statistics`: pass `DataStatisticsRow(**row)` for row in `.to_dicts()`."""

    dataset: str
    n_examples: int
    instruction_chars_mean: float | None = None
    instruction_chars_sd: float | None = None
    output_chars_mean: float | None = None
    output_chars_sd: float | None = None


class DiversitySummary(ReportRecord):
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
    top_pairs: list[str] = Field([])
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
