"""An alert and its form for each kind of channel."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage

from humpback_pipeline.recipe_operations import AlertChannelRecipe, AlertOccasion

MAX_TEXT_CHARS = 3_000  # Slack cuts longer messages; the run's page has the rest
MAX_TITLE_CHARS = 200


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Alert:
    """One message to people. `title` is a single line; `run_url` leads to the run's page."""

    occasion: AlertOccasion
    recipe: str
    title: str
    text: str
    run_url: str | None = None
    time: datetime = field(default_factory=_now)

    def webhook_body(self) -> dict[str, str]:
        """JSON: title, text, occasion, recipe, time (ISO 8601, UTC) and run_url if there is one."""
        body = {
            "title": self._line(),
            "text": _cut(self.text, MAX_TEXT_CHARS),
            "occasion": self.occasion,
            "recipe": self.recipe,
            "time": self.time.isoformat(timespec="seconds"),
        }
        return {**body, "run_url": self.run_url} if self.run_url else body

    def slack_body(self) -> dict[str, str]:
        """JSON of a Slack incoming webhook: one `text` in Slack's mrkdwn, its controls escaped."""
        parts = [f"*{_escape(self._line())}*", _escape(_cut(self.text, MAX_TEXT_CHARS))]
        if self.run_url:
            parts.append(f"<{self.run_url}|Open the run>")
        return {"text": "\n".join(part for part in parts if part)}

    def email(self, channel: AlertChannelRecipe) -> EmailMessage:
        """A plain-text e-mail from the channel's sender to its recipients."""
        message = EmailMessage()
        message["Subject"] = f"[{self.recipe}] {self._line()}"
        message["From"] = channel.sender
        message["To"] = ", ".join(channel.recipients)
        message["Date"] = self.time
        link = f"\n\n{self.run_url}" if self.run_url else ""
        message.set_content(
            f"{_cut(self.text, MAX_TEXT_CHARS)}{link}\n\n-- \n{self.occasion}, recipe {self.recipe}"
        )
        return message

    def _line(self) -> str:
        """The title as one line: a line break would end an e-mail's header."""
        return _cut(" ".join(self.title.split()), MAX_TITLE_CHARS)


def _cut(text: str, max_chars: int) -> str:
    return text if len(text) <= max_chars else text[: max_chars - 1] + "…"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
