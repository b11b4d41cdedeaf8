"""Executing an experiment: declare the plan, run what has to run, keep what is done, then analyse."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from fitlib.errors import InputError, RunFailed
from fitlib.execution.analysis_inputs import ExperimentAnalysis
from fitlib.execution.analysis_tasks import THREAD_VARIABLES, Outcome
from fitlib.execution.attempt import mark_failed
from fitlib.execution.event_log import told
from fitlib.execution.executors.base import Choice, Executor, opened
from fitlib.execution.executors.local import Local
from fitlib.execution.jobs import Done, Job, Terms
from fitlib.execution.kernels import manager
from fitlib.execution.limits import Lease, Limits
from fitlib.execution.progress import Progress
from fitlib.execution.scheduler import Task, work_off
from fitlib.execution.status import running
from fitlib.execution.worker_software import refuse_without_kernel, software
from fitlib.experiment.declaration import declare
from fitlib.experiment.model import Experiment
from fitlib.experiment.notebooks import check_parameters
from fitlib.experiment.plan import Plan, PlannedRun, States, folder_state, selected
from fitlib.recording import saved_outputs
from fitlib.recording.saved_outputs import Finished
from fitlib.storage.journal import log_event, note_deviation
from fitlib.storage.lock import Lock, locked
from fitlib.storage.paths import ExperimentPaths, new_attempt, new_token, settle, supersede
from fitlib.storage.records import FAILED, altered, read_record


@dataclass(frozen=True)
class Conditions:
    """How an experiment is executed; none of it enters a key.

    executor: where; limits: of each run; retries: further attempts at a run whose kernel or worker was gone.
    """

    executor: Choice = field(default_factory=Choice)
    limits: Limits = field(default_factory=Limits)
    retries: int = 1


def run_experiment(
    experiment: Experiment,
    paths: ExperimentPaths,
    jobs: int,
    only: Iterable[str] = (),
    replace: bool = False,
    progress: Progress | None = None,
    conditions: Conditions = Conditions(),
) -> Outcome:
    """Bring an experiment up to date: every run, the metrics, the statistics, the report.

    Finished runs are kept; half runs are redone. InputError (before any work) where finished runs would be replaced
    without `replace`, a notebook does not take its parameters, or a worker is none that could do the work. Failed runs
    are recorded, the others go on; the outcome names them.
    """
    progress = progress or Progress()
    refuse_without_kernel()
    plan = Plan(experiment, paths)
    _check_parameters(plan)
    conditions.executor.checked()
    manager.begin()
    with closing(progress), locked(paths) as lock, swept(paths):
        everything = plan.states()
        states = selected(everything, only)
        _refuse_replacing(states, replace)
        with opened(conditions.executor.open(jobs, experiment.declared["device"], paths.root)) as executor:
            terms = _terms(paths, lock, conditions) if executor.remote else None
            _say_where(progress, executor, terms)
            declare(experiment, paths)
            if only:
                note_deviation(paths, f"executed in part: only {', '.join(only)}")
            done = [run for run, state in everything if state.done and run.spec.source.checked]
            runs = Runs(plan, Finished(experiment.families, done), conditions.limits, terms)
            waiting = runs.prepare([(run, state) for run, state in states if not state.done])
            analysis = ExperimentAnalysis(plan)
            tasks = [*map(runs.task, waiting), *(remote(task, terms) for task in analysis.tasks(waiting))]
            progress.begin(everything, waiting, tasks, lambda: running(paths))
            with told(paths, progress) as teller:
                result = work_off(tasks, executor, teller, conditions.retries, lock.check)
        outcome = analysis.conclude(result, progress)
    return outcome


@contextlib.contextmanager
def swept(paths: ExperimentPaths) -> Iterator[None]:
    """Nothing of an interrupted process is left in the folder before or, whatever happens, after the work."""
    paths.sweep(finished=False)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # an error that is being told must not be hidden by this one
            paths.sweep(finished=False)


def report_experiment(
    experiment: Experiment, paths: ExperimentPaths, jobs: int, progress: Progress, show_code: bool = False
) -> Outcome:
    """Metrics, statistics and report again from the runs that are there.

    InputError where finished runs are of other code, parameters or data than now (a report must not mix them), or where
    what they or the metrics left behind was altered since.
    """
    manager.begin()
    with closing(progress), locked(paths) as lock, swept(paths):
        plan = Plan(experiment, paths)
        states = plan.states()
        changed = [(run, state) for run, state in states if state.state == "changed"]
        if changed:
            problem = f"{len(changed)} finished runs are not of this fitlib and experiment: {changed[0][1].reason}"
            remedy = "go back to what they were made with, or fitlib run --replace"
            raise InputError("report", "runs", len(changed), problem, remedy)
        _refuse_altered(paths, states)
        if not any(state.done for _, state in states):
            raise RunFailed(f"{paths.root}: no run is finished; fitlib run makes them")
        analysis = ExperimentAnalysis(plan)
        tasks = analysis.tasks()
        progress.begin(states, [], tasks, dict)
        with opened(Local(jobs)) as executor, told(paths, progress) as teller:
            result = work_off(tasks, executor, teller, check=lock.check)
        outcome = analysis.conclude(result, progress, show_code)
    return outcome


def finished_tasks(paths: ExperimentPaths) -> set[str]:
    """Names of the runs that were finished at some time, whatever stands on disk now."""
    names = set()
    for line in paths.events.read_text(encoding="utf-8").splitlines() if paths.events.exists() else []:
        with contextlib.suppress(ValueError, KeyError, TypeError):  # a line torn by a crash
            event = json.loads(line)
            names |= {event["task"]} if event["event"] == "done" else set()
    return names


def _check_parameters(plan: Plan) -> None:
    """Refuse parameters that a notebook does not have."""
    for spec in plan.experiment.trainings:
        run = next(run for run in plan.runs if run.spec is spec)
        check_parameters(spec.source.notebook, run.parameters)


def _refuse_replacing(states: States, replace: bool) -> None:
    changed = [(run, state) for run, state in states if state.state == "changed"]
    if changed and not replace:
        names = ", ".join(run.name for run, _ in changed[:4]) + (" and more" if len(changed) > 4 else "")
        problem = f"{len(changed)} finished runs would be replaced ({names}): {changed[0][1].reason}"
        remedy = "give the experiment another name, or say --replace (the old runs move to superseded/)"
        raise InputError("run", "runs", len(changed), problem, remedy)


def _refuse_altered(paths: ExperimentPaths, states: States) -> None:
    """A report must not rest on files that are not the ones that their records name."""
    folders = [run.folder for run, state in states if state.done]
    folders += sorted(folder for place in ("", "families/*/") for folder in paths.root.glob(f"{place}techniques/*"))
    for folder in folders:
        record = read_record(folder)
        for name in altered(folder, record) if record else ():
            problem = "altered since it was written: its SHA-256 is not the one in its record"
            remedy = "restore it, or remove its folder and say fitlib run; fitlib verify names every deviation"
            raise InputError("report", "file", str(folder / name), problem, remedy)


class Runs:
    """The runs of an experiment as tasks of the workflow.

    finished: what earlier runs saved, against which own trainings are checked; terms: of workers elsewhere.
    """

    def __init__(self, plan: Plan, finished: Finished, limits: Limits, terms: Terms | None):
        self._experiment, self._paths, self._finished = plan.experiment, plan.paths, finished
        self._limits, self._terms = limits, terms

    def prepare(self, waiting: States) -> list[PlannedRun]:
        """Make room for runs that have to be executed; returns those, without what an ended process had finished."""
        before, there = finished_tasks(self._paths), self._paths.finished_attempts()
        found = []
        for run, state in waiting:
            if run.folder.exists():
                self._again(run, state.reason)
            elif self._adopted(run, there.get(run.name)):
                continue
            elif run.name in before:
                note_deviation(self._paths, f"{run.name} was executed again: its finished folder had been removed")
            found.append(run)
        return found

    def task(self, run: PlannedRun) -> Task:
        """The workflow's view of a run."""
        job, accept, again = (partial(work, run) for work in (self._job, self._accept, self._again))
        return Task(run.name, "train", frozenset(), job, accept, again)

    def _job(self, run: PlannedRun) -> Job:
        experiment, source = self._experiment, run.spec.source
        source.check_unchanged()
        environment = dict.fromkeys(THREAD_VARIABLES, str(experiment.declared["threads"]))
        if run.arm.kind != "real" and experiment.declared["device"] == "cuda":
            environment["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # older cuBLAS is deterministic only with it
        if self._terms:
            environment |= {name: value for name, value in os.environ.items() if name.startswith("FITLIB_")}
        notebook = str(Path(source.notebook).absolute())
        return Job(
            run.name, "train", notebook, str(run.folder.absolute()), "run_dir", run.parameters, environment,
            run.key_parts, tuple(run.spec.techniques) if source.checked else (), self._limits, self._terms,
        )  # fmt: skip

    def _accept(self, run: PlannedRun, done: Done) -> str:
        """Put an attempt in its place if it holds what the run had to save; else it stands there as failed."""
        folder = Path(done.folder) if done.folder else new_attempt(run.folder)
        error = done.error or self._fault(run, folder)
        if error and not (folder / FAILED).exists():
            mark_failed(folder, error, run.key_parts)
        settle(folder, run.folder)
        return error

    def _fault(self, run: PlannedRun, folder: Path) -> str:
        try:
            if not folder_state(folder, run.key_parts).done:
                return "its record or an output is damaged: it was not written as it was made"
            run.spec.source.check_unchanged()
            if run.spec.source.checked:
                saved_outputs.check(folder, run, self._finished)
        except (RunFailed, OSError) as error:
            return str(error)
        return ""

    def _adopted(self, run: PlannedRun, attempt: Path | None) -> bool:
        """Was this attempt finished, with today's key, when the process that would have placed it ended?"""
        if attempt is None or self._fault(run, attempt):
            return False
        settle(attempt, run.folder)
        log_event(self._paths, "done", task=run.name, kind="train")
        return True

    def _again(self, run: PlannedRun, reason: str) -> None:
        note_deviation(self._paths, f"{run.name} was executed again: {reason}")
        if run.folder.exists():
            supersede(self._paths, run.folder)


def _terms(paths: ExperimentPaths, lock: Lock, conditions: Conditions) -> Terms:
    """What workers elsewhere have to fulfil."""
    lease = Lease(str(paths.lock.absolute()), lock.token)
    return Terms(str(new_token(paths).absolute()), software(), str(Path.cwd()), lease)


def _say_where(progress: Progress, executor: Executor, terms: Terms | None) -> None:
    if terms:
        progress.say(f"{executor.ready(terms)}; all workers must see {Path(terms.token).parent}")


def remote(task: Task, terms: Terms | None) -> Task:
    """The task with its jobs under the terms of workers elsewhere."""
    if terms is None:
        return task

    def job() -> Job | None:
        made = task.job()
        return made and replace(made, terms=terms)

    return replace(task, job=job)


def default_jobs(threads: int) -> int:
    """Trainings at once: cores // threads of each."""
    return max(1, (os.cpu_count() or 1) // threads)
