"""The verdict's figure: every run is drawn where it is, in its technique's colour, beside what was concluded of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from fitlib.report.figures import style, verdict
from fitlib.tables import schemas
from tests.support.report_examples import Experiment, constant, experiment

NOBODY = schemas.table_of([], schemas.INDIVIDUALS)


def frames(found: Experiment) -> dict[str, pd.DataFrame]:
    tables = {"metrics": found.metrics, "summary": found.summary, "comparisons": found.comparisons}
    return {**tables, "risk": found.risk, "individuals": NOBODY}


@pytest.fixture(scope="module")
def usual() -> Experiment:
    return experiment(favourable=1)


@pytest.fixture(scope="module")
def drawn(usual: Experiment) -> Figure:
    return verdict.verdict_figure(frames(usual), usual.plan, "EOTP")


def test_every_run_is_drawn_at_its_value(usual: Experiment, drawn: Figure) -> None:
    dots = [line for line in drawn.axes[0].lines if line.get_marker() == "o"]
    for line, technique in zip(dots, usual.plan["techniques"], strict=True):
        rows = style.select(usual.metrics, usual.plan, "protected")
        rows = rows[(rows["metric"] == "EOTP") & rows["target"].isna() & (rows["technique"] == technique["technique"])]
        np.testing.assert_array_equal(line.get_xdata(), 100 * rows.sort_values("run")["value"].to_numpy())


def test_a_technique_has_one_colour_in_all_panels_and_the_baseline_is_hollow(usual: Experiment, drawn: Figure) -> None:
    panels = [[line for line in ax.lines if line.get_marker() == "o"] for ax in drawn.axes[:2]]
    colours = style.technique_colours(usual.plan)
    for dots in panels:
        assert dots[0].get_markerfacecolor() == "none"
        assert [line.get_color() for line in dots[1:]] == list(colours.values())


def test_the_columns_repeat_the_tables(usual: Experiment, drawn: Figure) -> None:
    texts = [text.get_text() for text in drawn.axes[2].texts]
    rows = usual.comparisons[usual.comparisons["metric"] == "EOTP"]
    for row in rows.to_dict("records"):
        assert row["verdict"] in texts
        ends = verdict._interval(row["simultaneous_low"], row["simultaneous_high"])
        assert any(text.endswith(ends) for text in texts)


def test_pairs_of_runs_are_counted_as_the_rank_test_counts_them(usual: Experiment) -> None:
    rows = verdict.technique_runs(frames(usual), usual.plan, "EOTP", "protected")
    base, technique = rows[0], rows[1]
    smaller = sum(t < b for t in technique.values for b in base.values)
    assert verdict._lower_pairs(technique.values, base.values) == f"{smaller} of {6 * 6}"


def test_the_number_of_runs_below_four_fifths_is_that_of_the_table(usual: Experiment, drawn: Figure) -> None:
    risk = usual.risk[usual.risk["target"] == 1]
    texts = [text.get_text() for text in drawn.axes[2].texts]
    assert "below\n0.8" in texts
    for row in risk.to_dict("records"):
        assert f"{row['violated']} of {row['n']}" in texts


def test_the_axis_begins_at_equal_treatment(drawn: Figure) -> None:
    assert drawn.axes[0].get_xlim()[0] == 0


def test_one_run_and_constant_runs_are_drawn_without_inventing_an_interval() -> None:
    for found in (experiment(runs=1), experiment(alter=constant("S-T1")), experiment(techniques=1)):
        figure = verdict.verdict_figure(frames(found), found.plan)
        rows = verdict.technique_runs(frames(found), found.plan, "DI", "protected")
        assert len([line for line in figure.axes[0].lines if line.get_marker() == "o"]) == len(rows)
        assert "nan" not in " ".join(text.get_text() for ax in figure.axes for text in ax.texts)


def test_each_baseline_stands_above_what_is_compared_with_it() -> None:
    found = experiment(techniques=4)
    techniques = [dict(t) for t in found.plan["techniques"]]
    for technique, baseline in zip(techniques, (None, "S-T3", "S-Base", None), strict=True):
        technique["baseline"] = baseline
    plan = {**found.plan, "techniques": techniques}
    rows = verdict.technique_runs(frames(replace(found, plan=plan)), plan, "DI", "protected")
    assert [(row.name, row.baseline) for row in rows] == [
        ("S-Base", None), ("S-T2", "S-Base"), ("S-T3", None), ("S-T1", "S-T3"),
    ]  # fmt: skip


def test_it_is_described_in_words(usual: Experiment) -> None:
    text = verdict.alt_verdict(verdict.technique_runs(frames(usual), usual.plan, "EOTP", "protected"), "EOTP")
    means = usual.summary.query("metric == 'EOTP' and target == 'overall'").set_index("technique")["mean"]
    assert f"Lowest mean: {means.idxmin()}, {100 * means.min():.2f} points" in text
    assert f"S-Base: {100 * means['S-Base']:.2f}" in text


def test_over_seeds_all_runs_are_drawn_beside_the_verdict_over_seeds(usual: Experiment) -> None:
    arms = [
        {**usual.plan["arms"][0], "arm": name, "seed": seed} for seed, name in enumerate(("seed0.ulp", "seed1.ulp"))
    ]
    plan = {**usual.plan, "arms": arms}
    by_seed = {
        name: pd.concat([table.assign(arm=arm["arm"], seed=arm["seed"]) for arm in arms], ignore_index=True)
        for name, table in frames(usual).items()
    }
    over = usual.comparisons.assign(noise="ulp", verdict="open", difference=0.01)
    rows = verdict.technique_runs(by_seed | {"over_seeds": over}, plan, "EOTP", "protected")
    assert [len(row.values) for row in rows] == [12] * len(rows)
    assert {row.comparison["verdict"] for row in rows[1:]} == {"open"}
    assert rows[0].risk == {key: 2 * value for key, value in alone(usual).risk.items() if key in ("violated", "n")}
    one = verdict.technique_runs(by_seed | {"over_seeds": over}, plan, "EOTP", "protected", "seed1.ulp")
    assert [len(row.values) for row in one] == [6] * len(one)


def alone(found: Experiment) -> verdict.TechniqueRuns:
    return verdict.technique_runs(frames(found), found.plan, "EOTP", "protected")[0]
