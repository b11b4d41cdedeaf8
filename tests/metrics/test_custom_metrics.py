"""Custom metrics: both forms, their direction, where they come from, and one line for whatever is wrong with them."""

import functools
import sys
from importlib.metadata import EntryPoint

import numpy as np
import pytest
from fairlearn import metrics as fairlearn

from fitlib.errors import InputError
from fitlib.metrics import metric_sources
from fitlib.metrics.bias_metrics import BIAS_METRICS, bias_metrics_of, demographic_parity
from fitlib.metrics.counts import cells_of, count
from fitlib.metrics.custom_metrics import Metric, evaluate, takes_predictions
from fitlib.metrics.exact import Ratio
from fitlib.metrics.long_tables import technique_tables
from fitlib.storage.predictions import Predictions
from fitlib.tables.schemas import RUNS
from tests.support.count_examples import random_rows


def predictions(seed=0, n_groups=2, n_classes=2):
    rng = np.random.default_rng(seed)
    truth, runs, group = random_rows(rng, n_rows=300, n_groups=n_groups, n_classes=n_classes)
    return Predictions(
        idx=np.arange(len(truth)),
        ground_truth=truth,
        prediction=runs,
        protected={"sex": group},
        unit=None,
        n_classes=n_classes,
        n_groups={"sex": n_groups},
        runs=tuple(range(len(runs))),
        score=None,
    )


def values(metric, given, name="mine"):
    metric = metric if isinstance(metric, Metric) else Metric(metric)
    return evaluate(name, metric, given, "sex", count(given, "sex"), "Base")


def of_counts(counts):
    return np.full(len(counts), 0.25)


def of_predictions(y_true, y_pred, *, sensitive_features):
    return 0.25


# Both forms


FAIRLEARN = {
    "function": fairlearn.demographic_parity_difference,
    "with an option": functools.partial(fairlearn.equalized_odds_difference, agg="mean"),
    "derived": fairlearn.accuracy_score_group_min,
    "ratio": fairlearn.demographic_parity_ratio,
}


@pytest.mark.parametrize("larger_is_fairer", [False, True])
@pytest.mark.parametrize("name", FAIRLEARN)
def test_functions_of_predictions_have_the_values_of_fairlearn_run_by_run(name, larger_is_fairer):
    given = predictions(seed=3, n_groups=3)
    found = values(Metric(FAIRLEARN[name], larger_is_fairer), given)
    data = {"y_true": given.ground_truth, "sensitive_features": given.protected["sex"]}
    expected = np.array([FAIRLEARN[name](y_pred=run, **data) for run in given.prediction])
    assert found.values[:, 0] == pytest.approx(1 - expected if larger_is_fairer else expected, abs=1e-15)
    assert found.values.shape == (len(given.runs), 1) and not found.undefined.any()


@pytest.mark.parametrize("n_groups", [2, 4])
def test_a_function_of_counts_that_repeats_dp_has_its_rows_to_the_last_bit(n_groups):
    given = predictions(seed=4, n_groups=n_groups, n_classes=5)
    custom = {"again": Metric(lambda counts: demographic_parity(cells_of(counts)))}
    table = technique_tables("Base", {"ulp": (0, given)}, drawn=False, custom=custom)["metrics"]
    strict = table[table["reading"] == "strict"]
    again, dp = (
        strict[strict["metric"] == name].drop(columns="metric").reset_index(drop=True) for name in ("again", "DP")
    )
    assert len(dp) == 6 * len(given.runs) and again.equals(dp)


def test_doubles_by_class_have_their_mean_over_the_defined_classes():
    given = predictions(n_classes=3)
    by_class = np.tile([0.1, np.nan, 0.4], (len(given.runs), 1))
    found = values(lambda counts: by_class, given)
    assert found.values[:, 0] == pytest.approx(0.25) and np.array_equal(found.values[:, 1:], by_class, equal_nan=True)
    assert found.undefined.tolist() == [[1, 0, 1, 0]] * len(given.runs)


def test_larger_is_fairer_is_one_minus_the_value_exactly_where_the_ratio_is_known():
    given = predictions(n_classes=3)
    thirds = Ratio(np.array([[1, 2, 3]] * len(given.runs)), np.array([[3, 3, 0]] * len(given.runs)))
    found = values(Metric(lambda counts: thirds, larger_is_fairer=True), given)
    assert found.values[0, 1:3].tolist() == [2 / 3, 1 / 3] and np.isnan(found.values[0, 3])
    assert found.values[0, 0] == 0.5


def test_undefined_runs_are_nan_not_errors():
    given = predictions()
    single = values(lambda counts: np.r_[np.nan, np.ones(len(counts) - 1)], given)
    each = values(lambda y_true, y_pred, sensitive_features: float("nan"), given)
    assert single.undefined[:, 0].tolist() == [1] + [0] * (len(given.runs) - 1)
    assert np.isnan(each.values).all() and np.isnan(each.remainders).all()


def test_a_function_cannot_change_the_predictions():
    given = predictions()
    before = given.ground_truth.copy(), given.prediction.copy()

    def spoil(y_true, y_pred, *, sensitive_features):
        y_true[:], y_pred[:] = 0, 0
        return 0.0

    values(spoil, given)
    assert np.array_equal(given.ground_truth, before[0]) and np.array_equal(given.prediction, before[1])


def test_the_form_is_read_from_the_signature_alone():
    assert takes_predictions(of_predictions) and takes_predictions(functools.partial(of_predictions))
    assert takes_predictions(lambda y_true, y_pred, sensitive_features, weight=None: 0)
    assert not takes_predictions(of_counts) and not takes_predictions(lambda counts, alpha=1: 0)
    for neither in (lambda: 0, lambda a, b: 0, lambda a, sensitive_features: 0, lambda *, counts: 0, min):
        with pytest.raises(ValueError, match=r"its arguments are|its signature"):
            takes_predictions(neither)


def test_metrics_of_an_analysis_are_fitlibs_and_its_own():
    assert bias_metrics_of({}) == bias_metrics_of({"metrics": None}) == BIAS_METRICS
    assert bias_metrics_of({"metrics": {"mine": {}}}) == (*BIAS_METRICS, "mine")


# What functions return


def failing(y_true, y_pred, *, sensitive_features):
    raise ZeroDivisionError("division by zero")


BAD_VALUES = {
    "raises, of predictions": (
        failing,
        "'Base, run 0': it raised ZeroDivisionError: division by zero; correct .*failing",
    ),
    "raises, of counts": (lambda counts: counts[99], "'Base, all runs': it raised IndexError"),
    "a table of another shape": (lambda counts: np.ones((2, 2, 2)), r"it returned shape \(2, 2, 2\), not \("),
    "one number for all runs": (lambda counts: 0.5, r"it returned shape \(\), not"),
    "an array for one run": (lambda y_true, y_pred, sensitive_features: y_pred, r"shape \(300,\), not one number"),
    "not a number": (lambda y_true, y_pred, sensitive_features: "high", "it raised ValueError: could not convert"),
    "nothing": (lambda y_true, y_pred, sensitive_features: {}, "it raised TypeError"),
    "percentages": (lambda counts: np.full(len(counts), 37.5), "it returned 37.5, not a share from 0 to 1"),
    "infinite": (lambda y_true, y_pred, sensitive_features: np.inf, "it returned inf, not a share from 0 to 1"),
    "signed": (lambda y_true, y_pred, sensitive_features: -0.1, "it returned -0.1, not a share from 0 to 1"),
}


@pytest.mark.parametrize("case", BAD_VALUES)
def test_bad_values_are_one_line_with_metric_technique_and_run(case):
    function, message = BAD_VALUES[case]
    with pytest.raises(InputError, match=message) as error:
        values(function, predictions(), name="worst group")
    assert str(error.value).startswith("metrics: metric worst group = 'Base, ") and "\n" not in str(error.value)


# Where they come from


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "my_metrics.py").write_text(
        "from fitlib.metrics import Metric\n"
        "LEVEL = 0.1\n"
        "def worst(counts):\n    return counts[:, 0, 0, 0] * 0.0\n"
        "def two(a, b):\n    return 0\n"
        "declared = Metric(worst, larger_is_fairer=True)\n"
        "class Group:\n    @staticmethod\n    def best(counts):\n        return counts\n"
    )
    (tmp_path / "broken_metrics.py").write_text("import fairlearn.no_such_part\n")
    (tmp_path / "raising_metrics.py").write_text("raise RuntimeError('no licence')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("my_metrics", None)


def entry(value, name="gap"):
    return EntryPoint(name=name, value=value, group=metric_sources.ENTRY_POINTS)


@pytest.fixture
def distribution(module, monkeypatch):
    """A distribution that announces a metric."""
    monkeypatch.setattr(metric_sources, "entry_points", lambda group: [entry("my_metrics:worst")])


def test_functions_are_imported_from_the_current_folder(module):
    declared = metric_sources.normalise(["my_metrics:worst", "my_metrics:Group.best"])
    assert declared == {"worst": {"function": "my_metrics:worst"}, "best": {"function": "my_metrics:Group.best"}}
    loaded = metric_sources.load({name: given | {"larger_is_fairer": True} for name, given in declared.items()}, "x")
    assert [metric.label for metric in loaded.values()] == ["my_metrics:worst", "my_metrics:Group.best"]


def test_installed_metrics_are_used_only_where_they_are_named(distribution):
    assert metric_sources.installed() == {"gap": "my_metrics:worst"}
    assert metric_sources.normalise(["gap"]) == {"gap": {"function": "my_metrics:worst"}}
    assert metric_sources.normalise({"mine": {"function": "gap"}}) == {"mine": {"function": "my_metrics:worst"}}
    assert list(metric_sources.given_metrics(["gap"], "analyze")) == ["gap"]
    assert metric_sources.given_metrics(None, "analyze") == {}
    with pytest.raises(ValueError, match=r"'gpa' is neither module:function nor an installed metric; .*: gap"):
        metric_sources.normalise(["gpa"])


def test_metrics_of_a_call_are_functions_metrics_and_texts(module):
    given = {"a": of_counts, "b": Metric(of_predictions, larger_is_fairer=True), "c": "my_metrics:worst"}
    found = metric_sources.given_metrics(given, "analyze")
    assert metric_sources.declared_of(found) == {
        "a": {"function": f"{__name__}:of_counts", "larger_is_fairer": False},
        "1 - b": {"function": f"{__name__}:of_predictions", "larger_is_fairer": True},
        "c": {"function": "my_metrics:worst", "larger_is_fairer": False},
    }
    assert list(metric_sources.given_metrics([of_counts, functools.partial(of_predictions)], "analyze")) == [
        "of_counts", "of_predictions",
    ]  # fmt: skip


def test_names_say_where_tables_contain_one_minus_the_value_and_a_plan_read_again_is_the_same(module):
    given = {"parity": {"function": "my_metrics:worst", "larger_is_fairer": True}, "gap": "my_metrics:worst"}
    once = metric_sources.normalise(given)
    assert list(once) == ["1 - parity", "gap"] and metric_sources.normalise(once) == once
    with pytest.raises(ValueError, match="two metrics have this name"):
        metric_sources.normalise({**once, **given})


BAD_METRICS = {
    "a number": (3, "metrics = 3: neither {name: function} nor a list of functions; for example"),
    "no function": ({"mine": 0.5}, r"metrics.mine = 0.5: not a function; a metric is f\(counts\) or f\(y_true"),
    "a class": ({"mine": Metric}, "metrics.mine = .*: not a function"),
    "a signature of neither form": ({"mine": lambda a, b: 0}, "its arguments are a, b; a metric is"),
    "the name of a metric": ({"DP": of_counts}, "the name DP is taken: it is a metric of fitlib"),
    "accuracy": ({"Accuracy": of_counts}, "the name Accuracy is taken"),
    "a column": ({"fingerprint": of_counts}, "the name fingerprint is taken: it is a column of a table"),
    "no text": ({3: of_counts}, "3 is no name of a metric"),
    "markup": ({"<b>": of_counts}, "'<b>' is no name of a metric"),
    "two of one name": ([of_counts, of_counts], "two metrics have this name"),
    "an unknown module": (["no_such_module:f"], r"metrics.f = 'no_such_module:f': cannot be imported .*; install it"),
    "an unknown function": (["my_metrics:wrost"], "there is no wrost in my_metrics; did you mean 'worst'"),
    "a value of a module": (["my_metrics:LEVEL"], "metrics.LEVEL = 'my_metrics:LEVEL': not a function"),
    "a metric of a module": (["my_metrics:declared"], "a Metric, not a function; name its function, and declare"),
    "neither form in a module": (["my_metrics:two"], "its arguments are a, b"),
    "a broken module": (["broken_metrics:f"], r"cannot be imported \(No module named 'fairlearn.no_such_part'\)"),
    "a raising module": (["raising_metrics:f"], r"cannot be imported \(RuntimeError: no licence\); correct raising_m"),
    "no module": (["worst"], "'worst' is neither module:function nor an installed metric"),
}


@pytest.mark.parametrize("case", BAD_METRICS)
def test_bad_metrics_are_one_line_before_any_work(module, case):
    given, message = BAD_METRICS[case]
    with pytest.raises(InputError, match=message) as error:
        metric_sources.given_metrics(given, "analyze")
    assert str(error.value).startswith("analyze: metrics") and "\n" not in str(error.value)


def test_no_metric_has_the_name_of_a_column_of_the_runs():
    assert set(metric_sources.TAKEN) == set(RUNS)
