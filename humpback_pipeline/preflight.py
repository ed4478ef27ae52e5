"""Checks before any expensive step: everything a recipe names is there and usable.

Each check takes seconds. A failure is the domain's own error, which says what, where and how to
mend it; nothing has been written by then but cached downloads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from humpback_pipeline.storage import check_free_space
from humpback_pipeline.storage.atomic import remove_leftovers
from humpback_pipeline.storage.remote import redacted

if TYPE_CHECKING:
    from humpback_pipeline.stages import Workspace

MIN_FREE_BYTES = 1_000_000_000


def check_before_work(workspace: Workspace) -> Iterator[str]:
    """Run all checks; yield a line for each that passed. Raises the error of the first that fails.

    Order: cheap and most often wrong first.
    """
    checks: list[Callable[[Workspace], str]] = [
        _check_disk,
        _check_prompts,
        _check_seeds,
        _check_corpus,
        _check_evaluation,
        _check_endpoint,
        _check_training_memory,
        _check_base_model,
        _check_judge,
        _check_alerts,
    ]
    for check in checks:
        yield check(workspace)


def _check_disk(workspace: Workspace) -> str:
    check_free_space(workspace.home, MIN_FREE_BYTES)
    leftovers = remove_leftovers(workspace.home) if workspace.home.exists() else []
    note = f"; removed {len(leftovers)} leftovers of killed writers" if leftovers else ""
    return f"disk: enough space in {workspace.home}{note}"


def _check_prompts(workspace: Workspace) -> str:
    return f"prompts: {len(workspace.prompts.hashes())} read"


def _check_seeds(workspace: Workspace) -> str:
    read = workspace.read_seeds()
    return f"seeds: {len(read.pairs)} pairs in {workspace.recipe.seed.path} ({read.format})"


def _check_corpus(workspace: Workspace) -> str:
    from humpback_pipeline.stages.warc_files import openable_shards
    from humpback_pipeline.web import NotAWarcError
    from humpback_pipeline.web.shards import CorpusError

    try:
        shards, refused = openable_shards(workspace)
    except CorpusError:
        if not workspace.datasets.versions("corpus_selection").has_current():
            raise
        return "corpus: no WARC file is there any more; the segments made from them stay in use"
    reason = next(iter(refused.values()), "")
    if not shards:
        raise NotAWarcError(reason)
    left_out = f"; {len(refused)} more cannot be opened: {reason}" if refused else ""
    place = redacted(workspace.recipe.corpus.warc_dir)
    return f"corpus: {len(shards)} WARC files in {place}{left_out}"


def _check_evaluation(workspace: Workspace) -> str:
    from humpback_pipeline.seeds import read_evaluation_prompts, read_labelled_pairs
    from humpback_pipeline.seeds.evaluation_data import read_preferences

    evaluation = workspace.recipe.evaluation
    prompts = read_evaluation_prompts(evaluation.prompts)
    pairs = read_labelled_pairs(evaluation.labelled_pairs)
    found = [f"{len(prompts)} prompts", f"{len(pairs)} labelled pairs"]
    if evaluation.hard_pairs is not None:
        found.append(f"{len(read_labelled_pairs(evaluation.hard_pairs))} hard pairs")
    if evaluation.preferences is not None:
        found.append(f"{len(read_preferences(evaluation.preferences))} preferences")
    return f"evaluation: {', '.join(found)}"


def _check_endpoint(workspace: Workspace) -> str:
    settings = workspace.recipe.generation
    if settings.endpoint is None or settings.engine != "endpoint":
        return f"engine: {settings.engine}"
    from humpback_pipeline.generation import check_endpoint

    return f"endpoint: {check_endpoint(settings.endpoint)}"


def _check_training_memory(workspace: Workspace) -> str:
    from humpback_pipeline.models import known_config
    from humpback_pipeline.training import check_fits, whole_room
    from humpback_pipeline.training.arguments import check_extras

    recipe = workspace.recipe
    check_extras(recipe.training)
    config = known_config(recipe.base_model, workspace.cache_dir)
    if config is None:
        return "training memory: unknown until the base model is here; asked before each training"
    room = whole_room(recipe.training)
    fits = check_fits(config, recipe.training, room, trust_remote_code=recipe.trust_remote_code)
    return f"training memory: {fits}"


def _check_base_model(workspace: Workspace) -> str:
    model = workspace.base_model
    return f"base model: {model.identity}, {model.architecture} in {model.path}"


def _check_judge(workspace: Workspace) -> str:
    from humpback_pipeline.stages.judge import check_judge

    return f"judge: {check_judge(workspace)}"


def _check_alerts(workspace: Workspace) -> str:
    from humpback_pipeline.alerts import check_alert_channels

    return check_alert_channels(workspace.recipe)
