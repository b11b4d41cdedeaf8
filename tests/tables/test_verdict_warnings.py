"""fitlib.tables.verdict_warnings: what stands beside a verdict, and when it does not."""

import numpy as np
import pandas as pd
import pytest

from fitlib.metrics.counts import confusion, label_counts
from fitlib.metrics.long_tables import counts_table
from fitlib.tables import verdict_warnings
from tests.support.table_examples import compare, drawn, evidence_of, metrics_of, plan, record, technique

PAIR = plan(technique("Base", None), technique("Fair"))


def counts_of(**predicted: np.ndarray) -> pd.DataFrame:
    """Count predictions (runs, rows) of classes 0 to 2 by technique; truth: half of the rows 0, a quarter 1, one 2."""
    truth, group = np.repeat([0, 0, 1, 2], 100), np.tile([0, 1], 200)
    parts = [
        counts_table(name, "ulp", 0, range(len(rows)), confusion(truth, rows, group, 3, 2), False, "protected")
        for name, rows in predicted.items()
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize(("others", "constant"), [(0, True), (39, True), (40, False), (200, False)])
def test_one_class_for_nearly_everybody(others: int, constant: bool) -> None:
    """200 of 400 rows are truly of other classes: fewer than 40 predictions of them are hardly any."""
    rows = np.zeros((2, 400), dtype=int)
    rows[:, 400 - others :] = 2
    found = verdict_warnings.constant_predictors(counts_of(Fair=rows), PAIR | {"classes": ["no", "maybe", "yes"]})
    assert (("Fair", "ulp") in found) is constant
    if constant:
        share = 100 * (400 - others) / 400
        assert found["Fair", "ulp"] == f"predicts class no for {share:.1f} % of the rows (truly 50.0 %)"


def test_hardly_any_label() -> None:
    truth = np.zeros((100, 2), dtype=int)
    truth[:50] = 1
    for predicted, constant in ((19, True), (20, False)):
        run = np.zeros((1, 100, 2), dtype=int)
        run[0, :predicted, 0] = 1
        counts = label_counts(truth, run, np.tile([0, 1], 50), 2)
        table = counts_table("Fair", "ulp", 0, [0], counts, True, "protected")
        assert bool(verdict_warnings.constant_predictors(table, PAIR | {"classes": ["a", "b"]})) is constant


@pytest.mark.parametrize(
    ("loss", "effect", "warned"),
    [(0.05, 0.01, True), (0.005, 0.01, False), (0.05, "10 %", True), (0.005, {"DP": 0.001}, False)],
)
def test_a_loss_of_accuracy_beyond_the_smallest_effect(loss: float, effect: object, warned: bool) -> None:
    rng = np.random.default_rng(0)
    metrics = metrics_of(Base=drawn(0), Fair=drawn(1, 0.2))
    accuracy = metrics["metric"] == "accuracy"
    shift = np.where(metrics["technique"] == "Fair", -loss, 0.0)
    metrics.loc[accuracy, "value"] = (0.9 + shift + rng.normal(0, 1e-4, len(metrics)))[accuracy]
    analysis = PAIR | {"analysis": PAIR["analysis"] | {"smallest_effect": effect}}
    table = compare(metrics, analysis)
    verdict_warnings.add_warnings(table, None, analysis, ())
    found = set(table.loc[table["metric"] != "accuracy", "warnings"])
    assert found == {"accuracy fell by 5.0 points [5.0, 5.0]"} if warned else found == {""}
    assert set(table.loc[table["metric"] == "accuracy", "warnings"]) == {""}


def test_a_failed_control_arm_of_the_baseline_touches_every_comparison_with_it() -> None:
    failed = [record("Base", run, arm="none", role="control", final_weights=str(run) * 64) for run in range(2)]
    evidence = [*evidence_of("Base", "Fair"), *failed]
    table = compare(metrics_of(Base=drawn(0), Fair=drawn(1, 0.2)), PAIR)
    verdict_warnings.add_warnings(table, None, PAIR, evidence)
    bias = table.loc[table["metric"] != "accuracy", "warnings"]
    assert set(bias) == {"baseline has a failed control arm: its runs differ where nothing should"}
    verdict_warnings.add_warnings(table, None, PAIR, evidence_of("Base", "Fair"))
    assert set(table["warnings"]) == {""}
