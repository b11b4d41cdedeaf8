"""Causes are compared arm against arm, by hardware apart, and never added up."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from scipy import stats

from fitlib.experiment.registry.noises import NOISE_KINDS
from fitlib.metrics.long_tables import technique_tables
from fitlib.report.figures import style
from fitlib.report.sections import causes as section
from fitlib.results.plots import Plots
from fitlib.statistics import estimates as st
from fitlib.statistics import power
from fitlib.statistics import significance as sig
from fitlib.statistics.run_identity import BY_DESIGN
from fitlib.storage.predictions import stack, write_predictions
from fitlib.tables import causes, schemas
from tests.support.table_examples import arm, drawn, long_table, plan, record, technique

ARMS = {"ulp": 0.01, "ulp-k100": 0.011, "reduction-order": 0.012, "seed": 0.2, "native": 0.0}


def cause(name: str, noise: str | None = None, n: int = 8, **options: object) -> dict:
    noise = noise or name
    return arm(name, "cause", n=n) | {"noise": noise, "kind": NOISE_KINDS[noise], "options": options}


def experiment_plan(**analysis: object) -> dict:
    first = arm() | {"noise": "ulp"}
    arms = [first, cause("ulp-k100", "ulp", step=100), cause("reduction-order"), cause("seed"), cause("native")]
    return plan(technique("Base", None), arms=[*arms, arm("none", "control", n=4) | {"kind": "control"}], **analysis)


@pytest.fixture(scope="module")
def metrics() -> pd.DataFrame:
    return pd.concat([long_table("Base", drawn(10 + i, sd=sd), name) for i, (name, sd) in enumerate(ARMS.items())])


def evidence_of() -> list[dict]:
    """Runs of every arm: distinct results but for the native arm; runs of `seed` start apart."""
    found = []
    for name in ARMS:
        for run in range(8):
            same = name == "native"
            entry = record("Base", run, arm=name, role="main" if name == "ulp" else "cause", seed=0)
            entry["final_weights"] = "same" if same else f"{name}{run}"
            entry["predictions"] = {"Base": "same" if same else f"{name}{run}"}
            start = f"start{run}" if name == "seed" else "start"
            entry["parts"] = {"initial weights": start, "machine": "cpu 1", "gpu": "none"}
            found.append(entry)
    control = [record("Base", run, arm="none", role="control", seed=0) for run in range(4)]
    return [*found, *[{**c, "final_weights": "w", "predictions": {"Base": "p"}} for c in control]]


def evidence_with(changes: dict[tuple[str, int], dict]) -> list[dict]:
    found = evidence_of()
    for entry in found:
        entry["parts"] = {**entry["parts"], **changes.get((entry["arm"], entry["run"]), {})}
    return found


@pytest.fixture(scope="module")
def table(metrics) -> pd.DataFrame:
    return causes.causes(metrics, experiment_plan(), evidence_of())


@pytest.fixture(scope="module")
def tests(metrics) -> pd.DataFrame:
    return causes.cause_tests(metrics, experiment_plan(), evidence_of())


def of(table: pd.DataFrame, arm_name: str, metric: str = "DI") -> pd.Series:
    (row,) = table[(table["arm"] == arm_name) & (table["metric"] == metric)].to_dict("records")
    return row


def test_the_spread_of_an_arm_is_that_of_its_runs(table, metrics):
    rows = metrics[(metrics["arm"] == "seed") & (metrics["metric"] == "DI") & metrics["target"].notna()]
    values = rows.groupby("run")["value"].mean().to_numpy()
    expected, row = st.sd_interval(values), of(table, "seed")
    assert (row["sd"], row["sd_low"], row["sd_high"]) == pytest.approx((expected.value, expected.low, expected.high))
    assert row["n"] == row["distinct"] == 8 and row["n_classes"] == 3 and row["mean"] == pytest.approx(values.mean())


def test_classes_undefined_in_any_run_of_any_arm_count_in_none(metrics):
    values = drawn(10, sd=0.01)
    values[1, 0, 2] = np.nan  # DI of one class in one run of one arm
    holed = pd.concat([long_table("Base", values, "ulp"), metrics[metrics["arm"] != "ulp"]])
    found = causes.causes(holed, experiment_plan(), evidence_of())
    assert set(found[found["metric"] == "DI"]["n_classes"]) == {2}
    assert set(found[found["metric"] == "DP"]["n_classes"]) == {3}


def test_bit_identical_arms_have_no_interval_and_enter_no_test(table, tests):
    native = of(table, "native")
    assert native["distinct"] == 1 and np.isnan(native["sd_low"]) and "bit-identical" in native["note"]
    control = table[table["view"] == "control"]
    assert len(control) == 1 and control["note"].iloc[0].startswith("identical in 4 of 4")
    named = pd.concat([tests["arm_a"], tests["arm_b"]])
    assert not named.isin(["native", "none"]).any() and named.isin(["seed"]).any()


def test_arms_with_few_distinct_results_enter_no_test(metrics):
    evidence = evidence_of()
    for entry in evidence:
        if entry["arm"] == "reduction-order":
            entry["final_weights"], entry["predictions"] = f"w{entry['run'] % 3}", {"Base": f"p{entry['run'] % 3}"}
    row = of(causes.causes(metrics, experiment_plan(), evidence), "reduction-order")
    assert row["distinct"] == 3 and "enters no test" in row["note"]
    found = causes.cause_tests(metrics, experiment_plan(), evidence)
    assert not (found["arm_a"] == "reduction-order").any()


def test_runs_on_unlike_hardware_are_kept_apart(metrics):
    evidence = evidence_with({("ulp", run): {"machine": "cpu 2"} for run in (5, 6, 7)})
    found = causes.causes(metrics, experiment_plan(), evidence)
    rows = found[(found["arm"] == "ulp") & (found["metric"] == "DI")]
    assert rows[["hardware", "n"]].values.tolist() == [["cpu 1", 5], ["cpu 2", 3]]
    assert set(rows["fit"]) == {"yes"}
    text = " ".join(
        section.sentences(found, causes.cause_tests(metrics, experiment_plan(), evidence), experiment_plan())
    )
    assert "2 kinds of hardware (cpu 1 and cpu 2)" in text and "ulp on cpu 2" in " ".join(
        section.spread_view(found, experiment_plan())["Arm"]
    )


def test_hardware_alone_is_a_factor_where_there_is_one_arm():
    alone = plan(technique("Base", None), arms=[arm()])
    metrics, evidence = long_table("Base", drawn(0), "ulp"), evidence_with({("ulp", 7): {"gpu": "card"}})
    evidence = [e for e in evidence if e["arm"] == "ulp"]
    found = causes.causes(metrics, alone, evidence)
    assert found[found["metric"] == "DI"]["n"].tolist() == [7, 1]
    same = [e for e in evidence_of() if e["arm"] == "ulp"]
    assert causes.causes(metrics, alone, same).empty and causes.cause_tests(metrics, alone, same).empty


def test_arms_of_seeds_are_not_fit_by_design_and_other_differences_are_noted(metrics, table):
    assert of(table, "seed")["fit"] == "by design" and of(table, "ulp")["fit"] == "yes"
    changed = evidence_with({("seed", 3): {"packages": "torch 1"}, ("ulp", 3): {"initial weights": "odd"}})
    found = causes.causes(metrics, experiment_plan(), changed)
    assert of(found, "seed")["fit"] == of(found, "ulp")["fit"] == "no"
    assert "initial weights differs; enters no test" in of(found, "ulp")["note"]
    assert set(BY_DESIGN) == {name for name, kind in NOISE_KINDS.items() if kind == "comparison"}


def test_views_are_those_of_zhuang_and_others():
    views = {name: causes.view(cause(name)) for name in NOISE_KINDS}
    assert views["none"] == "control" and views["seed"] == "algorithm" and views["seed-init"] == ""
    assert {views[name] for name in ("ulp", "native", "threads", "primitives")} == {"implementation"}
    assert causes.view(cause("seed-ulp", "seed", implementation="ulp")) == "both"


def test_all_pairs_of_distinct_metrics_are_corrected_together(tests):
    pairs = tests[tests["test"] == "pair"]
    assert len(pairs) == 5 * 6  # DP, DI, FPSF, EOTP, BA: SPSF and EOFP repeat; 4 arms that vary
    assert set(pairs["family_size"]) == {30} and (pairs["p_holm"] >= pairs["p"]).all()
    assert pairs["p_holm"].tolist() == pytest.approx(sig.holm(pairs["p"].to_numpy()).tolist())
    assert ((pairs["power"] >= 0) & (pairs["power"] < 1)).all() and pairs["power"].notna().all()
    found = pairs[(pairs["p_holm"] < 0.05)]
    assert len(found) and found[["arm_a", "arm_b"]].isin(["seed"]).any(axis=1).all()


def test_arms_that_are_constant_in_a_metric_have_no_test_and_no_power():
    flat = [long_table("Base", drawn(10, sd=0.0), name) for name in ("ulp", "ulp-k100")]
    moved = [long_table("Base", drawn(10, sd=0.01), name) for name in ("reduction-order", "seed")]
    found = causes.cause_tests(pd.concat([*flat, *moved]), experiment_plan(), evidence_of())
    none = found[(found["arm_a"] == "ulp") & (found["arm_b"] == "ulp-k100")]
    assert (
        len(none) and none[["p", "p_holm", "power"]].isna().all().all() and none["note"].str.contains("constant").all()
    )
    assert found["p"].notna().any() and len(section.tests_view(found, experiment_plan()))


def test_the_declared_metrics_limit_the_tests(metrics):
    found = causes.cause_tests(metrics, experiment_plan(family=["DI"]), evidence_of())
    assert set(found["metric"]) == {"DI"} and set(found.loc[found["test"] == "pair", "family_size"]) == {6}


def test_omnibus_tests_compare_all_arms_and_implementation_noises(tests):
    rows = tests[(tests["test"] == "omnibus") & (tests["metric"] == "DI")]
    assert rows[["arm_a", "n_arms"]].values.tolist() == [["all arms", 4], ["implementation noises", 3]]
    assert rows["p"].iloc[0] < rows["p"].iloc[1]


def test_many_samples_are_compared_as_scipy_does():
    samples = [np.random.default_rng(i).standard_normal(8 + i) * (1 + i) for i in range(4)]
    assert sig.brown_forsythe_many(samples).p == pytest.approx(stats.levene(*samples, center="median").pvalue)
    assert sig.brown_forsythe_many(samples[:2]).p == pytest.approx(sig.brown_forsythe(*samples[:2]).p)
    assert sig.brown_forsythe_many([samples[0][:2], samples[1]]).p is None
    assert sig.brown_forsythe_many([np.ones(5), np.ones(5)]).p is None


def test_power_of_two_spreads_is_that_of_the_pairwise_test():
    rng = np.random.default_rng
    pair = power.power_variance(16, 16, 0.05, rng=rng(0))
    assert power.power_spreads([16, 16], 0.05, rng=rng(1)) == pytest.approx(pair, abs=0.04)
    assert power.power_spreads([16, 16], 0.05, 1.0, rng=rng(2)) < 0.06
    assert power.power_spreads([2, 16], 0.05, rng=rng(3)) == 0


def test_tables_have_their_schemas_without_evidence_too(metrics, table, tests):
    for frame, name in ((table, "causes"), (tests, "cause_tests")):
        assert frame.columns.tolist() == list(schemas.SCHEMAS[name])
    unknown = causes.causes(metrics, experiment_plan())
    assert set(unknown["fit"]) == {"unknown"} and unknown["distinct"].isna().all()
    assert set(causes.cause_tests(metrics, experiment_plan())["test"]) == {"omnibus", "pair"}


@pytest.fixture(scope="module")
def churn(tmp_path_factory) -> pd.DataFrame:
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("predictions")
    truth, group = rng.integers(0, 3, 90), np.arange(90) % 2
    arms = {}
    for name, changed in {"ulp": 0.05, "seed": 0.3}.items():
        files = {}
        for run in range(6):
            files[str(run)] = folder / f"{name}{run}.parquet"
            drawn_again = np.where(rng.random(90) < changed, rng.integers(0, 3, 90), truth)
            write_predictions(files[str(run)], np.arange(90), truth, drawn_again, group)
        arms[name] = (0, stack(files, 3, {"protected": 2}))
    persons = technique_tables("Base", arms)["persons"]
    return causes.cause_churn(persons, experiment_plan(), evidence_of())


def test_churn_is_given_by_arm_and_group(churn):
    assert churn.columns.tolist() == list(schemas.SCHEMAS["cause_churn"])
    overall = churn[churn["group"].isna()].set_index("arm")
    assert overall.loc["seed", "churn"] > 3 * overall.loc["ulp", "churn"] > 0
    assert overall.loc["seed", "kind"] == "comparison" and overall["churn_low"].notna().all()
    assert churn[churn["arm"] == "seed"]["group"].isna().tolist() == [True, False, False]


def test_the_section_reports_the_findings_and_adds_nothing_up(table, tests, churn):
    declared = experiment_plan()
    sentences = section.sentences(table, tests, declared)
    text = " ".join(sentences)
    assert "SD of DP by source, in points: implementation (ulp)" in text and "algorithm (seed)" in text
    assert "not added up" in text and "native 1 of 8 (bit-identical)" in text and "identical in 4 of 4" in text
    views = section.sources_view(table, declared)
    assert "power" in text and "does not show that the others are equal" in text and "%" not in views.to_string()
    assert views["Source"].tolist() == ["control: neither", "implementation only", "algorithm only: the seed"]
    assert section.spread_view(table, declared)["Arm"].tolist() == list(ARMS)
    assert len(section.churn_view(churn, declared)) == 2 and len(section.tests_view(tests, declared)) > 10


def test_the_figure_draws_the_same_bytes_twice(table, tests, churn, tmp_path: Path):
    rows = table[table["metric"] != ""]
    for name in "ab":
        style.save(section.causes_figure(rows, tests, churn, experiment_plan()), tmp_path, name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert "0, bit-identical (native)" in section.alt_causes(rows)


def test_the_figure_is_a_method_of_results(table, tests, churn):
    tables = {"causes": table, "cause_tests": tests, "cause_churn": churn}
    axes = Plots(SimpleNamespace(plan=experiment_plan(), tables=tables)).causes()
    expected = section.causes_figure(table, tests, churn, experiment_plan())
    assert style.svg_text(axes[0].figure) == style.svg_text(expected)
    pyplot.close("all")
