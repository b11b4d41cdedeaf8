"""The headline of many simulated experiments at once: predictions are drawn, and fitlib's verdicts on them counted.

A replicate is an experiment: a baseline and techniques that do not differ from it, each with runs that predict three
classes in two groups. The effects of a run (and of a seed) are drawn on the logits, so that the metrics of a run vary
together; the rest is fitlib's: counts, exact ratios, classes defined in every run of both, Welch's errors, the level of
the family, verdicts. What fitlib does for one experiment at a time is written here a second time over all replicates:
samples, errors and `family_levels`. `check_tables` compares the verdicts with those of fitlib's own tables, and with
its headline.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
import procedures as do
from procedures import NAMES, share
from scipy import special, stats

from fitlib.metrics.bias_metrics import BIAS_METRICS, RATIOS
from fitlib.metrics.counts import one_vs_rest
from fitlib.metrics.exact import mean_of
from fitlib.metrics.long_tables import technique_tables
from fitlib.report.sections.over_seeds import verdict_sentence
from fitlib.report.sentences.verdicts import verdict
from fitlib.statistics import simultaneous
from fitlib.statistics.estimates import means, sds
from fitlib.statistics.simultaneous import ROTATIONS, family_level
from fitlib.statistics.verdict_names import FAIRER, LESS_FAIR, VERDICTS
from fitlib.statistics.verdicts import judge
from fitlib.storage.predictions import Predictions
from fitlib.tables.comparisons import compare
from fitlib.tables.over_seeds import over_seeds_table
from fitlib.tables.runs_and_summary import summary

GROUPS, CLASSES, ROWS = 2, 3, 120  # rows of each class in each group
METRICS = ("DP", "DI", "EOFP", "EOTP", "BA")  # the distinct ones: SPSF repeats DP here, and FPSF repeats EOFP
TECHNIQUES = (1, 3, 9)
FAVOUR = np.array([[0.0, 0.0, -1.5], [0.3, 0.0, -1.5]])  # logits of the classes by group: the last class is rare
ALPHA = do.ALPHA
WRONG = tuple(VERDICTS.index(name) for name in (FAIRER, LESS_FAIR))
TINY = 1e-9  # SDs: a smallest effect that no difference is below
BLOCK = 250  # replicates drawn at once
Values = np.ndarray


# Predictions


def draw_counts(
    shape: str, rng: np.random.Generator, size: tuple[int, ...], seeds: bool = False, favour: Values = FAVOUR
) -> Values:
    """Draw the counts of runs, (*size, groups, true, predicted); with ``seeds`` the runs of a seed share effects."""
    effects = _effects(shape, rng, size)
    if seeds:
        effects = (effects + _effects(shape, rng, (*size[:-1], 1))) / np.sqrt(2)
    logits = 1.6 * np.eye(CLASSES) + favour[:, None] + effects
    return rng.multinomial(ROWS, special.softmax(logits, axis=-1))


def _effects(shape: str, rng: np.random.Generator, size: tuple[int, ...]) -> Values:
    """Draw effects of mean 0 on the logits of each group: towards a class, towards the true one, and of each cell."""
    towards = do.sample(shape, rng, (*size, GROUPS, 1, CLASSES))
    sharper = do.sample(shape, rng, (*size, GROUPS, 1, 1)) * np.eye(CLASSES)
    return 0.2 * towards + 0.4 * sharper + 0.4 * do.sample(shape, rng, (*size, GROUPS, CLASSES, CLASSES))


# Samples


@dataclass(frozen=True)
class Samples:
    """Values of baseline and techniques, (replicates, techniques, metrics, runs) each.

    Over seeds there is one sample, ``baseline`` None and ``technique`` the differences of the seeds' means.
    """

    baseline: Values | None
    technique: Values

    def first(self, techniques: int) -> "Samples":
        """Return the samples of the first techniques only."""
        b = None if self.baseline is None else self.baseline[:, :techniques]
        return Samples(b, self.technique[:, :techniques])

    def at(self, chosen: Values) -> "Samples":
        """Return the chosen replicates."""
        return Samples(None if self.baseline is None else self.baseline[chosen], self.technique[chosen])

    @property
    def parts(self) -> list[Values]:
        return [self.technique] if self.baseline is None else [self.baseline, self.technique]


def samples_of(counts: Values, seeds: bool = False) -> Samples:
    """Return the overall values over the classes defined in every run of both; (replicates, arms, [seeds,] runs, …)."""
    found = [_overall(counts, metric, seeds) for metric in METRICS]
    b, t = (np.stack(both, axis=2) for both in zip(*found, strict=True))
    return Samples(None, means(t) - means(b)) if seeds else Samples(b, t)


def _overall(counts: Values, metric: str, seeds: bool) -> tuple[Values, Values]:
    """Values of one metric of the baseline, by technique, and of the techniques."""
    size = counts.shape[:-3]
    ratio = RATIOS[metric](one_vs_rest(counts.reshape(-1, *counts.shape[-3:])))
    values = ratio.values()
    values, remainders = (x.reshape(*size, -1) for x in (values, ratio.remainders(values)))
    runs = tuple(range(2, len(size)))
    defined = ~np.isnan(values).any(axis=runs)
    common = np.expand_dims(defined[:, :1] & defined[:, 1:], runs)
    if common.all():  # then the baseline is the same for all techniques
        common = common[:, :1]
    parts = ((values[:, :1], remainders[:, :1]), (values[:, 1:], remainders[:, 1:]))
    b, t = (mean_of(*_broadcast(*part, common))[0] for part in parts)
    return np.broadcast_to(b, t.shape), t


def _broadcast(values: Values, remainders: Values, common: Values) -> list[Values]:
    return list(np.broadcast_arrays(values, remainders, common))


# Verdicts


def differences(samples: Samples) -> tuple[Values, Values, Values]:
    """Difference, standard error and degrees of freedom of each comparison, (replicates, techniques, metrics)."""
    squared = [sds(x) ** 2 / x.shape[-1] for x in samples.parts]
    total = sum(squared)
    with np.errstate(divide="ignore", invalid="ignore"):  # constant values
        df = total**2 / sum(s**2 / (x.shape[-1] - 1) for s, x in zip(squared, samples.parts, strict=True))
    of_means = [means(x) for x in samples.parts]
    return of_means[-1] - (of_means[0] if len(of_means) == 2 else 0.0), np.sqrt(total), df


def p_values(samples: Samples, beyond: Values | float = 0.0) -> Values:
    """Two-sided p of |difference| - ``beyond``, at least 0, of each comparison; 1 without an interval."""
    difference, error, df = differences(samples)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * special.stdtr(df, -np.maximum(np.abs(difference) - beyond, 0) / error)
    return np.where(error > 0, p, 1.0)


def verdicts_of(samples: Samples, effects: Values, levels: Values | float) -> Values:
    """Positions in `VERDICTS`, (replicates, techniques, metrics); effects (metrics,), levels (replicates,)."""
    return judge(*differences(samples), effects, np.reshape(levels, (-1, 1, 1)))


def family_levels(samples: Samples, rotations: int = ROTATIONS, block: int = 2) -> Values:
    """`family_level` of the comparisons of every replicate, (replicates,)."""
    if samples.technique[0, ..., 0].size < 2:
        return np.full(len(samples.technique), ALPHA)
    places = [slice(i, i + block) for i in range(0, len(samples.technique), block)]
    levels = [_levels(samples.at(place), rotations) for place in places]
    found = np.concatenate(levels) if levels else np.empty(0)
    for replicate in np.flatnonzero(_any_constant(samples)):  # such a comparison is left out, or has one varying arm
        found[replicate] = family_level(_family(samples.at(slice(replicate, replicate + 1))), ALPHA, rotations)
    return found


def _levels(samples: Samples, rotations: int) -> Values:
    m, directions = samples.technique[0, ..., 0].size, _directions(samples, rotations)
    smallest = np.ones((len(samples.technique), rotations))
    for small, p in _small_p(samples, directions, np.full(len(samples.technique), ALPHA)):
        replicate, _, rotation = np.nonzero(small)
        np.minimum.at(smallest, (replicate, rotation), p)
    k = int(ALPHA * (rotations + 1))
    return np.clip(np.partition(smallest, k - 1, axis=-1)[:, k - 1], ALPHA / m, ALPHA)


def below_level(samples: Samples, p: Values, rotations: int = ROTATIONS, block: int = 20, portion: int = 250) -> Values:
    """Whether ``p`` (replicates,), each below `ALPHA`, is below the `family_levels`; quicker than to compute these.

    It is if fewer rotations than those that make up `ALPHA` have a smallest p up to it, so that no more rotations are
    needed once that many have.
    """
    m = samples.technique[0, ..., 0].size
    below, k = p < ALPHA, int(ALPHA * (rotations + 1))
    if m < 2:
        return below
    directions = _directions(samples, rotations)
    for start in range(0, len(p), block):
        left = np.arange(start, min(start + block, len(p)))
        left, count = left[below[left] & (p[left] >= ALPHA / m)], np.zeros(len(p), dtype=int)
        for first in range(0, rotations, portion):
            part = [of_arm[first : first + portion] for of_arm in directions]
            count[left] += _rotations_up_to(samples.at(left), part, p[left]) if left.size else 0
            left = left[count[left] < k]
        below[start : start + block] &= count[start : start + block] < k
    return below


def _rotations_up_to(samples: Samples, directions: list[Values], p: Values) -> Values:
    """Count the rotations whose smallest p is at most the replicate's, (replicates,)."""
    hit = np.zeros((len(p), len(directions[0])), dtype=bool)
    for small, found in _small_p(samples, directions, p):
        replicate, _, rotation = np.nonzero(small)
        few = found <= p[replicate]
        hit[replicate[few], rotation[few]] = True
    return hit.sum(axis=1)


def _directions(samples: Samples, rotations: int) -> list[Values]:
    """The directions that `family_level` draws for these comparisons: of the baseline, or seeds, and each technique."""
    arms = 1 if samples.baseline is None else 1 + samples.technique.shape[1]
    return _drawn(samples.technique[0, ..., 0].size, arms, samples.technique.shape[-1], rotations)


@lru_cache(maxsize=4)
def _drawn(m: int, arms: int, n: int, rotations: int) -> list[Values]:
    rng = np.random.default_rng([simultaneous.SEED, m])
    return [simultaneous._directions(n, rotations, rng) for _ in range(arms)]


def _small_p(samples: Samples, directions: list[Values], limits: Values) -> Iterator[tuple[Values, Values]]:
    """Where p may be up to the replicate's limit, (replicates, metrics, rotations), and p there: by technique."""
    n, df = samples.technique.shape[-1], len(samples.parts) * (samples.technique.shape[-1] - 2)
    critical = (stats.t.isf(limits / 2, df) * (1 - 1e-9))[:, None, None]
    for parts in _rotated_parts(samples, directions):
        squared, error = parts[0] if len(parts) == 1 else (parts[0][0] + parts[1][0], parts[1][1] - parts[0][1])
        small = error**2 > critical**2 * squared
        df_there = squared[small] ** 2 / sum(part[0][small] ** 2 / (n - 2) for part in parts)
        yield small, 2 * special.stdtr(df_there, -np.abs(error[small]) / np.sqrt(squared[small]))


def _rotated_parts(samples: Samples, directions: list[Values]) -> Iterator[list[tuple[Values, Values]]]:
    """Squared error and error of the mean of every sample in every rotation, technique by technique."""
    b, t = samples.baseline, samples.technique
    if b is None:
        yield from ([_rotated(t[:, k], directions[0])] for k in range(t.shape[1]))
        return
    shared = _rotated(b[:, 0], directions[0])
    for k in range(t.shape[1]):
        of_b = shared if np.array_equal(b[:, k], b[:, 0]) else _rotated(b[:, k], directions[0])
        yield [of_b, _rotated(t[:, k], directions[1 + k])]


def _rotated(x: Values, directions: Values) -> tuple[Values, Values]:
    n, deviations = x.shape[-1], x - x.mean(axis=-1, keepdims=True)
    first = deviations @ directions.T
    rest = np.maximum((deviations**2).sum(axis=-1, keepdims=True) - first**2, 0.0)
    return rest / ((n - 2) * n), first / np.sqrt(n)


def _any_constant(samples: Samples) -> Values:
    constant = [(x == x[..., :1]).all(axis=-1).any(axis=(1, 2)) for x in samples.parts]
    return np.logical_or.reduce(constant)


def _family(samples: Samples) -> list:
    """The comparisons of one replicate as `family_level` takes them, metric by metric."""
    one = [x[0] for x in samples.parts]
    techniques, metrics = one[0].shape[:2]
    keys = ("seeds",) if samples.baseline is None else ("baseline", None)
    return [
        [(technique if key is None else key, x[technique, metric]) for key, x in zip(keys, one, strict=True)]
        for metric in range(metrics)
        for technique in range(techniques)
    ]


# How often a headline is wrong


def false_verdicts(rng: np.random.Generator, replicates: int) -> list[list]:
    """How often any verdict is fairer or less fair although nothing differs: alone, and together at three δ."""
    rows = []
    for runs in ((5,), (8,), (16,), (8, 2)):
        for shape in ("normal", "skewed"):
            spread = _spreads(shape, runs, rng)
            found = np.concatenate(list(_wrong(shape, runs, spread, rng, replicates)), axis=-1)
            label = f"{runs[0]} runs" if len(runs) == 1 else f"{runs[0]} seeds × {runs[1]} runs"
            rows += [[k, label, NAMES[shape], *map(share, hits)] for k, hits in zip(TECHNIQUES, found, strict=True)]
    return sorted(rows, key=lambda row: row[0])


def _spreads(shape: str, runs: Sequence[int], rng: np.random.Generator) -> Values:
    """SD of each metric between runs (over seeds: of the difference of a seed's means), (metrics,)."""
    seeds = len(runs) == 2
    samples = samples_of(draw_counts(shape, rng, (200, 2, *([8, 2] if seeds else [16])), seeds), seeds)
    return samples.technique.std(axis=(0, 1, 3), ddof=1)


def _wrong(
    shape: str, runs: Sequence[int], spread: Values, rng: np.random.Generator, replicates: int
) -> Iterator[Values]:
    """Which replicates have a wrong verdict, (numbers of techniques, rules, replicates), block by block."""
    seeds = len(runs) == 2
    for done in range(0, replicates, BLOCK):
        size = (min(BLOCK, replicates - done), 1 + max(TECHNIQUES), *runs)
        samples = samples_of(draw_counts(shape, rng, size, seeds), seeds)
        yield np.array([_wrong_rules(samples.first(k), spread) for k in TECHNIQUES])


def _wrong_rules(samples: Samples, spread: Values) -> Values:
    """Whether any verdict is wrong, (rules, replicates): alone at a tiny δ; together at that, 1 and 3 SDs."""
    alone = np.isin(verdicts_of(samples, TINY * spread, ALPHA), WRONG).any(axis=(1, 2))
    together = np.zeros((3, len(alone)), dtype=bool)
    # Where no verdict is wrong alone, or together at a tiny δ, none is at a smaller level, or at a larger δ.
    some = np.flatnonzero(alone)
    smallest = p_values(samples.at(some), TINY * spread).min(axis=(1, 2))
    some = some[below_level(samples.at(some), smallest)] if some.size else some
    for rule, scale in enumerate((TINY, 1, 3)) if some.size else ():
        judged = verdicts_of(samples.at(some), scale * spread, family_levels(samples.at(some)))
        together[rule, some] = np.isin(judged, WRONG).any(axis=(1, 2))
    return np.array([alone, *together])


# Coverage together


CORRELATION = 0.7  # of the metrics of a run
WORLDS = {  # shapes of baseline and technique
    "both normal": ("normal", "normal"),
    "both t, 3 df": ("t3", "t3"),
    "both exponential": ("skewed", "skewed"),
    "techniques exponential, baseline normal": ("normal", "skewed"),
}


def coverage(rng: np.random.Generator, replicates: int) -> list[list]:
    """How often any of the simultaneous intervals misses its true difference, by shapes and ratio of SDs."""
    rows = []
    for name, shapes in WORLDS.items():
        for ratio in (1.0, 3.0, 1 / 3):
            for n in (5, 8, 16):
                misses = [_missed(shapes, ratio, n, rng, size) for size in _blocks(replicates)]
                told = f"{'1' if ratio >= 1 else '3'}:{'3' if ratio > 1 else '1'}"
                rows.append([name, told, n, *map(share, np.concatenate(misses, axis=1))])
    return rows


def _blocks(replicates: int) -> list[int]:
    return [min(BLOCK, replicates - done) for done in range(0, replicates, BLOCK)]


def _missed(shapes: tuple[str, str], ratio: float, n: int, rng: np.random.Generator, replicates: int) -> Values:
    """Whether any interval misses, (numbers of techniques, replicates)."""
    true = np.linspace(-3, 3, max(TECHNIQUES) * len(METRICS)).reshape(max(TECHNIQUES), len(METRICS), 1)
    b = _correlated(shapes[0], rng, (replicates, 1, n))
    t = true + ratio * _correlated(shapes[1], rng, (replicates, max(TECHNIQUES), n))
    samples, found = Samples(np.broadcast_to(b, t.shape), t), []
    for k in TECHNIQUES:
        centred = Samples(samples.baseline[:, :k], samples.technique[:, :k] - true[:k])
        smallest = p_values(centred).min(axis=(1, 2))
        missed = smallest < ALPHA
        missed[missed] = below_level(centred.at(missed), smallest[missed])
        found.append(missed)
    return np.array(found)


def _correlated(shape: str, rng: np.random.Generator, size: tuple[int, int, int]) -> Values:
    """Values (replicates, arms, metrics, runs) with SD 1 whose metrics correlate by `CORRELATION`."""
    common, own = (
        do.sample(shape, rng, (*size[:2], 1, size[2])),
        do.sample(shape, rng, (*size[:2], len(METRICS), size[2])),
    )
    return np.sqrt(CORRELATION) * common + np.sqrt(1 - CORRELATION) * own


# Agreement with fitlib's tables


def check_tables(
    shape: str, runs: Sequence[int], techniques: int, scale: float, rng: np.random.Generator, favour: Values = FAVOUR
) -> list[str]:
    """AssertionError unless one experiment has the same verdicts here and in fitlib's table; returns these.

    ``runs``: (n,), or (seeds, n). Smallest effects are ``scale`` SDs. ``favour``: of the techniques, which makes them
    differ from the baseline. All predictions are written row by row, counted, measured, compared and put into a
    headline by fitlib.
    """
    seeds, effects = len(runs) == 2, scale * _spreads(shape, runs, rng)
    counts = (
        draw_counts(shape, rng, (1, 1, *runs), seeds),
        draw_counts(shape, rng, (1, techniques, *runs), seeds, favour),
    )
    both = np.concatenate(counts, axis=1)
    samples = samples_of(both, seeds)
    levels = family_levels(samples)
    here = verdicts_of(samples, effects, levels)[0]
    # Metrics that repeat one of these get effects so large that they never represent the set.
    declared = dict.fromkeys(BIAS_METRICS, 1.0) | dict(zip(METRICS, effects.tolist(), strict=True))
    plan = _plan(techniques, runs, declared)
    metrics = pd.concat([_metrics(plan, number, of_one) for number, of_one in enumerate(both[0])], ignore_index=True)
    table = over_seeds_table(metrics, plan) if seeds else compare(metrics, plan)
    _compare(table, here, float(levels[0]))
    told = verdict_sentence(table, plan) if seeds else verdict(table, summary(metrics, plan), plan)[0]
    assert _names_verdict(told.split("hold together")[0]) == bool(np.isin(here, WRONG).any()), told
    return [VERDICTS[i] for i in here.ravel()]


def _compare(table: pd.DataFrame, here: Values, level: float) -> None:
    """Compare levels and verdicts of the distinct metrics, which must be those assumed here."""
    rows = table[table["metric"].isin(BIAS_METRICS) & (table["redundant_with"] == "")]
    assert list(dict.fromkeys(rows["metric"])) == list(METRICS), rows[["metric", "redundant_with"]]
    np.testing.assert_allclose(rows["level"].to_numpy(float), level, rtol=1e-9)
    assert rows["verdict"].tolist() == [VERDICTS[i] for i in here.ravel()]


def _names_verdict(text: str) -> bool:
    """Whether a sentence says that a technique is fairer, or less fair, on any metric."""
    plain = text.replace("neither fairer nor less fair", "")
    return FAIRER in plain or LESS_FAIR in plain


def _plan(techniques: int, runs: Sequence[int], smallest_effect: dict[str, float]) -> dict:
    names = ["B", *(f"T{i}" for i in range(1, techniques + 1))]
    arm = {"noise": "ulp", "kind": "emulated", "role": "main", "runs": runs[-1], "options": {}}
    seeds = range(runs[0]) if len(runs) == 2 else (0,)
    analysis = {"smallest_effect": smallest_effect, "alpha": ALPHA, "reading": "strict", "family": None}
    return {
        "techniques": [
            {"technique": name, "training": name, "baseline": None if name == "B" else "B"} for name in names
        ],
        "arms": [arm | {"arm": f"seed{seed}.ulp", "seed": seed} for seed in seeds],
        "classes": list("012"),
        "groups": {"protected": ["f", "m"]},
        "analysis": analysis | {"favourable": None, "min_group": 30, "protocol": "fitlib"},
        "data": {"name": "simulated"},
        "source": "fitlib",
    }


def _metrics(plan: dict, number: int, counts: Values) -> pd.DataFrame:
    """The long table of a technique's metrics, from rows of predictions; counts ([seeds,] runs, group, true, class)."""
    by_arm = counts if len(plan["arms"]) > 1 else counts[None]
    arms = {arm["arm"]: (arm["seed"], _predictions(of_arm)) for arm, of_arm in zip(plan["arms"], by_arm, strict=True)}
    return technique_tables(plan["techniques"][number]["technique"], arms, drawn=False)["metrics"]


def _predictions(counts: Values) -> Predictions:
    """Rows of predictions with these counts, (runs, groups, true, predicted)."""
    group, truth = (np.repeat(x.ravel(), ROWS) for x in np.indices((GROUPS, CLASSES)))
    predicted = np.array([np.repeat(np.tile(np.arange(CLASSES), GROUPS * CLASSES), run.ravel()) for run in counts])
    runs = tuple(range(len(counts)))
    return Predictions(
        np.arange(truth.size), truth, predicted, {"protected": group}, None, CLASSES, {"protected": GROUPS}, runs
    )
