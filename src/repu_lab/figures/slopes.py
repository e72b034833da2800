"""Slopes of activations, what theory says of their gradients, and how accurate their networks end."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from repu_lab.figures.looks import LOOKS, PAGE
from repu_lab.figures.rows import samples
from repu_lab.figures.style import finite, legend, panels


def slopes_and_accuracies(
    z: ArrayLike,
    slopes: Mapping[str, ArrayLike],
    gradients: Mapping[str, Mapping[int, float]],
    accuracies: Mapping[str, ArrayLike],
    medians: Mapping[str, Sequence[float]],
) -> Figure:
    """Draw s' over z, the change of the gradient by depth, and accuracies network by network with their medians."""
    theory = ("theory", "depth", "change of the squared gradient")
    labels = ("slopes", "$z$", "$s'(z)$"), theory, ("measured", "accuracy", "")
    figure, (left, middle, right) = panels(PAGE, 3.1, *labels, width_ratios=(1, 1, 1.1))
    for i, (name, slope) in enumerate(slopes.items()):
        colour, marker, dash = LOOKS[name]
        look = {"color": colour, "marker": marker, "linestyle": dash, "linewidth": 1.0, "markersize": 3.5}
        left.plot(finite(z), finite(slope), markevery=(3 * i, 24), **look)
        middle.plot(list(gradients[name]), list(gradients[name].values()), label=name, **look)
    middle.set_xscale("log")
    middle.set_yscale("log")
    middle.minorticks_off()
    depths: Sequence[int] = list(next(iter(gradients.values())))[::2]
    middle.set_xticks(depths, [str(depth) for depth in depths])
    samples(right, accuracies, medians)
    place = {"loc": "outside upper center", "ncols": min(3, len(slopes)), "handlelength": 2.4, "columnspacing": 1.2}
    legend(figure, *middle.get_legend_handles_labels(), **place)
    return figure
