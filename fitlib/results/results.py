"""The results of an analysis as one object: verdict, tables, plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import pandas as pd

from fitlib.formatting import count
from fitlib.report.notebook_display import notebook_html
from fitlib.results.captioned_frames import Frame, Tables, TablesInMemory
from fitlib.results.verdict_display import verdict_html


class Results:
    """The results of an analysis in memory: the verdict, and all tables as pandas frames with captions.

    verdict: sentences. tables: all tables by name (`tables` alone lists them); summary, comparisons, risk and metrics
    are among them. plan: techniques, classes, groups and analysis, as plain values.
    """

    def __init__(
        self,
        plan: Mapping[str, Any],
        frames: Mapping[str, pd.DataFrame],
        rows: int,
        evidence: Sequence[Mapping[str, Any]] = (),
    ):
        """Set plan and frames; ``rows``: of the test set; ``evidence``: what the runs recorded about themselves."""
        self.plan, self._rows, self.evidence = plan, rows, list(evidence)
        self.tables: Tables = TablesInMemory(frames, plan)

    @property
    def summary(self) -> Frame:
        """Every metric of each technique over its runs: mean, SD, intervals, chance level."""
        return self.tables["summary"]

    @property
    def comparisons(self) -> Frame:
        """Every technique against the baseline: differences, intervals, tests, verdicts."""
        return self.tables["comparisons"]

    @property
    def risk(self) -> Frame:
        """Impact ratios by class, and the four-fifths rule for the favourable class."""
        return self.tables["risk"]

    @property
    def metrics(self) -> Frame:
        """Every metric of each run in long form."""
        return self.tables["metrics"]

    @cached_property
    def verdict(self) -> list[str]:
        """The verdict in sentences, qualified as the report has it."""
        from fitlib.report.sections.verdict import verdict  # late: imports matplotlib

        return verdict(self.tables, self.plan, self.evidence)

    def __repr__(self) -> str:
        names = ", ".join(technique["technique"] for technique in self.plan["techniques"])
        counts = self.tables["summary"].groupby(["technique", "arm"])["n"].max().groupby("technique").sum()
        numbers = sorted(set(counts.astype(int)))
        runs = f"{count(numbers[0], 'run')} each" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]} runs"
        groups = ", ".join(self.plan["groups"])
        return f"<results of {names}: {runs}, {count(self._rows, 'row')}, groups by {groups}>"

    def _repr_html_(self) -> str:
        return notebook_html(verdict_html(self.verdict, self.plan, self.evidence, self.tables))
