"""Points: the accuracy of every network, group by group."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from repu_lab.figures.looks import LOOKS, PAGE
from repu_lab.figures.style import INK, QUIET, legend, note, panels


def accuracies(
    groups: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    chance: float,
    bar: float | None = None,
    label: str = "accuracy on the test split",
) -> Figure:
    """Draw the accuracy of every network, (group -> activation -> networks), with medians, chance and the bar."""
    figure, (axes,) = panels(PAGE, 2.9, ("", "a point is a network, a bar their median", label))
    names = list(dict.fromkeys(name for networks in groups.values() for name in networks))
    step = 1 / (max(map(len, groups.values())) + 1)
    labelled: set[str] = set()
    for g, networks in enumerate(groups.values()):
        for i, (name, values) in enumerate(networks.items()):
            x = g + (i - (len(networks) - 1) / 2) * step
            colour, marker, _ = LOOKS[name]
            spread = np.linspace(-step / 4, step / 4, len(values)) if len(values) > 1 else [0.0]
            look = {"color": colour, "markersize": 2.5, "alpha": 0.7, "markeredgewidth": 0.8 if marker in "xX" else 0}
            axes.plot(x + np.asarray(spread), values, marker, label="_" if name in labelled else name, **look)
            labelled.add(name)
            axes.plot([x - step / 3, x + step / 3], [float(np.median(values))] * 2, color=INK, linewidth=1.2)
    for value, word in ((chance, "chance"), (bar, "counts")):
        if value is None:
            continue
        axes.axhline(value, color=QUIET, linewidth=0.7, linestyle=(0, (2, 2)), zorder=1)
        note(axes, word, (1.0, value), (3, 0), xycoords=("axes fraction", "data"), va="center")
    letters = max(9, 36 // len(groups))  # side by side on a phone
    axes.set_xticks(range(len(groups)), [textwrap.fill(name.replace(",", ""), letters) for name in groups])
    axes.set_ylim(min(0, chance - 0.12), 1.02)
    legend(figure, ncols=min(5, len(names)), loc="outside upper center", handletextpad=0.2)
    return figure
