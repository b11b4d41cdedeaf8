"""The Pareto front of accuracy, bias and churn: dominance, whole runs, candidates, and exclusions."""

import numpy as np
import pandas as pd
import pytest

from fitlib.metrics.counts import label_votes
from fitlib.metrics.counts import votes as count_votes
from fitlib.metrics.individuals import churn
from fitlib.tables.pareto import dominates, mean_churn, pareto, plane_runs
from fitlib.tables.schemas import PARETO
from tests.support.cost_examples import with_accuracy
from tests.support.table_examples import arm, drawn, evidence_of, fits, metrics_of, plan, row_of, technique

RUNS = 8


def votes_of(share: float, runs: int = RUNS, seed: int = 0) -> pd.DataFrame:
    """Votes of 40 rows and 3 classes where each run changes a share of the rows."""
    rng = np.random.default_rng(seed)
    changed = rng.random((runs, 40)) < share
    return voted(np.where(changed, rng.integers(0, 3, changed.shape), np.arange(40) % 3))


def voted(prediction: np.ndarray, n_classes: int = 3) -> pd.DataFrame:
    row, klass, number = count_votes(prediction, n_classes)
    return pd.DataFrame({"arm": "ulp", "idx": row, "class": klass, "votes": number})


@pytest.fixture
def example() -> tuple[pd.DataFrame, dict, dict]:
    """Fair: less bias, same accuracy; Sharp: more accuracy, more bias; Poor: worse in both."""
    steady = 0.8 + 0.001 * np.arange(RUNS)
    values = {"Base": drawn(0, 0.3), "Fair": drawn(1, 0.2), "Sharp": drawn(2, 0.4), "Poor": drawn(3, 0.5)}
    accuracies = {"Base": steady, "Fair": steady, "Sharp": steady + 0.1, "Poor": steady - 0.1}
    plan_ = plan(technique("Base", None), *map(technique, ("Fair", "Sharp", "Poor")))
    votes = {name: votes_of(share, seed=i) for i, (name, share) in enumerate(SHARES.items())}
    return with_accuracy(metrics_of(**values), **accuracies), votes, plan_


SHARES = {"Base": 0.1, "Fair": 0.1, "Sharp": 0.1, "Poor": 0.3}


def front(*given: object, fit: bool | None = True, **options: object) -> pd.DataFrame:
    return pareto(*given, check_fit=fits(fit), **options)


def test_dominance_needs_no_worse_and_one_better() -> None:
    found = dominates(np.array([[1.0, 1.0], [1.0, 2.0], [2.0, 1.0], [1.0, 1.0]]))
    expected = np.zeros((4, 4), dtype=bool)
    expected[0, [1, 2]] = expected[3, [1, 2]] = True
    assert np.array_equal(found, expected), "equal points do not dominate each other"


def test_the_front_is_what_nothing_dominates(example: tuple) -> None:
    metrics, _, plan_ = example
    table = front(metrics, {}, plan_)
    assert list(table.columns) == list(PARETO) and len(table) == 4 * 7
    di = table[table["metric"] == "DI"].set_index("technique")
    assert di["on_front"].to_dict() == {"Base": "no", "Fair": "yes", "Sharp": "yes", "Poor": "no"}
    assert di["dominated_by"]["Poor"] == "Base; Fair; Sharp" and di["dominated_by"]["Sharp"] == ""
    assert di["note"].str.contains("churn not known").all()


def test_low_churn_puts_a_technique_on_the_front(example: tuple) -> None:
    metrics, votes, plan_ = example
    calm = votes | {"Poor": votes_of(0.0)}
    with_calm = front(metrics, calm, plan_)
    assert row_of(with_calm, technique="Poor", metric="DI")["on_front"] == "yes"
    assert row_of(front(metrics, votes, plan_), technique="Poor", metric="DI")["on_front"] == "no"


def test_shares_are_near_one_or_nought_where_runs_are_far_apart_and_between_where_not(example: tuple) -> None:
    metrics, _, plan_ = example
    table = front(metrics, {}, plan_)
    far = table[table["metric"] == "DP"].set_index("technique")["front_share"]
    assert far["Sharp"] == 1 and far["Poor"] == 0
    assert 0.2 < far["Base"] + far["Fair"] - 1 < 0.8, "equal accuracies: who is ahead changes with the runs"
    repeated = front(metrics, {}, plan_)
    pd.testing.assert_frame_equal(table, repeated)


def test_techniques_of_one_training_get_the_same_resampled_runs(example: tuple) -> None:
    metrics, _, _ = example
    base = metrics[metrics["technique"] == "Base"]
    better = base["value"] + 1e-9 * (base["metric"] == "accuracy")
    ahead = base.assign(technique="Ahead", value=better)
    both = pd.concat([base, ahead], ignore_index=True)
    shared = plan(technique("Base", None, "one"), technique("Ahead", "Base", "one"))
    apart = plan(technique("Base", None), technique("Ahead", "Base"))
    together, independent = (row_of(front(both, {}, p), technique="Ahead", metric="DI") for p in (shared, apart))
    assert together["front_share"] == 1 and independent["front_share"] < 0.95


def test_churn_is_the_mean_of_that_of_individuals() -> None:
    prediction = np.random.default_rng(3).integers(0, 3, (RUNS, 50))
    assert mean_churn(voted(prediction), "ulp", RUNS) == pytest.approx(churn(prediction, 3).mean())
    assert mean_churn(voted(np.ones((RUNS, 5), dtype=int)), "ulp", RUNS) == 0
    assert np.isnan(mean_churn(voted(prediction[:1]), "ulp", 1)) and np.isnan(mean_churn(pd.DataFrame(), "ulp", 4))


def test_churn_of_labels_counts_the_votes_against_them() -> None:
    prediction = np.random.default_rng(4).integers(0, 2, (RUNS, 30, 4))
    row, label, number = label_votes(prediction)
    table = pd.DataFrame({"arm": "ulp", "idx": row, "class": label, "votes": number})
    assert mean_churn(table, "ulp", RUNS) == pytest.approx(churn(prediction.reshape(RUNS, -1), 2).mean())


def test_families_are_compared_within_themselves() -> None:
    values = {name: drawn(i, level) for i, (name, level) in enumerate(zip("ABCD", (0.1, 0.2, 0.3, 0.4), strict=True))}
    chain = plan(technique("A", None), technique("B", "A"), technique("C", None), technique("D", "C"))
    table = front(metrics_of(**values), {}, chain)
    assert row_of(table, technique="C", metric="DP")["dominated_by"] == ""
    assert row_of(table, technique="D", metric="DP")["dominated_by"] == "C"
    three = plan(technique("A", None), technique("B", "A"), technique("C", "B"))
    assert set(front(metrics_of(**values), {}, three)["baseline"]) == {"A"}


def test_values_are_over_the_classes_that_all_techniques_share() -> None:
    values = {name: drawn(i) for i, name in enumerate(("Base", "Fair", "Noisy"))}
    values["Noisy"][1, 3, 2] = np.nan
    table = front(metrics_of(**values), {}, plan())
    row = row_of(table, technique="Fair", metric="DI")
    assert row["n_classes"] == 2 and row["bias_mean"] == pytest.approx(values["Fair"][1, :, :2].mean())
    runs = plane_runs(metrics_of(**values), plan(), check_fit=fits(True)).query(
        "metric == 'DI' and technique == 'Fair'"
    )
    assert np.allclose(runs["bias"], values["Fair"][1, :, :2].mean(axis=1)) and len(runs) == RUNS


def test_not_fit_and_bit_identical_runs_are_excluded(example: tuple) -> None:
    metrics, votes, plan_ = example
    refused = front(metrics, votes, plan_, fit=False)
    assert (refused["on_front"] == "").all() and refused["note"].str.contains("stands aside: not FIT").all()
    assert refused["front_share"].isna().all() and refused["bias_mean"].notna().all()
    same = evidence_of("Base", "Fair", "Poor") + evidence_of("Sharp", predictions={"Sharp": "e" * 64})
    table = front(metrics, votes, plan_, same)
    assert row_of(table, technique="Sharp", metric="DI")["on_front"] == ""
    assert "bit-identical" in row_of(table, technique="Sharp", metric="DI")["note"]


@pytest.mark.filterwarnings("error")
def test_constant_runs_a_single_run_and_nothing_have_defined_answers() -> None:
    still = {name: np.repeat(drawn(i)[:, :1], RUNS, axis=1) for i, name in enumerate(("Base", "Fair"))}
    two = plan(technique("Base", None), technique("Fair"))
    table = front(metrics_of(**still), {}, two)
    assert table["note"].str.contains("bias constant in all 8 runs").all() and (table["bias_sd"] == 0).all()
    single = front(metrics_of(Base=drawn(0, runs=1), Fair=drawn(1, runs=1)), {}, {**two, "arms": [arm(n=1)]})
    assert single["front_share"].isna().all() and set(single["on_front"]) <= {"yes", "no"}
    alone = front(metrics_of(Base=drawn(0)), {}, plan(technique("Base", None)))
    assert alone.empty and list(alone.columns) == list(PARETO)
    missing = front(metrics_of(Base=drawn(0)), {}, two)
    assert row_of(missing, technique="Fair", metric="DI")["note"] == "stands aside: no runs"
    assert "nothing to compare" in row_of(missing, technique="Base", metric="DI")["note"]


def test_the_same_runs_in_another_order_dominate_nothing(example: tuple) -> None:
    values, accuracy = drawn(0, 0.3), 0.7 + 0.1 * np.random.default_rng(5).random(RUNS)
    metrics = metrics_of(Base=values, Fair=values[:, ::-1])
    orders = [np.random.default_rng(seed).permutation(RUNS) for seed in range(50)]
    order = next(order for order in orders if accuracy[order].mean() != accuracy.mean())  # only rounding differs
    plan_ = plan(technique("Base", None), technique("Fair"))
    table = front(with_accuracy(metrics, Base=accuracy, Fair=accuracy[order]), {}, plan_)
    assert set(table["on_front"]) == {"yes"} and set(table["dominated_by"]) == {""}
