"""Shares of networks by layer, and by the size of their input."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from repu_lab.figures.looks import DASHES, PAGE, SERIES
from repu_lab.figures.style import INK, SMALL, canvas, layer_axis, quiet, title


def shares_kept(profiles: Mapping[float, Mapping[str, Any]], cells: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the share of networks that keep K: by layer for each k1, and after all layers against k1 for each width.

    profiles: k1 -> measured and theory, (layers,). cells: width, k1, share (estimate, low, high), exact.
    """
    figure = canvas(PAGE, 2.6)
    left, right = figure.subplots(1, 2, sharey=True)
    quiet(left, "layer $l$", "share of networks that keep $K$")
    quiet(right, "$K^1$")
    title(left, "a  by layer")
    title(right, "b  after all layers")
    shades = np.linspace(0.0, 0.7, max(2, len(profiles)))
    layers = max(len(profile["measured"]) for profile in profiles.values())
    layer_axis(left, layers)
    for i, (k1, profile) in enumerate(sorted(profiles.items())):
        colour = str(shades[i])
        layer = np.arange(1, layers + 1)
        left.plot(layer, profile["theory"], color=colour, linestyle=DASHES[i % 4], linewidth=1.1, label=f"{k1:.2g}")
        left.plot(layer[:: layers // 12], profile["measured"][:: layers // 12], "os^Dv"[i % 5], color=colour,
                  markersize=3.5)  # fmt: skip
    left.legend(title="$K^1$", title_fontsize=SMALL, frameon=False, fontsize=SMALL, loc="upper left",
                bbox_to_anchor=(1.0, 1.0), handlelength=2.2)  # fmt: skip
    right.set_xscale("log")
    right.minorticks_off()
    widths = sorted({cell["width"] for cell in cells})
    for i, width in enumerate(widths):
        here = sorted((cell for cell in cells if cell["width"] == width), key=lambda cell: cell["k1"])
        k1 = np.array([cell["k1"] for cell in here]) * 1.07 ** (i - (len(widths) - 1) / 2)
        share = np.array([cell["share"] for cell in here])
        colour = SERIES[i % 4] if i < 4 else INK
        error = np.abs(share[:, 1:].T - share[:, 0])
        right.errorbar(k1, share[:, 0], error, fmt="os^Dv"[i % 5], color=colour, markersize=3.5, elinewidth=0.7,
                       label=f"{width}")  # fmt: skip
        right.plot([cell["k1"] for cell in here], [cell["exact"] for cell in here], color=colour, linewidth=0.9)
    right.legend(title="width", title_fontsize=SMALL, frameon=False, fontsize=SMALL, loc="upper left",
                 bbox_to_anchor=(1.0, 1.0), handletextpad=0.3)  # fmt: skip
    left.set_ylim(-0.03, 1.03)
    return figure
