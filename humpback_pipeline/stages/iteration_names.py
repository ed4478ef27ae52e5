"""Names of what each iteration makes: the model, its ratings and its curated set."""

from __future__ import annotations


def model_name(iteration: int) -> str:
    """Name of M_t's asset and model."""
    return f"m{iteration}"


def scores_name(iteration: int) -> str:
    """Name of the ratings of iteration t."""
    return f"curation_scores_{iteration}"


def curated_set_name(iteration: int) -> str:
    """Name of A_k^(t)."""
    return f"curated_set_{iteration}"


def calibration_name(iteration: int) -> str:
    """Name of the rater's ratings of pairs whose quality is known, in iteration t."""
    return f"rater_calibration_{iteration}"
