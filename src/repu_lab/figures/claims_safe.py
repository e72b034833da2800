"""What the ladder of changes to MRePU shows: a row a change, shares trained and accuracies."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from repu_lab.figures.claims_signal import COLUMN
from repu_lab.figures.style import FAINT, INK, QUIET, SMALL, canvas, quiet, title

# Filled and open, so that the powers are told apart in grey.
LOOKS = {1: ("#0072B2", "o", "#0072B2"), 2: ("#D55E00", "^", "white")}
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1.5)))


def ladder(rows: Mapping[str, Mapping[int, tuple[ArrayLike, ArrayLike]]], marks: Mapping[str, float]) -> Figure:
    """Draw shares and accuracies, (estimate, low, high) each, by change and power; marks: accuracies as lines.

    Lines part the rows by the number of changes, which their names join with a plus.
    """
    figure = canvas(COLUMN, 0.9 + 0.24 * len(rows))
    panels = figure.subplots(1, 2, sharey=True)
    places = np.arange(len(rows), dtype=float)[::-1]
    for panel, axes, name in zip((0, 1), panels, ("a  trained", "b  accuracy"), strict=True):
        quiet(axes)
        title(axes, name)
        for i, power in enumerate(LOOKS):
            colour, marker, face = LOOKS[power]
            estimate, low, high = np.array([rows[row][power][panel] for row in rows], float).T
            axes.errorbar(
                estimate, places + 0.15 - 0.3 * i, xerr=[estimate - low, high - estimate], fmt=marker, color=colour,
                markerfacecolor=face, markersize=3.5, elinewidth=0.7, markeredgewidth=0.8, label=f"$p$ = {power}",
            )  # fmt: skip
        axes.set_xlim(-0.04, 1.04)
        axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
        changes = np.array([row.count("+") + (row != "unchanged") for row in rows])
        for edge in places[1:][np.diff(changes) > 0] + 0.5:
            axes.axhline(edge, color=FAINT, linewidth=0.7, zorder=0)
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(places, list(rows), color=INK)
    panels[0].axvline(0.5, color=QUIET, linewidth=0.7, linestyle=(0, (1, 2)), zorder=0)
    for dash, (name, value) in zip(DASHES, marks.items(), strict=False):
        panels[1].axvline(value, color=QUIET, linewidth=0.8, linestyle=dash, zorder=0, label=name)
    handles, labels = panels[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=SMALL,
                  handlelength=1.6, columnspacing=0.9, handletextpad=0.4)  # fmt: skip
    return figure
