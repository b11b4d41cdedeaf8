"""Sentences on causes, on arms that do not vary, that are not FIT, or whose results were not recorded."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fitlib.report.sections import causes as section
from fitlib.tables import causes
from tests.support.table_examples import arm, drawn, long_table, plan, technique

pytestmark = pytest.mark.filterwarnings("error")

ULP, THREADS, SEED = ({**arm(name, role), "noise": name} for name, role in
                      (("ulp", "main"), ("threads", "cause"), ("seed", "cause")))  # fmt: skip
PLAN = plan(technique("Base", None), arms=[ULP, THREADS, SEED | {"kind": "comparison"}])


def metrics_of(**sds: float) -> pd.DataFrame:
    return pd.concat([long_table("Base", drawn(i, sd=sd), name) for i, (name, sd) in enumerate(sds.items())])


def tables_of(**sds: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables of causes and of tests, of arms with these SDs; nothing recorded."""
    long = metrics_of(**sds)
    return causes.causes(long, PLAN), causes.cause_tests(long, PLAN)


def test_an_arm_that_does_not_vary_is_not_the_smallest_spread():
    table, tests = tables_of(ulp=0.0, threads=0.01, seed=0.02)
    first = section.sentences(table, tests, PLAN)[0]
    assert first.startswith("Base, DP: of the 2 arms in which it varies, the SD over runs goes from ")
    assert "in arm threads to" in first and "in arm seed." in first
    assert not any("goes from" in text for text in section.sentences(*tables_of(ulp=0.0, threads=0, seed=0.02), PLAN))


def test_arms_without_recorded_results_are_constant_not_bit_identical():
    table, _ = tables_of(ulp=0.0, threads=0.01, seed=0.02)
    view = section.spread_view(table, PLAN)
    assert view["DP"].iloc[0] == "constant in all 8 runs" and view["Distinct"].unique().tolist() == ["not known"]
    assert "bit-identical" not in view.to_string()


def test_runs_that_are_not_fit_give_no_range():
    table, tests = tables_of(ulp=0.01, threads=0.02, seed=0.03)
    refuted = table.assign(fit=table["fit"].where(table["arm"] != "seed", "no"))
    assert "of the 2 arms" in section.sentences(refuted, tests, PLAN)[0]


def test_results_recorded_in_some_arms_do_not_speak_for_every_arm():
    table, tests = tables_of(ulp=0.01, threads=0.02, seed=0.03)
    known = table.assign(distinct=table["n"])
    partly = known.assign(distinct=known["distinct"].where(known["arm"] != "seed"))
    start = "all runs ended in different weights or predictions"
    assert any(text.startswith(f"In every arm {start}") for text in section.sentences(known, tests, PLAN))
    assert any(text.startswith(f"Wherever it was recorded, {start}") for text in section.sentences(partly, tests, PLAN))


def pairs_text(tests: pd.DataFrame) -> str:
    return section._pairs(tests)


def test_where_all_pairs_differ_there_are_no_others():
    _, tests = tables_of(ulp=0.01, threads=0.02, seed=0.03)
    pairs = tests[tests["test"] == causes.PAIR]
    assert pairs_text(pairs.assign(p_holm=0.01)).endswith(
        f"{len(pairs)} of {len(pairs)} pairs of arms and metric differ in spread."
    )
    one = pairs_text(pairs.assign(p_holm=[0.01, *[0.5] * (len(pairs) - 1)]))
    assert f"1 of {len(pairs)} pairs of arms and metric differs in spread. This does not show that the others" in one


def test_omnibus_tests_name_attribute_and_unequal_numbers_of_arms():
    _, tests = tables_of(ulp=0.01, threads=0.02, seed=0.03)
    whole = tests[tests["test"] == causes.OMNIBUS]
    (text,) = section._omnibus(whole)
    assert text.startswith("Do the spreads of 3 arms (all arms) differ at all?")
    two = pd.concat([whole, whole.assign(attribute="race", n_arms=4)])
    (text,) = section._omnibus(two)
    assert "spreads of 3 to 4 arms" in text and "DP by race" in text and "DP by protected" in text
    assert list(section._omnibus(whole.assign(p=np.nan))) == []


def test_techniques_are_compared_in_the_main_arm_of_every_seed():
    table, tests = tables_of(ulp=0.01, threads=0.02, seed=0.03)
    two = PLAN | {"techniques": [technique("Base", None), technique("Fair")]}
    assert section.sentences(table, tests, two)[-1] == "Techniques are compared in arm ulp, the first one, only."
    seeds = two | {"arms": [*PLAN["arms"], ULP | {"arm": "seed1.ulp", "seed": 1}]}
    assert section.sentences(table, tests, seeds)[-1] == "Techniques are compared in the arms ulp and seed1.ulp, only."


def test_sources_of_several_techniques_name_the_one_shown():
    table, tests = tables_of(ulp=0.01, threads=0.02, seed=0.03)
    both = pd.concat([table, table.assign(technique="Fair")])
    assert section._four(table, tests).startswith("SD of DP by source, in points: implementation")
    assert section._four(both, tests).startswith("SD of DP of Base by source")
