"""Is an experiment's folder what its runs left behind, and were its runs really the same training?

Re-hashes every artifact against MANIFEST.json and the records, compares runs with the declared plan and with one
another, executed notebooks with those that were executed, and every table with what the stored predictions give.
Nothing is written, no notebook is executed, and the folder may lie anywhere. Whoever edits a file *and* the manifest is
found by whatever still hangs together, and by the root hash that somebody kept (``kept``).
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
    shown: Path | None = None,
    left_out: frozenset[str] = frozenset(),
) -> Verification:
    """Verify the folder of an experiment or of an analysis; every deviation is a line that begins with its path.

    ``kept``: the root hash that somebody kept; ``full``: derive again what is drawn at random, too; ``shown``: where
    the lines say that the folder lies; ``left_out``: files that this copy does without. Raises InputError where there
    is nothing to verify, RunFailed while somebody works in the folder.
    """
    paths = ExperimentPaths(root)
    if not any(path.exists() for path in (paths.manifest, paths.declared, paths.statistics)):
        raise InputError(
            str(root), "EXPERIMENT", root.name, "no experiment and no analysis", "name a folder of results"
        )
    if is_locked(paths):
        raise RunFailed(f"{root} is in use: wait until it is done")
    found = check_files(root, kept, full, shown, left_out)
    trained = any(path.exists() or found.is_gone(path) for path in (paths.declared, root / "runs"))
    runs = check_runs(found) if trained else Runs()
    notebooks = _trainings(found, runs)
    evidence: list[Json] = []
    for place in _places(found, runs):
        executed, own = check_results(found, runs, place, trained)
        notebooks, evidence = notebooks + executed, evidence + own
    check_sameness(found, runs, evidence, _by_design(notebooks))
    check_cells(found, notebooks, _own_notebooks(runs))
    return found


def check_files(
    root: Path,
    kept: str | None = None,
    full: bool = False,
    shown: Path | None = None,
    left_out: frozenset[str] = frozenset(),
) -> Verification:
    """Compare all files with MANIFEST.json and the records: alone it finds every changed, added and missing file."""
    found = Verification(ExperimentPaths(root), full, shown=shown, left_out=left_out)
    hash_files(found)
    check_manifest(found, kept)
    check_records(found)
    return found


def _places(found: Verification, runs: Runs) -> list[ExperimentPaths]:
    """Where results stand: the folder itself, or one for each family of techniques."""
    families = [family.name for family in runs.experiment.families] if runs.experiment else []
    if not runs.experiment:
        families = sorted(path.name for path in found.paths.root.glob("families/*"))
    one = len(families) == 1 and runs.experiment is not None
    return [found.paths.family(name) for name in families] if families and not one else [found.paths]


def _by_design(notebooks: list[Executed]) -> dict[str, tuple[str, ...]]:
    """Arms in which a seed is what varies between runs, with the parts in which these may differ.

    By the plans that the statistics were made with.
    """
    plans = [n.parameters.get("plan") for n in notebooks if n.kind == "statistics"]
    arms = [arm for plan in plans if isinstance(plan, dict) for arm in plan.get("arms", [])]
    return {arm["arm"]: BY_DESIGN[arm["noise"]] for arm in arms if arm["noise"] in BY_DESIGN}


# Runs


def _trainings(found: Verification, runs: Runs) -> list[Executed]:
    """Every run's executed notebook; its parameters are those of the plan, where the plan has the run."""
    planned = {found.name(run.folder): run for run, _ in runs.states}
    notebooks = []
    for record in sorted(found.paths.root.glob(f"runs/*/*/*/{RECORD}")):
        executed = read_executed(found, record.parent / "train.ipynb", record)
        run = planned.get(found.name(record.parent))
        if executed and run:
            executed = replace(executed, own=run.spec.source.checked)
            names = () if planned_parameters(run, executed.source) else executed.parameters
            expected = planned_parameters(run, executed.source, names)
            check_parameters(found, executed, expected or {})
            if names:
                check_recorded(found, run, executed)
        notebooks += [executed] if executed else []
    return notebooks


def _own_notebooks(runs: Runs) -> set[Path]:
    """What the runs of own trainings executed, where it lies today."""
    specs = runs.experiment.trainings if runs.experiment else ()
    return {spec.source.notebook for spec in specs if spec.source.checked}


# What is said in the end

NOT_DRAWN = "Not derived again: what is drawn at random (testset.parquet, intervals in persons.parquet); say --full."
NOT_COVERED = "Outside every promise: events.jsonl, timings.csv, determinism.csv, lock."


def summary(found: Verification) -> list[str]:
    """What was compared, the root hash, and what was not."""
    counted = ", ".join(f"{number} {what}" for what, number in found.counted.items())
    outcome = f"{len(found.deviations)} deviations" if found.deviations else "no deviation"
    lines = [f"{found.place}: {outcome}; compared: {counted}. Root hash: {found.root or 'none'}."]
    return [*lines, NOT_COVERED if found.full else f"{NOT_DRAWN} {NOT_COVERED}"]
