"""What fitlib's tests and intervals do where the truth is known: type-I error, coverage and power by simulation.

    python benchmarks/simulate.py [--replicates 4000] [--seed N] [--markdown docs/statistics.md] [--jobs 2]
    python benchmarks/simulate.py --only "Exact ties" --markdown docs/statistics.md

The second form reruns single questions with the replicates and the seed that the page states, so that they are those of
a full run, and leaves the other tables as they are.

Every figure is a percentage ± its Monte Carlo standard error. The seed is drawn from the operating system unless given,
and printed. Exits 1 unless the claims hold: the exact U test keeps .05 under identical distributions (+ 3 standard
errors), the default intervals of normal runs cover at least 93 % from n = 8 on (- 3 standard errors), and verdicts that
hold together are wrong in at most .05 of experiments in which nothing differs (+ 3 standard errors). Of the some thirty
claims on tests and intervals one fails by chance in about one run of fifty; so one that fails is told, and its cell is
repeated with fresh draws and ten times the replicates, which decide.
"""

import argparse
import math
import re
import secrets
import sys
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import procedures as do
from measure import table
from procedures import LOCATION, NAMES, Share, covers, share
from questions import QUESTIONS, Question

SIZES = (3, 5, 8, 16, 64)
SHAPES = ("normal", "t3", "skewed")
RATIOS = (1, 3)
SHIFT = 2.0  # true difference where an effect is estimated, in SDs of the baseline
MARKS = ("<!-- simulations -->", "<!-- end of simulations -->")
HEADLINE = "False verdicts in the headline"
DEFAULTS = ("Welch, difference of means", "t, mean", "Bonett, SD", "Bonett, Cohen's d", "Newcombe, P(reversal)")


Cell = tuple[int, str, int]  # runs, shape, SD ratio
Found = dict[str, Share]


CELLS: list[Cell] = [(n, shape, ratio) for ratio in RATIOS for shape in SHAPES for n in SIZES]


# Cells by n, shape and SD ratio


def simulate_cell(cell: Cell, seed: np.random.SeedSequence, replicates: int, permutations: int) -> Found:
    """Rejections and coverages of one cell; both arms have equal means unless an effect is estimated."""
    n, shape, ratio = cell
    rng = np.random.default_rng(seed)
    b, t = (do.sample(shape, rng, (replicates, n)) for _ in range(2))
    b, t = LOCATION + b, LOCATION + ratio * t
    if n >= 5:
        do.check(b, t - SHIFT)
    return {
        **_rejections(b, t, rng, permutations),
        **_coverages(b, t, ratio),
        **_reversal_coverage(b, t - SHIFT, do.probability_above(shape, ratio, -SHIFT)),
    }


def _rejections(b: np.ndarray, t: np.ndarray, rng: np.random.Generator, permutations: int) -> Found:
    p = {
        "exact U": do.exact_u(b, t),
        "studentised permutation": do.studentised(b, t, rng, permutations),
        "Welch t": do.welch_t(b, t),
        "Brown-Forsythe, raw": do.brown_forsythe(b, t),
        "Brown-Forsythe, values/mean": do.brown_forsythe_relative(b, t),
        "`paper`: one-sided U, side by the means": do.paper_mean(b, t),
    }
    return {name: share(values <= do.ALPHA) for name, values in p.items()}


def _coverages(b: np.ndarray, t: np.ndarray, ratio: int) -> Found:
    d = -SHIFT / math.sqrt((1 + ratio**2) / 2)
    found = {"Welch, difference of means": share(covers(do.welch_interval(b, t), 0.0))}
    found["Bonett, Cohen's d"] = share(covers(do.d_interval(b, t - SHIFT), d))
    if ratio == 1:
        found["t, mean"] = share(covers(do.mean_interval(b), LOCATION))
        found["chi-square, SD"] = share(covers(do.sd_interval(b, "chi-square"), 1.0))
        if b.shape[1] >= 5:
            found["Bonett, SD"] = share(covers(do.sd_interval(b, "bonett"), 1.0))
    return found


def _reversal_coverage(b: np.ndarray, t: np.ndarray, truth: float) -> Found:
    inside, shown = covers(do.reversal_interval(b, t), truth), do.welch_interval(b, t)[1] < 0
    found = {"Newcombe, P(reversal)": share(inside), "number shown": share(shown)}
    return found | ({"Newcombe, where shown": share(inside[shown])} if shown.any() else {})


# Tables

TESTS = (
    "exact U", "studentised permutation", "Welch t", "`paper`: one-sided U, side by the means", "Brown-Forsythe, raw",
    "Brown-Forsythe, values/mean",
)  # fmt: skip
INTERVALS = (*DEFAULTS[:2], "Bonett, SD", "chi-square, SD", *DEFAULTS[3:], "Newcombe, where shown", "number shown")


GRIDS = (
    ("Type-I error, equal SDs", "Both arms have one distribution; nominal 5 %.", TESTS, 1),
    (
        "Rejections, SDs 3:1",
        "Equal means, the technique's SD three times the baseline's; nominal 5 % for tests of the mean. The exact U "
        "test asks for identical distributions, which these are not. For Brown-Forsythe these are powers.",
        TESTS,
        3,
    ),
    (
        "Coverage, equal SDs",
        f'Nominal 95 %. Cohen\'s d and P(reversal) at a true difference of {SHIFT:g} SDs; "number shown": how often '
        "Welch's interval excludes 0, so that P(reversal) is printed at all.",
        INTERVALS,
        1,
    ),
    ("Coverage, SDs 3:1", "As before, the technique's SD three times the baseline's.", INTERVALS, 3),
)


def grid(cells: dict[Cell, Found], names: Sequence[str], ratio: int) -> str:
    """A table of procedure and shape by n, for one SD ratio."""
    rows = [
        [name, NAMES[shape], *(str(cells[n, shape, ratio].get(name, "–")) for n in SIZES)]
        for name in names
        for shape in SHAPES
        if any(name in cells[n, shape, ratio] for n in SIZES)
    ]
    return table(["procedure", "runs are", *(f"n = {n}" for n in SIZES)], rows)


def report(
    cells: dict[Cell, Found], answers: dict[str, list[list]], told: list[str], options: argparse.Namespace
) -> str:
    """All tables as Markdown, without date or machine."""
    provenance = (
        f"{options.replicates:,} replicates (fewer where a table says so; BCa: at most 2,000), {options.permutations} "
        f"permutations, seed {options.seed}, `benchmarks/simulate.py`; percentages ± Monte Carlo standard error. Runs "
        "have mean 0 and SD 1 before scale and shift."
    )
    claims = (
        "Claimed: exact U under identical distributions rejects in at most 5 % (+ 3 standard errors); default "
        "intervals of normal runs cover at least 93 % from n = 8 on (− 3 standard errors); verdicts that hold together "
        f"are wrong in at most 5 % of experiments in which nothing differs (+ 3 standard errors). {' '.join(told)}"
    )
    parts = [provenance, claims]
    for title, text, names, ratio in GRIDS:
        parts += [f"### {title}", text, grid(cells, names, ratio)]
    parts += [section(title, rows) for title, rows in answers.items()]
    return "\n\n".join(parts) + "\n"


def section(title: str, rows: list[list]) -> str:
    """A question's table under its heading."""
    question = QUESTIONS[title]
    return "\n\n".join([f"### {title}", question.text, table(question.header, rows)])


# Claims


Claim = tuple[str, Cell]  # procedure, cell


def broken(cells: dict[Cell, Found]) -> list[Claim]:
    """Claims that do not hold in these cells; everything else is told as found."""
    identical = [cell for cell in cells if cell[2] == 1]
    size = [("exact U", cell) for cell in identical if _above(cells[cell]["exact U"], 0.05)]
    normal = [cell for cell in identical if cell[1] == "normal" and cell[0] >= 8]
    return size + [(name, cell) for cell in normal for name in DEFAULTS if _below(cells[cell][name], 0.93)]


def _above(found: Share, limit: float) -> bool:
    return found.value > limit + 3 * found.error


def _below(found: Share, limit: float) -> bool:
    return found.value < limit - 3 * found.error


def broken_headlines(answers: dict[str, list[list]]) -> list[str]:
    """The experiments whose verdicts, held together, are wrong too often."""
    header, rows = QUESTIONS[HEADLINE].header, answers.get(HEADLINE, [])
    together = [i for i, name in enumerate(header) if name.startswith("together")]
    return [
        f"{HEADLINE}, {', '.join(map(str, row[:3]))}, {header[i]}: {row[i]}"
        for row in rows
        for i in together
        if _above(row[i], 0.05)
    ]


def judge(
    cells: dict[Cell, Found], answers: dict[str, list[list]], options: argparse.Namespace
) -> tuple[list[str], bool]:
    """What is to be said of the claims, and whether all hold once those of cells that failed were repeated."""
    failed, told = broken(cells), broken_headlines(answers)
    held = not told
    for name, cell in failed:
        seed = np.random.SeedSequence([options.seed, *cell[::2], SHAPES.index(cell[1])])
        again = simulate_cell(cell, seed, 10 * options.replicates, options.permutations)
        held &= not broken({cell: again})
        place = f"n = {cell[0]}, {NAMES[cell[1]]}"
        told.append(f"{name}, {place}: {cells[cell][name]}; repeated with ten times the replicates: {again[name]}.")
    return [f"Outside the claim by more than 3 standard errors: {line}" for line in told] or ["All claims hold."], held


# Command


def main() -> int:
    options = arguments()
    with warnings.catch_warnings(action="error"):
        return rerun(options) if options.only else run_all(options)


def run_all(options: argparse.Namespace) -> int:
    print(f"seed {options.seed}", flush=True)
    cells, answers = simulate(options)
    told, held = judge(cells, answers, options)
    text = report(cells, answers, told, options)
    print(text)
    if options.markdown:
        write_between(options.markdown, text)
    return 0 if held else 1


def rerun(options: argparse.Namespace) -> int:
    """Answer single questions as a full run with the page's replicates and seed would, and replace their tables."""
    stated = re.search(r"^([\d,]+) replicates .*, seed (\d+),", options.markdown.read_text(encoding="utf-8"), re.M)
    options.replicates, options.seed = (int(number.replace(",", "")) for number in stated.groups())
    wrong = []
    for title in options.only:
        rows = _answer(QUESTIONS[title], _seeds(options)[title], options.replicates)
        print(section(title, rows), flush=True)
        replace_section(options.markdown, title, section(title, rows))
        wrong += broken_headlines({title: rows})
    print("\n".join(wrong))
    return 1 if wrong else 0


def replace_section(path: Path, title: str, text: str) -> None:
    """Replaces a question's table in a Markdown file, or adds it where `QUESTIONS` has it."""
    before, _, rest = path.read_text(encoding="utf-8").partition(MARKS[0])
    tables, _, after = rest.partition(MARKS[1])
    head, *parts = re.split(r"^(?=### )", tables, flags=re.M)
    found = {part.partition("\n")[0].removeprefix("### "): part.strip() for part in parts} | {title: text}
    order = [name for name in (*(title for title, *_ in GRIDS), *QUESTIONS) if name in found]
    told = "\n\n".join([head.strip(), *(found[name] for name in order)])
    path.write_text(f"{before}{MARKS[0]}\n\n{told}\n\n{MARKS[1]}{after}", encoding="utf-8")


def write_between(path: Path, text: str) -> None:
    """Replaces what stands between the two marks in a Markdown file; ValueError without them."""
    before, _, rest = path.read_text(encoding="utf-8").partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not end:
        raise ValueError(f"{path}: {MARKS[0]} and {MARKS[1]} are needed, between which the tables go")
    path.write_text(f"{before}{MARKS[0]}\n\n{text}\n{end}{after}", encoding="utf-8")


def simulate(options: argparse.Namespace) -> tuple[dict[Cell, Found], dict[str, list[list]]]:
    """Every cell and question with a generator of its own, so figures do not depend on ``--jobs``."""
    seeds = _seeds(options)
    with ProcessPoolExecutor(options.jobs, initializer=_quiet) as pool:
        arguments = (options.replicates, options.permutations)
        cells = {key: pool.submit(simulate_cell, key, seeds[key], *arguments) for key in CELLS}
        answers = {
            title: pool.submit(_answer, ask, seeds[title], options.replicates) for title, ask in QUESTIONS.items()
        }
        return (
            {key: cell.result() for key, cell in cells.items()},
            {title: answer.result() for title, answer in answers.items()},
        )


def _seeds(options: argparse.Namespace) -> dict[Cell | str, np.random.SeedSequence]:
    """A seed for each cell and question; a new question at the end changes none of them."""
    keys = [*CELLS, *QUESTIONS]
    return dict(zip(keys, np.random.SeedSequence(options.seed).spawn(len(keys)), strict=True))


def _answer(question: Question, seed: np.random.SeedSequence, replicates: int) -> list[list]:
    return question.ask(np.random.default_rng(seed), replicates)


def _quiet() -> None:
    warnings.simplefilter("error")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=4000)
    parser.add_argument("--permutations", type=int, default=999)
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=QUESTIONS, metavar="TITLE", help="rerun these tables of the page")
    options = parser.parse_args()
    if options.only and not options.markdown:
        parser.error("--only needs --markdown, whose other tables it keeps")
    return options


if __name__ == "__main__":
    sys.exit(main())
