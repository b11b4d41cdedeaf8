"""Repeated training from Python: `fitlib.repeat(estimator, X, y, sensitive_features=s)`.

With a folder for the results this is an experiment like any other, executed by the same engine; without one the runs
are made in processes of their own and analysed in memory, with the same numbers. Functions and estimators then need
neither Jupyter nor torch.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fitlib.datasets.tabular.label_encoding import key_of
from fitlib.errors import InputError, RunFailed
from fitlib.experiment.custom_fields import needed_parameters
from fitlib.experiment.model import Experiment
from fitlib.experiment.parse import make_experiment
from fitlib.experiment.plan import Plan
from fitlib.extras import require
from fitlib.formatting import count, join_items
from fitlib.metrics.custom_metrics import Metric
from fitlib.metrics.metric_sources import declared_of
from fitlib.repetition import estimator_data
from fitlib.repetition.in_memory import results_of, run_in_processes
from fitlib.repetition.pickles import WHERE
from fitlib.repetition.scoring import check_importable, check_on, covered, metrics_of
from fitlib.repetition.techniques import Repeated, noise_of, techniques_of
from fitlib.statistics.run_identity import check_control, distinct_finals
from fitlib.storage.manifest import INPUTS
from fitlib.storage.paths import ExperimentPaths

if TYPE_CHECKING:
    from fitlib.results.loaded import ExperimentResults
    from fitlib.results.results import Results

VARY, TEST_SIZE = "random_state", 0.3  # of estimators, where nothing is said


def repeat(
    train: object,
    X: Any = None,
    y: object = None,
    *,
    sensitive_features: object = None,
    runs: int = 16,
    seeds: Sequence[int] = (0,),
    vary: str = VARY,
    noise: str | Mapping[str, object] = "auto",
    control_runs: int = 2,
    test_size: float = TEST_SIZE,
    test: tuple[Any, object, object] | None = None,
    baseline: str | None = None,
    favourable: object = None,
    smallest_effect: float | str | Mapping[str, float | str] = 0.01,
    primary: str | None = None,
    alpha: float = 0.05,
    cross: Sequence[Sequence[str]] | None = None,
    scoring: object = None,
    jobs: int | None = None,
    threads: int = 1,
    out: str | Path | None = None,
    replace: bool = False,
) -> Results | ExperimentResults:
    """Train repeatedly and analyse the runs: how fair, how far runs differ, which differences hold.

    train: one of these, or {technique: any of these} with `baseline`, the technique that the others are compared with:

    - a scikit-learn estimator, with X, y and `sensitive_features` (arrays or frames, one row for each sample). Every
      run fits a new copy and predicts one test set: a share `test_size` of the rows, with the same share in every
      combination of class and groups, drawn with the first seed; or `test`, (X, y, sensitive_features) of test rows.
      `vary`, what differs between the runs of a seed: "random_state" (run i has seed + i), "order" of the training
      rows, "split" (80 % of the training rows each), or "bootstrap" (drawn with replacement). The test rows are always
      the same. What does not vary is the same in all runs; random states then are those of the seed.
    - a function, called once for each run with those of `run`, `seed`, `recorder`, `run_dir`, `noise` … that it names.
      It returns the arguments of `fitlib.save_predictions` as a dict, or saves them itself. `recorder(model)` makes the
      `fitlib.Recorder` of a torch model.
    - the path of a notebook with a `parameters` cell, as `notebook:` in an experiment file.

    runs, seeds: so many runs at each seed; a verdict over seeds takes 4, an unqualified one 8. noise: what makes
    the runs of a function differ; "auto": the noise `ulp` where it asks for a recorder, "run" (whatever it makes of the
    index `run`) where it names that, else "native" (what hardware and software do by themselves). control_runs: runs in
    which nothing varies, to show that nothing else makes runs differ: their predictions must be bit-identical.
    favourable, smallest_effect, primary, alpha, cross: as of `fitlib.analyze`. scoring: further metrics of each run,
    {name: function} as `metrics` of `fitlib.analyze`, or the name of a scikit-learn scorer of predictions, such as
    "balanced_accuracy": tables hold 1 - score, and no verdict rests on it. jobs: runs at once (default: cores //
    threads), each in a process of its own with so many threads.

    out: a folder for an experiment like any other, with records, resumption and report; a second call computes nothing
    twice. `replace` moves finished runs of other settings aside. Without `out` nothing is left on disk.

    Raises InputError, in one line and before any work, for whatever cannot be repeated; RunFailed where all runs of a
    technique failed. Warns of single runs that failed, of runs that do not differ, and of failed controls.

    >>> import fitlib, numpy as np
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> rng = np.random.default_rng(0)
    >>> X, sex = rng.normal(size=(300, 4)), np.repeat(["female", "male"], 150)
    >>> y = np.where(X[:, 0] + rng.normal(size=300) > 0, "yes", "no")
    >>> tree = DecisionTreeClassifier(max_depth=3)
    >>> results = fitlib.repeat(tree, X, y, sensitive_features=sex, vary="bootstrap", runs=4)
    >>> results
    <results of model: 4 runs each, 90 rows, groups by protected>
    """
    techniques = techniques_of(train, vary, on_disk=out is not None)
    seeds = _listed(seeds)
    _check_for_estimators(techniques, vary, test_size)
    rows = _rows(techniques, X, y, sensitive_features, test, test_size, seeds)
    if rows is not None:
        _check_favourable(favourable, rows[0].labels)
    if out is not None or any(training.kind == "notebook" for training in techniques.values()):
        require("lab")
    metrics = metrics_of(scoring)
    if rows is not None:
        check_on(metrics, rows[1])
    if out is not None:
        check_importable(metrics)
    analysis = {
        "favourable": _plain(favourable), "smallest_effect": smallest_effect, "primary": primary, "alpha": alpha,
        "cross": cross, "metrics": declared_of(metrics) or None, "family": covered(metrics, primary),
    }  # fmt: skip
    fields: dict[str, Any] = {
        "runs": runs, "seeds": seeds, "noise": noise_of(noise, techniques, vary), "control_runs": control_runs,
        "threads": threads, "baseline": baseline, "analysis": analysis,
    }  # fmt: skip
    _check_seeds(fields["noise"], fields["seeds"])
    parallel = _parallel(jobs, threads)
    if out is not None:
        experiment = _experiment(fields, techniques, rows, Path(out), vary)
        return _on_disk(experiment, Path(out), parallel, replace)
    with TemporaryDirectory(prefix="fitlib-") as folder:
        experiment = _experiment(fields, techniques, rows, Path(folder), vary)
        return _in_memory(Plan(experiment, ExperimentPaths(Path(folder))), techniques, parallel, metrics)


# What is repeated


_Parts = tuple[estimator_data.Rows, estimator_data.Rows]


def _rows(
    techniques: Mapping[str, Repeated], X: Any, y: object, groups: object, test: Any, test_size: float, seeds: Any
) -> _Parts | None:
    """Return training and test rows of the estimators; None where there are none."""
    if all(training.kind != "estimator" for training in techniques.values()):
        for name, value in (("X", X), ("y", y), ("sensitive_features", groups), ("test", test)):
            if value is not None:
                problem = "only estimators are given data; functions and notebooks load their own"
                raise InputError(WHERE, name, type(value).__name__, problem, "leave it out, or give an estimator")
        return None
    rows = estimator_data.checked("", X, y, groups)
    if test is None:
        first = seeds[0] if len(seeds) and isinstance(seeds[0], int) and seeds[0] >= 0 else 0
        return estimator_data.split(rows, test_size, first)
    if not isinstance(test, tuple | list) or len(test) != 3:
        problem, remedy = "not three parts", "give test=(X_test, y_test, sensitive_features_test)"
        raise InputError(WHERE, "test", type(test).__name__, problem, remedy)
    return rows, estimator_data.checked("test ", *test)


def _plain(favourable: object) -> object:
    """Return a class as its name; the names of classes are text."""
    return None if favourable is None else str(favourable)


def _listed(seeds: Any) -> list:
    """Return the seeds as a list of Python's numbers; what is no seed is refused with the other settings."""
    if isinstance(seeds, str | Mapping) or not hasattr(seeds, "__iter__"):
        remedy = "for example seeds=[3], or seeds=range(8)"
        raise InputError(WHERE, "seeds", seeds, "not a list of seeds", remedy)
    return [seed.item() if hasattr(seed, "item") else seed for seed in seeds]


def _check_for_estimators(techniques: Mapping[str, Repeated], vary: str, test_size: float) -> None:
    """Raise InputError where something is asked of functions and notebooks that only estimators are given."""
    if any(training.kind == "estimator" for training in techniques.values()):
        return
    for name, value, default in (("vary", vary, VARY), ("test_size", test_size, TEST_SIZE)):
        if value != default:
            problem = "only estimators are trained on varying rows that fitlib chooses"
            raise InputError(WHERE, name, value, problem, "leave it out, or let the function use `run`")


def _check_favourable(favourable: object, labels: NDArray) -> None:
    """Raise InputError, before any training, for a favourable class that is neither a class nor the number of one."""
    if favourable is None or labels.ndim > 1:
        return
    names = sorted(map(str, np.unique(labels).tolist()))
    if key_of(str(favourable)) not in map(key_of, names) and str(favourable) not in map(str, range(len(names))):
        raise InputError(WHERE, "favourable", favourable, "no such class", f"y has {join_items(names, 12)}")


def _check_seeds(noise: object, seeds: list) -> None:
    if noise == "random_state" and len(seeds) > 1:
        problem = 'with vary="random_state" every run has a random state of its own, so seeds add nothing but runs'
        raise InputError(WHERE, "seeds", seeds, problem, 'give more runs, or vary="order" at several seeds')


def _parallel(jobs: int | None, threads: object) -> int:
    if jobs is None:
        return max(1, (os.cpu_count() or 1) // threads) if isinstance(threads, int) and threads > 0 else 1
    if not isinstance(jobs, int) or jobs < 1:
        raise InputError(WHERE, "jobs", jobs, "not a number of runs at once", "give at least 1")
    return jobs


def _experiment(
    fields: Mapping[str, Any], techniques: Mapping[str, Repeated], rows: _Parts | None, folder: Path, vary: str
) -> Experiment:
    """Return the experiment; its data and pickles are written into `inputs` of its folder."""
    probe = {name: {"callable": f"{WHERE}:{WHERE}"} for name in techniques}  # nothing is written for wrong numbers
    make_experiment({**fields, "techniques": probe}, WHERE, folder.name)
    inputs = folder / INPUTS
    shared: list[Path] = []
    if any(training.kind == "estimator" or training.content for training in techniques.values()):
        inputs.mkdir(parents=True, exist_ok=True)
    if rows is not None:
        shared = estimator_data.write(inputs, *rows)
    specified = {name: training.fields(inputs, name, vary, shared) for name, training in techniques.items()}
    experiment = make_experiment({**fields, "techniques": specified}, WHERE, folder.name)
    for spec in experiment.trainings:
        spec.source.check(WHERE, needed_parameters(experiment.arms, experiment.declared["noise_seed"]))
    return experiment


# Execution


def _on_disk(experiment: Experiment, out: Path, jobs: int, replace: bool) -> ExperimentResults:
    """Run the experiment in its folder and load its results."""
    from fitlib.execution.run_experiment import run_experiment
    from fitlib.results.loaded import ExperimentResults

    outcome = run_experiment(experiment, ExperimentPaths(out), jobs, replace=replace)
    results = ExperimentResults(out)
    failed = dict(failure.partition(": ")[::2] for failure in outcome.failures)
    if not results.finished:
        raise RunFailed(_said(failed) or f"{out}: no results")
    _warn(failed, [] if results.families else results.evidence, experiment)
    return results


def _in_memory(plan: Plan, techniques: Mapping[str, Repeated], jobs: int, metrics: Mapping[str, Metric]) -> Results:
    """Make the runs in a folder that is removed afterwards, and analyse them."""
    if any(training.kind == "notebook" for training in techniques.values()):
        from fitlib.execution.run_experiment import run_experiment

        outcome = run_experiment(plan.experiment, plan.paths, jobs)
        failed = dict(failure.partition(": ")[::2] for failure in outcome.failures)
    else:
        failed = run_in_processes(plan, jobs)
    done = {(run.spec.name, run.arm.name) for run, state in plan.states() if state.done}
    for spec in plan.experiment.trainings:
        if not any((spec.name, arm.name) in done for arm in plan.experiment.main_arms):
            error = RunFailed(_said(failed))
            error.add_note(next(text for name, text in failed.items() if name.startswith(f"{spec.name}/")))
            raise error
    results = results_of(plan, metrics)
    _warn(failed, results.evidence, plan.experiment)
    return results


# What callers should know


def _said(failed: Mapping[str, str]) -> str:
    """Return in one line which runs failed, with the last line of the first error; "" where none did."""
    if not failed:
        return ""
    name, error = next(iter(failed.items()))
    last = (error.strip().splitlines() or ["unknown"])[-1]
    others = [other for other in failed if other != name]
    also = f"; also failed: {', '.join(others[:6])}{' …' if len(others) > 6 else ''}" if others else ""
    return f"{WHERE}: {count(len(failed), 'run')} failed: {name}: {last}{also}"


def _warn(failed: Mapping[str, str], evidence: Sequence[Mapping], experiment: Experiment) -> None:
    """Warn of failed runs, of runs that are bit-identical although something varied, and of failed controls."""
    found: dict[str, list[str]] = {}  # what happened -> techniques
    for spec in experiment.trainings:
        control = check_control(evidence, spec.name)
        if control.identical is False:
            text = f"runs differ although nothing varied; control runs {control.text}"
            found.setdefault(text, []).extend(spec.techniques)
        for arm in experiment.main_arms:
            different, n = distinct_finals(evidence, spec.name, arm.name)
            if different == 1 < n:
                found.setdefault(_identical(n, arm.noise["name"]), []).extend(spec.techniques)
    texts = [f"{', '.join(dict.fromkeys(techniques))}: {text}" for text, techniques in found.items()]
    for text in [_said(failed), *texts] if failed else texts:
        warnings.warn(text, UserWarning, stacklevel=4)


def _identical(n: int, noise: str) -> str:
    head = f"all {n} runs are bit-identical, so nothing varied"
    if noise == "random_state":
        return f'{head}: no use is made of the random_state; try vary="order", "split" or "bootstrap"'
    if noise in ("native", "run"):
        return f"{head}: let the function make use of the index `run`"
    return f"{head}: {noise} changes no prediction of this training"
