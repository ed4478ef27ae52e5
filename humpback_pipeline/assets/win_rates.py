"""Win rates: what the judge prefers, what that is worth, and what it cost."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from humpback_pipeline.assets.checks import check_results, check_specs
from humpback_pipeline.assets.common import asset_settings, log_progress
from humpback_pipeline.assets.dataset_checks import DATASET_CHECKS, dataset_checks
from humpback_pipeline.assets.metadata import manifest_metadata, plot, sample_table
from humpback_pipeline.assets.retries import retried
from humpback_pipeline.evaluation import PAPER_WIN_RATES, render_markdown_table
from humpback_pipeline.evaluation.win_rate_plot import WinRateBar, win_rate_plot
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages.alpaca_eval_exports import exports_folder, write_alpaca_eval_files
from humpback_pipeline.stages.checks import check_every_prompt_judged, check_position_bias
from humpback_pipeline.stages.contamination import CONTAMINATION
from humpback_pipeline.stages.responses import WIN_RATES
from humpback_pipeline.stages.win_rates import WIN_RATES_SCHEMA, write_win_rates
from humpback_pipeline.storage import Manifest

GROUP = "evaluation"


def win_rates_asset(responses: Mapping[str, str]) -> dg.AssetsDefinition:
    """`responses`: model → the dataset of its answers, in the order of the table."""

    @dg.asset(
        # Prompts that are in the training data stop it; see check_evaluation_uncontaminated.
        deps=[*responses.values(), CONTAMINATION],
        check_specs=check_specs(WIN_RATES, *DATASET_CHECKS, "every_prompt_judged", "position_bias"),
        description=(
            "How often the answers of the base model and of each model are preferred to the "
            "reference answers by the judge. Each pair is shown in both orders and the two "
            "verdicts are averaged; the rate and its standard error are AlpacaEval's. Models are "
            "compared with each other by paired tests on the same prompts. The outputs and "
            "verdicts are written as AlpacaEval's own JSON as well."
        ),
        **asset_settings(GROUP, "vllm", "parquet", name=WIN_RATES, gpu=True),
    )
    @retried
    def win_rates(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        manifest = write_win_rates(opened, log_progress(context))
        files = write_alpaca_eval_files(opened)
        preferences = opened.datasets.read(WIN_RATES)
        answers = {model: opened.datasets.read(name) for model, name in responses.items()}
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                **_figures(manifest),
                "alpaca_eval_files": _file_list(exports_folder(opened), files),
                **_judged_samples(preferences, answers, list(responses)[-1]),
                **manifest_metadata(opened, manifest, context),
            },
            check_results=check_results(
                context,
                [
                    *dataset_checks(opened, manifest, ["model", "prompt_id"], WIN_RATES_SCHEMA),
                    check_every_prompt_judged(preferences, answers),
                    check_position_bias(manifest, opened.recipe.checks.max_position_bias),
                ],
            ),
        )

    return win_rates


def _figures(manifest: Manifest) -> dict[str, Any]:
    """Tables and plot of a version's facts."""
    facts = manifest.facts
    details = {row["model"]: row for row in facts["win_rate_details"]}
    rows = [{**row, **details[row["model"]]} for row in facts["win_rates"]]
    bars = [
        WinRateBar(
            row["model"],
            row["rate"],
            row["interval_low"],
            row["interval_high"],
            row["length_controlled_rate"],
        )
        for row in rows
    ]
    alt_text = (
        "win rate of each model over the reference answers with its interval, and the paper's"
    )
    figures = {
        "win_rates": dg.MetadataValue.md(win_rate_table(rows)),
        "plot": plot(win_rate_plot(bars), alt_text),
        "compared_with_each_other": dg.MetadataValue.md(comparison_table(facts["comparisons"])),
        "judge": facts["judge"],
        "position_bias": facts["position_bias"],
        "judge_behaviour": dg.MetadataValue.md(_behaviour(facts, rows)),
        "costs": dg.MetadataValue.md(cost_table(facts["costs"])),
    }
    if facts["small_sample"]:
        figures["small_sample"] = facts["small_sample"]
    return figures


def win_rate_table(rows: list[dict[str, Any]]) -> str:
    """Our rates, and under them the paper's."""
    ours = [
        {
            "model": row["model"],
            "win rate %": row["rate"],
            "standard error": row["standard_error"],
            "95 % interval": f"{row['interval_low']:.1f} … {row['interval_high']:.1f}",
            "wins": row["n_wins"],
            "losses": row["n_losses"],
            "draws": row["n_draws"],
            "prompts": row["n"],
            "length-controlled %": row["length_controlled_rate"],
            "by": row["length_controlled_method"] or row["length_note"],
            "mean output chars": row["output_chars_mean"],
        }
        for row in rows
    ]
    paper = [
        {
            "model": f"paper: {row.model}",
            "win rate %": row.rate,
            "standard error": row.standard_error,
            "by": "GPT-4 judge, 805 prompts, against text-davinci-003",
        }
        for row in PAPER_WIN_RATES
    ]
    table = pl.DataFrame([*ours, *paper], infer_schema_length=None)
    notes = {row["length_note"] for row in rows if row["length_note"]}
    lines = [render_markdown_table(table, decimals=2, max_chars=80)]
    return "\n\n".join([*lines, *(f"Length control: {note}." for note in sorted(notes))])


def comparison_table(comparisons: list[dict[str, Any]]) -> str:
    """Paired tests between models, in words that a reader of the page understands."""
    if not comparisons:
        return "Nothing to compare."
    rows = [
        {
            "compared": f"{row['compared']} − {row['against']}",
            "difference, points": row["difference"],
            "95 % interval": f"{row['low']:.1f} … {row['high']:.1f}",
            "p": row["p_value"],
            "p, Holm": row["p_adjusted"],
            "better": row["n_a_better"],
            "worse": row["n_b_better"],
            "same": row["n_equal"],
            "only it wins": row["n_only_a_wins"],
            "only the other": row["n_only_b_wins"],
            "McNemar p": row["mcnemar_p"],
            "prompts": row["n"],
        }
        for row in comparisons
    ]
    return (
        render_markdown_table(pl.DataFrame(rows))
        + "\n\np: two-sided sign-flip permutation test of the mean difference on the same prompts; "
        "Holm: corrected for all rows of this table."
    )


def cost_table(costs: list[dict[str, Any]]) -> str:
    """What the verdicts cost: those asked when this version was made, and all."""
    if not costs:
        return "Nothing was judged."
    table = pl.DataFrame(
        [
            {
                "model": row["model"],
                "verdicts": row["n_verdicts"],
                "asked": row["n_new"],
                "from the ledger": row["n_cached"],
                "tokens read": row["n_prompt_tokens"],
                "tokens written": row["n_completion_tokens"],
                "USD": row["usd"],
                "USD of those asked": row["new_usd"],
                "without counts": row["n_unmetered"],
            }
            for row in costs
        ],
        schema_overrides={"USD": pl.Float64, "USD of those asked": pl.Float64},
    )
    note = (
        "Asked: when this version was made; from the ledger: paid in an earlier run. USD by the "
        "prices in evaluation.judge, empty without them."
    )
    return f"{render_markdown_table(table, decimals=4)}\n\n{note}"


def _behaviour(facts: Mapping[str, Any], rows: list[dict[str, Any]]) -> str:
    bias = facts["position_bias_details"]
    if bias is None:
        return "Nothing was judged."
    low, high = bias["interval"]
    flip_low, flip_high = bias["flip_interval"]
    lines = [
        f"Position bias {bias['bias']:+.3f} (95 % {low:+.3f} … {high:+.3f}; 0 none, +1 always the "
        f"first), over {bias['n']} pairs in both orders. The win rates average both orders.",
        f"The order alone decides {bias['flip_rate']:.1%} of the verdicts (95 % {flip_low:.1%} … "
        f"{flip_high:.1%}); the answer shown first is preferred in {bias['first_rate']:.1%}.",
        f"Refused by the judge: {facts['n_refused']}.",
    ]
    columns = ("model", "flip_rate", "verdict_mass_mean", "n_prompts_cut")
    table = pl.DataFrame([{name: row[name] for name in columns} for row in rows])
    return "\n\n".join([*lines, render_markdown_table(table)])


def _file_list(folder: Path, files: list[Path]) -> dg.MetadataValue:
    listed = "\n".join(f"- `{file.relative_to(folder)}`" for file in files)
    return dg.MetadataValue.md(f"In `{folder}`:\n\n{listed}")


def _judged_samples(
    preferences: pl.DataFrame, answers: Mapping[str, pl.DataFrame], model: str
) -> dict[str, dg.MetadataValue]:
    """The answers of `model` that the judge liked best and least beside their references."""
    of_model = preferences.filter(pl.col("model") == model).drop_nulls("preference")
    judged = of_model.join(answers[model], on="prompt_id")
    columns = ["preference", "instruction", "output", "reference"]
    return {
        f"best_of_{model}": sample_table(judged.sort("preference", descending=True), columns),
        f"worst_of_{model}": sample_table(judged.sort("preference"), columns),
    }
