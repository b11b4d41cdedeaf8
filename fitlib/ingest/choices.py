"""What a user chooses about files of predictions, beside the files themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Choices:
    """The user's choices about the files.

    ``columns``: {role: column}; ``classes``: all of them (None: those of the ground truth); ``favourable``: the
    desirable class; ``map``: {predicted value: class that it stands for}; ``names``: of all columns, where the files
    have none; ``threshold``: from which score on the class of the score is decided, where there are no predictions;
    ``drop_groups``: (attribute or "", group) whose rows are left out; ``rows_per_run``: of runs joined in one file.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    classes: tuple[str, ...] | None = None
    favourable: str | None = None
    map: Mapping[str, str] = field(default_factory=dict)
    names: tuple[str, ...] | None = None
    threshold: float | None = None
    drop_groups: tuple[tuple[str, str], ...] = ()
    rows_per_run: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the choices as plain values, for a key; mappings in the order of their keys."""
        return asdict(self) | {name: sorted(getattr(self, name).items()) for name in ("columns", "map")}
