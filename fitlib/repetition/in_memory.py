"""Runs and their analysis without an experiment's folder: nothing is left on disk."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from fitlib.errors import InputError, RunFailed
from fitlib.execution.saved_runs import finished, predictions_of, remarks, with_saved_names
from fitlib.experiment.evidence import collect_evidence, experiment_plan
from fitlib.experiment.plan import Plan, PlannedRun
from fitlib.formatting import count
from fitlib.metrics.custom_metrics import Metric
from fitlib.recording import saved_outputs
from fitlib.recording.saved_outputs import FinishedRuns
from fitlib.repetition.host import LOG, Job
from fitlib.repetition.pickles import WHERE
from fitlib.repetition.processes import make_runs
from fitlib.results.analysis import with_crossings
from fitlib.results.results import Results
from fitlib.storage.atomic_files import write_json
from fitlib.storage.predictions import Predictions, crossed_name, stack
from fitlib.storage.records import FAILED, write_record
from fitlib.tables import all_tables, epochs

LONG_AND_VOTES = (*all_tables.LONG, "votes")


# Runs


def run_in_processes(plan: Plan, jobs: int) -> dict[str, str]:
    """Make all runs of a plan of functions, `jobs` at once; return the errors of those that failed, by name."""
    runs = {run.name: run for run in plan.runs}
    accepted, failures = FinishedRuns(plan.experiment.families, []), {}
    done = 0

    def ended(name: str, error: str) -> None:
        nonlocal done
        error = error or _fault(runs[name], accepted)
        if error:
            failures[name] = error
            write_json(runs[name].folder / FAILED, {"error": error, "key_parts": runs[name].key_parts})
        done += 1
        _print_progress(done, len(runs), len(failures))

    threads = int(plan.experiment.declared["threads"])
    make_runs([_job(run) for run in plan.runs], jobs, threads, plan.paths.root / LOG, ended)
    return failures


def _job(run: PlannedRun) -> Job:
    given = dict(run.parameters)
    target, parameters = given.pop("callable"), given.pop("parameters")
    own = {"run_dir": str(run.folder), "data": {}, **given}
    return {"name": run.name, "folder": str(run.folder), "callable": target, "parameters": parameters, "own": own}


def _fault(run: PlannedRun, accepted: FinishedRuns) -> str:
    """Check what a run saved and write its record; return what is wrong with it, "" if nothing."""
    try:
        saved_outputs.check_outputs(run.folder, run, accepted)
        names = sorted(str(p.relative_to(run.folder)) for p in run.folder.rglob("*") if p.is_file() and p.name != LOG)
        write_record(run.folder, "train", run.key_parts, names)
    except (RunFailed, OSError) as error:
        return str(error)
    return ""


def _print_progress(done: int, total: int, failed: int) -> None:
    """Print one line that is overwritten, where somebody is watching."""
    if sys.stderr.isatty() or "ipykernel" in sys.modules:
        text = f"\rfitlib.repeat: {done} of {count(total, 'run')}{f', {failed} failed' if failed else ''}"
        print(text, end="\n" if done == total else "", file=sys.stderr, flush=True)


# Results


def results_of(plan: Plan, custom: Mapping[str, Metric]) -> Results:
    """Analyse the finished runs below the folder of a plan, in memory, as the notebooks of an experiment do.

    InputError where techniques have different classes or groups; RunFailed where no run of a technique is finished.
    """
    experiment, states = plan.experiment, plan.states()
    if len(experiment.families) > 1:
        names = ", ".join(family.name for family in experiment.families)
        problem = f"they have different classes or groups ({names}), so nothing can be compared"
        raise InputError(WHERE, "train", list(experiment.techniques), problem, "repeat them one by one, or give out=")
    family = with_saved_names(experiment, experiment.families[0], finished(states))
    predictions, _ = predictions_of(experiment, states)
    # Nothing was kept before the runs, so nothing can show that the plan came first.
    declared = {"declared_hash": experiment.declared_hash, "finished_runs_at_declaration": len(states)}
    values = experiment_plan(experiment, family, remarks(experiment, family, states, predictions), declared)
    evidence = collect_evidence(states, plan.paths.root)
    stacked = _stacked(predictions, values)
    rows = len(next(iter(next(iter(stacked.values())).values()))[1].idx)
    history = epochs.gather_history(plan.paths.root, evidence)
    gathered = all_tables.gathered_on_demand(with_crossings(stacked, values), values, custom, history)
    tables = all_tables.tables_on_demand(gathered, values, evidence, long=("metrics",))
    unlinked = [{**run, "link": ""} for run in evidence]  # no page of a run is kept
    return Results(values, tables, rows, unlinked, stacked, custom, history)


_Arms = dict[str, tuple[int, Predictions]]


def _stacked(predictions: Mapping[str, Mapping[str, Any]], plan: Mapping[str, Any]) -> dict[str, _Arms]:
    """Return the predictions of each technique and arm, with the seed of the arm."""
    crossed = {crossed_name(names) for names in plan["analysis"]["cross"] or []}
    sizes = {attribute: len(names) for attribute, names in plan["groups"].items() if attribute not in crossed}
    found: dict[str, _Arms] = {}
    for technique in (t["technique"] for t in plan["techniques"] if t["technique"] in predictions):
        for arm, given in predictions[technique].items():
            runs = stack(given["predictions"], len(plan["classes"]), sizes)
            found.setdefault(technique, {})[arm] = (given["seed"], runs)
    return found
