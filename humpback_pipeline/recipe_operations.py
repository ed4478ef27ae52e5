"""Parts of the recipe about running it: automation, alerts, bounds of checks.

None of them shapes an artefact, so none is part of the recipe's hash.
"""

from __future__ import annotations

import zoneinfo
from typing import Literal

from pydantic import Field, model_validator

from humpback_pipeline.recipe_section import Fraction, Section


class ScheduleRecipe(Section):
    """A schedule, off unless switched on here or in the UI."""

    enabled: bool = False
    cron: str = Field(pattern=r"^(@(hourly|daily|weekly|monthly)|\S+(\s+\S+){4})$")


class AutomationRecipe(Section):
    """What runs by itself. Sensors look at what is near, schedules at what is far away."""

    seed_sensor: bool = Field(True, description="Re-run what depends on the seeds as they change.")
    shard_sensor: bool = Field(True, description="Register and segment new or changed WARC files.")
    look_every_s: int = Field(30, ge=1, description="Seconds between two looks of a sensor.")
    settle_s: float = Field(
        20.0, ge=0, description="A file counts once it has been unchanged this long: edits go on."
    )
    nightly: ScheduleRecipe = ScheduleRecipe(cron="0 2 * * *")
    weekly: ScheduleRecipe = ScheduleRecipe(cron="0 3 * * 0")
    timezone: str = Field("UTC", description="Of the schedules, such as Europe/Zurich.")
    freshness_warn_days: float | None = Field(None, gt=0, description="Age of report and models.")
    freshness_fail_days: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _sensible(self) -> AutomationRecipe:
        try:
            zoneinfo.ZoneInfo(self.timezone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"timezone {self.timezone!r} is not in the IANA database") from error
        warn, fail = self.freshness_warn_days, self.freshness_fail_days
        if warn is not None and fail is None:
            raise ValueError("freshness_warn_days needs freshness_fail_days as well")
        if warn is not None and fail is not None and warn >= fail:
            raise ValueError(f"freshness_warn_days ({warn}) must be below freshness_fail_days")
        return self


AlertOccasion = Literal["run_failure", "check_failure", "seed_data", "corpus", "run_success"]
ENVIRONMENT_NAME = r"^[A-Z][A-Z0-9_]*$"


class AlertChannelRecipe(Section):
    """Where alerts go. Secrets are named by environment variable, never written here."""

    kind: Literal["webhook", "slack", "email"]
    url_variable: str | None = Field(
        None, pattern=ENVIRONMENT_NAME, description="Variable that holds the webhook's address."
    )
    smtp_host: str | None = None
    smtp_port: int = Field(587, ge=1, le=65_535)
    smtp_user: str | None = None
    smtp_password_variable: str | None = Field(None, pattern=ENVIRONMENT_NAME)
    sender: str | None = None
    recipients: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> AlertChannelRecipe:
        if self.kind == "email" and not (self.smtp_host and self.sender and self.recipients):
            raise ValueError("an email channel needs smtp_host, sender and recipients")
        if self.kind != "email" and not self.url_variable:
            raise ValueError(f"a {self.kind} channel needs url_variable, the name of a variable")
        return self


class AlertsRecipe(Section):
    """Messages to people; none unless a channel is given."""

    channels: tuple[AlertChannelRecipe, ...] = ()
    occasions: tuple[AlertOccasion, ...] = ("run_failure", "check_failure", "seed_data", "corpus")


class ChecksRecipe(Section):
    """Bounds of asset checks; of those that block only `curated_set_usable` has one to choose."""

    max_dropped_fraction: Fraction = Field(0.5, description="Of seeds or augmented pairs.")
    min_segments_per_page: float = Field(0.02, ge=0, description="Yield of a WARC file.")
    max_rating_shift: float = Field(
        0.25, gt=0, description="Population stability index against the ratings before."
    )
    max_row_change: float = Field(0.5, gt=0, description="Relative to the version before.")
    max_position_bias: float = Field(0.2, gt=0, description="Of the judge, first against second.")
    min_curated_pairs: int = Field(
        5, ge=1, description="With fewer no model is trained; raise it for runs that matter."
    )
    max_alike_fraction: Fraction = Field(
        0.5, description="Of curated pairs from one host, or whose instructions begin alike."
    )
