"""Execution of an experiment: declare the plan, run what has to run, keep what is done, then analyse."""

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
from fitlib.execution.analysis_tasks import Outcome
from fitlib.execution.attempt import mark_failed
from fitlib.execution.event_log import recording_events
from fitlib.execution.executors.base import Executor, ExecutorChoice
from fitlib.execution.executors.local import Local
from fitlib.execution.jobs import AttemptResult, Job, Terms
from fitlib.execution.kernels import manager
from fitlib.execution.limits import Lease, Limits
from fitlib.execution.progress import Progress
from fitlib.execution.scheduler import Task, execute_tasks
from fitlib.execution.status import running
from fitlib.execution.worker_software import refuse_without_kernel, software_versions
from fitlib.experiment.declaration import declare
from fitlib.experiment.model import Experiment
from fitlib.experiment.notebooks import check_parameters
from fitlib.experiment.plan import Plan, PlannedRun, States, folder_state, selected
from fitlib.machine import THREAD_VARIABLES
from fitlib.recording import saved_outputs
from fitlib.recording.saved_outputs import FinishedRuns
from fitlib.storage.journal import log_event, note_deviation
from fitlib.storage.lock import Lock, locked
from fitlib.storage.paths import ExperimentPaths, commit_attempt, new_attempt, new_token, supersede
from fitlib.storage.records import FAILED, altered_outputs, read_record


@dataclass(frozen=True)
class Conditions:
    """How an experiment is executed; none of it enters a key.

    executor: where tasks run; limits: of each run; retries: further attempts at a run whose kernel or worker was gone.
    """

    executor: ExecutorChoice = field(default_factory=ExecutorChoice)
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

    Finished runs are kept, unfinished ones start over. InputError (before any work) where finished runs would be
    replaced without `replace`, a notebook does not accept its parameters, or a worker lacks the software or the folder.
    Failed runs are recorded and the others go on; the outcome lists the failures.
    """
    progress = progress or Progress()
    refuse_without_kernel()
    plan = Plan(experiment, paths)
    _check_parameters(plan)
    conditions.executor.validated_settings()
    manager.begin()
    with closing(progress), locked(paths) as lock, clean_workspace(paths):
        everything = plan.states()
        states = selected(everything, only)
        _refuse_replacing(states, replace)
        with closing(conditions.executor.open(jobs, experiment.declared["device"], paths.root)) as executor:
            terms = _terms(paths, lock, conditions) if executor.remote else None
            _print_workers(progress, executor, terms)
            declare(experiment, paths)
            if only:
                note_deviation(paths, f"executed in part: only {', '.join(only)}")
            done = [run for run, state in everything if state.done and run.spec.source.checked]
            runs = Runs(plan, FinishedRuns(experiment.families, done), conditions.limits, terms)
            waiting = runs.prepare([(run, state) for run, state in states if not state.done])
            analysis = ExperimentAnalysis(plan)
            tasks = [*map(runs.task, waiting), *(with_terms(task, terms) for task in analysis.tasks(waiting))]
            progress.begin(everything, waiting, tasks, lambda: running(paths))
            with recording_events(paths, progress) as listener:
                result = execute_tasks(tasks, executor, listener, conditions.retries, lock.check)
        outcome = analysis.write_reports(result, progress)
    return outcome


@contextlib.contextmanager
def clean_workspace(paths: ExperimentPaths) -> Iterator[None]:
    """Remove what interrupted processes left in the folder, before the work and, whatever happens, after it."""
    paths.sweep(finished=False)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # it must not hide the error that is being raised
            paths.sweep(finished=False)


def report_experiment(
    experiment: Experiment, paths: ExperimentPaths, jobs: int, progress: Progress, show_code: bool = False
) -> Outcome:
    """Compute metrics, statistics and report again from the finished runs.

    InputError where finished runs are of other code, parameters or data than now (a report must not mix them), or where
    files of runs or metrics were altered since.
    """
    manager.begin()
    with closing(progress), locked(paths) as lock, clean_workspace(paths):
        plan = Plan(experiment, paths)
        states = plan.states()
        changed = [(run, state) for run, state in states if state.state == "changed"]
        if changed:
            problem = f"{len(changed)} finished runs are of another fitlib or experiment: {changed[0][1].reason}"
            remedy = "go back to that one, or run fitlib run --replace"
            raise InputError("report", "runs", len(changed), problem, remedy)
        _refuse_altered(paths, states)
        if not any(state.done for _, state in states):
            raise RunFailed(f"{paths.root}: no run is finished; run fitlib run first")
        analysis = ExperimentAnalysis(plan)
        tasks = analysis.tasks()
        progress.begin(states, [], tasks, dict)
        with closing(Local(jobs)) as executor, recording_events(paths, progress) as listener:
            result = execute_tasks(tasks, executor, listener, check=lock.check)
        outcome = analysis.write_reports(result, progress, show_code)
    return outcome


def once_finished_tasks(paths: ExperimentPaths) -> set[str]:
    """Return the names of the runs that were finished at some time, whether or not they still exist."""
    names = set()
    for line in paths.events.read_text(encoding="utf-8").splitlines() if paths.events.exists() else []:
        with contextlib.suppress(ValueError, KeyError, TypeError):  # a line torn by a crash
            event = json.loads(line)
            names |= {event["task"]} if event["event"] == "done" else set()
    return names


def _check_parameters(plan: Plan) -> None:
    """Raise InputError for parameters that a notebook does not have."""
    for spec in plan.experiment.trainings:
        run = next(run for run in plan.runs if run.spec is spec)
        check_parameters(spec.source.notebook, run.parameters)


def _refuse_replacing(states: States, replace: bool) -> None:
    changed = [(run, state) for run, state in states if state.state == "changed"]
    if changed and not replace:
        names = ", ".join(run.name for run, _ in changed[:4]) + (" and more" if len(changed) > 4 else "")
        problem = f"{len(changed)} finished runs would be replaced ({names}): {changed[0][1].reason}"
        remedy = "give the experiment another name, or add --replace (the old runs move to superseded/)"
        raise InputError("run", "runs", len(changed), problem, remedy)


def _refuse_altered(paths: ExperimentPaths, states: States) -> None:
    """Raise InputError where a file is not the one that its record lists: no report may rest on it."""
    folders = [run.folder for run, state in states if state.done]
    folders += sorted(folder for place in ("", "families/*/") for folder in paths.root.glob(f"{place}techniques/*"))
    for folder in folders:
        record = read_record(folder)
        for name in altered_outputs(folder, record) if record else ():
            problem = "altered since it was written: its SHA-256 is not the one in its record"
            remedy = "restore it, or remove its folder and run fitlib run; fitlib verify lists every deviation"
            raise InputError("report", "file", str(folder / name), problem, remedy)


class Runs:
    """The runs of an experiment as tasks of the scheduler.

    finished: what earlier runs saved, with which custom trainings must agree; terms: of remote workers.
    """

    def __init__(self, plan: Plan, finished: FinishedRuns, limits: Limits, terms: Terms | None):
        self._experiment, self._paths, self._finished = plan.experiment, plan.paths, finished
        self._limits, self._terms = limits, terms

    def prepare(self, waiting: States) -> list[PlannedRun]:
        """Make room for the runs that have to be executed; return them, less those that a killed process finished."""
        once_finished, uncommitted = once_finished_tasks(self._paths), self._paths.finished_attempts()
        found = []
        for run, state in waiting:
            if run.folder.exists():
                self._prepare_retry(run, state.reason)
            elif self._adopt(run, uncommitted.get(run.name)):
                continue
            elif run.name in once_finished:
                note_deviation(self._paths, f"{run.name} was executed again: its finished folder had been removed")
            found.append(run)
        return found

    def task(self, run: PlannedRun) -> Task:
        """Return the scheduler's view of a run."""
        job, accept = partial(self._job, run), partial(self._accept, run)
        return Task(run.name, "train", frozenset(), job, accept, partial(self._prepare_retry, run))

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

    def _accept(self, run: PlannedRun, result: AttemptResult) -> str:
        """Commit an attempt; mark it as failed first if it lacks what the run had to save. Return its error."""
        folder = Path(result.folder) if result.folder else new_attempt(run.folder)
        error = result.error or self._fault(run, folder)
        if error and not (folder / FAILED).exists():
            mark_failed(folder, error, run.key_parts)
        commit_attempt(folder, run.folder)
        return error

    def _fault(self, run: PlannedRun, folder: Path) -> str:
        """Return what is wrong with a finished attempt; "" if nothing."""
        try:
            if not folder_state(folder, run.key_parts).done:
                return "its record or an output is damaged: its content is not what the run produced"
            run.spec.source.check_unchanged()
            if run.spec.source.checked:
                saved_outputs.check_outputs(folder, run, self._finished)
        except (RunFailed, OSError) as error:
            return str(error)
        return ""

    def _adopt(self, run: PlannedRun, attempt: Path | None) -> bool:
        """Commit an attempt that was finished, with the current key, when its process was killed; return whether."""
        if attempt is None or self._fault(run, attempt):
            return False
        commit_attempt(attempt, run.folder)
        log_event(self._paths, "done", task=run.name, kind="train")
        return True

    def _prepare_retry(self, run: PlannedRun, reason: str) -> None:
        note_deviation(self._paths, f"{run.name} was executed again: {reason}")
        if run.folder.exists():
            supersede(self._paths, run.folder)


def _terms(paths: ExperimentPaths, lock: Lock, conditions: Conditions) -> Terms:
    """Return the terms that remote workers have to fulfil."""
    lease = Lease(str(paths.lock.absolute()), lock.token)
    return Terms(str(new_token(paths).absolute()), software_versions(), str(Path.cwd()), lease)


def _print_workers(progress: Progress, executor: Executor, terms: Terms | None) -> None:
    if terms:
        progress.print_line(
            f"{executor.check_workers(terms)}; all workers must have access to {Path(terms.token).parent}"
        )


def with_terms(task: Task, terms: Terms | None) -> Task:
    """Return the task with its jobs under the terms of remote workers."""
    if terms is None:
        return task

    def job() -> Job | None:
        local = task.job()
        return local and replace(local, terms=terms)

    return replace(task, job=job)


def default_jobs(threads: int) -> int:
    """Return how many trainings run at once: cores // threads of each, at least one."""
    return max(1, (os.cpu_count() or 1) // threads)
