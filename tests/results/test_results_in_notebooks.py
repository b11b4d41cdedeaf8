"""In a notebook every figure that a cell asks for is shown, and results show themselves."""

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

SOURCES = (
    "from fitlib.results.example import example_results\nresults = example_results()",
    "results.plot.verdict();",
    "results.plot.heat_map();",
    "results",
)


@pytest.mark.slow
def test_every_cell_shows_its_figure():
    notebook = new_notebook(cells=[new_code_cell(source) for source in SOURCES])
    NotebookClient(notebook, kernel_name="python3", timeout=300).execute()
    nbformat.validate(notebook)
    shown = [[set(output.data) for output in cell.outputs] for cell in notebook.cells]
    assert shown[0] == [] and all("image/png" in figure for cell in shown[1:3] for figure in cell)
    assert [len(cell) for cell in shown] == [0, 1, 1, 1] and "text/html" in shown[3][0]
