"""Figures: the same bytes twice, words beside colour, names as they are, and no value where none is known."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import nbclient
import nbformat
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fitlib import formatting as fmt
from fitlib.metrics.bias_metrics import BIAS_METRICS
from fitlib.report import vocabulary
from fitlib.report.figures import differences, distributions, impact_ratio, style
from fitlib.report.sentences import impact as impact_sentences
from tests.support.report_examples import SCRIPT, Experiment, constant, experiment, with_parts


@pytest.fixture(scope="module")
def usual() -> Experiment:
    return experiment()


def figures(found: Experiment) -> dict[str, Figure]:
    """All figures of an experiment with one protected attribute."""
    drawn = {
        "distributions": distributions.distributions_figures(
            strict(found), found.summary, style.technique_colours(found.plan)
        )[0],
        "impact-ratio": impact_ratio.impact_ratios_figures(strict(found), found.plan)[0],
    }
    if len(found.comparisons):
        drawn["comparisons"] = differences.heat_map(found.comparisons, found.plan).figure
        drawn["effects"] = differences.effects_figures(found.comparisons, found.plan)[0]
    return drawn


def strict(found: Experiment) -> pd.DataFrame:
    return style.select(found.metrics, found.plan, "protected")


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(mpl.text.Text) if text.get_text()]


def test_the_same_table_gives_the_same_bytes(usual: Experiment, tmp_path: Path) -> None:
    for attempt in ("first", "second"):
        axes = {
            "distribution": distributions.distribution(
                strict(usual), usual.summary, "DI", style.technique_colours(usual.plan)
            ),
            "impact-ratio": impact_ratio.impact_ratio(strict(usual), "S-T1", usual.plan),
            "comparisons": differences.heat_map(usual.comparisons, usual.plan),
            "effect": differences.effect(usual.comparisons, "DI", usual.plan),
        }
        for name, ax in axes.items():
            style.save(ax.figure, tmp_path / attempt, name)
    files = sorted((tmp_path / "first").iterdir())
    assert len(files) == 8
    for file in files:
        assert file.read_bytes() == (tmp_path / "second" / file.name).read_bytes(), file.name


def test_a_reader_s_own_settings_change_nothing(usual: Experiment, tmp_path: Path) -> None:
    draw = lambda: differences.effect(usual.comparisons, "DP", usual.plan).figure  # noqa: E731
    style.save(draw(), tmp_path, "plain")
    with mpl.rc_context({"font.size": 20, "svg.hashsalt": None, "axes.facecolor": "red"}):
        style.save(draw(), tmp_path, "loud")
    assert (tmp_path / "plain.svg").read_bytes() == (tmp_path / "loud.svg").read_bytes()


def test_files_tell_neither_date_nor_version_nor_load_anything(usual: Experiment, tmp_path: Path) -> None:
    svg, png = style.save(differences.heat_map(usual.comparisons, usual.plan).figure, tmp_path, "x")
    text = svg.read_text(encoding="utf-8")
    assert "<dc:date>" not in text and mpl.__version__ not in text and "<script" not in text
    assert not re.search(r'href="(?!#)', text) and b"Software" not in png.read_bytes()


def test_functions_draw_on_given_axes_and_return_them(usual: Experiment) -> None:
    given = Figure().subplots(1, 4)
    assert distributions.distribution(usual.metrics, usual.summary, "DP", ax=given[0]) is given[0]
    assert impact_ratio.impact_ratio(usual.metrics, "S-T1", usual.plan, ax=given[1]) is given[1]
    assert differences.heat_map(usual.comparisons, usual.plan, ax=given[2]) is given[2]
    assert differences.effect(usual.comparisons, "DP", usual.plan, ax=given[3]) is given[3]
    assert isinstance(distributions.distribution(usual.metrics, usual.summary, "DP"), Axes)


def test_every_run_is_a_point(usual: Experiment) -> None:
    ax = distributions.distribution(strict(usual), usual.summary, "DI", style.technique_colours(usual.plan))
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    rows = usual.metrics.query("metric == 'DI' and target.isna() and reading == 'strict'")
    seen = np.concatenate([line.get_xdata() for line in dots])
    assert np.allclose(np.sort(seen), np.sort(100 * rows["value"].to_numpy(float)))
    assert [line.get_markerfacecolor() for line in dots] == ["none", *style.PALETTE[:2]]


def test_cells_say_in_words_what_colour_repeats(usual: Experiment) -> None:
    messages = [text.replace("\n", " ") for text in words(differences.heat_map(usual.comparisons, usual.plan).figure)]
    rows = vocabulary.bias_rows(usual.comparisons)
    for verdict, n in rows["verdict"].value_counts().items():
        assert messages.count(verdict) == n
    assert sum(text.endswith("*") for text in messages) == (rows["p_mean_holm"] <= 0.05).sum()
    assert {fmt.points(d, signed=True) for d in rows["difference"]} <= set(messages)
    assert "SPSF (repeats DP)" in messages


def test_a_cell_has_the_colour_of_its_own_difference(usual: Experiment) -> None:
    ax = differences.heat_map(usual.comparisons, usual.plan)
    mesh = ax.collections[0]
    rows = vocabulary.bias_rows(usual.comparisons)
    table = 100 * rows.pivot(index="technique", columns="metric", values="difference")[list(BIAS_METRICS)]
    assert np.allclose(mesh.get_array(), table.loc[list(dict.fromkeys(rows["technique"]))])
    assert mesh.norm.vmax == -mesh.norm.vmin == np.abs(mesh.get_array()).max(), "white is no difference"
    assert [label.get_text().split("\n")[0] for label in ax.get_xticklabels()] == list(BIAS_METRICS)
    assert [label.get_text().split("\n")[0] for label in ax.get_yticklabels()] == list(table.index)
    assert {label.get_rotation() for label in [*ax.get_xticklabels(), *ax.get_yticklabels()]} == {0}


@pytest.mark.filterwarnings("error")
def test_the_heat_map_of_nothing_estimable_is_drawn_without_a_warning(usual: Experiment, tmp_path: Path) -> None:
    unknown = usual.comparisons.assign(difference=np.nan)
    ax = differences.heat_map(unknown, usual.plan)
    style.save(ax.figure, tmp_path, "x")
    assert words(ax.figure).count("–") == len(vocabulary.bias_rows(unknown))
    assert np.ma.getmaskarray(ax.collections[0].get_array()).all()
    assert not words(differences.heat_map(unknown.head(0), usual.plan).figure)


def test_runs_that_are_not_fit_are_named_in_the_cells() -> None:
    found = with_parts(experiment(), "S-T1", 2, initial_weights="x")
    assert words(differences.heat_map(found.comparisons, found.plan).figure).count("not FIT") == 7


def test_four_fifths_is_named_at_the_declared_class_only(usual: Experiment) -> None:
    ratios = lambda found: impact_ratio.impact_ratio(strict(found), "S-Base", found.plan).figure  # noqa: E731
    assert not any("four fifths" in text for text in words(ratios(usual)))
    declared = words(ratios(experiment(techniques=1, favourable=1)))
    assert "1 (four fifths)" in declared and "0 (four fifths)" not in declared


def test_ratios_below_the_landmark_have_their_own_marker() -> None:
    found = experiment(techniques=1)
    ax = impact_ratio.impact_ratio(strict(found), "S-Base", found.plan)
    low = np.concatenate([line.get_xdata() for line in ax.lines if line.get_marker() == "^"])
    high = np.concatenate([line.get_xdata() for line in ax.lines if line.get_marker() == "o"])
    assert low.max() < 0.8 <= high.min() + 1e-12 and len(low) + len(high) == 6 * 3
    assert len(low) == found.risk["violated"].sum(), "exactly 0.8 is not below, as in the table"


def test_many_classes_are_limited_to_the_lowest_and_the_favourable() -> None:
    found = experiment(techniques=1, runs=2, classes=[str(c) for c in range(30)], favourable=29, units=900)
    shown = impact_ratio.lowest_classes(found.metrics, found.plan)
    assert len(shown) == impact_ratio.MOST_CLASSES and 29 in shown and shown == sorted(shown)
    assert impact_sentences.classes_shown(found.plan, shown) == (
        "The 15 of 30 classes with the lowest ratios, the favourable one always among them."
    )


def test_names_stay_as_they_are(tmp_path: Path) -> None:
    found = experiment(techniques=1, runs=2, classes=[SCRIPT, "$x^2$", "_a"])
    figure = impact_ratio.impact_ratio(strict(found), "S-Base", found.plan).figure
    svg, _ = style.save(figure, tmp_path, "x")
    assert "<script" not in svg.read_text(encoding="utf-8")
    assert r"\$x^2\$" in words(figure)


@pytest.mark.parametrize("techniques", [2, 27])
def test_labels_do_not_overlap(techniques: int) -> None:
    found = experiment(techniques=techniques, runs=2, units=30)
    drawn = {
        "distribution": distributions.distribution(strict(found), found.summary, "DP"),
        "impact ratio": impact_ratio.impact_ratio(strict(found), "S-T1", found.plan),
        "heat map": differences.heat_map(found.comparisons, found.plan),
        "effect": differences.effect(found.comparisons, "DP", found.plan),
    }
    for name, ax in drawn.items():
        ax.figure.canvas.draw()
        boxes = sorted((label.get_window_extent() for label in ax.get_yticklabels()), key=lambda box: box.y0)
        assert all(below.y1 <= above.y0 + 1 for below, above in pairwise(boxes)), name


def test_a_metric_that_is_undefined_in_every_run_leaves_its_panel_empty(usual: Experiment) -> None:
    undefined = strict(usual).assign(value=lambda x: x["value"].mask(x["metric"] == "EOTP"))
    summary = usual.summary.copy()
    of_metric = summary["metric"] == "EOTP"
    for column in ("mean", "mean_low", "mean_high"):
        summary[column] = summary[column].mask(of_metric)
    ax = distributions.distribution(undefined, summary, "EOTP")
    assert np.isfinite(ax.get_xlim()).all()


def test_constant_values_are_not_magnified() -> None:
    found = experiment(techniques=1, alter=constant("S-Base"))
    low, high = distributions.distribution(strict(found), found.summary, "DP").get_xlim()
    assert high - low >= 0.99


@pytest.mark.parametrize(
    "make", [lambda: experiment(runs=1), lambda: experiment(alter=lambda name, values: values * 0)]
)
def test_figures_of_what_is_not_estimable_hold_no_nan(make: object) -> None:
    for figure in figures(make()).values():
        figure.canvas.draw()
        assert not any("nan" in text.lower().split() for text in words(figure))


def test_text_alternatives_are_computed_from_the_data(usual: Experiment) -> None:
    texts = [
        distributions.alt_distributions(usual.summary),
        impact_ratio.alt_impact_ratios(usual.metrics, usual.plan),
        differences.alt_heat_map(usual.comparisons),
        differences.alt_effects(usual.comparisons),
    ]
    lowest = vocabulary.bias_rows(usual.comparisons)["difference"].min()
    assert fmt.points(lowest, signed=True) in texts[3]
    widest = vocabulary.overall_rows(usual.summary)["maxdiff"].idxmax()
    assert usual.summary.loc[widest, "technique"] in texts[0]
    assert all(text.endswith(".") and "nan" not in text.split() for text in texts)
    nothing = experiment(techniques=1)
    assert differences.alt_effects(nothing.comparisons) == "Interval plots of differences: not estimable."


def test_select_keeps_reading_and_attribute() -> None:
    found = experiment(runs=2, attributes={"sex": ["f", "m"], "race": ["a", "b"]})
    chosen = style.select(found.metrics, found.plan, "race")
    assert set(chosen["attribute"]) == {"race"} and set(chosen["reading"]) == {"strict"}
    assert style.stem("effects", found.plan, "race") == "effects-2"


DRAWN = """
from fitlib.report.figures import style

with style.figures_in_pyplot():
    style.styled(style.new_axes)(2)
None
"""


def test_a_notebook_shows_every_figure_that_pyplot_manages():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(DRAWN) for _ in range(3)])
    executed = nbclient.NotebookClient(notebook, kernel_name="python3").execute()
    assert ["image/png" in cell.outputs[0].data if cell.outputs else None for cell in executed.cells] == [True] * 3
