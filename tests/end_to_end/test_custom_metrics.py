"""Custom metrics in an experiment file: tables, report and verification; a changed function is computed again."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from fitlib.tables.schemas import read_csv
from tests.support.finished import text_of

OWN = Path(__file__).parents[1] / "own"
OWN_MODULES = ("simulated.py", "rows.py", "chances.py")
MODULE = """
import numpy as np

def worst_group_error(counts):
    right = np.trace(counts, axis1=2, axis2=3)
    return (1 - right / counts.sum(axis=(2, 3))).max(axis=1)
"""
EXPERIMENT = {
    "callable": "simulated:train",
    "techniques": {"Base": {"parameters": {"share": 0.3}}, "Fair": {"parameters": {"share": 0.1}}},
    "baseline": "Base",
    "runs": 2,
    "seeds": [0, 1],
    "control_runs": 0,
    "noise": "native",
    "analysis": {
        "metrics": {
            "worst-group error": "my_metrics:worst_group_error",
            "parity ratio": {"function": "fairlearn.metrics:demographic_parity_ratio", "larger_is_fairer": True},
        },
        "primary": "worst-group error",
    },
}


@pytest.fixture(scope="module")
def place(tmp_path_factory, fitlib_command):
    """A folder with the finished experiment in it; the test that changes it works on a copy."""
    folder = tmp_path_factory.mktemp("place")
    for name in OWN_MODULES:
        shutil.copy(OWN / name, folder)
    (folder / "my_metrics.py").write_text(MODULE)
    (folder / "tiny.yaml").write_text(yaml.safe_dump(EXPERIMENT, sort_keys=False))
    done = fitlib_command("run", "tiny.yaml", "--jobs", 2, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def table(place, name):
    return read_csv(place / f"outputs/tiny/tables/{name}.csv", name)


def test_custom_metrics_have_rows_and_columns_beside_the_seven(place):
    names = ["worst-group error", "1 - parity ratio"]
    long = pd.read_parquet(place / "outputs/tiny/tables/metrics.parquet")
    overall = long[long["metric"].isin(names)]
    assert overall["value"].between(0, 1).all() and len(overall) == 2 * 2 * 2 * 2  # metrics, techniques, seeds, runs
    assert set(names) <= set(table(place, "runs"))
    for name in ("summary", "comparisons", "over_seeds", "by_seed", "ranks"):
        found = table(place, name)
        assert set(names) <= set(found["metric"]), name
    assert (table(place, "over_seeds").query("metric == 'worst-group error'")["primary"] == "yes").all()
    runs = table(place, "runs")
    wrong = 1 - runs["accuracy"]
    assert (runs["worst-group error"] >= wrong - 1e-12).all() and (runs["worst-group error"] > wrong).any()


def test_the_report_names_them_what_they_are_and_what_they_lack(place):
    text = text_of(place / "outputs/tiny/report.html")
    assert "the value of my_metrics:worst_group_error" in text
    assert "1 − the value of fairlearn.metrics:demographic_parity_ratio, so that larger is less fair" in text
    assert "worst-group error and 1 - parity ratio: custom, so without a chance level" in text


def test_verification_derives_them_again_or_names_what_is_missing(place, tmp_path, fitlib_command):
    verified = fitlib_command("verify", "tiny", cwd=place)
    assert verified.returncode == 0, verified.stderr
    assert "not derived again: metric" not in verified.stderr
    shutil.copytree(place, tmp_path / "copy")
    (tmp_path / "copy/my_metrics.py").unlink()
    without = fitlib_command("verify", "tiny", cwd=tmp_path / "copy")
    expected = "not derived again: metric worst-group error (my_metrics:worst_group_error) cannot be imported"
    assert without.returncode == 0 and expected in without.stderr, without.stderr


def test_a_changed_function_is_computed_again_and_nothing_is_trained(place, tmp_path, fitlib_command):
    folder = tmp_path / "copy"
    shutil.copytree(place, folder)
    same = fitlib_command("run", "tiny.yaml", cwd=folder)
    assert same.returncode == 0 and not (folder / "outputs/tiny/superseded").exists()
    before = table(folder, "runs")
    (folder / "my_metrics.py").write_text(MODULE.replace("max(axis=1)", "min(axis=1)"))
    done = fitlib_command("run", "tiny.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    after = table(folder, "runs")
    assert (after["worst-group error"] < before["worst-group error"]).all()
    assert after.drop(columns="worst-group error").equals(before.drop(columns="worst-group error"))
    (folder / "my_metrics.py").write_text(MODULE.replace("axis1=2", "axis1=7"))
    failed = fitlib_command("run", "tiny.yaml", cwd=folder)
    told = "metrics: metric worst-group error = 'Base, all runs': it raised AxisError"
    assert failed.returncode == 1 and told in failed.stderr and "Traceback" not in failed.stderr, failed.stderr


def test_a_wrong_metric_is_one_line_before_any_run(place, tmp_path, fitlib_command):
    for metric, problem in (
        ("my_metrics:best", "there is no best in my_metrics"),
        ("no_module:f", "cannot be imported"),
    ):
        (tmp_path / "wrong.yaml").write_text(yaml.safe_dump({**EXPERIMENT, "analysis": {"metrics": {"mine": metric}}}))
        for name in (*OWN_MODULES, "my_metrics.py"):
            shutil.copy(place / name, tmp_path)
        done = fitlib_command("run", "wrong.yaml", cwd=tmp_path)
        assert done.returncode == 2 and f"metrics.mine = '{metric}': {problem}" in done.stderr, done.stderr
        assert len(done.stderr.strip().splitlines()) == 1 and not (tmp_path / "outputs").exists()
