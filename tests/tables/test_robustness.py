"""fitlib.tables.robustness: tables of reversals and declared looks."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fitlib.statistics import risk, sequential
from fitlib.tables import comparisons, robustness, schemas
from fitlib.tables.all_tables import tables_of
from fitlib.tables.epochs import gather_history
from tests.support.chance_examples import made
from tests.support.table_examples import (
    CLASSES,
    RUNS,
    arm,
    compare,
    drawn,
    evidence_of,
    fits,
    metrics_of,
    plan,
    row_of,
    technique,
)
from tests.support.testset_examples import long_tables, planned, predicted


@pytest.fixture(scope="module")
def metrics() -> pd.DataFrame:
    return metrics_of(Base=drawn(0), Fair=drawn(1, 0.2), Noisy=drawn(2, 0.3, 0.1))


def reversals(metrics: pd.DataFrame, plan_: dict, evidence: list[dict] = (), fit: bool = True) -> pd.DataFrame:
    return robustness.reversals(metrics, plan_, evidence, fits(fit))


def looks(metrics: pd.DataFrame, plan_: dict, evidence: list[dict] = (), fit: bool = True) -> pd.DataFrame:
    return robustness.sequential(metrics, plan_, evidence, fits(fit))


def test_tables_read_back_equal_and_do_not_hang_on_the_order_of_rows(metrics: pd.DataFrame, tmp_path: Path) -> None:
    declared, shuffled = plan(looks=[3, 5, 8]), metrics.sample(frac=1, random_state=0)
    made = {
        "reversal": lambda m: reversals(m, declared),
        "sequential": lambda m: looks(m, declared),
    }
    for name, make in made.items():
        table = make(metrics)
        schemas.write_csv(table, tmp_path / name)
        pd.testing.assert_frame_equal(schemas.read_csv(tmp_path / name, name), table, check_exact=True)
        pd.testing.assert_frame_equal(make(shuffled), table, check_exact=True)
        assert len(table) and b"nan" not in (tmp_path / name).read_bytes().lower()


def test_tables_of_nothing_have_their_columns() -> None:
    only = plan(technique("Base", None), looks=[5, 8])
    frame = metrics_of(Base=drawn(0))
    tables = (reversals(frame, only), looks(frame, only))
    for table, schema in zip(tables, (schemas.REVERSAL, schemas.SEQUENTIAL), strict=True):
        assert len(table) == 0 and table.columns.tolist() == list(schema)


# Reversal


def test_reversals_are_those_of_fitlib_risk_at_each_k(metrics: pd.DataFrame) -> None:
    table = reversals(metrics, plan())
    assert len(table) == 2 * 5 * 3 and set(table["k"]) == {1, 2, 4} and set(table["retraining"]) == {"same seed"}
    b, t = drawn(0)[6].mean(axis=1), drawn(1, 0.2)[6].mean(axis=1)
    for k in (1, 2, 4):
        row = row_of(table, technique="Fair", metric="BA", k=k)
        rng = np.random.default_rng([robustness.REVERSAL_SEED, RUNS, RUNS, k])
        expected = risk.verdict_reversal(b, t, k=k, rng=rng)
        assert row[["value", "low", "high"]].tolist() == [expected.value, expected.low, expected.high]
    compared = compare(metrics, plan())
    first = table[table["k"] == 1].set_index(["technique", "metric"])["value"]
    same = compared.set_index(["technique", "metric"]).loc[first.index, "reversal"]
    np.testing.assert_array_equal(first, same)
    unclear = row_of(table, technique="Noisy", metric="DI", k=2)
    assert np.isnan(unclear["value"]) and unclear["note"] == risk.NO_DIRECTION and unclear["procedure"] == ""


def test_reversals_are_refused_where_nothing_may_be_tested(metrics: pd.DataFrame) -> None:
    refused = reversals(metrics, plan(), fit=False)
    assert refused["value"].isna().all() and set(refused["note"]) == {"runs are not FIT"}
    evidence = evidence_of("Base", "Noisy") + evidence_of("Fair", predictions={"Fair": "c" * 64})
    same = reversals(metrics, plan(), evidence)
    assert set(same[same["technique"] == "Fair"]["note"]) == {"bit-identical runs enter no test"}
    shared = plan(technique("Base", None, "one"), technique("Fair", "Base", "one"))
    paired = reversals(metrics_of(Base=drawn(0), Fair=drawn(1, 0.2)), shared)
    assert paired["value"].isna().all() and paired["note"].str.contains("share one training").all()


@pytest.mark.parametrize(("n", "ks"), [(1, [1]), (2, [1]), (3, [1]), (4, [1, 2]), (9, [1, 2, 4])])
def test_k_is_at_most_half_of_the_runs(n: int, ks: list[int]) -> None:
    frame = metrics_of(Base=drawn(0, runs=n), Fair=drawn(1, 0.1, runs=16))
    table = reversals(frame, plan(technique("Base", None), technique("Fair")))
    assert table[table["metric"] == "DP"]["k"].tolist() == ks
    assert table["value"].notna().all() == (n > 1) and (table["note"] == "").all() == (n > 1)


# Declared looks


def test_without_declared_looks_there_is_no_row(metrics: pd.DataFrame) -> None:
    assert (
        looks(metrics, plan()).empty and looks(metrics, plan(looks=None)).empty and looks(metrics, plan(looks=[])).empty
    )


def test_looks_are_those_of_fitlib_sequential_at_the_corrected_level(metrics: pd.DataFrame) -> None:
    table = looks(metrics, plan(looks=[5, 8]))
    assert len(table) == 2 * 5 * 2 and set(table["family_size"]) == {10}
    assert set(table["level"]) == {sequential.pocock_level(2, 0.05 / 10)}
    fair = table[(table["technique"] == "Fair") & (table["metric"] == "BA")]
    expected = sequential.looks(drawn(0)[6].mean(axis=1), drawn(1, 0.2)[6].mean(axis=1), (5, 8), 0.05 / 10)
    assert fair["decision"].tolist() == [look.decision for look in expected] == ["go on", "stop: bias fell"]
    assert fair["p"].tolist() == [look.test.p for look in expected]
    assert fair["note"].tolist() == ["no p at this n can reach the level", ""]
    assert "Mann-Whitney" in fair["procedures"].iloc[0] and "Pocock" in fair["procedures"].iloc[0]
    assert fair["stopped_at"].tolist() == [pd.NA, 8]
    low, high = expected[1].difference.ends
    assert fair["difference_low"].iloc[1] == pytest.approx(low) and fair["difference_high"].iloc[1] == pytest.approx(
        high
    )
    assert "repeated confidence interval: Welch t, 99.7" in fair["procedures"].iloc[1]


def test_an_early_stop_is_noted_with_its_number_of_runs() -> None:
    p = predicted(n_runs=12)
    unfair = np.where((p.protected["a"] == 1) & (np.arange(200) % 2 == 0), 1, p.prediction)
    long = long_tables(Base=p, Biased=made(p.ground_truth, unfair, p.protected["a"]))
    declared = planned(names=("Base", "Biased"), looks=[4, 8, 12])
    table = tables_of(long | {"votes": {}, "history": gather_history("", [])}, declared)["sequential"]
    dp = table[table["metric"] == "DP"]
    assert dp["decision"].tolist() == ["go on", "stop: bias rose", "not made: stopped at n = 8"]
    assert dp["stopped_at"].tolist() == [pd.NA, 8, 8]
    assert dp["note"].tolist() == [robustness.UNREACHABLE, robustness.EXAGGERATED, ""]
    last = looks(long["metrics"], planned(names=("Base", "Biased"), looks=[4, 8]), fit=None)
    assert last[last["metric"] == "DP"]["note"].tolist() == [robustness.UNREACHABLE, ""], "nothing was stopped early"


def test_a_look_uses_its_first_runs_only() -> None:
    base, fair = drawn(0), drawn(1, 0.2)
    later = fair.copy()
    later[[1, 6], 5:] = 0.9
    later[6, 7, 0] = np.nan  # a class that only a later run leaves undefined
    two = plan(technique("Base", None), technique("Fair"), looks=[5, 8])
    early = [looks(metrics_of(Base=base, Fair=f), two).query("look == 1").reset_index(drop=True) for f in (fair, later)]
    pd.testing.assert_frame_equal(*early)
    holes = metrics_of(Base=base, Fair=fair)
    holes = holes[~((holes["technique"] == "Fair") & (holes["run"] == 2))]
    found = looks(holes, two)
    assert set(found["decision"]) == {"not made: fewer than 5 runs", "not made: fewer than 8 runs"}


def test_looks_are_refused_where_nothing_may_be_tested(metrics: pd.DataFrame) -> None:
    refused = looks(metrics, plan(looks=[5, 8]), fit=False)
    assert (
        set(refused["note"]) == {"runs are not FIT"} and refused["p"].isna().all() and set(refused["decision"]) == {""}
    )
    evidence = evidence_of("Base", "Noisy") + evidence_of("Fair", predictions={"Fair": "c" * 64})
    assert set(looks(metrics, plan(looks=[5, 8]), evidence)["family_size"]) == {5}


def test_every_arm_has_its_rows() -> None:
    two = [arm("seed0.ulp"), arm("seed3.ulp", seed=3)]
    frames = [metrics_of(Base=drawn(k), Fair=drawn(k + 5, 0.2)).assign(arm=a["arm"]) for k, a in enumerate(two)]
    several = plan(technique("Base", None), technique("Fair"), arms=two, looks=[8])
    table = looks(pd.concat(frames), several)
    assert table["arm"].unique().tolist() == ["seed0.ulp", "seed3.ulp"] and len(table) == 2 * 5
    assert len(reversals(pd.concat(frames), several)) == 2 * 5 * 3 and CLASSES == 3
    assert comparisons.distinct_metrics(comparisons.pairs_of(pd.concat(frames), several), several)[1] == {
        "SPSF": "DP",
        "FPSF": "EOFP",
    }
