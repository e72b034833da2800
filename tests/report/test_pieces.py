"""What may stand inside the page: text escaped, pictures as addresses of images, tables that no screen cuts off."""

import base64
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from folders import EVIL, Checked
from markupsafe import Markup
from matplotlib.figure import Figure

from repu_lab.figures.style import canvas, title
from repu_lab.report.page import LONGEST, MARKS, Page, plain, template
from repu_lab.report.pictures import drawn, stored
from repu_lab.report.tables import address, facts, table

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 72 36">{}</svg>'


def figure() -> Figure:
    picture = Figure(figsize=(3, 2))
    axes = picture.subplots()
    axes.plot([0, 1, 2], [1, 3, 2.123456], "o-", label="a & b")
    axes.pcolormesh(np.eye(3), rasterized=True)
    axes.legend()
    return picture


def content(picture: str) -> bytes:
    """Return the bytes of the only picture in some markup."""
    (image,) = Checked(picture).all("img")
    return base64.b64decode(str(image["src"]).partition(";base64,")[2])


def test_text_is_escaped_cut_and_spelt_out_wherever_it_is_shown():
    pieces = template("pieces")
    for markup in (
        pieces.badge(EVIL),
        pieces.link(EVIL, "#top"),
        pieces.facts([(EVIL, EVIL, False)], EVIL),
        pieces.table([{"title": EVIL, "number": True}], [[EVIL]], EVIL, "narrow"),
        pieces.pre(EVIL),
        pieces.picture("data:image/png;base64,", 3, EVIL, EVIL),
        pieces.damaged(EVIL),
        pieces.left_out(EVIL),
    ):
        page = Checked(markup)
        assert not {"script"} & set(page.names) and "alert(1)" in page.words and "\\x1b[2J\\u202e" in page.words
        assert all(name != "onerror" for tag in page.tags for name in tag[1])
    assert plain("a\x00\x1b\u202e\ud800\n") == "a\\x00\\x1b\\u202e\\ud800\n"
    assert plain("x" * 5000, 10) == "xxxxxxxxxx ... (4990 characters more)"
    assert len(Checked(pieces.damaged("x" * 10**6)).words) < LONGEST + 100
    assert len(Checked(pieces.pre("x" * 10_000)).words.strip()) == 10_000


def test_a_badge_bears_its_sign_and_no_foreign_class():
    assert template("pieces").badge("refuted") == '<span class="badge refuted">✗ refuted</span>'
    assert template("pieces").badge("box tall") == '<span class="badge">box tall</span>'
    assert len({MARKS[verdict] for verdict in ("supported", "refuted", "inconclusive")}) == 3


def test_a_drawn_figure_is_an_image_and_loses_nothing():
    file = content(drawn(Page(""), figure(), "a <line>", "a caption"))
    names = [element.tag.rpartition("}")[2] for element in ElementTree.fromstring(file).iter()]
    assert {"path", "use", "image", "clipPath"} <= set(names)
    assert re.findall(rb"scale\(0\.015625", file)  # the size of letters, which hundredths would halve
    page = Checked(drawn(Page(""), figure(), "a <line>", "a caption"))
    (image,) = page.all("img")
    assert (image["alt"], image["width"]) == ("a <line>", f"{round(3 * 72 * 1.6)}") and "a caption" in page.words
    assert content(drawn(Page(""), figure(), "", "")) == file  # each time the same


def test_a_wide_picture_has_a_second_one_for_phones(tmp_path: Path):
    wide = canvas(7.0, 2.0)
    for axes in wide.subplots(1, 2):
        title(axes, "a")
    page = Checked(drawn(Page(""), wide, "", ""))
    (source,) = page.all("source")
    assert source["media"] == "(max-width: 34rem)"
    root = ElementTree.fromstring(base64.b64decode(str(source["srcset"]).partition(",")[2]))
    assert [float(number) for number in root.attrib["viewBox"].split()[2:]] == pytest.approx([4.2 * 72, 4.0 * 72])
    assert Checked(drawn(Page(""), figure(), "", "")).all("source") == []  # three inches are narrow enough
    figure().savefig(tmp_path / "a.svg")
    assert Checked(stored(Page(""), tmp_path, "a", "")).all("source") == []  # of an earlier version
    canvas(4.2, 4.0).savefig(tmp_path / "a.narrow.svg")
    assert len(Checked(stored(Page(""), tmp_path, "a", "")).all("source")) == 1


def test_a_stored_picture_is_its_svg_else_its_png(tmp_path: Path):
    figure().savefig(tmp_path / "a.svg")
    figure().savefig(tmp_path / "a.png", dpi=200)
    assert content(stored(Page(""), tmp_path, "a", "alt")).startswith(b"<?xml")
    (tmp_path / "a.svg").unlink()
    picture = stored(Page(""), tmp_path, "a", "alt")
    assert content(picture) == (tmp_path / "a.png").read_bytes() and f'width="{round(3 * 72 * 1.6)}"' in picture


HARMS = ["<script>alert(1)</script>", '<g onload="alert(1)"/>', '<image href="http://evil.example/x.png"/>']


@pytest.mark.parametrize("harm", HARMS)
def test_a_foreign_svg_is_only_ever_an_image(harm, tmp_path):
    """As the address of an image a browser runs nothing of it and fetches nothing for it; not a byte is markup."""
    (tmp_path / "a.svg").write_text(SVG.format(harm))
    page = Checked(stored(Page(""), tmp_path, "a", "alt"))
    page.tags.append(("meta", {"http-equiv": "Content-Security-Policy", "content": POLICY}))
    page.assert_harmless()
    assert page.names == ["figure", "picture", "img", "meta"]


POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
BOMB = "<!DOCTYPE svg [<!ENTITY a 'aaaaaaaaaa'>" + "".join(
    f"<!ENTITY {name} '{f'&{before};' * 10}'>" for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    "source",
    ["", "<svg", "<html/>", SVG.replace(' viewBox="0 0 72 36"', "").format(""), f"{BOMB}]>{SVG.format('&j;')}"],
)
def test_what_is_no_picture_is_named(source, tmp_path):
    (tmp_path / "a.svg").write_text(source)
    (tmp_path / "a.png").write_bytes(b"GIF89a")
    page = Checked(stored(Page(""), tmp_path, "a", "alt"))
    assert page.names == ["p", "span"] and "figure a: is damaged or no PNG" in page.words


def test_a_table_is_as_wide_as_what_stands_in_it():
    """It becomes cards on screens that cannot show its columns side by side: the class says on which."""

    def fold(columns: int, cell: str) -> str | None:
        (made,) = Checked(table(Page(""), [f"c{i}" for i in range(columns)], [[cell] * columns])).all("table")
        return made["class"]

    folds = [fold(3, "12.5"), fold(8, "12.5"), fold(5, "words " * 20), fold(30, "12.5")]
    assert folds == ["narrow", "medium", "wide", "widest"]
    assert fold(2, "") == "narrow" and "first 300 of 301 rows" in table(Page(""), ["a"], [[1]] * 301)


def test_numbers_stand_right_and_markup_stays():
    made = table(Page(""), ["a", "b"], [[1.23456, Markup("<i>x</i>")], [None, "<b>"]])
    page = Checked(made)
    assert page.table("a", "b") == [{"a": "1.235", "b": "x"}, {"a": "", "b": "<b>"}]
    assert [cell.get("class") for cell in page.all("td")] == ["number", None] * 2
    assert [cell["data-label"] for cell in page.all("td")] == ["a", "b"] * 2
    listed = facts(Page(""), {"a": 0.5, "none": None, "word": "x"})
    assert '<dt>a</dt><dd class="number">0.5</dd>' in listed and "<dt>word</dt><dd>x</dd>" in listed
    assert "none" not in listed


def test_an_address_leads_only_below_the_page(tmp_path: Path):
    assert address(tmp_path / "a b" / "javascript:alert(1)", tmp_path) == "./a%20b/javascript%3Aalert%281%29/"
    assert address(tmp_path / "run", tmp_path / "pages") == "./../run/"
