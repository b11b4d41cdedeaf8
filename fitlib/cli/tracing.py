"""The command `trace`: where two runs diverge."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fitlib.cli.arguments import add_command, add_overrides, positive
from fitlib.errors import RunFailed

if TYPE_CHECKING:
    from fitlib.cli.arguments import Commands


def add_commands(commands: Commands) -> None:
    """Add `trace` to the parser."""
    sub = add_command(commands, "trace", trace, "find the first step, tensor and operator at which two runs diverge")
    sub.add_argument("files", type=Path, nargs="+", metavar="FILE", help="params/X.yaml, or streams written by --out")
    sub.add_argument("--technique", metavar="T", help="technique whose training is traced (default: the baseline)")
    text = "name of a noise (default: the file's); its options: --set noise.step=5"
    sub.add_argument("--noise", metavar="N", help=text)
    sub.add_argument("--steps", type=positive, metavar="K", help="compare at most this many steps (500)")
    sub.add_argument("--runs", type=positive, default=2, metavar="R", help="trace the first R runs (2)")
    add_overrides(sub)
    sub.add_argument("--operators", action="store_true", help="record the operators of every step as it runs")
    text = "write digest streams, growth and responsible operators there"
    sub.add_argument("--out", type=Path, metavar="DIR", help=text)


def trace(options: argparse.Namespace) -> int:
    """Trace an experiment's training, or compare digest streams; RunFailed where a run crashed."""
    from fitlib.tracing.command import run

    failed = run(options, print)
    if failed:
        raise RunFailed(failed)
    return 0
