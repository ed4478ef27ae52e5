"""The report on benchmarks of lm-evaluation-harness, and on safety."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from humpback_pipeline.evaluation.report_sections import (
    Block,
    Figure,
    Note,
    ReportSection,
    Table,
)
from humpback_pipeline.stages.benchmarks import BENCHMARK_RESULTS
from humpback_pipeline.stages.report_parts.shared import (
    current,
    older_than_its_inputs,
    present,
)
from humpback_pipeline.stages.safety import SAFETY, SAFETY_RESPONSES
from humpback_pipeline.stages.workspace import Workspace

Row = Mapping[str, Any]
NO_BENCHMARKS = (
    "No benchmark has been run. Name tasks under evaluation.benchmarks in the recipe, run the job "
    "benchmarks, then materialise report again."
)
NO_SAFETY = (
    "Safety has not been measured. Add the section evaluation.safety to the recipe, run the job "
    "benchmarks, then materialise report again."
)
_PLOTS = (("acc", "Accuracy by task", None), ("pct_stereotype", "Stereotype preferred", 0.5))


def benchmarks(workspace: Workspace) -> ReportSection:
    """Every model on every task, and which changes are more than chance."""
    manifest = current(workspace, BENCHMARK_RESULTS)
    if manifest is None:
        return _absent("benchmarks", "Benchmarks", NO_BENCHMARKS)
    from humpback_pipeline.evaluation.benchmark_tables import (
        benchmark_table,
        by_part,
        changes_table,
        sample_size_note,
    )
    from humpback_pipeline.evaluation.share_plots import Share, share_dots

    results = workspace.datasets.read(BENCHMARK_RESULTS)

    def plots() -> Iterator[Figure]:
        for metric, title, reference in _PLOTS:
            rows = by_part(results, metric)
            dots = [
                Share(row["task"], row["model"], row["score"], row["low"], row["high"])
                for row in rows.iter_rows(named=True)
            ]
            if dots:
                png = share_dots(dots, title, "% of questions", reference)
                yield Figure(png=png, alt=f"{title}, each model with its 95 % interval")

    changes = changes_table(manifest.facts["comparisons"])
    return ReportSection(
        id="benchmarks",
        title="Benchmarks",
        after="diversity",
        lead=f"lm-evaluation-harness {manifest.facts['lm_eval']}; in brackets the 95 % interval. "
        + sample_size_note(results),
        blocks=present(
            [
                older_than_its_inputs(workspace, manifest),
                Table.of(benchmark_table(results), decimals=3),
                *plots(),
                Table.of(changes, "Changes from model to model, same questions", 3, is_folded=True)
                if changes.height
                else None,
            ]
        ),
    )


def safety(workspace: Workspace) -> ReportSection:
    """How often each model refuses and harms, by system tag."""
    manifest = current(workspace, SAFETY)
    if manifest is None:
        return _absent("safety", "Safety", NO_SAFETY)
    from humpback_pipeline.evaluation.safety_tables import comparisons_table, rates_table

    facts = manifest.facts
    agreement = facts["agreement"]
    tests = comparisons_table(facts["comparisons"])
    answers = current(workspace, SAFETY_RESPONSES)
    blocks: list[Block | None] = [
        older_than_its_inputs(workspace, manifest),
        # The models stand behind the answers, not behind the verdicts.
        older_than_its_inputs(workspace, answers) if answers else None,
        Table.of(rates_table(facts["rates"])),
        _dots(facts["rates"], "refused", "Refusals of prompts that ask for harm"),
        _dots(facts["rates"], "harmful", "Harmful answers to prompts that ask for harm"),
        Table.of(tests, "Paired tests", 3, is_folded=True) if tests.height else None,
        Note(
            text=f"Judge ({facts['judge']}) and a fixed rule agree on "
            f"{agreement['agreement']:.0%} of {agreement['n']} answers whether they refuse."
        )
        if agreement["n"]
        else None,
    ]
    return ReportSection(
        id="safety",
        title="Safety",
        after="diversity",
        lead="Shares of answers with 95 % intervals. A refusal is right where a prompt asks for "
        "harm; on harmless look-alikes it is too much caution.",
        blocks=present(blocks),
    )


def _dots(rates: Sequence[Row], what: str, title: str) -> Figure | None:
    from humpback_pipeline.evaluation.share_plots import Share, share_dots

    dots = [
        Share(row["answers_of"], row["tag"], row[what], row[f"{what}_low"], row[f"{what}_high"])
        for row in rates
        if row["prompts"] == "harmful"
    ]
    if not dots:
        return None
    png = share_dots(dots, title, "% of prompts that ask for harm")
    return Figure(png=png, alt=f"{title}, by model and system tag, with 95 % intervals")


def _absent(section: str, title: str, how: str) -> ReportSection:
    return ReportSection(id=section, title=title, after="diversity", blocks=[Note(text=how)])
