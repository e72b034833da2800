"""Which picture a sweep gets: a map, curves or bars of the share of good networks, from the keys that were swept."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from repu_lab.catalogue.rows import Row, shown_columns
from repu_lab.catalogue.values import Scalar, shown
from repu_lab.configs.text import printable
from repu_lab.figures.sweep import share_bars, share_curves, share_map

CURVES, MAPS, BARS = 8, 9, 40  # more of them on one picture cannot be told apart
MAP_VALUES = 3  # of each of two keys for a map
PLACES = 40  # values along an axis
LABEL = 40  # characters
Key = tuple[Scalar, ...]


class Chart(NamedTuple):
    """A picture, its caption and its description in words."""

    figure: Figure
    caption: str
    alt: str


def chart(table: Sequence[Row], share: str = "share trained") -> Chart | None:
    """Return a picture of rows by config, None where the shares cannot be drawn on one."""
    table = [row for row in table if row.cells.get("share") is not None]
    keys = independent_keys(table)
    if not keys:
        return None
    numeric = {key: _distinct(table, key) for key in keys if all(map(_is_number, _distinct(table, key)))}
    long = sorted((key for key in numeric if 2 <= len(numeric[key]) <= PLACES), key=lambda key: -len(numeric[key]))
    wide = [key for key in long if len(numeric[key]) >= MAP_VALUES]
    if len(wide) >= 2 and len(_groups(table, keys, wide[:1])) > len(_groups(table, keys, wide[:2])) > 0:
        maps = _groups(table, keys, wide[:2])
        if len(maps) <= MAPS:
            return _map(maps, wide[0], wide[1], numeric, share)
    if long:
        curves = _groups(table, keys, long[:1])
        if len(curves) <= CURVES:
            return _curves(curves, long[0], numeric[long[0]], share)
    return _bars(table, keys, share) if len(table) <= BARS else None


def independent_keys(table: Sequence[Row]) -> list[str]:
    """Return the keys in which rows differ, without those that follow from the others (the p of an activation)."""
    kept: list[str] = []
    for key in shown_columns(table):
        values: dict[Key, set[Scalar]] = {}
        for row in table:
            values.setdefault(_values(row, kept), set()).add(row.cells.get(key))
        if any(len(several) > 1 for several in values.values()):
            kept.append(key)
    return kept


def name_of(row: Row, keys: Sequence[str]) -> str:
    """Return what sets a row apart: words as they are, numbers with their key, `repu, width=128`."""
    parts = []
    for key in keys:
        value = row.cells.get(key)
        if value not in (None, "none"):  # which no one would miss: `repu` beside `repu, rms`
            parts.append(shown(value) if isinstance(value, str) else f"{key.rpartition('.')[2]}={shown(value)}")
    return _label(", ".join(parts)) or "all"


def _map(maps: Mapping[str, Sequence[Row]], x: str, y: str, numeric: Mapping[str, list[Scalar]], share: str) -> Chart:
    columns, rows = numeric[x], numeric[y]
    tables = {}
    for name, group in maps.items():
        cells = np.full((len(rows), len(columns)), np.nan)
        for row in group:
            cells[rows.index(row.cells[y]), columns.index(row.cells[x])] = row.cells["share"]
        tables[name] = cells
    across, down = ([shown(value) for value in values] for values in (columns, rows))
    figure = share_map(across, down, tables, keys=(_label(x), _label(y)), share=share)
    caption = f"The {share} against {x} and {y}. A cross: nothing was run, or has no result."
    return Chart(figure, caption, f"{len(maps)} maps: {', '.join(maps)}. " + _extremes(maps, share))


def _curves(curves: Mapping[str, Sequence[Row]], x: str, values: list[Scalar], share: str) -> Chart:
    tables = {}
    for name, group in curves.items():
        table = np.full((3, len(values)), np.nan)
        for row in group:
            table[:, values.index(row.cells[x])] = [row.cells[end] for end in ("share", "share_low", "share_high")]
        tables[name] = table
    figure = share_curves([shown(value) for value in values], tables, key=_label(x), share=share)
    caption = f"The {share} against {x}, with 95 % Wilson intervals."
    return Chart(figure, caption, f"{len(curves)} curves: {', '.join(curves)}. " + _extremes(curves, share))


def _bars(table: Sequence[Row], keys: Sequence[str], share: str) -> Chart:
    names = [name_of(row, keys) for row in table]
    ends = [[row.cells[end] for row in table] for end in ("share", "share_low", "share_high")]
    shares: NDArray[np.float64] = np.array(ends, np.float64)
    alt = "; ".join(f"{name}: {share:.2f}" for name, share in zip(names, shares[0], strict=True))
    return Chart(share_bars(names, shares, share=share), f"The {share}, with 95 % Wilson intervals.", alt)


def _groups(table: Sequence[Row], keys: Sequence[str], along: Sequence[str]) -> dict[str, list[Row]]:
    """Part rows by the keys that are not drawn along an axis; {} if several rows fall on one place."""
    rest = [key for key in keys if key not in along]
    groups: dict[str, list[Row]] = {}
    for row in table:
        groups.setdefault(name_of(row, rest), []).append(row)
    unique = all(len({_values(row, along) for row in group}) == len(group) for group in groups.values())
    return groups if unique else {}


def _values(row: Row, keys: Sequence[str]) -> Key:
    return tuple(row.cells.get(key) for key in keys)


def _distinct(table: Sequence[Row], key: str) -> list[Scalar]:
    """Return the values of a key, numbers in their order."""
    return sorted(
        {row.cells.get(key) for row in table},
        key=lambda value: (not _is_number(value), value if _is_number(value) else 0, str(value)),
    )


def _is_number(value: Scalar) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _extremes(groups: Mapping[str, Sequence[Row]], share: str) -> str:
    """Say in words where the share is largest and smallest."""
    parts = []
    for name, group in groups.items():
        shares = [float(row.cells["share"] or 0) for row in group]
        parts.append(f"{name}: {share} from {min(shares):.2f} to {max(shares):.2f}")
    return "; ".join(parts) + "."


def _label(text: str) -> str:
    """Return text as matplotlib can draw it: on one line, and no formula."""
    return printable(text, LABEL).replace("\\", "/").replace("$", "\\$")
