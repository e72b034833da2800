"""Shares of networks by layer, and by the size of their input."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from repu_lab.figures.looks import DASHES, PAGE, SERIES
from repu_lab.figures.style import INK, SMALL, layer_axis, legend, panels


def shares_kept(
    profiles: Mapping[float, tuple[ArrayLike, ArrayLike]],
    shares: Mapping[tuple[int, float], tuple[Sequence[float], float]],
) -> Figure:
    """Draw the share of networks that keep K: by layer for each k1, and after all layers against k1 for each width.

    profiles: k1 -> measured and theory, (layers,). shares: width and k1 -> (estimate, low, high), and the exact share.
    """
    by_layer = ("by layer", "layer $l$", "share of networks that keep $K$")
    figure, (left, right) = panels(PAGE, 2.6, by_layer, ("after all layers", "$K^1$", ""), sharey=True)
    shades = np.linspace(0.0, 0.7, max(2, len(profiles)))
    for i, (k1, (measured, theory)) in enumerate(sorted(profiles.items())):
        colour, marker = str(shades[i]), "os^Dv"[i % 5]
        layer = np.arange(1, np.size(theory) + 1)
        every = len(layer) // 12
        left.plot(layer, theory, color=colour, linestyle=DASHES[i % 4], linewidth=1.1, label=f"{k1:.2g}")
        left.plot(layer[::every], np.asarray(measured)[::every], marker, color=colour, markersize=3.5)
        layer_axis(left, len(layer))
    right.set_xscale("log")
    right.minorticks_off()
    widths = sorted({width for width, _ in shares})
    for i, width in enumerate(widths):
        k1, values = zip(*sorted((k1, value) for (w, k1), value in shares.items() if w == width), strict=True)
        share, exact = (np.array(column) for column in zip(*values, strict=True))
        colour = SERIES[i % 4] if i < 4 else INK
        look = {"fmt": "os^Dv"[i % 5], "color": colour, "markersize": 3.5, "elinewidth": 0.7, "label": f"{width}"}
        places = np.array(k1) * 1.07 ** (i - (len(widths) - 1) / 2)
        right.errorbar(places, share[:, 0], np.abs(share[:, 1:].T - share[:, 0]), **look)
        right.plot(k1, exact, color=colour, linewidth=0.9)
    for axes, name in ((left, "$K^1$"), (right, "width")):
        beside = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "handlelength": 2.2 if axes is left else 1.0}
        legend(axes, title=name, title_fontsize=SMALL, **beside)
    left.set_ylim(-0.03, 1.03)
    return figure
