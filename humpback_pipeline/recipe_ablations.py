"""Part of the recipe about ablations: other models to train and judge, to see what matters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveInt, field_validator, model_validator

from humpback_pipeline.recipe_curation import ScorerName
from humpback_pipeline.recipe_section import Section
from humpback_pipeline.recipe_self_instruct import SelfInstructSettings

if TYPE_CHECKING:
    from humpback_pipeline.recipe import Recipe

# Which of the paper's tables, or of its reviewers' questions, a variant stands in.
Study = Literal[
    "quality_quantity",
    "joint_training",
    "system_prompts",
    "seed_count",
    "iterations",
    "scorers",
    "baselines",
]
# A variant's name is a partition in Dagster, a folder in the home, and part of a model's name.
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
DEFAULT_POOL = 2_000


def _listed(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return (value,)
    raise ValueError("give a number, or several in a list")


# One number or several, of which each makes a variant of its own; none: as many as there are.
Sizes = Annotated[tuple[PositiveInt, ...], BeforeValidator(_listed)]

_OF_CURATION = ("curated", "min_rating", "scorer", "pool", "iteration", "pick")


class AblationVariant(Section):
    """One model to compare with the final one, or several that differ in one number alone.

    What is left out is as in the final model: all seeds, the recipe's last curated set, both tags.
    """

    study: Study = Field(description="The table it stands in.")
    series: str | None = Field(
        None, description="Its curve or row; variants of a study may share it. Empty: its name."
    )
    method: Literal["train", "few_shot"] = Field(
        "train", description="few_shot: the base answers after examples, nothing is trained."
    )
    data: Literal["seed", "augmented", "both"] = Field("both", description="Trained on what.")
    source: Literal["web", "self_instruct"] = Field(
        "web", description="self_instruct: pairs that the base writes itself from the same seeds."
    )
    curated: bool = Field(True, description="false: augmented pairs of any rating.")
    min_rating: float | None = Field(
        None, ge=1.0, le=5.0, description="A_4: 4.0; A_5: 4.5. Empty: the recipe's curated set."
    )
    scorer: ScorerName | None = Field(
        None, description="Rate anew with this scorer, by the model that rated; empty: as rated."
    )
    pool: int | None = Field(
        None, ge=1, description="Choose from so many augmented pairs only; all unless rated anew."
    )
    iteration: int | None = Field(
        None, ge=1, description="Whose ratings and curated set; empty: the last iteration's."
    )
    pick: Literal["random", "best"] = Field(
        "random", description="Which `size` pairs: by hash, smaller sizes within larger, or best."
    )
    size: Sizes = Field((), description="Augmented pairs, or several numbers; empty: all.")
    seeds: Sizes = Field((), description="Seed pairs, or several numbers; empty: all.")
    shots: int = Field(5, ge=1, le=64, description="Examples in the prompt, with few_shot.")
    tags_in_training: bool = Field(True, description="S_a on seeds, S_w on augmented pairs.")
    tags_at_inference: Literal["both", "seed", "web", "none"] = "both"

    @model_validator(mode="after")
    def _consistent(self) -> AblationVariant:
        if self.method == "few_shot":
            self._refuse("method: few_shot trains nothing", "data", "source", "size", "seeds",
                         "tags_in_training", "tags_at_inference", *_OF_CURATION)  # fmt: skip
        else:
            self._refuse("only method: few_shot puts examples into the prompt", "shots")
        if self.data == "seed":
            self._refuse("data: seed uses no other pairs", "source", "size", *_OF_CURATION)
        if self.data == "augmented":
            self._refuse("data: augmented uses no seeds", "seeds")
        if self.source == "self_instruct":
            self._refuse("pairs of source: self_instruct are not rated", *_OF_CURATION)
            if not self.size:
                raise ValueError("source: self_instruct needs a size: how many pairs to write")
        if not self.curated:
            self._refuse("curated: false looks at no rating", "min_rating", "scorer", "pick")
        if self.pick == "best" and not self.size:
            raise ValueError("pick: best needs a size: how many pairs")
        if self.scorer is not None and self.min_rating is None and self.pick == "random":
            raise ValueError("a scorer needs pick: best with a size, or a min_rating")
        if len(self.size) > 1 and len(self.seeds) > 1:
            raise ValueError("give several numbers for size or for seeds, not for both")
        for name in ("size", "seeds"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ValueError(f"{name} holds a number twice")
        return self

    def _refuse(self, because: str, *fields: str) -> None:
        # By value and not by what was written: a recipe that was dumped whole reads back.
        defaults = {name: type(self).model_fields[name].default for name in fields}
        given = [f"{n} must be left out" for n in fields if getattr(self, n) != defaults[n]]
        if given:
            raise ValueError(f"{because}: {', '.join(given)}")

    @property
    def n_augmented(self) -> int | None:
        """How many augmented pairs a variant of one number wants; None: all."""
        return self.size[0] if self.size else None

    @property
    def n_seeds(self) -> int | None:
        """How many seed pairs a variant of one number wants; None: all."""
        return self.seeds[0] if self.seeds else None

    @property
    def reads_ratings(self) -> bool:
        """Whether it selects by ratings instead of taking the recipe's own curated set."""
        return self.uses_web and self.curated and not self.takes_curated_set

    @property
    def takes_curated_set(self) -> bool:
        """Whether its pairs are those of the recipe's curated set, all or some."""
        plain = self.min_rating is None and self.scorer is None and self.pool is None
        return self.uses_web and self.curated and plain

    @property
    def uses_web(self) -> bool:
        """Whether it is trained on augmented pairs from the crawl."""
        return self.method == "train" and self.data != "seed" and self.source == "web"

    def single(self) -> dict[str, AblationVariant]:
        """Ending of its name → a variant with one number; "" where it is one already."""
        for field in ("size", "seeds"):
            numbers = getattr(self, field)
            if len(numbers) > 1:
                return {f"-{n}": self.model_copy(update={field: (n,)}) for n in numbers}
        return {"": self}


class AblationsRecipe(Section):
    """Variants of the final model, each trained and judged as a partition of its own."""

    seed: int = Field(0, description="Of the hash that draws subsets: other ones, other draws.")
    self_instruct: SelfInstructSettings = SelfInstructSettings()
    variants: dict[str, AblationVariant] = Field({}, description="Name → what differs.")

    @field_validator("variants")
    @classmethod
    def _usable_names(cls, variants: dict[str, AblationVariant]) -> dict[str, AblationVariant]:
        names = [name + end for name, variant in variants.items() for end in variant.single()]
        for name in names:
            if not NAME_PATTERN.fullmatch(name):
                raise ValueError(
                    f"{name!r} is no name of a variant: lower-case letters, digits, - and _, up to "
                    "60 of them, the first a letter or digit"
                )
            if names.count(name) > 1:
                raise ValueError(f"two variants are called {name!r}; rename one")
        return variants

    def expanded(self) -> dict[str, AblationVariant]:
        """Every variant with one number, its series named; the keys are the partitions."""
        return {
            name + end: one.model_copy(update={"series": variant.series or name})
            for name, variant in self.variants.items()
            for end, one in variant.single().items()
        }


def check_ablations(recipe: Recipe) -> Mapping[str, AblationVariant]:
    """The recipe's variants, one number each.

    Raises ValueError where one needs what the rest of the recipe lacks: an iteration, or the
    settings of an external scorer.
    """
    n = recipe.curation.iterations
    variants = recipe.ablations.expanded()
    for name, variant in variants.items():
        if variant.iteration is not None and variant.iteration > n:
            raise ValueError(
                f"ablations.variants.{name}.iteration is {variant.iteration}, but "
                f"curation.iterations is {n}; name one from 1 to {n}, or iterate more often"
            )
        if variant.scorer == "external" and recipe.curation.external is None:
            raise ValueError(
                f"ablations.variants.{name}.scorer: 'external' needs the section "
                "curation.external (model, kind)"
            )
    return variants
