"""`fitlib.analyze(…, seeds=…)` is the nested design of an experiment over seeds: an arm for each seed."""

import numpy as np
import pandas as pd
import pytest

import fitlib
from fitlib.errors import InputError
from fitlib.storage.predictions import select_runs
from fitlib.tables import all_tables

N, SEEDS, RUNS = 200, (0, 3, 5, 8), 3
SEX = np.where(np.random.default_rng(7).random(N) < 0.4, "women", "men")
TRUTH = np.random.default_rng(1).integers(0, 3, N)
OF_RUN = np.repeat(SEEDS, RUNS)
BESIDES = ["noise", "kind", "fit", "arm"]  # what an experiment knows of its runs, and arrays do not


def noisy(share, seed):
    """Runs of every seed; the seed moves the share of errors, and errs more often for women."""
    rng = np.random.default_rng(seed)
    shares = np.repeat(share + rng.normal(0, 0.02, len(SEEDS)), RUNS)[:, None] * np.where(SEX == "women", 1.5, 1)
    return np.where(rng.random((len(OF_RUN), N)) < shares, (TRUTH + 1) % 3, TRUTH)


PREDICTIONS = {"Plain": noisy(0.3, 1), "Fairer": noisy(0.15, 2)}


def analyze(y_pred=PREDICTIONS, seeds=OF_RUN, **changes):
    return fitlib.analyze(TRUTH, y_pred, sensitive_features={"sex": SEX}, baseline="Plain", seeds=seeds, **changes)


def experiment_tables(found):
    """The tables of an experiment with noise ulp at each seed, from the same predictions."""
    from fitlib.results.array_inputs import encode_arrays

    names = {seed: f"seed{seed}.ulp" if seed else "ulp" for seed in SEEDS}
    kind = {"noise": "ulp", "kind": "emulated", "role": "main", "runs": RUNS, "options": {}}
    arms = [{"arm": names[seed], "seed": seed, **kind} for seed in SEEDS]
    plan = found.plan | {"arms": arms, "digests": {}, "source": "fitlib"}
    techniques = {}
    for technique, runs in encode_arrays(TRUTH, PREDICTIONS, {"sex": SEX}).predictions.items():
        by_seed = {seed: select_runs(runs, np.flatnonzero(seed == OF_RUN).tolist()) for seed in SEEDS}
        techniques[technique] = {names[seed]: (seed, of_seed) for seed, of_seed in by_seed.items()}
    return all_tables.tables_of(all_tables.gathered_on_demand(techniques, plan), plan)


def test_the_numbers_are_those_of_an_experiment_over_the_same_seeds():
    found = analyze()
    expected = experiment_tables(found)
    assert len(found.tables["over_seeds"]) and len(found.tables["by_seed"]) == 8 * len(SEEDS)
    assert found.tables["over_seeds"].seeds.unique().tolist() == ["0; 3; 5; 8"]
    for name in ("over_seeds", "by_seed", "summary", "comparisons", "individuals", "new_test_data"):
        ours, theirs = pd.DataFrame(found.tables[name]), expected[name]
        besides = [column for column in [*BESIDES, "note", "warnings"] if column in ours]
        pd.testing.assert_frame_equal(ours.drop(columns=besides), theirs.drop(columns=besides), check_exact=True)


def test_the_order_of_the_runs_of_different_seeds_does_not_matter():
    order = np.argsort(np.tile(np.arange(RUNS), len(SEEDS)), kind="stable")
    mixed = analyze({name: runs[order] for name, runs in PREDICTIONS.items()}, seeds=OF_RUN[order])
    pd.testing.assert_frame_equal(pd.DataFrame(mixed.tables["over_seeds"]), pd.DataFrame(analyze().tables.over_seeds))


def test_the_verdict_and_the_captions_speak_of_seeds():
    found = analyze()
    text = " ".join(found.verdict)
    assert "Over 4 seeds" in text and "How these predictions were made is not recorded" in text
    assert "in each arm one of the seeds 0, 3, 5 and 8; training not recorded" in found.summary.caption
    assert repr(found) == "<results of Plain, Fairer: 12 runs each, 200 rows, groups by sex>"


def test_one_seed_is_recorded_without_tables_over_seeds():
    found = analyze(seeds=[7] * len(OF_RUN))
    assert found.tables["over_seeds"].empty and set(found.summary.seed) == {7}
    pd.testing.assert_series_equal(found.comparisons["p_mean"], analyze(seeds=None).comparisons["p_mean"])


def test_where_every_run_has_a_seed_of_its_own_verdicts_are_over_random_states():
    own = {"Plain": range(len(OF_RUN)), "Fairer": range(100, 100 + len(OF_RUN))}
    found, without = analyze(seeds=own), analyze(seeds=None)
    assert [(arm["runs"], arm["seed"]) for arm in found.plan["arms"]] == [(len(OF_RUN), None)]
    assert found.tables["over_seeds"].empty
    columns = ["verdict", "difference", "difference_low", "difference_high", "p_mean"]
    pd.testing.assert_frame_equal(pd.DataFrame(found.comparisons)[columns], pd.DataFrame(without.comparisons)[columns])
    text = " ".join(found.verdict)
    assert "Over random states, on this test set" in text and "luck with a seed" in " ".join(without.verdict)
    assert "luck with" not in text and "training not recorded, but not the seed" in found.summary.caption
    more = {"Plain": range(12, 24), "Fairer": range(112, 124)}
    again = analyze({"Plain": noisy(0.3, 3), "Fairer": noisy(0.15, 4)}, seeds=more)
    assert repr(found + again).startswith("<results of Plain, Fairer: 24 runs each")


def test_seeds_and_runs_may_differ_between_techniques():
    fewer = {"Plain": PREDICTIONS["Plain"], "Fairer": PREDICTIONS["Fairer"][:5]}
    found = analyze(fewer, seeds={"Plain": OF_RUN, "Fairer": [0, 0, 3, 3, 5]})
    assert [arm["seed"] for arm in found.plan["arms"]] == list(SEEDS)
    row = found.tables["over_seeds"].iloc[0]
    assert row.n_seeds == 3 and row.n_runs == 1 and "no runs at seed 8: left out" in row.note


def test_copies_are_named_at_their_seed():
    copied = PREDICTIONS | {"Fairer": np.vstack([PREDICTIONS["Fairer"][:1]] * 2 + [PREDICTIONS["Fairer"][2:]])}
    (deviation,) = analyze(copied).plan["deviations"]
    assert deviation.startswith("Fairer at seed 0: only 2 of 3 runs differ")


BAD = {
    "other number": ([0, 1], r"shape of seeds = \(2,\): there are 12 runs; give the seed of each run"),
    "other number of a technique": ({"Plain": OF_RUN, "Fairer": [1]}, r"shape of seeds\['Fairer'\] = \(1,\)"),
    "fraction": ([0.5] * 12, "seeds = 0.5: not a whole number from 0 on, in run 0"),
    "missing": ([np.nan] * 12, "seeds = nan: not a whole number"),
    "negative": ([*range(11), -1], "seeds = -1: not a whole number from 0 on, in run 11"),
    "text": (["a"] * 12, "seeds = 'a': not a whole number"),
    "unknown technique": ({"Plain": OF_RUN, "Fair": OF_RUN}, "seeds = 'Fair': not among the techniques"),
    "no seed in common": ({"Plain": OF_RUN, "Fairer": [100] * 12}, "seeds of Plain = .*: no other technique has runs"),
    "absent technique": ({"Plain": OF_RUN}, "seeds = 'Fairer': a technique without seeds"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_seeds_are_one_line(case):
    seeds, expected = BAD[case]
    with pytest.raises(InputError, match=expected) as error:
        analyze(seeds=seeds)
    assert "\n" not in str(error.value)
