"""Parts of the recipe about the augmented set and its curation: candidates, ratings, selection."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from humpback_pipeline.recipe_section import Fraction, Section

ScorerName = Literal[
    "expected",
    "reasoned",
    "relevance",
    "completeness",
    "weakest_link",
    "combined",
    "external",
    "calibrated",
]


class SamplingRecipe(Section):
    """Nucleus sampling (paper section 3.1: T = 0.7, p = 0.9)."""

    temperature: float = Field(0.7, ge=0.0, le=2.0)
    top_p: float = Field(0.9, gt=0.0, le=1.0)
    max_new_tokens: int = Field(512, ge=1)


class InstructionFiltersRecipe(Section):
    """Which candidate instructions are degenerate; each is dropped by a named reason.

    Empty instructions and those cut at max_new_tokens are always dropped.
    """

    max_copied_fraction: Fraction | None = Field(
        0.8, description="Of the instruction's words, in long runs copied from the output."
    )
    same_language: bool = Field(True, description="As the output, where both can be told.")
    refusals: bool = Field(True, description="Drop 'I'm sorry, but as an AI …'.")
    prompt_leakage: bool = Field(True, description="Drop what repeats the backward prompt.")


class AugmentationRecipe(Section):
    """Self-augmentation: M_yx writes an instruction for each segment (paper section 2.2)."""

    sampling: SamplingRecipe = SamplingRecipe()
    candidates: int = Field(
        1, ge=1, le=64, description="Per segment; the likeliest given the segment is kept."
    )
    filters: InstructionFiltersRecipe = InstructionFiltersRecipe()
    retrain_backward_model: bool = Field(
        False,
        description="From iteration 2 on, train M_yx anew on seeds and curated pairs and rewrite.",
    )


class SelectionRecipe(Section):
    """Which rated pairs form the curated set; a pair must pass every rule that is given."""

    min_rating: float | None = Field(None, ge=1.0, le=5.0, description="A_4: 4.0; A_5: 4.5.")
    top_fraction: float | None = Field(None, gt=0.0, le=1.0)
    top_k: int | None = Field(None, ge=1, description="The best so many pairs.")
    target_precision: float | None = Field(
        None, gt=0.0, le=1.0, description="The lowest threshold that reaches it on labelled pairs."
    )
    near_duplicate_threshold: float | None = Field(
        0.8, gt=0.0, le=1.0, description="Jaccard similarity of two instructions' words."
    )

    @model_validator(mode="after")
    def _some_rule(self) -> SelectionRecipe:
        rules = (self.min_rating, self.top_fraction, self.top_k, self.target_precision)
        if all(rule is None for rule in rules):
            raise ValueError(
                "give min_rating (paper: 4.5), top_fraction, top_k or target_precision"
            )
        return self


class StopRecipe(Section):
    """When iterating ends early: the rest of the iterations carry the last result on."""

    min_jaccard: float | None = Field(
        None, gt=0.0, le=1.0, description="Overlap of A^(t) with A^(t-1) at or above this."
    )
    min_precision_gain: float | None = Field(
        None,
        ge=-1.0,
        le=1.0,
        description="Precision on labelled pairs gained less than this over the rater before.",
    )

    @model_validator(mode="after")
    def _some_rule(self) -> StopRecipe:
        if self.min_jaccard is None and self.min_precision_gain is None:
            raise ValueError("give min_jaccard, min_precision_gain or both")
        return self


class ReasonedRecipe(Section):
    """The paper's rating: a rationale is written first, then the score (paper table 19)."""

    samples: int = Field(1, ge=1, le=64, description="Rationales averaged for each pair.")
    sampling: SamplingRecipe = SamplingRecipe(max_new_tokens=128)


class ExternalScorerRecipe(Section):
    """A cross-encoder from elsewhere that rates pairs, by name or directory."""

    model: str = Field(description="hf:NAME or a directory with safetensors.")
    kind: Literal["nli", "cross_encoder", "reward"] = Field(
        description="nli: does the output entail an answer; the others give one number a pair."
    )
    max_tokens: int = Field(1_024, ge=16, description="A longer pair is cut and counted.")
    batch_size: int = Field(16, ge=1)


class CurationRecipe(Section):
    """Self-curation: rating and selection, iterated (paper section 2.3)."""

    iterations: int = Field(2, ge=1, le=20)
    scorer: ScorerName = "combined"
    reasoned: ReasonedRecipe = ReasonedRecipe()
    external: ExternalScorerRecipe | None = None
    max_reference_pairs: int = Field(
        500, ge=20, description="Seed pairs whose own likelihoods the likelihood scorers rank by."
    )
    selection: SelectionRecipe = SelectionRecipe(min_rating=4.5)
    stop: StopRecipe | None = None
    contamination_ngram_words: int = Field(
        13, ge=3, description="Pairs sharing such an n-gram with evaluation data are dropped."
    )

    @model_validator(mode="after")
    def _external_given(self) -> CurationRecipe:
        if self.scorer == "external" and self.external is None:
            raise ValueError("scorer 'external' needs the section curation.external (model, kind)")
        return self
