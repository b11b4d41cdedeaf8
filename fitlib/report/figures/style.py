"""The style that all figures share: one visual language that does not depend on colour.

Every function draws a tidy table on `ax` (a new axes where None) and returns the axes; `…_figure` functions arrange
several. Techniques are rows, so that 2 and 27 of them read alike. Metrics are shown in points (percentage points).

A technique has one colour in all figures, and nothing else has a colour: baselines are hollow and grey; groups,
verdicts and components differ by mark and dashes, in ink. What fell below a landmark is a triangle. `alt_…` functions
give the finding of a figure in one sentence; the data are in its table.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.transforms import BboxBase

from fitlib.report.figures.dark_colours import dark_colour

BLUE, VERMILION, GREY, INK, PALE = "#0072b2", "#c44900", "#6b6b6b", "#1f1f1f", "#e4e4e4"  # Okabe and Ito, darkened
# Of techniques, in plan order: at least 3 : 1 on white, and far apart (CIE76 > 20) with deutan and protan vision too.
# More techniques than colours take them in turn, with other marks and dashes.
PALETTE = ("#0072b2", "#c44900", "#2e7457", "#6d2466", "#5a9aab", "#7c2115", "#0358f8", "#ae8b54")
MARKERS, DASHES = "osD^vP", ("-", (0, (5, 2)), (0, (1, 1.4)), (0, (5, 1, 1, 1)))
DIVERGING = mpl.colormaps["RdBu_r"].with_extremes(bad="#efefef")
TITLE, TEXT, SMALL = 10, 9, 8  # points: the sizes of all text in figures
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same bytes everywhere
    "font.size": TEXT,
    "axes.titlesize": TITLE,
    "axes.labelsize": TEXT,
    "xtick.labelsize": TEXT,
    "ytick.labelsize": TEXT,
    "legend.fontsize": SMALL,
    "legend.handlelength": 3,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9a9a9a",
    "axes.labelcolor": INK,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": PALE,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "fitlib",
    "svg.fonttype": "path",
    "path.simplify": False,
}
NO_DATE = {"Date": None, "Creator": None}  # metadata of an SVG: the same figure gives the same bytes
ROW = 0.27  # height of a row, inches
WIDTH = 7.5  # of a full figure, inches: at most 760 px on a screen
TALLEST = 9.5  # inches: what still fits a printed page at WIDTH; more becomes several figures
Arguments = ParamSpec("Arguments")
Drawn = TypeVar("Drawn")
_NEW_FIGURE: ContextVar[Callable[..., Figure]] = ContextVar("new_figure", default=Figure)


def styled(draw: Callable[Arguments, Drawn]) -> Callable[Arguments, Drawn]:
    """Run a drawing function under fitlib's style, whatever the reader's matplotlib settings are."""

    @wraps(draw)
    def inside(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Drawn:
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(STYLE)  # type: ignore[arg-type]  # the stubs want a Literal for every key
            return draw(*args, **kwargs)

    return inside


def figure_of(ax: Axes) -> Figure:
    """Return the figure that holds the axes. Raises TypeError for axes of a sub-figure."""
    if not isinstance(ax.figure, Figure):
        raise TypeError("axes of a whole figure are needed")
    return ax.figure


def new_figure(figsize: tuple[float, float]) -> Figure:
    """Return an empty figure of so many inches; within `figures_in_pyplot` one that pyplot shows."""
    return _NEW_FIGURE.get()(figsize=figsize, layout="constrained")


@contextmanager
def figures_in_pyplot() -> Iterator[None]:
    """Let pyplot manage the figures drawn within the block, so that notebooks and `pyplot.show()` show them."""
    from matplotlib import pyplot

    pyplot.draw_if_interactive()  # loads the backend, which in notebooks turns the interactive mode on
    interactive = mpl.is_interactive()

    def figure(**options: Any) -> Figure:
        with mpl.rc_context({"interactive": interactive}):  # a notebook shows figures that are made in this mode
            return pyplot.figure(**options)

    token = _NEW_FIGURE.set(figure)
    try:
        yield
    finally:
        _NEW_FIGURE.reset(token)


@styled
def save(figure: Figure, folder: str | Path, stem: str) -> tuple[Path, Path]:
    """Write `stem`.svg and `stem`.png into `folder`; the same figure gives the same bytes (no date, no version)."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    svg, png = folder / f"{stem}.svg", folder / f"{stem}.png"
    tight = _tight_box(figure)  # once: savefig would draw the figure again for each file to find it
    figure.savefig(svg, bbox_inches=tight, metadata=NO_DATE)
    figure.savefig(png, bbox_inches=tight, dpi=150, metadata={"Software": None})
    return svg, png


@styled
def svg_text(figure: Figure) -> str:
    """Return the figure as the text of the SVG file that `save` writes."""
    text = io.StringIO()
    figure.savefig(text, format="svg", bbox_inches=_tight_box(figure), metadata=NO_DATE)
    return text.getvalue()


def _tight_box(figure: Figure) -> BboxBase:
    figure.draw_without_rendering()
    return figure.get_tightbbox().padded(0.1)


@styled
def save_as(figure: Figure, path: str | Path) -> None:
    """Write one file, in the format of its suffix: .svg or .png."""
    metadata = NO_DATE if Path(path).suffix == ".svg" else {"Software": None}
    figure.savefig(path, bbox_inches="tight", pad_inches=0.1, dpi=150, metadata=metadata)


def select(frame: pd.DataFrame, plan: Mapping, attribute: str) -> pd.DataFrame:
    """Return the rows of a protected attribute, in the declared reading (accuracy and custom metrics have none)."""
    without = ["accuracy", *(plan["analysis"].get("metrics") or ())]
    reading = (frame["reading"] == plan["analysis"]["reading"]) | frame["metric"].isin(without)
    return frame[reading & (frame["attribute"] == attribute)]


def stem(name: str, plan: Mapping, attribute: str) -> str:
    """Return the file name of a figure: numbered by protected attribute where there are several."""
    attributes = list(plan["groups"])
    return name if len(attributes) == 1 else f"{name}-{attributes.index(attribute) + 1}"


def rows_with_labels(rows: pd.DataFrame, labels: Collection[tuple[str, str]]) -> pd.DataFrame:
    """Return the rows of the techniques and arms in `labels`."""
    kept = [key in labels for key in zip(rows["technique"], rows["arm"], strict=True)]
    return rows[pd.Series(kept, rows.index, dtype=bool)]


# Shared pieces


def split_labels(labels: Mapping, most: int) -> list[dict]:
    """Split rows or panels into portions of nearly equal size, each at most `most`.

    >>> split_labels({"a": 1, "b": 2, "c": 3}, most=2)
    [{'a': 1, 'b': 2}, {'c': 3}]
    """
    items, n = list(labels.items()), -(-len(labels) // most)
    size = -(-len(items) // max(n, 1))
    return [dict(items[i : i + size]) for i in range(0, len(items), max(size, 1))]


def new_axes(rows: float, width: float = 5.0) -> Axes:
    """Return axes of their own for `rows` rows."""
    return new_figure(figsize=(width, 0.9 + ROW * max(rows, 2))).subplots()


def columns_of(n: int, most: int = 3) -> int:
    """Return how many of `n` panels stand side by side: two of four, so that none is left alone.

    >>> [columns_of(n) for n in (1, 2, 3, 4, 5)]
    [1, 2, 3, 2, 3]
    """
    return 2 if n == 4 else max(1, min(n, most))


def panels(n: int, rows: int, across: int = 3, key: float = 0.0) -> tuple[Figure, np.ndarray]:
    """Return a figure of `n` panels that share their rows; only the leftmost of each line names them.

    ``key``: the height, in inches, that a legend below them takes.
    """
    across = columns_of(n, across)
    down = -(-n // across)
    figure = new_figure(figsize=(WIDTH, key + down * (0.85 + ROW * max(rows, 2))))
    axes = figure.subplots(down, across, sharey=True, squeeze=False).ravel()
    for ax in axes[n:]:
        ax.set_visible(False)
    return figure, axes[:n]


def in_figures(names: Sequence[str], rows: int, across: int = 3) -> list[list[str]]:
    """Split names of panels with so many rows into portions that `panels` draws no taller than `TALLEST`."""
    lines = max(1, int(TALLEST // (0.85 + ROW * max(rows, 2))))
    return [list(part) for part in split_labels(dict.fromkeys(names), lines * across)]


def row_labels(rows: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Return (technique, arm) in table order, each with its label, which names the arm only where there are several."""
    keys = list(dict.fromkeys(zip(rows["technique"], rows["arm"], strict=True)))
    several = len({arm for _, arm in keys}) > 1
    return {key: f"{key[0]} · {key[1]}" if several else key[0] for key in keys}


def rows_of(rows: pd.DataFrame, key: tuple[str, str]) -> pd.DataFrame:
    """Return the rows of one technique and arm."""
    return rows[(rows["technique"] == key[0]) & (rows["arm"] == key[1])]


def technique_colours(plan: Mapping) -> dict[str, str]:
    """Return the colour of every technique of the plan that is compared with a baseline; baselines are grey.

    >>> from fitlib import plots
    >>> from fitlib.results.example import example_results
    >>> plots.technique_colours(example_results().plan)
    {'Fairer': '#0072b2', 'Same': '#c44900'}
    """
    return palette_of(t["technique"] for t in plan["techniques"] if t["baseline"])


def palette_of(names: Iterable[str]) -> dict[str, str]:
    """Return a colour for each name, in order.

    >>> palette_of(["reweighted", "adversarial"])
    {'reweighted': '#0072b2', 'adversarial': '#c44900'}
    """
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(dict.fromkeys(names))}


def palette_for(rows: pd.DataFrame, palette: Mapping[str, str] | None) -> Mapping[str, str]:
    """Return ``palette``; without one, colours for all techniques of a table but the first, the baseline."""
    return palette_of(list(dict.fromkeys(rows["technique"]))[1:]) if palette is None else palette


def line_look(name: str, palette: Mapping[str, str]) -> dict[str, Any]:
    """Return colour, dashes and mark of a technique's line: no two of 32 are alike; grey and hollow for a baseline."""
    if name not in palette:
        return {"color": GREY, "linestyle": "-", "marker": "o", "markerfacecolor": "white"}
    turn, place = divmod(list(palette).index(name), len(PALETTE))
    mark = place + turn  # so that techniques of one colour differ in both
    return {"color": palette[name], "linestyle": DASHES[mark % len(DASHES)], "marker": MARKERS[mark % len(MARKERS)]}


def group_look(group: int) -> dict[str, Any]:
    """Return ink, dashes and mark of a group's line: groups have no colour."""
    hollow = {"markerfacecolor": "white"} if group % 2 else {}
    return {"color": INK, "linestyle": DASHES[group % len(DASHES)], "marker": MARKERS[group % len(MARKERS)]} | hollow


def in_blocks(plan: Mapping, techniques: Collection[str]) -> list[tuple[str, str | None]]:
    """Return those techniques of the plan with their baselines, each baseline (None) before what is compared with it.

    A technique whose baseline is not among them stands alone, at its place.
    """
    known = set(techniques)
    against = {t["technique"]: t["baseline"] for t in plan["techniques"] if t["technique"] in known}
    blocks: dict[str, list[tuple[str, str | None]]] = {}
    for name, baseline in against.items():
        if baseline in against:
            blocks.setdefault(baseline, []).append((name, baseline))
        else:
            blocks.setdefault(name, []).insert(0, (name, None))
    return [row for block in blocks.values() for row in block]


def readable_ink(background: str | tuple[float, float, float, float]) -> str:
    """Return black or white, whichever stands out more: at least 4.58 : 1 on any colour (WCAG 2.1).

    As "#rrggbb", whose last bit tells which of both stands out where the page is dark (`dark_colours.ON_CELLS`).

    >>> readable_ink("#ffffff"), readable_ink("#053061")
    ('#010101', '#fefefe')
    """
    light, dark = _is_light(background), _is_light(dark_colour(to_hex(background)))
    inks = {(True, False): "#010101", (True, True): "#010102", (False, False): "#fffffe", (False, True): "#fefefe"}
    return inks[light, dark]


def _is_light(colour: str | tuple[float, float, float, float]) -> bool:
    linear = np.array([c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)])
    return bool(linear @ (0.2126, 0.7152, 0.0722) + 0.05 >= np.sqrt(1.05 * 0.05))


def stacked(n: int) -> np.ndarray:
    """Return the vertical offsets of `n` runs in run order: nothing random, and the order stays visible."""
    return np.linspace(-0.28, 0.28, n) if n > 1 else np.zeros(n)


def run_points(colour: str | None) -> dict:
    """Return the style of the points of runs: filled in a technique's colour, hollow and grey for a baseline (None)."""
    size = {"marker": "o", "linestyle": "none", "markersize": 3.6}
    if colour is None:
        return {**size, "color": GREY, "markerfacecolor": "none", "markeredgewidth": 0.8}
    return {**size, "color": colour, "alpha": 0.65, "markeredgewidth": 0}


def write_n(figure: Figure, numbers: Iterable[float], what: str = "run", whose: str = "technique") -> None:
    """Write above a figure how many runs it rests on.

    >>> figure = new_figure((4, 3))
    >>> write_n(figure, [12, 16, 16])
    >>> figure.get_suptitle()
    'n = 12 to 16 runs of each technique'
    """
    known = sorted({int(n) for n in numbers if n == n})
    if known:
        n = str(known[0]) if len(known) == 1 else f"{known[0]} to {known[-1]}"
        text = f"n = {n} {what}{'' if known[-1] == 1 else 's'} of each {whose}"
        figure.suptitle(text, x=0.01, ha="left", fontsize=SMALL, color=GREY)


def run_numbers(metrics: pd.DataFrame) -> pd.Series:
    """Return the number of runs of each technique and arm of a long table of metrics."""
    return metrics.groupby(["technique", "arm"], sort=False)["run"].nunique()


def short(name: object, most: int = 24) -> str:
    """Return a name on one line, shortened: for text alternatives.

    >>> short("a name that is longer than others", 12)
    'a name that…'
    """
    line = " ".join(str(name).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def name_rows(ax: Axes, labels: list[str], most: int = 24) -> None:
    """Write names at the left, shortened, the first row on top."""
    ax.set_yticks(range(len(labels)), [plain(label, most) for label in labels])
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.grid(False, axis="y")


def plain(text: str, most: int = 24) -> str:
    """Return a name as it is: no mathematics between dollar signs, one line, shortened."""
    lines = [" ".join(line.split()) for line in str(text).split("\n")]
    return "\n".join(line if len(line) <= most else line[: most - 1] + "…" for line in lines).replace("$", r"\$")
