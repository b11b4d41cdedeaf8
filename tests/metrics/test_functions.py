"""fitlib.metrics: its functions agree with fairlearn and with the long tables, whatever the labels and the runs."""

import inspect
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from fairlearn import metrics as fairlearn
from sklearn import config_context
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import GridSearchCV, cross_validate

import fitlib.metrics as fm
from fitlib.errors import InputError
from fitlib.metrics.counts import confusion, label_counts
from fitlib.metrics.long_tables import metrics_table
from tests.support.count_examples import random_rows

BIAS = {
    "DP": fm.demographic_parity,
    "DI": fm.disparate_impact,
    "SPSF": fm.statistical_parity_subgroup,
    "FPSF": fm.false_positive_subgroup,
    "EOFP": fm.equal_odds_false_positive,
    "EOTP": fm.equal_odds_true_positive,
    "BA": fm.bias_amplification,
}
RATES = {
    fm.selection_rate: fairlearn.selection_rate,
    fm.true_positive_rate: fairlearn.true_positive_rate,
    fm.false_positive_rate: fairlearn.false_positive_rate,
}
FUNCTIONS = [name for name in fm.__all__ if name != "Metric"]
NAMES = np.array(["ant", "bee", "cat", "dog", "elk"])


def rows(seed=0, **sizes):
    return random_rows(np.random.default_rng(seed), **sizes)


def same(ours, expected):
    return np.array_equal(np.asarray(ours, float), np.asarray(expected, float), equal_nan=True)


# The public names


def test_public_names_and_signatures():
    bias = "(y_true, y_pred, *, sensitive_features, average='macro', reading='strict', classes=None, target=None)"
    rate = "(y_true, y_pred, *, sensitive_features, classes=None, target=None)"
    expected = {
        "Metric": "(function, larger_is_fairer=False)",
        "accuracy": "(y_true, y_pred, *, sensitive_features=None, average='micro')",
        "bias_amplification": bias,
        "demographic_parity": bias,
        "disparate_impact": bias,
        "equal_odds_false_positive": bias,
        "equal_odds_true_positive": bias,
        "false_positive_rate": rate,
        "false_positive_subgroup": bias,
        "selection_rate": rate,
        "statistical_parity_subgroup": bias,
        "true_positive_rate": rate,
    }
    assert fm.__all__ == list(expected)
    assert {name: untyped_signature(getattr(fm, name)) for name in fm.__all__} == expected
    assert set(fm.__all__) <= set(dir(fm))
    with pytest.raises(AttributeError, match="no attribute 'demografic_parity'"):
        getattr(fm, "demografic_parity")  # noqa: B009


def untyped_signature(function):
    signature = inspect.signature(function)
    parameters = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_public_function_has_an_example(name):
    assert f">>> {name}(" in getattr(fm, name).__doc__ or f"= {name}(" in getattr(fm, name).__doc__


# Agreement


@pytest.mark.parametrize("n_groups", [2, 3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_values_of_each_class_equal_fairlearn(n_groups, seed):
    truth, runs, group = rows(seed, n_rows=400, n_groups=n_groups, n_classes=3)
    for run, target in enumerate(range(3)):
        data = {"y_true": truth == target, "y_pred": runs[run] == target, "sensitive_features": group}
        frame = fairlearn.MetricFrame(
            metrics={"EOFP": fairlearn.false_positive_rate, "EOTP": fairlearn.true_positive_rate}, **data
        )
        expected = {
            "DP": fairlearn.demographic_parity_difference(**data),
            "DI": 1 - fairlearn.demographic_parity_ratio(**data),
            **frame.difference(),
        }
        ours = {name: BIAS[name](truth, runs, sensitive_features=group, target=target)[run] for name in expected}
        assert ours == pytest.approx(expected)
        binary = {name: BIAS[name](**data, target=True) for name in expected}
        assert binary == ours
        assert max(ours["EOFP"], ours["EOTP"]) == pytest.approx(fairlearn.equalized_odds_difference(**data))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ours", RATES)
def test_rates_equal_a_metric_frame_of_crossed_groups(ours, seed):
    truth, runs, group = rows(seed, n_groups=4, n_classes=3)
    crossed = pd.DataFrame({"sex": np.array(["f", "m"])[group // 2], "old": group % 2 == 1})
    found = ours(truth, runs, sensitive_features=crossed)
    assert found.index.names == ["run", "sex", "old"] and found.columns.tolist() == [0, 1, 2]
    for run, target in enumerate(range(3)):
        data = {"y_true": truth == target, "y_pred": runs[run] == target, "sensitive_features": crossed}
        expected = fairlearn.MetricFrame(metrics=RATES[ours], **data).by_group
        pd.testing.assert_series_equal(found.loc[run][target], expected, check_names=False)
        alone = ours(truth, runs[run], sensitive_features=crossed, target=target)
        pd.testing.assert_series_equal(alone, expected, check_names=False)


def test_accuracy_equals_scikit_learn_overall_and_by_group():
    truth, runs, group = rows(4)
    assert fm.accuracy(truth, runs).tolist() == [accuracy_score(truth, run) for run in runs]
    by_group = fm.accuracy(truth, runs, sensitive_features=group, average=None)
    expected = [[accuracy_score(truth[group == g], run[group == g]) for g in range(2)] for run in runs]
    assert by_group.to_numpy().tolist() == expected
    assert fm.accuracy(["a"], ["a"]) == 1.0  # one class and one group are allowed


def long_values(counts, reading, metric, multilabel=False):
    """Return the long table's overall values (runs,) and values by class (runs, classes)."""
    table = metrics_table("T", "none", 0, range(len(counts)), counts, multilabel)
    part = table[(table["reading"] == reading) & (table["metric"] == metric)]
    overall = part[part["target"].isna()]["value"].to_numpy()
    return overall, part[part["target"].notna()].pivot(index="run", columns="target", values="value").to_numpy()


@pytest.mark.parametrize("reading", ["strict", "published"])
@pytest.mark.parametrize("metric", BIAS)
@pytest.mark.parametrize("seed", range(3))
def test_values_equal_the_long_table_to_the_last_bit(metric, reading, seed):
    # 40 rows in 5 classes: some values are undefined.
    truth, runs, group = rows(seed, n_rows=40)
    overall, by_class = long_values(confusion(truth, runs, group, 5, 2), reading, metric)
    options = {"sensitive_features": group, "reading": reading, "classes": range(5)}
    assert same(BIAS[metric](truth, runs, **options), overall)
    found = BIAS[metric](truth, runs, average=None, **options)
    assert same(found, by_class) and found.columns.name == "class" and found.index.name == "run"


@pytest.mark.parametrize("metric", BIAS)
def test_multi_label_values_equal_the_long_table_to_the_last_bit(metric):
    rng = np.random.default_rng(3)
    truth, runs, group = rng.random((60, 4)) < 0.4, rng.random((3, 60, 4)) < 0.4, rng.integers(0, 3, 60)
    counts = label_counts(truth.astype(int), runs.astype(int), group, 3)
    overall, by_class = long_values(counts, "strict", metric, multilabel=True)
    assert same(BIAS[metric](truth, runs, sensitive_features=group), overall)
    assert same(BIAS[metric](truth, runs, sensitive_features=group, average=None), by_class)
    names = list("abcd")
    one = BIAS[metric](pd.DataFrame(truth, columns=names), runs[1], sensitive_features=group, average=None)
    assert same(one, by_class[1]) and one.index.tolist() == names
    assert same(BIAS[metric](truth, runs, sensitive_features=group, classes=names, target="c"), by_class[:, 2])
    accuracy = (truth == runs).mean(axis=(1, 2))
    assert fm.accuracy(truth, runs) == pytest.approx(accuracy)


def test_an_undefined_class_is_left_out_of_the_strict_mean_and_makes_the_published_one_undefined():
    # All of group 1 are truly of class 0, so that it has no false positive rate of class 0.
    data = {"y_true": [0, 1, 2, 0, 0], "y_pred": [0, 1, 1, 1, 1], "sensitive_features": [0, 0, 0, 1, 1]}
    by_class = fm.false_positive_subgroup(**data, average=None)
    assert by_class.isna().tolist() == [True, False, False] and by_class[1] > 0
    assert fm.false_positive_subgroup(**data) == pytest.approx(by_class[1:].mean())
    assert np.isnan(fm.false_positive_subgroup(**data, reading="published"))
    assert np.isnan(fm.equal_odds_false_positive(**data, target=0))


# Several runs


@pytest.mark.parametrize("metric", BIAS)
def test_several_runs_are_each_run_alone(metric):
    truth, runs, group = rows(5, n_groups=3)
    together = BIAS[metric](truth, runs, sensitive_features=group)
    alone = [BIAS[metric](truth, run, sensitive_features=group) for run in runs]
    assert together.shape == (4,) and together.tolist() == alone and type(alone[0]) is float
    by_class = BIAS[metric](truth, runs, sensitive_features=group, average=None)
    for number, run in enumerate(runs):
        one = BIAS[metric](truth, run, sensitive_features=group, average=None)
        pd.testing.assert_series_equal(one, by_class.loc[number], check_names=False)


def test_one_run_with_an_axis_of_runs_stays_an_array():
    truth, runs, group = rows(5)
    assert fm.demographic_parity(truth, runs[:1], sensitive_features=group).shape == (1,)


# Labels of any kind

KINDS = {
    "text": lambda codes: NAMES[codes],
    "lists of text": lambda codes: NAMES[codes].tolist(),
    "objects": lambda codes: NAMES[codes].astype(object),
    "small integers": lambda codes: codes.astype(np.uint8),
    "sparse integers": lambda codes: codes * 1000 - 7,
    "whole floats": lambda codes: codes.astype(float),
    "torch": torch.from_numpy,
}
SERIES = {
    "text": lambda codes: pd.Series(NAMES[codes], index=codes[::-1]),
    "categories": lambda codes: pd.Series(NAMES[codes], dtype="category"),
    "nullable integers": lambda codes: pd.Series(codes, dtype="Int64"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("metric", BIAS)
def test_labels_of_any_kind_give_equal_values(metric, kind):
    truth, runs, group = rows(6)
    expected = BIAS[metric](truth, runs, sensitive_features=group)
    assert same(BIAS[metric](KINDS[kind](truth), KINDS[kind](runs), sensitive_features=KINDS[kind](group)), expected)


@pytest.mark.parametrize("kind", SERIES)
def test_pandas_objects_give_equal_values_by_position(kind):
    truth, runs, group = rows(6)
    expected = fm.bias_amplification(truth, runs, sensitive_features=group)
    series = SERIES[kind]
    assert fm.bias_amplification(series(truth), series(runs[1]), sensitive_features=series(group)) == expected[1]
    assert same(fm.bias_amplification(series(truth), [*map(series, runs)], sensitive_features=series(group)), expected)


def test_booleans_and_zero_one_are_averaged_over_both_classes():
    truth, runs, group = rows(7, n_classes=2)
    for y_true, y_pred in [(truth, runs), (truth == 1, runs == 1), (truth == 1, runs)]:
        by_class = fm.disparate_impact(y_true, y_pred, sensitive_features=group, average=None)
        macro = fm.disparate_impact(y_true, y_pred, sensitive_features=group)
        assert macro == pytest.approx(by_class.mean(axis=1)) and by_class.shape == (4, 2)
        assert same(fm.disparate_impact(y_true, y_pred, sensitive_features=group, target=1), by_class.iloc[:, 1])
    one = fm.selection_rate([True, True], [True, True], sensitive_features=[0, 1])
    assert one.columns.tolist() == [False, True]  # both, though False never occurs


def test_classes_are_sorted_or_as_declared_and_those_that_never_occur_count():
    y_true, y_pred, group = ["b", "a", "b", "a"], ["b", "b", "b", "a"], [0, 0, 1, 1]
    found = fm.demographic_parity(y_true, y_pred, sensitive_features=group, average=None)
    assert found.to_dict() == {"a": 0.5, "b": 0.5} and found.index.tolist() == ["a", "b"]
    options = {"sensitive_features": group, "classes": ["c", "b", "a"]}
    assert fm.demographic_parity(y_true, y_pred, average=None, **options).to_dict() == {"c": 0.0, "b": 0.5, "a": 0.5}
    assert fm.demographic_parity(y_true, y_pred, **options) == pytest.approx(1 / 3)


@pytest.mark.parametrize("classes", [[True, False], [1, 0], [2, 1, 0]])
@pytest.mark.parametrize("kind", [int, bool])
def test_declared_classes_match_booleans_and_numbers_alike(kind, classes):
    truth, runs, group = (array.astype(kind) for array in rows(7, n_classes=2))
    found = fm.bias_amplification(truth, runs, sensitive_features=group, classes=classes, average=None)
    expected = fm.bias_amplification(truth, runs, sensitive_features=group, average=None)
    assert same(found.iloc[:, -2:], expected.iloc[:, ::-1]) and found.columns.tolist() == classes


# Groups


def test_several_columns_are_crossed_and_empty_crossings_left_out():
    truth, runs, group = rows(8, n_groups=3)
    first, second = np.array(["f", "f", "m"])[group], np.array([0, 1, 1])[group]  # nobody is (m, 0)
    expected = fm.demographic_parity(truth, runs, sensitive_features=group)
    columns = {"sex": first, "race": second}
    for features in (columns, pd.DataFrame(columns), np.column_stack([first, second])):
        assert same(fm.demographic_parity(truth, runs, sensitive_features=features), expected)
    many = {f"column {i}": second for i in range(70)} | {"sex": first}  # more than NumPy's axes
    assert same(fm.demographic_parity(truth, runs, sensitive_features=many), expected)
    found = fm.selection_rate(truth, runs[0], sensitive_features=columns)
    assert found.index.tolist() == [("f", 0), ("f", 1), ("m", 1)] and found.index.names == ["sex", "race"]


def test_groups_keep_their_labels_and_name_sorted():
    group = pd.Series(["m", "f", "m", "f"], name="sex")
    found = fm.selection_rate([0, 1, 0, 1], [0, 1, 1, 1], sensitive_features=group, target=1)
    assert found.to_dict() == {"f": 1.0, "m": 0.5} and found.index.tolist() == ["f", "m"]
    assert found.index.name == "sex" and found.name == "selection_rate"
    mixed = fm.selection_rate([0, 1, 0], [0, 1, 1], sensitive_features=np.array(["old", 7, 7], object))
    assert mixed.index.tolist() == [7, "old"]
    assert len(fm.selection_rate([0, 1], [0, 1], sensitive_features=["a", "a"])) == 1  # one group is allowed


# Bad input

Y, P, S = [0, 1, 0, 1], [0, 1, 1, 1], ["f", "f", "m", "m"]
RUNS = np.array([P, Y])
BAD = {
    "unequal predictions": ((Y, P[:3], S), r"shape of y_pred = \(3,\): y_true is \(4,\); give \(runs, rows\)"),
    "unequal groups": ((Y, P, S[:3]), r"length of sensitive_features = 3: y_true has 4 rows; give one value for each"),
    "unequal column": ((Y, P, {"sex": S, "age": [1, 2]}), r"length of .*\['age'\] = 2: y_true has 4 rows"),
    "one group": ((Y, P, ["f"] * 4), "sensitive_features = 'f': one group only; give two groups or more"),
    "one crossed group": ((Y, P, {"a": [1] * 4, "b": [2] * 4}), "one group only"),
    "no groups": ((Y, P, None), "sensitive_features = None: no groups; give the group of each row"),
    "NaN truth": (([0, 1, np.nan, 1], P, S), "y_true = None: missing in 1 of 4 rows, the first row 2; fill"),
    "None in predictions": ((Y, ["a", None, "b", None], S), "y_pred = None: missing in 2 of 4 rows, the first row 1"),
    "NaN among text": ((["a", "b", np.nan, "a"], ["a"] * 4, S), "y_true = None: missing in 1 of 4 rows"),
    "NaN in runs": ((Y, [Y, [0, 1, np.nan, 0]], S), r"y_pred = None: missing in 1 of 8 values, the first at \(1, 2\)"),
    "NaN group": ((Y, P, [1, np.nan, 0, 0]), "sensitive_features = None: missing in 1 of 4 rows"),
    "None group": ((Y, P, ["f", None, "m", "m"]), "sensitive_features = None: missing in 1 of 4 rows"),
    "NA group": ((Y, P, pd.Series([1, 2, None, 1], dtype="Int64")), "sensitive_features = None: missing in 1 of 4"),
    "missing in a column": ((Y, P, {"sex": S, "age": [1, 2, None, 1]}), r"\['age'\] = None: missing in 1 of 4 rows"),
    "masked": ((np.ma.array(Y, mask=[0, 1, 0, 0]), P, S), "y_true = None: missing in 1 of 4 rows, the first row 1"),
    "masked NaN": (
        (np.ma.array([0, np.nan, 1, 1], mask=[0, 0, 0, 1]), P, S),
        "y_true = None: missing in 2 of 4 rows",
    ),
    "scores": ((Y, [0.3, 0.7, 0.1, 1], S), "y_pred = 0.3: not a whole number, so no class; .* y_pred >= 0.5"),
    "infinite": ((Y, [np.inf, 0, 1, 1], S), "y_pred = inf: not a whole number, so no class"),
    "complex": ((Y, np.array(P) * 1j, S), "y_pred = 'complex128': no type of classes or groups"),
    "dates": ((Y, np.array(P, "datetime64[D]"), S), r"y_pred = 'datetime64\[D\]': no type of classes or groups"),
    "mixed": ((["a", 1, "a", 1], P, S), "y_true = 'a': not all classes are of one type"),
    "text and numbers": ((Y, ["0", "1", "1", "1"], S), "y_pred = '0': strings, but y_true has numbers; name the"),
    "transposed": ((Y, RUNS.T, S), r"shape of y_pred = \(4, 2\): the runs come first, .* y_pred.T"),
    "transposed labels": (
        (RUNS.T, np.ones((4, 3, 2), int), S),
        r"shape of y_pred = \(4, 3, 2\): the runs come first, .*moveaxis\(y_pred, 1, 0\)",
    ),
    "truth of each run": ((RUNS, RUNS, S), "length of sensitive_features = 4: y_true has 2 rows"),
    "column of truth": ((np.array(Y)[:, None], P, S), r"y_true = \(4, 1\): no shape of true classes"),
    "3-d truth": ((np.zeros((2, 2, 2)), P, S), r"y_true = \(2, 2, 2\): no shape of true classes"),
    "3-d predictions": ((Y, np.zeros((2, 2, 4)), S), r"y_pred = \(2, 2, 4\): no shape for y_true \(4,\)"),
    "3-d groups": ((Y, P, np.zeros((4, 2, 2))), r"sensitive_features = \(4, 2, 2\): no shape of groups"),
    "labels 0 to 2": ((RUNS.T + 1, RUNS.T, S), r"y_true = 2: neither 0 nor 1, at \(1, 0\); write every label"),
    "text labels": ((RUNS.T, RUNS.T.astype(str), S), "y_pred = '0': neither 0 nor 1"),
    "empty": (([], [], []), r"y_true = \(0,\): empty; give at least one row"),
    "no run": ((Y, np.zeros((0, 4), int), S), r"y_pred = \(0, 4\): empty; give at least one row and one run"),
    "no column": ((Y, P, {}), r"sensitive_features = \[\]: no column; give at least one"),
    "column twice": ((Y, P, pd.DataFrame([[1, 2]] * 4, columns=["a", "a"])), "two columns of this name"),
    "ragged": ((Y, [[0, 1], [1]], S), "y_pred = 'list': not an array .*; give an array"),
    "one value": ((Y, 1, S), "y_pred = 1: not an array; give an array"),
    "gradients": ((Y, torch.ones(4, requires_grad=True), S), "y_pred = 'Tensor': not an array .*detach"),
    "text nan": ((np.array(["a", np.nan, "b", "a"]), ["a"] * 4, S), "y_true = 'nan': missing in 1 of 4 rows"),
    "huge integers": (([2**70, 1, 0, 1], P, S), "y_true = 1180591620717411303424: too large for a class"),
    "huge floats": (([1e30, 1, 0, 1], P, S), r"y_true = 1e\+30: too large for a class"),
    "bytes": ((np.array([b"a", b"b"] * 2), P, S), r"no type of classes or groups"),
    "blank": ((Y, ["a", " ", "b", "a"], S), "y_pred = '': missing in 1 of 4 rows, the first row 1"),
    "null of Arrow's categories": (
        (pa.chunked_array([pa.array(["a", None, "b", "a"]).dictionary_encode()]), ["a"] * 4, S),
        "y_true = None: missing in 1 of 4 rows, the first row 1",
    ),
    "generator": ((Y, iter(P), S), "y_pred = <.*: not an array; give an array"),
    "lists as groups": ((Y, P, np.array([[1], [2], {}, 3], object)), r"sensitive_features = \[1\]: no labels"),
    "labels in another order": (
        (pd.DataFrame(RUNS.T, columns=["a", "b"]), pd.DataFrame(RUNS.T, columns=["b", "a"]), S),
        r"y_pred = \['b', 'a'\]: y_true has the labels \['a', 'b'\]; give y_pred the columns of y_true",
    ),
    "label twice": ((pd.DataFrame(RUNS.T, columns=["a", "a"]), RUNS.T, S), "not 2 different labels"),
    "one class": ((["a"] * 4, ["a"] * 4, S), "y_true = 'a': one class only; list all classes in classes="),
    "measurements": ((np.arange(20000), np.arange(20000), np.arange(20000) % 2), "y_pred = 20000: 20000 classes in 2"),
}  # fmt: skip
BAD_OPTIONS = {
    "average": ({"average": "weighted"}, "average = 'weighted': unknown; give 'macro', or None for each value"),
    "reading": ({"reading": "Published"}, r"reading = 'Published': unknown; did you mean published\?"),
    "number of classes": ({"classes": 2}, "classes = 2: not a list of classes; list every class"),
    "targets": ({"target": [0, 1]}, r"target = \[0, 1\]: no class; known: 0, 1"),
    "averages": ({"average": np.array([1, 2])}, r"average = array\(\[1, 2\]\): unknown"),
    "target": ({"target": 2}, "target = 2: no class; known: 0, 1"),
    "unlisted class": ({"classes": [0, 2]}, r"classes = \[0, 2\]: 1 occurs, too; list every class"),
    "class twice": ({"classes": [0, 1, 1]}, "not two or more different classes; list each once"),
    "fraction": ({"classes": [0, 1, 0.5]}, "classes = 0.5: not a whole number, so no class"),
    "text": ({"classes": ["0", "1"]}, "0 occurs, too; list every class"),
    "three groups": ({"reading": "published", "sensitive_features": [0, 1, 2, 2]}, "exactly two groups, not 3; use"),
}  # fmt: skip


def one_line(error, function):
    return str(error.value).startswith(f"{function}: ") and "\n" not in str(error.value)


@pytest.mark.parametrize("case", BAD)
def test_bad_arrays_are_one_line_with_argument_value_and_remedy(case):
    (y_true, y_pred, groups), message = BAD[case]
    with pytest.raises(InputError, match=message) as error:
        fm.demographic_parity(y_true, y_pred, sensitive_features=groups)
    assert one_line(error, "demographic_parity")


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_bad_options_are_one_line_with_argument_value_and_remedy(case):
    options, message = BAD_OPTIONS[case]
    with pytest.raises(InputError, match=message) as error:
        fm.bias_amplification(Y, P, **{"sensitive_features": S} | options)
    assert one_line(error, "bias_amplification")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_errors_name_the_function_called(name):
    with pytest.raises(InputError) as error:
        getattr(fm, name)(Y, P[:3], sensitive_features=S)
    assert one_line(error, name)


def test_label_names_must_be_as_many_as_labels():
    with pytest.raises(InputError, match=r"classes = \['a'\]: not 2 different labels; name each label once"):
        fm.demographic_parity(RUNS.T, RUNS.T, sensitive_features=S, classes=["a"])


def test_accuracy_by_group_needs_groups():
    with pytest.raises(InputError, match="accuracy: sensitive_features = None: no groups"):
        fm.accuracy(Y, P, average=None)


# scikit-learn


def test_functions_are_scorers_of_scikit_learn_with_routed_groups():
    rng = np.random.default_rng(9)
    x, group = rng.normal(size=(300, 3)), rng.integers(0, 2, 300)
    y = (x[:, 0] + group + rng.normal(size=300) > 0.5).astype(int)
    with config_context(enable_metadata_routing=True), warnings.catch_warnings():
        scorer = make_scorer(fm.demographic_parity, greater_is_better=False, target=1)
        scorer = scorer.set_score_request(sensitive_features=True)
        found = cross_validate(
            LogisticRegression(), x, y, cv=3, scoring=scorer, params={"sensitive_features": group},
            return_estimator=True, return_indices=True,
        )  # fmt: skip
    for model, test, score in zip(found["estimator"], found["indices"]["test"], found["test_score"], strict=True):
        expected = fairlearn.demographic_parity_difference(
            y[test], model.predict(x[test]), sensitive_features=group[test]
        )
        assert -score == pytest.approx(expected)


def test_functions_choose_the_fairest_candidate_of_a_grid_search():
    rng = np.random.default_rng(9)
    x, group = rng.normal(size=(300, 3)), rng.integers(0, 2, 300)
    y = (x[:, 0] + group + rng.normal(size=300) > 0.5).astype(int)
    x, grid = np.c_[x, group], {"C": [1e-4, 1e-2, 1.0]}
    with config_context(enable_metadata_routing=True):
        scorer = make_scorer(fm.demographic_parity, greater_is_better=False, target=1, classes=[0, 1])
        scorer = scorer.set_score_request(sensitive_features=True)
        search = GridSearchCV(
            LogisticRegression(), grid, scoring={"DP": scorer, "accuracy": "accuracy"}, refit="DP", cv=3
        )
        search.fit(x, y, sensitive_features=group)
        routed = {"scoring": scorer, "cv": 3, "params": {"sensitive_features": group}}
        expected = [cross_validate(LogisticRegression(C=c), x, y, **routed)["test_score"].mean() for c in grid["C"]]
    assert search.cv_results_["mean_test_DP"] == pytest.approx(expected) and len(set(expected)) == 3
    assert search.best_params_ == {"C": grid["C"][np.argmax(expected)]}
