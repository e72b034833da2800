"""What the approximation claims show."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from repu_lab.figures.claims_signal import DASHES, PAGE, SERIES
from repu_lab.figures.style import INK, QUIET, SMALL, canvas, finite, quiet, title


def exact_networks(
    errors: Sequence[tuple[str, float, float]], t: ArrayLike, squares: Mapping[str, ArrayLike], bound: float
) -> Figure:
    """Draw errors (name, float64, float32) in units of eps up to a bound, and those of x^2 over t by activation."""
    figure = canvas(PAGE, 2.9)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    quiet(left, "largest error / eps", "")
    quiet(right, "$x$", "error of $x^2$")
    title(left, "a  inside the box")
    title(right, "b  beyond it")
    rows = np.arange(len(errors))[::-1]
    left.hlines(rows, 0, bound, color="#eeeeee", linewidth=0.6, zorder=0)
    for column, (marker, label) in enumerate((("o", "float64"), ("D", "float32")), 1):
        left.plot([error[column] for error in errors], rows + 0.14 * (3 - 2 * column), marker, markersize=3.5,
                  color=SERIES[column - 1], markerfacecolor=(SERIES[0], "white")[column - 1], label=label)  # fmt: skip
    left.axvline(bound, color=QUIET, linewidth=0.8, linestyle=(0, (1, 2)))
    left.set_yticks(rows, [name for name, *_ in errors])
    left.tick_params(axis="y", length=0)
    left.set_xlim(-0.4, bound * 1.05)
    left.legend(frameon=False, fontsize=SMALL, loc="center right", bbox_to_anchor=(0.92, 0.6), handletextpad=0.2)
    x = finite(t)
    for i, (name, error) in enumerate(squares.items()):
        right.plot(x, finite(error), color=SERIES[i], linestyle=DASHES[i], linewidth=1.3, label=name)
    right.axvspan(-1, 1, color="#f0f0f0", linewidth=0, zorder=0)
    right.annotate("box", (0, 1), xycoords=("data", "axes fraction"), ha="center", va="top", fontsize=SMALL, color=INK)
    right.legend(frameon=False, fontsize=SMALL, loc="lower center")
    return figure
