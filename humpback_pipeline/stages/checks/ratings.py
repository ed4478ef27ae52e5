"""Checks of ratings: on the scale, telling pairs apart, and distributed like the ones before."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import polars as pl

from humpback_pipeline.stages.checks.datasets import version_before
from humpback_pipeline.stages.checks.outcome import CheckOutcome
from humpback_pipeline.stages.iteration_names import scores_name
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, NotMaterializedError

N_BINS = 10
# Below this many ratings a distribution says nothing.
MIN_RATINGS = 10
# Between the lowest and the highest tenth; under this a threshold divides by chance.
MAX_WITHOUT_DIGIT = 0.05
MIN_SPREAD = 0.02
SHIFT = "rating_shift"


def check_ratings_in_range(ratings: pl.Series, n_pairs: int) -> CheckOutcome:
    """Each of `n_pairs` pairs has a rating, and it is a number from 1 to 5."""
    n_good = int(ratings.is_between(1.0, 5.0).sum())
    facts = {"pairs": n_pairs, "ratings": ratings.len(), "out_of_range": ratings.len() - n_good}
    if n_good == ratings.len() == n_pairs:
        message = f"{n_good:,} ratings, each from 1 to 5."
        return CheckOutcome("every_rating_in_range", True, message, facts)
    message = (
        f"{n_good:,} of {n_pairs:,} pairs have a rating from 1 to 5; the rating model is broken."
    )
    return CheckOutcome("every_rating_in_range", False, message, facts)


def check_ratings_discriminate(ratings: pl.Series) -> CheckOutcome:
    """The ratings differ enough to select by: the middle 80 % are not all alike."""
    n = ratings.len()
    if n < MIN_RATINGS:
        message = f"Only {n} ratings: too few to tell."
        return CheckOutcome("ratings_discriminate", True, message, {"ratings": n})
    low, high = (float(np.quantile(ratings.to_numpy(), share)) for share in (0.1, 0.9))
    facts = {"ratings": n, "tenth": low, "ninetieth": high, "spread": high - low}
    message = f"80 % of {n:,} ratings lie between {low:.2f} and {high:.2f}."
    if high - low >= MIN_SPREAD:
        return CheckOutcome("ratings_discriminate", True, message, facts)
    message += (
        " They are all alike, so the selection is close to chance: the rater is too small or badly "
        "trained. Use a larger base model, or look at the rating prompt (chat.rubric)."
    )
    return CheckOutcome("ratings_discriminate", False, message, facts)


def check_rubric_followed(manifests: Sequence[Manifest]) -> CheckOutcome:
    """Raters that are asked for a digit give one; their ratings are noise where they do not."""
    name = "rubric_followed"
    asked = [m for m in manifests if m.facts["mean_mass"] is not None]
    n = sum(m.rows or 0 for m in asked)
    if not n:
        return CheckOutcome(name, True, "This scorer asks for no digit.")
    without = sum(m.facts["n_without_digit"] for m in asked)
    facts = {"pairs": n, "without_a_digit": without}
    message = f"{without:,} of {n:,} pairs have next to no probability on any of the five digits."
    if without <= MAX_WITHOUT_DIGIT * n:
        return CheckOutcome(name, True, message, facts)
    message += (
        " The rater does not follow the rubric, and these ratings say nothing: use a larger or "
        "better trained model, another chat.rubric, or a likelihood scorer (curation.scorer)."
    )
    return CheckOutcome(name, False, message, facts)


def check_rating_shift(
    workspace: Workspace, iteration: int, manifests: Sequence[Manifest], max_shift: float
) -> CheckOutcome:
    """Distribution against the version before of the same shards or, without, iteration t-1's.

    manifests: the current ones of the run's shards. The bound is `max_shift`, or what as few
    ratings would show by chance once in twenty times if that is more.
    """
    ratings = _ratings(workspace, [m for m in manifests if m.rows])
    reference, compared_with = _reference(workspace, iteration, manifests)
    facts: dict[str, float | int | str] = {"ratings": len(ratings)}
    if min(len(ratings), len(reference)) < MIN_RATINGS:
        message = "There are no earlier ratings to compare with."
        if compared_with:
            counts = f"{len(ratings)} ratings now and {len(reference)} in {compared_with}"
            message = f"{counts}: too few to compare."
        return CheckOutcome(SHIFT, True, message, facts)
    shift, by_chance = population_stability_index(reference, ratings)
    bound = max(max_shift, by_chance)
    facts |= {
        "compared_with": compared_with,
        "population_stability_index": round(shift, 4),
        "bound": round(bound, 4),
        "mean": round(float(ratings.mean()), 4),
        "mean_before": round(float(reference.mean()), 4),
        "ratings_before": len(reference),
    }
    message = (
        f"Population stability index {shift:.3f} against {compared_with}; mean "
        f"{reference.mean():.2f} → {ratings.mean():.2f}."
    )
    if shift <= bound:
        return CheckOutcome(SHIFT, True, message, facts)
    message += f" Above {bound:.2f}: a threshold such as min_rating now keeps another share."
    return CheckOutcome(SHIFT, False, message, facts)


def population_stability_index(
    reference: np.ndarray, current: np.ndarray, n_bins: int = N_BINS
) -> tuple[float, float]:
    """PSI over the reference's quantile bins, and its 95th percentile if nothing had changed.

    Without a change, PSI / (1/n + 1/m) follows a chi-squared distribution with bins - 1 degrees of
    freedom (Yurdakul and Naranjo, Journal of Risk Model Validation 14(4), 2020). Half a rating is
    added to every bin, so that an empty one does not make the index infinite.
    """
    from scipy.stats import chi2

    edges = np.unique(np.quantile(reference, np.arange(1, n_bins) / n_bins))
    if edges.size == 1:  # all alike: below, at and above that one value
        edges = np.array([edges[0], np.nextafter(edges[0], math.inf)])
    shares = []
    for values in (reference, current):
        counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=edges.size + 1)
        shares.append((counts + 0.5) / (values.size + 0.5 * counts.size))
    before, now = shares
    index = float(np.sum((now - before) * np.log(now / before)))
    noise = (1 / reference.size + 1 / current.size) * float(chi2.ppf(0.95, edges.size))
    return index, noise


def _ratings(workspace: Workspace, manifests: Sequence[Manifest]) -> np.ndarray:
    files = []
    for manifest in manifests:
        versions = workspace.datasets.versions(manifest.name, manifest.partition)
        files += sorted((versions.folder / manifest.version).glob("*.parquet"))
    if not files:
        return np.array([])
    frame = pl.scan_parquet(files, glob=False).select("rating").collect()
    return frame["rating"].drop_nulls().drop_nans().to_numpy()


def _reference(
    workspace: Workspace, iteration: int, manifests: Sequence[Manifest]
) -> tuple[np.ndarray, str]:
    """Ratings to compare with, and what to call them; empty without any."""
    versions = workspace.datasets.versions
    before = [version_before(versions(m.name, m.partition).history(), m.version) for m in manifests]
    if earlier := [manifest for manifest in before if manifest is not None]:
        return _ratings(workspace, earlier), "the version before"
    if iteration > 1:
        name = scores_name(iteration - 1)
        try:
            shards = [manifest.partition or "" for manifest in manifests]
            return _ratings(workspace, workspace.datasets.manifests(name, shards)), name
        except NotMaterializedError:
            pass
    return np.array([]), ""
