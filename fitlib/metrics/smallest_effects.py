"""The smallest effect δ that counts: a number for all bias metrics, one per metric, or a share of the baseline's mean.

One number does not fit metrics of different scale: of two balanced classes, EOFP and EOTP are four times FPSF.
Declared as `smallest_effect: 0.01`, `"10 %"` (of the baseline's mean) or `{DP: 0.01, FPSF: 0.003, DI: "10 %"}`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from fitlib.metrics.bias_metrics import BIAS_METRICS

DEFAULT = 0.01  # also of a metric that a mapping leaves out
Declared = float | str | Mapping[str, float | str]
_SHARE = re.compile(r"(\d+(?:\.\d+)?) ?%")
_FORMS = 'a number above 0, a share such as "10 %", or one of these for each metric'


def check(declared: Declared, metrics: Sequence[str] = BIAS_METRICS) -> None:
    """Raise ValueError unless ``declared`` is a smallest effect, of these metrics where it names any.

    >>> check({"DP": 0.01, "DI": "10 %"})
    >>> check({"DX": 0.01})
    Traceback (most recent call last):
        ...
    ValueError: unknown bias metric DX; known: DP, DI, SPSF, FPSF, EOFP, EOTP, BA
    """
    for metric, value in declared.items() if isinstance(declared, Mapping) else [(None, declared)]:
        if metric is not None and metric not in metrics:
            raise ValueError(f"unknown bias metric {metric}; known: {', '.join(metrics)}")
        if not (share_of(value) or (not isinstance(value, str) and value > 0)):
            raise ValueError(f"{value!r} is no smallest effect: {_FORMS}")


def share_of(value: float | str) -> float | None:
    """Return the share that a text such as "10 %" stands for; None for anything else.

    >>> share_of("10 %"), share_of(0.01)
    (0.1, None)
    """
    found = _SHARE.fullmatch(value.strip()) if isinstance(value, str) else None
    return float(found[1]) / 100 if found else None


def declared_for(declared: Declared, metric: str) -> float | str:
    """Return what is declared for one metric, a number or a share as text."""
    return declared.get(metric, DEFAULT) if isinstance(declared, Mapping) else declared


def smallest_effect(declared: Declared, metric: str, baseline_mean: float = math.nan) -> float:
    """Return δ of one metric as a number; a share is that of ``baseline_mean``, NaN if that is.

    >>> declared = {"DP": 0.02, "DI": "10 %"}
    >>> [smallest_effect(declared, metric, baseline_mean=0.3) for metric in ("DP", "DI", "BA")]
    [0.02, 0.03, 0.01]
    """
    value = declared_for(declared, metric)
    share = share_of(value)
    return float(value) if share is None else share * baseline_mean
