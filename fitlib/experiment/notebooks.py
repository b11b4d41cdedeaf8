"""Notebooks: where they are, which parameters they accept, and whether every cell of a copy was executed."""

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
    """Path of one of fitlib's notebooks, in a checkout or an installed package."""
    places = [folder / "notebooks" / f"{name}.ipynb" for folder in (PACKAGE, PACKAGE.parent)]
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


@dataclass(frozen=True)
class Accepts:
    """Names of the parameters that may be given; `required` have no default; `anything`: unknown names are accepted."""

    names: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    anything: bool = False

    def takes(self, name: str) -> bool:
        """Whether a value of this name can be given."""
        return self.anything or name in self.names


def read_notebook(path: Path, where: str) -> dict:
    """A notebook's JSON; InputError where there is none, it is no notebook, or of another language than Python."""
    if not path.is_file():
        remedy = "correct the path; it is read from the folder in which the command is said"
        raise InputError(where, "notebook", str(path), "no such file", remedy)
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        notebook["cells"], known = list(notebook["cells"]), notebook.get("metadata", {})
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(where, "notebook", str(path), "not a notebook", "save it as .ipynb (nbformat 4)") from None
    language = known.get("kernelspec", {}).get("language") or known.get("language_info", {}).get("name") or "python"
    if language.lower() not in ("python", "python3", "ipython"):
        raise InputError(where, "notebook", str(path), f"a notebook of {language}", "use a Python notebook")
    return notebook


def notebook_accepts(path: Path, where: str) -> Accepts:
    """What the `parameters` cell of a notebook defines."""
    read_notebook(path, where)
    return Accepts(tuple(accepted_parameters(path)))


def code_cells(path: Path) -> list[dict]:
    """Code cells of a notebook."""
    return [cell for cell in read_notebook(path, "plan")["cells"] if cell.get("cell_type") == "code"]


def notebook_digest(path: Path) -> str:
    """Hash of a notebook's code cells with their tags: running it by hand, or another text between, changes nothing."""
    return cells_digest(code_cells(path))


def cells_digest(cells: Iterable[dict]) -> str:
    """The hash of `notebook_digest`, of code cells."""
    return digest_json([["".join(c["source"]), sorted(c.get("metadata", {}).get("tags", []))] for c in cells])
