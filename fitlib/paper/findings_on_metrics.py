"""Findings on the study's metrics by class, quirk by quirk; `fitlib.paper.findings_on_tests` has those on its tests.

Every function takes a `fitlib.paper.review.Review` and returns a `Finding`; its numbers come from the published values
alone. Points are percentage points. If a defect has two reasonable repairs, both are shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fitlib.formatting import count, decimals, join_items, points
from fitlib.paper.review import Review, balanced_by_ratio, samples
from fitlib.paper.strict_reading import Values, forced_to_zero, never_predicted, shared_weights, strict_values
from fitlib.statistics.paper_protocol import compare

LABELS_METHOD = (
    "Labels (mean, variance) by protocol paper: one-sided U, Levene on values/mean, α = 0.05, not corrected."
)
NO_TEST_MADE = "No test is made here."
EOTP_MOVED = "C-R2 from − to NS, I-R1 from + to NS, and I-R2, I-R3, I-A4 and I-A5 from NS to −"


@dataclass(frozen=True)
class Finding:
    """The effect of a defect: ``sentences``, a ``frame`` of text for readers, and the ``method`` as its caption."""

    quirk: str
    title: str
    sentences: tuple[str, ...]
    frame: pd.DataFrame
    method: str = LABELS_METHOD


def display_label(label: str) -> str:
    """Return a label with a minus sign instead of a hyphen."""
    return label.replace("-", "−")


def both_labels(baseline: Values, technique: Values) -> str:
    """Return mean and variance label by protocol `paper`: "−, NS"."""
    found = compare(baseline, technique)
    return display_label(f"{found.label_mean}, {found.label_variance}")


def join_changes(changes: list[str], most: int = 6) -> str:
    """Join changes with semicolons; beyond `most` the rest is counted, and no changes are "none".

    >>> join_changes(["a", "b", "c"], most=2), join_changes([])
    ('a; b; 1 more', 'none')
    """
    more = [f"{len(changes) - most} more"] if len(changes) > most else []
    return "; ".join([*changes[:most], *more]) or "none"


def label_changes(review: Review, metric: str) -> list[str]:
    """List changes such as "C-A5: −, NS becomes −, +" for techniques whose labels of `metric` move on strict values."""
    changes = []
    for technique, baseline in review.baselines.items():
        published = both_labels(review.overall[baseline][metric], review.overall[technique][metric])
        strict = both_labels(*samples(review, technique, metric))
        changes += [f"{technique}: {published} becomes {strict}"] if published != strict else []
    return changes


# Q4


def forced_zeros(review: Review) -> Finding:
    """Review Q4: EOFP and EOTP are 0 wherever group 1's rate is 0, however large group 0's is."""
    quirk, title = "Q4", "Equalised odds forced to zero"
    rows = [row for technique in review.per_class if (row := _zeros(review, technique))]
    total = sum(int(_forced(review, technique).sum()) for technique in review.per_class)
    stood_in = sum(int(cells.sum()) for cells in review.strict.stand_ins.values())
    sentences = (
        f"{total} values of EOFP are 0 although FPSF, the same gap times a weight, is not: the gap was lost. FPSF "
        f"divided by the weight gives it back, exactly for {total - stood_in}; for {stood_in} the class never shows "
        "its weight, and the middle weight of the other classes stands in.",
        f"Labels of EOFP (mean, variance) that move: {join_changes(label_changes(review, 'EOFP'))}. "
        f"{_other_weights(review)}",
        "Which zeros of EOTP are lost gaps cannot be told: no other metric holds that gap, so it takes the "
        "predictions. EOTP stays as published in everything below. Only told here, from the project's register of "
        f"quirks: with these gaps no mean label of EOTP moves, but variance labels do: {EOTP_MOVED}.",
    )
    return Finding(quirk, title, sentences if total else ("No value was forced to zero.",), pd.DataFrame(rows))


def _forced(review: Review, technique: str) -> np.ndarray:
    return forced_to_zero(review.per_class[technique]["EOFP"], review.per_class[technique]["FPSF"])


def _zeros(review: Review, technique: str) -> dict[str, str]:
    """Return a technique's row of the table; empty if no value is 0."""
    eofp, eotp = (review.per_class[technique][metric] for metric in ("EOFP", "EOTP"))
    if eofp.all() and eotp.all():
        return {}
    return {
        "Technique": technique,
        "Classes": str(eofp.shape[1]),
        "EOFP: zeros a run": decimals((eofp == 0).sum(axis=1).mean(), 1),
        "forced": decimals(_forced(review, technique).sum(axis=1).mean(), 1),
        "published": points(eofp.mean()),
        "recovered": points(review.strict.per_class[technique]["EOFP"].mean()),
        "EOTP: zeros a run": decimals((eotp == 0).sum(axis=1).mean(), 1),
        "EOTP published": points(eotp.mean()),
    }


def _other_weights(review: Review) -> str:
    """Return a sentence on whether the substituted weights decide any label."""
    middle = label_changes(review, "EOFP")
    for stand_in in (np.min, np.max):
        other = Review(review.overall, review.per_class, review.performance, review.baselines)
        # Fill the cached property, so that labels are recomputed with the other weights.
        vars(other)["strict"] = strict_values(review.per_class, review.baselines, stand_in)
        if label_changes(other, "EOFP") != middle:
            return "With the smallest or largest weight standing in, other labels move: so this is not settled."
    return "The same move with the smallest and with the largest weight standing in."


# Q5


def unpredicted_classes(review: Review) -> Finding:
    """Review Q5: DI is 1, the worst, for a class that is never predicted; strictly it is undefined there."""
    quirk, title = "Q5", "Classes that nobody predicts"
    undefined = _undefined(review)
    rows = [_unpredicted(review, technique, cells) for technique, cells in undefined.items()]
    if not rows:
        return Finding(quirk, title, ("Every class is predicted in every run.",), pd.DataFrame())
    top = max(rows, key=lambda row: float(row["Unpredicted a run"]))
    zero = [
        f"{row['Technique']}: {row['Labels']} becomes {row['with 0']}" for row in rows if row["Labels"] != row["with 0"]
    ]
    sentences = (
        f"{join_items(undefined, 9)} have classes that nobody predicts, on average up to "
        f"{top['Unpredicted a run']} a run "
        f"({top['Technique']}). The study gave them a DI of 1, as unfair as can be; nothing can be said of them. Left "
        f"out, overall DI of {top['Technique']} is {top['left out']} instead of {top['DI']} points.",
        f"Labels that move if they are left out: {join_changes(label_changes(review, 'DI'))}; if 0 is written in their "
        f"place: {join_changes(zero)}. Leaving out keeps to the classes that both techniques predict in every run.",
    )
    return Finding(quirk, title, sentences, pd.DataFrame(rows), f"DI in points. {LABELS_METHOD}")


def _undefined(review: Review) -> dict[str, np.ndarray]:
    found = {t: never_predicted(values["DP"], values["DI"]) for t, values in review.per_class.items()}
    return {technique: cells for technique, cells in found.items() if cells.any()}


def _unpredicted(review: Review, technique: str, undefined: np.ndarray) -> dict[str, str]:
    di = review.per_class[technique]["DI"]
    left_out = (di.sum(axis=1) - undefined.sum(axis=1)) / np.maximum((~undefined).sum(axis=1), 1)
    row = {
        "Technique": technique,
        "Unpredicted a run": decimals(undefined.sum(axis=1).mean(), 1),
        "DI": points(review.overall[technique]["DI"].mean()),
        "left out": points(left_out.mean()),
        "as 0": points(_di_with_zero(review, technique).mean()),
    }
    if technique not in review.baselines:
        return row | dict.fromkeys(("Labels", "left out ", "with 0"), "–")
    baseline = review.baselines[technique]
    return row | {
        "Labels": both_labels(review.overall[baseline]["DI"], review.overall[technique]["DI"]),
        "left out ": both_labels(*samples(review, technique, "DI")),
        "with 0": both_labels(_di_with_zero(review, baseline), _di_with_zero(review, technique)),
    }


def _di_with_zero(review: Review, technique: str) -> Values:
    values = review.per_class[technique]
    return np.where(never_predicted(values["DP"], values["DI"]), 0.0, values["DI"]).mean(axis=1)


# Q6


def misaligned_classes(review: Review) -> Finding:
    """Review Q6: BA of a class that is never predicted was skipped, so all later classes moved up by one position."""
    quirk, title = "Q6", "BA at the wrong class"
    rows = [_misaligned(review, technique, cells) for technique, cells in _undefined(review).items()]
    if not rows:
        return Finding(quirk, title, ("No value of BA is out of place.",), pd.DataFrame())
    changed = [row["Technique"] for row in rows if row["MaxDiff"] != row["in place"]]
    artefact = [row["Technique"] for row in rows if row["in place"] != row["left out"]]
    sentences = (
        "Behind every class that nobody predicts, BA stands at the wrong class. Overall values are not touched; by "
        f"class, the largest MaxDiff changes for {join_items(changed, 9)}, elsewhere only the class that it "
        "belongs to.",
        "Even in its place, the 0 written where BA is undefined counts as a run without bias. With those runs left out "
        f"the largest MaxDiff is another one for {join_items(artefact, 9)}.",
    )
    return Finding(
        quirk, title, sentences, pd.DataFrame(rows), f"Largest MaxDiff of a class, in points. {NO_TEST_MADE}"
    )


def _misaligned(review: Review, technique: str, undefined: np.ndarray) -> dict[str, str]:
    published, strict = review.per_class[technique]["BA"], review.strict.per_class[technique]["BA"]
    row = {"Technique": technique, "Runs touched": str(int(undefined.any(axis=1).sum()))}
    for spaces, (name, ranges) in enumerate(
        {
            "MaxDiff": np.ptp(published, axis=0),
            "in place": np.ptp(np.where(undefined, 0.0, strict), axis=0),
            "left out": _defined_range(strict),
        }.items()
    ):
        worst = int(np.argmax(ranges))
        # Columns need distinct names; trailing spaces keep the header the same for readers.
        row |= {name: points(ranges[worst]), "class" + " " * spaces: str(worst)}
    return row


def _defined_range(values: Values) -> Values:
    """Return the largest minus the smallest defined value of each class; 0 if none is defined."""
    undefined = np.isnan(values)
    # -1 and 2 are outside the metric's range, so they are never the extreme of a class with a defined value.
    high, low = np.where(undefined, -1.0, values).max(axis=0), np.where(undefined, 2.0, values).min(axis=0)
    return np.where(undefined.all(axis=0), 0.0, high - low)


# Q12 and Q18


def other_composition(review: Review) -> Finding:
    """Review Q12: BA of the ratio techniques was computed with the composition of the baseline's evaluation set."""
    rows = [
        {
            "Technique": t,
            "BA": points(review.overall[t]["BA"].mean()),
            "BA of the baseline": points(review.overall[b]["BA"].mean()),
            "Labels": both_labels(review.overall[b]["BA"], review.overall[t]["BA"]),
        }
        for t, b in review.baselines.items()
        if balanced_by_ratio(t)
    ]
    sentences = (
        "The ratio techniques predict evaluation sets of their own, but their BA compares with the composition of the "
        "baseline's set. Values by class cannot put that right; it takes the predictions.",
        "Only told here, from the project's register of quirks: with their own composition BA falls for all six, and "
        "the mean labels of I-R2 and I-R3 turn from + to −.",
    )
    return Finding(
        "Q12", "BA against another set's composition", sentences, pd.DataFrame(rows), f"In points. {LABELS_METHOD}"
    )


def metric_weights(review: Review) -> Finding:
    """Review Q18: FPSF weights groups by their share of "not of the class", its description by their overall share."""
    weights = shared_weights(review.per_class, review.baselines)
    rows = list(_weight_rows(weights))
    sentences = (
        "Class by class, FPSF is EOFP times a weight, the same in all runs on one evaluation set. Computed as the "
        "study describes it (weighted by group share) the weight would be close to ½ throughout. "
        "Within a class both metrics get the same labels; in the overall value of FPSF common classes count less. As "
        "evidence, FPSF adds little to EOFP.",
    )
    return Finding("Q18", "FPSF is EOFP in another unit", sentences, pd.DataFrame(rows), NO_TEST_MADE)


def _weight_rows(weights: dict[str, Values]) -> Iterable[dict[str, str]]:
    for task in dict.fromkeys(technique[0] for technique in weights):
        defined = np.concatenate([w[~np.isnan(w)] for technique, w in weights.items() if technique[0] == task])
        if defined.size:
            yield {
                "Task": task,
                "Smallest FPSF / EOFP": decimals(defined.min(), 3),
                "largest": decimals(defined.max(), 3),
            }


def runs_of(review: Review) -> str:
    """Return the number of runs of each technique as text, such as "16 runs"."""
    return count(len(next(iter(review.performance.values()))), "run")
