"""Any OpenAI-compatible server as an engine, such as `vllm serve` on another machine."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from humpback_pipeline.chat import Message
from humpback_pipeline.generation.endpoint_client import EndpointClient
from humpback_pipeline.generation.endpoint_errors import EndpointError, refusal
from humpback_pipeline.generation.endpoint_guard import RefusalGuard, answers_probe
from humpback_pipeline.generation.endpoint_likelihoods import EndpointLikelihoods
from humpback_pipeline.generation.endpoint_replies import (
    asking_for_one_of,
    by_choice,
    generation_of,
    token_logprobs,
    window_tokens,
)
from humpback_pipeline.generation.engine import (
    ChoiceProbabilities,
    Generation,
    GenerationRequest,
)
from humpback_pipeline.generation.probabilities import normalise_choices
from humpback_pipeline.generation.seeds import request_seed
from humpback_pipeline.generation.streamed_answers import StreamedAnswers
from humpback_pipeline.generation.streaming import (
    Feed,
    Finished,
    Stream,
    Task,
)
from humpback_pipeline.recipe import GenerationRecipe
from humpback_pipeline.recipe_curation import SamplingRecipe

TOP_LOGPROBS = 20  # the most the API allows
CLOSING_TIMEOUT_S = 30.0

logger = logging.getLogger(__name__)


class EndpointGenerator(StreamedAnswers):
    """A TextGenerator on a server. The server renders the chat template, so it must be the model's.

    `model` must be served under its path, its folder's name or the name given; an adapter directory
    is loaded into a vLLM server that allows it (VLLM_ALLOW_RUNTIME_LORA_UPDATING). A prompt that
    does not fit is the server's to refuse, never cut here. Raises EndpointError.

    `generate`: `mean_logprob` is None where the server gives no log-probabilities. `choose`: from
    the first token's 20 likeliest candidates, renormalised over the choices among them; one that is
    not among them counts as 0, and if none is, `mass` is 0 and all are equally likely; without
    log-probabilities it is an error. `likelihoods` need a vLLM server and a directory.
    """

    def __init__(
        self, model: Path | str, settings: GenerationRecipe, *, cache_dir: Path | None = None
    ) -> None:
        if settings.endpoint is None:
            raise EndpointError("generation.endpoint is not set in the recipe (base_url …)")
        self._client = EndpointClient(settings.endpoint)
        self._seed = settings.seed
        self._loaded: str | None = None
        self._guards: dict[str, RefusalGuard] = {}
        self._given = model
        self._likelihoods: EndpointLikelihoods | None = None
        try:
            served = self._client.models()
            self._is_vllm = any(entry.get("owned_by") == "vllm" for entry in served)
            self._model = self._served_name(model, [str(entry.get("id")) for entry in served])
            self._max_model_tokens = window_tokens(served, self._model)
        except BaseException:
            self._client.close()
            raise
        self.name = f"endpoint:{self._model}"
        self.model_hash = _hash(model, cache_dir) or f"{self._client.base_url}#{self._model}"

    @property
    def n_truncated(self) -> int:
        """Answers cut to fit; prompts that do not fit are the server's errors."""
        return self._likelihoods.fitter.n_cut if self._likelihoods is not None else 0

    @property
    def identity(self) -> dict[str, str | int]:
        """What shapes answers besides the request."""
        return {
            "engine": "endpoint",
            "model": self.model_hash,
            # A server with another window cuts and refuses other requests; 0: it does not tell.
            "max_model_tokens": self._max_model_tokens or 0,
            "seed": self._seed,
            "seeding": "by request",
        }

    def stream(self, task: Task, feed: Feed[Any]) -> Stream:
        """See StreamingEngine.

        A request that the server calls bad is answered with its reason. Raises RefusedError if it
        calls the first 20 of this method bad, or all there are, and a tiny one as well: then the
        configuration is wrong.
        """
        work = self._work(task)
        guard = self._guards.setdefault(
            task.method, RefusalGuard(self._client.base_url, lambda: answers_probe(work, task))
        )
        while True:
            # Refusals wait for the first real answer: those of a wrong configuration must not be
            # remembered. A small window runs out of room meanwhile, and then they are let go.
            held: Finished = []
            n_finished = 0
            for finished in self._client.in_parallel(work, feed):
                n_finished += len(finished)
                held += finished
                guard.count(finished)
                if guard.has_answered:
                    yield held
                    held = []
            if feed.is_whole:
                guard.end()
            if held:
                yield held
            if not n_finished:
                return

    def _work(self, task: Task) -> Callable[[Any], Any]:
        if task.method == "generate":
            return partial(self._generate_one, sampling=task.arguments[0])
        if task.method == "choose":
            return partial(self._choose_one, choices=task.arguments[0])
        if self._likelihoods is None:
            self._likelihoods = EndpointLikelihoods(
                self._client, self._model, self._given, self._max_model_tokens
            )
        return self._likelihoods.ask

    def _generate_one(self, request: GenerationRequest, sampling: SamplingRecipe) -> Generation:
        try:
            reply = self._complete(
                request,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=sampling.max_new_tokens,
                logprobs=True,
            )
        except EndpointError as error:
            reason = refusal(error)
            return Generation(request.request_id, "", "refused", 0, 0, None, error=reason)
        return generation_of(request.request_id, reply)

    def _choose_one(
        self, request: GenerationRequest, choices: tuple[str, ...]
    ) -> ChoiceProbabilities:
        asked = request if self._is_vllm else asking_for_one_of(request, choices)
        try:
            reply = self._complete(
                asked, temperature=0.0, max_tokens=1, logprobs=True, top_logprobs=TOP_LOGPROBS
            )
        except EndpointError as error:
            reason = refusal(error)
            nothing = normalise_choices(request.request_id, [-math.inf] * len(choices))
            return replace(nothing, error=reason)
        tokens = token_logprobs(reply["choices"][0])
        if not tokens:
            raise EndpointError(
                f"{self._client.base_url} returns no log-probabilities, which rating and "
                "judging need; use a server that does (such as 'vllm serve')."
            )
        logprobs = by_choice(tokens[0].get("top_logprobs") or [], choices)
        return normalise_choices(request.request_id, logprobs)

    def close(self) -> None:
        """Close the connections, and take an adapter loaded here out of the server again."""
        name, self._loaded = self._loaded, None
        try:
            if name is not None:
                body = {"lora_name": name}
                self._client.send_once("/unload_lora_adapter", body, CLOSING_TIMEOUT_S)
        except EndpointError as error:  # must not hide why the engine is closed
            logger.warning("the adapter %s may still be loaded in the server: %s", name, error)
        finally:
            self._client.close()

    def _complete(self, request: GenerationRequest, **parameters: Any) -> dict[str, Any]:
        messages: list[Message] = list(request.messages)
        seed = request_seed(self._seed, request.request_id)
        body: dict[str, Any] = {"model": self._model, "seed": seed, **parameters}
        if request.stop:
            body["stop"] = list(request.stop)
            if self._is_vllm:  # for who asked to see and cut
                body["include_stop_str_in_output"] = True
        if request.plain_text:
            return self._go_on_with(request, body)
        # Only vLLM can continue an answer that is begun for it; elsewhere the prompt's own words
        # ("a last line of the form …") must do.
        if request.answer_prefix and self._is_vllm:
            messages.append({"role": "assistant", "content": request.answer_prefix})
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        return self._with_choices("/chat/completions", {**body, "messages": messages})

    def _go_on_with(self, request: GenerationRequest, body: dict[str, Any]) -> dict[str, Any]:
        # This older API has log-probabilities in a form of its own, which nothing here needs.
        told = {name: value for name, value in body.items() if name != "logprobs"}
        prompt = request.messages[-1]["content"] + request.answer_prefix
        return self._with_choices("/completions", {**told, "prompt": prompt})

    def _with_choices(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        reply = self._client.post(path, body)
        if not reply.get("choices"):
            raise EndpointError(f"{self._client.base_url}: an answer without choices: {reply}")
        return reply

    def _served_name(self, model: Path | str, served: list[str]) -> str:
        folder = Path(model)
        for name in (str(model), str(folder.absolute()), folder.name):
            if name in served:
                return name
        if self._is_vllm and (folder / "adapter_config.json").is_file():
            name = folder.absolute().name
            self._load_adapter(name, folder.absolute())
            return name
        raise EndpointError(
            f"{self._client.base_url} does not serve {model} (it serves {', '.join(served)}). "
            f"Start it with that model: vllm serve {model} --served-model-name {folder.name}"
        )

    def _load_adapter(self, name: str, folder: Path) -> None:
        try:
            self._client.send("/load_lora_adapter", {"lora_name": name, "lora_path": str(folder)})
        except EndpointError as error:
            raise EndpointError(
                f"{self._client.base_url} does not serve the adapter {folder} and would not load "
                "it. Start it with 'vllm serve BASE --enable-lora --max-lora-rank RANK' and "
                f"VLLM_ALLOW_RUNTIME_LORA_UPDATING=1, where it can read that folder. ({error})"
            ) from error
        self._loaded = name


def _hash(model: Path | str, cache_dir: Path | None) -> str | None:
    from humpback_pipeline.generation.vllm_engine import served_hash

    folder = Path(model)
    known = any((folder / name).is_file() for name in ("config.json", "adapter_config.json"))
    return served_hash(folder, cache_dir) if known else None
