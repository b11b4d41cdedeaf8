"""The tables of an experiment: columns, order, families, what enters no test, and speed at the study's size."""

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from fitlib.errors import InputError
from fitlib.metrics.bias_metrics import BIAS_METRICS
from fitlib.metrics.counts import confusion
from fitlib.metrics.exact import mean_of
from fitlib.metrics.long_tables import metrics_table as computed_table
from fitlib.statistics import estimates as st
from fitlib.statistics import permutation, power, risk
from fitlib.statistics import significance as sig
from fitlib.statistics.verdict_names import TOO_FEW, VERDICTS
from fitlib.tables import comparisons, four_fifths, runs_and_summary, schemas
from tests.support.table_examples import (
    CLASSES,
    GROUPS,
    RUNS,
    arm,
    compare,
    drawn,
    evidence_of,
    fits,
    long_table,
    metrics_of,
    plan,
    row_of,
    technique,
)

METRICS = (*BIAS_METRICS, "accuracy")
COUNTS = ["technique", "arm", "seed", "run", "attribute", "group", "true", "predicted", "n"]


@pytest.fixture
def metrics() -> pd.DataFrame:
    return metrics_of(Base=drawn(0), Fair=drawn(1, 0.2), Noisy=drawn(2, 0.3, 0.1))


# All tables


def over_classes(values: np.ndarray) -> np.ndarray:
    """Return the mean over the classes of values (runs, classes), as the tables take it."""
    return mean_of(values, np.zeros_like(values), np.ones(values.shape, dtype=bool))[0]


def test_tables_read_back_equal_from_csv(metrics: pd.DataFrame, tmp_path: Path) -> None:
    made = {
        "runs": runs_and_summary.runs(metrics, plan(), evidence_of("Base", "Fair"), fits(None)),
        "summary": runs_and_summary.summary(metrics, plan()),
        "comparisons": compare(metrics, plan()),
        "risk": four_fifths.risk(class_counts("Base"), plan(), (), fits(None)),
    }
    for name, table in made.items():
        schemas.write_csv(table, tmp_path / name)
        pd.testing.assert_frame_equal(schemas.read_csv(tmp_path / name, name), table, check_exact=True)
        text = (tmp_path / name).read_bytes()
        assert b"\r" not in text and b"nan" not in text.lower() and b"<na>" not in text.lower()
        assert table.columns.tolist() == list(schemas.SCHEMAS[name])


def test_tables_of_nothing_have_their_columns() -> None:
    nothing = long_table("Base", drawn(0)).iloc[:0]
    for name, table in (
        ("runs", runs_and_summary.runs(nothing, plan(), (), fits(None))),
        ("summary", runs_and_summary.summary(nothing, plan())),
        ("comparisons", compare(metrics_of(Base=drawn(0)), plan(technique("Base", None)))),
        ("risk", four_fifths.risk(class_counts("Base").iloc[:0], plan(), (), fits(None))),
    ):
        assert len(table) == 0 and table.dtypes.astype(str).tolist() == list(
            pd.DataFrame(columns=list(schemas.SCHEMAS[name])).astype(schemas.SCHEMAS[name]).dtypes.astype(str)
        )


def test_order_of_rows_in_the_metrics_does_not_matter(metrics: pd.DataFrame) -> None:
    shuffled = metrics.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(
        runs_and_summary.summary(shuffled, plan()), runs_and_summary.summary(metrics, plan()), check_exact=True
    )
    pd.testing.assert_frame_equal(compare(shuffled, plan()), compare(metrics, plan()), check_exact=True)


def test_only_the_declared_reading_and_main_arms_enter(metrics: pd.DataFrame) -> None:
    published, control = metrics.copy(), metrics.assign(arm="none", value=9.0)
    published = published[published["metric"] != "accuracy"].assign(reading="published")
    both = pd.concat([metrics, published.assign(value=published["value"] + 1), control], ignore_index=True)
    pd.testing.assert_frame_equal(runs_and_summary.summary(both, plan()), runs_and_summary.summary(metrics, plan()))
    read = runs_and_summary.summary(both, plan(reading="published"))
    assert set(read["reading"]) == {"published"} and (read["metric"] == "accuracy").sum() == 3 * (1 + GROUPS)
    assert row_of(read, technique="Base", metric="DP", target="overall")["mean"] > 1
    with pytest.raises(InputError, match=r"analysis\.reading = 'published'"):
        runs_and_summary.summary(metrics, plan(reading="published"))


def test_concatenation_follows_the_plan() -> None:
    frames = {name: long_table(name, drawn(i)) for i, name in enumerate(("Noisy", "Base"))}
    assert runs_and_summary.concatenate(frames, plan())["technique"].unique().tolist() == ["Base", "Noisy"]


# Runs


def test_runs_show_status_and_shortened_digests(metrics: pd.DataFrame) -> None:
    evidence = evidence_of("Base", "Fair")
    evidence[3] |= {"status": "failed", "error": "ValueError: no", "predictions": {}, "final_weights": None}
    without = metrics[~((metrics["technique"] == "Base") & (metrics["run"] == 3))]
    table = runs_and_summary.runs(without, plan(), evidence[:-1], fits(True))
    assert len(table) == 3 * RUNS
    failed = row_of(table, technique="Base", run=3)
    assert failed["status"] == "failed" and np.isnan(failed["DP"]) and failed["predictions"] == ""
    assert row_of(table, technique="Fair", run=RUNS - 1)["status"] == "done"  # its metrics are there
    done = row_of(table, technique="Base", run=2)
    assert done["final_weights"] == "02" * 8 and done["initial_weights"] == "a" * 16 and done["fit"] == "yes"
    overall = metrics[metrics["target"].isna() & metrics["group"].isna() & (metrics["technique"] == "Base")]
    assert done["EOTP"] == overall[(overall["metric"] == "EOTP") & (overall["run"] == 2)]["value"].item()
    assert done["accuracy"] == pytest.approx(0.852)


def test_planned_runs_without_evidence_are_missing_unless_there_is_no_evidence_at_all(metrics: pd.DataFrame) -> None:
    some = metrics[metrics["run"] < 5]
    table = runs_and_summary.runs(some, plan(), evidence_of("Base")[:5], fits(None))
    assert table[table["technique"] == "Base"]["status"].tolist() == ["done"] * 5 + ["missing"] * 3
    elsewhere = runs_and_summary.runs(some, plan(), (), fits(None))
    assert len(elsewhere) == 15 and set(elsewhere["status"]) == {"done"} and set(elsewhere["fit"]) == {"unknown"}


# Summary


def test_summary_gives_the_numbers_of_fitlib_statistics(metrics: pd.DataFrame) -> None:
    table = runs_and_summary.summary(metrics, plan())
    assert len(table) == 3 * (7 * (1 + CLASSES) + 1 + GROUPS)
    row = row_of(table, technique="Noisy", metric="BA", target="1")
    x = drawn(2, 0.3, 0.1)[6, :, 1]
    mean, sd = st.mean_interval(x), st.sd_interval(x)
    found = row[["mean", "mean_low", "mean_high", "sd", "sd_low", "sd_high"]].tolist()
    assert found == [mean.value, mean.low, mean.high, sd.value, sd.low, sd.high]
    assert tuple(row[["next_low", "next_high"]]) == st.prediction_interval(x).ends
    assert row["next_low"] < row["mean_low"] < row["mean_high"] < row["next_high"]
    assert (row["max"], row["min"], row["n"]) == (x.max(), x.min(), RUNS)
    assert row["maxdiff"] == st.max_difference(x) and row["relative_maxdiff"] == st.relative_max_difference(x)
    accuracy = table[(table["metric"] == "accuracy") & (table["technique"] == "Base")]
    assert accuracy["group"].tolist() == [pd.NA, 0, 1] and set(accuracy["target"]) == {"overall"}
    assert accuracy["note"].tolist() == ["", *["constant in all 8 runs"] * 2]


def test_summary_counts_undefined_values() -> None:
    values = drawn(0)
    values[1, :3, 2] = np.nan
    values[6, :, 0] = np.nan
    values[5, 1:, 0] = np.nan
    values[5, 4:, 1] = np.nan
    table = runs_and_summary.summary(metrics_of(Base=values), plan(technique("Base", None)))
    di = row_of(table, metric="DI", target="2")
    assert (di["n"], di["n_undefined_max"], di["note"]) == (5, 1, "undefined in 3 of 8 runs")
    assert row_of(table, metric="DI", target="overall")["n_undefined_max"] == 1
    ba = row_of(table, metric="BA", target="0")
    assert ba["n"] == 0 and np.isnan(ba["mean"])
    assert ba["note"] == "not estimable: no run is defined; undefined in 8 of 8 runs"
    notes = {target: row_of(table, metric="EOTP", target=target)["note"] for target in ("0", "1")}
    assert notes["0"] == "not estimable: fewer than 2 runs; undefined in 7 of 8 runs"
    assert notes["1"] == "interval of the SD not estimable: fewer than 5 runs; undefined in 4 of 8 runs"


def test_summary_of_one_run_and_of_unequal_runs() -> None:
    table = runs_and_summary.summary(metrics_of(Base=drawn(0, runs=1), Fair=drawn(1, runs=5)), plan())
    single = table[table["technique"] == "Base"]
    assert single[["sd", "mean_low", "next_low", "next_high"]].isna().all(axis=None) and single["mean"].notna().all()
    assert (single["note"] == "not estimable: fewer than 2 runs").all()
    assert set(table[table["technique"] == "Fair"]["n"]) == {5}


# Comparisons


def test_comparisons_give_the_numbers_of_fitlib_statistics(metrics: pd.DataFrame) -> None:
    table = compare(metrics, plan())
    assert table["technique"].tolist() == ["Fair"] * 8 + ["Noisy"] * 8
    assert table["metric"].tolist() == list(METRICS) * 2
    row = row_of(table, technique="Fair", metric="BA")
    b, t = over_classes(drawn(0)[6]), over_classes(drawn(1, 0.2)[6])
    welch, u, d = st.welch(b, t), sig.mann_whitney_exact(b, t), st.cohens_d(b, t)
    assert row[["difference", "difference_low", "difference_high"]].tolist() == [welch.value, welch.low, welch.high]
    assert row["difference"] == pytest.approx(row["mean_technique"] - row["mean_baseline"])
    assert row[["u", "p_mean", "p_mean_smallest"]].tolist() == [u.statistic, u.p, u.smallest_p]
    assert row["p_variance_raw"] == sig.brown_forsythe(b, t).p
    assert row["p_variance_relative"] == sig.brown_forsythe(b, t, relative=True).p
    assert row[["d", "d_low", "d_high"]].tolist() == [d.value, d.low, d.high]
    assert row["verdict"] == "fairer" and row["scope"] == "at seed 0, on this test set" and row["fit"] == "yes"
    reversal = risk.verdict_reversal(b, t)
    assert row[["reversal", "reversal_low", "reversal_high"]].tolist() == [0, 0, reversal.high]
    assert row["power_mean"] == power.power_rank(0.01, st.sds(b), st.sds(t), RUNS, RUNS, 0.05 / 10)
    assert "Welch t" in row["procedures"] and "Mann-Whitney" in row["procedures"]
    undirected = row_of(table, technique="Noisy", metric="DI")
    assert np.isnan(undirected["reversal"]) and undirected["reversal_note"] == risk.NO_DIRECTION


def test_families_count_redundant_metrics_once(metrics: pd.DataFrame) -> None:
    table = compare(metrics, plan())
    repeated = {metric: row_of(table, technique="Fair", metric=metric)["redundant_with"] for metric in METRICS}
    assert {m: r for m, r in repeated.items() if r} == {"SPSF": "DP", "FPSF": "EOFP"}
    bias = table[table["metric"] != "accuracy"]
    assert set(bias["family_size"]) == {2 * 5}
    distinct = bias[bias["redundant_with"] == ""]
    for p in ("p_mean", "p_variance_raw"):
        for suffix, correct in (("holm", sig.holm), ("bh", sig.benjamini_hochberg), ("by", sig.benjamini_yekutieli)):
            np.testing.assert_array_equal(distinct[f"{p}_{suffix}"], correct(distinct[p].to_numpy()))
    for name in ("Fair", "Noisy"):
        dp, spsf = (row_of(table, technique=name, metric=m) for m in ("DP", "SPSF"))
        for column in comparisons.SHARED_WITH_REPEATED:
            assert dp[column] == spsf[column]
        assert spsf["difference"] == pytest.approx(dp["difference"] / 2)


def test_declared_metrics_are_corrected_and_the_others_are_not(metrics: pd.DataFrame) -> None:
    table = compare(metrics, plan(family=["BA", "SPSF"]))
    assert row_of(table, technique="Fair", metric="BA")["family_size"] == 4
    dp, spsf = (row_of(table, technique="Fair", metric=m) for m in ("DP", "SPSF"))
    assert np.isnan(dp["p_mean_holm"]) and dp["note"] == "outside the declared family" and dp["p_mean"] > 0
    assert spsf["p_mean_holm"] > 0 and spsf["redundant_with"] == ""


def test_accuracy_is_not_corrected_and_has_no_verdict(metrics: pd.DataFrame) -> None:
    row = row_of(compare(metrics, plan()), technique="Fair", metric="accuracy")
    assert row["verdict"] == "" and row["note"].endswith("outside the family") and row["p_mean"] == 1.0
    assert row["family_size"] is pd.NA and np.isnan(row["p_mean_holm"]) and np.isnan(row["power_mean"])


def test_overall_values_use_the_classes_defined_in_every_run_of_both() -> None:
    b, t = drawn(0), drawn(1)
    b[6, 2, 0] = np.nan
    t[6, 5, 1] = np.nan
    t[1, :4, 1] = np.nan
    table = compare(metrics_of(Base=b, Fair=t), plan(technique("Base", None), technique("Fair")))
    row = row_of(table, metric="BA")
    assert (row["n_classes"], row["dropped_classes"]) == (1, "cat; dog")
    assert row["mean_baseline"] == b[6, :, 2].mean() and row["mean_technique"] == t[6, :, 2].mean()
    filled = [[np.nan_to_num(x[6], nan=fill).mean() for fill in (0.0, 1.0)] for x in (b, t)]
    assert row["difference_bound_low"] == pytest.approx(filled[1][0] - filled[0][1])
    assert row["difference_bound_high"] == pytest.approx(filled[1][1] - filled[0][0])
    assert set(table["stopped_predicting"]) == {"dog"}
    full = row_of(table, metric="DP")
    assert (
        full["n_classes"] == 3
        and full["dropped_classes"] == ""
        and full["difference_bound_low"] == pytest.approx(full["difference"])
    )


def test_without_a_common_class_nothing_is_estimated() -> None:
    b, t = drawn(0), drawn(1)
    b[6, 0, :2] = t[6, 1, 1:] = np.nan
    table = compare(metrics_of(Base=b, Fair=t), plan(technique("Base", None), technique("Fair")))
    row = row_of(table, metric="BA")
    assert row["verdict"] == "not estimable" and np.isnan(row["p_mean"]) and np.isnan(row["difference"])
    assert row["note"] == "not estimable: no class is defined in every run of both" and row["n_technique"] == RUNS
    assert row_of(table, metric="DP")["family_size"] == 4


def test_runs_that_are_not_fit_get_no_verdict(metrics: pd.DataFrame) -> None:
    table = compare(metrics, plan(), fit=False)
    bias = table[table["metric"] != "accuracy"]
    assert set(bias["verdict"]) == set(bias["verdict_unadjusted"]) == {"not FIT"}
    assert set(table["fit"]) == {"no"} and bias["reversal"].isna().all()
    assert bias["note"].str.contains("baseline not FIT: not FIT runs: first batch differs").all()
    assert set(compare(metrics, plan(), fit=None)["fit"]) == {"unknown"}


def test_bit_identical_arms_enter_no_test(metrics: pd.DataFrame) -> None:
    evidence = evidence_of("Base", "Noisy") + evidence_of("Fair", predictions={"Fair": "c" * 64})
    table = compare(metrics, plan(), evidence)
    fair = table[(table["technique"] == "Fair") & (table["metric"] != "accuracy")]
    assert fair["p_mean"].isna().all() and fair["difference_low"].isna().all() and fair["difference"].notna().all()
    assert set(fair["verdict"]) == set(fair["verdict_unadjusted"]) == {"not estimable"}
    assert fair["power_variance"].isna().all()
    note = "technique: predictions bit-identical in 8 of 8 runs (SHA-256); enters no test"
    assert fair["note"].str.startswith(note).all()
    assert set(table[(table["technique"] == "Noisy") & (table["metric"] != "accuracy")]["family_size"]) == {5}


def test_constant_values_of_one_enter_tests_and_of_both_do_not() -> None:
    constant = np.repeat(drawn(0)[:, :1], RUNS, axis=1)
    table = compare(metrics_of(Base=constant, Fair=drawn(1, 0.2)), plan(technique("Base", None), technique("Fair")))
    assert row_of(table, metric="DP")["verdict"] == "fairer" and row_of(table, metric="DP")["sd_baseline"] == 0
    both = compare(metrics_of(Base=constant, Fair=constant - 0.1), plan(technique("Base", None), technique("Fair")))
    row = row_of(both, metric="DI")
    assert row["verdict"] == "not estimable" and "constant in both; nothing to estimate with n = 8" in row["note"]
    assert row[["difference_low", "simultaneous_low", "p_mean", "p_mean_studentised", "p_variance_raw"]].isna().all()
    assert set(both["family_size"].dropna()) == {0}


@pytest.mark.parametrize(("n", "note"), [(2, "no test possible at this n"), (4, "family size exceeds alpha")])
def test_few_runs_say_what_no_p_can_show(n: int, note: str) -> None:
    data = metrics_of(Base=drawn(0, runs=n), Fair=drawn(1, 0.2, runs=n), Noisy=drawn(2, runs=n))
    assert note in row_of(compare(data, plan()), technique="Fair", metric="DP")["note"]


def test_equal_values_are_not_blamed_on_the_number_of_runs() -> None:
    constant = np.repeat(drawn(0)[:, :1], RUNS, axis=1)
    table = compare(metrics_of(Base=constant, Fair=constant), plan(technique("Base", None), technique("Fair")))
    row = row_of(table, metric="DP")
    assert row["difference"] == 0 and pd.isna(row["p_mean"]) and "constant in both" in row["note"]
    assert "at this n" not in row["note"]


@pytest.mark.parametrize("n", [3, 4])
def test_what_has_no_verdict_belongs_to_no_family(n: int) -> None:
    data = metrics_of(Base=drawn(0, runs=8), Fair=drawn(1, 0.2, runs=n))
    table = compare(data, plan(technique("Base", None), technique("Fair")))
    columns = table.loc[table["metric"] != "accuracy", ["level", "verdicts_together", "simultaneous_low"]]
    assert columns.notna().all(axis=None) if n == 4 else columns.isna().all(axis=None)


@pytest.mark.parametrize("n", [3, 5, 8])
def test_no_power_is_claimed_where_no_p_can_reach_the_corrected_level(n: int) -> None:
    data = metrics_of(Base=drawn(0, sd=1e-4, runs=n), Fair=drawn(1, sd=1e-4, runs=n), Noisy=drawn(2, runs=n))
    table = compare(data, plan()).dropna(subset=["p_mean", "family_size"])
    blind = table["p_mean_smallest"] > 0.05 / table["family_size"]
    assert blind.all() == (n < 8) and blind.any() == (n < 8)
    assert (table["power_mean"][blind] == 0).all()
    sure = table[(table["technique"] == "Fair") & ~blind]
    assert (sure["power_mean"] > 0.99).all()


def test_one_run_or_none_is_not_estimable() -> None:
    for data in (metrics_of(Base=drawn(0, runs=1), Fair=drawn(1, runs=1)), metrics_of(Base=drawn(0))):
        table = compare(data, plan(technique("Base", None), technique("Fair")))
        bias = table[table["metric"] != "accuracy"]
        assert set(bias["verdict"]) <= {"not estimable", TOO_FEW} and bias["note"].str.contains("not estimable").all()
        assert len(table) == 8 and bias["difference_low"].isna().all()


def test_techniques_that_share_one_training_are_compared_by_run() -> None:
    b = drawn(0, sd=0.05)
    t = b - 0.02 + 0.001 * np.random.default_rng(9).standard_normal(b.shape)
    shared = plan(technique("Base", None, "one"), technique("Fair", "Base", "one"))
    row = row_of(compare(metrics_of(Base=b, Fair=t[:, 1:]), shared), metric="BA")
    assert row["n_baseline"] == row["n_technique"] == RUNS - 1 and row["design"] == "paired by run"
    # run 0 of the technique is its first row here, so runs are matched by number
    x, y = over_classes(b[6, :7]), over_classes(t[6, 1:])
    assert row["difference_low"] == st.paired_difference(x, y).low
    assert row["p_mean"] == sig.signed_rank_exact(x, y).p and np.isnan(row["d"])


def test_paired_comparisons_have_paired_tests_and_paired_power() -> None:
    b = drawn(0, sd=0.05)
    t = b - 0.02 + 0.001 * np.random.default_rng(9).standard_normal(b.shape)
    shared = plan(technique("Base", None, "one"), technique("Fair", "Base", "one"))
    row = row_of(compare(metrics_of(Base=b, Fair=t), shared), metric="BA")
    x, y = over_classes(b[6]), over_classes(t[6])
    sd = st.sds(st.run_differences(x, y))
    assert row["sd_difference"] == sd and row["family_size"] == 7
    assert row["p_mean_smallest"] > 0.05 / 7 and row["power_mean"] == 0.0
    few = compare(metrics_of(Base=b, Fair=t), shared | {"analysis": shared["analysis"] | {"family": ["BA"]}})
    assert row_of(few, metric="BA")["power_mean"] == power.power_signed_rank(0.01, sd, RUNS, 0.05) > 0.9
    assert power.power_rank(0.01, st.sds(x), st.sds(y), RUNS, RUNS, 0.05) < 0.3
    assert row["p_variance_raw"] == sig.brown_forsythe_paired(x, y).p
    assert row["p_variance_relative"] == sig.brown_forsythe_paired(x, y, relative=True).p
    assert row["p_mean_studentised"] == 2 / 2**RUNS and "paired by run" in row["procedures"].split("p_variance_raw")[1]
    unpaired = power.power_variance(RUNS, RUNS, 0.05 / 7, rng=np.random.default_rng(0))
    assert row["power_variance"] > unpaired + 0.1
    alone = compare(metrics_of(Base=b, Fair=t), plan(technique("Base", None), technique("Fair")))
    assert alone["sd_difference"].isna().all()


def test_studentised_p_hangs_on_both_samples_alone(metrics: pd.DataFrame) -> None:
    table = compare(metrics, plan())
    row = row_of(table, technique="Noisy", metric="BA")
    b, t = drawn(0)[6].mean(axis=1), drawn(2, 0.3, 0.1)[6].mean(axis=1)
    rng = np.random.default_rng([comparisons.PERMUTATION_SEED, RUNS, RUNS])
    expected = permutation.studentised(b, t, rng)
    assert row["p_mean_studentised"] == expected.p and expected.method in row["procedures"]
    assert row["p_mean_studentised_smallest"] == expected.smallest_p > 0
    alone = metrics[metrics["technique"] != "Fair"]
    less = compare(alone, plan(technique("Base", None), technique("Noisy")))
    assert row_of(less, metric="BA")["p_mean_studentised"] == row["p_mean_studentised"]


def test_only_estimable_variance_tests_are_counted() -> None:
    constant = drawn(1, 0.2)
    constant[6] = 0.4
    base = drawn(0)
    base[6] = 0.5
    table = compare(metrics_of(Base=base, Fair=constant), plan(technique("Base", None), technique("Fair")))
    ba, dp = (row_of(table, metric=metric) for metric in ("BA", "DP"))
    assert (ba["family_size"], ba["family_size_variance"], dp["family_size_variance"]) == (4, 4, 4)
    assert np.isnan(ba["p_variance_raw"]) and np.isnan(ba["power_variance"]) and np.isnan(ba["p_mean_holm"])
    rng = np.random.default_rng([comparisons.POWER_SEED, RUNS, RUNS])
    assert dp["power_variance"] == power.power_variance(RUNS, RUNS, 0.05 / 4, rng=rng)
    assert row_of(table, metric="accuracy")["family_size_variance"] is pd.NA


def test_proportional_metrics_are_judged_within_each_attribute() -> None:
    frames = []
    for attribute, ratio in (("sex", 2.0), ("race", 3.0)):
        for i, name in enumerate(("Base", "Fair")):
            values = drawn(i + (attribute == "race") * 10)
            values[2] = values[0] / ratio
            frames.append(long_table(name, values).assign(attribute=attribute))
    two = plan(technique("Base", None), technique("Fair")) | {"groups": {"sex": ["f", "m"], "race": ["a", "b"]}}
    table = compare(pd.concat(frames), two)
    assert set(table[table["metric"] == "SPSF"]["redundant_with"]) == {"DP"}
    assert set(table.dropna(subset="family_size")["family_size"]) == {2 * 5}


def test_verdicts_that_hang_on_one_run_are_counted() -> None:
    base, fair = drawn(0, sd=0.001), drawn(1, 0.27, sd=0.001)
    fair[6, 3] = 0.5
    table = compare(metrics_of(Base=base, Fair=fair), plan(technique("Base", None), technique("Fair")))
    ba, dp = (row_of(table, metric=metric) for metric in ("BA", "DP"))
    assert (ba["verdict"], ba["verdict_changes"], ba["verdict_without_one"]) == ("open", 1, "fairer")
    assert (dp["verdict"], dp["verdict_changes"], dp["verdict_without_one"]) == ("fairer", 0, "")
    assert row_of(table, metric="accuracy")["verdict_changes"] is pd.NA
    two = compare(metrics_of(Base=base[:, :2], Fair=fair[:, :2]), plan(technique("Base", None), technique("Fair")))
    assert two["verdict_changes"].isna().all()


def test_arms_seeds_and_attributes_each_get_their_rows() -> None:
    two = [arm("seed0.ulp"), arm("seed3.ulp", seed=3)]
    frames = [
        long_table(name, drawn(i + 10 * k), a["arm"]).assign(attribute=attribute)
        for i, name in enumerate(("Base", "Fair"))
        for k, a in enumerate(two)
        for attribute in ("sex", "race")
    ]
    several = plan(technique("Base", None), technique("Fair"), arms=two)
    several |= {"groups": {"sex": ["f", "m"], "race": ["a", "b"]}}
    table = compare(pd.concat(frames), several)
    assert len(table) == 2 * 2 * 8 and set(table.dropna(subset="family_size")["family_size"]) == {4 * 5}
    assert table["scope"].unique().tolist() == ["at seed 0, on this test set", "at seed 3, on this test set"]
    assert table["attribute"].tolist()[:16] == ["sex"] * 8 + ["race"] * 8
    assert len(runs_and_summary.runs(pd.concat(frames), several, (), fits(None))) == 2 * 2 * 2 * RUNS


# Risk


def class_counts(name: str, n_runs: int = 6) -> pd.DataFrame:
    """Two groups of 100: class 0 is predicted for 50 and 41 - run, class 1 for the others, class 2 for none."""
    rows = [
        (name, "ulp", 0, run, "protected", group, 0, predicted, n)
        for run in range(n_runs)
        for group, selected in ((0, 50), (1, 41 - run))
        for predicted, n in ((0, selected), (1, 100 - selected))
    ]
    return pd.DataFrame(rows, columns=COUNTS)


def test_risk_counts_runs_below_four_fifths() -> None:
    table = four_fifths.risk(class_counts("Base"), plan(favourable=0), (), fits(True))
    assert len(table) == CLASSES and table["worst_of"].tolist() == [9] * 3
    row = table.iloc[0]
    assert (row["rule"], row["retraining"], row["n"], row["violated"]) == ("four-fifths", "same seed", 6, 4)
    exact, worst = risk.clopper_pearson(4, 6), risk.clopper_pearson(4, 6, 1 - 0.05 / 9)
    assert row[["p_violated", "p_violated_low", "p_violated_high"]].tolist() == [exact.value, exact.low, exact.high]
    assert row[["p_violated_low_bonferroni", "p_violated_high_bonferroni"]].tolist() == [worst.low, worst.high]
    differ = risk.disagreement(4, 6, 1 - 0.05 / 9)
    assert row["p_disagree"] == differ.value
    assert row[["p_disagree_low_bonferroni", "p_disagree_high_bonferroni"]].tolist() == [differ.low, differ.high]
    assert (row["ratio_min"], row["ratio_max"]) == (0.72, 0.82)
    assert table["rule"].tolist()[1:] == ["landmark 0.8"] * 2
    empty = table.iloc[2]
    assert (empty["n"], empty["n_undefined"], empty["note"]) == (0, 6, "not estimable: nobody is selected")
    assert np.isnan(empty["p_violated"]) and np.isnan(empty["ratio_mean"])


def test_the_worst_risk_is_the_worst_of_all_arms_and_attributes() -> None:
    two = plan(arms=[arm("ulp"), arm("native"), arm("none", "control")])
    two["groups"] = {"protected": ["gray", "tinted"], "other": ["a", "b"]}
    assert set(four_fifths.risk(class_counts("Base"), two, (), fits(True))["worst_of"]) == {9 * 2 * 2}


def test_a_risk_names_the_retraining_as_far_as_the_seed_is_recorded() -> None:
    unknown = plan(arms=[arm() | {"kind": "unknown", "seed": None}])
    (retraining,) = set(four_fifths.risk(class_counts("Base"), unknown, (), fits(None))["retraining"])
    assert retraining == "same conditions (seed not recorded)"


def test_risk_of_labels_agrees_with_risk_of_classes() -> None:
    classes = class_counts("Base")
    labels = classes.rename(columns={"predicted": "target", "n": "tp"}).drop(columns="true")
    labels = labels.assign(fp=0, fn=3, tn=97 - labels["tp"])
    columns = [c for c in schemas.RISK if c not in ("n", "n_undefined", "note")]
    both = [four_fifths.risk(c, plan(), (), fits(True)).iloc[:2][columns] for c in (classes, labels)]
    pd.testing.assert_frame_equal(*both)


def test_bit_identical_predictions_get_no_interval_of_a_risk() -> None:
    evidence = evidence_of("Base", predictions={"Base": "d" * 64})
    table = four_fifths.risk(class_counts("Base"), plan(), evidence, fits(True))
    assert table["p_violated_low"].isna().all() and table["p_violated"].notna().sum() == 2
    assert table["note"].str.startswith("predictions bit-identical in 8 of 8 runs (SHA-256): no interval").all()


# The study's numbers, fitlib.metrics.bias_metrics, and speed


def study_metrics(folder: Path, name: str) -> pd.DataFrame:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    runs_ = [yaml.load(path.read_text(), Loader=loader) for path in sorted((folder / name).glob("*.yaml"))]
    values = np.array([[run[metric.replace("DI", "DI bar")] for run in runs_] for metric in BIAS_METRICS])
    return long_table(name, values, reading="published")


def test_the_studys_task_s() -> None:
    root = os.environ.get("FITLIB_DATA_DIR")
    folder = Path(root or ".") / "paper" / "raw_bias_numbers" / "per_class"
    if not root or not folder.is_dir():
        pytest.skip("the study's numbers are needed: set FITLIB_DATA_DIR to a folder with paper/")
    names = ["S-Base", "S-RS", "S-UC", "S-GR", *(f"S-DD{i}" for i in range(1, 5)), "S-DI1", "S-DI2"]
    study = plan(
        *[technique(name, "S-Base" if name != "S-Base" else None) for name in names],
        arms=[arm(n=16)],
        reading="published",
    ) | {"classes": [str(k) for k in range(10)]}
    table = compare(pd.concat([study_metrics(folder, name) for name in names]), study)
    bias = table[table["metric"] != "accuracy"]
    assert set(bias["family_size"]) == {9 * 5} and set(bias["n_classes"]) == {10}
    assert dict(bias[["metric", "redundant_with"]].drop_duplicates().to_numpy().tolist()) == {
        "DP": "", "DI": "", "SPSF": "DP", "FPSF": "EOFP", "EOFP": "", "EOTP": "", "BA": "",
    }  # fmt: skip
    di2 = bias[bias["technique"] == "S-DI2"]
    assert (di2["p_variance_raw"] <= 0.05).all() and (di2["p_variance_relative"] <= 0.05).all()
    assert (di2["sd_technique"] < di2["sd_baseline"]).all()
    ratio = (di2["sd_technique"] / di2["mean_technique"]) / (di2["sd_baseline"] / di2["mean_baseline"])
    assert (ratio > 1).all() and set(di2["verdict"]) <= set(VERDICTS) - {"higher, size open", "less fair"}
    uc = row_of(table, technique="S-UC", metric="DP")
    assert (round(uc["mean_baseline"], 6), round(uc["mean_technique"], 6)) == (0.029675, 0.041358)
    assert abs(round(uc["d"], 2)) == 6.38 and uc["d"] > 0
    assert (uc["verdict_unadjusted"], uc["verdict"]) == ("less fair", "higher, size open")  # alone, and with 44 others


def test_tables_of_computed_metrics_fit_together() -> None:
    rng = np.random.default_rng(0)
    truth, group = rng.integers(0, CLASSES, 300), rng.integers(0, GROUPS, 300)
    frames = {}
    for name in ("Base", "Fair"):
        prediction = np.where(rng.random((RUNS, 300)) < 0.7, truth, rng.integers(0, CLASSES, (RUNS, 300)))
        counts = confusion(truth, prediction, group, CLASSES, GROUPS)
        frames[name] = computed_table(name, "ulp", 0, range(RUNS), counts)
    two = plan(technique("Base", None), technique("Fair"))
    table = runs_and_summary.concatenate(frames, two)
    assert len(runs_and_summary.summary(table, two)) == 2 * (7 * (1 + CLASSES) + 1 + GROUPS)
    for reading in ("strict", "published"):
        made = compare(table, two | {"analysis": two["analysis"] | {"reading": reading}})
        overall = table[(table["reading"] == reading) & table["target"].isna() & (table["technique"] == "Fair")]
        expected = overall[overall["metric"] == "EOTP"]["value"].mean()
        assert row_of(made, metric="EOTP")["mean_technique"] == pytest.approx(expected)
        assert made[made["metric"] == "SPSF"]["n_classes"].tolist() == [CLASSES]


def test_summary_of_27_techniques_and_211_classes_is_quick() -> None:
    rng = np.random.default_rng(0)
    names = [f"T{i}" for i in range(27)]
    levels = {"technique": names, "metric": BIAS_METRICS, "target": [None, *range(211)], "run": range(16)}
    keys = pd.MultiIndex.from_product(levels.values(), names=levels)
    big = keys.to_frame(index=False).assign(
        arm="ulp", seed=0, reading="strict", attribute="protected", group=None, n_undefined=0
    )
    big["value"] = rng.random(len(big))
    big.loc[rng.random(len(big)) < 0.01, "value"] = np.nan
    many = plan(*[technique(name, None if i == 0 else "T0") for i, name in enumerate(names)], arms=[arm(n=16)])
    many |= {"classes": [str(k) for k in range(211)]}
    start = time.perf_counter()
    table = runs_and_summary.summary(big, many)
    assert len(table) == 27 * 7 * 212 and time.perf_counter() - start < 20
    row = table.iloc[3]
    x = big["value"].to_numpy()[3 * 16 : 4 * 16]
    assert row["mean"] == st.mean_interval(x[~np.isnan(x)]).value


def test_the_primary_metric_stands_for_those_that_repeat_it() -> None:
    data = metrics_of(Base=drawn(0, sd=0.001), Fair=drawn(1, 0.285, sd=0.001))  # SPSF is half of DP
    pair = (technique("Base", None), technique("Fair"))
    table = compare(data, plan(*pair, primary="SPSF"))
    dp, spsf = (row_of(table, technique="Fair", metric=metric) for metric in ("DP", "SPSF"))
    assert (spsf["redundant_with"], spsf["primary"], dp["redundant_with"]) == ("", "yes", "SPSF")
    assert (dp["verdict"], spsf["verdict"]) == ("fairer", "equivalent")
    assert row_of(compare(data, plan(*pair)), technique="Fair", metric="SPSF")["redundant_with"] == "DP"


def test_the_metric_with_most_smallest_effects_stands_for_those_that_repeat_it() -> None:
    data = metrics_of(Base=drawn(0, sd=0.001), Fair=drawn(1, 0.285, sd=0.001))
    pair = (technique("Base", None), technique("Fair"))
    table = compare(data, plan(*pair, smallest_effect={"DP": 0.02, "SPSF": 0.001}))
    assert (
        row_of(table, metric="DP")["redundant_with"] == "SPSF" and row_of(table, metric="SPSF")["verdict"] == "fairer"
    )
    shares = compare(data, plan(*pair, smallest_effect="10 %"))
    assert row_of(shares, metric="SPSF")["redundant_with"] == "DP"  # as many smallest effects: the first


def test_a_primary_metric_without_a_value_is_not_replaced_by_the_others() -> None:
    undefined = drawn(1, 0.2)
    undefined[1] = np.nan
    declared = plan(technique("Base", None), technique("Fair"), technique("Noisy"), primary="DI")
    table = compare(metrics_of(Base=drawn(0), Fair=undefined, Noisy=drawn(2, 0.2)), declared)
    found = table[table["primary"] == "yes"].set_index("technique")[["metric", "verdict"]]
    assert found.to_numpy().tolist() == [["DI", "not estimable"], ["DI", "fairer"]]
