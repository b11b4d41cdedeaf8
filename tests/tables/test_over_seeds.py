"""The tables over seeds: which runs enter, what is corrected, and agreement with the samples behind them."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fitlib.metrics.bias_metrics import BIAS_METRICS
from fitlib.statistics import nested_design
from fitlib.statistics.verdict_names import TOO_FEW
from fitlib.tables import schemas
from fitlib.tables.over_seeds import by_seed_table, over_seeds_table

CLASSES = ["cat", "dog", "owl"]
LONG = ["technique", "arm", "seed", "run", "reading", "attribute", "metric", "target", "group", "value", "n_undefined"]


def arm_name(seed):
    return f"seed{seed}.ulp" if seed else "ulp"


def plan_of(seeds, runs=2, techniques=("Base", "Fair"), **analysis):
    arms = [{"arm": arm_name(s), "noise": "ulp", "kind": "emulated", "role": "main", "seed": s} for s in seeds]
    control = {**arms[0], "arm": "none", "noise": "none", "kind": "control", "role": "control"}
    declared = {"favourable": None, "smallest_effect": 0.01, "alpha": 0.05, "family": None, "reading": "strict"}
    return {
        "techniques": [
            {"technique": name, "training": f"train-{name}", "baseline": None if name == "Base" else "Base"}
            for name in techniques
        ],
        "arms": [{**arm, "runs": runs, "options": {}} for arm in [*arms, control]],
        "classes": CLASSES,
        "groups": {"protected": ["gray", "tinted"]},
        "analysis": declared | analysis,
    }


def long_table(name, seed, values):
    """``values`` (metrics, runs, classes) of one technique at one seed; accuracy .85 + run/1000."""
    rows = []
    for run in range(values.shape[1]):
        head = (name, arm_name(seed), seed, run, "strict", "protected")
        for metric, by_class in zip(BIAS_METRICS, values[:, run], strict=True):
            rows.append((*head, metric, None, None, np.nanmean(by_class), int(np.isnan(by_class).sum())))
            rows += [(*head, metric, k, None, v, int(np.isnan(v))) for k, v in enumerate(by_class)]
        rows.append((*head, "accuracy", None, None, 0.85 + run / 1000, 0))
    return pd.DataFrame(rows, columns=LONG).astype({"target": "Int64", "group": "Int64", "n_undefined": "Int64"})


def drawn(rng, seeds, runs=2, level=0.3, sd_seed=0.01, sd_run=0.005):
    """Values (seeds, metrics, runs, classes) in which SPSF repeats DP."""
    size = (len(seeds), 7)
    values = level + sd_seed * rng.standard_normal((*size, 1, 1)) + sd_run * rng.standard_normal((*size, runs, 3))
    values[:, 2] = values[:, 0] / 2
    return values


def metrics_of(seeds, **values):
    parts = [long_table(name, s, v) for name, given in values.items() for s, v in zip(seeds, given, strict=True)]
    return pd.concat(parts, ignore_index=True)


def fits(answer=True, not_at=()):
    def check(evidence, training, arm):
        return SimpleNamespace(fit=False if arm in not_at else answer, text="not FIT runs: first batch differs")

    return check


def row_of(table, metric="DP", technique="Fair"):
    (row,) = table[(table["metric"] == metric) & (table["technique"] == technique)].to_dict("records")
    return row


SEEDS = range(8)


@pytest.fixture
def values():
    rng = np.random.default_rng(0)
    return {"Base": drawn(rng, SEEDS), "Fair": drawn(rng, SEEDS, level=0.2)}


@pytest.fixture
def table(values):
    return over_seeds_table(metrics_of(SEEDS, **values), plan_of(SEEDS), (), fits())


def test_the_difference_is_the_paired_one_of_the_seeds_means(values, table):
    b, t = (values[name][:, 0].mean(axis=(1, 2)) for name in ("Base", "Fair"))
    row, other = row_of(table), stats.ttest_rel(t, b)
    assert (row["mean_baseline"], row["mean_technique"]) == pytest.approx((b.mean(), t.mean()))
    assert row["difference"] == pytest.approx(t.mean() - b.mean()) and row["p"] == pytest.approx(other.pvalue)
    interval = other.confidence_interval()
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))
    assert row["p_signed_rank"] == row["p_signed_rank_smallest"] == 2 / 2**8
    assert row["verdict"] == "fairer" and row["scope"] == "over 8 seeds, on this test set" and not row["qualification"]
    assert (row["n_seeds"], row["n_runs"], row["n_classes"]) == (8, 2, 3)


def test_components_are_those_of_the_runs(values, table):
    row, found = row_of(table), nested_design.components(values["Base"][:, 0].mean(axis=2))
    assert row["sd_run_baseline"] == pytest.approx(found.run**0.5)
    assert row["sd_seed_baseline"] == pytest.approx(found.seed**0.5)
    assert np.isnan(row["share_seed_baseline"]) and "shares need 8 seeds x 4 runs" in row["note"]


def test_shares_have_an_interval_from_four_runs_on():
    rng = np.random.default_rng(1)
    metrics = metrics_of(SEEDS, Base=drawn(rng, SEEDS, 4), Fair=drawn(rng, SEEDS, 4))
    table = over_seeds_table(metrics, plan_of(SEEDS, 4), (), fits())
    for role in ("baseline", "technique"):
        low, share, high = (table[f"share_seed_{role}{end}"] for end in ("_low", "", "_high"))
        bias = (table["metric"] != "accuracy").to_numpy()
        assert (low[bias] < share[bias]).all() and (share[bias] < high[bias]).all()


def test_one_seed_has_no_rows():
    rng = np.random.default_rng(2)
    metrics = metrics_of([3], Base=drawn(rng, [3]), Fair=drawn(rng, [3]))
    for made, schema in ((over_seeds_table, schemas.OVER_SEEDS), (by_seed_table, schemas.BY_SEED)):
        table = made(metrics, plan_of([3]), (), fits())
        assert table.empty and list(table.columns) == list(schema)


def test_too_few_seeds_qualify_the_verdict():
    rng = np.random.default_rng(3)
    metrics = metrics_of(range(3), Base=drawn(rng, range(3)), Fair=drawn(rng, range(3), level=0.1))
    row = row_of(over_seeds_table(metrics, plan_of(range(3)), (), fits()))
    assert row["verdict"] == TOO_FEW and "too few for an unqualified verdict (8 needed)" in row["scope"]


def test_distinct_metrics_of_all_techniques_are_corrected_together():
    rng = np.random.default_rng(4)
    given = {"Base": drawn(rng, SEEDS), "Fair": drawn(rng, SEEDS, level=0.29), "Worse": drawn(rng, SEEDS, level=0.31)}
    table = over_seeds_table(metrics_of(SEEDS, **given), plan_of(SEEDS, techniques=tuple(given)), (), fits())
    distinct = table[(table["redundant_with"] == "") & (table["metric"] != "accuracy")]
    assert len(distinct) == 12 and set(table["family_size"].dropna()) == {12}
    order = distinct.sort_values("p")
    assert order["p_holm"].iloc[0] == pytest.approx(min(1, 12 * order["p"].iloc[0]))
    assert (distinct["p_holm"] >= distinct["p_bh"] - 1e-12).all() and (distinct["p_by"] >= distinct["p_bh"]).all()
    dp, spsf = row_of(table, "DP"), row_of(table, "SPSF")
    assert spsf["redundant_with"] == "DP" and spsf["p_holm"] == dp["p_holm"]
    accuracy = row_of(table, "accuracy")
    assert accuracy["verdict"] == "" and np.isnan(accuracy["p_holm"]) and pd.isna(accuracy["family_size"])


def test_the_power_is_that_of_the_corrected_level(table):
    row = row_of(table)
    power = stats.nct.sf(stats.t.isf(0.05 / row["family_size"] / 2, 7), 7, 0.01 * np.sqrt(8) / row["sd_difference"])
    assert row["power"] == pytest.approx(power, abs=2e-3)


def test_classes_count_only_where_every_run_at_every_seed_defines_them(values):
    values["Fair"][5, 0, 1, 2] = np.nan
    metrics = metrics_of(SEEDS, **values)
    row = row_of(over_seeds_table(metrics, plan_of(SEEDS), (), fits()))
    assert row["n_classes"] == 2 and row["dropped_classes"] == "owl"
    assert row["mean_baseline"] == pytest.approx(values["Base"][:, 0, :, :2].mean())


def test_seeds_without_runs_or_with_runs_that_are_not_fit_are_left_out_and_named(values):
    metrics = metrics_of(SEEDS, **values)
    metrics = metrics[~((metrics["technique"] == "Fair") & (metrics["seed"] == 6))]
    row = row_of(over_seeds_table(metrics, plan_of(SEEDS), (), fits(not_at=("seed2.ulp", "seed4.ulp"))))
    assert row["seeds"] == "0; 1; 3; 5; 7" and row["n_seeds"] == 5 and row["verdict"] == "fairer"
    assert "not FIT at seeds 2, 4: left out" in row["note"] and "no runs at seed 6: left out" in row["note"]
    assert "too few" in row["qualification"]
    seeds = by_seed_table(metrics, plan_of(SEEDS), (), fits(not_at=("seed2.ulp", "seed4.ulp")))
    unused = seeds[(seeds["metric"] == "DP") & (seeds["used"] == "no")]
    assert dict(zip(unused["seed"], unused["note"], strict=True)) == {2: "not FIT", 4: "not FIT", 6: "no runs"}
    assert unused["difference"].isna().all()


def test_without_two_seeds_of_fit_runs_there_is_no_verdict(values):
    row = row_of(over_seeds_table(metrics_of(SEEDS, **values), plan_of(SEEDS), (), fits(False)))
    assert row["verdict"] == "not FIT" and row["fit"] == "no" and np.isnan(row["difference"]) and np.isnan(row["p"])


def evidence_of(identical_at):
    return [
        {
            "training": f"train-{name}", "arm": arm_name(seed), "seed": seed, "run": run, "role": "main",
            "status": "done", "parts": {}, "final_weights": f"{name}{seed}{run}",
            "predictions": {name: f"{seed}" if seed in identical_at else f"{seed}-{run}"},
        }
        for name in ("Base", "Fair") for seed in SEEDS for run in range(2)
    ]  # fmt: skip


def test_a_seed_of_bit_identical_runs_stays_and_is_named(values, table):
    """Its mean is a draw over seeds; leaving it out would choose seeds by their outcome."""
    metrics = metrics_of(SEEDS, **values)
    row = row_of(over_seeds_table(metrics, plan_of(SEEDS), evidence_of([1, 5]), fits()))
    assert row["n_seeds"] == 8 and row["p"] == row_of(table)["p"]
    assert "bit-identical runs at seeds 1, 5: kept" in row["note"]


def test_arms_that_are_bit_identical_everywhere_enter_no_test(values):
    row = row_of(over_seeds_table(metrics_of(SEEDS, **values), plan_of(SEEDS), evidence_of(SEEDS), fits()))
    assert row["verdict"] == "not estimable" and np.isnan(row["p"]) and np.isnan(row["low"])
    assert "bit-identical runs at every seed enter no test" in row["note"]


def test_the_seeds_have_their_standard_errors(values):
    seeds = by_seed_table(metrics_of(SEEDS, **values), plan_of(SEEDS), (), fits())
    rows = seeds[seeds["metric"] == "DP"]
    assert rows["seed"].tolist() == list(SEEDS) and set(rows["used"]) == {"yes"}
    b, t = (values[name][:, 0].mean(axis=2) for name in ("Base", "Fair"))
    error = np.sqrt(b.var(axis=1, ddof=1) / 2 + t.var(axis=1, ddof=1) / 2)
    assert rows["standard_error"].to_numpy() == pytest.approx(error)
    assert rows["difference"].to_numpy() == pytest.approx(t.mean(axis=1) - b.mean(axis=1))


def test_the_order_of_rows_does_not_matter(values, table):
    shuffled = metrics_of(SEEDS, **values).sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(over_seeds_table(shuffled, plan_of(SEEDS), (), fits()), table)


def test_constant_values_are_answered_without_warning():
    constant = np.full((8, 7, 2, 3), 0.25)
    metrics = metrics_of(SEEDS, Base=constant, Fair=constant)
    row = row_of(over_seeds_table(metrics, plan_of(SEEDS), (), fits()))
    assert row["difference"] == 0 and row["verdict"] == "not estimable" and np.isnan(row["p"])
    assert "constant difference at all 8 seeds" in row["note"]


def test_the_tables_read_back_equal(values, tmp_path):
    metrics = metrics_of(SEEDS, **values)
    for name, made in (("over_seeds", over_seeds_table), ("by_seed", by_seed_table)):
        table = made(metrics, plan_of(SEEDS), evidence_of([2]), fits())
        schemas.write_csv(table, tmp_path / name)
        pd.testing.assert_frame_equal(schemas.read_csv(tmp_path / name, name), table, check_exact=True)
        assert "nan" not in (tmp_path / name).read_text().lower()


def test_proportional_metrics_are_judged_within_each_attribute():
    frames = []
    for i, (attribute, ratio) in enumerate((("sex", 2), ("race", 3))):
        for j, name in enumerate(("Base", "Fair")):
            values = drawn(np.random.default_rng([i, j]), SEEDS)
            values[:, 2] = values[:, 0] / ratio
            frames.append(metrics_of(SEEDS, **{name: values}).assign(attribute=attribute))
    two = plan_of(SEEDS) | {"groups": {"sex": ["f", "m"], "race": ["a", "b"]}}
    table = over_seeds_table(pd.concat(frames), two, (), fits())
    assert set(table[table["metric"] == "SPSF"]["redundant_with"]) == {"DP"}
    assert set(table["family_size"].dropna()) == {2 * 6}
