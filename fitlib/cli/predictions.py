"""The command `analyze`: predictions made elsewhere."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from fitlib.cli.arguments import add_command, attribute_and_group, names, positive, smallest_effects, value_map
from fitlib.cli.summary import print_summary
from fitlib.extras import require

if TYPE_CHECKING:
    from fitlib.cli.arguments import Commands

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


def analyze(options: argparse.Namespace) -> int:
    """Analyse a folder or file of predictions."""
    require("lab")
    from fitlib.execution.progress import Progress
    from fitlib.experiment.schema import Analysis, validated
    from fitlib.storage.paths import ExperimentPaths

    fields = {"alpha": options.alpha, "cross": options.cross, "primary": options.primary}
    if options.smallest_effect:
        fields["smallest_effect"] = smallest_effects(options.smallest_effect, "analyze")
    analysis = validated(Analysis, fields, "analyze")
    # imported only now: a wrong value is reported without waiting for pandas
    from fitlib.ingest.analyze import analyze
    from fitlib.ingest.choices import Choices
    from fitlib.ingest.column_roles import parse_column_roles
    from fitlib.ingest.normalise import default_name

    columns, classes = parse_column_roles(options.column), options.classes and tuple(options.classes)
    choices = Choices(
        columns,
        classes,
        options.favourable,
        value_map(options.map),
        options.names and tuple(options.names),
        options.threshold,
        tuple(attribute_and_group(text) for text in options.drop_group),
        options.rows_per_run,
    )
    name = default_name(options.folder) if options.folder.is_file() else options.folder.resolve().name
    out = options.out or options.outputs / name
    progress = Progress()
    outcome = analyze(options.folder, options.baseline, out, analysis, os.cpu_count() or 1, progress, choices)
    progress.close()
    return print_summary(options.outputs, ExperimentPaths(out), outcome)
