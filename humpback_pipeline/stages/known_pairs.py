"""Pairs whose quality is known in some way: what every rater is measured on, and ranks by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import polars as pl

from humpback_pipeline.stages.file_sources import file_source
from humpback_pipeline.stages.seed import SEED_PAIRS
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Provenance, hash_text

if TYPE_CHECKING:
    from humpback_pipeline.seeds.evaluation_data import Preference

KnownSet = Literal["seed", "labelled", "hard", "preference"]
SEED, LABELLED, HARD, PREFERENCE = "seed", "labelled", "hard", "preference"
PREFERRED, OTHER = "preferred", "other"
# Below so many held-out seeds a percentile among them is too coarse; all seeds are taken then.
MIN_HELD_OUT_SEEDS = 50
_TEXTS_AT_ONCE = 5_000


@dataclass(frozen=True)
class KnownPair:
    """One pair to rate, and what is known of it.

    set: `seed`, human pairs that likelihoods are ranked against; `labelled` and `hard`, pairs
    labelled 1 (good) or 0; `preference`, the two outputs of one annotation. pair_id: unique over
    all sets, `<set>/<id>`, of a preference `preference/<prompt id>/1` and `/2`. label: None where
    there is none. kind: the flaw; `preferred` or `other`; or `seed`. seen: M_0 and M_yx were
    trained on its instruction or its output, which flatters what is measured on it.
    """

    set: KnownSet
    pair_id: str
    instruction: str
    output: str
    label: int | None
    kind: str
    seen: bool = False


def known_pairs(workspace: Workspace) -> list[KnownPair]:
    """All known pairs of the recipe, set after set, always in the same order.

    Seeds: the held-out ones if there are `MIN_HELD_OUT_SEEDS`, else all; the first
    curation.max_reference_pairs by the hash of their id. Preferences: the first
    evaluation.max_preferences prompts by hash, without draws and empty outputs, which have nothing
    to rate. Raises NotMaterializedError before `seed_pairs` is made, SeedDataError.
    """
    from humpback_pipeline.seeds.evaluation_data import read_labelled_pairs, read_preferences

    evaluation = workspace.recipe.evaluation
    seeds = workspace.datasets.read(SEED_PAIRS)
    pairs = list(_seeds(seeds, workspace.recipe.curation.max_reference_pairs))
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
    return _marked(pairs, seeds.filter(pl.col("split") == "train"))


def known_pairs_sources(workspace: Workspace) -> Provenance:
    """Provenance of all that `known_pairs` reads. Raises NotMaterializedError without seeds."""
    evaluation = workspace.recipe.evaluation
    seeds = workspace.datasets.manifest(SEED_PAIRS)
    own = Provenance(datasets={seeds.key: seeds.content_hash})
    files = ("labelled_pairs", "hard_pairs", "preferences")
    read = [
        file_source(path, f"evaluation.{field}")
        for field in files
        if (path := getattr(evaluation, field)) is not None
    ]
    return own.merged([seeds.provenance, *read])


def _seeds(seeds: pl.DataFrame, n_most: int) -> Iterator[KnownPair]:
    held_out = seeds.filter(seeds["split"] == "dev")
    rows = (held_out if held_out.height >= MIN_HELD_OUT_SEEDS else seeds).to_dicts()
    rows.sort(key=lambda row: hash_text(row["pair_id"]))
    for row in rows[:n_most]:
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


def _marked(pairs: Sequence[KnownPair], trained_on: pl.DataFrame) -> list[KnownPair]:
    """The pairs, those `seen` whose instruction or output is, word for word, that of a seed."""
    seen = [False] * len(pairs)
    for column in ("instruction", "output"):
        known = set(_text_keys(trained_on[column])) - {None}
        keys = _text_keys(pl.Series([getattr(one, column) for one in pairs], dtype=pl.String))
        seen = [was or key in known for was, key in zip(seen, keys, strict=True)]
    return [replace(one, seen=was) for one, was in zip(pairs, seen, strict=True)]


def _text_keys(texts: pl.Series) -> list[bytes | None]:
    """A digest of each text's words in order, case, punctuation and layout apart; None of none."""
    from humpback_pipeline.text.words import WordBatch

    keys: list[bytes | None] = []
    for first in range(0, len(texts), _TEXTS_AT_ONCE):
        batch = WordBatch(texts.slice(first, _TEXTS_AT_ONCE))
        digests = zip(batch.text_keys(), batch.n_words, strict=True)
        keys += [digest.tobytes() if n_words else None for digest, n_words in digests]
    return keys
