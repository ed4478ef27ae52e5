"""Which elements of a page hold navigation, sharing, comments or advertising, by their names."""

from __future__ import annotations

import re
from typing import Final

import lxml.html

from humpback_pipeline.web.blocks import Block

_BOILERPLATE_TAGS: Final = frozenset({"nav", "aside", "footer", "form", "menu", "dialog"})
_BOILERPLATE_ROLES: Final = frozenset(
    {
        "navigation",
        "banner",
        "contentinfo",
        "complementary",
        "search",
        "dialog",
        "alert",
        "alertdialog",
    }
)
_BOILERPLATE_NAMES: Final = re.compile(
    r"(?:^|[\s_-])(?:nav(?:bar|header|footer|igation)?|menu|breadcrumbs?|side-?bar|footer|cookies?|"
    r"consent|gdpr|newsletter|subscri(?:be|ption)|sign-?up|share|sharing|sharedaddy|social|follow|"
    r"related|recommend(?:ed|ations?)?|trending|popular|most-?read|more-?(?:stories|from)|"
    r"promo(?:tion)?|sponsor(?:ed)?|advert(?:s|isement|ising)?|ads?|banner|popup|modal|overlay|"
    r"comments?|comment-?list|disqus|respond|pagination|pager|widget-area|outbrain|taboola|"
    r"(?:post|entry|article)-tags|tag-?(?:list|cloud|links)|author-?(?:bio|box|info)|byline|toc|"
    r"toctree-wrapper|skip-?link)(?:[\s_-]|$)",
    re.IGNORECASE,
)
# A site's own name is often marked up as an h1 on every page.
_SITE_NAMES: Final = re.compile(
    r"(?:^|[\s_-])(?:logo|brand(?:ing)?|site-?(?:title|name))(?:[\s_-]|$)", re.I
)
_MAX_ID_WORDS: Final = 2
_CAMEL_CASE: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
# An element with more than this share of the page's kept text holds the article, whatever its name.
_MAX_BOILERPLATE_SHARE: Final = 0.3


class BoilerplateTest:
    """Tells whether a block stands in a navigation, sharing, comment or advertising element."""

    def __init__(self, blocks: list[Block]) -> None:
        self._kept_chars: dict[lxml.html.HtmlElement, int] = {}
        self._verdicts: dict[lxml.html.HtmlElement, bool] = {}
        self._total = 0
        for block in blocks:
            if block.kept and not block.level:
                self._total += block.chars
                for element in (block.element, *block.element.iterancestors()):
                    self._kept_chars[element] = self._kept_chars.get(element, 0) + block.chars

    def __call__(self, block: Block) -> bool:
        """Tell of one block, from all elements it stands in."""
        path = [block.element, *block.element.iterancestors()]
        verdict = False
        for element in reversed(path):
            if element not in self._verdicts:
                self._verdicts[element] = verdict or self._is_boilerplate(element)
            verdict = self._verdicts[element]
        return verdict

    def innermost(self, share: float) -> lxml.html.HtmlElement | None:
        """Return the innermost element with at least this share of the kept text."""
        holders = [e for e, chars in self._kept_chars.items() if chars >= share * self._total]
        return max(holders, key=lambda e: sum(1 for _ in e.iterancestors()), default=None)

    def _is_boilerplate(self, element: lxml.html.HtmlElement) -> bool:
        if self._kept_chars.get(element, 0) > _MAX_BOILERPLATE_SHARE * self._total:
            return False
        if element.tag in _BOILERPLATE_TAGS or element.get("role") in _BOILERPLATE_ROLES:
            return True
        return any(_BOILERPLATE_NAMES.search(name) for name in _names(element))


def is_site_name(heading: Block) -> bool:
    """Tell whether a heading is the name of the site, as many have it on every page."""
    near = [heading.element, *heading.element.iterancestors()][:3]
    return any(_SITE_NAMES.search(name) for element in near for name in _names(element))


def _names(element: lxml.html.HtmlElement) -> list[str]:
    """An element's classes and short id, camel case split into words; a long id is a title."""
    names = (element.get("class") or "").split()
    anchor = _CAMEL_CASE.sub("-", element.get("id") or "")
    if anchor and len(re.split(r"[\s_-]+", anchor)) <= _MAX_ID_WORDS:
        names.append(anchor)
    return [_CAMEL_CASE.sub("-", name) for name in names]
