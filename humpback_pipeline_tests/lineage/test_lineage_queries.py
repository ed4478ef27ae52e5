"""Lineage both ways: what a version came from, and which models a pair, page or shard reached."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_home import SmallHome, page_url, segment_id

from humpback_pipeline.lineage import Catalogue, NothingFoundError, UnknownArtefactError, ask
from humpback_pipeline.lineage.pairs import Hop
from humpback_pipeline.lineage.text import answer_lines
from humpback_pipeline.storage import hash_text

SEED_1 = f"seed-{hash_text('s1')[:16]}"
SEED_0 = f"seed-{hash_text('s0')[:16]}"


def trained(answer: object) -> set[tuple[str, str]]:
    return {
        (use.model.key, use.model.version)
        for use in answer.models  # type: ignore[attr-defined]
        if use.how == "trained"
    }


def hop_of(answer: object, key: str) -> Hop:
    (hop,) = [h for h in answer.hops if h.artefact.key == key]  # type: ignore[attr-defined]
    return hop


def test_model_leads_to_sets_ratings_parent_seeds_and_shards_with_versions(home: SmallHome) -> None:
    catalogue = Catalogue(home.home)
    tree = ask(catalogue, "m2").tree
    assert tree is not None
    nodes = {node.key: node for node in tree.walk()}
    expected = {"curated_set_2", "curation_scores_2/a", "m1", "curated_set_1", "m0", "seed_pairs"}
    expected |= {"clueweb_segments/a", "clueweb_segments/b", "corpus_selection", "backward_model"}
    assert expected < set(nodes)
    for key, node in nodes.items():
        assert node.artefact is not None
        assert node.artefact.version == catalogue.resolve(key).version
    sources = {(s.kind, s.name) for node in nodes.values() for s in node.sources}
    assert sources == {
        ("seed data", "seeds.jsonl"),
        ("WARC file", "a"),
        ("WARC file", "b"),
        ("base model", "wheel:base==1"),
        ("prompt", "backward"),
        ("prompt", "rating"),
        ("prompt", "tags"),
        ("file", "prompts.jsonl"),
    }
    assert [s.name for s in nodes["m2"].sources if s.kind == "base model"] == ["wheel:base==1"]
    assert nodes["seed_pairs"].sources[0].content_hash == hash_text("s0|s1|s2")


def test_old_model_leads_to_the_versions_of_its_time(home: SmallHome) -> None:
    old = {key: Catalogue(home.home).resolve(key).version for key in ("m1", "seed_pairs")}
    home.everything("s0", "s7", "s8")
    catalogue = Catalogue(home.home)
    assert not catalogue.resolve("m1", old["m1"]).is_whole
    answer = ask(catalogue, f"m1@{old['m1']}")
    assert answer.tree is not None
    versions = {n.key: n.artefact.version for n in answer.tree.walk() if n.artefact}
    assert versions["seed_pairs"] == old["seed_pairs"]
    assert versions["seed_pairs"] != catalogue.resolve("seed_pairs").version


def test_kept_pair_is_traced_through_every_step_to_its_models(home: SmallHome) -> None:
    answer = ask(Catalogue(home.home), f"web-{segment_id('a', 3)}")
    assert hop_of(answer, "clueweb_segments/a").row["url"] == page_url("a", 3)
    assert hop_of(answer, "corpus_selection").note == "selected"
    assert hop_of(answer, "augmented_set/a").row["instruction"].startswith("What about")
    assert hop_of(answer, "curation_scores_1/a").row["rating"] == pytest.approx(3.6)
    assert hop_of(answer, "curated_set_1").n_rows == 1
    assert {key for key, _ in trained(answer)} == {"m1", "m2"}
    assert [h.artefact.key for h in answer.hops][:3] == [
        "clueweb_segments/a",
        "corpus_selection",
        "augmented_set/a",
    ]


@pytest.mark.parametrize(
    ("n", "key", "why"),
    [
        (0, "curated_set_1", "rated 2.10, below the lowest kept, 3.10"),
        (4, "augmented_set/a", "selected, but no usable instruction: 1 empty"),
        (5, "corpus_selection", "not selected: near_duplicate of"),
    ],
)
def test_lost_pair_says_where_and_why_it_was_dropped(
    home: SmallHome, n: int, key: str, why: str
) -> None:
    answer = ask(Catalogue(home.home), f"web-{segment_id('a', n)}")
    assert why in hop_of(answer, key).note
    assert not answer.models


def test_segment_and_its_pair_are_one_question(home: SmallHome) -> None:
    catalogue = Catalogue(home.home)
    pair = ask(catalogue, f"web-{segment_id('b', 3)}")
    segment = ask(catalogue, segment_id("b", 3))
    assert (pair.kind, segment.kind) == ("pair", "segment")
    assert trained(pair) == trained(segment) != set()


def test_seed_pair_tells_training_from_measuring(home: SmallHome) -> None:
    catalogue = Catalogue(home.home)
    assert {key for key, _ in trained(ask(catalogue, SEED_1))} == {
        "backward_model",
        "m0",
        "m1",
        "m2",
    }
    held_out = ask(catalogue, SEED_0)
    assert not trained(held_out)
    assert {use.how for use in held_out.models} == {"held out"}


def test_models_of_versions_whose_data_are_gone_are_still_found(home: SmallHome) -> None:
    pair = f"web-{segment_id('a', 3)}"
    before = trained(ask(Catalogue(home.home), pair))
    held_out_before = ask(Catalogue(home.home), SEED_0)
    home.n_segments = 3  # the pair is in none of the new versions
    home.everything("s0", "s3")
    home.curated(1, ("a", "b"), min_rating=2.0)  # the last old curated set gives up its data
    catalogue = Catalogue(home.home)
    answer = ask(catalogue, pair)
    assert trained(answer) == before
    assert all(not use.model.is_whole for use in answer.models)
    assert {use.how for use in ask(catalogue, SEED_0).models} == {"held out"}
    assert {use.model.version for use in held_out_before.models} < {
        use.model.version for use in ask(catalogue, SEED_0).models
    }
    assert {key for key, _ in trained(ask(catalogue, SEED_1))} == {
        "backward_model",
        "m0",
        "m1",
        "m2",
    }


@pytest.mark.parametrize(
    ("query", "n_segments", "n_kept"),
    [
        (page_url("a", 2), 2, 2),
        (page_url("a", 0), 2, 0),
        ("https://www.a.example.org/page/1*", 2, 2),
        ("https://www.a.example.org/", 6, 2),
        ("www.a.example.org", 6, 2),
        ("a.example.org", 6, 2),
        ("EXAMPLE.org", 12, 4),
        ("www.a.example.org/page/1", 2, 2),
    ],
)
def test_page_prefix_and_host_lead_to_segments_and_models(
    home: SmallHome, query: str, n_segments: int, n_kept: int
) -> None:
    answer = ask(Catalogue(home.home), query)
    assert answer.kind == "page"
    assert len(answer.segments) == n_segments
    assert {use.n_rows for use in answer.models} == ({n_kept} if n_kept else set())
    assert all(segment.header for segment in answer.segments)


def test_host_is_not_matched_inside_another_name_or_in_a_query(home: SmallHome) -> None:
    for query in ("ample.org", "xww.a.example.org", "page.example.org"):
        with pytest.raises(NothingFoundError):
            ask(Catalogue(home.home), query)


def test_shard_counts_the_rows_that_its_models_were_trained_on(home: SmallHome) -> None:
    catalogue = Catalogue(home.home)
    for query in ("a", "a.warc.gz"):
        answer = ask(catalogue, query)
        assert answer.kind == "shard"
        assert {(use.model.key, use.n_rows) for use in answer.models} == {("m1", 2), ("m2", 2)}
    home.curated(1, ("b",))
    home.model("m1", ["seed_pairs", "curated_set_1"])
    answer = ask(Catalogue(home.home), "a")
    current = Catalogue(home.home).resolve("m1").version
    assert current not in {use.model.version for use in answer.models}
    assert hop_of(answer, "clueweb_segments/a").note.startswith("WARC file ")


def test_users_of_a_dataset_version_are_told_by_content(home: SmallHome) -> None:
    first = Catalogue(home.home).resolve("curated_set_1").version
    same = home.curated(1, ("a", "b"))
    other = home.curated(1, ("a", "b"), min_rating=3.6)
    home.model("m1", ["seed_pairs", "curated_set_1"])
    catalogue = Catalogue(home.home)
    made_before = ask(catalogue, "curated_set_1", same.version)
    assert ask(catalogue, "curated_set_1", first).models == made_before.models != ()
    newer = ask(catalogue, "curated_set_1")
    assert newer.artefact is not None
    assert newer.artefact.version == other.version
    assert {u.key for u in newer.users} == {"m1"}


def test_version_names_prefixes_and_words_are_understood(home: SmallHome) -> None:
    first = Catalogue(home.home).resolve("m0")
    second = home.model("m0", ["seed_pairs"], weights="other")
    catalogue = Catalogue(home.home)
    assert catalogue.resolve("m0").version == second.version
    assert catalogue.resolve("m0", "previous").version == first.version
    assert catalogue.resolve("m0", second.version[:-3]).version == second.version
    assert ask(catalogue, first.version).artefact == catalogue.resolve("m0", first.version)
    assert ask(catalogue, first.content_hash[:10]).artefact is not None
    with pytest.raises(UnknownArtefactError, match="several versions"):
        catalogue.resolve("m0", "2")
    with pytest.raises(UnknownArtefactError, match="no such version"):
        ask(catalogue, "m0@1999")
    with pytest.raises(UnknownArtefactError, match="did you mean curated_set_1"):
        catalogue.resolve("curated_set1")


@pytest.mark.parametrize(
    "query", ["", "  ", "web-0000", "no such thing", "https://nowhere.test/", "'; drop", "x" * 3000]
)
def test_unknown_query_says_what_can_be_asked(home: SmallHome, query: str) -> None:
    with pytest.raises(NothingFoundError, match="Ask for a model or dataset"):
        ask(Catalogue(home.home), query)


def test_partitioned_name_lists_its_parts(home: SmallHome) -> None:
    with pytest.raises(NothingFoundError, match="augmented_set/a, augmented_set/b"):
        ask(Catalogue(home.home), "augmented_set")


def test_empty_home_answers_that_there_is_nothing(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path)
    assert catalogue.keys() == []
    with pytest.raises(NothingFoundError):
        ask(catalogue, "m1")


def test_damaged_manifest_is_set_aside_and_named(home: SmallHome) -> None:
    folder = Catalogue(home.home).resolve("m0").folder
    home.model("m0", ["seed_pairs"], weights="other")
    catalogue = Catalogue(home.home)
    damaged = catalogue.versions("m0")[0].folder / "manifest.json"
    damaged.write_text('{"name": "m0"')
    catalogue = Catalogue(home.home)
    assert len(catalogue.versions("m0")) == 1
    assert list(catalogue.damaged) == [damaged.parent]
    assert damaged.parent.name == folder.name


def test_answers_print_without_control_characters(home: SmallHome) -> None:
    home.augmented("a", style="\x1b[31m\nred ")
    lines = list(answer_lines(ask(Catalogue(home.home), f"web-{segment_id('a', 3)}")))
    assert any("[31m red What about" in line for line in lines)
    assert all(line.isprintable() for line in lines)


def test_pages_of_text_show_trees_once_and_cut_long_lists(home: SmallHome) -> None:
    lines = list(answer_lines(ask(Catalogue(home.home), "m2"), limit=1))
    assert sum("see above" in line for line in lines) >= 2
    assert any("(--all shows them)" in line for line in lines)
    assert not any("see above" in line for line in lines if "clueweb_segments" in line)
