"""The effects of an experiment at a glance, for the page of all experiments: a line and a small drawing.

Read from the tables as they are on disk, without pandas and matplotlib. Values are percentage points.
"""

from __future__ import annotations

import csv
import html
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHOWN = 6  # techniques that are drawn
WIDTH, ROW = 160, 14  # of the drawing, pixels
Row = Mapping[str, str]


@dataclass(frozen=True)
class Effect:
    """A technique on the metric that decides: mean with its interval, least and largest run, and what was found.

    `text`: "−10.8 [−12.9, −8.7], fairer"; "baseline" for what others are compared with.
    """

    technique: str
    mean: float
    low: float
    high: float
    least: float
    most: float
    text: str


def read_effects(tables: Path, plan: Mapping[str, Any]) -> tuple[str, list[Effect]]:
    """Return the metric and the effects at the first arm and attribute; no effects over seeds, or without tables."""
    if _rows(tables / "over_seeds.csv"):
        return "", []
    first = {
        "reading": plan["analysis"]["reading"],
        "attribute": next(iter(plan["groups"])),
        "arm": next(arm["arm"] for arm in plan["arms"] if arm["role"] == "main"),
    }
    compared = [row for row in _rows(tables / "comparisons.csv") if first.items() <= row.items()]
    metric = _metric(compared, plan)
    found = {row["technique"]: row for row in compared if row["metric"] == metric}
    wanted = {**first, "metric": metric, "target": "overall", "group": ""}
    rows = [row for row in _rows(tables / "summary.csv") if wanted.items() <= row.items()]
    effects = [_effect(row, found.get(row["technique"])) for row in rows if row["mean"] and row["mean_low"]]
    return metric, effects if found else []


def drawing(effects: Sequence[Effect], metric: str) -> str:
    """Return a small SVG: for each technique range, interval and mean of its runs; behind them the baseline's range."""
    shown = effects[:SHOWN]
    scale = (WIDTH - 8) / max([effect.most for effect in shown] + [1e-9])
    height = ROW * len(shown)
    marks = [_mark(effect, ROW * i + ROW / 2, scale) for i, effect in enumerate(shown)]
    base = next((effect for effect in shown if effect.text == "baseline"), None)
    strip = (
        f'<rect x="{4 + base.least * scale:.1f}" width="{(base.most - base.least) * scale:.1f}" y="0" ' if base else ""
    )
    behind = f'{strip}height="{height}"/>' if base else ""
    about = html.escape(f"{metric} from 0 to {max(effect.most for effect in shown):.1f} points: the numbers beside it")
    return (
        f'<svg class="spark" role="img" aria-label="{about}" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}"><path class="zero" d="M4 0V{height}"/>{behind}{"".join(marks)}</svg>'
    )


def _mark(effect: Effect, y: float, scale: float) -> str:
    x = {name: 4 + getattr(effect, name) * scale for name in ("mean", "low", "high", "least", "most")}
    look = "base" if effect.text == "baseline" else "other"
    return (
        f'<path class="range" d="M{x["least"]:.1f} {y}H{x["most"]:.1f}"/>'
        f'<path class="{look}" d="M{x["low"]:.1f} {y}H{x["high"]:.1f}"/>'
        f'<circle class="{look}" cx="{x["mean"]:.1f}" cy="{y}" r="3"/>'
    )


def _metric(compared: Iterable[Row], plan: Mapping[str, Any]) -> str:
    """Return the metric as `fitlib.report.figures.verdict.shown_metric` chooses it."""
    names = [row["metric"] for row in compared if not row["redundant_with"] and row["family_size"]]
    return str(plan["analysis"].get("primary") or ("DI" if "DI" in names or not names else names[0]))


def _effect(row: Row, compared: Row | None) -> Effect:
    mean, low, high, least, most = (100 * float(row[name]) for name in ("mean", "mean_low", "mean_high", "min", "max"))
    text = "baseline" if compared is None else _text(compared)
    return Effect(row["technique"], mean, low, high, least, most, text)


def _text(row: Row) -> str:
    from fitlib.formatting import points

    numbers = [points(float(row[name] or "nan"), signed=True) for name in ("difference", *_ends(row))]
    return f"{numbers[0]} [{numbers[1]}, {numbers[2]}], {row['verdict']}"


def _ends(row: Row) -> tuple[str, str]:
    kind = "simultaneous" if row["simultaneous_low"] else "difference"
    return f"{kind}_low", f"{kind}_high"


def _rows(table: Path) -> list[Row]:
    try:
        with table.open(encoding="utf-8", newline="") as file:
            return list(itertools.islice(csv.DictReader(file), 100_000))
    except OSError:
        return []
