"""Sentences on how the results came about: the plan and its deviations, what varied, and the proof of identity.

Pure functions of plan and evidence; plain text out (no markup; whoever shows it escapes it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fitlib.formatting import count, is_missing, join_items
from fitlib.report.vocabulary import VARIED, seed, seeded_by_run, trainings, varied
from fitlib.statistics import nested_design, run_identity
from fitlib.tables.metric_series import main_arms, noise_name

USES = {
    "no": "the protected attribute is not used",
    "training": "the protected attribute is used in training, not at prediction",
    "prediction": "the protected attribute is needed at prediction",
}
WEIGHTS = "final weights"
NO_EVIDENCE = "No evidence was recorded on how these runs were trained: whether they were identical is unknown."


# The plan


def what_varied(plan: Mapping) -> str:
    """Return runs, noise and seeds of the main arms in one sentence; arms differing only in the seed share an entry."""
    arms = _by_noise(plan)
    texts = [f"{_runs_and_seeds(same)}, {_noise(same[0])}" for same in arms.values()]
    named = [f"{name}: {text}" for name, text in zip(arms, texts, strict=True)] if len(arms) > 1 else texts
    unknown = all(arm["kind"] == "unknown" for arm in main_arms(plan))  # their plan knows the most runs only
    return f"{'For each technique at most' if unknown else 'Planned for each technique:'} {'; '.join(named)}."


def _noise(arm: Mapping) -> str:
    return f"varied: {varied(arm)}" if arm["kind"] == VARIED else varied(arm)


def _by_noise(plan: Mapping) -> dict[str, list[Mapping]]:
    """Return the main arms by their noise and its options."""
    arms: dict[str, list[Mapping]] = {}
    for arm in main_arms(plan):
        arms.setdefault(noise_name(arm), []).append(arm)
    return arms


def _runs_and_seeds(arms: Sequence[Mapping]) -> str:
    runs, seeds = count(arms[0]["runs"], "run"), join_items(map(seed, arms), 16)
    if seeded_by_run(arms[0]):
        return f"{runs}, each with a seed of its own"
    return f"{runs} at each of the {len(arms)} seeds {seeds}" if len(arms) > 1 else f"{runs}, seed {seeds}"


def limit(plan: Mapping) -> str:
    """Return what bounds every conclusion: the seed, and how the noise was made."""
    arms = main_arms(plan)
    if any(arm["kind"] == "unknown" for arm in arms):
        text = "How these predictions were made is not recorded: whether their runs were identical is unknown"
        if all(is_missing(arm["seed"]) for arm in arms):
            return f"{text}. A technique cannot be told from its luck with a seed."
        return f"{text}. {_limit_of_seeds(arms)}."
    if any(arm["kind"] == "comparison" for arm in arms):
        return "Each run has a seed of its own: these are no FIT runs, and no technique is compared on them."
    if any(map(seeded_by_run, arms)):
        known = plan.get("source") == "fitlib"
        rows = (
            "these training rows and this test set" if known else "this test set. No more is recorded of the training"
        )
        return f"Each run has a random state of its own: verdicts hold over random states, for {rows}."
    text = _limit_of_seeds(max(_by_noise(plan).values(), key=len))
    emulated = [arm["arm"] for arm in arms if arm["kind"] == "emulated"]
    if emulated:
        whose = "" if len(emulated) == len(arms) else f" of {join_items(emulated)}"
        text += f"; the noise{whose} was emulated, so nothing is claimed about a given GPU"
    return f"{text}."


def _limit_of_seeds(arms: Sequence[Mapping]) -> str:
    """Return what the seeds that were tried allow; `arms` differ in their seed only."""
    runs = min(arm["runs"] for arm in arms)
    if len(arms) == 1:
        return f"Only seed {seed(arms[0])} was tried: a technique cannot be told from its luck with that seed"
    if nested_design.qualification(len(arms), runs):
        planned = f"{count(runs, 'run')} at each of {len(arms)} seeds"
        needed = f"at least {nested_design.SEEDS} seeds with at least {nested_design.RUNS} runs each"
        return f"The plan has only {planned}: too few for an unqualified verdict over seeds, which takes {needed}"
    return (
        f"Verdicts over seeds rest on {len(arms)} seeds, each a random draw, and hold on this test set; a verdict at "
        "one seed says nothing beyond that seed"
    )


def deviations(plan: Mapping) -> list[str]:
    """Return a sentence on when the plan was fixed, then every deviation from it."""
    texts = [str(text) for text in plan.get("deviations") or []]
    if not plan.get("declared_before_first_run"):
        return ["The plan was not declared before the first run: its choices may follow what was seen.", *texts]
    first = f"The plan was declared before the first run (SHA-256 {str(plan.get('declared_hash') or '')[:16]}…)."
    return [first, *(texts or ["No deviation from it is recorded."])]


def notes(plan: Mapping) -> list[str]:
    """Return the notes on the data: rows left out, values mapped or filled, columns left out, what was guessed."""
    texts = [str(text).rstrip(".") for text in plan.get("notes") or []]
    return [f"Data: {'; '.join(texts)}."] if texts else []


def protected_use(plan: Mapping) -> list[str]:
    """Return who uses the protected attribute, and when; use at prediction may be disparate treatment."""
    used = {when: [t["technique"] for t in plan["techniques"] if t.get("uses_protected") == when] for when in USES}
    texts = [f"{join_items(names, 8)}: {USES[when]}." for when, names in used.items() if names]
    unknown = [t["technique"] for t in plan["techniques"] if t.get("uses_protected") not in USES]
    texts += [f"{join_items(unknown, 8)}: use of the protected attribute is not recorded."] if unknown else []
    if used["prediction"]:
        texts.append("Treating people differently by group at prediction may be disparate treatment: check before use.")
    return texts


# Evidence


def identities(plan: Mapping, evidence: Sequence[Mapping]) -> list[str]:
    """Return, for each training and main arm, whether its runs were identical but for the noise, and their results."""
    if not evidence:
        return [NO_EVIDENCE]
    found: dict[str, dict[str, list[str]]] = {}
    arms = [arm["arm"] for arm in main_arms(plan)]
    for training, names in trainings(plan).items():
        shared = f"{join_items(names, 8)}{' (one training)' if len(names) > 1 else ''}"
        for arm in arms:
            found.setdefault(_identity(training, arm, evidence), {}).setdefault(shared, []).append(arm)
    named = {text: [name + _in_arms(where, arms) for name, where in names.items()] for text, names in found.items()}
    return [f"{_joined(names)}: {text}." for text, names in named.items()]


def _joined(names: Sequence[str]) -> str:
    """List names; by semicolons where one of them is a list itself: "S-Base; S-DI1 and S-DI2 (one training)"."""
    return "; ".join(names) if any(" and " in name for name in names) else join_items(names, 30)


def _in_arms(where: Sequence[str], arms: Sequence[str]) -> str:
    """Name those of all `arms` that are meant; nothing where there is but one."""
    if len(where) == len(arms):
        return f" in each of {len(arms)} arms" if len(arms) > 1 else ""
    return f" in {'arms' if len(where) > 1 else 'arm'} {join_items(where, 8)}"


def _identity(training: str, arm: str, evidence: Sequence[Mapping]) -> str:
    found = run_identity.check_fit(evidence, training, arm)
    if found.fit is False:
        return f"{found.text}; these {found.n} runs are not compared"
    if not found.fit or found.n == 1:
        return found.text if found.fit is None else "1 run, so there is nothing to compare"
    finals = _finals(*run_identity.distinct_finals(evidence, training, arm), _compared(evidence, training, arm))
    known = _starts_known(evidence, training, arm)
    started = f"the {found.n} runs started from identical weights and data ({found.text})" if known else found.text
    return f"{started}; {finals}"


def _starts_known(evidence: Sequence[Mapping], training: str, arm: str) -> bool:
    runs: Sequence[Mapping[str, Any]] = run_identity.finished_runs(evidence, training, arm)
    return all(run["parts"].get(part) for run in runs for part in ("initial weights", "first batch"))


def _compared(evidence: Sequence[Mapping], training: str, arm: str) -> str:
    """Return what is compared between runs: weights, or predictions where no weights were recorded."""
    known = run_identity.has_final_weights(run_identity.finished_runs(evidence, training, arm))
    return WEIGHTS if known else "predictions"


def _finals(different: int, n: int, what: str) -> str:
    """Return how many results differ; equal weights do not show that nothing else differed."""
    if different == 1:
        changed = "no final weight" if what == WEIGHTS else "no prediction"
        return f"the {what} of all {n} runs are bit-identical (SHA-256), so the noise changed {changed}"
    if different == n:
        return f"{n} of {n} {what} differ (SHA-256)"
    return f"only {different} different {what} (SHA-256) among {n} runs, so the effective n is {different}"


def controls(plan: Mapping, evidence: Sequence[Mapping]) -> list[str]:
    """Return the outcome of every training's control arm, with what was compared; equal outcomes share a sentence."""
    techniques_of: dict[str, list[str]] = {}
    for training, names in trainings(plan).items() if evidence else ():
        found = run_identity.check_control(evidence, training)
        techniques_of.setdefault(f"{_only_at(found, plan)}: {found.text}", []).extend(names)
    return [f"Control arm of {join_items(names, 30)}{text}." for text, names in techniques_of.items()]


def _only_at(control: run_identity.Control, plan: Mapping) -> str:
    """Return the seeds of a control arm, where other seeds have none."""
    seeds = {arm["seed"] for arm in main_arms(plan)}
    return f" (at seed {join_items(control.seeds)} only)" if control.seeds and seeds - set(control.seeds) else ""


def missing_runs(evidence: Sequence[Mapping], most: int = 12) -> list[str]:
    """Return every planned run that failed or is missing, and why (last line of its traceback)."""
    gone = [e for e in evidence if e["status"] != "done"]
    if not gone:
        return [f"All {count(len(evidence), 'planned run')} finished."] if evidence else []
    texts = [f"{e['training']}, arm {e['arm']}, run-{int(e['run']):02d} {_why(e)}." for e in gone[:most]]
    texts += [f"And {len(gone) - most} more (table of runs)."] if len(gone) > most else []
    if len(gone) == len(evidence):
        return [f"Of {count(len(evidence), 'planned run')} none finished.", *texts]
    return [f"{len(gone)} of {len(evidence)} planned runs did not finish; the results rest on the others.", *texts]


def _why(entry: Mapping) -> str:
    lines = str(entry.get("error") or "").strip().splitlines()
    error = " ".join(lines[-1].split()).rstrip(".") if lines else ""
    return f"{entry['status']}: {error}" if error else str(entry["status"])
