"""What the paper published of its ablations, to stand beside ours in tables.

Source: Li et al., "Self-Alignment with Instruction Backtranslation" (arXiv 2308.06259, ICLR 2024),
7B models, GPT-4 as the judge against text-davinci-003. The slopes of its scaling table are
`paper.PAPER_SCALING_COEFFICIENTS`; the intercepts of those lines were not published.
"""

from __future__ import annotations

from dataclasses import dataclass

# The seed model M_0, trained on 3,200 seed pairs alone: where all of the paper's curves begin.
PAPER_SEED_MODEL_RATE = 53.57
PAPER_SEED_MODEL_SIZE = 3_200

# What the paper says of a study that it shows as a figure, without a table of numbers.
PAPER_FINDINGS: dict[str, str] = {
    "quality_quantity": "Without curation the win rate does not rise with the amount of data; with "
    f"A_4 and A_5 it does. M_0: {PAPER_SEED_MODEL_RATE} at {PAPER_SEED_MODEL_SIZE:,} seeds.",
    "joint_training": "Seeds and curated pairs together do better than either alone; augmented "
    "pairs without curation do not rise with their number.",
    "iterations": "Two rounds; a third gave the rater recall, but lost precision.",
}


@dataclass(frozen=True)
class PaperAblation:
    """A published win rate: tags in training, tags at inference, percent, standard error."""

    tags_in_training: bool
    tags_at_inference: str
    rate: float
    standard_error: float


PAPER_SYSTEM_PROMPTS: tuple[PaperAblation, ...] = (
    PaperAblation(True, "both", 66.47, 3.04),
    PaperAblation(False, "none", 59.96, 3.09),
    PaperAblation(True, "seed", 62.69, 3.06),
    PaperAblation(True, "none", 62.70, 3.07),
)


def paper_system_prompt(tags_in_training: bool, tags_at_inference: str) -> PaperAblation | None:
    """The paper's row of these tags; None for a combination that it does not have."""
    for row in PAPER_SYSTEM_PROMPTS:
        if (row.tags_in_training, row.tags_at_inference) == (tags_in_training, tags_at_inference):
            return row
    return None
