"""Pages of the statistics notebook, executed in this process, and a parser that checks them."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import nbformat

from fitlib.report import pages
from fitlib.report.notebook_display import collect_outputs
from fitlib.storage.predictions import write_table
from tests.support.report_examples import Experiment

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "statistics.ipynb"


VOID = {"meta", "link", "img", "input", "br", "hr"}


class Page(HTMLParser):
    """A parsed page: its elements and its text; raises where elements do not nest."""

    def __init__(self, path: Path):
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict]] = []
        self.text, self.open = "", []
        self.feed(self.source)
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text += data

    def all(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.elements if name == tag]


def executed_notebook(found: Experiment | None, folder: Path) -> Path:
    """Return the statistics notebook with outputs; its cells run here, since a kernel takes seconds to start."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    if found:
        notebook.metadata["papermill"] = {"parameters": {"plan": found.plan, "evidence": found.evidence}}
    space: dict = {}
    for number, cell in enumerate((c for c in notebook.cells if c.cell_type == "code"), start=1):
        with collect_outputs() as outputs:
            exec(compile(cell.source, "cell", "exec"), space)
        if found and "parameters" in cell.metadata.get("tags", []):
            space |= write_metrics(found, folder)
        cell.outputs, cell.execution_count = [nbformat.from_dict(output) for output in outputs], number
    nbformat.write(notebook, folder / "statistics.ipynb")
    return folder / "statistics.ipynb"


def write_metrics(found: Experiment, folder: Path) -> dict:
    """Write the files that the notebook reads, and return its parameters."""
    for name in (t["technique"] for t in found.plan["techniques"]):
        (folder / "techniques" / name).mkdir(parents=True)
        for kind, frame in (("metrics", found.metrics), ("counts", found.counts)):
            write_table(folder / "techniques" / name / f"{kind}.parquet", frame[frame["technique"] == name], kind)
    return {"experiment_dir": str(folder), "out_dir": "", "plan": found.plan, "evidence": found.evidence}


def report_page(found: Experiment | None, folder: Path) -> Page:
    pages.write_report(executed_notebook(found, folder), folder / "report.html")
    return Page(folder / "report.html")


def without_script(page: Page) -> str:
    """Return the page's source without fitlib's script."""
    return page.source.replace(f"<script>{(pages.TEMPLATES / 'tables.js').read_text(encoding='utf-8')}</script>", "")
