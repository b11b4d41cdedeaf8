"""The command `how-many`, and its part of `plan`: how probable each verdict is with how many runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fitlib.cli.arguments import add_command, fraction, numbers_of_runs, positive, smallest_effects
from fitlib.errors import InputError, did_you_mean
from fitlib.statistics.verdict_names import RUNS

if TYPE_CHECKING:
    import pandas as pd

    from fitlib.cli.arguments import Commands
    from fitlib.experiment.model import Experiment
    from fitlib.experiment.planned_verdicts import PlannedVerdicts
    from fitlib.metrics.smallest_effects import Declared

COMMAND = "fitlib how-many"
FIGURES = (".svg", ".png")
ASK = "P(each verdict) by number of runs: add --sd SD (of a metric over runs, as 0.012) or --pilot EXPERIMENT."
LEGEND = (
    "Percentages. fair: fairer; equi: equivalent; und.: undecided (lower, open or higher); the rest up to 100 is a "
    "false less fair."
)
BORDER = (
    "At a true difference of exactly the smallest effect, fairer comes in half the level, with any number of runs. "
    "Towards less fair all is the same."
)
AVERAGED = "Averaged over the true SDs that the pilot's runs leave open (--csv has the 10 % and 90 % quantiles)."
DECLARED = "At exactly these SDs, which no pilot has confirmed."


def add_commands(commands: Commands) -> None:
    """Add `how-many` to the parser."""
    text = "show how probable each verdict is with how many runs, from a pilot experiment or declared SDs"
    sub = add_command(commands, "how-many", how_many, text)
    sub.add_argument("pilot", nargs="?", metavar="PILOT", help="name or folder of a finished experiment")
    sub.add_argument("--runs", type=numbers_of_runs, metavar="N,N", help="numbers of runs of each (default: 3 to 64)")
    sub.add_argument("--technique", action="append", default=[], metavar="T", help="only this technique of the pilot")
    text = "this metric of the pilot (default: the primary one, else those of median and of largest SD)"
    sub.add_argument("--metric", action="append", default=[], metavar="M", help=text)
    _add_declared(sub)
    sub.add_argument("--figure", type=Path, metavar="FILE", help="also draw the curves: .svg or .png")
    sub.add_argument("--csv", type=Path, metavar="FILE", help="also write the whole table")


def _add_declared(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--sd", type=fraction, metavar="SD", help="without a pilot: SD of the metric over runs, as 0.012")
    sub.add_argument("--sd-technique", type=fraction, metavar="SD", help="SD of the technique, if it is another")
    sub.add_argument("--paired", action="store_true", help="--sd is that of the differences: one training, or seeds")
    text = "the smallest difference that matters (default: the pilot's, else 0.01)"
    sub.add_argument("--smallest-effect", action="append", metavar="[METRIC=]D", help=text)
    sub.add_argument("--comparisons", type=positive, metavar="C", help="comparisons that will be judged together (1)")
    sub.add_argument("--metrics", type=positive, metavar="M", help="metrics of each; 1 if one is declared primary (1)")
    sub.add_argument("--alpha", type=fraction, metavar="A", help="level of all verdicts together (0.05)")
    sub.add_argument("--level", type=fraction, metavar="L", help="level of each verdict, instead of the above")


def how_many(options: argparse.Namespace) -> int:
    """Print the probability of each verdict by number of runs and true difference."""
    _check(options)
    frame, notes = _from_declared(options) if options.sd else _from_pilot(options)
    from fitlib.report.sections.planning import planning_lines

    print("\n".join([*planning_lines(frame), "", *notes]))
    _save(frame, options)
    return 0


def lines_before_runs(experiment: Experiment, options: argparse.Namespace) -> list[str]:
    """Return the table for an experiment before its runs, from `--sd` or `--pilot`; without them, how to get it."""
    if not options.sd and not options.pilot:
        return [ASK]
    if options.sd and options.pilot:
        raise InputError("fitlib plan", "--sd", options.sd, "a pilot is given too", "leave out --sd or --pilot")
    from fitlib.experiment.planned_verdicts import planned_verdicts
    from fitlib.report.sections.planning import planning_lines

    verdicts = planned_verdicts(experiment)
    if not verdicts.comparisons:
        return ["P(each verdict): nothing will be compared."]
    if options.sd and not verdicts.effects:
        return ["P(each verdict): the smallest effect is a share of the baseline's mean; take --pilot EXPERIMENT."]
    frame = _planned_frame(experiment, verdicts, options)
    notes = [_bonferroni(verdicts.comparisons, verdicts.metrics), LEGEND, BORDER]
    return ["", *planning_lines(frame), "", *notes, AVERAGED if options.pilot else DECLARED]


def _planned_frame(experiment: Experiment, verdicts: PlannedVerdicts, options: argparse.Namespace) -> pd.DataFrame:
    """Return the table for the declared effects of an experiment, at its numbers of runs (or seeds) among others."""
    from fitlib.statistics.planning import NUMBERS, bonferroni_level
    from fitlib.tables.planning import BY_RUN, BY_SEED, INDEPENDENT, declared_comparison, table_of_chances

    level = bonferroni_level(verdicts.comparisons, verdicts.metrics, verdicts.alpha)
    numbers = sorted({*NUMBERS, verdicts.runs})
    if options.pilot:
        metrics = [verdicts.primary] if verdicts.primary else []
        effect = experiment.declared["analysis"]["smallest_effect"]
        frame = _pilot_frame(options.outputs, options.pilot, numbers, [], metrics, effect, level)
        return _for_design(_not_empty(frame, options.pilot), verdicts, options.pilot)
    design = BY_SEED if verdicts.over_seeds else BY_RUN if verdicts.paired else INDEPENDENT
    planned = [
        declared_comparison([options.sd], effect, level, design, metrics)
        for metrics, effect in verdicts.effects.items()
    ]
    return table_of_chances(planned, numbers)


def _for_design(frame: pd.DataFrame, verdicts: PlannedVerdicts, pilot: str) -> pd.DataFrame:
    """Return the table; raise InputError if it counts runs and the experiment counts seeds, or the reverse."""
    if (frame["design"] == "paired by seed").any() == verdicts.over_seeds:
        return frame
    problem = "it has one seed, the experiment several" if verdicts.over_seeds else "it has several seeds, not one"
    remedy = "take a pilot of several seeds" if verdicts.over_seeds else "take a pilot of one seed"
    raise InputError("fitlib plan", "--pilot", pilot, problem, f"{remedy}, or give --sd")


def _check(options: argparse.Namespace) -> None:
    """Raise InputError for options that contradict each other."""
    if bool(options.pilot) == bool(options.sd):
        problem = "a pilot and --sd are given" if options.pilot else "neither a pilot nor --sd is given"
        raise InputError(COMMAND, "PILOT", options.pilot, problem, "name a finished experiment, or give --sd 0.012")
    if options.paired and options.sd_technique:
        problem = "paired differences have one SD"
        raise InputError(COMMAND, "--sd-technique", options.sd_technique, problem, "leave it out, or --paired")
    if options.level and (options.comparisons or options.metrics or options.alpha):
        problem = "the level is given, and how many verdicts it is to be computed for"
        raise InputError(
            COMMAND, "--level", options.level, problem, "leave out --comparisons, --metrics and --alpha, or --level"
        )
    declared = [
        name for name in ("sd_technique", "paired", "comparisons", "metrics", "alpha") if getattr(options, name)
    ]
    if options.pilot and declared:
        name = f"--{declared[0].replace('_', '-')}"
        problem, remedy = "goes with --sd only", "leave it out: the pilot's tables have it"
        raise InputError(COMMAND, name, getattr(options, declared[0]), problem, remedy)
    if options.figure and options.runs and max(options.runs) < RUNS:
        problem, runs = f"no verdict below {RUNS} runs, so no curve", ",".join(map(str, options.runs))
        raise InputError(COMMAND, "--runs", runs, problem, "add a larger number, or leave out --figure")
    if options.figure and options.figure.suffix not in FIGURES:
        raise InputError(COMMAND, "--figure", str(options.figure), "unknown format", f"use {' or '.join(FIGURES)}")


def _from_declared(options: argparse.Namespace) -> tuple[pd.DataFrame, list[str]]:
    from fitlib.statistics.planning import NUMBERS, bonferroni_level
    from fitlib.tables.planning import BY_RUN, INDEPENDENT, declared_comparison, table_of_chances

    comparisons, metrics = options.comparisons or 1, options.metrics or 1
    level = options.level or bonferroni_level(comparisons, metrics, options.alpha or 0.05)
    sds = [options.sd, options.sd_technique] if options.sd_technique else [options.sd]
    one = declared_comparison(sds, _one_effect(options), level, BY_RUN if options.paired else INDEPENDENT)
    origin = [] if options.level else [_bonferroni(comparisons, metrics)]
    return table_of_chances([one], options.runs or NUMBERS), [*origin, LEGEND, BORDER, DECLARED]


def _one_effect(options: argparse.Namespace) -> float:
    """Return the smallest effect beside `--sd`: a number, since there is neither a metric nor a baseline's mean."""
    if not options.smallest_effect:
        return 0.01
    effect = smallest_effects(options.smallest_effect, COMMAND)
    if not isinstance(effect, float):
        remedy = "give a number such as 0.01, or a pilot"
        raise InputError(COMMAND, "--smallest-effect", " ".join(options.smallest_effect), "no number", remedy)
    return effect


def _bonferroni(comparisons: int, metrics: int) -> str:
    return (
        f"Level: Bonferroni's for {comparisons} × {metrics} verdicts together, a lower bound; that found in the runs "
        "is at least as large, as metrics go together. It depends on the number of verdicts, hardly on that of runs."
    )


def _from_pilot(options: argparse.Namespace) -> tuple[pd.DataFrame, list[str]]:
    from fitlib.statistics.planning import NUMBERS

    effects = smallest_effects(options.smallest_effect, COMMAND) if options.smallest_effect else None
    chosen = (options.technique, options.metric, effects, options.level)
    frame = _pilot_frame(options.outputs, options.pilot, options.runs or NUMBERS, *chosen)
    origin = "Level: of the pilot's family. It depends on the number of verdicts, hardly on that of runs."
    return _not_empty(frame, options.pilot), [*([] if options.level else [origin]), LEGEND, BORDER, AVERAGED]


def _pilot_frame(
    outputs: Path,
    pilot: str,
    numbers: Sequence[int],
    techniques: list[str],
    metrics: list[str],
    smallest_effect: Declared | None,
    level: float | None,
) -> pd.DataFrame:
    """Return the table from the finished experiment ``pilot``, of all its families; InputError for unknown names."""
    import pandas as pd

    from fitlib.metrics.bias_metrics import bias_metrics_of
    from fitlib.results.loaded import load
    from fitlib.tables.planning import how_many

    experiment = load(pilot, outputs)
    families = list(experiment.families.values()) or [experiment]
    compared = [t["technique"] for family in families for t in family.plan["techniques"] if t["baseline"] is not None]
    _known("--technique", techniques, compared, pilot)
    _known("--metric", metrics, bias_metrics_of(families[0].plan["analysis"]), pilot)
    frames = []
    for family in families:
        tables = family.tables["comparisons"], family.tables["over_seeds"]
        frames.append(how_many(*tables, dict(family.plan), numbers, techniques, metrics, smallest_effect, level))
    return pd.concat(frames, ignore_index=True)


def _known(option: str, given: list[str], names: list[str] | tuple[str, ...], pilot: str) -> None:
    for name in given:
        if name not in names:
            remedy = did_you_mean(name, names, f"known: {', '.join(names) or 'none'}")
            raise InputError(pilot, option, name, "not compared in this experiment", remedy)


def _not_empty(frame: pd.DataFrame, pilot: str) -> pd.DataFrame:
    if frame.empty:
        problem = "no comparison with two runs or more that differ"
        raise InputError(pilot, "pilot", pilot, problem, "make more runs of it, or give --sd")
    return frame


def _save(frame: pd.DataFrame, options: argparse.Namespace) -> None:
    if options.csv:
        from fitlib.tables.schemas import write_csv

        write_csv(frame, options.csv)
    if options.figure:
        from fitlib.report.figures import planning, style

        style.save_as(planning.planning_figure(frame, planning.present_numbers(frame)), options.figure)
