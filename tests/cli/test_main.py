"""The command line: every command has a help text, help imports nothing heavy, arguments are checked when parsed."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from fitlib.cli import arguments
from fitlib.cli.main import main, parser
from fitlib.experiment.declaration import declare
from fitlib.experiment.parse import read_experiment
from fitlib.storage.paths import ExperimentPaths

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


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["stauts"], "no command 'stauts'; did you mean 'status'?"),
        (["xyzzy"], "no command 'xyzzy'; choose from plan, run"),
        (["run", "x.yaml", "--replase"], "unrecognized argument --replase; did you mean '--replace'?"),
        (["run", "x.yaml", "--foo=3"], "unrecognized argument --foo; fitlib run --help lists all"),
        (["status", "a", "b"], "unrecognized argument b; fitlib status --help lists all"),
    ],
)
def test_a_misspelt_command_or_option_gets_the_nearest(typed, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(typed)
    assert ended.value.code == 2 and message in capsys.readouterr().err


def refusal(capsys, *arguments):
    assert main([*map(str, arguments)]) == 2
    return capsys.readouterr().err


def test_a_misspelt_file_technique_or_experiment_gets_the_nearest(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    nearest = "no such file; did you mean params/quickstart.yaml?"
    assert nearest in refusal(capsys, "plan", "params/quikstart.yaml")
    assert nearest in refusal(capsys, "run", "quickstart.yaml")
    assert "did you mean 'S-DI2'?" in refusal(capsys, "plan", "params/quickstart.yaml", "--only", "S-DI3")
    (tmp_path / "adult").mkdir()
    (tmp_path / "adult" / "experiment.yaml").write_text("")
    assert "no such experiment; did you mean 'adult'?" in refusal(capsys, "logs", "adlut", "x", "--outputs", tmp_path)
    assert "existing experiments: adult" in refusal(capsys, "clean", "xyzzy", "--outputs", tmp_path)


def test_plan_lists_the_runs_of_an_arm_in_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    assert main(["plan", "params/quickstart.yaml", "--outputs", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[3] == "baseline/ulp/run-00…15             will run: new" and "54 of 54" in lines[6]


@pytest.mark.parametrize("give", [lambda root: root.name, lambda root: root, lambda root: f"{root}/"])
def test_an_experiment_is_named_by_its_name_or_its_folder(give, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    paths = ExperimentPaths(tmp_path / "outputs" / "small")
    declare(read_experiment(Path("params/quickstart.yaml"), [], None), paths)
    assert main(["status", str(give(paths.root)), "--outputs", str(tmp_path / "outputs")]) == 0
    assert capsys.readouterr().out.startswith("small: 54 left of 54 runs")
