"""`fitlib.load` gives what lies on disk as tidy frames that say under which conditions their numbers hold."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import fitlib
from fitlib.errors import InputError
from fitlib.report.table_files import TABLE_FILES
from fitlib.storage.predictions import read_predictions
from fitlib.tables.schemas import SCHEMAS, read_csv
from tests.support.simulated import write_simulated

EVIL = ["<script>alert(1)</script>", '"><img onerror=alert(1) src=x>', *"23456789"]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place") / "outputs"
    write_simulated(folder)
    return folder


@pytest.fixture
def loaded(outputs):
    return fitlib.load("sim", outputs)


def test_fitlib_is_light_and_loading_needs_no_torch(outputs):
    code = (
        "import sys, fitlib; assert not {'torch', 'pandas', 'numpy'} & set(sys.modules);"
        f"e = fitlib.load('sim', {str(outputs)!r}); e.tables.summary; e._repr_html_(); e.history;"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_is_read_before_it_is_asked_for(outputs, monkeypatch):
    monkeypatch.setattr(pd, "read_parquet", lambda *_: pytest.fail("read too early"))
    experiment = fitlib.load("sim", outputs)
    assert experiment.tables.summary is not None and "metrics" in experiment.tables


def test_an_experiment_is_found_from_the_folder_of_notebooks_and_by_its_path(outputs, monkeypatch):
    (outputs.parent / "notebooks").mkdir(exist_ok=True)
    monkeypatch.chdir(outputs.parent / "notebooks")
    assert fitlib.experiments() == ["sim"]
    assert fitlib.load("sim").root == fitlib.load(outputs / "sim").root == fitlib.load("../outputs/sim").root.resolve()


def test_every_table_is_the_one_on_disk(loaded):
    assert {*SCHEMAS, "metrics"} - {"review"} == set(loaded.tables) == {*TABLE_FILES}
    for name in set(loaded.tables) - {"metrics"}:
        stored = read_csv(loaded.root / "tables" / f"{name}.csv", name)
        pd.testing.assert_frame_equal(pd.DataFrame(loaded.tables[name]), stored)


def test_a_table_that_is_changed_is_changed_for_oneself_only(loaded):
    mine = loaded.tables.summary
    mine["mean"] = 0
    assert loaded.tables.summary["mean"].max() > 0


def test_a_caption_says_n_noise_and_seed_and_stays_with_chosen_rows(loaded):
    summary = loaded.tables.summary
    assert summary.caption.startswith("n = 5 runs per technique. Varied: noise not recorded. Fixed: seed")
    few = loaded.tables.metrics.query("run < 3")
    assert few.caption.startswith("n = 3 runs per technique") and "<caption" in few.head()._repr_html_()
    assert "Holm" in loaded.tables.comparisons.caption and "smallest" in loaded.tables.comparisons.caption


def test_what_is_computed_from_a_table_has_no_caption(loaded):
    summary = loaded.tables.summary
    for other in (
        summary.groupby("metric").mean(numeric_only=True),
        summary.merge(pd.DataFrame({"technique": ["Base"]}), on="technique"),
        pd.concat([summary, summary]),
    ):
        assert getattr(other, "caption", "") == "" and "<caption" not in other._repr_html_()


def test_no_nan_is_shown(loaded):
    shown = loaded.tables.comparisons._repr_html_()
    assert loaded.tables.comparisons.isna().any().any() and "NaN" not in shown and "&lt;NA&gt;" not in shown


def test_runs_history_digests_and_fingerprints_are_those_of_the_run_folders(loaded):
    runs = loaded.runs
    assert len(runs) == 10 and set(runs["status"]) == {"done"}
    for row in runs.itertuples():
        folder = Path(row.folder)
        own = loaded.digests[(loaded.digests.training == row.training) & (loaded.digests.run == row.run)]
        stored = pd.read_parquet(folder / "digests.parquet")
        assert list(own.digest) == list(stored.digest) and row.final_weights == stored.digest.iloc[-1]
        part = loaded.run(row.training, row.arm, row.run)
        assert part.notebook == folder / "train.ipynb" and len(part.history) == 12
    assert len(loaded.history) == 120 and len(loaded.fingerprints) == 30


def test_predictions_are_every_row_of_every_run(loaded):
    rows = loaded.predictions("Base")
    assert len(rows) == 5 * 1200 and list(rows.columns[:3]) == ["technique", "arm", "run"]
    one = loaded.predictions("Base", run=2)
    stored = read_predictions(loaded.root / "runs/simulated-base/unknown/run-02/predictions/Base.parquet")
    np.testing.assert_array_equal(one["prediction"], stored["prediction"])


def test_names_are_completed(loaded):
    assert {"tables", "runs", "history", "digests", "fingerprints", "predictions", "plan", "verdict"} <= set(
        dir(loaded)
    )
    assert not [name for name in dir(loaded) if name.startswith("_") and not name.startswith("__")]
    assert {"summary", "comparisons"} <= set(dir(loaded.tables))
    assert "summary" in loaded.tables._ipython_key_completions_()
    assert {"load", "experiments"} <= set(dir(fitlib)) and "outputs" in fitlib.load.__doc__


def test_the_experiment_tells_its_verdict(loaded):
    shown = loaded._repr_html_()
    assert all(sentence.split(",")[0] in shown for sentence in loaded.verdict)
    assert "At a glance" in shown and "sim: 10 runs" in repr(loaded)


def test_names_of_classes_are_text(tmp_path):
    write_simulated(tmp_path, "evil", {"classes": EVIL})
    experiment = fitlib.load("evil", tmp_path)
    frame = experiment.tables.risk
    frame["note"] = EVIL[0]
    for shown in (experiment._repr_html_(), frame._repr_html_(), experiment.tables._repr_html_()):
        assert "<script" not in shown and "<img onerror" not in shown
    assert "&lt;script" in frame._repr_html_()


# Mistakes


def one_line(work, *words):
    with pytest.raises(InputError) as messages:
        work()
    assert "\n" not in str(messages.value) and all(word in str(messages.value) for word in words), str(messages.value)
    return messages.value


def test_a_mistake_is_one_line_that_names_the_remedy(loaded, outputs, tmp_path):
    one_line(lambda: fitlib.load("smi", outputs), "did you mean 'sim'")
    one_line(lambda: fitlib.load("other", outputs), "no such experiment", "available: sim")
    one_line(lambda: fitlib.load("other", tmp_path), "create one with fitlib run params/quickstart.yaml")
    one_line(lambda: loaded.tables["sumary"], "did you mean 'summary'")
    one_line(lambda: loaded.predictions("base"), "did you mean 'Base'")
    one_line(lambda: loaded.run("simulated-base", "unknown", 77), "no such run", "run-00")
    (tmp_path / "e.zip").write_bytes(b"")
    one_line(lambda: fitlib.load(tmp_path / "e.zip", outputs), "an archive", "unpack it first")
    error = one_line(lambda: fitlib.load("smi", outputs))
    assert error._render_traceback_() == [f"InputError: {error}"]
    with pytest.raises(AttributeError, match="available: by_seed, cause_churn"):
        loaded.tables.sumary  # noqa: B018 - the look-up is the test


def test_an_unfinished_experiment_shows_its_runs_and_says_what_is_missing(outputs, tmp_path):
    root = Path(shutil.copytree(outputs / "sim", tmp_path / "half"))
    (root / "statistics.ipynb").unlink()
    (root / "experiment.yaml").write_text("plan: {}\n")
    experiment = fitlib.load(root)
    assert "not finished" in repr(experiment) and "not finished" in experiment._repr_html_()
    assert len(experiment.runs) == 10 and "<table" in experiment.runs._repr_html_()
    one_line(lambda: experiment.tables, "not finished: 10 runs done", "finish it with fitlib run")


def test_predictions_that_an_export_left_out_are_told(outputs, tmp_path):
    root = Path(shutil.copytree(outputs / "sim", tmp_path / "sent", ignore=shutil.ignore_patterns("predictions")))
    one_line(lambda: fitlib.load(root).predictions("Base"), "an export leaves them out")
    assert len(fitlib.load(root).tables.summary)


def test_families_are_loaded_one_by_one(outputs, tmp_path):
    root = tmp_path / "two"
    for family in ("one", "other"):
        (root / "families").mkdir(parents=True, exist_ok=True)
        shutil.copytree(outputs / "sim", root / "families" / family)
    (root / "experiment.yaml").write_text("plan: {}\n")
    experiment = fitlib.load(root)
    assert list(experiment.families) == ["one", "other"] and experiment.families["one"].name == "two/one"
    assert "families[" in experiment._repr_html_() and len(experiment.families["other"].tables.summary)
    one_line(lambda: experiment.tables, "2 families", "choose one of .families: one, other")
