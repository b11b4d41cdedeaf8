"""`fitlib how-many` and the table of `fitlib plan`: what they print, write and refuse."""

from pathlib import Path

import pandas as pd
import pytest

from fitlib.cli import planning as cli
from fitlib.cli.main import main
from fitlib.statistics import verdict_names
from fitlib.tables import planning, schemas
from tests.conftest import ROOT
from tests.support.simulated import write_simulated


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished experiment, `pilot`, as `fitlib.load` reads it."""
    root = tmp_path_factory.mktemp("outputs")
    write_simulated(root, "pilot")
    return root


def how_many(capsys: pytest.CaptureFixture, *arguments: object) -> list[str]:
    assert main(["how-many", *map(str, arguments)]) == 0
    return capsys.readouterr().out.splitlines()


def refusal(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    assert main([*map(str, arguments)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


# Declared


def test_declared_spreads_give_the_chances_of_their_level(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    declared = ("--sd", 0.012, "--smallest-effect", 0.01, "--comparisons", 9, "--metrics", 5, "--runs", "8,16")
    lines = how_many(capsys, *declared, "--csv", path)
    assert lines[0] == "SD 1.20 points, smallest effect 1.00 points, level 0.0011"
    assert [line.split("|")[0].strip() for line in lines[3:5]] == ["8", "16"]
    assert any("9 × 5 verdicts together, a lower bound" in line for line in lines)
    assert any("half the level, with any number of runs" in line for line in lines)
    expected = planning.table_of_chances([planning.declared_comparison([0.012], 0.01, 0.05 / 45)], (8, 16))
    pd.testing.assert_frame_equal(schemas.read_csv(path, "planning"), expected)
    cells = lines[4].split("|")[-1].split()
    assert cells[0] == f"{100 * expected['fairer'].iloc[-1]:.0f}"


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_a_figure_can_be_saved(suffix: str, capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    path = tmp_path / f"curves.{suffix}"
    how_many(capsys, "--sd", 0.012, "--sd-technique", 0.02, "--level", 0.01, "--figure", path)
    first = path.read_bytes()
    assert first.startswith(b"<?xml" if suffix == "svg" else b"\x89PNG")
    how_many(capsys, "--sd", 0.012, "--sd-technique", 0.02, "--level", 0.01, "--figure", path)
    assert path.read_bytes() == first


def test_contradictions_are_refused_in_one_line(capsys: pytest.CaptureFixture, outputs: Path) -> None:
    assert "neither a pilot nor --sd" in refusal(capsys, "how-many")
    assert "a pilot and --sd are given" in refusal(capsys, "how-many", "pilot", "--sd", 0.01)
    assert "paired differences have one SD" in refusal(
        capsys, "how-many", "--sd", 0.01, "--paired", "--sd-technique", 0.02
    )
    assert "--level = 0.01" in refusal(capsys, "how-many", "--sd", 0.01, "--level", 0.01, "--metrics", 5)
    assert "goes with --sd only" in refusal(capsys, "how-many", "pilot", "--comparisons", 3)
    assert "use .svg or .png" in refusal(capsys, "how-many", "--sd", 0.01, "--figure", "a.pdf")
    assert "no verdict below 4 runs" in refusal(capsys, "how-many", "--sd", 0.01, "--runs", "2,3", "--figure", "a.svg")
    place = ("--outputs", outputs)
    assert "no such experiment" in refusal(capsys, "how-many", "pilots", *place)
    assert "did you mean 'DP'?" in refusal(capsys, "how-many", "pilot", "--metric", "DPP", *place)
    assert "not compared in this experiment" in refusal(capsys, "how-many", "pilot", "--technique", "Base", *place)


@pytest.mark.parametrize("option", [("--sd", "1.2"), ("--sd", "0"), ("--runs", "4,x"), ("--level", "a")])
def test_wrong_numbers_are_refused_by_the_parser(option: tuple, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["how-many", *option])
    assert ended.value.code == 2 and "is not a" in capsys.readouterr().err


def test_the_fewest_runs_for_a_verdict_are_those_of_the_statistics() -> None:
    assert cli.RUNS == verdict_names.RUNS


# From a pilot


def test_a_pilot_gives_the_table_of_its_comparisons(
    capsys: pytest.CaptureFixture, outputs: Path, tmp_path: Path
) -> None:
    path = tmp_path / "pilot.csv"
    lines = how_many(capsys, "pilot", "--outputs", outputs, "--csv", path)
    stored = schemas.read_csv(outputs / "pilot" / "tables" / "planning.csv", "planning")
    pd.testing.assert_frame_equal(schemas.read_csv(path, "planning"), stored)
    assert sum("Mitigated v Base" in line for line in lines) == 2 and "(typical)" in lines[0]
    assert any("of the pilot's family" in line for line in lines)
    assert any("true SDs that the pilot's runs leave open" in line for line in lines)
    one = how_many(capsys, "pilot", "--outputs", outputs, "--metric", "DI", "--runs", "32", "--level", 0.05)
    assert "DI (chosen)" in one[0] and "level 0.05" in one[0] and "32 |" in one[4]


# Before the first run


def test_plan_tells_what_its_runs_can_decide(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    file = ROOT / "params" / "quickstart.yaml"
    assert main(["plan", str(file), "--outputs", str(tmp_path)]) == 0
    assert "--sd SD" in capsys.readouterr().out.splitlines()[-1]
    assert main(["plan", str(file), "--outputs", str(tmp_path), "--sd", "0.015", "--runs", "20"]) == 0
    text = capsys.readouterr().out
    assert "runs will be executed" in text and "\n     20 |" in text and "3 × 7 verdicts together" in text
    shares = ["--set", "analysis.smallest_effect=10 %"]
    assert main(["plan", str(file), "--outputs", str(tmp_path), "--sd", "0.015", *shares]) == 0
    assert "share of the baseline's mean" in capsys.readouterr().out


def test_plan_counts_seeds_where_the_experiment_has_several(
    capsys: pytest.CaptureFixture, tmp_path: Path, outputs: Path
) -> None:
    file = ROOT / "params" / "quickstart.yaml"
    seeds = ("--set", "seeds=[0, 1, 2, 3, 4, 5, 6, 7]")
    assert main(["plan", str(file), "--outputs", str(tmp_path), "--sd", "0.01", *seeds]) == 0
    printed = capsys.readouterr().out
    assert "SD of the difference 1.00 points" in printed and "  seeds |" in printed and "   runs |" not in printed
    assert "it has one seed, the experiment several" in refusal(
        capsys, "plan", file, "--outputs", outputs, "--pilot", "pilot", *seeds
    )


def test_plan_shows_the_pilots_values_of_the_primary_metric(capsys: pytest.CaptureFixture, outputs: Path) -> None:
    file, primary = ROOT / "params" / "quickstart.yaml", ("--set", "analysis.primary=BA")
    assert main(["plan", str(file), "--outputs", str(outputs), "--pilot", "pilot", *primary]) == 0
    heads = [line for line in capsys.readouterr().out.splitlines() if " v " in line and ": SD" in line]
    assert heads and all(", BA (chosen)" in line for line in heads)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("pilot", "--alpha", "0.1"), "--alpha = 0.1: goes with --sd only"),
        (("--sd", "0.01", "--smallest-effect", "10 %"), "no number; give a number such as 0.01, or a pilot"),
        (("--sd", "0.01", "--smallest-effect", "DX=0.01"), "unknown bias metric DX"),
        (("--sd", "0.01", "--level", "0.01", "--alpha", "0.1"), "leave out --comparisons, --metrics and --alpha"),
    ],
)
def test_options_that_would_be_ignored_are_refused(
    options: tuple[str, ...], problem: str, capsys: pytest.CaptureFixture, outputs: Path
) -> None:
    assert problem in refusal(capsys, "how-many", "--outputs", outputs, *options)


def test_plan_takes_spreads_from_a_pilot_and_the_rest_from_the_file(
    capsys: pytest.CaptureFixture, outputs: Path
) -> None:
    file, settings = ROOT / "params" / "quickstart.yaml", ["--set", "analysis.smallest_effect=0.02"]
    assert main(["plan", str(file), "--outputs", str(outputs), "--pilot", "pilot", *settings]) == 0
    text = capsys.readouterr().out
    assert "Mitigated v Base" in text and "smallest effect 2.00 points, level 0.0024" in text
    assert "a pilot is given too" in refusal(capsys, "plan", file, "--sd", "0.01", "--pilot", "pilot")
    assert "no such experiment" in refusal(capsys, "plan", file, "--outputs", outputs, "--pilot", "pilots")
