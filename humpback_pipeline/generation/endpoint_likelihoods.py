"""Likelihoods from a vLLM server: token ids in, the log-probabilities of its prompt out.

Only vLLM tells how likely a prompt's own tokens are, and only whoever knows the model's tokenizer
can say which of them are the answer's: so the model must be a directory that can be read here.
"""

from __future__ import annotations

from pathlib import Path

from humpback_pipeline.generation.endpoint_client import EndpointClient
from humpback_pipeline.generation.endpoint_errors import EndpointError, refusal
from humpback_pipeline.generation.engine import Likelihood, LikelihoodRequest
from humpback_pipeline.generation.fitting import PromptFitter

NEEDS = (
    "scorers that compare likelihoods (relevance, completeness, weakest_link, combined) need a "
    "server of vLLM and the model's directory; use scorer 'expected' or 'reasoned', or another "
    "generation.engine"
)


class EndpointLikelihoods:
    """Asks one served model. Raises EndpointError where likelihoods cannot be had."""

    def __init__(
        self,
        client: EndpointClient,
        served_name: str,
        model: Path | str,
        max_model_tokens: int | None,
    ) -> None:
        from humpback_pipeline.models import load_tokenizer

        if max_model_tokens is None or not Path(model).is_dir():
            raise EndpointError(f"{client.base_url}, model {model}: {NEEDS}.")
        self._client = client
        self._served_name = served_name
        self.fitter = PromptFitter(load_tokenizer(Path(model)), max_model_tokens)

    def ask(self, request: LikelihoodRequest) -> Likelihood:
        """The likelihood of one request's answer."""
        fitted = self.fitter.fit_answer(request)
        body = {
            "model": self._served_name,
            "prompt": fitted.token_ids,
            "max_tokens": 1,
            "temperature": 0.0,
            "prompt_logprobs": 0,
        }
        try:
            reply = self._client.post("/completions", body)
        except EndpointError as error:
            return Likelihood(request.request_id, 0.0, 0, 0.0, 0, None, error=refusal(error))
        positions = (reply.get("choices") or [{}])[0].get("prompt_logprobs")
        if not positions or len(positions) != len(fitted.token_ids):
            raise EndpointError(f"{self._client.base_url} gives no prompt_logprobs: {NEEDS}.")
        logprobs = [
            float(position[str(token)]["logprob"])
            for token, position in zip(
                fitted.token_ids[fitted.start :], positions[fitted.start :], strict=True
            )
        ]
        return fitted.likelihood(request.request_id, logprobs)
