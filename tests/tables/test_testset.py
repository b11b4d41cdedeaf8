"""What the test set contributes, in tables: columns of the summary, components, selection, notes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fitlib.metrics.bias_metrics import BIAS_METRICS
from fitlib.metrics.counts import cells_of, count
from fitlib.metrics.signed_differences import signed_of
from fitlib.statistics import estimates as st
from fitlib.tables import runs_and_summary, schemas
from fitlib.tables.all_tables import tables_of
from fitlib.tables.epochs import gather_history
from fitlib.tables.testset import components_table, selection_table
from tests.support.chance_examples import made
from tests.support.table_examples import row_of
from tests.support.testset_examples import RUNS, long_tables, planned, predicted, summary

pytestmark = pytest.mark.filterwarnings("error")


def test_the_summary_has_expectation_denominator_and_direction() -> None:
    p = predicted()
    long, plan_ = long_tables(Base=p), planned()
    table = summary(long, plan_)
    row, signed = row_of(table, metric="EOTP", target="1"), signed_of(cells_of(count(p, "a")))["EOTP"]
    interval = st.mean_interval(signed.values[:, 1])
    assert row[["signed_mean", "signed_low", "signed_high"]].tolist() == [interval.value, interval.low, interval.high]
    assert row["lower_group"] == f"g{signed.lower[1]}" and row["lower_group_changes"] == signed.changes[1]
    assert row["smallest_denominator"] == cells_of(count(p, "a")).positives[0, :, 1].min()
    testset = long["testset"]
    chosen = testset[(testset["quantity"] == "expectation") & (testset["metric"] == "EOTP")]
    assert row["expectation"] == chosen[chosen["target"] == 1]["value"].item()
    overall = row_of(table, metric="EOTP", target="overall")
    assert overall["expectation"] == chosen[chosen["target"].isna()]["value"].item()
    assert np.isnan(overall["signed_mean"]) and overall["lower_group"] == ""
    accuracy = table[table["metric"] == "accuracy"]
    assert accuracy["expectation"].isna().all() and accuracy["smallest_denominator"].isna().all()


def test_without_the_long_tables_the_columns_are_empty_and_the_rest_is_the_same() -> None:
    long = long_tables(Base=predicted())
    bare, full = runs_and_summary.summary(long["metrics"], planned()), summary(long, planned())
    new = schemas.SUMMARY.keys() & {
        "expectation", "chance_95", "chance_p", "chance_runs", "smallest_denominator", "signed_mean", "signed_low",
        "signed_high", "lower_group", "lower_group_changes",
    }  # fmt: skip
    assert len(new) == 10 and (bare[list(new)].isna() | (bare[list(new)] == "")).all().all()
    kept = [column for column in bare if column not in new]
    pd.testing.assert_frame_equal(bare[kept], full[kept], check_exact=True)


def test_a_disparity_stands_out_from_chance_and_its_absence_does_not() -> None:
    p = predicted(seed=3)
    unfair = np.where((p.protected["a"] == 1) & (np.arange(200) % 3 == 0), 1, p.prediction)
    long, plan_ = (
        long_tables(Base=p, Biased=made(p.ground_truth, unfair, p.protected["a"])),
        planned(names=("Base", "Biased")),
    )
    table = tables_of(long | {"votes": {}, "history": gather_history("", [])}, plan_)["summary"]
    fair, biased = (row_of(table, technique=name, metric="DP", target="1") for name in ("Base", "Biased"))
    assert biased["chance_runs"] == RUNS and biased["chance_p"] < 0.05 and biased["min"] > biased["chance_95"]
    assert fair["chance_runs"] < RUNS / 2 and fair["chance_p"] > 0.05
    rows = table[table["chance_p"].notna()]
    assert (rows["chance_95"] > rows["expectation"]).all() and rows["chance_runs"].between(0, RUNS).all()
    assert table[table["sd"] > 0]["next_low"].between(0, 1).all()
    assert len(rows) == 2 * 7 * 4 and table[table["metric"] == "accuracy"]["chance_p"].isna().all()


def test_a_small_denominator_is_noted() -> None:
    long = long_tables(Base=predicted())
    smallest = int(row_of(summary(long, planned()), metric="EOTP", target="0")["smallest_denominator"])
    for limit, note in ((smallest, ""), (smallest + 1, f"smallest denominator {smallest} below min_group")):
        assert row_of(summary(long, planned(min_group=limit)), metric="EOTP", target="0")["note"] == note


def test_the_published_reading_has_no_expectation() -> None:
    table = summary(long_tables(Base=predicted()), planned(reading="published"))
    assert table[["expectation", "chance_95", "chance_p", "chance_runs"]].isna().all(axis=None)
    assert table["signed_mean"].notna().any()


def test_three_groups_one_without_members_and_a_class_never_predicted() -> None:
    p = predicted(classes=2)
    q = made(p.ground_truth, p.prediction, 2 * p.protected["a"], n_classes=3)
    long, plan_ = long_tables(Base=q), planned(groups=3)
    table = summary(long, plan_)
    dp, ba = (row_of(table, metric=metric, target="2") for metric in ("DP", "BA"))
    assert (dp["signed_mean"], dp["lower_group"], dp["expectation"]) == (0, "", 0)
    assert dp["lower_group_changes"] is pd.NA
    assert np.isnan(ba["signed_mean"]) and np.isnan(ba["expectation"]) and ba["smallest_denominator"] == 0
    assert set(table["lower_group"]) <= {"", "g0", "g2"}
    components = components_table(long["testset"], plan_)
    never, none = (row_of(components, metric=metric, target=2) for metric in ("DP", "EOTP"))
    assert never["note"] == "constant in all 6 runs" and never["sd_between_runs"] == 0
    assert none["note"] == "not estimable: the difference is undefined" and np.isnan(none["sd_run"])


def test_components_are_standard_deviations_in_plan_order() -> None:
    long, plan_ = long_tables(Other=predicted(1), Base=predicted(2)), planned(names=("Base", "Other"))
    table = components_table(long["testset"], plan_)
    assert table["technique"].tolist() == ["Base"] * 9 + ["Other"] * 9 and set(table["n"]) == {RUNS}
    signed = signed_of(cells_of(count(predicted(2), "a")))["EOFP"].values[:, 1]
    row = row_of(table, technique="Base", metric="EOFP", target=1)
    assert row["sd_between_runs"] == pytest.approx(signed.std(ddof=1))
    parts = row["variance_run"] + row["variance_interaction"]
    assert parts == pytest.approx(row["sd_between_runs"] ** 2)
    assert row["sd_total"] ** 2 == pytest.approx(parts + row["variance_test_set"])


def test_a_negative_estimate_is_kept_and_noted() -> None:
    long = long_tables(**{"Base": predicted(3)})
    table = components_table(long["testset"], planned())
    negative = table[table["variance_run"] < 0]
    assert len(negative) and set(negative["sd_run"]) == {0.0}
    assert negative["note"].str.contains("estimated ≤ 0: run").all()
    assert not table[table["variance_run"] > 0]["note"].str.contains(r"0: run(?:,|$)", regex=True).any()


def test_selection_gives_the_regression_of_every_metric() -> None:
    long = long_tables(Base=predicted(4))
    table = selection_table(long["testset"], planned())
    assert table["metric"].tolist() == list(BIAS_METRICS)
    assert (table["regression"] == table["selected_off"] - table["selected_on"]).all()
    assert (table["selected_on"] < table["mean"]).all() and table["note"].str.startswith("on half of").all()


def test_one_run_is_not_estimable() -> None:
    long = long_tables(Base=predicted(5, n_runs=1))
    components, selection = components_table(long["testset"], planned()), selection_table(long["testset"], planned())
    assert set(components["note"]) == {"not estimable: fewer than 2 runs"} == set(selection["note"])
    assert components["sd_run"].isna().all() and selection["regression"].isna().all()
    table = summary(long, planned())
    assert row_of(table, metric="DP", target="0")["expectation"] > 0
    assert table["signed_low"].isna().all() and table["signed_mean"].notna().any()


def test_only_main_arms_enter() -> None:
    long = long_tables(Base=predicted())
    control = {name: frame.assign(arm="none") if "arm" in frame else frame for name, frame in long.items()}
    both = {name: pd.concat([long[name], control[name]], ignore_index=True) for name in long}
    for function in (components_table, selection_table):
        pd.testing.assert_frame_equal(function(both["testset"], planned()), function(long["testset"], planned()))
    pd.testing.assert_frame_equal(summary(both, planned()), summary(long, planned()))


def test_labels_have_the_same_columns() -> None:
    p = predicted(6)
    labels = made(np.eye(3, dtype=np.int8)[p.ground_truth], np.eye(3, dtype=np.int8)[p.prediction], p.protected["a"])
    of_labels, of_classes = (summary(long_tables(Base=q), planned()) for q in (labels, p))
    columns = ["signed_mean", "signed_low", "signed_high", "lower_group", "lower_group_changes", "smallest_denominator"]
    bias = of_classes["metric"] != "accuracy"
    pd.testing.assert_frame_equal(of_labels[bias][columns], of_classes[bias][columns])


def test_tables_read_back_equal_from_csv(tmp_path: Path) -> None:
    long = long_tables(Base=predicted(7), Fair=predicted(8, n_runs=1))
    plan_ = planned(names=("Base", "Fair"), min_group=100)
    written = {
        "summary": summary(long, plan_),
        "components": components_table(long["testset"], plan_),
        "selection": selection_table(long["testset"], plan_),
    }
    for name, table in written.items():
        schemas.write_csv(table, tmp_path / name)
        pd.testing.assert_frame_equal(schemas.read_csv(tmp_path / name, name), table, check_exact=True)
        assert b"nan" not in (tmp_path / name).read_bytes().lower()


def test_tables_of_nothing_have_their_columns() -> None:
    nothing = long_tables(Base=predicted())["testset"].iloc[:0]
    for name, table in (
        ("components", components_table(nothing, planned())),
        ("selection", selection_table(pd.DataFrame(), planned())),
    ):
        assert len(table) == 0 and list(table.columns) == list(schemas.SCHEMAS[name])
