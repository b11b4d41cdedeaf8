"""Custom metrics in `fitlib.analyze`: the tests, levels and verdicts of fitlib's own, in whichever direction."""

import numpy as np
import pandas as pd
import pytest
from fairlearn import metrics as fairlearn

import fitlib
from fitlib.errors import InputError
from fitlib.metrics.bias_metrics import BIAS_METRICS, demographic_parity, equal_odds_true_positive
from fitlib.metrics.counts import cells_of

N = 300
SEX = np.where(np.arange(N) % 3 == 0, "women", "men")
TRUTH = np.random.default_rng(5).integers(0, 2, N)


def runs(women, men, seed, n=8):
    wrong = np.random.default_rng(seed).random((n, N)) < np.where(SEX == "women", women, men)
    return np.where(wrong, 0, TRUTH)


ARRAYS = {"Base": runs(0.4, 0.1, 1), "Fair": runs(0.12, 0.1, 2), "Same": runs(0.4, 0.1, 3)}
GIVEN = {"sensitive_features": SEX, "baseline": "Base"}


def dp_again(counts):
    return demographic_parity(cells_of(counts))


def worst_group_error(counts):
    right = np.trace(counts, axis1=2, axis2=3)
    return (1 - right / counts.sum(axis=(2, 3))).max(axis=1)


def analyze(**more):
    return fitlib.analyze(TRUTH, ARRAYS, **GIVEN, **more)


@pytest.fixture(scope="module")
def plain():
    return analyze()


def rows(results, metric, table="comparisons"):
    frame = pd.DataFrame(results.tables[table])
    return frame[frame["metric"] == metric].drop(columns="metric").reset_index(drop=True)


def test_dp_written_by_a_user_has_the_rows_tests_and_verdicts_of_dp(plain):
    again = analyze(metrics={"again": dp_again})
    fresh = rows(again, "again")
    assert fresh["redundant_with"].eq("DP").all()
    assert fresh.drop(columns="redundant_with").equals(rows(plain, "DP").drop(columns="redundant_with"))
    assert fresh["verdict"].tolist() == ["fairer", "open"]
    for table in ("by_seed", "ranks", "pareto", "planning"):
        assert rows(again, "DP", table).equals(rows(plain, "DP", table)), table
    computed = ["chance", "expectation", "smallest_denominator", "signed", "lower_group", "note"]
    kept = [c for c in rows(plain, "DP", "summary") if not c.startswith(tuple(computed))]
    assert rows(again, "again", "summary")[kept].equals(rows(plain, "DP", "summary")[kept])
    by_run = again.tables["runs"]
    assert by_run["again"].equals(by_run["DP"].rename("again"))


def test_a_custom_metric_may_be_the_one_that_decides():
    mine = rows(analyze(metrics={"again": dp_again}, primary="again"), "again")
    own = rows(analyze(primary="DP"), "DP")
    assert mine["primary"].eq("yes").all() and mine.drop(columns="redundant_with").equals(
        own.drop(columns="redundant_with")
    )


def test_dp_written_by_a_user_is_compared_over_seeds_as_dp_is():
    seeds = [0, 0, 1, 1, 2, 2, 3, 3]
    mine, own = analyze(seeds=seeds, metrics={"again": dp_again, "error": worst_group_error}), analyze(seeds=seeds)
    again, dp = rows(mine, "again", "over_seeds"), rows(own, "DP", "over_seeds")
    shared = [name for name in dp if name not in ("redundant_with", "simultaneous_low", "simultaneous_high")]
    alone = [name for name in shared if not name.startswith(("p_", "family", "level", "verdict", "power"))]
    assert len(again) == 2 and again["redundant_with"].eq("DP").all() and again[alone].equals(dp[alone])
    single = rows(mine, "error", "over_seeds")
    assert single["n_classes"].isna().all() and single["difference"].notna().all() and single["n_seeds"].eq(4).all()


def test_without_custom_metrics_nothing_is_different(plain):
    mine = analyze(metrics={"again": dp_again})
    assert "metrics" not in plain.plan["analysis"] and list(plain.tables["runs"]) == [
        name for name in mine.tables["runs"] if name != "again"
    ]
    for metric in (*BIAS_METRICS, "accuracy"):
        for table in ("summary", "comparisons", "new_test_data"):
            assert rows(mine, metric, table).equals(rows(plain, metric, table)), (metric, table)
    for table in ("components", "selection", "risk", "individuals"):
        assert mine.tables[table].equals(plain.tables[table]), table


def test_a_distinct_metric_joins_the_family_of_verdicts_and_of_tests(plain):
    mine = analyze(metrics={"worst group error": worst_group_error})
    found, dp = rows(mine, "worst group error"), rows(plain, "DP")
    assert found["family_size"].iloc[0] == dp["family_size"].iloc[0] + 2  # comparisons with the baseline
    assert found["verdicts_together"].iloc[0] == dp["verdicts_together"].iloc[0] + 2
    assert found["level"].iloc[0] < dp["level"].iloc[0]
    assert found["n_classes"].isna().all() and found["dropped_classes"].eq("").all()


def test_functions_of_fairlearn_work_as_they_are_and_the_words_follow_the_declared_direction():
    ratio = fitlib.metrics.Metric(fairlearn.true_positive_rate_ratio, larger_is_fairer=True)
    found = analyze(metrics={"ratio": ratio, "gap": fairlearn.true_positive_rate_difference})
    for metric in ("1 - ratio", "gap"):
        assert rows(found, metric)["verdict"].tolist() == ["fairer", "open"], metric
    declared = analyze(metrics={"ratio": ratio}, primary="ratio")
    assert rows(declared, "1 - ratio")["primary"].eq("yes").all()
    of_run = [fairlearn.true_positive_rate_ratio(TRUTH, y, sensitive_features=SEX) for y in ARRAYS["Fair"]]
    assert rows(found, "1 - ratio")["mean_technique"][0] == pytest.approx(1 - np.mean(of_run))
    by_hand = analyze(metrics={"gap": lambda counts: equal_odds_true_positive(cells_of(counts)).values()[:, 1]})
    assert rows(found, "gap")["difference"].tolist() == pytest.approx(rows(by_hand, "gap")["difference"].tolist())


def test_a_metric_undefined_in_some_run_is_not_compared_and_says_so():
    first = lambda counts: np.r_[np.nan, np.full(len(counts) - 1, 0.5)]  # noqa: E731
    found = rows(analyze(metrics=[fitlib.metrics.Metric(first)]), "lambda")
    assert found["verdict"].eq("not estimable").all()
    assert found["note"].str.contains("not estimable: undefined in some run").all()


def test_means_and_differences_for_new_test_data_have_a_reason_where_they_have_no_interval():
    found = rows(analyze(metrics={"worst group error": worst_group_error}), "worst group error", "new_test_data")
    assert len(found) == 5 and found["low"].isna().all() and found["value"].notna().all()
    assert found["note"].str.contains("no resampled test units").all()


def test_verdicts_on_custom_metrics_are_not_said_to_hold_for_new_test_data():
    own, mine = analyze(), analyze(metrics={"worst group error": worst_group_error})
    assert any("new test data of this kind" in text for text in own.verdict)
    said = " ".join(mine.verdict)
    assert "the 8 on fitlib's own metrics" in said and "These verdicts hold for new" not in said
    decided = analyze(metrics={"worst group error": worst_group_error}, primary="worst group error")
    assert "new test data of this kind" not in " ".join(decided.verdict)


def test_effects_and_primary_metric_may_name_custom_metrics_but_no_others():
    found = analyze(metrics={"mine": worst_group_error}, smallest_effect={"mine": 0.5, "DP": 0.02})
    assert (
        rows(found, "mine")["verdict"].eq("equivalent").all() and rows(found, "mine")["smallest_effect"].eq(0.5).all()
    )
    for options in ({"primary": "mine"}, {"smallest_effect": {"mine": 0.5}}):
        with pytest.raises(InputError, match=r"unknown bias metric.*known: DP, DI"):
            analyze(**options)


def test_an_error_of_a_metric_names_it_with_technique_and_run():
    def fails(y_true, y_pred, *, sensitive_features):
        raise KeyError("women")

    with pytest.raises(
        InputError, match=r"^metrics: metric mine = 'Base, run 0': it raised KeyError: 'women'; correct"
    ):
        analyze(metrics={"mine": fails})


def test_labels_and_crossed_attributes_have_counts_of_their_own():
    truth = np.random.default_rng(1).integers(0, 2, (N, 3))
    predicted = np.stack(
        [np.where(np.random.default_rng(i).random(truth.shape) < 0.2, 1 - truth, truth) for i in range(5)]
    )
    shapes = []

    def seen(counts):
        shapes.append(counts.shape)
        return np.full((len(counts), 3), 0.5)

    features = {"sex": SEX, "age": np.arange(N) % 2}
    found = fitlib.analyze(truth, predicted, sensitive_features=features, cross=["sex", "age"], metrics={"seen": seen})
    assert shapes == [(5, 2, 3, 4), (5, 2, 3, 4), (5, 4, 3, 4)]
    assert len(rows(found, "seen", "summary")) == 3 * 4
