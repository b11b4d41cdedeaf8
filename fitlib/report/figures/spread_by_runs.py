"""Curves against the number of runs: how MaxDiff grows with it, and how the interval of the mean narrows."""

from __future__ import annotations

from collections.abc import Mapping
from math import comb

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fitlib import formatting as fmt
from fitlib.report.figures.lines import draw_lines, write_key
from fitlib.report.figures.style import new_figure, palette_for, short, styled, write_n
from fitlib.statistics import power
from fitlib.statistics.estimates import is_constant


def expected_maxdiff(values: np.ndarray, k: int) -> float:
    """Return the mean MaxDiff of all choices of `k` of the runs (runs,).

    Σ x₍ᵢ₎ (C(i−1, k−1) − C(n−i, k−1)) / C(n, k) over the sorted values.

    >>> expected_maxdiff(np.array([1.0, 2.0, 4.0]), k=2)
    2.0
    """
    x, n = np.sort(np.asarray(values, float)), len(values)
    weights = [(comb(i, k - 1) - comb(n - 1 - i, k - 1)) / comb(n, k) for i in range(n)]
    return float(x @ weights)


def against_runs(metrics: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return, by technique, arm and number of runs, the mean MaxDiff of so many runs and the expected interval width.

    Width: of Student's 95 % interval of the mean, at the SD of all runs. Columns technique, arm, n, maxdiff, width; in
    points. Values that are constant in all runs are left out.

    >>> from fitlib import plots
    >>> from fitlib.results.example import example_results
    >>> metrics = example_results().tables["metrics"].query("reading == 'strict'")
    >>> list(plots.against_runs(metrics, "DI").columns)
    ['technique', 'arm', 'n', 'maxdiff', 'width']
    """
    rows = metrics[(metrics["metric"] == metric) & metrics["target"].isna() & metrics["group"].isna()]
    found = []
    for (technique, arm), group in rows.groupby(["technique", "arm"], sort=False):
        values = 100 * group["value"].dropna().to_numpy(float)
        if values.size < 2 or is_constant(values):
            continue
        for k in range(2, len(values) + 1):
            found.append((technique, arm, k, expected_maxdiff(values, k), _width(values, k)))
    return pd.DataFrame(found, columns=["technique", "arm", "n", "maxdiff", "width"])


def _width(values: np.ndarray, k: int) -> float:
    return 2 * power.mean_half_width(k) * float(values.std(ddof=1))


@styled
def by_runs(
    table: pd.DataFrame, what: str = "maxdiff", palette: Mapping[str, str] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw a column of `against_runs`, "maxdiff" or "width", against the number of runs (widths from 3 runs on).

    >>> from fitlib import plots
    >>> from fitlib.results.example import example_results
    >>> results = example_results()
    >>> table = plots.against_runs(results.tables["metrics"].query("reading == 'strict'"), "DI")
    >>> plots.spread_by_runs(table).get_ylabel()
    'mean MaxDiff, points'
    """
    ax = ax if ax is not None else new_figure(figsize=(4.4, 3)).subplots()
    few = what == "width" and (table["n"] > 2).any()  # at 2 runs the interval is several times as wide as at 3
    draw_lines(ax, table[table["n"] > 2] if few else table, "n", what, palette_for(table, palette))
    titles = {"maxdiff": "MaxDiff grows with n", "width": "The interval of the mean narrows"}
    labels = {"maxdiff": "mean MaxDiff, points", "width": "width of the 95 % interval, points"}
    ax.set(title=titles[what], ylabel=labels[what], xlabel="number of runs", ylim=(0, None))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


@styled
def by_runs_figure(table: pd.DataFrame, palette: Mapping[str, str] | None = None) -> Figure:
    """Draw how MaxDiff grows, with its key.

    The width of the interval of the mean has no figure: at the SD found, it narrows alike in every experiment.
    """
    figure = new_figure(figsize=(5.5, 3.4))
    by_runs(table, "maxdiff", palette, figure.subplots())
    write_key(figure, table, palette_for(table, palette))
    write_n(figure, table.groupby(["technique", "arm"])["n"].max())
    return figure


def alt_by_runs(table: pd.DataFrame, metric: str) -> str:
    """Return in one sentence how much MaxDiff grows where it becomes largest."""
    if table.empty:
        return "Curves against the number of runs: no technique has two runs."
    last = table.loc[table["maxdiff"].idxmax()]
    rows = table[(table["technique"] == last["technique"]) & (table["arm"] == last["arm"])]
    first = fmt.decimals(rows["maxdiff"].iloc[0])
    return (
        f"MaxDiff of {metric} by number of runs. {short(last['technique'])}: from {first} "
        f"points in 2 runs to {fmt.decimals(last['maxdiff'])} in {int(last['n'])}."
    )
