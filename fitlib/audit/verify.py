"""Verification that an experiment's folder is what its runs left behind, and its runs repetitions of one training.

Every artifact is hashed and compared with MANIFEST.json and the records, runs with the declared plan and with one
another, executed notebooks with their originals, and every table with what the stored predictions give. Nothing is
written, no notebook is executed, and the folder may be anywhere. An edit of a file *and* of the manifest still shows in
the files that depend on it, and in the root hash, if that was kept elsewhere (``kept``).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fitlib.audit.deviations import Json, Verification
from fitlib.audit.executed_notebooks import Executed, check_cells, check_parameters, read_executed
from fitlib.audit.file_hashes import check_manifest, check_records, hash_files
from fitlib.audit.results import check_results
from fitlib.audit.runs import Runs, check_recorded, check_runs, check_sameness, planned_parameters
from fitlib.errors import InputError, RunFailed
from fitlib.statistics.run_identity import BY_DESIGN
from fitlib.storage.lock import is_locked
from fitlib.storage.paths import ExperimentPaths
from fitlib.storage.records import RECORD


def verify(
    root: Path,
    kept: str | None = None,
    full: bool = False,
    displayed_as: Path | None = None,
    left_out: frozenset[str] = frozenset(),
) -> Verification:
    """Verify the folder of an experiment or of an analysis; every deviation is a line that begins with its path.

    ``kept``: the root hash to expect; ``full``: derive again what is drawn at random, too; ``displayed_as``: the root
    that lines begin with, if it is not `root`; ``left_out``: names of files deliberately absent from this copy. Raises
    InputError if there is nothing to verify, RunFailed if the folder is in use.
    """
    paths = ExperimentPaths(root)
    if not any(path.exists() for path in (paths.manifest, paths.declared, paths.statistics)):
        raise InputError(
            str(root), "EXPERIMENT", root.name, "no experiment and no analysis", "give a folder of results"
        )
    if is_locked(paths):
        raise RunFailed(f"{root} is in use: wait until it is done")
    # Files first: an altered one is reported once, and later steps do not rely on it.
    found = check_files(root, kept, full, displayed_as, left_out)
    trained = any(path.exists() or found.is_missing(path) for path in (paths.declared, root / "runs"))
    runs = check_runs(found) if trained else Runs()
    notebooks = _trainings(found, runs)
    evidence: list[Json] = []
    for paths in _result_paths(found, runs):
        executed, entries = check_results(found, runs, paths, trained)
        notebooks, evidence = notebooks + executed, evidence + entries
    check_sameness(found, runs, evidence, _by_design(notebooks))
    check_cells(found, notebooks, _custom_notebooks(runs))
    return found


def check_files(
    root: Path,
    kept: str | None = None,
    full: bool = False,
    displayed_as: Path | None = None,
    left_out: frozenset[str] = frozenset(),
) -> Verification:
    """Compare all files with MANIFEST.json and the records, which finds every changed, added and missing file."""
    found = Verification(ExperimentPaths(root), full, displayed_as=displayed_as, left_out=left_out)
    hash_files(found)
    check_manifest(found, kept)
    check_records(found)
    return found


def _result_paths(found: Verification, runs: Runs) -> list[ExperimentPaths]:
    """Return the folders with results: the experiment's own, or one for each family of techniques."""
    families = [family.name for family in runs.experiment.families] if runs.experiment else []
    if not runs.experiment:
        families = sorted(path.name for path in found.paths.root.glob("families/*"))
    one = len(families) == 1 and runs.experiment is not None
    return [found.paths.family(name) for name in families] if families and not one else [found.paths]


def _by_design(notebooks: list[Executed]) -> dict[str, tuple[str, ...]]:
    """Return the arms in which a seed varies between runs, with the parts in which these may differ.

    Read from the plans that the statistics were computed with.
    """
    plans = [n.parameters.get("plan") for n in notebooks if n.kind == "statistics"]
    arms = [arm for plan in plans if isinstance(plan, dict) for arm in plan.get("arms", [])]
    return {arm["arm"]: BY_DESIGN[arm["noise"]] for arm in arms if arm["noise"] in BY_DESIGN}


# Runs


def _trainings(found: Verification, runs: Runs) -> list[Executed]:
    """Read every run's executed notebook and compare its parameters with the plan, if the run is planned."""
    planned = {found.name_of(run.folder): run for run, _ in runs.states}
    notebooks = []
    for record in sorted(found.paths.root.glob(f"runs/*/*/*/{RECORD}")):
        executed = read_executed(found, record.parent / "train.ipynb", record)
        run = planned.get(found.name_of(record.parent))
        if executed and run:
            executed = replace(executed, custom=run.spec.source.checked)
            names = () if planned_parameters(run, executed.source) else executed.parameters
            expected = planned_parameters(run, executed.source, names)
            check_parameters(found, executed, expected or {})
            if names:
                check_recorded(found, run, executed)
        notebooks += [executed] if executed else []
    return notebooks


def _custom_notebooks(runs: Runs) -> set[Path]:
    """Return the current paths of the notebooks that custom trainings executed."""
    specs = runs.experiment.trainings if runs.experiment else ()
    return {spec.source.notebook for spec in specs if spec.source.checked}


# Summary

NOT_DRAWN = (
    "Not derived again: what is drawn at random (testset.parquet, resampled.parquet, intervals in persons.parquet); "
    "for that, use --full."
)
NOT_COVERED = "Never compared: events.jsonl, timings.csv, determinism.csv, lock."


def summary(found: Verification) -> list[str]:
    """Return lines that state the outcome, what was compared, the root hash, and what was not compared."""
    counted = ", ".join(f"{number} {what}" for what, number in found.counted.items())
    outcome = f"{len(found.deviations)} deviations" if found.deviations else "no deviation"
    lines = [f"{found.display_root}: {outcome}; compared: {counted}. Root hash: {found.root or 'none'}."]
    return [*lines, NOT_COVERED if found.full else f"{NOT_DRAWN} {NOT_COVERED}"]
