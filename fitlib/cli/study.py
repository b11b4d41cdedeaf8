"""The command `paper`: the published study, recomputed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fitlib.cli.arguments import add_command
from fitlib.extras import require

if TYPE_CHECKING:
    from fitlib.cli.arguments import Commands


def add_commands(commands: Commands) -> None:
    """Add `paper` to the parser."""
    text = "recompute the published study's tables and figures from its published numbers"
    sub = add_command(commands, "paper", paper, text)
    text = "its numbers (default: FITLIB_DATA_DIR/paper, else downloaded)"
    sub.add_argument("--data", type=Path, metavar="DIR", help=text)
    sub.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: outputs/paper)")


def paper(options: argparse.Namespace) -> int:
    """Recompute the study and print the path of each page."""
    require("lab")
    from fitlib.paper.command import recompute

    out = options.out or options.outputs / "paper"
    for path in recompute(options.data, out, lambda line: print(line, file=sys.stderr)):
        print(f"{path.stem}: {path}")
    return 0
