"""The bias metrics, accuracy and rates as functions of labels, in the conventions of scikit-learn and fairlearn.

All functions take `(y_true, y_pred, *, sensitive_features)`. The values are those of `fitlib.metrics.bias_metrics`, to
the last bit, and for many runs in one call:

>>> y_true, sex = [0, 1, 1, 0, 1, 1], ["f", "f", "f", "m", "m", "m"]
>>> runs = [[0, 1, 1, 0, 0, 1], [0, 1, 1, 0, 1, 1]]  # two runs, six rows
>>> demographic_parity(y_true, runs, sensitive_features=sex).round(3)
array([0.333, 0.   ])

Every metric has one value per class, of that class against all others; `average="macro"` is their mean over *all*
classes. With two classes given as 0/1 or booleans that includes class 0: `target=1` returns the value of class 1, to
which other packages refer as the metric. DP and the like are equal for both of two classes, but not DI or BA, and EOFP
of one class is EOTP of the other.

In scikit-learn they are scorers by `make_scorer(demographic_parity, greater_is_better=False)`, with
`set_score_request(sensitive_features=True)` where metadata are routed; declare `classes` where a fold may lack one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from fitlib.errors import InputError, one_of
from fitlib.metrics import bias_metrics
from fitlib.metrics.bias_metrics import PUBLISHED_RATIOS, RATIOS, READINGS, group_accuracy, overall_ratio, rate
from fitlib.metrics.counts import Cells, Counts
from fitlib.metrics.exact import Values
from fitlib.metrics.inputs import CountedArrays, count_arrays

if TYPE_CHECKING:
    import pandas as pd

Reading = Literal["strict", "published"]
Number: TypeAlias = float | Values  # of one run, or (runs,)
Frame: TypeAlias = "pd.Series | pd.DataFrame"


# Bias metrics


def demographic_parity(
    y_true: Any,
    y_pred: Any,
    *,
    sensitive_features: Any,
    average: Literal["macro"] | None = "macro",
    reading: Reading = "strict",
    classes: Sequence | None = None,
    target: Any = None,
) -> Number | Frame:
    """Compute DP, the largest difference of selection rates between two groups: max q_g / n_g - min q_g / n_g.

    q_g of the n_g rows of group g are predicted as the class. 0 = groups are treated alike, 1 = least fair.

    - `y_true`: true classes (rows,): integers, booleans or strings; or multi-label 0/1 (rows, labels). Lists, arrays,
      pandas objects and CPU tensors are matched by position, not by index.
    - `y_pred`: predicted classes, of the shape of y_true, or of several runs: (runs, rows), (runs, rows, labels).
    - `sensitive_features`: group of each row (rows,), labels of any kind; several columns (a data frame, a mapping or
      an array (rows, attributes)) are crossed.
    - `average`: "macro" for the mean over the classes (strict reading: over those with a value), None for each class.
    - `reading`: "strict", or "published": the formulas of Qian et al. (NeurIPS 2021) with their quirks, for two groups.
    - `classes`: all classes, in this order (multi-label: names of the labels). Default: the classes that occur in
      y_true or any run, sorted; both where all are 0/1. A class that never occurs is part of the mean.
    - `target`: the class whose value is returned; replaces `average`.

    Returns a float, or of several runs an array (runs,). With average=None a Series by class, or of several runs a data
    frame, run by class. NaN = undefined. Raises InputError for missing values, one group, unequal lengths, fractions in
    place of classes and the like.

    Agrees with `fairlearn.metrics.demographic_parity_difference` of each class.

    >>> demographic_parity([1, 0, 1, 0], [1, 1, 1, 0], sensitive_features=["f", "f", "m", "m"])
    0.5
    """
    return _bias("DP", demographic_parity, y_true, y_pred, sensitive_features, average, reading, classes, target)


def disparate_impact(
    y_true: Any,
    y_pred: Any,
    *,
    sensitive_features: Any,
    average: Literal["macro"] | None = "macro",
    reading: Reading = "strict",
    classes: Sequence | None = None,
    target: Any = None,
) -> Number | Frame:
    """Compute DI, 1 - smallest / largest selection rate q_g / n_g of the groups.

    1 if a group is never selected, undefined if none is. 1 - DI is the impact ratio of the four-fifths rule, of one
    class (`target`). Arguments, results and errors are those of `demographic_parity`.

    >>> disparate_impact([1, 0, 1, 0], [1, 1, 1, 0], sensitive_features=["f", "f", "m", "m"], target=1)
    0.5
    """
    return _bias("DI", disparate_impact, y_true, y_pred, sensitive_features, average, reading, classes, target)


def statistical_parity_subgroup(
    y_true: Any,
    y_pred: Any,
    *,
    sensitive_features: Any,
    average: Literal["macro"] | None = "macro",
    reading: Reading = "strict",
    classes: Sequence | None = None,
    target: Any = None,
) -> Number | Frame:
    """Compute SPSF, the sum over groups of (n_g / N) |Q / N - q_g / n_g|, with Q and N summed over the groups.

    q_g of the n_g rows of group g are predicted as the class. Arguments, results and errors are those of
    `demographic_parity`. Source: Kearns et al. (ICML 2018), as summed by Qian et al. (NeurIPS 2021).

    >>> statistical_parity_subgroup([1, 0, 1, 0], [1, 1, 1, 0], sensitive_features=["f", "f", "m", "m"])
    0.25
    """
    function = statistical_parity_subgroup
    return _bias("SPSF", function, y_true, y_pred, sensitive_features, average, reading, classes, target)


def false_positive_subgroup(
    y_true: Any,
    y_pred: Any,
    *,
    sensitive_features: Any,
    average: Literal["macro"] | None = "macro",
    reading: Reading = "strict",
    classes: Sequence | None = None,
    target: Any = None,
) -> Number | Frame:
    """Compute FPSF, the sum over groups of (r_g / N) |F / R - f_g / r_g|, with F, R and N summed over the groups.

    f_g of the r_g rows of group g that are truly of another class are predicted as the class; N are all rows.
    Undefined if a group has no such row. Arguments, results and errors are those of `demographic_parity`. Source:
    Kearns et al. (ICML 2018), with the weights in the code of Qian et al. (NeurIPS 2021).

    >>> false_positive_subgroup([1, 0, 1, 0], [1, 1, 1, 0], sensitive_features=["f", "f", "m", "m"], target=1)
    0.25
    """
    function = false_positive_subgroup
    return _bias("FPSF", function, y_true, y_pred, sensitive_features, average, reading, classes, target)


def equal_odds_false_positive(
    y_true: Any,
    y_pred: Any,
    *,
    sensitive_features: Any,
    average: Literal["macro"] | None = "macro",
    reading: Reading = "strict",
    classes: Sequence | None = None,
    target: Any = None,
) -> Number | Frame:
    """Compute EOFP, the largest difference of false positive rates FP_g / negatives_g between two groups.

    Undefined if a group has no negatives. Arguments, results and errors are those of `demographic_parity`. Source:
    Hardt et al. (NIPS 2016).

    >>> equal_odds_false_positive([1, 0, 1, 0], [1, 1, 1, 0], sensitive_features=["f", "f", "m", "m"], average=None)
    class
    0    0.0
    1    1.0
    Name: equal_odds_false_positive, dtype: float64
    """
    function = equal_odds_false_positive
    return _bias("EOFP", function, y_true, y_pred, sensitive_features, average, reading, classes, target)


def equal_odds_true_positive(
    y_true: Any,
    y_pred: Any,
    *,
    sensitive_features: Any,
    average: Literal["macro"] | None = "macro",
    reading: Reading = "strict",
    classes: Sequence | None = None,
    target: Any = None,
) -> Number | Frame:
    """Compute EOTP, the largest difference of true positive rates TP_g / positives_g between two groups.

    Undefined if a group has no positives. Arguments, results and errors are those of `demographic_parity`. Source:
    Hardt et al. (NIPS 2016), who call it equal opportunity.

    >>> equal_odds_true_positive([1, 0, 1, 0], [1, 1, 0, 0], sensitive_features=["f", "f", "m", "m"], target=1)
    1.0
    """
    function = equal_odds_true_positive
    return _bias("EOTP", function, y_true, y_pred, sensitive_features, average, reading, classes, target)


def bias_amplification(
    y_true: Any,
    y_pred: Any,
    *,
    sensitive_features: Any,
    average: Literal["macro"] | None = "macro",
    reading: Reading = "strict",
    classes: Sequence | None = None,
    target: Any = None,
) -> Number | Frame:
    """Compute BA, half the sum over groups of |q_g / Q - p_g / P|, with Q and P summed over the groups.

    q_g rows of group g are predicted as the class, p_g are truly of it. Undefined if no row is predicted, or truly, of
    the class. In the published reading of each class the defined ones move up (quirk Q6). Arguments, results and errors
    are those of `demographic_parity`. Source: Zhao et al. (EMNLP 2017), as changed by Qian et al. (NeurIPS 2021).

    >>> bias_amplification([1, 0, 1, 0], [1, 1, 1, 1], sensitive_features=["f", "f", "m", "m"], target=1)
    0.0
    """
    return _bias("BA", bias_amplification, y_true, y_pred, sensitive_features, average, reading, classes, target)


def _bias(
    metric: str,
    function: Callable,
    y_true: Any,
    y_pred: Any,
    sensitive_features: Any,
    average: str | None,
    reading: str,
    classes: Sequence | None,
    target: Any,
) -> Number | Frame:
    """Compute a metric by its short name; `function` is the public one, which errors and results are named after."""
    name = function.__name__
    _check_choices(name, average, "macro", reading)
    counted = count_arrays(name, y_true, y_pred, _given(name, sensitive_features), classes)
    _check_groups(name, counted, reading)
    ratios = (PUBLISHED_RATIOS if reading == "published" else RATIOS)[metric](counted.cells)
    if target is not None:
        return _number(ratios.values()[:, _position(name, counted, target)], counted)
    if average == "macro":
        return _number(overall_ratio(ratios, reading)[0], counted)
    return _frame(ratios.values(), counted, counted.classes, name)


# Accuracy and rates


def accuracy(
    y_true: Any, y_pred: Any, *, sensitive_features: Any = None, average: Literal["micro"] | None = "micro"
) -> Number | Frame:
    """Compute the share of right predictions; multi-label: of right cells (row, label).

    `y_true`, `y_pred` and `sensitive_features` (needed for average=None only) as in `demographic_parity`; one group and
    one class are allowed. `average`: "micro" for the share over all rows, None for each group.

    Returns a float, or of several runs an array (runs,). With average=None a Series by group, or of several runs a data
    frame, run by group. Raises InputError as `demographic_parity` does.

    >>> accuracy([1, 0, 1, 0], [1, 1, 1, 0])
    0.75
    >>> accuracy([1, 0, 1, 0], [1, 1, 1, 0], sensitive_features=["f", "f", "m", "m"], average=None).to_dict()
    {'f': 0.5, 'm': 1.0}
    """
    _check_choices("accuracy", average, "micro")
    if average is None:
        _given("accuracy", sensitive_features)
    counted = count_arrays("accuracy", y_true, y_pred, sensitive_features, fewest_classes=1)
    if average is None:
        return _frame(group_accuracy(counted.counts, counted.multilabel), counted, counted.groups, "accuracy")
    return _number(bias_metrics.accuracy(counted.counts, counted.multilabel), counted)


def selection_rate(
    y_true: Any, y_pred: Any, *, sensitive_features: Any, classes: Sequence | None = None, target: Any = None
) -> Frame:
    """Compute the selection rate of each group and class: the share of the group's rows predicted as the class.

    Arguments and errors are those of `demographic_parity`; one group is allowed. Returns a data frame, group by class,
    or of several runs (run, group) by class; with `target` the Series of this class.

    >>> rates = selection_rate([1, 0, 1, 0], [1, 1, 1, 0], sensitive_features=["f", "f", "m", "m"])
    >>> rates.to_dict("index")
    {'f': {0: 0.0, 1: 1.0}, 'm': {0: 0.5, 1: 0.5}}
    """
    counted = count_arrays("selection_rate", y_true, y_pred, _given("selection_rate", sensitive_features), classes)
    return _rates("selection_rate", counted, lambda cells: (cells.selected, cells.size), target)


def true_positive_rate(
    y_true: Any, y_pred: Any, *, sensitive_features: Any, classes: Sequence | None = None, target: Any = None
) -> Frame:
    """Compute the true positive rate of each group and class: TP / rows truly of the class; NaN without such rows.

    Arguments, results and errors are those of `selection_rate`.

    >>> sex = ["f", "f", "m", "m"]
    >>> true_positive_rate([1, 0, 1, 0], [1, 1, 0, 0], sensitive_features=sex, target=1).to_dict()
    {'f': 1.0, 'm': 0.0}
    """
    name = "true_positive_rate"
    counted = count_arrays(name, y_true, y_pred, _given(name, sensitive_features), classes)
    return _rates(name, counted, lambda cells: (cells.tp, cells.positives), target)


def false_positive_rate(
    y_true: Any, y_pred: Any, *, sensitive_features: Any, classes: Sequence | None = None, target: Any = None
) -> Frame:
    """Compute the false positive rate of each group and class: FP / rows truly of another class; NaN without such rows.

    Arguments, results and errors are those of `selection_rate`.

    >>> sex = ["f", "f", "m", "m"]
    >>> false_positive_rate([1, 0, 1, 0], [1, 1, 0, 0], sensitive_features=sex, target=1).to_dict()
    {'f': 1.0, 'm': 0.0}
    """
    name = "false_positive_rate"
    counted = count_arrays(name, y_true, y_pred, _given(name, sensitive_features), classes)
    return _rates(name, counted, lambda cells: (cells.fp, cells.negatives), target)


def _rates(name: str, counted: CountedArrays, parts: Callable[[Cells], tuple[Counts, Counts]], target: Any) -> Frame:
    """Return part / whole of each run, group and class as a data frame, or the Series of the target."""
    import pandas as pd

    values = rate(*parts(counted.cells))
    if not counted.has_runs:
        frame = pd.DataFrame(values[0], counted.groups, counted.classes)
    else:
        by_run = {run: pd.DataFrame(of, counted.groups, counted.classes) for run, of in enumerate(values)}
        frame = pd.concat(by_run, names=["run"])
    return frame if target is None else frame.iloc[:, _position(name, counted, target)].rename(name)


# Checks and results


def _check_choices(name: str, average: object, choice: str, reading: str = "strict") -> None:
    """Raise InputError for an unknown average or reading."""
    if average is not None and not (isinstance(average, str) and average == choice):
        raise InputError(name, "average", average, "unknown", f"give {choice!r}, or None for each value")
    one_of(name, "reading", str(reading), READINGS)


def _given(name: str, sensitive_features: Any) -> Any:
    """Return the sensitive features; raise InputError if they are None."""
    if sensitive_features is None:
        raise InputError(name, "sensitive_features", None, "no groups", "give the group of each row")
    return sensitive_features


def _check_groups(name: str, counted: CountedArrays, reading: str) -> None:
    """Raise InputError for fewer groups than a bias metric compares, or more than the reading does."""
    n_groups = len(counted.groups)
    if n_groups < 2:
        remedy = "give two groups or more; a bias metric compares them"
        raise InputError(name, "sensitive_features", counted.groups[0], "one group only", remedy)
    if reading == "published" and n_groups > 2:
        problem = f"compares exactly two groups, not {n_groups}"
        raise InputError(name, "reading", reading, problem, "use reading='strict'")


def _position(name: str, counted: CountedArrays, target: Any) -> int:
    """Return the position of a class; raise InputError if there is no such class."""
    classes = counted.classes.tolist()
    if np.ndim(target) or target not in classes:
        known = ", ".join(map(repr, classes[:12])) + (" …" if len(classes) > 12 else "")
        raise InputError(name, "target", target, "no class", f"known: {known}")
    return classes.index(target)


def _number(values: Values, counted: CountedArrays) -> Number:
    """Return values (runs,) as a float of one run, or as they are of several."""
    return values if counted.has_runs else float(values[0])


def _frame(values: Values, counted: CountedArrays, columns: pd.Index, name: str) -> Frame:
    """Return values (runs, columns) as a Series of one run, or a data frame of several."""
    import pandas as pd

    if not counted.has_runs:
        return pd.Series(values[0], columns, name=name)
    return pd.DataFrame(values, pd.RangeIndex(len(values), name="run"), columns)
