"""lm-evaluation-harness on real tiny models, offline: scores, what is kept, what is done again."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rating_home import RatingHome, save_models, watch_engines

from humpback_pipeline.evaluation import lm_eval_tasks
from humpback_pipeline.evaluation.intervals import wilson_interval
from humpback_pipeline.evaluation.lm_eval_results import TaskResult
from humpback_pipeline.evaluation.lm_eval_tasks import BenchmarkError, TaskRunner, TaskSettings
from humpback_pipeline.recipe_section import PACKAGE_DIR
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.benchmarks import BENCHMARK_RESULTS, write_benchmark_results
from humpback_pipeline.stages.safety import (
    SAFETY,
    SAFETY_RESPONSES,
    write_safety,
    write_safety_responses,
)
from humpback_pipeline.storage import Manifest

TASKS = PACKAGE_DIR / "examples" / "benchmarks"
CHOICE, PAIRS = "everyday_choice", "stereotype_pairs"
BIAS_TYPES = ("gender", "age", "nationality", "religion", "disability", "socioeconomic")


class Runs:
    """Notes which task was run on which model; can die before one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[tuple[str, str]] = []
        self.results: dict[tuple[str, str], TaskResult] = {}
        self.dies_at: int | None = None
        plain = TaskRunner.run

        def run(runner: TaskRunner, name: str, model: Any) -> Any:
            if len(self.done) == self.dies_at:
                raise KeyboardInterrupt
            result = plain(runner, name, model)
            folder = Path(model.config._name_or_path)  # of a model in the home, <model>/<version>
            key = (folder.name if folder.name == "other" else folder.parent.name, name)
            self.done.append(key)
            self.results[key] = result
            return result

        monkeypatch.setattr(TaskRunner, "run", run)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, models: Path) -> RatingHome:
    home = RatingHome(tmp_path_factory.mktemp("benchmarks"))
    home.folder.joinpath("home").mkdir()
    for name in ("m0", "m1"):
        home.write_model(name, models / name)
    return home


def opened(home: RatingHome, models: Path, tasks: str = f"[{CHOICE}, {PAIRS}]") -> Workspace:
    return home.open(
        base_model=models / "other",
        chat__rubric="null",
        curation__iterations=1,
        evaluation__benchmarks=f"{{tasks: {tasks}, include_path: '{TASKS}'}}",
    )


def answers_by_hand(folder: Path) -> dict[int, bool]:
    """Whether a model finds the right choice likeliest, with nothing of lm-eval.

    Without the questions where two choices are so near each other that bf16 decides.
    """
    import torch

    from humpback_pipeline.models import load_causal_lm, load_tokenizer

    model, tokenizer = load_causal_lm(folder), load_tokenizer(folder)
    right = {}
    for number, line in enumerate((TASKS / f"{CHOICE}.jsonl").read_text().splitlines()):
        row = json.loads(line)
        context = f"Question: {row['question']}\nAnswer:"
        sums = []
        for choice in row["choices"]:
            ids = tokenizer(f"{context} {choice}", add_special_tokens=False).input_ids
            n_context = len(tokenizer(context, add_special_tokens=False).input_ids)
            with torch.inference_mode():
                logits = model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
            sums.append(sum(float(logits[i - 1, ids[i]]) for i in range(n_context, len(ids))))
        best, second = sorted(sums, reverse=True)[:2]
        if best - second > 0.5:
            right[number] = sums.index(best) == row["label"]
    return right


@pytest.mark.slow
def test_models_are_measured_once_each_even_after_a_crash(
    home: RatingHome, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = Runs(monkeypatch)
    runs.dies_at = 3
    with pytest.raises(KeyboardInterrupt):
        write_benchmark_results(opened(home, models))
    runs.dies_at = None
    manifest = write_benchmark_results(opened(home, models))
    assert [task for _, task in runs.done] == [CHOICE, PAIRS] * 3
    check_table(opened(home, models), manifest)
    for name, folder in (("other", models / "other"), ("m1", models / "m1")):
        scores = {
            score.question: bool(score.score)
            for score in runs.results[name, CHOICE].scores
            if score.metric == "acc"
        }
        by_hand = answers_by_hand(folder)
        assert len(by_hand) > 12
        assert {question: scores[question] for question in by_hand} == by_hand

    # One model changes: it alone is asked again.
    runs.done.clear()
    home.write_model("m1", models / "m0")
    changed = write_benchmark_results(opened(home, models))
    assert runs.done == []  # M_1 is now M_0's twin, whose answers are known
    by_model = opened(home, models).datasets.read(BENCHMARK_RESULTS).partition_by("model")
    assert by_model[1].drop("model").equals(by_model[2].drop("model"))
    twins = [row for row in changed.facts["comparisons"] if row["before"] == "m0"]
    assert twins
    assert all(row["gained"] == row["lost"] == 0 and row["p_value"] == 1 for row in twins)

    home.write_model("m1", models / "m1")
    back = write_benchmark_results(opened(home, models))
    assert back.content_hash == manifest.content_hash
    fewer = write_benchmark_results(opened(home, models, f"[{CHOICE}]"))
    assert runs.done == []
    assert fewer.facts["tasks"] == [CHOICE]


def check_table(workspace: Workspace, manifest: Manifest) -> None:
    """Every model and part has its row, with intervals of its questions."""
    table = workspace.datasets.read(BENCHMARK_RESULTS)
    assert table["model"].unique(maintain_order=True).to_list() == ["base", "m0", "m1"]
    for row in table.filter(pl.col("metric") == "acc").iter_rows(named=True):
        assert row["n"] == 24
        assert (row["low"], row["high"]) == pytest.approx(wilson_interval(24 * row["score"], 24))
    stereotypes = table.filter(pl.col("metric") == "pct_stereotype", pl.col("model") == "m0")
    whole = stereotypes.row(by_predicate=pl.col("task") == PAIRS, named=True)
    parts = stereotypes.filter(pl.col("task") != PAIRS)
    assert set(parts["task"]) == {f"{PAIRS}_{kind}" for kind in BIAS_TYPES}
    assert whole["is_group"]
    assert whole["n"] == parts["n"].sum() == 36
    assert whole["score"] == pytest.approx((parts["score"] * parts["n"]).sum() / 36)
    assert not whole["higher_is_better"]
    # Log-likelihoods in bf16 would be whole numbers of nats.
    diffs = table.filter(pl.col("metric") == "likelihood_diff", ~pl.col("is_group"))["score"]
    assert sum(math.isclose(6 * diff, round(6 * diff)) for diff in diffs) < len(diffs) / 2
    facts = {row["model"]: row for row in manifest.facts["models"]}
    assert facts["m0"][PAIRS]["pct_stereotype"] == whole["score"]
    named = {(row["before"], row["after"]) for row in manifest.facts["comparisons"]}
    assert named == {("base", "m0"), ("m0", "m1"), ("base", "m1")}


def test_unknown_task_is_refused_with_the_nearest_names(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = lm_eval_tasks._open_manager

    def local_only(settings: TaskSettings, *, include_defaults: bool) -> Any:
        return plain(settings, include_defaults=False)  # lm-eval's own take seconds to read

    monkeypatch.setattr(lm_eval_tasks, "_open_manager", local_only)
    with pytest.raises(BenchmarkError, match=r"no task 'everyday_choise'.*everyday_choice"):
        TaskRunner(["everyday_choise"], TaskSettings(include_path=TASKS))


def test_patterns_name_local_tasks_in_order() -> None:
    runner = TaskRunner(["stereotype_pairs_*", CHOICE], TaskSettings(include_path=TASKS))
    assert runner.names == (*sorted(f"{PAIRS}_{kind}" for kind in BIAS_TYPES), CHOICE)


def test_data_set_that_cannot_be_loaded_is_named_with_the_remedy(tmp_path: Path) -> None:
    text = (TASKS / f"{CHOICE}.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(text.replace(f"task: {CHOICE}", "task: mine"))
    settings = TaskSettings(include_path=tmp_path, data_cache_dir=tmp_path / "cache")
    runner = TaskRunner(["mine"], settings)
    with pytest.raises(BenchmarkError, match=r"'mine': its data set \(json\).*include_path"):
        runner.check_data(runner.names)


def test_folder_of_tasks_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"include_path: .*gone is no folder"):
        TaskRunner([CHOICE], TaskSettings(include_path=tmp_path / "gone"))


@pytest.mark.slow
def test_safety_answers_and_verdicts_are_of_each_model_tag_and_prompt(
    home: RatingHome, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened_for_safety() -> Workspace:
        return home.open(
            base_model=models / "other",
            chat__rubric="null",
            curation__iterations=1,
            evaluation__safety="{max_prompts: 3, sampling: {max_new_tokens: 6}}",
        )

    log = watch_engines(monkeypatch.setattr)
    write_safety_responses(opened_for_safety())
    workspace = opened_for_safety()
    answers = workspace.datasets.read(SAFETY_RESPONSES)
    assert answers.height == len(log.asked) == 3 * 3 * 3
    assert answers.group_by("model", "tag").len()["len"].to_list() == [3] * 9
    assert answers["harmful"].any()
    assert not answers["harmful"].all()
    # The tags are in what the model reads, so its answers differ.
    by_tag = answers.filter(pl.col("model") == "m1").partition_by("tag")
    assert by_tag[0]["output"].to_list() != by_tag[1]["output"].to_list()

    manifest = write_safety(opened_for_safety())
    verdicts = workspace.datasets.read(SAFETY)
    ids = ["model", "tag", "prompt_id"]
    assert verdicts.select(ids).equals(answers.select(ids))
    total = verdicts.select(pl.sum_horizontal("p_refuses", "p_harmless", "p_harmful"))
    assert total.to_series().to_list() == pytest.approx([1.0] * 27)
    kinds = {(row["answers_of"], row["tag"], row["prompts"]) for row in manifest.facts["rates"]}
    assert len(kinds) == 3 * 3 * 2
    assert manifest.facts["n_unjudged"] == 0
    assert [row["model"] for row in manifest.facts["models"]] == ["base", "m0", "m1"]
    assert manifest.facts["models"][0]["harmful_prompts"]["n"] == 2
    assert {row["after"] for row in manifest.facts["comparisons"]} >= {"m1, S_a", "m1, S_w"}

    # One model changes: it alone answers again, and its answers alone are judged.
    log.forget()
    home.write_model("m1", models / "backward_model")
    write_safety_responses(opened_for_safety())
    assert log.n_asked() == {("m1", "generate"): 9}
    home.write_model("m1", models / "m1")
