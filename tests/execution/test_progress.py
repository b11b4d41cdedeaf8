"""What people see of a batch: rows by technique, running epochs, time left; lines where there is no terminal."""

import io

import nbformat
import pytest
from rich.console import Console

from fitlib.execution import status
from fitlib.execution.kernels.last_line import LastLine, shown_line
from fitlib.execution.progress import Progress
from fitlib.execution.progress_table import ProgressTable, duration
from fitlib.execution.run_notebook import execute
from fitlib.execution.scheduler import Task
from fitlib.experiment.parse import make_experiment
from fitlib.experiment.plan import Plan, State
from fitlib.storage.lock import locked
from fitlib.storage.paths import PROGRESS, ExperimentPaths, new_attempt

TECHNIQUES = {
    "S-Base": {"method": "baseline"},
    "S-DI1": {"method": "domain-independent", "inference": "conditional"},
    "S-DI2": {"method": "domain-independent", "inference": "sum"},
}
FIELDS = {"techniques": TECHNIQUES, "baseline": "S-Base", "runs": 4, "control_runs": 0}


@pytest.fixture
def plan(tmp_path):
    return Plan(make_experiment(FIELDS, "x.yaml", "x"), ExperimentPaths(tmp_path / "x"))


def states(plan, **given):
    """Every run new, but for {run name with _ for /: state}."""
    known = {name.replace("__", "/").replace("_", "-"): state for name, state in given.items()}
    return [(run, State(known.get(run.name, "new"))) for run in plan.runs]


def shown(board, running):
    console = Console(file=io.StringIO(), width=100)
    console.print(board.render(running))
    return console.file.getvalue()


def row(text, label):
    return [cell.strip() for line in text.splitlines() if label in line for cell in line.strip("│").split("│")]


def test_a_row_counts_what_is_done_running_failed_and_left(plan):
    found = states(plan, baseline__ulp__run_00="done", baseline__ulp__run_01="failed")
    cells = row(shown(ProgressTable(found), {"baseline/ulp/run-02": "epoch 3 of 24, training loss 0.1"}), "S-Base")
    assert cells == ["S-Base", "1", "1 (epoch 3/24)", "1", "1", ""]


def test_techniques_that_share_a_training_share_a_row(plan):
    text = shown(ProgressTable(states(plan)), {})
    assert row(text, "S-DI1")[0] == "S-DI1, S-DI2" and text.count("S-DI2") == 1


def test_a_failed_run_that_is_made_again_is_waiting(plan):
    found = states(plan, baseline__ulp__run_01="failed")
    board = ProgressTable(found, [task for task, _ in found])
    assert row(shown(board, {}), "S-Base") == ["S-Base", "0", "0", "0", "4", ""]


def test_time_left_is_the_mean_of_each_training_shared_by_those_at_work(plan):
    found = states(plan, baseline__ulp__run_00="done")
    board = ProgressTable(found, None, {"baseline/ulp/run-00": 10.0, "domain-independent/ulp/run-09": 30.0})
    running = dict.fromkeys(("baseline/ulp/run-01", "domain-independent/ulp/run-00"), "")
    assert board.left(running) == (10 * 3 + 30 * 4) / 2
    assert board.left({}) is None and ProgressTable(found).left(running) is None


def test_what_ends_moves_from_waiting_to_done_or_failed(plan):
    board = ProgressTable(states(plan))
    board.done("train", "baseline/ulp/run-00", 1.0)
    board.failed("train", "baseline/ulp/run-01")
    board.done("metrics", "metrics S-Base", 1.0)
    assert row(shown(board, {}), "S-Base")[1:5] == ["1", "0", "1", "2"]


def task(name, kind):
    return Task(name, kind, frozenset(), lambda: None, lambda done: "")


def test_without_a_terminal_every_task_is_a_line(plan):
    stream = io.StringIO()
    progress, found = Progress(stream), states(plan)
    progress.begin(found, [t for t, _ in found], [task("baseline/ulp/run-00", "train"), task("m", "metrics")], dict)
    progress.done("train", "baseline/ulp/run-00", 2.0)
    progress.failed("metrics", "m", "Traceback\nValueError: bad", will_retry=True)
    progress.failed("metrics", "m", "Traceback\nValueError: bad")
    progress.close()
    lines = stream.getvalue().splitlines()
    assert lines[0].split("(")[0].split() == ["runs", "1/1", "done", "baseline/ulp/run-00"]
    assert lines[1] == "m is tried again: ValueError: bad"
    assert lines[2].split("(")[0].split() == ["metrics", "1/1", "FAILED", "m:", "ValueError:", "bad"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_tasks_that_were_not_announced_count_as_planned():
    stream = io.StringIO()
    Progress(stream).done("metrics", "A", 1.0)
    assert "metrics 1/1" in stream.getvalue()


def test_a_terminal_shows_the_table_failures_that_stay_and_the_phases(plan, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream, found = Terminal(), states(plan)
    progress = Progress(stream)
    progress.begin(found, [t for t, _ in found], [task(t.name, "train") for t, _ in found], dict)
    progress.failed("train", "baseline/ulp/run-00", "ValueError: [bad]")
    progress.close()
    text = stream.getvalue()
    assert "S-DI1, S-DI2" in text and "FAILED  baseline/ulp/run-00: ValueError: [bad]" in text and "runs 1/8" in text


def test_the_line_that_a_run_shows_is_found_on_disk(plan):
    attempt = new_attempt(plan.runs[0].folder)
    (attempt / PROGRESS).write_text("epoch 2 of 8")
    assert status.running(plan.paths) == {"baseline/ulp/run-00": "epoch 2 of 8"}
    with locked(plan.paths):
        assert "  baseline/ulp/run-00: epoch 2 of 8" in status.lines(plan)


def test_watching_ends_with_the_work_and_tells_only_what_changed(plan, monkeypatch):
    shown_lines = []
    looks = iter([True, True, True, False])
    monkeypatch.setattr(status, "is_locked", lambda paths: next(looks))
    monkeypatch.setattr(status, "lines", lambda *_: ["x: 8 left of 8 runs"])
    monkeypatch.setattr(status, "INTERVAL", 0)
    status.watch(plan, shown_lines.append)
    assert shown_lines == ["x: 8 left of 8 runs"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "0 s"), (59.4, "59 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (3599.6, "1 h 0 min")]
)
def test_durations_are_said_as_people_say_them(seconds, text):
    assert duration(seconds) == text


def display(text, kind="update_display_data", transient=True):
    content = {"data": {"text/plain": text}, "transient": {"display_id": "1"} if transient else {}}
    return {"msg_type": kind, "content": content}


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (display("epoch 3 of 8, training loss 0.1"), "epoch 3 of 8, training loss 0.1"),
        (display("a table", "display_data", transient=False), ""),
        ({"msg_type": "stream", "content": {"text": "1/3\r2/3\r3/3 \n\n"}}, "3/3"),
        ({"msg_type": "status", "content": {"execution_state": "busy"}}, ""),
        ({"msg_type": "stream", "content": {"text": "\n"}}, ""),
    ],
)
def test_the_last_line_that_a_kernel_shows_is_heard(message, line):
    assert shown_line(message) == line


def test_a_line_is_written_now_and_then_and_forgotten_in_the_end(tmp_path):
    line = LastLine(tmp_path)
    for text in ("epoch 1 of 8", "epoch 2 of 8"):
        line(display(text))
    assert (tmp_path / PROGRESS).read_text() == "epoch 1 of 8"  # the second came within a second
    line.remove()
    line.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_kernel_is_heard_while_it_works(tmp_path):
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell("x = 1", metadata={"tags": ["parameters"]})]
    notebook.cells += [nbformat.v4.new_code_cell("print('epoch 1 of 8')")]
    nbformat.write(notebook, tmp_path / "n.ipynb")
    lines = []
    execute(tmp_path / "n.ipynb", tmp_path / "done.ipynb", {}, {}, on_output=lambda m: lines.append(shown_line(m)))
    assert "epoch 1 of 8" in lines
