"""Optional screens on pages and segments: quality, safety, personal data; all off by default."""

from humpback_pipeline.web.screens.c4 import C4_RULES, C4Statistics, c4_statistics
from humpback_pipeline.web.screens.gopher import GOPHER_RULES, GopherStatistics, gopher_statistics
from humpback_pipeline.web.screens.personal_data import (
    MASKS,
    PersonalData,
    find_personal_data,
    mask_personal_data,
)
from humpback_pipeline.web.screens.rules import Rule, broken_rule
from humpback_pipeline.web.screens.screens import ScreenResult, Screens, ScreenSettings
from humpback_pipeline.web.screens.toxic_words import ToxicWords, ToxicWordStatistics
from humpback_pipeline.web.screens.url_blocklist import UrlBlocklist

__all__ = [
    "C4_RULES",
    "GOPHER_RULES",
    "MASKS",
    "C4Statistics",
    "GopherStatistics",
    "PersonalData",
    "Rule",
    "ScreenResult",
    "ScreenSettings",
    "Screens",
    "ToxicWordStatistics",
    "ToxicWords",
    "UrlBlocklist",
    "broken_rule",
    "c4_statistics",
    "find_personal_data",
    "gopher_statistics",
    "mask_personal_data",
]
