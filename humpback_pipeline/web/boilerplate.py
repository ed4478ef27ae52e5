"""Which elements of a page hold navigation, sharing, comments or advertising, by their names."""

from __future__ import annotations

import re
from functools import lru_cache
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
# What the parts of a class or id say, parted at hyphens, underscores and capitals; for names in
# lower case, as matching in any case takes three times as long.
_BOILERPLATE_NAMES: Final = re.compile(
    r"(?:^|[\s_-])(?:"
    # Menus, side columns and ways to other pages.
    r"nav(?:bar|header|footer|igation)?|(?:top|foot(?:er)?|main|sub|side)-?(?:nav|menu)|menu|"
    r"breadcrumbs?|side-?bar|side-?rail|right-(?:block|col(?:umn)?|rail|bar)|rail|footer|"
    r"pagination|pager|toc|toctree-wrapper|skip-?link|next-?(?:story|post|article)|"
    r"prev(?:ious)?-?(?:story|post|article)|read-?(?:more|next|all)|load-?more|more-?link|"
    r"related\w*|recommend(?:ed|ations?)?|recirc(?:ulation)?|suggestion(?:s|-?box)?|"
    r"link-?list|teasers?|trending|popular|most-?(?:read|popular|viewed)|"
    r"more-?(?:stories|from|news|posts)|up-?sell|cross-?sell|widget-area|outbrain|taboola|"
    # Consent, subscription, sharing.
    r"cookies?\w*|consent|gdpr|newsletter\w*|subscri(?:be|ption)|sign-?up|paywall|freemium|donat(?:e|ions?)|spenden?|"
    r"log-?in-?(?:form|box)?|register-?form|disturber|"
    r"share|share-?(?:bar|buttons?|kit|links|this|tools)|sharing|sharedaddy|social\w*|follow|"
    r"follow-us|"
    # Advertising.
    r"promo(?:tion)?|sponsor(?:ed)?|advert(?:s|isement|ising)?|ads?|ad-?(?:block|slot|unit)\w*|"
    r"affiliate-?(?:text|note|notice|disclosure|links?)|banner|popup|pop-?in|modal|overlay|testimonials?|disclaimer|video-?player|player-wrapper|syndication|"
    # Readers and writers.
    r"comments?|comment-?(?:list|form|area|box)|disqus|respond|trackbacks?|"
    r"reactions?-?(?:bar|summary)?|rating-?(?:block|text|multi|box)|"
    r"author-?(?:bio|box|info|desc(?:ription)?|details|card|profile)|about-?(?:the-?)?author|"
    r"sabox\w*|byline|(?:post|entry|article)-tags|tag-?(?:list|cloud|links)"
    r")(?:[\s_-]|$)"
)
# Names of bylines, dates and picture credits; on a longer element they say nothing.
_SHORT_NAMES: Final = re.compile(
    r"(?:^|[\s_-])(?:(?:photo-?|image-?)?credits?|copyright|licen[cs]e|authors?(?:-?name)?|"
    r"contributors?|date-?line|date|datum|date-?time|date-?published|published|pub-?date|"
    r"posted-?on|time-?stamp|post-?(?:meta|date|data|info)|entry-?(?:meta|utility|date)|"
    r"(?:article|news|listing)-?(?:meta|date|info)|news-?article-?meta|meta-?info|metadata|meta|"
    r"view-?count|counter|reading-?time|loader|loading|tags)(?:[\s_-]|$)"
)
_SHORT_ITEM_PROPERTIES: Final = frozenset({"author", "datePublished", "dateModified"})
MAX_SCRAP_NAME_CHARS: Final = 250
# Some widgets of a blog's side column say so only in this way; a text widget may hold an article.
_WIDGET: Final = re.compile(r"(?:^|\s)widget_(?!text)\w+")
# A site's own name is often marked up as an h1 on every page.
_SITE_NAMES: Final = re.compile(
    r"(?:^|[\s_-])(?:logo|brand(?:ing)?|site-?(?:title|name))(?:[\s_-]|$)", re.I
)
# A longer id is made from a title; yet a consent bar's often is as long.
_MAX_ID_WORDS: Final = 2
_LONG_ID: Final = re.compile(
    r"^(?:cookie|gdpr|consent)-|-(?:cookie|consent|author-box|related-posts|newsletter)"
    r"(?:-(?:bar|banner|notice|box|text|wrap))?$"
)
_ID_BREAK: Final = re.compile(r"[\s_-]+")
_CAMEL_CASE: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
# An element with more than this share of the page's kept text holds the article, whatever its name.
_MAX_BOILERPLATE_SHARE: Final = 0.45
# A scrap that the extractor refused in the midst of an article: a credit, a label, a button.
_SCRAP_TAGS: Final = frozenset({"div", "span", "section", "article", "address", "a", "center"})
_MAX_SCRAP_CHARS: Final = 60


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

    def may_fill(self, block: Block) -> bool:
        """Tell whether a block that the extractor refused may fill a hole in what it kept."""
        if self(block):
            return False
        element = block.element
        near = [ancestor.tag for ancestor in element.iterancestors()][:3]
        if element.tag in ("figure", "figcaption") or near[:1] == ["figcaption"]:
            return False
        return (
            "td" in near
            or block.text.startswith("**")
            or element.tag not in _SCRAP_TAGS
            or bool(block.containers)
            or block.chars > _MAX_SCRAP_CHARS
            or block.text.rstrip("*_ ").endswith((".", "!", "?", ":", "。", "`"))
        )

    def innermost(self, share: float) -> lxml.html.HtmlElement | None:
        """Return the innermost element with at least this share of the kept text."""
        holders = [e for e, chars in self._kept_chars.items() if chars >= share * self._total]
        return max(holders, key=lambda e: sum(1 for _ in e.iterancestors()), default=None)

    def _is_boilerplate(self, element: lxml.html.HtmlElement) -> bool:
        if self._kept_chars.get(element, 0) > _MAX_BOILERPLATE_SHARE * self._total:
            return False
        if element.tag in _BOILERPLATE_TAGS or element.get("role") in _BOILERPLATE_ROLES:
            return True
        classes = element.get("class") or ""
        if has_boilerplate_name(classes, element.get("id") or ""):
            return True
        if not (has_scrap_name(classes) or element.get("itemprop") in _SHORT_ITEM_PROPERTIES):
            return False
        return sum(len(text.strip()) for text in element.itertext()) <= MAX_SCRAP_NAME_CHARS


def is_site_name(heading: Block) -> bool:
    """Tell whether a heading is the name of the site, as many have it on every page."""
    near = [heading.element, *heading.element.iterancestors()][:3]
    return any(
        _SITE_NAMES.search(_parted(name))
        for element in near
        for name in (*(element.get("class") or "").split(), *_short_id(element.get("id") or ""))
    )


def has_boilerplate_name(classes: str, identifier: str) -> bool:
    """Tell whether an element's class and id attributes name it navigation, sharing and so on."""
    return _classes_name_boilerplate(classes) or _id_names_boilerplate(identifier)


# Pages of one site share their classes: most are looked up, not matched again.
@lru_cache(maxsize=16_384)
def has_scrap_name(classes: str) -> bool:
    """Tell whether classes name a byline, date or credit, if there is little text in it."""
    return bool(_SHORT_NAMES.search(_parted(classes)))


@lru_cache(maxsize=16_384)
def _classes_name_boilerplate(classes: str) -> bool:
    # White space parts names as hyphens do, so that all classes are searched at once.
    return bool(_BOILERPLATE_NAMES.search(_parted(classes)) or _WIDGET.search(classes))


@lru_cache(maxsize=16_384)
def _id_names_boilerplate(anchor: str) -> bool:
    name = _parted(anchor)
    if len(_ID_BREAK.split(name, _MAX_ID_WORDS)) <= _MAX_ID_WORDS:
        return bool(_BOILERPLATE_NAMES.search(name) or _LONG_ID.search(name))
    return bool(_LONG_ID.search(name))


def _parted(name: str) -> str:
    """A name with a hyphen before its inner capitals, in lower case."""
    return _CAMEL_CASE.sub("-", name).lower()


def _short_id(anchor: str) -> list[str]:
    name = _parted(anchor)
    return [name] if name and len(_ID_BREAK.split(name)) <= _MAX_ID_WORDS else []
