"""Sentences and table of the section "Class by class", on ties, single runs, constant and undefined values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fitlib.report.sections import classes as section
from fitlib.report.sections import variation
from fitlib.tables import runs_and_summary
from tests.support.table_examples import metrics_of, plan, technique

pytestmark = pytest.mark.filterwarnings("error")

PLAN = plan(technique("Base", None))


def rows_of(by_class: list[list[float]], metric: str = "DP") -> pd.DataFrame:
    """Rows of the summary, classes by runs, of one metric that has these values."""
    values = np.broadcast_to(np.array(by_class, dtype=float).T, (7, len(by_class[0]), 3)).copy()
    return section.class_rows(runs_and_summary.summary(metrics_of(Base=values), PLAN), metric, PLAN)


def sentence(*by_class: list[float]) -> str:
    (text,) = section.sentences(rows_of(list(by_class)), "DP", PLAN)
    return text


def test_largest_and_widest_class_are_named_with_the_metric():
    assert sentence([0.1, 0.4], [0.5, 0.6], [0.2, 0.3]) == (
        "Base: DP is largest in class dog, 55.00 points on average; widest over runs in class cat, 10.00 to 40.00 "
        "points."
    )


def test_equal_classes_are_not_ranked():
    """Of two classes DP is the same in both."""
    both = sentence([0.2, 0.3], [0.2, 0.3], [0.1, 0.1])
    assert both == (
        "Base: DP is largest in classes cat and dog, 25.00 points on average; widest over runs in classes cat and dog, "
        "20.00 to 30.00 points."
    )
    assert sentence([0.2, 0.3], [0.2, 0.3], [0.2, 0.3]).startswith("Base: DP is equally large in all 3 classes, 25.00")


def test_equally_wide_classes_with_other_ends_get_no_ends_of_one():
    text = sentence([0.125, 0.25], [0.5, 0.625], [0.0, 0.0])
    assert text.endswith("in classes cat and dog, 12.50 points from the smallest to the largest run.")


def test_one_run_has_no_average_and_no_range():
    assert sentence([0.1], [0.5], [0.2]) == "Base: DP is largest in class dog, 50.00 points in 1 run."


def test_constant_classes_have_no_range():
    assert sentence([0.1, 0.1], [0.5, 0.5], [0.2, 0.2]).endswith("; constant in all 2 runs in every class.")


def test_ranges_of_unequal_numbers_of_runs_are_not_compared():
    text = sentence([0.1, 0.9, np.nan], [0.5, 0.6, 0.7], [0.2, 0.2, 0.3])
    assert text.endswith("widest over runs in class dog (of the 2 classes defined in 3 runs), 50.00 to 70.00 points.")


def test_no_value_at_all_gets_no_sentence():
    assert section.sentences(rows_of([[np.nan], [np.nan], [np.nan]]), "DP", PLAN) == []


def test_the_table_names_constant_values_and_not_single_ones():
    view = section.classes_view(rows_of([[0.1, 0.1], [0.5, 0.6], [0.2, 0.3]]), PLAN)
    assert view["95 % interval"].str.contains("constant in all 2 runs").tolist() == [True, False, False]
    one = section.classes_view(rows_of([[0.1], [0.5], [0.2]]), PLAN)
    assert one["95 % interval"].unique().tolist() == ["not estimable"] and one["MaxDiff"].unique().tolist() == ["–"]


# The overall values beside them


def summary_of(by_class: list[list[float]]) -> pd.DataFrame:
    values = np.broadcast_to(np.array(by_class, dtype=float).T, (7, len(by_class[0]), 3)).copy()
    return variation.summary_view(runs_and_summary.summary(metrics_of(Base=values), PLAN), PLAN)


def test_classes_may_vary_where_their_mean_does_not():
    row = summary_of([[0.125, 0.375], [0.25, 0.25], [0.375, 0.125]]).iloc[0]
    assert row["95 % interval of the mean"] == "constant in all 2 runs"
    assert row["Class with the largest MaxDiff"] == "cat: 25.00"


def test_the_class_with_the_largest_maxdiff_has_as_many_runs_as_any():
    row = summary_of([[0.1, 0.9, np.nan], [0.5, 0.6, 0.7], [0.2, 0.2, 0.3]]).iloc[0]
    assert row["Class with the largest MaxDiff"] == "dog: 20.00"
    assert summary_of([[0.1], [0.5], [0.2]]).iloc[0]["Class with the largest MaxDiff"] == "–"
    assert summary_of([[0.1] * 2] * 3).iloc[0]["Class with the largest MaxDiff"] == "–"
