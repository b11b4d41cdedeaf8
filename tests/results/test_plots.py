"""Figures as methods: each is the one in the report, may be drawn on given axes, and is refused without data."""

import re

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import fitlib
from fitlib.errors import InputError
from fitlib.report.figures import style
from fitlib.results.example import example_results
from fitlib.results.loaded import ExperimentResults
from fitlib.results.report_page import execute_cells
from fitlib.tables.epochs import epochs_table, gather_history
from fitlib.tables.schemas import write_csv
from tests.support.simulated import write_simulated
from tests.support.table_examples import record

WITHOUT_DATA = {  # of runs made elsewhere, at one seed
    "over_seeds": "no comparison over seeds",
    "causes": "one cause only",
    "epochs": "no history",
    "training_curves": "no history",
}
CHOICES = {  # of one panel, where a figure has several
    "effects": {"metric": "DI"},
    "distributions": {"metric": "accuracy"},
    "impact_ratio": {"technique": "Same"},
    "classes": {"technique": "Same", "metric": "DP"},
    "churn": {"technique": "Same"},
    "epochs": {"measure": "gap"},
    "training_curves": {"training": "simulated-base"},
}
WITHOUT_AX = {"over_seeds", "causes", "planning"}


@pytest.fixture(scope="module")
def results():
    return example_results()


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """An experiment on disk whose runs recorded their history."""
    found = fitlib.load(write_simulated(tmp_path_factory.mktemp("place") / "outputs"))
    runs = [record("Base", row.run, training=row.training, arm=row.arm) for row in found.runs.itertuples()]
    evidence = [run | {"predictions": {}} for run in runs]
    history = gather_history(found.root, evidence)
    write_csv(epochs_table(history, dict(found.plan)), found.root / "tables" / "epochs.csv")
    return ExperimentResults(found.root, known=(found.plan, evidence))


@pytest.fixture(scope="module")
def seeds():
    """An analysis over five seeds."""
    rng = np.random.default_rng(0)
    truth, sex = rng.integers(0, 2, 200), np.repeat(["f", "m"], 100)
    predicted = {
        name: np.where(rng.random((20, 200)) < share, 1 - truth, truth) for name, share in (("A", 0.3), ("B", 0.2))
    }
    given = {"sensitive_features": {"sex": sex}, "baseline": "A", "seeds": np.repeat(range(5), 4)}
    return fitlib.analyze(truth, predicted, **given)


@pytest.fixture(autouse=True)
def no_figures_left():
    yield
    pyplot.close("all")


def in_report(results):
    """The figures of the report."""
    cells = execute_cells(results._frames(), results.plan, results.evidence)
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    return {picture(output["data"]["image/svg+xml"]) for output in outputs if "image/svg+xml" in output["data"]}


def picture(svg):
    """An SVG without the names of its clips, which are hashes of coordinates to the last digit."""
    return re.sub(r'(url\(#|id=")p[0-9a-f]{10}', r"\1p", svg)


def figures_of(drawn):
    return {ax.figure for ax in ([drawn] if isinstance(drawn, Axes) else drawn)}


@pytest.mark.parametrize("of", ["results", "loaded", "seeds"])
def test_every_figure_is_the_one_in_the_report(of, request):
    given = request.getfixturevalue(of)
    expected, found = in_report(given), set()
    for name in dir(given.plot):
        try:
            found |= {picture(style.svg_text(figure)) for figure in figures_of(getattr(given.plot, name)())}
        except InputError:
            assert name in WITHOUT_DATA
        pyplot.close("all")
    assert expected <= found and len(expected) >= 8
    assert len(found - expected) == 1, "impact ratios are drawn only where the report does not show DI, their mirror"


@pytest.mark.parametrize("name", WITHOUT_DATA)
def test_a_figure_without_data_is_refused_in_one_line(results, name):
    with pytest.raises(InputError, match=WITHOUT_DATA[name]):
        getattr(results.plot, name)()
    assert not pyplot.get_fignums()


@pytest.mark.parametrize("name", sorted({*dir(example_results().plot)} - WITHOUT_AX))
def test_a_panel_is_drawn_on_the_given_axes_and_nowhere_else(results, loaded, name):
    of = loaded if name in WITHOUT_DATA else results
    ax = Figure().subplots()
    assert getattr(of.plot, name)(**CHOICES.get(name, {}), ax=ax) is ax
    assert ax.has_data() and not pyplot.get_fignums()


@pytest.mark.parametrize("name", CHOICES)
def test_axes_for_a_figure_of_several_panels_are_refused(results, loaded, name):
    of = loaded if name in WITHOUT_DATA else results
    with pytest.raises(
        InputError, match=f"ax = .*: this figure has several panels; choose one, as {next(iter(CHOICES[name]))}"
    ):
        getattr(of.plot, name)(ax=Figure().subplots())


@pytest.mark.parametrize("name", CHOICES)
def test_a_chosen_panel_is_one_axes(results, loaded, name):
    of = loaded if name in WITHOUT_DATA else results
    assert isinstance(getattr(of.plot, name)(**CHOICES[name]), Axes)


def test_new_figures_are_shown_by_pyplot_and_settings_stay(results):
    before = dict(mpl.rcParams)
    ax = results.plot.heat_map()
    assert pyplot.figure(pyplot.get_fignums()[-1]) is ax.figure
    assert dict(mpl.rcParams) == before


BAD = {
    "metric": ("effects", {"metric": "DII"}, "metric = 'DII'.*did you mean DI"),
    "attribute": ("heat_map", {"attribute": "Sex"}, "attribute = 'Sex'.*did you mean sex"),
    "technique": ("churn", {"technique": "fairer"}, "technique = 'fairer'.*did you mean Fairer"),
    "what": ("spread_by_runs", {"what": "sd"}, "what = 'sd'.*maxdiff, width"),
}


@pytest.mark.parametrize("case", BAD)
def test_unknown_choices_are_refused_in_one_line(results, case):
    name, choice, message = BAD[case]
    with pytest.raises(InputError, match=message):
        getattr(results.plot, name)(**choice)


def test_one_technique_has_no_figure_of_comparisons():
    alone = fitlib.analyze([0, 1] * 20, [[0, 1, 1, 0] * 10] * 2, sensitive_features=["a", "b", "b", "a"] * 10)
    for name in ("heat_map", "effects", "planning"):
        with pytest.raises(InputError, match=r"no comparison|nothing can be planned"):
            getattr(alone.plot, name)()
    assert alone.plot.verdict().has_data()
