"""The trainings of an experiment, fitlib's or custom, behind one interface."""

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
from fitlib.options import expand_path, options_of
from fitlib.storage.keys import key_parts


class FitlibTraining:
    """Method, network and loop of fitlib on a data set, executed by `train.ipynb`.

    name: of the folder of its runs; method, select: as shown in reports; data: settings of the data set; declared:
    classes and groups named in the file; notebook: executed by a run; starts_apart: whether the plan declares that runs
    start from different weights.
    """

    declared = None  # the data set names classes and groups
    automatic_noise = "ulp"  # on the CPU, which is reproducible without a noise
    checked = False  # `train.ipynb` saves everything or raises

    def __init__(self, settings: Mapping[str, Any]):
        self._settings = settings
        self.name = self.method = settings["method"]["name"]
        self.select: str = settings["training"]["select"]
        self.data: dict[str, Any] = settings["data"]
        self.notebook = notebook_path("train")
        self.starts_apart = settings["training"].get("seeding", "before-network") != "before-network"

    def check(self, where: str, needed: Iterable[str]) -> None:
        """Do nothing: the schema has checked everything, and every noise and seed has its effect."""

    def run_parameters(self, shared: Mapping[str, object], techniques: Mapping[str, str]) -> dict[str, object]:
        """Return the notebook's parameters for one run, without the folder."""
        chosen = {name: self._settings[name] for name in ("data", "network", "method", "training")}
        return {**chosen, "techniques": techniques, **shared}

    def recorded_parameters(
        self, shared: Mapping[str, object], techniques: Mapping[str, str], notebook: str, names: Iterable[str]
    ) -> dict[str, object]:
        """Return the parameters of a run, whichever version of `train.ipynb` it executed."""
        return self.run_parameters(shared, techniques)

    def key_parts(self, parameters: Mapping[str, object], techniques: Mapping[str, str]) -> dict[str, str]:
        """Return the parts of the key of a run with these parameters."""
        chosen = {name: self._settings[name] for name in ("data", "network", "method")}
        return {**_parts(canonical_json(chosen)), "parameters": self.parameters_part(parameters, techniques)}

    def parameters_part(self, parameters: Mapping[str, object], techniques: Mapping[str, str]) -> str:
        """Return the part `parameters` of a run's key."""
        return digest_json(dict(parameters))

    def check_unchanged(self) -> None:
        """Do nothing: an installed fitlib does not change while it runs."""


Source = FitlibTraining | CustomTraining


def source_of(settings: Mapping[str, Any]) -> Source:
    """Return the source that trains with these resolved settings."""
    return FitlibTraining(settings) if "method" in settings else CustomTraining(settings)


@cache
def _parts(settings: bytes) -> dict[str, str]:
    """Return all parts but the parameters; settings: data, network and method as JSON, which is hashable."""
    chosen = json.loads(settings)
    data = DATASETS[chosen["data"]["name"]]
    entries = [data, NETWORKS[chosen["network"]["name"]], METHODS[chosen["method"]["name"]], *NOISES.values()]
    modules = {*fitlib_imports(notebook_path("train")), *(entry.module for entry in entries)}
    files = [*data.source_files(options_of(chosen["data"])), *_weights(chosen["network"])]
    return key_parts("train", notebook_path("train"), modules, {}, data=files)


def _weights(network: dict) -> list[Path]:
    """Return the weight file that a network starts from, if any."""
    if not network.get("weights"):
        return []
    path = Path(expand_path(network["weights"]))
    if not path.is_file():
        remedy = "correct the path, or download torchvision's weight file to it"
        raise InputError("plan", "network.weights", network["weights"], "no such file", remedy)
    return [path]


@dataclass(frozen=True)
class TrainingSpec:
    """A training, shared by its techniques, and the inference rule of each technique."""

    name: str
    settings: dict[str, Any]  # method, data, network, training; or those of a custom training: all resolved
    techniques: dict[str, str]  # technique -> inference rule

    @cached_property
    def source(self) -> Source:
        """The source of the training: fitlib or custom code, behind one interface."""
        return source_of(self.settings)
