"""Group `evaluation`: evaluation prompts against all that the models are trained on."""

import dagster as dg
import polars as pl

from humpback_pipeline.assets.checks import check_results, check_specs
from humpback_pipeline.assets.common import asset_settings
from humpback_pipeline.assets.dataset_checks import DATASET_CHECKS, dataset_checks
from humpback_pipeline.assets.metadata import manifest_metadata, plot, sample_table
from humpback_pipeline.assets.retries import retried
from humpback_pipeline.assets.seed import seed_pairs
from humpback_pipeline.evaluation.contamination import OVERLAP_SCHEMA
from humpback_pipeline.evaluation.contamination_plot import contamination_bars
from humpback_pipeline.evaluation.tables import render_markdown_table
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages.checks import check_evaluation_uncontaminated
from humpback_pipeline.stages.contamination import CONTAMINATION, write_contamination

N_SAMPLES = 5
SAMPLE_COLUMNS = ["prompt_id", "part", "dataset", "pair_id", "n_words", "covered", "words"]


def contamination_asset(curated: list[str]) -> dg.AssetsDefinition:
    """Table of the words that prompts share with seeds and the sets of `curated`."""

    @dg.asset(
        deps=[seed_pairs, *curated],
        check_specs=check_specs(CONTAMINATION, *DATASET_CHECKS, "evaluation_uncontaminated"),
        description=(
            "Which evaluation prompts and references share a long run of words with which seeds "
            "and curated pairs, and how much of the prompt that is. What is measured on such "
            "prompts is flattered, so it stops the win rates unless seed.contaminated: report."
        ),
        **asset_settings("evaluation", "polars", "parquet", name=CONTAMINATION),
    )
    @retried
    def contamination(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        manifest = write_contamination(opened)
        facts = manifest.facts
        table = opened.datasets.read(CONTAMINATION)
        counts = render_markdown_table(pl.DataFrame(facts["counts"]))
        evaluation = facts["prompts"][0]
        bars = contamination_bars(facts["counts"], evaluation["n"])
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                "counts": dg.MetadataValue.md(counts),
                "plot": plot(bars, "share of the evaluation prompts found in each set of pairs"),
                "prompts": dg.MetadataValue.md(
                    render_markdown_table(pl.DataFrame(facts["prompts"]))
                ),
                "contaminated_prompts": evaluation["contaminated"],
                "words_in_a_row": facts["ngram_words"],
                "contaminated_seeds": facts["policy"],
                "samples": sample_table(table, SAMPLE_COLUMNS, N_SAMPLES),
                **manifest_metadata(opened, manifest, context),
            },
            check_results=check_results(
                context,
                [
                    *dataset_checks(
                        opened,
                        manifest,
                        ["prompts", "prompt_id", "part", "dataset", "pair_id", "field"],
                        OVERLAP_SCHEMA,
                    ),
                    check_evaluation_uncontaminated(opened.recipe, manifest),
                ],
            ),
        )

    return contamination
