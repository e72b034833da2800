"""How fast a kernel leaves its fixed point: a double exponential is a straight line."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from repu_lab.figures.looks import COLUMN, SERIES
from repu_lab.figures.style import INK, QUIET, entry, finite, layer_axis, legend, note, panels


def double_exponential(curves: Mapping[str, Mapping[str, Any]], relu: ArrayLike, *, start: float) -> Figure:
    """Draw |ln(K^l/K_*)|, median over networks, on a logarithmic axis.

    curves: name -> p, plain (layers, networks), logs (layers, networks), both |ln(K^l/K_*)|; the names of one p follow
    each other. relu: (layers, networks), |ln(K^l/K^1)| from layer 2 on. Lines: start p^(l-1).
    """
    figure, (axes,) = panels(COLUMN, 3.0, ("", "layer $l$", r"$|\ln (K^l / K_*)|$"))
    powers = sorted({curve["p"] for curve in curves.values()})
    layers = max(len(curve["logs"]) for curve in curves.values())
    layer_axis(axes, layers)
    axes.set_yscale("log")
    seen: dict[float, int] = {}
    for curve in curves.values():
        p = curve["p"]
        colour, marker = SERIES[powers.index(p)], "^v"[seen.setdefault(p, 0)]
        seen[p] += 1
        layer = np.arange(1, layers + 1)
        logs, plain = _median(curve["logs"]), _median(curve["plain"])
        look = {"markersize": 3.5, "color": colour, "markeredgewidth": 0.7}
        axes.plot(layer, logs, marker, markerfacecolor="white", markevery=2, zorder=3, **look)
        axes.plot(layer, plain, marker, zorder=4, **look)
        axes.plot(layer, start * p ** (layer - 1.0), color=colour, linewidth=0.9, zorder=2)
    for p in powers:
        upper = p == powers[-1]  # its name stands above its line, the others' below
        beside = dict(zip(("ha", "va"), ("right", "bottom") if upper else ("left", "top"), strict=True))
        at = (0.55 * layers, start * p ** (0.55 * layers))
        note(axes, f"RePU, $p$ = {p:g}", at, (-7, 5) if upper else (7, -5), color=SERIES[powers.index(p)], **beside)
    bend = _median(relu)
    axes.plot(np.arange(2, len(bend) + 2), bend, color=QUIET, linewidth=1.4)
    note(axes, "ReLU", (len(bend), bend[-1]), (-2, 4), ha="right")
    dot = {"color": INK, "markersize": 3.5}
    handles = [
        entry("explodes", marker="^", **dot),
        entry("vanishes", marker="v", **dot),
        entry("in the logarithm", marker="^", markerfacecolor="white", **dot),
        entry("theory", color=INK, linewidth=0.9),
    ]
    legend(axes, handles=handles, loc="upper left", handletextpad=0.4)
    return figure


def _median(values: ArrayLike) -> NDArray[np.float64]:
    """Median over networks where at least half of them have a number, else a gap."""
    rows = finite(values)
    known = np.isfinite(rows).mean(1) >= 0.5
    median = np.full(len(rows), np.nan)
    median[known] = np.nanmedian(rows[known], axis=1)
    return median
