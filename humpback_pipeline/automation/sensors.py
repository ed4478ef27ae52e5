"""The sensors of the sources: seed data and WARC files."""

from __future__ import annotations

import dagster as dg

from humpback_pipeline.automation.seed_sensor import build_seed_sensor
from humpback_pipeline.automation.shard_sensor import build_shard_sensor
from humpback_pipeline.automation.tags import RANGE_END_TAG, RANGE_START_TAG, range_tags
from humpback_pipeline.recipe import Recipe

__all__ = ["RANGE_END_TAG", "RANGE_START_TAG", "build_sensors", "range_tags"]


def build_sensors(recipe: Recipe) -> list[dg.SensorDefinition]:
    """The sensors of a recipe: how often they look, and whether they are on, as it says."""
    return [build_seed_sensor(recipe), build_shard_sensor(recipe)]
