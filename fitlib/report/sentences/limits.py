"""What an experiment does not show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from fitlib.formatting import is_missing, join_items
from fitlib.report.vocabulary import distinct, overall_rows, seeded_by_run
from fitlib.statistics import nested_design
from fitlib.statistics.verdict_names import HIGHER, LOWER, RUNS, TOO_FEW
from fitlib.tables.metric_series import main_arms

METHOD_LIMITS = (
    "Intervals of the mean assume that runs are roughly normal; those of the standard deviation cover less than 95 % "
    "where runs are skewed.",
    "Ground truth is taken as given: errors in labels are not accounted for.",
    "The impact ratio and all bias metrics compare groups as recorded; groups that were not recorded are not seen.",
)


def custom_metrics(plan: Mapping) -> list[str]:
    """Return what is not computed for custom metrics; nothing without any."""
    names = list(plan["analysis"].get("metrics") or {})
    if not names:
        return []
    return [
        f"{join_items(names, 7)}: custom, so without a chance level, components of variance, the choice among runs, "
        "and intervals for new test data, which are computed for fitlib's own metrics only."
    ]


def cautions(plan: Mapping, comparisons: pd.DataFrame, summary: pd.DataFrame) -> list[str]:
    """Return what may not be concluded from this experiment."""
    arms = main_arms(plan)
    kinds, one_seed = {arm["kind"] for arm in arms}, len({arm["seed"] for arm in arms}) == 1
    sizes, verdicts = {int(n) for n in overall_rows(summary)["n"].dropna()}, set(distinct(comparisons)["verdict"])
    texts = {
        f"Whether a technique is fairer over seeds: that takes at least {nested_design.SEEDS} seeds with at least "
        f"{nested_design.RUNS} runs each. {_shared_seed(arms)}, and a test on them answers that question wrongly far "
        "too often.": one_seed and not all(map(seeded_by_run, arms)),
        "Whether a technique is fairer on other training data or with another split: both are the same in all runs.": (
            all(map(seeded_by_run, arms))
        ),
        "Whether a technique is fairer over seeds, from the verdict at one of them: only the section on seeds is about "
        "that.": not one_seed,
        "How much fairness varies on a given GPU: emulated noise shows what perturbation can do.": "emulated" in kinds,
        "That the runs were identical: no evidence on their training was recorded.": "unknown" in kinds,
        "Which technique has the larger MaxDiff where numbers of runs differ: MaxDiff grows with n.": len(sizes) > 1,
        "Anything about how runs vary: one run shows no variation.": sizes == {1},
        "That the spread between runs is equal or unchanged: no test here can show it.": bool(sizes),
        "That techniques are equal where the verdict is open.": "open" in verdicts,
        "How large a difference is where the verdict leaves its size open.": bool(verdicts & {LOWER, HIGHER}),
        "Anything from a comparison with fewer than "
        f"{RUNS} runs of either technique: these are too few to judge.": TOO_FEW in verdicts,
        "Anything about other test data, unless an interval is named as one for new test data: the others cover "
        "training again, not other people.": True,
        "Anything legal.": True,
    }
    return [text for text, holds in texts.items() if holds]


def _shared_seed(arms: Sequence[Mapping]) -> str:
    """Return what is known of the seed of all runs."""
    if all(is_missing(arm.get("seed")) for arm in arms):
        return "The seeds of the runs here are not recorded"
    compared = any(arm["kind"] == "comparison" for arm in arms)
    return "Only one seed is compared here" if compared else "The runs here share a seed"
