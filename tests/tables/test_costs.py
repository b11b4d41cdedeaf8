"""Costs: asked only where bias fell, on raw values and corrected; the study's labels give the study's counts."""

import numpy as np
import pandas as pd
import pytest

from fitlib.metrics.bias_metrics import BIAS_METRICS
from fitlib.paper import study
from fitlib.statistics import paper_protocol
from fitlib.tables.costs import COST_NAMES, costs, study_costs
from fitlib.tables.schemas import COSTS
from tests.support.cost_examples import with_accuracy
from tests.support.table_examples import (
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

STUDY = [f"{name}_study" for name in ("decrease", *COST_NAMES, "any")]


def table_of(metrics: pd.DataFrame, plan_: dict, evidence: list[dict] = (), fit: bool | None = True) -> pd.DataFrame:
    return costs(compare(metrics, plan_, evidence, fit), metrics, plan_, evidence, fits(fit))


@pytest.fixture
def costly() -> tuple[pd.DataFrame, dict]:
    """Fair lowers bias and accuracy; Wild lowers bias with wide spreads of bias and accuracy; Free at no cost."""
    steady, wild = 0.9 + 0.001 * np.arange(8), 0.9 + 0.05 * np.array([-2, 2, -1, 1, -2, 2, -1, 1])
    values = {"Base": drawn(0, sd=0.002), "Fair": drawn(1, 0.2, 0.002), "Wild": drawn(2, 0.1, 0.15)}
    metrics = metrics_of(**values, Free=drawn(3, 0.2, 0.002), Worse=drawn(4, 0.5, 0.002))
    accuracies = {"Base": steady, "Fair": steady - 0.1, "Wild": wild, "Free": steady, "Worse": steady - 0.1}
    names = [technique("Base", None), *map(technique, ("Fair", "Wild", "Free", "Worse"))]
    return with_accuracy(metrics, **accuracies), plan(*names)


def test_each_cost_is_found_where_it_is_and_nowhere_else(costly: tuple) -> None:
    metrics, plan_ = costly
    table = table_of(metrics, plan(*plan_["techniques"], family=["DP"]))
    answers = {name: row_of(table, technique=name, metric="DP") for name in ("Fair", "Wild", "Free")}
    judged = {name: [row[c] for c in ("decrease", *COST_NAMES, "any")] for name, row in answers.items()}
    assert judged == {
        "Fair": ["yes", "yes", "no", "no", "yes"],
        "Wild": ["yes", "no", "yes", "yes", "yes"],
        "Free": ["yes", "no", "no", "no", "no"],
    }


def test_costs_are_asked_only_where_bias_fell(costly: tuple) -> None:
    row = row_of(table_of(*costly), technique="Worse", metric="DP")
    assert row["decrease"] == row["decrease_study"] == "no"
    assert all(row[name] == "" for name in [*COST_NAMES, "any", *STUDY[1:]]) and row["note"] == ""
    assert row["accuracy_high"] < 0, "the difference of accuracy is judged all the same"


def test_rows_are_the_distinct_declared_metrics(costly: tuple) -> None:
    metrics, plan_ = costly
    table = table_of(metrics, plan_)
    assert list(table.columns) == list(COSTS)
    assert list(dict.fromkeys(table["metric"])) == ["DP", "DI", "EOFP", "EOTP", "BA"]
    smaller = table_of(metrics, plan(*plan_["techniques"], family=["BA"]))
    assert set(smaller["metric"]) == {"BA"} and len(smaller) == 4


def test_accuracy_columns_are_those_of_the_comparisons_and_corrected_over_techniques(costly: tuple) -> None:
    metrics, plan_ = costly
    table, compared = table_of(metrics, plan_), compare(metrics, plan_)
    fair, wild = (row_of(table, technique=name, metric="DI") for name in ("Fair", "Wild"))
    assert fair["accuracy_difference"] == pytest.approx(-0.1)
    source = row_of(compared, technique="Wild", metric="accuracy")
    assert wild["p_accuracy_variance"] == source["p_variance_raw"]
    assert wild["p_accuracy_variance_holm"] == pytest.approx(4 * source["p_variance_raw"])
    assert set(table["accuracy_family_size"]) == {4}


def test_the_spread_of_paired_accuracies_that_is_not_shown_has_its_power() -> None:
    b, rng = drawn(0, sd=0.002), np.random.default_rng(3)
    accuracy = 0.9 + 0.002 * rng.standard_normal(8)
    metrics = with_accuracy(
        metrics_of(Base=b, Fair=b - 0.1 + 0.001 * rng.standard_normal(b.shape)),
        Base=accuracy,
        Fair=accuracy + 0.001 * rng.standard_normal(8),
    )
    pair = plan(technique("Base", None, "one"), technique("Fair", "Base", "one"))
    row = row_of(table_of(metrics, pair), metric="DI")
    assert row["cost_accuracy_variance"] == "no" and 0 < row["power_accuracy_variance"] < 1


def test_attributes_do_not_multiply_the_tests_of_accuracy(costly: tuple) -> None:
    metrics, plan_ = costly
    both = pd.concat([metrics, metrics.assign(attribute="age")], ignore_index=True)
    table = table_of(both, {**plan_, "groups": {"protected": ["a", "b"], "age": ["a", "b"]}})
    assert set(table["attribute"]) == {"protected", "age"} and set(table["accuracy_family_size"]) == {4}


def test_runs_that_are_not_fit_get_no_answer(costly: tuple) -> None:
    table = table_of(*costly, fit=False)
    assert (table[["decrease", *COST_NAMES, "any", *STUDY]] == "").all(axis=None)
    assert table["note"].str.contains("not FIT").all()


def test_bit_identical_arms_get_no_answer(costly: tuple) -> None:
    metrics, plan_ = costly
    same = evidence_of("Base", "Wild") + evidence_of("Fair", predictions={"Fair": "e" * 64})
    table = table_of(metrics, plan_, same)
    fair, wild = (row_of(table, technique=name, metric="DP") for name in ("Fair", "Wild"))
    assert fair["decrease"] == fair["decrease_study"] == "" and "bit-identical" in fair["note"]
    assert wild["decrease"] == "yes"


@pytest.mark.filterwarnings("error")
def test_what_cannot_be_tested_is_named() -> None:
    pair, levels = plan(technique("Base", None), technique("Fair")), dict(LEVELS)
    still = {name: np.repeat(drawn(i, levels[name])[:, :1], 8, axis=1) for i, name in enumerate(("Base", "Fair"))}
    constant = with_accuracy(metrics_of(**still), Base=np.full(8, 0.9), Fair=np.full(8, 0.8))
    row = row_of(table_of(constant, pair), technique="Fair", metric="DP")
    assert row["decrease"] == "" and "constant in both; nothing to estimate with n = 8" in row["note"]
    varying = metrics_of(Base=drawn(0, levels["Base"]), Fair=drawn(1, levels["Fair"]))
    row = row_of(
        table_of(with_accuracy(varying, Base=np.full(8, 0.9), Fair=np.full(8, 0.8)), pair),
        technique="Fair",
        metric="DP",
    )
    assert (row["decrease"], row["cost_accuracy"]) == ("yes", "")
    assert row["note"] == "not estimable: accuracy, accuracy variance"
    single = metrics_of(Base=drawn(0, runs=1), Fair=drawn(1, 0.2, runs=1))
    table = table_of(single, plan(technique("Base", None), technique("Fair"), arms=[arm(n=1)]))
    assert (table["decrease"] == "").all() and table["note"].str.contains("not estimable").all()


LEVELS = (("Base", 0.3), ("Fair", 0.2))


@pytest.fixture(scope="module")
def numbers(data_dir: object) -> study.StudyNumbers:
    return study.read(data_dir / "paper")


def test_the_study_s_counts_come_out_of_its_published_numbers(numbers: study.StudyNumbers) -> None:
    rows = []
    for name, base in study.BASELINES.items():
        accuracies = numbers.performance[base], numbers.performance[name]
        for metric in BIAS_METRICS:
            rows.append(study_costs(numbers.overall[base][metric], numbers.overall[name][metric], *accuracies))
    found, expected = pd.DataFrame(rows) == True, _published_counts(numbers)  # noqa: E712 (None is not False)
    a, b, c = (found[name] for name in COST_NAMES)
    counts = [found["decrease"], a, b, c, a & b, a & c, b & c, a & b & c, found["any"]]
    assert len(found) == 154 and [int(x.sum()) for x in counts] == expected
    assert int(b.sum()) == 36


def _published_counts(numbers: study.StudyNumbers) -> list[int]:
    """The same nine from the tables of protocol `paper`."""
    frame = paper_protocol.costs_frame(numbers.overall, numbers.performance, study.BASELINES)
    frame = frame[frame["judged"] == "published"]
    a, b, c = (frame[name] for name in COST_NAMES)
    counts = [frame["bias_decrease"], a, b, c, a & b, a & c, b & c, a & b & c, frame["any"]]
    return [int(x.sum()) for x in counts]


def test_the_table_holds_the_study_s_counts_for_any_experiment(numbers: study.StudyNumbers) -> None:
    frames = [_long(name, numbers) for name in numbers.overall]
    names = [technique(name, study.BASELINES.get(name)) for name in numbers.overall]
    metrics, plan_ = pd.concat(frames, ignore_index=True), plan(*names, arms=[arm(n=16)])
    table = table_of(metrics, {**plan_, "classes": [str(i) for i in range(2)]})
    assert len(table) == 154, "over five tasks no metric repeats another"
    assert (table[["decrease_study", "cost_bias_variance_study"]] == "yes").sum().tolist() == [103, 36]
    raw = (table["cost_bias_variance"] == "yes").sum()
    assert 0 < raw < 20, "raw and corrected: fewer than the 20 that are raw alone"


def _long(name: str, numbers: study.StudyNumbers) -> pd.DataFrame:
    """A technique's overall values as those of two equal classes."""
    overall = np.array([numbers.overall[name][metric] for metric in BIAS_METRICS])
    frame = long_table(name, np.repeat(overall[:, :, None], 2, axis=2))
    return with_accuracy(frame, **{name: numbers.performance[name]})
