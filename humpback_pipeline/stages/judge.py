"""The judge a recipe names: a local model through our engines, or a server; and its name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from humpback_pipeline.recipe import EndpointRecipe, GenerationRecipe
from humpback_pipeline.storage import Provenance, hash_text

if TYPE_CHECKING:
    from humpback_pipeline.generation import TextGenerator
    from humpback_pipeline.stages.workspace import Workspace

PREFLIGHT_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Judge:
    """Who judges.

    identity: its name for people and provenance. content_hash: of a local model's files; of a
    server, which cannot be looked into, of its address and the model's name there. path: folder of
    a local model. served_name: the model's name on a server.
    """

    identity: str
    content_hash: str
    path: Path | None = None
    served_name: str | None = None

    def source(self) -> Provenance:
        """Provenance of what it has judged."""
        return Provenance(base_models={self.identity: self.content_hash})


def find_judge(workspace: Workspace) -> Judge:
    """The recipe's judge; a local one is fetched or converted on first use.

    A server is asked for its models only if the recipe names none. Raises BaseModelError,
    EndpointError.
    """
    from humpback_pipeline.models import resolve_base_model

    recipe = workspace.recipe
    judge = recipe.evaluation.judge
    if judge.endpoint is not None:
        with _named_for_the_judge():
            name = judge.model or _only_model(judge.endpoint)
        address = judge.endpoint.base_url.rstrip("/")
        return Judge(f"{name} at {address}", hash_text(f"{address}#{name}"), served_name=name)
    if judge.model is None:
        model = workspace.base_model
    else:
        model = resolve_base_model(judge.model, workspace.cache_dir, recipe.trust_remote_code)
    return Judge(model.identity, model.content_hash, path=model.path)


@contextmanager
def open_judge(workspace: Workspace) -> Iterator[TextGenerator]:
    """The judge as an engine that tells what each choice costs (`generation.judging`).

    A local one starts with the first question: with all verdicts in the ledger it never does.
    Raises GenerationError, EndpointError, BaseModelError.
    """
    from humpback_pipeline.generation.judging import JudgeEndpoint, LocalJudge

    judge = workspace.judge
    if judge.path is not None:
        with workspace.lazy_generator(judge.path) as generator:
            yield LocalJudge(generator, judge.path)
        return
    with (
        _named_for_the_judge(),
        JudgeEndpoint(
            str(judge.served_name),
            _endpoint_settings(workspace),
            verdicts=workspace.recipe.evaluation.judge.verdicts,
        ) as server,
    ):
        yield server


def judge_settings(workspace: Workspace) -> dict[str, Any]:
    """What besides the judge and its prompts shapes a verdict: part of an origin's settings."""
    judge = workspace.recipe.evaluation.judge
    if judge.engine == "local":
        return workspace.generation_settings()
    settings = {"engine": "endpoint", "seed": workspace.recipe.generation.seed}
    return {**settings, "verdicts": judge.verdicts}


def check_judge(workspace: Workspace) -> str:
    """A line on the judge, for preflight; a server is asked for one tiny verdict.

    So what it lacks, such as log-probabilities, is known before any work. Raises as `open_judge`.
    """
    from humpback_pipeline.generation import GenerationRequest
    from humpback_pipeline.generation.judging import JudgeEndpoint

    judge = workspace.judge
    if judge.path is not None:
        return judge.identity
    settings = _endpoint_settings(workspace)
    endpoint = settings.endpoint
    assert endpoint is not None
    timeout_s = min(PREFLIGHT_TIMEOUT_S, endpoint.timeout_s)
    quick = endpoint.model_copy(update={"max_retries": 0, "timeout_s": timeout_s})
    verdicts = workspace.recipe.evaluation.judge.verdicts
    message = {"role": "user", "content": "Which number is greater, 1 or 2?"}
    with (
        _named_for_the_judge(),
        JudgeEndpoint(
            str(judge.served_name),
            settings.model_copy(update={"endpoint": quick}),
            verdicts=verdicts,
        ) as server,
    ):
        (verdict,) = server.choose([GenerationRequest("preflight", [message])], ("1", "2"))
    heard = f"gives verdicts by {verdicts}" if verdict.mass > 0 else "does not give a bare verdict"
    return f"{judge.identity} {heard}"


def _endpoint_settings(workspace: Workspace) -> GenerationRecipe:
    settings = workspace.recipe.generation
    endpoint = workspace.recipe.evaluation.judge.endpoint
    return settings.model_copy(update={"engine": "endpoint", "endpoint": endpoint})


def _only_model(endpoint: EndpointRecipe) -> str:
    from humpback_pipeline.generation import EndpointError
    from humpback_pipeline.generation.endpoint_client import EndpointClient

    client = EndpointClient(endpoint)
    try:
        served = [str(entry.get("id")) for entry in client.models()]
    finally:
        client.close()
    if len(served) != 1:
        raise EndpointError(
            f"{client.base_url} serves {', '.join(served[:20]) or 'no model'}; name the one that "
            "judges in evaluation.judge.model."
        )
    return served[0]


@contextmanager
def _named_for_the_judge() -> Iterator[None]:
    """What goes wrong with the server is said of evaluation.judge, not of generation."""
    from humpback_pipeline.generation import EndpointError

    try:
        yield
    except EndpointError as error:
        error.args = tuple(
            str(part).replace("generation.endpoint", "evaluation.judge.endpoint")
            for part in error.args
        )
        raise
