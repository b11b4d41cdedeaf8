"""Execution of one notebook with papermill, in a kernel of its own."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from fitlib.errors import Crashed, RunFailed
from fitlib.experiment.notebooks import check_executed

if TYPE_CHECKING:
    from papermill.exceptions import PapermillExecutionError

ADDRESS_GRAMMAR = "rfc3987_syntax"  # jsonschema's optional check of internationalised addresses: slow to build
ENGINE = "fitlib"
TAIL_LINES = 12  # lines of a traceback that a failure keeps


def execute(
    source: Path,
    target: Path,
    parameters: Mapping[str, object],
    environment: Mapping[str, str],
    log: Path | None = None,
    on_start: Callable[[int], None] = lambda pid: None,
    modules: Sequence[str] = (),
    on_output: Callable[[Mapping[str, Any]], None] | None = None,
) -> None:
    """Execute a notebook with papermill in a kernel of its own; the executed copy is `target`.

    `on_start` is called with the kernel's pid, `on_output` with every message of its output; `modules` are imported
    before its first cell (`fitlib.execution.kernels`). RunFailed with the last lines of the traceback where a cell
    raised; Crashed where the kernel was gone.
    """
    papermill = _papermill()
    from papermill.exceptions import PapermillExecutionError

    from fitlib.execution.kernels.fork_client import START_SECONDS
    from fitlib.execution.kernels.manager import manager_class

    try:
        papermill.execute_notebook(
            str(source),
            str(target),
            parameters=dict(parameters),
            progress_bar=False,
            engine_name=ENGINE,
            autosave_cell_every=0,
            kernel_name="python3",
            language="python",  # a notebook need not declare it
            start_timeout=START_SECONDS,
            shutdown_kernel="immediate",  # all outputs are here; a graceful end waits and polls for a second
            kernel_manager_class=manager_class(environment, log, on_start, modules, on_output),
        )
    except PapermillExecutionError as error:
        raise RunFailed(_tail(error)) from None
    except OSError:
        raise
    except Exception as error:  # nbclient has many errors for a kernel that is gone
        detail = " ".join(f"{type(error).__name__}: {error}".split())
        raise Crashed(f"the kernel died or never answered: it was killed, or memory ran out ({detail})") from None
    check_executed(target)


def _papermill() -> ModuleType:
    """Import papermill without a grammar of addresses that takes longer than all the rest and no notebook needs.

    jsonschema does without the grammar where its module cannot be imported.
    """
    hide = ADDRESS_GRAMMAR not in sys.modules
    if hide:
        sys.modules[ADDRESS_GRAMMAR] = None  # type: ignore[assignment]  # None makes its import fail
    try:
        import papermill
        from papermill.engines import papermill_engines

        from fitlib.execution.kernels.papermill_engine import FitlibEngine

        papermill_engines.register(ENGINE, FitlibEngine)
        return papermill
    finally:
        if hide:
            del sys.modules[ADDRESS_GRAMMAR]


def _tail(error: PapermillExecutionError) -> str:
    lines = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback)).strip().splitlines()
    last = f"{error.ename}: {error.evalue}"
    return "\n".join([*lines[-TAIL_LINES:], *([] if lines and lines[-1].strip() == last.strip() else [last])])
