"""The table "planning": how probable each verdict is by the number of runs, for given true differences.

Comparisons are planned from the standard deviations of an experiment (a pilot, or the one reported) or from declared
ones; see `fitlib.statistics.planning`. Frames in, frames out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from fitlib.metrics.smallest_effects import Declared
from fitlib.metrics.smallest_effects import smallest_effect as resolved
from fitlib.statistics import planning
from fitlib.statistics.planning import BAND, MULTIPLES, NUMBERS
from fitlib.statistics.verdict_names import RUNS, VERDICTS
from fitlib.tables.schemas import PLANNING, Json, table_of

COLUMNS = ("fairer", "lower", "equivalent", "open", "higher", "less_fair")  # of the verdicts, in the order of VERDICTS
BANDED = ("fairer", "equivalent", "undecided")  # columns with the range that a pilot leaves open
TOO_FEW = f"no verdict below {RUNS} runs"
BY_RUN, BY_SEED, INDEPENDENT = "paired by run", "paired by seed", "independent"
KEYS = ["technique", "baseline", "arm", "attribute"]


@dataclass(frozen=True)
class Planned:
    """A comparison to be planned.

    names: technique, baseline, arm, attribute, metric and which (see the column), as far as they are known.
    design: of `BY_RUN`, `BY_SEED`, `INDEPENDENT`. sds: of baseline and technique, or of the paired differences alone.
    runs: from which these are estimated, in the same order; () where they are declared.
    """

    names: Json
    design: str
    sds: tuple[float, ...]
    runs: tuple[int, ...]
    smallest_effect: float
    level: float

    @property
    def plannable(self) -> bool:
        """Whether there are standard deviations and a smallest effect to plan with."""
        known = not np.isnan([*self.sds, self.smallest_effect, self.level]).any()
        return known and max(self.sds) > 0 and self.smallest_effect > 0 and min(self.runs, default=2) > 1

    def chances(self, differences: Sequence[float], sizes: Sequence[int]) -> np.ndarray:
        """Return the probabilities of the verdicts, (worlds, differences, verdicts), with so many runs of each."""
        df = tuple(n - 1 for n in self.runs) or None
        return planning.verdict_chances(differences, self.sds, sizes, self.smallest_effect, self.level, df)


def planning_table(comparisons: pd.DataFrame, over_seeds: pd.DataFrame, plan: Json) -> pd.DataFrame:
    """Return the probability of each verdict by number of runs and true difference, at the SDs of the experiment.

    For the primary metric of each technique, arm and attribute, if one is declared, else for its typical and its worst
    metric (which may be the only one): the distinct ones whose SD, in smallest effects, is the median and the largest.
    Then the same over seeds.

    Rows for each of `fitlib.statistics.planning.NUMBERS` of runs, and for the present one.
    """
    return table_of_chances([*chosen(comparisons, plan), *chosen(over_seeds, plan)])


def table_of_chances(planned: Sequence[Planned], numbers: Sequence[int] = NUMBERS) -> pd.DataFrame:
    """Return the table "planning" of these comparisons for ``numbers`` of runs of each, and for the present ones."""
    return table_of([row for one in planned if one.plannable for row in _rows(one, numbers)], PLANNING)


def how_many(
    comparisons: pd.DataFrame,
    over_seeds: pd.DataFrame,
    plan: Json,
    numbers: Sequence[int] = NUMBERS,
    techniques: Sequence[str] = (),
    metrics: Sequence[str] = (),
    smallest_effect: Declared | None = None,
    level: float | None = None,
) -> pd.DataFrame:
    """Return the table "planning" from the tables of a pilot: over seeds where it has several, else by runs.

    ``techniques``, ``metrics``: only these, each of them; without ``metrics`` those of `planning_table`.
    ``smallest_effect`` (as in an experiment file), ``level``: other ones than the pilot's.
    """
    table = over_seeds if len(over_seeds) else comparisons
    rows = table[table["technique"].isin(list(techniques))] if techniques else table
    if smallest_effect is not None:
        pairs = zip(rows["metric"], rows["mean_baseline"], strict=True)
        rows = rows.assign(smallest_effect=[resolved(smallest_effect, metric, mean) for metric, mean in pairs])
    if metrics:
        rows = rows[rows["metric"].isin(list(metrics))]
        found = [planned_comparison(row, "chosen") for row in rows.to_dict("records")]
    else:
        found = chosen(rows, plan)
    return table_of_chances([one if level is None else replace(one, level=level) for one in found], numbers)


def declared_comparison(
    sds: Sequence[float], smallest_effect: float, level: float, design: str = INDEPENDENT, metric: str = ""
) -> Planned:
    """Return a comparison with declared SDs: of baseline and technique, one for both, or of the paired differences."""
    both = (float(sds[0]), float(sds[0])) if design == INDEPENDENT and len(sds) == 1 else tuple(map(float, sds))
    names = {"metric": metric, "which": "declared"}
    return Planned(names, design, both, (), float(smallest_effect), float(level))


# From the tables of an experiment


def planned_comparison(row: Mapping[str, Any], which: str = "") -> Planned:
    """Return a row of "comparisons" or "over_seeds" as a comparison to be planned.

    Its level is the simultaneous one of its family (column ``level``), Bonferroni's where that is missing.
    """
    level = row.get("level", np.nan)
    tests = row["family_size"]
    if pd.isna(level):
        level = np.nan if pd.isna(tests) or not tests else row["alpha"] / tests
    names = {name: row[name] for name in ("technique", "baseline", "attribute", "metric")} | {"which": which}
    fixed = {"smallest_effect": float(row["smallest_effect"]), "level": float(level)}
    if "n_seeds" in row:
        n, sd = int(row["n_seeds"]), float(row["sd_difference"])
        return Planned(names | {"arm": row["noise"]}, BY_SEED, (sd,), (n,), **fixed)
    runs, names = (int(row["n_baseline"]), int(row["n_technique"])), names | {"arm": row["arm"]}
    if row["design"] == BY_RUN:
        return Planned(names, BY_RUN, (float(row["sd_difference"]),), runs[1:], **fixed)
    return Planned(names, INDEPENDENT, (float(row["sd_baseline"]), float(row["sd_technique"])), runs, **fixed)


def chosen(table: pd.DataFrame, plan: Json) -> list[Planned]:
    """Return the primary metric of each technique, or its typical and its worst, of "comparisons" or "over_seeds"."""
    primary = plan["analysis"].get("primary")
    tested = table.dropna(subset=["family_size", "p" if "p" in table else "p_mean"])
    if primary:
        rows = tested[tested["metric"] == primary]
        rows = rows.assign(family_size=len(rows))  # of the verdicts that decide, where a pilot is too small for a level
        found = [planned_comparison(row, "primary") for row in rows.to_dict("records")]
        return [one for one in found if one.plannable]
    distinct = tested[tested["redundant_with"] == ""]
    arm = "noise" if "n_seeds" in table else "arm"
    groups = distinct.groupby(["technique", arm, "attribute"], sort=False)
    return [one for _, rows in groups for one in _typical_and_worst(rows)]


def _typical_and_worst(rows: pd.DataFrame) -> list[Planned]:
    found = [planned_comparison(row) for row in rows.to_dict("records")]
    found = sorted(
        (one for one in found if one.plannable), key=lambda one: np.hypot(*_two(one.sds)) / one.smallest_effect
    )
    if not found:
        return []
    if len(found) == 1:
        return [replace(found[0], names=found[0].names | {"which": "only"})]
    both = {"typical": found[(len(found) - 1) // 2], "worst": found[-1]}
    return [replace(one, names=one.names | {"which": which}) for which, one in both.items()]


def _two(sds: tuple[float, ...]) -> tuple[float, float]:
    return (sds[0], sds[1]) if len(sds) == 2 else (sds[0], 0.0)


def chances_now(row: Mapping[str, Any], multiple: float, n: int | None = None) -> dict[str, float]:
    """Return the probability of every verdict on a row of "comparisons" or "over_seeds" with the runs that there are.

    ``multiple``: the true difference, in smallest effects towards fairer (-2: less fair by twice the smallest effect).
    ``n``: another number of runs of each. Averaged over the true SDs that the estimated ones leave open. {} where
    nothing can be planned; all 0 below 4 runs, where there is no verdict.
    """
    one = planned_comparison(row)
    if not one.plannable:
        return {}
    sizes = one.runs if n is None else (n,) * len(one.runs)
    chances = one.chances([-multiple * one.smallest_effect], sizes).mean(axis=0)[0]
    return dict(zip(VERDICTS, chances.tolist(), strict=True))


# Rows


def _rows(one: Planned, numbers: Sequence[int]) -> Iterator[Json]:
    sizes = {(int(n),) * len(one.sds) for n in numbers} | ({one.runs} if one.runs else set())
    differences = [-multiple * one.smallest_effect for multiple in MULTIPLES]
    for planned in sorted(sizes):
        chances = one.chances(differences, planned)
        note = TOO_FEW if min(planned) < RUNS else ""
        for i, difference in enumerate(differences):
            yield (
                _keys(one)
                | _sizes(planned, "n")
                | {"true_difference": difference, "note": note}
                | _columns(chances[:, i])
            )


def _keys(one: Planned) -> Json:
    fixed = {"design": one.design, "smallest_effect": one.smallest_effect, "level": one.level}
    names = ("sd_baseline", "sd_technique") if len(one.sds) == 2 else ("sd_difference",)
    return one.names | fixed | dict(zip(names, one.sds, strict=True)) | _sizes(one.runs, "pilot")


def _sizes(sizes: tuple[int, ...], prefix: str) -> Json:
    """Return the columns of numbers of runs; both arms of a paired comparison have the same."""
    return {f"{prefix}_baseline": sizes[0], f"{prefix}_technique": sizes[-1]} if sizes else {}


def _columns(chances: np.ndarray) -> Json:
    """Return the columns of the probabilities (worlds, verdicts): averages, and their range if there are worlds."""
    undecided = planning.undecided(chances)
    row: Json = dict(zip(COLUMNS, chances.mean(axis=0).tolist(), strict=True)) | {"undecided": float(undecided.mean())}
    if len(chances) > 1:
        worlds = np.column_stack(
            [chances[:, COLUMNS.index("fairer")], chances[:, COLUMNS.index("equivalent")], undecided]
        )
        for name, (low, high) in zip(BANDED, np.quantile(worlds, BAND, axis=0).T.tolist(), strict=True):
            row |= {f"{name}_low": low, f"{name}_high": high}
    return row
