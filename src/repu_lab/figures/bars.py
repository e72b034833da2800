"""Stacked bars by depth: what becomes of networks, and what fails first."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from numpy.typing import ArrayLike

from repu_lab.figures.looks import COLUMN, DASHES, PAGE
from repu_lab.figures.style import INK, NORMAL, QUIET, SMALL, canvas, finite, layer_axis, legend, quiet, title

Bars = Mapping[str, Mapping[int, Sequence[float]]]  # by panel and depth, the shares of one bar

# Light to dark, and a hatch where neighbours are near: told apart in grey.
FILLS = {
    "exploded": ("#6B2F14", ""), "vanished": ("#FFFFFF", "\\\\\\\\"), "diverged": ("#D98245", ""),
    "trained": ("#2E7D4F", ""), "learning": ("#A8D5B5", ""), "stalled": ("#D9D9D9", "////"),
    "none": ("#2E7D4F", ""), "forward": ("#6B2F14", ""), "gradient": ("#FFFFFF", "\\\\\\\\"),
    "step": ("#D98245", ""), "slow": ("#D9D9D9", "////"),
}  # fmt: skip
NAMES = {"none": "trained", "forward": "forward signal", "step": "size of the step"}


def outcome_bars(shares: Bars, outcomes: Sequence[str]) -> Figure:
    """Draw stacked shares of outcomes by depth, a panel each."""
    figure = canvas(COLUMN, 2.5)
    order = sorted(outcomes, key=lambda outcome: outcome != "trained")
    ordered = {
        name: {depth: [row[outcomes.index(outcome)] for outcome in order] for depth, row in bars.items()}
        for name, bars in shares.items()
    }
    _bars(figure.add_gridspec(1, 1)[0], ordered, order, 3)
    return figure


def first_failures(
    shares: Bars, causes: Sequence[str], profiles: Mapping[tuple[str, int], ArrayLike], deep: int
) -> Figure:
    """Draw stacked shares of first failures by depth, and K by layer of networks of depth `deep`, (name, step)."""
    figure = canvas(PAGE, 4.6)
    rows = figure.add_gridspec(2, 1, height_ratios=(1.15, 1))
    _bars(rows[0], shares, causes, len(causes))
    names = list(dict.fromkeys(name for name, _ in profiles))
    panels = rows[1].subgridspec(1, len(names)).subplots(squeeze=False)[0]
    for letter, axes, panel in zip("bc", panels, names, strict=False):
        quiet(axes, "layer $l$", r"$\log_{10} K^l$")
        title(axes, f"{letter}  {panel}, depth {deep}")
        layer_axis(axes, deep + 1)
        for i, (step, profile) in enumerate((s, p) for (name, s), p in profiles.items() if name == panel):
            line = finite(profile)
            look = {"color": str(0.17 * i), "marker": "os^Dv"[i % 5], "markersize": 3, "linestyle": DASHES[i % 4]}
            axes.plot(np.arange(1, line.size + 1), line, linewidth=1, label=f"step {step}", **look)
        legend(axes)
    return figure


def _bars(place: SubplotSpec, shares: Bars, names: Sequence[str], columns: int) -> None:
    """Draw a panel of stacked bars each, and what their fills mean above the figure."""
    panels = place.subgridspec(1, len(shares)).subplots(sharey=True, squeeze=False)[0]
    for axes, (panel, bars) in zip(panels, shares.items(), strict=True):
        quiet(axes, "depth")
        axes.set_title(panel, fontsize=SMALL, color=INK)
        places, bottom = range(len(bars)), np.zeros(len(bars))
        for name, heights in zip(names, np.array(list(bars.values())).T, strict=True):
            colour, hatch = FILLS[name]
            look = {"color": colour, "hatch": hatch, "edgecolor": QUIET, "linewidth": 0.4}
            axes.bar(places, heights, bottom=bottom, width=0.85, label=name, **look)
            bottom += heights
        axes.set_xticks(places, [str(depth) for depth in bars])
        axes.tick_params(axis="x", length=0)
        axes.set_ylim(0, 1)
    panels[0].set_ylabel("share of networks", fontsize=NORMAL, color=INK)
    handles, labels = panels[0].get_legend_handles_labels()
    words = [NAMES.get(label, label) for label in labels]
    look = {"loc": "outside upper center", "ncols": columns, "handlelength": 1.4, "columnspacing": 1.2}
    legend(panels[0].figure, handles, words, **look)
