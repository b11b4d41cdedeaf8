"""Findings on the runs of a technique in an arm: whether they are FIT, and whether they are bit-identical."""

from collections.abc import Callable, Sequence
from typing import Any

from fitlib.tables.schemas import Json

CheckFit = Callable[[Sequence[Json], str, str], Any]


class Findings:
    """Findings of the evidence on the runs of a training in an arm; each check is made once and kept.

    ``plan["digests"]`` {technique: {arm: SHA-256 of every run's predictions}} replaces the evidence where predictions
    were made elsewhere.
    """

    def __init__(self, evidence: Sequence[Json], check_fit: CheckFit | None, plan: Json):
        self.all = list(evidence)
        self.by_run = {(e["training"], e["arm"], e["run"]): e for e in self.all if e.get("role", "main") == "main"}
        self._check, self._digests = check_fit, plan.get("digests") or {}
        self._identities: dict[tuple[str, str], Any] = {}

    def identity(self, training: str, arm: str) -> Any:
        """Return the result of ``check_fit``, by default `fitlib.statistics.run_identity.check_fit`."""
        if (training, arm) not in self._identities:
            self._identities[training, arm] = (self._check or _check_fit())(self.all, training, arm)
        return self._identities[training, arm]

    def fit(self, technique: Json, arm: Json) -> str:
        """Return whether the runs are FIT: "yes", "no" or "unknown"."""
        return {True: "yes", False: "no", None: "unknown"}[self.identity(technique["training"], arm["arm"]).fit]

    def bit_identical(self, technique: Json, arm: Json) -> str:
        """Return a sentence if all runs have one digest of predictions (or else of final weights), "" otherwise."""
        arm_runs = (e for (*where, _), e in self.by_run.items() if where == [technique["training"], arm["arm"]])
        done = [e for e in arm_runs if e["status"] == "done"]
        predictions = [(e.get("predictions") or {}).get(technique["technique"]) for e in done]
        weights = [e.get("final_weights") for e in done]
        given = self._digests.get(technique["technique"], {}).get(arm["arm"], [])
        for what, digests in (("predictions", predictions), ("final weights", weights), ("predictions", given)):
            if len(digests) > 1 and all(digests):
                same = f"{what} bit-identical in {len(digests)} of {len(digests)} runs (SHA-256)"
                return same if len(set(digests)) == 1 else ""
        return ""


def _check_fit() -> CheckFit:
    from fitlib.statistics.run_identity import check_fit

    return check_fit
