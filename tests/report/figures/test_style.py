"""One visual language: colours that differ for every reader, one size of text, no figure wider than a page's column."""

from __future__ import annotations

from itertools import combinations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from fitlib.errors import InputError
from fitlib.report.figures import differences, distributions, style
from fitlib.results.example import example_results
from fitlib.results.report_page import execute_cells
from tests.support.report_examples import experiment

# Machado, Oliveira and Fernandes (IEEE TVCG 2009), severity 1, on linear RGB; full colour vision beside them
VISION = {
    "full": np.eye(3),
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
}
TO_XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
NOTICED = 20  # CIE76; 2.3 is a just noticeable difference of large patches, dots need far more


def linear(colour: object) -> np.ndarray:
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(colour: str, vision: str) -> np.ndarray:
    xyz = np.array(TO_XYZ) @ np.clip(np.array(VISION[vision]) @ linear(colour), 0, 1) / (0.95047, 1, 1.08883)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(one: object, other: object) -> float:
    light, dark = sorted((float(linear(c) @ (0.2126, 0.7152, 0.0722)) + 0.05 for c in (one, other)), reverse=True)
    return light / dark


@pytest.mark.parametrize("vision", VISION)
def test_colours_of_techniques_differ_for_every_reader(vision: str) -> None:
    distances = [np.linalg.norm(lab(a, vision) - lab(b, vision)) for a, b in combinations(style.PALETTE, 2)]
    assert len(style.PALETTE) == 8 and min(distances) > NOTICED


def test_colours_stand_out_on_white() -> None:
    assert min(contrast(colour, "white") for colour in style.PALETTE) >= 3


def test_no_two_of_27_techniques_have_the_same_line_and_neighbours_share_nothing() -> None:
    names = [f"T{i}" for i in range(27)]
    palette = style.palette_of(names)
    looks = [style.line_look(name, palette) for name in names]
    assert len({(look["color"], look["marker"]) for look in looks}) == 27
    assert len({(look["color"], look["linestyle"]) for look in looks}) == 27
    for one, other in combinations(looks, 2):
        same_colour = one["color"] == other["color"]
        assert not same_colour or (one["marker"] != other["marker"] and one["linestyle"] != other["linestyle"])


def test_groups_differ_without_colour() -> None:
    looks = [style.group_look(i) for i in range(8)]
    assert {look["color"] for look in looks} == {style.INK}
    assert len({(look["linestyle"], look["marker"]) for look in looks}) == 8


@pytest.mark.parametrize("share", np.linspace(0, 1, 41))
def test_text_in_cells_is_readable_whatever_the_difference(share: float) -> None:
    colour = style.DIVERGING(share)
    assert contrast(style.readable_ink(colour), colour) >= 4.5


def test_text_in_every_cell_of_the_heat_map_is_readable() -> None:
    found = experiment(techniques=4)
    ax = differences.heat_map(found.comparisons, found.plan)
    ax.figure.draw_without_rendering()
    mesh = ax.collections[0]
    columns = mesh.get_array().shape[1]
    for text in ax.texts:
        x, y = (int(np.floor(at)) for at in text.get_position())
        assert contrast(text.get_color(), mesh.get_facecolors()[y * columns + x]) >= 4.5


def test_heat_maps_of_several_attributes_share_their_colours() -> None:
    found = experiment(attributes={"sex": ["f", "m"], "race": ["a", "b"]})
    rows = found.comparisons
    limit = differences.strongest(rows, found.plan)
    drawn = [
        differences.heat_maps(rows[rows["attribute"] == name], found.plan, limit)[0].axes[0].collections[0].norm
        for name in found.plan["groups"]
    ]
    assert {norm.vmax for norm in drawn} == {limit} and limit >= 100 * rows["difference"].abs().max() - 1e-9


# All figures of a report


@pytest.fixture(scope="module")
def figures() -> dict[str, list[Figure]]:
    results, found = example_results(), {}
    for name in dir(results.plot):
        try:
            drawn = getattr(results.plot, name)()
        except InputError:
            continue
        axes = [drawn] if isinstance(drawn, Axes) else list(drawn)
        found[name] = list(dict.fromkeys(ax.figure for ax in axes))
    yield found
    pyplot.close("all")


def test_no_figure_but_the_verdict_is_wider_than_the_text(figures: dict[str, list[Figure]]) -> None:
    for name in figures.keys() - {"verdict"}:
        for figure in figures[name]:
            assert 96 * style._tight_box(figure).width <= 760, name


def test_text_has_one_of_three_sizes(figures: dict[str, list[Figure]]) -> None:
    for name, drawn in figures.items():
        for figure in drawn:
            shown = [text for text in figure.findobj(mpl.text.Text) if text.get_text() and text.get_visible()]
            assert {text.get_fontsize() for text in shown} <= {style.SMALL, style.TEXT, style.TITLE}, name


def test_only_techniques_have_colours(figures: dict[str, list[Figure]]) -> None:
    """Lines are grey, or in the colour of a technique; the heat map's scale is of areas."""
    colours = set(style.technique_colours(example_results().plan).values())
    for name, drawn in figures.items():
        lines = [line for figure in drawn for line in figure.findobj(mpl.lines.Line2D)]
        hues = {mpl.colors.to_hex(line.get_color()) for line in lines if np.ptp(to_rgb(line.get_color())) > 0.01}
        assert hues <= colours, name


def test_the_number_of_runs_is_on_every_figure(figures: dict[str, list[Figure]]) -> None:
    for name, drawn in figures.items():
        for figure in drawn:
            texts = " ".join(text.get_text() for text in figure.findobj(mpl.text.Text))
            assert any(found in texts for found in ("n = ", "runs)", "there are)", " not")), name


def test_alternatives_are_short_sentences_about_the_data() -> None:
    results = example_results()
    cells = execute_cells(results._frames(), results.plan, results.evidence)
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    alts = [o["metadata"]["image/svg+xml"]["alt"] for o in outputs if "image/svg+xml" in o.get("metadata", {})]
    assert len(alts) >= 8 and len(set(alts)) == len(alts)
    for alt in alts:
        assert len(alt) < 150 and alt.endswith(".") and "nan" not in alt, alt
        assert any(character.isdigit() for character in alt), alt


# Axes


def test_bias_begins_at_0_and_accuracy_does_not() -> None:
    found = experiment()
    rows, colours = style.select(found.metrics, found.plan, "protected"), style.technique_colours(found.plan)
    ends = {
        metric: distributions.distribution(rows, found.summary, metric, colours).get_xlim()
        for metric in ("DP", "DI", "accuracy")
    }
    assert all(-0.03 * ends[name][1] <= ends[name][0] <= 0 for name in ("DP", "DI"))
    assert ends["accuracy"][0] > 0


def test_the_band_of_the_smallest_effect_is_equally_wide_in_all_panels() -> None:
    sizes = {"DI": 0.05, "BA": 0.002}
    found = experiment()
    rows = found.comparisons.assign(smallest_effect=found.comparisons["metric"].map(sizes).fillna(0.01))
    (figure,) = differences.effects_figures(rows, found.plan)
    shares = [
        200 * rows.loc[rows["metric"] == ax.get_title(loc="left"), "smallest_effect"].iloc[0] / np.ptp(ax.get_xlim())
        for ax in figure.axes
        if ax.get_visible()
    ]
    assert len(shares) >= 5 and np.allclose(shares, shares[0])


def test_long_names_keep_alternatives_short() -> None:
    found = experiment(techniques=2)
    long = {name: f"{name} " + "with a long name " * 5 for name in ("S-Base", "S-T1")}
    rows = found.comparisons.replace({"technique": long, "baseline": long})
    assert len(differences.alt_effects(rows)) < 150 and len(differences.alt_heat_map(rows)) < 150


def test_frames_without_rows_have_no_number() -> None:
    figure = style.new_figure((3, 2))
    style.write_n(figure, pd.Series(dtype=float))
    assert figure.get_suptitle() == ""


def test_no_key_leaves_its_figure(figures: dict[str, list[Figure]]) -> None:
    for name, drawn in figures.items():
        for figure in drawn:
            figure.draw_without_rendering()
            for legend in figure.legends:
                box = legend.get_window_extent()
                assert box.x0 >= 0 and box.x1 <= figure.bbox.x1 + 1, name
