"""The plan: which tasks an experiment has, in which order, what each one's key is, and why it will run.

A pure view of the experiment and the disk; nothing here executes anything.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fitlib.digest import PACKAGE
from fitlib.experiment.arms import Arm
from fitlib.experiment.code_inspection import fitlib_imports
from fitlib.experiment.model import Experiment
from fitlib.experiment.notebooks import notebook_path
from fitlib.experiment.trainings import TrainingSpec
from fitlib.storage.atomic_files import read_json
from fitlib.storage.keys import changed_parts, key_parts
from fitlib.storage.paths import ExperimentPaths
from fitlib.storage.records import FAILED, RECORD, read_record

PAGES = (
    "fitlib.report.notebook_display",
    "fitlib.report.overview",
    "fitlib.report.pages",
)  # modules that make pages of executed notebooks


@dataclass(frozen=True)
class RunTask:
    """One run of one training in one arm."""

    spec: TrainingSpec
    arm: Arm
    run: int

    @property
    def name(self) -> str:
        """`training/arm/run-07`."""
        return f"{self.spec.name}/{self.arm.name}/run-{self.run:02d}"

    def folder(self, paths: ExperimentPaths) -> Path:
        """Where the run's record stands."""
        return paths.run(self.spec.name, self.arm.name, self.run)


@dataclass(frozen=True)
class State:
    """State of a task on disk, and the reason in words where it has to run.

    state: done · new · changed (a finished run of other code, parameters or data stands there) · failed · damaged.
    """

    state: str
    reason: str = ""

    @property
    def done(self) -> bool:
        """Nothing to do?"""
        return self.state == "done"


def run_tasks(experiment: Experiment) -> list[RunTask]:
    """All runs in queue order.

    The first control run of each training comes first and the last one last; all others are interleaved over trainings
    and arms (shuffled under real noise, so that a drift of the machine does not fall on one technique or arm).
    """
    arms = [arm for arm in experiment.arms if arm.role != "control"]
    main = [RunTask(s, arm, run) for run in range(arms[0].runs) for arm in arms for s in experiment.trainings]
    if any(arm.kind == "real" for arm in arms):
        random.Random(experiment.declared["noise_seed"]).shuffle(main)
    control = [
        RunTask(s, arm, run)
        for arm in experiment.arms
        if arm.role == "control"
        for run in range(arm.runs)
        for s in experiment.trainings
    ]
    early = [t for t in control if t.run < (t.arm.runs + 1) // 2]
    return early + main + control[len(early) :]


def run_parameters(experiment: Experiment, task: RunTask) -> dict[str, object]:
    """Parameters of a run's notebook, without the folder."""
    return task.spec.source.run_parameters(shared_parameters(experiment, task), task.spec.techniques)


def shared_parameters(experiment: Experiment, task: RunTask) -> dict[str, object]:
    """Parameters that every kind of training is given."""
    return {
        "noise": task.arm.noise,
        "noise_seed": experiment.declared["noise_seed"],
        "seed": task.arm.seed,
        "run": task.run,
        "device": experiment.declared["device"],
        "threads": experiment.declared["threads"],
    }


def run_key_parts(experiment: Experiment, task: RunTask) -> dict[str, str]:
    """Parts of a run's key."""
    return task.spec.source.key_parts(run_parameters(experiment, task), task.spec.techniques)


def run_state(experiment: Experiment, paths: ExperimentPaths, task: RunTask) -> State:
    """State of one run on disk."""
    return folder_state(task.folder(paths), run_key_parts(experiment, task))


def folder_state(folder: Path, parts: dict[str, str], record: str = RECORD) -> State:
    """State of any task whose record stands in `folder`, given the key that it must have."""
    found = read_record(folder, record)
    if found is not None:
        changed = changed_parts(found["key_parts"], parts)
        return State("changed", f"{', '.join(changed)} changed") if changed else State("done")
    if (folder / record).exists():
        return State("damaged", "an output is missing or has another size than recorded")
    failure = read_json(folder / FAILED)
    if failure is not None:
        return State("failed", f"failed: {last_line(failure.get('error'))}")
    return State("new", "new")


def last_line(text: object) -> str:
    """Last line of a failure's text."""
    return (str(text or "").strip().splitlines() or ["unknown"])[-1]


def metrics_key_parts(technique: str, inputs: object, description: dict) -> dict[str, str]:
    """Parts of the key of one technique's metrics; `inputs` are the hashes of its predictions."""
    parameters = {"technique": technique, **description}
    notebook = notebook_path("metrics")
    return key_parts("metrics", notebook, fitlib_imports(notebook), parameters, inputs=inputs)


def statistics_key_parts(plan: dict, evidence: list, inputs: object) -> dict[str, str]:
    """Parts of the key of the statistics."""
    notebook = notebook_path("statistics")
    return key_parts("statistics", notebook, fitlib_imports(notebook), {"plan": plan}, inputs=[evidence, inputs])


def report_key_parts(inputs: object, parameters: dict) -> dict[str, str]:
    """Parts of the key of report, index and rendered notebooks; the templates count as data."""
    templates = sorted(p for p in (PACKAGE / "report" / "templates").rglob("*") if p.is_file())
    return key_parts("statistics", notebook_path("statistics"), PAGES, parameters, templates, inputs)


def selected(tasks: Iterable[RunTask], only: Iterable[str]) -> list[RunTask]:
    """Tasks of the named techniques (all if none is named)."""
    wanted = set(only)
    return [t for t in tasks if not wanted or wanted & set(t.spec.techniques)]
