"""The declared plan is kept as written; damage and edits are refused, later changes are reported."""

import pytest
import yaml

from fitlib.errors import InputError
from fitlib.experiment import declaration
from fitlib.experiment.declaration import declare, latest_plan, read_declared
from fitlib.experiment.model import plan_hash
from fitlib.experiment.parse import make_experiment
from fitlib.storage.journal import deviations
from fitlib.storage.paths import ExperimentPaths


def experiment(**changes):
    return make_experiment({"techniques": {"T": {"method": "baseline"}}, "baseline": "T", **changes}, "x.yaml", "x")


@pytest.fixture
def paths(tmp_path):
    """The folder of an experiment whose plan was declared."""
    found = ExperimentPaths(tmp_path)
    declare(experiment(), found)
    return found


def assert_refused(paths, field, problem):
    """Nothing reads or replaces the first plan: one line names file, field, value and remedy."""
    before = paths.declared.read_bytes()
    for action in (lambda: declare(experiment(), paths), lambda: read_declared(paths), lambda: latest_plan(paths)):
        with pytest.raises(InputError) as caught:
            action()
        message = str(caught.value)
        assert message.startswith(f"{paths.declared}: {field} = ") and "\n" not in message
        assert problem in message and "restore it, or start in an empty folder" in message
    assert paths.declared.read_bytes() == before


def test_a_plan_is_read_back_as_it_was_declared(paths):
    declared = read_declared(paths)
    assert declared["plan"] == latest_plan(paths) == experiment().declared
    assert declared["declared_hash"] == experiment().declared_hash and declared["finished_runs_at_declaration"] == 0


def test_there_is_no_plan_in_an_empty_folder(tmp_path):
    assert read_declared(ExperimentPaths(tmp_path)) is None and latest_plan(ExperimentPaths(tmp_path)) is None


@pytest.mark.parametrize(
    ("content", "field", "problem"),
    [
        (b"", "file", "empty"),
        (b"# nothing\n", "file", "empty"),
        (b"- a\n- list\n", "file", "not a declared plan"),
        (b"text", "file", "not a declared plan"),
        (b"\xff\xfe\x00", "file", "cannot be read"),
        (b"plan: {", "line 1, column 8", "not valid YAML"),
        (b"plan: {}", "declared_hash", "missing"),
        (b"{declared_hash: a, plan: {}}", "finished_runs_at_declaration", "missing"),
        (b"{declared_hash: a, finished_runs_at_declaration: 0}", "plan", "missing"),
        (b"{declared_hash: a, finished_runs_at_declaration: -1, plan: {}}", "finished_runs_at_declaration", "greater"),
        (b"{declared_hash: a, finished_runs_at_declaration: 0, plan: []}", "plan", "dictionary"),
        (b"{declared_hash: a, finished_runs_at_declaration: 0, plan: {}}", "declared_hash", "edited"),
    ],
)
def test_a_damaged_plan_is_refused_and_left_alone(paths, content, field, problem):
    paths.declared.write_bytes(content)
    assert_refused(paths, field, problem)


@pytest.mark.parametrize("changes", [{"plan": experiment(runs=3).declared}, {"declared_hash": 64 * "0"}])
def test_an_edited_plan_is_refused(paths, changes):
    declared = yaml.safe_load(paths.declared.read_text())
    paths.declared.write_text(yaml.safe_dump({**declared, **changes}, sort_keys=False))
    assert_refused(paths, "declared_hash", "the declared plan was edited after it was written")


def test_changes_are_declared_beside_the_first_plan_and_told(paths):
    for runs in (3, 3, 4):
        declare(experiment(runs=runs), paths)
    assert read_declared(paths)["plan"]["runs"] == 16 and latest_plan(paths)["runs"] == 4
    assert sorted(path.name for path in paths.root.glob("*.yaml")) == [
        "experiment-2.yaml",
        "experiment-3.yaml",
        "experiment.yaml",
    ]
    assert [sentence.partition(": ")[2] for sentence in deviations(paths)] == ["runs was 16, is 3", "runs was 3, is 4"]


def declared_earlier(paths, finished=0, **changes):
    """Write a plan as a version of fitlib did that did not know the fields `looks` and `cross`."""
    plan = experiment(**changes).declared
    plan["analysis"] = {k: v for k, v in plan["analysis"].items() if k not in ("looks", "cross")}
    content = {"declared_hash": plan_hash(plan), "finished_runs_at_declaration": finished, "plan": plan}
    paths.declared.write_text(yaml.safe_dump(content, sort_keys=False))
    return content


def test_a_plan_declared_before_a_field_was_added_is_read_and_is_no_deviation(paths):
    content = declared_earlier(paths)
    assert content["declared_hash"] != experiment().declared_hash
    before = paths.declared.read_bytes()
    declare(experiment(), paths)
    assert deviations(paths) == [] and paths.declared.read_bytes() == before
    assert [path.name for path in paths.root.glob("*.yaml")] == ["experiment.yaml"]
    assert make_experiment(latest_plan(paths), "x", "x") == experiment()


def test_a_new_field_that_is_used_is_a_deviation_from_an_earlier_plan(paths):
    declared_earlier(paths)
    declare(experiment(analysis={"looks": [5, 16]}), paths)
    assert [text.partition(": ")[2] for text in deviations(paths)] == ["analysis.looks was not there, is [5, 16]"]
    declare(experiment(analysis={"looks": [5, 16]}), paths)
    assert len(deviations(paths)) == 1


def test_a_plan_that_this_version_cannot_read_is_compared_as_it_stands(paths):
    plan = {**experiment().declared, "gone": 1}
    content = {"declared_hash": plan_hash(plan), "finished_runs_at_declaration": 0, "plan": plan}
    paths.declared.write_text(yaml.safe_dump(content, sort_keys=False))
    declare(experiment(), paths)
    assert [text.partition(": ")[2] for text in deviations(paths)] == ["gone was 1, is not there"]


def test_an_added_seed_is_told(paths):
    declare(experiment(seeds=[0, 1]), paths)
    assert [text.partition(": ")[2] for text in deviations(paths)] == ["seeds was [0], is [0, 1]"]


def test_a_damaged_later_plan_is_named(paths):
    declare(experiment(runs=3), paths)
    later = paths.declared.with_name("experiment-2.yaml")
    later.write_text("")
    with pytest.raises(InputError, match="empty") as caught:
        latest_plan(paths)
    assert str(caught.value).startswith(f"{later}: ")


def test_stray_files_are_no_plans(paths):
    for name in ("experiment-backup.yaml", "experiment-2-old.yaml", "experiment-.yaml"):
        (paths.root / name).write_text("anything")
    declare(experiment(runs=3), paths)
    assert latest_plan(paths)["runs"] == 3 and (paths.root / "experiment-2.yaml").exists()


def test_a_later_plan_never_takes_the_place_of_another(paths):
    for runs in (3, 4):
        declare(experiment(runs=runs), paths)
    (paths.root / "experiment-2.yaml").unlink()
    declare(experiment(runs=5), paths)
    assert latest_plan(paths)["runs"] == 5 and (paths.root / "experiment-4.yaml").exists()


def test_a_kill_before_the_new_plan_is_written_loses_no_deviation(paths, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(declaration, "write_atomically", killed)
        with pytest.raises(KeyboardInterrupt):
            declare(experiment(runs=3), paths)
    messages = deviations(paths)
    declare(experiment(runs=3), paths)
    assert len(messages) == 1 and deviations(paths) == messages and latest_plan(paths)["runs"] == 3
