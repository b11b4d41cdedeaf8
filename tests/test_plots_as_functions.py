"""`fitlib.plots`: light to import, named as the methods of results, and documented with examples."""

import inspect
import subprocess
import sys

import pytest
from matplotlib.figure import Figure

import fitlib.plots
from fitlib.report.figures import style
from fitlib.results.example import example_results
from fitlib.results.plots import Plots


def test_importing_it_loads_no_matplotlib():
    code = "import sys, fitlib; fitlib.plots; print('matplotlib' in sys.modules, 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split() == ["False"] * 2


@pytest.mark.parametrize("name", fitlib.plots.__all__)
def test_every_function_is_documented_with_an_example(name):
    function = getattr(fitlib.plots, name)
    assert ">>> " in inspect.getdoc(function) and name in dir(fitlib.plots)


def test_names_are_those_of_the_methods_of_results():
    one_panel = {"distribution": "distributions", "effect": "effects"}
    names = {one_panel.get(name, name) for name in fitlib.plots.__all__} - {"against_runs", "technique_colours"}
    assert all(hasattr(Plots, name) for name in names)


def test_a_function_draws_the_panel_of_the_method():
    results, (one, other) = example_results(), (Figure(), Figure())
    results.plot.impact_ratio_sides(ax=one.subplots())
    fitlib.plots.impact_ratio_sides(results.tables["risk"], results.plan, other.subplots())
    assert style.svg_text(one) == style.svg_text(other)


def test_other_names_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'pie_chart'"):
        fitlib.plots.pie_chart  # noqa: B018
