"""Results of an experiment, loaded lazily from its folder: `fitlib.load("quickstart")`. Nothing is recomputed."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from fitlib.errors import InputError, did_you_mean
from fitlib.experiment.declaration import latest_plan
from fitlib.experiment.notebooks import injected_parameters
from fitlib.formatting import count, join_items
from fitlib.metrics.custom_metrics import Metric
from fitlib.metrics.metric_sources import load as load_metrics
from fitlib.report.executed_notebooks import executed_on
from fitlib.report.notebook_display import address, notebook_html
from fitlib.report.scope import name_of
from fitlib.results.captioned_frames import Frame, Tables, frame
from fitlib.results.results import Arms, Results
from fitlib.results.verdict_display import verdict_html
from fitlib.storage.atomic_files import read_json
from fitlib.storage.journal import deviations
from fitlib.storage.paths import ExperimentPaths
from fitlib.storage.predictions import crossed_name, read_predictions, stack
from fitlib.storage.records import FAILED, RECORD
from fitlib.tables.epochs import gather_history
from fitlib.tables.metric_series import main_arms

OUTPUTS = "outputs"
EARLIER_VERSION = (
    "The tables of this experiment were made by an earlier version of fitlib, whose verdicts did not hold together: "
    "run the experiment again for its verdict."
)
RUN_KEYS = ("training", "arm", "run")


def experiments(outputs: str | Path | None = None) -> list[str]:
    """Return the names of the experiments and analyses in ``outputs`` (default: the next `outputs` here or above)."""
    folder = _outputs(outputs)
    return sorted(path.name for path in folder.glob("*") if _is_experiment(path)) if folder else []


def load(name: str | Path, outputs: str | Path | None = None) -> ExperimentResults:
    """Load an experiment's results, lazily: `fitlib.load("quickstart")`, or the path of its folder.

    ``outputs``: the folder of all experiments; by default the next folder `outputs` in this folder or above it. Raises
    InputError where there is no such experiment.

    The result has all that `fitlib.Results` has (`verdict`, `tables`, `summary`, `comparisons`, `plot`, `report()`,
    `how_many()`, …), and `runs`, `history`, `digests`, `fingerprints`, `predictions(technique)`; in a notebook it
    displays its verdict.
    """
    folder, path = _outputs(outputs), Path(name)
    for place in ([folder / path] if folder and path.name == str(path) else []) + [path]:
        if _is_experiment(place):
            return ExperimentResults(place)
    where = str(folder or Path(outputs or OUTPUTS))
    if path.suffix == ".zip" and path.is_file():
        problem, remedy = "an archive, not a folder", f"unpack it first: python -m zipfile -e {path.name} FOLDER"
        raise InputError(where, "name", str(name), problem, remedy)
    names = experiments(outputs)
    remedy = f"available: {', '.join(names)}" if names else "create one with fitlib run params/quickstart.yaml"
    raise InputError(where, "name", str(name), "no such experiment", did_you_mean(str(name), names, remedy))


def _outputs(outputs: str | Path | None) -> Path | None:
    if outputs is not None:
        return Path(outputs)
    here = Path.cwd()
    return next((path for place in (here, *here.parents) if (path := place / OUTPUTS).is_dir()), None)


def _is_experiment(path: Path) -> bool:
    return any((path / name).is_file() for name in ("experiment.yaml", "statistics.ipynb"))


class ExperimentResults(Results):
    """The results in the folder of an experiment, of an analysis, or of one of several families of techniques.

    Verdict, tables, figures and report as of all `Results`; read on first use, nothing is recomputed.
    runs: one row per run of a training, with its fingerprint and digests. run(training, arm, run): its files.
    history: accuracy and loss by run, epoch and group. digests: what every run recorded, by epoch.
    fingerprints: every part of every run's fingerprint. predictions(technique): every row of every run.
    plan, evidence: as the statistics were made with them. report(): path of report.html.
    families: one such object for each family, where techniques have different classes or groups.
    """

    def __init__(self, root: str | Path, family: str = "", known: tuple[Mapping, list] | None = None):
        """Set the experiment's folder ``root``; ``family``: one of several; ``known``: plan and evidence."""
        self._paths = ExperimentPaths(Path(root).absolute())
        self._place = self._paths.family(family) if family else self._paths
        self._family, self._known = family, known

    @property
    def name(self) -> str:
        """Name of the experiment, and of the family where there are several."""
        name = self.root.resolve().name
        return f"{name}/{self._family}" if self._family else name

    @property
    def root(self) -> Path:
        """The experiment's folder."""
        return self._paths.root

    def report(self, path: str | Path | None = None) -> Path:
        """Return the path of the report in the folder; with ``path`` write it there, as one self-contained page."""
        self._check_one()
        return self._place.report if path is None else super().report(path)

    def _name_and_date(self) -> tuple[str, str]:
        return name_of(self._place.root), executed_on(read_json(self._place.statistics) or {})

    @cached_property
    def families(self) -> dict[str, ExperimentResults]:
        """One loaded experiment for each of several families of techniques; {} where all belong together."""
        if self._family:
            return {}
        names = sorted(path.name for path in self.root.glob("families/*") if path.is_dir())
        return {name: ExperimentResults(self.root, name) for name in names}

    @property
    def finished(self) -> bool:
        """Whether there are tables."""
        return (
            self._known is not None
            or self._place.statistics.is_file()
            or any(f.finished for f in self.families.values())
        )

    @cached_property
    def _given(self) -> tuple[Mapping, list]:
        """Plan and evidence that the statistics were made with."""
        if self._known is not None:
            return self._known
        self._check_one()
        if not self._place.statistics.is_file():
            done = len(list(self.root.glob(f"runs/*/*/run-*/{RECORD}")))
            problem = f"not finished: {count(done, 'run')} done, no tables yet"
            raise InputError(str(self.root), "experiment", self.name, problem, "finish it with fitlib run")
        cells = json.loads(self._place.statistics.read_text(encoding="utf-8"))["cells"]
        given: Mapping[str, Any] = injected_parameters(cells) or {}
        return given["plan"], given["evidence"]

    def _check_one(self) -> None:
        if self.families:
            names = ", ".join(self.families)
            problem = f"it has {len(self.families)} families of techniques, each with its own results"
            raise InputError(str(self.root), "experiment", self.name, problem, f"choose one of .families: {names}")

    @property
    def plan(self) -> Mapping[str, Any]:
        """The plan: techniques, arms, data, classes, groups, analysis."""
        return self._given[0]

    @property
    def evidence(self) -> list[dict]:
        """What every run recorded about itself, as plain values; [] for predictions made elsewhere."""
        return self._given[1]

    @property
    def declared(self) -> Mapping | None:
        """The experiment file as it was declared last; None for an analysis."""
        return latest_plan(self._paths)

    @property
    def deviations(self) -> list[str]:
        """Deviations from the declared plan."""
        return deviations(self._paths)

    @cached_property
    def tables(self) -> Tables:
        """All tables by name; `tables` alone lists them, `tables.summary` is one as a pandas frame."""
        return Tables(self._place.tables, self.plan)

    def counts(self, technique: str) -> Frame:
        """Return integers by run, group, true and predicted class (of labels: cells of each label), without zeros."""
        path = self._place.technique(self._technique(technique)) / "counts.parquet"
        if not path.is_file():
            raise InputError(str(path), "counts", technique, "no such file", "recreate it with fitlib report")
        return self._frame(pd.read_parquet(path), "counts")

    @cached_property
    def verdict(self) -> list[str]:
        """The verdict in sentences, qualified as the report has it."""
        return [EARLIER_VERSION] if self._is_of_earlier_version else self._verdict()

    @property
    def _is_of_earlier_version(self) -> bool:
        compared = self.tables["comparisons"]
        unknown = len(compared) > 0 and (compared["verdict_unadjusted"] == "").all()
        return bool(unknown and (compared["verdict"] != "").any())

    # Runs

    @cached_property
    def _folders(self) -> list[tuple[dict, Path]]:
        """Training, arm and run of every folder of a run, with the folder; of a family, those of its trainings."""
        known = {t["training"] for t in self.plan["techniques"]} if self._family else None
        found = []
        for folder in sorted(self.root.glob("runs/*/*/run-*")):
            training, arm, name = folder.parts[-3:]
            if name.removeprefix("run-").isdecimal() and (known is None or training in known):
                found.append(({"training": training, "arm": arm, "run": int(name.removeprefix("run-"))}, folder))
        return found

    @property
    def runs(self) -> Frame:
        """One row per run of a training: training, arm, run, status, fingerprint, initial and final weights, folder.

        Digests are SHA-256; "" where a run recorded none.
        """
        rows = [{**keys, **_measured(folder)} for keys, folder in self._folders]
        columns = [*RUN_KEYS, "status", "fingerprint", "initial_weights", "final_weights", "folder"]
        return self._frame(pd.DataFrame(rows, columns=columns), "every run")

    def run(self, training: str, arm: str, run: int) -> LoadedRun:
        """Return the files of one run."""
        for keys, folder in self._folders:
            if (keys["training"], keys["arm"], keys["run"]) == (training, arm, int(run)):
                return LoadedRun(folder)
        names = [f"{k['training']}/{k['arm']}/run-{k['run']:02d}" for k, _ in self._folders]
        wanted = f"{training}/{arm}/run-{int(run):02d}"
        raise InputError(str(self.root), "run", wanted, "no such run", f"available: {join_items(names, 6)}")

    @property
    def history(self) -> Frame:
        """Accuracy and loss by training, arm, run, epoch and group."""
        return self._gathered("history", [*RUN_KEYS, "epoch", "group", "n", "train_loss", "test_accuracy"])

    @property
    def digests(self) -> Frame:
        """SHA-256 of what every run recorded: initial weights, first batch, order and weights after each epoch."""
        return self._gathered("digests", [*RUN_KEYS, "epoch", "part", "digest"])

    def _gathered(self, name: str, columns: list[str]) -> Frame:
        parts = [getattr(LoadedRun(folder), name).assign(**keys) for keys, folder in self._folders]
        parts = [part for part in parts if len(part)]
        rows = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
        return self._frame(rows[[c for c in columns if c in rows]], name)

    @property
    def fingerprints(self) -> Frame:
        """Every part of every run's fingerprint: training, arm, run, part, value."""
        rows = [
            {**keys, "part": part, "value": str(value)}
            for keys, folder in self._folders
            for part, value in LoadedRun(folder).fingerprint.items()
        ]
        return self._frame(pd.DataFrame(rows, columns=[*RUN_KEYS, "part", "value"]), "fingerprints")

    def predictions(self, technique: str, arm: str | None = None, run: int | None = None) -> Frame:
        """Return all rows of a technique's runs (of one arm, of one run): technique, arm, run, then the predictions."""
        found = self._predicted(self._technique(technique))
        files = [(a, r, path) for a, r, path in found if arm in (None, a) and run in (None, r)]
        if not files:
            problem = "no predictions of these runs are here (an export leaves them out)"
            raise InputError(str(self.root), "predictions", technique, problem, "see .runs for those available")
        parts = [read_predictions(path).assign(technique=technique, arm=a, run=r) for a, r, path in files]
        rows = pd.concat(parts, ignore_index=True)
        keys = ["technique", "arm", "run"]
        return self._frame(rows[keys + [c for c in rows if c not in keys]], "predictions")

    def _technique(self, name: str) -> str:
        names = [t["technique"] for t in self.plan["techniques"]]
        if name not in names:
            remedy = did_you_mean(name, names, f"available: {', '.join(names)}")
            raise InputError(str(self.root), "technique", name, "no such technique", remedy)
        return name

    def _predicted(self, technique: str) -> list[tuple[str, int, Path]]:
        main = [arm["arm"] for arm in main_arms(self.plan)]
        own = [(k["arm"], k["run"], folder / "predictions" / f"{technique}.parquet") for k, folder in self._folders]
        made = sorted((self.root / "predictions" / technique).glob("run-*.parquet"))
        own += [(main[0], int(path.stem.removeprefix("run-")), path) for path in made]
        return [(arm, run, path) for arm, run, path in own if arm in main and path.is_file()]

    def _frame(self, rows: pd.DataFrame, table: str) -> Frame:
        return frame(rows, self.plan if self._known or self._place.statistics.is_file() else None, table)

    def _history(self) -> pd.DataFrame:
        return gather_history(self._place.root, self.evidence)

    def _seeded_runs(self) -> dict[str, Arms]:
        crossed = {crossed_name(names) for names in self.plan["analysis"].get("cross") or []}
        sizes = {name: len(groups) for name, groups in self.plan["groups"].items() if name not in crossed}
        seeds = {arm["arm"]: arm["seed"] or 0 for arm in main_arms(self.plan)}
        found: dict[str, Arms] = {}
        for technique in (t["technique"] for t in self.plan["techniques"]):
            files: dict[str, dict[int, Path]] = {}
            for arm, run, path in self._predicted(technique):
                files.setdefault(arm, {})[run] = path
            if files:
                arms = {arm: files[arm] for arm in seeds if arm in files}
                classes = len(self.plan["classes"])
                found[technique] = {arm: (seeds[arm], stack(paths, classes, sizes)) for arm, paths in arms.items()}
        return found

    def _custom_metrics(self) -> dict[str, Metric]:
        return load_metrics(self.plan["analysis"].get("metrics"), str(self.root))

    # Display

    def __repr__(self) -> str:
        runs = (
            count(len(self._folders), "run") if not self.families else count(len(self.families), "family", "families")
        )
        state = "" if self.finished else ", not finished"
        return f"<experiment {self.name}: {runs}{state}; in {self.root}>"

    def _repr_html_(self) -> str:
        title = f"<h3>{html.escape(self.name)}</h3>"
        if self.families:
            names = "".join(f"<li><code>.families[{html.escape(repr(name))}]</code></li>" for name in self.families)
            return f"{title}<p>Families of techniques, each with results of its own:</p><ul>{names}</ul>"
        if not self.finished:
            return f"{title}<p>{html.escape(repr(self)[1:-1])}. Finish it with <code>fitlib run</code>.</p>"
        link = _link(self.report(), "report") if self.report().is_file() else ""
        has_figure = not self._is_of_earlier_version
        shown = verdict_html(self.verdict, self.plan, self.evidence, self.tables, has_figure)
        return notebook_html(f"{title}{shown}{link}")


class LoadedRun:
    """The files of one run of a training; frames are empty where it recorded none."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.notebook = folder / "train.ipynb"

    @property
    def history(self) -> pd.DataFrame:
        """Accuracy and loss by epoch and group."""
        return self._table("history")

    @property
    def digests(self) -> pd.DataFrame:
        """What was digested after each epoch: epoch, part, digest."""
        return self._table("digests")

    @property
    def fingerprint(self) -> dict[str, str]:
        """What must be equal for runs to count as identical, part by part."""
        return dict((read_json(self.folder / "fingerprint.json") or {}).get("parts") or {})

    def _table(self, name: str) -> pd.DataFrame:
        path = self.folder / f"{name}.parquet"
        return pd.read_parquet(path) if path.is_file() else pd.DataFrame()

    def __repr__(self) -> str:
        return f"<run {'/'.join(self.folder.parts[-3:])}>"


def _measured(folder: Path) -> dict[str, str]:
    run = LoadedRun(folder)
    status = "done" if (folder / RECORD).is_file() else "failed" if (folder / FAILED).is_file() else "missing"
    found = run.digests.sort_values("epoch") if len(run.digests) else pd.DataFrame(columns=["part", "digest"])
    digests = {part: list(found.loc[found["part"] == part, "digest"]) for part in ("initial weights", "weights")}
    return {
        "status": status,
        "fingerprint": str((read_json(folder / "fingerprint.json") or {}).get("fingerprint", "")),
        "initial_weights": "".join(digests["initial weights"][:1]),
        "final_weights": "".join(digests["weights"][-1:]),
        "folder": str(folder),
    }


def _link(path: Path, text: str) -> str:
    """Return a link that leads from the notebook's folder to a file."""
    relative = Path(os.path.relpath(path)).as_posix()
    return f'<p><a href="{html.escape(address(relative), quote=True)}">{html.escape(text)}</a></p>'
