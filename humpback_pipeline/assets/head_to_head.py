"""Asset `head_to_head`: every model against every other one."""

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg
import polars as pl

from humpback_pipeline.assets.checks import check_results, check_specs
from humpback_pipeline.assets.common import asset_settings, log_progress
from humpback_pipeline.assets.data_analysis import picture
from humpback_pipeline.assets.dataset_checks import DATASET_CHECKS, dataset_checks
from humpback_pipeline.assets.metadata import manifest_metadata
from humpback_pipeline.assets.retries import retried
from humpback_pipeline.evaluation import render_markdown_table
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.checks import check_every_prompt_judged, check_position_bias
from humpback_pipeline.stages.checks.outcome import CheckOutcome
from humpback_pipeline.stages.head_to_head import (
    HEAD_TO_HEAD,
    HEAD_TO_HEAD_SCHEMA,
    pair_label,
    write_head_to_head,
)

GROUP = "evaluation"
MAX_ROWS = 200
Row = Mapping[str, Any]


def head_to_head_asset(responses: Mapping[str, str]) -> dg.AssetsDefinition:
    """`responses`: model → the dataset of its answers, in the order of the table."""

    @dg.asset(
        deps=list(responses.values()),
        check_specs=check_specs(
            HEAD_TO_HEAD, *DATASET_CHECKS, "every_prompt_judged", "position_bias"
        ),
        description=(
            "Every model against every other one: their answers to the same prompts, judged in "
            "both orders by the judge of the win rates. A matrix of win rates with 95 % "
            "intervals, and a test for each pair, corrected for their number."
        ),
        **asset_settings(GROUP, "vllm", "parquet", name=HEAD_TO_HEAD, gpu=True),
    )
    @retried
    def head_to_head(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        manifest = write_head_to_head(opened, log_progress(context))
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                **figures(manifest.facts),
                **manifest_metadata(opened, manifest, context),
            },
            check_results=check_results(
                context,
                [
                    *dataset_checks(
                        opened, manifest, ["model", "opponent", "prompt_id"], HEAD_TO_HEAD_SCHEMA
                    ),
                    _check_judged(opened, responses),
                    check_position_bias(manifest, opened.recipe.checks.max_position_bias),
                ],
            ),
        )

    return head_to_head


def figures(facts: Row) -> dict[str, Any]:
    """Tables and plot of a version's facts."""
    rows = facts["matrix"]["rows"]
    shown = {
        "plot": picture(facts["plot"], "how often each model is preferred to each other one"),
        "matrix": dg.MetadataValue.md(_matrix(rows, facts["models"])),
        "overall": _table(
            {
                "model": row["model"],
                "preferred %": _rate(row),
                "opponents": row["n_opponents"],
                "prompts": row["n"],
            }
            for row in facts["overall"]
        ),
        "tests": _table(_test_rows(rows, facts["models"])),
        "how_to_read": dg.MetadataValue.md(how_to_read(facts)),
        "judge": facts["judge"],
        "costs": dg.MetadataValue.md(render_markdown_table(pl.DataFrame(facts["costs"]))),
    }
    if facts["small_sample"]:
        shown["small_sample"] = facts["small_sample"]
    return shown


def how_to_read(facts: Row) -> str:
    """What the figures mean, in words."""
    sentences = [
        "Each cell: how often the row's model is preferred to the column's, in percent, with its "
        "95 % interval; 50 is as good. p: two-sided sign-flip permutation test that the mean is "
        "50 %; Holm: corrected for all pairs; sign test: wins against losses alone.",
        "The paper has no such matrix; its win rates are against other models' references.",
    ]
    if facts["position_bias"] is not None:
        sentences.append(
            f"The judge's position bias is {facts['position_bias']:+.3f}; both orders are averaged."
        )
    if facts["undecided"]:
        sentences.append(facts["undecided"])
    if facts["n_refused"]:
        sentences.append(f"{facts['n_refused']} comparisons were refused and are left out.")
    return " ".join(sentences)


def _matrix(rows: Iterable[Row], models: list[str]) -> str:
    found = {(row["model"], row["opponent"]): _rate(row) for row in rows}
    table = [
        {"": model, **{opponent: found.get((model, opponent), "–") for opponent in models}}
        for model in models
    ]
    return render_markdown_table(pl.DataFrame(table))


def _test_rows(rows: Iterable[Row], models: list[str]) -> Iterable[Row]:
    """One row a pair, the later model first."""
    for row in rows:
        if models.index(row["model"]) > models.index(row["opponent"]):
            yield {
                "pair": pair_label(row["model"], row["opponent"]),
                "preferred %": _rate(row),
                "standard error": row["standard_error"],
                "wins": row["n_wins"],
                "losses": row["n_losses"],
                "draws": row["n_draws"],
                "prompts": row["n"],
                "p": row["p_value"],
                "p, Holm": row["p_adjusted"],
                "sign test p": row["sign_p"],
            }


def _rate(row: Row) -> str:
    return f"{row['rate']:.1f} [{row['low']:.1f}–{row['high']:.1f}]"


def _table(rows: Iterable[Row]) -> dg.MetadataValue:
    listed = list(rows)
    if not listed:
        return dg.MetadataValue.md("Nothing was judged.")
    return dg.MetadataValue.md(render_markdown_table(pl.DataFrame(listed), max_rows=MAX_ROWS))


def _check_judged(opened: Workspace, responses: Mapping[str, str]) -> CheckOutcome:
    judged = opened.datasets.read(HEAD_TO_HEAD)
    named = judged.with_columns(model=pl.concat_str("model", pl.lit(" against "), "opponent"))
    answers = {model: opened.datasets.read(name) for model, name in responses.items()}
    pairs = judged.select("model", "opponent").unique(maintain_order=True).rows()
    return check_every_prompt_judged(
        named, {pair_label(model, opponent): answers[model] for model, opponent in pairs}
    )
