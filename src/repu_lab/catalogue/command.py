"""`repu-lab results DIR`: one table of all runs below a folder."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from repu_lab.catalogue.arguments import parse
from repu_lab.catalogue.printing import as_csv, as_json, as_table, census, next_of, notes
from repu_lab.catalogue.rows import BY, rows, shown_columns
from repu_lab.catalogue.scanning import Run, scan
from repu_lab.catalogue.selection import as_stored, check_columns, ordered, parse_filter, select
from repu_lab.configs.config import ConfigError
from repu_lab.configs.text import printable
from repu_lab.runs.output import check_output, write_output

OPTIONS = {
    "--by": BY, "--filter": None, "--sort": None, "--columns": None, "--limit": None, "--csv": None, "--json": None,
    "--all": (),
}  # fmt: skip


def command(arguments: Sequence[str]) -> int:
    """Print the table of a folder, or write it; exit code 0. ConfigError for what the user can mend."""
    folder, options = parse("DIR", arguments, OPTIONS)
    by = options.get("--by", ["member"])[-1]
    conditions = parse_filter(options.get("--filter", []))
    columns, chosen = (_names(options.get(option, [])) for option in ("--sort", "--columns"))
    limit = _limit(options.get("--limit", []))
    targets = {option: options[option][-1] for option in ("--csv", "--json") if option in options}
    if list(targets.values()).count("-") > 1:
        raise ConfigError("--csv - --json -: one of them can have the standard output; name a file for the other")
    for option, target in targets.items():
        if target != "-":
            check_output(option, Path(target))
    runs = find_runs(folder, everything="--all" in options)
    every = rows(runs, by)
    columns, chosen, filtered = (as_stored(names, every) for names in (columns, chosen, [c.column for c in conditions]))
    conditions = [term._replace(column=name) for term, name in zip(conditions, filtered, strict=True)]
    table = ordered(select(every, conditions), columns)[:limit]
    check_columns("--columns", chosen, every)
    for option, target in targets.items():
        text = as_csv(table) if option == "--csv" else as_json(table)
        if target == "-":
            sys.stdout.write(text)
        else:
            write_output(option, Path(target), text)
    to_stdout = "-" in targets.values()
    if table and not to_stdout:
        print(as_table(table, by, chosen))
    for line in [*notes(runs), census(table, len(every), runs), *next_of(runs)]:
        print(line, file=sys.stderr if to_stdout else sys.stdout)
    return 0


def find_runs(folder: str, *, everything: bool = False) -> list[Run]:
    """Return the runs below a folder; ConfigError if there is no such folder, or no run in it."""
    if not os.path.isdir(folder):
        raise ConfigError(f"{printable(folder)}: is not a folder; name a run, a sweep or outputs")
    runs = scan(folder, everything=everything)
    if not runs:
        raise ConfigError(f"{printable(folder)}: has no run in it (a folder with a manifest.json); name a run or sweep")
    return runs


def results(folder: Path | str = "outputs", *, by: str = "member") -> Any:
    """Return every column of the results below a folder: a pandas.DataFrame if pandas is there, else a list of dicts.

    A row a network (by="member"), a run ("run") or a config ("config"), as `repu-lab results DIR --by` has them; first
    what became of it, and the keys in which rows differ. ValueError for a folder without a run.
    """
    if by not in BY:
        raise ValueError(f"by={by!r}: must be one of {', '.join(BY)}")
    shown = ordered(rows(find_runs(str(folder)), by))
    first = ("outcome", "metric", "layer", *shown_columns(shown))
    table = [{name: row.cells[name] for name in first if name in row.cells} | row.cells for row in shown]
    try:
        pandas = import_module("pandas")
    except ImportError:
        return table
    return pandas.DataFrame(table)


def _names(texts: Sequence[str]) -> list[str]:
    return [name.strip() for text in texts for name in text.split(",") if name.strip()]


def _limit(texts: Sequence[str]) -> int | None:
    if texts and not (texts[-1].isascii() and texts[-1].isdigit() and 0 < int(texts[-1]) < 10**9):
        raise ConfigError(f"--limit {printable(texts[-1])}: must be a whole number of at least 1")
    return int(texts[-1]) if texts else None
