"""Single questions answered by simulation: each function returns the rows of one table of `simulate`."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import headline
import numpy as np
import procedures as do
import verdict_questions as of_verdicts
from procedures import NAMES, Share, covers, share
from scipy import stats

from fitlib.metrics.chance_level import SELECTION, chance_levels
from fitlib.statistics import estimates as st
from fitlib.statistics import nested_design as nested_design_statistics
from fitlib.statistics import risk as risks
from fitlib.statistics import sequential
from fitlib.statistics import significance as sig
from fitlib.statistics.bootstrap import draw_runs
from fitlib.statistics.ranks import rank_techniques
from fitlib.statistics.verdict_names import VERDICTS
from fitlib.storage.predictions import Predictions

Rows = list[list]
RUNS = 16
SHARES = (0.65, 0.41)  # of FIT variation in the total SD over seeds


# Two techniques


def power_of_spread(rng: np.random.Generator, replicates: int) -> Rows:
    """Power of Brown-Forsythe on normal runs."""
    rows = []
    for n, ratio in ((16, 1.5), (16, 2.0), (30, 1.5), (60, 1.5)):
        b, t = do.sample("normal", rng, (replicates, n)), ratio * do.sample("normal", rng, (replicates, n))
        rows.append([n, ratio, share(do.brown_forsythe(b, t) <= do.ALPHA)])
    return rows


def lower_mean(rng: np.random.Generator, replicates: int) -> Rows:
    """Significant "+" of the variance test where both SDs are equal and the technique's mean is lower (Q24)."""
    rows = []
    for factor in (1.0, 0.75, 0.5):
        b, t = (do.sample("normal", rng, (replicates, RUNS)) for _ in range(2))
        b, t = do.LOCATION + b, factor * do.LOCATION + t
        wider = [x.std(axis=1) for x in (b / b.mean(axis=1, keepdims=True), t / t.mean(axis=1, keepdims=True))]
        relative = share((do.brown_forsythe_relative(b, t) <= do.ALPHA) & (wider[1] > wider[0]))
        raw = share((do.brown_forsythe(b, t) <= do.ALPHA) & (t.std(axis=1) > b.std(axis=1)))
        rows.append([f"{factor:g}", relative, raw])
    return rows


def spread_permutation(rng: np.random.Generator, replicates: int) -> Rows:
    """Type-I error of Brown-Forsythe by F and by permutation after median-centring."""
    rows = []
    for n in (5, 8, RUNS):
        for shape in ("normal", "t3", "skewed"):
            b, t = (do.sample(shape, rng, (min(replicates, 2000), n)) for _ in range(2))
            permuted = do.brown_forsythe_permutation(b, t, rng)
            rows.append([n, NAMES[shape], share(do.brown_forsythe(b, t) <= do.ALPHA), share(permuted <= do.ALPHA)])
    return rows


def paired(rng: np.random.Generator, replicates: int) -> Rows:
    """Type-I error of the paired tests where runs share a training (correlation .8)."""
    rows = []
    for n in (5, 8, RUNS):
        for shape in ("normal", "t3", "skewed"):
            common, b, t = (do.sample(shape, rng, (min(replicates, 4000), n)) for _ in range(3))
            b, t = (math.sqrt(0.8) * common + math.sqrt(0.2) * own for own in (b, t))
            p_rank = np.array([sig.signed_rank_exact(*pair).p for pair in zip(b, t, strict=True)])
            p_t = stats.ttest_rel(t, b, axis=1).pvalue
            p_spread = np.array([sig.brown_forsythe_paired(*pair).p for pair in zip(b, t, strict=True)])
            independent = do.brown_forsythe(b, t)
            rows.append([n, NAMES[shape], *(share(p <= do.ALPHA) for p in (p_rank, p_t, p_spread, independent))])
    return rows


def reversal_of_means(rng: np.random.Generator, replicates: int) -> Rows:
    """Coverage of `risk.verdict_reversal` for means of k runs, where it gives a number; true difference 1 SD."""
    rows = []
    for k in (1, 2, 4, 8):
        b, t = (do.sample("normal", rng, (min(replicates, 2000), RUNS)) for _ in range(2))
        truth = float(stats.norm.sf(math.sqrt(k / 2)))
        found = [risks.verdict_reversal(*pair, k=k, rng=rng, resamples=2000) for pair in zip(b, t - 1, strict=True)]
        right = [r for r in found if r.estimable]
        inside = np.array([r.low <= truth <= r.high for r in right])
        value = f"{100 * float(np.mean([r.value for r in right])):.1f}"
        rows.append([k, f"{100 * truth:.1f}", value, Share(len(right), len(found)), share(inside)])
    return rows


# Looking more than once


def looking(rng: np.random.Generator, replicates: int) -> Rows:
    """Type-I error by run 16 of rules that look more than once."""
    b, t = (do.sample("normal", rng, (replicates, RUNS)) for _ in range(2))
    level = sequential.pocock_level(len(sequential.LOOKS))
    told = ", ".join(map(str, sequential.LOOKS))
    rules = [
        ("once, at run 16, at .05", (RUNS,), 0.05),
        (f"at runs {told}, each at {level:.4f} (Pocock)", sequential.LOOKS, level),
        (f"at runs {told}, each at .05", sequential.LOOKS, 0.05),
        ("after every run from 5 on, each at .05", range(5, RUNS + 1), 0.05),
    ]
    return [[name, *(_looked(test, b, t, *rule) for test in (do.exact_u, do.welch_t))] for name, *rule in rules]


def _looked(test: Callable, b: np.ndarray, t: np.ndarray, looks: Iterable[int], level: float) -> Share:
    return share(np.any([test(b[:, :n], t[:, :n]) <= level for n in looks], axis=0))


def stopping(rng: np.random.Generator, replicates: int) -> Rows:
    """Intervals and differences at the look at which `sequential.looks` stops, or at the last one."""
    rows = []
    for ratio, true in ((1, 0.0), (1, -0.5), (1, -1.0), (1, -2.0), (3, 0.0), (3, -1.0)):
        b, t = (do.sample("normal", rng, (replicates, RUNS)) for _ in range(2))
        at, crossed, missed, differences = _stopped(b, true + ratio * t, true)
        means = [differences[crossed & np.isin(at, looks)] for looks in (sequential.LOOKS, 5, 8)]
        told = [f"{x.mean():.2f}" if x.size >= 30 and true else "–" for x in means]
        rows.append([f"1:{ratio}", f"{true:g}", share(crossed), *map(share, missed), *told])
    return rows


def _stopped(b: np.ndarray, t: np.ndarray, true: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Number of runs at the end, whether the rule stopped, what the ordinary and the repeated interval miss, and d."""
    level, at, crossed = sequential.pocock_level(len(sequential.LOOKS)), np.zeros(len(b), int), np.zeros(len(b), bool)
    missed, differences = np.zeros((2, len(b)), bool), np.zeros(len(b))
    for n in sequential.LOOKS:
        first, stops = (b[:, :n], t[:, :n]), do.exact_u(b[:, :n], t[:, :n]) <= level
        now = (at == 0) & (stops | (n == RUNS))
        at[now], crossed[now] = n, stops[now]
        differences[now] = (first[1].mean(axis=1) - first[0].mean(axis=1))[now]
        intervals = (do.welch_interval(*first, confidence) for confidence in (1 - do.ALPHA, 1 - level))
        missed[:, now] = np.array([~covers(interval, true) for interval in intervals])[:, now]
    return at, crossed, missed, differences


# Seeds


def over_seeds(rng: np.random.Generator, replicates: int) -> Rows:
    """Significant differences between two techniques that are equal over seeds, each trained with one seed."""
    rows = []
    for fit in SHARES:
        seeds = math.sqrt(1 - fit**2) * rng.standard_normal((2, replicates, 1))
        b, t = seeds + fit * rng.standard_normal((2, replicates, RUNS))
        found = [share(test(b, t) <= do.ALPHA) for test in (do.exact_u, do.welch_t)]
        rows.append([f"{fit:g}", *found, f"{100 * nested_design_statistics.one_seed_false_positives(fit, RUNS):.1f}"])
    return rows


def nested_design(rng: np.random.Generator, replicates: int) -> Rows:
    """Coverage over seeds: of the difference, and of the seed's share of the variance."""
    rows = []
    for seeds, runs in ((8, 2), (8, 4), (16, 4)):
        for shape in ("normal", "t3", "skewed"):
            size = (2, min(replicates, 4000), seeds)
            seed, run = do.sample(shape, rng, (*size, 1)), do.sample(shape, rng, (*size, runs))
            b, t = math.sqrt(0.5) * seed + math.sqrt(0.5) * run
            found = [nested_design_statistics.over_seeds(*pair) for pair in zip(b, t, strict=True)]
            shares = [nested_design_statistics.components(x).share for x in b]
            inside = "–" if not shares[0].estimable else share(np.array([s.low <= 0.5 <= s.high for s in shares]))
            rows.append(
                [f"{seeds} × {runs}", NAMES[shape], share(np.array([f.low <= 0 <= f.high for f in found])), inside]
            )
    return rows


# One technique


def spread_intervals(rng: np.random.Generator, replicates: int) -> Rows:
    """Coverage of intervals of the SD at n = 16, BCa bootstrap included."""
    rows = []
    for shape in ("normal", "t5", "skewed"):
        x = do.sample(shape, rng, (replicates, RUNS))
        found = [share(covers(do.sd_interval(x, method), 1.0)) for method in ("bonett", "chi-square")]
        rows.append([NAMES[shape], *found, share(covers(_bca_sd(x[:2000], rng), 1.0))])
    return rows


def _bca_sd(x: np.ndarray, rng: np.random.Generator, resamples: int = 999) -> tuple[np.ndarray, np.ndarray]:
    """SciPy's BCa bootstrap of the SD, for comparison: fitlib does not offer it."""
    found = stats.bootstrap((x,), _sd, axis=1, n_resamples=resamples, rng=rng, method="BCa", batch=100)
    return found.confidence_interval.low, found.confidence_interval.high


def _sd(x: np.ndarray, axis: int) -> np.ndarray:
    return np.std(x, axis=axis, ddof=1)


def next_run(rng: np.random.Generator, replicates: int) -> Rows:
    """How often the next run falls within the range seen, and how often a bootstrap of MaxDiff covers its mean."""
    rows = []
    for n in (5, RUNS, 64):
        x = do.sample("normal", rng, (replicates, n + 1))
        inside = share(covers((x[:, :n].min(axis=1), x[:, :n].max(axis=1)), x[:, n]))
        expected = float(np.ptp(do.sample("normal", rng, (100_000, n)), axis=1).mean())
        told = f"{100 * st.next_run_within(n):.1f}"
        rows.append([n, inside, told, _maxdiff(x[:, :n], expected, rng)])
    return rows


def _maxdiff(x: np.ndarray, expected: float, rng: np.random.Generator, resamples: int = 500) -> Share:
    chosen = rng.integers(0, x.shape[1], (resamples, x.shape[1]))
    drawn = np.stack([np.ptp(x[:, index], axis=1) for index in chosen])
    return share(covers(tuple(np.quantile(drawn, (0.025, 0.975), axis=0)), expected))


def prediction(rng: np.random.Generator, replicates: int) -> Rows:
    """How often the next run is within its prediction interval, below it, and above it."""
    rows = []
    for n in (5, 8, RUNS):
        for shape in ("normal", "t5", "skewed"):
            x = do.sample(shape, rng, (replicates, n + 1))
            low, high = st.prediction_intervals(x[:, :n], bounds=(-np.inf, np.inf))
            below, above = x[:, n] < low, x[:, n] > high
            rows.append([n, NAMES[shape], *map(share, (~below & ~above, below, above))])
    return rows


# Chance


def chance(rng: np.random.Generator, replicates: int) -> Rows:
    """How often a run of a model that treats the groups alike has p ≤ .05 against chance: the worst of the metrics."""
    designs = {
        "2 classes, 2 groups, 120 rows": (2, 2, 120, False, False),
        "5 classes, 3 groups, 200 rows": (5, 3, 200, False, False),
        "4 classes, 2 groups that differ in them, 240 rows": (4, 2, 240, False, True),
        "5 classes, 100 units in both of 2 groups": (5, 2, 100, True, False),
    }
    rows = []
    for name, design in designs.items():
        found = np.array([_p_of_chance(*design, rng) for _ in range(min(replicates, 2000))])
        shares = [share(p <= do.ALPHA) for p in found.T]
        rows.append([name, *(max(shares[i::2], key=lambda one: one.value) for i in (0, 1))])
    return rows


def _p_of_chance(
    classes: int, groups: int, rows: int, paired: bool, unequal: bool, rng: np.random.Generator
) -> list[float]:
    """p of one run, overall and of class 1, metric by metric; of groups that differ only those given the truth."""
    truth, group, unit = rng.integers(0, classes, rows), rng.integers(0, groups, rows), None
    if unequal:
        truth = np.where(rng.random(rows) < np.where(group == 0, 0.6, 0.15), 0, 1 + truth % (classes - 1))
    prediction = _predicted(truth, classes, rng)
    if paired:
        second = np.where(rng.random(rows) < 0.8, prediction, _predicted(truth, classes, rng))
        truth, prediction = np.tile(truth, 2), np.concatenate([prediction, second])
        group, unit = np.repeat([0, 1], rows), np.tile(np.arange(rows), 2)
    made = Predictions(np.arange(len(truth)), truth, prediction[None], {"a": group}, unit, classes, {"a": groups}, (0,))
    levels = chance_levels(made, "a", rng)
    return [p for m, level in levels.items() if not (unequal and m in SELECTION) for p in level.p[0, [0, 2]]]


def _predicted(truth: np.ndarray, classes: int, rng: np.random.Generator) -> np.ndarray:
    """Predict the true class in 70 %; class 0 is otherwise taken for class 1, and any other class for any."""
    wrong = np.where(truth == 0, 1, rng.integers(0, classes, truth.size))
    return np.where(rng.random(truth.size) < 0.7, truth, wrong)


# The order of techniques


def best(rng: np.random.Generator, replicates: int) -> Rows:
    """P(best) of k equal techniques: its mean, and how often the largest is at least .9 and .95."""
    rows, resamples = [], 500
    for k in (2, 3, 10):
        for n in (3, 5, 8, RUNS, 64):
            drawn = rng.standard_normal((min(replicates, 2000), k, n))
            counts = [draw_runs(n, rng, resamples) for _ in range(k)]
            found = np.array([rank_techniques(list(samples), counts).best for samples in drawn])
            largest = found.max(axis=1)
            rows.append([k, n, f"{100 * found[:, 0].mean():.1f}", *(share(largest >= limit) for limit in (0.9, 0.95))])
    return rows


# Tables


@dataclass(frozen=True)
class Question:
    """A table: the function that makes its rows, its header, and what it shows."""

    ask: Callable[[np.random.Generator, int], Rows]
    header: list[str]
    text: str


QUESTIONS = {
    "The verdict": Question(
        of_verdicts.verdicts,
        ["n per arm", "true difference", *VERDICTS],
        "Normal runs of equal SD, smallest effect δ = 1 SD; verdicts of one comparison, at α = .05.",
    ),
    "Means of k runs": Question(
        reversal_of_means,
        ["k", "true P(reversal)", "estimated, mean", "number shown", "interval covers, where shown"],
        "Normal runs, n = 16, true difference 1 SD; a number is shown only where Welch's interval excludes 0; at most "
        "2,000 replicates.",
    ),
    "Power of the variance test": Question(
        power_of_spread, ["n per arm", "SD ratio", "power"], "Brown-Forsythe on raw values, normal runs, α = .05."
    ),
    "Brown-Forsythe by permutation": Question(
        spread_permutation,
        ["n per arm", "runs are", "by F", "by permutation"],
        "Type-I error, equal SDs; 199 permutations after median-centring; at most 2,000 replicates.",
    ),
    "A lower mean alone (Q24)": Question(
        lower_mean,
        ["mean of the technique / baseline", '"+" on values/mean', '"+" on raw values'],
        "Equal SDs, n = 16, SD 10 % of the baseline's mean: how often the variance test says that variance rose.",
    ),
    "Techniques that share one training": Question(
        paired,
        ["n", "runs are", "exact signed rank", "paired t", "Brown-Forsythe, paired", "Brown-Forsythe, as independent"],
        "Type-I error, equal distributions, correlation .8 between the runs of both; at most 4,000 replicates.",
    ),
    "Looking more than once": Question(
        looking, ["rule", "exact U", "Welch t"], "Identical normal distributions: how often significant by run 16."
    ),
    "One seed, asked about seeds": Question(
        over_seeds,
        ["FIT share of the total SD", "exact U", "Welch t", "Welch t, by formula"],
        "Two techniques that are equal over seeds, 16 runs each, one seed each: how often p ≤ .05.",
    ),
    "Seeds × runs": Question(
        nested_design,
        ["seeds × runs", "seeds and runs are", "difference over seeds", "seed's share of the variance"],
        "Coverage, nominal 95 %; the seed's true share is 50 %; at most 4,000 replicates.",
    ),
    "Intervals of the SD at n = 16": Question(
        spread_intervals, ["runs are", "Bonett", "chi-square", "BCa bootstrap"], "Coverage, nominal 95 %."
    ),
    "The next run, and MaxDiff": Question(
        next_run,
        ["n", "next run within the range", "(n − 1)/(n + 1)", "bootstrap of MaxDiff covers its mean"],
        "Normal runs; percentile bootstrap, nominal 95 %.",
    ),
    "After stopping": Question(
        stopping,
        [
            "SDs",
            "true difference",
            "stopped",
            "ordinary interval misses",
            "repeated interval misses",
            "mean difference where stopped",
            "… at 5 runs",
            "… at 8 runs",
        ],
        "Normal runs, looks at 5, 8, 12 and 16 runs of each at Pocock's level, differences in SDs of the baseline. "
        "Intervals at the look at which the rule stopped, or at the last one: Welch's of 95 %, and of 1 − level.",
    ),
    "The interval of the next run": Question(
        prediction, ["n", "runs are", "within", "below", "above"], "Prediction interval, nominal 95 %."
    ),
    "Chance": Question(
        chance,
        ["design", "overall value", "class 1"],
        "How often a run has p ≤ .05 where groups are treated alike: the largest share of the seven metrics (of FPSF, "
        "EOFP, EOTP and BA where groups differ in their classes); at most 2,000 replicates.",
    ),
    "P(best) of equal techniques": Question(
        best,
        ["techniques", "n", "P(best), mean", "largest at least .9", "largest at least .95"],
        "Normal runs of equal mean and SD; 500 resamples; at most 2,000 replicates.",
    ),
    "False verdicts in the headline": Question(
        headline.false_verdicts,
        [
            "techniques",
            "design",
            "effects of runs are",
            "unadjusted, δ near 0",
            "together, δ near 0",
            "together, δ = 1 SD",
            "together, δ = 3 SD",
        ],
        "How often any verdict of an experiment is fairer or less fair although no technique differs from the "
        "baseline: from predictions of three classes in two groups over counts, exact ratios and Welch's errors to the "
        "verdicts on five distinct metrics (DP, DI, EOFP, EOTP, BA), each alone at .05, and all together. SD: of the "
        "metric between runs (over seeds: of a seed's difference). 4,999 rotations as in fitlib; the rows of one "
        "design and shape share their experiments, of which they use the first 1, 3 or 9 techniques.",
    ),
    "Intervals that hold together": Question(
        headline.coverage,
        ["runs are", "SDs", "n", *(f"{k * len(headline.METRICS)} intervals" for k in headline.TECHNIQUES)],
        "How often any of the simultaneous 95 % intervals of an experiment misses its true difference: 1, 3 or 9 "
        "techniques and five metrics that correlate by .7 within a run, true differences between −3 and 3 SDs. SDs: "
        "baseline's to techniques'. Nominal 5 %.",
    ),
    "Planned verdicts": Question(
        of_verdicts.planned,
        [
            "runs",
            "SDs",
            "level",
            "true difference",
            "fairer, planned / found",
            "equivalent, planned / found",
            "neither, planned / found",
            "largest deviation of the six",
        ],
        "What planning says (`fitlib.statistics.planning.verdict_chances`) and what comes: normal runs, SDs in "
        "smallest effects δ, baseline's to technique's. Neither: open, or the size is open.",
    ),
    "A metric of two values": Question(
        of_verdicts.two_values,
        ["n per arm", "constant arms believed", "constant arms left out", "fitlib"],
        "How often a verdict on two equal distributions is fairer or less fair where a run's value is one of two "
        "numbers, δ near 0: the worst of five probabilities of the first number, .5 to .9. Unadjusted Welch intervals, "
        "with two unequal constant arms taken for a difference without error, and without them.",
    ),
    "Power of the rank test": Question(
        of_verdicts.rank_power,
        ["n per arm", "α", "difference in SDs", "noncentral t", "Welch t", "exact U", "exact U, as fitlib gives it"],
        "Normal runs of equal SD, at the difference for which the noncentral t promises 80 %. Last: "
        "`fitlib.statistics.power.power_rank`, from 4,000 replicates.",
    ),
    "Exact ties": Question(
        of_verdicts.ties,
        ["metric", "mean of rounded values", "exact ratios"],
        "How often two runs of exactly equal value get different numbers: random counts of 2 to 5 groups and 2 to 10 "
        "classes, and the same with groups and classes in another order.",
    ),
    "Few runs against many": Question(
        of_verdicts.few_against_many,
        ["runs", "runs are", "equal SDs", "SD of the few 3 times as large", "SD of the many 3 times as large"],
        "Coverage of Welch's interval of the difference, nominal 95 %.",
    ),
    "Welch's interval at small levels": Question(
        of_verdicts.small_levels,
        ["runs are", "SDs", "n per arm", *(f"level {level:.2g}" for level in of_verdicts.LEVELS)],
        "How often the interval misses the true difference, in multiples of the level (± standard error), which is "
        "that of 1, 5 and 45 intervals after Bonferroni; 20 times the replicates. SDs: baseline's to technique's.",
    ),
}
