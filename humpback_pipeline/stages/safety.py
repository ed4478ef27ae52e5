"""Safety: answers to prompts that ask for harm, and how they are judged (paper section 3.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.recipe_benchmarks import SafetyRecipe, TagName
from humpback_pipeline.stages.evaluated_models import compared_models, evaluated_models
from humpback_pipeline.stages.file_sources import file_source
from humpback_pipeline.stages.responses import BASE
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, Provenance, hash_text

if TYPE_CHECKING:
    from humpback_pipeline.generation import GenerationRequest
    from humpback_pipeline.seeds.safety_prompts import SafetyPrompt

SAFETY_RESPONSES = "safety_responses"
SAFETY = "safety"
SAFETY_RESPONSES_SCHEMA = {
    "model": pl.String,
    "tag": pl.String,
    "prompt_id": pl.String,
    "category": pl.String,
    "harmful": pl.Boolean,
    "instruction": pl.String,
    "output": pl.String,
    "n_tokens": pl.Int64,
    "finish_reason": pl.String,
}
SAFETY_SCHEMA = {
    "model": pl.String,
    "tag": pl.String,
    "prompt_id": pl.String,
    "category": pl.String,
    "harmful": pl.Boolean,
    "verdict": pl.String,
    "p_refuses": pl.Float64,
    "p_harmless": pl.Float64,
    "p_harmful": pl.Float64,
    "consistent": pl.Boolean,
    "choices_mass": pl.Float64,
    "rule_refuses": pl.Boolean,
}
_ORIGINS: dict[TagName, Literal["seed", "web", "inference"]] = {
    "seed": "seed",
    "web": "web",
    "both": "inference",
}


def write_safety_responses(
    workspace: Workspace, on_progress: OnProgress = ignore_progress
) -> Manifest:
    """Let the base model and every M_t answer the safety prompts under each of the recipe's tags.

    Columns: `SAFETY_RESPONSES_SCHEMA`. An engine only starts for a model whose answers are not in
    the ledger. Raises ValueError without a recipe for it, SeedDataError.
    """
    from humpback_pipeline.generation import generate_all
    from humpback_pipeline.seeds.safety_prompts import read_safety_prompts

    safety = safety_recipe(workspace)
    models = evaluated_models(workspace)
    origin = workspace.origin(
        SAFETY_RESPONSES,
        inputs=[workspace.models.manifest(model.name) for model in models if model.name != BASE],
        sources=file_source(safety.prompts, "evaluation.safety.prompts").merged(
            [workspace.prompt_sources("tags"), workspace.base_model_source()]
        ),
        settings={
            "sampling": safety.sampling.model_dump(),
            "max_prompts": safety.max_prompts,
            "tags": list(safety.tags),
            "generation": workspace.generation_settings(),
        },
    )
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    prompts = read_safety_prompts(safety.prompts)[: safety.max_prompts]
    asked = [(tag, prompt) for tag in safety.tags for prompt in prompts]
    requests = [_request(workspace, tag, prompt) for tag, prompt in asked]
    rows = []
    for model in models:
        with workspace.lazy_generator(model.path) as generator:
            answers = generate_all(
                requests,
                generator,
                safety.sampling,
                ledger=workspace.ledger(SAFETY_RESPONSES, model.name),
                chunk_size=workspace.recipe.generation.chunk_size,
                stage=f"safety answers of {model.name}",
                on_progress=on_progress,
            )
        rows += [
            (
                model.name,
                tag,
                prompt.prompt_id,
                prompt.category,
                prompt.harmful,
                prompt.instruction,
                answer.text.strip(),
                answer.n_tokens,
                answer.finish_reason,
            )
            for (tag, prompt), answer in zip(asked, answers, strict=True)
        ]
    frame = pl.DataFrame(rows, schema=SAFETY_RESPONSES_SCHEMA, orient="row")
    n_cut = frame.filter(pl.col("finish_reason") == "length").height
    return workspace.write_dataset(
        origin, frame, SAFETY_RESPONSES_SCHEMA, facts={"n_prompts": len(prompts), "n_cut": n_cut}
    )


def write_safety(workspace: Workspace, on_progress: OnProgress = ignore_progress) -> Manifest:
    """Judge the safety answers, beside a rule; columns `SAFETY_SCHEMA`.

    Facts: rates (`safety_rates`), models (their rates under the last tag), agreement
    (`judge_and_rule`), comparisons (paired tests), n_unjudged.
    """
    from humpback_pipeline.evaluation.safety import UNJUDGED, judge_prompt, judge_safety
    from humpback_pipeline.evaluation.safety_rules import PATTERNS_FILE, refuses
    from humpback_pipeline.evaluation.safety_tables import (
        judge_and_rule,
        safety_comparisons,
        safety_rates,
    )

    judge = workspace.judge
    texts = {
        "safety_judge": hash_text(judge_prompt()),
        "safety_refusals": hash_text(PATTERNS_FILE.read_text(encoding="utf-8")),
    }
    origin = workspace.origin(
        SAFETY,
        inputs=[workspace.datasets.manifest(SAFETY_RESPONSES)],
        sources=judge.source().merged([Provenance(prompts=texts)]),
        settings={"judge": workspace.judge_settings()},
    )
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    responses = workspace.datasets.read(SAFETY_RESPONSES)
    models = responses["model"].unique(maintain_order=True).to_list()
    frames = []
    with workspace.judge_generator() as generator:
        for model in models:
            own = responses.filter(pl.col("model") == model)
            verdicts = judge_safety(
                own,
                generator,
                ledger=workspace.ledger(SAFETY, model),
                chunk_size=workspace.recipe.generation.chunk_size,
                stage=f"judging the safety of {model}",
                on_progress=on_progress,
            )
            frames.append(
                own.with_columns(
                    verdict=pl.Series([v.verdict for v in verdicts], dtype=pl.String),
                    p_refuses=pl.Series([v.p_refuses for v in verdicts], dtype=pl.Float64),
                    p_harmless=pl.Series([v.p_harmless for v in verdicts], dtype=pl.Float64),
                    p_harmful=pl.Series([v.p_harmful for v in verdicts], dtype=pl.Float64),
                    consistent=pl.Series([v.consistent for v in verdicts], dtype=pl.Boolean),
                    choices_mass=pl.Series([v.mass for v in verdicts], dtype=pl.Float64),
                    rule_refuses=pl.Series(
                        [refuses(text) for text in own["output"]], dtype=pl.Boolean
                    ),
                ).select(list(SAFETY_SCHEMA))
            )
    frame = pl.concat(frames)
    rates = safety_rates(frame)
    return workspace.write_dataset(
        origin,
        frame,
        SAFETY_SCHEMA,
        facts={
            "rates": rates,
            "models": _by_model(rates),
            "agreement": judge_and_rule(frame),
            "comparisons": safety_comparisons(frame, compared_models(models)),
            "judge": judge.identity,
            "n_unjudged": frame.filter(pl.col("verdict") == UNJUDGED).height,
        },
    )


def _by_model(rates: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row a model, for lineage: what it does under the last of the tags, at inference both."""
    tag = rates[-1]["tag"] if rates else None
    rows: dict[str, dict[str, Any]] = {}
    for rate in rates:
        if rate["tag"] == tag:
            row = rows.setdefault(rate["answers_of"], {"model": rate["answers_of"]})
            row[f"{rate['prompts']}_prompts"] = {n: rate[n] for n in ("n", "refused", "harmful")}
    return list(rows.values())


def safety_recipe(workspace: Workspace) -> SafetyRecipe:
    """The recipe's section. Raises ValueError where there is none."""
    recipe = workspace.recipe.evaluation.safety
    if recipe is None:
        raise ValueError("evaluation.safety is empty; name its prompts in the recipe.")
    return recipe


def _request(workspace: Workspace, tag: TagName, prompt: SafetyPrompt) -> GenerationRequest:
    from humpback_pipeline.generation import GenerationRequest

    messages = workspace.prompts.forward_messages(prompt.instruction, _ORIGINS[tag])
    return GenerationRequest(f"{tag}/{prompt.prompt_id}", messages, cuttable=(prompt.instruction,))
