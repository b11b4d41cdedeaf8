"""The section on the test set says what the tables say, and never what is not there."""

import numpy as np
import pandas as pd
import pytest

from fitlib.report.reader_tables import ReaderTable
from fitlib.report.sections import testset as section
from fitlib.tables.testset import components_table, selection_table
from tests.support.chance_examples import made
from tests.support.testset_examples import long_tables, planned, predicted, summary

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(scope="module")
def frames() -> dict[str, pd.DataFrame]:
    return frames_of(long_tables(Base=predicted(1), Fair=predicted(2)))


def frames_of(long: dict, plan: dict | None = None) -> dict[str, pd.DataFrame]:
    plan = plan or planned(names=("Base", "Fair"))
    tables = {
        "components": components_table(long["testset"], plan),
        "selection": selection_table(long["testset"], plan),
    }
    return tables | {"summary": summary(long, plan)}


def shown(frames: dict, plan: dict, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything that the section tells and shows, as text."""
    messages = []

    class Page:
        def show(self, table: ReaderTable, frame: pd.DataFrame) -> None:
            messages.extend(
                [table.title, table.view(frame, plan).to_string(), table.caption(plan, frame), table.source]
            )

        def figure(self, name: str, attribute: str, figure: object, alt: str, caption: str) -> None:
            messages.extend([name, alt, caption])

    monkeypatch.setattr(section, "show_text", lambda said: messages.extend([said] if isinstance(said, str) else said))
    section.show(Page(), frames, plan, [])
    return messages


def test_two_tables_with_their_files_and_no_nan(frames, monkeypatch):
    messages = shown(frames, planned(names=("Base", "Fair")), monkeypatch)
    assert [text for text in messages if text.startswith("tables/")] == ["tables/summary.csv", "tables/components.csv"]
    assert "nan" not in " ".join(messages).lower()


def chance(frames, **changes: object) -> pd.DataFrame:
    """Summary whose overall values are twice the expectation of chance, with p = .01 unless changed."""
    table = frames["summary"].copy()
    rows = (table["target"] == "overall") & (table["metric"] != "accuracy")
    table.loc[rows, "expectation"] = table.loc[rows, "mean"] / 2
    table.loc[rows, "chance_p"] = 0.01
    one = rows & (table["metric"] == "BA") & (table["technique"] == "Fair")
    for name, value in changes.items():
        table.loc[one, name] = value
    return table


def test_values_that_do_not_exceed_chance_are_named_with_their_p(frames):
    assert section.chance_sentences(chance(frames))[1] == (
        "14 of 14 overall values exceed it (median p of the runs ≤ 0.05, uncorrected)."
    )
    # above the expectation, as chance itself often is
    text = section.chance_sentences(chance(frames, mean=0.03, expectation=0.02, chance_p=0.4))[1]
    assert text == (
        "13 of 14 overall values exceed it (median p of the runs ≤ 0.05, uncorrected); not shown to: BA of Fair (3.00 "
        "points, expectation 2.00, p = 0.40)."
    )


def test_values_without_p_stand_beside_the_expectation(frames):
    missing = {"chance_p": np.nan, "expectation": 0.02}
    _, tested, others = section.chance_sentences(chance(frames, mean=0.03, **missing))
    assert tested.startswith("13 of 13 overall values exceed it")
    assert others.startswith(
        "Of 1 overall value without p none is as small as the expectation of chance, closest BA of"
    )
    assert others.endswith("chance exceeds its own expectation often, so this does not show a disparity.")
    assert section.chance_sentences(chance(frames, mean=0.01, **missing))[2] == (
        "Of 1 overall value without p 1 is no larger than the expectation of chance: BA of Fair (1.00 points, "
        "expectation 2.00)."
    )


def test_values_without_an_expectation_are_not_called_undefined(frames):
    (text,) = section.chance_sentences(frames["summary"].assign(expectation=np.nan))
    assert text == "What chance alone gives is not known here: no overall value has an expectation above 0."


def test_small_denominators_are_counted_against_the_declared_limit(frames):
    table = frames["summary"]
    classes = table[(table["target"] != "overall") & table["smallest_denominator"].notna()]
    smallest = int(classes["smallest_denominator"].min())
    assert "No denominator lies below" in section.denominator_sentence(table, planned(min_group=smallest))
    messages = section.denominator_sentence(table, planned(min_group=smallest + 1))
    few = int((classes["smallest_denominator"] == smallest).sum())
    assert few == 1 and messages.startswith(f"1 of {len(classes)} values of a class rests on a denominator below the")
    assert f"the smallest is {smallest}" in messages


def test_the_widest_spread_is_split_into_run_and_test_set(frames):
    table = frames["components"]
    row = table.loc[table["sd_between_runs"].idxmax()]
    first, second = section.component_sentences(table, planned(names=("Base", "Fair")))
    assert f"{row['metric']} of {row['technique']}" in first and f"{100 * row['sd_between_runs']:.2f} points" in first
    assert "independently of each other" in second and f"{100 * row['floor_sd']:.2f} points" in second


def test_a_negative_estimate_reads_at_most_zero(frames):
    table = frames["components"].copy()
    table.loc[:, "variance_run"], table.loc[:, "sd_run"] = -1e-6, 0.0
    view = section.components_view(table, planned(names=("Base", "Fair")))
    assert set(view["Run"]) == {"≤ 0"} and view["Technique"].tolist() == ["Base", "Fair"] and view.shape[1] <= 9
    messages = " ".join(section.component_sentences(table, planned()))
    assert "Of the run, whatever the test set: none found (estimated ≤ 0)" in messages and "SD ≤ 0" not in messages


def test_runs_that_agree_throughout_are_constant_not_zero(monkeypatch):
    p = predicted(3)
    same = made(p.ground_truth, np.repeat(p.prediction[:1], 6, axis=0), p.protected["a"], n_classes=3)
    frames, plan = frames_of(long_tables(Base=same), planned()), planned()
    messages = " ".join(shown(frames, plan, monkeypatch))
    assert "No signed difference changed between runs" in messages and "constant in all 6 runs" in messages
    assert "bit-identical" not in messages


def test_a_group_that_changes_is_told_with_its_name_and_runs(frames):
    table, plan = frames["summary"].copy(), planned(names=("Base", "Fair"))
    table["lower_group_changes"] = table["lower_group_changes"].where(table["lower_group_changes"].isna(), 0)
    assert "the same group had the lowest rate in all runs" in section.direction_sentence(table, plan)
    row = table.index[(table["metric"] == "EOTP") & (table["target"] == "1") & (table["technique"] == "Fair")][0]
    table.loc[row, "lower_group_changes"], table.loc[row, "lower_group"] = 2, "g1"
    messages = section.direction_sentence(table, plan)
    assert (
        messages.startswith("In 1 of ") and "signed differences (DP, EOFP and EOTP, by technique and class)" in messages
    )
    assert (
        "EOTP of Fair, class dog: g1 has the lowest true positive rate on average, another group in 2 of 6" in messages
    )


def test_selection_tells_the_regression_and_where_it_was_measured(frames):
    table = frames["selection"]
    row = table.loc[table["regression"].idxmax()]
    first, second = section.selection_sentences(table)
    assert f"The fairest of 6 runs regresses, most for {row['metric']} of {row['technique']}" in first
    assert f"{100 * row['selected_on']:.2f} points there, {100 * row['selected_off']:.2f} on the other half" in first
    assert "of 14 pairs of technique and metric" in second


def test_one_run_is_told_as_not_estimable(monkeypatch):
    frames, plan = frames_of(long_tables(Base=predicted(4, n_runs=1)), planned()), planned()
    messages = " ".join(shown(frames, plan, monkeypatch))
    assert "Components of the spread are not estimable" in messages
    assert "What becomes of the fairest run is not estimable" in messages and "nan" not in messages.lower()


def test_without_the_long_table_one_sentence_says_so(monkeypatch):
    long, plan = long_tables(Base=predicted(5)), planned()
    frames = frames_of(long | {"testset": long["testset"].iloc[:0]}, plan)
    assert shown(frames, plan, monkeypatch) == [section.NO_TABLE]


def test_arms_are_told_apart(frames):
    table = frames["components"]
    two = pd.concat([table, table.assign(arm="seed1.ulp")], ignore_index=True)
    view = section.components_view(two, planned())
    assert view["Technique"].tolist() == [
        "Base (arm ulp)", "Fair (arm ulp)", "Base (arm seed1.ulp)", "Fair (arm seed1.ulp)",
    ]  # fmt: skip


def test_rounding_is_neither_spread_nor_regression(frames):
    plan = planned(names=("Base", "Fair"))
    components = frames["components"].assign(sd_between_runs=6e-17)
    assert section.component_sentences(components, plan)[0].startswith("No signed difference changed")
    assert section.components_view(components, plan)["Between runs"].str.startswith("constant in all").all()
    messages = section.selection_sentences(frames["selection"].assign(regression=1e-17))
    assert messages == [
        "No run was fairer than the others on either half of the test set, so there was none to choose."
    ]


def test_components_without_a_defined_difference_are_not_blamed_on_the_runs(frames):
    table = frames["components"].assign(sd_between_runs=np.nan)
    assert section.component_sentences(table, planned()) == [
        "Components of the spread are not estimable: no signed difference is defined in two runs or more."
    ]


def test_a_component_that_is_missing_is_no_sd(frames):
    table = frames["components"].assign(variance_run=np.nan, sd_run=np.nan)
    first, _ = section.component_sentences(table, planned())
    assert "Of the run, whatever the test set: not estimable; of the draw" in first and "SD not estimable" not in first
    assert " points over 6 runs on this test set. Of the run" in first


def test_independent_flips_beyond_the_spread_found_are_no_share_of_it(frames):
    table = frames["components"]
    less = section.component_sentences(table.assign(floor_sd=table["sd_between_runs"] / 2), planned())[1]
    assert "(0.25 of the variance found): with as many flips, only a larger test set lowers it." in less
    more = section.component_sentences(table.assign(floor_sd=table["sd_between_runs"] * 2), planned())[1]
    assert more.endswith("more than was found: nothing beyond such flips is seen.") and "of the variance" not in more


def test_a_fairest_run_that_does_not_regress_is_not_called_absent(frames):
    table = frames["selection"]
    (text,) = section.selection_sentences(table.assign(regression=-0.01))
    assert text == "The fairest run of one half of the test set was as fair on the other half, on every metric."
    (none,) = section.selection_sentences(table.assign(regression=np.nan))
    assert "no metric is defined on both halves of the test set in two runs or more" in none


def test_rounding_does_not_put_the_fairest_run_below_the_mean(frames):
    table = frames["selection"].assign(mean=0.25, selected_off=0.25 - 1e-17)
    assert "below the mean of all runs in 0 of 14 pairs of technique" in section.selection_sentences(table)[1]
    two = pd.concat([table, table.assign(arm="seed1.ulp")], ignore_index=True)
    assert "in 0 of 28 combinations of technique, metric and arm (" in section.selection_sentences(two)[1]


def test_one_signed_difference_is_singular(frames):
    table = frames["summary"]
    rows = table[(table["metric"] == "DP") & (table["target"] == "0") & (table["technique"] == "Base")]
    text = section.direction_sentence(rows.assign(lower_group="g1", lower_group_changes=1), planned())
    assert text.startswith("In 1 of 1 signed difference (DP, EOFP and EOTP, by technique and class) the group with")
    assert section.direction_sentence(rows.assign(lower_group="g1", n=1), planned()) == ""
