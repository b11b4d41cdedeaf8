"""Figures class by class: every technique and run is there, of 2 classes or 211, and names are as they are."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from fitlib.report.figures import classes as classes_figures
from fitlib.report.figures import impact_ratio, style
from tests.support.report_examples import SCRIPT, Experiment, constant, experiment

KEY = ("S-Base", "ulp")


@pytest.fixture(scope="module")
def usual() -> Experiment:
    return experiment(techniques=3, runs=6, classes=[SCRIPT, "$b$", "c"])


def strict(found: Experiment) -> pd.DataFrame:
    return style.select(found.metrics, found.plan, "protected")


def words(figure: Figure) -> str:
    return " | ".join(text.get_text() for text in figure.findobj(mpl.text.Text))


def many(techniques: int, classes: int, runs: int = 4) -> tuple[pd.DataFrame, dict]:
    """Metric table of any size, as `fitlib.report.figures.style.select` gives it, and its plan."""
    names = [f"T{i:02d}" for i in range(techniques)]
    index = pd.MultiIndex.from_product([names, range(runs), range(classes)], names=["technique", "run", "target"])
    rows = index.to_frame(index=False).assign(arm="ulp", metric="DI", group=None)
    rows["value"] = np.random.default_rng(1).random(len(rows))
    plan = {"techniques": [{"technique": n, "baseline": None if n == "T00" else "T00"} for n in names]}
    return rows, plan | {"classes": [f"class {i}" for i in range(classes)]}


def test_strip_shows_every_run_of_every_class(usual: Experiment) -> None:
    values = classes_figures.class_values(strict(usual), "DI")
    ax = classes_figures.strip(values, KEY, usual.plan, classes_figures.class_order(values))
    drawn = sorted(x for line in ax.lines if line.get_marker() == "o" for x in line.get_xdata())
    expected = sorted(values.loc[values["technique"] == "S-Base", "value"])
    assert len(drawn) == 18 and np.allclose(drawn, expected)
    assert SCRIPT[:20] in words(ax.figure) and r"\$b\$" in words(ax.figure)


def test_classes_keep_one_order_from_the_largest_mean(usual: Experiment) -> None:
    values = classes_figures.class_values(strict(usual), "DI")
    means = values.groupby("target")["value"].mean()
    assert list(means.loc[classes_figures.class_order(values)]) == sorted(means, reverse=True)


@pytest.mark.parametrize(("techniques", "classes"), [(2, 2), (27, 2), (2, 211), (27, 10), (27, 211)])
def test_every_technique_stands_in_a_figure_that_fits_a_page(techniques: int, classes: int) -> None:
    metrics, plan = many(techniques, classes)
    figures = classes_figures.per_class_figures(metrics, "DI", plan)
    messages = " ".join(words(figure) for figure in figures)
    assert all(messages.count(t["technique"]) == 1 for t in plan["techniques"])
    assert all(figure.get_figheight() <= style.TALLEST for figure in figures)
    assert f"all {classes} classes" in messages or all(name in messages for name in plan["classes"])


def test_ridge_reaches_from_the_smallest_run_to_the_largest() -> None:
    metrics, _ = many(1, 40)
    values = classes_figures.class_values(metrics, "DI")
    order = classes_figures.class_order(values)
    ax = classes_figures.ridge(values, ("T00", "ulp"), order, 100)
    band, _ = ax.patches
    by_class = values.groupby("target")["value"]
    assert np.allclose(band.get_data().values, by_class.max().loc[order])
    assert np.allclose(band.get_data().baseline, by_class.min().loc[order])


def test_sides_name_the_runs_on_each_and_show_the_interval(usual: Experiment) -> None:
    rows = impact_ratio.split_rows(usual.risk)
    text = words(impact_ratio.sides(usual.risk, usual.plan).figure)
    assert len(rows) == 3
    for row in rows.to_dict("records"):
        assert f"{row['violated']} below, {row['n'] - row['violated']} not" in text
    assert "Impact ratio below 0.8" in text and "four fifths" not in text


def test_four_fifths_is_said_of_the_favourable_class_only() -> None:
    found = experiment(favourable=1)
    rows = impact_ratio.split_rows(found.risk)
    assert set(rows["target"]) == {1} and "four fifths" in words(impact_ratio.sides(found.risk, found.plan).figure)


def test_the_class_drawn_is_the_one_on_which_runs_disagree_most(usual: Experiment) -> None:
    rows = impact_ratio.split_rows(usual.risk)
    most = usual.risk.groupby("technique")["p_disagree"].max()
    assert (rows.set_index("technique")["p_disagree"] == most).all()


def test_runs_beyond_the_landmark_of_di_are_triangles(usual: Experiment) -> None:
    values = classes_figures.class_values(strict(usual), "DI")
    order = classes_figures.class_order(values)
    ax = classes_figures.strip(values, ("S-Base", "ulp"), usual.plan, order, landmark=20)
    triangles = np.concatenate([line.get_xdata() for line in ax.lines if line.get_marker() == "^"])
    below = usual.risk.query("technique == 'S-Base'")["violated"].sum()
    assert len(triangles) == below > 0 and triangles.min() > 20


def test_alternatives_name_extremes_and_no_missing_value(usual: Experiment) -> None:
    values = classes_figures.class_values(strict(usual), "DI")
    means = values.groupby(["technique", "target"])["value"].mean()
    text = classes_figures.alt_per_class(strict(usual), "DI", usual.plan)
    assert f"Largest mean: {means.max():.2f} ({means.idxmax()[0]}" in text
    undefined = strict(usual).assign(value=np.nan)
    assert classes_figures.alt_per_class(undefined, "DI", usual.plan) == "DI by class: undefined in every run."
    assert classes_figures.per_class_figures(undefined, "DI", usual.plan) == []
    assert "nan" not in impact_ratio.alt_sides(experiment(alter=constant("S-T1")).risk, usual.plan)


def test_the_same_table_gives_the_same_bytes(usual: Experiment, tmp_path: Path) -> None:
    wide, plan = many(3, 40)
    for attempt in ("first", "second"):
        figures = [*classes_figures.per_class_figures(strict(usual), "DI", usual.plan)]
        figures += [
            *classes_figures.per_class_figures(wide, "DI", plan),
            impact_ratio.sides(usual.risk, usual.plan).figure,
        ]
        for number, figure in enumerate(figures):
            style.save(figure, tmp_path / attempt, str(number))
    files = sorted((tmp_path / "first").iterdir())
    assert len(files) == 6 and all(f.read_bytes() == (tmp_path / "second" / f.name).read_bytes() for f in files)
