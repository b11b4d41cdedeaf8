"""Every change in a finished experiment is found and reported, and an unchanged one has no deviation."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from fitlib.audit.deviations import Verification
from fitlib.audit.executed_notebooks import Executed, check_cells, read_executed
from fitlib.audit.runs import Runs, check_sameness, split_packages
from fitlib.audit.tables import differences
from fitlib.audit.verify import check_files, verify
from fitlib.digest import digest_json
from fitlib.errors import InputError
from fitlib.experiment.model import plan_hash
from fitlib.experiment.notebooks import cells_digest
from fitlib.storage.lock import locked
from fitlib.storage.manifest import write_manifest
from fitlib.storage.paths import ExperimentPaths
from tests.support.tampering import change_cell, change_json, files_of, flip_byte, mend

EXPERIMENT = {
    "network": {"name": "small-cnn", "width": 4},
    "training": {"epochs": 2, "learning_rate": 0.1, "shift": 1},
    "techniques": {
        "S-DI1": {"method": "domain-independent", "inference": "conditional"},
        "S-DI2": {"method": "domain-independent", "inference": "sum"},
    },
    "baseline": "S-DI1",
    "runs": 3,
    "control_runs": 2,
}
RUN = "runs/domain-independent/ulp/run-01"
TAMPERINGS = 240


@pytest.fixture(scope="module")
def finished(tmp_path_factory, fitlib_command):
    """A finished experiment, not to be changed."""
    folder = tmp_path_factory.mktemp("verified")
    (folder / "e.yaml").write_text(yaml.safe_dump(EXPERIMENT, sort_keys=False))
    done = fitlib_command("run", "e.yaml", "--jobs", 2, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "outputs/e"


@pytest.fixture
def copy(finished, tmp_path):
    """A copy to tamper with, elsewhere and under another name."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def named(found: Verification, path: str, *words: str) -> bool:
    """Return whether a deviation begins with the path and contains the words."""
    lines = [line for line in found.deviations if line.startswith(f"{found.paths.root / path}: ")]
    return any(all(word in line for word in words) for line in lines)


# Nothing was changed


def test_an_untouched_experiment_has_no_deviation_wherever_it_is(finished, copy):
    for root in (finished, copy):
        found = verify(root)
        assert found.deviations == [] and found.remarks == []
        assert found.counted["runs"] == 5 and found.counted["notebooks"] == 8
    assert found.root == json.loads((finished / "MANIFEST.json").read_text())["root"]


def test_what_is_drawn_at_random_is_derived_again_on_request(finished):
    found = verify(finished, full=True)
    assert found.deviations == [] and found.counted["tables"] == verify(finished).counted["tables"] + 4


@pytest.mark.slow
def test_twenty_untouched_copies_have_no_deviation(finished, tmp_path):
    for number in range(20):
        copy = Path(shutil.copytree(finished, tmp_path / f"place-{number}/copy"))
        assert verify(copy, full=number % 2 == 1).deviations == []


def test_uncovered_files_are_no_deviation(copy):
    for name in ("events.jsonl", "timings.csv", "determinism.csv", "lock"):
        (copy / name).write_text("other")
    (copy / ".DS_Store").write_text("hidden")
    found = verify(copy)
    assert found.deviations == [] and [".DS_Store: hidden" in line for line in found.remarks] == [True]


# One byte, one cell, one file


def test_every_changed_byte_and_cell_is_found_in_the_file_that_it_is_in(finished, tmp_path):
    """240 changes, half of them bytes and half of them cells, by the stage of `verify` that re-hashes all files."""
    root = Path(shutil.copytree(finished, tmp_path / "copy"))
    rng, names = np.random.default_rng(6), files_of(root)
    kinds = Counter()
    for number in range(TAMPERINGS):
        name = names[int(rng.integers(len(names)))]
        before = (root / name).read_bytes()
        (flip_byte if number % 2 else change_cell)(root / name, rng)
        found = check_files(root)
        assert named(found, name), f"change {number} of {name} was not found"
        assert all(line.startswith(f"{root / name}: ") for line in found.deviations) or name.endswith(".json")
        kinds[Path(name).suffix] += 1
        (root / name).write_bytes(before)
    assert check_files(root).deviations == [] and {".csv", ".parquet", ".ipynb", ".json", ".html"} <= set(kinds)


@pytest.mark.parametrize("seed", [0, *(pytest.param(s, marks=pytest.mark.slow) for s in range(1, 30))])
def test_a_complete_verification_names_a_changed_file_and_does_not_crash(copy, seed):
    rng, names = np.random.default_rng(seed), files_of(copy)
    name = names[int(rng.integers(len(names)))]
    (flip_byte if seed % 2 else change_cell)(copy / name, rng)
    assert named(verify(copy), name)


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff\x00", b'{"cells": [{}]}', b"null"])
def test_any_file_may_be_rubbish(copy, content):
    for name in ("MANIFEST.json", "experiment.yaml", "statistics.ipynb", "statistics.json", f"{RUN}/record.json"):
        before = (copy / name).read_bytes()
        (copy / name).write_bytes(content)
        assert named(verify(copy), name)
        (copy / name).write_bytes(before)


def test_added_files_are_named(copy):
    added = ["note.txt", f"{RUN}/predictions/S-Other.parquet", "tables/more.csv", "runs/new/ulp/run-00/record.json"]
    for name in added:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("{}")
    found = verify(copy)
    assert all(named(found, name, "does not list this file") for name in added)


def test_every_removed_file_is_named(finished, tmp_path):
    root = Path(shutil.copytree(finished, tmp_path / "copy"))
    for name in files_of(root):
        before = (root / name).read_bytes()
        (root / name).unlink()
        assert named(check_files(root), name, "missing"), name
        (root / name).write_bytes(before)


def test_a_removed_run_is_one_line(copy):
    shutil.rmtree(copy / RUN)
    found = verify(copy)
    assert found.deviations == [f"{copy / RUN}: the run is missing, with its 8 files that MANIFEST.json lists"]


def test_a_run_that_never_finished_is_named(copy):
    shutil.rmtree(copy / RUN)
    (copy / RUN).mkdir()
    (copy / RUN / "failed.json").write_text('{"error": "line\\nRuntimeError: no memory"}')
    write_manifest(ExperimentPaths(copy))
    assert named(verify(copy), RUN, "the run failed", "no memory")


def test_the_manifest_is_there_only_when_all_is_done(copy):
    (copy / "MANIFEST.json").unlink()
    assert named(verify(copy), "MANIFEST.json", "missing")


# Mended hashes


@pytest.mark.slow
@pytest.mark.parametrize("table", ["summary.csv", "comparisons.csv", "risk.csv", "runs.csv", "metrics.parquet"])
def test_a_forged_table_is_not_what_the_predictions_give(copy, table):
    change_cell(copy / "tables" / table, np.random.default_rng(3))
    mend(copy)
    assert named(verify(copy), f"tables/{table}")


def test_a_forged_value_is_named_with_its_row_column_and_what_it_should_be(copy):
    path = copy / "tables/summary.csv"
    lines = path.read_text().splitlines()
    place = lines[0].split(",").index("mean")
    cells = lines[5].split(",")
    value, cells[place] = cells[place], "0.5"
    lines[5] = ",".join(cells)
    path.write_text("\n".join(lines) + "\n")
    mend(copy)
    assert named(verify(copy), "tables/summary.csv", "row 5, mean: 0.5, not " + value)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["metrics", "counts", "votes", "persons", "testset", "resampled"])
def test_a_forged_long_table_is_not_what_the_predictions_give(copy, name):
    path = copy / f"techniques/S-DI2/{name}.parquet"
    table = pq.read_table(path)
    column = table.column_names.index("value") if "value" in table.column_names else table.num_columns - 1
    values = table.column(column).to_pylist()
    values[0] = [entry + 1 for entry in values[0]] if isinstance(values[0], list) else values[0] + 1
    forged = pa.chunked_array([pa.array(values, type=table.schema.field(column).type)])
    pq.write_table(table.set_column(column, table.schema.field(column), forged), path, compression="zstd")
    mend(copy)
    found = verify(copy, full=name in ("testset", "resampled"))
    assert named(found, f"techniques/S-DI2/{name}.parquet", "not what the predictions")


def test_forged_predictions_are_not_those_that_the_tables_were_made_from(copy):
    path = copy / RUN / "predictions/S-DI1.parquet"
    table = pq.read_table(path)
    place = table.column_names.index("prediction")
    values = table.column(place).to_pylist()
    values[7] = (values[7] + 1) % 10
    pq.write_table(table.set_column(place, table.schema.field(place), [values]), path, compression="zstd")
    mend(copy)
    found = verify(copy)
    assert named(found, "techniques/S-DI1/record.json", "other predictions")
    assert named(found, "techniques/S-DI1/votes.parquet") and named(found, "statistics.ipynb", "predictions", "run-01")


def edited(path: Path, change) -> None:
    change_json(path, lambda notebook: change([c for c in notebook["cells"] if c["cell_type"] == "code"]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda cells: cells[4].update(source="print('other')"), ("cell", "print('other')")),
        (lambda cells: cells[3].update(execution_count=None), ("was not run",)),
        (lambda cells: cells[3].update(execution_count=9), ("run as number 9",)),
        (lambda cells: cells[2]["outputs"].append({"output_type": "error"}), ("ended with an error",)),
        (lambda cells: cells.clear() or cells, ()),
        (lambda cells: cells[1].update(source="run = 7\nseed = 3"), ("parameter seed is 3, but 0",)),
        (lambda cells: cells[1].update(source="import os"), ("something other than values",)),
    ],
)
def test_an_edited_cell_is_named(copy, change, words):
    path = copy / RUN / "train.ipynb"
    edited(path, change)
    found = Verification(ExperimentPaths(copy))
    executed = read_executed(found, path, copy / RUN / "record.json")
    if words and executed is not None and not found.deviations:
        mend(copy)
        found = verify(copy)
    assert not words or named(found, f"{RUN}/train.ipynb", *words)


def forge_fingerprint(folder: Path, part: str, value: str) -> None:
    def change(mark: dict) -> None:
        mark["parts"][part] = value
        mark["fingerprint"] = digest_json(mark["parts"])

    change_json(folder / "fingerprint.json", change)


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("machine", "Linux x86_64, another processor", ("machine is", "another processor", "of its arm")),
        ("packages", "torch 2.12.0", ("package torch is 2.12.0",)),
        ("initial weights", "0" * 64, ("initial weights", "digests.parquet")),
        ("parameters", "0" * 64, ("parameters", "plan")),
    ],
)
def test_one_run_from_another_machine_or_package_version_is_named(copy, part, value, words):
    forge_fingerprint(copy / RUN, part, value)
    mend(copy)
    assert named(verify(copy), f"{RUN}/fingerprint.json", *words)


def test_a_fingerprint_that_is_not_the_hash_of_its_parts_is_named(copy):
    change_json(copy / RUN / "fingerprint.json", lambda mark: mark["parts"].update(python="CPython 3.0"))
    mend(copy)
    assert named(verify(copy), f"{RUN}/fingerprint.json", "not the hash of its parts")


def test_a_run_put_in_the_place_of_another_is_named(copy):
    shutil.rmtree(copy / RUN)
    shutil.copytree(copy / "runs/domain-independent/ulp/run-00", copy / RUN)
    mend(copy)
    found = verify(copy)
    assert named(found, f"{RUN}/record.json", "not those of the declared plan")
    assert named(found, f"{RUN}/train.ipynb", "parameter run is 0, but 1 in plan and records")
    assert named(found, f"{RUN}/fingerprint.json", "noise: run is 0, but 1 in the plan")


def test_an_edited_plan_is_named(copy):
    declared = yaml.safe_load((copy / "experiment.yaml").read_text())
    declared["plan"]["analysis"]["alpha"] = 0.1
    (copy / "experiment.yaml").write_text(yaml.safe_dump(declared, sort_keys=False))
    mend(copy)
    assert named(verify(copy), "experiment.yaml", "edited after it was written")
    declared["declared_hash"] = plan_hash(declared["plan"])
    (copy / "experiment.yaml").write_text(yaml.safe_dump(declared, sort_keys=False))
    mend(copy)
    assert named(verify(copy), "statistics.ipynb", "parameter plan")


def test_mending_everything_is_found_by_the_root_hash_that_was_kept(finished, copy):
    kept = verify(finished).root
    assert verify(copy, kept).deviations == []
    (copy / "report.html").write_text("another report")
    mend(copy)
    assert verify(copy).deviations == []
    assert named(verify(copy, kept), "MANIFEST.json", f"expected {kept}")


# Parts of it


PARTS = {"machine": "cpu 1", "initial weights": "aa", "first batch": "bb", "packages": "torch 2.0, numpy 1.0"}


def entry(run, training="A", arm="ulp", seed=0, role="main", **parts):
    base = {"training": training, "arm": arm, "seed": seed, "run": run, "role": role, "status": "done", "error": ""}
    return {**base, "parts": {**PARTS, **parts}, "final_weights": "w", "predictions": {"A": "p"}, "fingerprint": "f"}


def sameness(evidence, **more):
    found = Verification(ExperimentPaths(Path("e")))
    check_sameness(found, Runs(), evidence, **more)
    return found.deviations


def test_runs_are_compared_within_arm_training_and_experiment():
    runs = [entry(r, t, a) for t in "AB" for a in ("ulp", "none") for r in range(2)]
    assert sameness(runs) == []
    lone = {**PARTS, "packages": "torch 2.0, numpy 1.1"}
    assert sameness([*runs, entry(0, "C", **lone)]) == [
        "e/runs/C/ulp/run-00/fingerprint.json: package numpy is 1.1, but 1.0 in 8 of 9 runs of the experiment"
    ]
    other = [entry(r, "A", "none", **{"initial weights": "zz"}) for r in range(2)]
    assert [line.partition(":")[0] for line in sameness([*runs[:2], entry(2, "A"), *other])] == [
        "e/runs/A/none/run-00/fingerprint.json",
        "e/runs/A/none/run-01/fingerprint.json",
    ]


def test_starts_differ_between_seeds_and_where_a_seed_is_the_noise():
    assert sameness([entry(0), entry(0, arm="seed1.ulp", seed=1, **{"initial weights": "zz"})]) == []
    seeds = [entry(r, arm="seed", **{"initial weights": f"{r}"}) for r in range(3)]
    assert len(sameness(seeds)) == 2 and sameness(seeds, by_design={"seed": ["initial weights"]}) == []
    assert len(sameness(seeds, by_design={"seed": ["first batch"]})) == 2


def test_packages_are_parts_of_their_own():
    assert split_packages({"packages": "torch 2.13.0+cpu, numpy 2.4"}) == {
        "package torch": "2.13.0+cpu",
        "package numpy": "2.4",
    }


def test_differing_cells_are_listed_by_row_and_column():
    one, other = [["a", "b"], ["1", "2"], ["3", "4"]], [["a", "b"], ["1", "2"], ["3", "5"]]
    assert list(differences(one, other)) == [(2, "b", "4", "5")]
    assert list(differences([["a"], ["1"]], [["a", "new"], ["1", "7"]])) == []


# Predictions made elsewhere


@pytest.fixture
def analysed(finished, tmp_path, fitlib_command):
    """A folder with predictions made elsewhere in `mine` and their analysis in `result`."""
    for number in range(3):
        for technique in EXPERIMENT["techniques"]:
            source = finished / f"runs/domain-independent/ulp/run-0{number}/predictions/{technique}.parquet"
            (tmp_path / "mine" / technique).mkdir(parents=True, exist_ok=True)
            shutil.copy(source, tmp_path / "mine" / technique / f"try_{number}.parquet")
    done = fitlib_command("analyze", "mine", "--baseline", "S-DI1", "--out", "result", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return tmp_path


@pytest.mark.slow
def test_an_analysis_is_verified_wherever_it_is(analysed):
    (analysed / "mine").rename(analysed / "elsewhere")  # the result's folder contains what was analysed
    result = (analysed / "result").rename(analysed / "moved")
    for full in (False, True):
        found = verify(result, full=full)
        assert found.deviations == [] and found.remarks == []
    kept = found.root
    file = result / "predictions/S-DI2/run-01.parquet"
    before = file.read_bytes()
    flip_byte(file, np.random.default_rng(0))
    assert verify(result).deviations[0].startswith(f"{file}: altered") and len(verify(result).deviations) == 1
    mend(result)
    assert named(verify(result), "techniques/S-DI2/record.json", "computed from other predictions")
    assert named(verify(result, kept), "MANIFEST.json", f"expected {kept}")
    file.write_bytes(before)
    change_json(result / "predictions/mapping.json", lambda mapping: mapping["classes"].reverse())
    mend(result)
    assert named(verify(result), "statistics.ipynb", "parameter plan")


@pytest.mark.slow
def test_forged_results_of_an_analysis_are_named(analysed):
    result = analysed / "result"
    (result / "tables/risk.csv").write_text("technique\n")
    mend(result)
    assert {line.split(":")[0] for line in verify(result).deviations} == {str(result / "tables/risk.csv")}
    shutil.rmtree(result / "predictions")
    mend(result)
    assert named(verify(result), "predictions/record.json", "missing")


# Custom trainings


OWN = Path(__file__).parents[1] / "own"


@pytest.fixture(scope="module")
def own(tmp_path_factory, fitlib_command):
    """A folder with finished experiments of a function and of a notebook, not to be changed."""
    folder = tmp_path_factory.mktemp("own")
    for path in OWN.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    two = {"A": {}, "B": {"parameters": {"share": 0.05}}}
    shared = {"techniques": two, "baseline": "A", "runs": 2, "control_runs": 2}
    for name, source in (("called", {"callable": "simulated:train"}), ("executed", {"notebook": "simulated.ipynb"})):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({**source, **shared}, sort_keys=False))
        done = fitlib_command("run", f"{name}.yaml", "--jobs", 2, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def here(own, tmp_path, monkeypatch):
    """A copy of it, to tamper with, as the current folder."""
    place = Path(shutil.copytree(own, tmp_path / "own"))
    monkeypatch.chdir(place)
    return place


def runs_of(root: Path) -> list[str]:
    return sorted(path.parent.relative_to(root).as_posix() for path in root.glob("runs/*/native/*/record.json"))


@pytest.mark.slow
def test_untouched_experiments_of_custom_trainings_have_no_deviation(here):
    for name in ("called", "executed"):
        found = verify(here / "outputs" / name, full=True)
        assert found.deviations == [] and found.remarks == []
        assert found.counted["runs"] == 8 and found.counted["notebooks"] == 11


@pytest.mark.slow
def test_a_custom_notebook_that_is_not_here_as_it_ran_is_a_remark(here):
    root = here / "outputs/executed"
    path = here / "simulated.ipynb"
    edited(path, lambda cells: cells[0].update(source=cells[0]["source"] + ["\nmore = 1"]))
    for _ in range(2):
        found = verify(root)
        assert found.deviations == []
        assert len(found.remarks) == 2 and all(
            "notebook simulated.ipynb is missing or has changed" in r for r in found.remarks
        )
        path.unlink(missing_ok=True)
    run = runs_of(root)[1]
    edited(root / run / "train.ipynb", lambda cells: cells[2].update(source="share = 0"))
    mend(root)
    assert named(verify(root), f"{run}/train.ipynb", "code cell 1", "share = 0", "instead of import rows")
    for name in runs_of(root):  # all of them: their hash in the records is left
        edited(root / name / "train.ipynb", lambda cells: cells[2].update(source="share = 0"))
    for name in root.glob("runs/*/none/*"):
        edited(name / "train.ipynb", lambda cells: cells[2].update(source="share = 0"))
    mend(root)
    assert all(
        named(verify(root), f"{name}/train.ipynb", "do not have the hash in its record") for name in runs_of(root)[:1]
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["called", "executed"])
def test_what_is_changed_in_a_custom_training_is_found(here, name):
    root = here / "outputs" / name
    run = runs_of(root)[1]
    notebook, whole = root / run / "train.ipynb", (root / run / "train.ipynb").read_bytes()
    (predictions,) = (root / run / "predictions").iterdir()
    before = predictions.read_bytes()
    flip_byte(predictions, np.random.default_rng(0))
    found = verify(root)
    assert len(found.deviations) == 1
    assert named(found, f"{run}/predictions/{predictions.name}", "altered")
    predictions.write_bytes(before)
    edited(notebook, lambda cells: cells[-1]["outputs"].append({"output_type": "stream", "text": "all is well"}))
    assert named(verify(root), f"{run}/train.ipynb", "altered")
    for change, words in (
        (lambda cells: cells[-1].update(source="print(0)"), ("code cell", "print(0)")),
        (lambda cells: cells[1].update(source="seed = 7"), ("parameter seed is 7, but 0",)),
        (lambda cells: cells[2].update(execution_count=None), ("was not run",)),
    ):
        notebook.write_bytes(whole)
        edited(notebook, change)
        mend(root)
        assert named(verify(root), f"{run}/train.ipynb", *words)


@pytest.mark.slow
def test_names_that_runs_saved_differently_are_a_deviation(here):
    root = here / "outputs/called"
    for run in runs_of(root)[:1]:
        change_json(root / run / "names.json", lambda names: names["classes"].reverse())
    mend(root)
    assert named(verify(root), "runs", "classes")


def test_a_custom_notebook_without_its_original_is_compared_with_the_hash_of_its_code_cells(tmp_path):
    cells = (("markdown", "# Text"), ("code", "a = 1"), ("code", "b = 2"))
    code = cells_digest({"source": source} for kind, source in cells if kind == "code")

    def deviations(*changed, custom=True):
        copies = [
            Executed(f"runs/{i}/train.ipynb", c, {}, code, digest, custom) for i, (c, digest) in enumerate(changed)
        ]
        found = Verification(ExperimentPaths(Path("e")))
        check_cells(found, copies)
        assert found.remarks == []
        return found.deviations

    other = (cells[0], cells[1], ("code", "b = 3"))
    text = (("markdown", "# Other text"), *cells[1:])
    assert deviations((cells, code), (text, code)) == deviations((cells, code), custom=False) == []
    assert deviations((cells, code), (other, "0")) == [
        "e/runs/1/train.ipynb: code cell 1 besides its parameters differs from the original notebook: "
        "b = 3 instead of b = 2"
    ]
    assert deviations((other, "0")) == ["e/runs/0/train.ipynb: its code cells do not have the hash in its record"]


def test_runs_of_custom_trainings_start_at_their_seed_and_have_packages_of_their_own():
    mine, other = ({"random numbers": f"r{i}", "random numbers of NumPy": f"n{i}"} for i in range(2))
    assert sameness([entry(0, **mine), entry(0, arm="seed1.ulp", seed=1, **other)]) == []
    assert len(sameness([entry(0, **mine), entry(1, **mine), entry(2, **other)])) == len(other)
    forest = {**PARTS, "packages": "numpy 1.0, scikit-learn 1.9", "gpu": "none"}
    network = {**PARTS, "packages": "torch 2.0, numpy 1.0", "gpu": "H100", "torch build": "b"}
    assert sameness([*(entry(r, "A", **forest) for r in range(2)), *(entry(r, "B", **network) for r in range(2))]) == []


# The commands


def test_the_command_names_deviations_line_by_line_path_first(finished, copy, fitlib_command):
    outputs = finished.parent
    good = fitlib_command("verify", "e", "--outputs", outputs, cwd=copy.parent)
    assert good.returncode == 0 and good.stdout == "" and "no deviation" in good.stderr
    (copy / "report.html").write_text("x")
    bad = fitlib_command("verify", copy, cwd=copy.parent)
    assert (
        bad.returncode == 1
        and bad.stdout.startswith(f"{copy / 'report.html'}: altered")
        and "Traceback" not in bad.stderr
    )
    assert bad.stdout.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"), [(["none"], "existing experiments: e"), (["e", "--root", "12"], "64 hexadecimal")]
)
def test_bad_arguments_exit_2(finished, fitlib_command, arguments, words):
    done = fitlib_command("verify", *arguments, "--outputs", finished.parent, cwd=finished)
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr


def test_a_folder_of_something_else_and_one_in_use_are_refused(copy, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no experiment and no analysis"):
        verify(tmp_path / "empty")
    with locked(ExperimentPaths(copy)), pytest.raises(Exception, match="is in use"):
        verify(copy)


@pytest.mark.parametrize("name", [f"{RUN}/predictions/S-DI2.parquet", "techniques/S-DI1/counts.parquet"])
def test_report_refuses_altered_inputs(copy, fitlib_command, tmp_path, name):
    shutil.copytree(copy, tmp_path / "outputs/e")
    flip_byte(tmp_path / "outputs/e" / name, np.random.default_rng(0))
    done = fitlib_command("report", "e", cwd=tmp_path)
    assert done.returncode == 2 and Path(name).name in done.stderr and "altered" in done.stderr
