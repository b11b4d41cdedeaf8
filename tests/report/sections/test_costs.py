"""The section on costs: counts that match the tables, and the words that must and must not be there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fitlib.report.notebook_display import Page, collect_outputs
from fitlib.report.sections import costs as section
from fitlib.tables import costs as cost_tables
from fitlib.tables.pareto import pareto
from tests.support.report_examples import Experiment, experiment

TWO = {"sex": ["f", "m"], "age": ["y", "o"]}


def frames_of(found: Experiment) -> dict[str, pd.DataFrame]:
    costs = cost_tables.costs(found.comparisons, found.metrics, found.plan, found.evidence)
    front = pareto(found.metrics, {}, found.plan, found.evidence, resamples=50)
    return {"metrics": found.metrics, "comparisons": found.comparisons, "costs": costs, "pareto": front}


@pytest.fixture(scope="module")
def usual() -> tuple[Experiment, dict[str, pd.DataFrame]]:
    found = experiment()
    return found, frames_of(found)


def text_of(found: Experiment, frames: dict[str, pd.DataFrame]) -> str:
    """Everything that the section tells."""
    chosen = frames["pareto"][frames["pareto"]["metric"] == section.first_metric(frames["comparisons"])]
    views = [section.costs_view(frames["costs"], found.plan), section.pareto_view(chosen, found.plan)]
    messages = [
        *section.cost_sentences(frames["costs"]),
        section.power_sentence(frames["costs"], frames["comparisons"]),
    ]
    messages += [*section.pareto_sentences(chosen), *(str(cell) for view in views for cell in view.to_numpy().ravel())]
    messages += [section.costs_table(frames["comparisons"]).caption(found.plan, frames["costs"])]
    return "\n".join([*messages, section.PARETO.caption(found.plan, chosen)])


def test_counts_are_those_of_the_table(usual: tuple) -> None:
    costs = usual[1]["costs"].copy()
    costs["decrease"] = ["yes"] * 4 + ["no"] * (len(costs) - 4)
    costs["cost_accuracy"] = ["yes", "yes", "no", ""] + [""] * (len(costs) - 4)
    costs["cost_bias_variance"] = costs["cost_accuracy_variance"] = ["no"] * 4 + [""] * (len(costs) - 4)
    costs["any"] = costs["cost_accuracy"]
    first = section.cost_sentences(costs)[0]
    assert f"The verdict is fairer (at seed 0, on this test set) on 4 of {len(costs)} pairs" in first
    assert "lower accuracy on 2 (unknown on 1), a larger spread of bias on 0" in first and "any of these on 2" in first
    messages = section.cost_sentences(costs.assign(decrease=["yes"] * 3 + [""] * (len(costs) - 3)))
    assert "on 3 of 3 pairs" in messages[0]
    assert messages[1] == f"No answer on {len(costs) - 3} more combinations: not FIT, too few runs, or not estimable."


def test_what_was_not_shown_stands_beside_its_power(usual: tuple) -> None:
    costs, comparisons = usual[1]["costs"].copy(), usual[1]["comparisons"]
    costs[["decrease", "cost_bias_variance", "cost_accuracy_variance"]] = ["yes", "no", "no"]
    messages = section.power_sentence(costs, comparisons)
    assert "not excluded" in messages and "for bias and" in messages and "for accuracy" in messages
    assert section.power_sentence(costs.assign(decrease="no"), comparisons) == ""


def test_the_front_is_told_with_its_share_of_resamples(usual: tuple) -> None:
    rows = usual[1]["pareto"].query("metric == 'DI'")
    messages = section.pareto_sentences(rows)
    on = rows[rows["on_front"] == "yes"]
    assert f"{len(on)} of 3 techniques" in messages[0] and "accuracy and bias, by DI (means over runs)" in messages[0]
    for row in on.itertuples():
        assert f"{row.technique} ({100 * row.front_share:.0f} %)" in messages[0]
    aside = section.pareto_sentences(rows.assign(on_front=""))
    assert aside == ["Not ranked: S-Base, S-T1 and S-T2 (see the notes in the table)."]


def test_every_verdict_has_its_scope_and_no_nan_is_told(usual: tuple) -> None:
    messages = text_of(*usual)
    assert "at seed 0, on this test set" in messages and "nan" not in messages.lower()
    for word in ("pass", "fail", "legal", "significant"):
        assert word not in messages


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("given", [{"runs": 1}, {"runs": 2}, {"techniques": 1}, {"attributes": TWO}])
def test_small_experiments_are_told_without_nan(given: dict) -> None:
    found = experiment(**given)
    messages = text_of(found, frames_of(found))
    assert "nan" not in messages.lower()
    if given == {"techniques": 1}:
        assert section.NOTHING in messages


def test_the_metric_shown_is_di_or_the_first_of_the_family(usual: tuple) -> None:
    comparisons = usual[1]["comparisons"]
    assert section.first_metric(comparisons) == "DI" == section.first_metric(comparisons.iloc[:0])
    without = comparisons[comparisons["metric"] != "DI"]
    assert section.first_metric(without) == without["metric"].iloc[0]


def test_many_pairs_show_those_with_a_cost_first(usual: tuple) -> None:
    many = pd.concat([usual[1]["costs"]] * 30, ignore_index=True).assign(decrease="yes", any="no")
    many.loc[many.index[-1], "any"] = "yes"
    view = section.costs_view(many, usual[0].plan)
    assert len(view) == section.MOST_ROWS and view.iloc[-1]["Comparison"].startswith(many.iloc[-1]["technique"])
    caption = section.costs_table(usual[1]["comparisons"]).caption(usual[0].plan, many)
    assert f"Shown: {section.MOST_ROWS} of {len(many)} pairs" in caption


def test_the_section_shows_two_tables_and_one_figure(usual: tuple, tmp_path: Path) -> None:
    found, frames = usual
    frames = {**frames, "costs": frames["costs"].assign(decrease="yes")}
    with collect_outputs() as shown:
        section.show(Page(found.plan, tmp_path), frames, found.plan, found.evidence)
    html = [output["data"]["text/html"] for output in shown if "text/html" in output["data"]]
    assert [name in text for name, text in zip(("costs.csv", "pareto.csv"), html, strict=True)] == [True, True]
    assert (tmp_path / "figures" / "plane.svg").is_file()
    assert np.all(["nan" not in text.lower() for text in html])


def test_without_a_verdict_no_count_is_told(usual: tuple) -> None:
    costs = usual[1]["costs"]
    first = section.cost_sentences(costs.assign(decrease=""))[0]
    assert first == f"No answer on {len(costs)} combinations: not FIT, too few runs, or not estimable."
    assert "(on this test set)" in section.cost_sentences(costs.assign(seed=None))[0]


def test_lower_bias_of_open_size_is_no_verdict_of_fairer(usual: tuple) -> None:
    found, frames = usual
    comparisons = frames["comparisons"].assign(verdict="lower, size open")
    costs = cost_tables.costs(comparisons, found.metrics, found.plan, found.evidence)
    first = section.cost_sentences(costs)[0]
    assert (
        first
        == f"The verdict is fairer (at seed 0, on this test set) on 0 of {len(costs)} pairs of technique and "
        + ("distinct metric.")
    )


def test_too_few_runs_give_no_answer(usual: tuple) -> None:
    found, frames = usual
    comparisons = frames["comparisons"].assign(verdict="too few to judge")
    costs = cost_tables.costs(comparisons, found.metrics, found.plan, found.evidence)
    assert section.cost_sentences(costs)[0].startswith(
        f"No answer on {len(costs)} combinations: not FIT, too few runs, or"
    )
    one = section.cost_sentences(costs.assign(decrease=["yes", "", *["no"] * (len(costs) - 2)]))
    assert one[1].startswith("No answer on 1 more combination: ")


def test_a_smaller_spread_that_was_shown_excludes_a_larger_one(usual: tuple) -> None:
    costs, comparisons = usual[1]["costs"].copy(), usual[1]["comparisons"]
    costs[["decrease", "cost_bias_variance", "cost_accuracy_variance"]] = ["yes", "no", ""]
    assert "for bias" in section.power_sentence(costs, comparisons.assign(p_variance_raw_holm=0.4))
    assert section.power_sentence(costs, comparisons.assign(p_variance_raw_holm=0.01)) == ""


def test_pairs_by_arm_and_attribute_are_named_as_such(usual: tuple) -> None:
    costs = usual[1]["costs"].assign(decrease="no")
    two = pd.concat([costs, costs.assign(attribute="race")])
    assert (
        f"on 0 of {len(two)} combinations of technique, distinct metric and attribute."
        in section.cost_sentences(two)[0]
    )


def test_a_technique_not_ranked_in_one_arm_names_the_arm(usual: tuple) -> None:
    rows = usual[1]["pareto"].query("metric == 'DI'")
    other = rows.assign(arm="seed1.ulp").assign(on_front=["yes", "no", ""])
    text = section.pareto_sentences(pd.concat([rows.assign(on_front="yes"), other]))[-1]
    assert text == "Not ranked: S-T2 (arm seed1.ulp) (see the notes in the table)."


def test_study_labels_are_counted_among_those_known(usual: tuple) -> None:
    costs = usual[1]["costs"].copy()
    costs["decrease_study"] = ["yes", "no", *[""] * (len(costs) - 2)]
    labels = [name for name in costs if name.endswith("_study") and name != "decrease_study"]
    assert (
        "bias fell on 1 of 2, without a cost" in section.cost_sentences(costs.assign(**dict.fromkeys(labels, "no")))[-1]
    )
    found = section.cost_sentences(costs.assign(**dict.fromkeys(labels, "yes")))[-1]
    assert "bias fell on 1 of 2. Costs shown: lower accuracy on 1" in found
