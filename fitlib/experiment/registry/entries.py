"""Entries of the registry of methods, data sets, networks and noises, with their options.

An entry names the object that does the work (`module:attribute`, imported when needed) and a pydantic model of its
options, so that an experiment file is checked completely without importing torch. To add a method, a data set or a
network, write its module and add an entry to the registry.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any

from fitlib.options import Options


class NoOptions(Options):
    """No options."""


@dataclass(frozen=True)
class Entry:
    """A registered name: where its code is, its options, and a one-line summary."""

    target: str  # "module:attribute"
    summary: str
    options: type[Options] = NoOptions
    rules: dict[str, str] = field(default_factory=dict)  # methods: inference rule -> uses_protected
    reference: str = ""
    label: str = ""  # methods: the published study's technique(s), e.g. "S-Base, C-Base"
    needs: str = ""  # files or data that it requires, and where to get them; empty: nothing
    multilabel: bool = False  # data sets: a row has a set of labels
    tabular: bool = False  # data sets: a row is a vector of features, not an image
    needs_images: bool = False  # networks and methods: a row must be an image

    @property
    def module(self) -> str:
        """The dotted name of the module that contains the code."""
        return self.target.partition(":")[0]

    def load(self) -> Any:
        """Import and return the registered object."""
        return self._attribute(self.target.partition(":")[2])

    def _attribute(self, name: str) -> Any:
        return getattr(importlib.import_module(self.module), name)
