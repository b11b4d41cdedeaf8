"""The strict reading is recovered from published values, here computed from counts, so that the truth is known."""

import numpy as np
import pytest

from fitlib.metrics.bias_metrics import METRICS, PUBLISHED
from fitlib.metrics.counts import Cells
from fitlib.paper import study
from fitlib.paper.simulated_numbers import simulate
from fitlib.paper.strict_reading import (
    fpsf_weights,
    never_predicted,
    over_common_classes,
    realigned_ba,
    recovered_eofp,
    shared_weights,
    strict_di,
    strict_values,
)


@pytest.fixture(scope="module")
def cells() -> Cells:
    """Counts (16 runs, 2 groups, 12 classes) on one evaluation set; some classes are hardly ever predicted."""
    rng = np.random.default_rng(3)
    truth = rng.integers(5, 30, size=(1, 2, 12))
    rate = np.where(np.arange(12) % 4 == 1, 0.02, 0.6)
    tp = rng.binomial(truth, rate, size=(16, 2, 12))
    fp = rng.binomial(300 - truth, 0.02 * rate, size=(16, 2, 12))
    return Cells(tp, fp, truth - tp, 300 - truth - fp)


def both(cells: Cells, metric: str) -> tuple[np.ndarray, np.ndarray]:
    return PUBLISHED[metric](cells), METRICS[metric](cells)


def test_classes_that_nobody_predicts_are_exactly_the_undefined_ones(cells):
    (dp, _), (di, strict) = both(cells, "DP"), both(cells, "DI")
    assert np.isnan(strict).any() and np.array_equal(never_predicted(dp, di), np.isnan(strict))
    assert np.array_equal(strict_di(dp, di), strict, equal_nan=True)


def test_ba_goes_back_to_its_class(cells):
    published, strict = both(cells, "BA")
    undefined = np.isnan(strict)
    assert not np.array_equal(published, np.nan_to_num(strict))
    assert np.array_equal(realigned_ba(published, undefined), strict, equal_nan=True)


def test_ba_with_more_values_than_defined_classes_is_refused():
    with pytest.raises(ValueError, match="more values"):
        realigned_ba(np.full((2, 3), 0.1), np.array([[False, True, False]] * 2))


def test_eofp_lost_to_a_zero_is_recovered_from_fpsf(cells):
    (eofp, strict), (fpsf, _) = both(cells, "EOFP"), both(cells, "FPSF")
    weights = fpsf_weights(eofp, fpsf)
    recovered, stood_in = recovered_eofp(eofp, fpsf, weights)
    assert ((eofp == 0) & (strict > 0)).any()
    assert recovered[~stood_in] == pytest.approx(strict[~stood_in], rel=1e-12)


def test_a_weight_that_no_run_shows_is_substituted(cells):
    (eofp, strict), (fpsf, _) = both(cells, "EOFP"), both(cells, "FPSF")
    eofp = np.where(np.arange(12) == 2, 0.0, eofp)
    weights = fpsf_weights(eofp, fpsf)
    recovered, stood_in = recovered_eofp(eofp, fpsf, weights)
    assert np.isnan(weights[2]) and np.array_equal(stood_in[:, 2], strict[:, 2] > 0)
    assert recovered[:, 2] == pytest.approx(strict[:, 2], rel=0.1)
    low, high = (recovered_eofp(eofp, fpsf, weights, which)[0][:, 2] for which in (np.max, np.min))
    assert (low <= recovered[:, 2]).all() and (recovered[:, 2] <= high).all()


def test_no_weight_at_all_leaves_a_half():
    recovered, stood_in = recovered_eofp(np.zeros((2, 2)), np.full((2, 2), 0.1), np.full(2, np.nan))
    assert stood_in.all() and recovered == pytest.approx(np.full((2, 2), 0.2))


def test_common_classes_are_those_defined_in_every_run_of_both():
    b = np.array([[0.1, 0.2, np.nan], [0.3, 0.4, 0.5]])
    t = np.array([[0.5, np.nan, 0.1], [0.7, 0.1, 0.1]])
    assert [x.tolist() for x in over_common_classes(b, t)] == [[0.1, 0.3], [0.5, 0.7]]
    assert [x.size for x in over_common_classes(b, np.full((2, 3), np.nan))] == [0, 0]


def test_techniques_on_one_evaluation_set_share_their_weights():
    numbers = simulate(np.random.default_rng(2))
    weights = shared_weights(numbers.per_class, study.BASELINES)
    assert weights["C-A4"] is weights["C-Base"] and weights["C-R1"] is not weights["C-Base"]
    strict = strict_values(numbers.per_class, study.BASELINES)
    assert all(strict.per_class[t]["DP"] is numbers.per_class[t]["DP"] for t in numbers.per_class)


def test_simulated_numbers_have_the_shapes_of_the_published_ones():
    numbers, again = simulate(np.random.default_rng(0)), simulate(np.random.default_rng(0))
    assert list(numbers.overall) == list(numbers.per_class) == list(numbers.performance) == list(study.TECHNIQUES)
    for technique, metrics in numbers.per_class.items():
        assert np.array_equal(metrics["BA"], again.per_class[technique]["BA"])
        for metric, values in metrics.items():
            assert values.shape[0] == 16 and not np.isnan(values).any()
            assert numbers.overall[technique][metric] == pytest.approx(values.mean(axis=1))
    assert np.ptp(numbers.overall["N-Base"]["DP"]) == 0 and np.ptp(numbers.performance["N-Base"]) == 0
