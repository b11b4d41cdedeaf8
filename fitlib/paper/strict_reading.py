"""What the strict reading says of the study's published values, as far as they allow it.

The study published metrics by class, not predictions. Some of its quirks can be undone from those values alone, some
only in part, some not:

- DI of a class that nobody predicts is recognised exactly: both rates are 0, so DP is 0 where DI is 1 (Q5).
- BA slid down over such classes, so its values go back to where they belong (Q6).
- EOFP forced to 0 is recognised exactly, because FPSF is the same gap times a weight that only the evaluation set
  decides; FPSF / weight is the value that was lost (Q4). Where a class never shows its weight, the middle weight of
  the other classes stands in.
- EOTP forced to 0 cannot be told from equal rates, and BA against another set's composition (Q12) needs the
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


def nobody_predicted(dp: Values, di: Values) -> NDArray[np.bool_]:
    """Where no group predicts the class: equal rates (DP 0) with the largest DI (1) exist only if both rates are 0."""
    return (dp == 0) & (di == 1)


def strict_di(dp: Values, di: Values) -> Values:
    """DI, undefined where nobody is predicted as the class (Q5)."""
    return np.where(nobody_predicted(dp, di), np.nan, di)


def realigned_ba(ba: Values, undefined: NDArray[np.bool_]) -> Values:
    """BA with every value back at its class: the published values stand one place further up per undefined class (Q6).

    Raises ValueError if a value other than 0 would be lost, so the undefined classes cannot be the skipped ones.
    """
    if (ba[np.arange(ba.shape[1]) >= (~undefined).sum(axis=1, keepdims=True)] != 0).any():
        raise ValueError("BA has more values than defined classes")
    position = np.cumsum(~undefined, axis=1) - 1
    return np.where(undefined, np.nan, np.take_along_axis(ba, np.maximum(position, 0), axis=1))


def forced_to_zero(eofp: Values, fpsf: Values) -> NDArray[np.bool_]:
    """Where EOFP is 0 though the false positive rates differ, as FPSF, the same gap times a weight, shows (Q4)."""
    return (eofp == 0) & (fpsf > 0)


def fpsf_weights(eofp: Values, fpsf: Values) -> Values:
    """FPSF / EOFP of each class, (classes,): the middle over runs, NaN where EOFP is 0 in all runs.

    The weight 2 r_0 r_1 / (N (r_0 + r_1)) depends on the evaluation set alone (r: true negatives of the class by
    group), so all runs on one set share it.
    """
    ratio = np.divide(fpsf, eofp, out=np.full(eofp.shape, np.nan), where=eofp > 0)
    known, ordered = (~np.isnan(ratio)).sum(axis=0), np.sort(ratio, axis=0)
    middle = np.maximum(known - 1, 0) // 2
    return np.take_along_axis(ordered, middle[None], axis=0)[0]


def recovered_eofp(
    eofp: Values, fpsf: Values, weights: Values, stand_in: Callable = np.median
) -> tuple[Values, NDArray[np.bool_]]:
    """EOFP with forced zeros replaced by FPSF / weight, and where a weight made of other classes' stood in.

    ``stand_in``: of the known weights; where no class shows one, ½, which it never exceeds.
    """
    forced, unknown = forced_to_zero(eofp, fpsf), np.isnan(weights)
    other = 0.5 if unknown.all() else stand_in(weights[~unknown])
    return np.where(forced, fpsf / np.where(unknown, other, weights), eofp), forced & unknown


# The whole study


@dataclass(frozen=True)
class Strict:
    """Values by class in the strict reading: technique -> metric -> (runs, classes), NaN = undefined.

    ``stand_ins``: technique -> bool (runs, classes), EOFP cells for which another class's weight stood in.
    """

    per_class: Mapping[str, Mapping[str, Values]]
    stand_ins: Mapping[str, NDArray[np.bool_]]


def strict_values(
    per_class: Mapping[str, Mapping[str, Values]], baselines: Mapping[str, str], stand_in: Callable = np.median
) -> Strict:
    """Published values by class (technique -> metric -> (runs, classes)) as the strict reading would have them.

    ``baselines``: technique -> its baseline; techniques on one evaluation set share FPSF's weights. ``stand_in``:
    see `recovered_eofp`.
    """
    weights = shared_weights(per_class, baselines)
    values, stand_ins = {}, {}
    for technique, published in per_class.items():
        undefined = nobody_predicted(published["DP"], published["DI"])
        eofp, stand_ins[technique] = recovered_eofp(published["EOFP"], published["FPSF"], weights[technique], stand_in)
        values[technique] = dict(published) | {
            "DI": strict_di(published["DP"], published["DI"]),
            "EOFP": eofp,
            "BA": realigned_ba(published["BA"], undefined),
        }
    return Strict(values, stand_ins)


def shared_weights(per_class: Mapping[str, Mapping[str, Values]], baselines: Mapping[str, str]) -> dict[str, Values]:
    """`fpsf_weights` of each technique, over all techniques that predict the same evaluation set."""
    sets: dict[str, list[str]] = {}
    for technique in per_class:
        own = technique in OWN_EVALUATION_SET
        sets.setdefault(technique if own else baselines.get(technique, technique), []).append(technique)
    weights = {}
    for members in sets.values():
        eofp, fpsf = (np.concatenate([per_class[t][metric] for t in members]) for metric in ("EOFP", "FPSF"))
        weights |= dict.fromkeys(members, fpsf_weights(eofp, fpsf))
    return weights


def over_common_classes(baseline: Values, technique: Values) -> tuple[Values, Values]:
    """Overall values of both, (runs,) each: means over the classes defined in every run of both; empty if none is."""
    common = ~np.isnan(np.concatenate([baseline, technique])).any(axis=0)
    if not common.any():
        return np.empty(0), np.empty(0)
    return baseline[:, common].mean(axis=1), technique[:, common].mean(axis=1)
