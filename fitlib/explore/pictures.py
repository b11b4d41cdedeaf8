"""The content of `explore.ipynb` without widgets: distributions, single runs, and what-if questions.

Every function takes a `fitlib.results.loaded.ExperimentResults` and a choice, and returns a `Picture` or a table. What
if: other numbers of runs at the standard deviations that were found, other landmarks than 0.8 at the runs there are.
Both look at results that are known: they plan the next experiment, and conclude nothing about this one.
"""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fitlib import formatting as fmt
from fitlib.metrics import signed_differences
from fitlib.metrics.bias_metrics import bias_metrics_of
from fitlib.metrics.counts import cells_of
from fitlib.metrics.long_tables import counts_array
from fitlib.report import captions
from fitlib.report import vocabulary as words
from fitlib.report.figures import distributions
from fitlib.report.figures import style as style_figures
from fitlib.report.notebook_display import address, table_html
from fitlib.report.sections.runs import runs_view
from fitlib.results.loaded import ExperimentResults
from fitlib.statistics import power, risk
from fitlib.statistics.estimates import Estimate, mean_interval
from fitlib.statistics.planning import NUMBERS
from fitlib.tables.metric_series import main_arms, metrics_of
from fitlib.tables.planning import chances_now

RATES = {
    "selection rate": signed_differences.selection_rate,
    "true positive rate": signed_differences.true_positive_rate,
    "false positive rate": signed_differences.false_positive_rate,
}
LANDMARKS = np.round(np.arange(0.5, 1.0001, 0.01), 2)
KEYS = ["technique", "arm"]
STARTS = ("initial weights", "first batch")  # digested before the first epoch
NOT_COMPARED = "Nothing is compared here: choose a technique that has a baseline, and a bias metric or accuracy."
Option = tuple[str, int | None]


@dataclass(frozen=True)
class Choice:
    """A choice of what to look at: a metric, between the groups of an attribute, overall or of one class or group.

    ``target``: number of the class, None for overall; ``group``: number of the group, None for all.
    """

    metric: str
    attribute: str
    target: int | None = None
    group: int | None = None


@dataclass(frozen=True)
class Picture:
    """A figure with its text alternative and its caption; displayed as HTML."""

    figure: Figure
    alt: str
    caption: str

    def _repr_html_(self) -> str:
        picture = base64.b64encode(_svg(self.figure)).decode()
        source = f'src="data:image/svg+xml;base64,{picture}"'
        image = f'<img style="max-width: 100%" alt="{html.escape(self.alt)}" {source}>'
        return f'<figure style="margin: 0">{image}<figcaption>{html.escape(self.caption)}</figcaption></figure>'


@style_figures.styled
def _svg(figure: Figure) -> bytes:
    target = io.BytesIO()
    figure.savefig(target, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    return target.getvalue()


# What can be chosen


def metrics(plan: Mapping) -> list[str]:
    """Return what can be looked at: the metrics of the experiment, custom ones included, and rates of groups."""
    return [*metrics_of(plan), *RATES]


def targets(plan: Mapping, metric: str) -> list[Option]:
    """Return the classes that a metric can be looked at for; a bias metric also overall, others only so."""
    classes: list[Option] = [(str(name), number) for number, name in enumerate(plan["classes"])]
    if metric == "accuracy" or metric in (plan["analysis"].get("metrics") or ()):
        return [("overall", None)]
    return classes if metric in RATES else [("overall", None), *classes]


def groups(plan: Mapping, attribute: str, metric: str) -> list[Option]:
    """Return the groups that a metric can be looked at for; a bias metric compares them, so it has no value for one."""
    names: list[Option] = [(str(name), number) for number, name in enumerate(plan["groups"][attribute])]
    if metric in bias_metrics_of(plan["analysis"]):
        return [("all, compared", None)]
    return names if metric in RATES else [("all", None), *names]


# Distributions


def values(experiment: ExperimentResults, choice: Choice) -> pd.DataFrame:
    """Return the value of every run: technique, arm, run, value; and the columns that `distribution` needs."""
    if choice.metric in RATES:
        rows = _rates(experiment, choice)
    else:
        rows = style_figures.select(experiment.tables["metrics"], experiment.plan, choice.attribute)
        rows = rows[(rows["metric"] == choice.metric) & _same(rows["target"], choice.target)]
        rows = rows[_same(rows["group"], choice.group)]
    main = [arm["arm"] for arm in main_arms(experiment.plan)]
    rows = pd.DataFrame(rows[rows["arm"].isin(main)][[*KEYS, "run", "value"]])
    return rows.assign(metric=choice.metric, target=None, group=None)


def _same(column: pd.Series, wanted: int | None) -> pd.Series:
    return column.isna() if wanted is None else column == wanted


def _rates(experiment: ExperimentResults, choice: Choice) -> pd.DataFrame:
    """Return the rate of one group and class in every run, from the counts of all techniques."""
    plan, parts = experiment.plan, []
    for technique in (t["technique"] for t in plan["techniques"]):
        table = experiment.counts(technique)
        for arm, rows in table[table["attribute"] == choice.attribute].groupby("arm", sort=False):
            runs, counts = counts_array(rows, len(plan["classes"]), len(plan["groups"][choice.attribute]))
            rates = RATES[choice.metric](cells_of(counts, "target" in rows)).values()
            known = {"technique": technique, "arm": arm, "run": runs}
            parts.append(pd.DataFrame({**known, "value": rates[:, choice.group, choice.target]}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*KEYS, "run", "value"])


def means(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the mean with Student's 95 % interval by technique and arm, in the columns that `distribution` needs."""
    found = []
    for (technique, arm), part in rows.groupby(KEYS, sort=False):
        x = part["value"].dropna().to_numpy(float)
        if len(x):
            mean = mean_interval(x)
            ends = {"mean": mean.value, "mean_low": mean.low, "mean_high": mean.high}
            found.append({"technique": technique, "arm": arm, "n": len(x), **ends})
    frame = pd.DataFrame(found, columns=[*KEYS, "n", "mean", "mean_low", "mean_high"])
    return frame.assign(metric=rows["metric"].iloc[0] if len(rows) else "", target="overall", group=None)


def distribution(experiment: ExperimentResults, choice: Choice) -> Picture:
    """Draw every run as a point, by technique, with mean and interval."""
    rows = values(experiment, choice)
    summary = means(rows)
    ax = distributions.distribution(rows, summary, choice.metric, style_figures.technique_colours(experiment.plan))
    ax.set_title(_title(experiment.plan, choice).replace("$", r"\$"), loc="left", fontweight="bold")
    if choice.metric in RATES:
        ax.set_xlabel("% of the group")
    about = "Every point is a run; mean and its 95 % interval (Student's t). No test is made here."
    texts = [f"{row.technique}: mean {fmt.points(row.mean)}" for row in summary.itertuples(index=False)]
    alt = f"Dot plot of {_title(experiment.plan, choice)} by technique, in points. {fmt.join_items(texts, 8)}."
    return Picture(style_figures.figure_of(ax), alt, captions.caption(experiment.plan, summary["n"], about))


def _title(plan: Mapping, choice: Choice) -> str:
    texts = [choice.metric]
    texts += [f"class {words.class_name(plan, choice.target)}"] if choice.target is not None else []
    texts += [f"group {plan['groups'][choice.attribute][choice.group]}"] if choice.group is not None else []
    texts += [f"by {choice.attribute}"] if len(plan["groups"]) > 1 else []
    return ", ".join(texts)


# Runs


def runs(experiment: ExperimentResults, technique: str, arm: str, attribute: str) -> pd.DataFrame:
    """Return the planned runs of a technique as in the report, text in every cell; index: number of the run."""
    table = experiment.tables["runs"]
    rows = table[(table["technique"] == technique) & (table["arm"] == arm) & (table["attribute"] == attribute)]
    view = runs_view(pd.DataFrame(rows), experiment.plan).drop(columns="Technique")
    return view.set_index(rows["run"].astype(int).to_numpy())


def run_curves(experiment: ExperimentResults, technique: str, arm: str, run: int) -> Picture | None:
    """Draw accuracy by epoch and group of one run, before those of all others; None where none was recorded."""
    training = _training(experiment, technique)
    history = experiment.history
    rows = history[(history["training"] == training) & (history["arm"] == arm)]
    if rows.empty or not (rows["run"] == run).any():
        return None
    ax = _draw_curves(rows, run, _names(experiment.plan, rows))
    number = rows["run"].nunique()
    about = f"Accuracy on the test set after each epoch; pale: the other {number - 1} runs of {training}. No test."
    last = rows[(rows["run"] == run) & (rows["epoch"] == rows["epoch"].max())]
    texts = [
        f"{name}: {fmt.points(v)} %"
        for name, v in zip(_names(experiment.plan, last), last["test_accuracy"], strict=False)
    ]
    alt = f"Accuracy of run-{run:02d} by epoch and group. At the end {fmt.join_items(texts, 8)}."
    return Picture(style_figures.figure_of(ax), alt, captions.caption(experiment.plan, [number], about))


def _names(plan: Mapping, rows: pd.DataFrame) -> list[str]:
    """Return the names of the groups that a history has: those of the first protected attribute."""
    names = next(iter(plan["groups"].values()))
    return [str(names[int(g)]) if int(g) < len(names) else str(g) for g in sorted(rows["group"].unique())]


@style_figures.styled
def _draw_curves(rows: pd.DataFrame, run: int, names: list[str]) -> Axes:
    ax = Figure(figsize=(6, 3), layout="constrained").subplots()
    looks = [
        (style_figures.BLUE, "o", "-"),
        (style_figures.VERMILION, "^", "--"),
        (style_figures.INK, "s", ":"),
        (style_figures.GREY, "D", "-."),
    ]
    for (other, _), part in rows.groupby(["run", "group"], sort=False):
        if other != run:
            ax.plot(part["epoch"] + 1, 100 * part["test_accuracy"], color=style_figures.PALE, linewidth=0.8)
    for i, (_, part) in enumerate(rows[rows["run"] == run].groupby("group")):
        colour, marker, line = looks[i % len(looks)]
        style: dict[str, Any] = {"color": colour, "marker": marker, "linestyle": line, "markersize": 3}
        ax.plot(part["epoch"] + 1, 100 * part["test_accuracy"], label=names[i].replace("$", r"\$"), **style)
    ax.set(xlabel="epoch", ylabel="% correct")
    ax.set_title(f"run-{run:02d}")
    ax.legend(loc="lower right")
    return ax


def run_digests(experiment: ExperimentResults, technique: str, arm: str, run: int) -> str:
    """Return what a run recorded of itself as an HTML table, each digest beside the number of runs that share it."""
    training, digests = _training(experiment, technique), experiment.digests
    rows = digests[(digests["training"] == training) & (digests["arm"] == arm)] if len(digests) else digests
    own = rows[rows["run"] == run] if len(rows) else rows
    if own.empty:
        return "<p>No digests were recorded.</p>"
    total = rows["run"].nunique()
    view = pd.DataFrame(
        {
            "Part": row.part,
            "After epoch": "–" if row.part in STARTS else str(row.epoch + 1),
            "SHA-256": f"{row.digest[:16]}…",
            "Shared by": f"{row.shared} of {total} runs",
        }
        for row in _first_and_last_shared(own, rows).itertuples(index=False)
    )
    about = "Runs part where a digest is no longer shared by all; of epochs with equal numbers, the first and the last."
    return table_html(f"Digests of run-{run:02d}", view, captions.caption(experiment.plan, [total], about))


def _first_and_last_shared(own: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return a run's digests with the number of runs that share each; of equal numbers, the first and the last."""
    keys = ["part", "epoch", "digest"]
    shared = rows.groupby(keys)["run"].nunique().rename("shared").reset_index()
    found = own.merge(shared, on=keys).sort_values(["part", "epoch"], kind="stable")
    same = [found[["part", "shared"]].eq(found[["part", "shared"]].shift(step)).all(axis=1) for step in (1, -1)]
    return found[~(same[0] & same[1])]


def run_link(experiment: ExperimentResults, technique: str, arm: str, run: int) -> str:
    """Return a link from the notebook's folder to a run's executed notebook as HTML; a sentence without one."""
    path = experiment.root / "runs" / _training(experiment, technique) / arm / f"run-{run:02d}" / "train.ipynb"
    if not path.is_file():
        return "<p>It left no executed notebook.</p>"
    relative = html.escape(address(Path(os.path.relpath(path)).as_posix()), quote=True)
    return f'<p><a href="{relative}">executed notebook of run-{run:02d}</a></p>'


def _training(experiment: ExperimentResults, technique: str) -> str:
    return next(t["training"] for t in experiment.plan["techniques"] if t["technique"] == technique)


# What if: another number of runs


def other_runs(experiment: ExperimentResults, technique: str, arm: str, choice: Choice, n: int) -> Picture | None:
    """Draw chances of a verdict and width of the interval with ``n`` runs of each, at the standard deviations found.

    None where nothing is compared: `NOT_COMPARED`.
    """
    plan, row = experiment.plan, _comparison(experiment, technique, arm, choice)
    if row is None:
        return None
    about = (
        "At the standard deviations found here, averaged over the true ones that they leave open, and at the level at "
        "which all verdicts hold together. It says nothing about this experiment's own verdicts."
    )
    caption = captions.caption(plan, [row["n_baseline"], row["n_technique"]], about)
    return Picture(_runs_figure(row, n), other_runs_sentence(row, n), caption)


def _comparison(experiment: ExperimentResults, technique: str, arm: str, choice: Choice) -> pd.Series | None:
    table = style_figures.select(experiment.tables["comparisons"], experiment.plan, choice.attribute)
    rows = table[(table["technique"] == technique) & (table["arm"] == arm) & (table["metric"] == choice.metric)]
    return None if rows.empty or rows.iloc[0][["sd_baseline", "sd_technique"]].isna().any() else rows.iloc[0]


def other_runs_sentence(row: Mapping, n: int) -> str:
    """Describe the same in a sentence."""
    half, found = _half_width(row, n), _chances(row, n)
    low, high = power.sd_ratios(n)
    judged = "no verdict" if found is None else f"if it {_judged(row, found)}"
    return (
        f"With {n} runs of {row['technique']} and of {row['baseline']}, {row['metric']}: {judged}; the 95 % interval "
        f"of the difference about ±{fmt.points(half)} points; that of a standard deviation [{low:.2f}, {high:.2f}] "
        f"times itself; MaxDiff about {fmt.points(power.expected_range(n) * row['sd_technique'])} points."
    )


def _half_width(row: Mapping, n: int) -> float:
    if row["design"] == "paired by run":
        return power.mean_half_width(n) * row["sd_difference"]
    return power.difference_half_width(row["sd_baseline"], row["sd_technique"], n)


def _chances(row: Mapping, n: int) -> tuple[float, float] | None:
    """Return P(fairer) of what is fairer by twice the smallest effect, and P(equivalent) of what does not differ."""
    if fmt.is_missing(row["family_size"]) or fmt.is_missing(row["smallest_effect"]):
        return None
    twice, equal = (chances_now(row, multiple, n) for multiple in (2, 0))
    return (twice["fairer"], equal["equivalent"]) if twice else None


def _judged(row: Mapping, found: tuple[float, float]) -> str:
    twice = fmt.points(2 * row["smallest_effect"])
    return (
        f"is fairer by {twice} points, the verdict “fairer” has probability {fmt.chance(found[0])}; if it does not "
        f"differ, “equivalent” has {fmt.chance(found[1])}"
    )


@style_figures.styled
def _runs_figure(row: Mapping, n: int) -> Figure:
    figure = Figure(figsize=(style_figures.WIDTH, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    found = [_chances(row, m) for m in NUMBERS]
    if found[0] is not None:
        lines = (("fairer, if by 2δ", "o", "-"), ("equivalent, if equal", "^", "--"))
        for i, (label, marker, dashes) in enumerate(lines):
            style: dict[str, Any] = {
                "color": style_figures.BLUE,
                "linestyle": dashes,
                "marker": marker,
                "markersize": 3,
            }
            left.plot(NUMBERS, [pair[i] for pair in found if pair], label=label, **style)
        left.plot([n, n], _chances(row, n), "D", color=style_figures.VERMILION, markersize=7)
        left.legend(loc="center right")
    left.axhline(0.8, color=style_figures.INK, linewidth=0.8, linestyle=(0, (1, 2)))
    left.set(ylim=(-0.02, 1.02), ylabel="probability of the verdict")
    right.plot(
        NUMBERS, [100 * _half_width(row, m) for m in NUMBERS], color=style_figures.BLUE, marker="o", markersize=3
    )
    right.plot([n], [100 * _half_width(row, n)], "D", color=style_figures.VERMILION, markersize=7)
    right.set(ylabel="± points of the difference")
    right.set_ylim(bottom=0)
    for ax in (left, right):
        ax.set(xlabel=f"runs of each (diamond: {n})")
    return figure


# What if: another landmark


def ratios(experiment: ExperimentResults, technique: str, arm: str, attribute: str, target: int) -> np.ndarray:
    """Return the impact ratio of a class (strict reading) in every run where it is defined."""
    rows = experiment.tables["metrics"]
    rows = rows[(rows["technique"] == technique) & (rows["arm"] == arm) & (rows["attribute"] == attribute)]
    rows = rows[(rows["metric"] == "DI") & (rows["reading"] == "strict") & (rows["target"] == target)]
    return 1 - rows["value"].dropna().to_numpy(float)


def other_landmark(
    experiment: ExperimentResults, technique: str, arm: str, attribute: str, target: int, landmark: float
) -> Picture:
    """Draw the share of runs whose impact ratio lies below each landmark, with its exact interval."""
    plan, found = experiment.plan, ratios(experiment, technique, arm, attribute, target)
    figure = _landmark_figure(found, landmark, _landmark_name(plan, target))
    about = "Band: Clopper-Pearson interval of 95 % at each landmark. No test is made here, nothing legal is concluded."
    texts = other_landmark_sentence(found, plan, technique, target, landmark)
    return Picture(figure, texts, captions.caption(plan, [len(found)], about))


def _landmark_name(plan: Mapping, target: int) -> str:
    return "four fifths" if plan["analysis"].get("favourable") == target else "0.8, a landmark"


def other_landmark_sentence(found: np.ndarray, plan: Mapping, technique: str, target: int, landmark: float) -> str:
    """Describe the same in a sentence."""
    name, n = words.class_name(plan, target), len(found)
    if not n:
        return f"The impact ratio of class {name} is undefined in every run of {technique}."
    k = below(found, landmark)
    one, two = risk.clopper_pearson(k, n), risk.disagreement(k, n)
    disagree = f", two runs disagree with probability {_with_interval(two)}" if n > 1 else ""
    return (
        f"Class {name}, {technique}: the impact ratio lies below {landmark:g} in {k} of {n} runs "
        f"({_with_interval(one)}){disagree}."
    )


def _with_interval(share: Estimate) -> str:
    low, high, value = (np.nan if x is None else x for x in (share.low, share.high, share.value))
    return f"{fmt.probability(value)} {fmt.span(low, high, 1)}"


def below(found: np.ndarray, landmark: float) -> int:
    """Count the runs with a ratio below a landmark; one of exactly the landmark may have been rounded down.

    >>> below(np.array([0.7, 0.8, 0.9]), landmark=0.8)
    1
    """
    return int((found < landmark - 1e-12).sum())


@style_figures.styled
def _landmark_figure(found: np.ndarray, landmark: float, name: str) -> Figure:
    figure = Figure(figsize=(6, 3), layout="constrained")
    ax = figure.subplots()
    if len(found):
        shares = [risk.clopper_pearson(below(found, at), len(found)) for at in LANDMARKS]
        value, low, high = np.array([(share.value, share.low, share.high) for share in shares], dtype=float).T
        ax.fill_between(LANDMARKS, low, high, step="mid", color=style_figures.BLUE, alpha=0.15, linewidth=0)
        ax.step(LANDMARKS, value, where="mid", color=style_figures.BLUE)
        ax.plot(found, np.full(len(found), -0.04), "|", color=style_figures.INK, markersize=7, clip_on=False)
    ax.axvline(0.8, color=style_figures.INK, linewidth=1, linestyle=(0, (4, 3)), label=name)
    ax.axvline(landmark, color=style_figures.VERMILION, linewidth=1.6, label=f"chosen: {landmark:g}")
    ax.set(ylim=(-0.08, 1.02), xlim=(LANDMARKS[0], LANDMARKS[-1]), xlabel="landmark", ylabel="share of runs below it")
    ax.legend(loc="upper left")
    return figure
