"""Figures of the spread: what is drawn is what was computed, and what n, epochs and test set do is told in words."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from scipy import stats

from fitlib.report.figures import epochs as epochs_figures
from fitlib.report.figures import lines, spread_by_runs, style, testset
from fitlib.tables.epochs import epochs_table

NAMES = ["gray", "$x$"]
PLAN = {
    "techniques": [{"technique": "S-Base", "training": "baseline"}],
    "arms": [{"arm": "ulp", "role": "main", "seed": 0}],
    "classes": ["zero", "one"],
}


def words(figure: Figure) -> str:
    return " | ".join(text.get_text() for text in figure.findobj(mpl.text.Text))


def metrics(runs: int = 8, techniques: int = 2) -> pd.DataFrame:
    values = np.random.default_rng(3).random((techniques, runs))
    rows = [
        {
            "technique": f"T{t}",
            "arm": "ulp",
            "metric": "DI",
            "target": None,
            "group": None,
            "run": r,
            "value": values[t, r],
        }
        for t in range(techniques)
        for r in range(runs)
    ]
    return pd.DataFrame(rows)


def history(trainings: int = 1, runs: int = 4, epochs: int = 5) -> pd.DataFrame:
    index = pd.MultiIndex.from_product(
        [[f"training-{i}" for i in range(trainings)], range(runs), range(epochs), range(2)],
        names=["training", "run", "epoch", "group"],
    )
    rows = index.to_frame(index=False).assign(arm="ulp", seed=0, n=50, train_loss=1.0)
    return rows.assign(test_accuracy=np.random.default_rng(4).random(len(rows)))


def components(rows: int = 3) -> pd.DataFrame:
    known = {"arm": "ulp", "attribute": "protected", "metric": "DP", "target": 1, "n": 8}
    sizes = {"sd_between_runs": 0.05, "sd_run": 0.04, "sd_test_set": 0.02, "sd_interaction": 0.0, "floor_sd": 0.01}
    return pd.DataFrame([{"technique": f"T{i}", **known, **sizes} for i in range(rows)])


# Number of runs


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(-10, 10), min_size=2, max_size=7))
def test_expected_maxdiff_is_the_mean_over_all_choices_of_runs(values: list[float]) -> None:
    for k in range(2, len(values) + 1):
        brute = np.mean([max(chosen) - min(chosen) for chosen in combinations(values, k)])
        assert spread_by_runs.expected_maxdiff(np.array(values), k) == pytest.approx(brute, abs=1e-9)


def test_maxdiff_grows_and_the_interval_narrows_with_the_number_of_runs() -> None:
    table = spread_by_runs.against_runs(metrics(), "DI")
    for _, rows in table.groupby("technique"):
        assert rows["maxdiff"].is_monotonic_increasing and rows["width"].is_monotonic_decreasing
    values = 100 * metrics().query("technique == 'T0'")["value"]
    low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
    last = table[(table["technique"] == "T0") & (table["n"] == 8)].iloc[0]
    assert last["width"] == pytest.approx(high - low) and last["maxdiff"] == pytest.approx(np.ptp(values))


def test_one_run_has_no_curve_and_says_so() -> None:
    table = spread_by_runs.against_runs(metrics(runs=1), "DI")
    assert table.empty and "no technique has two runs" in spread_by_runs.alt_by_runs(table, "DI")


def test_constant_values_have_no_curve() -> None:
    rows = metrics()
    rows.loc[rows["technique"] == "T0", "value"] = 0.1
    assert set(spread_by_runs.against_runs(rows, "DI")["technique"]) == {"T1"}


@pytest.mark.parametrize("techniques", (1, 2, 27))
def test_every_technique_is_in_the_key_or_in_the_range(techniques: int) -> None:
    table = spread_by_runs.against_runs(metrics(techniques=techniques), "DI")
    figure = spread_by_runs.by_runs_figure(table)
    messages = figure.legends[0].get_texts()
    assert len(messages) == (techniques if techniques <= lines.MOST_LINES else 2)
    assert techniques < 27 or "27 rows, smallest to largest" in words(figure)


# Epochs


def test_a_line_for_every_run_and_group_and_a_thick_one_for_their_mean() -> None:
    rows = history()
    ax = epochs_figures.training_curves(rows, ("training-0", "ulp"), NAMES)
    thick = [line for line in ax.lines if line.get_linewidth() > 1]
    assert len(ax.lines) == 2 * (4 + 1) and len(thick) == 2
    assert len({line.get_linestyle() for line in thick}) == 2  # told apart without colour
    mean = 100 * rows[rows["group"] == 1].groupby("epoch")["test_accuracy"].mean()
    assert np.allclose(thick[1].get_ydata(), mean) and list(thick[1].get_xdata()) == [1, 2, 3, 4, 5]


def test_27_trainings_fit_pages_and_each_is_named() -> None:
    figures = epochs_figures.training_curves_figures(history(27, runs=2, epochs=2), NAMES)
    messages = " | ".join(map(words, figures)) + " |"
    assert all(f"training-{i} |" in messages for i in range(27))
    assert all(figure.get_figheight() <= style.TALLEST for figure in figures)


def test_divergence_draws_the_spread_of_the_table() -> None:
    table = epochs_table(history(), {**PLAN, "techniques": [{"technique": "T", "training": "training-0"}]})
    ax = epochs_figures.divergence(table, "gap")
    assert np.allclose(ax.lines[0].get_ydata(), 100 * table["gap_sd"])
    assert f"gap between groups {100 * table['gap_sd'].iloc[-1]:.2f}." in epochs_figures.alt_divergence(table)


# Components


def test_components_stand_side_by_side_with_signs_of_their_own() -> None:
    ax = testset.components(components(), PLAN)
    signs = [line.get_marker() for line in ax.lines if line.get_marker() != "None"]
    assert len(signs) == 15 and len(set(signs)) == 5
    assert "T1: DP, one" in words(ax.figure)


def test_widest_takes_one_row_of_each_technique() -> None:
    rows = pd.concat([components(), components().assign(sd_between_runs=0.5, target=0)], ignore_index=True)
    assert testset.widest(rows)["target"].tolist() == [0, 0, 0]


def test_the_same_tables_give_the_same_bytes(tmp_path: Path) -> None:
    table = epochs_table(history(), {**PLAN, "techniques": [{"technique": "T", "training": "training-0"}]})
    for attempt in ("first", "second"):
        figures = [spread_by_runs.by_runs_figure(spread_by_runs.against_runs(metrics(), "DI"))]
        figures += [epochs_figures.divergence_figure(table), testset.components_figure(components(), PLAN)]
        figures += epochs_figures.training_curves_figures(history(), NAMES)
        for number, figure in enumerate(figures):
            style.save(figure, tmp_path / attempt, str(number))
    files = sorted((tmp_path / "first").iterdir())
    assert len(files) == 8 and all(f.read_bytes() == (tmp_path / "second" / f.name).read_bytes() for f in files)
