"""The command `fitlib`: its parser, exit status, errors and signals. Importing it loads nothing heavy."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
from collections.abc import Sequence

import fitlib
from fitlib.cli import experiments, integrity, planning, predictions, registry, state, study, tracing
from fitlib.cli.terminal import show
from fitlib.errors import FitlibError, InputError, did_you_mean
from fitlib.extras import extra_named

GROUPS = (experiments, planning, state, integrity, predictions, tracing, registry, study)

_interrupts: list[int] = []


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; exit status 0 done, 1 something failed, 2 wrong usage or invalid parameters."""
    options = parse(sys.argv[1:] if arguments is None else list(arguments))
    _interrupts.clear()
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # ignored in a shell's background job: leave it
        signal.signal(signal.SIGINT, _interrupt)
    try:
        with extra_named():
            return options.command(options)
    except InputError as error:
        show(f"fitlib: {error}", sys.stderr)
        return 2
    except FitlibError as error:
        show(f"fitlib: {error}", sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nfitlib: interrupted; finished runs are kept, run the same command again to continue", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `fitlib plan … | head`: the reader has enough, which is no error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        show(f"fitlib: {error}; free space or fix permissions, then run the same command again", sys.stderr)
        return 1


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; a misspelt command or option ends the program with the nearest that exists."""
    top, known = _build()
    command = next((text for text in arguments if not text.startswith("-")), "")
    if command and command not in known:
        remedy = did_you_mean(command, known, f"choose from {', '.join(known)}")
        top.error(f"no command {command!r}; {remedy}")
    options, unknown = top.parse_known_args(arguments)
    if unknown:
        used = known[command]
        valid = re.findall(r"(?<![\w-])--?[a-z][a-z-]*", used.format_help())
        wrong = unknown[0].partition("=")[0]
        used.error(f"unrecognized argument {wrong}; {did_you_mean(wrong, valid, f'fitlib {command} --help lists all')}")
    return options


def parser() -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    return _build()[0]


def _build() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """Build the parser, and return with it those of the commands by name."""
    top = argparse.ArgumentParser(prog="fitlib", description="Is this model fair, or was I lucky with this run?")
    top.add_argument("--version", action="version", version=f"fitlib {fitlib.__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for group in GROUPS:
        group.add_commands(commands)
    return top, dict(commands.choices)


def _interrupt(signum: int, frame: object) -> None:
    """End in order at the first signal; at the second one at once, leaving no kernel behind."""
    if _interrupts:
        kernels = sys.modules.get("fitlib.execution.kernels.manager")
        if kernels:
            kernels.end_all()
        print("\x1b[?25h" if sys.stderr.isatty() else "", end="", file=sys.stderr)  # a live table hides the cursor
        os._exit(130)
    _interrupts.append(signum)
    raise KeyboardInterrupt
