"""How the loss and the metric of a population change while it trains."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from repu_lab.figures.style import INK, QUIET, SMALL, decades_axis, end_labels, extent, finite, panels
from repu_lab.networks.quantiles import quantiles, ranked

Floats = NDArray[np.float64]
TRAIN, TEST = "#0072B2", "#D55E00"


def losses(
    steps: Sequence[int], train_loss: ArrayLike, test_loss: ArrayLike, metric: ArrayLike, metric_name: str = "metric"
) -> Figure:
    """Draw losses and metric, each (steps, members), against the step: median and 5 to 95 % of the members.

    A member without a number ranks as the worst; a quantile that falls on one leaves a gap. The axis of the steps is
    linear up to 1 and logarithmic from there.
    """
    labels = ("loss", "step", r"$\log_{10}$ loss"), (metric_name, "step", metric_name)
    figure, (left, right) = panels(7.0, 2.6, *labels)
    train, test, reached = (np.asarray(values, np.float64) for values in (train_loss, test_loss, metric))
    with np.errstate(divide="ignore"):
        logs = [np.log10(_quantiles(values, np.inf)) for values in (train, test)]
    whole = extent(logs)
    labels = []
    for axes in (left, right):
        axes.set_xscale("symlog", linthresh=1.0, linscale=0.5)
        axes.set_xlim(0, max(1, *steps))
    if whole is not None:
        decades_axis(left, *whole, smallest=1.0)
    for rows, name, colour, style in zip(logs, ("train", "test"), (TRAIN, TEST), ("-", (0, (4, 1.5))), strict=True):
        labels += _draw(left, steps, rows, colour, style, name)
    end_labels(left, labels)
    shown = _quantiles(reached, -np.inf)
    end_labels(right, _draw(right, steps, shown, INK, "-", ""))
    seen = extent([shown])
    if seen is not None and seen[1] <= 1:  # accuracy, or R^2, whose bad values have no bound
        right.set_ylim(min(0.0, max(seen[0], -1.0)) - 0.02, 1.02)
    if train.shape[1] > 1:
        left.set_title(f"band: 5 to 95 % of {train.shape[1]}", loc="right", fontsize=SMALL, color=QUIET)
    return figure


def _quantiles(values: Floats, worst: float) -> Floats:
    return quantiles(ranked(values, worst), (0.05, 0.5, 0.95))


def _draw(
    axes: Axes, steps: Sequence[int], rows: Floats, colour: str, style: object, name: str
) -> list[tuple[float, float, str, str]]:
    """Draw median and band and return the label at its end."""
    low, median, high = (finite(row) for row in rows)
    axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(steps, median, color=colour, linewidth=1.2, linestyle=style, marker="o", markersize=2.2)  # type: ignore[arg-type]
    known = np.flatnonzero(np.isfinite(median))
    return [(steps[known[-1]], float(median[known[-1]]), name, colour)] if known.size and name else []
