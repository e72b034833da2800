"""Pictures of the page: SVG or PNG as data addresses of images, in which nothing runs and nothing is fetched."""

import base64
import io
import re
import warnings
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

from repu_lab.configs.files import Damaged
from repu_lab.figures.narrow import FOR_PHONES, narrow
from repu_lab.report.page import Page, template
from repu_lab.runs.reading import Contents

PICTURE_LIMIT = 8 << 20
PNG = b"\x89PNG\r\n\x1a\n"
DOTS_PER_INCH = 200  # of the PNG that lie in folders
ENLARGED = 1.2  # figures are drawn for a paper, whose letters are smaller than a screen's
PIXELS_PER_POINT = 4 / 3 * ENLARGED
PATH = re.compile(rb'(?<= d=")[^"]*')
DECIMALS = re.compile(rb"(\.\d\d)\d+")  # beyond hundredths of a point they are a third of a path's bytes
BETWEEN = re.compile(rb">\s+<")  # the indentation of tags
GAPS = re.compile(rb"\s*([A-Z])\s*|\s+(?=-)")  # what separates without them, and is a sixth


def drawn(page: Page, figure: Figure, alt: str, caption: str = "") -> Markup:
    """Return a matplotlib figure as a picture, the same bytes each time."""
    wide = _saved(figure)
    return _picture(page, wide, alt, caption, _saved(figure)[0] if narrow(figure) else "")


def stored(page: Page, folder: Path, stem: str, alt: str, caption: str = "") -> Markup:
    """Return a picture of a folder: its SVG, else its PNG, else a line that says what is wrong with it."""
    contents = Contents(folder)
    for_phones = ""
    try:
        try:
            image = _svg(contents.content(f"{stem}.svg", PICTURE_LIMIT))
        except Damaged:
            image = _png(contents.content(f"{stem}.png", PICTURE_LIMIT))
        if (folder / f"{stem}{FOR_PHONES}").is_file():
            for_phones, _ = _svg(contents.content(f"{stem}{FOR_PHONES}", PICTURE_LIMIT))
    except Damaged as error:
        return template("pieces").damaged(f"figure {stem}: {error}")
    return _picture(page, image, alt, caption, for_phones)


def _picture(page: Page, image: tuple[Markup, float], alt: str, caption: str, for_phones: str = "") -> Markup:
    address, width = image
    return page.picture(template("pieces").picture(address, round(width), alt, caption, for_phones), caption or alt)


def _saved(figure: Figure) -> tuple[Markup, float]:
    file = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "repu-lab", "svg.fonttype": "path"}), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a letter that the font lacks, a name too long for the layout
        figure.savefig(file, format="svg", metadata={"Date": None})
    return _svg(file.getvalue())


def _svg(content: bytes) -> tuple[Markup, float]:
    """Return the address of an SVG and its width in pixels; Damaged if it is none."""
    try:
        root = ElementTree.fromstring(content)  # fetches nothing; expat itself stops entities that multiply
        width = float(root.get("viewBox", "").split()[2])
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise Damaged("is damaged or no SVG") from error
    shorter = PATH.sub(lambda path: GAPS.sub(rb"\1", DECIMALS.sub(rb"\1", path[0])), content)
    return _address("svg+xml", BETWEEN.sub(b"><", shorter)), width * PIXELS_PER_POINT


def _png(content: bytes) -> tuple[Markup, float]:
    """Return the address of a PNG and its width in pixels; Damaged if it is none."""
    if not content.startswith(PNG):
        raise Damaged("is damaged or no PNG")
    width = int.from_bytes(content[16:20], "big")
    return _address("png", content), width * 72 / DOTS_PER_INCH * PIXELS_PER_POINT


def _address(kind: str, content: bytes) -> Markup:
    return Markup(f"data:image/{kind};base64,{base64.b64encode(content).decode()}")
