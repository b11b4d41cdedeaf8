"""Columns, types and files of an experiment's tables.

Every table has an explicit schema (column -> dtype); missing numbers are NaN, missing text is empty.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Json = dict[str, Any]


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
    "interval_method max min maxdiff relative_maxdiff note group",
    text="technique arm reading attribute metric target interval_method note",
    integer="seed n n_undefined_max group",
)
COMPARISONS = _schema(
    "technique baseline arm seed reading attribute metric n_classes dropped_classes n_baseline n_technique "
    "mean_baseline mean_technique difference difference_low difference_high smallest_effect verdict u p_mean "
    "p_mean_smallest p_mean_holm p_mean_bh p_mean_by sd_baseline sd_technique p_variance_raw p_variance_relative "
    "p_variance_raw_holm p_variance_raw_bh p_variance_raw_by d d_low d_high power_mean power_variance family_size "
    "redundant_with reversal reversal_low reversal_high reversal_note scope fit note design difference_bound_low "
    "difference_bound_high stopped_predicting alpha procedures",
    text="technique baseline arm reading attribute metric dropped_classes verdict redundant_with reversal_note scope "
    "fit note design stopped_predicting procedures",
    integer="seed n_classes n_baseline n_technique family_size",
)
RISK = _schema(
    "technique arm seed attribute target rule retraining n n_undefined violated p_violated p_violated_low "
    "p_violated_high p_disagree p_disagree_low p_disagree_high ratio_mean ratio_min ratio_max interval worst_of "
    "p_violated_low_bonferroni p_violated_high_bonferroni fit note smallest_group",
    text="technique arm attribute rule retraining interval fit note",
    integer="seed target n n_undefined violated worst_of smallest_group",
)
SCHEMAS = {"runs": RUNS, "summary": SUMMARY, "comparisons": COMPARISONS, "risk": RISK}


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


def read_csv(path: str | Path, table: str) -> pd.DataFrame:
    """A table written by `write_csv`, equal to what was written; ``table`` is a key of `SCHEMAS`."""
    text = pd.read_csv(path, dtype="str", keep_default_na=False).astype("object")
    numbers = [column for column, dtype in SCHEMAS[table].items() if dtype != "str"]
    # Python's float() reads back exactly; pandas' own parser did not in every version
    text[numbers] = text[numbers].replace("", np.nan).astype("float64")
    return table_of(text, SCHEMAS[table])
