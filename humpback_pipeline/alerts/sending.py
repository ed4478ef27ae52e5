"""Sends an alert to every channel of a recipe; a channel that fails harms nothing else."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from humpback_pipeline.alerts.environment import read_address, read_secret
from humpback_pipeline.alerts.errors import AlertError, PassingAlertError
from humpback_pipeline.alerts.mail import send_email
from humpback_pipeline.alerts.message import Alert
from humpback_pipeline.alerts.webhook import post_json
from humpback_pipeline.recipe import Recipe
from humpback_pipeline.recipe_operations import AlertChannelRecipe, AlertOccasion

logger = logging.getLogger(__name__)

# With the channels' time limits, three tries stay below the minute that a sensor's tick may take.
WAITS_S = (0.5, 1.5)


@dataclass(frozen=True)
class AlertDelivery:
    """What became of an alert: channels that took it, and a line for each that did not."""

    n_sent: int = 0
    failures: tuple[str, ...] = ()


def send_alert(
    recipe: Recipe,
    occasion: AlertOccasion,
    title: str,
    text: str,
    *,
    run_url: str | None = None,
) -> AlertDelivery:
    """Send to all channels if the recipe wants to hear of this occasion; never raises.

    Channels are served side by side, three tries each. Failures are logged and returned, without
    addresses or passwords.
    """
    channels = recipe.alerts.channels
    if not channels or occasion not in recipe.alerts.occasions:
        return AlertDelivery()
    alert = Alert(occasion, recipe.name, title, text, run_url)
    with ThreadPoolExecutor(len(channels)) as pool:
        outcomes = list(
            pool.map(lambda n: _try_channel(n, channels[n], alert), range(len(channels)))
        )
    failures = tuple(outcome for outcome in outcomes if outcome is not None)
    for failure in failures:
        logger.warning("alert %r not sent: %s", alert.title, failure)
    return AlertDelivery(len(channels) - len(failures), failures)


def check_alert_channels(recipe: Recipe) -> str:
    """See that every channel's variables are set, without sending; return a line that says it.

    Raises AlertError naming variable and field.
    """
    channels = recipe.alerts.channels
    for number, channel in enumerate(channels):
        field = _field(number)
        if channel.url_variable:
            read_address(channel.url_variable, f"{field}.url_variable")
        if channel.smtp_password_variable:
            read_secret(channel.smtp_password_variable, f"{field}.smtp_password_variable")
    kinds = ", ".join(channel.kind for channel in channels)
    return f"alerts: {kinds or 'none'}"


def _try_channel(number: int, channel: AlertChannelRecipe, alert: Alert) -> str | None:
    """Send with retries; None, or what went wrong."""
    try:
        _with_retries(lambda: _send(number, channel, alert))
    except AlertError as error:
        return f"{_field(number)} ({channel.kind}): {error}"
    except Exception as error:
        # Whatever a library says may quote the address, so only its kind is told.
        return f"{_field(number)} ({channel.kind}): {type(error).__name__}"
    return None


def _send(number: int, channel: AlertChannelRecipe, alert: Alert) -> None:
    field = _field(number)
    if channel.kind == "email":
        variable = channel.smtp_password_variable
        password = read_secret(variable, f"{field}.smtp_password_variable") if variable else None
        send_email(channel, alert.email(channel), password)
        return
    assert channel.url_variable is not None  # the recipe's validation
    address = read_address(channel.url_variable, f"{field}.url_variable")
    body = alert.slack_body() if channel.kind == "slack" else alert.webhook_body()
    post_json(address, body)


def _with_retries(send: Callable[[], None]) -> None:
    for wait_s in WAITS_S:
        try:
            return send()
        except PassingAlertError:
            time.sleep(wait_s)
    send()


def _field(number: int) -> str:
    return f"alerts.channels.{number}"  # as the errors of a recipe name it
