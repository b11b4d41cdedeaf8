"""Pages: the report, rendered notebooks, index and their style.

A report is made of cells as notebooks store them, whether a notebook was executed or not: neither a kernel nor Jupyter
is needed. Only pages with code are rendered by nbconvert.

They load nothing from the network and read on paper, in the dark and by ear. Names that users give (classes, groups)
are text everywhere: whatever reaches HTML is escaped. HTML that the notebooks of others display is made inert. The only
script, `templates/tables.js`, sorts and filters tables; the page's policy names its hash, so no other one runs.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fitlib.formatting import visible
from fitlib.report import foreign_html, markdown_html
from fitlib.report.notebook_display import FOLD, address
from fitlib.report.pictures import page_svg
from fitlib.report.scope import NOWHERE, Links, Scope, notebook_scope
from fitlib.storage.atomic_files import write_atomically

if TYPE_CHECKING:
    import jinja2
    from nbconvert.exporters import TemplateExporter

TEMPLATES = Path(__file__).parent / "templates"
HEADING = re.compile(r'<h2 id="([^"]*)">(.*?)</h2>', re.DOTALL)
ANSI = re.compile(r"\x1b\[.*?[@-~]")  # colours of terminals
STREAMS = {"stdout": "stream", "stderr": "stream stderr"}
PICTURES = ("image/svg+xml", "image/png", "image/jpeg")
LONGEST_OPEN = 6  # rows of a group in an index; a longer one of which nothing failed or is missing is folded
SHOWN = (*PICTURES, "text/html", "text/markdown", "text/latex", "text/plain")  # the first that an output has
Cell = Mapping[str, Any]  # as in the JSON of a notebook


def write_report(
    statistics_notebook: str | Path,
    target: str | Path,
    show_code: bool = False,
    name: str = "",
    back: Links = (),
    on: Links = (),
) -> None:
    """Write the executed statistics notebook as one self-contained page, without code unless asked.

    ``name``: of the experiment; ``back``, ``on``: links to the pages around it.
    """
    text = Path(statistics_notebook).read_text(encoding="utf-8")
    notebook = json.loads(text)
    body = _body_with_code(text) if show_code else _body(notebook["cells"])
    _write_report(target, _title(notebook["cells"]), body, notebook_scope(notebook, name, back, on))


def write_cells(cells: Sequence[Cell], target: str | Path, scope: Scope = NOWHERE) -> Path:
    """Write a report from cells, whose code is not shown, and return its path; as `write_report` for a notebook."""
    return _write_report(target, _title(cells), _body(cells), scope)


def _write_report(target: str | Path, title: str, body: str, scope: Scope) -> Path:
    headings = [(anchor, html.unescape(re.sub(r"<[^>]+>", "", text))) for anchor, text in HEADING.findall(body)]
    page = _page(
        "report", title=title, body=body, headings=headings, css=_css(), kind="report", script=_script(), scope=scope
    )
    write_atomically(Path(target), page)
    return Path(target)


def render_notebook(path: str | Path, target: str | Path, assets_href: str, scope: Scope = NOWHERE) -> bool:
    """Render an executed notebook as a light page with code and outputs; its style is `assets_href`/fitlib.css.

    The page names the hash of what it was made of; if that still holds, nothing is done. Returns whether it was
    written.
    """
    path, target = Path(path), Path(target)
    source = path.read_bytes()
    stamp = _stamp(source, assets_href, scope)
    if _stamped(target, stamp):
        return False
    text = source.decode("utf-8")
    page = _page(
        "notebook", title=_title(json.loads(text)["cells"], path.stem), body=_body_with_code(text),
        assets_href=assets_href, stamp=stamp, kind="notebook", scope=scope,
    )  # fmt: skip
    write_atomically(target, page)
    return True


def write_index(
    target: str | Path,
    rows: Iterable[Mapping],
    title: str = "Contents",
    assets_href: str = "assets",
    scope: Scope = NOWHERE,
) -> None:
    """Write a page that lists everything with its state and links.

    Each row: `group` (heading), `task`, `state` (done, failed, missing, …), `links` (pairs of text and relative
    address), `note`. Groups and rows keep their order; long groups of which all is done are folded.
    """
    groups: dict[str, list[dict]] = {}
    for row in rows:
        groups.setdefault(str(row.get("group", "Tasks")), []).append(_index_row(row))
    everything = [row for members in groups.values() for row in members]
    states = {row["state"]: sum(other["state"] == row["state"] for other in everything) for row in everything}
    total = ", ".join(f"{n} {state}" for state, n in states.items()) or "Nothing is there yet"
    page = _page(
        "index", title=title, groups=groups, total=f"{total}.", assets_href=assets_href, kind="index",
        script=_script(), scope=scope, longest_open=LONGEST_OPEN,
    )  # fmt: skip
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


# Cells


def joined(text: str | Sequence[str]) -> str:
    """Return a text that notebooks store in one piece or as lines."""
    return text if isinstance(text, str) else "".join(text)


def _title(cells: Iterable[Cell], otherwise: str = "Report") -> str:
    """Return the text of the first heading."""
    for cell in cells:
        source = joined(cell["source"])
        if cell["cell_type"] == "markdown" and (found := re.search(r"^# (.+)$", source, re.MULTILINE)):
            return re.sub(r"[*_`]", "", found.group(1)).strip()
    return otherwise


def _body(cells: Iterable[Cell]) -> str:
    """Return prose and outputs as HTML; folded sections and parts of them are closed until a reader opens them."""
    blocks = [_block(cell) for cell in cells if cell["cell_type"] in ("markdown", "code")]
    return _environment().get_template("cells.html.j2").render(sections=_sections(blocks))


def _sections(blocks: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the blocks by section: a heading of level 2 begins the next one."""
    sections: list[dict[str, Any]] = []
    for block in blocks:
        if not sections or "<h2" in block.get("prose", ""):
            sections.append({"summary": "", "blocks": []})
            if block.get("fold"):
                heading = HEADING.search(block["prose"])
                assert heading, "a folded section begins with its heading"
                sections[-1]["summary"] = heading[0]
                block = {"prose": block["prose"].replace(heading[0], "", 1)}
        sections[-1]["blocks"].append(block)
    return sections


def _block(cell: Cell) -> dict[str, Any]:
    if cell["cell_type"] == "markdown":
        fold = FOLD in cell.get("metadata", {}).get("tags", ())
        return {"prose": markdown_html.markdown_html(joined(cell["source"])), "fold": fold}
    return {"parts": _parts([_content(output) for output in cell["outputs"]])}


def _parts(outputs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the outputs of a cell by part: a folded heading begins one, any other heading ends it."""
    parts: list[dict[str, Any]] = [{"summary": "", "outputs": []}]
    for output in outputs:
        if output.get("fold"):
            parts.append({"summary": output["html"], "outputs": []})
            continue
        if parts[-1]["summary"] and output.get("html", "").startswith("<h3"):
            parts.append({"summary": "", "outputs": []})
        parts[-1]["outputs"].append(output)
    return [part for part in parts if part["outputs"]]


def _content(output: Mapping[str, Any]) -> dict[str, Any]:
    """Return how an output is shown: its kind, and its text, HTML or picture."""
    if output["output_type"] == "stream":
        return {"kind": "stream", "look": STREAMS[output["name"]], "text": ANSI.sub("", joined(output["text"]))}
    if output["output_type"] == "error":
        return {"kind": "stream", "look": "stream error", "text": ANSI.sub("", "\n".join(output["traceback"]))}
    data, about = output["data"], output.get("metadata", {})
    shown = next((kind for kind in SHOWN if kind in data), "")
    text = joined(data.get(shown, ""))
    if shown in PICTURES:
        source = base64.b64encode(page_svg(text).encode()).decode() if shown == "image/svg+xml" else text.strip()
        return {"kind": "picture", "source": f"data:{shown};base64,{source}", "about": about.get(shown, {})}
    if shown == "text/markdown":
        return {"kind": shown, "html": markdown_html.markdown_html(text), "fold": bool(about.get(shown, {}).get(FOLD))}
    return {"kind": shown, "html": text} if shown == "text/html" else {"kind": "text", "text": ANSI.sub("", text)}


# Notebooks with their code


def _body_with_code(text: str) -> str:
    import nbformat

    notebook = nbformat.reads(text, as_version=4)
    for output in (output for cell in notebook.cells for output in cell.get("outputs", ())):
        _make_inert(output.get("data", {}))
    body, _ = _exporter().from_notebook_node(notebook)
    return body


def _make_inert(data: dict[str, Any]) -> None:
    """Make the HTML of an output inert; where nothing is left to see, the output is shown in another of its forms."""
    if "text/html" in data:
        data["text/html"] = foreign_html.inert(joined(data["text/html"]))
        if foreign_html.is_empty(data["text/html"]) and len(data) > 1:
            del data["text/html"]


def _inert_markdown(source: str) -> str:
    return foreign_html.inert(markdown_html.markdown_html(source))


@lru_cache
def _exporter() -> TemplateExporter:
    """Return nbconvert's exporter with fitlib's template; it prefers outputs that need neither script nor network."""
    from nbconvert.exporters import TemplateExporter
    from nbconvert.filters import Highlight2HTML

    exporter = TemplateExporter(
        template_name="fitlib",
        file_extension=".html",
        extra_template_basedirs=[str(TEMPLATES)],
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        filters={"highlight_code": Highlight2HTML(pygments_lexer="ipython3"), "markdown2html": _inert_markdown},
    )
    exporter.config.NbConvertBase.display_data_priority = list(SHOWN)
    return exporter


# Pages


@lru_cache
def _environment() -> jinja2.Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )


def _page(template: str, **content: Any) -> str:
    given = {"stamp": "", "script": "", "scope": NOWHERE, **content}
    hashed = base64.b64encode(hashlib.sha256(given["script"].encode()).digest()).decode()
    page = _environment().get_template(f"{template}.html.j2").render(**given, script_hash=f"sha256-{hashed}")
    return visible(page)


@lru_cache
def _css() -> str:
    return (TEMPLATES / "fitlib.css").read_text(encoding="utf-8")


@lru_cache
def _script() -> str:
    return (TEMPLATES / "tables.js").read_text(encoding="utf-8")


def _stamp(source: bytes, assets_href: str, scope: Scope) -> str:
    """Hash a notebook and all that decides how it looks."""
    place = json.dumps([assets_href, astuple(scope)]).encode()
    return f"sha256:{hashlib.sha256(source + b'|' + place + b'|' + _look()).hexdigest()}"


@lru_cache
def _look() -> bytes:
    files = sorted(path for path in TEMPLATES.rglob("*") if path.suffix in (".j2", ".json"))
    modules = [Path(module) for module in (__file__, foreign_html.__file__, markdown_html.__file__)]
    return hashlib.sha256(b"|".join(path.read_bytes() for path in (*files, *modules))).digest()


def _stamped(target: Path, stamp: str) -> bool:
    if not target.is_file():
        return False
    with target.open(encoding="utf-8") as file:
        return stamp in file.read(200)
