"""The site of repu-lab: these pages, what `made.py` makes of the code, and the docstrings. `scripts/docs` builds it."""

import re
import sys
from pathlib import Path

from docutils.nodes import SkipNode, document, image, math, math_block, raw
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

sys.path.insert(0, str(Path(__file__).parent))
import made

import repu_lab

project, author, copyright = "repu-lab", "the authors of repu-lab", "the authors of repu-lab"
version = release = repu_lab.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build", "jupyter_execute", "results", "pictures"]
html_theme, html_title = "furo", f"repu-lab {version}"
html_static_path = ["static", *map(str, Path(__file__).parent.glob("pictures/*.narrow.*"))]
html_css_files = ["site.css"]
html_show_sourcelink = False
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode, nb_execution_raise_on_error = "force", True
autodoc_typehints = "none"  # a signature of numpy's aliases takes half a page; docstrings say shapes and units
autodoc_member_order = "bysource"
copybutton_prompt_text = "$ "
html_math_renderer = "mathml"  # browsers draw it themselves, offline too; MathJax would be fetched
default_role = "code"
MARKS = re.compile(r"[|*_]")


def setup(app: Sphinx) -> None:
    """Make the pages that follow from the code, before sphinx looks which there are."""
    made.write(Path(__file__).parent)
    app.connect("autodoc-process-docstring", as_plain_text)
    app.connect("doctree-resolved", show_on_phones)
    app.add_html_math_renderer("mathml", (inline_math, None), (block_math, None))


def show_on_phones(app: Sphinx, page: document, name: str) -> None:
    """Let narrow screens show the narrow one of a picture, where there is one."""
    for picture in list(page.findall(image)):
        for narrow in (Path(__file__).parent / "pictures").glob(f"{Path(picture['uri']).stem}.narrow.*"):
            source = f'<source media="(max-width: 34rem)" srcset="{"../" * name.count("/")}_static/{narrow.name}">'
            place = picture.parent.index(picture)
            picture.parent[place:place] = [raw("", f"<picture>{source}", format="html")]
            picture.parent.insert(place + 2, raw("", "</picture>", format="html"))


def as_plain_text(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Take the marks of reStructuredText from a docstring, which is plain English with |z|, K_* and initialize_."""
    lines[:] = [
        "`".join(part if i % 2 else MARKS.sub(r"\\\g<0>", part) for i, part in enumerate(line.split("`")))
        for line in lines
    ]


def inline_math(writer: HTML5Translator, node: math) -> None:
    """Write a formula of a line as MathML."""
    writer.body.append(convert(node.astext()))
    raise SkipNode


def block_math(writer: HTML5Translator, node: math_block) -> None:
    """Write a formula of its own line as MathML."""
    writer.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>')
    raise SkipNode
