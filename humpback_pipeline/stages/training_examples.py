"""The examples that a model is trained on and measured with, from datasets of any size.

Pairs are read, rendered and written a few at a time; the training reads each when it needs it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import polars as pl

from humpback_pipeline.stages.ablation_names import TaggedPairs
from humpback_pipeline.stages.pair_batches import pair_batches
from humpback_pipeline.stages.seed import SEED_PAIRS
from humpback_pipeline.stages.workspace import Workspace

if TYPE_CHECKING:
    from humpback_pipeline.training import Mixture, TrainingPair
    from humpback_pipeline.training.example_files import StoredExamples

Direction = Literal["forward", "backward"]
PAIR_COLUMNS = ("pair_id", "instruction", "output")
ROWS_AT_ONCE = 1_000
EVERY = pl.lit(True)


@dataclass(frozen=True)
class TrainingData:
    """What a model is trained on and measured with.

    n_pairs: dataset → pairs of it to train on; dropped, held_out_dropped: reason → pairs left out.
    """

    mixture: Mixture
    held_out: StoredExamples
    n_pairs: dict[str, int]
    dropped: dict[str, int]
    held_out_dropped: dict[str, int]


@dataclass(frozen=True)
class _Part:
    examples: StoredExamples
    dropped: Counter[str]

    @property
    def n_pairs(self) -> int:
        return len(self.examples) + self.dropped.total()


def write_training_examples(
    workspace: Workspace,
    direction: Direction,
    folder: Path,
    curated_set: str | None = None,
    tagged: TaggedPairs | None = None,
) -> TrainingData:
    """Render the seeds' splits, and a curated set if there is one, into files in `folder`.

    With `tagged` its rows of origin `seed` are the seeds to train on, the others the curated pairs.
    Raises NotMaterializedError, chat.RenderingError, and what `mix` raises.
    """
    from humpback_pipeline.training import mix

    split, origin = pl.col("split"), pl.col("origin")
    if tagged is not None:
        curated_set = tagged.name
        seeds = _pairs(workspace, tagged.name, "seed", origin == "seed", tagged.partition)
        curated = _pairs(workspace, tagged.name, "web", origin != "seed", tagged.partition)
    else:
        seeds = _pairs(workspace, SEED_PAIRS, "seed", split == "train")
        curated = _pairs(workspace, curated_set, "web") if curated_set else iter(())
    dev = _pairs(workspace, SEED_PAIRS, "seed", split == "dev")
    of_seeds, of_curated, held_out = _write(
        workspace, direction, folder, {"seeds": seeds, "curated": curated, "held_out": dev}
    )
    settings = workspace.recipe.training
    return TrainingData(
        mixture=mix(of_seeds.examples, of_curated.examples, settings.mixture, settings.seed),
        held_out=held_out.examples,
        n_pairs={
            SEED_PAIRS: of_seeds.n_pairs,
            **({curated_set: of_curated.n_pairs} if curated_set else {}),
        },
        dropped=dict(of_seeds.dropped + of_curated.dropped),
        held_out_dropped=dict(held_out.dropped),
    )


def _write(
    workspace: Workspace,
    direction: Direction,
    folder: Path,
    parts: dict[str, Iterator[TrainingPair]],
) -> list[_Part]:
    from humpback_pipeline.models import load_tokenizer
    from humpback_pipeline.training.example_files import write_examples
    from humpback_pipeline.training.examples import rendered_examples

    recipe, written = workspace.recipe, []
    tokenizer = load_tokenizer(
        workspace.base_model.path, trust_remote_code=recipe.trust_remote_code
    )
    for name, pairs in parts.items():
        dropped: Counter[str] = Counter()

        def on_dropped(_: TrainingPair, reason: str, dropped: Counter[str] = dropped) -> None:
            dropped[reason] += 1

        examples = rendered_examples(
            pairs,
            workspace.prompts,
            tokenizer,
            direction,
            recipe.training.max_tokens,
            recipe.training.over_length,
            on_dropped=on_dropped,
        )
        written.append(_Part(write_examples(examples, folder / f"{name}.arrow"), dropped))
    return written


def _pairs(
    workspace: Workspace,
    name: str,
    origin: Literal["seed", "web"],
    where: pl.Expr = EVERY,
    partition: str | None = None,
) -> Iterator[TrainingPair]:
    """Pairs of a dataset's current version, in its order, of the rows for which `where` holds."""
    from humpback_pipeline.training import TrainingPair

    columns = [*PAIR_COLUMNS, *where.meta.root_names()]
    for frame in pair_batches(workspace, name, columns, ROWS_AT_ONCE, partition):
        for row in frame.filter(where).select(PAIR_COLUMNS).iter_rows(named=True):
            yield TrainingPair(**row, origin=origin)
