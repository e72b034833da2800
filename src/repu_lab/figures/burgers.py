"""A learnt solution of Burgers' equation beside the exact one, its error, and both at a few times."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from numpy.typing import NDArray

from repu_lab.figures.narrow import WIDTH
from repu_lab.figures.style import INK, NORMAL, QUIET, SMALL, canvas, legend, quiet, title

Floats = NDArray[np.float64]
SHOWN_TIMES = (0.25, 0.5, 1.0)
COLOUR = "#0072B2"
MAP = "cividis"  # brighter with the value, in grey too
DECADES = 4  # of errors, the largest at the top


def learnt_solution(x: Floats, t: Floats, exact: Floats, learnt: Floats, *, heading: str = "") -> Figure:
    """Draw u(x, t) exact and learnt, log10 |learnt - exact|, and both curves at three times.

    x (X,), t (T,), exact and learnt (T, X); NaN leaves a gap.
    """
    figure = canvas(WIDTH, 5.2)
    grid = figure.subplots(3, 2)
    error = np.abs(learnt - exact)
    highest = math.ceil(np.log10(np.max(error, initial=1e-16, where=np.isfinite(error))))
    _plane(grid[0, 0], x, t, exact, (-1, 1), "a  exact u")
    mesh = _plane(grid[0, 1], x, t, learnt, (-1, 1), "b  learnt u")
    figure.colorbar(mesh, ax=grid[0, 1], pad=0.04).ax.tick_params(labelsize=SMALL)
    bounds = (highest - DECADES, highest)
    mesh = _plane(grid[1, 0], x, t, np.log10(np.maximum(error, 10.0 ** bounds[0])), bounds, r"c  $\log_{10}$ |error|")
    figure.colorbar(mesh, ax=grid[1, 0], pad=0.04).ax.tick_params(labelsize=SMALL)
    for axes, letter, time in zip(grid.ravel()[3:], "def", SHOWN_TIMES, strict=True):
        row = int(np.abs(t - time).argmin())
        quiet(axes, "$x$", "$u$")
        title(axes, f"{letter}  t = {t[row]:.2f}")
        axes.plot(x, exact[row], color=INK, linewidth=1.0, label="exact")
        axes.plot(x, learnt[row], color=COLOUR, linewidth=1.6, linestyle=(0, (3, 1.5)), label="learnt")
        axes.set_xlim(-1, 1)
        axes.set_ylim(-1.25, 1.25)
    legend(grid[1, 1], loc="upper right", handlelength=1.8)
    if heading:
        figure.suptitle(heading, fontsize=NORMAL, color=QUIET, x=0.01, ha="left")
    return figure


def _plane(axes: Axes, x: Floats, t: Floats, values: Floats, bounds: tuple[float, float], name: str) -> QuadMesh:
    quiet(axes, "$t$", "$x$")
    title(axes, name)
    low, high = bounds
    # One picture inside the figure: 26,000 cells as paths would take megabytes.
    return axes.pcolormesh(t, x, values.T, cmap=MAP, vmin=low, vmax=high, shading="nearest", rasterized=True)
