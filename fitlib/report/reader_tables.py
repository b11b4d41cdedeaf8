"""Tables for readers: the columns that a report shows, in words, with text in every cell."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from fitlib import formatting as fmt
from fitlib.metrics.bias_metrics import BIAS_METRICS
from fitlib.report import vocabulary as say
from fitlib.statistics import run_identity
from fitlib.tables.metric_series import main_arms

CORRECTIONS = {"holm": "Holm", "bh": "BH", "by": "BY"}


# Plan and evidence


def glance_view(plan: Mapping, evidence: Sequence[Mapping], comparisons: pd.DataFrame) -> pd.DataFrame:
    """What an auditor asks first, in one small table."""
    against = dict.fromkeys(t["baseline"] for t in plan["techniques"] if t["baseline"])
    techniques = [t["technique"] for t in plan["techniques"] if t["baseline"]]
    done = sum(e["status"] == "done" for e in evidence)
    rows = {
        "Compared": f"{fmt.listed(techniques, 8)} against {fmt.listed(against, 8)}" if against else "nothing",
        "Test set": say.data_name(plan) or "not named",
        "Runs of each technique at a seed": fmt.listed(dict.fromkeys(str(arm["runs"]) for arm in main_arms(plan))),
        "What differs between runs": say.noise_explained(plan),
        "Seeds": fmt.listed(dict.fromkeys(map(say.seed, main_arms(plan))), 16),
        "Finished": f"{done} of {len(evidence)} planned runs" if evidence else str(plan.get("source", "")),
        "Same code, data and start in all runs": _answer_on_fit(plan, evidence),
        "Same result where nothing differs (control arm)": _answer_on_control(plan, evidence),
        "Smallest effect that counts": f"{fmt.points(plan['analysis']['smallest_effect'])} points of a metric",
        "Tests that the correction covers": f"{say.family(comparisons)} of means, "
        f"{say.family(comparisons, 'family_size_variance')} of spread",
        "Plan": "declared before the first run" if plan.get("declared_before_first_run") else "not declared beforehand",
        "Deviations from the plan": _answer_on_deviations(plan),
    }
    return pd.DataFrame({"Question": list(rows), "Answer": list(rows.values())})


def _answer_on_deviations(plan: Mapping) -> str:
    known = "none recorded" if plan.get("declared_before_first_run") else "no plan to deviate from"
    return str(len(plan["deviations"])) if plan.get("deviations") else known


def _answer_on_fit(plan: Mapping, evidence: Sequence[Mapping]) -> str:
    arms = [arm["arm"] for arm in main_arms(plan)]
    checked = [run_identity.check_fit(evidence, training, arm) for training in say.trainings(plan) for arm in arms]
    found = [one.fit if one.recorded else "outside" for one in checked]
    known = {
        "proven": found.count(True),
        "equal as far as seen from outside": found.count("outside"),
        "refuted": found.count(False),
        "unknown": found.count(None),
    }
    return _shares(known, len(found), "training" if len(arms) == 1 else "pair of training and arm")


def _answer_on_control(plan: Mapping, evidence: Sequence[Mapping]) -> str:
    found = [run_identity.check_control(evidence, training).identical for training in say.trainings(plan)]
    known = {"bit-identical": found.count(True), "failed": found.count(False), "not available": found.count(None)}
    return _shares(known, len(found), "training")


def _shares(counts: Mapping[str, int], total: int, noun: str) -> str:
    plural = "pairs of training and arm" if noun.startswith("pair ") else ""
    return ", ".join(f"{what} for {n} of {fmt.count(total, noun, plural)}" for what, n in counts.items() if n)


def techniques_view(plan: Mapping) -> pd.DataFrame:
    """Every technique as planned."""
    names = {"technique": "Technique", "baseline": "Baseline", "method": "Method", "inference": "Inference"}
    names |= {"training": "Training", "uses_protected": "Uses the protected attribute"}
    rows = [{shown: str(t.get(key) or "–") for key, shown in names.items()} for t in plan["techniques"]]
    return pd.DataFrame(rows, columns=list(names.values()))


def plan_view(plan: Mapping) -> pd.DataFrame:
    """The declared analysis."""
    analysis, favourable = plan["analysis"], plan["analysis"].get("favourable")
    rows = {
        "Smallest effect": f"{fmt.points(analysis['smallest_effect'])} points",
        "α": f"{analysis['alpha']:g}",
        "Family of tests": fmt.listed(analysis.get("family") or BIAS_METRICS, 7),
        "Favourable class": "none declared" if favourable is None else say.class_name(plan, favourable),
        "Reading of the metrics": analysis["reading"],
        "Protocol of the tests": analysis["protocol"],
        "Classes": fmt.listed(plan.get("classes") or [], 20),
        "Groups": "; ".join(f"{name}: {fmt.listed(groups, 12)}" for name, groups in plan["groups"].items()),
        "Source": str(plan.get("source", "")),
    }
    return pd.DataFrame({"Declared": list(rows), "Value": list(rows.values())})


def trainings_view(plan: Mapping, evidence: Sequence[Mapping]) -> pd.DataFrame:
    """Identity of the runs, one row per training and main arm."""
    arms = [arm["arm"] for arm in main_arms(plan)]
    rows = [_training_row(t, names, arm, evidence) for t, names in say.trainings(plan).items() for arm in arms]
    return pd.DataFrame(rows)


def _training_row(training: str, names: list[str], arm: str, evidence: Sequence[Mapping]) -> dict[str, str]:
    found = run_identity.check_fit(evidence, training, arm)
    runs = run_identity.done_runs(evidence, training, arm)
    parts = len({part for run in runs for part in run["parts"]})
    different, n = run_identity.distinct_finals(evidence, training, arm)
    compared = "" if run_identity.weights_known(runs) else " (predictions)"
    return {
        "Training": training,
        "Techniques": fmt.listed(names, 8),
        "Arm": arm,
        "Runs": str(n),
        "Parts equal": f"{parts - len(found.differing)} of {parts}",
        "Parts that differ": fmt.listed(found.differing, 8),
        "Different final weights": f"{different} of {n}{compared}",
        "Control arm": _of_control(run_identity.check_control(evidence, training), runs),
    }


def _of_control(control: run_identity.Control, runs: Sequence[Mapping]) -> str:
    """Its outcome; for runs at a seed that has no control arm, at which seed there is one."""
    elsewhere = control.seeds and not {run["seed"] for run in runs} & set(control.seeds)
    text = control.text.replace(f" ({control.compared})", "")
    return f"{text}, at seed {fmt.listed(control.seeds)}" if elsewhere else text


def parts_view(plan: Mapping, evidence: Sequence[Mapping]) -> pd.DataFrame:
    """The proof, part by part: value, and in how many runs it is equal; trainings that agree share a row."""
    told: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    shared, arms = say.trainings(plan), main_arms(plan)
    for part in dict.fromkeys(part for e in evidence for part in e["parts"]):
        for training in shared:
            for arm in arms:
                runs = run_identity.done_runs(evidence, training, arm["arm"])
                if runs:
                    told.setdefault((part, *_part(runs, part)), {}).setdefault(training, []).append(arm["arm"])
    rows = [
        {"Part": part, "Training": _whose(where, len(shared), len(arms)), "Value": value, "Equal": equal}
        for (part, value, equal), where in told.items()
    ]
    return pd.DataFrame(rows, columns=["Part", "Training", "Value", "Equal"])


def _whose(where: Mapping[str, list[str]], trainings: int, arms: int) -> str:
    """Trainings, "all" of several; and their arms where a value is not that of all arms."""
    names = "all" if len(where) == trainings > 1 else fmt.listed(where, 3)
    of = list(dict.fromkeys(arm for found in where.values() for arm in found))
    return names if len(of) == arms else f"{names}, {'arm' if len(of) == 1 else 'arms'} {fmt.listed(of, 3)}"


def _part(runs: Sequence[Mapping], part: str) -> tuple[str, str]:
    odd = run_identity.differing_parts(runs).get(part, [])
    values = list(dict.fromkeys(_shortened(str(run["parts"].get(part, "not recorded"))) for run in runs))
    equal = f"differs in {fmt.listed(odd)}" if odd else f"in {len(runs)} of {len(runs)} runs"
    return fmt.listed(values, 2), equal


def _shortened(value: str) -> str:
    return f"{value[:16]}…" if re.fullmatch(r"[0-9a-f]{32,}", value) else value


# Results


def summary_view(summary: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Overall values by technique and metric, with the class whose values differ most between runs."""
    overall = pd.concat([say.overall_rows(summary), _accuracy_rows(summary)]).sort_index()
    classes = summary[summary["target"] != "overall"].dropna(subset=["maxdiff"])
    keys = ["technique", "arm", "attribute", "metric"]
    widest = classes.loc[classes.groupby(keys)["maxdiff"].idxmax()].set_index(keys) if len(classes) else classes
    return pd.DataFrame([_summary_row(row, summary, _at(widest, row, keys), plan) for _, row in overall.iterrows()])


def _accuracy_rows(summary: pd.DataFrame) -> pd.DataFrame:
    return summary[(summary["metric"] == "accuracy") & (summary["target"] == "overall") & summary["group"].isna()]


def _at(frame: pd.DataFrame, row: pd.Series, keys: list[str]) -> pd.Series | None:
    at = tuple(row[key] for key in keys)
    return frame.loc[at] if len(frame) and at in frame.index else None


def _summary_row(row: pd.Series, frame: pd.DataFrame, widest: pd.Series | None, plan: Mapping) -> dict[str, str]:
    constant = row["n"] > 1 and row["maxdiff"] == 0
    worst = (
        "–"
        if widest is None or constant
        else f"{say.class_name(plan, widest['target'])}: {fmt.points(widest['maxdiff'])}"
    )
    return {
        "Technique": f"{row['technique']}{say.place(frame, row)}",
        "Metric": row["metric"],
        "n": str(row["n"]),
        "Mean": fmt.points(row["mean"]),
        "95 % interval of the mean": f"constant in all {row['n']} runs"
        if constant
        else fmt.span(row["mean_low"], row["mean_high"]),
        "SD": "–" if constant else fmt.points(row["sd"]),
        "95 % interval of the SD": "–" if constant else fmt.span(row["sd_low"], row["sd_high"]),
        "Smallest run": fmt.points(row["min"]),
        "Largest run": fmt.points(row["max"]),
        "MaxDiff": "–" if row["n"] < 2 else fmt.points(row["maxdiff"]),
        "Class with the largest MaxDiff": worst if row["n"] > 1 else "–",
    }


def effects_view(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Differences between means, each beside its interval, with the verdict."""
    return pd.DataFrame([_effect_row(row, comparisons) for _, row in comparisons.iterrows()])


def _effect_row(row: pd.Series, frame: pd.DataFrame) -> dict[str, str]:
    return {
        "Comparison": _pair(row, frame),
        "Metric": _metric(row),
        "Baseline": fmt.points(row["mean_baseline"]),
        "Technique": fmt.points(row["mean_technique"]),
        "Difference": fmt.points(row["difference"], signed=True),
        "95 % interval": fmt.span(row["difference_low"], row["difference_high"]),
        "Verdict": row["verdict"] or "–",
        "P(reversal)": _beside(row, "reversal", fmt.probability, 2),
        "d": _beside(row, "d", lambda d: fmt.decimals(d, 1), 1),
    }


def _beside(row: pd.Series, name: str, show: Callable[[float], str], places: int) -> str:
    """An estimate with its interval in one cell: "0.31 [0.17, 0.51]"; a dash where there is none."""
    if fmt.missing(row[name]):
        return "–"
    return f"{show(row[name])} {fmt.span(row[f'{name}_low'], row[f'{name}_high'], 1, places)}"


def tests_view(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Tests of the means: each p beside its smallest attainable value, its corrected values and the power.

    Empty where nothing was tested.
    """
    if comparisons["p_mean"].isna().all():
        return pd.DataFrame()
    return pd.DataFrame([_test_row(row, comparisons) for _, row in comparisons.iterrows()])


def _test_row(row: pd.Series, frame: pd.DataFrame) -> dict[str, str]:
    return {
        "Comparison": _pair(row, frame),
        "Metric": _metric(row),
        "p": fmt.probability(row["p_mean"]),
        "Smallest attainable": fmt.probability(row["p_mean_smallest"]) if not fmt.missing(row["p_mean"]) else "–",
        "p (studentised)": _studentised(row),
        **{shown: _corrected(row, f"p_mean_{key}") for key, shown in CORRECTIONS.items()},
        "Power": fmt.power(row["power_mean"]),
        **({"Runs": row["design"]} if frame["design"].nunique() > 1 else {}),
    }


def _studentised(row: pd.Series) -> str:
    """P with its smallest attainable value in brackets."""
    p, smallest = (fmt.probability(row[f"p_mean_studentised{end}"]) for end in ("", "_smallest"))
    return p if fmt.missing(row["p_mean_studentised"]) else f"{p} ({smallest})"


def spread_view(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Differences in the spread between runs; empty where nothing was tested."""
    if comparisons["p_variance_raw"].isna().all():
        return pd.DataFrame()
    return pd.DataFrame([_spread_row(row, comparisons) for _, row in comparisons.iterrows()])


def _spread_row(row: pd.Series, frame: pd.DataFrame) -> dict[str, str]:
    return {
        "Comparison": _pair(row, frame),
        "Metric": _metric(row),
        "SD of the baseline": _sd(row["sd_baseline"]),
        "SD of the technique": _sd(row["sd_technique"]),
        "p (raw values)": fmt.probability(row["p_variance_raw"]),
        **{shown: _corrected(row, f"p_variance_raw_{key}") for key, shown in CORRECTIONS.items()},
        "Power": fmt.power(row["power_variance"]),
        "p (values / mean)": fmt.probability(row["p_variance_relative"]),
    }


def _sd(value: float) -> str:
    return "constant" if not fmt.missing(value) and value == 0 else fmt.points(value)


def _pair(row: pd.Series, frame: pd.DataFrame) -> str:
    sizes = frame[["n_baseline", "n_technique"]].stack().nunique()
    n = f", n = {row['n_technique']} v {row['n_baseline']}" if sizes > 1 else ""
    return f"{row['technique']} v {row['baseline']}{say.place(frame, row)}{n}"


def _metric(row: pd.Series) -> str:
    return f"{row['metric']} (∝ {row['redundant_with']})" if row["redundant_with"] else str(row["metric"])


def _corrected(row: pd.Series, column: str) -> str:
    return "–" if fmt.missing(row[column]) else fmt.probability(row[column])


def risk_view(risk: pd.DataFrame, plan: Mapping, most: int = 60) -> pd.DataFrame:
    """Impact ratio against 0.8 by technique and class; of more than `most` rows, those below 0.8 in most runs."""
    below = risk[risk["violated"] > 0].sort_values(["violated", "ratio_mean"], ascending=[False, True], kind="stable")
    shown = risk if len(risk) <= most else below.head(most).sort_index()
    return pd.DataFrame([_risk_row(row, risk, plan) for _, row in shown.iterrows()])


def _risk_row(row: pd.Series, frame: pd.DataFrame, plan: Mapping) -> dict[str, str]:
    worst = fmt.span(row["p_violated_low_bonferroni"], row["p_violated_high_bonferroni"], 1)
    return {
        "Technique": f"{row['technique']}{say.place(frame, row)}",
        "Class": say.class_name(plan, row["target"]),
        "Rule": row["rule"].replace("four-fifths", "four fifths"),
        "Runs below": f"{row['violated']} of {row['n']}",
        "Turned by one": f"{row['flips']} of {row['n']}",
        "P(below)": _beside(row, "p_violated", fmt.probability, 2),
        "for the worst pair": worst if row["n"] else "–",
        "P(two runs disagree)": _beside(row, "p_disagree", fmt.probability, 2),
        "Mean ratio": fmt.decimals(row["ratio_mean"]) if row["n"] else "undefined",
        "lowest to highest": " to ".join(fmt.decimals(row[f"ratio_{end}"]) for end in ("min", "max") if row["n"])
        or "–",
    }


def groups_view(risk: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Lowest and highest group of the favourable class by technique, and in how many runs they differ."""
    rows = risk[(risk["rule"] == "four-fifths") & (risk["lowest_group"] != "")]
    return pd.DataFrame([_groups_row(row, rows, plan) for _, row in rows.iterrows()])


def _groups_row(row: pd.Series, frame: pd.DataFrame, plan: Mapping) -> dict[str, str]:
    tests = {"p < .05": row["significant"], "Beyond 2 SD": row["beyond_two_sd"]}
    return {
        "Technique": f"{row['technique']}{say.place(frame, row)}",
        "Class": say.class_name(plan, row["target"]),
        "Lowest group": f"{row['lowest_group']} (n = {row['size_lowest']})",
        "its rate, %": fmt.points(row["rate_lowest"]),
        "Highest group": f"{row['highest_group']} (n = {row['size_highest']})",
        "its rate, % ": fmt.points(row["rate_highest"]),
        **{
            name: "no test" if fmt.missing(k) else f"{k} of {row['n'] + row['n_undefined']}"
            for name, k in tests.items()
        },
        "Test": row["test"].split(";")[0] or "–",
    }


# Runs and metrics


def runs_view(runs: pd.DataFrame) -> pd.DataFrame:
    """Every planned run: state, overall values, and the first digits of what identifies it."""
    return pd.DataFrame([_run_row(row, runs) for _, row in runs.iterrows()])


def _run_row(row: pd.Series, frame: pd.DataFrame) -> dict[str, str]:
    digests = {"initial_weights": "Initial weights", "final_weights": "Final weights", "predictions": "Predictions"}
    return {
        "Technique": f"{row['technique']}{say.place(frame, row)}",
        "Run": f"run-{int(row['run']):02d}",
        "State": row["status"],
        "FIT": row["fit"],
        **{m: "–" if fmt.missing(row[m]) else fmt.points(row[m]) for m in ("accuracy", *BIAS_METRICS)},
        **{shown: row[key][:8] or "–" for key, shown in digests.items()},
    }


def run_links(runs: pd.DataFrame, evidence: Sequence[Mapping]) -> list[str]:
    """For each row of the table of runs, the address of its executed notebook ("" where there is none)."""
    known = {(e["training"], e["arm"], e["run"]): str(e.get("link") or "") for e in evidence if e["status"] == "done"}
    return [known.get((row.training, row.arm, row.run), "") for row in runs.itertuples()]


def metrics_view() -> pd.DataFrame:
    """The bias metrics in words."""
    rows = [
        {"Metric": m, "Name": say.METRIC_NAMES[m], "What it is, for one class": say.METRIC_MEANINGS[m]}
        for m in BIAS_METRICS
    ]
    return pd.DataFrame(rows)
