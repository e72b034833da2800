"""The susceptibilities chi_parallel and chi_perp: their ratio by the power, and how they meet."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from repu_lab.figures.looks import COLUMN, DASHES, SERIES
from repu_lab.figures.style import INK, QUIET, finite, legend, note, panels


def ratio_by_power(ratios: Mapping[float, Sequence[tuple[float, float, float]]]) -> Figure:
    """Draw measured chi_parallel / chi_perp, (estimate, low, high) by power, on the curve (2p-1)/p."""
    figure, (axes,) = panels(COLUMN, 2.3, ("", "power $p$", r"$\chi_\parallel\,/\,\chi_\perp$"))
    powers = np.linspace(1, max(ratios) + 0.3, 100)
    axes.axhline(1.0, color=QUIET, linewidth=0.8, linestyle=(0, (1, 2)))
    note(axes, "critical needs 1", (powers[-1], 1.0), (0, 3), ha="right")
    axes.plot(powers, (2 * powers - 1) / powers, color=INK, linewidth=1.0)
    note(axes, "$(2p-1)/p$", (powers[60], (2 * powers[60] - 1) / powers[60]), (-4, 6), ha="right", color=INK)
    for p, measured in sorted(ratios.items()):
        for i, (estimate, low, high) in enumerate(measured):
            error = [[max(0.0, estimate - low)], [max(0.0, high - estimate)]]
            look = {"fmt": "os^D"[i % 4], "color": SERIES[i % 4], "markersize": 3.5, "elinewidth": 0.8, "capsize": 1.5}
            axes.errorbar(p + 0.05 * (i - (len(measured) - 1) / 2), estimate, error, **look)
    axes.set_ylim(0.9, 1.9)
    return figure


def meeting(K: ArrayLike, curves: Mapping[str, Mapping[str, Any]], kernels: Sequence[float]) -> Figure:
    """Draw chi - 1 against K on logarithmic axes.

    curves: name -> theory, the pair chi_parallel and chi_perp over K, and measured, for each of `kernels` a pair of
    (estimate, low, high). What noise leaves below 1 is not drawn.
    """
    figure, (axes,) = panels(COLUMN, 2.7, ("", "$K$", r"$\chi - 1$"))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.minorticks_off()
    k = finite(K)
    for i, (name, curve) in enumerate(curves.items()):
        for j, symbol in enumerate((r"$\chi_\parallel$", r"$\chi_\perp$")):
            line = finite(curve["theory"][j]) - 1
            axes.plot(k, line, color=SERIES[i], linestyle=DASHES[j], linewidth=1.0, label=f"{symbol}, {name}")
            estimate, low, high = (np.array([pair[j][part] for pair in curve["measured"]]) - 1 for part in range(3))
            seen = low > 0
            error = [(estimate - low)[seen], (high - estimate)[seen]]
            look = {"fmt": "os"[j], "color": SERIES[i], "markerfacecolor": (SERIES[i], "white")[j], "markersize": 3.5}
            axes.errorbar(np.asarray(kernels)[seen], estimate[seen], error, elinewidth=0.8, zorder=3, **look)
    legend(axes, loc="upper left")
    return figure
