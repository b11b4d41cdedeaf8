"""The table of means and differences for new test data: joint units, the classes of comparisons, reasons for gaps."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fitlib.metrics.bias_metrics import BIAS_METRICS
from fitlib.metrics.new_test_data import resample
from fitlib.statistics import estimates as st
from fitlib.statistics import verdict_names, verdicts
from fitlib.statistics.new_test_data import for_new_test_data
from fitlib.storage.predictions import Predictions
from fitlib.tables import comparisons, schemas
from fitlib.tables.new_test_data import NOT_RESAMPLED, OTHER_ROWS, STRICT_ONLY, new_test_data
from tests.support.table_examples import fits, row_of
from tests.support.testset_examples import RUNS, long_tables, planned, predicted

pytestmark = pytest.mark.filterwarnings("error")
METRICS = (*BIAS_METRICS, "accuracy")
NUMBERS = ["low", "high", "standard_error", "df", "standard_error_runs", "standard_error_units", "share_units"]


def other(seed: int = 1, base: int = 0, n_runs: int = RUNS) -> Predictions:
    """Other predictions of the rows of `predicted(base)`."""
    p = predicted(base)
    rng = np.random.default_rng(100 + seed)
    wrong = rng.random((n_runs, len(p.idx))) < 0.3
    prediction = np.where(wrong, rng.integers(0, 3, wrong.shape), p.ground_truth)
    return replace(p, prediction=prediction, runs=tuple(range(n_runs)))


def copied(p: Predictions) -> Predictions:
    """All runs decide as the first one does."""
    return replace(p, prediction=p.prediction[:1].repeat(len(p.runs), axis=0))


def table_of(long: dict, plan_: dict | None = None, level: float = 0.05, **given: object) -> pd.DataFrame:
    plan_ = plan_ or planned(names=("Base", "Fair"))
    pairs = comparisons.pairs_of(long["metrics"], plan_)
    effect = plan_["analysis"]["smallest_effect"]
    rows = [{"smallest_effect": np.nan if pair.metric == "accuracy" else effect, "level": level} for pair in pairs]
    compared = pd.DataFrame(rows, columns=["smallest_effect", "level"])
    return new_test_data(long["metrics"], long["resampled"], compared, plan_, **given)


def test_a_difference_is_that_of_comparisons_with_the_error_of_runs_and_units() -> None:
    b, t = predicted(0), other()
    long = long_tables(Base=b, Fair=t)
    plan_ = planned(names=("Base", "Fair"), smallest_effect=0.02)
    table = table_of(long, plan_)
    assert table["metric"].tolist() == 3 * list(METRICS) and table["baseline"].tolist() == 16 * [""] + 8 * ["Base"]
    compared = comparisons.pairs_of(long["metrics"], plan_)
    for pair in compared:
        row = row_of(table, technique="Fair", baseline="Base", metric=pair.metric)
        values = [resample(p, "a").values[pair.metric].astype(np.float32).astype(float) for p in (b, t)]
        found = for_new_test_data(st.welch(*pair.samples), *(values[1] - values[0]).mean(axis=2), units=200)
        assert row["value"] == found.estimate.value
        assert row[["low", "high"]].tolist() == pytest.approx(found.estimate.ends, rel=1e-9)
        assert row["standard_error_runs"] == found.error_runs
        parts = row["standard_error_runs"] ** 2 + row["standard_error_units"] ** 2
        assert row["standard_error"] ** 2 == pytest.approx(parts)
        assert row["share_units"] == pytest.approx(row["standard_error_units"] ** 2 / parts)
        judged = verdicts.judge(row["value"], row["standard_error"], row["df"], 0.02, 0.05)
        assert row["verdict"] == ("" if pair.metric == "accuracy" else verdict_names.VERDICTS[int(judged)])
    assert set(table["units"]) == {200} and set(table["resamples"]) == {1000}


def test_the_verdict_is_at_the_level_of_the_comparison_and_the_unadjusted_one_at_alpha() -> None:
    p, rng = predicted(0), np.random.default_rng(6)
    less = np.where((p.protected["a"] == 1) & (rng.random((RUNS, 200)) < 0.22), 0, other(4).prediction)
    long = long_tables(Base=other(4), Fair=replace(p, prediction=less))
    loose, strict = (row_of(table_of(long, level=level), baseline="Base", metric="DP") for level in (0.05, 1e-9))
    assert (loose["verdict_unadjusted"], strict["verdict_unadjusted"]) == 2 * (loose["verdict"],)
    assert strict["verdict"] == verdicts.OPEN != loose["verdict"] and strict["level"] == 1e-9
    assert strict["low"] == loose["low"]


def test_equal_predictions_share_the_units_exactly() -> None:
    table = table_of(long_tables(Base=other(2), Fair=other(2)))
    same = table[table["baseline"] == "Base"]
    assert (same[["value", "standard_error_units", "share_units"]] == 0).all().all()
    assert (same["standard_error"] == same["standard_error_runs"]).all() and (same["standard_error"] > 0).all()


def test_a_mean_has_more_error_than_from_its_runs() -> None:
    p = other(3)
    easy = np.random.default_rng(5).random(200) < 0.7
    p = replace(p, prediction=np.where(easy, p.ground_truth, p.prediction))
    table = table_of(long_tables(Base=p), planned())
    row = row_of(table, technique="Base", metric="accuracy")
    accuracy = (p.prediction == p.ground_truth).mean(axis=1)
    here = st.mean_interval(accuracy)
    assert row["value"] == pytest.approx(here.value) and row["standard_error_runs"] == pytest.approx(here.error)
    # Of a mean over units the covariance is known without resampling.
    right = (p.prediction == p.ground_truth).astype(float)
    covariance = np.cov(right[0::2].mean(axis=0), right[1::2].mean(axis=0))[0, 1]
    assert row["standard_error_units"] ** 2 * 200 == pytest.approx(covariance, rel=0.15)
    assert (row["n_technique"], row["verdict"]) == (RUNS, "") and np.isnan(row["smallest_effect"])


def test_techniques_with_one_training_are_paired_by_run() -> None:
    plan_ = planned(names=("Base", "Fair"))
    for technique in plan_["techniques"]:
        technique["training"] = "shared"
    long = long_tables(Base=predicted(0), Fair=other())
    row = row_of(table_of(long, plan_), baseline="Base", metric="DP")
    pair = next(pair for pair in comparisons.pairs_of(long["metrics"], plan_) if pair.metric == "DP")
    assert row["standard_error_runs"] == st.paired_difference(*pair.samples).error
    assert row["design"] == "paired by run"


def test_a_class_undefined_in_a_resample_is_left_out_there() -> None:
    b, t = predicted(0), other()
    rows = np.flatnonzero(b.ground_truth == 0)
    truth = np.where(np.isin(np.arange(200), [rows[b.protected["a"][rows] == g][0] for g in (0, 1)]), 2, 1)
    b, t = (replace(p, ground_truth=np.where(truth == 2, 2, p.ground_truth % 2)) for p in (b, t))
    row = row_of(table_of(long_tables(Base=b, Fair=t)), baseline="Base", metric="EOTP")
    assert row["n_classes"] == 3 and "of 1000 resamples leave out a class that is undefined in them" in row["note"]
    # Both positives of the class are drawn with probability (1 - 1/e)².
    assert int(row["note"].split()[0]) == pytest.approx(1000 * (1 - (1 - 1 / np.e) ** 2), abs=60)
    assert row["low"] < row["value"] < row["high"]


def without_numbers(table: pd.DataFrame, note: str) -> bool:
    return table[NUMBERS].isna().all().all() and set(table["note"]) == {note}


def test_different_rows_are_not_compared() -> None:
    table = table_of(long_tables(Base=predicted(0), Fair=other(base=7)))
    differences = table["baseline"] == "Base"
    assert without_numbers(table[differences], OTHER_ROWS) and table["value"].notna().all()
    assert set(table[differences]["verdict"]) == {"not estimable", ""}
    assert table[~differences]["low"].notna().all()


def test_without_resamples_there_are_values_and_no_intervals() -> None:
    long = long_tables(Base=predicted(0), Fair=other())
    table = table_of(long | {"resampled": pd.DataFrame()})
    assert without_numbers(table, NOT_RESAMPLED) and table["value"].notna().all()


def test_the_published_reading_is_not_resampled() -> None:
    long, plan_ = long_tables(Base=predicted(0), Fair=other()), planned(names=("Base", "Fair"), reading="published")
    table = table_of(long, plan_)
    bias = table["metric"] != "accuracy"
    assert without_numbers(table[bias], STRICT_ONLY) and table[~bias]["low"].notna().all()


def test_one_run_is_not_estimable_and_two_are_too_few_for_a_verdict() -> None:
    for n, estimable, note in ((1, False, "not estimable: fewer than 2 runs"), (2, True, "")):
        table = table_of(long_tables(Base=predicted(0), Fair=other(n_runs=n)))
        rows = table[table["technique"] == "Fair"]
        assert set(rows["note"]) == {note} and rows["low"].notna().all() == estimable
        assert set(rows["verdict"]) == {verdict_names.TOO_FEW, ""}


def test_runs_that_are_not_fit_or_bit_identical_have_no_interval() -> None:
    long, plan_ = long_tables(Base=predicted(0), Fair=other()), planned(names=("Base", "Fair"))
    unfit = table_of(long, plan_, check_fit=fits(False))
    assert unfit[NUMBERS].isna().all().all() and set(unfit["verdict"]) == {"not FIT", ""}
    assert unfit["note"].str.contains("not FIT").all()
    same = table_of(long, plan_ | {"digests": {"Fair": {"ulp": ["f" * 64] * RUNS}}})
    fair = same[same["technique"] == "Fair"]
    assert fair[NUMBERS].isna().all().all() and fair["note"].str.contains("bit-identical in 6 of 6 runs").all()
    assert same[same["technique"] == "Base"]["low"].notna().all()


def test_metrics_that_are_constant_in_both_have_no_verdict_for_new_test_data_either() -> None:
    table = table_of(long_tables(Base=copied(predicted(0)), Fair=copied(other())))
    fair = table[table["baseline"] == "Base"]
    assert set(fair["verdict"]) == {"not estimable", ""} and fair["low"].isna().all()
    assert fair["note"].str.contains("constant in both").all()


def test_only_main_arms_enter() -> None:
    long = long_tables(Base=predicted(0), Fair=other())
    both = {name: pd.concat([frame, frame.assign(arm="none")], ignore_index=True) for name, frame in long.items()}
    pd.testing.assert_frame_equal(table_of(both), table_of(long))


def test_the_table_reads_back_equal_from_csv(tmp_path: Path) -> None:
    for long in (long_tables(Base=predicted(0), Fair=other(n_runs=1)), long_tables(Base=predicted(0))):
        table = table_of(long)
        schemas.write_csv(table, tmp_path / "table")
        pd.testing.assert_frame_equal(schemas.read_csv(tmp_path / "table", "new_test_data"), table, check_exact=True)
