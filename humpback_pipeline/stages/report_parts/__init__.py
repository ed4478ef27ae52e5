"""Sections of the report, each made from what one topic's manifests and tables say.

A part is a function from the workspace to a section, or None where its topic was not measured.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from polars.exceptions import PolarsError

from humpback_pipeline.evaluation.report_sections import ReportSection, caution
from humpback_pipeline.stages.report_parts.ablations import ablations
from humpback_pipeline.stages.report_parts.bias import data_bias
from humpback_pipeline.stages.report_parts.comparisons import (
    head_to_head,
    improvement,
    paired_tests,
)
from humpback_pipeline.stages.report_parts.contamination import contamination
from humpback_pipeline.stages.report_parts.costs import judge_costs
from humpback_pipeline.stages.report_parts.harness import benchmarks, safety
from humpback_pipeline.stages.report_parts.human import human_evaluation
from humpback_pipeline.stages.report_parts.lengths import lengths
from humpback_pipeline.stages.report_parts.spread import diversity_of_like_size
from humpback_pipeline.stages.report_parts.what_was_run import what_was_run
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import NotMaterializedError

Part = Callable[[Workspace], ReportSection | None]
# In the order of the page, as far as they follow the same section.
PARTS: tuple[Part, ...] = (
    what_was_run,
    contamination,
    paired_tests,
    head_to_head,
    improvement,
    human_evaluation,
    lengths,
    diversity_of_like_size,
    data_bias,
    ablations,
    benchmarks,
    safety,
    judge_costs,
)
logger = logging.getLogger(__name__)


def report_sections(workspace: Workspace) -> list[ReportSection]:
    """All sections that there is something to say in."""
    found = (_made(part, workspace) for part in PARTS)
    return [section for section in found if section is not None]


def _made(part: Part, workspace: Workspace) -> ReportSection | None:
    """A section that cannot be read must not cost the others: it says so instead."""
    try:
        return part(workspace)
    except NotMaterializedError:
        return None
    except (LookupError, TypeError, ValueError, PolarsError) as error:
        # What an earlier release wrote may lack a figure that this one shows.
        logger.warning("report: %s: %s: %s", part.__name__, type(error).__name__, error)
        name = part.__name__.replace("_", " ")
        note = f"This was made by another release and cannot be shown ({error}); make it again."
        return ReportSection(
            id=part.__name__.replace("_", "-"),
            title=name.capitalize(),
            after="timings",
            blocks=[caution(note)],
        )
