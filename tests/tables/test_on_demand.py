"""Tables are the same, to the last bit, whether they share what they need or not and whenever they are asked for."""

import gc
import pickle
import weakref
from functools import partial

import numpy as np
import pandas as pd
import pytest

from fitlib.metrics.long_tables import technique_tables
from fitlib.storage.predictions import write_table
from fitlib.tables import all_tables, over_seeds, pareto, ranks, robustness, runs_and_summary, verdict_warnings
from fitlib.tables.comparisons import compare
from fitlib.tables.costs import costs
from fitlib.tables.new_test_data import new_test_data
from fitlib.tables.on_demand import OnDemand
from tests.support.table_examples import arm, plan, technique
from tests.support.testset_examples import predicted

SEEDS = (0, 1)
ARMS = {
    name: {f"seed{seed}.ulp": (seed, predicted(seed=2 * at + seed, n_runs=4)) for seed in SEEDS}
    for at, name in enumerate(("Base", "Fair"))
}
NOISES = [arm(f"seed{seed}.ulp", seed=seed, n=4) for seed in SEEDS]
PLAN = plan(technique("Base", None), technique("Fair"), arms=NOISES, looks=[2, 4]) | {"groups": {"a": ["g0", "g1"]}}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """What `gather` reads from the files of the same predictions."""
    root = tmp_path_factory.mktemp("written")
    for name, arms in ARMS.items():
        folder = root / "techniques" / name
        folder.mkdir(parents=True)
        for table, rows in technique_tables(name, arms).items():
            write_table(folder / f"{table}.parquet", rows, table)
    return all_tables.gather(root, PLAN)


@pytest.fixture(scope="module")
def tables(written):
    return all_tables.tables_of(written, PLAN)


def equal(found, expected, name):
    pd.testing.assert_frame_equal(found, expected, check_exact=True, obj=name)


def test_tables_asked_for_in_any_order_and_from_memory_are_those_made_from_files_at_once(tables) -> None:
    assert len(tables["over_seeds"]) and len(tables["sequential"]) and len(tables["comparisons"])
    for order in (reversed(tables), sorted(tables)):
        made = all_tables.tables_on_demand(all_tables.gathered_on_demand(ARMS, PLAN), PLAN, long=("metrics",))
        assert {*made} == {*tables, "metrics"}
        for name in order:
            equal(made[name], tables[name], name)


def test_long_tables_and_votes_made_from_memory_are_those_of_the_files(written) -> None:
    made = all_tables.gathered_on_demand(ARMS, PLAN)
    assert made.keys() == written.keys() and made["votes"].keys() == written["votes"].keys() == ARMS.keys()
    for name in (*all_tables.LONG, "history"):
        equal(made[name], written[name], name)
    for name in ARMS:
        equal(made["votes"][name], written["votes"][name], name)


def test_every_table_by_itself_is_the_one_that_shares_pairs_and_series(written, tables) -> None:
    metrics, counts = written["metrics"], written["counts"]
    of = (metrics, PLAN)
    compared, seeds = compare(*of), over_seeds.over_seeds_table(*of)
    verdict_warnings.add_warnings(compared, counts, PLAN, ())
    verdict_warnings.add_warnings_over_seeds(seeds, counts, PLAN, ())
    alone = {
        "comparisons": compared,
        "over_seeds": seeds,
        "runs": runs_and_summary.runs(*of),
        "summary": runs_and_summary.summary(*of, written["testset"], counts),
        "new_test_data": new_test_data(metrics, written["resampled"], compared, PLAN),
        "costs": costs(compared, *of),
        "pareto": pareto.pareto(metrics, written["votes"], PLAN),
        "ranks": ranks.ranks(*of),
        "reversal": robustness.reversals(*of),
        "sequential": robustness.sequential(*of),
        "by_seed": over_seeds.by_seed_table(*of),
    }
    for name, table in alone.items():
        equal(tables[name], table, name)


# The mapping


def test_a_value_is_made_when_it_is_asked_for_once_and_its_maker_let_go() -> None:
    made, held = [], np.arange(3)
    values = OnDemand({name: partial(lambda name, _: made.append(name) or name, name, held) for name in "ab"})
    assert list(values) == ["a", "b"] and len(values) == 2 and "b" in values and "c" not in values and not made
    assert values["b"] == values["b"] == "b" and made == ["b"]
    seen = weakref.ref(held)
    assert values["a"] == "a" and made == ["b", "a"]
    del held
    gc.collect()
    assert seen() is None
    with pytest.raises(KeyError):
        values["c"]


def test_what_is_not_kept_is_made_again_and_a_maker_that_fails_can_be_asked_again() -> None:
    tries = []
    values = OnDemand({"a": lambda: tries.append(1) or 6 / (len(tries) - 1)}, keep=False)
    with pytest.raises(ZeroDivisionError):
        values["a"]
    assert (values["a"], values["a"]) == (6, 3)


def test_tables_on_demand_can_be_pickled_before_they_are_made(tables) -> None:
    made = pickle.loads(pickle.dumps(all_tables.tables_on_demand(all_tables.gathered_on_demand(ARMS, PLAN), PLAN)))
    equal(made["pareto"], tables["pareto"], "pareto")
