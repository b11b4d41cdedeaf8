"""The accuracy-fairness plane: regions of means that cover, labels that do not overlap, words from the data."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Annotation

from fitlib.formatting import points
from fitlib.report.figures import accuracy_bias_plane, style
from fitlib.tables.pareto import pareto, plane_runs
from tests.support.cost_examples import with_accuracy
from tests.support.table_examples import drawn, fits, metrics_of, plan, technique


def example(techniques: int, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows and runs of one metric, with churn."""
    rng = np.random.default_rng(seed)
    names = ["Base", *(f"T{i:02d}" for i in range(1, techniques))]
    values = {name: drawn(i, 0.1 + 0.3 * rng.random(), 0.02) for i, name in enumerate(names)}
    accuracies = {name: 0.7 + 0.2 * rng.random() + 0.005 * rng.standard_normal(8) for name in names}
    metrics = with_accuracy(metrics_of(**values), **accuracies)
    plan_ = plan(technique("Base", None), *map(technique, names[1:]))
    rows = pareto(metrics, {}, plan_, check_fit=fits(True), resamples=10)
    runs = plane_runs(metrics, plan_, check_fit=fits(True))
    rows = rows.assign(churn_mean=np.round(0.1 * rng.random(len(rows)), 4))
    return tuple(frame[frame["metric"] == "DI"] for frame in (rows, runs))


def labels(figure: object) -> list[Annotation]:
    return [text for text in figure.findobj(Annotation) if text.get_text()]


def inside(outline: np.ndarray, point: np.ndarray) -> bool:
    from matplotlib.path import Path as Outline

    return Outline(outline).contains_point(point)


def test_region_of_the_means_covers_as_often_as_it_says() -> None:
    rng, hits = np.random.default_rng(0), 0
    mix = np.array([[1.0, 0.0], [0.8, 0.6]])
    for _ in range(500):
        x, y = mix @ rng.standard_normal((2, 8))
        hits += inside(accuracy_bias_plane.mean_region(x, y), np.zeros(2))
    assert 0.92 < hits / 500 < 0.975


def test_region_is_hotelling_s() -> None:
    from scipy import stats

    x, y = np.random.default_rng(1).standard_normal((2, 12))
    outline = accuracy_bias_plane.mean_region(x, y)
    away, inverse = outline - [x.mean(), y.mean()], np.linalg.inv(np.cov(x, y))
    t2 = 12 * np.einsum("ij,jk,ik->i", away, inverse, away)
    assert np.allclose(t2, 2 * 11 / 10 * stats.f.ppf(0.95, 2, 10))


@pytest.mark.filterwarnings("error")
def test_region_of_constants_is_a_line_or_nothing() -> None:
    x = np.arange(5.0)
    line = accuracy_bias_plane.mean_region(x, np.ones(5))
    assert np.allclose(line[:, 1], 1) and np.ptp(line[:, 0]) > 0
    assert accuracy_bias_plane.mean_region(np.ones(5), np.ones(5)) is None
    assert accuracy_bias_plane.mean_region(x[:2], x[:2]) is None
    assert accuracy_bias_plane.mean_region(x, np.where(x > 3, np.nan, x)) is None


@pytest.mark.parametrize("techniques", [2, 7, 27])
def test_labels_overlap_neither_each_other_nor_the_frame(techniques: int) -> None:
    figure = accuracy_bias_plane.plane_figure(*example(techniques))
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in labels(figure)]
    assert len(boxes) == techniques
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    frame = figure.axes[0].get_window_extent()
    assert all(frame.x0 <= b.x0 and b.x1 <= frame.x1 and frame.y0 <= b.y0 and b.y1 <= frame.y1 for b in boxes)


def test_few_techniques_are_named_with_their_churn_and_many_numbered_with_a_key() -> None:
    rows, runs = example(3)
    messages = [label.get_text() for label in labels(accuracy_bias_plane.plane_figure(rows, runs))]
    assert messages == [f"{r.technique}\nchurn {points(r.churn_mean)} %" for r in rows.itertuples()]
    many = accuracy_bias_plane.plane_figure(*example(12))
    assert [label.get_text() for label in labels(many)] == [str(i) for i in range(1, 13)]
    key = [text.get_text() for text in many.axes[1].texts]
    assert {"1", "Base", "12", "T11", "churn"} <= set(key) and sum(text.endswith(" %") for text in key) == 12


def test_marks_say_baseline_front_and_dominated_and_colours_the_technique() -> None:
    rows, runs = example(6)
    palette = style.palette_of(rows["technique"][1:])
    ax = accuracy_bias_plane.plane(rows, runs, palette=palette)
    means = [line for line in ax.lines if line.get_markersize() == 6.5]
    shapes = {"yes": "D", "no": "o"}
    assert [line.get_marker() for line in means] == [shapes[answer] for answer in rows["on_front"]]
    hollow = [line.get_markerfacecolor() == "white" for line in means]
    assert hollow == (rows["technique"] == "Base").tolist()
    dots = [line for line in ax.lines if line.get_markersize() == 3]
    assert sum(len(line.get_xdata()) for line in dots) == len(runs)
    colours = [palette.get(name, style.GREY) for name in rows["technique"]]
    assert [line.get_color() for line in dots] == [line.get_color() for line in means] == colours


def test_the_alternative_text_names_the_front() -> None:
    rows, _ = example(4)
    text = accuracy_bias_plane.alt_plane(rows)
    assert all((row.technique in text) == (row.on_front == "yes") for row in rows.itertuples())
    assert accuracy_bias_plane.alt_plane(rows.iloc[:0]) == "Plane of accuracy and bias: nothing to show."
    assert accuracy_bias_plane.alt_plane(rows.assign(on_front="")).endswith("None is ranked.")


def test_the_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        style.save(accuracy_bias_plane.plane_figure(*example(4)), tmp_path, name)
    assert (tmp_path / "first.svg").read_bytes() == (tmp_path / "second.svg").read_bytes()


@pytest.mark.filterwarnings("error")
def test_names_are_text_and_missing_values_are_no_error(tmp_path: Path) -> None:
    rows, runs = example(3)
    odd = rows.assign(technique=["$x^2$", "<b>", "T02"], baseline="$x^2$", churn_mean=np.nan, on_front="")
    figure = accuracy_bias_plane.plane_figure(odd, runs.assign(technique="nobody"))
    style.save(figure, tmp_path, "odd")
    assert any("churn not known" in label.get_text() for label in labels(figure))
    style.save(accuracy_bias_plane.plane_figure(rows.iloc[:0], runs.iloc[:0]), tmp_path, "empty")
    assert (tmp_path / "empty.svg").is_file()
