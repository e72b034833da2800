"""Runs or activations side by side: how the size of the signal changes with depth, and how well the networks do."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from repu_lab.figures.style import GAP, decades_axis, end_labels, extent, finite, panels
from repu_lab.networks.quantiles import quantiles, ranked

Floats = NDArray[np.float64]
# Okabe and Ito's colours, which colour-blind readers tell apart; then the same with other dashes.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1.2)))
FLAT = 30.0  # decades; beside one that leaves float32 all curves that stay would lie on each other
STYLES: list[tuple[str, object]] = [(colour, dash) for dash in DASHES for colour in PALETTE]
MOST = len(STYLES)


@dataclass(frozen=True)
class RunCurves:
    """What is drawn of a run of so many layers, the output's included.

    log10 K of the first of them as measured and by theory, NaN or infinite where it is not known; the metric (steps,
    members).
    """

    name: str
    layers: int
    measured: Floats = field(default_factory=lambda: np.empty(0))
    theory: Floats = field(default_factory=lambda: np.empty(0))
    steps: Sequence[int] = ()
    metric: Floats = field(default_factory=lambda: np.empty((0, 0)))


def comparison(curves: Sequence[RunCurves], metric: str = "metric") -> Figure:
    """Draw at most MOST runs: log10 K against depth as a share of it, points measured and lines by theory; the metric.

    Depth is a share, since runs may differ in it: 0 is the first layer, 1 the output. A line of the metric is the
    median of the members; one without a number ranks as the worst. Where no run has a metric, the panel is left out.
    """
    trained = [curve for curve in curves if curve.metric.size]
    signal = ("size of the signal", "layer / last layer (points: measured, lines: theory)", r"$\log_{10} K$")
    metrics = [(metric, "step", metric)] if trained else []
    rows = max(1.0, GAP * len(curves))  # more names at the right than a panel of the usual height has room for
    figure, (left, *others) = panels(7.4 if trained else 4.4, 3.0 * rows, signal, *metrics)
    labels = []
    for curve, (colour, dash) in zip(curves, STYLES, strict=False):
        for values, style in ((curve.theory, {"linestyle": dash, "linewidth": 1.3}), (curve.measured, {"marker": "o"})):
            if values.size:
                style = {"linestyle": "none", "markersize": 2.4, **style}
                left.plot(_shares(values, curve.layers), finite(values), color=colour, **style)
        if ends := _last(curve):
            labels.append((ends[0], ends[1], curve.name, colour))
    if (whole := extent([values for curve in curves for values in (curve.measured, curve.theory)])) is not None:
        decades_axis(left, *whole, linear_up_to=FLAT)
    end_labels(left, labels, gap=GAP / rows)
    for right in others:
        right.set_xscale("symlog", linthresh=1.0, linscale=0.5)
        for curve, (colour, dash) in zip(curves, STYLES, strict=False):
            if curve.metric.size:
                (median,) = quantiles(ranked(curve.metric, -np.inf), (0.5,))
                right.plot(curve.steps, finite(median), color=colour, linestyle=dash, linewidth=1.3)
    return figure


def _shares(values: Floats, layers: int) -> Floats:
    return np.arange(values.size) / max(1, layers - 1)


def _last(curve: RunCurves) -> tuple[float, float] | None:
    """Return where a curve ends, as measured if it was: its share of the depth, and its last finite value."""
    values = curve.measured if np.isfinite(curve.measured).any() else curve.theory
    known = np.flatnonzero(np.isfinite(values))
    return (float(_shares(values, curve.layers)[known[-1]]), float(values[known[-1]])) if known.size else None
