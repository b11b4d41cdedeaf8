"""Section "What was held identical, and the proof": the runs of each training, compared part by part."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from fitlib import formatting as fmt
from fitlib.report import provenance
from fitlib.report import vocabulary as words
from fitlib.report.captions import Caption, finished_counts
from fitlib.report.notebook_display import Page, show_text
from fitlib.report.reader_tables import ReaderTable
from fitlib.statistics import run_identity
from fitlib.tables.metric_series import main_arms

CAPTION = Caption("Digests are SHA-256, shown by their first digits. No test is made here.", sizes=finished_counts)
TRAININGS = ReaderTable("Identity by training", CAPTION)
PARTS = ReaderTable("Identity part by part", CAPTION)


def show(page: Page, frames: Mapping[str, pd.DataFrame], plan: Mapping, evidence: Sequence[Mapping]) -> None:
    """Display the section: sentences, and two tables where the runs recorded anything."""
    proof = [*provenance.identities(plan, evidence), *provenance.controls(plan, evidence)]
    show_text([*proof, *provenance.missing_runs(evidence)])
    if evidence:
        page.show(TRAININGS, frames["runs"], view=trainings_view(plan, evidence))
        page.show(PARTS, frames["runs"], view=parts_view(plan, evidence))


def trainings_view(plan: Mapping, evidence: Sequence[Mapping]) -> pd.DataFrame:
    """Return the identity of the runs, one row per training and main arm."""
    arms = [arm["arm"] for arm in main_arms(plan)]
    rows = [_training_row(t, names, arm, evidence) for t, names in words.trainings(plan).items() for arm in arms]
    return pd.DataFrame(rows)


def _training_row(training: str, names: list[str], arm: str, evidence: Sequence[Mapping]) -> dict[str, str]:
    found = run_identity.check_fit(evidence, training, arm)
    runs: Sequence[Mapping[str, Any]] = run_identity.finished_runs(evidence, training, arm)
    parts = len({part for run in runs for part in run["parts"]})
    different, n = run_identity.distinct_finals(evidence, training, arm)
    compared = "" if run_identity.has_final_weights(runs) else " (predictions)"
    return {
        "Training": training,
        "Techniques": fmt.join_items(names, 8),
        "Arm": arm,
        "Runs": str(n),
        "Parts equal": f"{parts - len(found.differing)} of {parts}",
        "Parts that differ": fmt.join_items(found.differing, 8),
        "Different final weights": f"{different} of {n}{compared}",
        "Control arm": _of_control(run_identity.check_control(evidence, training), runs),
    }


def _of_control(control: run_identity.Control, runs: Sequence[Mapping]) -> str:
    """Return the outcome of a control arm; for runs at a seed without one, also the seed that has it."""
    elsewhere = control.seeds and not {run["seed"] for run in runs} & set(control.seeds)
    text = control.text.replace(f" ({control.compared})", "")
    return f"{text}, at seed {fmt.join_items(control.seeds)}" if elsewhere else text


def parts_view(plan: Mapping, evidence: Sequence[Mapping]) -> pd.DataFrame:
    """Return the proof part by part: value, and in how many runs it is equal; trainings that agree share a row."""
    holders: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    shared, arms = words.trainings(plan), main_arms(plan)
    for part in dict.fromkeys(part for e in evidence for part in e["parts"]):
        for training in shared:
            for arm in arms:
                runs = run_identity.finished_runs(evidence, training, arm["arm"])
                if runs:
                    holders.setdefault((part, *_part(runs, part)), {}).setdefault(training, []).append(arm["arm"])
    rows = [
        {"Part": part, "Training": _whose(where, len(shared), len(arms)), "Value": value, "Equal": equal}
        for (part, value, equal), where in holders.items()
    ]
    return pd.DataFrame(rows, columns=["Part", "Training", "Value", "Equal"])


def _whose(where: Mapping[str, list[str]], trainings: int, arms: int) -> str:
    """Name trainings, "all" of several; and their arms where a value is not that of all arms."""
    names = "all" if len(where) == trainings > 1 else fmt.join_items(where, 3)
    of = list(dict.fromkeys(arm for found in where.values() for arm in found))
    return names if len(of) == arms else f"{names}, {'arm' if len(of) == 1 else 'arms'} {fmt.join_items(of, 3)}"


def _part(runs: Sequence[Mapping], part: str) -> tuple[str, str]:
    odd = run_identity.differing_parts(runs).get(part, [])
    values = list(dict.fromkeys(_shortened(str(run["parts"].get(part, "not recorded"))) for run in runs))
    equal = f"differs in {fmt.join_items(odd)}" if odd else f"in {len(runs)} of {len(runs)} runs"
    return fmt.join_items(values, 2), equal


def _shortened(value: str) -> str:
    return f"{value[:16]}…" if re.fullmatch(r"[0-9a-f]{32,}", value) else value
