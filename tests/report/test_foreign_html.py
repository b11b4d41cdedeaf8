"""HTML of other people's notebooks: inert, and as readable as before."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest

from fitlib.report import pages
from fitlib.report.foreign_html import contained, inert
from tests.support.hostile_html import AWAY, HOSTILE
from tests.support.page_examples import Page

ACTING = {"meta", "base", "form", "button", "iframe", "embed", "object", "link", "script", "image", "foreignobject"}


class Elements(HTMLParser):
    """The elements of HTML with their attributes."""

    def __init__(self, source: str):
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def rendered(folder: Path, *cells: nbformat.NotebookNode) -> Page:
    nbformat.write(nbformat.v4.new_notebook(cells=list(cells)), folder / "own.ipynb")
    pages.render_notebook(folder / "own.ipynb", folder / "own.html", "assets")
    return Page(folder / "own.html")


def displayed(**data: str) -> nbformat.NotebookNode:
    """A cell with an output of the given types, such as text_html."""
    bundle = {name.replace("_", "/", 1): content for name, content in data.items()}
    return nbformat.v4.new_code_cell("made()", outputs=[nbformat.v4.new_output("display_data", bundle)])


@pytest.mark.parametrize("case", HOSTILE)
def test_what_acts_or_loads_is_gone(case: str) -> None:
    left = Elements(inert(f"seen {HOSTILE[case]}"))
    assert not ACTING & {tag for tag, _ in left.found}
    assert not [name for _, attrs in left.found for name in attrs if name.startswith("on") or name == "srcset"]
    addresses = [str(attrs.get(name, "")) for _, attrs in left.found for name in ("href", "src", "xlink:href", "style")]
    assert not [address for address in addresses if re.search(r"elsewhere|script:|data:text|file:|\\", address)]
    assert "seen" in left.text


@pytest.mark.parametrize("where", ["output", "markdown output", "markdown cell"])
def test_pages_of_notebooks_are_inert(where: str, tmp_path: Path) -> None:
    everything = "\n\n".join(HOSTILE.values())
    cell = nbformat.v4.new_markdown_cell(f"# Title\n\nseen\n\n{everything}")
    if where != "markdown cell":
        cell = displayed(**{"text_html" if where == "output" else "text_markdown": f"seen\n\n{everything}"})
    page = rendered(tmp_path, cell)
    assert len(page.all("meta")) == 4 and len(page.all("link")) == 1  # those of the page itself
    assert not (ACTING - {"meta", "link"}) & {tag for tag, _ in page.elements}
    assert AWAY not in page.source and "seen" in page.text


def test_tables_of_pandas_keep_their_style() -> None:
    frame = pd.DataFrame({"share": [0.25, -0.5], "n": [1, 2]}, index=["a", "b"])
    styled = frame.style.format("{:.2f}", subset="share").background_gradient().bar(subset="n").set_caption("Shares")
    kept = inert(styled.to_html())
    (sheet,) = re.findall(r"<style>\.foreign \{ (.*?) \}</style>", kept, re.DOTALL)
    cell = re.search(r'<td id="(\w+)"[^>]*>-0\.50</td>', kept)
    assert cell and f"#{cell[1]} {{" in sheet and "background-color" in sheet and "linear-gradient" in sheet
    assert "<caption>Shares</caption>" in kept
    before, after = (Elements(source) for source in (frame._repr_html_(), inert(frame._repr_html_())))
    tags = [tag for tag, _ in before.found]
    tags[tags.index("th")] = "td"  # the empty corner is no heading
    assert tags == [tag for tag, _ in after.found] and "-0.50" in after.text


def test_drawings_keep_every_line() -> None:
    figure, axes = plt.subplots()
    axes.plot([1, 2, 3], clip_on=True)
    axes.set_title("a < b")
    drawing = io.StringIO()
    figure.savefig(drawing, format="svg")
    plt.close(figure)
    before, after = (Elements(source) for source in (drawing.getvalue(), inert(drawing.getvalue())))
    shapes = ("path", "use", "g", "clippath", "rect", "svg")
    for name in shapes:
        drawn = [{k: v for k, v in attrs.items() if "xmlns" not in k and k != "version"}
                 for tag, attrs in before.found if tag == name]  # fmt: skip
        assert drawn == [attrs for tag, attrs in after.found if tag == name], name
    assert any("clip-path" in attrs for _, attrs in after.found)


def test_formulas_folded_parts_and_data_stay() -> None:
    for kept in (
        '<math display="block"><mrow><mi>x</mi><mo>=</mo><mfrac><mn>1</mn><mn>2</mn></mfrac></mrow></math>',
        "<details><summary>More</summary><p>text</p></details>",
        '<img src="data:image/png;base64,aGk=" alt="p &lt; 0.05">',
        '<img src="figures/a.png" alt="beside the page">',
        '<table><tbody><tr><th scope="row">a</th><td colspan="2" style="text-align: right">1</td></tr></tbody></table>',
    ):
        assert inert(kept) == kept
    assert 'href="https://a.example/"' in inert('<a href="https://a.example/" target="_blank">source</a>')


def test_a_style_sheet_holds_within_its_output() -> None:
    for css in ("} body { display: none", "a { b: c }}", 'a { content: "', "@import 'x'", "a { b: u\\72l(x) }", "/*"):
        assert contained(css) == ""
    assert contained('td::before { content: "}\\25B8" } /* } */').startswith(".foreign { td")
    assert contained("a { fill: url(#g); mask: url('data:image/png;base64,') }")


def test_drawings_that_need_a_script_are_shown_in_another_form(tmp_path: Path) -> None:
    drawing = '<div id="chart" style="height:100%"></div><script>Plotly.newPlot("chart", [])</script>'
    page = rendered(tmp_path, displayed(text_html=drawing, text_plain="Figure({'data': []})"))
    assert "Figure({'data': []})" in page.text and not page.all("script")


def test_diagrams_of_estimators_can_be_read(tmp_path: Path) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    page = rendered(tmp_path, displayed(text_html=linear.LogisticRegression(C=0.5)._repr_html_(), text_plain="x"))
    assert "LogisticRegression" in page.text and not page.all("script")
    assert {attrs["type"] for attrs in page.all("input")} <= {"checkbox"}
