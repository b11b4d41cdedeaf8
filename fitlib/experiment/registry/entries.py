"""What there is: methods, data sets, networks, noises, each with its options; nothing heavy is imported.

One entry names the object that does the work (`module:attribute`, imported when it is needed) and a pydantic model
of its options, so that an experiment file is checked completely without importing torch. To add a technique's
method, a data set or a network: write its module and add one entry here.
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
    """One registered name: where its code is, its options, one line about it."""

    target: str  # "module:attribute"
    summary: str
    options: type[Options] = NoOptions
    rules: dict[str, str] = field(default_factory=dict)  # methods: inference rule -> uses_protected
    reference: str = ""
    label: str = ""  # methods: the published study's technique(s), e.g. "S-Base, C-Base"
    needs: str = ""  # what it cannot do without, and how to come by it; empty: nothing
    multilabel: bool = False  # data sets: a row has a set of labels
    tabular: bool = False  # data sets: a row is a vector of features, no image
    needs_images: bool = False  # networks and methods: a row must be an image

    @property
    def module(self) -> str:
        """Dotted name of the module that holds the code."""
        return self.target.partition(":")[0]

    def load(self) -> object:
        """Import and return the registered object."""
        return self._attribute(self.target.partition(":")[2])

    def _attribute(self, name: str) -> Any:
        return getattr(importlib.import_module(self.module), name)
