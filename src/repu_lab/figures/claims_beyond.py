"""What claim 14 shows: activations in the span of RePU, what they keep of a gradient, and how accurate they end."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from repu_lab.figures.claims_signal import PAGE
from repu_lab.figures.claims_training import LOOKS
from repu_lab.figures.style import INK, SMALL, canvas, finite, quiet, title


def span(
    z: ArrayLike, slopes: Mapping[str, ArrayLike], depths: Sequence[int], gradients: Mapping[str, ArrayLike],
    accuracies: Mapping[str, ArrayLike], intervals: Mapping[str, ArrayLike],
) -> Figure:  # fmt: skip
    """Draw s' over z, the change of the gradient by depth, and accuracies network by network with their medians."""
    figure = canvas(PAGE, 3.1)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.1))
    quiet(left, "$z$", "$s'(z)$")
    quiet(middle, "depth", "change of the squared gradient")
    quiet(right, "accuracy", "")
    for axes, text in ((left, "a  slopes"), (middle, "b  theory"), (right, "c  measured")):
        title(axes, text)
    x = finite(z)
    for i, (name, slope) in enumerate(slopes.items()):
        colour, marker, dash = LOOKS[name]
        look = {"color": colour, "marker": marker, "linestyle": dash, "linewidth": 1.0, "markersize": 3.5}
        left.plot(x, finite(slope), markevery=(3 * i, 24), **look)
        middle.plot(depths, finite(gradients[name]), label=name, **look)
    middle.set_xscale("log")
    middle.set_yscale("log")
    middle.minorticks_off()
    shown = depths[::2]
    middle.set_xticks(list(shown), [str(depth) for depth in shown])
    rows = np.arange(len(accuracies))[::-1]
    for row, (name, values) in zip(rows, accuracies.items(), strict=True):
        colour, marker, _ = LOOKS[name]
        points = finite(values)
        right.plot(points, np.full(points.size, row), marker, color=colour, markersize=3, alpha=0.5,
                   linestyle="none", markeredgewidth=0.6)  # fmt: skip
        estimate, low, high = finite(intervals[name])
        right.plot([low, high], [row - 0.28] * 2, color=colour, linewidth=1.0)
        right.plot([estimate], [row - 0.28], marker="|", color=colour, markersize=6, markeredgewidth=1.4)
    right.set_yticks(rows, list(accuracies), color=INK)
    right.tick_params(axis="y", length=0)
    figure.legend(
        *middle.get_legend_handles_labels(), loc="outside upper center", ncols=min(3, len(slopes)), frameon=False,
        fontsize=SMALL, handlelength=2.4, columnspacing=1.2,
    )  # fmt: skip
    return figure
