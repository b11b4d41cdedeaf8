"""Trainings of an experiment: fitlib's, behind the interface that it shares with `custom_training.CustomTraining`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from fitlib.digest import canonical_json, digest_json
from fitlib.errors import InputError
from fitlib.experiment.code_inspection import fitlib_imports
from fitlib.experiment.custom_training import CustomTraining
from fitlib.experiment.notebooks import notebook_path
from fitlib.experiment.registry.datasets import DATASETS
from fitlib.experiment.registry.methods import METHODS
from fitlib.experiment.registry.networks import NETWORKS
from fitlib.experiment.registry.noises import NOISES
from fitlib.options import expanded, options_of
from fitlib.storage.keys import key_parts


class FitlibTraining:
    """Method, network and loop of fitlib on a data set, executed by `train.ipynb`.

    name: of the folder of its runs; method, select: as reports tell them; data: settings of the data set; declared:
    classes and groups that the file gives; notebook: what a run executes; starts_apart: whether the plan declares that
    runs start from different weights.
    """

    declared = None  # the data set tells
    automatic_noise = "ulp"  # on the CPU, which by itself repeats itself
    checked = False  # `train.ipynb` saves what is asked for, or raises

    def __init__(self, settings: Mapping[str, Any]):
        self._settings = settings
        self.name = self.method = settings["method"]["name"]
        self.select: str = settings["training"]["select"]
        self.data: dict[str, Any] = settings["data"]
        self.notebook = notebook_path("train")
        self.starts_apart = settings["training"].get("seeding", "before-network") != "before-network"

    def check(self, where: str, needed: Iterable[str]) -> None:
        """Nothing: the schema has checked everything, and every noise and seed has its effect."""

    def run_parameters(self, shared: Mapping[str, object], techniques: Mapping[str, str]) -> dict[str, object]:
        """Parameters of the notebook for one run, without the folder."""
        chosen = {name: self._settings[name] for name in ("data", "network", "method", "training")}
        return {**chosen, "techniques": techniques, **shared}

    def recorded_parameters(
        self, shared: Mapping[str, object], techniques: Mapping[str, str], notebook: str, names: Iterable[str]
    ) -> dict[str, object]:
        """The parameters of a run, whichever version of `train.ipynb` it executed."""
        return self.run_parameters(shared, techniques)

    def key_parts(self, parameters: Mapping[str, object], techniques: Mapping[str, str]) -> dict[str, str]:
        """Parts of the key of a run with these parameters."""
        chosen = {name: self._settings[name] for name in ("data", "network", "method")}
        return {**_parts(canonical_json(chosen)), "parameters": self.parameters_part(parameters, techniques)}

    def parameters_part(self, parameters: Mapping[str, object], techniques: Mapping[str, str]) -> str:
        """The part `parameters` of a run's key."""
        return digest_json(dict(parameters))

    def check_unchanged(self) -> None:
        """Nothing: an installed fitlib does not change while it works."""


Source = FitlibTraining | CustomTraining


def source_of(settings: Mapping[str, Any]) -> Source:
    """What trains a training with these resolved settings."""
    return FitlibTraining(settings) if "method" in settings else CustomTraining(settings)


@cache
def _parts(settings: bytes) -> dict[str, str]:
    """All parts but the parameters; settings: data, network and method as JSON (options may be lists)."""
    chosen = json.loads(settings)
    data = DATASETS[chosen["data"]["name"]]
    entries = [data, NETWORKS[chosen["network"]["name"]], METHODS[chosen["method"]["name"]], *NOISES.values()]
    modules = {*fitlib_imports(notebook_path("train")), *(entry.module for entry in entries)}
    files = [*data.source_files(options_of(chosen["data"])), *_weights(chosen["network"])]
    return key_parts("train", notebook_path("train"), modules, {}, data=files)


def _weights(network: dict) -> list[Path]:
    """The weight file that a network starts from, if it does."""
    if not network.get("weights"):
        return []
    path = Path(expanded(network["weights"]))
    if not path.is_file():
        remedy = "correct the path, or download torchvision's weight file to it"
        raise InputError("plan", "network.weights", network["weights"], "no such file", remedy)
    return [path]


@dataclass(frozen=True)
class TrainingSpec:
    """What is actually trained, and the inference rules applied to the result."""

    name: str
    settings: dict[str, Any]  # method, data, network, training; or those of an own training: all resolved
    techniques: dict[str, str]  # technique -> inference rule

    @cached_property
    def source(self) -> Source:
        """What trains it: fitlib or somebody's own code, behind one interface."""
        return source_of(self.settings)
