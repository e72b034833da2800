"""Maps of fates over the plane of bias and weight variance."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from repu_lab.figures.looks import PAGE
from repu_lab.figures.style import INK, NORMAL, QUIET, SMALL, canvas, entry, finite, legend, quiet

# From the fate a network dies of downwards to the one it overflows of: light to dark, told apart without colour.
FATE_COLOURS = {"vanishes": "#FFFFFF", "ordered": "#BBD4EA", "chaotic": "#D98245", "explodes": "#6B2F14"}


def fate_maps(C_b: ArrayLike, C_W: ArrayLike, maps: Mapping[str, Mapping[str, Any]], fates: Sequence[str]) -> Figure:
    """Draw a measured map of fates above theory's for each activation.

    C_b (rows,), C_W (columns,): the cells' centres. maps: measured and theory (rows, columns) of indices into fates,
    critical: pairs (C_b, C_W).
    """
    b, w = finite(C_b), finite(C_W)
    figure = canvas(PAGE, 2.7)
    grid = figure.subplots(2, len(maps), sharex=True, sharey=True, squeeze=False)
    look = {"cmap": ListedColormap([FATE_COLOURS[name] for name in fates]), "vmin": -0.5, "vmax": len(fates) - 0.5}
    for column, (name, plane) in zip(grid.T, maps.items(), strict=True):
        for axes, which in zip(column, ("measured", "theory"), strict=True):
            quiet(axes)
            axes.pcolormesh(b, w, np.asarray(plane[which]).T, shading="nearest", rasterized=True, **look)
            star = {"marker": "*", "markersize": 9, "color": INK, "markeredgecolor": "white", "markeredgewidth": 0.7}
            for point in plane["critical"]:
                axes.plot(*point, clip_on=False, **star)
            axes.set_yscale("log")
            axes.set_xlim(0, b[-1])
            axes.set_ylim(w[0], w[-1])
            axes.set_xticks([0, 0.4], ["0", "0.4"])
            axes.set_yticks([0.1, 1], ["0.1", "1"])
            axes.minorticks_off()
        column[0].set_title(name, fontsize=SMALL, color=INK)
    for axes, which in zip(grid[:, 0], ("measured", "theory"), strict=True):
        axes.set_ylabel(f"{which}\n$C_W$", fontsize=NORMAL, color=INK)
    figure.supxlabel("bias variance $C_b$", fontsize=NORMAL, color=INK)
    handles: list[Patch | Line2D] = [
        *(Patch(facecolor=FATE_COLOURS[name], edgecolor=QUIET, linewidth=0.5, label=name) for name in fates),
        entry("critical point", marker="*", markersize=8, color=INK),
    ]
    legend(figure, handles=handles, loc="outside upper center", ncols=len(handles))
    return figure
