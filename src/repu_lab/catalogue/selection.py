"""Which rows, and in which order: `activation=repu depth>=20 outcome=trained`, `-metric`."""

import operator
import re
import shlex
from collections.abc import Sequence
from typing import NamedTuple

from repu_lab.catalogue.rows import Row, metric_name, shown_columns
from repu_lab.catalogue.values import Scalar
from repu_lab.configs.config import ConfigError
from repu_lab.configs.text import nearest, printable

SIGNS = ("!=", "<=", ">=", "==", "=", "<", ">", "~")
TERM = re.compile(rf"([A-Za-z_][\w.]*)\s*({'|'.join(SIGNS)})(.*)", re.DOTALL)
MESSAGE = 2000  # characters of the valid columns in a complaint
NOTHING = ("", "null", "none")
COMPARED = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


class Term(NamedTuple):
    """One condition of a filter."""

    column: str
    sign: str
    value: str


def parse_filter(texts: Sequence[str]) -> list[Term]:
    """Return the terms of filters; ConfigError for one that cannot be read.

    A term is COLUMN SIGN VALUE. `=` and `!=` take several values with commas; `~` holds if the text contains the value;
    `<`, `<=`, `>`, `>=` compare numbers. A value with blanks needs quotes. All terms must hold.
    """
    terms = []
    for text in texts:
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise ConfigError(f"--filter {printable(text)}: a quotation mark is not closed") from error
        for word in words:
            match = TERM.fullmatch(word)
            if match is None:
                signs = " ".join(sign for sign in SIGNS if sign != "==")
                raise ConfigError(
                    f"--filter {printable(word)}: is no condition; write COLUMN, one of {signs}, VALUE without blanks "
                    "in between, for example 'activation=repu depth>=20'"
                )
            term = Term(match[1], "=" if match[2] == "==" else match[2], match[3].strip())
            if term.sign in COMPARED and _number(term.value) is None:
                raise ConfigError(f"--filter {printable(word)}: {term.sign} needs a number, as in depth>=20")
            terms.append(term)
    return terms


def select(table: Sequence[Row], terms: Sequence[Term]) -> list[Row]:
    """Return the rows for which every term holds; ConfigError for a column that no row has.

    Where a row stands for several networks, a term about outcome, layer, seed, state or folder holds if it holds for
    one of them (`!=`: for none), and one about a number compares their median.
    """
    check_columns("--filter", [term.column for term in terms], table)
    return [row for row in table if all(_holds(row, term) for term in terms)]


def arrange(table: Sequence[Row], columns: Sequence[str]) -> list[Row]:
    """Return the rows sorted by columns, `-` in front for the largest first; a missing value comes last."""
    names = [column.removeprefix("-") for column in columns]
    check_columns("--sort", names, table)
    arranged = list(table)
    for column, name in reversed(list(zip(columns, names, strict=True))):
        known = [row for row in arranged if row.cells.get(name) is not None]
        known.sort(key=lambda row, name=name: _rank(row.cells[name]), reverse=column.startswith("-"))
        arranged = known + [row for row in arranged if row.cells.get(name) is None]
    return arranged


def ordered(table: Sequence[Row], columns: Sequence[str] = ()) -> list[Row]:
    """Return rows sorted by columns, then by the keys of the config that differ, then by seed and folder."""
    given = {column for row in table for column in row.cells}
    rest = [name for name in [*shown_columns(table), "seed", "folder"] if name in given]
    return arrange(table, [*columns, *rest])


def as_stored(names: Sequence[str], table: Sequence[Row]) -> list[str]:
    """Return names of columns, `metric` also where it was called what tables call it, `accuracy` or `-accuracy`."""
    title = metric_name(table)
    return [f"{name[: -len(title)]}metric" if name.removeprefix("-") == title else name for name in names]


def check_columns(option: str, names: Sequence[str], table: Sequence[Row]) -> None:
    """Raise ConfigError for a name that is no column of any row."""
    valid = dict.fromkeys(column for row in table for column in row.cells)
    for name in names:
        if table and name not in valid:
            hint = nearest(name, valid)
            every = printable(", ".join(valid), MESSAGE)
            raise ConfigError(f"{option} {printable(name)}: no such column{hint}; valid: {every}")


def _holds(row: Row, term: Term) -> bool:
    values = row.values(term.column)
    if term.sign == "~":
        return any(value is not None and term.value.lower() in str(value).lower() for value in values)
    if term.sign in ("=", "!="):
        wanted = (term.value, *term.value.split(","))
        equal = any(_equal(value, text) for value in values for text in wanted)
        return equal == (term.sign == "=")
    numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    return any(COMPARED[term.sign](value, float(term.value)) for value in numbers)


def _equal(value: Scalar, text: str) -> bool:
    if value is None:
        return text.lower() in NOTHING
    if isinstance(value, bool):
        return text.lower() == str(value).lower()
    return value == (text if isinstance(value, str) else _number(text))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _rank(value: Scalar) -> tuple[bool, float, str]:
    """Numbers before words."""
    return (True, 0.0, value) if isinstance(value, str) else (False, float(value or 0), "")
