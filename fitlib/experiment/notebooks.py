"""Notebooks: their paths, the parameters that they accept, and whether every cell of an executed copy ran."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fitlib.digest import PACKAGE, digest_json
from fitlib.errors import InputError, RunFailed, did_you_mean

INJECTED = "injected-parameters"  # papermill's tag of the cell that it adds
FOLDERS = ("run_dir", "out_dir", "experiment_dir")  # parameters that say where, not what


def notebook_path(name: str) -> Path:
    """Return the path of one of fitlib's notebooks, in a checkout or an installed package."""
    places = [folder / "notebooks" / f"{name}.ipynb" for folder in (PACKAGE, PACKAGE.parent)]
    return next((p for p in places if p.is_file()), places[-1])


def accepted_parameters(notebook: Path) -> list[str]:
    """Return the names that the notebook's `parameters` cell defines; InputError where there is not exactly one."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    tagged = [c for c in cells if "parameters" in c.get("metadata", {}).get("tags", [])]
    if len(tagged) != 1:
        problem, remedy = f"{len(tagged)} cells are tagged 'parameters'", "tag exactly one"
        raise InputError(str(notebook), "parameters", len(tagged), problem, remedy)
    nodes = _statements(notebook, "".join(tagged[0]["source"]))
    targets: list[ast.expr] = [n.target for n in nodes if isinstance(n, ast.AnnAssign)]
    targets += [t for n in nodes if isinstance(n, ast.Assign) for t in n.targets]
    return [t.id for t in targets if isinstance(t, ast.Name)]


def _statements(notebook: Path, source: str) -> list[ast.stmt]:
    try:
        return ast.parse(source).body
    except SyntaxError as error:
        problem, remedy = f"the cell is not valid Python (line {error.lineno})", "write one assignment a line"
        raise InputError(str(notebook), "parameters", error.text, problem, remedy) from None


def check_parameters(notebook: Path, parameters: Mapping[str, object]) -> None:
    """Raise InputError for a parameter that the notebook does not have."""
    accepted = accepted_parameters(notebook)
    for name, value in parameters.items():
        if name not in accepted:
            problem = "the notebook has no such parameter"
            raise InputError(str(notebook), name, value, problem, suggested(name, accepted, accepted))


def suggested(name: str, known: Sequence[str], accepted: Sequence[str]) -> str:
    """Return the remedy for a wrong parameter name: the closest one of `known`, or all that are accepted."""
    return did_you_mean(name, known, f"it accepts {', '.join(accepted) or 'none'}")


def is_injected(cell: Mapping) -> bool:
    """Return whether papermill added this cell of parameters."""
    return INJECTED in cell["metadata"].get("tags", [])


def injected_parameters(cells: Sequence[Mapping]) -> dict[str, object] | None:
    """Return the values in the cell that papermill added; None without one, ValueError for anything but values."""
    source = next(("".join(cell["source"]) for cell in cells if is_injected(cell)), None)
    return None if source is None else _assigned(source)


def _assigned(source: str) -> dict[str, object]:
    values: dict[str, object] = {}
    for statement in ast.parse(source).body:
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
            raise ValueError("its parameters cell contains something other than values")
        values[statement.targets[0].id] = ast.literal_eval(statement.value)
    return values


def check_executed(notebook: Path) -> None:
    """Raise RunFailed unless every code cell ran, in order, without an error; papermill's status is not trusted."""
    cells = [c for c in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
    counts = [c["execution_count"] for c in cells if "".join(c["source"]).strip()]
    if counts != list(range(1, len(counts) + 1)):
        raise RunFailed(f"{notebook.name}: not every cell ran (execution counts {counts})")
    if any(o["output_type"] == "error" for c in cells for o in c["outputs"]):
        raise RunFailed(f"{notebook.name}: a cell ended with an error")


@dataclass(frozen=True)
class Signature:
    """Parameters that code accepts; `required` ones have no default; `anything`: any other name is accepted as well."""

    names: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    anything: bool = False

    def takes(self, name: str) -> bool:
        """Return whether a parameter of this name is accepted."""
        return self.anything or name in self.names


def read_notebook(path: Path, where: str) -> dict:
    """Read a notebook's JSON; InputError where it is missing, not a notebook, or not in Python."""
    if not path.is_file():
        remedy = "correct the path; it is relative to the folder in which the command runs"
        raise InputError(where, "notebook", str(path), "no such file", remedy)
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        notebook["cells"], metadata = list(notebook["cells"]), notebook.get("metadata", {})
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(where, "notebook", str(path), "not a notebook", "save it as .ipynb (nbformat 4)") from None
    language = metadata.get("kernelspec", {}).get("language") or metadata.get("language_info", {}).get("name")
    language = language or "python"
    if language.lower() not in ("python", "python3", "ipython"):
        raise InputError(where, "notebook", str(path), f"a notebook of {language}", "use a Python notebook")
    return notebook


def notebook_signature(path: Path, where: str) -> Signature:
    """Return the parameters that the `parameters` cell of a notebook defines."""
    read_notebook(path, where)
    return Signature(tuple(accepted_parameters(path)))


def code_cells(path: Path) -> list[dict]:
    """Return the code cells of a notebook."""
    return [cell for cell in read_notebook(path, "plan")["cells"] if cell.get("cell_type") == "code"]


def notebook_digest(path: Path) -> str:
    """Return the hash of a notebook's code cells with their tags; outputs and text cells do not change it."""
    return cells_digest(code_cells(path))


def cells_digest(cells: Iterable[dict]) -> str:
    """Return the hash that `notebook_digest` returns, from the code cells.

    >>> cell = {"source": "x = 1", "metadata": {"tags": ["parameters"]}, "outputs": []}
    >>> cells_digest([cell]) == cells_digest([{**cell, "outputs": ["printed"]}])
    True
    """
    return digest_json([["".join(c["source"]), sorted(c.get("metadata", {}).get("tags", []))] for c in cells])
