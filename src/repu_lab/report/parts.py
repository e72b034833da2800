"""Pieces that every page is made of."""

import base64
import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from matplotlib.figure import Figure

from repu_lab.catalogue.text import is_number, shown
from repu_lab.configs.files import Damaged
from repu_lab.report.markup import Content, Html, join, tag, text
from repu_lab.report.page import Page
from repu_lab.report.svg import Unusable, draw, inline
from repu_lab.runs.reading import Contents

MARKS = {
    "supported": "✓", "refuted": "✗", "inconclusive": "?", "damaged": "!", "finished": "✓", "failed": "✗",
    "running": "…", "interrupted": "‖",
}  # fmt: skip
ROWS = 300  # of a table; more is for a file
LONGEST_PRE = 100_000  # characters of commands, a log, a traceback
WORDS = 40  # characters above which a cell may break into lines
PICTURE_LIMIT = 8 << 20
PNG = b"\x89PNG\r\n\x1a\n"


def badge(word: str) -> Html:
    """Return a verdict or a state, told apart by sign, line and word, not by colour alone."""
    known = word if word in MARKS else None
    return tag("span", f"{MARKS.get(word, '')} {word}".strip(), class_=f"badge {known or ''}".strip())


def tally(words: Sequence[str], counts: Mapping[str, int]) -> Html:
    """Return how often each verdict or state is there, those that are not left out."""
    return tag(
        "p", [tag("span", badge(word), f" {counts[word]}", class_="tally") for word in words if counts.get(word)]
    )


def plural(count: int, noun: str) -> str:
    """Return `1 run`, `2 runs`."""
    return f"{count} {noun}{'s' * (count != 1)}"


def when(moment: object) -> str:
    """Return a manifest's time as people write it, '' for anything else."""
    try:
        return f"{datetime.fromisoformat(str(moment)).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError):
        return ""


def table(
    page: Page, columns: Sequence[Content], rows: Sequence[Sequence[Content]], caption: str = "", *, tall: bool = False
) -> Html:
    """Return a table that scrolls inside its own box; beyond 300 rows it says how many are missing."""
    numeric = [
        all(not isinstance(row[i], Html) and is_number(_cell(row[i])) for row in rows) for i in range(len(columns))
    ]
    more = len(rows) - ROWS
    note = f"{caption} (first {ROWS} of {len(rows)} rows)".strip() if more > 0 else caption
    head = [tag("th", column, scope="col", class_="number" if right else None)
            for column, right in zip(columns, numeric, strict=True)]  # fmt: skip
    body = [tag("tr", [_td(cell, right) for cell, right in zip(row, numeric, strict=True)]) for row in rows[:ROWS]]
    markup = join(
        tag("p", note, class_="caption") if note else None,
        scrolling(tag("table", tag("thead", tag("tr", head)), tag("tbody", body)), caption or "table", tall=tall),
    )
    return page.table(markup, caption or "A table")


def scrolling(content: Html, label: str, *, tall: bool = False) -> Html:
    """Return a box in which wide content scrolls by itself, with the keyboard too."""
    return tag("div", content, class_="box tall" if tall else "box", tabindex="0", role="region", aria_label=label)


def facts(page: Page, values: Mapping[str, Content], caption: str = "") -> Html:
    """Return names beside values, in as many columns as there is room for; None and '' are left out."""
    known = [(name, value) for name, value in values.items() if value not in (None, "")]
    if not known:
        return Html()
    entries = [tag("div", tag("dt", name), _dd(_cell(value))) for name, value in known]
    heading = tag("p", caption, class_="caption") if caption else None
    return page.table(join(heading, tag("dl", entries, class_="facts")), caption or "A list")


def definitions(entries: Iterable[tuple[str, Content]]) -> Html:
    """Return names above texts; those without a text are left out."""
    return tag("dl", [join(tag("dt", name), tag("dd", content)) for name, content in entries if content])


def folded(summary: str, *content: Content, is_open: bool = False) -> Html:
    """Return content behind a line to be clicked; it needs no script."""
    return tag("details", tag("summary", summary), *content, open="" if is_open else None)


def preformatted(content: str, *, wrap: bool = False) -> Html:
    """Return text as it stands: commands, logs, tracebacks."""
    return tag("pre", text(content, LONGEST_PRE), class_="wrap" if wrap else None, tabindex="0")


def figure(page: Page, picture: Figure, alt: str, caption: str = "") -> Html:
    """Return a matplotlib figure as inline SVG."""
    return _framed(page, draw(picture, f"f{page.number()}", alt, caption), caption, "A figure")


def stored_figure(page: Page, folder: Path, stem: str, alt: str, caption: str = "") -> Html:
    """Return a figure of a folder: its SVG, cleaned, else its PNG, else a line that says what is wrong with it."""
    contents = Contents(folder)
    try:
        try:
            markup = inline(contents.content(f"{stem}.svg", PICTURE_LIMIT), f"f{page.number()}", alt, caption)
        except (Damaged, Unusable) as error:
            content = contents.content(f"{stem}.png", PICTURE_LIMIT)
            if not content.startswith(PNG):
                raise Unusable("is damaged") from error
            source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
            markup = tag("img", alt=alt, src=Html(source))
    except (Damaged, Unusable) as error:
        return tag("p", badge("damaged"), f" figure {stem}: {error}")
    return _framed(page, markup, caption, f"{stem}.svg")


def command_line(words: object) -> str:
    """Return a manifest's command line as it was typed, without the place of the program."""
    if not (isinstance(words, list) and words and all(isinstance(word, str) for word in words)):
        return ""
    return shlex.join([Path(words[0]).name, *words[1:]])


def _framed(page: Page, markup: Html, caption: str, name: str) -> Html:
    box = scrolling(markup, caption or "figure")
    return page.picture(tag("figure", box, tag("figcaption", caption) if caption else None), name)


def _td(cell: Content, right: bool) -> Html:
    if isinstance(cell, Html):
        return tag("td", cell)
    content = _cell(cell)
    long = len(content) > WORDS and " " in content
    return tag("td", content, class_="number" if right else "words" if long else None)


def _dd(value: str) -> Html:
    return tag("dd", value, class_="number" if is_number(value) else None)


def _cell(cell: Content) -> str:
    if isinstance(cell, (str, int, float, bool)) or cell is None:
        return shown(cell)
    return "".join(map(_cell, cell))
