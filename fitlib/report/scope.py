"""Where a page stands: the experiment or run that it is of, its conditions in one line, and the pages around it.

Only what plan and notebook have recorded is named, so a page follows from its notebook and the name of its folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fitlib
from fitlib.formatting import count, join_items
from fitlib.report.executed_notebooks import HASHED, executed_on, parameters_of
from fitlib.report.vocabulary import data_name, seed, seeded_by_run, varied
from fitlib.tables.metric_series import main_arms

OUTPUTS = "outputs"  # folder of all experiments; in it stands the page that lists them
FAMILIES = "families"
MOST_NAMED = 4  # seeds, noises and techniques listed one by one
Links = tuple[tuple[str, str], ...]  # text and relative address


@dataclass(frozen=True)
class Scope:
    """The place of a page: `name` of experiment and run, `facts` on it, links `back` to what it is part of and `on`."""

    name: str = ""
    facts: tuple[str, ...] = ()
    back: Links = ()
    on: Links = ()

    def title(self, heading: str) -> str:
        """Return the title of a page with this heading.

        >>> Scope("quickstart").title("The verdict"), Scope().title("The verdict")
        ('quickstart · The verdict', 'The verdict')
        """
        return " · ".join(part for part in (self.name, heading) if part)


NOWHERE = Scope()


def name_of(folder: Path) -> str:
    """Return the name of an experiment by its folder, and of the family where there are several.

    >>> name_of(Path("outputs/quickstart")), name_of(Path("outputs/paper/families/S"))
    ('quickstart', 'paper, S')
    """
    place = Path(os.path.abspath(folder))
    return f"{place.parent.parent.name}, {place.name}" if place.parent.name == FAMILIES else place.name


def back_links(folder: Path) -> Links:
    """Return the links from a page in an experiment's (or a family's) folder to all experiments and to its families.

    >>> back_links(Path("outputs/quickstart")), back_links(Path("elsewhere/quickstart"))
    ((('All experiments', '../index.html'),), ())
    """
    place = Path(os.path.abspath(folder))
    family = place.parent.name == FAMILIES
    root, up = (place.parent.parent, "../../") if family else (place, "")
    everything = (("All experiments", f"{up}../index.html"),) if root.parent.name == OUTPUTS else ()
    return (*everything, *(((root.name, f"{up}index.html"),) if family else ()))


def of_experiment(
    plan: Mapping[str, Any], evidence: Sequence[Mapping] = (), name: str = "", date: str = "", back: Links = (),
    on: Links = ()
) -> Scope:  # fmt: skip
    """Return the scope of a page on all runs; `date`: the day on which its notebook was executed."""
    data, arms = data_name(plan), main_arms(plan)
    facts = (date, data, _sizes(plan, evidence), _seeds(arms), _noises(arms), *_written(plan))
    return Scope(name, tuple(fact for fact in facts if fact), back, on)


def notebook_scope(notebook: Mapping[str, Any], name: str = "", back: Links = (), on: Links = ()) -> Scope:
    """Return the scope of a page on all runs, or on a study, by what its executed notebook has recorded."""
    given, date = parameters_of(notebook), executed_on(notebook)
    if given.get("plan"):
        return of_experiment(given["plan"], given.get("evidence") or (), name, date, back, on)
    return Scope(name, (date, written_by()), back, on) if date else Scope(name, (), back, on)


def of_run(plan: Mapping[str, Any], run: Mapping[str, Any], name: str, date: str, back: Links, on: Links) -> Scope:
    """Return the scope of the page of one run; `run`: its training, arm and number."""
    used = [t["technique"] for t in plan["techniques"] if t["training"] == run["training"]]
    text = f"{'technique' if len(used) == 1 else 'techniques'} {join_items(used, MOST_NAMED)}"
    arms = [arm for arm in plan["arms"] if arm["arm"] == run["arm"]]
    facts = (date, data_name(plan), text, _seeds(arms), _noises(arms), *_written(plan))
    place = f"{run['training']}/{run['arm']}/run-{int(run['run']):02d}"
    return Scope(f"{name} · {place}", tuple(fact for fact in facts if fact), back, on)


def of_technique(plan: Mapping[str, Any], technique: str, name: str, date: str, back: Links, on: Links) -> Scope:
    """Return the scope of the page on the metrics of one technique."""
    one = {**plan, "techniques": [t for t in plan["techniques"] if t["technique"] == technique]}
    whole = of_experiment(one, date=date)
    return Scope(f"{name} · {technique}", whole.facts, back, on)


def written_by() -> str:
    """Return which fitlib writes the page."""
    return f"page by fitlib {fitlib.__version__}"


def _written(plan: Mapping[str, Any]) -> tuple[str, ...]:
    declared = str(plan.get("declared_hash") or "")[:HASHED] if plan.get("source") == "fitlib" else ""
    return (written_by(), f"plan {declared}" if declared else "")


def _sizes(plan: Mapping[str, Any], evidence: Sequence[Mapping]) -> str:
    """Return "4 techniques × 16 runs"; runs of which some failed were only planned."""
    arms = main_arms(plan)
    numbers = join_items(dict.fromkeys(arm["runs"] for arm in arms), MOST_NAMED)
    noun = "run" if numbers == "1" else "runs"
    if any(arm["kind"] == "unknown" for arm in arms):  # the plan knows the most runs only
        numbers = f"at most {numbers}"
    elif any(run["status"] != "done" for run in evidence if run["role"] == "main"):
        noun = f"planned {noun}"
    return f"{count(len(plan['techniques']), 'technique')} × {numbers} {noun}"


def _seeds(arms: Sequence[Mapping]) -> str:
    if any(map(seeded_by_run, arms)):
        return "a seed for each run"
    seeds = list(dict.fromkeys(map(seed, arms)))
    if len(seeds) > MOST_NAMED:
        return count(len(seeds), "seed")
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {join_items(seeds)}"


def _noises(arms: Sequence[Mapping]) -> str:
    """Return what varied: "noise ulp (emulated)"; of an unknown origin "noise not recorded"."""
    return join_items(dict.fromkeys(map(varied, arms)), MOST_NAMED)
