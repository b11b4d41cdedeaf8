"""Captions of tables and figures: n, what varied, what was fixed, interval method, how many tests are corrected for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from fitlib.formatting import is_missing, join_items
from fitlib.report.vocabulary import data_name, epoch, overall_rows, seed, seeded_by_run, trained_on, varied
from fitlib.tables.metric_series import main_arms


def caption(plan: Mapping, sizes: Iterable[int], extra: str = "") -> str:
    """Return the line under a table or figure: n, what varied, what was fixed, and `extra`."""
    known = sorted({int(n) for n in sizes if not is_missing(n) and n > 0})
    n = f"{known[0]} to {known[-1]}" if len(known) > 1 else str(known[0]) if known else "0"
    arms, data = main_arms(plan), data_name(plan)
    what = join_items(dict.fromkeys(map(varied, arms)))
    what = what.replace(", noise ", ", ").replace(" and noise ", " and ")
    seeds = list(dict.fromkeys(map(seed, arms)))
    several = len(seeds) > 1
    fixed = f"{'in each arm one of the seeds ' if several else 'seed '}{join_items(seeds, 8)}"
    if all(arm["kind"] == "unknown" for arm in arms):
        fixed = f"{fixed}; training not recorded" if seeds != ["not recorded"] else "seed and training not recorded"
    else:
        fixed = f"{fixed}, {trained_on(plan)}"
    if all(map(seeded_by_run, arms)):
        recorded = trained_on(plan) if plan.get("source") == "fitlib" else "training not recorded"
        fixed = f"{recorded}, but not the seed"
    test = f"test set{f' of {data}' if data else ''}{epoch(plan)}"
    n += f" run{'' if n == '1' else 's'} per technique{' and arm' if len(arms) > 1 else ''}"
    return f"n = {n}. Varied: {what}. Fixed: {fixed}, {test}. {extra}".strip()


def conditions(plan: Mapping) -> str:
    """Return what holds for every table and figure of the experiment that has all planned runs; "" without arms."""
    if not plan.get("arms"):  # the published study
        return ""
    return caption(plan, [arm["runs"] for arm in main_arms(plan)])


SIZES = ("n", "n_runs", "n_baseline", "n_technique", "n_a", "n_b")  # columns that count runs


def run_counts(frame: pd.DataFrame) -> list[int]:
    """Return the numbers of runs that the rows of a table rest on."""
    return [n for name in SIZES if name in frame for n in frame[name].dropna()]


def overall_counts(summary: pd.DataFrame) -> list[int]:
    """Return the numbers of runs behind the overall values of a summary."""
    return run_counts(overall_rows(summary))


def finished_counts(runs: pd.DataFrame) -> list[int]:
    """Return the numbers of finished runs in the table of runs, by technique, arm and attribute."""
    return list(runs[runs["status"] == "done"].groupby(["technique", "arm", "attribute"]).size())


@dataclass(frozen=True)
class Caption:
    """A caption whose last part, `about`, is the same for every plan; called like the functions below.

    sizes: the numbers of runs behind a frame. line: puts plan, sizes and `about` together.
    """

    about: str = ""
    sizes: Callable[[pd.DataFrame], Iterable[int]] = run_counts
    line: Callable[[Mapping, Iterable[int], str], str] = caption

    def __call__(self, plan: Mapping, frame: pd.DataFrame) -> str:
        """Return the caption of the table or figure made of `frame`."""
        return self.line(plan, self.sizes(frame), self.about)
