"""What answers prompts: the protocol every engine follows, and the one way to open one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from humpback_pipeline.chat import Message
from humpback_pipeline.recipe import GenerationRecipe, VllmRecipe
from humpback_pipeline.recipe_curation import SamplingRecipe

if TYPE_CHECKING:
    from humpback_pipeline.generation.devices import EngineSlot


class GenerationError(RuntimeError):
    """An engine cannot start or cannot answer; the message says what to change."""


class EngineDiedError(GenerationError):
    """An engine ended or ran out of memory: opened anew, with a smaller batch, it may go on."""


@dataclass(frozen=True)
class GenerationRequest:
    """One prompt.

    messages: what stands before the answer; `answer_prefix` opens the answer itself.
    cuttable: texts inside the last user message, in their order there, that lose their ends if the
        prompt does not fit; the longest is cut first. Empty: the end of that message is cut.
    plain_text: the one message is a text to go on with, without any chat template around it.
    stop: texts that an engine may end at, which spares it what follows; the first of them then ends
        the answer. Who asks cuts there all the same: not every engine knows how to.
    """

    request_id: str
    messages: list[Message]
    answer_prefix: str = ""
    cuttable: tuple[str, ...] = ()
    plain_text: bool = False
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Generation:
    """An answer. `finish_reason` is stop (the model ended it) or length (cut at max_new_tokens).

    Or refused: a server calls this very request bad; then the text is empty and `error` says why.
    mean_logprob: mean natural log-probability of its tokens under the model itself, at temperature
    1 and before nucleus sampling; None if there are no tokens or a server does not tell.
    """

    request_id: str
    text: str
    finish_reason: str
    n_prompt_tokens: int
    n_tokens: int
    mean_logprob: float | None
    prompt_cut: bool = False
    error: str | None = None


@dataclass(frozen=True)
class ChoiceProbabilities:
    """How likely each choice is as the next token, normalised over the choices.

    mass: probability the model gives to all the choices together before that; near 0, the model
    does not follow the prompt. At exactly 0 (nothing known of any choice) they are uniform. error:
    why a server refused this request, which leaves the mass 0.
    """

    request_id: str
    probabilities: tuple[float, ...]
    mass: float
    prompt_cut: bool = False
    error: str | None = None


@dataclass(frozen=True)
class LikelihoodRequest:
    """A prompt with its answer already written: the model reads both and continues neither.

    cuttable: as in GenerationRequest. An answer that does not fit beside its prompt loses its
    middle, as its beginning and its end say most. head_tokens: how many tokens count as its head.
    head_only: nothing after the head is read.
    """

    request_id: str
    messages: list[Message]
    answer: str
    cuttable: tuple[str, ...] = ()
    head_tokens: int = 128
    head_only: bool = False


@dataclass(frozen=True)
class Likelihood:
    """How likely an answer is after its prompt, in natural log-probabilities at temperature 1.

    logprob: sum over the answer's `n_tokens` tokens that were read, the turn's ending not among
    them; head_logprob: over the first `n_head_tokens`. end_logprob: of the turn's ending where the
    answer ends, up to its first special token; None if only the head was read. cut: prompt or
    answer did not fit. error: why a server refused this request; then nothing was read.
    """

    request_id: str
    logprob: float
    n_tokens: int
    head_logprob: float
    n_head_tokens: int
    end_logprob: float | None
    cut: bool = False
    error: str | None = None


class TextGenerator(Protocol):
    """Answers prompts with one model. Use it in a `with` block; `close` gives the memory back.

    name: engine and model, for people. model_hash: content hash of the model.
    """

    name: str
    model_hash: str

    @property
    def n_truncated(self) -> int:
        """Prompts cut to fit the model's window so far."""
        ...

    @property
    def identity(self) -> dict[str, str | int]:
        """Everything besides a request that shapes its answer: part of the ledger's keys."""
        ...

    def generate(
        self, requests: Sequence[GenerationRequest], sampling: SamplingRecipe
    ) -> list[Generation]:
        """Sample one answer to each request, in their order."""
        ...

    def choose(
        self, requests: Sequence[GenerationRequest], choices: tuple[str, ...]
    ) -> list[ChoiceProbabilities]:
        """Probability of each choice as the next token after each prompt; nothing is sampled."""
        ...

    def likelihoods(self, requests: Sequence[LikelihoodRequest]) -> list[Likelihood]:
        """How likely each answer is after its prompt; nothing is sampled."""
        ...

    def close(self) -> None:
        """Stop the engine and give its memory back."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class ClosesOnExit:
    """The `with` block of an engine."""

    def close(self) -> None:
        """Give everything back; an engine that holds nothing has nothing to do."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


LAPTOP_MODEL_TOKENS = 2_048


def notebook_settings() -> GenerationRecipe:
    """Settings for a call without a recipe: modest, so that they suit a laptop as well as a GPU."""
    engine = VllmRecipe(
        max_model_tokens=LAPTOP_MODEL_TOKENS,
        max_concurrent_sequences=64,
        gpu_memory_fraction=0.6,
        enforce_eager=True,
    )
    return GenerationRecipe(chunk_size=64, vllm=engine)


def open_generator(
    model: Path | str,
    settings: GenerationRecipe,
    *,
    cache_dir: Path | None = None,
    devices: EngineSlot | None = None,
) -> TextGenerator:
    """Start the engine that `settings` name on `model`.

    `model`: a directory (full model or adapter), or whatever a recipe's base_model accepts; for an
    endpoint also the name it serves a model under. `devices`: where it runs; beside other slots
    always in a process of its own. One that dies or runs out of memory is opened anew with a
    smaller batch, a few times. Raises GenerationError, EndpointError or BaseModelError, each
    before anything expensive where that can be known.
    """
    if settings.engine == "endpoint":
        from humpback_pipeline.generation.endpoint_engine import EndpointGenerator

        return EndpointGenerator(model, settings, cache_dir=cache_dir)
    from humpback_pipeline.generation.local_engine import open_local_engine

    return open_local_engine(
        model_directory(model, cache_dir), settings, cache_dir=cache_dir, devices=devices
    )


def model_directory(model: Path | str, cache_dir: Path | None) -> Path:
    """The directory of a full model or adapter; anything else is resolved like a base_model."""
    from humpback_pipeline.models import resolve_base_model

    folder = Path(model).expanduser()
    if (folder / "config.json").is_file() or (folder / "adapter_config.json").is_file():
        return folder.absolute()
    return resolve_base_model(str(model), cache_dir).path
