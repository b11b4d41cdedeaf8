"""What changes in the published study, quirk by quirk: metrics by class. `fitlib.paper.findings_on_tests` goes on with
the tests.

Every function takes a `fitlib.paper.review.Review` and returns a `Finding`; its numbers come from the published values
alone. Points are percentage points. Where a defect has two honest repairs, both are shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fitlib.formatting import count, decimals, listed, points
from fitlib.paper.review import Review, balanced_by_ratio, samples
from fitlib.paper.strict_reading import Values, forced_to_zero, nobody_predicted, shared_weights, strict_values
from fitlib.statistics.paper_protocol import compare

LABELS_METHOD = (
    "Labels (mean, variance) by protocol paper: one-sided U, Levene on values/mean, α = 0.05, not corrected."
)
NO_TEST_MADE = "No test is made here."
EOTP_MOVED = "C-R2 from − to NS, I-R1 from + to NS, and I-R2, I-R3, I-A4 and I-A5 from NS to −"


@dataclass(frozen=True)
class Finding:
    """What a defect changes: ``sentences`` in plain words, ``frame`` text for readers, ``method`` below it."""

    quirk: str
    title: str
    sentences: tuple[str, ...]
    frame: pd.DataFrame
    method: str = LABELS_METHOD


def signed(label: str) -> str:
    """A label as readers see it."""
    return label.replace("-", "−")


def both_labels(baseline: Values, technique: Values) -> str:
    """Mean and variance label by protocol `paper`: "−, NS"."""
    found = compare(baseline, technique)
    return signed(f"{found.label_mean}, {found.label_variance}")


def several(changes: list[str], most: int = 6) -> str:
    """Changes one after the other; "none" without one."""
    more = [f"{len(changes) - most} more"] if len(changes) > most else []
    return "; ".join([*changes[:most], *more]) or "none"


def relabelled(review: Review, metric: str) -> list[str]:
    """ "C-A5: −, NS becomes −, +" for each technique whose labels of `metric` move on strict values."""
    changes = []
    for technique, baseline in review.baselines.items():
        published = both_labels(review.overall[baseline][metric], review.overall[technique][metric])
        strict = both_labels(*samples(review, technique, metric))
        changes += [f"{technique}: {published} becomes {strict}"] if published != strict else []
    return changes


# Q4


def forced_zeros(review: Review) -> Finding:
    """Q4: EOFP and EOTP are 0 wherever group 1's rate is 0, however large group 0's is."""
    quirk, title = "Q4", "Equalised odds forced to zero"
    rows = [row for technique in review.per_class if (row := _zeros(review, technique))]
    total = sum(int(_forced(review, technique).sum()) for technique in review.per_class)
    stood_in = sum(int(cells.sum()) for cells in review.strict.stand_ins.values())
    sentences = (
        f"{total} values of EOFP are 0 although FPSF, the same gap times a weight, is not: the gap was lost. FPSF "
        f"divided by the weight gives it back, exactly for {total - stood_in}; for {stood_in} the class never shows "
        "its weight, and the middle weight of the other classes stands in.",
        f"Labels of EOFP (mean, variance) that move: {several(relabelled(review, 'EOFP'))}. {_other_weights(review)}",
        "Which zeros of EOTP are lost gaps cannot be told: no other metric holds that gap, so it takes the "
        "predictions. EOTP stays as published in everything below. Only told here, from the project's register of "
        f"quirks: with these gaps no mean label of EOTP moves, but variance labels do: {EOTP_MOVED}.",
    )
    return Finding(quirk, title, sentences if total else ("No value was forced to zero.",), pd.DataFrame(rows))


def _forced(review: Review, technique: str) -> np.ndarray:
    return forced_to_zero(review.per_class[technique]["EOFP"], review.per_class[technique]["FPSF"])


def _zeros(review: Review, technique: str) -> dict[str, str]:
    """A row of the table; empty where no value is 0."""
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
    """Whether the weights that stood in decide any label."""
    middle = relabelled(review, "EOFP")
    for stand_in in (np.min, np.max):
        other = Review(review.overall, review.per_class, review.performance, review.baselines)
        vars(other)["strict"] = strict_values(review.per_class, review.baselines, stand_in)
        if relabelled(other, "EOFP") != middle:
            return "With the smallest or largest weight standing in, other labels move: so this is not settled."
    return "The same move with the smallest and with the largest weight standing in."


# Q5


def unpredicted_classes(review: Review) -> Finding:
    """Q5: DI is 1, the worst, for a class that nobody predicts; strictly it is undefined there."""
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
        f"{listed(undefined, 9)} have classes that nobody predicts, on average up to {top['Unpredicted a run']} a run "
        f"({top['Technique']}). The study gave them a DI of 1, as unfair as can be; nothing can be said of them. Left "
        f"out, overall DI of {top['Technique']} is {top['left out']} instead of {top['DI']} points.",
        f"Labels that move if they are left out: {several(relabelled(review, 'DI'))}; if 0 is written in their place: "
        f"{several(zero)}. Leaving out keeps to the classes that both techniques predict in every run.",
    )
    return Finding(quirk, title, sentences, pd.DataFrame(rows), f"DI in points. {LABELS_METHOD}")


def _undefined(review: Review) -> dict[str, np.ndarray]:
    found = {t: nobody_predicted(values["DP"], values["DI"]) for t, values in review.per_class.items()}
    return {technique: cells for technique, cells in found.items() if cells.any()}


def _unpredicted(review: Review, technique: str, undefined: np.ndarray) -> dict[str, str]:
    di = review.per_class[technique]["DI"]
    left_out = (di.sum(axis=1) - undefined.sum(axis=1)) / np.maximum((~undefined).sum(axis=1), 1)
    row = {
        "Technique": technique,
        "Unpredicted a run": decimals(undefined.sum(axis=1).mean(), 1),
        "DI": points(review.overall[technique]["DI"].mean()),
        "left out": points(left_out.mean()),
        "as 0": points(_with_zero(review, technique).mean()),
    }
    if technique not in review.baselines:
        return row | dict.fromkeys(("Labels", "left out ", "with 0"), "–")
    baseline = review.baselines[technique]
    return row | {
        "Labels": both_labels(review.overall[baseline]["DI"], review.overall[technique]["DI"]),
        "left out ": both_labels(*samples(review, technique, "DI")),
        "with 0": both_labels(_with_zero(review, baseline), _with_zero(review, technique)),
    }


def _with_zero(review: Review, technique: str) -> Values:
    values = review.per_class[technique]
    return np.where(nobody_predicted(values["DP"], values["DI"]), 0.0, values["DI"]).mean(axis=1)


# Q6


def misaligned_classes(review: Review) -> Finding:
    """Q6: BA of a class that nobody predicts was skipped, so all later classes slid down by one."""
    quirk, title = "Q6", "BA at the wrong class"
    rows = [_misaligned(review, technique, cells) for technique, cells in _undefined(review).items()]
    if not rows:
        return Finding(quirk, title, ("No value of BA is out of place.",), pd.DataFrame())
    changed = [row["Technique"] for row in rows if row["MaxDiff"] != row["in place"]]
    artefact = [row["Technique"] for row in rows if row["in place"] != row["left out"]]
    sentences = (
        "Behind every class that nobody predicts, BA stands at the wrong class. Overall values are not touched; by "
        f"class, the largest MaxDiff changes for {listed(changed, 9)}, elsewhere only the class that it belongs to.",
        "Even in its place, the 0 written where BA is undefined counts as a run without bias. With those runs left out "
        f"the largest MaxDiff is another one for {listed(artefact, 9)}.",
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
        row |= {name: points(ranges[worst]), "class" + " " * spaces: str(worst)}
    return row


def _defined_range(values: Values) -> Values:
    """Largest minus smallest defined value of each class; 0 where none is defined."""
    undefined = np.isnan(values)
    high, low = np.where(undefined, -1.0, values).max(axis=0), np.where(undefined, 2.0, values).min(axis=0)
    return np.where(undefined.all(axis=0), 0.0, high - low)


# Q12 and Q18


def other_composition(review: Review) -> Finding:
    """Q12: BA of the ratio techniques was computed against the composition of the baseline's evaluation set."""
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
    """Q18: FPSF weighs groups by their share of "not of the class", where its description says by their share."""
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
        known = np.concatenate([w[~np.isnan(w)] for technique, w in weights.items() if technique[0] == task])
        if known.size:
            yield {"Task": task, "Smallest FPSF / EOFP": decimals(known.min(), 3), "largest": decimals(known.max(), 3)}


def runs_of(review: Review) -> str:
    """ "16 runs": of each technique."""
    return count(len(next(iter(review.performance.values()))), "run")
