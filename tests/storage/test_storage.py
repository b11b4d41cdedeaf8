"""Records are the only evidence of a finished task; nothing half-written counts."""

import json
import os

import pytest

from fitlib.digest import digest_file
from fitlib.experiment.plan import folder_state
from fitlib.storage.atomic_files import append_line, write_atomically
from fitlib.storage.journal import deviations, note_deviation
from fitlib.storage.manifest import write_manifest
from fitlib.storage.paths import ExperimentPaths, commit_attempt, new_attempt, supersede
from fitlib.storage.records import read_record, write_record

PARTS = {"code": "c", "parameters": "p"}


@pytest.fixture
def task(tmp_path):
    (tmp_path / "out.txt").write_text("result")
    write_record(tmp_path, "train", PARTS, ["out.txt"])
    return tmp_path


def test_a_recorded_task_is_done(task):
    assert folder_state(task, PARTS).done
    assert read_record(task)["outputs"]["out.txt"]["sha256"] == digest_file(task / "out.txt")


@pytest.mark.parametrize(
    ("damage", "state"),
    [
        (lambda folder: (folder / "out.txt").write_text("res"), "damaged"),
        (lambda folder: (folder / "out.txt").unlink(), "damaged"),
        (lambda folder: (folder / "record.json").write_text('{"schema": 1, "outp'), "damaged"),
        (lambda folder: (folder / "record.json").write_text(""), "damaged"),
        (lambda folder: (folder / "record.json").write_text("[]"), "damaged"),
        (lambda folder: (folder / "record.json").unlink(), "new"),
    ],
)
def test_damage_is_never_done(task, damage, state):
    damage(task)
    assert folder_state(task, PARTS).state == state


@pytest.mark.parametrize(
    "change",
    [
        {"outputs": {}},
        {"outputs": []},
        {"outputs": None},
        {"outputs": {"out.txt": 6}},
        {"outputs": {"out.txt": {}}},
        {"outputs": {"out.txt": {"size": 6.0}}},
        {"outputs": {"a\0b": {"size": 6}}},
        {"key_parts": None},
        {"key_parts": ["c"]},
        {"key_parts": {"code": 1}},
        {"key_parts": {"code": "\ud800"}},
        {"key_parts": {"code": "d", "parameters": "p"}},
        {"key": "0"},
        {"key": None},
        {"schema": 2},
    ],
    ids=str,
)
def test_a_record_of_another_shape_is_none(task, change):
    record = json.loads((task / "record.json").read_text())
    (task / "record.json").write_text(json.dumps({**record, **change}))
    assert read_record(task) is None and folder_state(task, PARTS).state == "damaged"


def test_another_key_is_a_change_and_says_which(task):
    state = folder_state(task, {**PARTS, "code": "d"})
    assert state.state == "changed" and "code" in state.reason


def test_a_failure_is_told_by_its_last_line(tmp_path):
    (tmp_path / "failed.json").write_text(json.dumps({"error": "Traceback\n  line\nValueError: too bad"}))
    state = folder_state(tmp_path, PARTS)
    assert state.state == "failed" and state.reason == "failed: ValueError: too bad"


def test_a_write_that_fails_leaves_the_old_content_and_no_temporary_file(tmp_path, monkeypatch):
    path = tmp_path / "f"
    write_atomically(path, "old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, "new")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["f"]


def test_the_first_attempt_to_settle_wins(tmp_path):
    target = tmp_path / "run-00"
    first, second = new_attempt(target), new_attempt(target)
    (first / "f").write_text("first")
    (second / "f").write_text("second")
    commit_attempt(first, target)
    commit_attempt(second, target)
    assert (target / "f").read_text() == "first" and os.listdir(tmp_path) == ["run-00"]


def test_superseded_runs_are_kept_under_free_names(tmp_path):
    paths = ExperimentPaths(tmp_path)
    for content in ("a", "b"):
        folder = paths.run("baseline", "ulp", 3)
        folder.mkdir(parents=True)
        (folder / "f").write_text(content)
        supersede(paths, folder)
    kept = sorted(paths.superseded.rglob("f"))
    assert [p.read_text() for p in kept] == ["a", "b"] and not paths.run("baseline", "ulp", 3).exists()


def test_attempts_are_told_from_results(tmp_path):
    paths = ExperimentPaths(tmp_path)
    paths.run("baseline", "ulp-k1.x", 0).mkdir(parents=True)
    paths.technique("S.1").mkdir(parents=True)
    attempts = [new_attempt(paths.run("baseline", "ulp", 0)), new_attempt(paths.technique("S.1"), hidden=True)]
    attempts.append(new_attempt(tmp_path / "statistics", hidden=True))
    assert paths.attempts() == sorted(attempts)


def test_folders_of_the_user_are_no_attempts(tmp_path):
    paths = ExperimentPaths(tmp_path)
    for name in (
        ".git.d", ".statistics.old", ".notes.0123abcd", "techniques/.cache", "techniques/.S.backup",
        "runs/a/b/run-01.old", "runs/a/b/run-01.0123ABCD", "runs/a/b/run-01.0123abcd.keep", "techniques/..0123abcd",
    ):  # fmt: skip
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / ".statistics.0123abcd").symlink_to(tmp_path / ".git.d")
    assert paths.attempts() == []


def test_a_sweep_removes_attempts_and_temporaries_and_nothing_else(tmp_path):
    paths = ExperimentPaths(tmp_path)
    attempt, run = new_attempt(paths.technique("S"), hidden=True), paths.run("baseline", "ulp", 0)
    run.mkdir(parents=True)
    temporaries = [tmp_path / ".MANIFEST.json.0123abcd", run / ".record.json.89abcdef", run / ".train.html.00000000"]
    kept = [tmp_path / ".gitignore", tmp_path / ".notes.0123abcd", run / ".record.json.old", run / "record.json"]
    for path in [*temporaries, *kept]:
        path.write_text("")
    assert paths.temporaries() == sorted(temporaries)
    paths.sweep()
    assert not attempt.exists() and not any(p.exists() for p in temporaries) and all(p.exists() for p in kept)


@pytest.mark.parametrize("there", [b"", b"first\n", b"first\nsec", b"sec"])
def test_a_line_takes_the_place_of_a_torn_one(tmp_path, there):
    (tmp_path / "lines").write_bytes(there)
    append_line(tmp_path / "lines", "third")
    append_line(tmp_path / "lines", "fourth")
    whole = ["first"] if b"\n" in there else []
    assert (tmp_path / "lines").read_text() == "\n".join([*whole, "third", "fourth", ""])


def test_deviations_are_kept_in_order_and_once(tmp_path):
    paths = ExperimentPaths(tmp_path)
    for sentence in ("first", "second", "first"):
        note_deviation(paths, sentence)
    assert deviations(paths) == ["first", "second"]


def test_a_torn_deviation_is_passed_over_and_written_away(tmp_path):
    paths = ExperimentPaths(tmp_path)
    paths.deviations.write_text('"first"\n"sec')
    assert deviations(paths) == ["first"]
    note_deviation(paths, "third")
    assert paths.deviations.read_text() == '"first"\n"third"\n'


def test_a_deviation_that_cannot_be_written_leaves_the_old_ones(tmp_path, monkeypatch):
    paths = ExperimentPaths(tmp_path)
    note_deviation(paths, "first")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        note_deviation(paths, "second")
    assert deviations(paths) == ["first"] and os.listdir(tmp_path) == ["deviations.jsonl"]


def test_the_manifest_skips_hidden_files_and_lists_superseded_runs(tmp_path):
    paths = ExperimentPaths(tmp_path)
    listed = ["superseded/runs/a/b/run-00-1/record.json", "techniques/S.1/counts.parquet"]
    for name in [*listed, ".DS_Store", "tables/.~lock.a.csv", ".statistics.0123abcd/tables/a.csv"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    write_manifest(paths)
    assert list(json.loads(paths.manifest.read_text())["files"]) == listed


def test_the_manifest_lists_every_file_and_its_root_depends_on_each(tmp_path):
    paths = ExperimentPaths(tmp_path)
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "a.csv").write_text("1")
    (tmp_path / "events.jsonl").write_text("now")
    root = write_manifest(paths)
    assert list(json.loads(paths.manifest.read_text())["files"]) == ["tables/a.csv"]
    assert write_manifest(paths) == root
    (tmp_path / "tables" / "a.csv").write_text("2")
    assert write_manifest(paths) != root
