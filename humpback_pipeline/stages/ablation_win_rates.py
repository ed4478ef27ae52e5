"""A variant's answers to the evaluation prompts, and how often they win."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.recipe_ablations import AblationVariant
from humpback_pipeline.stages.ablation_models import model_of
from humpback_pipeline.stages.ablation_names import (
    ABLATION_DATA,
    ABLATION_RESPONSES,
    ABLATION_WIN_RATE,
)
from humpback_pipeline.stages.ablations import with_tags
from humpback_pipeline.stages.file_sources import file_source
from humpback_pipeline.stages.iteration_names import model_name
from humpback_pipeline.stages.responses import RESPONSES_SCHEMA, WIN_RATES, responses_name
from humpback_pipeline.stages.seed import SEED_PAIRS
from humpback_pipeline.stages.win_rates import (
    WIN_RATES_SCHEMA,
    judge_facts,
    preferences_frame,
)
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, NotMaterializedError, Origin, Provenance, hash_text

if TYPE_CHECKING:
    from humpback_pipeline.generation import TextGenerator

_PRICES = {"usd_per_million_prompt_tokens", "usd_per_million_completion_tokens"}


def write_ablation_responses(
    workspace: Workspace,
    name: str,
    variant: AblationVariant,
    on_progress: OnProgress = ignore_progress,
) -> Manifest:
    """Let a variant answer the evaluation prompts. Columns: `RESPONSES_SCHEMA`."""
    from humpback_pipeline.generation import generate_responses
    from humpback_pipeline.seeds import read_evaluation_prompts

    origin = _responses_origin(workspace, name, variant)
    if unchanged := workspace.unchanged_dataset(origin, name):
        return unchanged
    evaluation = workspace.recipe.evaluation
    prompts = read_evaluation_prompts(evaluation.prompts)[: evaluation.max_prompts]
    ledger = workspace.ledger(ABLATION_RESPONSES, name)
    chunk_size = workspace.recipe.generation.chunk_size
    if variant.method == "few_shot":
        from humpback_pipeline.generation.few_shot import few_shot_responses
        from humpback_pipeline.generation.few_shot_prompts import load_plain_prompts

        with workspace.generator(workspace.base_model.path) as generator:
            frame = few_shot_responses(
                prompts,
                workspace.datasets.read(ABLATION_DATA, name),
                generator,
                evaluation.sampling,
                n_shots=variant.shots,
                templates=load_plain_prompts(),
                ledger=ledger,
                chunk_size=chunk_size,
                on_progress=on_progress,
                generator_name=name,
            )
    else:
        with workspace.generator(workspace.models.path(_model(workspace, name))) as generator:
            frame = generate_responses(
                prompts,
                generator,
                with_tags(workspace, variant.tags_at_inference).prompts,
                evaluation.sampling,
                ledger=ledger,
                chunk_size=chunk_size,
                on_progress=on_progress,
                generator_name=name,
            )
    n_cut = frame.filter(pl.col("finish_reason") == "length").height
    return workspace.write_dataset(
        origin, frame, RESPONSES_SCHEMA, partition=name, facts={"n_cut": n_cut}
    )


def write_ablation_win_rates(
    workspace: Workspace,
    variants: Mapping[str, AblationVariant],
    on_progress: OnProgress = ignore_progress,
) -> Iterator[tuple[str, Manifest]]:
    """Answer and judge each of `variants` (name → variant); yield (name, manifest).

    Columns: `WIN_RATES_SCHEMA`, against the reference answers, in both orders. All answer before
    the judge starts, so that two models need not be in memory at once. Facts: see `_facts` and
    `judge_facts`.
    """
    for name, variant in variants.items():
        write_ablation_responses(workspace, name, variant, on_progress)
    with workspace.judge_generator() as generator:
        for name, variant in variants.items():
            yield name, _write_win_rate(workspace, name, variant, generator, on_progress)


def _write_win_rate(
    workspace: Workspace,
    name: str,
    variant: AblationVariant,
    generator: TextGenerator,
    on_progress: OnProgress,
) -> Manifest:
    from humpback_pipeline.evaluation.pairwise import judge_pairs

    final = _final_preferences(workspace, name)
    prices = workspace.recipe.evaluation.judge.model_dump(include=_PRICES)
    origin = workspace.origin(
        ABLATION_WIN_RATE,
        inputs=[
            workspace.datasets.manifest(ABLATION_RESPONSES, name),
            workspace.datasets.manifest(ABLATION_DATA, name),
        ],
        sources=workspace.judge.source().merged([workspace.prompt_sources("judge")]),
        settings={
            "judge": workspace.judge_settings(),
            "prices": prices,
            "study": variant.study,
            "series": variant.series,
            "compared_with": None if final is None else hash_text(final.write_json()),
        },
    )
    if unchanged := workspace.unchanged_dataset(origin, name):
        return unchanged
    responses = workspace.datasets.read(ABLATION_RESPONSES, name)
    preferences = judge_pairs(
        responses,
        generator,
        workspace.prompts,
        ledger=workspace.ledger(ABLATION_WIN_RATE, name),
        chunk_size=workspace.recipe.generation.chunk_size,
        on_progress=on_progress,
        stage=f"judging {name}",
    )
    judged = preferences_frame(name, preferences)
    return workspace.write_dataset(
        origin,
        judged,
        WIN_RATES_SCHEMA,
        partition=name,
        facts={
            **_facts(workspace, name, variant, judged, responses, final),
            **judge_facts({name: preferences}, prices),
        },
    )


def _facts(
    workspace: Workspace,
    name: str,
    variant: AblationVariant,
    judged: pl.DataFrame,
    responses: pl.DataFrame,
    final: pl.DataFrame | None,
) -> dict[str, Any]:
    """The win rate with its interval, what was trained on, and the final model on the same prompts.

    Rates in percent. versus_final: a row of `compare_with_final`, None where it is not there.
    """
    from humpback_pipeline.evaluation.ablations import compare_with_final, rate_row

    data = workspace.datasets.manifest(ABLATION_DATA, name).facts
    return {
        "study": variant.study,
        "series": variant.series,
        "n_seeds": data["n_seeds"] if variant.method == "train" else 0,
        "n_augmented": data["n_augmented"],
        "seeds_wanted": data["seeds_wanted"],
        "augmented_wanted": data["augmented_wanted"],
        **rate_row(judged["preference"].to_list()),
        "mean_output_chars": responses["output"].str.len_chars().mean(),
        "versus_final": None if final is None else compare_with_final(judged, final),
        "judge": workspace.judge.identity,
    }


def _final_preferences(workspace: Workspace, name: str) -> pl.DataFrame | None:
    """Columns prompt_id, preference: the final model's, where they can be set beside the variant's.

    That is, judged by the same judge in the same way, on the same prompts and references.
    """
    from humpback_pipeline.evaluation.head_to_head import (
        DifferentPromptsError,
        check_same_prompts,
    )

    iterations = workspace.recipe.curation.iterations
    try:
        facts = workspace.datasets.manifest(WIN_RATES).facts
        answers = workspace.datasets.read(responses_name(iterations))
    except NotMaterializedError:
        return None
    same_judge = facts.get("judge") == workspace.judge.identity
    if not same_judge or facts.get("judge_settings") != workspace.judge_settings():
        return None
    try:
        check_same_prompts(
            {name: workspace.datasets.read(ABLATION_RESPONSES, name), "final": answers}
        )
    except DifferentPromptsError:
        return None
    rows = workspace.datasets.read(WIN_RATES).filter(pl.col("model") == model_name(iterations))
    return rows.select("prompt_id", "preference").sort("prompt_id") if rows.height else None


def _responses_origin(workspace: Workspace, name: str, variant: AblationVariant) -> Origin:
    evaluation = workspace.recipe.evaluation
    sources = file_source(evaluation.prompts, "evaluation.prompts")
    settings: dict[str, Any] = {
        "sampling": evaluation.sampling.model_dump(),
        "max_prompts": evaluation.max_prompts,
        "generation": workspace.generation_settings(),
    }
    inputs = [workspace.datasets.manifest(ABLATION_DATA, name)]
    if variant.method == "few_shot":
        from humpback_pipeline.generation.few_shot_prompts import load_plain_prompts

        hashes = load_plain_prompts().hashes()
        prompts = Provenance(prompts={"few_shot": hashes["few_shot"]})
        sources = sources.merged([workspace.base_model_source(), prompts])
        settings["shots"] = variant.shots
        inputs.append(workspace.datasets.manifest(SEED_PAIRS))
    else:
        tagged = with_tags(workspace, variant.tags_at_inference)
        sources = sources.merged([tagged.prompt_sources("tags")])
        inputs.append(workspace.models.manifest(_model(workspace, name)))
    return workspace.origin(ABLATION_RESPONSES, inputs=inputs, sources=sources, settings=settings)


def _model(workspace: Workspace, name: str) -> str:
    trained = model_of(workspace.recipe, name)
    assert trained is not None  # but for few-shot prompting each has one
    return trained
