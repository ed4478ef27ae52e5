"""What of the recipe shapes a shard's segments: the arguments of the work, and its origin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from humpback_pipeline.recipe_corpus import CorpusRecipe, FiltersRecipe
from humpback_pipeline.storage import Provenance, hash_file
from humpback_pipeline.text.language import language_code
from humpback_pipeline.web import FilterThresholds, SegmentLimits, load_navigation_headers
from humpback_pipeline.web.shards import CorpusError

if TYPE_CHECKING:
    from humpback_pipeline.web.screens import Screens

# Where a page is cut, how long it may take and how many are cut at once change no segment.
_SHAPING = ("extractor", "languages", "min_chars", "max_chars", "max_html_bytes")
# Files of the user by their field; their content counts, not where they lie.
_FILTER_FILES = ("navigation_headers",)
_SCREEN_FILES = ("url_blocklist", "toxic_words")


def segmenting_arguments(corpus: CorpusRecipe) -> dict[str, Any]:
    """Keyword arguments of `segment_shard` for this recipe.

    Raises CorpusError for a file of the user's that cannot be used.
    """
    languages = _languages(corpus)
    filters = corpus.filters
    thresholds = FilterThresholds(
        min_chars=corpus.min_chars,
        max_chars=corpus.max_chars,
        languages=languages,
        navigation_headers=_navigation_headers(filters),
        **filters.model_dump(exclude={"max_link_share", "navigation_headers"}),
    )
    return {
        "extractor": corpus.extractor,
        "languages": languages,
        "thresholds": thresholds,
        "limits": SegmentLimits(corpus.min_chars, corpus.max_chars, filters.max_link_share),
        "max_html_bytes": corpus.max_html_bytes,
        "max_page_cpu_s": corpus.max_page_s,
        "screens": open_screens(corpus),
    }


def _languages(corpus: CorpusRecipe) -> tuple[str, ...] | None:
    """The codes that pages are compared with, as `eng` and `English` mean `en`; None for all."""
    return tuple(language_code(name) or name for name in corpus.languages) or None


def open_screens(corpus: CorpusRecipe) -> Screens | None:
    """The recipe's optional screens; None if all are off. Raises CorpusError."""
    recipe = corpus.screens
    is_on = recipe.gopher or recipe.c4 or recipe.personal_data != "keep"
    if not is_on and recipe.url_blocklist is None and recipe.toxic_words is None:
        return None
    from humpback_pipeline.web.screens import Screens, ScreenSettings

    settings = {name: getattr(recipe, name) for name in type(recipe).model_fields}
    try:
        return Screens(ScreenSettings(**settings))
    except (OSError, ValueError) as error:
        raise CorpusError(f"corpus.screens: {error}") from error


def shaping_settings(corpus: CorpusRecipe) -> dict[str, Any]:
    """The settings part of a shard's origin: what changes its segments, and nothing else."""
    return {
        **corpus.model_dump(mode="json", include=set(_SHAPING)),
        "languages": sorted(_languages(corpus) or ()),
        "filters": corpus.filters.model_dump(mode="json", exclude=set(_FILTER_FILES)),
        "screens": corpus.screens.model_dump(mode="json", exclude=set(_SCREEN_FILES)),
    }


def shaping_files(corpus: CorpusRecipe) -> Provenance:
    """Content hashes of the user's lists, by the field that names each. Raises CorpusError."""
    named: dict[str, Path | None] = {
        **{f"filters.{name}": getattr(corpus.filters, name) for name in _FILTER_FILES},
        **{f"screens.{name}": getattr(corpus.screens, name) for name in _SCREEN_FILES},
    }
    hashes = {}
    for field, path in named.items():
        if path is None:
            continue
        try:
            hashes[f"file/corpus.{field}"] = hash_file(path)
        except OSError as error:
            raise CorpusError(
                f"corpus.{field}: {path} cannot be read ({error.strerror or error}); name a file "
                "that is there, or null."
            ) from error
    return Provenance(datasets=hashes)


def _navigation_headers(filters: FiltersRecipe) -> tuple[str, ...]:
    bundled = load_navigation_headers()
    if filters.navigation_headers is None:
        return bundled
    try:
        # Not the remembered one: the user may have edited the file since.
        added = load_navigation_headers.__wrapped__(filters.navigation_headers)
    except (OSError, ValueError) as error:
        raise CorpusError(f"corpus.filters.navigation_headers: {error}") from error
    return tuple(dict.fromkeys([*bundled, *added]))
