"""Section "Over seeds": what may be said of new seeds, and how much of the spread the seed makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from fitlib import formatting as fmt
from fitlib.report import table_files
from fitlib.report import vocabulary as words
from fitlib.report.figures.over_seeds import alt_seeds, seeds_figure
from fitlib.report.notebook_display import Page, show_text
from fitlib.report.reader_tables import ReaderTable, metric_cell, p_cell, verdict_cell
from fitlib.report.sentences import verdicts as verdict_sentences
from fitlib.statistics import nested_design
from fitlib.statistics.verdict_names import FAIRER, LESS_FAIR, RUNS, TOO_FEW
from fitlib.tables.metric_series import main_arms

OPPOSITE = (FAIRER, LESS_FAIR)
HOW = (
    f"Declare at least {nested_design.SEEDS} seeds with at least {nested_design.RUNS} runs each, as in "
    f"seeds: {list(range(nested_design.SEEDS))}; finished runs are kept."
)
RANDOM_STATES = (
    "There is no seed to tell apart from the runs: each run has a random_state of its own, and the verdicts are over "
    "random states."
)
ELSEWHERE = (
    f"That takes an experiment with at least {nested_design.SEEDS} declared seeds and "
    f"{nested_design.RUNS} runs at each."
)


def show(page: Page, frames: Mapping[str, pd.DataFrame], plan: Mapping, evidence: Sequence[Mapping]) -> None:
    """Display the section; with one seed, the sentence on how to get a verdict over seeds."""
    table, seeds = frames["over_seeds"], frames["by_seed"]
    show_text(verdict_sentence(table, plan))
    if table.empty:
        return
    for attribute in plan["groups"]:
        rows, points = table[table["attribute"] == attribute], seeds[seeds["attribute"] == attribute]
        if words.distinct(rows)["difference"].notna().any():
            figure = seeds_figure(rows, points, plan)
            page.figure("over-seeds", attribute, figure, alt_seeds(rows, points), caption_figure(plan, rows))
    page.show(OVER_SEEDS, table)
    show_text(sentences(table, frames["comparisons"], plan))
    page.show(COMPONENTS, table)
    show_text(share_sentences(table))


# Sentences


def verdict_sentence(over_seeds: pd.DataFrame, plan: Mapping) -> str:
    """Return the outcome over seeds with its scope, qualified unless the design allows an unqualified verdict."""
    if over_seeds.empty:
        return _no_verdict(plan)
    rows = words.deciding(over_seeds)
    if rows.empty:
        return "Over seeds nothing was compared: no comparison of the declared family is estimable."
    texts = [_scoped(scope, group, over_seeds) for scope, group in rows.groupby("scope", sort=False)]
    held = [verdict_sentences.together(rows, plan)] if rows["verdict"].isin(words.JUDGED).any() else []
    return " ".join(text for text in [*texts, *held, *verdict_sentences.verdict_warnings(over_seeds)] if text)


def _no_verdict(plan: Mapping) -> str:
    arms = main_arms(plan)
    if len(arms) > 1:
        return "No verdict over seeds is possible: nothing stands against a baseline."
    if arms and arms[0]["noise"] == words.RANDOM_STATE:
        return RANDOM_STATES
    known = words.seed(arms[0]) if arms else "not recorded"
    if known == "not recorded":
        return f"The seeds of these runs are not recorded, so no verdict over seeds is possible. {ELSEWHERE}"
    return f"Only seed {known} was tried, so no verdict over seeds is possible. {HOW}"


def _scoped(scope: str, rows: pd.DataFrame, frame: pd.DataFrame) -> str:
    """Return one sentence for all comparisons of one scope."""
    pairs = [group for _, group in rows.groupby(["technique", "noise"], sort=False)]
    outcomes = [_outcome(group, frame) for group in pairs] if len(pairs) <= 4 else list(_grouped(pairs))
    return f"{scope[0].upper()}{scope[1:]}: {'; '.join(outcomes)}."


def _outcome(rows: pd.DataFrame, frame: pd.DataFrame) -> str:
    """Return "S-DI2 is fairer than S-Base on 4 of 5 distinct metrics, open on 1"."""
    counts = {name: int((rows["verdict"] == name).sum()) for name in words.JUDGED}
    found = verdict_sentences.most_frequent_first(counts)
    row = rows.iloc[0]
    who = f"{row['technique']}{_noise_suffix(frame, row)}"
    if not found:
        return f"no verdict on {who} against {row['baseline']}: {_reason(rows)}"
    (first, n), rest = found[0], found[1:]
    lead = f"{who} {verdict_sentences.LEADS[first].format(row['baseline'])}"
    if len(rows) == 1:
        return f"{lead} on {row['metric']}{verdict_sentences.difference_and_interval(row)}"
    nouns = ("distinct metric", "")
    if frame["attribute"].nunique() > 1:
        nouns = ("pair of distinct metric and attribute", "pairs of distinct metric and attribute")
    head = f"{lead} on {n} of {fmt.count(len(rows), *nouns)}"
    further = (f"{verdict_sentences.FURTHER.get(name, name)} on {k}" for name, k in rest)
    return ", ".join([head, *further, *_without(len(rows) - sum(counts.values()))])


def _without(n: int) -> Iterator[str]:
    if n:
        yield f"without verdict on {n}"


def _reason(rows: pd.DataFrame) -> str:
    if (rows["verdict"] == TOO_FEW).all():
        return f"fewer than {RUNS} seeds show too little of their spread"
    notes = [note for note in rows["note"] if note]
    texts = notes[0].removeprefix("not estimable: ").split("; ") if notes else ["not estimable"]
    return "; ".join([part for part in texts if not part.endswith(": kept")] or texts)


def _grouped(pairs: Sequence[pd.DataFrame]) -> Iterator[str]:
    """Yield many techniques in a few groups, the largest first, each with its first names."""
    groups: dict[str, list[str]] = {}
    for rows in pairs:
        found = set(rows["verdict"]) & set(words.JUDGED)
        kind = "without verdict" if not found else "neither fairer nor less fair on any"
        if "fairer" in found:
            kind = f"fairer than the baseline on some metric, less fair on {'some' if 'less fair' in found else 'none'}"
        elif "less fair" in found:
            kind = "less fair on some metric, fairer on none"
        groups.setdefault(kind, []).append(rows.iloc[0]["technique"])
    for kind, names in sorted(groups.items(), key=lambda group: -len(group[1])):
        verb = "is" if len(names) == 1 else "are"
        yield f"{len(names)} of {fmt.count(len(pairs), 'technique')} {verb} {kind} ({fmt.join_items(names)})"


def sentences(over_seeds: pd.DataFrame, comparisons: pd.DataFrame, plan: Mapping) -> list[str]:
    """Return what one seed would have shown, the power of what is not significant, and seeds left out or kept."""
    texts = [_one_seed(over_seeds, comparisons), _power(over_seeds, plan), _left_out(over_seeds), _kept(over_seeds)]
    return [text for text in texts if text]


def _one_seed(over_seeds: pd.DataFrame, comparisons: pd.DataFrame) -> str:
    """Return how often a verdict at one seed differs from that over seeds."""
    keys = ["technique", "attribute", "metric"]
    single, judged = comparisons[comparisons["verdict"].isin(words.JUDGED)], words.judged(over_seeds)
    if judged["noise"].nunique() != 1 or single.empty:
        return ""
    both = single.merge(judged[[*keys, "verdict"]], on=keys, suffixes=("", "_over"))
    other = both[both["verdict"] != both["verdict_over"]]
    opposite = other[other["verdict"].isin(OPPOSITE) & other["verdict_over"].isin(OPPOSITE)]
    against = f", {len(opposite)} of them the opposite" if len(opposite) else ""
    return (
        f"Of {fmt.count(len(both), 'verdict')} at one seed (distinct metrics, each seed alone), {len(other)} "
        f"{'is' if len(other) == 1 else 'are'} not the verdict over seeds{against}."
        if len(both)
        else ""
    )


def _power(over_seeds: pd.DataFrame, plan: Mapping) -> str:
    rows = words.judged(over_seeds)
    rows = rows[(rows["p_holm"] > rows["alpha"]) & rows["power"].notna()]
    if rows.empty:
        return ""
    effect = words.smallest_effect_text(plan).removeprefix("±")
    return (
        f"Not significant is not equal: where the corrected p exceeds α ({fmt.count(len(rows), 'test')}), the test "
        f"over seeds had power {fmt.value_range(rows['power'], fmt.power)} for a true difference of {effect}."
    )


def _left_out(over_seeds: pd.DataFrame) -> str:
    found = _noted(over_seeds, ": left out")
    return f"Left out of the verdicts over seeds: {fmt.join_items(found, 8)}." if found else ""


def _kept(over_seeds: pd.DataFrame) -> str:
    found = _noted(over_seeds, ": kept")
    why = "over seeds, a seed's mean counts even where its runs do not differ"
    return f"Kept in the verdicts over seeds: {fmt.join_items(found, 8)}; {why}." if found else ""


def _noted(over_seeds: pd.DataFrame, ending: str) -> list[str]:
    parts = [part for note in over_seeds["note"] for part in note.split("; ") if part.endswith(ending)]
    return list(dict.fromkeys(part.removesuffix(ending) for part in parts))


def share_sentences(over_seeds: pd.DataFrame) -> list[str]:
    """Return how much of the variance is due to the seed, where the design can estimate it."""
    shares = components(over_seeds).dropna(subset=["share"])
    if shares.empty:
        few = over_seeds["note"].str.contains(nested_design.FEW_FOR_SHARES, regex=False).any()
        needed = f"at least {nested_design.SEEDS} seeds with {nested_design.SHARE_RUNS} runs each"
        return [f"How much of the variance the seed makes up takes {needed}: it is not estimated here."] if few else []
    clear = int((shares["low"] > 0).sum())
    return [
        f"The seed makes up {fmt.value_range(100 * shares['share'].clip(lower=0), _percent)} of the variance; in "
        f"{clear} of {fmt.count(len(shares), 'case')} the 95 % interval excludes 0. "
        "The rest remains where the seed is fixed. (Of runs with heavy tails these intervals cover 78 to 85 % only.)"
    ]


def _percent(value: float) -> str:
    return f"{value:.0f} %"


# Tables for readers


def over_seeds_view(over_seeds: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Return the differences over seeds with interval, verdict, p-values and power."""
    return pd.DataFrame([_over_row(row, over_seeds) for _, row in over_seeds.iterrows()])


def _over_row(row: pd.Series, frame: pd.DataFrame) -> dict[str, str]:
    ranks = fmt.probability(row["p_signed_rank"])
    if not fmt.is_missing(row["p_signed_rank"]):
        ranks += f" ({fmt.probability(row['p_signed_rank_smallest'])})"
    return {
        "Comparison": f"{row['technique']} v {row['baseline']}{_noise_and_attribute_suffix(frame, row)}",
        "Metric": metric_cell(row),
        "Difference": fmt.points(row["difference"], signed=True),
        "95 % interval": fmt.span(row["low"], row["high"]),
        "Holding together": fmt.span(row["simultaneous_low"], row["simultaneous_high"]) if row["verdict"] else "–",
        "Verdict": verdict_cell(row),
        "p": fmt.probability(row["p"]),
        "Holm": p_cell(row, "p_holm"),
        "p of ranks (smallest)": ranks,
    }


def components_view(over_seeds: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Return the SD between seeds and between runs of a seed, by technique; shares where some are estimable."""
    rows = components(over_seeds).dropna(subset=["sd_run"])
    view = pd.DataFrame([_component_row(row, over_seeds) for _, row in rows.iterrows()])
    return (
        view if rows["share"].notna().any() else view.drop(columns=["Seed's share", "95 % interval"], errors="ignore")
    )


def _component_row(row: pd.Series, frame: pd.DataFrame) -> dict[str, str]:
    return {
        "Technique": f"{row['technique']}{_noise_and_attribute_suffix(frame, row)}",
        "Metric": row["metric"],
        "SD between seeds": "≤ 0" if row["sd_seed"] == 0 else fmt.points(row["sd_seed"]),
        "SD between runs of a seed": "constant" if row["sd_run"] == 0 else fmt.points(row["sd_run"]),
        "Seed's share": "–" if fmt.is_missing(row["share"]) else _share(row["share"]),
        "95 % interval": "–" if fmt.is_missing(row["low"]) else f"[{_share(row['low'])}, {_share(row['high'])}]",
    }


def _share(value: float) -> str:
    return "≤ 0" if value <= 0 else fmt.decimals(value)


def components(over_seeds: pd.DataFrame) -> pd.DataFrame:
    """Return the variance components in long form: a row per technique, noise, attribute and distinct metric.

    Columns technique, noise, attribute, metric, sd_seed, sd_run, share, low, high. A baseline of several techniques
    is taken from its first comparison.
    """
    parts = []
    for role in ("baseline", "technique"):
        names = {role: "technique", f"sd_seed_{role}": "sd_seed", f"sd_run_{role}": "sd_run"}
        names |= {
            f"share_seed_{role}{end}": short for end, short in (("", "share"), ("_low", "low"), ("_high", "high"))
        }
        chosen = over_seeds.loc[over_seeds["redundant_with"] == "", [*names, "noise", "attribute", "metric"]]
        parts.append(chosen.rename(columns=names))
    return pd.concat(parts, ignore_index=True).drop_duplicates(["technique", "noise", "attribute", "metric"])


def _noise_and_attribute_suffix(frame: pd.DataFrame, row: Mapping) -> str:
    """Return noise and protected attribute of a row, where there are several of them."""
    parts = [f"noise {row['noise']}"] if frame["noise"].nunique() > 1 else []
    parts += [f"by {row['attribute']}"] if frame["attribute"].nunique() > 1 else []
    return f" ({', '.join(parts)})" if parts else ""


def _noise_suffix(frame: pd.DataFrame, row: Mapping) -> str:
    return f" (noise {row['noise']})" if frame["noise"].nunique() > 1 else ""


# Captions


def caption(plan: Mapping, over_seeds: pd.DataFrame, extra: str) -> str:
    """Return the line under a table or figure over seeds: seeds and runs, what varied, what was fixed, and `extra`."""
    seeds, runs = (_range(over_seeds[name]) for name in ("n_seeds", "n_runs"))
    varied = fmt.join_items(dict.fromkeys(map(words.varied, main_arms(plan))))
    data = words.data_name(plan)
    fixed = f"{words.trained_on(plan)}, test set{f' of {data}' if data else ''}"
    return (
        f"n = {seeds} seeds × {runs} runs of each technique. Varied: seed (a random factor) and {varied}. "
        f"Fixed: {fixed}{words.epoch(plan)}. {extra}"
    )


def _range(numbers: pd.Series) -> str:
    low, high = int(numbers.min()), int(numbers.max())
    return str(low) if low == high else f"{low} to {high}"


def _qualified(over_seeds: pd.DataFrame) -> str:
    said = [text for text in dict.fromkeys(over_seeds["qualification"]) if text]
    return f" Every verdict is qualified: {fmt.join_items(said)}." if said else ""


def caption_over(plan: Mapping, over_seeds: pd.DataFrame) -> str:
    """Caption the table of differences over seeds."""
    return caption(
        plan,
        over_seeds,
        "In points. Difference = technique − baseline, mean of the seeds' differences, with Student's 95 % interval "
        "paired by seed. Verdict: from the interval that holds together with all others, against a smallest effect of "
        f"{words.smallest_effect_text(plan)} (alone: the unadjusted verdict, where it is another). p: paired t over "
        f"seeds (it has no smallest attainable value), corrected by Holm over {words.family(over_seeds)} tests (BH, BY "
        "in the file); of ranks: exact signed ranks, in brackets the smallest attainable. ∝: proportional to another "
        f"metric, counted once.{_qualified(over_seeds)}",
    )


def caption_components(plan: Mapping, over_seeds: pd.DataFrame) -> str:
    """Caption the table of components."""
    return caption(
        plan,
        over_seeds,
        "SDs in points: one-way random effects, runs nested in seeds; ≤ 0: the seed's variance cannot be told from 0. "
        f"The seed's share of the variance, with its exact F interval, takes {nested_design.SEEDS} seeds × "
        f"{nested_design.SHARE_RUNS} runs. Distinct metrics. No test is made here.",
    )


OVER_SEEDS = ReaderTable("Over seeds", caption_over, over_seeds_view, table_files.OVER_SEEDS)
COMPONENTS = ReaderTable("Seed and run", caption_components, components_view, table_files.OVER_SEEDS)


def caption_figure(plan: Mapping, over_seeds: pd.DataFrame) -> str:
    """Caption the figure."""
    band = words.smallest_effect_text(plan)
    return caption(
        plan,
        over_seeds,
        "Each grey dot is one seed (from the top in declared order): difference of means at that seed, ± one "
        "standard error from its runs. Below them, large marker and thick line: mean over seeds with its 95 % "
        "interval (thin line: the interval that holds together with all others); marker by verdict. Band: the smallest "
        f"effect, {band}. No test is shown.{_qualified(over_seeds)}",
    )
