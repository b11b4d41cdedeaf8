"""The command line: every command has a help text, help imports nothing heavy, arguments are checked when parsed."""

import argparse
import subprocess
import sys

import pytest

from fitlib.cli import arguments
from fitlib.cli.main import main, parser

COMMANDS = {
    "plan", "run", "report", "init", "status", "logs", "clean", "verify", "export", "analyze", "trace", "techniques",
    "datasets", "paper", "how-many",
}  # fmt: skip
HEAVY = ("numpy", "pandas", "torch", "pydantic", "yaml", "scipy", "papermill", "jupyter_client", "rich")


def test_every_command_is_listed_with_a_help_text(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    listed = capsys.readouterr().out
    assert ended.value.code == 0 and all(f"\n    {name}" in listed for name in COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_its_arguments(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0 and "--outputs" in capsys.readouterr().out


def test_the_parser_imports_nothing_heavy():
    code = f"import sys; from fitlib.cli.main import parser; parser(); print([m for m in {HEAVY} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_a_command_is_required():
    with pytest.raises(SystemExit) as ended:
        parser().parse_args([])
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("convert", "text", "value"),
    [
        (arguments.positive, "3", 3),
        (arguments.non_negative, "0", 0),
        (arguments.seconds, "90s", 90),
        (arguments.seconds, "1.5 h", 5400),
        (arguments.size_in_bytes, "800M", 800 * 2**20),
        (arguments.root_hash, "AB" * 32, "ab" * 32),
        (arguments.names, "A, B", ["A", "B"]),
        (arguments.numbers_of_runs, "4, 8", [4, 8]),
        (arguments.fraction, "0.012", 0.012),
    ],
)
def test_arguments_are_converted(convert, text, value):
    assert convert(text) == value


@pytest.mark.parametrize(
    ("convert", "text"),
    [
        (arguments.positive, "0"),
        (arguments.positive, "2.5"),
        (arguments.non_negative, "-1"),
        (arguments.seconds, "0s"),
        (arguments.seconds, "90"),
        (arguments.size_in_bytes, "4GB"),
        (arguments.root_hash, "ab" * 31),
        (arguments.numbers_of_runs, "4,,8"),
        (arguments.fraction, "1.2"),
        (arguments.fraction, "x"),
    ],
)
def test_wrong_arguments_are_refused(convert, text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not a"):
        convert(text)
