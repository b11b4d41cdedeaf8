"""Combined results are those of one analysis of everything, and what does not fit is refused in one line."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest

import fitlib
from fitlib.errors import InputError
from fitlib.results.example import example_results
from tests.results.test_analysis import SEX, binary, crossed, labels, write_files
from tests.support.simulated import write_simulated


def parts(given, first, second):
    """The arguments of two analyses with these runs of each technique."""
    for chosen in (first, second):
        runs = {name: given["y_pred"][name][at] for name, at in chosen.items()}
        scores = {name: given["y_score"][name][at] for name, at in chosen.items()} if "y_score" in given else None
        yield {**given, "y_pred": runs, "y_score": scores}


def assert_same(found, expected):
    assert list(found.tables) == list(expected.tables)
    for name in expected.tables:
        pd.testing.assert_frame_equal(
            pd.DataFrame(found.tables[name]), pd.DataFrame(expected.tables[name]), check_exact=True, obj=name
        )
    assert found.verdict == expected.verdict and found.plan == expected.plan
    assert repr(found) == repr(expected)


START, END = slice(None, 2), slice(2, None)


@pytest.mark.parametrize("case", [binary, *(pytest.param(case, marks=pytest.mark.slow) for case in (crossed, labels))])
def test_more_runs_of_each_technique(case):
    given, _ = case()
    names = list(given["y_pred"])
    first, second = (fitlib.analyze(**of, baseline="Plain") for of in parts(
        given, dict.fromkeys(names, START), dict.fromkeys(names, END)
    ))  # fmt: skip
    assert_same(first + second, fitlib.analyze(**given, baseline="Plain"))


def test_more_techniques_with_a_shared_baseline():
    given, _ = binary()
    given["y_pred"] = given["y_pred"] | {"Other": given["y_pred"]["Plain"][::-1][:4]}
    del given["y_score"]
    first, second = (fitlib.analyze(**of, baseline="Plain") for of in parts(
        given, {"Fairer": slice(None), "Plain": slice(None)}, {"Plain": slice(None), "Other": slice(None)}
    ))  # fmt: skip
    assert_same(fitlib.combine(first, second), fitlib.analyze(**given, baseline="Plain"))
    changed = fitlib.combine(first, second, baseline="Other")
    assert set(changed.comparisons["baseline"]) == {"Other"}


def test_seeds_stay_with_their_runs():
    given, _ = binary()
    seeds = {name: [0, 1, 0, 1, 2, 2][: len(runs)] for name, runs in given["y_pred"].items()}
    at = (dict.fromkeys(seeds, START), dict.fromkeys(seeds, END))
    first, second = (
        fitlib.analyze(**of, baseline="Plain", seeds={name: seeds[name][chosen[name]] for name in seeds})
        for of, chosen in zip(parts(given, *at), at, strict=True)
    )
    assert_same(first + second, fitlib.analyze(**given, baseline="Plain", seeds=seeds))


def test_custom_metrics_are_computed_again():
    given, _ = binary()
    given |= {"metrics": {"gap": lambda y_true, y_pred, *, sensitive_features: float(np.mean(y_true != y_pred))}}
    names = given["y_pred"]
    halves = parts(given, dict.fromkeys(names, START), dict.fromkeys(names, END))
    first, second = (fitlib.analyze(**of, baseline="Plain") for of in halves)
    assert "gap" in set((first + second).summary["metric"])


def test_results_on_disk_combine_with_results_in_memory(tmp_path, fitlib_command):
    given, command = binary()
    names = given["y_pred"]
    first, second = parts(given, dict.fromkeys(names, START), dict.fromkeys(names, END))
    write_files(tmp_path / "mine", first)
    done = fitlib_command("analyze", "mine", *command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = fitlib.load("mine", tmp_path / "outputs") + fitlib.analyze(**second, baseline="Plain")
    expected = fitlib.analyze(**given, baseline="Plain")
    for name in expected.tables:
        pd.testing.assert_frame_equal(
            pd.DataFrame(found.tables[name]), pd.DataFrame(expected.tables[name]), check_exact=True, obj=name
        )
    assert found.verdict == expected.verdict


def test_what_runs_recorded_is_not_carried_over(tmp_path):
    example = fitlib.load(write_simulated(tmp_path))
    known = [{"training": "simulated-base", "arm": "unknown", "run": 0, "status": "done"}]
    recorded = type(example)(example.root, known=(example.plan, known))
    again = fitlib.combine(recorded, example)
    assert again.evidence == [] and any("not carried over" in text for text in again.plan["deviations"])
    assert again.plan["data"] == example.plan["data"]
    assert pd.DataFrame(again.summary).equals(pd.DataFrame(fitlib.combine(example, example).summary))


TRUTH = np.random.default_rng(1).integers(0, 2, len(SEX))
RUNS = np.stack([np.where(np.random.default_rng(i).random(len(SEX)) < 0.2, 1 - TRUTH, TRUTH) for i in range(3)])


def analyze(**changes):
    return fitlib.analyze(**{"y_true": TRUTH, "y_pred": {"A": RUNS}, "sensitive_features": {"sex": SEX}} | changes)


OTHERS = {
    "ground truth": ({"y_true": np.roll(TRUTH, 1)}, "combine: ground truth of A in result 2 = .*one test set"),
    "rows": (
        {"y_true": TRUTH[1:], "y_pred": {"A": RUNS[:, 1:]}, "sensitive_features": {"sex": SEX[1:]}},
        "rows of A in result 2",
    ),
    "groups of rows": ({"sensitive_features": {"sex": np.roll(SEX, 1)}}, "groups of sex of A in result 2"),
    "attribute": ({"sensitive_features": {"race": SEX}}, "groups of result 2 = .*race"),
    "classes": ({"y_true": np.where(TRUTH, "yes", "no"), "y_pred": {"A": np.where(RUNS, "yes", "no")}}, "classes of"),
    "units": ({"unit": np.arange(len(SEX)) // 2}, "units of A in result 2"),
    "alpha": ({"alpha": 0.1}, r"alpha of result 2 = 0.1: not 0.05, as in the first result; analyse both with the same"),
    "smallest effect": ({"smallest_effect": 0.02}, "smallest_effect of result 2 = 0.02"),
    "favourable class": ({"favourable": 1}, "favourable of result 2 = 1: not None"),
    "scores": ({"y_pred": {"A": RUNS[::-1]}, "y_score": {"A": np.full(RUNS.shape, 0.5)}}, "scores of A = 'different'"),
    "several seeds": ({"y_pred": {"B": RUNS}, "seeds": {"B": [0, 1, 2]}}, r"seeds = \[0, 1, 2\]: recorded in some"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_results_that_do_not_fit_are_refused_in_one_line(case):
    changes, message = OTHERS[case]
    with pytest.raises(InputError, match=message):
        fitlib.combine(analyze(), analyze(**changes))


def test_something_else_is_refused_in_one_line():
    with pytest.raises(InputError, match=r"combine: others = .*: nothing to combine with"):
        fitlib.combine(analyze())
    with pytest.raises(InputError, match="combine: argument 2 = 5: no results"):
        fitlib.combine(analyze(), 5)
    with pytest.raises(TypeError):
        analyze() + 5
    with pytest.raises(InputError, match="baseline = 'Z': not among the techniques"):
        fitlib.combine(example_results(), example_results(), baseline="Z")


def test_predictions_that_an_export_left_out_are_missed(tmp_path):
    example = fitlib.load(write_simulated(tmp_path))
    for path in example.root.glob("runs/*/*/run-*/predictions/*"):
        path.unlink()
    with pytest.raises(InputError, match=r"predictions of .* in result 2 = None: not there; an export leaves them out"):
        fitlib.combine(fitlib.load(write_simulated(tmp_path / "whole")), example)


# Combinations that would count or mix what they should not


def test_runs_that_are_partly_the_same_are_refused():
    rng, truth, sex = np.random.default_rng(0), np.arange(300) % 2, np.repeat(["f", "m"], 150)
    runs = np.where(rng.random((8, 300)) < 0.2, 1 - truth, truth)
    some, all_of_them = (fitlib.analyze(truth, {"A": part}, sensitive_features=sex) for part in (runs[:4], runs))
    with pytest.raises(InputError, match="4 of its 8 runs are equal to runs of an earlier result"):
        some + all_of_them
    assert repr(some + some) == repr(some)


def test_predictions_without_a_name_are_not_pooled():
    one, other = (analyze(y_pred=runs) for runs in (RUNS[:2], RUNS[1:]))
    with pytest.raises(InputError, match=r"technique of result 2 = 'model': not named in several results: .*name both"):
        one + other
    assert repr(one + one) == repr(one) and "A, model" in repr(analyze() + other)


def test_one_name_for_two_functions_is_refused():
    truth, sex = np.arange(300) % 2, np.repeat(["f", "m"], 150)
    rng = np.random.default_rng(0)
    zero, one = (lambda counts: np.zeros(len(counts))), (lambda counts: np.ones(len(counts)))
    results = [
        fitlib.analyze(
            truth,
            {"A": np.where(rng.random((4, 300)) < 0.2, 1 - truth, truth)},
            sensitive_features=sex,
            metrics={"q": of},
        )
        for of in (zero, one)
    ]
    with pytest.raises(InputError, match="metrics of result 2 = 'q': another function than in the first result"):
        results[0] + results[1]


def test_results_can_be_pickled_and_copied():
    truth, sex = np.arange(300) % 2, np.repeat(["f", "m"], 150)
    runs = np.where(np.random.default_rng(0).random((4, 300)) < 0.2, 1 - truth, truth)
    results = fitlib.analyze(truth, runs, sensitive_features=sex)
    for copied in (pickle.loads(pickle.dumps(results)), copy.deepcopy(results)):
        pd.testing.assert_frame_equal(pd.DataFrame(copied.summary), pd.DataFrame(results.summary), check_exact=True)
