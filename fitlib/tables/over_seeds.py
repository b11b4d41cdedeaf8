"""The tables "over_seeds" and "by_seed": techniques against their baselines over seeds.

Pandas frames in, pandas frames out; see `fitlib.tables.runs_and_summary` for plan and evidence. The design is nested:
runs within seeds, both techniques at the same seeds, the seed a random factor (`fitlib.statistics.nested_design`).
Empty for an experiment of one seed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from fitlib.metrics.smallest_effects import smallest_effect
from fitlib.statistics import estimates as st
from fitlib.statistics import nested_design, verdict_names
from fitlib.statistics import significance as sig
from fitlib.statistics.power import power_paired
from fitlib.statistics.simultaneous import Comparison
from fitlib.tables.comparisons import Pair, declared_metrics, not_common, pairs_of
from fitlib.tables.fit_findings import CheckFit
from fitlib.tables.metric_series import metrics_of, noise_name
from fitlib.tables.schemas import BY_SEED, OVER_SEEDS, Json, integer_column, join_notes, table_of
from fitlib.tables.verdict_families import Families, repeated_metrics, simultaneous_interval

EVERYWHERE_IDENTICAL = st.NOT_ESTIMABLE + "bit-identical runs at every seed enter no test"
CORRECTIONS = {"p_holm": sig.holm, "p_bh": sig.benjamini_hochberg, "p_by": sig.benjamini_yekutieli}
# Columns that a redundant metric takes from the metric that it repeats.
SHARED_WITH_REPEATED = ("p", *CORRECTIONS, "p_signed_rank", "p_signed_rank_smallest")


def over_seeds_table(
    metrics: pd.DataFrame,
    plan: Json,
    evidence: Sequence[Json] = (),
    check_fit: CheckFit | None = None,
    pairs: Sequence[Pair] | None = None,
) -> pd.DataFrame:
    """Compare each technique with its baseline over seeds, per noise, attribute and metric.

    difference = technique - baseline. Overall values are means over the classes that are defined in every run of both
    techniques at all seeds. Seeds at which a technique has no runs, or runs that are not FIT, are left out and named in
    the note. Bit-identical runs enter no test at their seed, but the seed's mean is a draw like any other over seeds,
    and leaving it out would select seeds by their outcome; there is no test only where the runs of every seed are
    bit-identical. Corrected together: all comparisons x distinct metrics. ``n_runs``: the fewest runs of either
    technique at a seed. ``pairs``: those of `pairs_of`, where they are made already.
    """
    compared, analysis = _comparisons(pairs or pairs_of(metrics, plan, evidence, check_fit)), plan["analysis"]
    repeated = _redundant(compared, analysis)
    distinct = [metric for metric in declared_metrics(analysis) if metric not in repeated]
    families = Families(lambda metric: _intervals(compared, metric), distinct, repeated, analysis)
    table = table_of([_row(one, plan, families) for one in compared], OVER_SEEDS)
    _correct(table, repeated, plan)
    return table_of(table, OVER_SEEDS)


def by_seed_table(
    metrics: pd.DataFrame,
    plan: Json,
    evidence: Sequence[Json] = (),
    check_fit: CheckFit | None = None,
    pairs: Sequence[Pair] | None = None,
) -> pd.DataFrame:
    """Return the seeds behind each row of "over_seeds": both means, their difference and its standard error.

    ``used`` is "no" for a seed that is left out, with the reason in ``note``. ``pairs``: those of `pairs_of`, where
    they are made already.
    """
    compared = _comparisons(pairs or pairs_of(metrics, plan, evidence, check_fit))
    return table_of([row for one in compared for row in _seed_rows(one, plan)], BY_SEED)


# Comparisons over seeds


@dataclass(frozen=True)
class _Comparison:
    """A technique and its baseline on one metric at all seeds of one noise; one pair per seed, in plan order."""

    pairs: tuple[Pair, ...]

    @property
    def metric(self) -> str:
        return self.pairs[0].metric

    @property
    def single(self) -> bool:
        return any(pair.single for pair in self.pairs)

    @cached_property
    def used(self) -> list[Pair]:
        """The pairs that are compared: all that are not in `left_out`."""
        return [pair for pair in self.pairs if not _why_left_out(pair)]

    @cached_property
    def left_out(self) -> dict[str, list[int]]:
        """The seeds left out, by reason."""
        left_out: dict[str, list[int]] = {}
        for pair in self.pairs:
            why = _why_left_out(pair)
            if why:
                left_out.setdefault(why, []).append(pair.arm["seed"])
        return left_out

    @cached_property
    def identical(self) -> list[int]:
        """Seeds that are used although the runs of a technique are bit-identical there."""
        return [pair.arm["seed"] for pair in self.used if pair.bit_identical]

    @cached_property
    def common(self) -> np.ndarray:
        """Whether a class is defined in every run of both at every seed used, bool (classes,)."""
        masks = [pair.common for pair in self.used]
        return np.logical_and.reduce(masks) if masks else np.zeros(0, dtype=bool)

    def at(self, pair: Pair) -> tuple[np.ndarray, np.ndarray]:
        """Return the overall values of baseline and technique at one seed, (runs,) each."""
        if self.metric == "accuracy":
            return pair.b.overall, pair.t.overall
        return pair.b.mean_over(self.common), pair.t.mean_over(self.common)

    @cached_property
    def samples(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Values of baseline and technique, one array of runs per seed; empty where no class is common."""
        if not self.used or (self.metric != "accuracy" and not self.common.any()):
            return [], []
        both = [self.at(pair) for pair in self.used]
        return [b for b, _ in both], [t for _, t in both]

    @property
    def tested(self) -> bool:
        """Whether there are two seeds or more, not all of them with bit-identical runs."""
        seeds = len(self.samples[0])
        return seeds > 1 and len(self.identical) < seeds

    def resampled(self) -> Comparison:
        """Return the seeds' differences with what identifies the seeds, for `fitlib.statistics.simultaneous`."""
        seeds = (noise_name(self.pairs[0].arm), tuple(pair.arm["seed"] for pair in self.used))
        return [(seeds, st.run_differences(*map(nested_design.seed_means, self.samples)))]

    @cached_property
    def n_runs(self) -> int:
        return min((min(pair.b.runs.size, pair.t.runs.size) for pair in self.used), default=0)

    @property
    def fit(self) -> str:
        fits = [pair.fit for pair in self.used] or [pair.fit for pair in self.pairs]
        return next(fit for fit in ("no", "unknown", "yes") if fit in fits)


def _comparisons(pairs: Sequence[Pair]) -> list[_Comparison]:
    """Return all comparisons that have two seeds or more, in plan order."""
    groups: dict[tuple[str, ...], list[Pair]] = {}
    for pair in pairs:
        key = (pair.technique["technique"], noise_name(pair.arm), pair.attribute, pair.metric)
        groups.setdefault(key, []).append(pair)
    return [_Comparison(tuple(group)) for group in groups.values() if len(group) > 1]


def _why_left_out(pair: Pair) -> str:
    if not (pair.b.runs.size and pair.t.runs.size):
        return "no runs"
    return "not FIT" if pair.fit == "no" else ""


# Rows


def _intervals(compared: Sequence[_Comparison], metric: str) -> list[Comparison]:
    """Return the comparisons on a metric whose intervals hold together: enough seeds, and differences that vary."""
    resampled = [one.resampled() for one in compared if one.metric == metric and one.tested]
    return [
        sample for sample in resampled if len(sample[0][1]) >= verdict_names.RUNS and not st.is_constant(sample[0][1])
    ]


def _row(one: _Comparison, plan: Json, families: Families) -> Json:
    row = _keys(one, plan) | _counts(one, plan) | {"primary": "yes" if families.is_primary(one.metric) else ""}
    b, t = one.samples
    if len(b) < 2:
        return row | {"verdict": _verdict(one, "not estimable"), "note": join_notes(_why_not(one), row["note"])}
    interval, p, ranks = nested_design.over_seeds(b, t), nested_design.paired_t(b, t), nested_design.signed_rank(b, t)
    means = {
        f"mean_{role}": float(st.means(nested_design.seed_means(x))) for role, x in (("baseline", b), ("technique", t))
    }
    row |= means | {"difference": interval.value}
    if one.metric != "accuracy":
        declared = plan["analysis"]["smallest_effect"]
        row["smallest_effect"] = smallest_effect(declared, one.metric, means["mean_baseline"])
    if len(one.identical) == len(b):
        return row | {"verdict": _verdict(one, "not estimable"), "note": join_notes(EVERYWHERE_IDENTICAL, row["note"])}
    row |= {"low": interval.low, "high": interval.high}
    row |= {"p": p.p, "p_signed_rank": ranks.p, "p_signed_rank_smallest": ranks.smallest_p}
    row["sd_difference"] = float(st.sds(st.run_differences(*map(nested_design.seed_means, (b, t)))))
    row |= _verdict_columns(one, interval, row, families)
    shares = [nested_design.components(x) for x in (b, t)]
    row |= _component_columns(shares[0], "baseline") | _component_columns(shares[1], "technique")
    row["procedures"] = (
        f"95 % interval of the difference and p: {interval.method}; p_signed_rank: {ranks.method}; "
        f"95 % interval of the share: {shares[0].share.method}"
    )
    return row | {"note": join_notes(interval.note, *_share_notes(*shares), row["note"])}


def _verdict_columns(one: _Comparison, interval: st.Estimate, row: Json, families: Families) -> Json:
    if one.metric == "accuracy":
        return {"verdict": ""}
    family, effect = families.of(one.metric), row["smallest_effect"]
    columns: Json = {}
    if len(one.samples[0]) >= verdict_names.RUNS and interval.estimable:
        columns |= family.columns() | simultaneous_interval(interval, family.level)
    for name, level in (("verdict", family.level), ("verdict_unadjusted", families.alpha)):
        columns[name] = _verdict(one, nested_design.verdict_over_seeds(*one.samples, effect, level))
    return columns


def _keys(one: _Comparison, plan: Json) -> Json:
    pair, analysis = one.pairs[0], plan["analysis"]
    return {
        "technique": pair.technique["technique"],
        "baseline": pair.baseline["technique"],
        "noise": noise_name(pair.arm),
        "kind": pair.arm["kind"],
        "reading": analysis["reading"],
        "attribute": pair.attribute,
        "metric": pair.metric,
    }


def _counts(one: _Comparison, plan: Json) -> Json:
    """Count the seeds, runs and classes used, and state the scope that they allow."""
    analysis, n = plan["analysis"], len(one.used)
    noted = [f"{why} {_at(seeds)}: left out" for why, seeds in one.left_out.items()]
    noted += [f"bit-identical runs {_at(one.identical)}: kept"] if one.identical else []
    row = {"seeds": "; ".join(str(pair.arm["seed"]) for pair in one.used), "n_seeds": n, "n_runs": one.n_runs}
    row |= {"qualification": nested_design.qualification(n, one.n_runs), "scope": nested_design.scope(n, one.n_runs)}
    row |= {"alpha": analysis["alpha"], "fit": one.fit, "note": join_notes(*noted)}
    if one.metric == "accuracy" or one.single:
        return row
    dropped = "; ".join(str(plan["classes"][i]) for i in np.flatnonzero(~one.common))
    return row | {"n_classes": int(one.common.sum()), "dropped_classes": dropped}


def _at(seeds: Sequence[int]) -> str:
    return f"at seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def _verdict(one: _Comparison, computed: str) -> str:
    if one.metric == "accuracy":
        return ""
    return "not FIT" if len(one.used) < 2 and "not FIT" in one.left_out else computed


def _why_not(one: _Comparison) -> str:
    few = len(one.used) < 2
    return st.NOT_ESTIMABLE + ("fewer than 2 seeds" if few else not_common(one.single))


def _component_columns(components: nested_design.Components, role: str) -> Json:
    """Return the SDs of seed and run, and the seed's share; a negative variance of the seed is shown as 0."""
    share = components.share
    return {
        f"sd_seed_{role}": None if components.seed is None else max(components.seed, 0.0) ** 0.5,
        f"sd_run_{role}": None if components.run is None else components.run**0.5,
        f"share_seed_{role}": share.value,
        f"share_seed_{role}_low": share.low,
        f"share_seed_{role}_high": share.high,
    }


def _share_notes(baseline: nested_design.Components, technique: nested_design.Components) -> Iterator[str]:
    notes = {"baseline": baseline.share.note, "technique": technique.share.note}
    if notes["baseline"] == notes["technique"]:
        yield notes["baseline"]
        return
    for role, note in notes.items():
        yield f"share of the {role}: {note}" if note else ""


def _seed_rows(one: _Comparison, plan: Json) -> Iterator[Json]:
    for pair in one.pairs:
        row = _keys(one, plan) | {"seed": pair.arm["seed"], "arm": pair.arm["arm"]}
        row |= {"n_baseline": pair.b.runs.size, "n_technique": pair.t.runs.size, "note": _why_left_out(pair)}
        usable = not row["note"] and bool(one.samples[0])
        yield row | {"used": "yes" if usable else "no"} | (_describe(*one.at(pair), pair.paired) if usable else {})


def _describe(b: np.ndarray, t: np.ndarray, paired: bool) -> Json:
    row = {"mean_baseline": float(st.means(b)), "mean_technique": float(st.means(t))}
    row |= {"sd_baseline": float(st.sds(b)), "sd_technique": float(st.sds(t))}
    row["difference"] = st.difference_of_means(b, t)
    if paired:
        row["standard_error"] = float(st.sds(st.run_differences(b, t))) / b.size**0.5
    else:
        row["standard_error"] = float(np.hypot(row["sd_baseline"] / b.size**0.5, row["sd_technique"] / t.size**0.5))
    return row


# Correction


def _correct(table: pd.DataFrame, repeated: Mapping[str, str], plan: Json) -> None:
    """Fill in the corrected p-values, the number of tests, the power, and what redundant metrics share."""
    declared = declared_metrics(plan["analysis"])
    member = table["metric"].isin([m for m in declared if m not in repeated]).to_numpy()
    within = table["p"].where(member).to_numpy()
    for column, correct in CORRECTIONS.items():
        table[column] = correct(within)
    size = int((~np.isnan(within)).sum())
    counted = table["metric"].isin(declared).to_numpy()
    table["family_size"] = integer_column(np.full(len(table), size), counted)
    table["redundant_with"] = [repeated.get(metric, "") for metric in table["metric"]]
    _share_with(table, repeated, metrics_of(plan))
    table["power"] = [_power(row, size) for row in table.to_dict("records")]


def _redundant(compared: Sequence[_Comparison], analysis: Json) -> dict[str, str]:
    """Return each redundant metric with the declared one that it repeats in all runs at all seeds."""
    chosen = declared_metrics(analysis)
    attributes = dict.fromkeys(one.pairs[0].attribute for one in compared)
    values = [{m: _stacked(compared, m, attribute) for m in chosen} for attribute in attributes]
    return repeated_metrics(values, analysis)


def _stacked(compared: Sequence[_Comparison], metric: str, attribute: str) -> np.ndarray:
    """Stack the overall values of one metric in all comparisons; NaN where it cannot be compared.

    So the stacks of all metrics have one length, run by run.
    """
    stacked = [np.empty(0)]
    for one in compared:
        if (one.metric, one.pairs[0].attribute) == (metric, attribute):
            n = sum(pair.b.runs.size + pair.t.runs.size for pair in one.used)
            values = np.concatenate([np.empty(0), *one.samples[0], *one.samples[1]])
            stacked.append(values if values.size == n else np.full(n, np.nan))
    return np.concatenate(stacked)


def _share_with(table: pd.DataFrame, repeated: Mapping[str, str], metrics: Sequence[str]) -> None:
    """Copy to redundant metrics the p-values of the metrics that they repeat.

    The rows of a comparison are adjacent, one per metric, so the repeated metric is at a fixed distance.
    """
    columns = [table.columns.get_loc(name) for name in SHARED_WITH_REPEATED]
    for metric, first in repeated.items():
        rows = np.flatnonzero(table["metric"] == metric)
        sources = rows - metrics.index(metric) + metrics.index(first)
        table.iloc[rows, columns] = table.iloc[sources, columns].to_numpy()


def _power(row: Json, size: int) -> float | None:
    """Return the power for the declared effect at the corrected level (Holm's first step); None for other tests."""
    if not size or pd.isna(row["family_size"]) or pd.isna(row["p"]):
        return None
    return power_paired(row["smallest_effect"], row["sd_difference"], row["n_seeds"], row["alpha"] / size)
