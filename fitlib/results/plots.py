"""The figures of the report as methods: `results.plot.heat_map()`. Each returns matplotlib axes.

A figure of one panel is drawn on `ax`, where that is given. A figure of several panels returns an array of axes; to
draw on an `ax`, one of its panels has to be chosen. Figures that are made here are pyplot's, so that notebooks show
them; no setting of matplotlib is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fitlib.errors import InputError, one_of
from fitlib.report.figures import (
    accuracy_bias_plane,
    differences,
    distributions,
    impact_ratio,
    planning,
    spread_by_runs,
    style,
)
from fitlib.report.figures import causes as cause_figures
from fitlib.report.figures import classes as class_figures
from fitlib.report.figures import epochs as epoch_figures
from fitlib.report.figures import individuals as individual_figures
from fitlib.report.figures import over_seeds as over_seeds_figures
from fitlib.report.figures import testset as testset_figures
from fitlib.report.figures import verdict as verdict_figures
from fitlib.report.sections import costs, individuals
from fitlib.report.sections import planning as planning_section
from fitlib.report.sections import testset as testset_section
from fitlib.tables.metric_series import main_arms
from fitlib.tables.pareto import plane_runs

if TYPE_CHECKING:
    from fitlib.results.results import Results

Drawn = Axes | np.ndarray
MEASURES = tuple(epoch_figures.MEASURES)
SPREADS = ("maxdiff", "width")


class Plots:
    """The figures of some results.

    attribute: a protected attribute; default: the first. metric: default as in the report. technique: default: all.
    """

    def __init__(self, results: Results):
        self._results, self._plan = results, results.plan

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.startswith("_")]

    def __repr__(self) -> str:
        return f"<figures: {', '.join(dir(self))}>"

    # The verdict

    def verdict(self, metric: str | None = None, attribute: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw the one figure: every run of every technique on one metric, and what was concluded.

        Returns the axes with the runs; with ``ax`` only these are drawn.

        >>> from fitlib.results.example import example_results
        >>> ax = example_results().plot.verdict(metric="DP")
        >>> ax.get_title(loc="left")
        'DP · demographic parity'
        """
        names = ("metrics", "summary", "comparisons", "individuals", "risk", "over_seeds")
        frames = {name: self._table(name) for name in names}
        metric = self._metric(metric) or verdict_figures.shown_metric(frames["comparisons"], self._plan)
        attribute = self._attribute(attribute)
        if ax is None:
            return _drawn(lambda: verdict_figures.verdict_figure(frames, self._plan, metric, attribute)).flat[0]
        rows = verdict_figures.technique_runs(frames, self._plan, metric, attribute)
        return verdict_figures.draw_runs(ax, rows, metric, style.technique_colours(self._plan))

    def heat_map(self, attribute: str | None = None, technique: str | None = None, ax: Axes | None = None) -> Drawn:
        """Draw technique × metric: difference in points, verdict and corrected p in every cell.

        More rows than fit a page are drawn in several figures.

        >>> from fitlib.results.example import example_results
        >>> ax = example_results().plot.heat_map(technique="Fairer")
        >>> len(ax.texts) // 3
        7
        """
        rows, limit = (
            self._compared(attribute, technique),
            differences.strongest(self._table("comparisons"), self._plan),
        )
        if ax is not None:
            return differences.heat_map(rows, self._plan, ax, limit)
        return _one(_drawn(lambda: differences.heat_maps(rows, self._plan, limit)))

    def effects(
        self,
        metric: str | None = None,
        attribute: str | None = None,
        technique: str | None = None,
        ax: Axes | None = None,
    ) -> Drawn:
        """Draw the difference from the baseline with its intervals: a panel for each metric, or one.

        >>> from fitlib.results.example import example_results
        >>> example_results().plot.effects().size
        5
        >>> example_results().plot.effects(metric="DI").get_title(loc="left")
        'DI'
        """
        rows = self._compared(attribute, technique)
        if self._metric(metric):
            return _draw(lambda given: differences.effect(rows, str(metric), self._plan, given), ax)
        _refuse(ax, "effects", 'metric="DI"')
        return _drawn(lambda: differences.effects_figures(rows, self._plan))

    # Runs

    def distributions(self, metric: str | None = None, attribute: str | None = None, ax: Axes | None = None) -> Drawn:
        """Draw every run as a point, with mean and 95 % interval: a panel for each metric and accuracy, or one.

        >>> from fitlib.results.example import example_results
        >>> example_results().plot.distributions().size
        8
        """
        values, means = self._selected("metrics", attribute), self._selected("summary", attribute)
        colours = style.technique_colours(self._plan)
        if self._metric(metric, "metrics"):
            return _draw(lambda ax: distributions.distribution(values, means, str(metric), colours, ax), ax)
        _refuse(ax, "distributions", 'metric="DI"')
        return _drawn(lambda: distributions.distributions_figures(values, means, colours))

    def spread_by_runs(
        self,
        metric: str | None = None,
        attribute: str | None = None,
        what: str | None = None,
        ax: Axes | None = None,
    ) -> Drawn:
        """Draw against the number of runs how MaxDiff grows, or the interval of the mean narrows (``what="width"``).

        >>> from fitlib.results.example import example_results
        >>> example_results().plot.spread_by_runs(what="width").get_xlabel()
        'number of runs'
        """
        metric = self._metric(metric) or costs.first_metric(self._table("comparisons"))
        table = spread_by_runs.against_runs(self._selected("metrics", attribute), metric)
        colours = style.technique_colours(self._plan)
        if table.empty:
            _nothing("spread_by_runs", f"{metric} is constant or defined in fewer than two runs", "choose a metric")
        if what is not None:
            one_of("results.plot.spread_by_runs", "what", what, SPREADS)
            return _draw(lambda ax: spread_by_runs.by_runs(table, what, colours, ax), ax)
        if ax is not None:
            return spread_by_runs.by_runs(table, "maxdiff", colours, ax)
        return _one(_drawn(lambda: spread_by_runs.by_runs_figure(table, colours)))

    # Costs and classes

    def accuracy_bias_plane(
        self, metric: str | None = None, attribute: str | None = None, ax: Axes | None = None
    ) -> Axes:
        """Draw mean accuracy against mean bias of every technique, with 95 % regions, its runs and the Pareto front.

        >>> from fitlib.results.example import example_results
        >>> example_results().plot.accuracy_bias_plane().get_ylabel()
        'DI (points; lower is less biased)'
        """
        metric = self._metric(metric) or costs.first_metric(self._table("comparisons"))
        attribute, arm = self._attribute(attribute), str(main_arms(self._plan)[0]["arm"])
        pareto = self._table("pareto")
        rows = costs.plane_rows(pareto[pareto["metric"] == metric], arm, attribute)
        if rows.empty:
            _nothing("accuracy_bias_plane", f"no technique with both accuracy and {metric}", "choose another metric")
        runs = plane_runs(self._table("metrics"), dict(self._plan), self._results.evidence)
        colours = style.technique_colours(self._plan)
        runs = runs[(runs["arm"] == arm) & (runs["attribute"] == attribute) & (runs["metric"] == metric)]
        if ax is not None:
            return accuracy_bias_plane.plane(rows, runs, ax, colours)
        return _drawn(lambda: accuracy_bias_plane.plane_figure(rows, runs, colours)).flat[0]

    def impact_ratio(self, technique: str | None = None, attribute: str | None = None, ax: Axes | None = None) -> Drawn:
        """Draw the impact ratio of each class in every run, with the 0.8 landmark: a panel for each technique, or one.

        >>> from fitlib.results.example import example_results
        >>> example_results().plot.impact_ratio(technique="Plain").get_xlabel()
        'impact ratio (dashed: 0.8)'
        """
        rows = self._selected("metrics", attribute)
        if self._technique(technique):
            return _draw(lambda ax: impact_ratio.impact_ratio(rows, str(technique), self._plan, ax), ax)
        _refuse(ax, "impact_ratio", f"technique={self._names()[0]!r}")
        return _drawn(lambda: impact_ratio.impact_ratios_figures(rows, self._plan))

    def impact_ratio_sides(self, attribute: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw the share of runs whose impact ratio lies below 0.8, by technique, with its 95 % interval.

        >>> from fitlib.results.example import example_results
        >>> example_results().plot.impact_ratio_sides().get_title(loc="left")
        'Impact ratio below 0.8'
        """
        risk = self._table("risk")
        rows = risk[risk["attribute"] == self._attribute(attribute)]
        if impact_ratio.split_rows(rows).empty:
            _nothing("impact_ratio_sides", "no impact ratio is defined", "look at results.risk")
        return _draw(lambda ax: impact_ratio.sides(rows, self._plan, ax), ax)

    def classes(
        self,
        technique: str | None = None,
        metric: str | None = None,
        attribute: str | None = None,
        ax: Axes | None = None,
    ) -> Drawn:
        """Draw a metric class by class, every run a point (of many classes a band): a panel for each technique, or one.

        >>> from fitlib.results.example import example_results
        >>> ax = example_results().plot.classes(technique="Plain", metric="DP")
        >>> sorted(label.get_text() for label in ax.get_yticklabels())
        ['0', '1', '2']
        """
        metric = self._metric(metric) or costs.first_metric(self._table("comparisons"))
        rows = self._selected("metrics", attribute)
        values = class_figures.class_values(rows, metric)
        if values.empty or (self._technique(technique) and technique not in set(values["technique"])):
            _nothing("classes", f"{metric} is undefined in every run", "choose another metric")
        if technique is not None:
            return _draw(lambda ax: class_figures.technique_classes(rows, metric, str(technique), self._plan, ax), ax)
        _refuse(ax, "classes", f"technique={self._names()[0]!r}")
        return _one(_drawn(lambda: class_figures.per_class_figures(rows, metric, self._plan)))

    def churn(self, technique: str | None = None, attribute: str | None = None, ax: Axes | None = None) -> Drawn:
        """Draw whose decisions change between runs, by group: a panel for each technique, or one.

        >>> from fitlib.results.example import example_results
        >>> example_results().plot.churn(technique="Plain").get_legend_handles_labels()[1]
        ['female', 'male']
        """
        attribute, table = self._attribute(attribute), self._table("individuals")
        rows = individuals.overall(table[table["attribute"] == attribute])
        if self._technique(technique):
            rows = rows[rows["technique"] == technique]
        if not (rows["churn"] > 0).any():
            _nothing("churn", "no decision changes between runs", "analyse two runs or more that differ")
        if technique is None:
            _refuse(ax, "churn", f"technique={self._names()[0]!r}")
        if ax is not None:
            return individual_figures.distribution(rows, self._plan["groups"][attribute], ax)
        return _one(_drawn(lambda: individual_figures.distribution_figures(rows, self._plan, attribute)))

    # Where the spread comes from

    def testset(self, attribute: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw how much of the largest spread is that of the runs, of the test set and of both together.

        >>> from fitlib.results.example import example_results
        >>> example_results().plot.testset().get_title(loc="left")
        'What the spread consists of'
        """
        rows = testset_section.spread_rows(self._table("components"), self._attribute(attribute))
        if rows.empty:
            _nothing("testset", "no spread between runs", "analyse two runs or more that differ")
        if ax is not None:
            return testset_figures.components(rows, self._plan, ax)
        return _drawn(lambda: testset_figures.components_figure(rows, self._plan)).flat[0]

    def over_seeds(self, attribute: str | None = None) -> Drawn:
        """Draw the differences at every seed and over seeds, a panel for each distinct metric."""
        attribute = self._attribute(attribute)
        table, seeds = self._table("over_seeds"), self._table("by_seed")
        rows, points = table[table["attribute"] == attribute], seeds[seeds["attribute"] == attribute]
        if rows["difference"].isna().all():
            _nothing("over_seeds", "no comparison over seeds", "analyse runs of several seeds")
        return _one(_drawn(lambda: over_seeds_figures.seeds_figure(rows, points, self._plan)))

    def causes(self, technique: str | None = None, attribute: str | None = None) -> np.ndarray:
        """Draw the spread of one technique under every cause of variance, a panel for each metric and churn."""
        table = self._table("causes")
        table = table[table["attribute"] == self._attribute(attribute)]
        names = list(dict.fromkeys(table["technique"]))
        if not names:
            _nothing("causes", "the runs vary by one cause only", "run an experiment with several arms")
        technique = self._technique(technique) or names[0]
        rows, tests, churn = (
            table[table["technique"] == technique],
            self._table("cause_tests"),
            self._table("cause_churn"),
        )
        return _drawn(lambda: cause_figures.causes_figure(rows, tests, churn, self._plan))

    def epochs(self, measure: str | None = None, ax: Axes | None = None) -> Drawn:
        """Draw the spread between runs after every epoch, of "accuracy" and of the "gap" between groups."""
        table = self._table("epochs")
        if table.empty:
            _nothing("epochs", "no history of trainings", "load an experiment whose runs recorded one")
        colours = epoch_figures.training_colours(self._plan)
        if measure is not None:
            one_of("results.plot.epochs", "measure", measure, MEASURES)
            return _draw(lambda ax: epoch_figures.divergence(table, measure, colours, ax), ax)
        _refuse(ax, "epochs", 'measure="accuracy"')
        return _drawn(lambda: epoch_figures.divergence_figure(table, colours))

    def training_curves(self, training: str | None = None, ax: Axes | None = None) -> Drawn:
        """Draw test accuracy of every run after every epoch by group: a panel for each training, or one."""
        history, names = self._history()
        if history.empty:
            _nothing("training_curves", "no history of trainings", "load an experiment whose runs recorded one")
        if training is not None:
            one_of("results.plot.training_curves", "training", training, dict.fromkeys(history["training"]))
            key = (training, str(main_arms(self._plan)[0]["arm"]))
            return _draw(lambda ax: epoch_figures.training_curves(history, key, names, ax), ax)
        _refuse(ax, "training_curves", f"training={history['training'].iloc[0]!r}")
        return _one(_drawn(lambda: epoch_figures.training_curves_figures(history, names)))

    # Planning

    def planning(self, metric: str | None = None, attribute: str | None = None) -> np.ndarray:
        """Draw the probability of each verdict by number of runs (or of seeds), a panel for each true difference.

        >>> from fitlib.results.example import example_results
        >>> example_results().plot.planning(metric="DP").size
        4
        """
        metric = self._metric(metric)
        frame = pd.DataFrame(self._results.how_many(metrics=metric)) if metric else self._table("planning")
        rows = frame[frame["attribute"] == self._attribute(attribute)]
        parts = [part for _, part in planning_section.drawn_parts(rows)]
        if not parts:
            _nothing("planning", "nothing can be planned", "analyse two runs or more that differ, of two techniques")
        return _drawn(lambda: [planning.planning_figure(part, planning.present_numbers(part)) for part in parts])

    # What is chosen

    def _table(self, name: str) -> pd.DataFrame:
        return pd.DataFrame(self._results.tables[name])

    def _selected(self, name: str, attribute: str | None) -> pd.DataFrame:
        return style.select(self._table(name), self._plan, self._attribute(attribute))

    def _compared(self, attribute: str | None, technique: str | None) -> pd.DataFrame:
        rows = self._selected("comparisons", attribute)
        if self._technique(technique):
            rows = rows[rows["technique"] == technique]
        if rows.empty:
            _nothing("comparisons", "no comparison", "analyse two techniques or more, one of them the baseline")
        return rows

    def _history(self) -> tuple[pd.DataFrame, Sequence[str]]:
        """Return the histories of the main arms, and the names of the groups that they are by."""
        history = self._results._history()
        arms = [arm["arm"] for arm in main_arms(self._plan)]
        return history[history["arm"].isin(arms)], next(iter(self._plan["groups"].values()))

    def _attribute(self, name: str | None) -> str:
        attributes = list(self._plan["groups"])
        return attributes[0] if name is None else one_of("results.plot", "attribute", name, attributes)

    def _metric(self, name: str | None, table: str = "summary") -> str | None:
        return (
            name
            if name is None
            else one_of("results.plot", "metric", name, dict.fromkeys(self._table(table)["metric"]))
        )

    def _names(self) -> list[str]:
        return [technique["technique"] for technique in self._plan["techniques"]]

    def _technique(self, name: str | None) -> str | None:
        return name if name is None else one_of("results.plot", "technique", name, self._names())


# Drawing


def _draw(draw: Callable[[Axes | None], Axes], ax: Axes | None) -> Axes:
    """Draw one panel on ``ax``, or in a figure of its own."""
    with style.figures_in_pyplot():
        return draw(ax)


def _drawn(draw: Callable[[], Figure | list[Figure]]) -> np.ndarray:
    """Draw figures, and return the axes that show data."""
    with style.figures_in_pyplot():
        found = draw()
    figures = [found] if isinstance(found, Figure) else found
    return np.array([ax for figure in figures for ax in figure.axes if ax.get_visible() and ax.axison], dtype=object)


def _one(axes: np.ndarray) -> Drawn:
    return axes.item() if axes.size == 1 else axes


def _refuse(ax: Axes | None, name: str, choice: str) -> None:
    """Raise InputError for axes that are given for a figure of several panels."""
    if ax is not None:
        problem, remedy = "this figure has several panels", f"choose one, as {choice}, or leave out ax"
        raise InputError(f"results.plot.{name}", "ax", ax, problem, remedy)


def _nothing(name: str, problem: str, remedy: str) -> NoReturn:
    raise InputError("results.plot", name, "no data", problem, remedy)
