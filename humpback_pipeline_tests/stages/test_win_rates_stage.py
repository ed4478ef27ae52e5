"""The win rates of a small home, judged by a server: figures, costs, resuming, files."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from endpoint_server import Server
from judged_home import REFERENCE, JudgeServer, answers_of, judged_home, write_answers
from rating_home import watch_engines
from tiny_models import save_byte_model

from humpback_pipeline.__main__ import main
from humpback_pipeline.evaluation import calibration
from humpback_pipeline.evaluation.alpaca_eval_files import (
    AlpacaEvalFileError,
    ModelOutput,
    read_annotations,
    read_outputs,
    write_outputs,
)
from humpback_pipeline.evaluation.annotation_rates import win_rates_of_annotations
from humpback_pipeline.evaluation.calibration import CalibrationTableMissingError
from humpback_pipeline.evaluation.head_to_head import DifferentPromptsError
from humpback_pipeline.generation import EndpointError
from humpback_pipeline.preflight import _check_judge
from humpback_pipeline.recipe_file import RecipeError
from humpback_pipeline.stages import checks
from humpback_pipeline.stages.alpaca_eval_exports import exports_folder, write_alpaca_eval_files
from humpback_pipeline.stages.judged_files import judge_files
from humpback_pipeline.stages.win_rates import (
    WIN_RATES_SCHEMA,
    _length_control_table,
    write_win_rates,
)
from humpback_pipeline.storage import hash_file

N_VERDICTS = 9 * 2 * 3


@pytest.fixture
def judge() -> Iterator[JudgeServer]:
    started = JudgeServer(lean=0.1)
    yield started
    started.server.stop()


def test_win_rates_are_those_of_the_verdicts_with_intervals_and_lengths(
    judge: JudgeServer, tmp_path: Path
) -> None:
    workspace = judged_home(tmp_path, judge.server)
    manifest = write_win_rates(workspace)

    frame = workspace.datasets.read("win_rates")
    assert dict(frame.schema) == WIN_RATES_SCHEMA
    assert frame.height == 27
    rates = {row["model"]: row for row in manifest.facts["win_rates"]}
    # A good answer is 0.8 likely to be the better one, a bad one 0.2, the lean averaged out.
    expected = {"base": 20.0, "m0": 40.0, "m1": 60.0}
    assert {model: row["rate"] for model, row in rates.items()} == pytest.approx(expected)
    assert [rates["m1"][name] for name in ("n_wins", "n_losses", "n_draws", "n")] == [6, 3, 0, 9]
    assert rates["m1"]["length_controlled_method"] == "length_controlled_minimal"
    for row in manifest.facts["win_rate_details"]:
        assert row["interval_low"] < rates[row["model"]]["rate"] < row["interval_high"]
        assert row["reference_chars_mean"] == len(REFERENCE)
        assert "not comparable" in row["length_note"]
    assert manifest.facts["position_bias"] == pytest.approx(0.2)
    low, high = manifest.facts["position_bias_details"]["interval"]
    assert low <= 0.2 <= high
    assert "9 prompts" in manifest.facts["small_sample"]
    assert judge.server.bodies[0]["model"] == "tiny"
    assert manifest.facts["judge"] == f"tiny at {judge.server.base_url}"
    assert manifest.facts["judge"] in manifest.provenance.base_models


def test_models_are_compared_prompt_by_prompt_with_the_one_before(
    judge: JudgeServer, tmp_path: Path
) -> None:
    manifest = write_win_rates(judged_home(tmp_path, judge.server))
    rows = manifest.facts["comparisons"]
    assert [(row["compared"], row["against"]) for row in rows] == [("m0", "base"), ("m1", "m0")]
    for row in rows:
        assert row["difference"] == pytest.approx(20)
        assert (row["n_a_better"], row["n_b_better"], row["n_equal"]) == (3, 0, 6)
        assert (row["p_value"], row["p_adjusted"], row["p_method"]) == (0.25, 0.5, "exact")
        assert row["low"] < 20 < row["high"]


def test_costs_are_told_by_model_and_verdicts_of_the_ledger_apart(
    judge: JudgeServer, tmp_path: Path
) -> None:
    workspace = judged_home(tmp_path, judge.server)
    first = write_win_rates(workspace).facts["costs"]
    assert [row["model"] for row in first] == ["base", "m0", "m1", "all"]
    assert first[-1]["n_prompt_tokens"] == 50 * N_VERDICTS
    assert first[-1]["usd"] == pytest.approx((50 * 2 + 10) * N_VERDICTS / 1e6)
    assert (first[-1]["n_new"], first[-1]["n_cached"]) == (N_VERDICTS, 0)
    assert len(judge.server.bodies) == N_VERDICTS

    assert write_win_rates(workspace).facts["costs"] == first  # unchanged: not even looked at
    write_answers(workspace, "m1", ["good again", *answers_of("m1", 9)[1:]])
    again = {row["model"]: row for row in write_win_rates(workspace).facts["costs"]}
    assert (again["all"]["n_new"], again["all"]["n_cached"]) == (2, N_VERDICTS - 2)
    assert again["all"]["new_usd"] == pytest.approx((50 * 2 + 10) * 2 / 1e6)
    assert again["all"]["usd"] == pytest.approx(first[-1]["usd"])
    assert len(judge.server.bodies) == N_VERDICTS + 2


def test_judging_that_was_cut_off_goes_on_where_it_was(judge: JudgeServer, tmp_path: Path) -> None:
    workspace = judged_home(tmp_path, judge.server, generation__chunk_size=4)
    plain = judge.reply

    def dying(path: str, body: dict[str, Any]) -> Any:
        # Both retries and the probe fail, as when a server is gone.
        return (503, "gone") if len(judge.server.bodies) > 30 else plain(path, body)

    judge.server.reply = dying
    with pytest.raises(EndpointError, match="503"):
        write_win_rates(workspace)
    judge.server.reply = plain
    costs = write_win_rates(workspace).facts["costs"][-1]
    assert costs["n_cached"] >= 24
    assert costs["n_new"] + costs["n_cached"] == N_VERDICTS
    assert costs["n_prompt_tokens"] == 50 * N_VERDICTS


def test_judging_that_is_killed_asks_for_the_rest_alone(
    judge: JudgeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL in the middle: what was answered by then, less the last few, is not asked again."""
    workspace = judged_home(tmp_path, judge.server, generation__chunk_size=8)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(workspace.recipe.model_dump(mode="json")))
    resumed = threading.Event()

    def stopping(path: str, body: dict[str, Any]) -> Any:
        if len(judge.server.bodies) > 30:
            resumed.wait(30)
        return judge.reply(path, body)

    judge.server.reply = stopping
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from humpback_pipeline.recipe import load_recipe\n"
            "from humpback_pipeline.stages import Workspace\n"
            "from humpback_pipeline.stages.win_rates import write_win_rates\n"
            "write_win_rates(Workspace(load_recipe()))",
        ],
        env={**os.environ, "HUMPBACK_RECIPE": str(recipe)},
    )
    ledgers = workspace.home / "ledgers" / "win_rates"
    deadline = time.monotonic() + 60
    try:
        while time.monotonic() < deadline and len(judge.server.bodies) <= 30:
            assert child.poll() is None
            time.sleep(0.05)
    finally:
        child.kill()
        child.wait()
    resumed.set()
    saved = sum(len(file.read_text().splitlines()) for file in ledgers.glob("*.jsonl"))
    assert 20 <= saved <= 30
    costs = write_win_rates(workspace).facts["costs"][-1]
    assert (costs["n_cached"], costs["n_new"]) == (saved, N_VERDICTS - saved)
    assert costs["n_prompt_tokens"] == 50 * N_VERDICTS


def test_pair_that_the_judge_refuses_has_no_preference(judge: JudgeServer, tmp_path: Path) -> None:
    judge.refuses = "bad answer 3 of base"
    workspace = judged_home(tmp_path, judge.server, n_prompts=12)
    manifest = write_win_rates(workspace)
    frame = workspace.datasets.read("win_rates")
    refused = frame.filter(pl.col("preference").is_null())
    assert refused["model"].to_list() == ["base"]
    assert "HTTP 400" in refused["judge_error"].item()
    base = manifest.facts["win_rates"][0]
    assert (base["n"], base["rate"]) == (11, pytest.approx(20))
    assert manifest.facts["comparisons"][0]["n"] == 11
    answers = {m: workspace.datasets.read(f"{m}_responses") for m in ("base", "m0", "m1")}
    outcome = checks.check_every_prompt_judged(frame, answers)
    assert outcome.passed
    assert outcome.facts["refused"] == 1
    lost = frame.with_columns(judge_error=pl.lit(None, pl.String))
    assert not checks.check_every_prompt_judged(lost, answers).passed


def test_answers_with_other_references_are_not_compared(judge: JudgeServer, tmp_path: Path) -> None:
    workspace = judged_home(tmp_path, judge.server)
    prompts = Path(workspace.recipe.evaluation.prompts)
    prompts.write_text(prompts.read_text().replace(REFERENCE, "Another reference."))
    write_answers(workspace, "m1", answers_of("m1", 9))
    with pytest.raises(DifferentPromptsError, match=r"m1 and base .* \(9 prompts differ\)"):
        write_win_rates(workspace)
    assert not judge.server.bodies
    for model in ("base", "m0"):
        write_answers(workspace, model, answers_of(model, 9))
    assert write_win_rates(workspace).rows == 27


def test_table_of_the_leaderboards_formula_that_comes_later_makes_rates_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "df_gamed.csv"
    table.write_text("index\n")

    def missing(*_: object, **__: object) -> Path:
        raise CalibrationTableMissingError

    monkeypatch.setattr(calibration, "find_calibration", missing)
    assert _length_control_table(805) == {"length_control_table": None}
    monkeypatch.setattr(calibration, "find_calibration", lambda *_, **__: table)
    assert _length_control_table(805) == {"length_control_table": hash_file(table)}
    assert _length_control_table(804) == {}  # for other prompts the formula is another


def test_position_bias_check_says_how_sure_it_is(judge: JudgeServer, tmp_path: Path) -> None:
    manifest = write_win_rates(judged_home(tmp_path, judge.server))
    outcome = checks.check_position_bias(manifest, 0.15)
    assert not outcome.passed
    assert "first by a probability of 0.200 (95 % " in outcome.message
    assert checks.check_position_bias(manifest, 0.3).passed


def test_files_of_alpaca_eval_hold_what_was_judged(judge: JudgeServer, tmp_path: Path) -> None:
    workspace = judged_home(tmp_path, judge.server)
    rates = {row["model"]: row for row in write_win_rates(workspace).facts["win_rates"]}
    files = write_alpaca_eval_files(workspace)

    folder = exports_folder(workspace)
    assert folder == workspace.home / "exports" / "alpaca_eval" / "demo"
    assert len(files) == 7
    assert all(file.is_file() for file in files)
    references = read_outputs(folder / "reference_outputs.json")
    assert {(r.output, r.generator, r.dataset) for r in references} == {(REFERENCE, "writer", "q")}
    outputs = read_outputs(folder / "m1" / "model_outputs.json")
    assert [output.output for output in outputs] == answers_of("m1", 9)
    (read,) = win_rates_of_annotations(folder / "m1" / "annotations.json")
    assert (read.model, read.baseline) == ("m1", "writer")
    assert read.annotator == f"tiny at {judge.server.base_url}"
    assert read.win_rate.rate == rates["m1"]["rate"]
    assert read.win_rate.standard_error == rates["m1"]["standard_error"]
    first = read_annotations(folder / "m1" / "annotations.json")[0]
    assert (first.instruction, first.output_1, first.dataset) == ("Question 0?", REFERENCE, "q")
    assert not list(folder.rglob("*.tmp*"))


def test_outputs_of_anyone_are_judged_by_our_judge(
    judge: JudgeServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workspace = judged_home(tmp_path, judge.server)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(workspace.recipe.model_dump(mode="json")))
    monkeypatch.setenv("HUMPBACK_RECIPE", str(recipe))
    asked = [f"Ask {i}" for i in range(6)]
    texts = ["good", "bad", "good", "good", "good", "bad"]
    theirs = [ModelOutput(q, text, "their/model") for q, text in zip(asked, texts, strict=True)]
    write_outputs(tmp_path / "theirs.json", theirs)
    references = tmp_path / "references.json"
    write_outputs(references, [ModelOutput(q, "so", "gpt4") for q in reversed([*asked, "more"])])

    assert main(["win-rate", str(tmp_path / "theirs.json"), "--reference", str(references)]) == 0
    printed = capsys.readouterr().out
    assert "their/model against gpt4, judged by tiny at" in printed
    path = exports_folder(workspace) / "judged" / "their_model" / "annotations.json"
    assert str(path) in printed
    (rate,) = win_rates_of_annotations(path)
    assert (rate.win_rate.n_wins, rate.win_rate.n_losses) == (4, 2)
    assert rate.win_rate.rate == pytest.approx((4 * 80 + 2 * 20) / 6)
    n_asked = len(judge.server.bodies)
    assert n_asked == 12
    judge_files(workspace, tmp_path / "theirs.json", references)
    assert len(judge.server.bodies) == n_asked

    write_outputs(references, [ModelOutput(q, "so", "gpt4") for q in asked[1:]])
    with pytest.raises(AlpacaEvalFileError, match=r"no reference for 1 of 6 .* 'Ask 0'"):
        judge_files(workspace, tmp_path / "theirs.json", references)
    write_outputs(references, [ModelOutput(q, "so", "gpt4") for q in [*asked, "Ask 1"]])
    with pytest.raises(AlpacaEvalFileError, match="'Ask 1' occurs twice"):
        judge_files(workspace, tmp_path / "theirs.json", references)


def test_judge_without_logprobs_is_asked_for_a_choice_if_the_recipe_says_so(
    judge: JudgeServer, tmp_path: Path
) -> None:
    judge.lean = 0.0
    workspace = judged_home(tmp_path, judge.server, evaluation__judge__verdicts="choice")
    facts = write_win_rates(workspace).facts
    assert {row["model"]: row["rate"] for row in facts["win_rates"]} == pytest.approx(
        {"base": 0, "m0": 100 / 3, "m1": 200 / 3}
    )
    body = judge.server.bodies[0]
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["choice"]["enum"] == ["1", "2"]
    assert "logprobs" not in body
    # Verdicts of the other kind are others: none is taken for one of these.
    graded = replace(workspace, recipe=judged_home(tmp_path, judge.server).recipe)
    assert write_win_rates(graded).facts["costs"][-1]["n_cached"] == 0


def test_preflight_asks_the_judge_for_a_verdict(judge: JudgeServer, tmp_path: Path) -> None:
    workspace = judged_home(tmp_path, judge.server)
    assert "gives verdicts by probabilities" in _check_judge(workspace)
    judge.server.reply = lambda path, body: (200, {"choices": [{"message": {"content": "1"}}]})
    with pytest.raises(EndpointError, match=r"no log-probabilities.*verdicts: choice"):
        _check_judge(workspace)
    unknown = judged_home(tmp_path, judge.server, evaluation__judge__model="absent")
    with pytest.raises(EndpointError, match="does not serve absent"):
        _check_judge(unknown)
    down = "{engine: endpoint, model: tiny, endpoint: {base_url: 'http://127.0.0.1:9/v1'}}"
    with pytest.raises(EndpointError, match=r"^evaluation\.judge\.endpoint\.base_url"):
        _check_judge(judged_home(tmp_path, judge.server, evaluation__judge=down))


def test_only_model_of_a_server_judges_if_none_is_named(judge: JudgeServer, tmp_path: Path) -> None:
    workspace = judged_home(tmp_path, judge.server, evaluation__judge__model="null")
    assert workspace.judge.served_name == "tiny"
    judge.server.models = [{"id": "a"}, {"id": "b"}]
    with pytest.raises(EndpointError, match=r"serves a, b; name .* evaluation\.judge\.model"):
        _ = replace(workspace).judge


def test_key_of_the_judge_comes_from_the_environment_and_is_written_nowhere(
    judge: JudgeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = {"evaluation__judge__endpoint__api_key_variable": "JUDGE_KEY"}
    workspace = judged_home(tmp_path, judge.server, **variable)
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    with pytest.raises(EndpointError, match=r"evaluation\.judge\.endpoint.*JUDGE_KEY"):
        write_win_rates(workspace)
    monkeypatch.setenv("JUDGE_KEY", "sk-secret-of-the-judge")
    write_win_rates(workspace)
    write_alpaca_eval_files(workspace)
    assert "Bearer sk-secret-of-the-judge" in judge.server.keys
    written = [path for path in workspace.home.rglob("*") if path.is_file()]
    assert len(written) > 10
    assert not [path for path in written if b"sk-secret" in path.read_bytes()]


@pytest.mark.parametrize(
    ("judge_section", "complaint"),
    [
        ("{engine: endpoint}", "base_url"),
        ("{endpoint: {base_url: 'http://h/v1'}}", "engine: endpoint"),
        ("{verdicts: choice}", "engine: endpoint"),
        ("{usd_per_million_prompt_tokens: -1}", "greater than or equal to 0"),
    ],
)
def test_judge_that_cannot_be_is_refused_by_the_recipe(
    judge_section: str, complaint: str, tmp_path: Path
) -> None:
    server = Server()
    try:
        with pytest.raises(RecipeError, match=complaint):
            judged_home(tmp_path, server, evaluation__judge=judge_section)
    finally:
        server.stop()


@pytest.mark.slow
def test_local_judge_counts_its_tokens_and_does_not_start_for_what_the_ledger_has(
    judge: JudgeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = watch_engines(monkeypatch.setattr)
    model = save_byte_model(tmp_path / "tiny" / "judge")
    workspace = judged_home(
        tmp_path,
        judge.server,
        n_prompts=2,
        evaluation__judge=model,
        generation__engine="transformers",
    )
    manifest = write_win_rates(workspace)
    assert log.started == ["tiny"]
    costs = {row["model"]: row for row in manifest.facts["costs"]}
    assert (costs["all"]["n_new"], costs["all"]["n_unmetered"]) == (12, 0)
    assert costs["all"]["n_completion_tokens"] == 0
    assert costs["all"]["usd"] is None
    # A byte is a token: both orders of a pair cost the same, longer answers more.
    n_bytes = sum(len(answer) for answer in answers_of("m1", 2))
    other = sum(len(answer) for answer in answers_of("base", 2))
    extra = costs["m1"]["n_prompt_tokens"] - costs["base"]["n_prompt_tokens"]
    assert extra == 2 * (n_bytes - other)

    again = write_win_rates(replace(workspace, rebuild=True))
    assert log.started == ["tiny"]
    assert again.content_hash == manifest.content_hash
    assert again.facts["costs"][-1]["n_cached"] == 12
