"""K against the layer for several networks on one axis: who explodes, who vanishes, who keeps the signal."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import ArrayLike, NDArray

from repu_lab.figures.looks import PAGE
from repu_lab.figures.style import (
    INK,
    MARKERS,
    QUIET,
    RANGES,
    SMALL,
    dtype_limits,
    end_labels,
    entry,
    finite,
    layer_axis,
    legend,
    panels,
)

ROOM = 14.0  # decades shown beyond where |z| leaves float32
BAND = (0, (2, 1.5))


@dataclass(frozen=True)
class KernelCurves:
    """One kind of network: log10 K at 5, 50, 95 %, measured and by theory, both (3, layers); whether it leaves."""

    measured: ArrayLike
    theory: ArrayLike
    colour: str
    leaves: bool = False  # float32; drawn on an axis of its own, up to there


def kernels_by_layer(curves: Mapping[str, KernelCurves]) -> Figure:
    """Draw log10 K of networks that leave float32 beside that of those that do not, measured and by theory."""
    out = ("out of float32", "layer $l$", r"$\log_{10} K^l$")
    within = ("critical: within float32 at every layer", "layer $l$", "")
    figure, (left, right) = panels(PAGE, 3.1, out, within, width_ratios=(1, 1.15))
    markers = dict(zip(curves, MARKERS, strict=False))
    high, low = (2 * limit for limit in RANGES["float32"])  # where |z|, not z^2, leaves it
    left.set_ylim(low - ROOM, high + ROOM)
    leaving = [curve for curve in curves.values() if curve.leaves]
    shown = [np.isfinite(_inside(row, low, high)).sum() for curve in leaving for row in np.asarray(curve.theory)]
    last = int(max(shown, default=1))
    labels: dict[Axes, list[tuple[float, float, str, str]]] = {left: [], right: []}
    layers = {left: last}
    for name, curve in curves.items():
        axes, bounds = (left, (low, high)) if curve.leaves else (right, (-np.inf, np.inf))
        _draw(axes, curve, markers[name], bounds)
        median = _inside(np.asarray(curve.measured)[1], *bounds)
        end = float(median[np.isfinite(median)][-1])
        labels[axes].append((layers.setdefault(axes, median.size) + 0.5, end, name, curve.colour))
    for axes, count in layers.items():
        layer_axis(axes, count)
    dtype_limits(left, ["float32"], np.zeros(last), low, high)
    for axes, names in labels.items():
        end_labels(axes, names, size=SMALL)
    _legend(figure)
    return figure


def _draw(axes: Axes, curve: KernelCurves, marker: str, within: tuple[float, float]) -> None:
    bottom, median, top = (_inside(row, *within) for row in np.asarray(curve.measured, np.float64))
    layer = np.arange(1, median.size + 1)
    axes.fill_between(layer, bottom, top, color=curve.colour, alpha=0.2, linewidth=0, zorder=2)
    every = None if curve.leaves else (0, -(-median.size // 25))
    axes.plot(layer, median, marker, color=curve.colour, markersize=3.5, linestyle="none", markevery=every, zorder=3)
    for line, style in zip(np.asarray(curve.theory, np.float64), (BAND, "-", BAND), strict=True):
        drawn = _inside(line, *within)
        width = 1.1 if style == "-" else 0.6
        axes.plot(np.arange(1, drawn.size + 1), drawn, color=INK, linewidth=width, linestyle=style, zorder=4)


def _inside(row: ArrayLike, low: float, high: float) -> NDArray[np.float64]:
    """Return a row with gaps from the first value on that the picture does not hold."""
    values = finite(row)
    out = np.flatnonzero(~((values >= low) & (values <= high)))
    if out.size:
        values[out[0] :] = np.nan
    return values


def _legend(figure: Figure) -> None:
    handles: list[Line2D | Patch] = [
        entry("measured, median", marker=MARKERS[0], markersize=3.5, color=QUIET),
        Patch(facecolor=QUIET, alpha=0.3, linewidth=0, label="5-95 %"),
        entry("theory, typical network of this width", color=INK, linewidth=1.1),
        entry("5 and 95 % by theory", color=INK, linewidth=0.6, linestyle=BAND),
    ]
    legend(figure, handles=handles, loc="outside upper left", ncols=4, borderaxespad=0.0)
