"""What likelihoods say of a pair: three signals from four readings, nothing generated.

The model reads the answer after its instruction, the answer's head after no instruction, the
instruction after its answer, and the instruction after no answer. Two readings are of a whole pair,
the other two are short.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from humpback_pipeline.curation.records import Pair, pair_ids
from humpback_pipeline.curation.scoring import Raters, Scoring
from humpback_pipeline.generation import (
    Ledger,
    Likelihood,
    LikelihoodRequest,
    TextGenerator,
    likelihoods_all,
)

# What an instruction says of its answer shows at once; later tokens follow from earlier ones.
HEAD_TOKENS = 128
RELEVANCE_FORWARD = "relevance_forward"
RELEVANCE_BACKWARD = "relevance_backward"
COMPLETENESS = "completeness"
SIGNALS = (RELEVANCE_FORWARD, RELEVANCE_BACKWARD, COMPLETENESS)


@dataclass(frozen=True)
class PairSignals:
    """Signals of one pair, in nats; higher is better.

    relevance_forward: pointwise mutual information (PMI) of the answer's first `HEAD_TOKENS` tokens
    with the instruction, ln p(y | x) - ln p(y). relevance_backward: that of the instruction with
    the answer, ln p(x | y) - ln p(x), under M_yx where there is one. Both are divided by the square
    root of the number of tokens: a sum of n uncertain terms is uncertain by that much, so short and
    long texts compare. completeness: ln p(end of turn) where the answer ends. cut: texts did not
    fit the window. error: why a server refused to read them; then the signals are no numbers.
    """

    relevance_forward: float
    relevance_backward: float
    completeness: float
    cut: bool = False
    error: str | None = None

    def as_dict(self) -> dict[str, float]:
        """The three signals by name."""
        return {name: getattr(self, name) for name in SIGNALS}


def pair_signals(pairs: Sequence[Pair], raters: Raters, scoring: Scoring) -> list[PairSignals]:
    """Signals of each pair, in their order; each reading is kept in its part of the ledger."""
    instructions = read_instructions(pairs, raters.backward, scoring)
    answers = read_answers(pairs, raters.forward, scoring)
    return [
        _signals(*of_answer, *of_instruction)
        for of_answer, of_instruction in zip(answers, instructions, strict=True)
    ]


def _signals(
    answer: Likelihood, alone: Likelihood, instruction: Likelihood, unprompted: Likelihood
) -> PairSignals:
    readings = (answer, alone, instruction, unprompted)
    cut = any(reading.cut for reading in readings)
    error = next((reading.error for reading in readings if reading.error), None)
    if error:
        return PairSignals(math.nan, math.nan, math.nan, cut, error)
    return PairSignals(
        relevance_forward=_evidence(
            (answer.head_logprob, answer.n_head_tokens),
            (alone.head_logprob, alone.n_head_tokens),
        ),
        relevance_backward=_evidence(
            (instruction.logprob, instruction.n_tokens),
            (unprompted.logprob, unprompted.n_tokens),
        ),
        # Where the turn's ending could not be told from the answer's last word, nothing is known.
        completeness=math.nan if answer.end_logprob is None else answer.end_logprob,
        cut=cut,
    )


def read_answers(
    pairs: Sequence[Pair], generator: TextGenerator, scoring: Scoring
) -> list[tuple[Likelihood, Likelihood]]:
    """Each output after its instruction, and its head after none, as at inference."""
    ids, prompts = pair_ids(pairs), scoring.prompts
    alone = prompts.forward_messages("", "inference")
    after_instruction = [
        LikelihoodRequest(
            pair_id,
            prompts.forward_messages(pair.instruction, "inference"),
            pair.output,
            cuttable=(pair.instruction,),
            head_tokens=HEAD_TOKENS,
        )
        for pair_id, pair in zip(ids, pairs, strict=True)
    ]
    heads = [
        LikelihoodRequest(pair_id, alone, pair.output, head_tokens=HEAD_TOKENS, head_only=True)
        for pair_id, pair in zip(ids, pairs, strict=True)
    ]
    ledger = scoring.ledger_of
    given = _read(after_instruction, generator, scoring, ledger("answers"), "reading answers")
    prior = _read(heads, generator, scoring, ledger("answers-alone"), "reading answers alone")
    return list(zip(given, prior, strict=True))


def read_instructions(
    pairs: Sequence[Pair], generator: TextGenerator, scoring: Scoring
) -> list[tuple[Likelihood, Likelihood]]:
    """Each instruction after its output, and after none, as M_yx is asked for it."""
    ids, prompts = pair_ids(pairs), scoring.prompts
    alone = prompts.backward_messages("")
    after_output = [
        LikelihoodRequest(
            pair_id,
            prompts.backward_messages(pair.output),
            pair.instruction,
            cuttable=(pair.output,),
        )
        for pair_id, pair in zip(ids, pairs, strict=True)
    ]
    unprompted = [
        LikelihoodRequest(pair_id, alone, pair.instruction)
        for pair_id, pair in zip(ids, pairs, strict=True)
    ]
    ledger = scoring.backward_ledger_of
    given = _read(after_output, generator, scoring, ledger("instructions"), "reading instructions")
    prior = _read(
        unprompted,
        generator,
        scoring,
        ledger("instructions-alone"),
        "reading instructions alone",
    )
    return list(zip(given, prior, strict=True))


def _read(
    requests: list[LikelihoodRequest],
    generator: TextGenerator,
    scoring: Scoring,
    ledger: Ledger | None,
    stage: str,
) -> list[Likelihood]:
    return likelihoods_all(
        requests,
        generator,
        ledger=ledger,
        chunk_size=scoring.chunk_size,
        stage=stage,
        on_progress=scoring.on_progress,
    )


def _evidence(given: tuple[float, int], prior: tuple[float, int]) -> float:
    """From two readings of a text, each its log-probability and how many tokens that is of.

    A text too long for its window loses more beside a long prompt than beside a short one; then the
    means compare, as the sums would be of different tokens.
    """
    n = min(given[1], prior[1])
    return math.sqrt(n) * (given[0] / given[1] - prior[0] / prior[1]) if n else 0.0
