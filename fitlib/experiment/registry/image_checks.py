"""Checks that networks, methods and options for images are not used on tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fitlib.errors import InputError
from fitlib.experiment.registry.datasets import DATASETS
from fitlib.experiment.registry.methods import METHODS
from fitlib.experiment.registry.networks import NETWORKS

IMAGE_OPTIONS = ("shift", "flip", "crop", "bits", "channels_last")  # of the loop


def check_images(settings: Mapping[str, Any], where: str, field: str, network: str) -> None:
    """Raise InputError where the data are a table but network, method or loop of these settings need images.

    field, network: names of the technique's and its network's fields in the experiment file `where`.
    """
    data = settings["data"]["name"]
    if not DATASETS[data].tabular:
        return
    fields = {network: ("network", NETWORKS, "use mlp"), f"{field}.method": ("method", METHODS, "use another method")}
    for name, (part, registry, remedy) in fields.items():
        if registry[settings[part]["name"]].needs_images:
            raise InputError(where, name, settings[part]["name"], f"it needs images, data set {data} has none", remedy)
    for option in (option for option in IMAGE_OPTIONS if settings["training"][option]):
        problem = f"it is for images, data set {data} has none"
        raise InputError(where, f"training.{option}", settings["training"][option], problem, "leave it out")
