"""Executing an experiment: declare the plan, run what has to run, keep what is done, then analyse."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterable

from fitlib import kernels, plan
from fitlib.analysis import THREAD_VARIABLES, Outcome
from fitlib.attempts import attempt, each
from fitlib.declaration import declare
from fitlib.errors import InputError, RunFailed
from fitlib.execution import check_parameters
from fitlib.experiment import Experiment
from fitlib.own_outputs import Finished
from fitlib.plan import RunTask, State
from fitlib.progress import Progress
from fitlib.store import (
    FAILED,
    ExperimentPaths,
    altered,
    append_line,
    locked,
    log_event,
    new_attempt,
    note_deviation,
    read_record,
    settle,
    supersede,
)
from fitlib.studies import analyse_families


def run_experiment(
    experiment: Experiment,
    paths: ExperimentPaths,
    jobs: int,
    only: Iterable[str] = (),
    replace: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Bring an experiment up to date: every run, the metrics, the statistics, the report.

    Finished runs are kept; half runs are redone. InputError (before any work) where finished runs would be replaced
    without `replace`. Failed runs are recorded, the others go on; the outcome names them.
    """
    progress = progress or Progress(jobs)
    _check_parameters(experiment)
    kernels.begin()
    with locked(paths):
        paths.sweep()
        everything = [(task, plan.run_state(experiment, paths, task)) for task in plan.run_tasks(experiment)]
        chosen = plan.selected([task for task, _ in everything], only)
        states = [(task, state) for task, state in everything if task in chosen]
        _refuse_replacing(states, replace)
        declare(experiment, paths)
        if only:
            note_deviation(paths, f"executed in part: only {', '.join(only)}")
        done = [task for task, state in everything if state.done and task.spec.source.checked]
        before = Finished(experiment.families, done, paths)
        failures = _train(experiment, paths, [(t, s) for t, s in states if not s.done], before, jobs, progress)
        outcome = analyse_families(experiment, paths, jobs, progress)
    outcome.failures = failures + outcome.failures
    progress.close()
    return outcome


def report_experiment(
    experiment: Experiment, paths: ExperimentPaths, jobs: int, progress: Progress, show_code: bool = False
) -> Outcome:
    """Metrics, statistics and report again from the runs that are there.

    InputError where finished runs are of other code, parameters or data than now (a report must not mix them), or where
    what they or the metrics left behind was altered since.
    """
    kernels.begin()
    with locked(paths):
        paths.sweep()
        states = [(task, plan.run_state(experiment, paths, task)) for task in plan.run_tasks(experiment)]
        changed = [(task, state) for task, state in states if state.state == "changed"]
        if changed:
            problem = f"{len(changed)} finished runs are not of this fitlib and experiment: {changed[0][1].reason}"
            remedy = "go back to what they were made with, or fitlib run --replace"
            raise InputError("report", "runs", len(changed), problem, remedy)
        _refuse_altered(paths, states)
        if not any(state.done for _, state in states):
            raise RunFailed(f"{paths.root}: no run is finished; fitlib run makes them")
        outcome = analyse_families(experiment, paths, jobs, progress, show_code)
    progress.close()
    return outcome


def finished_tasks(paths: ExperimentPaths) -> set[str]:
    """Names of the runs that were finished at some time, whatever stands on disk now."""
    names = set()
    for line in paths.events.read_text(encoding="utf-8").splitlines() if paths.events.exists() else []:
        with contextlib.suppress(ValueError, KeyError, TypeError):  # a line torn by a crash
            event = json.loads(line)
            names |= {event["task"]} if event["event"] == "done" else set()
    return names


def _check_parameters(experiment: Experiment) -> None:
    """Refuse parameters that a notebook does not have."""
    for spec in experiment.trainings:
        task = next(task for task in plan.run_tasks(experiment) if task.spec is spec)
        check_parameters(spec.source.notebook, plan.run_parameters(experiment, task))


def _refuse_replacing(states: list[tuple[RunTask, State]], replace: bool) -> None:
    changed = [(task, state) for task, state in states if state.state == "changed"]
    if changed and not replace:
        names = ", ".join(task.name for task, _ in changed[:4]) + (" and more" if len(changed) > 4 else "")
        problem = f"{len(changed)} finished runs would be replaced ({names}): {changed[0][1].reason}"
        remedy = "give the experiment another name, or say --replace (the old runs move to superseded/)"
        raise InputError("run", "runs", len(changed), problem, remedy)


def _refuse_altered(paths: ExperimentPaths, states: list[tuple[RunTask, State]]) -> None:
    """A report must not rest on files that are not the ones that their records name."""
    folders = [task.folder(paths) for task, state in states if state.done]
    folders += sorted(folder for place in ("", "families/*/") for folder in paths.root.glob(f"{place}techniques/*"))
    for folder in folders:
        record = read_record(folder)
        for name in altered(folder, record) if record else ():
            problem = "altered since it was written: its SHA-256 is not the one in its record"
            remedy = "restore it, or remove its folder and say fitlib run; fitlib verify names every deviation"
            raise InputError("report", "file", str(folder / name), problem, remedy)


def _train(
    experiment: Experiment,
    paths: ExperimentPaths,
    waiting: list[tuple[RunTask, State]],
    finished: Finished,
    jobs: int,
    progress: Progress,
) -> list[str]:
    """Execute runs, `jobs` at a time, in queue order; returns the failures in words."""
    before = finished_tasks(paths)
    for task, state in waiting:
        if task.folder(paths).exists():
            note_deviation(paths, f"{task.name} was executed again: {state.reason}")
            supersede(paths, task.folder(paths))
        elif task.name in before:
            note_deviation(paths, f"{task.name} was executed again: its finished folder had been removed")
    failures: list[str] = []
    guard = threading.Lock()

    def work(task: RunTask) -> None:
        began = time.monotonic()
        log_event(paths, "started", task=task.name)
        try:
            _run(experiment, paths, task, finished)
            log_event(paths, "done", task=task.name)
            progress.done(task.name)
        except (RunFailed, OSError) as error:
            failures.append(f"{task.name}: {error}")
            progress.failed(task.name, str(error))
        finally:
            with guard:
                log_event(paths, "finished", task=task.name)
                append_line(paths.timings, f"{task.name},{time.monotonic() - began:.2f}")

    progress.start("runs", len(waiting))
    if waiting:
        paths.manifest.unlink(missing_ok=True)  # what it says does not hold until it is written again
    each(work, [task for task, _ in waiting], jobs)
    return failures


def _run(experiment: Experiment, paths: ExperimentPaths, task: RunTask, finished: Finished) -> None:
    source = task.spec.source
    source.check_unchanged()
    folder = new_attempt(task.folder(paths))
    parameters = {**plan.run_parameters(experiment, task), "run_dir": str(folder)}
    environment = dict.fromkeys(THREAD_VARIABLES, str(experiment.declared["threads"]))
    if task.arm.kind != "real" and experiment.declared["device"] == "cuda":
        environment["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # older cuBLAS is deterministic only with it
    parts = plan.run_key_parts(experiment, task)
    try:
        attempt(
            "train", source.notebook, folder, parameters, environment, parts,
            lambda made: source.check_outputs(made, task, finished),
        )  # fmt: skip
    finally:
        if (folder / "record.json").exists() or (folder / FAILED).exists():
            settle(folder, task.folder(paths))


def default_jobs(threads: int) -> int:
    """Trainings at once: cores // threads of each."""
    return max(1, (os.cpu_count() or 1) // threads)
