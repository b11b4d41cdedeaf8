"""HTML from the outputs of other people's notebooks: what readers need stays, all that acts is taken out.

What stays: text, tables with the style that pandas gives them, MathML, inline SVG, pictures that are part of the
output, folded parts. What goes: scripts and event handlers, forms, frames, whatever loads something (remote pictures,
style sheets), and whatever changes the page around it (`<meta>`, `<base>`, a style for other elements).
"""

from __future__ import annotations

import html
import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nh3 import Cleaner

WRAPPER = "foreign"  # class of the element around such HTML; its style sheets hold within it only
FOLDING = {"input", "label"}  # checkboxes that fold parts by style alone, as scikit-learn's diagrams have them
MATHML = {
    "math", "annotation", "maction", "menclose", "merror", "mfenced", "mfrac", "mi", "mmultiscripts", "mn", "mo",
    "mover", "mpadded", "mphantom", "mprescripts", "mroot", "mrow", "ms", "mspace", "msqrt", "mstyle", "msub",
    "msubsup", "msup", "mtable", "mtd", "mtext", "mtr", "munder", "munderover", "semantics",
}  # fmt: skip
# Without the elements in which SVG turns into HTML again (desc, foreignObject, title): parsers disagree about them.
SVG = {
    "svg", "circle", "clipPath", "defs", "ellipse", "g", "line", "linearGradient", "marker", "mask", "path", "pattern",
    "polygon", "polyline", "radialGradient", "rect", "stop", "symbol", "text", "textPath", "tspan", "use",
}  # fmt: skip
DROPPED = {
    "applet", "annotation-xml", "audio", "canvas", "desc", "embed", "foreignObject", "frame", "frameset", "iframe",
    "noembed", "noframes", "noscript", "object", "script", "select", "template", "textarea", "title", "video",
}  # fmt: skip
ANYWHERE = {"class", "dir", "height", "id", "lang", "role", "style", "tabindex", "title", "width"}
OF_MATHML = {
    "accent", "accentunder", "columnalign", "columnspan", "depth", "display", "displaystyle", "encoding", "fence",
    "linethickness", "lspace", "mathcolor", "mathsize", "mathvariant", "movablelimits", "notation", "rowalign",
    "rowspan", "rspace", "scriptlevel", "separator", "stretchy", "symmetric",
}  # fmt: skip
PAINTED = {"clip-path", "fill", "filter", "marker-end", "marker-mid", "marker-start", "mask", "stroke", "style"}
OF_SVG = PAINTED | {
    "clip-rule", "clipPathUnits", "color", "cx", "cy", "d", "dominant-baseline", "dx", "dy", "fill-opacity",
    "fill-rule", "font-family", "font-size", "font-style", "font-weight", "fx", "fy", "gradientTransform",
    "gradientUnits", "letter-spacing", "markerHeight", "markerUnits", "markerWidth", "offset", "opacity", "orient",
    "paint-order", "pathLength", "patternTransform", "patternUnits", "points", "preserveAspectRatio", "r", "refX",
    "refY", "rotate", "rx", "ry", "shape-rendering", "spreadMethod", "startOffset", "stop-color", "stop-opacity",
    "stroke-dasharray", "stroke-dashoffset", "stroke-linecap", "stroke-linejoin", "stroke-miterlimit",
    "stroke-opacity", "stroke-width", "text-anchor", "textLength", "transform", "vector-effect", "viewBox",
    "visibility", "x", "x1", "x2", "xml:space", "y", "y1", "y2",
}  # fmt: skip
LOADS = re.compile(r"(?i)@import|@namespace|image-set\(|\b(image|src)\(|url\(\s*+['\"]?+\s*+(?!#|data:image/)")
COMMENT_OR_STRING = re.compile(r"""(/\*.*?\*/)|("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')""", re.DOTALL)
STYLE = re.compile(r"(<style[^>]*>)(.*?)(</style>)", re.DOTALL)  # attributes have "&lt;": only an element begins so
EMPTY_HEADING = re.compile(r'<th((?: [\w:-]+="[^"]*")*)>\s*</th>')  # pandas' corner: no heading to one who listens
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def inert(source: str) -> str:
    """Return HTML that shows the same but neither acts, loads anything nor changes what stands around it.

    HTML that two readings understand in two ways is shown as its source.

    >>> inert('<b onclick="x()">bold</b><script>x()</script><meta http-equiv="refresh" content="0; url=x">')
    '<b>bold</b>'
    """
    cleaned = _clean(source)
    if _clean(cleaned) != cleaned:
        return f"<pre>{html.escape(source)}</pre>"
    return EMPTY_HEADING.sub(r"<td\1></td>", STYLE.sub(_contained_style, cleaned))


def _contained_style(found: re.Match[str]) -> str:
    css = contained(found[2])
    return f"{found[1]}{css}{found[3]}" if css else ""


def contained(css: str) -> str:
    """Return a style sheet that holds within `WRAPPER` only; "" where it loads anything or is not well formed.

    >>> contained("td { color: red }")
    '.foreign { td { color: red } }'
    >>> contained("td { background: url(https://a.example/) }"), contained("} body { display: none")
    ('', '')
    """
    code = COMMENT_OR_STRING.sub(lambda found: found[2] or " ", css).strip()
    bare = COMMENT_OR_STRING.sub("", code)
    kept = _is_balanced(bare) and not re.search(r"""["'\\]|/\*""", bare) and not LOADS.search(code)
    return f".{WRAPPER} {{ {code} }}" if kept and code else ""


def _is_balanced(code: str) -> bool:
    depth = 0
    for brace in re.findall(r"[{}]", code):
        depth += 1 if brace == "{" else -1
        if depth < 0:
            return False
    return depth == 0


def is_empty(source: str) -> bool:
    """Return whether HTML shows nothing.

    >>> is_empty("<div> </div>"), is_empty("<div>text</div>"), is_empty('<img src="data:image/png;base64,">')
    (True, False, False)
    """
    text = re.sub(r"<[^>]*>", "", STYLE.sub("", source))
    return not html.unescape(text).strip() and not re.search(r"<(svg|img [^>]*src=)", source)


def _clean(source: str) -> str:
    return _cleaner().clean(source)


@lru_cache
def _cleaner() -> Cleaner:
    import nh3

    allowed = {tag: {*names, *ANYWHERE} for tag, names in nh3.ALLOWED_ATTRIBUTES.items()}
    allowed |= {tag: OF_MATHML | ANYWHERE for tag in MATHML} | {tag: OF_SVG | ANYWHERE for tag in SVG}
    allowed |= {"details": {"open"}, "use": {*OF_SVG, "href", "xlink:href"}, "label": {"for"}, "input": {"checked"}}
    return nh3.Cleaner(
        tags=nh3.ALLOWED_TAGS | MATHML | SVG | FOLDING | {"style", "tfoot"},
        attributes={"*": ANYWHERE, **allowed},
        attribute_filter=_kept,
        clean_content_tags=DROPPED,
        generic_attribute_prefixes={"aria-", "data-"},
        set_tag_attribute_values={"input": {"type": "checkbox"}},
        url_schemes={"data", "http", "https", "mailto"},
    )


def _kept(tag: str, name: str, value: str) -> str | None:
    """Return the value of an attribute; None where it would load something from elsewhere."""
    if name == "src" or (name in ("href", "xlink:href") and tag != "a"):
        inside = re.match(r"data:image/|#", value.strip(), re.IGNORECASE)
        return value if inside or _is_beside(value) else None
    if name == "href":
        return value if _is_beside(value) or re.match(r"\s*(https?|mailto):", value, re.IGNORECASE) else None
    return None if name in PAINTED and ("\\" in value or LOADS.search(value)) else value


def _is_beside(address: str) -> bool:
    """Return whether an address is that of a file beside the page, or of a place in it."""
    plain = re.sub(r"[\x00-\x20]", "", address)
    return not SCHEME.match(plain) and not plain.startswith("//") and "\\" not in plain
