"""An exported experiment describes its content, has no rows of persons by default, and verifies as its folder does."""

import hashlib
import json
import shutil
import stat
import zipfile
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import yaml
from rocrate.rocrate import ROCrate

from fitlib.audit.export import ENVIRONMENT, METADATA, REQUIREMENTS, _requirements, export
from fitlib.audit.lineage import actions_of
from fitlib.audit.ro_crate import CONTEXT, PROFILE
from fitlib.audit.verify import verify
from fitlib.audit.verify_archive import verify_archive
from fitlib.cli.main import main
from fitlib.digest import digest_file
from fitlib.errors import InputError, RunFailed
from fitlib.storage.atomic_files import json_text
from fitlib.storage.lock import locked
from fitlib.storage.manifest import is_personal
from fitlib.storage.paths import ExperimentPaths
from tests.support.tampering import mend

EXPERIMENT = {
    "network": {"name": "small-cnn", "width": 4},
    "training": {"epochs": 2, "learning_rate": 0.1, "shift": 1},
    "techniques": {
        "S-DI1": {"method": "domain-independent", "inference": "conditional"},
        "S-DI2": {"method": "domain-independent", "inference": "sum"},
    },
    "baseline": "S-DI1",
    "runs": 2,
    "control_runs": 2,
}
OWN = {
    "callable": "fitlib.metrics.simulated_experiment:example_run",
    "techniques": {name: {"parameters": {"technique": name}} for name in ("Base", "Mitigated")},
    "baseline": "Base",
    "runs": 3,
}
RUN = "outputs/e/runs/domain-independent/ulp/run-01"


def finish(folder: Path, experiment: dict, fitlib_command) -> Path:
    (folder / "e.yaml").write_text(yaml.safe_dump(experiment, sort_keys=False))
    done = fitlib_command("run", "e.yaml", "--jobs", 2, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "outputs/e"


@pytest.fixture(scope="module")
def finished(tmp_path_factory, fitlib_command):
    """A finished experiment, not to be changed."""
    return finish(tmp_path_factory.mktemp("export"), EXPERIMENT, fitlib_command)


@pytest.fixture(scope="module")
def archive(finished):
    """Its export without rows of persons."""
    export(ExperimentPaths(finished), finished.parent / "e.zip")
    return finished.parent / "e.zip"


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the experiment to tamper with."""
    return Path(shutil.copytree(finished, tmp_path / "e"))


def members(archive: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as source:
        return {name: source.read(name) for name in source.namelist()}


def packed(target: Path, content: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(target, "w") as made:
        for name, data in content.items():
            made.writestr(name, data)
    return target


# The archive's metadata


def test_the_library_reads_every_file_and_every_task_back(archive, tmp_path):
    crate, content = ROCrate(archive), members(archive)
    files = {unquote(entity.id) for entity in crate.data_entities}
    assert files == set(content) - {METADATA}
    actions = [entity for entity in crate.contextual_entities if entity.type == "CreateAction"]
    assert sorted(action.id for action in actions) == sorted(
        [f"#train/domain-independent/{run}" for run in ("none/run-00", "none/run-01", "ulp/run-00", "ulp/run-01")]
        + ["#metrics/techniques/S-DI1", "#metrics/techniques/S-DI2", "#statistics/statistics", "#report/report"]
    )
    run = crate.get("#train/domain-independent/ulp/run-01")
    assert {entity.id for entity in run["result"]} == {n for n in files if n.startswith(f"{RUN}/") and ".html" not in n}
    assert json.loads(crate.get("#parameters/domain-independent/ulp/run-01")["value"])["noise"]["name"] == "ulp"
    timed = [action for action in actions if action.id != "#report/report"]
    assert all(action["startTime"] <= action["endTime"] and "agent" not in action for action in timed)
    crate.write(tmp_path / "again")  # the library finds the bytes of every described file
    assert (tmp_path / "again" / RUN / "train.ipynb").read_bytes() == content[f"{RUN}/train.ipynb"]


def test_the_metadata_hold_what_the_profile_demands(archive):
    described = json.loads(members(archive)[METADATA])
    graph = {entity["@id"]: entity for entity in described["@graph"]}
    assert len(graph) == len(described["@graph"]) and CONTEXT in described["@context"]
    about, root = graph[METADATA], graph["./"]
    assert about["conformsTo"]["@id"] == "https://w3id.org/ro/crate/1.1" and about["about"] == {"@id": "./"}
    assert root["conformsTo"] == {"@id": PROFILE} and "CreativeWork" in graph[PROFILE]["@type"]
    assert all(root[name] for name in ("name", "description", "datePublished", "license"))
    for action in (graph[mention["@id"]] for mention in root["mentions"]):
        tool = graph[action["instrument"]["@id"]]
        assert {"SoftwareApplication", "SoftwareSourceCode"} & {*np.atleast_1d(tool["@type"])} and tool["name"]
        assert action["@type"] == "CreateAction" and action["name"] and action["result"]


def test_every_reference_in_the_metadata_leads_to_an_entity(archive):
    described = json.loads(members(archive)[METADATA])
    graph = {entity["@id"]: entity for entity in described["@graph"]}

    def references(value):
        if isinstance(value, dict):
            yield value["@id"]
        for item in value if isinstance(value, list) else ():
            yield from references(item)

    named = {r for e in graph.values() for key, value in e.items() if key[0] != "@" for r in references(value)}
    assert named <= set(graph) | {"https://w3id.org/ro/crate/1.1"}


def test_software_and_notebooks_come_along(archive, finished):
    content = members(archive)
    environment = json.loads(content[ENVIRONMENT])
    assert environment["runs"]["packages"][0].startswith("torch ") and environment["statistics"]["pandas"]
    assert "\nnumpy==" in content[REQUIREMENTS].decode()
    assert {"notebooks/train.ipynb", "notebooks/metrics.ipynb", "notebooks/statistics.ipynb"} <= set(content)


def test_the_same_experiment_gives_the_same_bytes(archive, finished, tmp_path):
    export(ExperimentPaths(finished), tmp_path / "other.zip")
    assert (tmp_path / "other.zip").read_bytes() == archive.read_bytes()


def test_rows_of_persons_stay_out_unless_they_are_asked_for(archive, finished, tmp_path):
    assert not [name for name in members(archive) if is_personal(name)]
    assert "Left out: " in json.loads(members(archive)[METADATA])["@graph"][0]["description"]
    done = export(ExperimentPaths(finished), tmp_path / "all.zip", predictions=True)
    rows = [name for name in members(done.path) if is_personal(name)]
    assert len(rows) == done.personal == 10 and done.left_out == 0
    assert {Path(name).name for name in rows} == {"S-DI1.parquet", "S-DI2.parquet", "votes.parquet"}
    assert "personal data" in json.loads(members(done.path)[METADATA])["@graph"][0]["description"]


# Verification of the archive


def test_an_untouched_archive_has_no_deviation_and_a_remark_on_what_was_left_out(archive, finished):
    found, whole = verify_archive(archive), verify(finished)
    assert found.deviations == [] and found.root == whole.root and found.counted["runs"] == 4
    (remark,) = found.remarks
    assert "10 files with rows of persons left out" in remark and "not derived again" in remark
    assert verify_archive(archive, kept=whole.root).intact
    assert not verify_archive(archive, kept="0" * 64).intact


def test_with_predictions_every_table_is_derived_again(finished, tmp_path):
    done = export(ExperimentPaths(finished), tmp_path / "all.zip", predictions=True)
    found = verify_archive(done.path)
    assert found.deviations == [] and found.remarks == [] and found.counted == verify(finished).counted


def test_a_changed_a_missing_and_an_added_member_are_named(archive, tmp_path):
    content, rng = members(archive), np.random.default_rng(3)
    names = sorted(set(content) - {METADATA})
    for name in [ENVIRONMENT, "notebooks/train.ipynb", *rng.choice(names, 4)]:
        forged = dict(content)
        forged[name] = content[name] + b" "
        if rng.random() < 0.5:
            del forged[name]
        if name == ENVIRONMENT and name not in forged:
            continue
        found = verify_archive(packed(tmp_path / "forged.zip", forged))
        where = tmp_path / "forged.zip" / name
        assert any(line.startswith(f"{where}: ") or f"{where.parent}: " in line for line in found.deviations), name
    found = verify_archive(packed(tmp_path / "more.zip", {**content, "outputs/e/more.csv": b"1", "more.txt": b"1"}))
    assert len(found.deviations) == 2


def test_a_part_of_the_predictions_that_is_missing_is_a_deviation(finished, tmp_path):
    content = members(export(ExperimentPaths(finished), tmp_path / "all.zip", predictions=True).path)
    del content[f"{RUN}/predictions/S-DI1.parquet"]
    found = verify_archive(packed(tmp_path / "part.zip", content))
    assert any("predictions/S-DI1.parquet: missing" in line for line in found.deviations)


def test_a_forger_who_mends_all_hashes_is_found_by_the_tables_themselves(copy, tmp_path):
    table = copy / "tables/comparisons.csv"
    table.write_text(table.read_text().replace(",0.01,", ",0.02,"))
    mend(copy)
    forged = export(ExperimentPaths(copy), tmp_path / "forged.zip").path
    assert any("tables/comparisons.csv" in line for line in verify_archive(forged).deviations)


def test_an_archive_of_another_version_is_verified_with_a_remark(archive, tmp_path):
    content = members(archive)
    other = {**json.loads(content[ENVIRONMENT]), "fitlib": "0.0.9"}
    content[ENVIRONMENT] = json_text(other).encode()
    described = json.loads(content[METADATA])
    entity = next(entity for entity in described["@graph"] if entity["@id"] == ENVIRONMENT)
    entity["sha256"] = hashlib.sha256(content[ENVIRONMENT]).hexdigest()
    found = verify_archive(packed(tmp_path / "old.zip", {**content, METADATA: json.dumps(described).encode()}))
    assert found.deviations == [] and any("made by fitlib 0.0.9, this is" in line for line in found.remarks)


@pytest.mark.slow
def test_custom_trainings_are_verified_without_their_predictions(tmp_path, fitlib_command):
    root = finish(tmp_path, OWN, fitlib_command)
    expected = [line.removeprefix(str(root)) for line in verify(root).deviations]  # its control runs differ
    for predictions in (False, True):
        target = tmp_path / f"{predictions}.zip"
        found = verify_archive(export(ExperimentPaths(root), target, predictions).path)
        assert [line.removeprefix(f"{target}/outputs/e") for line in found.deviations] == expected
        assert any("left out, too" in line for line in found.remarks) is not predictions


@pytest.mark.slow
def test_an_analysis_of_predictions_made_elsewhere_is_exported_and_verified(tmp_path, fitlib_command):
    from fitlib.metrics.simulated_experiment import write_example

    for name, arms in write_example(tmp_path / "made", runs=3)["predictions"].items():
        for run, path in arms["unknown"].items():
            target = tmp_path / "mine" / name / f"{run}.parquet"
            target.parent.mkdir(parents=True, exist_ok=True)
            Path(path).rename(target)
    done = fitlib_command("analyze", "mine", "--baseline", "Base", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "out").rename(tmp_path / "my: results")  # not a valid name on every system
    exported = export(ExperimentPaths(tmp_path / "my: results"), tmp_path / "out.zip")
    found = verify_archive(exported.path)
    assert exported.left_out == 8 and found.deviations == []


# Unsafe and damaged archives


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "C:\\evil", "a\\..\\..\\evil"])
def test_a_name_that_leads_out_is_refused_before_anything_is_written(archive, tmp_path, name):
    forged = packed(
        tmp_path / "place/evil.zip" if (tmp_path / "place").mkdir() else tmp_path / "evil.zip", {name: b"x"}
    )
    with pytest.raises(InputError, match="leads out of the archive"):
        verify_archive(forged)
    assert not list(tmp_path.rglob("evil"))


def test_a_link_is_refused(tmp_path):
    link = zipfile.ZipInfo("outputs/e")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as made:
        made.writestr(link, "/etc")
    with pytest.raises(InputError, match="a link or a device"):
        verify_archive(tmp_path / "link.zip")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_is_refused(archive, tmp_path):
    shutil.copy(archive, tmp_path / "twice.zip")
    with zipfile.ZipFile(tmp_path / "twice.zip", "a") as made:
        made.writestr(ENVIRONMENT, "{}")
    with pytest.raises(InputError, match="in the archive twice"):
        verify_archive(tmp_path / "twice.zip")


def test_anything_but_an_archive_of_an_experiment_is_refused_in_one_line(archive, tmp_path):
    (tmp_path / "text.zip").write_text("no archive")
    (tmp_path / "cut.zip").write_bytes(archive.read_bytes()[:5000])
    packed(tmp_path / "foreign.zip", {"a.txt": b"1"})
    packed(
        tmp_path / "other.zip", {**members(archive), ENVIRONMENT: json_text({"schema": 9, "fitlib": "7.0"}).encode()}
    )
    for name, text in {
        "none": "no such file", "text": "not a zip file", "cut": "or cut off", "foreign": "no archive of fitlib export",
        "other": r"another fitlib \(7.0\)",
    }.items():  # fmt: skip
        with pytest.raises(InputError, match=text) as error:
            verify_archive(tmp_path / f"{name}.zip")
        assert "\n" not in str(error.value)


def test_damaged_bytes_are_reported_in_one_line(archive, tmp_path):
    data = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as source:
        member = source.getinfo(f"{RUN}/train.ipynb")
    data[member.header_offset + 200] ^= 255
    (tmp_path / "damaged.zip").write_bytes(data)
    with pytest.raises(RunFailed, match=r"train\.ipynb: damaged"):
        verify_archive(tmp_path / "damaged.zip")


# What is not exported


def test_an_unfinished_or_altered_experiment_is_refused(copy, tmp_path):
    def refused(text):
        with pytest.raises(InputError, match=text):
            export(ExperimentPaths(copy), tmp_path / "e.zip")
        assert not (tmp_path / "e.zip").exists()

    with locked(ExperimentPaths(copy)):
        refused("in use by another process")
    report = (copy / "report.html").read_text()
    (copy / "report.html").write_text(report + " ")
    refused("altered since it was finished: 1 deviation, .*report.html")
    (copy / "report.html").write_text(report)
    (copy / "MANIFEST.json").unlink()
    refused("not finished; fitlib run finishes it")


def test_an_experiment_that_lacks_a_planned_run_is_refused(tmp_path, copy):
    from fitlib.experiment.notebooks import injected_parameters

    cells = json.loads((copy / "statistics.ipynb").read_text())
    evidence = injected_parameters(cells["cells"])["evidence"]
    evidence[0]["status"] = "missing"
    cell = next(c for c in cells["cells"] if "injected-parameters" in c["metadata"].get("tags", []))
    cell["source"] = [f"plan = {injected_parameters(cells['cells'])['plan']!r}\n", f"evidence = {evidence!r}\n"]
    (copy / "statistics.ipynb").write_text(json.dumps(cells))
    mend(copy)
    with pytest.raises(InputError, match="1 planned run missing"):
        export(ExperimentPaths(copy), tmp_path / "e.zip")


def test_a_failed_run_is_an_action_that_failed(copy):
    folder = copy / "runs/domain-independent/ulp/run-01"
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "failed.json").write_text(json_text({"error": "ValueError: no\nValueError: too bad"}))
    found = actions_of(ExperimentPaths(copy), [p.relative_to(copy).as_posix() for p in copy.rglob("*") if p.is_file()])
    (failed,) = (action for action in found if action.error)
    assert failed.error == "ValueError: too bad" and failed.made == ("runs/domain-independent/ulp/run-01/failed.json",)


def test_nothing_is_written_over_and_a_name_is_checked_first(finished, tmp_path):
    (tmp_path / "there.zip").write_text("mine")
    for target, text in {
        tmp_path / "there.zip": "the file exists",
        tmp_path / "e.tar": "not the name of a zip file",
        tmp_path / "no/e.zip": "its folder does not exist",
    }.items():
        with pytest.raises(InputError, match=text):
            export(ExperimentPaths(finished), target)
    assert (tmp_path / "there.zip").read_text() == "mine"


def test_the_commands_print_what_they_did_and_exit_with_its_status(finished, tmp_path, capsys):
    target = tmp_path / "e.zip"
    assert main(["export", "e", "--to", str(target), "--outputs", str(finished.parent)]) == 0
    assert "Left out: 10 files with rows of persons" in capsys.readouterr().out
    assert main(["verify", str(target)]) == 0
    assert main(["verify", str(target), "--root", "0" * 64]) == 1
    assert main(["verify", str(tmp_path / "none.zip")]) == 2
    assert main(["export", "unknown", "--to", str(tmp_path / "u.zip"), "--outputs", str(finished.parent)]) == 2
    assert "existing experiments: e" in capsys.readouterr().err
    assert digest_file(target) == digest_file(finished.parent / "e.zip")


def test_further_versions_of_a_package_are_comments_in_the_requirements():
    runs = {"packages": ["numpy 2.2.0, torch 2.13.0", "numpy 2.4.6, torch 2.13.0"], "python": ["CPython 3.11.7"]}
    lines = _requirements(
        {"fitlib": "1", "runs": runs, "statistics": {"python": "3.11.7", "scipy": "1.15", "numpy": "9"}}
    )
    assert lines.splitlines()[1:] == ["# numpy==2.2.0", "numpy==2.4.6", "scipy==1.15", "torch==2.13.0"]
