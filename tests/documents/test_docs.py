"""docs/statistics.md names what exists; its figures are those of its tables, of tests, or of the published data."""

import ast
import importlib
import importlib.util
import re
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from fitlib.statistics import risk, significance
from fitlib.tables import four_fifths
from fitlib.tables.schemas import SCHEMAS

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
TEXT = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
PROSE, _, SIMULATIONS = TEXT.partition("<!-- simulations -->")
FLOWING = " ".join(PROSE.split())


@cache
def benchmark(name: str):
    """A benchmark script as a module; they import each other by name, as scripts do."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(BENCHMARKS))


# Names


def resolve(name: str) -> object:
    """The module, or the attribute of a module, that a dotted name stands for."""
    module, _, attribute = name.rpartition(".")
    if importlib.util.find_spec(name if module == "fitlib" else module) is None:
        raise ImportError(name)
    return importlib.import_module(name) if module == "fitlib" else getattr(importlib.import_module(module), attribute)


NAMES = sorted(set(re.findall(r"`(fitlib(?:\.\w+)+)`", TEXT)))


def test_the_page_names_functions() -> None:
    assert len(NAMES) > 40


@pytest.mark.parametrize("name", NAMES)
def test_every_name_in_the_page_exists_and_is_documented(name: str) -> None:
    found = resolve(name)
    assert not callable(found) or found.__doc__


def cited_columns() -> list[tuple[str, str]]:
    """(table, column) of every `table: columns`; settings such as `protocol: paper` are no tables."""
    found = re.findall(r"`(\w+): ([\w,\s]+)`", PROSE)
    settings = ("table", "protocol", "reading")
    return [
        (table, column) for table, columns in found if table not in settings for column in re.split(r",\s+", columns)
    ]


@pytest.mark.parametrize("table", sorted({table for table, _ in cited_columns()}))
def test_every_cited_column_stands_in_its_table(table: str) -> None:
    assert {column for name, column in cited_columns() if name == table} <= set(SCHEMAS[table])


def test_every_table_of_an_experiment_is_explained() -> None:
    explained = {table for table, _ in cited_columns()}
    assert set(SCHEMAS) - {"review"} <= explained  # review belongs to the paper notebook


def slugs() -> list[str]:
    """Anchors of the page's headings, as GitHub makes them."""
    found: list[str] = []
    for heading in re.findall(r"^#+ (.+)$", TEXT, re.M):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        earlier = sum(re.fullmatch(rf"{re.escape(slug)}(-\d+)?", other) is not None for other in found)
        found.append(f"{slug}-{earlier}" if earlier else slug)
    return found


def test_every_link_within_the_page_leads_to_a_heading() -> None:
    links = re.findall(r"\]\(#([^)]+)\)", TEXT)
    assert links
    assert set(links) <= set(slugs())


# The paragraph


def test_the_paragraph_on_reporting_is_the_reports_own_template() -> None:
    from fitlib.report.sections.reporting import TEMPLATE

    shown = re.search(r"<!-- template -->\n(.*?)\n<!-- end of template -->", PROSE, re.S).group(1)
    lines = [line.removeprefix(">").strip() for line in shown.splitlines()]
    assert " ".join(" ".join(lines).split()) == " ".join(TEMPLATE.split())


# Simulations


def cells(title: str) -> list[dict[str, str]]:
    """Rows of the simulation table under a heading, by column."""
    part = re.search(rf"^### {re.escape(title)}\n(.*?)(?=^### |\Z)", SIMULATIONS, re.M | re.S).group(1)
    header, _, *rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in part.splitlines() if line.startswith("|")
    ]
    return [dict(zip((name.strip() for name in header), row, strict=True)) for row in rows]


def percent(title: str, column: str, *keys: str) -> float:
    rows = [row for row in cells(title) if tuple(row.values())[: len(keys)] == keys]
    assert len(rows) == 1, (title, keys)
    return float(rows[0][column].split(" ± ")[0])


def test_the_tables_are_those_that_the_script_writes() -> None:
    simulate = benchmark("simulate")
    written = [title for title, *_ in simulate.GRIDS] + list(simulate.QUESTIONS)
    assert re.findall(r"^### (.+)$", SIMULATIONS, re.M) == written
    for title, question in simulate.QUESTIONS.items():
        assert list(cells(title)[0]) == question.header


def test_the_tables_name_replicates_and_seed_but_no_date_or_machine() -> None:
    assert re.search(r"^[\d,]+ replicates .*, seed \d+, `benchmarks/simulate.py`", SIMULATIONS, re.M)
    assert not re.search(r"\b20\d\d\b|EPYC|Intel|cores", SIMULATIONS)


def test_the_claims_hold_in_the_tables() -> None:
    exact = [row for row in cells("Type-I error, equal SDs") if row["procedure"] == "exact U"]
    sizes = [float(cell.split()[0]) for row in exact for name, cell in row.items() if name.startswith("n = ")]
    assert len(sizes) == 15
    assert sum(size > 5.7 for size in sizes) <= 1  # 3 standard errors of 10,000 replicates; one by chance
    covered = [row for row in cells("Coverage, equal SDs") if row["runs are"] == "normal"]
    for row in covered:
        if row["procedure"] in benchmark("simulate").DEFAULTS:
            assert min(float(row[f"n = {n}"].split()[0]) for n in (8, 16, 64)) >= 93


HEADLINE, TOGETHER = "False verdicts in the headline", "Intervals that hold together"
SMALL, ONE_SKEWED = "Welch's interval at small levels", "techniques exponential, baseline normal"
DESIGN = ("16 runs", "normal")
QUOTED = [
    ("One seed, asked about seeds", "exact U", ["0.65"], '"different" in {} % of cases if runs make .65'),
    ("One seed, asked about seeds", "exact U", ["0.41"], "and in {} % if they make .41"),
    ("A lower mean alone (Q24)", '"+" on values/mean', ["0.5"], 'reports "variance rose" in {} % of cases'),
    ("Power of the variance test", "power", ["16", "1.5"], "finds an SD ratio of 1.5 in {} %"),
    ("Power of the variance test", "power", ["16", "2.0"], "and a ratio of 2 in {} % of cases"),
    ("Power of the variance test", "power", ["16", "1.5"], "at a power of {} % for an SD ratio of 1.5"),
    ("Power of the variance test", "power", ["60", "1.5"], "about 60 runs of each are needed for {} % at 1.5"),
    ("Looking more than once", "exact U", ["at runs 5, 8, 12, 16, each at 0.0182 (Pocock)"], "the whole errs in {} %"),
    ("Looking more than once", "exact U", ["after every run from 5 on, each at .05"], "each time at .05, errs in {} %"),
    (
        "Type-I error, equal SDs",
        "n = 16",
        ["`paper`: one-sided U, side by the means", "normal"],
        "at n = 16 it is {} %",
    ),
    ("Rejections, SDs 3:1", "n = 16", ["exact U", "exponential"], "rejects in {} % of cases"),
    ("Rejections, SDs 3:1", "n = 16", ["studentised permutation", "exponential"], "(studentised permutation: {} %)"),
    ("Coverage, equal SDs", "n = 16", ["Bonett, Cohen's d", "t, 3 df"], "covers {} % for heavy tails"),
    ("Intervals of the SD at n = 16", "Bonett", ["normal"], "Bonett {} %"),
    ("Intervals of the SD at n = 16", "chi-square", ["exponential"], "chi-square {} %"),
    ("Intervals of the SD at n = 16", "BCa bootstrap", ["normal"], "BCa bootstrap {} % even for normal runs"),
    ("The next run, and MaxDiff", "bootstrap of MaxDiff covers its mean", ["16"], "a bootstrap of it covers {} %"),
    ("Seeds × runs", "seed's share of the variance", ["8 × 4", "t, 3 df"], "{} % instead of 95 % for heavy tails"),
    (
        "After stopping",
        "ordinary interval misses",
        ["1:1", "-0.5"],
        "the ordinary 95 % interval misses in {} % of cases",
    ),
    ("After stopping", "repeated interval misses", ["1:1", "-0.5"], "the repeated one in {} %"),
    ("The interval of the next run", "within", ["5", "exponential"], "of exponential ones {} to 93 % are within"),
    (
        "The interval of the next run",
        "within",
        ["16", "exponential"],
        "to {} % are within, and nearly all others above",
    ),
    ("P(best) of equal techniques", "largest at least .9", ["2", "16"], "in {} % of experiments with 16 runs each"),
    ("P(best) of equal techniques", "largest at least .9", ["2", "3"], "and in {} % with 3"),
    ("The verdict", "fairer", ["16", "-1 δ"], "at level .05 in {} % with 16 runs"),
    ("The verdict", "fairer", ["64", "-1 δ"], "and in {} % with 64"),
    ("Exact ties", "mean of rounded values", ["DP"], "give different numbers for {} % of such pairs"),
    ("A metric of two values", "constant arms believed", ["2"], "in {} % of experiments with 2 runs of each"),
    ("Few runs against many", "equal SDs", ["2 against 16", "normal"], "2 runs against 16 cover {} % for normal runs"),
    ("Few runs against many", "equal SDs", ["2 against 16", "exponential"], "and {} % for exponential ones"),
    (
        "Coverage, SDs 3:1",
        "n = 16",
        ["Welch, difference of means", "exponential"],
        "Welch's interval covers {} % where the technique's exponential runs",
    ),
    ("Power of the rank test", "noncentral t", ["4", "0.05"], "gives {} %, U rejects in"),
    ("Power of the rank test", "exact U", ["4", "0.05"], "U rejects in {} % of experiments with 4 runs of each"),
    ("Power of the rank test", "exact U", ["8", "0.01"], "and in {} % with 8 at α = .01"),
    (HEADLINE, "unadjusted, δ near 0", ["1", *DESIGN], "in {} % of experiments with one technique"),
    (HEADLINE, "unadjusted, δ near 0", ["3", *DESIGN], "in {} % with 3 and"),
    (HEADLINE, "unadjusted, δ near 0", ["9", *DESIGN], "and in {} % with 9 (five distinct metrics"),
    (HEADLINE, "together, δ near 0", ["9", *DESIGN], "with it, 9 techniques come to {} %"),
    (TOGETHER, "45 intervals", ["both normal", "1:3", "16"], "in {} % of experiments if runs are normal"),
    (TOGETHER, "45 intervals", ["both normal", "1:3", "5"], "({} % with 5 runs)"),
    (TOGETHER, "45 intervals", ["both exponential", "1:1", "16"], "for exponential runs of equal SD in {} %"),
    (TOGETHER, "45 intervals", ["both exponential", "1:3", "16"], "some interval misses in {} %"),
    (TOGETHER, "45 intervals", [ONE_SKEWED, "1:3", "16"], "against a normal baseline in {} %"),
    (TOGETHER, "5 intervals", ["both exponential", "1:3", "16"], "of one such technique in {} %"),
    (SMALL, "level 0.05", ["exponential", "1:3", "16"], "it misses {} times as often as level .05 says"),
    (SMALL, "level 0.0011", ["exponential", "1:3", "16"], "and {} times as often as .05/45 does"),
]


@pytest.mark.parametrize(("title", "column", "keys", "phrase"), QUOTED)
def test_every_figure_quoted_from_a_table_is_the_tables(title: str, column: str, keys: list[str], phrase: str) -> None:
    value = percent(title, column, *keys)
    assert any(phrase.format(shown) in FLOWING for shown in {f"{value:.0f}", f"{value:.1f}"}), (phrase, value)


def test_headlines_are_wrong_in_no_more_than_five_percent() -> None:
    rows = cells(HEADLINE)
    together = [row[name] for row in rows for name in row if name.startswith("together")]
    assert len(rows) == 24 and len(together) == 72
    for share, error in (map(float, cell.split(" ± ")) for cell in together):
        assert share <= 5 + 3 * max(error, 0.2)


def test_verdicts_come_as_often_as_planned() -> None:
    deviations = [float(row["largest deviation of the six"]) for row in cells("Planned verdicts")]
    assert len(deviations) == 20 and max(deviations) <= 3
    assert f"as often as planned, within {max(deviations):.1f} points" in FLOWING


def test_exact_ties_are_equal_numbers() -> None:
    assert {row["exact ratios"] for row in cells("Exact ties")} == {"0.0 ± 0.0"}


def test_differences_after_stopping_are_the_tables() -> None:
    row = next(row for row in cells("After stopping") if (row["SDs"], row["true difference"]) == ("1:1", "-1"))
    stopped, at_5 = (row[name].replace("-", "−") for name in ("mean difference where stopped", "… at 5 runs"))
    assert f"{stopped} SD on average where the rule stopped, and {at_5} where it stopped at 5 runs" in FLOWING


# Other figures


def test_equal_groups_of_fifty_have_the_expected_dp_that_the_page_states() -> None:
    selected = np.random.default_rng(1).binomial(50, 0.3, (100_000, 7)) / 50
    assert np.ptp(selected, axis=1).mean() == pytest.approx(0.175, abs=0.001)
    assert "have an expected DP of .175" in FLOWING


def test_the_smallest_p_of_three_runs_is_the_one_that_the_page_states() -> None:
    runs = np.arange(3.0)
    assert significance.mann_whitney_exact(runs, runs + 3).p == pytest.approx(0.1)
    assert "2/C(2n, n) without ties, so .1 at n = 3" in FLOWING


def test_risks_of_sixteen_clean_runs_are_those_that_the_page_states() -> None:
    ends = risk.clopper_pearson(0, 16).high, risk.disagreement(0, 16).high
    assert [f"{end:.2f}"[1:] for end in ends] == [".21", ".33"]
    assert "the upper ends are .21 and .33" in FLOWING
    assert f"{four_fifths.clean_runs_needed(0.05)} for p = .05" in FLOWING


def test_counts_of_the_study_are_those_that_the_page_states(data_dir: Path) -> None:
    from fitlib.paper import study
    from fitlib.statistics import paper_protocol

    numbers = study.read(data_dir / "paper")
    labels = paper_protocol.labels_frame(numbers.overall, study.BASELINES)
    plus = [int((labels[column] == "+").sum()) for column in ("label_variance", "label_variance_raw")]
    assert f'its {plus[0]} "variance rose" become {plus[1]}' in FLOWING
    costs = paper_protocol.costs_frame(numbers.overall, numbers.performance, study.BASELINES)
    counts = costs.groupby("judged")["cost_bias_variance"].sum()
    assert f"its {counts['published']} costs in bias variance {counts['raw']}" in FLOWING


# Benchmarks


def test_benchmarks_are_explained_and_only_they() -> None:
    explained = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    scripts = {path.name for path in BENCHMARKS.glob("*.py") if "__main__" in path.read_text(encoding="utf-8")}
    assert scripts == set(re.findall(r"python benchmarks/(\w+\.py)", explained))


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("*.py")), ids=lambda path: path.name)
def test_a_benchmark_imports_only_what_exists(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("fitlib"):
            module = importlib.import_module(node.module)
            for alias in node.names:
                known = hasattr(module, alias.name) or importlib.util.find_spec(f"{node.module}.{alias.name}")
                assert known, alias.name


def test_the_simulations_procedures_equal_fitlibs() -> None:
    do, rng = benchmark("procedures"), np.random.default_rng(7)
    for shape in do.NAMES:
        b, t = do.LOCATION + do.sample(shape, rng, (20, 8)), do.LOCATION - 1 + 2 * do.sample(shape, rng, (20, 8))
        do.check(b, t, replicates=20)


def test_a_failed_claim_is_noticed() -> None:
    simulate, share = benchmark("simulate"), benchmark("procedures").Share
    good = {"exact U": share(50, 1000)} | {name: share(950, 1000) for name in simulate.DEFAULTS}
    cell = (8, "normal", 1)
    assert simulate.broken({cell: good}) == []
    assert simulate.broken({cell: good | {"exact U": share(80, 1000)}}) == [("exact U", cell)]
    assert simulate.broken({cell: good | {"t, mean": share(880, 1000)}}) == [("t, mean", cell)]
