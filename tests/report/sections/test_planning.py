"""The report's part on numbers of runs: sentences, table, figure, and lines for the command line."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fitlib.report import notebook_display
from fitlib.report.figures import planning as figures
from fitlib.report.sections import planning as section
from fitlib.tables import planning
from fitlib.tables.over_seeds import over_seeds_table
from tests.support.table_examples import RUNS, arm, compare, drawn, metrics_of, plan, technique


def many(n: int, **analysis: object) -> tuple[pd.DataFrame, dict]:
    names = ["Base", *(f"T{i}" for i in range(1, n))]
    metrics = metrics_of(**{name: drawn(i, 0.3 - i / 200, 0.005 * (1 + i % 3)) for i, name in enumerate(names)})
    declared = plan(*[technique(name, None if i == 0 else "Base") for i, name in enumerate(names)], **analysis)
    return planning.planning_table(compare(metrics, declared), over_seeds_table(metrics, declared), declared), declared


def seeds() -> tuple[pd.DataFrame, dict]:
    arms = [arm(f"seed{k}.ulp", seed=k) for k in range(5)]
    parts = [metrics_of(Base=drawn(k), Fair=drawn(k + 9, 0.2)).assign(arm=a["arm"], seed=k) for k, a in enumerate(arms)]
    declared, metrics = plan(technique("Base", None), technique("Fair"), arms=arms), pd.concat(parts)
    return planning.planning_table(compare(metrics, declared), over_seeds_table(metrics, declared), declared), declared


# Sentences


def test_no_power_is_promised_for_the_smallest_effect_itself() -> None:
    frame, _ = many(3)
    border = section.sentences(frame)[-1]
    half = frame["level"].iloc[0] / 2
    assert f"“fairer” with probability {half:.2g}" in border and "no number of runs" in border and "less fair" in border
    at_effect = frame[np.isclose(frame["true_difference"], -frame["smallest_effect"])]
    # Welch's interval is not exact at few runs of unequal spread.
    assert (at_effect["fairer"] < 2 * half).all()
    assert (at_effect.loc[at_effect["n_baseline"] >= 16, "fairer"] < 1.1 * half).all()


def test_sentences_give_the_chances_now_and_the_runs_for_four_fifths_of_both() -> None:
    frame, _ = many(2)
    now, enough, _ = section.sentences(frame)
    rows = frame[frame["n_baseline"] == RUNS]
    equal = rows.loc[rows["true_difference"] == 0, "equivalent"]
    assert f"{equal.min():.2f} to {equal.max():.2f}" in now
    for which, rows in frame.groupby("which"):
        chances = rows.pivot_table(index="n_baseline", columns=figures.multiples(rows), values=["equivalent", "fairer"])
        first = chances.index[(chances["equivalent"][0] >= 0.8) & (chances["fairer"][2] >= 0.8)].min()
        assert f"{first} runs of each ({figures.TITLES[which]})" in enough


def test_over_seeds_sentences_count_seeds() -> None:
    frame, _ = seeds()
    mine = frame[frame["design"] == "paired by seed"]
    texts = " ".join(section.sentences(mine))
    assert "With the seeds there are" in texts and "runs" not in texts.replace("present runs", "")
    assert section.sentences(mine.iloc[:0]) == []


# Table


@pytest.mark.parametrize(("techniques", "rows"), [(2, 24), (4, 6 * 5), (6, 10), (12, 22)])
def test_the_table_shows_all_numbers_of_runs_of_few_comparisons_and_the_present_ones_of_many(
    techniques: int, rows: int
) -> None:
    frame, declared = many(techniques)
    view = section.planning_view(frame, declared)
    assert len(view) == rows and len(view.columns) == 7
    assert all(isinstance(cell, str) and "nan" not in cell for cell in view.to_numpy().ravel())
    assert (view["Runs of each"] == "8 (now)").sum() == 2 * (techniques - 1)
    assert section.planning_view(frame.iloc[:0], declared).empty


def test_cells_hold_fairer_equivalent_and_undecided() -> None:
    frame, declared = many(2)
    view = section.planning_view(frame, declared).set_index(["Metric", "Runs of each"])
    row = frame[(frame["n_baseline"] == 16) & (frame["which"] == "worst")]
    cell = view.loc[(f"{row['metric'].iloc[0]} (worst)", "16"), "No difference"]
    assert cell.split(" / ")[1] == f"{row.loc[row['true_difference'] == 0, 'equivalent'].iloc[0]:.2f}"
    assert (view.xs("3", level=1) == "no verdict").drop(columns="Comparison").all(axis=None)


def test_captions_tell_present_runs_level_and_range() -> None:
    frame, declared = many(3)
    for text in (section.caption_planning(declared, frame), section.caption_figure(declared, frame)):
        assert text.startswith("n = 8 runs per technique. Varied: noise ulp (emulated).") and "Level 0.0" in text
    assert "median over comparisons" in section.caption_figure(declared, frame)
    assert "10 % to 90 %" in section.caption_figure(declared, frame[frame["technique"] == "T1"])


# Figure


def test_runs_and_seeds_have_a_figure_each(tmp_path: Path) -> None:
    frame, declared = seeds()
    with notebook_display.collect_outputs():
        section.show(notebook_display.Page(declared, tmp_path), {"planning": frame}, declared)
    assert {path.stem for path in tmp_path.glob("figures/*.svg")} == {"how-many-runs", "how-many-seeds"}
    few = {"planning": frame[frame["note"] == planning.TOO_FEW]}
    with notebook_display.collect_outputs():
        section.show(notebook_display.Page(declared, tmp_path / "few"), few, declared)
    assert not list(tmp_path.glob("few/figures/*"))


def test_a_single_comparison_has_the_range_of_its_pilot_several_that_of_the_comparisons() -> None:
    one, several = many(2)[0], many(5)[0]
    drawn_one, drawn_several = figures.curves(one), figures.curves(several)
    rows = one[(one["which"] == "worst") & (one["true_difference"] == 0) & (one["note"] == "")].sort_values(
        "n_baseline"
    )
    mine = drawn_one.query("which == 'worst' and multiple == 0 and verdict == 'equivalent'")
    np.testing.assert_array_equal(mine["low"], rows["equivalent_low"])
    np.testing.assert_array_equal(mine["value"], rows["equivalent"])
    theirs = drawn_several.query("which == 'typical' and multiple == 2 and verdict == 'fairer' and n == 16").iloc[0]
    twice = several[np.isclose(several["true_difference"], -0.02) & (several["n_baseline"] == 16)]
    twice = twice.loc[twice["which"] == "typical", "fairer"]
    assert theirs[["value", "low", "high"]].tolist() == [twice.median(), twice.min(), twice.max()]
    assert drawn_one["n"].min() == 4  # there is no verdict on fewer


def test_the_figure_has_a_panel_for_each_kind_of_metric_and_true_difference() -> None:
    frame, _ = many(3)
    figure = figures.planning_figure(frame, figures.present_numbers(frame))
    assert len(figure.axes) == 2 * 4 and "the 8 there are" in figure.get_supxlabel()
    titles = [ax.get_title("left") for ax in figure.axes[:4]]
    assert titles == [
        "no true difference",
        "fairer by δ\n(1.00 points)",
        "fairer by 2δ\n(2.00 points)",
        "fairer by 3δ\n(3.00 points)",
    ]
    primary, _ = many(3, primary="DI")
    assert len(figures.planning_figure(primary).axes) == 4
    mixed, _ = many(3, smallest_effect={"DI": 0.02, "BA": 0.03})
    assert figures.planning_figure(mixed).axes[1].get_title("left") == "fairer by δ"


def test_the_alternative_text_tells_chances_never_as_certainty() -> None:
    text = figures.alt_planning(many(3)[0])
    assert "8 runs, metric of median SD: equivalent" in text and "1.00" not in text
    declared = planning.table_of_chances([planning.declared_comparison([0.012], 0.01, 0.05)], (8, 16))
    assert "declared metric" in figures.alt_planning(declared) and figures.present_numbers(declared) == []


# Lines


def test_lines_are_a_block_for_each_comparison_with_percentages() -> None:
    frame, _ = many(2)
    lines = section.planning_lines(frame)
    assert len(lines) == 2 * 15 + 1 and max(map(len, lines[1:15])) <= 80
    assert lines[0].startswith("T1 v Base, ") and "points in 8 runs, smallest effect 1.00 points, level 0.0" in lines[0]
    assert lines[3].split("|")[1].strip() == planning.TOO_FEW
    cells = lines[4].split("|")
    assert cells[0].strip() == "4" and [len(cell.split()) for cell in cells[1:]] == [3] * 4
    seeds_, _ = seeds()
    text = "\n".join(section.planning_lines(seeds_[seeds_["design"] == "paired by seed"]))
    assert "SD of the difference" in text and "in 5 seeds" in text and "  seeds |" in text


def test_lines_of_declared_spreads_name_no_comparison() -> None:
    one = planning.declared_comparison([0.012, 0.008], 0.01, 0.05)
    lines = section.planning_lines(planning.table_of_chances([one], (3, 16)))
    assert lines[0] == "SD 1.20 and 0.80 points, smallest effect 1.00 points, level 0.05"
