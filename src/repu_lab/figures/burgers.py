"""A learnt solution of Burgers' equation beside the exact one, its error, and both at a few times."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from numpy.typing import NDArray

from repu_lab.figures.narrow import WIDTH
from repu_lab.figures.style import INK, NORMAL, QUIET, SMALL, legend, panels

Floats = NDArray[np.float64]
SHOWN_TIMES = (0.25, 0.5, 1.0)
COLOUR = "#0072B2"
MAP = "cividis"  # brighter with the value, in grey too
DECADES = 4  # of errors, the largest at the top


def learnt_solution(x: Floats, t: Floats, exact: Floats, learnt: Floats, *, heading: str = "") -> Figure:
    """Draw u(x, t) exact and learnt, log10 |learnt - exact|, and both curves at three times.

    x (X,), t (T,), exact and learnt (T, X); NaN leaves a gap.
    """
    rows = [int(np.abs(t - time).argmin()) for time in SHOWN_TIMES]
    planes = [(name, "$t$", "$x$") for name in ("exact u", "learnt u", r"$\log_{10}$ |error|")]
    curves = [(f"t = {t[row]:.2f}", "$x$", "$u$") for row in rows]
    figure, (first, second, third, *others) = panels(WIDTH, 5.2, *planes, *curves, rows=3)
    error = np.abs(learnt - exact)
    highest = math.ceil(np.log10(np.max(error, initial=1e-16, where=np.isfinite(error))))
    bounds = (highest - DECADES, highest)
    _plane(first, x, t, exact, (-1, 1))
    meshes = {
        second: _plane(second, x, t, learnt, (-1, 1)),
        third: _plane(third, x, t, np.log10(np.maximum(error, 10.0 ** bounds[0])), bounds),
    }
    for axes, mesh in meshes.items():
        figure.colorbar(mesh, ax=axes, pad=0.04).ax.tick_params(labelsize=SMALL)
    for axes, row in zip(others, rows, strict=True):
        axes.plot(x, exact[row], color=INK, linewidth=1.0, label="exact")
        axes.plot(x, learnt[row], color=COLOUR, linewidth=1.6, linestyle=(0, (3, 1.5)), label="learnt")
        axes.set_xlim(-1, 1)
        axes.set_ylim(-1.25, 1.25)
    legend(others[0], loc="upper right", handlelength=1.8)
    if heading:
        figure.suptitle(heading, fontsize=NORMAL, color=QUIET, x=0.01, ha="left")
    return figure


def _plane(axes: Axes, x: Floats, t: Floats, values: Floats, bounds: tuple[float, float]) -> QuadMesh:
    low, high = bounds
    # One picture inside the figure: 26,000 cells as paths would take megabytes.
    return axes.pcolormesh(t, x, values.T, cmap=MAP, vmin=low, vmax=high, shading="nearest", rasterized=True)
