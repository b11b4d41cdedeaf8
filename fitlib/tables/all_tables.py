"""All tables of an experiment, derived from the long tables of its techniques.

Only `gather` and `write` access files. `tables_of` makes every table; `tables_on_demand` makes each when it is first
asked for, so that the verdict need not wait for tables that it does not need. What several tables need is made once,
by `Sources`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fitlib.metrics.bias_metrics import BIAS_METRICS
from fitlib.metrics.long_tables import NO_CUSTOM, Arms, Customs, technique_table
from fitlib.statistics import paper_protocol
from fitlib.storage.predictions import as_written
from fitlib.tables import (
    causes,
    comparisons,
    costs,
    epochs,
    four_fifths,
    individuals,
    new_test_data,
    over_seeds,
    pareto,
    planning,
    ranks,
    robustness,
    runs_and_summary,
    verdict_warnings,
)
from fitlib.tables import testset as testset_tables
from fitlib.tables.comparisons import Pair
from fitlib.tables.metric_series import Series, main_arms, names_of, series_of
from fitlib.tables.on_demand import OnDemand
from fitlib.tables.schemas import DATA_PACKAGE, SCHEMAS, Json, data_package, write_csv

LONG = ("metrics", "counts", "testset", "resampled", "persons")  # of all techniques together, in plan order
Frames = dict[str, pd.DataFrame]


def gather(root: str | Path, plan: Json, evidence: Sequence[Json] = ()) -> dict[str, Any]:
    """Read the long tables of all techniques below ``root`` as one frame each, their votes, and the runs' histories.

    Keys: `LONG`, "votes" ({technique: frame}) and "history". Techniques without tables are left out.
    """
    folders = {t["technique"]: Path(root) / "techniques" / t["technique"] for t in plan["techniques"]}
    read = {
        name: {t: pd.read_parquet(folder / f"{name}.parquet") for t, folder in folders.items() if _has(folder, name)}
        for name in (*LONG, "votes")
    }
    gathered = {name: runs_and_summary.concatenate(read[name], plan) for name in LONG}
    return gathered | {"votes": read["votes"], "history": epochs.gather_history(root, evidence)}


def gathered_on_demand(
    techniques: Mapping[str, Arms], plan: Json, custom: Customs = NO_CUSTOM, history: pd.DataFrame | None = None
) -> Mapping[str, Any]:
    """Return what `gather` does, from predictions in memory; each long table is made when it is first asked for.

    ``techniques``: {technique: {arm: (seed, predictions)}}; ``custom``: custom metrics by name; ``history``: of the
    runs (None: not recorded). Votes, which have many rows, are made whenever they are asked for, and not kept.
    """
    makers: dict[str, Callable[[], Any]] = {name: partial(_long_table, name, techniques, plan) for name in LONG}
    makers["metrics"] = partial(_long_table, "metrics", techniques, plan, dict(custom))
    votes = {t: partial(_as_written, "votes", t, arms) for t, arms in techniques.items()}
    makers |= {
        "votes": partial(OnDemand, votes, keep=False),
        "history": partial(_history, history),
    }
    return OnDemand(makers)


def _history(history: pd.DataFrame | None) -> pd.DataFrame:
    return epochs.no_history() if history is None else history


def _long_table(name: str, techniques: Mapping[str, Arms], plan: Json, custom: Customs = NO_CUSTOM) -> pd.DataFrame:
    frames = {technique: _as_written(name, technique, arms, custom) for technique, arms in techniques.items()}
    return runs_and_summary.concatenate(frames, plan)


def _as_written(name: str, technique: str, arms: Arms, custom: Customs = NO_CUSTOM) -> pd.DataFrame:
    return as_written(technique_table(name, technique, arms, custom=custom))


def _has(folder: Path, name: str) -> bool:
    return (folder / f"{name}.parquet").is_file()


@dataclass(frozen=True)
class Sources:
    """What the tables of an experiment are made of: ``gathered`` (see `gather`), plan, evidence.

    What several tables need is made when it is first needed, and shared: the metrics as series, the pairs of
    techniques, and the two tables of comparisons with their warnings.
    """

    gathered: Mapping[str, Any]
    plan: Json
    evidence: Sequence[Json] = ()

    @cached_property
    def shared(self) -> tuple[pd.DataFrame, Json, Sequence[Json]]:
        """Metrics, plan and evidence, the first arguments of most tables."""
        return self.gathered["metrics"], self.plan, self.evidence

    @cached_property
    def series(self) -> Series:
        """The metrics with their runs side by side."""
        return series_of(self.gathered["metrics"], self.plan)

    @cached_property
    def pairs(self) -> list[Pair]:
        """Each technique with its baseline, on every metric."""
        return comparisons.pairs_of(*self.shared, series=self.series)

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        """The table "comparisons"."""
        table = comparisons.compare(*self.shared, pairs=self.pairs)
        verdict_warnings.add_warnings(table, self.gathered["counts"], self.plan, self.evidence)
        return table

    @cached_property
    def over_seeds(self) -> pd.DataFrame:
        """The table "over_seeds"."""
        table = over_seeds.over_seeds_table(*self.shared, pairs=self.pairs)
        verdict_warnings.add_warnings_over_seeds(table, self.gathered["counts"], self.plan, self.evidence)
        return table


def _summary(s: Sources) -> pd.DataFrame:
    metrics, testset, counts = (s.gathered[name] for name in ("metrics", "testset", "counts"))
    return runs_and_summary.summary(metrics, s.plan, testset, counts, series=s.series)


def _new_test_data(s: Sources) -> pd.DataFrame:
    metrics, resampled = s.gathered["metrics"], s.gathered["resampled"]
    made = partial(new_test_data.new_test_data, pairs=s.pairs, series=s.series)
    return made(metrics, resampled, s.comparisons, s.plan, s.evidence)


def _pareto(s: Sources) -> pd.DataFrame:
    return pareto.pareto(s.gathered["metrics"], s.gathered["votes"], s.plan, s.evidence, pairs=s.pairs)


# Every table of `fitlib.tables.schemas.SCHEMAS` but "review", by the name of its file
TABLES: Mapping[str, Callable[[Sources], pd.DataFrame]] = {
    "runs": lambda s: runs_and_summary.runs(*s.shared, series=s.series),
    "summary": _summary,
    "comparisons": lambda s: s.comparisons,
    "new_test_data": _new_test_data,
    "risk": lambda s: four_fifths.risk(s.gathered["counts"], s.plan, s.evidence, persons=s.gathered["persons"]),
    "costs": lambda s: costs.costs(s.comparisons, *s.shared, pairs=s.pairs),
    "pareto": _pareto,
    "ranks": lambda s: ranks.ranks(*s.shared, pairs=s.pairs),
    "individuals": lambda s: individuals.individuals(s.gathered["persons"], s.plan, s.evidence),
    "thresholds": lambda s: individuals.thresholds(s.gathered["persons"], s.plan, s.evidence),
    "components": lambda s: testset_tables.components_table(s.gathered["testset"], s.plan),
    "selection": lambda s: testset_tables.selection_table(s.gathered["testset"], s.plan),
    "epochs": lambda s: epochs.epochs_table(s.gathered["history"], s.plan),
    "reversal": lambda s: robustness.reversals(*s.shared, pairs=s.pairs),
    "planning": lambda s: planning.planning_table(s.comparisons, s.over_seeds, s.plan),
    "sequential": lambda s: robustness.sequential(*s.shared, pairs=s.pairs),
    "over_seeds": lambda s: s.over_seeds,
    "by_seed": lambda s: over_seeds.by_seed_table(*s.shared, pairs=s.pairs),
    "causes": lambda s: causes.causes(*s.shared),
    "cause_tests": lambda s: causes.cause_tests(*s.shared),
    "cause_churn": lambda s: causes.cause_churn(s.gathered["persons"], s.plan, s.evidence),
}


def tables_of(gathered: Mapping[str, Any], plan: Json, evidence: Sequence[Json] = ()) -> Frames:
    """Make every table of `TABLES`."""
    return dict(tables_on_demand(gathered, plan, evidence))


def tables_on_demand(
    gathered: Mapping[str, Any], plan: Json, evidence: Sequence[Json] = (), long: Sequence[str] = ()
) -> Mapping[str, pd.DataFrame]:
    """Return what `tables_of` does; a table, and what it needs of ``gathered``, is made when it is first asked for.

    ``long``: names of the long tables that are to be among them.
    """
    sources = Sources(gathered, plan, evidence)
    makers = {name: partial(_make, name, sources) for name in TABLES}
    return OnDemand(makers | {name: partial(gathered.__getitem__, name) for name in long})


def _make(name: str, sources: Sources) -> pd.DataFrame:
    return TABLES[name](sources)


def study_tables(metrics: pd.DataFrame, plan: Json) -> Frames:
    """Make the tables of protocol `paper` for this experiment, as text; none unless the plan declares it.

    "stat_tests" and "raw_data" as in Qian et al. (NeurIPS 2021), from the published reading; numbered in plan order
    where there are several main arms or protected attributes. Raises InputError without the published reading (it is
    for two groups only).
    """
    if plan["analysis"].get("protocol") != "paper":
        return {}
    places = [(arm["arm"], attribute) for arm in main_arms(plan) for attribute in plan["groups"]]
    tables = {}
    for i, place in enumerate(places, 1):
        number = f"-{i}" if len(places) > 1 else ""
        overall, by_class = _published_values(metrics, plan, place)
        baselines = {t["technique"]: t["baseline"] or t["technique"] for t in plan["techniques"]}
        compared = {t for t in overall if baselines[t] in overall}
        tables[f"stat_tests{number}"] = paper_protocol.stat_tests_frame({t: overall[t] for t in compared}, baselines)
        tables[f"raw_data{number}"] = paper_protocol.raw_data_frame(overall, by_class)
    return tables


def _published_values(metrics: pd.DataFrame, plan: Json, place: tuple[str, str]) -> tuple[dict, dict]:
    """Return overall values, {technique: {metric: (runs,)}}, and by class, the same with (runs, classes), of a place.

    ``place``: main arm and protected attribute.
    """
    series = series_of(metrics, plan | {"analysis": plan["analysis"] | {"reading": "published"}})
    overall: dict[str, dict[str, np.ndarray]] = {}
    by_class: dict[str, dict[str, list[np.ndarray]]] = {}
    for row in np.flatnonzero(series.keys["group"] == -1).tolist():
        technique, arm, attribute, metric = names_of(series, row, plan)
        if (arm, attribute) == place and metric in BIAS_METRICS:
            values = series.values[row, : series.counts[row]]
            whole = series.keys["target"][row] == -1
            if whole:
                overall.setdefault(technique, {})[metric] = values
            else:
                by_class.setdefault(technique, {}).setdefault(metric, []).append(values)
    stacked = {t: {m: np.stack(rows, axis=1) for m, rows in of_metric.items()} for t, of_metric in by_class.items()}
    return overall, stacked


def write(frames: Frames, folder: str | Path) -> None:
    """Write every table as CSV, and `datapackage.json`, which describes their columns (Frictionless Data Package).

    Tables of `study_tables` keep the layout of the published ones.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in frames.items():
        if name.startswith("raw_data"):
            (folder / f"{name}.csv").write_bytes(paper_protocol.raw_data_text(frame).encode())
        else:
            write_csv(frame, folder / f"{name}.csv")
    custom = [name for name in frames.get("runs", ()) if name not in SCHEMAS["runs"]]
    package = data_package([name for name in frames if name in SCHEMAS], custom)
    (folder / DATA_PACKAGE).write_text(json.dumps(package, indent=1) + "\n", encoding="utf-8")
