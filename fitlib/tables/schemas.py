"""Columns, types and files of an experiment's tables.

Every table has an explicit schema (column -> dtype); missing numbers are NaN, missing text is empty.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Json = dict[str, Any]
VERSION = "2"  # of all schemas together


def _schema(columns: str, text: str, integer: str) -> dict[str, str]:
    """Column -> dtype in the order of ``columns``; float64 where neither text nor integer."""
    kinds = dict.fromkeys(text.split(), "str") | dict.fromkeys(integer.split(), "Int64")
    return {column: kinds.get(column, "float64") for column in columns.split()}


RUNS = _schema(
    "technique training arm noise kind seed run status fit initial_weights first_batch final_weights predictions "
    "fingerprint accuracy DP DI SPSF FPSF EOFP EOTP BA attribute",
    text="technique training arm noise kind status fit initial_weights first_batch final_weights predictions "
    "fingerprint attribute",
    integer="seed run",
)
SUMMARY = _schema(
    "technique arm seed reading attribute metric target n n_undefined_max mean mean_low mean_high sd sd_low sd_high "
    "interval_method max min maxdiff relative_maxdiff note group expectation smallest_denominator signed_mean "
    "signed_low signed_high lower_group lower_group_changes",
    text="technique arm reading attribute metric target interval_method note lower_group",
    integer="seed n n_undefined_max group smallest_denominator lower_group_changes",
)
COMPONENTS = _schema(
    "technique arm seed attribute metric target n sd_total sd_between_runs sd_run sd_test_set sd_interaction floor_sd "
    "variance_run variance_test_set variance_interaction note",
    text="technique arm attribute metric note",
    integer="seed target n",
)
SELECTION = _schema(
    "technique arm seed attribute metric n mean selected_on selected_off regression note",
    text="technique arm attribute metric note",
    integer="seed n",
)
COMPARISONS = _schema(
    "technique baseline arm seed reading attribute metric n_classes dropped_classes n_baseline n_technique "
    "mean_baseline mean_technique difference difference_low difference_high smallest_effect verdict u p_mean "
    "p_mean_smallest p_mean_studentised p_mean_studentised_smallest p_mean_holm p_mean_bh p_mean_by sd_baseline "
    "sd_technique sd_difference "
    "p_variance_raw p_variance_relative p_variance_raw_holm p_variance_raw_bh p_variance_raw_by d d_low d_high "
    "power_mean power_variance family_size family_size_variance redundant_with reversal reversal_low reversal_high "
    "reversal_note scope fit note design difference_bound_low difference_bound_high stopped_predicting alpha "
    "procedures verdict_changes verdict_without_one",
    text="technique baseline arm reading attribute metric dropped_classes verdict redundant_with reversal_note scope "
    "fit note design stopped_predicting procedures verdict_without_one",
    integer="seed n_classes n_baseline n_technique family_size family_size_variance verdict_changes",
)
RISK = _schema(
    "technique arm seed attribute target rule retraining n n_undefined violated p_violated p_violated_low "
    "p_violated_high p_disagree p_disagree_low p_disagree_high ratio_mean ratio_min ratio_max interval worst_of "
    "p_violated_low_bonferroni p_violated_high_bonferroni p_disagree_low_bonferroni p_disagree_high_bonferroni fit "
    "note smallest_group lowest_group highest_group "
    "size_lowest size_highest rate_lowest rate_highest disadvantaged flips test significant beyond_two_sd "
    "small_groups",
    text="technique arm attribute rule retraining interval fit note lowest_group highest_group disadvantaged test "
    "small_groups",
    integer="seed target n n_undefined violated worst_of smallest_group size_lowest size_highest flips significant "
    "beyond_two_sd",
)
INDIVIDUALS = _schema(
    "technique arm seed attribute target group n_runs rows churn churn_low churn_high gap gap_low gap_high ambiguity "
    "ambiguity_runs share_never share_coin_flip above_10 above_20 above_30 above_40 churn_median churn_90 churn_99 "
    "interval fit note",
    text="technique arm attribute target interval fit note",
    integer="seed group n_runs rows ambiguity_runs",
)
THRESHOLDS = _schema(
    "technique arm seed attribute target threshold n accuracy accuracy_sd accuracy_min accuracy_max DP DP_sd DP_min "
    "DP_max EOFP EOFP_sd EOFP_min EOFP_max EOTP EOTP_sd EOTP_min EOTP_max ratio ratio_sd ratio_min ratio_max "
    "n_ratio below_four_fifths fit note",
    text="technique arm attribute fit note",
    integer="seed target n n_ratio",
)
OVER_SEEDS = _schema(
    "technique baseline noise kind reading attribute metric n_classes dropped_classes seeds n_seeds n_runs "
    "mean_baseline mean_technique difference low high smallest_effect verdict qualification scope p p_holm p_bh p_by "
    "p_signed_rank p_signed_rank_smallest power alpha family_size redundant_with sd_difference sd_seed_baseline "
    "sd_run_baseline share_seed_baseline share_seed_baseline_low share_seed_baseline_high sd_seed_technique "
    "sd_run_technique share_seed_technique share_seed_technique_low share_seed_technique_high fit procedures note",
    text="technique baseline noise kind reading attribute metric dropped_classes seeds verdict qualification scope "
    "redundant_with fit procedures note",
    integer="n_classes n_seeds n_runs family_size",
)
BY_SEED = _schema(
    "technique baseline noise kind reading attribute metric seed arm n_baseline n_technique mean_baseline "
    "mean_technique difference sd_baseline sd_technique standard_error used note",
    text="technique baseline noise kind reading attribute metric arm used note",
    integer="seed n_baseline n_technique",
)
REVIEW = _schema(
    "technique baseline metric n label_mean p_mean d label_variance p_variance difference difference_low "
    "difference_high smallest_effect verdict p_exact p_holm family_size redundant_with p_variance_raw "
    "p_variance_raw_holm label_variance_raw agreement_mean agreement_variance note",
    text="technique baseline metric label_mean label_variance verdict redundant_with label_variance_raw "
    "agreement_mean agreement_variance note",
    integer="n family_size",
)
COSTS = _schema(
    "technique baseline arm seed attribute metric n_baseline n_technique decrease cost_accuracy cost_bias_variance "
    "cost_accuracy_variance any decrease_study cost_accuracy_study cost_bias_variance_study "
    "cost_accuracy_variance_study any_study accuracy_difference accuracy_low accuracy_high sd_accuracy_baseline "
    "sd_accuracy_technique p_accuracy_variance p_accuracy_variance_holm accuracy_family_size power_accuracy_variance "
    "note",
    text="technique baseline arm attribute metric decrease cost_accuracy cost_bias_variance cost_accuracy_variance any "
    "decrease_study cost_accuracy_study cost_bias_variance_study cost_accuracy_variance_study any_study note",
    integer="seed n_baseline n_technique accuracy_family_size",
)
PARETO = _schema(
    "technique baseline arm seed attribute metric n n_classes accuracy_mean accuracy_sd bias_mean bias_sd churn_mean "
    "on_front front_share dominated_by method note",
    text="technique baseline arm attribute metric on_front dominated_by method note",
    integer="seed n n_classes",
)
EPOCHS = _schema(
    "training arm seed epoch n accuracy_mean accuracy_sd accuracy_sd_low accuracy_sd_high gap_mean gap_sd gap_sd_low "
    "gap_sd_high since accuracy_growth accuracy_growth_low accuracy_growth_high gap_growth gap_growth_low "
    "gap_growth_high note",
    text="training arm note",
    integer="seed epoch n since",
)
REVERSAL = _schema(
    "technique baseline arm attribute metric k n_baseline n_technique value low high retraining procedure note",
    text="technique baseline arm attribute metric retraining procedure note",
    integer="k n_baseline n_technique",
)
RUNS_NEEDED = _schema(
    "technique baseline arm attribute metric design effect alpha family_size alpha_corrected n_baseline n_technique "
    "sd_baseline sd_technique sd_difference power runs_for_mean runs_for_width sd_ratio family_size_variance "
    "alpha_corrected_variance runs_for_variance power_mean_now power_variance_now note",
    text="technique baseline arm attribute metric design note",
    integer="family_size n_baseline n_technique runs_for_mean runs_for_width family_size_variance runs_for_variance",
)
SEQUENTIAL = _schema(
    "technique baseline arm attribute metric look n alpha family_size level difference difference_low difference_high "
    "p p_smallest decision procedures note",
    text="technique baseline arm attribute metric decision procedures note",
    integer="look n family_size",
)
CAUSES = _schema(
    "technique arm noise kind view seed hardware attribute metric n n_classes distinct mean sd sd_low sd_high interval "
    "fit note",
    text="technique arm noise kind view hardware attribute metric interval fit note",
    integer="seed n n_classes distinct",
)
CAUSE_TESTS = _schema(
    "technique attribute metric test arm_a arm_b n_arms n_a n_b sd_a sd_b ratio p p_holm p_bh p_by family_size alpha "
    "power procedure note",
    text="technique attribute metric test arm_a arm_b procedure note",
    integer="n_arms n_a n_b family_size",
)
CAUSE_CHURN = _schema(
    "technique arm noise kind seed attribute group n_runs rows churn churn_low churn_high gap gap_low gap_high "
    "interval fit note",
    text="technique arm noise kind attribute interval fit note",
    integer="seed group n_runs rows",
)
SCHEMAS = {
    "review": REVIEW,
    "runs": RUNS,
    "summary": SUMMARY,
    "comparisons": COMPARISONS,
    "reversal": REVERSAL,
    "runs_needed": RUNS_NEEDED,
    "sequential": SEQUENTIAL,
    "risk": RISK,
    "individuals": INDIVIDUALS,
    "thresholds": THRESHOLDS,
    "over_seeds": OVER_SEEDS,
    "by_seed": BY_SEED,
    "costs": COSTS,
    "pareto": PARETO,
    "epochs": EPOCHS,
    "components": COMPONENTS,
    "selection": SELECTION,
    "causes": CAUSES,
    "cause_tests": CAUSE_TESTS,
    "cause_churn": CAUSE_CHURN,
}


# Rows


def table_of(rows: Sequence[Json] | Json | pd.DataFrame, schema: Mapping[str, str]) -> pd.DataFrame:
    """``rows`` with the columns and dtypes of ``schema``; missing text is empty, -0.0 is 0.0."""
    frame = pd.DataFrame(rows, columns=list(schema))
    for column, dtype in schema.items():
        values = frame[column]
        if dtype == "str":
            values = values.astype("object").where(values.notna(), "")
        frame[column] = values.astype(dtype)
        if dtype == "float64":
            frame[column] += 0.0
    return frame


def integer_column(numbers: np.ndarray, present: np.ndarray) -> pd.arrays.IntegerArray:
    """Whole numbers, missing where not ``present``."""
    return pd.arrays.IntegerArray(numbers.astype(np.int64), ~present)


def joined(*notes: str) -> str:
    """Notes in one cell; empty ones are left out."""
    return "; ".join(note for note in notes if note)


# Files


def write_csv(frame: pd.DataFrame, path: str | Path) -> None:
    """``frame`` as CSV: UTF-8, LF, no index, floats that read back exactly, missing values empty."""
    frame.to_csv(path, index=False, encoding="utf-8", lineterminator="\n", na_rep="")


def data_package(names: Sequence[str]) -> Json:
    """Description of the tables ``names`` as CSV files, by the Frictionless Data Package standard."""
    kinds = {"str": "string", "Int64": "integer", "float64": "number"}
    resources = [
        {
            "name": name.replace("_", "-"),
            "path": f"{name}.csv",
            "schema": {
                "fields": [{"name": column, "type": kinds[dtype]} for column, dtype in SCHEMAS[name].items()],
                "missingValues": [""],
            },
        }
        for name in names
    ]
    return {"name": "fitlib-tables", "profile": "tabular-data-package", "version": VERSION, "resources": resources}


def read_csv(path: str | Path, table: str) -> pd.DataFrame:
    """A table written by `write_csv`, equal to what was written; ``table`` is a key of `SCHEMAS`."""
    text = pd.read_csv(path, dtype="str", keep_default_na=False).astype("object")
    numbers = [column for column, dtype in SCHEMAS[table].items() if dtype != "str"]
    # Python's float() reads back exactly; pandas' own parser did not in every version
    text[numbers] = text[numbers].replace("", np.nan).astype("float64")
    return table_of(text, SCHEMAS[table])
