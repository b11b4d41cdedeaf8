"""Building blocks of the parser: adding a command, options that several commands share, types of arguments."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from fitlib.errors import InputError

if TYPE_CHECKING:
    Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(
    commands: Commands, name: str, function: Callable[[argparse.Namespace], int], text: str
) -> argparse.ArgumentParser:
    """Add a command that calls `function` with the parsed options; return its parser."""
    parser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(command=function)
    parser.add_argument("--outputs", type=Path, default=Path("outputs"), help="folder of all experiments (outputs)")
    return parser


def add_experiment(parser: argparse.ArgumentParser) -> None:
    """Add the positional argument EXPERIMENT, the name of a folder in `--outputs`."""
    parser.add_argument("experiment", help="name of an experiment")


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Add `--set KEY=VALUE`, which overrides fields of the experiment file."""
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a field of the experiment file"
    )


def names(text: str) -> list[str]:
    """Split a list of names at its commas.

    >>> names("granted, refused")
    ['granted', 'refused']
    """
    return [name.strip() for name in text.split(",")]


def root_hash(text: str) -> str:
    """Return a SHA-256 in lower case."""
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a SHA-256: 64 hexadecimal digits, as fitlib run prints it")
    return text.lower()


def positive(text: str) -> int:
    """Return a whole number of at least 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return value


def non_negative(text: str) -> int:
    """Return a whole number of at least 0."""
    return 0 if text.strip() == "0" else positive(text)


def numbers_of_runs(text: str) -> list[int]:
    """Split a list of numbers of runs at its commas.

    >>> numbers_of_runs("4,8, 16")
    [4, 8, 16]
    """
    return [positive(part.strip()) for part in text.split(",")]


def fraction(text: str) -> float:
    """Return a number above 0 and below 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 1 (0.012 is 1.2 points)")
    return value


def seconds(text: str) -> float:
    """Convert a time with a unit to seconds.

    >>> seconds("30m")
    1800.0
    """
    return _amount(text, {"s": 1, "m": 60, "h": 3600}, "a time such as 90s, 30m or 2h")


def size_in_bytes(text: str) -> int:
    """Convert a size with a binary unit to bytes.

    >>> size_in_bytes("1.5G")
    1610612736
    """
    return int(_amount(text, {"M": 2**20, "G": 2**30}, "a size such as 800M or 4G"))


def _amount(text: str, units: dict[str, int], expected: str) -> float:
    found = re.fullmatch(rf"([0-9]+(?:\.[0-9]+)?)\s*([{''.join(units)}])", text)
    if not found or not float(found[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is not {expected}")
    return float(found[1]) * units[found[2]]


def smallest_effects(texts: list[str], command: str) -> float | str | dict[str, float | str]:
    """Return what `--smallest-effect` declares, once for all metrics or as METRIC=D for single ones.

    >>> smallest_effects(["0.02"], "analyze"), smallest_effects(["DP=0.02", "DI=10 %"], "analyze")
    (0.02, {'DP': 0.02, 'DI': '10 %'})
    """
    pairs = [text.rpartition("=") for text in texts]
    values = {metric: _number_or_text(value) for metric, _, value in pairs}
    from fitlib.metrics.smallest_effects import check  # NumPy takes a tenth of a second

    if "" in values and len(texts) > 1:
        remedy = "give D once for all metrics, or METRIC=D for each"
        problem = "a number without a metric beside others"
        raise InputError(command, "--smallest-effect", " ".join(texts), problem, remedy)
    found = values.get("", values)
    try:
        check(found)
    except ValueError as error:
        remedy = 'give 0.01, "10 %" or DP=0.02'
        raise InputError(command, "--smallest-effect", " ".join(texts), str(error), remedy) from None
    return found


def _number_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def value_map(texts: list[str]) -> dict[str, str]:
    """Return what `--map` declares, {predicted value: class}; InputError for another form or a value given twice.

    >>> value_map(["0=<=50K", "1=>50K"])
    {'0': '<=50K', '1': '>50K'}
    """
    found: dict[str, str] = {}
    for text in texts:
        value, separator, meant = (part.strip() for part in text.partition("="))
        if not (value and separator and meant):
            raise InputError("analyze", "--map", text, "not a value and a class", "write VALUE=CLASS, such as 1=yes")
        if value in found:
            raise InputError("analyze", "--map", text, "this value is given twice", "keep one of them")
        found[value] = meant
    return found


def attribute_and_group(text: str) -> tuple[str, str]:
    """Split what `--drop-group` names at its first "=".

    >>> attribute_and_group("race=Unknown"), attribute_and_group("?")
    (('race', 'Unknown'), ('', '?'))
    """
    attribute, separator, group = (part.strip() for part in text.partition("="))
    return (attribute, group) if separator else ("", attribute)
