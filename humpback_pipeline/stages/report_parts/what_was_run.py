"""The report's first table: what was run, in one look."""

from __future__ import annotations

import platform

import humpback_pipeline
from humpback_pipeline.evaluation.report_sections import ReportSection, table_of_rows
from humpback_pipeline.stages.iteration_names import model_name
from humpback_pipeline.stages.report_parts.shared import current, present
from humpback_pipeline.stages.responses import WIN_RATES
from humpback_pipeline.stages.workspace import Workspace


def what_was_run(workspace: Workspace) -> ReportSection | None:
    """Base model, data, method, judge and versions; hashes and the recipe stand at the end."""
    recipe = workspace.recipe
    final = workspace.models.manifest(model_name(recipe.curation.iterations))
    behind = final.provenance
    rule = recipe.curation.selection.model_dump(exclude_none=True)
    training = recipe.training
    rates = current(workspace, WIN_RATES)
    rows = {
        "Base model": ", ".join(sorted(behind.base_models)) or "–",
        "Seeds": ", ".join(sorted(behind.seed_files)) or "–",
        "Crawl": f"{len(behind.warc_shards):,} WARC files",
        "Iterations": str(recipe.curation.iterations),
        "Rating": recipe.curation.scorer,
        "Selection": ", ".join(f"{name} {value:g}" for name, value in rule.items()),
        "Training": f"{training.method}, {final.facts['steps']:,} steps of the last model",
        "Prompts": f"{recipe.evaluation.prompts.name}, "
        f"{rates.facts['win_rates'][0]['n'] if rates and rates.facts['win_rates'] else 0} judged",
        "Judge": str(rates.facts["judge"]) if rates else "–",
        "Code": f"humpback_pipeline {humpback_pipeline.__version__}, "
        f"Python {platform.python_version()}",
        "Recipe": f"{recipe.name}, hash {recipe.content_hash()}",
        "Last model": f"{final.name}, version {final.version}",
    }
    return ReportSection(
        id="what-was-run",
        title="What was run",
        after="top",
        blocks=present([table_of_rows([{"What": k, "Which": v} for k, v in rows.items()])]),
    )
