"""What the contests of activations show: errors by depth, by case and network by network."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import ArrayLike

from repu_lab.figures.claims_signal import COLUMN, PAGE
from repu_lab.figures.claims_training import LOOKS
from repu_lab.figures.style import FAINT, INK, QUIET, SMALL, canvas, finite, quiet, title


def by_depth(
    panels: Mapping[str, Mapping[str, ArrayLike]], depths: Mapping[str, Sequence[int]], label: str, *,
    logarithmic: bool = False,
) -> Figure:  # fmt: skip
    """Draw (depths, 3: estimate, low, high) of each activation against its panel's depths."""
    figure = canvas(PAGE, 2.7)
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for letter, axes, (name, curves) in zip("abcd", grid, panels.items(), strict=False):
        quiet(axes, "hidden layers", label if axes is grid[0] else "")
        title(axes, f"{letter}  {name}" if len(panels) > 1 else name)
        places = np.arange(len(depths[name]), dtype=float)
        for i, (activation, rows) in enumerate(curves.items()):
            colour, marker, dash = LOOKS[activation]
            estimate, low, high = finite(rows).T
            axes.errorbar(
                places + 0.05 * (i - (len(curves) - 1) / 2), estimate, [estimate - low, high - estimate], color=colour,
                marker=marker, linestyle=dash, linewidth=1.0, markersize=3.5, elinewidth=0.6, label=activation,
            )  # fmt: skip
        axes.set_xticks(places, [str(depth) for depth in depths[name]])
        if logarithmic:
            _log_axis(axes)
    grid[-1].legend(frameon=False, fontsize=SMALL, loc="upper left", bbox_to_anchor=(1.0, 1.0), handlelength=2.6)
    return figure


def by_case(panels: Mapping[str, Mapping[str, ArrayLike]], cases: Sequence[str]) -> Figure:
    """Draw errors, (cases, 3: estimate, low, high) of each activation, a row a case and a panel a kind of error."""
    figure = canvas(PAGE, 0.9 + 0.62 * len(cases))
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    rows = np.arange(len(cases), dtype=float)[::-1]
    for letter, axes, (name, found) in zip("abcd", grid, panels.items(), strict=False):
        quiet(axes, "relative error", "")
        title(axes, f"{letter}  {name}")
        for i, (activation, values) in enumerate(found.items()):
            colour, marker, _ = LOOKS[activation]
            estimate, low, high = finite(values).T
            axes.errorbar(
                estimate, rows + 0.1 * ((len(found) - 1) / 2 - i), xerr=[estimate - low, high - estimate], fmt=marker,
                color=colour, markersize=3.5, elinewidth=0.6, label=activation,
            )  # fmt: skip
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.hlines(rows[:-1] - 0.5, *axes.get_xlim(), color=FAINT, linewidth=0.6, zorder=0)
        axes.margins(x=0)
        axes.set_yticks(rows, cases)
        axes.tick_params(axis="y", length=0)
    grid[-1].legend(frameon=False, fontsize=SMALL, loc="upper left", bbox_to_anchor=(1.0, 1.0), handletextpad=0.2)
    return figure


def ranking(
    errors: Mapping[str, ArrayLike], intervals: Mapping[str, ArrayLike], label: str, marks: Mapping[str, float]
) -> Figure:
    """Draw every network's error and the median with its interval, a row an activation in the order given.

    marks: name -> error of an answer worth comparing with, as dotted lines.
    """
    figure = canvas(COLUMN, 0.8 + 0.3 * len(errors))
    axes = figure.subplots()
    quiet(axes, label, "")
    rows = np.arange(len(errors))[::-1]
    for row, (name, values) in zip(rows, errors.items(), strict=True):
        colour, marker, _ = LOOKS[name]
        points = finite(values)
        axes.plot(points, np.full(points.size, row), marker, color=colour, markersize=3, alpha=0.45, linestyle="none",
                  markeredgewidth=0)  # fmt: skip
        estimate, low, high = finite(intervals[name])
        axes.plot([low, high], [row - 0.28] * 2, color=colour, linewidth=1.0)
        axes.plot([estimate], [row - 0.28], marker="|", color=colour, markersize=6, markeredgewidth=1.4)
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    for name, value in marks.items():
        axes.axvline(value, color=QUIET, linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)
        axes.annotate(name, (value, 1.0), xycoords=("data", "axes fraction"), xytext=(-2, 0), rotation=90, va="top",
                      textcoords="offset points", ha="right", fontsize=SMALL - 1, color=QUIET)  # fmt: skip
    axes.set_yticks(rows, list(errors), color=INK)
    axes.tick_params(axis="y", length=0)
    return figure


def _log_axis(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_minor_locator(NullLocator())
