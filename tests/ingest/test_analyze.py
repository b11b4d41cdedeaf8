"""Predictions made elsewhere give the same tables and report, without torch."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from fitlib.ingest.file_search import find_files
from tests.support.finished import TABLES, text_of

N = 400


def predictions(rng, error: float, groups: int = 2, classes: int = 3) -> pd.DataFrame:
    """A test set and a prediction that is wrong more often in the last group."""
    fixed = np.random.default_rng(0)
    truth, group = fixed.integers(0, classes, N), fixed.integers(0, groups, N)
    wrong = rng.random(N) < error * (1 + group)
    guess = np.where(wrong, (truth + 1) % classes, truth)
    return pd.DataFrame({"idx": np.arange(N), "ground_truth": truth, "prediction": guess, "protected": group})


@pytest.fixture
def folder(tmp_path):
    """Six runs of two techniques: the baseline as CSV with the study's headings, the other as parquet."""
    rng = np.random.default_rng(1)
    for i in range(6):
        for name, error in (("Plain", 0.2), ("Fairer", 0.05)):
            table = predictions(rng, error)
            (tmp_path / "mine" / name).mkdir(parents=True, exist_ok=True)
            path = tmp_path / "mine" / name / f"try_{i:02d}"
            if name == "Plain":
                headings = {"prediction": "prediction_result", "protected": "protected_label"}
                table.rename(columns=headings).to_csv(path.with_suffix(".csv"), index=False)
            else:
                table.to_parquet(path.with_suffix(".parquet"), index=False)
    return tmp_path


def test_the_same_tables_and_report_come_from_a_folder_of_files(folder, fitlib_command):
    done = fitlib_command("analyze", "mine", "--baseline", "Plain", "--out", "result", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert {p.name for p in (folder / "result/tables").iterdir()} == set(TABLES)
    comparisons = pd.read_csv(folder / "result/tables/comparisons.csv").set_index("metric")
    assert comparisons.verdict["EOTP"] == "fairer" and set(comparisons.fit) == {"unknown"}
    page = text_of(folder / "result/report.html")
    assert "made elsewhere" in page and "four-fifths rule is met" not in page and " nan" not in page.lower()
    again = fitlib_command("analyze", "mine", "--baseline", "Plain", "--out", "result", cwd=folder)
    assert again.returncode == 0 and "statistics" not in again.stderr


def test_a_check_shows_what_is_read_as_what_and_writes_nothing(folder, fitlib_command):
    done = fitlib_command("analyze", "mine", "--baseline", "Plain", "--check", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (
        "Plain: 6 runs" in done.stdout and "Rows by protected: " in done.stdout and "classes: 0, 1 and 2" in done.stdout
    )
    assert [path.name for path in folder.iterdir()] == ["mine"]
    refused = fitlib_command("analyze", "mine", "--baseline", "Other", "--check", cwd=folder)
    assert refused.returncode == 2 and "choose one of Fairer, Plain" in refused.stderr


def test_a_quick_analysis_has_the_numbers_of_the_report(folder, fitlib_command):
    done = fitlib_command("analyze", "mine", "--baseline", "Plain", "--quick", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in folder.iterdir()] == ["mine"] and "verdict: " in done.stdout
    assert fitlib_command("analyze", "mine", "--baseline", "Plain", cwd=folder).returncode == 0
    summary = pd.read_csv(folder / "outputs/mine/tables/summary.csv").query("target == 'overall' and group.isna()")
    comparisons = pd.read_csv(folder / "outputs/mine/tables/comparisons.csv").set_index("metric")
    for row in summary[summary.technique == "Fairer"].itertuples():
        numbers = rf"{100 * row.mean:.2f} +{100 * row.sd:.2f} +{100 * row.min:.2f} +{100 * row.max:.2f}"
        verdict = comparisons.verdict[row.metric] if row.metric != "accuracy" else ""
        assert re.search(rf"Fairer +protected +{row.metric} +6 +{numbers} +{verdict}", done.stdout), row.metric


def test_a_favourable_class_brings_four_fifths(folder, fitlib_command):
    done = fitlib_command("analyze", "mine", "--baseline", "Plain", "--favourable", "1", cwd=folder)
    assert done.returncode == 0, done.stderr
    risk = pd.read_csv(folder / "outputs/mine/tables/risk.csv")
    assert set(risk[risk.target == 1].rule) == {"four-fifths"} and "four-fifths" not in set(risk[risk.target != 1].rule)
    assert "four fifths" in text_of(folder / "outputs/mine/report.html").lower()


def test_overall_values_agree_with_fairlearn(folder, fitlib_command):
    from fairlearn.metrics import demographic_parity_difference

    assert fitlib_command("analyze", "mine", "--baseline", "Plain", cwd=folder).returncode == 0
    runs = pd.read_csv(folder / "outputs/mine/tables/runs.csv")
    for run in range(6):
        t = pd.read_parquet(folder / f"mine/Fairer/try_{run:02d}.parquet")
        per_class = [
            demographic_parity_difference(t.ground_truth == c, t.prediction == c, sensitive_features=t.protected)
            for c in range(3)
        ]
        ours = runs[(runs.technique == "Fairer") & (runs.run == run)].DP.item()
        assert ours == pytest.approx(np.mean(per_class), abs=1e-12)


def test_one_technique_with_one_run_is_described_without_intervals(tmp_path, fitlib_command):
    (tmp_path / "one/T").mkdir(parents=True)
    predictions(np.random.default_rng(0), 0.1, groups=3).to_csv(tmp_path / "one/T/a.csv", index=False)
    done = fitlib_command("analyze", "one", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = text_of(tmp_path / "outputs/one/report.html")
    assert "not estimable" in page and " nan" not in page.lower()
    summary = pd.read_csv(tmp_path / "outputs/one/tables/summary.csv")
    assert summary.sd.isna().all() and summary["mean"].notna().all()


def test_torch_is_not_imported(folder):
    blocker = folder / "blocked" / "torch"
    blocker.mkdir(parents=True)
    (blocker / "__init__.py").write_text("raise ImportError('torch must not be imported here')\n")
    path = os.pathsep.join(filter(None, [str(blocker.parent), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-m", "fitlib", "analyze", "mine", "--baseline", "Plain"]
    done = subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def named(path):
    """The path, its folder made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def spoil(path, change):
    table = pd.read_csv(path)
    change(table).to_csv(path, index=False)


BAD = {
    "missing column": (lambda t: t.drop(columns="protected_label"), "protected"),
    "class outside the range": (lambda t: t.assign(prediction_result=t.prediction_result.replace(2, 7)), "7"),
    "one group only": (lambda t: t.assign(protected_label=0), "protected"),
    "other idx": (lambda t: t.assign(idx=t.idx + 1), "idx"),
    "twice the same idx": (lambda t: t.assign(idx=0), "idx"),
    "empty": (lambda t: t.head(0), "no rows"),
    "text as class": (lambda t: t.assign(prediction_result="cat"), "prediction"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_predictions_are_one_line_before_any_work(folder, fitlib_command, case):
    change, named = BAD[case]
    spoil(folder / "mine/Plain/try_03.csv", change)
    done = fitlib_command("analyze", "mine", "--baseline", "Plain", cwd=folder)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2 and len(lines) == 1, done.stderr
    assert "try_0" in lines[0] and named in lines[0]
    assert not (folder / "outputs").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["mine"], "choose one of Fairer, Plain"),
        (["mine", "--baseline", "Plane"], "choose one of Fairer, Plain"),
        (["nothing", "--baseline", "Plain"], "not a folder"),
        (["empty", "--baseline", "Plain"], "no predictions in it"),
        (["mine", "--baseline", "Plain", "--column", "truth=y"], "write ROLE=NAME"),
        (["mine", "--baseline", "Plain", "--favourable", "good"], "from 0 to 2"),
        (["my files", "--baseline", "Plain"], "technique = 'My model': not a valid name"),
        (["mine", "--baseline", "Plain", "--favourable", "3"], "from 0 to 2"),
        (["mine", "--baseline", "Plain", "--alpha", "2"], "less than 1"),
        (["mine", "--baseline", "Plain", "--cross", "protected,age"], "--cross = 'age': unknown protected attribute"),
        (["mine", "--baseline", "Plain", "--cross", "protected"], "not two or more different protected attributes"),
        (["mine", "--baseline", "Plain", "--out", "mine/Plain/try_00.csv"], "not writable"),
    ],
)
def test_bad_arguments(folder, fitlib_command, arguments, expected):
    (folder / "empty").mkdir()
    predictions(np.random.default_rng(0), 0.1).to_csv(named(folder / "my files/My model/a.csv"), index=False)
    done = fitlib_command("analyze", *arguments, cwd=folder)
    assert done.returncode == 2 and expected in done.stderr and len(done.stderr.strip().splitlines()) == 1


FOREIGN = {
    "work of the user": (["techniques/.drafts/a.txt", "tables/a.csv"], "neither empty nor an earlier analysis"),
    "experiment": (["experiment.yaml", "lock", "runs/a/b/run-00.0123abcd/a.txt"], "belongs to an experiment"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_an_out_folder_with_other_files_is_refused_untouched(folder, fitlib_command, case):
    names, expected = FOREIGN[case]
    for name in names:
        (folder / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "out" / name).write_text(name)
    done = fitlib_command("analyze", "mine", "--baseline", "Plain", "--out", "out", cwd=folder)
    assert done.returncode == 2 and expected in done.stderr and "choose another --out" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert sorted(str(p.relative_to(folder / "out")) for p in (folder / "out").rglob("*") if p.is_file()) == sorted(
        names
    )


def test_an_out_folder_that_holds_the_predictions_is_refused(folder, fitlib_command):
    (folder / "lock").write_text("")
    for out in (".", "mine"):
        done = fitlib_command("analyze", "mine", "--baseline", "Plain", "--out", out, cwd=folder)
        assert done.returncode == 2 and "contains the predictions" in done.stderr


def test_files_come_in_natural_order_without_hidden_ones(tmp_path):
    names = ["run2.csv", "run10.csv", "run1.csv", "._run0.csv", ".~lock.run1.csv", "notes.txt"]
    for name in [*(f"T/{n}" for n in names), ".ipynb_checkpoints/run1.csv"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert {t: [p.name for p in files] for t, files in find_files(tmp_path).items()} == {
        "T": ["run1.csv", "run2.csv", "run10.csv"]
    }


@pytest.mark.slow
def test_a_technique_tested_on_other_rows_is_reported(folder, fitlib_command):
    for path in (folder / "mine/Fairer").iterdir():
        pd.read_parquet(path).assign(idx=lambda t: t.idx + 1000).to_parquet(path, index=False)
    assert fitlib_command("analyze", "mine", "--baseline", "Plain", cwd=folder).returncode == 0
    assert "Fairer was tested on other rows than Plain" in text_of(folder / "outputs/mine/report.html")


@pytest.mark.slow
def test_crossed_attributes_are_compared_as_one_more(folder, fitlib_command):
    for path in [*(folder / "mine/Fairer").iterdir(), *(folder / "mine/Plain").iterdir()]:
        table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
        name = "protected_label" if path.suffix == ".csv" else "protected"
        table = table.rename(columns={name: "protected.sex"}).assign(**{"protected.race": np.arange(N) // 2 % 2})
        table.to_csv(path, index=False) if path.suffix == ".csv" else table.to_parquet(path, index=False)
    done = fitlib_command("analyze", "mine", "--baseline", "Plain", "--cross", "sex,race", cwd=folder)
    assert done.returncode == 0, done.stderr
    comparisons = pd.read_csv(folder / "outputs/mine/tables/comparisons.csv")
    assert set(comparisons.attribute) == {"sex", "race", "sex x race"}
    summary = pd.read_csv(folder / "outputs/mine/tables/summary.csv")
    crossed = summary[(summary.attribute == "sex x race") & (summary.metric == "accuracy") & summary.group.notna()]
    assert set(crossed.group) == {0, 1, 2, 3}


@pytest.mark.slow
def test_multi_label_predictions(tmp_path, fitlib_command):
    rng = np.random.default_rng(0)
    truth, group = rng.integers(0, 2, (N, 4)), rng.integers(0, 2, N)
    for name in ("A", "B"):
        (tmp_path / "labels" / name).mkdir(parents=True)
        for i in range(5):
            guess = np.where(rng.random((N, 4)) < 0.2, 1 - truth, truth)
            lists = {"ground_truth": truth.tolist(), "prediction": guess.tolist()}
            table = pd.DataFrame(
                {"idx": np.arange(N), **{k: map(json.dumps, v) for k, v in lists.items()}, "protected": group}
            )
            table.to_csv(tmp_path / "labels" / name / f"{i}.csv", index=False)
    done = fitlib_command("analyze", "labels", "--baseline", "A", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(pd.read_csv(tmp_path / "outputs/labels/tables/runs.csv").run) == set(range(5))


@pytest.mark.slow
def test_names_scores_and_favourable_class_of_a_table_with_other_column_names(tmp_path, fitlib_command):
    for i in range(3):
        for name, error in (("Plain", 0.2), ("Fairer", 0.05)):
            t = predictions(np.random.default_rng(i), error, classes=2)
            score = 0.05 + 0.9 * (t.prediction * 0.5 + np.random.default_rng(i).random(N) * 0.5)
            columns = {"y_true": t.ground_truth, "y_pred": t.prediction}
            columns = {c: np.where(values == 1, "granted", "refused") for c, values in columns.items()}
            table = pd.DataFrame({"id": t.idx, **columns, "sex": np.where(t.protected, "women", "men"), "proba": score})
            table.to_csv(named(tmp_path / f"mine/{name}/{i}.csv"), sep=";", index=False)
    command = ("analyze", "mine", "--baseline", "Plain", "--favourable", "granted")
    done = fitlib_command(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = text_of(tmp_path / "outputs/mine/report.html")
    for note in ("Classes: 0 is granted, 1 is refused", "Separator ';'", "Scores read as those of class granted"):
        assert note in done.stderr and note in page
    assert "Selected for class granted" in page and "women" in page and "group 1" not in page
    swept = pd.read_csv(tmp_path / "outputs/mine/tables/thresholds.csv")
    assert set(swept.target) == {0} and swept.threshold.nunique() == 19
    at_half = swept[(swept.technique == "Plain") & (swept.threshold == 0.5)].accuracy.item()
    summary = pd.read_csv(tmp_path / "outputs/mine/tables/summary.csv").query("metric == 'accuracy' and group.isna()")
    assert at_half == pytest.approx(summary.set_index("technique")["mean"]["Plain"], abs=1e-12)
    again = fitlib_command(*command, cwd=tmp_path)
    assert again.stdout == done.stdout and "done" not in again.stderr


def test_equal_files_of_all_runs_are_bit_identical_predictions():
    from fitlib.tables.fit_findings import Findings

    known = Findings([], None, {"digests": {"A": {"runs": ["x", "y"]}, "B": {"runs": ["x", "x"]}}})
    technique = {"technique": "B", "training": "B"}
    assert known.bit_identical(technique, {"arm": "runs"}) == "predictions bit-identical in 2 of 2 runs (SHA-256)"
    assert known.bit_identical(technique | {"technique": "A"}, {"arm": "runs"}) == ""
