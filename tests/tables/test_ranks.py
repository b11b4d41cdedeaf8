"""The table "ranks": its rows, shared trainings, exclusions, and few runs."""

import numpy as np
import pandas as pd
import pytest

from fitlib.statistics.bootstrap import bootstrap_runs
from fitlib.statistics.ranks import mid_ranks
from fitlib.tables import ranks as made
from fitlib.tables.all_tables import tables_of
from fitlib.tables.epochs import gather_history
from fitlib.tables.pareto import SHARE_SEED
from fitlib.tables.schemas import RANKS, read_csv, write_csv
from tests.support.chance_examples import made as predictions_of
from tests.support.table_examples import RUNS, arm, drawn, evidence_of, fits, metrics_of, plan, row_of, technique
from tests.support.testset_examples import long_tables, planned, predicted

pytestmark = pytest.mark.filterwarnings("error")


def ranks(metrics: pd.DataFrame, plan_: dict, evidence: list[dict] = (), fit: bool | None = True) -> pd.DataFrame:
    return made.ranks(metrics, plan_, evidence, fits(fit))


@pytest.fixture(scope="module")
def metrics() -> pd.DataFrame:
    return metrics_of(Base=drawn(0, 0.3), Fair=drawn(1, 0.2), Noisy=drawn(2, 0.3, 0.1))


def test_every_technique_has_a_row_and_a_clear_winner_is_best(metrics: pd.DataFrame) -> None:
    table = ranks(metrics, plan())
    assert list(table.columns) == list(RANKS) and len(table) == 3 * 7
    dp = table[table["metric"] == "DP"].set_index("technique")
    assert dp["p_best"].to_dict() == {"Base": 0, "Fair": 1, "Noisy": 0}
    assert (dp.loc["Fair", ["rank", "rank_mean", "rank_low", "rank_high"]] == 1).all()
    assert dp.loc["Base", "rank_low"] == 2 and 2 < dp.loc["Base", "rank_mean"] < 3 == dp.loc["Base", "rank_high"]
    assert table.groupby("metric")["p_best"].sum().to_numpy() == pytest.approx(np.ones(7))
    assert set(table["note"]) == {""} and set(table["n_compared"]) == {3}
    assert dp.loc["Base", "mean"] == pytest.approx(drawn(0, 0.3)[0].mean())


def test_p_best_is_that_of_a_bootstrap_with_one_generator_per_training(metrics: pd.DataFrame) -> None:
    row = row_of(ranks(metrics, plan()), technique="Noisy", metric="BA")
    values = [drawn(*of)[6].mean(axis=1) for of in ((0, 0.3), (1, 0.2), (2, 0.3, 0.1))]
    seeds = [np.random.default_rng([SHARE_SEED, training, 0, RUNS]) for training in range(3)]
    means = [bootstrap_runs(x, rng, made.RESAMPLES) for x, rng in zip(values, seeds, strict=True)]
    found = mid_ranks(np.stack(means, axis=1))
    assert row["p_best"] == pytest.approx((found[:, 2] == 1).mean()) and row["rank_mean"] == found[:, 2].mean()


def test_techniques_of_one_training_are_resampled_together() -> None:
    base = drawn(0, 0.3, 0.05)
    metrics = metrics_of(Base=base, Ahead=base - 1e-6)
    shared = plan(technique("Base", None, "one"), technique("Ahead", "Base", "one"))
    apart = plan(technique("Base", None), technique("Ahead", "Base"))
    together, independent = (
        row_of(ranks(metrics, p), technique="Ahead", metric="DI")["p_best"] for p in (shared, apart)
    )
    assert together == 1 and 0.4 < independent < 0.6
    copies = ranks(metrics_of(Base=base, Ahead=base), shared)
    assert set(copies["p_best"]) == {0.5} and set(copies["rank"]) == {1.5}


def test_values_are_over_the_classes_that_all_techniques_share() -> None:
    values = {name: drawn(i) for i, name in enumerate(("Base", "Fair", "Noisy"))}
    values["Noisy"][1, 3, 2] = np.nan
    row = row_of(ranks(metrics_of(**values), plan()), technique="Fair", metric="DI")
    assert row["n_classes"] == 2 and row["mean"] == pytest.approx(values["Fair"][1, :, :2].mean())


def test_few_runs_are_noted_and_a_single_one_has_no_shares() -> None:
    two = plan(technique("Base", None), technique("Fair"))
    table = ranks(metrics_of(Base=drawn(0), Fair=drawn(1, runs=5)), two)
    assert set(table["note"]) == {"certainty is overstated below 8 runs"} and table["p_best"].notna().all()
    single = ranks(metrics_of(Base=drawn(0), Fair=drawn(1, runs=1)), {**two, "arms": [arm(n=1)]})
    assert set(single["note"]) == {"not estimable: fewer than 2 runs"}
    assert single[["p_best", "rank"]].isna().all(axis=None) and single["mean"].notna().all()


def test_runs_that_are_not_fit_or_bit_identical_stand_aside(metrics: pd.DataFrame) -> None:
    refused = ranks(metrics, plan(), fit=False)
    assert refused["p_best"].isna().all() and refused["note"].str.startswith("stands aside: not FIT").all()
    same = evidence_of("Base", "Noisy") + evidence_of("Fair", predictions={"Fair": "e" * 64})
    table = ranks(metrics, plan(), same)
    aside = table[table["technique"] == "Fair"]
    assert aside["rank"].isna().all() and aside["note"].str.contains("bit-identical").all()
    assert set(table["n_compared"]) == {2} and table["p_best"].sum() == pytest.approx(7)


def test_every_arm_has_an_order_of_its_own_and_nothing_has_the_columns() -> None:
    arms = [arm("seed0.ulp"), arm("seed3.ulp", seed=3)]
    frames = [metrics_of(Base=drawn(k), Fair=drawn(k + 5)).assign(arm=a["arm"]) for k, a in enumerate(arms)]
    table = ranks(pd.concat(frames), plan(technique("Base", None), technique("Fair"), arms=arms))
    assert table["arm"].unique().tolist() == ["seed0.ulp", "seed3.ulp"] and len(table) == 2 * 2 * 7
    alone = ranks(metrics_of(Base=drawn(0)), plan(technique("Base", None)))
    assert alone.empty and list(alone.columns) == list(RANKS)


def test_the_table_is_one_of_all_and_reads_back_equal(tmp_path) -> None:
    p = predicted(n_runs=8)
    unfair = np.where((p.protected["a"] == 1) & (np.arange(200) % 3 == 0), 1, p.prediction)
    long = long_tables(Base=p, Biased=predictions_of(p.ground_truth, unfair, p.protected["a"]))
    plan_ = planned(names=("Base", "Biased"))
    table = tables_of(long | {"votes": {}, "history": gather_history("", [])}, plan_)["ranks"]
    pd.testing.assert_frame_equal(table, ranks(long["metrics"], plan_, fit=None))
    dp = table[table["metric"] == "DP"]
    assert dp["technique"].tolist() == ["Base", "Biased"] and dp["p_best"].tolist() == [1, 0]
    write_csv(table, tmp_path / "ranks.csv")
    pd.testing.assert_frame_equal(read_csv(tmp_path / "ranks.csv", "ranks"), table, check_exact=True)
