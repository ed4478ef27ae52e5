"""From log-probabilities of choices to a distribution over them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from humpback_pipeline.generation.engine import ChoiceProbabilities


def normalise_choices(
    request_id: str, logprobs: Sequence[float], prompt_cut: bool = False
) -> ChoiceProbabilities:
    """Softmax over the choices' own log-probabilities; -inf is a choice nothing is known of.

    Never NaN: if nothing is known of any choice, all are equally likely and `mass` is 0.
    """
    known = [-math.inf if math.isnan(value) else value for value in logprobs]
    highest = max(known)
    if highest == -math.inf:
        uniform = tuple(1.0 / len(known) for _ in known)
        return ChoiceProbabilities(request_id, uniform, 0.0, prompt_cut)
    weights = [math.exp(value - highest) for value in known]
    total = math.fsum(weights)
    # Rounding may carry a sum of probabilities a hair past one.
    mass = min(1.0, math.fsum(math.exp(min(value, 0.0)) for value in known))
    probabilities = tuple(weight / total for weight in weights)
    return ChoiceProbabilities(request_id, probabilities, mass, prompt_cut)
