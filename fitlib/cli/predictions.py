"""The command `analyze`: predictions made elsewhere."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from fitlib.cli.arguments import add_command, attribute_and_group, names, positive, smallest_effects, value_map
from fitlib.cli.summary import print_results, print_summary
from fitlib.cli.terminal import show
from fitlib.extras import require

if TYPE_CHECKING:
    from fitlib.cli.arguments import Commands
    from fitlib.experiment.schema import Analysis
    from fitlib.ingest.choices import Choices

ROLES = "idx, ground_truth, prediction, protected, protected.ATTRIBUTE, score, score.CLASS, unit, run, technique"


def add_commands(commands: Commands) -> None:
    """Add `analyze` to the parser."""
    sub = add_command(commands, "analyze", analyze, "make the same tables and report from predictions made elsewhere")
    text = "DIR/<technique>/*.csv|parquet, one file per run; or a single file"
    sub.add_argument("folder", type=Path, metavar="DIR", help=text)
    sub.add_argument("--baseline", metavar="NAME", help="technique that the others are compared with")
    sub.add_argument("--favourable", metavar="CLASS", help="the desirable class; enables the four-fifths rule")
    text = f"which column has which role: {ROLES}"
    sub.add_argument("--column", action="append", default=[], metavar="ROLE=NAME", help=text)
    sub.add_argument(
        "--classes", type=names, metavar="A,B", help="all classes, if some never occur in the ground truth"
    )
    text = "a predicted value and the class of the ground truth that it stands for (--map=-1=0); once for each value"
    sub.add_argument("--map", action="append", default=[], metavar="VALUE=CLASS", help=text)
    sub.add_argument(
        "--names", type=names, metavar="A,B", help="names of all columns, for files without a line of names"
    )
    text = "decide the class of the score from this score on, where no column has predictions"
    sub.add_argument("--threshold", type=float, metavar="T", help=text)
    text = "leave the rows of a group out, such as race=Unknown; once for each group"
    sub.add_argument("--drop-group", action="append", default=[], metavar="[ATTRIBUTE=]GROUP", help=text)
    text = "rows of one run, where the runs of a file follow one another"
    sub.add_argument("--rows-per-run", type=positive, metavar="N", help=text)
    sub.add_argument("--cross", action="append", type=names, metavar="A,B", help="also compare the groups of A and B")
    text = (
        'the smallest difference that matters: 0.01 (default), a share of the baseline\'s mean as "10 %%", or DP=0.02'
    )
    sub.add_argument("--smallest-effect", action="append", metavar="[METRIC=]D", help=text)
    sub.add_argument("--primary", metavar="METRIC", help="the metric that decides (default: all metrics together)")
    sub.add_argument("--alpha", type=float, default=0.05, metavar="A", help="level of the tests (0.05)")
    sub.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: outputs/<name of DIR>)")
    only = sub.add_mutually_exclusive_group()
    only.add_argument("--check", action="store_true", help="only print what is read as what")
    only.add_argument("--quick", action="store_true", help="only print a table and the verdict; no report, no files")


def analyze(options: argparse.Namespace) -> int:
    """Analyse a folder or file of predictions."""
    if not options.check:
        require("lab")
    from fitlib.experiment.schema import Analysis, validated

    fields = {"alpha": options.alpha, "cross": options.cross, "primary": options.primary}
    if options.smallest_effect:
        fields["smallest_effect"] = smallest_effects(options.smallest_effect, "analyze")
    analysis = validated(Analysis, fields, "analyze")
    # imported only now: a wrong value is reported without waiting for pandas
    from fitlib.ingest import analyze

    if options.check:
        show("\n".join(analyze.check(options.folder, options.baseline, analysis, _choices(options))))
        return 0
    if options.quick:
        results = analyze.analyze_in_memory(options.folder, options.baseline, analysis, _choices(options))
        print_results(results)
        return 0
    return _write_report(options, analysis)


def _write_report(options: argparse.Namespace, analysis: Analysis) -> int:
    from fitlib.execution.progress import Progress
    from fitlib.ingest.analyze import analyze
    from fitlib.ingest.normalise import default_name
    from fitlib.storage.paths import ExperimentPaths

    name = default_name(options.folder) if options.folder.is_file() else options.folder.resolve().name
    out = options.out or options.outputs / name
    progress, cores = Progress(), os.cpu_count() or 1
    outcome = analyze(options.folder, options.baseline, out, analysis, cores, progress, _choices(options))
    progress.close()
    return print_summary(options.outputs, ExperimentPaths(out), outcome)


def _choices(options: argparse.Namespace) -> Choices:
    from fitlib.ingest.choices import Choices
    from fitlib.ingest.column_roles import parse_column_roles

    return Choices(
        parse_column_roles(options.column),
        options.classes and tuple(options.classes),
        options.favourable,
        value_map(options.map),
        options.names and tuple(options.names),
        options.threshold,
        tuple(attribute_and_group(text) for text in options.drop_group),
        options.rows_per_run,
    )
