"""Curves against depth, and against the step, one an activation."""

import math
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import ArrayLike

from repu_lab.figures.looks import LOOKS, PAGE
from repu_lab.figures.style import BESIDE, finite, legend
from repu_lab.figures.style import panels as panels_of

ACROSS = 3  # panels side by side, so that their titles fit


def by_depth(
    panels: Mapping[str, Mapping[str, Mapping[int, Sequence[float]]]], label: str, *, logarithmic: bool = False
) -> Figure:
    """Draw (estimate, low, high) against depth: panel -> activation -> depth, which all of a panel share."""
    figure, grid = _grid(list(panels), "hidden layers", label)
    for axes, curves in zip(grid, panels.values(), strict=True):
        depths = next(iter(curves.values()))
        places = np.arange(len(depths), dtype=float)
        for i, (activation, values) in enumerate(curves.items()):
            colour, marker, dash = LOOKS[activation]
            estimate, low, high = finite([values[depth] for depth in depths]).T
            look = {"color": colour, "marker": marker, "linestyle": dash, "linewidth": 1.0, "markersize": 3.5}
            at = places + 0.05 * (i - (len(curves) - 1) / 2)
            axes.errorbar(at, estimate, [estimate - low, high - estimate], elinewidth=0.6, label=activation, **look)
        axes.set_xticks(places, [str(depth) for depth in depths])
    return _closed(figure, grid, logarithmic)


def by_step(
    panels: Mapping[str, Mapping[str, tuple[ArrayLike, ArrayLike]]], label: str, *, logarithmic: bool = False
) -> Figure:
    """Draw medians with a band from quartile to quartile: panel -> activation -> steps (S,) and quartiles (3, S)."""
    figure, grid = _grid(list(panels), "step", label)
    for axes, curves in zip(grid, panels.values(), strict=True):
        for activation, (steps, quartiles) in curves.items():
            colour, _, dash = LOOKS[activation]
            low, median, high = finite(quartiles)
            axes.plot(steps, median, color=colour, linestyle=dash, linewidth=1.0, label=activation)
            axes.fill_between(np.asarray(steps), low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    return _closed(figure, grid, logarithmic)


def _grid(names: Sequence[str], xlabel: str, ylabel: str) -> tuple[Figure, list[Axes]]:
    """Return a page's figure and its panels, a name each."""
    rows = math.ceil(len(names) / ACROSS)
    across = math.ceil(len(names) / rows)
    titles = [textwrap.fill(name, 72 // across - 3) for name in names]
    labels = [(title, xlabel, "" if i % across else ylabel) for i, title in enumerate(titles)]
    return panels_of(PAGE, 2.7 if rows == 1 else 2.2 * rows, *labels, rows=rows, sharey=True)


def _closed(figure: Figure, grid: Sequence[Axes], logarithmic: bool) -> Figure:
    if logarithmic:
        grid[0].set_yscale("log")
        grid[0].yaxis.set_minor_locator(NullLocator())
    legend(grid[-1], **BESIDE, handlelength=2.6)
    return figure
