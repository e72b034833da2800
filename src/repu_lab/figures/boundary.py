"""Where an outcome turns along one axis: the networks tried, the fitted curve, its interval, theory's boundary."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, MaxNLocator
from numpy.typing import ArrayLike
from scipy.special import expit

from repu_lab.figures.narrow import WIDTH
from repu_lab.figures.style import COLOURS, INK, NORMAL, note, panels, tint

ROW = 0.09  # height of the rows of networks above 1 and below 0
# What the axes of `boundaries` are called; any other bears the name that is given.
NAMES = {
    "c_w": "variance of the weights times fan-in, $C_W$",
    "c_b": "variance of the biases, $C_b$",
    "k1": "size of the first signal, $K^1$",
    "lr": "learning rate",
}
SPREADS = 6.0  # of the fitted curve shown on either side of its half: there it has turned


def boundary(
    values: ArrayLike,
    successes: ArrayLike,
    *,
    value: float,
    low: float,
    high: float,
    spread: float,
    rising: bool,
    theory: float | None = None,
    axis: str = "",
    heading: str = "",
    succeed: str = "succeed",
) -> Figure:
    """Draw each network near the boundary as a stroke, above 1 if it succeeded, below 0 if not, and the fitted share.

    values, successes: (N,). The share is logistic in log(axis) with its half at `value`; low to high is the interval.
    Networks beyond the picture are counted in words. succeed: what the networks do that succeed, such as `learn`.
    """
    values, successes = np.asarray(values, dtype=np.float64), np.asarray(successes, dtype=bool)
    measured, predicted = COLOURS["log10_K"], COLOURS["log10_chi_parallel"]
    figure, (axes,) = panels(WIDTH, 3.2, ("", NAMES.get(axis, axis), f"share of networks that {succeed}"))
    axes.set_xscale("log")
    axes.axvspan(low, high, color=tint(measured, 0.75), linewidth=0, zorder=0)
    marked = [low, high, *([] if theory is None else [theory])]
    left = min(value * np.exp(-SPREADS * spread), *marked) * np.exp(-spread)
    right = max(value * np.exp(SPREADS * spread), *marked) * np.exp(spread)
    axes.set_xlim(left, right)
    shown = (values >= left) & (values <= right)
    for chosen, bottom in ((successes, 1 + ROW / 3), (~successes, -4 * ROW / 3)):
        axes.vlines(values[chosen & shown], bottom, bottom + ROW, color=INK, linewidth=0.5, alpha=0.6)
    x = np.geomspace(left, right, 2000)
    t = np.log(x / value) / spread
    axes.plot(x, expit(t if rising else -t), color=measured, linewidth=1.4)
    text = f"measured {value:.4g}\n95 %: {low:.4g} to {high:.4g}"
    if theory is not None:
        axes.axvline(theory, color=predicted, linewidth=1.2, linestyle=(0, (4, 1.5)))
        text += f"\ntheory {theory:.4g} (dashed)"
    at, side = ((0.98, 0.1), "right") if rising else ((0.02, 0.1), "left")
    box = {"facecolor": "white", "linewidth": 0, "alpha": 0.8, "pad": 1.0}
    note(axes, text, at, (0, 0), xycoords="axes fraction", color=INK, va="bottom", ha=side, bbox=box)
    axes.set_ylim(-2 * ROW, 1 + 2 * ROW)
    axes.set_yticks([0, 0.5, 1])
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.minorticks_off()
    lines = [heading, f"{len(values)} networks, one stroke each"]
    lines += [
        f"beyond, {side}: {int(successes[out].sum())} of {int(out.sum())} {succeed}"
        for side, out in (("on the left", values < left), ("on the right", values > right))
        if out.any()
    ]
    axes.set_title("\n".join(lines), loc="left", fontsize=NORMAL, color=INK)
    return figure
