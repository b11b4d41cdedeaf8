"""Spread by epoch: what runs recorded becomes means, SDs and an answer to whether the spread still grows."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fitlib.statistics import estimates as st
from fitlib.tables import epochs as ep
from fitlib.tables.schemas import EPOCHS
from tests.support.table_examples import arm, plan, technique

RUNS, EPOCHS_RUN = 16, 8
PLAN = plan(technique("Base", None, "base"), technique("Fair", "Base", "fair"), technique("Twin", "Base", "fair"))


def history(values: np.ndarray, training: str = "base", arm_name: str = "ulp", sizes: tuple = (30, 10)) -> pd.DataFrame:
    """``values`` (runs, epochs, groups): accuracy of each group, as runs record it."""
    rows = [
        (training, arm_name, 0, run, epoch, group, sizes[group], 0.1, values[run, epoch, group])
        for run, epoch, group in np.ndindex(values.shape)
    ]
    return pd.DataFrame(rows, columns=list(ep.HISTORY))


def drawn(growth: float = 1.0, seed: int = 0, runs: int = RUNS, sd: float = 0.01) -> np.ndarray:
    """Accuracies whose spread is multiplied by ``growth`` within the last quarter of the epochs."""
    rng = np.random.default_rng(seed)
    run_effect = sd * rng.standard_normal((runs, 1, 2)) + sd / 10 * rng.standard_normal((runs, EPOCHS_RUN, 2))
    return 0.8 + run_effect * np.where(np.arange(EPOCHS_RUN) == EPOCHS_RUN - 1, growth, 1)[None, :, None]


def test_rows_give_accuracy_over_everybody_and_the_gap_between_groups() -> None:
    values = drawn()
    table = ep.epochs_table(history(values), PLAN)
    assert list(table.columns) == list(EPOCHS) and table["epoch"].tolist() == list(range(1, EPOCHS_RUN + 1))
    accuracy, gap = values @ [0.75, 0.25], np.abs(values[..., 0] - values[..., 1])
    for i, row in enumerate(table.to_dict("records")):
        found = st.sd_interval(accuracy[:, i])
        assert row["accuracy_mean"] == pytest.approx(accuracy[:, i].mean()) and row["n"] == RUNS
        expected = [found.value, found.low, found.high]
        assert np.allclose([row["accuracy_sd"], row["accuracy_sd_low"], row["accuracy_sd_high"]], expected)
        assert row["gap_mean"] == pytest.approx(gap[:, i].mean())
        assert row["gap_sd"] == pytest.approx(gap[:, i].std(ddof=1))


def test_each_training_appears_once_in_plan_order_without_control_arms() -> None:
    parts = [history(drawn(seed=i), training, name) for i, (training, name) in enumerate(WHERE)]
    table = ep.epochs_table(pd.concat(parts, ignore_index=True), PLAN)
    assert list(dict.fromkeys(zip(table["training"], table["arm"], strict=True))) == [("base", "ulp"), ("fair", "ulp")]


WHERE = (("fair", "ulp"), ("base", "none"), ("base", "ulp"), ("unknown", "ulp"))


@pytest.mark.parametrize(
    "factor, sd, answer", [(3.0, 0.01, ep.GROWING), (1.0, 0.01, ep.NOT_GROWING), (0.3, 0.01, ep.NOT_GROWING)]
)
def test_growing_spread_is_distinguished_from_constant_spread(factor: float, sd: float, answer: str) -> None:
    table = ep.epochs_table(history(drawn(factor, sd=sd)), PLAN)
    sentences = ep.growth_sentences(table)
    assert f"{answer} for 1 training (base ×" in sentences[0] and len(sentences) == 2
    assert table["since"].dropna().tolist() == [6] and pd.notna(table["since"].iloc[-1])


def test_a_spread_too_noisy_to_judge_is_reported_as_such() -> None:
    values = 0.8 + 0.01 * np.random.default_rng(1).standard_normal((6, EPOCHS_RUN, 2))
    assert "cannot be told for 1 training" in ep.growth_sentences(ep.epochs_table(history(values), PLAN))[0]


def test_interval_of_the_sd_ratio_is_the_inverse_of_the_pitman_morgan_test() -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal(14)
    y = 0.6 * x + rng.standard_normal(14)
    found = ep.paired_sd_ratio(x, y)
    for ratio in (found.low, found.high):  # at the ends the correlation of sum and difference has p = 0.05
        assert stats.pearsonr(y / ratio + x, y / ratio - x).pvalue == pytest.approx(0.05, abs=1e-9)
    swapped = ep.paired_sd_ratio(y, x)
    assert (swapped.low, swapped.high) == (pytest.approx(1 / found.high), pytest.approx(1 / found.low))
    scaled = ep.paired_sd_ratio(x, 3 * y + 1)
    assert (scaled.value, scaled.high) == (pytest.approx(3 * found.value), pytest.approx(3 * found.high))


def test_interval_of_the_sd_ratio_covers() -> None:
    rng, hits = np.random.default_rng(3), 0
    for _ in range(400):
        x = rng.standard_normal(10)
        found = ep.paired_sd_ratio(x, 2 * (0.8 * x + 0.6 * rng.standard_normal(10)))
        hits += found.low <= 2 <= found.high
    assert 0.92 < hits / 400 < 0.98


@pytest.mark.filterwarnings("error")
def test_what_cannot_be_estimated_is_reported_without_nan() -> None:
    still = ep.epochs_table(history(np.full((3, EPOCHS_RUN, 2), 0.5)), PLAN)
    assert still["note"].iloc[0] == "accuracy constant in all 3 runs; gap constant in all 3 runs"
    single = ep.epochs_table(history(drawn(runs=1)), PLAN)
    few = ep.epochs_table(history(drawn()[:, :3]), PLAN)
    assert few["since"].isna().all() and "fewer than 4 epochs" in ep.growth_sentences(few)[0]
    for table in (still, single, few):
        sentences = " ".join(ep.growth_sentences(table))
        assert sentences and "nan" not in sentences.lower()
    assert "cannot be told for 1 training (base)" in ep.growth_sentences(single)[0]
    nothing = ep.epochs_table(pd.DataFrame(columns=list(ep.HISTORY)), PLAN)
    assert nothing.empty and list(nothing.columns) == list(EPOCHS) and ep.growth_sentences(nothing) == []


def test_groups_without_members_and_runs_without_all_epochs_are_left_out() -> None:
    values = drawn()
    full = history(values, sizes=(40, 0))
    empty = full["group"] == 1
    full.loc[empty, "test_accuracy"] = np.nan
    table = ep.epochs_table(full, PLAN)
    assert np.allclose(table["accuracy_mean"], values[:, :, 0].mean(axis=0)) and (table["gap_mean"] == 0).all()
    cut = history(values)
    cut = cut[~((cut["run"] == 5) & (cut["epoch"] == EPOCHS_RUN - 1))]
    short = ep.epochs_table(cut, PLAN)
    assert set(short["n"]) == {RUNS - 1} and short["note"].str.contains("epochs missing: run-05").all()


def test_histories_are_gathered_from_finished_runs_only(tmp_path: Path) -> None:
    rows = history(drawn(runs=1)).drop(columns=["training", "arm", "seed", "run"])
    keys = {"training": "base", "arm": "seed3.ulp", "seed": 3}
    evidence = [{**keys, "run": run, "status": status} for run, status in enumerate(("done", "failed", "done"))]
    for run in (0, 1):
        folder = tmp_path / "runs" / "base" / "seed3.ulp" / f"run-{run:02d}"
        folder.mkdir(parents=True)
        rows.to_parquet(folder / "history.parquet")
    found = ep.gather_history(tmp_path, evidence)
    assert set(found["run"]) == {0} and set(found["seed"]) == {3} and len(found) == 2 * EPOCHS_RUN
    assert list(found.columns) == list(ep.HISTORY)
    arms = {**PLAN, "arms": [arm("seed3.ulp", seed=3)]}
    assert set(ep.epochs_table(found, arms)["seed"]) == {3}
    assert list(ep.gather_history(tmp_path, []).columns) == list(ep.HISTORY)
    family = tmp_path / "families" / "base"
    family.mkdir(parents=True)
    linked = [{**run, "link": f"../../runs/base/seed3.ulp/run-0{run['run']}/train.html"} for run in evidence]
    assert ep.gather_history(family, linked).equals(found) and ep.gather_history(family, evidence).empty
