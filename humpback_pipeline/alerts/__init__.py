"""Alerts: messages to people through webhooks, Slack and e-mail, as the recipe says."""

from humpback_pipeline.alerts.errors import AlertError
from humpback_pipeline.alerts.message import Alert
from humpback_pipeline.alerts.sending import AlertDelivery, check_alert_channels, send_alert

__all__ = ["Alert", "AlertDelivery", "AlertError", "check_alert_channels", "send_alert"]
