"""Rows as text: for the terminal, as CSV for spreadsheets, as JSON. What a file says can do nothing anywhere."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from textwrap import wrap

from repu_lab.catalogue.rows import Row, metric_name, shown_columns
from repu_lab.catalogue.scanning import STATES, Run
from repu_lab.catalogue.summary import counted
from repu_lab.catalogue.values import Scalar, is_number, measured, shown
from repu_lab.configs.command import job_commands
from repu_lab.configs.text import escaped, printable

LONGEST = 60  # characters of a cell in the terminal
WIDTH, NARROW = 120, 36  # characters of a line, and of a cell that has to be cut for it
NOTES = 10  # runs without a result named below the table
# With these a cell of a spreadsheet becomes a formula; the last four are their full-width twins.
FORMULA = re.compile(r"(^\s*|[,;|\"])(?=[=+\-@＝＋－＠])")


def as_table(table: Sequence[Row], by: str, chosen: Sequence[str] = (), names: Sequence[str] = ()) -> str:
    """Return rows for the terminal: outcome, layer and metric, the config's keys that differ, and the folder.

    It fits WIDTH columns: names of folders are cut in the middle, then keys left out, the emptiest first; the last line
    names them. The columns that are `chosen` are shown whole. `names` of the rows, if there are any, come first.
    """
    if chosen:
        titles = [metric_name(table) if name == "metric" else name for name in chosen]
        cells = [[shown(row.cells.get(name)) for name in chosen] for row in table]
    else:
        titles, cells = table_cells(table, by)
    columns = {
        title: [escaped(text) if chosen or title == "folder" else printable(text, LONGEST) for text in column]
        for title, column in zip(titles, zip(*cells, strict=True), strict=True)
    }
    left_out = [] if chosen else _fit(columns, WIDTH - max((len(name) + 2 for name in names), default=0))
    if names:
        columns = {"": list(names), **columns}
    widths = {title: max(map(len, [escaped(title), *column])) for title, column in columns.items()}
    sides = {title: ">" if all(map(is_number, column)) else "<" for title, column in columns.items()}
    lines = [
        "  ".join(f"{cell:{sides[title]}{widths[title]}}" for title, cell in zip(columns, row, strict=True)).rstrip()
        for row in [list(map(escaped, columns)), *zip(*columns.values(), strict=True)]
    ]
    if left_out:
        how = "repu-lab results shows them with --columns" if names else "--columns names what to show"
        note = f"left out: {escaped(', '.join(left_out))}; {how}"
        lines += wrap(note, WIDTH, subsequent_indent=" " * 10, break_on_hyphens=False)
    return "\n".join(lines)


def _fit(columns: dict[str, list[str]], width: int) -> list[str]:
    """Cut and leave out columns until they fit a width; return what was left out."""

    def excess() -> int:
        return sum(max(map(len, [title, *column])) + 2 for title, column in columns.items()) - 2 - width

    for title in ("folder", *reversed(columns)):
        if (over := excess()) > 0 and title in columns:
            widest = max(map(len, columns[title]))
            columns[title] = [printable(text, max(NARROW, widest - over)) for text in columns[title]]
    keys = [title for title in columns if title not in ("outcome", "layer", "folder")][1:]  # the first is the metric
    left = list(keys)
    while excess() > 0 and left:
        emptiest = max(left, key=lambda title: (columns[title].count(""), left.index(title)))
        left.remove(emptiest)
        del columns[emptiest]
    return [title for title in keys if title not in left]


def table_cells(table: Sequence[Row], by: str) -> tuple[list[str], list[list[str]]]:
    """Return the titles and the cells, unescaped, of the columns that are worth showing; what became of it first."""
    columns: dict[str, Callable[[Row], str]] = {}

    def add(column: str, title: str = "") -> None:
        columns[title or column] = lambda row: shown(row.cells.get(column))

    if by != "config" and any(row.cells.get("state") != "finished" for row in table):
        add("state")
    if by == "config" and any(row.cells.get("share") is not None for row in table):
        columns["trained"] = _share
    add("outcome")
    if any(row.cells.get("metric_name") for row in table):
        columns[metric_name(table)] = _metric if by == "member" else _quartiles
    if any(row.cells.get("layer") is not None for row in table):
        add("layer")
    if _differs(table, "command"):
        add("command")
    # n says how many members there are; a network's seed has a column of its own
    for key in shown_columns(table):
        if key != "members" and not (key == "seed" and by == "member"):
            add(key)
    if by == "member" and _differs(table, "seed"):
        add("seed")
    if by != "member":
        add("n")
    if by == "config" and any(row.cells.get("without_result") for row in table):
        add("without_result", "no result")
    for measure in dict.fromkeys(name for row in table for name in sorted(row.measures)):
        add(measure)
    if by != "config":
        add("folder")
    return list(columns), [[cell(row) for cell in columns.values()] for row in table]


def as_csv(table: Sequence[Row]) -> str:
    """Return rows as CSV with every column.

    A text that a spreadsheet would take for a formula, here or behind a separator of its own, gets an apostrophe in
    front of the sign, which shows it as text; control characters are spelt out. Numbers are written as they are.
    """
    columns = list(dict.fromkeys(column for row in table for column in row.cells))
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([_harmless(column) for column in columns])
    for row in table:
        values = [row.cells.get(column) for column in columns]
        writer.writerow([_harmless(value) if isinstance(value, str) else _plain(value) for value in values])
    return file.getvalue()


def as_json(table: Sequence[Row]) -> str:
    """Return rows as a strict JSON list of objects, in ASCII."""
    return json.dumps([row.cells for row in table], indent=1, allow_nan=False) + "\n"


def census(table: Sequence[Row], of: int, runs: Sequence[Run]) -> str:
    """Return one line: how many rows are shown and, if all, what became of the networks of how many runs."""
    outcomes = Counter(member.outcome for run in runs for member in run.members)
    states = Counter(run.state for run in runs)
    rows = f"{len(table)} row{'s' * (len(table) != 1)}" + (f" of {of}" if len(table) != of else "")
    unfinished = {state: states[state] for state in STATES[1:] if states[state]}
    searched = f"{len(runs)} run{'s' * (len(runs) != 1)}" + (f" ({counted(unfinished)})" if unfinished else "")
    networks = f": {escaped(counted(dict(outcomes.most_common())))}" if outcomes else ""
    return rows if len(table) != of else f"{rows}; {searched}{networks}"


def notes(runs: Iterable[Run]) -> list[str]:
    """Return a line for each run that is damaged, failed or whose process is gone, the first few."""
    lines = [f"{run.state}: {escaped(run.folder)}: {printable(run.note, 200)}" for run in runs if run.note]
    left = len(lines) - NOTES
    return lines[:NOTES] + ([f"... and {left} more: --filter 'state!=finished'"] if left > 0 else [])


def next_of(runs: Iterable[Run]) -> list[str]:
    """Return the line of what to type next after the first run whose networks failed, if it named something."""
    for run in runs:
        command = job_commands().get(run.command)
        if run.next and command and any(member.outcome not in command.good for member in run.members):
            what = f"of {run.folder}: " * (run.folder != ".") + run.next.removeprefix("next:").strip()
            return [escaped(f"next:     {what}")]
    return []


def _differs(table: Sequence[Row], column: str) -> bool:
    return len({row.cells.get(column) for row in table}) > 1


def _share(row: Row) -> str:
    """Return `12 of 16, 0.75 [0.51, 0.90]`."""
    low, high, share = (row.cells.get(name) for name in ("share_low", "share_high", "share"))
    if not (isinstance(low, float) and isinstance(high, float) and isinstance(share, float)):
        return ""
    return f"{row.cells['trained']} of {row.cells['n']}, {share:.2f} [{low:.2f}, {high:.2f}]"


def _metric(row: Row) -> str:
    return measured(row.cells.get("metric")) if row.cells.get("metric_name") else ""


def _quartiles(row: Row) -> str:
    low, high = (row.cells.get(name) for name in ("metric_q25", "metric_q75"))
    return _metric(row) if low == high else f"{_metric(row)} [{measured(low)}, {measured(high)}]"


@lru_cache(maxsize=100_000)  # most cells of a column say the same
def _harmless(text: str) -> str:
    return FORMULA.sub(r"\1'", escaped(text))


def _plain(value: Scalar) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else repr(value)
