"""What a sweep found: the share of networks that trained against the keys that were swept."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from repu_lab.figures.looks import DASHES, SERIES
from repu_lab.figures.style import (
    FAINT,
    INK,
    MARKERS,
    NORMAL,
    QUIET,
    SMALL,
    canvas,
    finite,
    legend,
    panels,
    quiet,
    title,
)

DODGE = 0.16  # of the distance between two values: curves at 0 and at 1 would hide each other
ANNOTATED = 150  # cells of a map with their number written in
DARK = 0.55  # share above which a cell's number is white


def share_curves(
    values: Sequence[object], curves: Mapping[str, ArrayLike], *, key: str, share: str = "share trained"
) -> Figure:
    """Draw shares against the values of one key, evenly spaced, with their intervals.

    curves: name -> (3, values) of share, lower and upper end of its interval; NaN where nothing was run.
    """
    figure, (axes,) = panels(7.0, 3.4, ("", key, share))
    place = np.arange(len(values), dtype=float)
    for i, (name, table) in enumerate(curves.items()):
        middle, low, high = finite(table)
        x = place + DODGE * (i - (len(curves) - 1) / 2) / max(1, len(curves) - 1) * (len(curves) > 1)
        colour = SERIES[i % len(SERIES)]
        known = np.isfinite(middle)
        error = np.maximum([middle - low, high - middle], 0)[:, known]
        look = {"color": colour, "linestyle": DASHES[i % len(DASHES)], "marker": MARKERS[i % len(MARKERS)]}
        size = {"markersize": 5, "linewidth": 1.2, "elinewidth": 0.8, "capsize": 0}
        axes.errorbar(x[known], middle[known], yerr=error, label=name, **look, **size)
    axes.set_xticks(place, [str(value) for value in values])
    axes.set_xlim(-0.5, len(values) - 0.5)
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks([0.0, 0.25, 0.5, 0.75, 1.0])
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    if len(curves) > 1:
        legend(figure, loc="outside upper left", ncols=min(4, len(curves)), handletextpad=0.5, borderaxespad=0.0)
    return figure


def share_map(
    columns: Sequence[object],
    rows: Sequence[object],
    maps: Mapping[str, ArrayLike],
    *,
    keys: tuple[str, str],
    share: str = "share trained",
) -> Figure:
    """Draw a map of shares for each name: (rows, columns), from white (0) to black (1), NaN crossed out.

    keys: what columns and rows are called. Both are spaced evenly.
    """
    across = min(3, len(maps))
    down = math.ceil(len(maps) / across)
    figure = canvas(7.0, 0.7 + down * max(1.9, min(4.0, 0.28 * len(rows) + 0.8)))
    grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    for i, axes in enumerate(grid.ravel()):
        if i >= len(maps):
            axes.set_visible(False)
    for i, ((name, table), axes) in enumerate(zip(maps.items(), grid.ravel(), strict=False)):
        quiet(axes, keys[0] if i + across >= len(maps) else "", keys[1] if i % across == 0 else "")
        title(axes, name)
        cells = finite(table)
        axes.set_facecolor("white")
        axes.pcolormesh(cells, cmap="Greys", vmin=0.0, vmax=1.0, edgecolors=FAINT, linewidth=0.5)
        for (row, column), value in np.ndenumerate(cells):
            if math.isnan(value):
                axes.plot(column + 0.5, row + 0.5, marker="x", color=QUIET, markersize=4, markeredgewidth=0.7)
            elif cells.size <= ANNOTATED:
                text = f"{value:.2f}".removeprefix("0") if value < 1 else "1"
                look = {"ha": "center", "va": "center", "fontsize": SMALL, "color": "white" if value > DARK else INK}
                axes.text(column + 0.5, row + 0.5, text, **look)
        axes.set_xticks(np.arange(len(columns)) + 0.5, [str(value) for value in columns])
        axes.set_yticks(np.arange(len(rows)) + 0.5, [str(value) for value in rows])
    figure.suptitle(f"{share}: blank 0, solid 1", x=0.01, ha="left", fontsize=NORMAL, color=QUIET)
    return figure


def share_bars(names: Sequence[str], table: ArrayLike, *, share: str = "share trained") -> Figure:
    """Draw a share and its interval for each name: table (3, names) of share, lower and upper end."""
    figure, (axes,) = panels(7.0, 0.8 + 0.24 * len(names), ("", share, ""))
    middle, low, high = finite(table)
    place = np.arange(len(names))[::-1]
    error = np.maximum([middle - low, high - middle], 0)
    axes.errorbar(middle, place, xerr=error, fmt="o", markersize=5, color=INK, elinewidth=0.9)
    axes.set_yticks(place, names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xlim(-0.02, 1.02)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    return figure
