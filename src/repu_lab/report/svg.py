"""SVG that may stand inside the page, whoever wrote the file.

Inline, a picture is read by screen readers, scales and needs no second file; but an SVG may hold scripts, handlers,
styles for the whole page and addresses to call. So nothing is taken over that is not on the short lists below, which
hold what matplotlib draws with; names are given a prefix, since two pictures on a page must not share them.
"""

import io
import re
import warnings
from xml.etree import ElementTree

import matplotlib
from matplotlib.figure import Figure

from repu_lab.report.markup import Html, tag, text

SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
ELEMENTS = {
    "svg", "g", "defs", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "use", "clipPath", "text",
    "tspan", "image", "pattern", "linearGradient", "radialGradient", "stop", "marker", "symbol",
}  # fmt: skip
ATTRIBUTES = {
    "id", "d", "x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "rx", "ry", "fx", "fy", "dx", "dy", "width", "height",
    "points", "transform", "viewBox", "preserveAspectRatio", "offset", "patternUnits", "patternTransform",
    "gradientUnits", "gradientTransform", "clipPathUnits", "markerWidth", "markerHeight", "refX", "refY", "orient",
}  # fmt: skip
PRESENTATION = {
    "fill", "fill-opacity", "fill-rule", "stroke", "stroke-width", "stroke-opacity", "stroke-linecap",
    "stroke-linejoin", "stroke-miterlimit", "stroke-dasharray", "stroke-dashoffset", "opacity", "clip-path",
    "clip-rule", "stop-color", "stop-opacity", "font", "font-family", "font-size", "font-style", "font-weight",
    "text-anchor", "image-rendering", "visibility",
}  # fmt: skip
# No colon, no backslash, no quotation of a style that could reach out: an address is only #name in this picture.
PLAIN = re.compile(r"[\w\s#%.,()'+\-/]*")
OWN_ADDRESS = re.compile(r"url\(\s*['\"]?#([\w.\-]+)['\"]?\s*\)")
PICTURE = re.compile(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/=\s]*")
DECIMALS = re.compile(r"-?\d*\.\d{3,}(?:[eE][+-]?\d+)?")
ENLARGED = 1.25  # figures are drawn for a paper, whose letters are smaller than a screen's
PIXELS_PER_POINT = 4 / 3 * ENLARGED
LEGIBLE = 560  # pixels: below this a wide figure is scrolled instead of shrunk
LONGEST_PATH = 2_000_000


class Unusable(ValueError):
    """What cannot be shown as a picture; the message says why."""


def draw(figure: Figure, prefix: str, alt: str, caption: str = "") -> Html:
    """Return a matplotlib figure as inline SVG, the same bytes each time."""
    file = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": prefix, "svg.fonttype": "path"}), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a letter that the font lacks, a name too long for the layout
        figure.savefig(file, format="svg", metadata={"Date": None})
    return inline(file.getvalue(), prefix, alt, caption)


def inline(source: bytes, prefix: str, alt: str, caption: str = "") -> Html:
    """Return a cleaned SVG with a title (`caption`) and a description (`alt`); Unusable if it is none.

    `prefix` is put in front of every name in it. It shrinks with the page, down to what can still be read.
    """
    try:
        root = ElementTree.fromstring(source)  # fetches nothing; expat itself stops entities that multiply
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise Unusable("is damaged or no SVG") from error
    if root.tag != f"{SVG}svg":
        raise Unusable("is no SVG")
    try:
        inside = "".join(_clean(child, prefix) for child in root)
    except RecursionError as error:
        raise Unusable("is nested too deeply") from error
    box = root.get("viewBox", "")
    if not re.fullmatch(r"\s*(-?\d+(\.\d+)?[\s,]+){3}-?\d+(\.\d+)?\s*", box):
        raise Unusable("has no size (viewBox)")
    width = float(re.split(r"[\s,]+", box.strip())[2]) * PIXELS_PER_POINT
    size = f"width:{width:.0f}px;min-width:{min(width / ENLARGED, LEGIBLE):.0f}px"
    return tag(
        "svg",
        tag("title", caption or alt, id=f"{prefix}-title"),
        tag("desc", alt, id=f"{prefix}-alt"),
        Html(inside),
        role="img", aria_labelledby=f"{prefix}-title {prefix}-alt", viewBox=box,
        style=f"{size};stroke-linejoin:round;stroke-linecap:butt",
    )  # fmt: skip


def _clean(element: ElementTree.Element, prefix: str) -> str:
    name = element.tag.removeprefix(SVG) if isinstance(element.tag, str) else ""
    if name not in ELEMENTS:
        return ""
    attributes = dict(filter(None, (_attribute(key, value, prefix) for key, value in element.attrib.items())))
    if name == "image" and not attributes.get("href", "").startswith("data:"):
        return ""
    given = "".join(f' {key}="{text(value, LONGEST_PATH)}"' for key, value in attributes.items())
    inside = "".join(_clean(child, prefix) + _words(child.tail, name) for child in element)
    end = "\n" if name in ("g", "path", "use") else ""
    return f"<{name}{given}>{_words(element.text, name)}{inside}</{name}>{end}"


def _words(words: str | None, name: str) -> str:
    return text(words) if words and name in ("text", "tspan") else ""


def _attribute(key: str, value: str, prefix: str) -> tuple[str, str] | None:
    """Return an attribute as it may be taken over, None if it may not."""
    if key in ("href", f"{XLINK}href"):
        if value.startswith("#"):
            return "href", f"#{prefix}-{value[1:]}"
        return ("href", value) if PICTURE.fullmatch(value) else None
    if key == "id":
        return key, f"{prefix}-{value}"
    if key == "style":
        pairs = (part.partition(":") for part in value.split(";"))
        kept = ((name.strip(), _plain(setting, prefix)) for name, _, setting in pairs)
        return key, ";".join(f"{name}:{setting}" for name, setting in kept if name in PRESENTATION and setting)
    if key in ("d", "points"):
        return key, DECIMALS.sub(lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), value)
    if key in ATTRIBUTES:
        return key, value
    setting = _plain(value, prefix) if key in PRESENTATION else None
    return (key, setting) if setting else None


def _plain(setting: str, prefix: str) -> str | None:
    """Return a style's setting if it can do nothing but draw."""
    address = OWN_ADDRESS.fullmatch(setting.strip())
    if address is not None:
        return f"url(#{prefix}-{address[1]})"
    harmless = PLAIN.fullmatch(setting) is not None and "url" not in setting.lower() and "//" not in setting
    return setting.strip() if harmless else None
