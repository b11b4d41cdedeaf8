"""All tables of an experiment, derived from the long tables of its techniques.

Only `gather` and `write` access files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fitlib.metrics.bias_metrics import BIAS_METRICS
from fitlib.statistics import paper_protocol
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
from fitlib.tables.metric_series import main_arms, names_of, series_of
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
    return gathered_of(read, plan, epochs.gather_history(root, evidence))


def gathered_of(
    long: Mapping[str, Mapping[str, pd.DataFrame]], plan: Json, history: pd.DataFrame | None = None
) -> dict[str, Any]:
    """Return what `gather` does, from long tables and votes, {name: {technique: frame}}, and histories (None: none)."""
    gathered = {name: runs_and_summary.concatenate(long[name], plan) for name in LONG}
    return gathered | {"votes": dict(long["votes"]), "history": epochs.no_history() if history is None else history}


def _has(folder: Path, name: str) -> bool:
    return (folder / f"{name}.parquet").is_file()


def tables_of(gathered: Mapping[str, Any], plan: Json, evidence: Sequence[Json] = ()) -> Frames:
    """Derive every table of `fitlib.tables.schemas.SCHEMAS` but "review", by the name of its file."""
    metrics, counts, testset, resampled, persons = (gathered[name] for name in LONG)
    shared = (metrics, plan, evidence)
    compared, seeds = comparisons.compare(*shared), over_seeds.over_seeds_table(*shared)
    verdict_warnings.add_warnings(compared, counts, plan, evidence)
    verdict_warnings.add_warnings_over_seeds(seeds, counts, plan, evidence)
    return {
        "runs": runs_and_summary.runs(*shared),
        "summary": runs_and_summary.summary(metrics, plan, testset, counts),
        "comparisons": compared,
        "new_test_data": new_test_data.new_test_data(metrics, resampled, compared, plan, evidence),
        "risk": four_fifths.risk(counts, plan, evidence, persons=persons),
        "costs": costs.costs(compared, *shared),
        "pareto": pareto.pareto(metrics, gathered["votes"], plan, evidence),
        "ranks": ranks.ranks(*shared),
        "individuals": individuals.individuals(persons, plan, evidence),
        "thresholds": individuals.thresholds(persons, plan, evidence),
        "components": testset_tables.components_table(testset, plan),
        "selection": testset_tables.selection_table(testset, plan),
        "epochs": epochs.epochs_table(gathered["history"], plan),
        "reversal": robustness.reversals(*shared),
        "planning": planning.planning_table(compared, seeds, plan),
        "sequential": robustness.sequential(*shared),
        "over_seeds": seeds,
        "by_seed": over_seeds.by_seed_table(*shared),
        "causes": causes.causes(*shared),
        "cause_tests": causes.cause_tests(*shared),
        "cause_churn": causes.cause_churn(persons, plan, evidence),
    }


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
