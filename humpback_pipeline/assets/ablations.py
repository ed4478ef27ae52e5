"""Group `ablations`: the models that show what matters, a partition for each variant."""

from collections.abc import Mapping

import dagster as dg
import polars as pl

from humpback_pipeline.assets.ablation_deps import data_deps
from humpback_pipeline.assets.ablation_metadata import data_metadata, win_rate_metadata
from humpback_pipeline.assets.checks import check_results, check_specs
from humpback_pipeline.assets.common import asset_settings, log_progress, shards_with
from humpback_pipeline.assets.dataset_checks import DATASET_CHECKS, shard_checks
from humpback_pipeline.assets.metadata import add_partition_metadata, manifest_metadata
from humpback_pipeline.assets.model_checks import MODEL_CHECKS, model_checks
from humpback_pipeline.assets.retries import retried
from humpback_pipeline.assets.scaling import scaling_asset
from humpback_pipeline.assets.training_events import log_training
from humpback_pipeline.assets.training_page import training_metadata
from humpback_pipeline.automation.partitions import ABLATIONS_GROUP, WARC_SHARDS, ablation_variants
from humpback_pipeline.recipe import Recipe
from humpback_pipeline.recipe_ablations import AblationVariant, check_ablations
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.ablation_models import model_of
from humpback_pipeline.stages.ablation_names import (
    ABLATION_DATA,
    ABLATION_MODEL,
    ABLATION_RESPONSES,
    ABLATION_WIN_RATE,
)
from humpback_pipeline.stages.ablation_win_rates import write_ablation_win_rates
from humpback_pipeline.stages.ablations import train_ablation
from humpback_pipeline.stages.augmentation import (
    augmented_set_name,
)
from humpback_pipeline.stages.checks import (
    CheckOutcome,
    check_every_prompt_judged,
    check_responses_not_empty,
    over_shards,
)
from humpback_pipeline.stages.checks.ablations import check_size_reached
from humpback_pipeline.stages.iteration_names import (
    scores_name,
)
from humpback_pipeline.stages.win_rates import WIN_RATES_SCHEMA
from humpback_pipeline.storage import Manifest, NotMaterializedError, hash_text

ABLATION_CHECKS = ("size_reached",)


def build_ablations(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """The assets of the recipe's variants; none where it declares none. Raises ValueError."""
    variants = check_ablations(recipe)
    if not variants:
        return []
    return [_model_asset(recipe, variants), _win_rate_asset(recipe, variants), scaling_asset()]


def _model_asset(recipe: Recipe, variants: Mapping[str, AblationVariant]) -> dg.AssetsDefinition:
    @dg.asset(
        name=ABLATION_MODEL,
        deps=data_deps(recipe, variants),
        partitions_def=ablation_variants(variants),
        check_specs=check_specs(ABLATION_MODEL, *ABLATION_CHECKS, *MODEL_CHECKS),
        description=(
            "The base model finetuned for each variant of the recipe's ablations: other data, "
            "other tags, another scorer, pairs it made up itself. Variants that are trained alike "
            "share a model; few-shot prompting trains none, and has its examples here."
        ),
        **asset_settings(ABLATIONS_GROUP, "huggingface", "pytorch", name=ABLATION_MODEL, gpu=True),
    )
    @retried
    def ablation_model(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        models: dict[str, Manifest] = {}
        sets: dict[str, Manifest] = {}
        failed: dict[str, str] = {}
        for name in _chosen(context):
            shards = _shards(context, opened, variants[name])
            try:
                data, model = train_ablation(
                    opened, name, variants[name], shards, log_progress(context),
                    log_training(context),
                )  # fmt: skip
            except ValueError as error:  # of this variant; the others can still be made
                failed[name] = str(error)
                context.log.error(f"{name}: {error}")
                continue
            sets[name] = data
            metadata = data_metadata(opened, data, variants[name])
            if model is not None:
                models[model.name] = model
                metadata |= {"model": model.name, **training_metadata(opened, model, model.name)}
            made = manifest_metadata(opened, model or data, context)
            add_partition_metadata(context, name, {**metadata, **made})
        if failed:
            _stop(failed, len(context.partition_keys))
        return dg.MaterializeResult(
            data_version=_data_version(opened, variants, ABLATION_MODEL),
            check_results=check_results(context, _model_checks(opened, sets, models)),
        )

    return ablation_model


def _win_rate_asset(recipe: Recipe, variants: Mapping[str, AblationVariant]) -> dg.AssetsDefinition:
    @dg.asset(
        name=ABLATION_WIN_RATE,
        deps=[ABLATION_MODEL, "win_rates"],
        partitions_def=ablation_variants(variants),
        check_specs=check_specs(
            ABLATION_WIN_RATE, *DATASET_CHECKS, "responses_not_empty", "every_prompt_judged"
        ),
        description=(
            "Each variant's answers to the evaluation prompts against the reference answers, as "
            "the recipe's judge sees them in both orders: AlpacaEval's win rate with its standard "
            "error and interval, and the final model on the same prompts."
        ),
        **asset_settings(ABLATIONS_GROUP, "vllm", "parquet", name=ABLATION_WIN_RATE, gpu=True),
    )
    @retried
    def ablation_win_rate(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        chosen = {name: variants[name] for name in _chosen(context)}
        manifests: dict[str, Manifest] = {}
        for name, manifest in write_ablation_win_rates(opened, chosen, log_progress(context)):
            manifests[name] = manifest
            made = manifest_metadata(opened, manifest, context)
            add_partition_metadata(context, name, {**win_rate_metadata(opened, manifest), **made})
        answers = {name: opened.datasets.read(ABLATION_RESPONSES, name) for name in manifests}
        judged = pl.concat([opened.datasets.read(ABLATION_WIN_RATE, name) for name in manifests])
        return dg.MaterializeResult(
            data_version=_data_version(opened, variants, ABLATION_WIN_RATE),
            check_results=check_results(
                context,
                [
                    *shard_checks(opened, manifests, ["model", "prompt_id"], WIN_RATES_SCHEMA),
                    over_shards({n: check_responses_not_empty(a) for n, a in answers.items()}),
                    check_every_prompt_judged(judged, answers),
                ],
            ),
        )

    return ablation_win_rate


def _chosen(context: dg.AssetExecutionContext) -> list[str]:
    """The variants this run is to work on. Raises Failure if none was chosen."""
    if not (context.has_partition_key or context.has_partition_key_range):
        raise dg.Failure(
            "no variant was chosen: on the job's page use Materialize all → All, or pick variants.",
            allow_retries=False,
        )
    return list(context.partition_keys)


def _shards(
    context: dg.AssetExecutionContext, workspace: Workspace, variant: AblationVariant
) -> list[str]:
    """The shards that a variant chooses from.

    Those that are rated, whether it reads ratings or not, so that variants differ in their choice
    alone; all with pairs where none is rated yet.
    """
    if not variant.uses_web or variant.takes_curated_set:
        return []
    t = variant.iteration or workspace.recipe.curation.iterations
    name = scores_name(t)
    registered = context.instance.get_dynamic_partitions(WARC_SHARDS)
    if not any(workspace.datasets.versions(name, shard).has_current() for shard in registered):
        name = augmented_set_name(workspace.recipe, t)
    return shards_with(context, workspace, name)


def _model_checks(
    workspace: Workspace, sets: Mapping[str, Manifest], models: Mapping[str, Manifest]
) -> list[CheckOutcome]:
    sizes = over_shards({name: check_size_reached(data.facts) for name, data in sets.items()})
    if not models:
        nothing = [CheckOutcome(name, True, "Nothing was trained.") for name in MODEL_CHECKS]
        return [sizes, *nothing]
    by_variant = {name: model_checks(workspace, model) for name, model in models.items()}
    trained = [
        over_shards({name: outcomes[n] for name, outcomes in by_variant.items()})
        for n in range(len(MODEL_CHECKS))
    ]
    return [sizes, *trained]


def _stop(failed: Mapping[str, str], n: int) -> None:
    listed = "\n".join(f"{name}: {why}" for name, why in failed.items())
    raise dg.Failure(
        f"{len(failed)} of {n} variants could not be made; the others are, and will be reused. "
        f"Change or remove these in the recipe's ablations.variants:\n{listed}",
        allow_retries=False,
    )


def _data_version(
    workspace: Workspace, variants: Mapping[str, AblationVariant], asset: str
) -> dg.DataVersion:
    """A hash over all variants that are there now: Dagster gives all of a run one version."""
    lines = []
    for name in variants:
        try:
            trained = model_of(workspace.recipe, name) if asset == ABLATION_MODEL else None
            if trained is not None:
                made = workspace.models.manifest(trained)
            else:
                kind = ABLATION_DATA if asset == ABLATION_MODEL else asset
                made = workspace.datasets.manifest(kind, name)
        except NotMaterializedError:
            continue
        lines.append(f"{name} {made.content_hash}")
    return dg.DataVersion(hash_text("\n".join(lines)))
