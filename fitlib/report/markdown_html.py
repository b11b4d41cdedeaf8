"""Markdown as HTML, with formulas as pictures: no page of fitlib runs a script that would set them.

The dialect is that of notebooks: tables, strikethrough, task and definition lists, bare addresses, and formulas
between dollar signs.
"""

from __future__ import annotations

import base64
import html
import io
import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from mistune import HTMLRenderer, InlineParser, InlineState, Markdown

PLUGINS = ("strikethrough", "table", "url", "task_lists", "def_list")
FORMULA = r"(?<!\\)\$\$(?P<block>(?s:.*?))(?<!\\)\$\$|(?<![$\\])\$(?P<inline>(?s:.+?))(?<![$\\])\$"
TAG = re.compile(r"<[^>]+>")


def markdown_html(source: str) -> str:
    r"""Return Markdown as HTML; headings have anchors.

    >>> markdown_html("## Two *words*")
    '<h2 id="Two-words">Two <em>words</em></h2>'
    """
    return str(_markdown()(source))


@lru_cache
def _markdown() -> Markdown:
    import mistune

    return mistune.create_markdown(escape=False, renderer=_renderer(), plugins=[*PLUGINS, _read_formulas])


def _renderer() -> HTMLRenderer:
    import mistune

    class Renderer(mistune.HTMLRenderer):
        def heading(self, text: str, level: int, **attrs: object) -> str:
            plain = html.unescape(TAG.sub("", text)).strip()
            anchor = html.escape(quote(plain.replace(" ", "-"), safe="?/:@!$&'()*+,;="), quote=False)
            return f'<h{level} id="{anchor}">{text}</h{level}>'

    return Renderer(escape=False, allow_harmful_protocols=True)


def _read_formulas(md: Markdown) -> None:
    """Let a Markdown parser read formulas, before anything else in a line is read."""
    md.inline.register("formula", FORMULA, _read_formula, before="escape")
    if md.renderer is not None:
        md.renderer.register("formula", lambda _, latex: formula(latex))
        md.renderer.register("block_formula", lambda _, latex: f"<p>{formula(latex)}</p>")


def _read_formula(_: InlineParser, found: re.Match[str], state: InlineState) -> int:
    inline = found["inline"]
    kind, latex = ("block_formula", found["block"]) if inline is None else ("formula", inline)
    state.append_token({"type": kind, "raw": latex})
    return found.end()


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
