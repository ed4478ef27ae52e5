"""Evaluation: win rates, selection quality, scaling, data statistics, diversity, the report.

Importing this package is cheap: pandas, scikit-learn, matplotlib, spaCy and jinja2 are imported
by the functions that need them.
"""

from .alpaca_eval_files import AlpacaEvalFileError, Annotation, read_annotations
from .annotation_rates import AnnotatedWinRate, win_rates_of_annotations
from .calibration import CalibrationTableMissingError
from .diversity import InstructionDiversity, VerbNounCount, distinct_n, instruction_diversity
from .length_control import LengthControlledWinRate, length_controlled_win_rate
from .paired_tests import PairedComparison, paired_comparison
from .paper import (
    PAPER_DATA_STATISTICS,
    PAPER_SCALING_COEFFICIENTS,
    PAPER_SELECTION_QUALITY,
    PAPER_WIN_RATES,
    PaperDataStatistics,
    PaperSelectionQuality,
    PaperWinRate,
)
from .plots import (
    lengths_histogram,
    loss_curve,
    png_data_uri,
    ratings_histogram,
    scaling_plot,
    win_rate_bars,
)
from .report import render_report
from .report_data import (
    CuratedSet,
    DataStatisticsRow,
    DiversitySummary,
    Figure,
    FunnelStage,
    ModelSummary,
    RatingSummary,
    ReportData,
    SamplePair,
    SelectionQualityRow,
    Timing,
    WinRateRow,
)
from .scaling import PromptInterval, ScalingFit, alpha_over_prompts, scaling_coefficient
from .selection_quality import PrecisionRecall, precision_recall
from .statistics import data_statistics
from .sunburst import sunburst_plot
from .tables import render_markdown_table, truncate_text
from .win_rates import WinRate, win_rate

__all__ = [
    "PAPER_DATA_STATISTICS",
    "PAPER_SCALING_COEFFICIENTS",
    "PAPER_SELECTION_QUALITY",
    "PAPER_WIN_RATES",
    "AlpacaEvalFileError",
    "AnnotatedWinRate",
    "Annotation",
    "CalibrationTableMissingError",
    "CuratedSet",
    "DataStatisticsRow",
    "DiversitySummary",
    "Figure",
    "FunnelStage",
    "InstructionDiversity",
    "LengthControlledWinRate",
    "ModelSummary",
    "PairedComparison",
    "PaperDataStatistics",
    "PaperSelectionQuality",
    "PaperWinRate",
    "PrecisionRecall",
    "PromptInterval",
    "RatingSummary",
    "ReportData",
    "SamplePair",
    "ScalingFit",
    "SelectionQualityRow",
    "Timing",
    "VerbNounCount",
    "WinRate",
    "WinRateRow",
    "alpha_over_prompts",
    "data_statistics",
    "distinct_n",
    "instruction_diversity",
    "length_controlled_win_rate",
    "lengths_histogram",
    "loss_curve",
    "paired_comparison",
    "png_data_uri",
    "precision_recall",
    "ratings_histogram",
    "read_annotations",
    "render_markdown_table",
    "render_report",
    "scaling_coefficient",
    "scaling_plot",
    "sunburst_plot",
    "truncate_text",
    "win_rate",
    "win_rate_bars",
    "win_rates_of_annotations",
]
