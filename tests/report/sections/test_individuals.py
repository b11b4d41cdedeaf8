"""The section "Who is affected?": words that must be there, words that must not, tables and the figure."""

import numpy as np
import pandas as pd
import pytest

from fitlib.metrics.counts import count
from fitlib.metrics.long_tables import counts_table
from fitlib.report.figures import individuals as figures
from fitlib.report.figures import style
from fitlib.report.notebook_display import Page
from fitlib.report.sections import impact
from fitlib.report.sections import individuals as section
from fitlib.report.sentences import impact as impact_sentences
from fitlib.tables.four_fifths import risk
from fitlib.tables.individuals import individuals, thresholds
from tests.support.person_data import persons_of, plan_of, predictions, simulated

pytestmark = pytest.mark.filterwarnings("error")


def frames_of(plan: dict, **techniques) -> dict[str, pd.DataFrame]:
    persons = persons_of(100, **techniques)
    counts = pd.concat(
        [counts_table(n, "ulp", 0, p.runs, count(p, "sex"), p.multilabel, "sex") for n, p in techniques.items()]
    )
    return {
        "individuals": individuals(persons, plan),
        "risk": risk(counts, plan, (), None, persons),
        "thresholds": thresholds(persons, plan),
    }


@pytest.fixture(scope="module")
def declared() -> tuple[dict, dict[str, pd.DataFrame]]:
    plan = plan_of(("Base", "Noisy"), favourable=1)
    return plan, frames_of(plan, Base=simulated(0, shift=0), Noisy=simulated(1, shift=3))


def test_sentences_tell_churn_of_everybody_and_of_groups(declared) -> None:
    plan, frames = declared
    messages = section.sentences(frames["individuals"], plan)
    rows = section.overall(frames["individuals"]).set_index(["technique", "group"])
    assert "a difference between groups is not established" in messages[0]
    assert (
        "not established" not in messages[1]
        and "men − others +" in messages[1]
        and "Within the true classes: women" in messages[1]
    )
    everybody = frames["individuals"].query("technique == 'Noisy' and target == 'overall' and group.isna()").iloc[0]
    assert f"{100 * everybody['churn']:.2f} % of cases" in messages[1] and len(rows) == 6
    assert any("ambiguity" in text and text.startswith("Of 8 runs,") for text in messages)
    assert any("excludes 0 in" in text and "of 4 cases" in text for text in messages)


def test_nothing_that_varies_is_told_without_numbers() -> None:
    plan = plan_of(("A",))
    same = frames_of(plan, A=predictions(np.zeros((8, 20), dtype=int), classes=2))
    messages = section.sentences(same["individuals"], plan)
    assert messages == ["A: no decision changed in 8 runs: no interval."]
    one = frames_of(plan, A=simulated(0, runs=1))
    assert "not estimable: fewer than 2 runs" in section.sentences(one["individuals"], plan)[0]


def test_four_fifths_pass_fail_and_legal_stay_away_without_a_favourable_class() -> None:
    plan = plan_of(("A",))
    frames = frames_of(plan, A=simulated(0))
    shown = [*section.sentences(frames["individuals"], plan), *section.threshold_sentences(frames["thresholds"], plan)]
    shown += [
        section.caption_thresholds(plan, frames["thresholds"]),
        section.caption_churn(plan, frames["individuals"]),
    ]
    text = " ".join(shown).lower()
    assert not any(word in text for word in ("four fifths", "pass", "fail", "legal", "nan", "violate"))
    assert "impact ratio below 0.8" in text and impact_sentences.four_fifths(frames["risk"], plan) == []
    assert section.groups_view(frames["risk"], plan).empty


def test_the_favourable_class_gets_groups_tests_and_the_59_runs(declared) -> None:
    plan, frames = declared
    messages = " ".join(impact_sentences.four_fifths(frames["risk"], plan))
    row = frames["risk"].query("technique == 'Base' and rule == 'four-fifths'").iloc[0]
    assert (
        f"selects {row['disadvantaged']} least for class yes" in messages and "59 runs without a violation" in messages
    )
    assert f"p < .05 in {row['significant']} of 8 runs, uncorrected" in messages and "fixed beforehand" in messages
    assert f"would turn four fifths in {row['flips']} of 8 runs" in messages
    landmark = " ".join(impact_sentences.landmark(frames["risk"], plan))
    assert messages in landmark and "no legal conclusion" in landmark
    assert "Turned by one" in impact.caption_risk(plan, frames["risk"], 4)


def test_without_a_test_the_sentence_says_so() -> None:
    plan = plan_of(("A",), favourable=1)
    p = simulated(0)
    repeated = predictions(p.prediction, p.ground_truth, p.protected["sex"], np.arange(400) // 4)
    messages = " ".join(impact_sentences.four_fifths(frames_of(plan, A=repeated)["risk"], plan))
    assert "no test of the difference" in messages and "<NA>" not in messages


def test_views_hold_text_only_and_few_columns(declared) -> None:
    plan, frames = declared
    shown = [
        section.churn_view(frames["individuals"], plan),
        section.threshold_view(frames["thresholds"], plan),
        section.groups_view(frames["risk"], plan),
        impact.risk_view(frames["risk"], plan),
    ]
    for view in shown:
        assert len(view) and view.map(lambda cell: isinstance(cell, str) and "nan" not in cell.lower()).all(axis=None)
    assert all(len(view.columns) <= 9 for view in shown[:3])
    assert shown[0]["Group"].tolist() == ["everybody", "women", "men"] * 2


def test_the_section_shows_what_there_is(declared, tmp_path, capsys) -> None:
    plan, frames = declared
    section.show(Page(plan, tmp_path), frames, plan, [])
    assert {p.name for p in (tmp_path / "figures").iterdir()} == {"churn.svg", "churn.png"}
    other = tmp_path / "nothing"
    section.show(Page(plan, other), {}, plan, [])
    assert not other.exists()


@pytest.mark.parametrize("names", [["A"], [f"T{i}" for i in range(27)]])
def test_the_figure_names_every_technique_and_group(names: list[str]) -> None:
    plan = plan_of(tuple(names))
    p = persons_of(2, A=simulated(0, rows=60))
    table = individuals(pd.concat([p.assign(technique=name) for name in names]), plan)
    rows = section.overall(table)
    figure = figures.distribution_figure(rows, plan, "sex")
    visible = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.get_title(loc="left") or ax.get_title() for ax in visible] == names
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["women", "men"]
    lines = [line for line in visible[0].get_lines() if line.get_linestyle() != "None" and len(line.get_xdata())]
    assert len({line.get_linestyle() for line in lines}) == len(lines) == 2
    assert {line.get_color() for line in lines} == {style.INK}, "colours are of techniques"
    first = rows[rows["group"] == 0].iloc[0]
    assert lines[0].get_ydata()[0] == pytest.approx(100 * (1 - first["share_never"]))
    top = visible[0].get_ylim()[1]
    assert all(max(line.get_ydata(), default=0) <= top for ax in visible for line in ax.get_lines())
    assert names[0] in figures.alt_distribution(rows, plan, "sex")


def many_groups(n: int) -> tuple[dict, pd.DataFrame]:
    plan = plan_of(("A", "B"), groups=[f"g{i}" for i in range(n)])
    rng = np.random.default_rng(3)
    group = np.arange(40 * n) % n
    runs = rng.integers(0, 2, (8, group.size)) * (rng.random(group.size) < 0.3)
    p = persons_of(20, A=predictions(runs, group=group, groups=n, classes=2))
    return plan, individuals(pd.concat([p.assign(technique=name) for name in plan_names(plan)]), plan)


def plan_names(plan: dict) -> list[str]:
    return [t["technique"] for t in plan["techniques"]]


def test_many_groups_are_drawn_as_a_range_and_told_by_their_extremes() -> None:
    plan, table = many_groups(50)
    figure = figures.distribution_figure(section.overall(table), plan, "sex")
    assert figure.legends[0].get_texts()[0].get_text() == "50 groups, smallest to largest"
    view = section.churn_view(table, plan)
    assert view["Technique"].tolist() == ["A"] * 3 + ["B"] * 3
    assert "smallest and the largest churn" in section.caption_churn(plan, table)
    messages = section.sentences(table, plan)[0]
    assert "the largest of 50 groups" in messages and "g1 " not in messages.replace("− others", "")


def test_one_run_gets_no_table_of_changes(tmp_path, capsys) -> None:
    plan = plan_of(("A",))
    section.show(Page(plan, tmp_path), frames_of(plan, A=simulated(0, runs=1)), plan, [])
    assert "Changing decisions" not in capsys.readouterr().out


# Few runs, ties and single thresholds


@pytest.mark.parametrize(("runs", "warned"), [(2, False), (3, True), (7, True), (8, False)])
def test_intervals_of_few_runs_are_called_too_narrow(runs: int, warned: bool) -> None:
    """Two runs have no interval, and eight have one that covers."""
    plan = plan_of(("A",), runs=runs)
    table = frames_of(plan, A=simulated(0, runs=runs))["individuals"]
    warning = (
        f"Intervals of churn and of its gaps from {runs} runs are too narrow where runs differ as wholes: they need"
    )
    assert any(text.startswith(warning) for text in section.sentences(table, plan)) == warned
    assert table["note"].str.startswith("interval too narrow").any() == warned
    classes = [text for text in section.sentences(table, plan) if "Within single true classes" in text]
    assert all(("more than 1 in 20" in text) == warned for text in classes) and bool(classes) == (runs > 2)


def test_two_runs_that_agree_are_said_to_agree() -> None:
    plan = plan_of(("A",), runs=2)
    same = frames_of(plan, A=predictions(np.zeros((2, 20), dtype=int), classes=2))["individuals"]
    assert section.sentences(same, plan) == ["A: no decision changed in 2 runs: no interval."]


def test_the_range_of_ambiguity_covers_techniques_on_which_all_runs_agree() -> None:
    plan = plan_of(("A", "B"))
    p = simulated(0)
    same = predictions(np.repeat(p.prediction[:1], 8, axis=0), p.ground_truth, p.protected["sex"])
    table = frames_of(plan, A=p, B=same)["individuals"]
    (text,) = [text for text in section.sentences(table, plan) if "ambiguity" in text]
    assert text.startswith("Of 8 runs, not all agree about 0 to ")


def test_unequal_numbers_of_runs_are_compared_at_the_fewest_of_two_or_more() -> None:
    plan = plan_of(("A", "B", "C"))
    techniques = {"A": simulated(0), "B": simulated(1, runs=5), "C": simulated(2, runs=1)}
    table = frames_of(plan, **techniques)["individuals"]
    (text,) = [text for text in section.sentences(table, plan) if "ambiguity" in text]
    assert text.startswith("Of 5 runs (the fewest of any technique with two or more, so that all compare), not all")


def test_no_run_below_the_landmark_is_not_some_run_at_none() -> None:
    plan = plan_of(("A",))
    table = frames_of(plan, A=simulated(0))["thresholds"].dropna(subset=["below_four_fifths"])
    (none,) = section.threshold_sentences(table.assign(below_four_fifths=0.0), plan)
    assert (
        none
        == f"A, class yes: no run has an impact ratio below 0.8 at any of {len(table)} thresholds that have a ratio."
    )
    (one,) = section.threshold_sentences(table.head(1).assign(below_four_fifths=0.5), plan)
    assert "some run has an impact ratio below 0.8 at 1 of 1 threshold that" in one


def test_the_largest_of_many_gaps_is_not_adjusted_for_its_choice() -> None:
    plan, table = many_groups(3)
    assert "the largest of 3 groups (interval not adjusted for that)," in section.sentences(table, plan)[0]
    two = plan_of(("A",))
    assert "adjusted" not in section.sentences(frames_of(two, A=simulated(0))["individuals"], two)[0]
