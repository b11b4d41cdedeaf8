"""What works where only the packages of the core are installed, and which modules are imported for it."""

import json
import subprocess
import sys

import pytest

from tests.support.core_packages import core_environment, core_packages
from tests.support.simulated import write_simulated

ANALYSIS = """
import numpy as np, fitlib
rng = np.random.default_rng(0)
y_true, sex = rng.integers(0, 3, 120), np.repeat(["female", "male"], 60)
runs = {name: np.where(rng.random((4, 120)) < share, 0, y_true) for name, share in (("A", 0.3), ("B", 0.1))}
results = fitlib.analyze(y_true, runs, sensitive_features=sex, baseline="A")
"""
TRAINING = """
import numpy as np
def train(run):
    truth, groups = np.arange(60) % 2, np.arange(60) % 3 % 2
    guess = np.where(np.random.default_rng(run).random(60) < 0.2, 1 - truth, truth)
    return {"ground_truth": truth, "prediction": guess, "protected": groups}
"""
IMPORTED = "import sys, json; print(json.dumps(sorted(sys.modules)))"
HEAVY = {"torch", "IPython", "ipykernel", "nbconvert", "nbformat", "papermill", "sklearn", "statsmodels"}
FOR_FIGURES = {"matplotlib", "seaborn"}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The environment of a process with the core alone."""
    return core_environment(core_packages(tmp_path_factory.mktemp("core") / "packages"))


@pytest.fixture(scope="module")
def run(environment, tmp_path_factory):
    """Return what a Python with the core alone prints; it must end well."""
    folder = tmp_path_factory.mktemp("work")

    def of(*arguments, status=0):
        command = [sys.executable, "-S", "-W", "error", *arguments]
        done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=120)
        assert done.returncode == status, done.stderr
        return done.stdout if status == 0 else done.stderr

    return of


def modules_after(run, code):
    return set(json.loads(run("-c", f"{code}\n{IMPORTED}").splitlines()[-1]))


def test_other_packages_are_not_there(run):
    assert "No module named 'torch'" in run("-c", "import torch", status=1)


def test_importing_fitlib_loads_no_package(run):
    bare, with_fitlib = modules_after(run, ""), modules_after(run, "import fitlib")
    assert {name for name in with_fitlib - bare if name.partition(".")[0] not in sys.stdlib_module_names} == {"fitlib"}


def test_arrays_are_analysed_without_figures(run):
    found = modules_after(run, f"{ANALYSIS}assert len(results.summary) and len(results.comparisons)")
    assert found & (HEAVY | FOR_FIGURES) == set()
    assert {"pandas", "pyarrow"} <= found


def test_the_verdict_is_found_without_seaborn(run):
    assert modules_after(run, f"{ANALYSIS}assert 'B' in results.verdict[0]") & (HEAVY | {"seaborn"}) == set()


def test_results_are_displayed_and_drawn_and_reported(run, tmp_path):
    code = f"""{ANALYSIS}
assert "<table" in results._repr_html_() and len(results.how_many()) and results.plot.verdict().texts
results.report({str(tmp_path / "report.html")!r})
"""
    assert modules_after(run, code) & HEAVY == set()
    assert "<h1" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_metrics_are_functions(run):
    code = "import fitlib.metrics as m; print(m.demographic_parity([0, 1, 1], [0, 1, 0], sensitive_features='abb'))"
    assert run("-c", code.replace("'abb'", "list('abb')")).strip() == "0.5"


def test_a_function_is_repeated_in_memory(run, tmp_path):
    (tmp_path / "training.py").write_text(TRAINING, encoding="utf-8")
    code = f"""
if __name__ == "__main__":
    import sys, fitlib
    sys.path.insert(0, {str(tmp_path)!r})
    import training
    print(fitlib.repeat(training.train, runs=3, jobs=1))
"""
    (tmp_path / "script.py").write_text(code, encoding="utf-8")
    assert "3 runs each, 60 rows" in run(str(tmp_path / "script.py"))


def test_commands_that_need_no_experiment(run):
    assert "how-many" in run("-m", "fitlib", "--help")
    planned = run("-m", "fitlib", "how-many", "--sd", "0.012", "--smallest-effect", "0.01", "--comparisons", "9")
    assert "equi" in planned


def test_a_finished_experiment_is_loaded_and_planned_with(run, tmp_path):
    write_simulated(tmp_path)
    loaded = f"import fitlib; e = fitlib.load('sim', {str(tmp_path)!r})"
    used = "e.verdict[0], e.runs, e.history, e._repr_html_(), e.predictions(e.tables.summary.technique.iloc[0])"
    assert modules_after(run, f"{loaded}; [len(part) for part in ({used})]") & HEAVY == set()
    assert "equi" in run("-m", "fitlib", "how-many", str(tmp_path / "sim"))


@pytest.mark.parametrize(
    "arguments, extras",
    [
        (("-m", "fitlib", "run", "params/quickstart.yaml"), "lab,train"),
        (("-m", "fitlib", "analyze", "predictions"), "lab"),
        (("-m", "fitlib", "export", "quickstart", "--to", "quickstart.zip"), "crate"),
    ],
)
def test_a_command_names_the_extras_that_it_misses(run, arguments, extras):
    message = run(*arguments, status=2)
    assert message.startswith("fitlib: not installed: ") and message.endswith(f'; pip install "fitlib[{extras}]"\n')
    assert message.count("\n") == 1


def test_the_recorder_names_the_extra_that_it_misses(run):
    error = run("-c", "import fitlib; fitlib.Recorder", status=1).splitlines()[-1]
    assert error == 'fitlib.extras.MissingPackages: not installed: torch; pip install "fitlib[train]"'
