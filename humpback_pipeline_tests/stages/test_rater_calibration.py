"""How raters rate pairs of known quality: every scorer, ranks against the seeds, nothing twice."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rating_home import (
    BACKWARD,
    LABELLED,
    N_LABELLED,
    N_SEEDS,
    SEEDS,
    EngineLog,
    RatingHome,
    examples,
    save_models,
    watch_engines,
)

from humpback_pipeline.curation import (
    SIGNALS,
    Calibration,
    Pair,
    Reference,
    ReferencePairsError,
    SharedTexts,
    out_of_fold_probabilities,
)
from humpback_pipeline.curation.likelihood_scorers import rating_by_reference
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.iteration_facts import labelled_ratings
from humpback_pipeline.stages.known_pairs import known_pairs
from humpback_pipeline.stages.known_ratings import CALIBRATION_SCHEMA
from humpback_pipeline.stages.rater_calibration import (
    rating_settings,
    reference_hash,
    scorer_inputs,
    scoring_of,
    write_rater_calibration,
)
from humpback_pipeline.stages.seed import write_seed_pairs
from humpback_pipeline.storage import NotMaterializedError

N_KNOWN = N_SEEDS + N_LABELLED
NAME = "rater_calibration_1"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def unrated(models: Path, tmp_path_factory: pytest.TempPathFactory) -> RatingHome:
    return RatingHome.make(tmp_path_factory.mktemp("unrated") / "home", models)


@pytest.fixture(scope="module")
def rated(unrated: RatingHome, tmp_path_factory: pytest.TempPathFactory) -> RatingHome:
    home = unrated.copied(tmp_path_factory.mktemp("rated") / "home")
    write_rater_calibration(home.open(), 1)
    return home


@pytest.fixture
def home(rated: RatingHome, tmp_path: Path) -> RatingHome:
    return rated.copied(tmp_path / "home")


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> EngineLog:
    return watch_engines(monkeypatch.setattr)


def reference_of_seeds(frame: pl.DataFrame) -> Reference:
    seeds = frame.filter(pl.col("set") == "seed", pl.col("scorer") == "combined")
    return Reference.of(seeds.select(SIGNALS).iter_rows(named=True))


def scoring(workspace: Workspace) -> Reference | None:
    ledger = workspace.ledger("other")
    return scoring_of(workspace, 1, ledger=ledger, backward_ledger=ledger).reference


def test_every_known_pair_has_one_row_for_each_compared_scorer(rated: RatingHome) -> None:
    workspace = rated.open()
    frame = workspace.datasets.read(NAME)
    known = known_pairs(workspace)

    assert dict(frame.schema) == {name: dtype() for name, dtype in CALIBRATION_SCHEMA.items()}
    assert len(known) == N_KNOWN
    # The recipe's own scorer is compared as well, and stands first.
    assert frame["scorer"].unique(maintain_order=True).to_list() == ["combined", "expected"]
    for scorer in ("combined", "expected"):
        rows = frame.filter(pl.col("scorer") == scorer)
        assert rows["pair_id"].to_list() == [pair.pair_id for pair in known]
        assert rows["label"].to_list() == [pair.label for pair in known]
        assert rows["rating"].is_between(1.0, 5.0).all()
        assert rows["rating"].n_unique() > N_KNOWN / 2
        assert rows.select(SIGNALS).null_count().row(0) == (
            (0, 0, 0) if scorer == "combined" else (N_KNOWN,) * 3
        )
    facts = workspace.datasets.manifest(NAME).facts
    assert (facts["rater"], facts["backward_model"]) == ("m0", BACKWARD)
    assert (facts["calibration"], facts["n_errors"]) == (None, 0)


def test_ratings_are_ranks_among_the_seeds_own_likelihoods(rated: RatingHome) -> None:
    workspace = rated.open()
    frame = workspace.datasets.read(NAME)
    reference = reference_of_seeds(frame)
    rate = rating_by_reference(reference, SIGNALS, lambda ranks: math.fsum(ranks) / len(ranks))

    assert scoring(workspace) == reference
    assert {len(values) for values in reference.signals.values()} == {N_SEEDS}
    for row in frame.filter(pl.col("scorer") == "combined").iter_rows(named=True):
        value, rating = rate(row)
        assert (row["value"], row["rating"]) == pytest.approx((value, rating))
    best = frame.filter(pl.col("set") == "seed", pl.col("scorer") == "combined")["rating"].max()
    assert best == 5.0


def test_second_call_starts_no_engine_and_keeps_the_version(
    home: RatingHome, engines: EngineLog
) -> None:
    first = home.open().datasets.manifest(NAME)
    again = write_rater_calibration(home.open(), 1)
    # A threshold does not shape a rating.
    other = write_rater_calibration(home.open(curation__selection__top_fraction=0.1), 1)

    assert {first.version, again.version} == {other.version}
    assert engines.started == []


def test_labelled_pair_that_is_added_is_all_that_is_asked(
    home: RatingHome, engines: EngineLog
) -> None:
    first = home.open().datasets.manifest(NAME)
    home.write(LABELLED, examples("labelled_pairs.jsonl", N_LABELLED + 1))

    second = write_rater_calibration(home.open(), 1)

    assert second.version != first.version
    assert second.rows == 2 * (N_KNOWN + 1)
    assert engines.n_asked() == {
        ("m0", "choose"): 1,
        ("m0", "likelihoods"): 2,
        (BACKWARD, "likelihoods"): 2,
    }


def test_other_seeds_are_another_reference(home: RatingHome) -> None:
    before = scoring(home.open())
    home.write(SEEDS, examples("seed_pairs.jsonl", N_SEEDS - 2))
    write_seed_pairs(home.open())
    write_rater_calibration(home.open(), 1)

    after = scoring(home.open())
    assert before is not None
    assert after is not None
    for name in SIGNALS:
        assert len(after.signals[name]) == N_SEEDS - 2
        assert set(after.signals[name]) < set(before.signals[name])


def test_other_backward_model_reads_all_again_and_the_rater_nothing(
    home: RatingHome, models: Path, engines: EngineLog
) -> None:
    before = home.open().datasets.read(NAME)
    home.write_model(BACKWARD, models / "other")
    write_rater_calibration(home.open(), 1)
    after = home.open().datasets.read(NAME)

    assert engines.n_asked() == {(BACKWARD, "likelihoods"): 2 * N_KNOWN}
    likelihoods = pl.col("scorer") == "combined"
    columns = ["relevance_forward", "completeness"]
    assert after.filter(likelihoods)[columns].equals(before.filter(likelihoods)[columns])
    backward = [frame.filter(likelihoods)["relevance_backward"] for frame in (before, after)]
    assert (backward[0] != backward[1]).all()


def test_scorer_that_is_added_makes_rows_of_what_was_read(
    home: RatingHome, engines: EngineLog
) -> None:
    workspace = home.open(evaluation__scorers="[expected, completeness, relevance]")
    first = workspace.datasets.manifest(NAME)
    second = write_rater_calibration(workspace, 1)

    assert second.version != first.version
    scorers = Counter(workspace.datasets.read(NAME)["scorer"])
    assert scorers == dict.fromkeys(("combined", "expected", "completeness", "relevance"), N_KNOWN)
    assert engines.started == []


def test_rating_before_the_calibration_is_made_says_what_is_missing(unrated: RatingHome) -> None:
    with pytest.raises(NotMaterializedError, match=NAME):
        scoring(unrated.open())


@pytest.fixture
def few_seeds(unrated: RatingHome, tmp_path: Path) -> RatingHome:
    home = unrated.copied(tmp_path / "home")
    home.write(SEEDS, examples("seed_pairs.jsonl", 12))
    write_seed_pairs(home.open())
    return home


def test_too_few_seeds_leave_out_what_is_only_compared_by_rank(
    few_seeds: RatingHome, engines: EngineLog
) -> None:
    workspace = few_seeds.open(
        curation__scorer="expected", evaluation__scorers="[combined, expected, calibrated]"
    )
    write_rater_calibration(workspace, 1)
    assert Counter(workspace.datasets.read(NAME)["scorer"]) == {"expected": 12 + N_LABELLED}
    assert engines.started == ["m0"]
    assert scoring(workspace) is None


def test_too_few_seeds_to_rank_by_stop_before_anything_is_read(
    few_seeds: RatingHome, engines: EngineLog
) -> None:
    with pytest.raises(ReferencePairsError, match=r"12 reference pairs.*20 seed pairs.*'expected'"):
        write_rater_calibration(few_seeds.open(), 1)
    assert engines.started == []


def test_calibrated_scorer_needs_forty_labels_and_rates_them_unseen(
    models: Path, tmp_path: Path
) -> None:
    home = RatingHome.make(tmp_path / "home", models, n_labelled=39)
    fields = {
        "evaluation__scorers": "[expected, calibrated]",
        "generation__vllm__max_concurrent_sequences": 16,
    }
    too_few = write_rater_calibration(home.open(**fields), 1)
    assert too_few.facts["calibration"] is None
    assert set(home.open().datasets.read(NAME)["scorer"]) == {"combined", "expected"}

    home.write(LABELLED, examples("labelled_pairs.jsonl", 48))
    manifest = write_rater_calibration(home.open(**fields), 1)

    frame = home.open().datasets.read(NAME)
    calibration = Calibration.from_dict(manifest.facts["calibration"])
    rows = frame.filter(pl.col("scorer") == "calibrated")
    digits = frame.filter(pl.col("scorer") == "expected")["value"]
    features = list(rows.with_columns(expected=digits).iter_rows(named=True))
    reference = reference_of_seeds(frame)
    labelled = [row for row in features if row["set"] == "labelled"]
    labels = [row["label"] == 1 for row in labelled]
    unseen = out_of_fold_probabilities(labelled, labels, reference)
    seen = [calibration.probability(row, reference) for row in features]
    assert rows.height == N_SEEDS + 48
    assert (calibration.n_labels, calibration.n_positive) == (48, sum(labels))
    assert [row["rating"] for row in labelled] == pytest.approx([1 + 4 * p for p in unseen])
    assert rows["value"].to_list()[:N_SEEDS] == pytest.approx(seen[:N_SEEDS])
    assert unseen != pytest.approx(seen[N_SEEDS:], abs=0.01)


def after_a_stop(home: RatingHome, *, is_carried: bool) -> Workspace:
    """M_1 and A^(2), at which iterating stopped; carried on, or a set that a last M_2 is of."""
    workspace = home.open(curation__stop__min_precision_gain="0.01")
    for t in (1, 2):
        facts = {
            "stopped": {"iteration": 2, "reason": "r", "keep_last": is_carried} if t == 2 else None,
            "carried_from": "curated_set_1" if t == 2 and is_carried else None,
        }
        frame = pl.DataFrame({"segment_id": ["a"], "rating": [float(t)]})
        workspace.datasets.write(f"curated_set_{t}", frame, schema=dict(frame.schema), facts=facts)
    write_rater_calibration(workspace, 2)
    home.write_model("m2", workspace.models.path("m1"))
    return workspace


def test_ratings_of_a_model_that_is_carried_on_are_carried_on_too(
    home: RatingHome, engines: EngineLog
) -> None:
    workspace = after_a_stop(home, is_carried=True)
    engines.forget()
    carried = write_rater_calibration(workspace, 3)

    assert engines.started == []
    assert workspace.datasets.read("rater_calibration_3").equals(
        workspace.datasets.read("rater_calibration_2")
    )
    before = dict(workspace.datasets.manifest("rater_calibration_2").facts)
    assert dict(carried.facts) == {**before, "carried_from": "rater_calibration_2"}
    assert not (workspace.home / "ledgers" / "rater_calibration" / "m2.expected.jsonl").exists()
    assert write_rater_calibration(workspace, 3).version == carried.version
    assert (
        scoring_of(
            workspace, 3, ledger=workspace.ledger("o"), backward_ledger=workspace.ledger("o")
        ).reference
        == scoring_of(
            workspace, 2, ledger=workspace.ledger("o"), backward_ledger=workspace.ledger("o")
        ).reference
    )


def test_last_model_of_a_stop_that_still_trained_one_rates_by_itself(
    home: RatingHome, engines: EngineLog
) -> None:
    workspace = after_a_stop(home, is_carried=False)
    engines.forget()
    rated = write_rater_calibration(workspace, 3)

    assert engines.n_asked()["m2", "choose"] == N_KNOWN
    assert rated.facts["rater"] == "m2"
    assert "carried_from" not in rated.facts


def test_labelled_pairs_of_the_seeds_are_counted_and_not_measured(
    home: RatingHome, engines: EngineLog
) -> None:
    labelled = [
        {**row, "label": n % 2, "kind": "good"}
        for n, row in enumerate(examples("labelled_pairs.jsonl", 30))
    ]
    trained_on = home.open().datasets.read("seed_pairs").filter(pl.col("split") == "train")
    known = trained_on["instruction"].to_list()[:6]
    home.write(
        LABELLED,
        [{**row, "instruction": i} for row, i in zip(labelled, known, strict=False)] + labelled[6:],
    )
    workspace = home.open()
    manifest = write_rater_calibration(workspace, 1)

    assert manifest.facts["seen"]["labelled"] == {
        "n": 30,
        "n_in_seeds": 6,
        "n_measured": 24,
        "flattered": False,
    }
    assert labelled_ratings(workspace, 1).height == 24
    kept = set(labelled_ratings(workspace, 1)["rating"])
    seen = workspace.datasets.read(NAME).filter("seen", pl.col("set") == "labelled")
    assert seen["scorer"].n_unique() == 2
    assert kept.isdisjoint(seen.filter(pl.col("scorer") == "combined")["rating"])
    reference = manifest.facts["reference"]
    assert reference == {"n": N_SEEDS, "n_in_seeds": trained_on.height}


def test_calibrated_scorer_is_fitted_on_pairs_that_were_not_trained_on(
    models: Path, tmp_path: Path
) -> None:
    home = RatingHome.make(tmp_path / "home", models, n_labelled=50)
    trained_on = home.open().datasets.read("seed_pairs").filter(pl.col("split") == "train")
    known = trained_on["instruction"].to_list()
    # Twins in pairs: 0 and 1 have one instruction, 2 and 3 ...
    rows = examples("labelled_pairs.jsonl", 50)
    rows = [{**row, "instruction": rows[n - n % 2]["instruction"]} for n, row in enumerate(rows)]
    rows[48:] = [{**row, "instruction": i} for row, i in zip(rows[48:], known, strict=False)]
    home.write(LABELLED, rows)
    fields = {
        "evaluation__scorers": "[expected, calibrated]",
        "generation__vllm__max_concurrent_sequences": 16,
    }
    manifest = write_rater_calibration(home.open(**fields), 1)
    assert manifest.facts["calibration"]["n_labels"] == 48

    frame = home.open().datasets.read(NAME)
    digits = frame.filter(pl.col("scorer") == "expected")["value"]
    rated = frame.filter(pl.col("scorer") == "calibrated").with_columns(expected=digits)
    labelled = rated.filter(pl.col("set") == "labelled")
    assert labelled["seen"].to_list() == [False] * 48 + [True] * 2
    features = list(labelled.iter_rows(named=True))
    labels = [row["label"] == 1 for row in features]
    reference = reference_of_seeds(frame)
    shared = SharedTexts.of([Pair(row["instruction"], row["output"]) for row in rows[:48]])
    unseen = out_of_fold_probabilities(features[:48], labels[:48], reference, shared)
    assert labelled["value"].to_list()[:48] == pytest.approx(unseen)
    calibration = Calibration.from_dict(manifest.facts["calibration"])
    seen = [calibration.probability(row, reference) for row in features[48:]]
    assert labelled["value"].to_list()[48:] == pytest.approx(seen)


def test_reference_hash_follows_the_seeds_signals_and_nothing_else(home: RatingHome) -> None:
    before = reference_hash(home.open(), 1)
    assert scorer_inputs(home.open(), 1) == {"reference": before}
    assert scorer_inputs(home.open(curation__scorer="expected"), 1) == {}

    home.write(LABELLED, examples("labelled_pairs.jsonl", N_LABELLED + 1))
    write_rater_calibration(home.open(evaluation__scorers="[expected]"), 1)
    assert reference_hash(home.open(), 1) == before

    home.write(SEEDS, examples("seed_pairs.jsonl", N_SEEDS - 2))
    write_seed_pairs(home.open())
    write_rater_calibration(home.open(), 1)
    assert reference_hash(home.open(), 1) != before


def test_batch_size_of_an_external_model_makes_no_rating_stale(
    home: RatingHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("humpback_pipeline.curation.external_model_hash", lambda *_: "of the model")

    def settings(**fields: Any) -> dict[str, object]:
        given = {"model": "/there", "kind": "nli", **fields}
        external = {f"curation__external__{name}": value for name, value in given.items()}
        return rating_settings(home.open(**external), ["external"])

    assert settings(batch_size=2) == settings(batch_size=32)
    assert settings(max_tokens=64) != settings(max_tokens=128)
