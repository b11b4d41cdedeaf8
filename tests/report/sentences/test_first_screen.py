"""The first screen: what lower bias cost, the weightiest warning, and the matrix of verdicts."""

from __future__ import annotations

import pandas as pd

from fitlib.report.notebook_display import collect_outputs
from fitlib.report.sections import verdict_matrix
from fitlib.report.sentences import first_screen
from fitlib.report.vocabulary import distinct
from fitlib.statistics.verdict_names import VERDICTS
from tests.support.report_examples import Experiment, experiment, with_parts

NONE = pd.DataFrame()


def warning(found: Experiment, **changed: pd.DataFrame) -> str:
    frames = {"comparisons": found.comparisons, "over_seeds": NONE, "summary": found.summary, "risk": found.risk}
    return first_screen.weightiest_warning(frames | changed, found.plan, found.evidence)


def test_the_cost_names_each_change_of_accuracy_and_of_many_their_range() -> None:
    few, many = experiment(techniques=3), experiment(techniques=6)
    text = first_screen.cost(few.comparisons, NONE, few.plan)
    assert text.startswith("Accuracy changed by ") and "(S-T1)" in text and "(S-T2)" in text
    assert "S-T" not in first_screen.cost(many.comparisons, NONE, many.plan)
    assert first_screen.cost(few.comparisons.iloc[:0], NONE, few.plan) == ""


def test_four_fifths_outweighs_identity_and_identity_whatever_stands_beside_a_verdict() -> None:
    found = with_parts(experiment(favourable=1), "S-T1", 2, training_data="other")
    comparisons = found.comparisons.assign(warnings="technique control arm failed (final weights)")
    violated = found.risk.assign(violated=2)
    clean = found.risk.assign(violated=0)
    assert warning(found, comparisons=comparisons, risk=violated).startswith("Four fifths is violated in 2 of 6 runs")
    assert "S-T1 were not the same training" in warning(found, comparisons=comparisons, risk=clean)
    fine = experiment(favourable=1)
    assert "control arm failed" in warning(fine, comparisons=comparisons, risk=clean)


def test_values_within_chance_are_a_warning_where_no_other_applies() -> None:
    found = experiment()
    comparisons = found.comparisons.assign(warnings="")
    far, near = (found.summary.assign(chance_95=value) for value in (-1.0, 1.0))
    assert warning(found, comparisons=comparisons, summary=near).startswith("All values of ")
    assert "chance" not in warning(found, comparisons=comparisons, summary=far)


def test_the_matrix_has_every_distinct_verdict_as_text() -> None:
    found = experiment()
    rows = verdict_matrix.matrix_rows(found.comparisons)
    assert rows.size == len(distinct(found.comparisons))
    with collect_outputs() as outputs:
        verdict_matrix.show_matrix(rows)
    page = outputs[0]["data"]["text/html"]
    for verdict in rows.to_numpy().ravel():
        assert f'<span class="spoken">{verdict}</span>' in page
    assert set(verdict_matrix.GLYPHS) == set(VERDICTS) and len(set(verdict_matrix.GLYPHS.values())) == len(VERDICTS)
