"""Seeds and curated pairs in one training set: how often each example is used (joint training)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humpback_pipeline.recipe_mixture import MixtureRecipe
from humpback_pipeline.training.counts import count_examples
from humpback_pipeline.training.examples import TrainingExample
from humpback_pipeline.training.uses import ExampleUses

# A share that needs more repeats than this would drill a handful of examples.
MAX_REPEATS = 100


@dataclass(frozen=True)
class Part:
    """Examples of one origin: how many there are, and how often they are used in an epoch."""

    n_examples: int
    n_uses: int
    n_tokens: int
    n_completion_tokens: int


@dataclass(frozen=True)
class Mixture:
    """One epoch: `examples` gives an example as often as it is used, without copies of it."""

    examples: ExampleUses
    seed: Part
    web: Part

    @property
    def n_distinct(self) -> int:
        """Different examples: the size of the data that the paper's table of steps goes by."""
        return self.seed.n_examples + self.web.n_examples

    def facts(self) -> dict[str, dict[str, float]]:
        """By origin: examples, uses in an epoch, their share of all uses, and tokens in them."""
        n_uses = max(1, self.seed.n_uses + self.web.n_uses)
        return {
            origin: {
                "examples": part.n_examples,
                "uses": part.n_uses,
                "share": part.n_uses / n_uses,
                "tokens": part.n_tokens,
                "completion_tokens": part.n_completion_tokens,
            }
            for origin, part in (("seed", self.seed), ("web", self.web))
        }


def mix(
    seeds: Sequence[TrainingExample],
    web: Sequence[TrainingExample],
    settings: MixtureRecipe,
    seed: int = 0,
) -> Mixture:
    """Seeds and curated examples in the recipe's ratio; the same for the same `seed`.

    Every example is used at least once. The side that falls short of its share is repeated: each
    example of it equally often, and some, drawn at random, once more. With one side empty there is
    no ratio to keep. Raises ValueError if a share needs an example more than 100 times.
    """
    n_seed, n_web = _uses(len(seeds), len(web), settings)
    generator = random.Random(seed)
    used_seeds = _repeated(len(seeds), n_seed, generator)
    used_web = _repeated(len(web), n_web, generator)
    return Mixture(
        examples=ExampleUses((seeds, web), np.concatenate([used_seeds, used_web + len(seeds)])),
        seed=_part(seeds, used_seeds),
        web=_part(web, used_web),
    )


def _uses(n_seed: int, n_web: int, settings: MixtureRecipe) -> tuple[int, int]:
    if settings.seed_share is None or not n_seed or not n_web:
        return n_seed * settings.seed_repeats, n_web
    odds = settings.seed_share / (1.0 - settings.seed_share)
    wanted = round(n_web * odds)
    uses = (wanted, n_web) if wanted >= n_seed else (n_seed, max(n_web, round(n_seed / odds)))
    repeats = max(uses[0] / n_seed, uses[1] / n_web)
    if repeats > MAX_REPEATS:
        raise ValueError(
            f"training.mixture.seed_share {settings.seed_share:g} of {n_seed:,} seeds and "
            f"{n_web:,} curated pairs needs examples {repeats:,.0f} times in an epoch; at most "
            f"{MAX_REPEATS} are allowed. Choose a share nearer to {n_seed / (n_seed + n_web):.3f}."
        )
    return uses


def _repeated(n_examples: int, n_uses: int, generator: random.Random) -> NDArray[np.int64]:
    """Which of a side's examples is used, for each use."""
    if not n_examples:
        return np.empty(0, np.int64)
    times, more = divmod(n_uses, n_examples)
    all_of_them = np.arange(n_examples, dtype=np.int64)
    extra = np.array(generator.sample(range(n_examples), more), dtype=np.int64)
    return np.concatenate([np.tile(all_of_them, times), extra])


def _part(examples: Sequence[TrainingExample], used: NDArray[np.int64]) -> Part:
    counts = count_examples(examples).at(used)
    return Part(
        n_examples=len(examples),
        n_uses=len(used),
        n_tokens=int(counts.n_tokens.sum()),
        n_completion_tokens=int(counts.n_completion_tokens.sum()),
    )
