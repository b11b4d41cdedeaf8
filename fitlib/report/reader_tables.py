"""Tables for readers: the columns that a report shows, in words, with text in every cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from fitlib import formatting as fmt
from fitlib.report import vocabulary as words
from fitlib.report.table_files import TableFile

CORRECTIONS = {"holm": "Holm", "bh": "BH", "by": "BY"}


@dataclass(frozen=True)
class ReaderTable:
    """A table of the report, defined beside its section.

    title: shown above it. caption: of plan and frame, a `fitlib.report.captions.Caption` or a function. view: turns
    frame and plan into columns in words, with text in every cell; None where a section makes the cells of more than one
    frame. file: the one in `tables/` that has all columns.
    """

    title: str
    caption: Callable[[Mapping, pd.DataFrame], str]
    view: Callable[[pd.DataFrame, Mapping], pd.DataFrame] | None = None
    file: TableFile | None = None

    def cells(self, frame: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
        """Return the cells of `frame`. Raises TypeError for a table whose section makes them."""
        if self.view is None:
            raise TypeError(f"{self.title}: its section makes the cells, of more than one frame")
        return self.view(frame, plan)

    @property
    def source(self) -> str:
        """Relative address of the file with all columns; "" without one."""
        return self.file.address if self.file else ""


# Cells that several tables share


def estimate_cell(row: pd.Series, name: str, show: Callable[[float], str], places: int) -> str:
    """Return an estimate with its interval in one cell: "0.31 [0.17, 0.51]"; a dash where there is none."""
    if fmt.is_missing(row[name]):
        return "–"
    return f"{show(row[name])} {fmt.span(row[f'{name}_low'], row[f'{name}_high'], 1, places)}"


def sd_cell(value: float) -> str:
    """Return a standard deviation in points, "constant" for 0."""
    return "constant" if not fmt.is_missing(value) and value == 0 else fmt.points(value)


def comparison_cell(row: pd.Series, frame: pd.DataFrame) -> str:
    """Return "S-DI2 v S-Base", with arm, attribute and n where `frame` has several."""
    sizes = frame[["n_baseline", "n_technique"]].stack().nunique()
    n = f", n = {row['n_technique']} v {row['n_baseline']}" if sizes > 1 else ""
    return f"{row['technique']} v {row['baseline']}{words.arm_and_attribute_suffix(frame, row)}{n}"


def verdict_cell(row: pd.Series) -> str:
    """Return the verdict that holds together with its family, and the unadjusted one where it is another."""
    alone = row["verdict_unadjusted"]
    return f"{row['verdict']} (alone: {alone})" if alone and alone != row["verdict"] else row["verdict"] or "–"


def metric_cell(row: pd.Series) -> str:
    """Return the metric, and the one that it is proportional to."""
    return f"{row['metric']} (∝ {row['redundant_with']})" if row["redundant_with"] else str(row["metric"])


def p_cell(row: pd.Series, column: str) -> str:
    """Return a corrected p, a dash where no test was made."""
    return "–" if fmt.is_missing(row[column]) else fmt.probability(row[column])
