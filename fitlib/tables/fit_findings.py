"""What the evidence says of a technique's runs in an arm: are they FIT, are their predictions bit-identical?"""

from collections.abc import Callable, Sequence
from typing import Any

from fitlib.tables.schemas import Json

CheckFit = Callable[[Sequence[Json], str, str], Any]


class Findings:
    """What the evidence says of a training's runs in an arm; each question is put once.

    ``plan["digests"]`` {technique: {arm: SHA-256 of every run's predictions}} stands in for evidence where predictions
    were made elsewhere.
    """

    def __init__(self, evidence: Sequence[Json], check_fit: CheckFit | None, plan: Json):
        self.all = list(evidence)
        self.by_run = {(e["training"], e["arm"], e["run"]): e for e in self.all if e.get("role", "main") == "main"}
        self._check, self._identities, self._digests = check_fit, {}, plan.get("digests") or {}

    def identity(self, training: str, arm: str) -> Any:
        """What ``check_fit`` (by default `fitlib.statistics.run_identity.check_fit`) answers."""
        if (training, arm) not in self._identities:
            self._identities[training, arm] = (self._check or _check_fit())(self.all, training, arm)
        return self._identities[training, arm]

    def fit(self, technique: Json, arm: Json) -> str:
        """Whether the runs are FIT: "yes", "no" or "unknown"."""
        return {True: "yes", False: "no", None: "unknown"}[self.identity(technique["training"], arm["arm"]).fit]

    def bit_identical(self, technique: Json, arm: Json) -> str:
        """The sentence that says so, if the digests of all runs' predictions (or else of their weights) are one."""
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
