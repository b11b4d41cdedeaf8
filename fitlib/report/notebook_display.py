"""Display sentences, tables and figures: in a notebook, or into a list from which a page is made without one.

Names that users give (classes, groups) are text everywhere: whatever reaches HTML or Markdown is escaped here.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import pandas as pd

from fitlib.report.captions import conditions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fitlib.report.reader_tables import ReaderTable

MARKDOWN = re.compile(r"[\\`*_{}\[\]<>&$~|#:]")  # active characters; ":" so that no bare address becomes a link
WRAPPED = 40  # characters of a cell beyond which it may break into lines
SHORT, WIDE = 12, 8  # rows up to which a table stays on one printed page; columns beyond which it is printed smaller
TALL = 40  # rows beyond which a table scrolls in a window of its own, on a screen
NUMBER = re.compile(r"[−+<>≤\[]* ?\d|–$|not estimable$|no test$|constant in all")
FOLD = "fold"  # metadata of a heading, and tag of a section, whose content a page hides until it is opened
IN_NOTEBOOKS = ".fitlib caption, .fitlib th[scope^=row], .fitlib td.text, .fitlib th.text { text-align: left }"
Links = Mapping[str, Sequence[str]]
Output = dict[str, Any]  # of a cell, as notebooks store it: output_type, data and metadata by type of content
_COLLECTED: ContextVar[list[Output] | None] = ContextVar("collected", default=None)


# Where outputs go


def display(data: Mapping[str, str], metadata: Mapping[str, Mapping[str, str]] | None = None) -> None:
    """Display content, {type: text}, with metadata by type: in the notebook, or in the list of `collect_outputs`."""
    collected = _COLLECTED.get()
    if collected is not None:
        output = {"output_type": "display_data", "data": dict(data), "metadata": dict(metadata or {})}
        collected.append(output)
        return
    from IPython.display import display as display_in_notebook

    display_in_notebook(dict(data), metadata=dict(metadata or {}), raw=True)


@contextmanager
def collect_outputs() -> Iterator[list[Output]]:
    """Collect in a list what is displayed within the block; no notebook is needed.

    >>> with collect_outputs() as outputs:
    ...     show_text("A sentence.")
    >>> outputs[0]["data"]["text/markdown"]
    'A sentence.'
    """
    outputs: list[Output] = []
    token = _COLLECTED.set(outputs)
    try:
        yield outputs
    finally:
        _COLLECTED.reset(token)


# Sentences


def markdown(text: str) -> str:
    """Return Markdown that shows exactly this text: active characters become character references.

    >>> markdown("a_b <c>")
    'a&#95;b &#60;c&#62;'
    """
    return MARKDOWN.sub(lambda found: f"&#{ord(found.group())};", " ".join(str(text).split()))


def show_text(sentences: str | Iterable[str], paragraphs: bool = False) -> None:
    """Display one sentence as a paragraph, several as a list (or as paragraphs); empty ones are left out."""
    given = [sentences] if isinstance(sentences, str) else sentences
    texts = [str(sentence) for sentence in given if sentence]
    lines = [markdown(text) for text in texts]
    if len(lines) > 1 and not paragraphs:
        lines = ["\n".join(f"- {line}" for line in lines)]
    if lines:
        display({"text/markdown": "\n\n".join(lines), "text/plain": "\n".join(texts)})


def show_lead(sentence: str) -> None:
    """Display the one sentence that a reader takes away."""
    display({"text/markdown": f"**{markdown(sentence)}**", "text/plain": sentence})


def show_places(name: str, places: Sequence[tuple[str, str]]) -> None:
    """Display texts that lead to places in the page, (text, "#place"); ``name`` tells who listens what they are."""
    links = "".join(
        f'<li><a href="{html.escape(place, quote=True)}">{html.escape(text)}</a></li>' for text, place in places
    )
    plain = " · ".join(text for text, _ in places)
    display({"text/html": f'<ul class="places" aria-label="{html.escape(name)}">{links}</ul>', "text/plain": plain})


def heading(text: str, folded: bool = False) -> None:
    """Display a heading within a section (level 3); on a page, ``folded`` hides what follows it until it is opened."""
    metadata = {"text/markdown": {FOLD: "closed"}} if folded else None
    display({"text/markdown": f"### {markdown(text)}", "text/plain": text}, metadata)


# Tables and figures


@dataclass(frozen=True)
class Page:
    """The page of an analysis: `plan` is used in the captions, figures are written below `out`.

    Without `out` nothing is written, and tables have no links to the files beside the page.
    """

    plan: Mapping
    out: Path | None = None

    def show(
        self,
        table: ReaderTable,
        frame: pd.DataFrame,
        view: pd.DataFrame | None = None,
        links: Links | None = None,
    ) -> None:
        """Display a table for readers of `frame`; `view`: its cells, where the section has made them."""
        cells = table.cells(frame, self.plan) if view is None else view
        if len(cells):  # some captions need a row, so none is made for an empty table
            self.table(table.title, cells, table.caption(self.plan, frame), table.source, links)

    def table(self, title: str, view: pd.DataFrame, caption: str, source: str = "", links: Links | None = None) -> None:
        """Display a table of strings, if it has rows; `source` is the relative address of the file with all columns."""
        if len(view):
            source, links = ("", None) if self.out is None else (source, links)
            caption = self._without_conditions(caption)
            content = table_html(title, view, caption, source, links)
            display({"text/html": content, "text/plain": f"{title}. {caption}"})

    def show_conditions(self) -> None:
        """Display what holds throughout the page; captions then repeat only what differs from it."""
        text = conditions(self.plan)
        display({"text/html": f'<p class="conditions">{html.escape(text)}</p>', "text/plain": text})

    def _without_conditions(self, caption: str) -> str:
        return caption.removeprefix(conditions(self.plan)).lstrip()

    def figures(self, name: str, attribute: str, figures: Sequence[Figure], alt: str, caption: str) -> None:
        """Do as `figure` for several figures: each is captioned as a part, and `alt` describes them all."""
        caption = self._without_conditions(caption)
        for number, figure in enumerate(figures, 1):
            part = f"Part {number} of {len(figures)}. " if len(figures) > 1 else ""
            end = f"-part-{number}" if len(figures) > 1 else ""
            self.figure(name, attribute, figure, f"{part}{alt}", f"{part}{caption}", end)

    def figure(self, name: str, attribute: str, figure: Figure, alt: str, caption: str, end: str = "") -> None:
        """Save a figure as SVG and PNG, and display it with its text alternative and caption.

        Where the plan has several protected attributes, file name and caption tell which one it shows.
        """
        from fitlib.report.figures import style

        caption = self._without_conditions(caption)
        if len(self.plan["groups"]) > 1:
            caption = f"Protected attribute: {attribute}. {caption}"
        if self.out is None:
            svg = style.svg_text(figure)
        else:
            files = style.save(figure, self.out / "figures", f"{style.stem(name, self.plan, attribute)}{end}")
            svg = files[0].read_text(encoding="utf-8")
        data = {"image/svg+xml": svg, "text/plain": alt}
        display(data, {"image/svg+xml": {"alt": alt, "caption": caption}})


def table_html(title: str, frame: pd.DataFrame, caption: str, source: str = "", links: Links | None = None) -> str:
    """Return a table of strings as HTML, with a caption, and with column and row headings that have their scope.

    Equal neighbours in the first column merge. `links` maps a column to one relative address per row ("" for none).
    Columns of text are aligned left.
    """
    links, columns = links or {}, list(frame.columns)
    text = {c for c in columns if _is_text([str(value) for value in frame[c]])}
    head = "".join(f'<th scope="col"{_class(c in text)}>{html.escape(str(c))}</th>' for c in columns)
    spans = _spans(list(frame.iloc[:, 0])) if columns else []
    body = [
        _table_row(row, columns, spans[i], {c: links[c][i] for c in links}, text)
        for i, row in enumerate(frame.itertuples(index=False, name=None))
    ]
    name = html.escape(title)
    return (
        f'<div class="scroll{" tall" if len(frame) > TALL else ""}" role="region" aria-label="{name}" tabindex="0">'
        f"<table{_shape(frame)}><caption><b>{name}.</b> {html.escape(caption)}{_source_link(source)}</caption>\n"
        f"<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{''.join(body)}</tbody></table></div>"
    )


def _shape(frame: pd.DataFrame) -> str:
    shape = {"short": len(frame) <= SHORT, "wide": len(frame.columns) > WIDE}
    names = " ".join(name for name, holds in shape.items() if holds)
    return _class(bool(names), names)


def notebook_html(content: str) -> str:
    """Return HTML for a live notebook: text is aligned left, as on the pages that have a style sheet."""
    return f'<div class="fitlib"><style>{IN_NOTEBOOKS}</style>{content}</div>'


def _source_link(source: str) -> str:
    return f' All columns: <a href="{address(source)}">{html.escape(source)}</a>.' if source else ""


def _is_text(cells: list[str]) -> bool:
    """Return whether most cells are not numbers, or one is too long for one; many a digest begins with a digit."""
    numbers = sum(NUMBER.match(cell) is not None for cell in cells)
    return numbers < len(cells) / 2 or max(map(len, cells), default=0) > WRAPPED


def _spans(values: list) -> list[int]:
    """Return, for each row, how many equal values start there, 0 inside such a block."""
    spans = [0] * len(values)
    start = 0
    for i in range(1, len(values) + 1):
        if i == len(values) or values[i] != values[start]:
            spans[start], start = i - start, i
    return spans


def _table_row(row: tuple, columns: list, span: int, links: Mapping[str, str], text: set) -> str:
    first, *rest = row
    block = f'scope="rowgroup" rowspan="{span}"' if span > 1 else 'scope="row"'
    heading = f"<th {block}>{html.escape(str(first))}</th>" if span else ""
    cells = "".join(_cell(value, links.get(c, ""), c in text) for c, value in zip(columns[1:], rest, strict=True))
    return f"<tr{_class(bool(span), 'first')}>{heading}{cells}</tr>\n"


def _cell(value: object, link: str, is_text: bool) -> str:
    shown = html.escape(str(value))
    if link:
        shown = f'<a href="{html.escape(address(link), quote=True)}">{shown}</a>'
    long = " long" if len(str(value)) > WRAPPED else ""
    return f"<td{_class(is_text, f'text{long}')}>{shown}</td>"


def _class(holds: bool, name: str = "text") -> str:
    return f' class="{name}"' if holds else ""


def address(link: str) -> str:
    """Return a relative address, quoted. Raises ValueError for one that names a scheme or a host.

    >>> address("runs/a b/train.html")
    'runs/a%20b/train.html'
    """
    parts = urlsplit(link)
    if parts.scheme or parts.netloc or link.startswith(("/", "\\")):
        raise ValueError(f"link = {link!r}: not a relative address")
    return quote(parts.path, safe="/._-+") + (f"#{quote(parts.fragment)}" if parts.fragment else "")
