"""The study's figures redrawn: bins, marks, signs in every cell, counts of Venn regions, and words for each."""

import re

import numpy as np
import pytest

from fitlib.metrics.bias_metrics import BIAS_METRICS
from fitlib.paper import figures, study
from fitlib.paper.review import Review
from fitlib.paper.simulated_numbers import simulate
from fitlib.report.figures import style


@pytest.fixture(scope="module")
def example() -> Review:
    return Review(**vars(simulate(np.random.default_rng(1))), baselines=study.BASELINES)


@pytest.fixture(scope="module")
def published(data_dir) -> Review:
    return Review(**vars(study.read(data_dir / "paper")), baselines=study.BASELINES)


def texts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


@pytest.mark.parametrize(
    ("d", "label", "bin_"),
    [
        (0.1, "-", 0), (0.2, "-", -1), (-0.2, "+", 1), (0.4999, "-", -1), (0.5, "-", -2), (-0.8, "+", 3),
        (1.2, "-", -4), (-1.9, "+", 4), (-2.0, "+", 5), (340.0, "-", -5), (5.0, "NS", 0), (np.nan, "-", 0),
        (-np.inf, "+", 5),
    ],
)  # fmt: skip
def test_an_edge_belongs_to_the_outer_bin_and_ns_is_grey(d, label, bin_):
    assert figures.effect_bin(d, label) == bin_


def test_there_are_eleven_bins_with_grey_in_the_middle_and_mirrored_ends():
    colours = figures.COLOURS(np.arange(figures.BINS))
    assert figures.BINS == len(colours) == 11
    assert np.ptp(colours[5][:3]) == 0  # grey
    assert (colours[:5, 2] > colours[:5, 0]).all() and (colours[6:, 0] > colours[6:, 2]).all()


def test_marks_are_on_the_target_of_the_task_and_on_ba_of_balanced_sets():
    targets = {t: [m for m in BIAS_METRICS if figures.target_mark(t, m) == "*"] for t in ("S-GR", "A-L2", "N-Flow")}
    assert targets == {"S-GR": ["BA"], "A-L2": ["EOFP"], "N-Flow": ["DP"]}
    assert (figures.target_mark("C-R1", "DP"), figures.target_mark("I-A5", "BA")) == ("*", "o")
    assert figures.target_mark("A-L2", "BA") == ""


def test_every_cell_of_the_bias_map_shows_its_direction(example):
    ax = figures.mean_bias(example.labels)
    cells = [text for text in texts(ax) if text not in ("*", "o")]
    assert len(cells) == 22 * 7
    for text, label in zip(cells, example.labels["label_mean"], strict=True):
        assert text.startswith({"+": "▲ ", "-": "▼ ", "NS": "NS"}[label])
    assert texts(ax).count("*") == 22 and texts(ax).count("o") == 10
    assert [label.get_text() for label in ax.get_yticklabels()] == list(study.BASELINES)


def test_every_cell_of_the_variance_map_shows_its_label_and_crosses_what_helps_no_mean(example):
    ax = figures.variance(example.labels)
    signs = {"+": "▲ +", "-": "▼ −", "NS": "NS"}
    for text, row in zip(texts(ax), example.labels.to_dict("records"), strict=True):
        assert text.startswith(signs[row["label_variance"]])
        assert text.endswith("X") == (row["label_variance"] != "NS" and row["label_mean"] != "-")


def test_published_maps_show_the_published_counts(published):
    words = texts(figures.variance(published.labels))
    assert sum("+" in word for word in words) == 53 and sum("−" in word for word in words) == 13
    raw = texts(figures.variance(published.labels, raw=True))
    assert sum("+" in word for word in raw) == 38
    bias = texts(figures.mean_bias(published.labels))
    assert sum("▼" in word for word in bias) == 103 and "▼ 338" in bias and "▼ 2.13" in bias


def test_published_accuracy_marks_are_those_that_the_study_typed_in(published):
    ax = figures.accuracy(published.accuracy, published.labels)
    names = [label.get_text() for label in ax.get_yticklabels()]
    crossed = [(names[i // 2], i % 2) for i, text in enumerate(texts(ax)) if " X " in text]
    assert crossed == [("S-UC", 0), ("S-UC", 1), ("S-GR", 0), ("S-GR", 1), ("S-DD1", 0)]
    assert any("83.64 (88.54)" in text for text in texts(ax))


@pytest.mark.parametrize("judged", ["published", "raw"])
def test_venn_regions_add_up_to_all_cases_of_lower_bias(example, judged):
    ax = figures.costs_venn(example.venn, judged=judged)
    numbers = [int(text) for text in texts(ax) if re.fullmatch(r"\d+", text)]
    free, every = map(int, re.search(r"no cost: (\d+) of (\d+)", " ".join(texts(ax))).groups())
    fell = example.costs[(example.costs["judged"] == judged) & example.costs["bias_decrease"]]
    assert len(numbers) == 7 and sum(numbers) + free == every == len(fell)
    assert f"Bias variance\n{fell['cost_bias_variance'].sum()}" in texts(ax)


def test_circles_overlap_and_numbers_are_in_their_region():
    for region, point in figures._PLACES.items():
        inside = [np.hypot(point[0] - x, point[1] - y) < 1.15 for x, y in figures._CENTRES]
        assert tuple(inside) == region


def test_published_costs(published):
    assert "54 with lower accuracy, 15 with a higher accuracy variance and 36 with" in figures.alt_costs(published.venn)
    assert "20 with a higher bias variance, of 103 cases" in figures.alt_costs(published.venn)


def test_box_plots_have_a_panel_per_metric_and_task_with_a_box_per_technique(example):
    figure = figures.box_plots_figure(example.overall)
    panels = figure.axes
    assert len(panels) == 7 * 3
    assert [len(ax.patches) for ax in panels[:3]] == [2, 3, 2]
    first = panels[0].lines[4].get_xdata()  # the first median, behind two whiskers and two caps
    assert first == pytest.approx([100 * np.median(example.overall["S-Base"]["DP"])] * 2)
    assert [label.get_text() for label in panels[1].get_yticklabels()] == ["A-Base", "A-L2", "A-ALM"]


def test_alternative_texts_come_from_the_data(published):
    assert "A-L2 on DP, 12.64 points" in figures.alt_box_plots(published.overall)
    assert "N-Base: constant in all 16 runs." in figures.alt_box_plots(published.overall)
    assert "Bias fell in 103, rose in 47" in figures.alt_mean_bias(published.labels)
    assert "rises in 53" in figures.alt_variance(published.labels) and "rises in 38" in figures.alt_variance(
        published.labels
    )
    assert "rises for S-RS, S-DD2, S-DD3, S-DI1, S-DI2 and 1 more" in figures.alt_accuracy(published.accuracy)


def test_saved_figures_are_the_same_bytes_twice(example, tmp_path):
    first = style.save(figures.costs_figure(example.venn), tmp_path / "1", "costs")
    second = style.save(figures.costs_figure(example.venn), tmp_path / "2", "costs")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert b"<svg" in first[0].read_bytes()
