"""The page: sections made by templates, and kept below the size that a mail or a phone takes."""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

MEBIBYTE = 1 << 20
LIMIT = 8 * MEBIBYTE  # of the page
PICTURES, TABLES = 6 * MEBIBYTE, MEBIBYTE  # of these what fits; the rest is left for words
FRAME = 32 << 10  # the frame with its style, and notes of what was left out
# A cell, a reason, a caption; a file that holds more is made to fill the page.
LONGEST, LONGEST_PRE = 4_000, 100_000
MARKS = {
    "supported": "✓", "refuted": "✗", "inconclusive": "?", "damaged": "!", "finished": "✓", "failed": "✗",
    "running": "…", "interrupted": "‖",
}  # fmt: skip


class Page:
    """What stands on the page so far. Pictures, tables and sections that no longer fit are named instead of shown."""

    def __init__(self, title: str):
        """Start an empty page; the title is that of the browser's tab."""
        self.title = title
        self._sections: list[Markup] = []
        self._room = {"pictures": PICTURES, "tables": TABLES, "sections": LIMIT - FRAME}  # bytes

    def add(self, section: Markup, name: str = "") -> None:
        """Append a section."""
        self._sections.append(self._fitting("sections", section, name))

    def picture(self, markup: Markup, name: str) -> Markup:
        """Return a picture if there is room for it, else a line that names it."""
        return self._fitting("pictures", markup, name)

    def table(self, markup: Markup, name: str) -> Markup:
        """Return a table if there is room for it, else a line that names it."""
        return self._fitting("tables", markup, name)

    def _fitting(self, kind: str, markup: Markup, name: str) -> Markup:
        size = len(markup.encode())
        if size > self._room[kind]:
            return template("pieces").left_out(name)
        self._room[kind] -= size
        return markup

    def html(self) -> str:
        """Return the whole page."""
        frame = _environment().get_template("page.html")
        return frame.render(title=plain(self.title, 200), sections=self._sections)


def template(name: str) -> Any:
    """Return the macros of a template as functions that return markup: `template("pieces").badge("finished")`."""
    return _environment().get_template(f"{name}.html").module


def plain(value: object, longest: int = LONGEST) -> str:
    """Return any value as text: control characters spelt out, cut if too long; None is nothing."""
    text = "" if value is None else str(value)
    if len(text) > longest:
        text = f"{text[:longest]} ... ({len(text) - longest} characters more)"
    return text if text.isprintable() else "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


@cache
def _environment() -> Environment:
    """Return the templates; whatever they are given that is no markup is escaped, and `plain` first."""
    environment = Environment(
        loader=PackageLoader("repu_lab.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else plain(value),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["whole"] = lambda text: escape(plain(text, LONGEST_PRE))
    environment.globals["marks"] = MARKS
    return environment
