"""The screens that a recipe asks for, behind two questions: of a URL, and of a segment's text."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from humpback_pipeline.web.prose import prose_lines
from humpback_pipeline.web.screens.c4 import C4_RULES, c4_statistics
from humpback_pipeline.web.screens.gopher import GOPHER_RULES, gopher_statistics
from humpback_pipeline.web.screens.personal_data import find_personal_data, mask_personal_data
from humpback_pipeline.web.screens.rules import broken_rule
from humpback_pipeline.web.screens.toxic_words import ToxicWords, load_toxic_words
from humpback_pipeline.web.screens.url_blocklist import UrlBlocklist, load_url_blocklist

BLOCKED_URL: Final = "blocked_url"
TOXIC: Final = "toxic"
PERSONAL_DATA: Final = "personal_data"


@dataclass(frozen=True)
class ScreenSettings:
    """Which screens there are; all off by default.

    url_blocklist, toxic_words: files, formats in url_blocklist.py and toxic_words.py. gopher, c4:
    the rules of those corpora. personal_data: e-mail and IP addresses and telephone numbers are
    kept, masked, or drop the segment. max_toxic_share: of a text's words, above which it goes.
    """

    url_blocklist: Path | None = None
    gopher: bool = False
    c4: bool = False
    personal_data: Literal["keep", "mask", "drop"] = "keep"
    toxic_words: Path | None = None
    max_toxic_share: float = 0.005


@dataclass(frozen=True, slots=True)
class ScreenResult:
    """A segment's text as it may stay, or why it may not.

    text: personal data masked, if asked for. reason: `toxic`, `gopher_…`, `c4_…`, `personal_data`,
    or None. n_masked: kind (`email`, `ip`, `phone`) → replaced pieces.
    """

    text: str
    reason: str | None
    n_masked: dict[str, int] = field(default_factory=dict)


class Screens:
    """The screens of some settings; without any, asking costs nothing.

    Raises ValueError, which names file, line and remedy, for a list that cannot be used.
    """

    def __init__(self, settings: ScreenSettings | None = None) -> None:
        self._settings = settings = settings or ScreenSettings()
        self._hashes: dict[str, str] = {}
        self._blocklist: UrlBlocklist | None = None
        self._toxic: ToxicWords | None = None
        if settings.url_blocklist is not None:
            self._blocklist, found = load_url_blocklist(settings.url_blocklist)
            self._hashes["url_blocklist"] = found
        if settings.toxic_words is not None:
            self._toxic, found = load_toxic_words(settings.toxic_words)
            self._hashes["toxic_words"] = found
        self._screens_text = bool(
            self._toxic or settings.gopher or settings.c4 or settings.personal_data != "keep"
        )

    def page_reason(self, url: str) -> str | None:
        """Return `blocked_url` for a page not to be read, else None."""
        blocked = self._blocklist is not None and self._blocklist.blocks(url)
        return BLOCKED_URL if blocked else None

    def screen(self, text: str, language: str | None) -> ScreenResult:
        """Screen a segment's Markdown; rules that need a word list ask for its language."""
        if not self._screens_text:
            return ScreenResult(text, None)
        reason = self._text_reason(text, language)
        if reason is not None or self._settings.personal_data == "keep":
            return ScreenResult(text, reason)
        if self._settings.personal_data == "drop":
            return ScreenResult(text, PERSONAL_DATA if find_personal_data(text) else None)
        masked, counts = mask_personal_data(text)
        return ScreenResult(masked, None, counts)

    def mask(self, text: str) -> str:
        """Mask personal data, if the settings say so, in what stands beside a text (its header)."""
        return mask_personal_data(text)[0] if self._settings.personal_data == "mask" else text

    def file_hashes(self) -> dict[str, str]:
        """Setting → SHA-256 of its file's bytes, as they were when loaded."""
        return dict(self._hashes)

    def _text_reason(self, text: str, language: str | None) -> str | None:
        if self._toxic is not None:
            toxic = self._toxic.statistics(text)
            if toxic.n_never or toxic.share > self._settings.max_toxic_share:
                return TOXIC
        if not (self._settings.gopher or self._settings.c4):
            return None
        lines = prose_lines(text)
        if self._settings.gopher:
            rule = broken_rule(GOPHER_RULES, gopher_statistics(text, language, lines))
            if rule:
                return f"gopher_{rule}"
        if self._settings.c4:
            rule = broken_rule(C4_RULES, c4_statistics(text, lines))
            if rule:
                return f"c4_{rule}"
        return None
