"""The files in `tables/`: what a row of each is, and the caption of its own columns.

Tables for readers (`fitlib.report.reader_tables`) name the file that has all their columns; frames of
`fitlib.results` take title and caption from here.
"""

from __future__ import annotations

from dataclasses import dataclass

SHARES = "Values are shares: 0.01 is one point."
NO_TEST = "No test is made here."


@dataclass(frozen=True)
class TableFile:
    """A file in `tables/`: its name without suffix, what a row is, and what its caption adds to n and conditions."""

    name: str
    rows: str
    about: str

    @property
    def address(self) -> str:
        """Return the relative address of the file, from the report."""
        return f"tables/{self.name}.csv"


RUNS = TableFile("runs", "planned runs of every technique: state, digests, overall values", f"{SHARES} {NO_TEST}")
SUMMARY = TableFile(
    "summary",
    "means and spread over runs, by technique, metric and class",
    f"{SHARES} Intervals of 95 % by the method that interval_method names. MaxDiff grows with n. {NO_TEST}",
)
COMPARISONS = TableFile(
    "comparisons",
    "every technique against its baseline, by metric",
    f"{SHARES} Difference = technique − baseline with its 95 % interval. Each p stands beside its smallest "
    "attainable value and those corrected over family_size tests (Holm, BH, BY); procedures names the tests.",
)
NEW_TEST_DATA = TableFile(
    "new_test_data",
    "means and differences for new test data of this kind, by metric",
    f"{SHARES} 95 % intervals over runs and test units, unadjusted; each verdict at its level. {NO_TEST}",
)
RANKS = TableFile(
    "ranks",
    "the order of the techniques on every metric, over resampled runs",
    f"Means are shares: 0.01 is one point. P(best) over whole-run resamples, no probability of being best. {NO_TEST}",
)
METRICS = TableFile(
    "metrics", "every value of every run, by class, group and reading", f"{SHARES} No interval, no test."
)
RISK = TableFile(
    "risk",
    "impact ratios by technique and class: share of runs below 0.8",
    f"Clopper-Pearson intervals of 95 %, Bonferroni's for the worst of worst_of pairs. {NO_TEST}",
)
REVERSAL = TableFile(
    "reversal",
    "probability that new runs point the other way",
    f"95 % intervals, not corrected for their number. {NO_TEST}",
)
PLANNING = TableFile(
    "planning",
    "probability of each verdict, by number of runs and true difference",
    f"{SHARES} For normal runs, at the standard deviations found and averaged over what these leave open; low and high "
    "are its 10 % and 90 % quantiles. A true difference towards less fair has the same, mirrored.",
)
SEQUENTIAL = TableFile(
    "sequential",
    "looks at the first n runs, at their corrected level",
    f"{SHARES} Each look at its own level; p beside its smallest attainable value, over family_size tests.",
)
INDIVIDUALS = TableFile("individuals", "churn: decisions about persons that change between runs, by group", NO_TEST)
THRESHOLDS = TableFile("thresholds", "accuracy and bias by decision threshold, where scores exist", NO_TEST)
OVER_SEEDS = TableFile(
    "over_seeds",
    "verdicts over seeds (nested design)",
    f"{SHARES} 95 % intervals over seeds; each p beside those corrected over family_size tests (Holm, BH, BY).",
)
BY_SEED = TableFile("by_seed", "differences at every seed (nested design)", NO_TEST)
COSTS = TableFile(
    "costs",
    "what lower bias costs in accuracy and in spread",
    f"{SHARES} 95 % intervals; the variance of accuracy is corrected over accuracy_family_size tests (Holm).",
)
PARETO = TableFile("pareto", "accuracy, bias and churn: who is dominated by nobody", NO_TEST)
EPOCHS = TableFile("epochs", "spread between runs after every epoch", NO_TEST)
COMPONENTS = TableFile("components", "parts of the spread: run, test set", NO_TEST)
CAUSES = TableFile(
    "causes",
    "spread under every cause of variance, by arm and hardware",
    f"{SHARES} SD with Bonett's 95 % interval. Causes are compared, never added up. {NO_TEST}",
)
CAUSE_TESTS = TableFile(
    "cause_tests",
    "do the spreads of two causes differ?",
    "Brown-Forsythe on raw values; each p stands beside those corrected over family_size tests (Holm, BH, BY) and "
    "its power.",
)
CAUSE_CHURN = TableFile(
    "cause_churn", "decisions that change between two runs of an arm, by group", f"{SHARES} {NO_TEST}"
)
SELECTION = TableFile("selection", "what choosing the fairest run regresses to", NO_TEST)

TABLE_FILES = {
    file.name: file
    for file in (
        RUNS,
        SUMMARY,
        COMPARISONS,
        NEW_TEST_DATA,
        RANKS,
        METRICS,
        RISK,
        REVERSAL,
        PLANNING,
        SEQUENTIAL,
        INDIVIDUALS,
        THRESHOLDS,
        OVER_SEEDS,
        BY_SEED,
        COSTS,
        PARETO,
        EPOCHS,
        COMPONENTS,
        CAUSES,
        CAUSE_TESTS,
        CAUSE_CHURN,
        SELECTION,
    )
}
