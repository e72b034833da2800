"""What may stand inside the page."""

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from folders import Checked
from matplotlib.figure import Figure

from repu_lab.report.markup import Html, tag, text
from repu_lab.report.svg import Unusable, draw, inline

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 72 36">'
HARMS = [
    "<script>alert(1)</script>",
    '<g onload="alert(1)"/>',
    '<a xlink:href="javascript:alert(1)"><path d="M 0 0"/></a>',
    "<foreignObject><iframe src='http://evil.example'/></foreignObject>",
    "<style>* { display: none } @import url(http://evil.example)</style>",
    '<image href="http://evil.example/x.png"/>',
    '<image xlink:href="data:image/svg+xml;base64,PHN2Zz4="/>',
    '<use href="http://evil.example/x.svg#a"/>',
    '<use xlink:href="data:text/html,x"/>',
    '<path style="fill: url(http://evil.example/x)" d="M 0 0"/>',
    '<path fill="url(//evil.example/x#a)" d="M 0 0"/>',
    '<path style="fill: red; background-image: url(x); behavior: url(y)" d="M 0 0"/>',
    '<set attributeName="href" to="javascript:alert(1)"/>',
    '<animate attributeName="x" onbegin="alert(1)"/>',
    "<text>&lt;script&gt;alert(1)&lt;/script&gt;</text>",
    '<path d="&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;"/>',
    '<g id="x&quot; onload=&quot;alert(1)"/>',
    '<handler xmlns="http://www.w3.org/2001/xml-events" type="text/javascript">alert(1)</handler>',
    '<evil:script xmlns:evil="http://www.w3.org/1999/xhtml">alert(1)</evil:script>',
]
ALLOWED = {"svg", "title", "desc", "g", "path", "text", "use", "image", "tspan"}


@pytest.mark.parametrize("harm", HARMS)
def test_harm_is_left_out(harm):
    page = Checked(inline(f"{HEAD}{harm}</svg>".encode(), "f1", "alt"))
    assert set(page.names) <= ALLOWED
    for _, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on") and "evil" not in str(value) and "javascript" not in str(value)
            assert name != "href" or str(value).startswith("#f1-")
    assert "alert" not in page.words.replace("<script>alert(1)</script>", "")


def test_what_draws_is_kept():
    picture = base64.b64encode(b"\x89PNG").decode()
    inside = (
        '<defs><clipPath id="c"><rect width="1" height="2"/></clipPath>'
        '<path id="m" d="M 0.123456 0.00001 L 2 3"/></defs>'
        f'<g clip-path="url(#c)" style="fill: #ff0000; stroke-dasharray: 1,2"><use xlink:href="#m" x="1"/></g>'
        f'<image xlink:href="data:image/png;base64,{picture}" transform="scale(1 -1)"/><text x="1">a &lt; b</text>'
    )
    page = Checked(inline(f"{HEAD}{inside}</svg>".encode(), "f7", "described", "named"))
    assert page.names == ["svg", "title", "desc", "defs", "clippath", "rect", "path", "g", "use", "image", "text"]
    assert page.all("svg")[0]["role"] == "img" and page.all("svg")[0]["aria-labelledby"] == "f7-title f7-alt"
    assert page.all("g")[0] == {"clip-path": "url(#f7-c)", "style": "fill:#ff0000;stroke-dasharray:1,2"}
    assert page.all("use")[0] == {"href": "#f7-m", "x": "1"}
    assert page.all("path")[0]["d"] == "M 0.12 0 L 2 3"
    assert page.all("image")[0]["href"] == f"data:image/png;base64,{picture}"
    assert page.words.split("\n")[-1] == "a < b"


BOMB = "<!DOCTYPE svg [<!ENTITY a 'aaaaaaaaaa'>" + "".join(
    f"<!ENTITY {name} '{f'&{before};' * 10}'>" for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (b"", "damaged"),
        (b"<svg", "damaged"),
        (b"\xff\xfe", "damaged"),
        (b"<html/>", "is no SVG"),
        (f"{HEAD[:-1].replace('0 0 72 36', '0 0')}></svg>".encode(), "no size"),
        (f"{BOMB}]>{HEAD}<text>&j;</text></svg>".encode(), "damaged"),
        (f"{HEAD}{'<g>' * 5000}{'</g>' * 5000}</svg>".encode(), "nested too deeply"),
    ],
)
def test_what_is_no_picture_is_named(source, why):
    with pytest.raises(Unusable, match=why):
        inline(source, "f1", "alt")


def test_a_figure_of_matplotlib_loses_nothing():
    figure = Figure(figsize=(3, 2))
    axes = figure.subplots()
    axes.plot([0, 1, 2], [1, 3, 2], "o-", label="a & b")
    axes.pcolormesh(np.eye(3), rasterized=True)
    axes.legend()
    file = io.BytesIO()
    figure.savefig(file, format="svg")
    source = ElementTree.fromstring(file.getvalue())
    markup = draw(figure, "f3", "a line", "a caption")
    page = Checked(markup)
    for name in ("path", "use", "image", "clipPath", "rect"):
        there = sum(1 for element in source.iter() if str(element.tag).endswith("}" + name))
        assert page.names.count(name.lower()) == there > 0, name
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', markup))
    assert used and {a or b for a, b in used} <= ids
    assert draw(figure, "f3", "a line", "a caption") == markup


def test_text_is_escaped_unless_it_is_markup():
    assert tag("p", "<b>&", Html("<i></i>"), None, 3, ["x", ["'"]], class_='a"b', data_x=None) == (
        '<p class="a&quot;b">&lt;b&gt;&amp;<i></i>3x&#x27;</p>\n'
    )
    assert text("a\x00\x1b\u202e\ud800\n") == "a\\x00\\x1b\\u202e\\ud800\n"
    assert text("x" * 5000, 10) == "xxxxxxxxxx ... (4990 characters more)"
    assert tag("img", alt="<") == '<img alt="&lt;">'
