"""What the explorer shows is what tables and counts say, and every widget changes what depends on it."""

import json

import numpy as np
import pytest
from ipywidgets import Button

import fitlib
from fitlib.errors import InputError
from fitlib.explore import pictures
from fitlib.explore.pictures import Choice
from fitlib.explore.widgets import SIMULATED, Explorer, to_explore
from tests.support.simulated import write_simulated

PLACE = ("Mitigated", "unknown")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place") / "outputs"
    write_simulated(folder)
    return folder


@pytest.fixture(scope="module")
def loaded(outputs):
    return fitlib.load("sim", outputs)


@pytest.fixture
def explorer(outputs):
    return Explorer(to_explore("", str(outputs)))


@pytest.mark.parametrize("target", [None, 3])
def test_values_and_means_are_those_of_the_tables(loaded, target):
    rows = pictures.values(loaded, Choice("DI", "protected", target))
    summary = loaded.tables.summary
    wanted = summary[(summary.metric == "DI") & (summary.target == ("overall" if target is None else str(target)))]
    found = pictures.means(rows)
    np.testing.assert_allclose(found[["mean", "mean_low", "mean_high"]], wanted[["mean", "mean_low", "mean_high"]])
    assert list(found["technique"]) == list(wanted["technique"])


def test_rates_of_a_group_follow_from_the_predictions(loaded):
    rows = pictures.values(loaded, Choice("selection rate", "protected", 0, 1))
    predicted = loaded.predictions("Base")
    own = predicted[predicted.protected == 1].groupby("run").prediction.apply(lambda p: (p == 0).mean())
    np.testing.assert_allclose(rows[rows.technique == "Base"].sort_values("run")["value"], own)
    right = pictures.values(loaded, Choice("true positive rate", "protected", 4, 0))
    truly = predicted[(predicted.protected == 0) & (predicted.ground_truth == 4)]
    own = truly.groupby("run").prediction.apply(lambda p: (p == 4).mean())
    np.testing.assert_allclose(right[right.technique == "Base"].sort_values("run")["value"], own)


def test_runs_below_a_landmark_are_those_that_the_risk_table_counts(loaded):
    risk = loaded.tables.risk
    for row in risk.itertuples():
        found = pictures.ratios(loaded, row.technique, row.arm, row.attribute, row.target)
        assert pictures.below(found, 0.8) == row.violated and len(found) == row.n
    messages = pictures.other_landmark(loaded, *PLACE, "protected", 0, 1.0)
    assert "below 1 in 5 of 5 runs" in messages.alt and "a landmark" not in messages.alt


def test_what_if_at_the_runs_there_are_is_what_the_tables_say(loaded):
    row = loaded.tables.comparisons.query("metric == 'DI'").iloc[0]
    half = (row.difference_high - row.difference_low) / 2
    planned = loaded.tables.planning.query("metric == 'DI' and n_baseline == 5")
    twice, equal = (
        planned.set_index(planned["true_difference"] / -row.smallest_effect).loc[[2.0, 0.0]].to_dict("records")
    )
    assert pictures._chances(row, 5) == pytest.approx((twice["fairer"], equal["equivalent"]))
    assert pictures._half_width(row, 5) == pytest.approx(half, rel=0.15)  # Welch's degrees of freedom differ a little
    messages = pictures.other_runs_sentence(row, 5)
    assert messages.startswith("With 5 runs of Mitigated and of Base, DI: if it is fairer by 2.00 points")


def test_more_runs_decide_more_and_narrow_the_interval(loaded):
    row = loaded.tables.comparisons.query("metric == 'DI'").iloc[0]
    chances = np.array([pictures._chances(row, n) for n in (8, 16, 64, 256)])
    widths = [pictures._half_width(row, n) for n in (8, 16, 64)]
    assert (np.diff(chances, axis=0) >= 0).all() and widths == sorted(widths, reverse=True)
    accuracy = loaded.tables.comparisons.query("metric == 'accuracy'").iloc[0]
    assert pictures._chances(accuracy, 8) is None and "no verdict" in pictures.other_runs_sentence(accuracy, 8)


def test_four_fifths_is_named_for_a_declared_favourable_class_only(tmp_path):
    plan = {"analysis": {**fitlib.load(write_simulated(tmp_path)).plan["analysis"], "favourable": 3}}
    write_simulated(tmp_path, "declared", plan)
    chosen = [pictures._landmark_name(fitlib.load("declared", tmp_path).plan, target) for target in (3, 4)]
    assert chosen == ["four fifths", "0.8, a landmark"]


def test_every_picture_has_words_and_names_are_text(tmp_path):
    write_simulated(tmp_path, "evil", {"classes": ["<b>", "$x$", *"23456789"], "groups": {"protected": ["<i>", "$"]}})
    loaded = fitlib.load("evil", tmp_path)
    for target in (0, 1):
        for picture in (
            pictures.distribution(loaded, Choice("DI", "protected", target)),
            pictures.distribution(loaded, Choice("selection rate", "protected", target, 1)),
            pictures.run_curves(loaded, *PLACE, 2),
            pictures.other_landmark(loaded, *PLACE, "protected", target, 0.7),
            pictures.other_runs(loaded, *PLACE, Choice("DI", "protected"), 9),
        ):
            shown = picture._repr_html_()
            assert picture.alt and picture.caption.startswith("n = 5 runs")
            assert "<b>" not in shown and "<i>" not in shown


def test_where_nothing_is_compared_the_what_if_says_so(loaded, explorer):
    assert pictures.other_runs(loaded, "Base", "unknown", Choice("DI", "protected"), 9) is None
    explorer.technique.value = "Base"
    assert pictures.NOT_COMPARED in explorer.number.children[1].value


# Widgets


def shown(explorer):
    parts = (explorer.distributions, explorer.landmark.children[1], explorer.number.children[1])
    return [part.value for part in parts] + [explorer.run.outputs[0]["data"]["text/html"]]


def button(explorer, name):
    return next(b for b in explorer.runs.children if isinstance(b, Button) and b.description == name)


@pytest.mark.parametrize(
    "change, changed",
    [
        (lambda e: setattr(e.metric, "value", "BA"), [True, False, True, False]),
        (lambda e: setattr(e.target, "value", 4), [True, True, False, False]),
        (lambda e: setattr(e.technique, "value", "Base"), [False, True, True, True]),
        (lambda e: setattr(e.at, "value", 0.9), [False, True, False, False]),
        (lambda e: setattr(e.n, "value", 40), [False, False, True, False]),
        (lambda e: button(e, "run-03").click(), [False, False, False, True]),
    ],
    ids=["metric", "class", "technique", "landmark", "number", "run"],
)
def test_a_widget_changes_what_depends_on_it(explorer, change, changed):
    explorer.metric.value = "DI"
    before = shown(explorer)
    change(explorer)
    assert [one != other for one, other in zip(before, shown(explorer), strict=True)] == changed


def test_a_metric_offers_the_classes_and_groups_that_it_has(explorer):
    explorer.metric.value = "DI"
    assert explorer.group.disabled and len(explorer.target.options) == 11
    explorer.metric.value = "accuracy"
    assert explorer.target.disabled and len(explorer.group.options) == 3
    explorer.metric.value = "selection rate"
    assert len(explorer.target.options) == 10 and len(explorer.group.options) == 2
    explorer.target.value, explorer.group.value = 7, 1
    explorer.metric.value = "false positive rate"
    assert (explorer.target.value, explorer.group.value) == (7, 1)


def test_a_click_shows_the_run_and_the_way_to_its_notebook(explorer):
    button(explorer, "run-03").click()
    page = explorer.run.outputs[0]["data"]["text/html"]
    assert "executed notebook of run-03" in page and "run-03/train.ipynb" in page and "of 5 runs" in page


def test_what_is_to_be_explored(outputs, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert list(to_explore("", str(outputs))) == ["sim"] == list(to_explore("sim", str(outputs)))
    assert list(to_explore("", str(tmp_path))) == [SIMULATED]
    with pytest.raises(InputError, match="did you mean 'sim'"):
        to_explore("simm", str(outputs))


def test_the_notebook_names_parameters_that_the_explorer_takes():
    from fitlib.experiment.notebooks import notebook_path

    cells = json.loads(notebook_path("explore").read_text())["cells"]
    source = "".join(line for cell in cells for line in cell["source"])
    assert "to_explore(experiment, outputs)" in source and "torch" not in source


def test_of_digests_that_all_share_the_first_and_the_last_are_shown(loaded):
    page = pictures.run_digests(loaded, *PLACE, 1)
    assert page.count("5 of 5 runs") == 2 and page.count("1 of 5 runs") == 2  # weights after epochs 1 and 6
    assert "<td>1</td>" in page and "<td>6</td>" in page and "<td>2</td>" not in page


def test_custom_metrics_can_be_looked_at_beside_fitlibs():
    plan = {"analysis": {"metrics": {"mine": {}}}, "classes": ["no", "yes"], "groups": {"sex": ["women", "men"]}}
    assert pictures.metrics(plan)[6:9] == ["BA", "mine", "accuracy"]
    assert pictures.targets(plan, "mine") == [("overall", None)]
    assert pictures.groups(plan, "sex", "mine") == [("all, compared", None)]
