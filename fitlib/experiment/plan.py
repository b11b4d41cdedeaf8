"""The plan of an experiment: its runs in queue order, the key of every task, and why a task has to run.

A plan only looks at the experiment and the disk; nothing here executes anything.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from fitlib.digest import PACKAGE
from fitlib.experiment.arms import Arm
from fitlib.experiment.code_inspection import fitlib_imports
from fitlib.experiment.metric_code import metrics_code
from fitlib.experiment.model import Experiment
from fitlib.experiment.notebooks import notebook_path
from fitlib.experiment.registry.noises import VARIATIONS
from fitlib.experiment.trainings import TrainingSpec
from fitlib.storage.atomic_files import read_json
from fitlib.storage.keys import changed_parts, key_parts
from fitlib.storage.paths import ExperimentPaths
from fitlib.storage.records import FAILED, RECORD, read_record

PAGES = (
    "fitlib.report.notebook_display",
    "fitlib.report.overview",
    "fitlib.report.pages",
)  # modules that render executed notebooks as pages


@dataclass(frozen=True)
class State:
    """The state of a task on disk, with the reason in words where it has to run.

    state: done · new · changed (a finished run of other code, parameters or data is there) · failed · damaged.
    """

    state: str
    reason: str = ""

    @property
    def done(self) -> bool:
        """Whether there is nothing to do."""
        return self.state == "done"


@dataclass(frozen=True)
class PlannedRun:
    """One run of one training in one arm: its folder, parameters, key and state.

    index: of the run in its arm; folder: of its record and outputs; declared: the experiment's plain values. Parameters
    and key parts are computed when first used and then kept, so that listing the runs of a plan costs nothing.
    """

    spec: TrainingSpec
    arm: Arm
    index: int
    folder: Path
    declared: Mapping[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        """The full name, such as `training/arm/run-07`."""
        return f"{self.spec.name}/{self.arm.name}/run-{self.index:02d}"

    @property
    def shared_parameters(self) -> dict[str, object]:
        """The parameters that every kind of training receives."""
        return {
            "noise": self.arm.noise,
            "noise_seed": self.declared["noise_seed"],
            "seed": self.arm.seed,
            "run": 0 if self.arm.role == "control" and self._varies_by_index else self.index,
            "device": self.declared["device"],
            "threads": self.declared["threads"],
        }

    @property
    def _varies_by_index(self) -> bool:
        """Whether the trainings of the experiment vary with the index of the run; control runs then share one."""
        noises = self.declared.get("arms") or [self.declared["noise"]]
        return any(noise["name"] in VARIATIONS for noise in noises)

    @cached_property
    def parameters(self) -> dict[str, object]:
        """The parameters of the run's notebook, without the folder."""
        return self.spec.source.run_parameters(self.shared_parameters, self.spec.techniques)

    @cached_property
    def key_parts(self) -> dict[str, str]:
        """The parts of the run's key."""
        return self.spec.source.key_parts(self.parameters, self.spec.techniques)

    def state(self) -> State:
        """Read the run's current state from disk; unlike parameters and key parts it is never kept."""
        return folder_state(self.folder, self.key_parts)


States = list[tuple[PlannedRun, State]]


@dataclass(frozen=True)
class Plan:
    """The plan of an experiment in its folder: computed once and handed on."""

    experiment: Experiment
    paths: ExperimentPaths

    @cached_property
    def runs(self) -> tuple[PlannedRun, ...]:
        """All runs in queue order.

        The first control run of each training comes first and the last one last; all others are interleaved over
        trainings and arms (shuffled under real noise, so that a drift of the machine does not affect one technique or
        arm more than the others).
        """
        experiment = self.experiment
        arms = [arm for arm in experiment.arms if arm.role != "control"]
        main = [self._run(s, arm, index) for index in range(arms[0].runs) for arm in arms for s in experiment.trainings]
        if any(arm.kind == "real" for arm in arms):
            random.Random(experiment.declared["noise_seed"]).shuffle(main)
        control = [
            self._run(s, arm, index)
            for arm in experiment.arms
            if arm.role == "control"
            for index in range(arm.runs)
            for s in experiment.trainings
        ]
        early = [run for run in control if run.index < (run.arm.runs + 1) // 2]
        return (*early, *main, *control[len(early) :])

    def _run(self, spec: TrainingSpec, arm: Arm, index: int) -> PlannedRun:
        folder = self.paths.run(spec.name, arm.name, index)
        return PlannedRun(spec, arm, index, folder, self.experiment.declared)

    def states(self, trainings: Iterable[TrainingSpec] | None = None) -> States:
        """Read the current state of every run from disk; with `trainings`, of their runs only."""
        chosen = None if trainings is None else {spec.name for spec in trainings}
        return [(run, run.state()) for run in self.runs if chosen is None or run.spec.name in chosen]


def selected(states: States, only: Iterable[str]) -> States:
    """Return the states of the named techniques' runs (of all runs if none is named)."""
    wanted = set(only)
    return [(run, state) for run, state in states if not wanted or wanted & set(run.spec.techniques)]


def folder_state(folder: Path, parts: dict[str, str], record: str = RECORD) -> State:
    """Return the state of any task with its record in `folder`, given the parts of the key that it must have."""
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
    """Return the last line of an error text."""
    return (str(text or "").strip().splitlines() or ["unknown"])[-1]


def metrics_key_parts(technique: str, inputs: object, description: dict) -> dict[str, str]:
    """Return the parts of the key of one technique's metrics; `inputs` are the hashes of its predictions."""
    parameters = {"technique": technique, **description}
    notebook = notebook_path("metrics")
    parts = key_parts("metrics", notebook, fitlib_imports(notebook), parameters, inputs=inputs)
    return parts | {"code": metrics_code(description.get("custom_metrics"))}


def statistics_key_parts(plan: dict, evidence: list, inputs: object) -> dict[str, str]:
    """Return the parts of the key of the statistics."""
    notebook = notebook_path("statistics")
    return key_parts("statistics", notebook, fitlib_imports(notebook), {"plan": plan}, inputs=[evidence, inputs])


def report_key_parts(inputs: object, parameters: dict) -> dict[str, str]:
    """Return the parts of the key of report, index and rendered notebooks; the templates count as data."""
    templates = sorted(p for p in (PACKAGE / "report" / "templates").rglob("*") if p.is_file())
    return key_parts("statistics", notebook_path("statistics"), PAGES, parameters, templates, inputs)
