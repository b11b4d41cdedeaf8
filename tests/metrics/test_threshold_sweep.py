"""fitlib.metrics.threshold_sweep: the sweep agrees with the metrics of predictions made at each threshold."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fitlib.metrics.bias_metrics import METRICS
from fitlib.metrics.counts import cells_of, count
from fitlib.metrics.threshold_sweep import GRID, threshold_cells, threshold_rows
from fitlib.statistics import risk
from fitlib.tables.individuals import thresholds
from tests.support.person_data import persons_of, plan_of, predictions, simulated

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize("target", [0, 1])
def test_every_threshold_gives_the_metrics_of_its_own_predictions(target: int) -> None:
    p = simulated(0)
    table = thresholds(persons_of(A=p), plan_of(("A",), favourable=target))
    assert table["threshold"].tolist() == list(GRID) and table["target"].eq(target).all()
    score = p.score if target else 1 - p.score
    for _, row in table.iterrows():
        chosen = np.where(score >= row["threshold"], target, 1 - target)
        cells = cells_of(count(replace(p, prediction=chosen), "sex"))
        for name in ("DP", "EOFP", "EOTP"):
            values = METRICS[name](cells)[:, target]
            expected = (values.mean(), values.std(ddof=1), values.min(), values.max())
            assert row[[name, f"{name}_sd", f"{name}_min", f"{name}_max"]].tolist() == pytest.approx(expected)
        assert row["accuracy"] == pytest.approx((chosen == p.ground_truth).mean())
        below, defined = risk.below_four_fifths(cells.selected[:, :, target], cells.size[0, :, target])
        assert row["n_ratio"] == defined.sum()
        if defined.any():
            assert row["below_four_fifths"] == pytest.approx(below[defined].mean())
            ratio = risk.impact_ratio(cells.selected[:, :, target], cells.size[0, :, target])
            assert row["ratio"] == pytest.approx(np.nanmean(ratio))


def test_a_score_equal_to_the_threshold_selects() -> None:
    cells = threshold_cells(
        np.array([[0.5, 0.49, 0.05, 0.95]]), np.array([1, 1, 0, 0], bool), np.array([0, 1, 0, 1]), 2
    )
    at = GRID.index(0.5)
    assert cells.selected[0, :, at].tolist() == [1, 1] and cells.tp[0, :, at].tolist() == [1, 0]
    assert cells.selected[0, :, 0].tolist() == [2, 2] and cells.selected[0, :, -1].tolist() == [0, 1]


def test_scores_of_both_classes_say_the_same_as_one_number() -> None:
    p = simulated(1)
    exact = np.round(p.score * 64) / 64  # 1 - score is exact
    both = (exact, np.stack([1 - exact, exact], axis=-1))
    one, two = (pd.DataFrame(threshold_rows(replace(p, score=score), "sex")) for score in both)
    pd.testing.assert_frame_equal(one, two, check_exact=True)


def test_nothing_is_swept_without_scores_of_two_classes() -> None:
    assert threshold_rows(simulated(0, scores=False), "sex") == []
    three = predictions(np.arange(12).reshape(2, 6) % 3, np.arange(6) % 3, score=np.full((2, 6, 3), 1 / 3))
    labels = predictions(np.zeros((2, 4, 2), int), np.zeros((4, 2), int), score=np.zeros((2, 4, 2)))
    assert threshold_rows(three, "sex") == threshold_rows(labels, "sex") == []
    assert thresholds(persons_of(A=three), plan_of(("A",))).empty and thresholds(None, plan_of()).empty


def test_scores_that_are_no_probabilities_are_told() -> None:
    table = thresholds(persons_of(A=replace(simulated(0), score=simulated(0).score * 3)), plan_of(("A",)))
    assert table["note"].tolist() == ["not estimable: scores outside 0 to 1"] and table["threshold"].isna().all()


def test_one_run_and_nobody_selected_have_a_defined_answer() -> None:
    p = simulated(0, runs=1)
    table = thresholds(persons_of(A=replace(p, score=p.score / 4)), plan_of(("A",)))
    last = table.iloc[-1]
    assert np.isnan(last["DP_sd"]) and last["DP"] == 0 and last["n_ratio"] == 0 and np.isnan(last["below_four_fifths"])
    assert "impact ratio undefined" in last["note"]
    same = replace(simulated(0), score=np.repeat(p.score, 8, axis=0))
    assert thresholds(persons_of(A=same), plan_of(("A",)))["DP_sd"].eq(0).all()
