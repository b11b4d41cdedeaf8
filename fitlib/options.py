"""The base of every options model, and paths in options."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict


class Options(BaseModel):
    """Options of one entry: unknown fields, wrong types, NaN and infinity are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def expand_path(path: str) -> str:
    """Return a path with `$NAME`, `${NAME}` and `~` filled in; raise ValueError if a variable is not set."""
    full = os.path.expanduser(os.path.expandvars(path))
    missing = re.search(r"\$\{?(\w+)\}?", full)
    if missing:
        raise ValueError(f"the environment variable {missing[1]} is not set: set it, or write the path in full")
    return full


def _check_expandable(path: str) -> str:
    expand_path(path)
    return path


# A path in an experiment file. It stays as written, so that `$FITLIB_DATA_DIR/…` is the same parameter on every machine
# and no folder name gets into a report; the registry expands it when a data set's function is called.
DataPath = Annotated[str, AfterValidator(_check_expandable)]


def options_of(named: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a resolved `{name: …, options…}`: all but the name."""
    return {key: value for key, value in named.items() if key != "name"}
