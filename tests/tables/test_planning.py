"""fitlib.tables.planning: which comparisons are planned, from what, and what their rows hold."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fitlib.statistics import planning as statistics
from fitlib.statistics.verdict_names import VERDICTS
from fitlib.tables import planning, schemas
from fitlib.tables.over_seeds import over_seeds_table
from tests.support.table_examples import RUNS, arm, compare, drawn, metrics_of, plan, row_of, technique

SPREADS = (0.004, 0.02)


@pytest.fixture(scope="module")
def metrics() -> pd.DataFrame:
    return metrics_of(Base=drawn(0), Fair=drawn(1, 0.2, SPREADS[0]), Noisy=drawn(2, 0.3, SPREADS[1]))


def table(metrics: pd.DataFrame, plan_: dict, **options: object) -> pd.DataFrame:
    return planning.planning_table(compare(metrics, plan_, **options), over_seeds_table(metrics, plan_), plan_)


def seeds(n: int) -> tuple[pd.DataFrame, dict]:
    arms = [arm(f"seed{k}.ulp", seed=k) for k in range(n)]
    parts = [
        metrics_of(Base=drawn(k), Fair=drawn(k + 50, 0.2)).assign(arm=a["arm"], seed=k) for k, a in enumerate(arms)
    ]
    return pd.concat(parts), plan(technique("Base", None), technique("Fair"), arms=arms)


def test_the_table_reads_back_equal_and_does_not_hang_on_the_order_of_rows(
    metrics: pd.DataFrame, tmp_path: Path
) -> None:
    found = table(metrics, plan())
    schemas.write_csv(found, tmp_path / "planning.csv")
    pd.testing.assert_frame_equal(schemas.read_csv(tmp_path / "planning.csv", "planning"), found, check_exact=True)
    pd.testing.assert_frame_equal(table(metrics.sample(frac=1, random_state=0), plan()), found, check_exact=True)
    assert b"nan" not in (tmp_path / "planning.csv").read_bytes().lower()


def test_rows_are_those_of_fitlib_statistics_averaged_over_the_pilot(metrics: pd.DataFrame) -> None:
    compared = compare(metrics, plan())
    found = table(metrics, plan())
    row = row_of(found, technique="Noisy", which="worst", n_baseline=16, true_difference=-0.02)
    of = row_of(compared, technique="Noisy", metric=row["metric"])
    assert row["level"] == of["level"] and row["pilot_technique"] == RUNS and row["sd_technique"] == of["sd_technique"]
    sds, df = (of["sd_baseline"], of["sd_technique"]), (RUNS - 1, RUNS - 1)
    worlds = statistics.verdict_chances(-0.02, sds, (16, 16), 0.01, of["level"], df)[:, 0]
    np.testing.assert_allclose(row[list(planning.COLUMNS)].astype(float), worlds.mean(axis=0))
    fairer = worlds[:, VERDICTS.index("fairer")]
    assert row[["fairer_low", "fairer_high"]].tolist() == np.quantile(fairer, (0.1, 0.9)).tolist()
    assert row["undecided"] == pytest.approx(row[["lower", "open", "higher"]].sum())


def test_probabilities_add_up_and_lie_in_their_range(metrics: pd.DataFrame) -> None:
    found = table(metrics, plan())
    few = found["n_baseline"] < 4
    assert set(found.loc[few, "note"]) == {planning.TOO_FEW} and (found.loc[few, list(planning.COLUMNS)] == 0).all(
        axis=None
    )
    sums = found.loc[~few, list(planning.COLUMNS)].sum(axis=1)
    np.testing.assert_allclose(sums, 1)
    for name in planning.BANDED:
        assert (found[f"{name}_low"] <= found[f"{name}_high"]).all()


def test_planned_are_the_metrics_of_median_and_largest_spread_in_smallest_effects(metrics: pd.DataFrame) -> None:
    rows = compare(metrics, plan())
    rows = rows[(rows["technique"] == "Noisy") & (rows["redundant_with"] == "") & rows["family_size"].notna()]
    order = rows.assign(sd=np.hypot(rows["sd_baseline"], rows["sd_technique"])).sort_values("sd")["metric"].tolist()
    found = table(metrics, plan())
    mine = found[found["technique"] == "Noisy"].drop_duplicates("which").set_index("which")["metric"]
    assert mine.to_dict() == {"typical": order[2], "worst": order[-1]}
    # a metric whose smallest effect is ten times as large is planned as one of a tenth of the spread
    wide = table(metrics, plan(smallest_effect={order[-1]: 0.1}))
    assert set(wide.loc[wide["technique"] == "Noisy", "metric"]) == {order[1], order[-2]}


def test_a_primary_metric_is_planned_alone_at_its_own_level(metrics: pd.DataFrame) -> None:
    whole, found = table(metrics, plan()), table(metrics, plan(primary="DI"))
    assert set(found["metric"]) == {"DI"} and set(found["which"]) == {"primary"}
    assert found["level"].iloc[0] > whole["level"].iloc[0]


def test_there_are_rows_for_every_number_of_runs_and_for_the_present_ones(metrics: pd.DataFrame) -> None:
    found = table(metrics, plan())
    assert set(found["n_baseline"]) == set(statistics.NUMBERS) and RUNS in statistics.NUMBERS
    unequal = metrics_of(Base=drawn(0, runs=7), Fair=drawn(1, runs=9))
    found = table(unequal, plan(technique("Base", None), technique("Fair")))
    now = found[found["n_baseline"] != found["n_technique"]]
    assert set(zip(now["n_baseline"], now["n_technique"], strict=True)) == {(7, 9)} and len(now) == 2 * 4


def test_paired_comparisons_are_planned_from_the_spread_of_differences() -> None:
    b = drawn(0, sd=0.05)
    t = b - 0.02 + 0.01 * np.random.default_rng(9).standard_normal(b.shape)
    shared = plan(technique("Base", None, "one"), technique("Fair", "Base", "one"))
    found = table(metrics_of(Base=b, Fair=t), shared)
    row = row_of(found, which="worst", n_baseline=16, true_difference=-0.02)
    sd = row_of(compare(metrics_of(Base=b, Fair=t), shared), metric=row["metric"])["sd_difference"]
    assert row["sd_difference"] == sd and np.isnan(row["sd_baseline"]) and row["design"] == "paired by run"
    alone = table(metrics_of(Base=b, Fair=t), plan(technique("Base", None), technique("Fair")))
    assert row["fairer"] > row_of(alone, which="worst", n_baseline=16, true_difference=-0.02)["fairer"] + 0.2


def test_over_seeds_the_seeds_are_planned() -> None:
    metrics, declared = seeds(6)
    compared, over = compare(metrics, declared), over_seeds_table(metrics, declared)
    found = planning.planning_table(compared, over, declared)
    mine = found[found["design"] == "paired by seed"]
    assert set(mine["pilot_baseline"]) == {6} and set(mine["arm"]) == {"ulp"}
    metric = mine["metric"].iloc[0]
    assert mine["sd_difference"].iloc[0] == row_of(over, metric=metric)["sd_difference"]
    alone = planning.how_many(compared, over, declared)
    assert set(alone["design"]) == {"paired by seed"} and len(alone) == len(mine)


def test_what_enters_no_test_is_not_planned(metrics: pd.DataFrame) -> None:
    constant = np.repeat(drawn(0)[:, :1], RUNS, axis=1)
    pair = plan(technique("Base", None), technique("Fair"))
    assert table(metrics_of(Base=constant, Fair=constant - 0.1), pair).empty
    assert table(metrics_of(Base=drawn(0, runs=1), Fair=drawn(1, runs=1)), pair).empty
    assert table(metrics, plan(), fit=False).empty
    empty = table(metrics_of(Base=drawn(0)), plan(technique("Base", None)))
    assert empty.empty and empty.columns.tolist() == list(schemas.PLANNING)


# How many


def test_metrics_techniques_numbers_effect_and_level_can_be_chosen(metrics: pd.DataFrame) -> None:
    tables = compare(metrics, plan()), over_seeds_table(metrics, plan()), plan()
    found = planning.how_many(*tables, numbers=(5, 20), techniques=["Fair"], metrics=["DI", "accuracy"])
    assert set(found["technique"]) == {"Fair"} and set(found["metric"]) == {"DI"}
    assert set(found["n_baseline"]) == {5, RUNS, 20}
    found = planning.how_many(*tables, smallest_effect={"DI": "10 %"}, level=0.05, metrics=["DI", "BA"])
    assert set(found["level"]) == {0.05} and set(found.loc[found["metric"] == "BA", "smallest_effect"]) == {0.01}
    mean = row_of(tables[0], technique="Fair", metric="DI")["mean_baseline"]
    assert found.loc[found["metric"] == "DI", "smallest_effect"].tolist() == [pytest.approx(mean / 10)] * 2 * 4 * 12


def test_declared_comparisons_have_no_range() -> None:
    one, two = (planning.declared_comparison(sds, 0.01, 0.05) for sds in ([0.012], [0.012, 0.012]))
    found, same = planning.table_of_chances([one], (8, 16)), planning.table_of_chances([two], (8, 16))
    pd.testing.assert_frame_equal(found, same)
    assert found["fairer_low"].isna().all() and found["pilot_baseline"].isna().all() and len(found) == 2 * 4
    paired = planning.table_of_chances([planning.declared_comparison([0.012], 0.01, 0.05, planning.BY_RUN)], (8, 16))
    beyond = found["true_difference"] < -0.015
    assert (paired["fairer"] > found["fairer"])[beyond].all() and set(paired["sd_difference"]) == {0.012}


# For sentences


@pytest.mark.parametrize("multiple", [-2, 0, 1, 2])
def test_chances_now_are_those_of_the_table_at_the_present_runs(metrics: pd.DataFrame, multiple: int) -> None:
    compared, found = compare(metrics, plan()), table(metrics, plan())
    planned = row_of(found, technique="Fair", which="typical", n_baseline=RUNS, true_difference=-abs(multiple) * 0.01)
    now = planning.chances_now(row_of(compared, technique="Fair", metric=planned["metric"]), multiple)
    mirrored = (
        VERDICTS if multiple >= 0 else (VERDICTS[5], VERDICTS[4], VERDICTS[2], VERDICTS[3], VERDICTS[1], VERDICTS[0])
    )
    assert [now[name] for name in mirrored] == pytest.approx([planned[name] for name in planning.COLUMNS])


def test_chances_now_are_none_where_nothing_can_be_planned(metrics: pd.DataFrame) -> None:
    compared = compare(metrics, plan())
    assert planning.chances_now(row_of(compared, technique="Fair", metric="accuracy"), 2) == {}
    row = row_of(compared, technique="Fair", metric="DP")
    assert set(planning.chances_now(row, 2, n=3).values()) == {0.0}
    without = row.drop("level")
    assert planning.planned_comparison(without).level == 0.05 / row["family_size"] <= row["level"]


def test_a_pilot_too_small_for_a_level_divides_alpha_by_the_verdicts_on_the_primary_metric() -> None:
    small = metrics_of(Base=drawn(0, runs=3), Fair=drawn(1, runs=3), Noisy=drawn(2, runs=3))
    declared = plan(primary="DI")
    found = planning.chosen(compare(small, declared), declared)
    assert len(found) == 2 and {one.level for one in found} == {0.05 / 2}
