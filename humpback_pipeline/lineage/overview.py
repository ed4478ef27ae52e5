"""A home at a glance: what there is in each group, how good the models are, what ran last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from humpback_pipeline.lineage.artefact import Artefact
from humpback_pipeline.lineage.catalogue import Catalogue
from humpback_pipeline.lineage.measures import evaluations_of
from humpback_pipeline.lineage.roles import GROUP_SENTENCES, group_of
from humpback_pipeline.lineage.stale import StaleReader

REPORT_NAME = "report.html"


@dataclass(frozen=True)
class Entry:
    """A dataset, all its partitions together, or a model: what is current of it."""

    name: str
    newest: Artefact
    n_partitions: int
    rows: int
    n_stale: int


@dataclass(frozen=True)
class Group:
    """A group of the asset graph; entries is empty while nothing of it has been made."""

    name: str
    sentence: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class ModelFigures:
    """A current model; losses in nats per token on held-out seeds, win rate in percent."""

    model: Artefact
    mixture: Mapping[str, int]
    loss_before: float | None
    loss_after: float | None
    win_rate: float | None
    standard_error: float | None
    auc: float | None


@dataclass(frozen=True)
class Overview:
    """Everything the start page shows; damaged: versions whose manifest cannot be read."""

    groups: tuple[Group, ...]
    models: tuple[ModelFigures, ...]
    latest: tuple[Artefact, ...]
    reports: tuple[tuple[str, datetime], ...]
    n_stale: int
    damaged: tuple[Path, ...]


def overview(catalogue: Catalogue, stale: StaleReader) -> Overview:
    """Look at what is current in a home."""
    current = catalogue.all_current()
    stale_keys = {staleness.artefact.key for staleness in stale.all_stale()}
    by_time = sorted(current, key=lambda artefact: artefact.created, reverse=True)
    models = sorted((a for a in current if a.kind == "model"), key=lambda a: a.created)
    return Overview(
        _groups(current, stale_keys),
        tuple(_figures(catalogue, model) for model in models),
        tuple(by_time[:5]),
        _reports(catalogue.home),
        len(stale_keys),
        tuple(sorted(catalogue.damaged)),
    )


# Not in every recipe.
SEPARATE = ("ablations", "benchmarks")


def _groups(current: list[Artefact], stale_keys: set[str]) -> tuple[Group, ...]:
    by_name: dict[str, list[Artefact]] = {}
    for artefact in sorted(current, key=lambda a: a.created):
        by_name.setdefault(artefact.name, []).append(artefact)
    entries: dict[str, list[Entry]] = {}
    for name, members in by_name.items():
        entry = Entry(
            name,
            newest=members[-1],
            n_partitions=sum(a.partition is not None for a in members),
            rows=sum(a.rows or 0 for a in members),
            n_stale=sum(a.key in stale_keys for a in members),
        )
        entries.setdefault(group_of(name), []).append(entry)
    iterations = {name for name in entries if name.startswith("iteration_")} - {"iteration_0"}
    order = ["seed", "corpus", "augmentation", "iteration_0"]
    order += sorted(iterations, key=_number) or ["iteration_1"]
    return tuple(
        Group(
            name,
            GROUP_SENTENCES.get(name, GROUP_SENTENCES["iteration"]),
            tuple(entries.get(name, ())),
        )
        for name in (*order, "evaluation", *(g for g in SEPARATE if g in entries))
    )


def _number(group: str) -> int:
    number = group.rpartition("_")[2]
    return int(number) if number.isdigit() else 0


def _figures(catalogue: Catalogue, model: Artefact) -> ModelFigures:
    facts = model.manifest().facts
    evaluations = evaluations_of(catalogue, model)
    return ModelFigures(
        model,
        mixture=facts.get("mixture", {}),
        loss_before=facts.get("loss_before"),
        loss_after=facts.get("loss_after"),
        win_rate=evaluations.get("win_rates.rate"),
        standard_error=evaluations.get("win_rates.standard_error"),
        auc=evaluations.get("selection_quality.auc"),
    )


def _reports(home: Path) -> tuple[tuple[str, datetime], ...]:
    found = [
        (path.parent.name, datetime.fromtimestamp(path.stat().st_mtime, UTC))
        for path in home.glob(f"reports/*/{REPORT_NAME}")
    ]
    return tuple(sorted(found, key=lambda report: report[1], reverse=True))
