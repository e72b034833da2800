"""HTML made from values: whatever is not Html is text, and is escaped."""

import html
from collections.abc import Iterable

# A cell, a reason, a caption; who writes more into a file wants to fill the page.
LONGEST = 4_000
VOID = ("img", "br")
BLOCKS = ("section", "header", "div", "p", "h2", "tr", "table", "figure", "details", "dl", "blockquote", "svg")
LINES = "\n\t"


class Html(str):
    """Markup that this room has made."""

    __slots__ = ()


Content = str | int | float | None | Iterable["Content"]


def text(value: object, longest: int = LONGEST) -> Html:
    """Return any value as text: escaped, control characters spelt out, cut if too long."""
    line = str(value)
    if len(line) > longest:
        line = f"{line[:longest]} ... ({len(line) - longest} characters more)"
    if not line.isprintable():
        line = "".join(c if c.isprintable() or c in LINES else repr(c)[1:-1] for c in line)
    return Html(html.escape(line))


def tag(name: str, *children: Content, **attributes: object) -> Html:
    """Return an element. `class_` stands for class, `_` for `-`; an attribute that is None is left out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_markup(value) if isinstance(value, Html) else text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    end = "\n" if name in BLOCKS else ""  # a page of one line could be neither read nor compared
    return Html(f"<{name}{given}>" if name in VOID else f"<{name}{given}>{join(*children)}</{name}>{end}")


def join(*children: Content) -> Html:
    """Return children one after another; None is nothing."""
    return Html("".join(map(_markup, children)))


def _markup(child: Content) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, Iterable) and not isinstance(child, str):
        return join(*child)
    return text(child)
