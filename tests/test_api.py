"""The public interface: every name with its signature. A change here is a change for users, and is in the CHANGELOG."""

import inspect
from collections.abc import Iterator

import fitlib
from fitlib.results.loaded import ExperimentResults
from fitlib.results.plots import Plots

CLASSES = {"Results": fitlib.Results, "Results.plot": Plots, "load(…)": ExperimentResults}
EXPECTED = """
Recorder
Results
analyze(data=None, y_pred=None, *, y_true=None, sensitive_features, baseline=None, favourable=None, y_score=None,
    unit=None, seeds=None, classes=None, smallest_effect=0.01, primary=None, alpha=0.05, cross=None, metrics=None,
    run=None, technique=None, row=None)
combine(first, *others, baseline=None)
experiments(outputs=None)
load(name, outputs=None)
metrics
plots
repeat(train, X=None, y=None, *, sensitive_features=None, runs=16, seeds=(0,), vary='random_state', noise='auto',
    control_runs=2, test_size=0.3, test=None, baseline=None, favourable=None, smallest_effect=0.01, primary=None,
    alpha=0.05, cross=None, scoring=None, jobs=None, threads=1, out=None, replace=False)
save_predictions(run_dir, *, ground_truth, prediction, protected, idx=None, unit=None, score=None, technique=None,
    classes=None, groups=None, history=None)
Results.comparisons
Results.evidence
Results.how_many(metrics=(), techniques=(), smallest_effect=None, level=None, numbers=(3, 4, 5, 6, 8, 10, 12, 16,
    24, 32, 48, 64))
Results.metrics
Results.plan
Results.plot
Results.report(path=None)
Results.risk
Results.summary
Results.tables
Results.verdict
Results.plot.accuracy_bias_plane(metric=None, attribute=None, ax=None)
Results.plot.causes(technique=None, attribute=None)
Results.plot.churn(technique=None, attribute=None, ax=None)
Results.plot.classes(technique=None, metric=None, attribute=None, ax=None)
Results.plot.distributions(metric=None, attribute=None, ax=None)
Results.plot.effects(metric=None, attribute=None, technique=None, ax=None)
Results.plot.epochs(measure=None, ax=None)
Results.plot.heat_map(attribute=None, technique=None, ax=None)
Results.plot.impact_ratio(technique=None, attribute=None, ax=None)
Results.plot.impact_ratio_sides(attribute=None, ax=None)
Results.plot.over_seeds(attribute=None)
Results.plot.planning(metric=None, attribute=None)
Results.plot.spread_by_runs(metric=None, attribute=None, what=None, ax=None)
Results.plot.testset(attribute=None, ax=None)
Results.plot.training_curves(training=None, ax=None)
Results.plot.verdict(metric=None, attribute=None, ax=None)
load(…).counts(technique)
load(…).declared
load(…).deviations
load(…).digests
load(…).evidence
load(…).families
load(…).fingerprints
load(…).finished
load(…).history
load(…).name
load(…).plan
load(…).predictions(technique, arm=None, run=None)
load(…).report(path=None)
load(…).root
load(…).run(training, arm, run)
load(…).runs
load(…).tables
load(…).verdict
"""


def untyped(function: object) -> str:
    signature = inspect.signature(function)
    plain = [p.replace(annotation=p.empty) for name, p in signature.parameters.items() if name != "self"]
    return str(signature.replace(parameters=plain, return_annotation=signature.empty))


def listed() -> Iterator[str]:
    for name in fitlib.__all__:
        member = getattr(fitlib, name)
        yield name if inspect.ismodule(member) or inspect.isclass(member) else f"{name}{untyped(member)}"
    for label, kind in CLASSES.items():
        for name, member in sorted(vars(kind).items()):
            if not name.startswith("_"):
                yield f"{label}.{name}{untyped(member) if inspect.isfunction(member) else ''}"


def test_public_names_and_signatures() -> None:
    unwrapped = EXPECTED.strip().replace("\n    ", " ").split("\n")
    assert list(listed()) == unwrapped


def test_every_public_name_says_what_it_is() -> None:
    members = [getattr(fitlib, name) for name in fitlib.__all__]
    members += [member for kind in CLASSES.values() for name, member in vars(kind).items() if not name.startswith("_")]
    assert all(inspect.getdoc(member) for member in members)


def test_only_public_names_are_offered_for_completion() -> None:
    assert set(fitlib.__all__) <= set(dir(fitlib))
