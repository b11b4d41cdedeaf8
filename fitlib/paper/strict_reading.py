"""The strict reading of the study's published values, as far as they allow it.

The study published metrics by class, not predictions. From those values alone some of its quirks can be undone, some
only partly, some not at all:

- DI of a class that is never predicted is recognised exactly: both rates are 0, so DP is 0 where DI is 1 (Q5).
- BA skipped such classes, so later values moved to wrong positions; they are moved back (Q6).
- EOFP forced to 0 is recognised exactly, because FPSF is the same gap times a weight that depends only on the
  evaluation set; FPSF / weight is the lost value (Q4). If the weight of a class is unknown, the median weight of the
  other classes is used instead.
- EOTP forced to 0 is indistinguishable from equal rates, and BA with another set's composition (Q12) needs the
  predictions: these stay as published.

Pure functions on arrays shaped (runs, classes); NaN = undefined.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
# Techniques whose runs predict another evaluation set than their baseline's (Q10; for N, Q8)
OWN_EVALUATION_SET = ("C-R1", "C-R2", "C-R3", "I-R1", "I-R2", "I-R3", "N-Flow")


# One class in one run


def never_predicted(dp: Values, di: Values) -> NDArray[np.bool_]:
    """Return where the class is never predicted: equal rates (DP 0) with the largest DI (1) mean that both are 0.

    >>> never_predicted(np.array([[0.0, 0.1]]), np.array([[1.0, 0.3]]))
    array([[ True, False]])
    """
    return (dp == 0) & (di == 1)


def strict_di(dp: Values, di: Values) -> Values:
    """Return DI, undefined where the class is never predicted (Q5)."""
    return np.where(never_predicted(dp, di), np.nan, di)


def realigned_ba(ba: Values, undefined: NDArray[np.bool_]) -> Values:
    """Return BA with every value at its class: published values are one position too early per undefined class (Q6).

    Raises ValueError if a value other than 0 would be lost, as the undefined classes are then not the skipped ones.

    >>> realigned_ba(np.array([[0.1, 0.2, 0.0]]), np.array([[False, True, False]]))
    array([[0.1, nan, 0.2]])
    """
    if (ba[np.arange(ba.shape[1]) >= (~undefined).sum(axis=1, keepdims=True)] != 0).any():
        raise ValueError("BA has more values than defined classes")
    # The k-th defined class has the k-th published value.
    position = np.cumsum(~undefined, axis=1) - 1
    return np.where(undefined, np.nan, np.take_along_axis(ba, np.maximum(position, 0), axis=1))


def forced_to_zero(eofp: Values, fpsf: Values) -> NDArray[np.bool_]:
    """Return where EOFP is 0 though FPSF, the same gap times a weight, shows that false positive rates differ (Q4)."""
    return (eofp == 0) & (fpsf > 0)


def fpsf_weights(eofp: Values, fpsf: Values) -> Values:
    """Return FPSF / EOFP of each class, (classes,): the lower median over runs, NaN if EOFP is 0 in all runs.

    The weight 2 r_0 r_1 / (N (r_0 + r_1)) depends on the evaluation set alone (r: true negatives of the class by
    group), so all runs on one set share it.
    """
    ratio = np.divide(fpsf, eofp, out=np.full(eofp.shape, np.nan), where=eofp > 0)
    # NaN sorts last, so the first n_defined values are the defined ones; the lower middle is one that occurred.
    n_defined, ordered = (~np.isnan(ratio)).sum(axis=0), np.sort(ratio, axis=0)
    middle = np.maximum(n_defined - 1, 0) // 2
    return np.take_along_axis(ordered, middle[None], axis=0)[0]


def recovered_eofp(
    eofp: Values, fpsf: Values, weights: Values, stand_in: Callable = np.median
) -> tuple[Values, NDArray[np.bool_]]:
    """Return EOFP with forced zeros replaced by FPSF / weight, and where a weight from other classes was used.

    ``stand_in``: maps the known weights to the one used for unknown ones; if all are unknown, it is ½, the upper bound.
    """
    forced, unknown = forced_to_zero(eofp, fpsf), np.isnan(weights)
    other = 0.5 if unknown.all() else stand_in(weights[~unknown])
    return np.where(forced, fpsf / np.where(unknown, other, weights), eofp), forced & unknown


# All techniques


@dataclass(frozen=True)
class Strict:
    """Values by class in the strict reading: technique -> metric -> (runs, classes), NaN = undefined.

    ``stand_ins``: technique -> bool (runs, classes), EOFP cells for which a weight from other classes was used.
    """

    per_class: Mapping[str, Mapping[str, Values]]
    stand_ins: Mapping[str, NDArray[np.bool_]]


def strict_values(
    per_class: Mapping[str, Mapping[str, Values]], baselines: Mapping[str, str], stand_in: Callable = np.median
) -> Strict:
    """Convert published values by class (technique -> metric -> (runs, classes)) to the strict reading.

    ``baselines``: technique -> its baseline; techniques on one evaluation set share FPSF's weights. ``stand_in``:
    see `recovered_eofp`.
    """
    weights = shared_weights(per_class, baselines)
    values, stand_ins = {}, {}
    for technique, published in per_class.items():
        undefined = never_predicted(published["DP"], published["DI"])
        eofp, stand_ins[technique] = recovered_eofp(published["EOFP"], published["FPSF"], weights[technique], stand_in)
        values[technique] = dict(published) | {
            "DI": strict_di(published["DP"], published["DI"]),
            "EOFP": eofp,
            "BA": realigned_ba(published["BA"], undefined),
        }
    return Strict(values, stand_ins)


def shared_weights(per_class: Mapping[str, Mapping[str, Values]], baselines: Mapping[str, str]) -> dict[str, Values]:
    """Return `fpsf_weights` of each technique, over all techniques that predict the same evaluation set."""
    sets: dict[str, list[str]] = {}
    for technique in per_class:
        separate = technique in OWN_EVALUATION_SET
        sets.setdefault(technique if separate else baselines.get(technique, technique), []).append(technique)
    weights: dict[str, Values] = {}
    for members in sets.values():
        eofp, fpsf = (np.concatenate([per_class[t][metric] for t in members]) for metric in ("EOFP", "FPSF"))
        weights |= dict.fromkeys(members, fpsf_weights(eofp, fpsf))
    return weights


def over_common_classes(baseline: Values, technique: Values) -> tuple[Values, Values]:
    """Return overall values of both, (runs,) each: means over classes defined in every run of both; empty if none.

    >>> over_common_classes(np.array([[0.1, np.nan]]), np.array([[0.3, 0.5]]))
    (array([0.1]), array([0.3]))
    """
    common = ~np.isnan(np.concatenate([baseline, technique])).any(axis=0)
    if not common.any():
        return np.empty(0), np.empty(0)
    return baseline[:, common].mean(axis=1), technique[:, common].mean(axis=1)
