"""Pairs whose quality is known in some way: what every rater is measured on, and ranks by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from humpback_pipeline.stages.seed import SEED_PAIRS
from humpback_pipeline.stages.workspace import Workspace, file_source
from humpback_pipeline.storage import Provenance, hash_text

if TYPE_CHECKING:
    from humpback_pipeline.seeds.evaluation_data import Preference

KnownSet = Literal["seed", "labelled", "hard", "preference"]
SEED, LABELLED, HARD, PREFERENCE = "seed", "labelled", "hard", "preference"
PREFERRED, OTHER = "preferred", "other"
# Below so many held-out seeds a percentile among them is too coarse; all seeds are taken then.
MIN_HELD_OUT_SEEDS = 50


@dataclass(frozen=True)
class KnownPair:
    """One pair to rate, and what is known of it.

    set: `seed`, human pairs that likelihoods are ranked against; `labelled` and `hard`, pairs
    labelled 1 (good) or 0; `preference`, the two outputs of one annotation. pair_id: unique over
    all sets, `<set>/<id>`, of a preference `preference/<prompt id>/1` and `/2`. label: None where
    there is none. kind: the flaw; `preferred` or `other`; or `seed`.
    """

    set: KnownSet
    pair_id: str
    instruction: str
    output: str
    label: int | None
    kind: str


def known_pairs(workspace: Workspace) -> list[KnownPair]:
    """All known pairs of the recipe, set after set, always in the same order.

    Seeds: the held-out ones if there are `MIN_HELD_OUT_SEEDS`, else all; the first
    curation.max_reference_pairs by the hash of their id. Preferences: the first
    evaluation.max_preferences prompts by hash, without draws and empty outputs, which have nothing
    to rate. Raises NotMaterializedError before `seed_pairs` is made, SeedDataError.
    """
    from humpback_pipeline.seeds.evaluation_data import read_labelled_pairs, read_preferences

    evaluation = workspace.recipe.evaluation
    pairs = list(_seeds(workspace))
    labelled: list[tuple[KnownSet, str]] = [("labelled", str(evaluation.labelled_pairs))]
    if evaluation.hard_pairs is not None:
        labelled.append(("hard", str(evaluation.hard_pairs)))
    for name, path in labelled:
        pairs += [
            KnownPair(name, f"{name}/{p.pair_id}", p.instruction, p.output, p.label, p.kind)
            for p in read_labelled_pairs(path)
        ]
    if evaluation.preferences is not None:
        preferences = read_preferences(evaluation.preferences)
        pairs += _preferences(preferences, evaluation.max_preferences)
    return pairs


def known_pairs_sources(workspace: Workspace) -> Provenance:
    """Provenance of all that `known_pairs` reads. Raises NotMaterializedError without seeds."""
    evaluation = workspace.recipe.evaluation
    seeds = workspace.datasets.manifest(SEED_PAIRS)
    own = Provenance(datasets={seeds.key: seeds.content_hash})
    files = (evaluation.labelled_pairs, evaluation.hard_pairs, evaluation.preferences)
    read = [file_source(path) for path in files if path is not None]
    return own.merged([seeds.provenance, *read])


def _seeds(workspace: Workspace) -> Iterator[KnownPair]:
    seeds = workspace.datasets.read(SEED_PAIRS)
    held_out = seeds.filter(seeds["split"] == "dev")
    rows = (held_out if held_out.height >= MIN_HELD_OUT_SEEDS else seeds).to_dicts()
    rows.sort(key=lambda row: hash_text(row["pair_id"]))
    for row in rows[: workspace.recipe.curation.max_reference_pairs]:
        pair_id = f"{SEED}/{row['pair_id']}"
        yield KnownPair("seed", pair_id, row["instruction"], row["output"], None, SEED)


def _preferences(preferences: Iterable[Preference], n_most: int) -> Iterator[KnownPair]:
    decided = [p for p in preferences if p.preferred is not None and p.output_1 and p.output_2]
    decided.sort(key=lambda p: hash_text(p.prompt_id))
    for p in decided[:n_most]:
        for number, output in enumerate((p.output_1, p.output_2), start=1):
            kind = PREFERRED if number == p.preferred else OTHER
            pair_id = f"{PREFERENCE}/{p.prompt_id}/{number}"
            yield KnownPair("preference", pair_id, p.instruction, output, None, kind)
