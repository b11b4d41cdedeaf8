"""Columns, types and files of an experiment's tables.

Every table has an explicit schema, {column: dtype}; missing numbers are NaN, missing text is empty. What a column
holds, and its type, is in `fitlib.tables.column_descriptions`, once for all tables.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fitlib.tables.column_descriptions import column

Json = dict[str, Any]
VERSION = "2"  # of all schemas together
DATA_PACKAGE = "datapackage.json"  # the file that describes the columns of all tables in its folder
TYPES = {"str": "string", "Int64": "integer", "float64": "number"}  # pandas dtype: type in a data package


def _schema(table: str, columns: str) -> dict[str, str]:
    """Return {column: dtype} in the order of ``columns``, a list of names."""
    return {name: column(table, name).dtype for name in columns.split()}


RUNS = _schema(
    "runs",
    "technique training arm noise kind seed run status fit initial_weights first_batch final_weights predictions "
    "fingerprint accuracy DP DI SPSF FPSF EOFP EOTP BA attribute",
)
SUMMARY = _schema(
    "summary",
    "technique arm seed reading attribute metric target n n_undefined_max mean mean_low mean_high sd sd_low sd_high "
    "next_low next_high interval_method max min maxdiff relative_maxdiff note group expectation chance_95 chance_p "
    "chance_runs smallest_denominator signed_mean signed_low signed_high lower_group lower_group_changes",
)
COMPONENTS = _schema(
    "components",
    "technique arm seed attribute metric target n sd_total sd_between_runs sd_run sd_test_set sd_interaction floor_sd "
    "variance_run variance_test_set variance_interaction note",
)
SELECTION = _schema(
    "selection",
    "technique arm seed attribute metric n mean selected_on selected_off regression note",
)
COMPARISONS = _schema(
    "comparisons",
    "technique baseline arm seed reading attribute metric n_classes dropped_classes n_baseline n_technique "
    "mean_baseline mean_technique difference difference_low difference_high smallest_effect verdict u p_mean "
    "p_mean_smallest p_mean_studentised p_mean_studentised_smallest p_mean_holm p_mean_bh p_mean_by sd_baseline "
    "sd_technique sd_difference p_variance_raw p_variance_relative p_variance_raw_holm p_variance_raw_bh "
    "p_variance_raw_by d d_low d_high power_mean power_variance family_size family_size_variance redundant_with "
    "reversal reversal_low reversal_high reversal_note scope fit note design difference_bound_low "
    "difference_bound_high stopped_predicting alpha procedures verdict_changes verdict_without_one verdict_unadjusted "
    "simultaneous_low simultaneous_high level verdicts_together primary deviation_baseline deviation_technique "
    "warnings p_mean_studentised_holm",
)
NEW_TEST_DATA = _schema(
    "new_test_data",
    "technique baseline arm seed reading attribute metric n_classes n_baseline n_technique units resamples value low "
    "high smallest_effect verdict verdict_unadjusted level standard_error df standard_error_runs standard_error_units "
    "share_units scope fit design procedures note",
)
RISK = _schema(
    "risk",
    "technique arm seed attribute target rule retraining n n_undefined violated p_violated p_violated_low "
    "p_violated_high p_disagree p_disagree_low p_disagree_high ratio_mean ratio_min ratio_max interval worst_of "
    "p_violated_low_bonferroni p_violated_high_bonferroni p_disagree_low_bonferroni p_disagree_high_bonferroni fit "
    "note smallest_group lowest_group highest_group size_lowest size_highest rate_lowest rate_highest disadvantaged "
    "flips test significant beyond_two_sd small_groups",
)
INDIVIDUALS = _schema(
    "individuals",
    "technique arm seed attribute target group n_runs rows churn churn_low churn_high gap gap_low gap_high ambiguity "
    "ambiguity_runs share_never share_coin_flip above_10 above_20 above_30 above_40 churn_median churn_90 churn_99 "
    "interval fit note",
)
THRESHOLDS = _schema(
    "thresholds",
    "technique arm seed attribute target threshold n accuracy accuracy_sd accuracy_min accuracy_max DP DP_sd DP_min "
    "DP_max EOFP EOFP_sd EOFP_min EOFP_max EOTP EOTP_sd EOTP_min EOTP_max ratio ratio_sd ratio_min ratio_max n_ratio "
    "below_four_fifths fit note",
)
OVER_SEEDS = _schema(
    "over_seeds",
    "technique baseline noise kind reading attribute metric n_classes dropped_classes seeds n_seeds n_runs "
    "mean_baseline mean_technique difference low high smallest_effect verdict qualification scope p p_holm p_bh p_by "
    "p_signed_rank p_signed_rank_smallest power alpha family_size redundant_with sd_difference sd_seed_baseline "
    "sd_run_baseline share_seed_baseline share_seed_baseline_low share_seed_baseline_high sd_seed_technique "
    "sd_run_technique share_seed_technique share_seed_technique_low share_seed_technique_high fit procedures note "
    "verdict_unadjusted simultaneous_low simultaneous_high level verdicts_together primary warnings",
)
BY_SEED = _schema(
    "by_seed",
    "technique baseline noise kind reading attribute metric seed arm n_baseline n_technique mean_baseline "
    "mean_technique difference sd_baseline sd_technique standard_error used note",
)
REVIEW = _schema(
    "review",
    "technique baseline metric n label_mean p_mean d label_variance p_variance difference difference_low "
    "difference_high smallest_effect verdict p_exact p_holm family_size redundant_with p_variance_raw "
    "p_variance_raw_holm label_variance_raw agreement_mean agreement_variance note",
)
COSTS = _schema(
    "costs",
    "technique baseline arm seed attribute metric n_baseline n_technique decrease cost_accuracy cost_bias_variance "
    "cost_accuracy_variance any decrease_study cost_accuracy_study cost_bias_variance_study "
    "cost_accuracy_variance_study any_study accuracy_difference accuracy_low accuracy_high sd_accuracy_baseline "
    "sd_accuracy_technique p_accuracy_variance p_accuracy_variance_holm accuracy_family_size power_accuracy_variance "
    "note",
)
PARETO = _schema(
    "pareto",
    "technique baseline arm seed attribute metric n n_classes accuracy_mean accuracy_sd bias_mean bias_sd churn_mean "
    "on_front front_share dominated_by method note",
)
RANKS = _schema(
    "ranks",
    "technique baseline arm seed attribute metric n n_classes n_compared mean rank p_best rank_mean rank_low rank_high "
    "method note",
)
EPOCHS = _schema(
    "epochs",
    "training arm seed epoch n accuracy_mean accuracy_sd accuracy_sd_low accuracy_sd_high gap_mean gap_sd gap_sd_low "
    "gap_sd_high since accuracy_growth accuracy_growth_low accuracy_growth_high gap_growth gap_growth_low "
    "gap_growth_high note",
)
REVERSAL = _schema(
    "reversal",
    "technique baseline arm attribute metric k n_baseline n_technique value low high retraining procedure note",
)
PLANNING = _schema(
    "planning",
    "technique baseline arm attribute metric which design pilot_baseline pilot_technique sd_baseline sd_technique "
    "sd_difference smallest_effect level n_baseline n_technique true_difference fairer fairer_low fairer_high lower "
    "equivalent equivalent_low equivalent_high open higher less_fair undecided undecided_low undecided_high note",
)
SEQUENTIAL = _schema(
    "sequential",
    "technique baseline arm attribute metric look n alpha family_size level difference difference_low difference_high "
    "p p_smallest decision stopped_at procedures note",
)
CAUSES = _schema(
    "causes",
    "technique arm noise kind view seed hardware attribute metric n n_classes distinct mean sd sd_low sd_high "
    "interval fit note",
)
CAUSE_TESTS = _schema(
    "cause_tests",
    "technique attribute metric test arm_a arm_b n_arms n_a n_b sd_a sd_b ratio p p_holm p_bh p_by family_size alpha "
    "power procedure note",
)
CAUSE_CHURN = _schema(
    "cause_churn",
    "technique arm noise kind seed attribute group n_runs rows churn churn_low churn_high gap gap_low gap_high "
    "interval fit note",
)
SCHEMAS = {
    "review": REVIEW,
    "runs": RUNS,
    "summary": SUMMARY,
    "comparisons": COMPARISONS,
    "new_test_data": NEW_TEST_DATA,
    "reversal": REVERSAL,
    "planning": PLANNING,
    "sequential": SEQUENTIAL,
    "risk": RISK,
    "individuals": INDIVIDUALS,
    "thresholds": THRESHOLDS,
    "over_seeds": OVER_SEEDS,
    "by_seed": BY_SEED,
    "costs": COSTS,
    "pareto": PARETO,
    "ranks": RANKS,
    "epochs": EPOCHS,
    "components": COMPONENTS,
    "selection": SELECTION,
    "causes": CAUSES,
    "cause_tests": CAUSE_TESTS,
    "cause_churn": CAUSE_CHURN,
}

DESCRIPTIONS = {
    "review": "The published study by both protocols: one row per technique and metric.",
    "runs": "The runs with their digests and overall values: one row per technique, arm, run and protected attribute.",
    "summary": "Means and spread over runs: one row per technique, arm, attribute, metric, and class or group.",
    "comparisons": "Each technique against its baseline: one row per technique, arm, attribute and metric.",
    "new_test_data": "Means and differences for new test data: one row per technique (and baseline) and metric.",
    "reversal": "Probability that new runs reverse a verdict: one row per comparison and number of new runs.",
    "planning": "Probability of each verdict: one row per comparison, number of runs and true difference.",
    "sequential": "Declared looks at the first n runs: one row per comparison and look; empty without looks.",
    "risk": "Four-fifths rule over runs: one row per technique, arm, attribute and class.",
    "individuals": "Decisions that change between runs: one row per technique, arm, attribute, true class and group.",
    "thresholds": "Accuracy and bias by threshold: one row per technique, arm, attribute and threshold; needs scores.",
    "over_seeds": "Comparisons over seeds (nested design): one row per technique, noise, attribute and metric.",
    "by_seed": "The seeds behind over_seeds: one row per comparison and seed.",
    "costs": "What lower bias cost in accuracy and spread: one row per technique, arm, attribute and distinct metric.",
    "pareto": "Accuracy, bias and churn, and the Pareto front: one row per technique, arm, attribute and metric.",
    "ranks": "Order of the techniques by bias, and how firm it is: one row per technique, arm, attribute and metric.",
    "epochs": "Spread between runs after each epoch: one row per training, arm and epoch.",
    "components": "Variance of run and test set: one row per technique, arm, attribute, metric and class.",
    "selection": "Choosing the fairest run, and what becomes of it: one row per technique, arm, attribute and metric.",
    "causes": "Spread by cause of variance: one row per technique, arm, hardware, attribute and metric.",
    "cause_tests": "Tests between the spreads of arms: one row per technique, attribute, metric and set of arms.",
    "cause_churn": "Decisions that change between runs of an arm: one row per technique, arm, attribute and group.",
}


# Rows


def table_of(rows: Sequence[Json] | Json | pd.DataFrame, schema: Mapping[str, str]) -> pd.DataFrame:
    """Return ``rows`` with the columns and dtypes of ``schema``; missing text is empty, -0.0 is 0.0.

    >>> table_of([{"p": 0.04, "metric": "DP"}], {"metric": "str", "n": "Int64", "p": "float64"})
      metric     n     p
    0     DP  <NA>  0.04
    """
    if isinstance(rows, pd.DataFrame | dict):
        frame = pd.DataFrame(rows, columns=list(schema))
        index, columns = frame.index, {name: frame[name] for name in schema}
    else:
        index, columns = None, {name: [row.get(name) for row in rows] for name in schema}
    # All columns at once: to set one after another takes several times as long.
    return pd.DataFrame({name: _typed(values, schema[name]) for name, values in columns.items()}, index=index)


def _typed(values: list | pd.Series, dtype: str) -> Any:
    """Return a column as ``dtype``; missing text is empty, -0.0 is 0.0."""
    if dtype == "float64":
        return np.asarray(values, dtype=np.float64) + 0.0
    if dtype == "str" and isinstance(values, list) and all(isinstance(value, str) for value in values):
        return pd.array(values, dtype=dtype)
    column = pd.Series(values)
    if dtype == "str" and (column.dtype != "str" or column.hasnans):
        column = column.astype("object").where(column.notna(), "")
    return column.astype(dtype).array


def integer_column(numbers: np.ndarray, present: np.ndarray) -> pd.arrays.IntegerArray:
    """Return whole numbers as an integer array that is missing where not ``present``."""
    return pd.arrays.IntegerArray(numbers.astype(np.int64), ~present)


def join_notes(*notes: str) -> str:
    """Join the notes of a cell with semicolons, leaving out empty ones.

    >>> join_notes("no runs", "", "outside the family")
    'no runs; outside the family'
    """
    return "; ".join(note for note in notes if note)


# Files


def write_csv(frame: pd.DataFrame, path: str | Path) -> None:
    """Write ``frame`` as CSV: UTF-8, LF, no index, floats that read back exactly, missing values empty."""
    frame.to_csv(path, index=False, encoding="utf-8", lineterminator="\n", na_rep="")


def data_package(names: Sequence[str], metrics: Sequence[str] = ()) -> Json:
    """Describe the tables ``names`` as CSV files, by the Frictionless Data Package standard.

    ``metrics``: the custom metrics, which are columns of the table of runs.
    """
    resources = [
        {
            "name": name.replace("_", "-"),
            "path": f"{name}.csv",
            "description": DESCRIPTIONS[name],
            "schema": {"fields": _fields(name, metrics), "missingValues": [""]},
        }
        for name in names
    ]
    return {"name": "fitlib-tables", "profile": "tabular-data-package", "version": VERSION, "resources": resources}


def _fields(table: str, metrics: Sequence[str]) -> list[Json]:
    own = metrics if table == "runs" else ()
    custom = [{"name": name, "type": "number", "description": "Custom metric; larger is less fair."} for name in own]
    return [*(_field(table, name) for name in SCHEMAS[table]), *custom]


def _field(table: str, name: str) -> Json:
    dtype, description = column(table, name)
    return {"name": name, "type": TYPES[dtype], "description": description}


def package_columns(package: Json) -> list[list[str]]:
    """Return table, column and type of every column that a `data_package` describes, below a line of headings."""
    fields = [(resource["name"], field) for resource in package["resources"] for field in resource["schema"]["fields"]]
    return [["table", "column", "type"], *([table, field["name"], field["type"]] for table, field in fields)]


def read_csv(path: str | Path, table: str) -> pd.DataFrame:
    """Read a table as `write_csv` wrote it, equal to what was written; ``table`` is a key of `SCHEMAS`.

    Columns that the file lacks because an earlier version wrote it are empty. Further columns of the table of runs are
    custom metrics.
    """
    text = pd.read_csv(path, dtype="str", keep_default_na=False).astype("object")
    custom = [name for name in text.columns if name not in SCHEMAS[table]] if table == "runs" else []
    schema = SCHEMAS[table] | dict.fromkeys(custom, "float64")
    text = text.reindex(columns=list(schema), fill_value="")
    numbers = [column for column, dtype in schema.items() if dtype != "str"]
    # Python's float() reads back exactly; pandas' own parser did not in every version
    text[numbers] = text[numbers].replace("", np.nan).astype("float64")
    return table_of(text, schema)
