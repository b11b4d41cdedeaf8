"""fitlib.metrics.exact: equal ratios of counts are equal doubles, different ones are not, means included."""

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from hypothesis.extra.numpy import arrays

from fitlib.metrics.bias_metrics import BIAS_METRICS, PUBLISHED_RATIOS, RATIOS, overall_ratio
from fitlib.metrics.counts import one_vs_rest
from fitlib.metrics.exact import Ratio, mean_of
from fitlib.metrics.long_tables import metrics_table
from fitlib.metrics.signed_differences import signed_of

RUNS = 6
tables = some.tuples(some.integers(2, 5), some.integers(2, 10), some.integers(1, 9), some.integers(0, 2**32 - 1))


def counts_of(shape: tuple[int, int, int, int]) -> np.ndarray:
    """Draw confusion counts (runs, groups, classes, classes); small ones, so that many exact values are equal.

    The later runs repeat the first one with its classes and groups renamed, so that equal means have other terms.
    """
    groups, classes, most, seed = shape
    rng = np.random.default_rng(seed)
    first = rng.integers(0, most + 1, (3, groups, classes, classes))
    order = rng.permutation(classes)
    renamed = first[:, rng.permutation(groups)][:, :, order][:, :, :, order]
    return np.concatenate([first, renamed])


def fractions_of(counts: np.ndarray) -> dict[str, list[list[Fraction | None]]]:
    """Return every metric of every run and class by the definitions, in rational arithmetic; None = undefined."""
    return {name: [[_fraction(name, run, c) for c in range(counts.shape[-1])] for run in counts] for name in RATIOS}


def _fraction(name: str, run: np.ndarray, c: int) -> Fraction | None:
    groups = [group for group in run.tolist() if sum(map(sum, group))]
    if len(groups) < 2:
        return None
    n = [sum(map(sum, group)) for group in groups]
    q = [sum(row[c] for row in group) for group in groups]
    p = [sum(group[c]) for group in groups]
    tp = [group[c][c] for group in groups]
    fp, r = [a - b for a, b in zip(q, tp, strict=True)], [a - b for a, b in zip(n, p, strict=True)]
    if name == "BA":
        if not (sum(q) and sum(p)):
            return None
        return sum(abs(Fraction(a, sum(q)) - Fraction(b, sum(p))) for a, b in zip(q, p, strict=True)) / 2
    part, whole = {"EOTP": (tp, p), "EOFP": (fp, r), "FPSF": (fp, r)}.get(name, (q, n))
    if 0 in whole:
        return None
    rates = [Fraction(a, b) for a, b in zip(part, whole, strict=True)]
    if name == "DI":
        return 1 - min(rates) / max(rates) if max(rates) else None
    if name in ("SPSF", "FPSF"):
        pooled = Fraction(sum(part), sum(whole))
        return sum(Fraction(b, sum(n)) * abs(pooled - rate) for b, rate in zip(whole, rates, strict=True))
    return max(abs(a - b) for a, b in combinations(rates, 2))


def assert_same_order(values: list[float], exact: list[Fraction | None]) -> None:
    """Equal exact values are equal doubles, different ones differ in the same direction, undefined ones are NaN."""
    assert [bool(np.isnan(value)) for value in values] == [one is None for one in exact]
    pairs = [(value, one) for value, one in zip(values, exact, strict=True) if one is not None]
    assert [value for value, _ in pairs] == [float(one) for _, one in pairs]  # the nearest doubles
    for (a, exact_a), (b, exact_b) in combinations(pairs, 2):
        assert (a > b) - (a < b) == (exact_a > exact_b) - (exact_a < exact_b)


@settings(max_examples=150, deadline=None)
@given(tables)
def test_equal_exact_values_are_equal_doubles_and_different_ones_differ(shape) -> None:
    counts = counts_of(shape)
    cells, exact = one_vs_rest(counts), fractions_of(counts)
    for name, ratios in RATIOS.items():
        found = ratios(cells)
        classes = [one for run in exact[name] for one in run]
        assert_same_order(found.values().ravel().tolist(), classes)
        defined = [[one for one in run if one is not None] for run in exact[name]]
        means = [sum(run) / len(run) if run else None for run in defined]
        assert_same_order(overall_ratio(found)[0].tolist(), means)


def test_the_drawn_counts_have_many_ties_between_different_counts() -> None:
    """Without them the property above would show little."""
    tied = sum(
        one is not None and a is not b and one == b[i]
        for seed in range(20)
        for rows in fractions_of(counts_of((2, 4, 3, seed))).values()
        for a, b in combinations(rows, 2)
        for i, one in enumerate(a)
    )
    assert tied > 200


@settings(max_examples=60, deadline=None)
@given(tables)
def test_signed_differences_are_the_nearest_doubles(shape) -> None:
    counts = counts_of(shape)
    cells = one_vs_rest(counts)
    for name, signed in signed_of(cells).items():
        part, whole = {"EOTP": (cells.tp, cells.positives), "EOFP": (cells.fp, cells.negatives)}.get(
            name, (cells.selected, cells.size)
        )
        if name in ("BA", "FPSF"):
            continue
        for run, target in zip(*np.nonzero(~np.isnan(signed.values)), strict=True):
            low, high = (
                Fraction(int(part[run, g, target]), int(whole[run, g, target]))
                for g in (signed.lower[target], signed.higher[target])
            )
            assert signed.values[run, target] == float(low - high), name


@given(arrays(np.int64, some.tuples(some.integers(1, 3), some.integers(1, 12)), elements=some.integers(0, 10**6)))
def test_value_and_remainder_together_are_the_ratio(part) -> None:
    whole = np.full(part.shape, 999_983)
    ratios = Ratio(part, whole)
    values = ratios.values()
    for value, rest, numerator in zip(values.flat, ratios.remainders(values).flat, part.flat, strict=True):
        error = Fraction(value) + Fraction(rest) - Fraction(int(numerator), 999_983)
        assert abs(error) <= Fraction(int(numerator), 999_983) * Fraction(1, 2**100)


def test_a_mean_over_no_class_is_undefined() -> None:
    values = np.array([[0.1, np.nan], [np.nan, np.nan]])
    mean, rest = mean_of(values, np.zeros((2, 2)), ~np.isnan(values))
    assert mean[0] == 0.1 and np.isnan(mean[1]) and rest[0] == 0


@pytest.mark.parametrize("reading", ["strict", "published"])
def test_the_long_table_is_canonical_under_both_readings(reading: str) -> None:
    """The same counts with the classes renamed: equal overall values, although the sums have another order."""
    rng = np.random.default_rng(1)
    first = rng.integers(1, 60, (2, 9, 9))
    orders = [rng.permutation(9) for _ in range(20)]
    counts = np.stack([first[:, order][:, :, order] for order in orders])
    table = metrics_table("T", "a", 0, list(range(20)), counts)
    rows = table[(table.reading == reading) & table.target.isna() & table.metric.isin(BIAS_METRICS)]
    assert (rows.groupby("metric")["value"].nunique() == 1).all() and set(rows.metric) == set(PUBLISHED_RATIOS)
