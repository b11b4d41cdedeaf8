"""The finding and its figure, the verdict in a few sentences, and what an auditor asks first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from fitlib import formatting as fmt
from fitlib.report import vocabulary as words
from fitlib.report.captions import Caption, caption, overall_counts
from fitlib.report.figures import verdict as verdict_figures
from fitlib.report.headline import finding
from fitlib.report.notebook_display import Page, heading, show_lead, show_places, show_text
from fitlib.report.provenance import limit
from fitlib.report.reader_tables import ReaderTable
from fitlib.report.sections import new_test_data, robustness, verdict_matrix
from fitlib.report.sections import over_seeds as over_seeds_sections
from fitlib.report.sentences import first_screen
from fitlib.report.sentences import impact as impact_sentences
from fitlib.report.sentences import verdicts as verdict_sentences
from fitlib.statistics import run_identity
from fitlib.tables.metric_series import main_arms

GLANCE = ReaderTable(
    "At a glance",
    Caption("Points are percentage points; procedures stand under each table below.", sizes=overall_counts),
)


IDENTITY, PLAN = "#What-was-held-identical,-and-the-proof", "#The-plan,-and-every-deviation-from-it"
DOORS = [("I report it", "#How-to-report-this"), ("I audit it", "#For-auditors"), ("I review it", "#For-referees")]
FIGURE = (
    "Point: one run; bar: mean with its 95 % interval. Pale strip: the baseline's runs; darker: its mean ± the "
    "smallest effect; dotted: chance. Intervals of differences hold together."
)


def show(page: Page, frames: Mapping[str, pd.DataFrame], plan: Mapping, evidence: Sequence[Mapping]) -> None:
    """Display the finding, its cost and weightiest warning, the figure, the matrix of verdicts and the evidence."""
    found, *others = verdict(frames, plan, evidence)
    table = frames["over_seeds"] if len(frames["over_seeds"]) else frames["comparisons"]
    show_lead(found)
    cost = first_screen.cost(table, frames.get("individuals", pd.DataFrame()), plan)
    show_text([cost, first_screen.weightiest_warning(frames, plan, evidence)], paragraphs=True)
    show_figures(page, frames, plan)
    rows = verdict_matrix.matrix_rows(table)
    if 0 < len(rows) <= verdict_matrix.MOST_ROWS:
        verdict_matrix.show_matrix(rows)
    show_text(limit(plan))
    show_places("Evidence", evidence_places(plan, evidence))
    show_places("Readers", DOORS)
    _show_folded(page, frames, plan, evidence, others, rows)


def _show_folded(
    page: Page,
    frames: Mapping[str, pd.DataFrame],
    plan: Mapping,
    evidence: Sequence[Mapping],
    others: Sequence[str],
    rows: pd.DataFrame,
) -> None:
    """Display all sentences of the verdict, and the table at a glance."""
    heading("The verdict in full, and the experiment at a glance", folded=True)
    page.show_conditions()
    show_text(others, paragraphs=True)
    if len(rows) > verdict_matrix.MOST_ROWS:
        verdict_matrix.show_matrix(rows)
    page.show(GLANCE, frames["summary"], view=glance_view(plan, evidence, frames["comparisons"]))


def show_figures(page: Page, frames: Mapping[str, pd.DataFrame], plan: Mapping) -> None:
    """Display the figure of the verdict for each protected attribute."""
    metric = verdict_figures.shown_metric(frames["comparisons"], plan)
    for attribute in plan["groups"]:
        rows = verdict_figures.technique_runs(frames, plan, metric, attribute)
        figure = verdict_figures.verdict_figure(frames, plan, metric, attribute)
        about = caption(plan, [len(row.values) for row in rows], FIGURE)
        page.figure("verdict", attribute, figure, verdict_figures.alt_verdict(rows, metric), about)


def verdict(frames: Mapping[str, pd.DataFrame], plan: Mapping, evidence: Sequence[Mapping]) -> list[str]:
    """Return the finding, the outcome on all metrics, how much equal runs differ, and what limits both.

    Over seeds where the design has several.
    """
    comparisons, over_seeds = frames["comparisons"], frames["over_seeds"]
    metric = verdict_figures.shown_metric(comparisons, plan)
    absent = words.not_run(plan, evidence)
    found = finding(comparisons, over_seeds, frames["summary"], plan, metric, absent)
    outcome, *beside = verdict_sentences.verdict(comparisons, frames["summary"], plan, evidence)
    warned = impact_sentences.violations(frames["risk"]) if "risk" in frames else []
    warned += verdict_sentences.small_groups(frames["summary"], plan, metric)
    if len(over_seeds):  # its sentence has the warnings of all seeds
        return [found, over_seeds_sections.verdict_sentence(over_seeds, plan), *warned, *beside[-2:]]
    scope = new_test_data.scope_sentence(frames["new_test_data"], comparisons) if "new_test_data" in frames else ""
    stopped = robustness.stopping_sentence(frames["sequential"], comparisons, plan) if "sequential" in frames else ""
    return [text for text in (found, f"{outcome} {scope}".strip(), stopped, *warned, *beside) if text]


# The ways on


def evidence_places(plan: Mapping, evidence: Sequence[Mapping]) -> list[tuple[str, str]]:
    """Return what the evidence comes to, each with the address of the part that shows it."""
    found = {
        _answer_on_runs(plan, evidence): "#Every-run",
        f"identity: {_answer_on_fit(plan, evidence)}": IDENTITY,
        f"control: {_answer_on_control(plan, evidence)}": IDENTITY,
        f"plan: {_answer_on_plan(plan)}": PLAN,
    }
    return [(text, address) for text, address in found.items() if text]


# The table at a glance


def glance_view(plan: Mapping, evidence: Sequence[Mapping], comparisons: pd.DataFrame) -> pd.DataFrame:
    """Return what an auditor asks first, in one small table."""
    against = dict.fromkeys(t["baseline"] for t in plan["techniques"] if t["baseline"])
    techniques = [t["technique"] for t in plan["techniques"] if t["baseline"]]
    rows = {
        "Compared": f"{fmt.join_items(techniques, 8)} against {fmt.join_items(against, 8)}" if against else "nothing",
        "Test set": words.data_name(plan) or "not named",
        "Runs of each technique at a seed": fmt.join_items(dict.fromkeys(str(arm["runs"]) for arm in main_arms(plan))),
        "What differs between runs": words.noise_explained(plan),
        "Seeds": fmt.join_items(dict.fromkeys(map(words.seed, main_arms(plan))), 16),
        "Finished": _answer_on_runs(plan, evidence),
        "Same code, data and start in all runs": _answer_on_fit(plan, evidence),
        "Same result where nothing differs (control arm)": _answer_on_control(plan, evidence),
        "Smallest effect that counts": words.smallest_effect_text(plan),
        "Metric that decides": plan["analysis"].get("primary") or "all distinct metrics, together",
        "Tests that the correction covers": f"{words.family(comparisons)} of means, "
        f"{words.family(comparisons, 'family_size_variance')} of spread",
        "Plan": _answer_on_plan(plan),
        "Deviations from the plan": _answer_on_deviations(plan),
    }
    return pd.DataFrame({"Question": list(rows), "Answer": list(rows.values())})


def _answer_on_runs(plan: Mapping, evidence: Sequence[Mapping]) -> str:
    done = sum(run["status"] == "done" for run in evidence)
    return f"{done} of {len(evidence)} planned runs" if evidence else str(plan.get("source", ""))


def _answer_on_plan(plan: Mapping) -> str:
    return "declared before the first run" if plan.get("declared_before_first_run") else "not declared beforehand"


def _answer_on_deviations(plan: Mapping) -> str:
    known = "none recorded" if plan.get("declared_before_first_run") else "no plan to deviate from"
    return str(len(plan["deviations"])) if plan.get("deviations") else known


def _answer_on_fit(plan: Mapping, evidence: Sequence[Mapping]) -> str:
    arms = [arm["arm"] for arm in main_arms(plan)]
    checked = [run_identity.check_fit(evidence, training, arm) for training in words.trainings(plan) for arm in arms]
    found = [one.fit if one.recorded else "outside" for one in checked]
    known = {
        "proven": found.count(True),
        "equal as far as seen from outside": found.count("outside"),
        "refuted": found.count(False),
        "unknown": found.count(None),
    }
    return _shares(known, len(found), "training" if len(arms) == 1 else "pair of training and arm")


def _answer_on_control(plan: Mapping, evidence: Sequence[Mapping]) -> str:
    found = [run_identity.check_control(evidence, training).identical for training in words.trainings(plan)]
    known = {"bit-identical": found.count(True), "failed": found.count(False), "not available": found.count(None)}
    return _shares(known, len(found), "training")


def _shares(counts: Mapping[str, int], total: int, noun: str) -> str:
    plural = "pairs of training and arm" if noun.startswith("pair ") else ""
    return ", ".join(f"{what} for {n} of {fmt.count(total, noun, plural)}" for what, n in counts.items() if n)
