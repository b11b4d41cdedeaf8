import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from fitlib.metrics import long_tables
from fitlib.metrics.bias_metrics import (
    BIAS_METRICS,
    PUBLISHED_RATIOS,
    RATIOS,
    accuracy,
    group_accuracy,
    overall_ratio,
)
from fitlib.metrics.chance_level import chance_levels
from fitlib.metrics.counts import confusion, label_counts, one_vs_rest
from fitlib.metrics.long_tables import (
    LONG_COLUMNS,
    TEST_SET_SEED,
    counts_array,
    counts_table,
    metrics_table,
    technique_tables,
)
from fitlib.metrics.testset import COMPONENT_METRICS, contributions
from fitlib.storage.predictions import as_written, write_table
from tests.support.chance_examples import made
from tests.support.count_examples import random_rows

CHANCE = ("expectation", "chance_95", "chance_p", "chance_runs")


def value_of(table, **where):
    rows = table
    for column, value in where.items():
        rows = rows[rows[column].isna()] if value is None else rows[rows[column] == value]
    assert len(rows) == 1
    return rows.iloc[0]


def test_long_table_holds_every_value_in_its_place():
    counts = confusion(*random_rows(np.random.default_rng(13)), 5, 2)
    table = metrics_table("S-Base", "ulp", 7, [0, 1, 2, 5], counts)
    assert tuple(table.columns) == LONG_COLUMNS
    assert len(table) == 4 * (2 * 7 * 6 + 3)
    assert set(table["technique"]) == {"S-Base"} and set(table["seed"]) == {7} and set(table["arm"]) == {"ulp"}
    assert table["run"].unique().tolist() == [0, 1, 2, 5]
    case = one_vs_rest(counts)
    for reading, functions in {"strict": RATIOS, "published": PUBLISHED_RATIOS}.items():
        for name, metric in functions.items():
            key = {"run": 5, "reading": reading, "metric": name}
            assert value_of(table, target=4, **key)["value"] == metric(case).values()[3, 4]
            assert value_of(table, target=None, **key)["value"] == overall_ratio(metric(case), reading)[0][3]
    key = {"run": 1, "metric": "accuracy", "target": None}
    assert value_of(table, group=None, **key)["value"] == accuracy(counts)[1]
    assert value_of(table, group=1, **key)["value"] == group_accuracy(counts)[1, 1]


def test_long_table_counts_the_undefined():
    counts = confusion(np.array([0, 1, 2, 0]), np.array([[0, 1, 1, 0]]), np.array([0, 0, 1, 1]), 4, 2)
    table = metrics_table("T", "none", 0, [0], counts)
    key = {"reading": "strict", "metric": "DI"}
    assert value_of(table, target=None, **key)["n_undefined"] == 2
    assert value_of(table, target=3, **key)["n_undefined"] == 1
    assert np.isnan(value_of(table, target=3, **key)["value"])
    assert value_of(table, target=0, **key)["n_undefined"] == 0


def test_long_table_types_do_not_depend_on_the_values():
    table = metrics_table("T", "none", 0, [0], confusion(*random_rows(np.random.default_rng(14), n_runs=1), 5, 2))
    assert table[["target", "group", "n_undefined"]].dtypes.eq("Int64").all()
    assert table[["seed", "run"]].dtypes.eq("int64").all() and table["value"].dtype == "float64"


def test_long_table_leaves_the_published_reading_out_with_more_than_two_groups():
    counts = confusion(*random_rows(np.random.default_rng(15), n_groups=3), 5, 3)
    assert set(metrics_table("T", "none", 0, range(4), counts)["reading"]) == {"strict"}


def test_counts_table_goes_back_to_the_counts():
    rows = random_rows(np.random.default_rng(16), n_rows=30, n_groups=3)
    counts = confusion(*rows, 5, 3)
    table = counts_table("T", "ulp", 0, [3, 4, 5, 9], counts, False, "race")
    assert (table["n"] > 0).all()
    runs, again = counts_array(table, 5, 3)
    assert runs == (3, 4, 5, 9) and np.array_equal(again, counts)


def test_label_counts_table_goes_back_to_the_counts():
    rng = np.random.default_rng(17)
    counts = label_counts(rng.integers(0, 2, (40, 4)), rng.integers(0, 2, (2, 40, 4)), np.arange(40) % 2, 2)
    table = counts_table("T", "ulp", 0, [0, 1], counts, True, "protected")
    assert list(table.columns[5:]) == ["group", "target", "tp", "fp", "fn", "tn"]
    assert np.array_equal(counts_array(table, 4, 2)[1], counts)


def test_the_test_set_table_holds_every_quantity_in_its_place():
    p = made(*random_rows(np.random.default_rng(18)), n_classes=6)
    table = long_tables.testset_table("T", "ulp", 3, p, "a")
    assert list(table.columns) == [
        "technique", "arm", "seed", "attribute", "quantity", "metric", "target", "value", "n",
    ]  # fmt: skip
    assert set(table["n"]) == {4} and set(table["seed"]) == {3}
    assert len(table) == 5 * 7 * (1 + 6) + 6 * len(COMPONENT_METRICS) * 6 + 3 * 7
    chance = chance_levels(p, "a", np.random.default_rng(TEST_SET_SEED))["DI"]
    key = {"quantity": "expectation", "metric": "DI"}
    for target, at in ((None, 0), (2, 3)):
        found = {name: value_of(table, target=target, metric="DI", quantity=name)["value"] for name in CHANCE}
        assert found["expectation"] == chance.expectation[:, at].mean()
        assert found["chance_95"] == chance.quantile[:, at].mean()
        assert found["chance_p"] == sorted(chance.p[:, at])[2], "the third of four runs"
        assert found["chance_runs"] == (chance.p[:, at] <= 0.05).sum()
    assert np.isnan(value_of(table, target=5, **key)["value"])  # nobody is predicted as the last class
    parts = contributions(p, "a", np.random.default_rng(TEST_SET_SEED))
    run = value_of(table, quantity="variance_run", metric="EOTP", target=1)["value"]
    assert run == parts.components["EOTP"].run[1]
    off = value_of(table, quantity="selected_off", metric="BA", target=None)["value"]
    assert off == parts.selection["BA"].selected_off
    smallest = value_of(table, quantity="smallest_denominator", metric="EOTP", target=None)["value"]
    classes = [value_of(table, quantity="smallest_denominator", metric="EOTP", target=c)["value"] for c in range(6)]
    assert smallest == min(classes[:5]) > 0 == classes[5]


def test_the_tables_of_a_technique_are_the_same_bytes_every_time(tmp_path):
    arms = {"ulp": (0, made(*random_rows(np.random.default_rng(19))))}
    for name in ("a", "b"):
        table = technique_tables("T", arms)["testset"]
        write_table(tmp_path / name, table, "testset")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    schema = pq.read_schema(tmp_path / "a")
    assert [str(kind) for kind in schema.types] == ["string"] * 2 + ["int64"] + ["string"] * 3 + [
        "int64", "double", "int64",
    ]  # fmt: skip
    assert schema.metadata == {b"fitlib.schema": b"testset/1"} and set(table["metric"]) == set(BIAS_METRICS)


@pytest.mark.parametrize(
    "rows", [random_rows(np.random.default_rng(19)), (np.arange(4) % 2, [[0, 1, 1, 0]], [0, 0, 1, 1])]
)
def test_tables_kept_in_memory_have_the_types_and_values_of_those_read_from_files(rows, tmp_path):
    truth, predicted, group = (np.asarray(values) for values in rows)
    tables = technique_tables("T", {"ulp": (0, made(truth, predicted, group))})
    assert len(tables) == 6
    for name, table in tables.items():
        write_table(tmp_path / name, table, name)
        pd.testing.assert_frame_equal(as_written(table), pd.read_parquet(tmp_path / name), check_exact=True, obj=name)
