"""Pages of executed notebooks: report, rendered notebooks, index and their style.

They load nothing from the network and read on paper, in the dark and by ear. Names that users give (classes, groups)
are text everywhere: whatever reaches HTML is escaped. The only script, `templates/tables.js`, sorts and filters tables;
the page's policy names its hash, so no other one runs.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fitlib.report.notebook_display import address
from fitlib.storage.atomic_files import write_atomically

if TYPE_CHECKING:
    import jinja2
    from nbconvert.exporters import TemplateExporter
    from nbformat import NotebookNode

TEMPLATES = Path(__file__).parent / "templates"
HEADING = re.compile(r'<h2 id="([^"]*)">(.*?)</h2>', re.DOTALL)


def write_report(statistics_notebook: str | Path, target: str | Path, show_code: bool = False) -> None:
    """Write the executed statistics notebook as one self-contained page, without code unless asked."""
    notebook = _read(Path(statistics_notebook))
    body = _body(notebook, show_code)
    headings = [(anchor, html.unescape(re.sub(r"<[^>]+>", "", text))) for anchor, text in HEADING.findall(body)]
    page = _page(
        "report", title=_title(notebook), body=body, headings=headings, css=_css(), kind="report", script=_script()
    )
    write_atomically(Path(target), page)


def render_notebook(path: str | Path, target: str | Path, assets_href: str) -> bool:
    """Render an executed notebook as a light page with code and outputs; its style is `assets_href`/fitlib.css.

    The page names the hash of what it was made of; if that still holds, nothing is done. Returns whether it was
    written.
    """
    path, target = Path(path), Path(target)
    source = path.read_bytes()
    stamp = _stamp(source, assets_href)
    if _stamped(target, stamp):
        return False
    notebook = _parse(source.decode("utf-8"))
    page = _page(
        "notebook", title=_title(notebook, path.stem), body=_body(notebook, True), assets_href=assets_href,
        stamp=stamp, kind="notebook",
    )  # fmt: skip
    write_atomically(target, page)
    return True


def write_index(
    target: str | Path, rows: Iterable[Mapping], title: str = "Contents", assets_href: str = "assets"
) -> None:
    """Write a page that lists everything with its state and links.

    Each row: `group` (heading), `task`, `state` (done, failed, missing, …), `links` (pairs of text and relative
    address), `note`. Groups and rows keep their order.
    """
    groups: dict[str, list[dict]] = {}
    for row in rows:
        groups.setdefault(str(row.get("group", "Tasks")), []).append(_index_row(row))
    everything = [row for members in groups.values() for row in members]
    states = {row["state"]: sum(other["state"] == row["state"] for other in everything) for row in everything}
    total = ", ".join(f"{n} {state}" for state, n in states.items()) or "Nothing is there yet"
    page = _page(
        "index", title=title, groups=groups, total=f"{total}.", assets_href=assets_href, kind="index", script=_script()
    )
    write_atomically(Path(target), page)


def _index_row(row: Mapping) -> dict:
    state = str(row.get("state", ""))
    links = [(str(text), address(str(href))) for text, href in row.get("links", ())]
    known = state if re.fullmatch(r"[a-z]+", state) else "other"
    return {"task": row["task"], "state": state, "state_class": known, "links": links, "note": row.get("note", "")}


def write_page(template: str, target: str | Path, **content: Any) -> Path:
    """Write a page from a template, with style and script inside and `rows`' addresses quoted; return its path."""
    rows = [{**row, "links": [(text, address(href)) for text, href in row["links"]]} for row in content.pop("rows")]
    page = _page(template, **content, rows=rows, css=_css(), kind=template, script=_script())
    write_atomically(Path(target), page)
    return Path(target)


def write_assets(folder: str | Path) -> Path:
    """Write the style sheet that rendered notebooks and the index share."""
    target = Path(folder) / "fitlib.css"
    if not target.is_file() or target.read_text(encoding="utf-8") != _css():
        write_atomically(target, _css())
    return target


# Notebooks


def _read(path: Path) -> NotebookNode:
    return _parse(path.read_text(encoding="utf-8"))


def _parse(text: str) -> NotebookNode:
    import nbformat

    return nbformat.reads(text, as_version=4)


def _title(notebook: NotebookNode, otherwise: str = "Report") -> str:
    """Return the text of the first heading."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (found := re.search(r"^# (.+)$", cell.source, re.MULTILINE)):
            return re.sub(r"[*_`]", "", found.group(1)).strip()
    return otherwise


def _body(notebook: NotebookNode, show_code: bool) -> str:
    body, _ = _exporter(show_code).from_notebook_node(notebook)
    # nbconvert adds a link to every heading; the contents list does that here
    return re.sub(r'<a class="anchor-link" href="[^"]*">[^<]*</a>', "", body)


@lru_cache
def _exporter(show_code: bool) -> TemplateExporter:
    """Return nbconvert's exporter with fitlib's template; it prefers outputs that need neither script nor network."""
    from nbconvert.exporters import TemplateExporter
    from nbconvert.filters import Highlight2HTML

    shown = ["image/svg+xml", "image/png", "image/jpeg", "text/html", "text/markdown", "text/latex", "text/plain"]
    exporter = TemplateExporter(
        template_name="fitlib",
        file_extension=".html",
        extra_template_basedirs=[str(TEMPLATES)],
        exclude_input=not show_code,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        filters={"highlight_code": Highlight2HTML(pygments_lexer="ipython3"), "markdown2html": _markdown_html()},
    )
    exporter.config.NbConvertBase.display_data_priority = shown
    return exporter


def _markdown_html() -> Callable[[str], str]:
    """Return nbconvert's Markdown, with formulas as pictures: no page of fitlib runs a script that would set them."""
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        def inline_math(self, body: str) -> str:
            return formula(body)

        def block_math(self, body: str) -> str:
            return f"<p>{formula(body)}</p>"

    return MarkdownWithMath(renderer=Renderer(escape=False)).render


@lru_cache(maxsize=1024)
def formula(latex: str) -> str:
    """Return a formula as a picture with its LaTeX as text alternative; as code where matplotlib cannot set it."""
    from matplotlib import rc_context
    from matplotlib.mathtext import math_to_image

    known = re.sub(r"\\[lr]vert\b", "|", " ".join(latex.split()))
    picture = io.BytesIO()
    try:
        with rc_context({"savefig.facecolor": "none", "svg.hashsalt": "fitlib", "svg.fonttype": "path"}):
            math_to_image(f"${known}$", picture, format="svg", dpi=72)
    except ValueError:
        return f"<code>{html.escape(latex)}</code>"
    source = base64.b64encode(re.sub(rb"<metadata>.*?</metadata>", b"", picture.getvalue(), flags=re.DOTALL)).decode()
    return f'<img class="formula" alt="{html.escape(latex)}" src="data:image/svg+xml;base64,{source}">'


# Pages


@lru_cache
def _environment() -> jinja2.Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )


def _page(template: str, **content: Any) -> str:
    given = {"stamp": "", "script": "", **content}
    hashed = base64.b64encode(hashlib.sha256(given["script"].encode()).digest()).decode()
    return _environment().get_template(f"{template}.html.j2").render(**given, script_hash=f"sha256-{hashed}")


@lru_cache
def _css() -> str:
    return (TEMPLATES / "fitlib.css").read_text(encoding="utf-8")


@lru_cache
def _script() -> str:
    return (TEMPLATES / "tables.js").read_text(encoding="utf-8")


def _stamp(source: bytes, assets_href: str) -> str:
    """Hash a notebook and all that decides how it looks."""
    return f"sha256:{hashlib.sha256(source + b'|' + assets_href.encode() + b'|' + _look()).hexdigest()}"


@lru_cache
def _look() -> bytes:
    files = sorted(path for path in TEMPLATES.rglob("*") if path.suffix in (".j2", ".json"))
    return hashlib.sha256(b"|".join([*(path.read_bytes() for path in files), Path(__file__).read_bytes()])).digest()


def _stamped(target: Path, stamp: str) -> bool:
    if not target.is_file():
        return False
    with target.open(encoding="utf-8") as file:
        return stamp in file.read(200)
