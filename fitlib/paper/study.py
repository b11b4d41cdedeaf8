"""The published study: its tasks, techniques and numbers, and its tables recomputed from them.

Tables are computed by `fitlib.statistics.paper_protocol`; `fitlib.paper.published_files` finds and verifies
the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from fitlib.paper.published_files import contents
from fitlib.statistics import paper_protocol as protocol
from fitlib.statistics.paper_protocol import METRIC_NAMES
from fitlib.storage.atomic_files import write_atomically
from fitlib.tables.schemas import write_csv

RUNS = 16


@dataclass(frozen=True)
class Task:
    """A task of the study: techniques in published order, their target metric, and where their performance is stored.

    ``performance`` technique -> key in the file model_perf/``file``; ``scale``: the value of all correct in that file.
    """

    name: str
    title: str
    baseline: str
    target: str
    measure: str
    scale: float
    file: str
    performance: dict[str, str]

    @property
    def techniques(self) -> tuple[str, ...]:
        """All techniques of the task, the baseline first."""
        return tuple(self.performance)


_BALANCED = ("no_gender/", "ratio-1/", "ratio-2/", "ratio-3/", "adv-conv4/", "adv-conv5/")
_KEYS_S = {
    "S-Base": "baseline/",
    "S-RS": "sampling/",
    "S-UC": "uniconf-adv/",
    "S-GR": "gradproj-adv/",
    "S-DD1": "domain-discriminative/Sum-of-prob-no-prior-shift/",
    "S-DD2": "domain-discriminative/Max-of-prob-prior-shift/",
    "S-DD3": "domain-discriminative/Sum-of-prob-prior-shift/",
    "S-DD4": "domain-discriminative/rba/",
    "S-DI1": "domain-independent/Conditional/",
    "S-DI2": "domain-independent/Sum/",
}


def _balanced(task: str, prefix: str = "") -> dict[str, str]:
    names = [f"{task}-{name}" for name in ("Base", "R1", "R2", "R3", "A4", "A5")]
    return {name: prefix + key for name, key in zip(names, _BALANCED, strict=True)}


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("S", "CIFAR-10S", "S-Base", "BA", "accuracy", 100.0, "cifar-10s.yaml", _KEYS_S),
        Task("C", "MS-COCO", "C-Base", "DP", "mAP", 1.0, "coco_mAP.yaml", _balanced("C", "threshold_0.5/")),
        Task("I", "imSitu", "I-Base", "DP", "mAP", 1.0, "imSitu_mAP.yaml", _balanced("I")),
        Task(
            "A", "CelebA, Attractive", "A-Base", "EOFP", "accuracy", 1.0, "celeba_alm_acc.yaml",
            {"A-Base": "no-constraints/", "A-L2": "l2-penalty/", "A-ALM": "fair-alm/"},
        ),
        Task(
            "N", "CelebA, Smiling", "N-Base", "DP", "accuracy", 1.0, "celeba_nifr_acc.yaml",
            {"N-Base": "baseline/", "N-Flow": "inn/"},
        ),
    )
}  # fmt: skip
TECHNIQUES = tuple(technique for task in TASKS.values() for technique in task.techniques)
BASELINES = {t: task.baseline for task in TASKS.values() for t in task.techniques if t != task.baseline}
"""Mitigation -> its baseline, in published order."""


@dataclass(frozen=True)
class StudyNumbers:
    """The study's numbers by fitlib's names of the metrics, with techniques and metrics in published order.

    ``overall`` {technique: {metric: (16,)}}, ``per_class`` {technique: {metric: (16, classes)}}, ``performance``
    {technique: (16,)} in the task's own unit (S percent, the others shares).
    """

    overall: dict[str, dict[str, np.ndarray]]
    per_class: dict[str, dict[str, np.ndarray]]
    performance: dict[str, np.ndarray]


# Reading


def read(folder: Path | str) -> StudyNumbers:
    """Read the published numbers from a folder laid out as downloaded, or from a checkout of the public repository.

    Every file is compared with its SHA-256 before it is parsed. Raises InputError for the first file that is missing or
    altered.
    """
    content = contents(Path(folder))
    overall, per_class = {}, {}
    performance: dict[str, np.ndarray] = {}
    for technique in TECHNIQUES:
        overall[technique] = _metrics(_parse(content[f"raw_bias_numbers/overall/{technique}.yaml"]))
        runs = [_parse(content[f"raw_bias_numbers/per_class/{technique}/run_{i:02d}.yaml"]) for i in range(RUNS)]
        per_class[technique] = _metrics({key: [run[key] for run in runs] for key in runs[0]})
    for task in TASKS.values():
        values = _parse(content[f"model_perf/{task.file}"])
        performance |= {t: np.array(values[key], dtype=np.float64) for t, key in task.performance.items()}
    return StudyNumbers(overall, per_class, performance)


def _parse(content: bytes) -> dict[str, list[str]]:
    """Parse lists of numbers by key, as text, from YAML's events: in a quarter of the time of `yaml.load`.

    No object is ever constructed from a file's content. Raises ValueError for tags and aliases.
    """
    lists: dict[str, list[str]] = {}
    key = ""
    values: list[str] | None = None
    for event in yaml.parse(content, Loader=_LOADER):
        if getattr(event, "tag", None) is not None or isinstance(event, yaml.AliasEvent):
            line = event.start_mark.line + 1 if event.start_mark else "unknown"
            raise ValueError(f"line {line}: neither tags nor aliases are read")
        # A scalar is a key outside a sequence, and a value inside one.
        if isinstance(event, yaml.ScalarEvent) and values is None:
            key = event.value
        elif isinstance(event, yaml.ScalarEvent) and values is not None:
            values.append(event.value)
        elif isinstance(event, yaml.SequenceStartEvent):
            values = lists[key] = []
        elif isinstance(event, yaml.SequenceEndEvent):
            values = None
    return lists


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _metrics(values: dict[str, list]) -> dict[str, np.ndarray]:
    return {metric: np.array(values[name], dtype=np.float64) for metric, name in METRIC_NAMES.items()}


# Tables


def frames(numbers: StudyNumbers) -> dict[str, pd.DataFrame]:
    """Compute every table of the study, by its file's name: the two published ones as text, the others tidy."""
    labels = protocol.labels_frame(numbers.overall, BASELINES)
    accuracies = protocol.accuracy_frame(numbers.performance, BASELINES)
    costs = protocol.costs_of(labels, accuracies)
    return {
        "stat_tests": protocol.stat_tests_frame(numbers.overall, BASELINES),
        "raw_data": protocol.raw_data_frame(numbers.overall, numbers.per_class),
        "labels": labels,
        "costs": costs,
        "venn": protocol.venn_frame(costs),
        "overlap": protocol.overlap_frame(numbers.overall, BASELINES),
        "accuracy": accuracies,
    }


def write_tables(numbers: StudyNumbers, out: Path | str) -> dict[str, Path]:
    """Write every table of `frames` to `out`/tables; return name -> file."""
    folder = Path(out) / "tables"
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for name, frame in frames(numbers).items():
        written[name] = folder / f"{name}.csv"
        write_raw_data(frame, written[name]) if name == "raw_data" else write_csv(frame, written[name])
    return written


def write_raw_data(frame: pd.DataFrame, path: Path) -> None:
    """Write the table of summaries with its two header lines and, as published, CR LF line ends."""
    write_atomically(path, protocol.raw_data_text(frame))
