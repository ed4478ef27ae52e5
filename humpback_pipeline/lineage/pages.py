"""The HTML pages: start, search, one version of an artefact, a comparison.

Every text in them may come from a crawled page or a user's file, so templates escape by default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import quote

import jinja2
import polars as pl

from humpback_pipeline.lineage import links, text
from humpback_pipeline.lineage.answers import Answer, describe
from humpback_pipeline.lineage.artefact import Artefact
from humpback_pipeline.lineage.catalogue import Catalogue
from humpback_pipeline.lineage.compare import Comparison
from humpback_pipeline.lineage.measures import figures_of
from humpback_pipeline.lineage.overview import overview
from humpback_pipeline.lineage.pairs import Hop
from humpback_pipeline.lineage.roles import ROLE_ORDER, ROLE_TITLES, group_of, role_of
from humpback_pipeline.lineage.rows import find_rows
from humpback_pipeline.lineage.stale import StaleReader
from humpback_pipeline.lineage.upstream import Node

MAX_SAMPLES = 5
SAMPLE_COLUMNS = ("pair_id", "segment_id", "instruction", "header", "rating", "split", "url")
CODE_LOCATION = "humpback_pipeline"
PUBLISH_JOB = "publish_version"


@dataclass(frozen=True)
class Site:
    """Where the neighbours are; dagster_url has no slash at its end."""

    dagster_url: str

    def asset_url(self, name: str) -> str:
        """The asset's page in the Dagster UI."""
        return f"{self.dagster_url}/assets/{quote(name, safe='')}"

    def publish_url(self) -> str:
        """The launchpad of the job that publishes old versions."""
        return f"{self.dagster_url}/locations/{CODE_LOCATION}/jobs/{PUBLISH_JOB}/launchpad"


def start_page(site: Site, catalogue: Catalogue, stale: StaleReader) -> str:
    """What the groups are, what ran last and how good it is."""
    return _render("start.html.jinja", site, home=overview(catalogue, stale))


def answer_page(site: Site, query: str, answer: Answer | None, problem: str = "") -> str:
    """The search box, and the answer to a query if there is one."""
    sections: dict[str, list[Hop]] = {}
    for hop in reversed(answer.hops if answer else ()):
        sections.setdefault(hop.artefact.key, []).append(hop)
    ordered = sorted(
        sections.values(), key=lambda hops: ROLE_ORDER.index(role_of(hops[0].artefact))
    )
    return _render(
        "search.html.jinja", site, query=query, answer=answer, sections=ordered, problem=problem
    )


def artefact_page(site: Site, catalogue: Catalogue, artefact: Artefact, stale: StaleReader) -> str:
    """One version: what it is, what it came from, what came from it, its other versions."""
    answer = describe(catalogue, artefact)
    assert answer.tree is not None
    direct = catalogue.users(artefact.key, artefact.content_hash)
    return _render(
        "artefact.html.jinja",
        site,
        artefact=artefact,
        manifest=artefact.manifest(),
        answer=answer,
        tree=answer.tree,
        ancestors=ancestors_by_role(answer.tree),
        staleness=stale.why(artefact),
        current=catalogue.current(artefact.key),
        versions=list(reversed(catalogue.versions(artefact.key))),
        users_directly=[user for user in reversed(answer.users) if user in direct],
        users_further=[user for user in reversed(answer.users) if user not in direct],
        figures=figures_of(catalogue, artefact),
        samples=_samples(artefact),
        seen=set(),
    )


def partitions_page(site: Site, catalogue: Catalogue, name: str, stale: StaleReader) -> str:
    """All partitions of a dataset, what is current of each."""
    found = [catalogue.current(f"{name}/{part}") for part in catalogue.partitions(name)]
    parts = [artefact for artefact in found if artefact is not None]
    stale_keys = {artefact.key for artefact in parts if stale.why(artefact).is_stale}
    return _render("partitions.html.jinja", site, name=name, parts=parts, stale_keys=stale_keys)


def compare_page(
    site: Site, catalogue: Catalogue, key: str = "", comparison: Comparison | None = None
) -> str:
    """Two versions side by side, and which others could be compared."""
    several = [k for k in catalogue.keys() if len(catalogue.versions(k)) > 1]  # noqa: SIM118
    versions = list(reversed(catalogue.versions(key))) if key else []
    return _render(
        "compare.html.jinja",
        site,
        key=key,
        comparison=comparison,
        several=several,
        versions=versions,
    )


def problem_page(site: Site, title: str, problem: str) -> str:
    """Something that was asked for is not there."""
    return _render("problem.html.jinja", site, title=title, problem=problem)


def ancestors_by_role(tree: Node) -> Sequence[tuple[str, Sequence[Node]]]:
    """Everything behind a version, each once, nearest kind first: models, sets, ratings, seeds."""
    titles: dict[str, str] = {"model": "models"}
    titles.update({role: ROLE_TITLES[role] for role in reversed(ROLE_ORDER)})
    found: dict[str, list[Node]] = {}
    for node in tree.walk():
        if node is not tree:
            artefact = node.artefact
            kind = "other" if artefact is None else artefact.kind
            role = kind if kind != "dataset" or artefact is None else role_of(artefact)
            found.setdefault(role, []).append(node)
    return [
        (titles[role], sorted(found[role], key=lambda n: (n.key, n.content_hash)))
        for role in titles
        if role in found
    ]


def when(value: str | datetime) -> str:
    """A time as a person reads it: `2026-11-21 06:54 UTC (3 hours ago)`."""
    moment = _moment(value)
    return f"{moment:%Y-%m-%d %H:%M} UTC ({ago(moment)})" if moment else "at an unknown time"


def ago(value: str | datetime) -> str:
    """How long ago a time was: `3 hours ago`."""
    moment = _moment(value)
    if moment is None:
        return "at an unknown time"
    seconds = max(0.0, (datetime.now(UTC) - moment).total_seconds())
    for unit, length_s in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length_s:
            return f"{text.count(int(seconds // length_s), unit)} ago"
    return "just now"


def _moment(value: str | datetime) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def artefact_path(artefact: Artefact) -> str:
    """Path of the page of exactly this version."""
    return links.artefact_path(artefact.kind, artefact.name, artefact.partition, artefact.version)


def _place(hops: Sequence[Hop], key: str) -> tuple[int, str]:
    return ROLE_ORDER.index(role_of(hops[0].artefact)), key


def _is_new(node: Node, seen: set[int]) -> bool:
    """Whether a node of the tree comes for the first time; notes that it came."""
    known = id(node) in seen
    seen.add(id(node))
    return not known


def _samples(artefact: Artefact) -> Sequence[Mapping[str, Any]]:
    if artefact.kind != "dataset":
        return ()
    return [row for _, row in find_rows([artefact], pl.lit(True), SAMPLE_COLUMNS, MAX_SAMPLES)]


def _render(template: str, site: Site, **values: Any) -> str:
    return _templates().get_template(template).render(site=site, **values)


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("humpback_pipeline.lineage"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        when=when, ago=ago, figure=text.figure, shorten=text.shorten, count=text.count
    )
    environment.globals.update(
        path_of=artefact_path,
        name_path=links.artefact_path,
        search_path=links.search_path,
        compare_path=links.compare_path,
        group_of=group_of,
        role_title=lambda artefact: ROLE_TITLES[role_of(artefact)],
        grouped=text.grouped,
        is_new=_is_new,
    )
    return environment
