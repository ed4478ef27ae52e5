"""What the report says of scorers, harder pairs and preferences."""

from __future__ import annotations

from datetime import UTC, datetime

from humpback_pipeline.evaluation import ReportData, SelectionQualityRow, render_report
from humpback_pipeline.evaluation.report_data import (
    CuratedSet,
    IterationRow,
    PreferenceAgreementRow,
)


def row(scorer: str, auc: float, *, cross_validated: bool = False) -> SelectionQualityRow:
    return SelectionQualityRow(
        rater="m0",
        scorer=scorer,
        precision=0.875,
        recall=0.75,
        f1=0.8077,
        auc=auc,
        n_selected=8,
        n_positive=10,
        n=50,
        threshold=4.5,
        precision_interval=(0.5291, 0.9776),
        recall_interval=(0.41, 0.93),
        f1_interval=(0.6, 0.95),
        auc_interval=(0.7912, 0.9934),
        few_pairs=True,
        cross_validated=cross_validated,
    )


def page(**fields: object) -> str:
    data = ReportData(title="Report", created=datetime.now(UTC), recipe_name="demo", **fields)
    return render_report(data)


def test_report_shows_all_scorers_with_intervals_and_marks_the_cross_validated() -> None:
    html = page(
        selection_quality=[row("weakest_link", 0.9632)],
        selection_scorers=[
            row("weakest_link", 0.9632),
            row("calibrated", 0.91, cross_validated=True),
        ],
    )
    assert "All scorers" in html
    assert "0.79–0.99" in html
    assert html.count("cross-validated") == 1
    assert "few pairs: read the intervals" in html
    assert "Harder pairs" not in html
    assert "known preferences" not in html


def test_report_says_that_a_target_is_not_reached_and_that_figures_flatter() -> None:
    nothing = row("combined", 0.9).model_copy(update={"threshold": None, "n_selected": 0})
    html = page(selection_quality=[nothing], selection_scorers=[nothing], selection_notes=["Alas."])
    assert html.count("<td>not reached</td>") == 2
    assert '<p class="caution">Alas.</p>' in html


def test_report_shows_harder_pairs_and_preferences_beside_the_longer_output() -> None:
    common = {"interval": (0.5, 0.6), "n_shorter": 30, "n_ties": 2, "n": 200}
    html = page(
        selection_quality=[row("weakest_link", 0.96)],
        selection_hard=[row("weakest_link", 0.7777)],
        preference_agreement=[
            PreferenceAgreementRow(
                rater="m0",
                scorer="weakest_link",
                agreement=0.5512,
                agreement_when_shorter=0.4,
                **common,
            ),
            PreferenceAgreementRow(
                rater="",
                scorer="longer output wins",
                agreement=0.87,
                agreement_when_shorter=0.0,
                **common,
            ),
        ],
    )
    assert "Harder pairs" in html
    assert "0.78" in html
    assert "longer output wins" in html
    assert "0.40 of 30" in html


def test_report_shows_how_iterations_went_and_where_they_ended() -> None:
    first = IterationRow(
        iteration=1, rater="m0", rated=64, kept=20, precision=0.75, precision_low=0.5
    )
    second = IterationRow(
        iteration=2,
        rater="m1",
        rated=64,
        kept=21,
        jaccard=0.8632,
        gained=3,
        lost=2,
        note="stopped at iteration 2",
    )
    sets = [CuratedSet(name="curated_set_1", threshold=4.0, rows=20)]
    assert "Jaccard" not in page(curated_sets=sets, iterations=[first])
    html = page(curated_sets=sets, iterations=[first, second])
    for text in ("Jaccard", "0.86", "21 of 64", "stopped at iteration 2", "0.75"):
        assert text in html
