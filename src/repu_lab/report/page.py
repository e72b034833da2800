"""The page: sections put together in a template, and kept below the size that a mail or a phone takes."""

from importlib.resources import files
from string import Template

from repu_lab.report.markup import Html, join, tag, text

MEBIBYTE = 1 << 20
LIMIT = 5 * MEBIBYTE  # of the page
PICTURES, TABLES = 3 * MEBIBYTE, MEBIBYTE  # of these what fits; the rest is left for words
FRAME = 16 << 10  # the template, and notes of what was left out


class Page:
    """What stands on the page so far. Pictures, tables and sections that no longer fit are named instead of shown."""

    def __init__(self, title: str):
        """Start an empty page; the title is that of the browser's tab."""
        self.title = title
        self._sections: list[Html] = []
        self._pictures, self._tables, self._rest = PICTURES, TABLES, LIMIT - FRAME
        self._numbered = 0

    def add(self, section: Html, name: str = "") -> None:
        """Append a section."""
        size = len(section.encode())
        if size > self._rest:
            section = tag("p", f"Left out, since the page would be too large: {name}.", class_="quiet")
            size = 0
        self._rest -= size
        self._sections.append(section)

    def picture(self, markup: Html, name: str) -> Html:
        """Return a picture if there is room for it, else a line that names its file."""
        size = len(markup.encode())
        if size > self._pictures:
            return tag(
                "p", f"{name} is left out: with its {size // 1024} kB the page would be too large.", class_="quiet"
            )
        self._pictures -= size
        return markup

    def table(self, markup: Html, name: str) -> Html:
        """Return a table if there is room for it, else a line that says so."""
        size = len(markup.encode())
        if size > self._tables:
            return tag("p", f"{name} is left out: the page would be too large.", class_="quiet")
        self._tables -= size
        return markup

    def number(self) -> int:
        """Return another number at each call: names on a page must not meet."""
        self._numbered += 1
        return self._numbered

    def html(self) -> str:
        """Return the whole page."""
        template = files("repu_lab.report").joinpath("page.html").read_text(encoding="utf-8")
        return Template(template).substitute(title=text(self.title, 200), body=join(*self._sections))
