"""Tables and lists of values for the page."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from repu_lab.catalogue.values import is_number, shown
from repu_lab.report.page import Page, template

Cell = str | int | float | None  # Markup stays as it is
ROWS = 300  # of a table; more is for a file
# A column takes its longest cell, or as much of it as stands on a line when the table is narrow; characters.
LONGEST_LINE = 18
MEDIUM, WIDE, WIDEST = 38, 90, 175  # characters that a phone, a tablet, a desktop show side by side


def table(page: Page, columns: Sequence[str], rows: Sequence[Sequence[Cell]], caption: str = "") -> Markup:
    """Return a table; beyond 300 rows it says how many are missing, and where it does not fit its rows are cards."""
    texts = [[cell if isinstance(cell, Markup) else shown(cell) for cell in row] for row in rows[:ROWS]]
    numeric = [all(is_number(row[i]) and not isinstance(row[i], Markup) for row in texts) for i in range(len(columns))]
    if len(rows) > ROWS:
        caption = f"{caption} (first {ROWS} of {len(rows)} rows)".strip()
    titled = [{"title": title, "number": number} for title, number in zip(columns, numeric, strict=True)]
    return page.table(template("pieces").table(titled, texts, caption, _fold(columns, texts)), caption or "a table")


def facts(page: Page, values: Mapping[str, Cell], caption: str = "") -> Markup:
    """Return names beside values, in as many columns as there is room for; None and '' are left out."""
    texts = [(name, shown(value)) for name, value in values.items()]
    known = [(name, text, is_number(text)) for name, text in texts if text]
    return page.table(template("pieces").facts(known, caption), caption or "a list") if known else Markup()


def address(folder: Path, beside: Path) -> str:
    """Return a folder's address as seen from the folder of the page, whatever is in its name."""
    return quote(f"./{os.path.relpath(folder, beside)}/".encode(errors="surrogateescape"))


def _fold(columns: Sequence[str], texts: Sequence[Sequence[str]]) -> str:
    """Return the class that says on which screens the table becomes cards, by the characters of its longest cells."""
    longest = [
        max((len(cell.striptags() if isinstance(cell, Markup) else cell) for cell in column), default=0)
        for column in zip(*texts, strict=True)
    ] or [0] * len(columns)
    width = sum(
        max(min(cells, LONGEST_LINE), *map(len, title.split()), 0) + 2
        for title, cells in zip(columns, longest, strict=True)
    )
    return "widest" if width > WIDEST else "wide" if width > WIDE else "medium" if width > MEDIUM else "narrow"
