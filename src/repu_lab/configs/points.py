"""`points=FILE.csv`: paired values, one job a row. The first row names the keys; an empty cell leaves its key out."""

import csv
from collections.abc import Sequence

from repu_lab.configs.config import ConfigError
from repu_lab.configs.files import read_named
from repu_lab.configs.text import one_line, printable

KEY = "points"
LARGEST = 16 << 20  # bytes


def has_points(overrides: Sequence[str]) -> bool:
    """Say whether a command line names a file of points, which makes it a sweep."""
    return any(text.startswith(f"{KEY}=") and text != f"{KEY}=null" for text in overrides)


def read_points(path: str) -> list[tuple[str, list[str]]]:
    """Return where each row of a CSV file stands and its overrides, as they would be typed.

    With commas, of at most 16 MiB; ConfigError names the file and the row.
    """
    named_by = f"{KEY}={printable(path)}"
    try:
        reader = csv.reader(read_named(path, LARGEST).decode("utf-8-sig").splitlines(), strict=True)
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except (ValueError, csv.Error) as error:
        reason = "it is no text" if isinstance(error, UnicodeDecodeError) else one_line(error)
        raise ConfigError(f"{named_by}: cannot be read ({reason}); name a CSV file") from error
    rows = [(number, row) for number, row in rows if any(row)]
    if len(rows) < 2:
        what = "is empty" if not rows else "has a header and no row"
        raise ConfigError(f"{named_by}: {what}; the first row names keys, every other one is a job")
    (first, header), *rest = rows
    where = f"{named_by}, row {first}"
    for number, key in enumerate(header, 1):
        if not key:
            raise ConfigError(f"{where}: column {number} has no name; the first row names a key for every column")
        if key in header[: number - 1]:
            raise ConfigError(f"{where}: {printable(key)} names two columns; one is enough")
    points = []
    for number, row in rest:
        where = f"{named_by}, row {number}"
        if len(row) != len(header):
            raise ConfigError(f"{where}: has {len(row)} values for {len(header)} keys ({printable(', '.join(header))})")
        points.append((where, [f"{key}={cell}" for key, cell in zip(header, row, strict=True) if cell]))
    return points
