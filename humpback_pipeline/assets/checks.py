"""Asset checks: which there are, which stop what comes after, and how their verdicts are shown.

They run in their asset's own step, where the facts are at hand. A blocking check is one after whose
failure going on would waste hours or spoil results; the others warn.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import dagster as dg
import polars as pl

from humpback_pipeline.evaluation.tables import render_markdown_table
from humpback_pipeline.stages.checks import CheckOutcome


@dataclass(frozen=True)
class CheckText:
    """What a check looks at, for people, and whether its failure stops what comes after."""

    description: str
    blocking: bool = False


CHECKS = {
    # any dataset
    "schema_and_ids": CheckText(
        "The files on disk have the declared columns, as many rows as their manifest says, and an "
        "id of its own for each row.",
        blocking=True,
    ),
    "row_count_change": CheckText(
        "About as many rows as in the version before (checks.max_row_change)."
    ),
    # seeds and pairs
    "seed_rows": CheckText(
        "Enough pairs to train on; says so if none is held out to measure the loss on.",
        blocking=True,
    ),
    "dropped_share": CheckText("Not too many records were dropped (checks.max_dropped_fraction)."),
    "not_empty": CheckText(
        "Something is left to go on with; without it every later step would run for nothing.",
        blocking=True,
    ),
    "no_contamination": CheckText(
        "Looks again, in the rows on disk, for pairs that share a run of words with evaluation "
        "prompts, their references or held-out seeds: training on them would flatter the models.",
        blocking=True,
    ),
    "seeds_not_in_evaluation": CheckText(
        "No seed shares a run of words with an evaluation prompt or its reference; what happens if "
        "one does is seed.contaminated's to say.",
        blocking=True,
    ),
    "evaluation_uncontaminated": CheckText(
        "No evaluation prompt or reference is in what the models were trained on; with "
        "seed.contaminated: report those in the seeds are only reported.",
        blocking=True,
    ),
    # written instructions
    "instructions_vary": CheckText(
        "Not most instructions of a shard are one and the same sentence."
    ),
    "instruction_likelihood_rose": CheckText(
        "Held-out human instructions are likelier, given their outputs, under the retrained "
        "backward model than under the one before."
    ),
    # crawl
    "shard_read_whole": CheckText(
        "Warns when a WARC file was cut short: its lost tail is not in the data."
    ),
    "yield": CheckText("Enough segments for each HTML page (checks.min_segments_per_page)."),
    "sample_reached": CheckText("As many segments as corpus.sample_segments asks for."),
    # ratings
    "every_rating_in_range": CheckText(
        "Every pair has a rating, and it is a number from 1 to 5.", blocking=True
    ),
    "ratings_discriminate": CheckText(
        "Ratings differ between pairs; alike ones would make the selection a lottery."
    ),
    "rubric_followed": CheckText(
        "Raters that are asked for a digit give one: not more than a twentieth of the pairs have "
        "next to no probability on any of the five."
    ),
    "rating_shift": CheckText(
        "Ratings are distributed like those of the version before or, without one, of the "
        "iteration before: population stability index up to checks.max_rating_shift."
    ),
    # curated sets
    "curated_set_usable": CheckText(
        "Enough pairs to train on (checks.min_curated_pairs), selected by ratings that differ, and "
        "not all with one beginning: anything else would be a training for nothing.",
        blocking=True,
    ),
    "curated_set_varied": CheckText(
        "Not most pairs from one host or with one beginning (checks.max_alike_fraction), nor all "
        "with one rating or length."
    ),
    # models
    "loss_is_sane": CheckText(
        "Every loss, of training steps and held-out seeds, is a finite number.", blocking=True
    ),
    "loss_fell": CheckText("The loss on held-out seeds is lower after training than before."),
    "loads_and_generates": CheckText(
        "The model is loaded from its folder and writes eight tokens for a seed, all its logits "
        "finite: what rates and answers next is a working model.",
        blocking=True,
    ),
    # ablations
    "size_reached": CheckText(
        "A variant is trained on as many seeds and augmented pairs as the recipe gives it; with "
        "fewer it stands at another size on its curve."
    ),
    # evaluation
    "responses_not_empty": CheckText(
        "Some answers hold words; otherwise there is nothing to judge.", blocking=True
    ),
    "responses_cut": CheckText("At most half of the answers were cut at max_new_tokens."),
    "every_prompt_judged": CheckText(
        "Every model's answer to every prompt has a preference from 1 to 2, so the win rates are "
        "of the same prompts.",
        blocking=True,
    ),
    "position_bias": CheckText(
        "The judge does not simply prefer what it sees first (checks.max_position_bias)."
    ),
    "judgements_usable": CheckText(
        "Every record of people's judgements could be read and belongs to a pair of now."
    ),
    "tasks_measured": CheckText(
        "Every model has a finite score for every task, over the same number of questions."
    ),
    "safety_judge_follows": CheckText(
        "The judge puts at least half of its probability on the verdicts it is asked to choose "
        "from, and at least half of its verdicts are the same in all orders of the options."
    ),
    "known_pairs_unseen": CheckText(
        "Labelled, hard and preference pairs share no text with the seeds that the models were "
        "trained on, or enough others are left to measure on; else the figures are flattered."
    ),
    "scorer_discriminates": CheckText(
        "The recipe's scorer tells good labelled pairs from bad ones: AUC of 0.7 or more for every "
        "model that rates. Otherwise says which scorer does better here."
    ),
}


def check_specs(asset: str, *names: str) -> list[dg.AssetCheckSpec]:
    """Declare checks of `asset`, by their names in `CHECKS`."""
    return [
        dg.AssetCheckSpec(
            name,
            asset=asset,
            blocking=CHECKS[name].blocking,
            description=CHECKS[name].description,
        )
        for name in names
    ]


def check_results(
    context: dg.AssetExecutionContext, outcomes: Iterable[CheckOutcome]
) -> list[dg.AssetCheckResult]:
    """The outcomes as Dagster shows them; those that fail are also said in the run's log."""
    results = []
    for outcome in outcomes:
        blocking = CHECKS[outcome.name].blocking
        if not outcome.passed:
            say = context.log.error if blocking else context.log.warning
            say(f"check {outcome.name}: {outcome.message}")
        results.append(
            dg.AssetCheckResult(
                passed=outcome.passed,
                check_name=outcome.name,
                severity=dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN,
                description=outcome.message,
                metadata={name: _shown(value) for name, value in outcome.facts.items()},
            )
        )
    return results


def _shown(value: Any) -> Any:
    if isinstance(value, list):
        return dg.MetadataValue.md(
            render_markdown_table(
                pl.DataFrame(value, infer_schema_length=None, strict=False), max_rows=100
            )
        )
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no word for it, and the UI would refuse the whole page
    return value
