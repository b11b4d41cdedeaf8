"""Executing notebooks: where they are, what they accept, and whether every cell of a copy really ran."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from fitlib.errors import Crashed, InputError, RunFailed, did_you_mean

ADDRESS_GRAMMAR = "rfc3987_syntax"  # jsonschema's optional check of internationalised addresses: slow to build
INJECTED = "injected-parameters"  # papermill's tag of the cell that it adds
FOLDERS = ("run_dir", "out_dir", "experiment_dir")  # parameters that say where, not what
ENGINE = "fitlib"
TAIL_LINES = 12  # lines of a traceback that a failure keeps


def notebook_path(name: str) -> Path:
    """Path of one of fitlib's notebooks, in a checkout or an installed package."""
    package = Path(__file__).parent
    places = [package / "notebooks" / f"{name}.ipynb", package.parent / "notebooks" / f"{name}.ipynb"]
    return next((p for p in places if p.is_file()), places[-1])


def accepted_parameters(notebook: Path) -> list[str]:
    """Names that the notebook's `parameters` cell defines; InputError where there is not exactly one such cell."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    tagged = [c for c in cells if "parameters" in c.get("metadata", {}).get("tags", [])]
    if len(tagged) != 1:
        problem, remedy = f"{len(tagged)} cells are tagged 'parameters'", "tag exactly one"
        raise InputError(str(notebook), "parameters", len(tagged), problem, remedy)
    nodes = _statements(notebook, "".join(tagged[0]["source"]))
    targets = [n.target for n in nodes if isinstance(n, ast.AnnAssign)]
    targets += [t for n in nodes if isinstance(n, ast.Assign) for t in n.targets]
    return [t.id for t in targets if isinstance(t, ast.Name)]


def _statements(notebook: Path, source: str) -> list[ast.stmt]:
    try:
        return ast.parse(source).body
    except SyntaxError as error:
        problem, remedy = f"the cell is not valid Python (line {error.lineno})", "write one assignment a line"
        raise InputError(str(notebook), "parameters", error.text, problem, remedy) from None


def check_parameters(notebook: Path, parameters: Mapping[str, object]) -> None:
    """Refuse a parameter that the notebook does not have."""
    accepted = accepted_parameters(notebook)
    for name, value in parameters.items():
        if name not in accepted:
            problem = "the notebook has no such parameter"
            raise InputError(str(notebook), name, value, problem, suggested(name, accepted, accepted))


def suggested(name: str, known: Sequence[str], accepted: Sequence[str]) -> str:
    """What may have been meant by a parameter's name: the closest of those `known`, or all that are accepted."""
    return did_you_mean(name, known, f"it accepts {', '.join(accepted) or 'none'}")


def execute(
    source: Path,
    target: Path,
    parameters: Mapping[str, object],
    environment: Mapping[str, str],
    log: Path | None = None,
    started: Callable[[int], None] = lambda pid: None,
    modules: Sequence[str] = (),
    told: Callable[[Mapping[str, Any]], None] | None = None,
) -> None:
    """Execute a notebook with papermill in a kernel of its own; the executed copy is `target`.

    `started` is told the kernel's pid; `modules` are imported before it is forked (none: it starts cold); `told`
    hears what it shows. Raises RunFailed with the last lines of the traceback, Crashed where the kernel was gone.
    """
    papermill = _papermill()
    from papermill.exceptions import PapermillExecutionError

    from fitlib.kernels import manager_class

    try:
        papermill.execute_notebook(
            str(source),
            str(target),
            parameters=dict(parameters),
            progress_bar=False,
            engine_name=ENGINE,
            autosave_cell_every=0,
            kernel_name="python3",
            language="python",  # a notebook need not say so
            shutdown_kernel="immediate",  # all outputs are here; a graceful end waits and polls for a second
            kernel_manager_class=manager_class(environment, log, started, modules, told),
        )
    except PapermillExecutionError as error:
        raise RunFailed(_tail(error)) from None
    except OSError:
        raise
    except Exception as error:  # nbclient has many names for a kernel that is gone
        detail = " ".join(f"{type(error).__name__}: {error}".split())
        raise Crashed(f"the kernel died or never answered: it was killed, or memory ran out ({detail})") from None
    check_executed(target)


def _papermill() -> ModuleType:
    """papermill, imported without a grammar of addresses that takes longer than all the rest and no notebook needs.

    jsonschema does without a module that is not there.
    """
    unknown = ADDRESS_GRAMMAR not in sys.modules
    if unknown:
        sys.modules[ADDRESS_GRAMMAR] = None
    try:
        import papermill
        from papermill.engines import papermill_engines

        from fitlib.engine import FitlibEngine

        papermill_engines.register(ENGINE, FitlibEngine)
        return papermill
    finally:
        if unknown:
            del sys.modules[ADDRESS_GRAMMAR]


def is_injected(cell: Mapping) -> bool:
    """Is this the cell of parameters that papermill added?"""
    return INJECTED in cell["metadata"].get("tags", [])


def injected_parameters(cells: Sequence[Mapping]) -> dict[str, object] | None:
    """The values in the cell that papermill added; None without one, ValueError for anything but values in it."""
    source = next(("".join(cell["source"]) for cell in cells if is_injected(cell)), None)
    return None if source is None else _assigned(source)


def _assigned(source: str) -> dict[str, object]:
    statements = ast.parse(source).body
    if not all(isinstance(s, ast.Assign) and isinstance(s.targets[0], ast.Name) for s in statements):
        raise ValueError("its parameters cell holds something else than values")
    return {s.targets[0].id: ast.literal_eval(s.value) for s in statements}


def check_executed(notebook: Path) -> None:
    """Every code cell ran, in order, without an error; papermill's own status is not asked."""
    cells = [c for c in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
    counts = [c["execution_count"] for c in cells if "".join(c["source"]).strip()]
    if counts != list(range(1, len(counts) + 1)):
        raise RunFailed(f"{notebook.name}: not every cell ran (execution counts {counts})")
    if any(o["output_type"] == "error" for c in cells for o in c["outputs"]):
        raise RunFailed(f"{notebook.name}: a cell ended with an error")


def _tail(error: object) -> str:
    lines = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback)).strip().splitlines()
    last = f"{error.ename}: {error.evalue}"
    return "\n".join([*lines[-TAIL_LINES:], *([] if lines and lines[-1].strip() == last.strip() else [last])])
