"""The figures the paper published, to stand beside ours in tables.

Source: Li et al., "Self-Alignment with Instruction Backtranslation" (arXiv 2308.06259, ICLR 2024).
The paper's win rates were judged by GPT-4 on AlpacaEval's 805 prompts with LLaMA models of 7B to
65B parameters: they are context for a run, never a target that a small local run can be held to.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PaperDataStatistics:
    """One row of the paper's data statistics; lengths in characters (mean, standard deviation)."""

    dataset: str
    n_examples: int
    instruction_chars_mean: float
    instruction_chars_sd: float
    output_chars_mean: float
    output_chars_sd: float


@dataclass(frozen=True)
class PaperSelectionQuality:
    """One rater on 250 labelled pairs, 20 % positive; win rate of a 7B trained on its top 100."""

    rater: str
    precision: float
    recall: float
    win_rate: float
    win_rate_standard_error: float


@dataclass(frozen=True)
class PaperWinRate:
    """One AlpacaEval result against text-davinci-003, GPT-4 judge, in percent."""

    model: str
    rate: float
    standard_error: float | None = None


@dataclass(frozen=True)
class PaperImprovement:
    """Prompts that the seed model lost and the final model wins, of all prompts (paper 4.2)."""

    n_turned: int
    n_prompts: int
    categories: tuple[str, ...]


PAPER_DATA_STATISTICS: tuple[PaperDataStatistics, ...] = (
    PaperDataStatistics("Seed data", 3_200, 148, 322, 1072, 818),
    PaperDataStatistics("Augmented, curated A₅⁽²⁾", 41_821, 115, 175, 1663, 616),
    PaperDataStatistics("Augmented, curated A₄⁽²⁾", 195_043, 206, 298, 1985, 649),
    PaperDataStatistics("Augmented, all", 502_133, 352, 134, 1722, 653),
)

PAPER_SELECTION_QUALITY: tuple[PaperSelectionQuality, ...] = (
    PaperSelectionQuality("M₀", 0.44, 0.09, 35.71, 3.02),
    PaperSelectionQuality("M₁", 0.52, 0.44, 37.70, 3.06),
    PaperSelectionQuality("GPT-4", 0.88, 0.92, 41.04, 3.11),
)

PAPER_WIN_RATES: tuple[PaperWinRate, ...] = (
    PaperWinRate("Humpback 65B", 83.71, 1.31),
    PaperWinRate("Humpback 33B", 79.84),
    PaperWinRate("Guanaco 65B", 71.80),
    PaperWinRate("OASST RLHF 33B", 66.52),
    PaperWinRate("LIMA 65B", 62.70),
)

# α of w = α·log N + C, by instruction-tuning data set (paper, scaling coefficient table).
PAPER_SCALING_COEFFICIENTS: dict[str, float] = {
    "Humpback": 6.95,
    "WizardLM": 5.69,
    "Alpaca-GPT4": 5.40,
    "Vicuna": 4.53,
    "OA": 4.43,
    "LIMA": 2.86,
    "Alpaca": 1.99,
    "FLAN v2": 0.22,
}

PAPER_IMPROVEMENT = PaperImprovement(
    41, 251, ("reasoning", "information_seeking", "advice", "writing", "recipe")
)

# Share of the instructions whose root verb has a noun object, as the sunbursts plot them.
PAPER_SHARE_PARSED: dict[str, float] = {"Seed data": 0.08, "Augmented": 0.13}
