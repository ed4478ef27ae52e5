"""One question, any shape: a pair, segment, page, host, shard, dataset or model, old or current."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from humpback_pipeline.lineage.artefact import Artefact
from humpback_pipeline.lineage.catalogue import Catalogue, distinct_contents
from humpback_pipeline.lineage.pairs import WEB_PREFIX, Hop, ModelUse, models_of, trace_pair
from humpback_pipeline.lineage.roles import ROLE_ORDER, role_of
from humpback_pipeline.lineage.rows import count_rows, find_rows, scan
from humpback_pipeline.lineage.upstream import Node, downstream, upstream

MAX_SEGMENTS = 50
MIN_HASH_DIGITS = 8
PAIR_ID = re.compile(r"[a-z_]+-[0-9a-f]{8,}")
HOST = re.compile(r"[\w-]+(\.[\w-]+)+(:\d+)?", re.ASCII)
WARC_SUFFIX = re.compile(r"\.warc(\.gz)?$")

Kind = Literal["artefact", "pair", "segment", "page", "shard"]


class NothingFoundError(LookupError):
    """No version of anything knows what was asked for."""


@dataclass(frozen=True)
class SegmentRef:
    """One segment of a page: its id, header, address."""

    segment_id: str
    header: str
    url: str

    @property
    def pair_id(self) -> str:
        """Id of the pair made of it."""
        return f"{WEB_PREFIX}{self.segment_id}"


@dataclass(frozen=True)
class Answer:
    """What is known of a query.

    hops: dataset versions that hold it; models: model versions trained on it. tree and users: for
    an artefact, what it was made from and everything made from it. segments: of a page or host.
    """

    query: str
    kind: Kind
    title: str
    hops: tuple[Hop, ...] = ()
    models: tuple[ModelUse, ...] = ()
    artefact: Artefact | None = None
    tree: Node | None = None
    users: tuple[Artefact, ...] = ()
    segments: tuple[SegmentRef, ...] = field(default=())
    notes: tuple[str, ...] = ()


def ask(catalogue: Catalogue, query: str, version: str = "") -> Answer:
    """Answer a query: NAME[/PARTITION][@VERSION], pair or segment id, URL, host, or shard.

    A URL ending in `*` asks for every page it begins. Raises NothingFoundError, or
    UnknownArtefactError for a version that does not exist.
    """
    query = query.strip()
    if not query:
        raise NothingFoundError(f"Nothing was asked. {_SHAPES}")
    name, _, after = query.partition("@")
    if name in catalogue.keys():  # noqa: SIM118 - a method, not a mapping
        return describe(catalogue, catalogue.resolve(name, version or after), query)
    shard = WARC_SUFFIX.sub("", query)
    for attempt in (_by_version_or_hash, _by_shard, _by_id, _by_page):
        answer = attempt(catalogue, shard if attempt is _by_shard else query)
        if answer is not None:
            return answer
    if parts := catalogue.partitions(name):
        raise NothingFoundError(
            f"{name} has partitions; ask for one of them: "
            + ", ".join(f"{name}/{part}" for part in parts[:8])
        )
    raise NothingFoundError(
        f"{query!r} is in no version of anything in {catalogue.home}. {_SHAPES}"
    )


_SHAPES = (
    "Ask for a model or dataset (m1, curated_set_1@20261121T04), a pair or segment id "
    "(web-…, seed-…), a page (https://…, or https://…* for all below), a host, or a shard."
)


def describe(catalogue: Catalogue, artefact: Artefact, query: str = "") -> Answer:
    """What one version was made from, and everything made from it."""
    users = downstream(catalogue, artefact)
    title = f"{artefact.kind} {artefact.key} @ {artefact.version}"
    hop = Hop(artefact, artefact.rows or 0)
    return Answer(
        query or artefact.key,
        "artefact",
        title,
        hops=(hop,) if artefact.kind == "dataset" else (),
        models=models_of(catalogue, [hop]) if artefact.kind == "dataset" else (),
        artefact=artefact,
        tree=upstream(catalogue, artefact),
        users=users,
    )


def _by_version_or_hash(catalogue: Catalogue, query: str) -> Answer | None:
    is_hash = len(query) >= MIN_HASH_DIGITS and re.fullmatch(r"[0-9a-f]+", query)
    for artefact in catalogue.everything():
        if artefact.version == query or (is_hash and artefact.content_hash.startswith(query)):
            return describe(catalogue, artefact, query)
    return None


def _by_id(catalogue: Catalogue, query: str) -> Answer | None:
    if not re.fullmatch(r"[\w.:-]+", query):
        return None
    hops, models = trace_pair(catalogue, query)
    if not hops:
        return None
    kind: Kind = "pair" if PAIR_ID.fullmatch(query) else "segment"
    return Answer(query, kind, f"{kind} {query}", hops, models)


def _by_page(catalogue: Catalogue, query: str) -> Answer | None:
    condition = _page_condition(query)
    if condition is None:
        return None
    datasets = [a for a in catalogue.everything() if "url" in a.columns]
    counts = count_rows(datasets, condition)
    if not counts and "://" in query and not query.endswith("*"):
        return _by_page(catalogue, f"{query}*")
    if not counts:
        return None
    hops = _hops_of(datasets, counts)
    refs: dict[str, SegmentRef] = {}
    columns = ["segment_id", "header", "url"]
    holding = [a for a in datasets if (a.key, a.content_hash) in counts]
    for _, row in find_rows(holding, condition, columns, MAX_SEGMENTS):
        segment_id = str(row.get("segment_id") or "")
        known = refs.get(segment_id)
        if segment_id and (known is None or not known.header):
            header, url = str(row.get("header") or ""), str(row.get("url") or "")
            refs[segment_id] = SegmentRef(segment_id, header, url)
    segments = tuple(sorted(refs.values(), key=lambda ref: (ref.url, ref.segment_id)))
    notes = (f"The first {MAX_SEGMENTS} segments are shown.",) * (len(segments) > MAX_SEGMENTS)
    title = f"page {query}" if "://" in query and not query.endswith("*") else f"pages of {query}"
    return Answer(
        query,
        "page",
        title,
        hops,
        models_of(catalogue, list(hops)),
        segments=segments[:MAX_SEGMENTS],
        notes=notes,
    )


def _page_condition(query: str) -> pl.Expr | None:
    url = pl.col("url")
    if "://" in query:
        return url.str.starts_with(query[:-1]) if query.endswith("*") else url == query
    host, slash, path = query.removesuffix("*").partition("/")
    if not HOST.fullmatch(host):
        return None
    if slash:
        pattern = f"(?i)^[a-z][a-z+.-]*://(?:[^/@]*@)?{re.escape(host)}/{re.escape(path)}"
    else:
        pattern = f"(?i)^[a-z][a-z+.-]*://(?:[^/]*[.@])?{re.escape(host)}(?::[0-9]+)?(?:[/?#]|$)"
    return url.str.contains(pattern)


def _by_shard(catalogue: Catalogue, shard: str) -> Answer | None:
    cut = [a for a in catalogue.everything() if a.partition == shard and role_of(a) == "segments"]
    if not cut:
        return None
    ids = pl.concat([scan(a).select("segment_id") for a in distinct_contents(cut)])
    known = ids.unique().collect(engine="streaming")["segment_id"]
    curated = [a for a in catalogue.everything() if role_of(a) == "curated"]
    counts = count_rows(curated, pl.col("segment_id").is_in(known.implode()))
    hops = (*(Hop(a, a.rows or 0, note=_warc_hash(a, shard)) for a in cut),)
    hops += _hops_of(curated, counts)
    models = models_of(catalogue, [hop for hop in hops if role_of(hop.artefact) == "curated"])
    reached = {
        (user.key, user.version)
        for artefact in distinct_contents(cut)
        for user in downstream(catalogue, artefact)
        if user.kind == "model"
    }
    notes = (
        f"{len(models)} of the {len(reached)} model versions that come after this shard were "
        "trained on rows of it; the others were trained when none of its pairs was kept.",
    )
    return Answer(shard, "shard", f"shard {shard}", hops, models, notes=notes)


def _warc_hash(artefact: Artefact, shard: str) -> str:
    value = artefact.manifest().provenance.warc_shards.get(shard, "")
    return f"WARC file {value[:12]}" if value else ""


def _hops_of(artefacts: list[Artefact], counts: dict[tuple[str, str], int]) -> tuple[Hop, ...]:
    hops = [
        Hop(a, counts[a.key, a.content_hash])
        for a in artefacts
        if (a.key, a.content_hash) in counts
    ]
    order = {role: n for n, role in enumerate(ROLE_ORDER)}
    return tuple(sorted(hops, key=lambda h: (order[role_of(h.artefact)], h.artefact.version)))
