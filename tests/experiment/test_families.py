"""Techniques that share classes and groups are one family; every family is analysed by itself."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from fitlib import load
from fitlib.audit.export import export
from fitlib.audit.verify import verify
from fitlib.audit.verify_archive import verify_archive
from fitlib.errors import InputError
from fitlib.execution.analysis_inputs import family_inputs
from fitlib.experiment.parse import make_experiment
from fitlib.experiment.plan import Plan
from fitlib.storage.paths import ExperimentPaths

DIGITS = {"name": "digits-s", "split_seed": 1}
FACES = {"name": "fairface", "root": "faces.parquet", "size": 16}
DESCRIPTIONS = {
    "digits-s": {"classes": ["0", "1"], "groups": {"protected": ["gray", "colour"]}},
    "fairface": {"classes": ["young", "old"], "groups": {"sex": ["f", "m"]}},
}


def technique(data, baseline="A", **fields):
    return {"method": "baseline", "data": data, "baseline": baseline, **fields}


@pytest.fixture
def make(monkeypatch):
    """An experiment on data sets that say of themselves what `TOLD` says."""
    monkeypatch.setattr("fitlib.experiment.families.describe", lambda data: DESCRIPTIONS[data["name"]])
    return lambda techniques, **more: make_experiment({"techniques": techniques, **more}, "x.yaml", "x")


TWO = {
    "A": technique({"name": "digits-s"}),
    "F": technique(FACES, "F"),
    "B": technique(DIGITS),
    "G": technique(FACES, "F", training={"epochs": 3}),
}


def test_techniques_are_grouped_by_classes_and_groups_in_plan_order(make):
    first, second = make(TWO).families
    assert (first.name, set(first.techniques), first.classes) == ("A", {"A", "B"}, ("0", "1"))
    assert (second.name, set(second.techniques), second.groups) == ("F", {"F", "G"}, {"sex": ["f", "m"]})


def test_a_family_s_analysis_has_its_own_techniques_names_folder_and_remarks(make, tmp_path, monkeypatch):
    declared = {"declared_hash": "h", "finished_runs_at_declaration": 0}
    monkeypatch.setattr("fitlib.execution.analysis_inputs.read_declared", lambda paths: declared)
    plan = Plan(make(TWO), ExperimentPaths(tmp_path))
    first, second = (family_inputs(plan, family, []) for family in plan.experiment.families)
    assert [t["technique"] for t in first.plan["techniques"]] == ["A", "B"] and second.plan["classes"] == [
        "young",
        "old",
    ]
    assert second.paths.root == tmp_path / "families" / "F" and second.plan["groups"] == {"sex": ["f", "m"]}
    assert ["different data settings" in messages for messages in first.plan["deviations"]] == [True]
    assert second.plan["deviations"] == []


def test_one_family_has_its_results_in_the_experiments_own_folder(make, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "fitlib.execution.analysis_inputs.read_declared",
        lambda p: {"declared_hash": "", "finished_runs_at_declaration": 0},
    )
    experiment = make({"A": TWO["A"], "B": TWO["B"]})
    plan = Plan(experiment, ExperimentPaths(tmp_path))
    assert family_inputs(plan, experiment.families[0], []).paths.root == tmp_path


def test_a_baseline_of_another_family_is_refused(make):
    with pytest.raises(InputError, match=r"techniques\.F\.baseline = 'A': its data have other classes or groups"):
        make({"A": TWO["A"], "F": technique(FACES, "A")})


def test_what_the_analysis_declares_must_fit_every_family(make):
    with pytest.raises(InputError, match="from 0 to 1"):
        make(TWO, analysis={"favourable": 2})
    with pytest.raises(InputError, match="unknown protected attribute"):
        make(TWO, analysis={"cross": [["sex", "race"]]})


def test_the_rule_must_fit_the_data_before_anything_is_trained(make, monkeypatch):
    monkeypatch.setitem(DESCRIPTIONS, "coco", DESCRIPTIONS["fairface"])
    labels = {"name": "coco", "annotations": "lists", "images": "made"}
    assert make({"A": technique(labels)}).techniques[0].inference == "threshold"
    for data, rule, remedy in ((labels, "argmax", "use threshold"), (DIGITS, "threshold", "use argmax")):
        with pytest.raises(InputError, match=f"inference = '{rule}': not a rule for the data set .*; {remedy}"):
            make({"A": technique(data, inference=rule)})
    with pytest.raises(InputError, match="choose another method"):
        make({"A": technique(labels) | {"method": "oversampling"}})


def faces(path, rows=40):
    """A table of tiny images with a target and a protected column."""
    rng, cells = np.random.default_rng(0), []
    for number in range(rows):
        stream = io.BytesIO()
        Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(stream, "PNG")
        cells.append({"bytes": stream.getvalue(), "path": f"{number}.png"})
    columns = {
        "image": cells,
        "split": ["train", "val"] * (rows // 2),
        "gender": ["Female", "Male", "Male", "Female"] * (rows // 4),
        "race": ["x", "x", "x", "x", "y", "y", "y", "y"] * (rows // 8),
    }
    pq.write_table(pa.table(columns), path)


@pytest.mark.slow
def test_two_families_in_one_file_give_two_reports_and_one_index(tmp_path, fitlib_command):
    faces(tmp_path / "faces.parquet")
    quick = {"training": {"epochs": 1}, "runs": 2, "control_runs": 0}
    digits = {"name": "digits-s"}
    techniques = {
        "D-Base": technique(digits, "D-Base"),
        "D-RS": technique(digits, "D-Base") | {"method": "oversampling"},
        "F-Base": technique(FACES, "F-Base"),
    }
    (tmp_path / "two.yaml").write_text(yaml.safe_dump({"techniques": techniques, **quick}, sort_keys=False))
    done = fitlib_command(
        "run", "two.yaml", "--jobs", 2, cwd=tmp_path, env={"FITLIB_CACHE_DIR": str(tmp_path / "cache")}
    )
    assert done.returncode == 0, done.stderr
    root = tmp_path / "outputs" / "two"
    manifest = json.loads((root / "MANIFEST.json").read_text())["files"]
    for name in ("D-Base", "F-Base"):
        assert f"report: {root.relative_to(tmp_path)}/families/{name}/report.html" in done.stdout
        assert f"families/{name}/report.html" in (root / "index.html").read_text()
        assert {f"families/{name}/report.html", f"families/{name}/tables/runs.csv"} < set(manifest)
        epochs = (root / f"families/{name}/tables/epochs.csv").read_text().splitlines()
        assert len(epochs) > 1, f"{name}: the histories of its runs were not found"
    assert not (root / "report.html").exists()
    again = fitlib_command("run", "two.yaml", cwd=tmp_path, env={"FITLIB_CACHE_DIR": str(tmp_path / "cache")})
    assert again.returncode == 0 and json.loads((root / "MANIFEST.json").read_text())["files"] == manifest
    assert verify(root).deviations == []
    sent = export(ExperimentPaths(root), tmp_path / "two.zip").path
    assert verify_archive(sent).deviations == []
    assert {name: part.finished for name, part in load(root).families.items()} == {"D-Base": True, "F-Base": True}
    (tmp_path / "faces.parquet").unlink()  # elsewhere the data are not there
    found = verify(root.rename(tmp_path / "moved"), full=True)
    assert found.deviations == [] and "cannot be resolved here" in found.remarks[0]
    (tmp_path / "moved/families/F-Base/tables/summary.csv").write_text("technique\n")
    assert [line.split(":")[0] for line in verify(tmp_path / "moved").deviations] == [
        str(tmp_path / "moved/families/F-Base/tables/summary.csv")
    ] * 2
