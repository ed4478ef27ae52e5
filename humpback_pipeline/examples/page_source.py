"""Page sources of the sample crawl: front matter, Markdown and the template around it.

One page is one file `pages/<shard>/<site>/<slug>.md` (Markdown, wrapped in
`templates/<template>.html.j2`) or `<slug>.html` (sent verbatim), YAML front matter first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml
from jinja2 import Environment, FileSystemLoader, TemplateError, TemplateNotFound
from markdown_it import MarkdownIt
from markupsafe import Markup
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

_FRONT_MATTER: Final = re.compile(r"\A---\n(.*?)^---\n(.*)\Z", re.DOTALL | re.MULTILINE)
_PAGE_TYPES: Final = (".md", ".html")


class PageError(ValueError):
    """A page source that cannot be built; the message names the file, the fault and the remedy."""


class Link(BaseModel):
    """A title with an address: a related story, a breadcrumb, a page of the same site."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    title: str
    url: str = "#"


class Comment(BaseModel):
    """One reader's comment under a page."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)
    author: str = "Guest"
    date: str = ""
    text: str


class FrontMatter(BaseModel):
    """The YAML head of a page source; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    # Reserved names only: no real site may appear in the sample.
    url: str = Field(pattern=r"^https?://([a-z0-9-]+\.)*example\.(com|org|net)/")
    title: str
    template: str | None = None
    language: str = "en"
    crawl_date: datetime
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = "text/html"
    charset: str = "utf-8"
    related: list[Link] = []
    comments: list[Comment] = []
    breadcrumbs: list[Link] = []
    author: str = ""
    tags: list[str] = []
    vars: dict[str, Any] = {}

    @field_validator("related", "breadcrumbs", mode="before")
    @classmethod
    def _title_alone(cls, value: object) -> object:
        return _each_string_as(value, "title")

    @field_validator("comments", mode="before")
    @classmethod
    def _text_alone(cls, value: object) -> object:
        return _each_string_as(value, "text")

    @field_validator("crawl_date", mode="after")
    @classmethod
    def _in_utc(cls, value: datetime) -> datetime:
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Page:
    """A page source: its file, its front matter and the text after it."""

    path: Path
    head: FrontMatter
    body: str


def read_page(path: Path) -> Page:
    """Read one page source.

    Raises PageError, naming the file (and the line of a YAML fault), when the front matter is
    missing, is not YAML, or has a missing, unknown or impossible field.
    """
    try:
        match = _FRONT_MATTER.match(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise PageError(f"{path}: not UTF-8 ({error.reason}); save it as UTF-8") from error
    if match is None:
        raise PageError(f"{path}: no front matter; begin the file with '---', YAML and '---'")
    fields = _parse_yaml(path, match[1])
    try:
        head = FrontMatter.model_validate(fields)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'the whole'}: {fault['msg']}"
            for fault in error.errors()
        )
        raise PageError(f"{path}: front matter: {faults}; correct it in this file") from error
    if path.suffix == ".md" and not head.template:
        raise PageError(f"{path}: front matter: template: missing; a Markdown page needs one")
    return Page(path, head, match[2])


def read_pages(folder: Path) -> list[Page]:
    """Read every page source under a shard's folder, in path order.

    Raises PageError when there is none, one is broken, or two share one URL.
    """
    pages = [read_page(path) for path in sorted(folder.rglob("*")) if path.suffix in _PAGE_TYPES]
    if not pages:
        raise PageError(f"{folder}: no page sources; expected <site>/<slug>.md or .html")
    owners: dict[str, Path] = {}
    for page in pages:
        owner = owners.setdefault(page.head.url, page.path)
        if owner is not page.path:
            raise PageError(f"{page.path}: url: {page.head.url} belongs to {owner}; change one")
    return pages


def template_environment(folder: Path) -> Environment:
    """Jinja environment of the page templates: autoescaping, with the `permalinks` filter."""
    environment = Environment(loader=FileSystemLoader(folder), autoescape=True)
    environment.filters["permalinks"] = _permalinks
    return environment


def render_page(page: Page, pages: Sequence[Page], templates: Environment) -> bytes:
    """Render a page to the bytes a server would send, in the page's charset.

    `pages` is the whole shard: pages in the same folder become the site's navigation. Raises
    PageError when the template does not exist or fails, or when the charset is unknown.
    """
    text = page.body if page.path.suffix == ".html" else _fill_template(page, pages, templates)
    try:
        return text.encode(page.head.charset, errors="xmlcharrefreplace")
    except LookupError as error:
        raise PageError(f"{page.path}: front matter: charset: {error}; use utf-8") from error


def _parse_yaml(path: Path, text: str) -> object:
    fault = "front matter is not valid YAML"
    try:
        return yaml.safe_load(text) or {}
    except yaml.MarkedYAMLError as error:
        # The mark counts from 0 and the YAML begins on the file's second line.
        line = error.problem_mark.line + 2 if error.problem_mark else 1
        raise PageError(f"{path}:{line}: {fault}: {error.problem}; quote or indent it") from error
    except (yaml.YAMLError, ValueError) as error:  # control characters; impossible dates
        raise PageError(f"{path}: {fault}: {error}; correct it in this file") from error


def _fill_template(page: Page, pages: Sequence[Page], templates: Environment) -> str:
    head = page.head
    body_html, headings = _render_markdown(page.body)
    site = [other for other in pages if other.path.parent == page.path.parent]
    links = [Link(title=other.head.title, url=other.head.url) for other in site]
    position = site.index(page)
    neighbours = [None, *links, None][position : position + 3]
    host = urlsplit(head.url).hostname or ""
    try:
        return templates.get_template(f"{head.template}.html.j2").render(
            **{name: getattr(head, name) for name in FrontMatter.model_fields},
            body_html=body_html,
            headings=headings,
            has_h1=any(heading["level"] == 1 for heading in headings),
            host=host,
            site_name=head.vars.get("site_name", host.split(".")[0].replace("-", " ").title()),
            site_pages=links,
            prev=head.vars.get("prev") or neighbours[0],
            next=head.vars.get("next") or neighbours[2],
            slug=page.path.stem,
        )
    except TemplateNotFound as error:
        known = ", ".join(sorted(name.split(".")[0] for name in templates.list_templates()))
        fault = f"no template {head.template!r}; choose one of {known}"
        raise PageError(f"{page.path}: front matter: template: {fault}") from error
    except TemplateError as error:
        raise PageError(f"{page.path}: template {head.template!r}: {error.message}") from error


def _render_markdown(text: str) -> tuple[Markup, list[dict[str, Any]]]:
    markdown = MarkdownIt("commonmark").enable("table")
    tokens = markdown.parse(text)
    headings: list[dict[str, Any]] = []
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            title = "".join(part.content for part in inline.children or [])
            opening.attrSet("id", re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-"))
            heading = {"level": int(opening.tag[1]), "text": title, "id": opening.attrGet("id")}
            headings.append(heading)
    return Markup(markdown.renderer.render(tokens, markdown.options, {})), headings


def _permalinks(body_html: str) -> Markup:
    """Append Sphinx's pilcrow link to every heading that has an id."""
    link = r'<a class="headerlink" href="#\2" title="Link to this heading">¶</a>'
    pattern = r'(<h[1-6] id="([^"]+)">)(.*?)(</h[1-6]>)'
    return Markup(re.sub(pattern, rf"\1\3{link}\4", str(body_html)))


def _each_string_as(value: object, field: str) -> object:
    if not isinstance(value, list):
        return value
    return [{field: item} if isinstance(item, str) else item for item in value]
