"""Where an outcome turns along one axis: the networks tried, the fitted curve, its interval, theory's boundary."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import ArrayLike
from scipy.special import expit

from repu_lab.figures.style import COLOURS, INK, NORMAL, SMALL, canvas, quiet, tint

ROW = 0.09  # height of the rows of networks above 1 and below 0


def boundary(
    values: ArrayLike, successes: ArrayLike, *, value: float, low: float, high: float, spread: float, rising: bool,
    theory: float | None = None, axis: str = "", heading: str = "",
) -> Figure:  # fmt: skip
    """Draw each network as a stroke, above 1 if it succeeded, below 0 if not, and the share that succeeds.

    values, successes: (N,). The share is logistic in log(axis) with its half at `value`; low to high is the interval.
    """
    values, successes = np.asarray(values, dtype=np.float64), np.asarray(successes, dtype=bool)
    measured, predicted = COLOURS["log10_K"], COLOURS["log10_chi_parallel"]
    figure = canvas(6.0, 2.8)
    axes = figure.subplots()
    quiet(axes, axis, "share that succeeds")
    axes.set_xscale("log")
    axes.axvspan(low, high, color=tint(measured, 0.75), linewidth=0, zorder=0)
    for chosen, bottom in ((successes, 1 + ROW / 3), (~successes, -4 * ROW / 3)):
        axes.vlines(values[chosen], bottom, bottom + ROW, color=INK, linewidth=0.5, alpha=0.6)
    x = np.geomspace(values.min(), values.max(), 2000)
    t = np.log(x / value) / spread
    axes.plot(x, expit(t if rising else -t), color=measured, linewidth=1.4)
    text = f"measured {value:.4g}\n95 %: {low:.4g} to {high:.4g}"
    side = -1 if value > np.sqrt(values.min() * values.max()) else 1
    if theory is not None:
        axes.axvline(theory, color=predicted, linewidth=1.2, linestyle=(0, (4, 1.5)))
        text += f"\ntheory {theory:.4g} (dashed)"
    axes.annotate(
        text, (value, 0.5), xytext=(18 * side, 0), textcoords="offset points", fontsize=SMALL, color=INK, va="center",
        ha="left" if side > 0 else "right",
    )  # fmt: skip
    axes.set_ylim(-2 * ROW, 1 + 2 * ROW)
    axes.set_yticks([0, 0.5, 1])
    axes.xaxis.set_major_locator(LogLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_title(f"{heading}\n{len(values)} networks, one stroke each", loc="left", fontsize=NORMAL, color=INK)
    return figure
