"""The rating of augmented pairs: a row each, nothing asked twice, nothing stale, kills borne."""

from __future__ import annotations

import gc
import json
import math
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from killed_raters import SHARDS, ledger_lines, rate_with_kills
from rating_home import (
    BACKWARD,
    N_SEEDS,
    RUBRIC,
    SEEDS,
    WEIGHTS,
    EngineLog,
    RatingHome,
    examples,
    save_models,
    watch_engines,
)

from humpback_pipeline.curation import SIGNALS
from humpback_pipeline.curation.likelihood_scorers import (
    EMPTY_PAIR,
    NO_NUMBER,
    rating_by_reference,
)
from humpback_pipeline.stages.iteration import write_curated_set
from humpback_pipeline.stages.rater_calibration import scoring_of, write_rater_calibration
from humpback_pipeline.stages.rating import (
    NO_DIGIT_MASS,
    SCORES_SCHEMA,
    write_curation_scores,
)
from humpback_pipeline.stages.seed import write_seed_pairs
from humpback_pipeline.stages.stopping import stopped_at
from humpback_pipeline.storage import Manifest, NotMaterializedError

N_PAIRS = {"a": 11, "b": 7}
N_ALL = sum(N_PAIRS.values())
CHUNK = 4  # RatingHome's generation.chunk_size
NAME = "curation_scores_1"
# A rationale is written first; short, as these models have nothing to say.
REASONED: dict[str, Any] = {
    "curation__scorer": "reasoned",
    "curation__reasoned__sampling__max_new_tokens": 6,
}
DIGITS = ("p1", "p2", "p3", "p4", "p5")
EXPECTED: dict[str, Any] = {"curation__scorer": "expected"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def unrated(models: Path, tmp_path_factory: pytest.TempPathFactory) -> RatingHome:
    """Two shards of augmented pairs, and M_0's calibration."""
    home = RatingHome.make(tmp_path_factory.mktemp("unrated") / "home", models)
    first = 0
    for shard, n in N_PAIRS.items():
        home.write_pairs(shard, first, n)
        first += n
    write_rater_calibration(home.open(), 1)
    return home


@pytest.fixture(scope="module")
def first_run() -> EngineLog:
    """What `rated` took."""
    return EngineLog()


@pytest.fixture(scope="module")
def rated(
    unrated: RatingHome, first_run: EngineLog, tmp_path_factory: pytest.TempPathFactory
) -> RatingHome:
    """Rated at one go by the demo's scorer, `combined`."""
    home = unrated.copied(tmp_path_factory.mktemp("rated") / "home")
    with pytest.MonkeyPatch.context() as patch:
        watch_engines(patch.setattr, first_run)
        rate(home)
    return home


@pytest.fixture(scope="module", autouse=True)
def _little_to_collect(rated: RatingHome) -> Iterator[None]:
    """Each engine's end collects garbage: not again and again among all that was imported."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def rated_thrice(rated: RatingHome, tmp_path_factory: pytest.TempPathFactory) -> RatingHome:
    """Shard b by two more scorers."""
    home = rated.copied(tmp_path_factory.mktemp("thrice") / "home")
    for fields in (EXPECTED, REASONED):
        rate(home, ["b"], **fields)
    return home


@pytest.fixture
def home(rated: RatingHome, tmp_path: Path) -> RatingHome:
    return rated.copied(tmp_path / "home")


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> EngineLog:
    return watch_engines(monkeypatch.setattr)


def rate(
    home: RatingHome, shards: Sequence[str] = SHARDS, iteration: int = 1, **fields: Any
) -> dict[str, Manifest]:
    return dict(write_curation_scores(home.open(**fields), iteration, shards))


def rows(home: RatingHome, shard: str, iteration: int = 1) -> pl.DataFrame:
    return home.open().datasets.read(f"curation_scores_{iteration}", shard)


def ids(shard: str) -> list[str]:
    return [f"{shard}-{i}" for i in range(N_PAIRS[shard])]


def test_every_pair_has_one_row_with_its_rating_and_signals(rated: RatingHome) -> None:
    for shard in SHARDS:
        frame = rows(rated, shard)
        assert dict(frame.schema) == {name: dtype() for name, dtype in SCORES_SCHEMA.items()}
        assert frame["segment_id"].to_list() == ids(shard)
        assert frame["rating"].is_between(1.0, 5.0).all()
        assert frame["rating"].n_unique() > 1
        own = frame.select("value", *SIGNALS)
        assert own.null_count().row(0) == (0,) * 4
        assert own.select(pl.all().is_finite().all()).row(0) == (True,) * 4
        # These are other scorers'.
        empty = [*DIGITS, "mass", "rationale", "error"]
        assert frame.select(empty).null_count().row(0) == (N_PAIRS[shard],) * len(empty)
        facts = rated.open().datasets.manifest(NAME, shard).facts
        assert facts["mean_rating"] == pytest.approx(frame["rating"].mean())
        told = {name: facts[name] for name in ("rater", "scorer", "n_out_of_range", "errors")}
        assert told == {"rater": "m0", "scorer": "combined", "n_out_of_range": 0, "errors": {}}


def test_ratings_are_ranks_among_what_the_rater_read_of_the_seeds(rated: RatingHome) -> None:
    workspace = rated.open()
    ledger = workspace.ledger("other")
    reference = scoring_of(workspace, 1, ledger=ledger, backward_ledger=ledger).reference
    assert reference is not None
    rank = rating_by_reference(reference, SIGNALS, lambda ranks: math.fsum(ranks) / len(ranks))
    for row in pl.concat(rows(rated, shard) for shard in SHARDS).iter_rows(named=True):
        assert (row["value"], row["rating"]) == pytest.approx(rank(row))


def test_backward_model_reads_all_shards_before_the_rater_starts(
    rated: RatingHome, first_run: EngineLog
) -> None:
    assert first_run.started == [BACKWARD, "m0"]
    # The text after its prompt, and alone; one shard after the other.
    assert [
        (model, name.split("-")[0], len(list(asked)))
        for (model, name), asked in groupby(
            first_run.asked, key=lambda asked: (asked[0], asked[2].split("-")[0])
        )
    ] == [(model, shard, 2 * N_PAIRS[shard]) for model in (BACKWARD, "m0") for shard in SHARDS]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"curation__selection": "{min_rating: 4.9}"},
        {"curation__selection": "{top_fraction: 0.1}", "curation__iterations": 7},
        {"curation__stop": "{min_jaccard: 0.5}", "generation__chunk_size": 2},
        {"evaluation__max_prompts": 2, "training__steps": 3},
    ],
    ids=["nothing", "threshold", "selection", "stop_rule", "elsewhere"],
)
def test_run_with_the_same_ratings_starts_no_engine_and_writes_nothing(
    rated: RatingHome, engines: EngineLog, fields: dict[str, Any]
) -> None:
    before = {shard: rated.open().datasets.manifest(NAME, shard).version for shard in SHARDS}
    again = rate(rated, **fields)
    assert {shard: manifest.version for shard, manifest in again.items()} == before
    assert engines.started == []


def test_rows_that_are_lost_come_back_from_the_ledger(
    home: RatingHome, rated: RatingHome, engines: EngineLog
) -> None:
    shutil.rmtree(home.open().datasets.versions(NAME, "a").folder)
    rate(home)
    assert engines.started == []
    for shard in SHARDS:
        assert rows(home, shard).equals(rows(rated, shard))


def test_shard_that_is_added_is_all_that_is_rated_and_compares_with_the_others(
    home: RatingHome, engines: EngineLog
) -> None:
    before = {shard: home.open().datasets.manifest(NAME, shard).version for shard in SHARDS}
    home.write_pairs("c", 3, 2)
    shutil.rmtree(home.folder / "home" / "ledgers")  # the rows are there
    after = rate(home, ["a", "b", "c"])

    assert {shard: after[shard].version for shard in SHARDS} == before
    assert engines.started == [BACKWARD, "m0"]
    assert sorted({request for _, _, request in engines.asked}) == ["c-0", "c-1"]
    assert len(engines.asked) == 2 * 4
    # The same pairs as two of shard a: a rating does not depend on its neighbours.
    twice = rows(home, "c").drop("segment_id")
    assert twice.equals(rows(home, "a")[3:5].drop("segment_id"))


def test_pair_that_is_rewritten_is_all_that_is_asked(home: RatingHome, engines: EngineLog) -> None:
    before = rows(home, "b")
    texts = home.open().datasets.read("augmented_set", "b").select("instruction", "output").rows()
    texts[2] = ("Name three rivers of Asia.", texts[2][1])
    home.write_texts("b", texts)
    rate(home)
    after = rows(home, "b")

    # The output alone reads as before.
    assert {request for _, _, request in engines.asked} == {"b-2"}
    assert engines.n_asked() == {(BACKWARD, "likelihoods"): 2, ("m0", "likelihoods"): 1}
    same = [i != 2 for i in range(N_PAIRS["b"])]
    assert after.filter(same).equals(before.filter(same))
    assert after["relevance_backward"][2] != before["relevance_backward"][2]


@pytest.mark.parametrize("fields", [EXPECTED, REASONED], ids=["expected", "reasoned"])
def test_grades_are_the_digits_mean_and_need_no_likelihoods(
    rated_thrice: RatingHome, fields: dict[str, Any]
) -> None:
    facts = rate(rated_thrice, ["b"], **fields)["b"].facts
    frame = rows(rated_thrice, "b")
    assert frame["segment_id"].to_list() == ids("b")
    for row in frame.iter_rows(named=True):
        digits = [row[name] for name in DIGITS]
        assert sum(digits) == pytest.approx(1.0)
        assert row["rating"] == pytest.approx(math.fsum(p * n for n, p in enumerate(digits, 1)))
        assert (row["rationale"] is not None) == (fields is REASONED)
        assert [row[name] for name in SIGNALS] == [None] * 3
    assert frame["mass"].is_between(0.0, 1.0).all()
    assert facts["mean_mass"] == pytest.approx(frame["mass"].mean())
    assert facts["n_without_digit"] == (frame["mass"] < NO_DIGIT_MASS).sum()


def test_grades_stand_when_what_they_do_not_read_has_changed(
    rated_thrice: RatingHome, models: Path, tmp_path: Path, engines: EngineLog
) -> None:
    home = rated_thrice.copied(tmp_path / "home")
    before = rate(home, ["b"], **EXPECTED)["b"].version
    home.write_model(BACKWARD, models / "other")
    write_rater_calibration(home.open(), 1)
    engines.forget()
    assert rate(home, ["b"], **EXPECTED)["b"].version == before
    assert engines.started == []


def test_other_reference_ranks_anew_what_has_been_read(
    home: RatingHome, engines: EngineLog
) -> None:
    before = rows(home, "a")
    home.write(SEEDS, examples("seed_pairs.jsonl", N_SEEDS - 3))
    write_seed_pairs(home.open())
    write_rater_calibration(home.open(), 1)
    engines.forget()
    rate(home)

    assert engines.started == []
    after = rows(home, "a")
    assert after.select(SIGNALS).equals(before.select(SIGNALS))
    assert (after["value"] != before["value"]).any()


def test_recipe_put_back_brings_its_rows_back(rated_thrice: RatingHome, engines: EngineLog) -> None:
    versions = [rate(rated_thrice, ["b"], **f)["b"].version for f in ({}, EXPECTED, REASONED, {})]
    assert versions[0] == versions[3]
    assert len(set(versions)) == 3
    assert engines.started == []


Change = Callable[[RatingHome, Path], Any]


def other_model(name: str) -> Change:
    return lambda home, models: home.write_model(name, models / "other")


def other_rubric(home: RatingHome, _: Path) -> None:
    (home.folder / RUBRIC).write_text("How good? 1 to 5.\n{instruction}\n---\n{output}\n")


def keep(*_: object) -> None:
    """Only the recipe changes."""


N = N_PAIRS["b"]
READ, READ_BACK = {("m0", "likelihoods"): 2 * N}, {(BACKWARD, "likelihoods"): 2 * N}
WRITTEN = {("m0", "generate"): N, ("m0", "choose"): N}
GRADED = {("m0", "choose"): N}
ALL_ASKED = {"combined": READ | READ_BACK, "expected": GRADED, "reasoned": WRITTEN}


@pytest.mark.parametrize(
    ("fields", "change", "asked"),
    [
        ({}, other_model("m0"), READ),
        ({}, other_model(BACKWARD), READ_BACK),
        ({"chat__tag_web": "Answer from the web."}, keep, READ),
        ({"generation__vllm__max_model_tokens": 128}, keep, READ | READ_BACK),
        ({}, other_rubric, {}),  # likelihoods need none
        (EXPECTED, other_model("m0"), GRADED),
        (EXPECTED, other_rubric, GRADED),
        (EXPECTED | {"generation__vllm__max_model_tokens": 128}, keep, GRADED),
        (REASONED, other_model("m0"), WRITTEN),
        (REASONED, other_rubric, WRITTEN),
        (REASONED | {"curation__reasoned__sampling__temperature": 1.3}, keep, WRITTEN),
        (REASONED | {"curation__reasoned__sampling__top_p": 0.4}, keep, WRITTEN),
        (REASONED | {"curation__reasoned__sampling__max_new_tokens": 9}, keep, WRITTEN),
        (REASONED | {"generation__seed": 5}, keep, WRITTEN),
        (
            REASONED | {"curation__reasoned__samples": 2},
            keep,
            {method: 2 * n for method, n in WRITTEN.items()},
        ),
    ],
    ids=[
        "read_by_other_m0",
        "read_by_other_backward_model",
        "read_after_other_tags",
        "read_in_a_shorter_window",
        "read_under_other_rubric",
        "graded_by_other_m0",
        "graded_by_other_rubric",
        "graded_in_a_shorter_window",
        "reasoned_by_other_m0",
        "reasoned_by_other_rubric",
        "reasoned_hotter",
        "reasoned_narrower",
        "reasoned_longer",
        "reasoned_by_other_seed",
        "reasoned_twice",
    ],
)
def test_what_has_changed_is_asked_anew_and_rated_as_in_a_home_without_ledgers(
    rated_thrice: RatingHome,
    models: Path,
    tmp_path: Path,
    engines: EngineLog,
    fields: dict[str, Any],
    change: Change,
    asked: dict[tuple[str, str], int],
) -> None:
    home = rated_thrice.copied(tmp_path / "home")
    before = {manifest.version for manifest in _history(home, "b")}
    change(home, models)
    manifest = rate(home, ["b"], **fields)["b"]
    assert engines.n_asked() == asked
    assert manifest.version not in before

    in_ledgers = rows(home, "b")
    shutil.rmtree(home.folder / "home" / "ledgers")
    shutil.rmtree(home.open().datasets.versions(NAME, "b").folder)
    engines.forget()
    fresh = rate(home, ["b"], **fields)["b"]
    assert engines.n_asked() == {**ALL_ASKED[fields.get("curation__scorer", "combined")], **asked}
    assert fresh.content_hash == manifest.content_hash
    assert rows(home, "b").equals(in_ledgers)


def _history(home: RatingHome, shard: str) -> Iterator[Manifest]:
    from humpback_pipeline.storage.versions import read_manifest

    for folder in home.open().datasets.versions(NAME, shard).history():
        yield read_manifest(folder)


def test_pairs_of_the_same_text_stay_rows_each_with_an_answer_of_its_own(
    unrated: RatingHome, tmp_path: Path, engines: EngineLog
) -> None:
    home = unrated.copied(tmp_path / "home")
    (text,) = examples("labelled_pairs.jsonl", 1)
    home.write_texts("same", [(text["instruction"], text["output"])] * 4)
    hot = REASONED | {"curation__reasoned__sampling__temperature": 1.5}
    manifest = rate(home, ["same"], **hot)["same"]
    frame = rows(home, "same")

    assert manifest.rows == 4
    assert frame["segment_id"].to_list() == [f"same-{i}" for i in range(4)]
    assert engines.n_asked() == {("m0", "generate"): 4, ("m0", "choose"): 4}
    # Sampled each by itself.
    assert frame["rationale"].n_unique() == 4
    # What is not sampled is equal.
    rate(home, ["same"])
    frame = rows(home, "same")
    assert (frame.height, frame.drop("segment_id").n_unique()) == (4, 1)


def test_raters_killed_at_any_point_end_with_the_rows_of_an_unkilled_one(
    unrated: RatingHome, rated: RatingHome, tmp_path: Path
) -> None:
    home = unrated.copied(tmp_path / "home")
    n_backward, n_answers = 2 * N_ALL, 4 * N_ALL
    kills = [  # most of them while a pass has more than a chunk before it
        2,  # M_yx reads a
        2 * N_PAIRS["a"] + 1,  # M_yx reads b
        n_backward + CHUNK,  # M_0 reads a
        n_backward + 2 * N_PAIRS["a"] + 1,  # a is written, and M_0 reads b
        n_answers - 1,  # M_0 is about to end
    ]
    *killed, last = rate_with_kills(home, kills)

    assert [attempt.ended for attempt in killed] == [-signal.SIGKILL] * len(kills)
    assert last.ended == 0
    n_before = 0
    for attempt, fatal in zip(killed, kills, strict=True):
        # What had been asked and was not on disk is all that a kill costs.
        assert 0 <= len(attempt.asked) - (attempt.n_saved - n_before) <= CHUNK
        assert fatal <= attempt.n_saved < n_answers
        n_before = attempt.n_saved
    assert len(last.asked) == n_answers - n_before
    assert [attempt.shards_done for attempt in killed] == [[], [], [], ["a"], ["a"]]
    # Those that came after M_yx had read all did not start it again.
    later = [*killed[3:], last]
    assert {model for attempt in later for model, _, _ in attempt.asked} == {"m0"}

    lines = ledger_lines(home)
    assert len(lines) == len(set(lines)) == n_answers
    assert sorted(lines) == sorted(ledger_lines(rated))
    for shard in SHARDS:
        assert rows(home, shard)["segment_id"].to_list() == ids(shard)
        assert rows(home, shard).equals(rows(rated, shard))
        written = [one.open().datasets.manifest(NAME, shard) for one in (home, rated)]
        assert written[0].content_hash == written[1].content_hash


@pytest.fixture(scope="module")
def twice_rated(
    rated: RatingHome, tmp_path_factory: pytest.TempPathFactory
) -> tuple[RatingHome, EngineLog]:
    """All pairs are kept in both iterations, so both curated sets are equal."""
    home = rated.copied(tmp_path_factory.mktemp("twice") / "home")
    for shard in SHARDS:
        urls = [f"https://{name}.example/" for name in ids(shard)]
        frame = pl.DataFrame({"segment_id": ids(shard), "url": urls})
        home.open().datasets.write(
            "clueweb_segments", frame, schema=dict(frame.schema), partition=shard
        )
    write_curated_set(home.open(**STOPPING), 1, SHARDS)
    write_rater_calibration(home.open(), 2)
    log = EngineLog()
    with pytest.MonkeyPatch.context() as patch:
        watch_engines(patch.setattr, log)
        rate(home, iteration=2, **STOPPING)
    write_curated_set(home.open(**STOPPING), 2, SHARDS)
    return home, log


STOPPING: dict[str, Any] = {
    "curation__selection": "{min_rating: 1.0, near_duplicate_threshold: null}",
    "curation__stop": "{min_jaccard: 0.9}",
}


def test_next_rater_rates_all_and_the_backward_model_has_read_it_already(
    twice_rated: tuple[RatingHome, EngineLog],
) -> None:
    home, log = twice_rated
    assert log.started == ["m1"]
    assert log.n_asked() == {("m1", "likelihoods"): 2 * N_ALL}
    for shard in SHARDS:
        first, second = rows(home, shard), rows(home, shard, 2)
        assert home.open().datasets.manifest("curation_scores_2", shard).facts["rater"] == "m1"
        assert second["segment_id"].to_list() == ids(shard)
        assert second["relevance_backward"].equals(first["relevance_backward"])
        assert (second["relevance_forward"] != first["relevance_forward"]).all()


def test_ratings_are_carried_on_without_an_engine_once_iterating_has_ended(
    twice_rated: tuple[RatingHome, EngineLog], tmp_path: Path, engines: EngineLog
) -> None:
    home = twice_rated[0].copied(tmp_path / "home")
    assert stopped_at(home.open(**STOPPING), 2) == 2
    # Neither M_2 nor its calibration is there, nor needed.
    third = rate(home, iteration=3, **STOPPING)
    assert engines.started == []
    for shard, manifest in third.items():
        assert rows(home, shard, 3).equals(rows(home, shard, 2))
        assert manifest.facts["carried_from"] == "curation_scores_2"
        assert manifest.facts["rater"] == "m1"
        assert manifest.inputs.keys() == {f"curation_scores_2/{shard}"}
    assert list(third) == list(SHARDS)
    again = rate(home, iteration=3, **STOPPING)
    assert [m.version for m in again.values()] == [m.version for m in third.values()]

    # A shard that is rated anew is carried anew, and only that one.
    home.write_pairs("b", 0, 3)
    rate(home, iteration=2, **STOPPING)
    engines.forget()
    after = rate(home, iteration=3, **STOPPING)
    assert after["a"].version == third["a"].version
    assert rows(home, "b", 3).equals(rows(home, "b", 2))
    assert rows(home, "b", 3).height == 3
    assert engines.started == []


@pytest.mark.parametrize("rule", ["null", "{min_jaccard: 0.9}"])
def test_ratings_are_not_carried_on_while_iterating_goes_on(
    twice_rated: tuple[RatingHome, EngineLog], tmp_path: Path, rule: str
) -> None:
    home = twice_rated[0].copied(tmp_path / "home")
    fields = STOPPING | {"curation__stop": rule}
    if rule != "null":  # the set that ended it is made anew, and no longer ends it
        frame = home.open().datasets.read("curated_set_2")
        home.open().datasets.write(
            "curated_set_2", frame, schema=dict(frame.schema), facts={"stopped": None}
        )
    with pytest.raises(NotMaterializedError, match=r"'(m2|rater_calibration_3)'"):
        rate(home, iteration=3, **fields)


def test_pairs_that_cannot_be_rated_stay_at_the_lowest_rating_and_say_why(
    unrated: RatingHome, tmp_path: Path
) -> None:
    home = unrated.copied(tmp_path / "home")
    (text,) = examples("labelled_pairs.jsonl", 1)
    whole = (text["instruction"], text["output"])
    home.write_texts("odd", [whole, (whole[0], ""), ("", whole[1]), (whole[0], " \n"), ("", "")])
    manifest = rate(home, ["odd"])["odd"]
    frame = rows(home, "odd")

    assert frame["segment_id"].to_list() == [f"odd-{i}" for i in range(5)]
    assert frame["error"].to_list() == [None, *[EMPTY_PAIR] * 4]
    assert frame["rating"].to_list()[1:] == [1.0] * 4
    assert frame["rating"][0] > 1.0
    assert manifest.facts["errors"] == {EMPTY_PAIR: 4}
    assert manifest.facts["n_out_of_range"] == 0

    # A grade can be asked for even so.
    rate(home, ["odd"], **EXPECTED)
    frame = rows(home, "odd")
    assert frame.height == 5
    assert frame["rating"].is_between(1.0, 5.0).all()


def test_rater_that_gives_no_numbers_rates_lowest_and_says_so(
    unrated: RatingHome, models: Path, tmp_path: Path, engines: EngineLog
) -> None:
    from safetensors.torch import load_file, save_file

    home = unrated.copied(tmp_path / "home")
    broken = shutil.copytree(models / "m0", tmp_path / "broken")
    tensors = load_file(broken / WEIGHTS)
    tensors["model.norm.weight"][0] = float("nan")
    save_file(tensors, broken / WEIGHTS, metadata={"format": "pt"})
    home.write_model("m0", broken)
    manifest = rate(home, ["b"])["b"]
    frame = rows(home, "b")

    assert frame["segment_id"].to_list() == ids("b")
    assert frame["rating"].to_list() == [1.0] * N
    assert manifest.facts["errors"] == {NO_NUMBER: N}
    # Such answers are kept like others: rated again by the ledger, the rows are the same.
    engines.forget()
    shutil.rmtree(home.open().datasets.versions(NAME, "b").folder)
    rate(home, ["b"])
    assert rows(home, "b").equals(frame)
    assert engines.started == []


@pytest.mark.parametrize(("fields", "n_readings"), [({}, 4), (EXPECTED, 1), (REASONED, 2)])
def test_pair_too_long_for_the_window_is_cut_and_counted_once_also_from_the_ledger(
    unrated: RatingHome, tmp_path: Path, fields: dict[str, Any], n_readings: int
) -> None:
    home = unrated.copied(tmp_path / "home")
    (text,) = examples("labelled_pairs.jsonl", 1)
    long = " ".join(f"Then the tide rose {n} times." for n in range(300))
    home.write_texts(
        "long", [(text["instruction"], text["output"]), (text["instruction"], long), ("Why?", "So")]
    )
    window = fields | {"generation__vllm__max_model_tokens": 512}
    first = rate(home, ["long"], **window)["long"]
    shutil.rmtree(home.open().datasets.versions(NAME, "long").folder)
    again = rate(home, ["long"], **window)["long"]

    assert (first.facts["n_truncated"], again.facts["n_truncated"]) == (1, 1)
    assert again.content_hash == first.content_hash
    assert rows(home, "long")["error"].null_count() == 3
    ledgers = home.folder / "home" / "ledgers"
    lines = [
        json.loads(line)["answer"]
        for path in ledgers.rglob("long.*.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert len(lines) == 3 * n_readings
    cut = {line["request_id"] for line in lines if line.get("cut") or line.get("prompt_cut")}
    assert cut == {"long-1"}
