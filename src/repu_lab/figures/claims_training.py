"""What the training claims show: outcomes, shares trained and first failures by depth."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from repu_lab.figures.claims_signal import COLUMN, DASHES, PAGE
from repu_lab.figures.style import INK, NORMAL, QUIET, SMALL, canvas, finite, layer_axis, quiet, title

# Light to dark, and a hatch where neighbours are near: told apart in grey.
FILLS = {
    "exploded": ("#6B2F14", ""), "vanished": ("#FFFFFF", "\\\\\\\\"), "diverged": ("#D98245", ""),
    "trained": ("#2E7D4F", ""), "learning": ("#A8D5B5", ""), "stalled": ("#D9D9D9", "////"),
    "none": ("#2E7D4F", ""), "forward": ("#6B2F14", ""), "gradient": ("#FFFFFF", "\\\\\\\\"),
    "step": ("#D98245", ""), "slow": ("#D9D9D9", "////"),
}  # fmt: skip
NAMES = {"none": "trained", "forward": "forward signal", "step": "size of the step"}
# Colour, marker, dash of each activation, the same in every figure.
LOOKS: dict[str, tuple[str, str, Any]] = {
    "RePU 2": ("#D55E00", "o", DASHES[0]), "RePU 3": ("#D55E00", "D", DASHES[1]),
    "MRePU 1": ("#0072B2", "^", DASHES[0]), "MRePU 2": ("#0072B2", "v", DASHES[1]),
    "ReLU": (INK, "s", DASHES[0]), "GELU": ("#777777", "P", DASHES[1]), "tanh": ("#009E73", "X", DASHES[0]),
    "MRePU 3": ("#0072B2", "<", DASHES[2]), "spline RePU 2": ("#8F4B86", "*", DASHES[0]),
    "spline RePU 3": ("#8F4B86", "p", DASHES[1]), "skew spline": ("#D55E00", "d", DASHES[0]),
    "wide spline": ("#0072B2", "h", DASHES[0]), "one-sided spline": ("#0072B2", ">", DASHES[1]),
    "identity": ("#777777", "x", DASHES[2]),
}  # fmt: skip


def outcome_bars(
    shares: Mapping[str, Sequence[Sequence[float]]], depths: Sequence[int], outcomes: Sequence[str]
) -> Figure:
    """Draw stacked shares of outcomes by depth, a panel each: name -> (depths, outcomes)."""
    figure = canvas(COLUMN if len(shares) < 3 else PAGE, 2.5)
    grid = figure.subplots(1, len(shares), sharey=True, squeeze=False)[0]
    order = ["trained", *(outcome for outcome in outcomes if outcome != "trained")]
    for axes, (name, table) in zip(grid, shares.items(), strict=True):
        _stack(axes, np.asarray(table)[:, [outcomes.index(outcome) for outcome in order]], depths, order)
        title(axes, name)
    grid[0].set_ylabel("share of networks", fontsize=NORMAL, color=INK)
    figure.supxlabel("depth", fontsize=NORMAL, color=INK)
    _legend(figure, grid[0], 3)
    return figure


def trained_by_depth(curves: Mapping[str, Mapping[str, Any]], depths: Sequence[int]) -> Figure:
    """Draw share trained and metric by depth: name -> share (depths, 3: estimate, low, high), metric (depths,)."""
    figure = canvas(PAGE, 2.7)
    left, right = figure.subplots(1, 2)
    for axes, label in ((left, "share of networks that train"), (right, "median accuracy")):
        quiet(axes, "depth", label)
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xticks(list(depths), [str(depth) for depth in depths])
    title(left, "a  share trained")
    title(right, "b  accuracy")
    for i, (name, curve) in enumerate(curves.items()):
        colour, marker, dash = LOOKS[name]
        share = np.asarray(curve["share"])
        shift = np.asarray(depths) * 1.025 ** (i - (len(curves) - 1) / 2)
        left.errorbar(
            shift, share[:, 0], np.abs(share[:, 1:].T - share[:, 0]), marker=marker, color=colour, linestyle=dash,
            linewidth=1.0, markersize=3.5, elinewidth=0.6,
        )  # fmt: skip
        right.plot(depths, curve["metric"], marker=marker, color=colour, linestyle=dash, linewidth=1.0, markersize=3.5,
                   label=name)  # fmt: skip
    left.set_ylim(-0.03, 1.03)
    right.set_ylim(-0.03, 1.03)
    right.legend(frameon=False, fontsize=SMALL, loc="upper left", bbox_to_anchor=(1.0, 1.0), handlelength=2.6)
    return figure


def first_failures(
    shares: Mapping[str, Sequence[Sequence[float]]], depths: Sequence[int], causes: Sequence[str],
    profiles: Mapping[tuple[str, int], ArrayLike], deep: int,
) -> Figure:  # fmt: skip
    """Draw stacked shares of first failures, (depths, causes) by activation, and K by layer, (activation, step)."""
    figure = canvas(PAGE, 4.6)
    rows: Any = figure.subfigures(2, 1, height_ratios=(1.15, 1))
    grid = rows[0].subplots(1, len(shares), sharey=True, squeeze=False)[0]
    for axes, (name, table) in zip(grid, shares.items(), strict=True):
        _stack(axes, np.asarray(table), depths, causes)
        axes.set_title(name, fontsize=SMALL, color=INK)
    grid[0].set_ylabel("a  share of networks", fontsize=NORMAL, color=INK)
    rows[0].supxlabel("depth", fontsize=NORMAL, color=INK)
    _legend(rows[0], grid[0], len(causes))
    panels = rows[1].subplots(1, 2)
    for axes, name in zip(panels, dict.fromkeys(name for name, _ in profiles), strict=True):
        quiet(axes, "layer $l$", r"$\log_{10} K^l$")
        title(axes, f"{'bc'[list(panels).index(axes)]}  {name}, depth {deep}")
        layer_axis(axes, deep + 1)
        for i, (step, profile) in enumerate((s, p) for (who, s), p in profiles.items() if who == name):
            line = finite(profile)
            axes.plot(np.arange(1, line.size + 1), line, color=str(0.17 * i), marker="os^Dv"[i % 5], markersize=3,
                      linewidth=1, linestyle=DASHES[i % 4], label=f"step {step}")  # fmt: skip
        axes.legend(frameon=False, fontsize=SMALL)
    return figure


def _stack(axes: Axes, table: Any, depths: Sequence[int], names: Sequence[str]) -> None:
    quiet(axes)
    bottom = np.zeros(len(depths))
    for column, name in enumerate(names):
        colour, hatch = FILLS[name]
        axes.bar(range(len(depths)), table[:, column], bottom=bottom, width=0.85, color=colour, hatch=hatch, label=name,
                 edgecolor=QUIET, linewidth=0.4)  # fmt: skip
        bottom += table[:, column]
    axes.set_xticks(range(len(depths)), [str(depth) for depth in depths])
    axes.tick_params(axis="x", length=0, labelsize=SMALL - 1)
    axes.set_ylim(0, 1)


def _legend(figure: Any, axes: Axes, columns: int) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, [NAMES.get(label, label) for label in labels], loc="outside upper center", ncols=columns,
        frameon=False, fontsize=SMALL, handlelength=1.4, columnspacing=1.2,
    )  # fmt: skip
