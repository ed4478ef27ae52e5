"""What variants are trained on: who is in, who is out, and that smaller sets lie in larger ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from curated_home import SHARD, TOPICS, CuratedHome

from humpback_pipeline.recipe_ablations import AblationVariant
from humpback_pipeline.stages.ablation_data import NoPairsError, write_ablation_data
from humpback_pipeline.stages.ablation_names import SELF_INSTRUCT_PAIRS
from humpback_pipeline.stages.ablations import with_tags
from humpback_pipeline.storage import Manifest

RATINGS = [5.0, 4.8, 4.6, 4.4, 4.2, 4.0, 1.9, 1.8, 1.7, 1.6]
LABELLED = [5.0, 4.5, 4.0, 3.5, 2.0, 2.0, 4.2, 2.0]
N_TRAIN = 8


@pytest.fixture
def home(tmp_path: Path) -> CuratedHome:
    selection = "{min_rating: 4.0, near_duplicate_threshold: null}"
    home = CuratedHome(tmp_path, {"curation__selection": selection, "curation__iterations": 2})
    rows = {
        "pair_id": [f"seed-{n}" for n in range(N_TRAIN + 2)],
        "instruction": [f"What is number {n}?" for n in range(N_TRAIN + 2)],
        "output": [f"It is {n}." for n in range(N_TRAIN + 2)],
        "split": ["train"] * N_TRAIN + ["dev"] * 2,
    }
    frame = pl.DataFrame(rows)
    home.workspace.datasets.write("seed_pairs", frame, schema=dict(frame.schema))
    return home


def write(home: CuratedHome, name: str = "it", **fields: Any) -> Manifest:
    variant = AblationVariant(**{"study": "quality_quantity", **fields})
    return write_ablation_data(home.workspace, name, variant, [SHARD])


def segments(home: CuratedHome, name: str = "it") -> set[str]:
    rows = home.workspace.datasets.read("ablation_data", name)
    return {pair.removeprefix("web-") for pair in rows.filter(pl.col("origin") == "web")["pair_id"]}


def seeds(home: CuratedHome, name: str = "it") -> set[str]:
    rows = home.workspace.datasets.read("ablation_data", name)
    return set(rows.filter(pl.col("origin") == "seed")["pair_id"])


def test_smaller_draws_lie_within_larger_ones_and_need_no_rating(home: CuratedHome) -> None:
    for n in (2, 5):
        write(home, f"all-{n}", data="augmented", curated=False, size=n)
    small, large = segments(home, "all-2"), segments(home, "all-5")
    assert (len(small), len(large)) == (2, 5)
    assert small < large
    assert not seeds(home, "all-5")
    assert home.workspace.datasets.read("ablation_data", "all-5")["rating"].null_count() == 5


def test_another_seed_of_the_recipe_draws_others(home: CuratedHome) -> None:
    write(home, data="augmented", curated=False, size=5)
    first = segments(home)
    home.open(ablations__seed=1, curation__iterations=2)
    write(home, data="augmented", curated=False, size=5)
    assert segments(home) != first


@pytest.mark.parametrize(("lowest", "n"), [(4.5, 3), (4.0, 6)])
def test_a_k_is_all_that_is_rated_high_enough(home: CuratedHome, lowest: float, n: int) -> None:
    home.rate(2, RATINGS, LABELLED)
    manifest = write(home, data="augmented", min_rating=lowest)
    assert segments(home) == {f"s{i}" for i in range(n)}
    assert manifest.facts["n_augmented"] == n
    assert manifest.facts["dropped"] == {"low_rating": len(RATINGS) - n}


def test_the_best_are_picked_where_the_variant_says_so(home: CuratedHome) -> None:
    home.rate(1, RATINGS[::-1], LABELLED)
    home.select(1)
    write(home, pick="best", size=2, iteration=1)
    assert segments(home) == {"s9", "s8"}


def test_ratings_of_the_iteration_asked_for_decide(home: CuratedHome) -> None:
    home.rate(1, RATINGS[::-1], LABELLED)
    home.rate(2, RATINGS, LABELLED)
    write(home, "first", min_rating=4.5, iteration=1)
    write(home, "last", min_rating=4.5)
    assert segments(home, "first") == {"s9", "s8", "s7"}
    assert segments(home, "last") == {"s0", "s1", "s2"}


def test_without_a_rule_of_its_own_it_takes_from_the_recipes_curated_set(home: CuratedHome) -> None:
    home.rate(1, RATINGS, LABELLED)
    home.select(1)
    write(home, "whole", iteration=1)
    manifest = write(home, "some", iteration=1, size=3)
    assert segments(home, "whole") == {f"s{i}" for i in range(6)}
    assert len(segments(home, "some")) == 3
    assert segments(home, "some") < segments(home, "whole")
    assert "curated_set_1" in manifest.inputs


def test_seeds_are_of_the_train_split_and_fewer_lie_within_more(home: CuratedHome) -> None:
    write(home, "few", data="seed", seeds=3)
    write(home, "more", data="seed", seeds=6)
    manifest = write(home, "all", data="seed")
    assert seeds(home, "all") == {f"seed-{n}" for n in range(N_TRAIN)}
    assert len(seeds(home, "few")) == 3
    assert seeds(home, "few") < seeds(home, "more") < seeds(home, "all")
    assert (manifest.facts["n_seeds"], manifest.facts["n_augmented"]) == (N_TRAIN, 0)


def test_few_shot_prompting_draws_from_the_train_seeds(home: CuratedHome) -> None:
    write(home, study="baselines", method="few_shot")
    assert seeds(home) == {f"seed-{n}" for n in range(N_TRAIN)}


def test_without_curation_a_seeds_twin_and_a_repeat_stay_out_all_the_same(
    home: CuratedHome,
) -> None:
    instructions = [f"Ask about {topic}." for topic in TOPICS]
    home.write_pairs(["What is number 3?", *instructions[1:]])
    manifest = write(home, data="augmented", curated=False)
    assert segments(home) == {f"s{i}" for i in range(1, len(TOPICS))}
    assert manifest.facts["dropped"] == {"seed_instruction": 1}


def test_held_out_words_stay_out_without_curation(home: CuratedHome) -> None:
    from humpback_pipeline.seeds import read_evaluation_prompts

    prompts = read_evaluation_prompts(home.workspace.recipe.evaluation.prompts)
    longest = max((prompt.instruction for prompt in prompts), key=len)
    home.write_pairs([longest, *(f"Ask about {topic}." for topic in TOPICS[1:])])
    manifest = write(home, data="augmented", curated=False)
    assert "s0" not in segments(home)
    assert manifest.facts["dropped"] == {"contaminated": 1}


def test_more_than_there_is_is_all_there_is_and_the_facts_say_so(home: CuratedHome) -> None:
    facts = write(home, data="augmented", curated=False, size=500).facts
    assert (facts["n_augmented"], facts["augmented_wanted"]) == (len(TOPICS), 500)


def test_pool_is_chosen_before_ratings_are_looked_at(home: CuratedHome) -> None:
    home.rate(2, RATINGS, LABELLED)
    write(home, "pool", data="augmented", curated=False, pool=4)
    pool = segments(home, "pool")
    write(home, "best", pick="best", size=2, pool=4)
    ranked = sorted(pool, key=lambda name: int(name[1:]))
    assert segments(home, "best") == set(ranked[:2])


def test_self_instruct_takes_the_first_that_were_written(home: CuratedHome) -> None:
    frame = pl.DataFrame(
        {
            "pair_id": [f"self-{n}" for n in range(4)],
            "instruction": ["a", "b", "c", "d"],
            "output": ["1", "2", "3", "4"],
        }
    )
    home.workspace.datasets.write(SELF_INSTRUCT_PAIRS, frame, schema=dict(frame.schema))
    write(home, study="baselines", source="self_instruct", size=3)
    assert segments(home) == {"self-0", "self-1", "self-2"}
    assert len(seeds(home)) == N_TRAIN


def test_same_variant_is_written_once_and_another_table_is_no_reason(home: CuratedHome) -> None:
    first = write(home, data="augmented", curated=False, size=4)
    again = write(home, data="augmented", curated=False, size=4, study="joint_training")
    other = write(home, data="augmented", curated=False, size=5)
    assert again.version == first.version
    assert other.version != first.version


def test_rule_that_leaves_nothing_says_what_to_do(home: CuratedHome) -> None:
    home.rate(2, [1.0] * len(TOPICS), LABELLED)
    with pytest.raises(NoPairsError, match="lower its min_rating"):
        write(home, data="augmented", min_rating=4.5)


@pytest.mark.parametrize(
    ("tags", "system"),
    [("both", "S_a S_w"), ("seed", "S_a"), ("web", "S_w"), ("none", None)],
)
def test_tags_at_inference_are_those_asked_for(
    home: CuratedHome, tags: str, system: str | None
) -> None:
    home.open(chat__tag_seed="S_a", chat__tag_web="S_w")
    messages = with_tags(home.workspace, tags).prompts.forward_messages("Hi", "inference")
    found = [message["content"] for message in messages if message["role"] == "system"]
    assert found == ([system] if system else [])
