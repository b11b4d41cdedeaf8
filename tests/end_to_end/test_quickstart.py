"""One small experiment from the command line: real notebooks, real kernels, real tables and report."""

import os
import re
import shutil
from urllib.parse import unquote

import pandas as pd
import pytest
import yaml

from fitlib.audit.verify import verify
from tests.support.finished import TABLES, events, tables, text_of

EXPERIMENT = {
    "training": {"epochs": 8, "learning_rate": 0.1, "shift": 1},
    "techniques": {
        "S-Base": {"method": "baseline"},
        "S-DI1": {"method": "domain-independent", "inference": "conditional"},
        "S-DI2": {"method": "domain-independent", "inference": "sum"},
    },
    "baseline": "S-Base",
    "runs": 3,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory, fitlib_command):
    """A folder with the finished experiment in it; tests that change it work on copies."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(EXPERIMENT, sort_keys=False))
    done = fitlib_command("run", "tiny.yaml", "--jobs", 2, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def copy(place, tmp_path):
    shutil.copytree(place, tmp_path / "copy")
    return tmp_path / "copy"


def test_everything_that_the_layout_promises_is_there(place):
    root = place / "outputs" / "tiny"
    names = ["experiment.yaml", "statistics.ipynb", "report.html", "index.html", "MANIFEST.json", "events.jsonl"]
    run = "runs/domain-independent/ulp/run-02/"
    names += [run + n for n in ("train.ipynb", "train.html", "history.parquet", "digests.parquet", "fingerprint.json")]
    names += [run + n for n in ("record.json", "predictions/S-DI1.parquet", "predictions/S-DI2.parquet")]
    tables = [f"{n}.parquet" for n in ("metrics", "counts", "votes", "testset", "resampled", "persons")]
    names += [f"techniques/S-DI1/{n}" for n in ("metrics.ipynb", *tables)]
    missing = [n for n in [*names, *(f"tables/{t}" for t in TABLES)] if not (root / n).is_file()]
    assert not missing
    assert list((root / "figures").glob("*.svg")) and list((root / "figures").glob("*.png"))


def test_the_plan_was_declared_before_the_first_run(place):
    declared = yaml.safe_load((place / "outputs/tiny/experiment.yaml").read_text())
    assert declared["finished_runs_at_declaration"] == 0 and len(declared["declared_hash"]) == 64


def test_runs_differ_and_the_control_arm_does_not(place):
    runs = pd.read_csv(place / "outputs/tiny/tables/runs.csv")
    base = runs[runs.technique == "S-Base"]
    assert base.final_weights.nunique() == 3 and base.initial_weights.nunique() == 1 and base.first_batch.nunique() == 1
    root = place / "outputs/tiny/runs/baseline/none"
    predictions = {(root / f"run-{i:02d}/predictions/S-Base.parquet").read_bytes() for i in range(2)}
    assert len(predictions) == 1
    assert "identical in 2 of 2" in text_of(place / "outputs/tiny/report.html")


def test_the_control_runs_are_first_and_last_in_the_queue(place):
    order = events(place / "outputs/tiny", "started")
    assert set(order[:2]) == {"baseline/none/run-00", "domain-independent/none/run-00"}
    assert set(order[-2:]) == {"baseline/none/run-01", "domain-independent/none/run-01"}


def test_some_metric_varies_and_the_report_says_how_much(place):
    summary = pd.read_csv(place / "outputs/tiny/tables/summary.csv")
    assert (summary.maxdiff > 0).any()
    assert "MaxDiff" in text_of(place / "outputs/tiny/report.html")


@pytest.mark.slow
def test_small_groups_are_told(copy, fitlib_command):
    assert "Groups are small" not in text_of(copy / "outputs/tiny/report.html")
    done = fitlib_command("run", "tiny.yaml", "--set", "analysis.min_group=100000", cwd=copy)
    assert done.returncode == 0, done.stderr
    assert "Groups are small: one has only 719 rows" in text_of(copy / "outputs/tiny/report.html")
    assert "analysis.min_group was 30, is 100000" in text_of(copy / "outputs/tiny/report.html")


def test_the_tables_name_no_place_no_time_and_no_experiment(place):
    for content in (c for name, c in tables(place / "outputs/tiny").items() if name.endswith(".csv")):
        assert b"tiny" not in content and str(place).encode() not in content


def test_the_report_is_one_file_without_network(place):
    page = (place / "outputs/tiny/report.html").read_text()
    assert "<link" not in page and page.count("<script") == 1 and "<script>" in page and 'src="http' not in page
    assert len(page) < 5_000_000


def test_pages_of_notebooks_stay_light_beyond_their_figures(place):
    pages = [p for p in (place / "outputs/tiny").rglob("*.html") if p.name in ("train.html", "metrics.html")]
    sizes = [len(re.sub(r"data:image/[^\"]*", "", page.read_text())) for page in pages]
    assert len(sizes) > 5 and max(sizes) < 150_000


def test_all_experiments_are_listed(place):
    page = text_of(place / "outputs/index.html")
    assert "tiny" in page and "all 10 runs done" in page and "ulp (emulated)" in page


def test_every_link_of_index_and_report_leads_somewhere(place):
    root = place / "outputs/tiny"
    for page in ("report.html", "index.html", "../index.html"):
        links = re.findall(r'href="([^"#]+)"', (root / page).read_text())
        local = [link for link in links if not link.startswith(("http:", "https:", "mailto:"))]
        assert local and all(((root / page).parent / unquote(link)).exists() for link in local)


def test_the_same_command_again_computes_nothing(copy, fitlib_command):
    root = copy / "outputs/tiny"
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file() and p.name != "lock"}
    again = fitlib_command("run", "tiny.yaml", cwd=copy)
    assert again.returncode == 0 and "root hash" in again.stdout
    assert before == {p: p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file() and p.name != "lock"}


def test_a_lost_and_a_damaged_run_are_redone_with_the_same_bytes(copy, place, fitlib_command):
    root = copy / "outputs/tiny"
    shutil.rmtree(root / "runs/baseline/ulp/run-01")
    damaged = root / "runs/domain-independent/ulp/run-02/predictions/S-DI2.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert fitlib_command("run", "tiny.yaml", "--jobs", 1, cwd=copy).returncode == 0
    assert events(root, "started")[10:] == ["baseline/ulp/run-01", "domain-independent/ulp/run-02"]
    assert tables(root) == tables(place / "outputs/tiny")
    for run in ("baseline/ulp/run-01/predictions/S-Base", "domain-independent/ulp/run-02/predictions/S-DI2"):
        name = f"runs/{run}.parquet"
        assert (root / name).read_bytes() == (place / "outputs/tiny" / name).read_bytes()
    assert "was executed again" in text_of(root / "report.html")
    assert (root / "superseded").is_dir() and verify(root).deviations == []


def test_changed_parameters_never_reuse_or_replace_results_silently(copy, fitlib_command):
    before = tables(copy / "outputs/tiny")
    refused = fitlib_command("run", "tiny.yaml", "--set", "training.epochs=1", cwd=copy)
    assert refused.returncode == 2 and "10 finished runs would be replaced" in refused.stderr
    assert "baseline/none/run-00" in refused.stderr and "--replace" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1 and tables(copy / "outputs/tiny") == before
    plan = fitlib_command("plan", "tiny.yaml", "--set", "training.epochs=1", cwd=copy)
    assert plan.stdout.count("parameters changed") == 4  # a line for each training and arm


@pytest.mark.slow
def test_fewer_runs_use_the_first_and_delete_nothing(copy, fitlib_command):
    root = copy / "outputs/tiny"
    assert fitlib_command("run", "tiny.yaml", "--runs", 2, cwd=copy).returncode == 0
    assert set(pd.read_csv(root / "tables/runs.csv").run) == {0, 1}
    assert (root / "runs/baseline/ulp/run-02/record.json").is_file()
    assert "runs was 3, is 2" in text_of(root / "report.html")
    assert (root / "experiment-2.yaml").is_file() and verify(root).deviations == []


def test_runs_from_unlike_environments_are_not_called_fit(copy, fitlib_command):
    root = copy / "outputs/tiny"
    shutil.rmtree(root / "runs/baseline/ulp/run-01")
    done = fitlib_command("run", "tiny.yaml", cwd=copy, env={"ATEN_CPU_CAPABILITY": "default"})
    assert done.returncode == 0
    runs = pd.read_csv(root / "tables/runs.csv").set_index("technique")
    assert set(runs.fit["S-Base"]) == {"no"} and set(runs.fit["S-DI1"]) == {"yes"}
    page = text_of(root / "report.html")
    assert "not FIT runs" in page and "environment variables" in page and "run-01" in page
    comparisons = pd.read_csv(root / "tables/comparisons.csv")
    assert set(comparisons[comparisons.metric != "accuracy"].verdict) == {"not FIT"}
    marks = {line.partition(": ")[0] for line in verify(root).deviations}
    assert marks == {str(root / "runs/baseline/ulp/run-01/fingerprint.json")}


@pytest.mark.slow
def test_only_limits_the_runs_and_the_report_says_so(tmp_path, place, fitlib_command):
    shutil.copy(place / "tiny.yaml", tmp_path)
    done = fitlib_command("run", "tiny.yaml", "--only", "S-Base", "--runs", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    root = tmp_path / "outputs/tiny"
    assert {p.name for p in (root / "runs").iterdir()} == {"baseline"}
    page = text_of(root / "report.html")
    assert "only S-Base" in page and "not estimable" in page
    assert " nan" not in page.lower()


def test_status_and_plan_tell_what_is_done(place, fitlib_command):
    status = fitlib_command("status", "tiny", cwd=place)
    assert "10 done of 10 runs" in status.stdout
    assert "0 of 10 runs will be executed" in fitlib_command("plan", "tiny.yaml", cwd=place).stdout


@pytest.mark.slow
def test_report_again_gives_the_same_tables(copy, fitlib_command):
    before = tables(copy / "outputs/tiny")
    (copy / "outputs/tiny/tables/runs.csv").unlink()
    assert fitlib_command("report", "tiny", cwd=copy).returncode == 0
    assert tables(copy / "outputs/tiny") == before


@pytest.mark.slow
def test_code_is_shown_when_asked_for(copy, fitlib_command):
    hidden = text_of(copy / "outputs/tiny/report.html")
    assert fitlib_command("report", "tiny", "--show-code", cwd=copy).returncode == 0
    shown = text_of(copy / "outputs/tiny/report.html")
    assert "import" in shown and len(shown) > len(hidden)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "none.yaml"], "no such file"),
        (["run", "tiny.yaml", "--only", "S-Bas"], "unknown technique"),
        (["run", "tiny.yaml", "--set", "noise=ulps"], "did you mean 'ulp'?"),
        (["run", "tiny.yaml", "--outputs", "tiny.yaml"], "not writable"),
        (["run", "tiny.yaml", "--jobs", "0"], "whole number"),
        (["status", "nothing"], "existing experiments: tiny"),
        (["report", "../tiny"], "no such experiment"),
    ],
)
def test_bad_input_exits_2_with_one_line(place, fitlib_command, arguments, expected):
    done = fitlib_command(*arguments, cwd=place)
    assert done.returncode == 2 and expected in done.stderr and "Traceback" not in done.stderr


def test_a_folder_without_rights_is_named(place, fitlib_command, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere: the case of a file in the way is tested instead")
    tmp_path.chmod(0o500)
    done = fitlib_command("run", place / "tiny.yaml", "--outputs", tmp_path / "x", cwd=place)
    assert done.returncode == 2 and "not writable" in done.stderr
