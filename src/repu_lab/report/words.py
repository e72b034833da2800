"""What a run's files say, as people read it."""

import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from repu_lab.catalogue.values import shown
from repu_lab.configs.files import Damaged, read_object


def read_or_empty(path: Path) -> dict[str, Any]:
    """Return the JSON object of a file, {} where it cannot be read: the page says what is damaged elsewhere."""
    try:
        return read_object(str(path))
    except Damaged:
        return {}


def plural(count: int, noun: str) -> str:
    """Return `1 run`, `2 runs`."""
    return f"{count} {noun}{'s' * (count != 1)}"


def when(moment: object) -> str:
    """Return a manifest's time as people write it, '' for anything else."""
    try:
        return f"{datetime.fromisoformat(str(moment)).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError):
        return ""


def command_line(words: object) -> str:
    """Return a manifest's command line as it was typed, without the place of the program."""
    if not (isinstance(words, list) and words and all(isinstance(word, str) for word in words)):
        return ""
    return shlex.join([Path(words[0]).name, *words[1:]])


def shown_any(value: object) -> str:
    """Return any JSON value as text."""
    return shown(value) if isinstance(value, (str, int, float, bool)) or value is None else str(value)
