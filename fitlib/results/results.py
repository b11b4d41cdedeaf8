"""The results of an analysis as one object, in memory or on disk: verdict, tables, figures, report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from fitlib.errors import InputError, one_of
from fitlib.formatting import count
from fitlib.metrics.smallest_effects import DEFAULT, Declared, check
from fitlib.report.notebook_display import notebook_html
from fitlib.results.captioned_frames import Frame, Tables, TablesInMemory, frame
from fitlib.results.verdict_display import verdict_html
from fitlib.statistics.planning import NUMBERS
from fitlib.tables.epochs import no_history

if TYPE_CHECKING:
    from fitlib.metrics.custom_metrics import Metric
    from fitlib.results.plots import Plots
    from fitlib.storage.predictions import Predictions

Arms = Mapping[str, tuple[int, "Predictions"]]  # of one technique: the seed of each arm (0: not recorded), its runs


class Results:
    """The results of an analysis: the verdict, all tables as pandas frames with captions, figures, and the report.

    verdict: sentences. tables: all tables by name (`tables` alone lists them); summary, comparisons, risk and metrics
    are among them. plot: the figures, each a method: `results.plot.effects()`. report(path): one page with everything.
    how_many(): the probability of each verdict by number of runs. plan: techniques, arms, classes, groups and analysis,
    as plain values. evidence: what runs recorded about themselves.

    `fitlib.analyze` makes such an object of arrays, `fitlib.load` of an experiment's folder. `first + second`, or
    `fitlib.combine`, adds runs or techniques.
    """

    def __init__(
        self,
        plan: Mapping[str, Any],
        frames: Mapping[str, pd.DataFrame],
        rows: int,
        evidence: Sequence[Mapping[str, Any]] = (),
        predictions: Mapping[str, Arms] | None = None,
        custom: Mapping[str, Metric] | None = None,
        history: pd.DataFrame | None = None,
    ):
        """Set plan and frames; ``rows``: of the test set; ``evidence``: what the runs recorded about themselves.

        ``predictions``: of each technique, before attributes are crossed. ``custom``: metrics beside the seven.
        ``history``: of trainings, as `fitlib.tables.epochs.gather_history` returns it.
        """
        self._plan, self._rows, self._evidence = plan, rows, list(evidence)
        self._predictions, self._custom = dict(predictions or {}), dict(custom or {})
        self._trained = no_history() if history is None else history
        self._tables: Tables = TablesInMemory(frames, plan)

    @property
    def plan(self) -> Mapping[str, Any]:
        """Techniques, arms, data, classes, groups, analysis: a copy, as tables follow the plan as it was made."""
        return deepcopy(self._plan)

    @property
    def evidence(self) -> list:
        """What every run recorded about itself: arm, run, status, fingerprint, digests; [] for arrays."""
        return self._evidence

    @property
    def tables(self) -> Tables:
        """All tables by name; `tables` alone lists them, `tables.summary` is one as a pandas frame."""
        return self._tables

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
        return self._verdict()

    def _verdict(self) -> list[str]:
        from fitlib.report.sections.verdict import verdict  # late: imports matplotlib

        return verdict(self.tables, self.plan, self.evidence)

    @property
    def plot(self) -> Plots:
        """The figures, each a method that returns its axes: `results.plot.heat_map()`."""
        from fitlib.results.plots import Plots  # late: imports matplotlib

        return Plots(self)

    def report(self, path: str | Path | None = None) -> Path:
        """Write the report as one self-contained page to ``path``, and return it: the page of the command.

        It has no links to files beside it. Raises InputError without a path.

        >>> import tempfile
        >>> from fitlib.results.example import example_results
        >>> page = example_results().report(tempfile.mkdtemp() + "/report.html")
        >>> "The verdict" in page.read_text(encoding="utf-8")
        True
        """
        if path is None:
            remedy = 'name the page to write: results.report("report.html")'
            raise InputError("results.report", "path", None, "results in memory have no page", remedy)
        from fitlib.results.report_page import write_report_page  # late: imports matplotlib

        return write_report_page(path, self._frames(), self.plan, self.evidence, *self._name_and_date())

    def _name_and_date(self) -> tuple[str, str]:
        """Return the experiment's name and the day of its statistics, as pages name them; "" where not recorded."""
        return "", ""

    def _frames(self) -> dict[str, pd.DataFrame]:
        """Return all tables, with the history of trainings, as plain frames: what sections and figures are made of."""
        return {name: pd.DataFrame(table) for name, table in self.tables.items()} | {"history": self._history()}

    def _history(self) -> pd.DataFrame:
        return self._trained

    def _seeded_runs(self) -> dict[str, Arms]:
        """Return the predictions of each technique: {arm: (seed, runs)}; {} where they were not kept."""
        return self._predictions

    def _custom_metrics(self) -> dict[str, Metric]:
        """Return the metrics beside the seven."""
        return self._custom

    def __add__(self, other: object) -> Results:
        if not isinstance(other, Results):
            return NotImplemented
        import fitlib  # by its public name: the module that combines needs this one

        combine = cast("Callable[[Results, Results], Results]", fitlib.combine)
        return combine(self, other)

    def how_many(
        self,
        metrics: str | Sequence[str] = (),
        techniques: str | Sequence[str] = (),
        smallest_effect: Declared | None = None,
        level: float | None = None,
        numbers: Sequence[int] = NUMBERS,
    ) -> Frame:
        """Return the probability of each verdict by number of runs and true difference, with these results as a pilot.

        metrics, techniques: only these; without ``metrics`` the primary one, else those of median and of largest SD.
        smallest_effect, level: other ones than these results have. numbers: of runs of each. The frame's `answer` says
        in sentences what the present runs can decide, and what more of them would.

        >>> from fitlib.results.example import example_results
        >>> planned = example_results().how_many(metrics="DP", techniques="Same", numbers=[16, 64])
        >>> equal = planned[planned["true_difference"] == 0]
        >>> [f"{row.n_technique} runs: {row.equivalent:.2f}" for row in equal.itertuples()]
        ['6 runs: 0.01', '16 runs: 0.19', '64 runs: 0.87']
        >>> planned.answer.split(",")[0]
        'With the runs there are'
        """
        from fitlib.report.sections.planning import sentences  # late: imports matplotlib
        from fitlib.tables.planning import how_many

        metrics, techniques = _names(metrics), _names(techniques)
        tables = self.tables["comparisons"], self.tables["over_seeds"]
        for name in metrics:
            one_of("results.how_many", "metrics", name, dict.fromkeys(tables[0]["metric"]))
        for name in techniques:
            one_of("results.how_many", "techniques", name, dict.fromkeys(tables[0]["technique"]))
        _check_planning(smallest_effect, level, numbers)
        found = how_many(*tables, dict(self.plan), numbers, techniques, metrics, smallest_effect, level)
        answered = frame(found, self.plan, "planning")
        answered.answer = " ".join(sentences(found))
        return answered

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.startswith("_") or name.startswith("__")]

    def __repr__(self) -> str:
        names = ", ".join(technique["technique"] for technique in self.plan["techniques"])
        counts = self.tables["summary"].groupby(["technique", "arm"])["n"].max().groupby("technique").sum()
        numbers = sorted(set(counts.astype(int)))
        runs = f"{count(numbers[0], 'run')} each" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]} runs"
        groups, rows = ", ".join(self.plan["groups"]), self._rows
        return f"<results of {names}: {runs}, {count(rows, 'row')}, groups by {groups}>"

    def _repr_html_(self) -> str:
        return notebook_html(verdict_html(self.verdict, self.plan, self.evidence, self.tables))


def _check_planning(smallest_effect: Declared | None, level: float | None, numbers: Sequence[int]) -> None:
    """Raise InputError for what `Results.how_many` cannot plan with."""
    where = "results.how_many"
    try:
        check(DEFAULT if smallest_effect is None else smallest_effect)
    except (TypeError, ValueError) as error:
        problem, remedy = f"invalid value: {error}", 'give 0.01, "10 %" or {"DP": 0.02}'
        raise InputError(where, "smallest_effect", smallest_effect, problem, remedy) from None
    if level is not None and not 0 < level < 1:
        raise InputError(where, "level", level, "not between 0 and 1", "give the level of each verdict, as 0.01")
    if not len(numbers) or any(n != int(n) or n < 2 for n in numbers):
        raise InputError(where, "numbers", numbers, "not numbers of runs, 2 or more", "for example numbers=[4, 8, 16]")


def _names(given: str | Sequence[str]) -> list[str]:
    return [given] if isinstance(given, str) else list(given)
