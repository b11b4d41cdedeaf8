"""Runs are called FIT runs only on evidence, and differing parts are named."""

import pytest

from fitlib.statistics.run_identity import check_control, check_fit, distinct_finals

PARTS = {"initial weights": "aa", "first batch": "bb", "machine": "cpu 1"}


def entry(run, arm="ulp", role="main", final="w", **changes):
    base = {"training": "baseline", "arm": arm, "seed": 0, "run": run, "role": role, "status": "done", "error": ""}
    base |= {"parts": dict(PARTS), "fingerprint": "f", "final_weights": final, "predictions": {"B": "p"}, "link": ""}
    return {**base, **changes}


def test_equal_parts_make_fit_runs_whatever_the_finals():
    evidence = [entry(i, final=f"w{i % 3}") for i in range(16)]
    assert check_fit(evidence, "baseline", "ulp").fit is True
    assert distinct_finals(evidence, "baseline", "ulp") == (3, 16)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_differs_is_named_with_its_run(part):
    evidence = [entry(i) for i in range(5)]
    evidence[3]["parts"][part] = "other"
    identity = check_fit(evidence, "baseline", "ulp")
    assert identity.fit is False and identity.differing == {part: ["run-03"]}
    assert part in identity.text and "run-03" in identity.text


def test_a_part_that_one_run_lacks_differs():
    evidence = [entry(0), entry(1), entry(2, parts={"machine": "cpu 1", "first batch": "bb"})]
    assert check_fit(evidence, "baseline", "ulp").differing == {"initial weights": ["run-02"]}


def test_without_evidence_nothing_is_claimed():
    assert check_fit([], "baseline", "ulp").fit is None
    assert check_fit([entry(0, status="failed")], "baseline", "ulp").fit is None


def test_failed_runs_and_other_arms_do_not_count():
    other = entry(1, arm="native", parts={"machine": "x"})
    evidence = [entry(0), entry(1), entry(2, status="failed", parts={}), other]
    assert check_fit(evidence, "baseline", "ulp").n == 2


def test_control_arm_identical():
    control = check_control([entry(i, arm="none", role="control") for i in range(2)], "baseline")
    assert control.identical is True and control.text.startswith("identical in 2 of 2")
    assert "final weights and predictions" in control.text


@pytest.mark.parametrize("change", [{"final_weights": "x"}, {"predictions": {"B": "q"}}])
def test_control_arm_failed(change):
    runs = [entry(0, arm="none", role="control"), entry(1, arm="none", role="control", **change)]
    control = check_control(runs, "baseline")
    assert control.identical is False and control.text.startswith("failed") and "run-01" in control.text


def test_control_arm_on_unlike_machines_is_no_proof():
    parts = {**PARTS, "machine": "cpu 2"}
    runs = [entry(0, arm="none", role="control"), entry(1, arm="none", role="control", parts=parts)]
    control = check_control(runs, "baseline")
    assert control.identical is False and "machine" in control.text


def test_control_arm_not_available():
    failed = entry(
        1, arm="none", role="control", status="failed", error="RuntimeError: operator X is not deterministic"
    )
    control = check_control([entry(0, arm="none", role="control"), failed], "baseline")
    assert control.identical is None and "operator X" in control.text
    assert check_control([], "baseline").text.startswith("not available")


def test_runs_of_several_seeds_are_compared_within_their_seed():
    """Different seeds start from different weights: that is no difference between runs that should be equal."""
    evidence = [
        entry(run, arm, seed=seed, final=f"w{seed}", parts={**PARTS, "initial weights": f"s{seed}"})
        for seed, arm in ((0, "none"), (1, "seed1.none"))
        for run in range(2)
    ]
    control = check_control(evidence, "baseline")
    assert control.identical is True and control.seeds == (0, 1) and control.n == 4
    assert control.text.startswith("identical within each of 2 seeds, 4 runs in all")
    assert all(check_fit(evidence, "baseline", arm).fit for arm in ("none", "seed1.none"))
    evidence[3]["final_weights"] = "other"
    control = check_control(evidence, "baseline")
    assert control.identical is False and control.seeds == (1,)


def test_a_control_arm_tells_for_which_seed_it_stands():
    main = [entry(0, f"seed{seed}.ulp", seed=seed) for seed in (3, 4)]
    control = check_control([*main, *(entry(i, "seed3.none", "control", seed=3) for i in range(2))], "baseline")
    assert control.identical is True and control.seeds == (3,)


def test_an_arm_without_noise_is_its_own_control():
    assert check_control([entry(i, arm="none") for i in range(3)], "baseline").text.startswith("identical in 3 of 3")
