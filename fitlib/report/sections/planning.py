"""Probabilities of the verdicts by number of runs: part of the section on robustness; lines of `fitlib how-many`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from fitlib import formatting as fmt
from fitlib.report import table_files
from fitlib.report import vocabulary as words
from fitlib.report.captions import caption
from fitlib.report.figures import planning as figures
from fitlib.report.notebook_display import Page, show_text
from fitlib.report.reader_tables import ReaderTable

CHANCE = 0.8  # that many runs are looked for in the sentences
FEW, SOME = 2, 6  # comparisons of which the table shows all numbers of runs, and some
SOME_NUMBERS = (4, 8, 16, 32, 64)
KEYS = ["technique", "baseline", "arm", "attribute", "metric", "which", "design"]
SHORT = {"fairer": "fair", "equivalent": "equi", "undecided": "und."}


def show(page: Page, frames: Mapping[str, pd.DataFrame], plan: Mapping) -> None:
    """Display figure, table and sentences; nothing where nothing can be planned."""
    frame = frames["planning"]
    for attribute in plan["groups"]:
        for seeds, rows in drawn_parts(frame[frame["attribute"] == attribute]):
            name = "how-many-seeds" if seeds else "how-many-runs"
            figure = figures.planning_figure(rows, figures.present_numbers(rows))
            page.figure(name, attribute, figure, figures.alt_planning(rows), caption_figure(plan, rows))
    page.show(PLANNING, frame)
    show_text([text for _, rows in _parts(frame) for text in sentences(rows)])


def drawn_parts(frame: pd.DataFrame) -> Iterator[tuple[bool, pd.DataFrame]]:
    """Yield the rows of each figure, and whether they count seeds; none where nothing can be drawn."""
    yield from ((seeds, rows) for seeds, rows in _parts(frame) if figures.curves(rows)["n"].any())


def _parts(frame: pd.DataFrame) -> Iterator[tuple[bool, pd.DataFrame]]:
    """Split what counts runs from what counts seeds."""
    seeds = frame["design"] == "paired by seed"
    yield from ((of, frame[seeds == of]) for of in (False, True) if (seeds == of).any())


# Sentences


def sentences(frame: pd.DataFrame) -> list[str]:
    """Return what the present runs can decide, what more runs would, and what no number of runs does."""
    if frame.empty:
        return []
    frame = frame.assign(multiple=figures.multiples(frame))
    unit = "seeds" if (frame["design"] == "paired by seed").all() else "runs"
    return [*_now(frame, unit), *_enough(frame, unit), _border(frame, unit)]


def _now(frame: pd.DataFrame, unit: str) -> Iterator[str]:
    now = frame[(frame["n_baseline"] == frame["pilot_baseline"]) & (frame["n_technique"] == frame["pilot_technique"])]
    if now.empty:
        return
    equal, twice = now.loc[now["multiple"] == 0, "equivalent"], now.loc[now["multiple"] == 2, "fairer"]
    yield (
        f"With the {unit} there are, a technique without any true difference is found “equivalent” with probability "
        f"{fmt.value_range(equal, fmt.chance)}, and one that is fairer by twice the smallest effect “fairer” with "
        f"probability {fmt.value_range(twice, fmt.chance)}."
    )


def _enough(frame: pd.DataFrame, unit: str) -> Iterator[str]:
    """Name the first number of runs with both chances, for each kind of metric, in all comparisons."""
    texts = []
    for which, rows in frame.groupby("which", sort=False):
        both = [_lowest(rows, 0, "equivalent"), _lowest(rows, 2, "fairer")]
        enough = pd.concat(both, axis=1).min(axis=1)
        enough = enough[enough >= CHANCE].index
        n = f"{int(enough.min())} {unit}" if len(enough) else f"more than {int(rows['n_baseline'].max())} {unit}"
        texts.append(f"{n} of each ({figures.TITLES.get(str(which), f'{which} metric')})")
    yield f"For a probability of {CHANCE:g} of both, in every comparison, it takes {fmt.join_items(texts)}."


def _lowest(rows: pd.DataFrame, multiple: int, verdict: str) -> pd.Series:
    of = rows[(rows["multiple"] == multiple) & (rows["n_baseline"] == rows["n_technique"])]
    return of.groupby("n_baseline")[verdict].min()


def _border(frame: pd.DataFrame, unit: str) -> str:
    half = fmt.value_range(frame["level"] / 2, fmt.probability)
    return (
        f"A technique that is fairer by exactly the smallest effect gets “fairer” with probability {half} (half the "
        f"level), whatever the number of {unit}: the smallest effect is the border between verdicts, and no number of "
        f"{unit} shows a difference of that size. Towards “less fair” all this holds likewise."
    )


# The table for readers


def planning_view(frame: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Return P(fairer) / P(equivalent) / P(undecided) by comparison and number of runs, a column per true difference.

    All numbers of runs for up to `FEW` comparisons, some for up to `SOME`, else only the present one.
    """
    if frame.empty:
        return pd.DataFrame()
    frame = frame.assign(multiple=figures.multiples(frame))
    shown = frame[_shown(frame)]
    groups = shown.groupby([*KEYS, "n_baseline", "n_technique"], sort=False, dropna=False)
    return pd.DataFrame([_view_row(rows, frame) for _, rows in groups])


def _shown(frame: pd.DataFrame) -> pd.Series:
    n = len(frame[KEYS].drop_duplicates())
    now = (frame["n_baseline"] == frame["pilot_baseline"]) & (frame["n_technique"] == frame["pilot_technique"])
    if n <= FEW:
        return now | True
    return now | frame["n_baseline"].isin(SOME_NUMBERS) if n <= SOME else now


def _view_row(rows: pd.DataFrame, frame: pd.DataFrame) -> dict[str, str]:
    row = rows.iloc[0]
    sizes = {int(row["n_baseline"]): None, int(row["n_technique"]): None}
    now = (row["n_baseline"], row["n_technique"]) == (row["pilot_baseline"], row["pilot_technique"])
    unit = " seeds" if row["design"] == "paired by seed" else ""
    cells = {
        "Comparison": f"{row['technique']} v {row['baseline']}{words.arm_and_attribute_suffix(frame, row)}",
        "Metric": f"{row['metric']} ({row['which']})",
        "Runs of each": " v ".join(map(str, sizes)) + unit + (" (now)" if now else ""),
    }
    return cells | {step_name(int(r["multiple"])): _three(r) for _, r in rows.iterrows()}


def step_name(multiple: int) -> str:
    """Return the heading of a true difference."""
    return "No difference" if multiple == 0 else "Fairer by δ" if multiple == 1 else f"Fairer by {multiple}δ"


def _three(row: pd.Series) -> str:
    if row["note"]:
        return "no verdict"
    return " / ".join(fmt.chance(row[name]) for name in figures.VERDICTS)


# Captions


def caption_planning(plan: Mapping, frame: pd.DataFrame) -> str:
    """Caption the table."""
    return caption(
        plan,
        figures.present_numbers(frame),
        "P(fairer) / P(equivalent) / P(undecided: lower, open or higher) for normal runs with the true difference in "
        f"the heading, in smallest effects δ. {_basis(frame)} What is missing up to 1 is a false “less fair”.",
    )


def caption_figure(plan: Mapping, frame: pd.DataFrame) -> str:
    """Caption the figure."""
    several = frame[KEYS].drop_duplicates().shape[0] > frame["which"].nunique()
    band = (
        "Lines: the median over comparisons, within their range." if several else "Shaded: 10 % to 90 % over these SDs."
    )
    return caption(plan, figures.present_numbers(frame), f"{_basis(frame)} {band}")


def _basis(frame: pd.DataFrame) -> str:
    levels = fmt.value_range(frame["level"], fmt.probability) if len(frame) else "–"
    return (
        f"Level {levels}, at which all verdicts hold together. At the standard deviations found, averaged over the "
        "true ones that they leave open."
    )


PLANNING = ReaderTable("Probability of each verdict", caption_planning, planning_view, table_files.PLANNING)


# Text for the command line


def planning_lines(frame: pd.DataFrame) -> list[str]:
    """Return the table as lines of text: a block for each comparison, percentages by runs and true difference."""
    blocks = [_block(rows) for _, rows in frame.groupby(KEYS, sort=False, dropna=False)]
    return [line for block in blocks for line in [*block, ""]][:-1]


def _block(rows: pd.DataFrame) -> list[str]:
    rows = rows.assign(multiple=figures.multiples(rows))
    steps = sorted(set(rows["multiple"]))
    width = 5 * len(SHORT)
    head = [f"{_points(step, rows):^{width}}" for step in steps]
    unit = "seeds" if rows["design"].iloc[0] == "paired by seed" else "runs"
    names = "".join(f"{short:>5}" for short in SHORT.values())
    lines = [_about(rows), f"{'':>7} | {' | '.join(head)}".rstrip(), f"{unit:>7} | {' | '.join([names] * len(steps))}"]
    return lines + [_line(of) for _, of in rows.groupby(["n_baseline", "n_technique"], sort=False)]


def _points(step: int, rows: pd.DataFrame) -> str:
    return "no diff." if step == 0 else f"{fmt.points(-step * rows['smallest_effect'].iloc[0])} points"


def _about(rows: pd.DataFrame) -> str:
    """Return what a block is about: comparison, metric, SDs, where they come from, smallest effect, level."""
    row = rows.iloc[0]
    sds = [row[name] for name in ("sd_baseline", "sd_technique", "sd_difference") if not fmt.is_missing(row[name])]
    what = "SD of the difference" if row["design"] != "independent" else "SD"
    name = f"{row['technique']} v {row['baseline']}, " if row["technique"] else ""
    metric = f"{row['metric']} ({row['which']}): " if row["metric"] else ""
    pilot = f" in {_pilot(row)}" if not fmt.is_missing(row["pilot_baseline"]) else ""
    return (
        f"{name}{metric}{what} {fmt.join_items(dict.fromkeys(map(fmt.points, sds)))} points{pilot}, smallest effect "
        f"{fmt.points(row['smallest_effect'])} points, level {fmt.probability(row['level'])}"
    )


def _pilot(row: pd.Series) -> str:
    sizes = dict.fromkeys((int(row["pilot_baseline"]), int(row["pilot_technique"])))
    return f"{fmt.join_items(sizes)} {'seeds' if row['design'] == 'paired by seed' else 'runs'}"


def _line(rows: pd.DataFrame) -> str:
    row = rows.iloc[0]
    n = " v ".join(dict.fromkeys((str(row["n_baseline"]), str(row["n_technique"]))))
    if row["note"]:
        return f"{n:>7} | {row['note']}"
    cells = ("".join(f"{_percent(r[name]):>5}" for name in SHORT) for _, r in rows.sort_values("multiple").iterrows())
    return f"{n:>7} | {' | '.join(cells)}"


def _percent(value: float) -> str:
    return "<1" if 0 < value < 0.005 else ">99" if 0.995 < value < 1 else f"{100 * value:.0f}"
