"""Rows: estimates with intervals, or every network's number above its median."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import ArrayLike

from repu_lab.figures.looks import COLUMN, DASHES, LOOKS, PAGE, SERIES
from repu_lab.figures.style import BESIDE, FAINT, INK, QUIET, SMALL, finite, legend, note, panels

Three = Sequence[float]  # estimate, low, high
# Filled and open, so that the powers are told apart in grey.
POWERS = {1: ("#0072B2", "o", "#0072B2"), 2: ("#D55E00", "^", "white")}


def by_case(kinds: Mapping[str, Mapping[str, Sequence[Three]]], cases: Sequence[str]) -> Figure:
    """Draw errors, a row a case and a panel a kind of error: kind -> activation -> one for each case."""
    labels = [(name, "relative error", "") for name in kinds]
    figure, grid = panels(PAGE, 0.9 + 0.62 * len(cases), *labels, sharey=True)
    rows = np.arange(len(cases), dtype=float)[::-1]
    for axes, errors in zip(grid, kinds.values(), strict=True):
        for i, (activation, values) in enumerate(errors.items()):
            colour, marker, _ = LOOKS[activation]
            at = rows + 0.1 * ((len(errors) - 1) / 2 - i)
            _intervals(axes, at, values, fmt=marker, color=colour, label=activation)
        _log(axes)
        axes.hlines(rows[:-1] - 0.5, *axes.get_xlim(), color=FAINT, linewidth=0.6, zorder=0)
        axes.margins(x=0)
        _name_rows(axes, rows, cases)
    legend(grid[-1], **BESIDE, handletextpad=0.2)
    return figure


def ladder(rows: Mapping[str, Mapping[int, tuple[Three, Three]]], marks: Mapping[str, float]) -> Figure:
    """Draw shares and accuracies by change and power; marks: accuracies as lines."""
    labels = ("share that counts", "", ""), ("accuracy", "", "")
    figure, grid = panels(COLUMN, 0.9 + 0.24 * len(rows), *labels, sharey=True)
    places = np.arange(len(rows), dtype=float)[::-1]
    for panel, axes in enumerate(grid):
        for i, (power, (colour, marker, face)) in enumerate(POWERS.items()):
            values = [by_power[power][panel] for by_power in rows.values()]
            look = {"fmt": marker, "color": colour, "markerfacecolor": face, "label": f"$p$ = {power}"}
            _intervals(axes, places + 0.15 - 0.3 * i, values, **look)
        axes.set_xlim(-0.04, 1.04)
        axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
    _name_rows(grid[0], places, list(rows))
    grid[0].axvline(0.5, color=QUIET, linewidth=0.7, linestyle=(0, (1, 2)), zorder=0)
    for dash, (name, value) in zip(DASHES, marks.items(), strict=False):
        grid[1].axvline(value, color=QUIET, linewidth=0.8, linestyle=dash, zorder=0, label=name)
    handles, labels = grid[1].get_legend_handles_labels()
    close = {"handlelength": 1.6, "columnspacing": 0.9, "handletextpad": 0.4}
    legend(figure, handles, labels, loc="outside lower center", ncols=len(handles), **close)
    return figure


def ranking(
    errors: Mapping[str, ArrayLike], medians: Mapping[str, Three], label: str, marks: Mapping[str, float]
) -> Figure:
    """Draw every network's error and the median with its interval, a row an activation in the order given.

    marks: name -> error of an answer worth comparing with, as dotted lines.
    """
    figure, (axes,) = panels(COLUMN, 0.8 + 0.3 * len(errors), ("", label, ""))
    samples(axes, errors, medians)
    _log(axes)
    for name, value in marks.items():
        axes.axvline(value, color=QUIET, linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)
        beside = {"xycoords": ("data", "axes fraction"), "rotation": 90, "va": "top", "ha": "right"}
        note(axes, name, (value, 1.0), (-2, 0), fontsize=SMALL - 1, **beside)
    return figure


def samples(axes: Axes, values: Mapping[str, ArrayLike], medians: Mapping[str, Three]) -> None:
    """Draw every network's number, below it the median with its interval, a row an activation."""
    rows = np.arange(len(values))[::-1]
    for row, (name, networks) in zip(rows, values.items(), strict=True):
        colour, marker, _ = LOOKS[name]
        points = finite(networks)
        look = {"color": colour, "markersize": 3, "alpha": 0.5, "markeredgewidth": 0.6 if marker in "xX" else 0}
        axes.plot(points, np.full(points.size, row), marker, **look)
        estimate, low, high = finite(medians[name])
        axes.plot([low, high], [row - 0.28] * 2, color=colour, linewidth=1.0)
        axes.plot([estimate], [row - 0.28], marker="|", color=colour, markersize=6, markeredgewidth=1.4)
    _name_rows(axes, rows, list(values))


def exact_networks(
    errors: Sequence[tuple[str, float, float]], t: ArrayLike, squares: Mapping[str, ArrayLike], bound: float
) -> Figure:
    """Draw errors (name, float64, float32) in units of eps up to a bound, and those of x^2 over t by activation."""
    inside, beyond = ("inside the box", "largest error / eps", ""), ("beyond it", "$x$", "error of $x^2$")
    figure, (left, right) = panels(PAGE, 2.9, inside, beyond, width_ratios=(3, 2))
    rows = np.arange(len(errors))[::-1]
    left.hlines(rows, 0, bound, color="#eeeeee", linewidth=0.6, zorder=0)
    for column, (marker, label) in enumerate((("o", "float64"), ("D", "float32")), 1):
        look = {"color": SERIES[column - 1], "markerfacecolor": (SERIES[0], "white")[column - 1], "markersize": 3.5}
        left.plot([error[column] for error in errors], rows + 0.14 * (3 - 2 * column), marker, label=label, **look)
    left.axvline(bound, color=QUIET, linewidth=0.8, linestyle=(0, (1, 2)))
    _name_rows(left, rows, [name for name, *_ in errors])
    left.set_xlim(-0.4, bound * 1.05)
    legend(left, loc="center right", bbox_to_anchor=(0.92, 0.6), handletextpad=0.2)
    x = finite(t)
    for i, (name, error) in enumerate(squares.items()):
        right.plot(x, finite(error), color=SERIES[i], linestyle=DASHES[i], linewidth=1.3, label=name)
    right.axvspan(-1, 1, color="#f0f0f0", linewidth=0, zorder=0)
    right.annotate("box", (0, 1), xycoords=("data", "axes fraction"), ha="center", va="top", fontsize=SMALL, color=INK)
    legend(right, loc="lower center")
    return figure


def _intervals(axes: Axes, places: ArrayLike, values: Sequence[Three], **look: Any) -> None:
    estimate, low, high = finite(values).T
    error = [estimate - low, high - estimate]
    axes.errorbar(estimate, places, xerr=error, markersize=3.5, elinewidth=0.7, markeredgewidth=0.8, **look)


def _name_rows(axes: Axes, rows: ArrayLike, names: Sequence[str]) -> None:
    axes.set_yticks(np.asarray(rows), names, color=INK)
    axes.tick_params(axis="y", length=0)


def _log(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
