"""Every notebook of the project runs by hand with its defaults, reads well, and is committed without outputs."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import papermill
import pytest

import fitlib
from fitlib.errors import InputError, RunFailed
from fitlib.experiment.notebooks import accepted_parameters, check_executed, check_parameters, notebook_path
from fitlib.experiment.parse import read_experiment
from fitlib.experiment.plan import Plan
from fitlib.storage.paths import ExperimentPaths

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
START = ROOT / "notebooks" / "start.ipynb"  # for newcomers: no parameters, and a test of its own
OTHERS = [path for path in NOTEBOOKS if path != START]


def cells(path: Path, kind: str) -> list[dict]:
    return [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == kind]


@pytest.mark.parametrize("path", OTHERS, ids=lambda p: p.stem)
def test_a_notebook_runs_with_its_defaults(path, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    papermill.execute_notebook(str(path), str(tmp_path / "out.ipynb"), progress_bar=False)
    check_executed(tmp_path / "out.ipynb")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_reads_well(path):
    everything = json.loads(path.read_text())["cells"]
    code = cells(path, "code")
    assert 12 <= len(everything) <= 30 and everything[0]["cell_type"] == "markdown"
    assert max(len("".join(c["source"]).splitlines()) for c in code) <= 12
    assert not any(c["outputs"] or c["execution_count"] for c in code)


@pytest.mark.parametrize("path", OTHERS, ids=lambda p: p.stem)
def test_every_parameter_is_typed_and_commented(path):
    (parameters,) = [c for c in cells(path, "code") if "parameters" in c["metadata"].get("tags", [])]
    lines = "".join(parameters["source"]).splitlines()
    assert all(": " in line.partition("=")[0] and "  # " in line for line in lines)
    assert len(accepted_parameters(path)) == len(lines)


def test_the_first_notebook_shows_verdict_figure_and_report(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    papermill.execute_notebook(str(START), str(tmp_path / "out.ipynb"), progress_bar=False)
    check_executed(tmp_path / "out.ipynb")
    *_, verdict, figure, report = [c["outputs"] for c in cells(tmp_path / "out.ipynb", "code")]
    assert any("less fair than with sex" in "".join(o["data"].get("text/html", "")) for o in verdict)
    assert [o["output_type"] for o in figure if "image/png" in o["data"]] == ["display_data"]
    assert (tmp_path / "report.html").stat().st_size > 100_000 and report


def test_the_first_notebook_has_five_cells_and_needs_only_the_core_and_scikit_learn():
    code = ["".join(c["source"]) for c in cells(START, "code")]
    imported = set(re.findall(r"^(?:import|from) (\w+)", "\n".join(code), re.MULTILINE))
    assert len(code) == 5
    assert imported == {"importlib", "pandas", "sklearn", "fitlib"}


def test_the_batch_gives_each_notebook_parameters_that_it_has():
    experiment = read_experiment(ROOT / "params" / "quickstart.yaml")
    parameters = Plan(experiment, ExperimentPaths(ROOT / "outputs" / "quickstart")).runs[0].parameters
    check_parameters(notebook_path("train"), {**parameters, "run_dir": ""})
    assert set(accepted_parameters(notebook_path("train"))) == {*parameters, "run_dir"}


def test_a_parameter_that_the_notebook_lacks_is_refused_with_a_suggestion():
    with pytest.raises(InputError, match="did you mean 'threads'"):
        check_parameters(notebook_path("train"), {"thread": 1})


def write(path: Path, *code: dict) -> Path:
    base = {"cell_type": "code", "metadata": {}, "source": ["1"], "outputs": [], "execution_count": None}
    path.write_text(json.dumps({"cells": [{**base, **c} for c in code], "metadata": {}, "nbformat": 4}))
    return path


def test_a_notebook_without_a_parameters_cell_is_refused(tmp_path):
    with pytest.raises(InputError, match="tag exactly one"):
        accepted_parameters(write(tmp_path / "n.ipynb", {}))


@pytest.mark.parametrize(
    "code",
    [
        ({"execution_count": 1}, {"execution_count": None}),
        ({"execution_count": 2}, {"execution_count": 1}),
        ({"execution_count": 1, "outputs": [{"output_type": "error"}]},),
    ],
    ids=["a cell did not run", "another order", "an error"],
)
def test_a_copy_in_which_not_every_cell_ran_well_is_not_believed(tmp_path, code):
    with pytest.raises(RunFailed):
        check_executed(write(tmp_path / "n.ipynb", *code))


def test_the_wheel_carries_every_file_of_the_package_the_notebooks_and_the_kernel(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        carried = {name for name in wheel.namelist() if ".dist-info/" not in name}
    ours = {p for p in (ROOT / "fitlib").rglob("*") if p.is_file() and p.suffix != ".pyc"}
    expected = {p.relative_to(ROOT).as_posix() for p in ours}
    expected |= {f"fitlib/notebooks/{p.name}" for p in (ROOT / "notebooks").glob("*.ipynb")}
    kernel = f"fitlib-{fitlib.__version__}.data/data/share/jupyter/kernels/fitlib/kernel.json"
    assert carried == expected | {kernel}
