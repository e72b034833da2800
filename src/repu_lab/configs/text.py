"""Text that comes from files, folders and command lines, as one line that can do nothing to a terminal."""

import difflib
from collections.abc import Iterable


def one_line(text: object) -> str:
    """Return the first line of a message that says something, printable."""
    lines = [line.strip() for line in str(text).splitlines() if line.strip()]
    return printable(lines[0]) if lines else type(text).__name__


def escaped(text: str) -> str:
    """Return text as one line that no terminal takes for a command: what cannot be printed as Python writes it."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def printable(text: str, longest: int = 400) -> str:
    """Return text escaped, cut in the middle if it is longer than so many characters."""
    line = escaped(text if len(text) <= longest else text[:longest] + text[-longest:])
    if len(line) <= longest:
        return line
    return f"{line[: longest // 2]}...{line[-(longest - 3 - longest // 2) :]}"


def nearest(word: str, valid: Iterable[str]) -> str:
    """Return ', did you mean X?' for the valid name closest to a word, '' if none is close."""
    names = sorted(set(valid))
    # A key typed without its group (lr, p) is near whatever ends so.
    close = [name for name in names if name.rpartition(".")[2] == word]
    close = close or difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    close = close or [name for name in names if name.startswith(word)]
    return f", did you mean {' or '.join(close[:3])}?" if close else ""
