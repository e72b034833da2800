"""K against the layer for several networks on one axis: who explodes, who vanishes, who keeps the signal."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import ArrayLike, NDArray

from repu_lab.figures.style import (
    INK,
    MARKERS,
    QUIET,
    RANGES,
    SMALL,
    canvas,
    dtype_limits,
    end_labels,
    finite,
    layer_axis,
    legend,
    quiet,
    title,
)

WIDTH, HEIGHT = 7.0, 3.1  # inches
ROOM = 14.0  # decades shown beyond where |z| leaves the number format
BAND = (0, (2, 1.5))


@dataclass(frozen=True)
class Curve:
    """One kind of network: log10 K at 5, 50, 95 %, measured and by theory, both (3, layers); where its name stands.

    at: the layer beside which the name is written, for a curve that leaves the picture; None for one that stays, whose
    name stands at its right end. Those that stay are drawn once more on an axis of their own.
    """

    measured: ArrayLike
    theory: ArrayLike
    colour: str
    at: float | None = None


def kernels_by_layer(curves: Mapping[str, Curve], dtype: str = "float32") -> Figure:
    """Draw log10 K within what the format can hold: measured as points with bands, theory as lines."""
    figure = canvas(WIDTH, HEIGHT)
    all_of, few = figure.subplots(1, 2, width_ratios=(1.15, 1))
    markers = dict(zip(curves, MARKERS, strict=False))
    stay = {name: curve for name, curve in curves.items() if curve.at is None}
    high, low = (2 * RANGES[dtype][side] for side in (0, 1))  # where |z|, not z^2, leaves it
    quiet(all_of, "layer $l$", r"$\log_{10} K^l$")
    all_of.set_ylim(low - ROOM, high + ROOM)
    for name, curve in curves.items():
        _draw(all_of, curve, markers[name], (low, high))
        if curve.at is not None:
            median = _inside(np.asarray(curve.measured)[1], low, high)
            height = median[np.isfinite(median)][-1]
            all_of.annotate(name, (curve.at, height), va="center", fontsize=SMALL, color=curve.colour)
    layers = max(np.shape(curve.theory)[-1] for curve in curves.values())
    dtype_limits(all_of, [dtype], np.zeros(layers), low, high)
    quiet(few, "layer $l$")
    for name, curve in stay.items():
        _draw(few, curve, markers[name], (-np.inf, np.inf))
    few.set_ylim(top=few.get_ylim()[1] + 0.1)
    for axes, text in ((all_of, "a  all"), (few, "b  those that stay")):
        layer_axis(axes, layers)
        title(axes, text)
    end_labels(few, [(layers + 0.5, float(np.asarray(c.measured)[1, -1]), name, c.colour) for name, c in stay.items()])
    _legend(figure)
    return figure


def _draw(axes: Axes, curve: Curve, marker: str, within: tuple[float, float]) -> None:
    bottom, median, top = (_inside(row, *within) for row in np.asarray(curve.measured, np.float64))
    layer = np.arange(1, median.size + 1)
    axes.fill_between(layer, bottom, top, color=curve.colour, alpha=0.2, linewidth=0, zorder=2)
    every = (0, -(-median.size // 25)) if curve.at is None else None
    axes.plot(layer, median, marker, color=curve.colour, markersize=3.5, linestyle="none", markevery=every, zorder=3)
    for line, style in zip(np.asarray(curve.theory, np.float64), (BAND, "-", BAND), strict=True):
        drawn = _inside(line, *within)
        axes.plot(
            np.arange(1, drawn.size + 1),
            drawn,
            color=INK,
            linewidth=1.1 if style == "-" else 0.6,
            linestyle=style,
            zorder=4,
        )


def _inside(row: ArrayLike, low: float, high: float) -> NDArray[np.float64]:
    """Return a row with gaps from the first value on that the picture does not hold."""
    values = finite(row)
    out = np.flatnonzero(~((values >= low) & (values <= high)))
    if out.size:
        values[out[0] :] = np.nan
    return values


def _legend(figure: Figure) -> None:
    handles: list[Line2D | Patch] = [
        Line2D([], [], linestyle="none", marker=MARKERS[0], markersize=3.5, color=QUIET, label="measured, median"),
        Patch(facecolor=QUIET, alpha=0.3, linewidth=0, label="5-95 %"),
        Line2D([], [], color=INK, linewidth=1.1, label="theory, typical network of this width"),
        Line2D([], [], color=INK, linewidth=0.6, linestyle=BAND, label="5 and 95 % by theory"),
    ]
    legend(figure, handles=handles, loc="outside upper left", ncols=4, borderaxespad=0.0)
