"""A user's own data from a file: .csv with a header, .npz with x and y, or a pair of .npy files.

What cannot be learnt from (missing values, words among numbers, one class, more than fits) is one line: a ValueError
that begins with the key of the task it is about.
"""

import csv
import math
import os
from array import array
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from numpy.typing import NDArray

from repu_lab.tasks.base import Task
from repu_lab.tasks.stored import LARGEST, Unreadable, opened, read_npy
from repu_lab.tasks.tensors import task_of

NAMED = 5  # classes and columns named in the log
TRUTH = {"true": 1.0, "false": 0.0}  # as pandas, R and spreadsheets write it, in any case
SCALED = {
    "sphere": "less their mean, each input scaled to |x|^2/n_0 = 1, so that all start with the same K",
    "standard": "each column less its mean over its standard deviation: |x|^2/n_0 = 1 in the mean",
    "none": "as they are",
}


class Examples(NamedTuple):
    """Inputs (B, I), targets (B,) or (B, C), and the names of the inputs where the file has some."""

    x: NDArray[Any]
    y: NDArray[Any]
    columns: list[str]
    target: str


def file(
    data_seed: int = 0,
    path: str | None = None,
    target: str | None = None,
    scale: str = "sphere",
    criterion: float | None = None,
) -> Task:
    """Your own data: task.path=FILE (.csv, .npz, .npy), task.target= the column or file of what is learnt.

    Whole numbers and words are classes, numbers with a decimal point (of a float dtype) are values. 70 % of the
    examples train, 15 % validate, 15 % test; of each class alike. Accuracy three quarters of the way from the commonest
    class's share to 1, or R^2 of 0.9.
    """
    if path is None:
        raise ValueError("path: is needed; add task.path=FILE, a .csv, .npz or .npy")
    place = Path(path).expanduser()
    try:
        table = _read(place, target)
        y, kind = _targets(table)
        x = _inputs(table)
    except UnicodeDecodeError as error:
        raise ValueError(f"path={path}: is not text in UTF-8, as which it must be saved ({error})") from error
    except (Unreadable, BadZipFile, csv.Error, EOFError, KeyError) as error:
        raise ValueError(f"path={path}: {error or type(error).__name__}") from error
    try:
        task = task_of(
            torch.from_numpy(x), torch.from_numpy(y), name="file", scale=scale, criterion=criterion, data_seed=data_seed
        )
    except ValueError as error:
        raise ValueError(str(error) if str(error).startswith("scale=") else f"path={path}: {error}") from error
    changing = int((x != x[0]).any(0).sum())
    still = f", {x.shape[1] - changing} of which never change" if changing < x.shape[1] else ""
    sizes = f"{len(task.train):,} to train, {len(task.validation):,} to validate, {len(task.test):,} to test"
    source = (
        f"{place.name}: {len(x):,} examples of {x.shape[1]} inputs{still}; {table.target}: {kind}; {sizes}; inputs "
        f"{SCALED[scale]} (task.scale={scale}); trained: {task.objective.metric_name} {task.criterion:.3g}"
    )
    return replace(task, source=source)


def _read(place: Path, target: str | None) -> Examples:
    ending = place.suffix.lower()
    if ending not in READERS:
        raise Unreadable(f"is none of {', '.join(READERS)}")
    with opened(place) as stream:
        size = os.fstat(stream.fileno()).st_size
    if size > LARGEST:
        raise Unreadable(f"has {size / 1e9:.1f} GB; valid are up to {LARGEST / 1e9:g}, since data are held in memory")
    return READERS[ending](place, target)


def _csv(place: Path, target: str | None) -> Examples:
    with open(place, encoding="utf-8-sig", newline="") as stream:
        rows = csv.reader(stream)
        header = [name.strip() for name in next(rows, [])]
        if not header:
            raise Unreadable("has no header; its first line must name the columns")
        if target is None or header.count(target) != 1:
            if len(header) == 1 and (sign := next((sign for sign in ";\t|" if sign in header[0]), None)):
                raise Unreadable(f"cells stand apart by {sign!r}; write a comma in its place")
            if "word" not in map(_kind, header):
                raise Unreadable("line 1 holds no names; write a line with the names of the columns above it")
            times = f"{header.count(target)} times" if target in header else "not"
            wrong = "is needed" if target is None else f"{target} is {times} in the header"
            raise Unreadable(f"task.target=COLUMN {wrong}; columns are {_listed(header)}")
        place_y, numbers, targets = header.index(target), array("d"), []
        columns = header[:place_y] + header[place_y + 1 :]
        for row in rows:
            if len(row) != len(header):
                if not row:
                    continue
                raise Unreadable(f"line {rows.line_num}: has {len(row)} cells, the header {len(header)}")
            targets.append(row.pop(place_y).strip())
            try:
                numbers.extend([float(cell) for cell in row])
            except ValueError:
                numbers.extend(_numbers(row, columns, rows.line_num))
    x = np.frombuffer(numbers, np.float64).reshape(len(targets), len(columns))
    return Examples(x, _typed(targets, target), columns, f"column {target}")


def _numbers(row: list[str], names: list[str], line: int) -> list[float]:
    """Return the cells of a row in which not all are numbers; Unreadable names one that is not true or false either."""
    numbers = []
    for cell, name in zip(row, names, strict=True):
        try:
            numbers.append(float(TRUTH.get(cell.strip().lower(), cell)))
        except ValueError as error:
            what = f"holds {cell[:40]!r}, which is not a number; correct" if cell.strip() else "is empty; fill"
            where = f"line {line}, column {name or 'without a name'}"
            raise Unreadable(f"{where}: {what} it, or leave the row or the column out") from error
    return numbers


def _typed(cells: list[str], target: str) -> NDArray[Any]:
    """Return whole numbers as integers, other numbers as real ones, words as text; a mixture is refused."""
    kinds = [_kind(cell) for cell in cells]
    if missing := kinds.count("missing"):
        at = kinds.index("missing")
        raise Unreadable(f"column {target}: {missing} values are missing, first in row {at + 1}; leave the rows out")
    present = set(kinds)
    if "word" in present and present != {"word"}:
        first = next(cell for cell, kind in zip(cells, kinds, strict=True) if kind == "word")
        raise Unreadable(f"column {target}: holds numbers, and words such as {first[:40]!r}; make it one or the other")
    if present == {"word"}:
        return np.array(cells)
    return np.array([float(cell) for cell in cells]) if "real" in present else np.array([int(cell) for cell in cells])


def _kind(cell: str) -> str:
    if not cell or cell.lower() in ("nan", "na", "n/a", "null", "none"):
        return "missing"
    try:
        float(cell.replace("_", "x"))  # 1_2 is a name, of which Python would make 12
    except ValueError:
        return "word"
    digits = cell.lstrip("+-")
    return "whole" if digits.isascii() and digits.isdigit() and len(digits) < 19 else "real"


def _npz(place: Path, target: str | None) -> Examples:
    with opened(place) as stream, ZipFile(stream) as stored:
        wanted = ("x", target or "y")
        names = {name.removesuffix(".npy") for name in stored.namelist()}
        if not names.issuperset(wanted):
            raise Unreadable(f"holds {_listed(sorted(names))}; must hold {wanted[0]} and {wanted[1]}")
        with stored.open(f"{wanted[0]}.npy") as inputs, stored.open(f"{wanted[1]}.npy") as values:
            return Examples(_array("x", inputs), _array(wanted[1], values), [], wanted[1])


def _npy(place: Path, target: str | None) -> Examples:
    if target is None or not target.endswith(".npy"):
        raise Unreadable("holds the inputs; add task.target=FILE.npy with what is to be learnt")
    targets = Path(target).expanduser()
    with opened(place) as inputs:
        x = _array(place.name, inputs)
    try:
        with opened(targets) as values:
            return Examples(x, _array(targets.name, values), [], targets.name)
    except Unreadable as error:
        raise ValueError(f"target={target}: {error}") from error


READERS = {".csv": _csv, ".npz": _npz, ".npy": _npy}


def _array(name: str, stream: Any) -> NDArray[Any]:
    try:
        return read_npy(stream)
    except Exception as error:  # numpy has many ways to fail on a header that is cut or made up
        raise Unreadable(f"{name}: {' '.join(str(error).split())[:200] or type(error).__name__}") from error


def _inputs(table: Examples) -> NDArray[Any]:
    """Return the inputs as real numbers (B, I), all of them finite."""
    x = table.x
    if x.dtype.kind not in "fiub" or x.ndim == 0:
        raise Unreadable(f"x holds {x.dtype} of shape {x.shape}; must hold numbers, one row an example")
    if len(x) != len(table.y):
        raise Unreadable(f"x has {len(x)} examples, {table.target} {len(table.y)}; must be as many")
    x = x.reshape(len(x), math.prod(x.shape[1:]))
    x = x.astype(np.float64 if x.dtype.itemsize > 4 else np.float32)  # a byte a pixel takes four, not eight
    if not np.isfinite(x).all():
        row, column = np.argwhere(~np.isfinite(x))[0]
        name = table.columns[column] if table.columns else column
        message = f"row {row + 1}, column {name}: holds {x[row, column]}"
        raise Unreadable(f"{message}; fill what is missing, or leave the row or the column out")
    return x


def _targets(table: Examples) -> tuple[NDArray[Any], str]:
    """Return classes as whole numbers from 0 or values as real ones, and what they are in words."""
    y, column = table.y, table.target
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.shape[:1] == (0,):
        raise Unreadable("holds no example; nothing to learn")
    if y.dtype.kind == "f" and y.ndim in (1, 2):
        y = y.astype(np.float64)
        if not np.isfinite(y).all():
            raise Unreadable(f"{column}: {int((~np.isfinite(y)).sum())} values are missing or infinite; leave them out")
        columns = 1 if y.ndim == 1 else y.shape[1]
        return y, f"values{f' of {columns} columns' if columns > 1 else ''}, mean {y.mean():.3g}"
    if y.dtype.kind not in "iubU" or y.ndim != 1:
        message = f"{column} holds {y.dtype} of shape {y.shape}"
        raise Unreadable(f"{message}; must hold a whole number or a word an example, or real numbers")
    names, classes = np.unique(y, return_inverse=True)
    if len(names) < 2:
        raise Unreadable(f"{column}: holds one class only, {names[0]}; nothing to learn")
    if len(names) > len(y) / 2:
        cure = "words are classes" if y.dtype.kind == "U" else "whole numbers are classes; write 3.0 for a value"
        raise Unreadable(f"{column}: holds {len(names):,} different values in {len(y):,} examples; {cure}")
    counts = Counter(classes.tolist())
    listed = [f"{str(names[i])[:20]} {counts[i]:,}" for i in range(min(NAMED, len(names)))]
    return classes.astype(np.int64), f"{len(names)} classes ({_listed(listed, len(names))})"


def _listed(names: list[str], of: int | None = None) -> str:
    """Return the first few names, and how many there are if there are more."""
    of = len(names) if of is None else of
    return ", ".join(str(name)[:40] for name in names[:NAMED]) + (f", ... {of} in all" if of > NAMED else "")
