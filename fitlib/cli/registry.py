"""The commands `techniques` and `datasets`: what an experiment file can name."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from fitlib.cli.arguments import add_command

if TYPE_CHECKING:
    from fitlib.cli.arguments import Commands


def add_commands(commands: Commands) -> None:
    """Add `techniques` and `datasets` to the parser."""
    sub = add_command(commands, "techniques", techniques, "list the methods, networks and noises, one line each")
    sub.add_argument("--markdown", action="store_true", help="everything with all options, as docs/techniques.md")
    add_command(commands, "datasets", datasets, "list the data sets, what each needs and where it comes from")


def techniques(options: argparse.Namespace) -> int:
    """Print the methods, networks and noises."""
    from fitlib.experiment.registry import listing

    if options.markdown:
        print(listing.markdown(), end="")
    else:
        print("\n".join(listing.techniques()))
    return 0


def datasets(options: argparse.Namespace) -> int:
    """Print the data sets."""
    from fitlib.experiment.registry import listing

    print("\n".join(listing.datasets()))
    return 0
