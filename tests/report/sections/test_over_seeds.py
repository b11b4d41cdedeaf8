"""The section on seeds: an unqualified "fairer" only from the nested design, and words that must be there."""

import numpy as np
import pytest

from fitlib.report import provenance
from fitlib.report.notebook_display import Page, collect_outputs
from fitlib.report.sections import over_seeds, verdict
from fitlib.tables.schemas import BY_SEED, COMPARISONS, table_of
from tests.support.seed_examples import over, over_row

METRICS = ("DP", "DI", "SPSF")


def plan_of(n_seeds=8, runs=2, techniques=1, kind="emulated", groups=("protected",)):
    names = [f"seed{s}.ulp" if s else "ulp" for s in range(n_seeds)]
    arms = [
        {"arm": name, "noise": "ulp", "kind": kind, "role": "main", "seed": s, "runs": runs, "options": {}}
        for s, name in enumerate(names)
    ]
    return {
        "techniques": [{"technique": "S-Base", "training": "base", "baseline": None}]
        + [{"technique": f"T{i}", "training": f"t{i}", "baseline": "S-Base"} for i in range(techniques)],
        "arms": arms,
        "data": {"name": "digits-s"},
        "groups": {name: ["a", "b"] for name in groups},
        "analysis": {"smallest_effect": 0.01, "alpha": 0.05, "reading": "strict"},
        "source": "fitlib",
    }


def seed_rows(table):
    """Rows of the table by seed for every row over seeds."""
    rng, rows = np.random.default_rng(0), []
    for row in table.to_dict("records"):
        shared = {name: row[name] for name in ("technique", "baseline", "noise", "kind", "attribute", "metric")}
        for seed in range(int(row["n_seeds"])):
            difference = row["difference"] + 0.01 * rng.standard_normal()
            known = {"seed": seed, "difference": difference, "standard_error": 0.002, "used": "yes"}
            rows.append(shared | known)
    return table_of(rows, BY_SEED)


def single(*verdicts):
    """Comparisons of DP at seeds 0, 1, …"""
    rows = [
        {"technique": "T0", "attribute": "protected", "metric": "DP", "verdict": verdict, "seed": seed}
        for seed, verdict in enumerate(verdicts)
    ]
    return table_of(rows, COMPARISONS)


# The verdict


def test_eight_seeds_of_two_runs_may_say_fairer_over_seeds():
    messages = over_seeds.verdict_sentence(over(over_row(), over_row("DI", verdict="open")), plan_of())
    assert messages == (
        "Over 8 seeds, on this test set: T0 cannot be told from S-Base on 1 of 2 distinct metrics, fairer on 1. These "
        "2 verdicts hold together: if nothing differs, the chance that any of them is fairer or less fair is at most "
        "5 %."
    )


@pytest.mark.parametrize(("n_seeds", "n_runs"), [(2, 16), (7, 2), (8, 1)])
def test_smaller_designs_never_say_fairer_without_the_qualification(n_seeds, n_runs):
    messages = over_seeds.verdict_sentence(over(over_row(n_seeds=n_seeds, n_runs=n_runs)), plan_of(n_seeds, n_runs))
    assert "fairer" in messages and "for an unqualified verdict" in messages and "on this test set" in messages


def test_one_seed_gets_no_verdict_and_the_way_to_one():
    messages = over_seeds.verdict_sentence(over(), plan_of(1))
    assert messages.startswith("Only seed 0 was tried, so no verdict over seeds is possible.")
    assert "seeds: [0, 1, 2, 3, 4, 5, 6, 7]" in messages and "at least 8 seeds with at least 2 runs" in messages
    assert "fairer" not in messages


def test_seeds_that_nobody_recorded_are_not_numbered():
    plan = plan_of(1, kind="unknown")
    messages = over_seeds.verdict_sentence(over(), plan | {"arms": [plan["arms"][0] | {"seed": None}]})
    assert messages.startswith("The seeds of these runs are not recorded, so no verdict") and "seed 0 " not in messages


def test_several_seeds_without_a_baseline_have_no_verdict():
    assert "nothing stands against a baseline" in over_seeds.verdict_sentence(over(), plan_of())


def test_what_repeats_another_metric_counts_once():
    rows = (over_row(), over_row("SPSF", verdict="equivalent", redundant_with="DP"))
    assert "T0 is fairer than S-Base on DP: −3.00 points [−4.50, −1.50]." in over_seeds.verdict_sentence(
        over(*rows), plan_of()
    )


def test_a_technique_without_verdict_tells_why():
    row = over_row(verdict="not FIT", n_seeds=0, n_runs=0, note="not FIT at seeds 0, 1: left out", p=None)
    messages = over_seeds.verdict_sentence(over(row), plan_of(2))
    assert "no verdict on T0 against S-Base: not FIT at seeds 0, 1" in messages and "nan" not in messages.lower()


def test_many_techniques_are_told_as_groups():
    rows = [over_row(technique=f"T{i}", verdict=v) for i, v in enumerate(["fairer"] * 3 + ["open"] * 2)]
    messages = over_seeds.verdict_sentence(over(*rows), plan_of(techniques=5))
    assert (
        "3 of 5 techniques are fairer than the baseline on some metric, less fair on none (T0, T1 and T2)" in messages
    )
    assert "2 of 5 techniques are neither fairer nor less fair on any" in messages


def test_scopes_that_differ_are_kept_apart():
    messages = over_seeds.verdict_sentence(over(over_row(), over_row(technique="T1", n_seeds=5)), plan_of(techniques=2))
    assert messages.count("Over ") == 2 and "Over 5 seeds, too few" in messages


def test_the_most_frequent_verdict_leads():
    verdicts = {"DP": "fairer", "DI": "equivalent", "BA": "equivalent"}
    rows = [over_row(metric, verdict=verdict) for metric, verdict in verdicts.items()]
    assert "T0 is equivalent to S-Base on 2 of 3 distinct metrics, fairer on 1" in over_seeds.verdict_sentence(
        over(*rows), plan_of()
    )


def test_a_primary_metric_decides_alone():
    rows = over(over_row(primary="yes", verdicts_together=1), over_row("DI", verdict="less fair"))
    messages = over_seeds.verdict_sentence(rows, plan_of())
    assert messages.endswith("T0 is fairer than S-Base on DP: −3.00 points [−4.50, −1.50].")


def test_warnings_stand_beside_the_verdict_over_seeds():
    rows = over(over_row(warnings="accuracy fell by 3.0 points [2.0, 4.0]"))
    assert "T0: its accuracy fell by 3.0 points [2.0, 4.0]." in over_seeds.verdict_sentence(rows, plan_of())


def test_a_direction_whose_size_is_open_is_not_called_fairer():
    messages = over_seeds.verdict_sentence(over(over_row(verdict="lower, size open")), plan_of())
    assert "T0 has lower bias than S-Base, by how much is open, on DP" in messages


# Beside the verdict


def test_verdicts_at_one_seed_that_differ_are_counted():
    messages = " ".join(over_seeds.sentences(over(over_row()), single("fairer", "open", "less fair"), plan_of()))
    assert "Of 3 verdicts at one seed (distinct metrics, each seed alone), 2 are not the verdict over seeds" in messages
    assert "1 of them the opposite" in messages


def test_not_significant_stands_beside_its_power():
    rows = over(over_row(verdict="open", p_holm=0.4, power=0.31), over_row("DI"))
    messages = " ".join(over_seeds.sentences(rows, single(), plan_of()))
    assert (
        "where the corrected p exceeds α (1 test)" in messages
        and "power 0.31 for a true difference of 1.00" in messages
    )
    assert "Not significant" not in " ".join(over_seeds.sentences(over(over_row()), single(), plan_of()))


def test_seeds_left_out_and_kept_are_named_once():
    note = "no runs at seed 3: left out; bit-identical runs at seeds 1, 5: kept"
    messages = " ".join(over_seeds.sentences(over(over_row(note=note), over_row("DI", note=note)), single(), plan_of()))
    assert messages.count("no runs at seed 3") == 1 and "Kept in the verdicts over seeds: bit-identical" in messages


def test_shares_are_told_only_where_estimated():
    few = over(over_row(note="shares need 8 seeds x 4 runs"))
    assert "takes at least 8 seeds with 4 runs each" in over_seeds.share_sentences(few)[0]
    assert "Seed's share" not in over_seeds.components_view(few, plan_of()).columns
    known = {f"share_seed_{r}{e}": v for r in ("baseline", "technique") for e, v in (("", 0.4), ("_low", -0.1))}
    known |= {"share_seed_baseline_high": 0.8, "share_seed_technique_high": 0.7, "share_seed_technique": -0.05}
    rows = over(over_row(n_runs=4, **known))
    assert "makes up 0 % to 40 % of the variance" in over_seeds.share_sentences(rows)[0]
    view = over_seeds.components_view(rows, plan_of()).set_index("Technique")
    assert view.loc["S-Base", "95 % interval"] == "[≤ 0, 0.80]" and view.loc["T0", "Seed's share"] == "≤ 0"
    assert view.loc["T0", "SD between seeds"] == "≤ 0"


def test_a_shared_baseline_has_one_row_of_components():
    view = over_seeds.components_view(over(over_row(), over_row(technique="T1")), plan_of())
    assert view["Technique"].tolist() == ["S-Base", "T0", "T1"]


def test_captions_say_n_what_varied_family_and_method():
    rows = over(over_row(n_seeds=5), over_row("DI", n_seeds=5))
    messages = over_seeds.caption_over(plan_of(5), rows)
    for words in (
        "n = 5 seeds × 2 runs", "Varied: seed (a random factor) and noise ulp (emulated)", "paired by seed",
        "Holm over 2 tests", "test set of digits-s", "±1.00 points", "too few for an unqualified verdict",
    ):  # fmt: skip
        assert words in messages
    assert "No test" in over_seeds.caption_components(plan_of(5), rows)
    assert "qualified" not in over_seeds.caption_over(plan_of(), over(over_row()))


def test_the_table_has_text_in_every_cell_and_few_columns():
    empty = over_row("DI", verdict="not estimable", difference=None, low=None, high=None, p=None, p_holm=None)
    view = over_seeds.over_seeds_view(
        over(over_row(), empty | {"p_signed_rank": None, "power": None, "family_size": None}), plan_of()
    )
    assert view.map(lambda cell: isinstance(cell, str) and cell and "nan" not in cell.lower()).all(axis=None)
    assert len(view.columns) <= 9
    assert view["p of ranks (smallest)"][0] == "0.0078 (0.0078)" and view["p"][1] == "no test"


# The figure


@pytest.mark.parametrize("techniques", [1, 27])
def test_the_figure_shows_every_seed_and_verdict(techniques):
    table = over(*(over_row(m, f"T{i}") for i in range(techniques) for m in METRICS))
    figure = over_seeds.seeds_figure(table, seed_rows(table), plan_of(techniques=techniques))
    panels = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.get_title(loc="left") for ax in panels] == list(METRICS)
    dots = [line for line in panels[0].lines if len(line.get_xdata()) == 8]
    marks = [line for line in panels[0].lines if line.get_markersize() == 7]
    assert len(dots) == len(marks) == techniques and {mark.get_marker() for mark in marks} == {"<"}, "of fairer"
    assert "fairer" in [text.get_text() for text in figure.legends[0].get_texts()]
    bands = [np.ptp(ax.get_xlim()) for ax in panels]
    assert np.allclose(bands, bands[0]), "the band of the smallest effect is equally wide in all panels"


def test_the_figure_in_words():
    table = over(over_row())
    messages = over_seeds.alt_seeds(table, seed_rows(table))
    assert "Lowest over seeds: T0 on DP, −3.00 points; single seeds −" in messages


def test_the_section_shows_without_a_warning(tmp_path, recwarn):
    table = over(over_row(), over_row("DI"), over_row("SPSF", redundant_with="DP"))
    frames = {"over_seeds": table, "by_seed": seed_rows(table), "comparisons": single("fairer")}
    with collect_outputs() as shown:
        over_seeds.show(Page(plan_of(), tmp_path), frames, plan_of(), [])
    assert (tmp_path / "figures" / "over-seeds.svg").is_file() and len(shown) >= 5
    with collect_outputs() as shown:
        over_seeds.show(Page(plan_of(1), tmp_path), {**frames, "over_seeds": over()}, plan_of(1), [])
    assert len(shown) == 1 and not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]


# What the rest of the report says of seeds


@pytest.mark.parametrize(
    ("n_seeds", "runs", "words"),
    [
        (1, 16, "Only seed 0 was tried: a technique cannot be told from its luck with that seed"),
        (3, 4, "The plan has only 4 runs at each of 3 seeds: too few for an unqualified verdict over seeds"),
        (8, 1, "The plan has only 1 run at each of 8 seeds: too few"),
        (8, 2, "Verdicts over seeds rest on 8 seeds, each a random draw, and hold on this test set"),
    ],
)
def test_the_limit_follows_from_the_seeds(n_seeds, runs, words):
    messages = provenance.limit(plan_of(n_seeds, runs))
    assert words in messages and "no verdict over seeds is given" not in messages and "emulated" in messages


def test_arms_that_differ_in_the_seed_are_told_together():
    assert provenance.what_varied(plan_of(3)) == (
        "Planned for each technique: 2 runs at each of the 3 seeds 0, 1 and 2, noise ulp (emulated)."
    )
    assert (
        provenance.what_varied(plan_of(1, 16)) == "Planned for each technique: 16 runs, seed 0, noise ulp (emulated)."
    )


def entry(training, arm, seed, run, role="main", final=None):
    return {
        "training": training, "arm": arm, "seed": seed, "run": run, "role": role, "status": "done", "error": "",
        "parts": {"initial weights": f"s{seed}", "first batch": "b"}, "predictions": {"T": "p"},
        "final_weights": final or f"{seed}-{run}",
    }  # fmt: skip


def test_identity_is_told_once_for_arms_that_agree():
    evidence = [
        entry(t, a["arm"], a["seed"], run) for t in ("base", "t0") for a in plan_of(3)["arms"] for run in (0, 1)
    ]
    (messages,) = provenance.identities(plan_of(3), evidence)
    assert messages.startswith("S-Base in each of 3 arms and T0 in each of 3 arms: the 2 runs started from identical")
    evidence[2]["final_weights"] = evidence[3]["final_weights"]
    messages = provenance.identities(plan_of(3), evidence)
    assert any(text.startswith("S-Base in arms ulp and seed2.ulp") for text in messages)
    assert any(text.startswith("S-Base in arm seed1.ulp: ") and "bit-identical" in text for text in messages)


def test_a_control_arm_at_one_seed_of_several_says_so():
    evidence = [entry(t, "none", 0, run, "control", "same") for t in ("base", "t0") for run in (0, 1)]
    (messages,) = provenance.controls(plan_of(3), evidence)
    assert messages.startswith("Control arm of S-Base and T0 (at seed 0 only): identical in 2 of 2")
    (messages,) = provenance.controls(plan_of(1), evidence)
    assert messages.startswith("Control arm of S-Base and T0: identical in 2 of 2")


def test_why_there_is_no_verdict_is_told_without_what_was_kept():
    note = "not estimable: bit-identical runs at every seed enter no test; bit-identical runs at seeds 0, 1: kept"
    messages = over_seeds.verdict_sentence(over(over_row(verdict="not estimable", note=note, p=None)), plan_of(2))
    assert messages.endswith("bit-identical runs at every seed enter no test.")


def test_the_largest_group_of_many_techniques_leads():
    rows = [over_row(technique=f"T{i}", verdict="fairer" if i == 0 else "open") for i in range(6)]
    messages = over_seeds.verdict_sentence(over(*rows), plan_of(techniques=6))
    assert messages.index("5 of 6 techniques are neither") < messages.index("1 of 6 techniques is fairer")


def test_too_few_seeds_are_the_reason_whatever_the_note_is_about():
    few = over_row(verdict="too few to judge", n_seeds=3, note="shares need 8 seeds x 4 runs")
    messages = over_seeds.verdict_sentence(over(few), plan_of(3))
    assert "no verdict on T0 against S-Base: fewer than 4 seeds show too little of their spread" in messages


def test_the_headline_over_seeds_has_each_warning_once(monkeypatch):
    fell = "accuracy fell by {} points"
    monkeypatch.setattr(
        verdict.verdict_sentences, "verdict", lambda *_: ["At one seed.", fell.format(3), "Largest.", "Limit."]
    )
    monkeypatch.setattr(verdict, "finding", lambda *_: "Finding.")
    monkeypatch.setattr(verdict.verdict_sentences, "small_groups", lambda *_: [])
    table = over(over_row(warnings=fell.format(4)))
    texts = verdict.verdict({"comparisons": single("fairer"), "over_seeds": table, "summary": None}, plan_of(), [])
    assert texts[0] == "Finding." and texts[2:] == ["Largest.", "Limit."]
    assert texts[1].endswith("its accuracy fell by 4 points.")
