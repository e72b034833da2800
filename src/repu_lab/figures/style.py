"""What all figures share: a colour per quantity, quiet axes, direct labels, the limits of the number formats."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from string import ascii_lowercase
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import FormatStrFormatter, LogLocator, MaxNLocator
from numpy.typing import ArrayLike, NDArray

from repu_lab.networks.quantities import over_depth

BESIDE = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}  # a legend right of its axes
INK, QUIET, FAINT = "#222222", "#777777", "#d9d9d9"
COLOURS = {quantity.name: quantity.colour for quantity in over_depth()}
LABELS = {quantity.name: quantity.label for quantity in over_depth()}
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")
SMALL, NORMAL = 7.5, 8.5  # points
GAP = 0.085  # between names at the ends of curves, as a share of the height of a panel of usual size
LINEAR_UP_TO = 400.0  # decades: log10 K beyond this is drawn on a symmetric logarithmic axis

# log10 of the largest number and of the smallest subnormal one
RANGES = {
    "float16": (math.log10(65504), -24 * math.log10(2)),
    "bfloat16": (math.log10(2) * 127 + math.log10(2 - 2**-7), -133 * math.log10(2)),
    "float32": (math.log10(float(np.finfo(np.float32).max)), -149 * math.log10(2)),
    "float64": (math.log10(float(np.finfo(np.float64).max)), -1074 * math.log10(2)),
}


def canvas(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches, outside pyplot's register."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def quiet(axes: Axes, xlabel: str = "", ylabel: str = "") -> None:
    """Leave an axes its left and bottom line, small ticks and a label each."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(QUIET)
    axes.tick_params(which="both", labelsize=SMALL, color=QUIET, labelcolor=INK, length=3, width=0.6)
    axes.set_xlabel(xlabel, fontsize=NORMAL, color=INK)
    axes.set_ylabel(ylabel, fontsize=NORMAL, color=INK)


def panels(
    width: float, height: float, *labels: tuple[str, str, str], rows: int = 1, **grid: Any
) -> tuple[Figure, list[Axes]]:
    """Return a figure of a size in inches and its quiet axes, (title, xlabel, ylabel) each; several have letters.

    grid: what else `subplots` takes.
    """
    figure = canvas(width, height)
    every = list(figure.subplots(rows, math.ceil(len(labels) / rows), squeeze=False, **grid).ravel())
    for axes in every[len(labels) :]:
        axes.set_axis_off()
    shown = every[: len(labels)]
    for letter, axes, (heading, xlabel, ylabel) in zip(ascii_lowercase, shown, labels, strict=False):
        quiet(axes, xlabel, ylabel)
        if heading:
            title(axes, f"{letter}  {heading}" if len(labels) > 1 else heading)
    return figure, shown


def layer_axis(axes: Axes, layers: int) -> None:
    """Let the horizontal axis count layers, 1..layers."""
    axes.set_xlim(0.5, layers + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))


def title(axes: Axes, text: str) -> None:
    """Write a panel's title above its left corner."""
    axes.set_title(text, loc="left", fontsize=NORMAL, color=INK, fontweight="bold")


def note(axes: Axes, text: str, at: tuple[float, float], offset: tuple[float, float], **look: Any) -> None:
    """Write a text beside a point, the offset in points of print."""
    style = {"fontsize": SMALL, "color": QUIET} | look
    axes.annotate(text, at, xytext=offset, textcoords="offset points", **style)


def legend(where: Axes | Figure | SubFigure, *entries: Any, **place: Any) -> None:
    """Say what is what, in small print and without a frame; entries: handles and labels, else those of the curves."""
    where.legend(*entries, **({"frameon": False, "fontsize": SMALL} | place))


def entry(label: str, **look: Any) -> Line2D:
    """Return a line or, with a marker and without a linestyle, a point of a legend."""
    style: dict[str, Any] = {"linestyle": "none"} if "marker" in look else {}
    return Line2D([], [], label=label, **(style | look))


def tint(colour: str, share: float) -> tuple[float, float, float]:
    """Return a colour mixed with a share of white."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red + (1 - red) * share, green + (1 - green) * share, blue + (1 - blue) * share


def finite(values: ArrayLike) -> NDArray[np.float64]:
    """Return values with NaN for what is infinite, so that it leaves a gap."""
    array = np.array(values, np.float64)
    array[~np.isfinite(array)] = np.nan
    return array


def extent(arrays: Iterable[ArrayLike]) -> tuple[float, float] | None:
    """Return the smallest and the largest finite number of all arrays, None if there is none."""
    numbers = [array[np.isfinite(array)] for array in (np.asarray(a, np.float64).ravel() for a in arrays)]
    joined = np.concatenate([np.empty(0), *numbers])
    return (float(joined.min()), float(joined.max())) if joined.size else None


def set_extent(axes: Axes, low: float, high: float, smallest: float, margin: float = 0.08) -> None:
    """Show low..high with a margin, and at least `smallest` units, so that noise is not blown up to a landscape."""
    missing = max(0.0, smallest - (high - low)) / 2
    low, high = low - missing, high + missing
    room = margin * (high - low)
    axes.set_ylim(low - room, high + room)


def decades_axis(
    axes: Axes, low: float, high: float, smallest: float = 2.0, linear_up_to: float = LINEAR_UP_TO
) -> None:
    """Scale a vertical axis of log10 values: linear, or symmetric logarithmic where they exceed so many decades."""
    if max(-low, high) <= linear_up_to:
        set_extent(axes, low, high, smallest)
        return
    axes.set_yscale("symlog", linthresh=1.0, linscale=0.6)
    axes.set_ylim(min(4 * low, -1.0 if low < 0 else 0.0), max(4 * high, 1.0 if high > 0 else 0.0))
    axes.set_ylabel(f"{axes.get_ylabel()}, log scale")
    bounds = axes.get_ylim()
    decades = sum(math.log10(max(abs(bound), 1.0)) for bound in bounds)
    each = max(1, math.ceil(decades / 7))
    powers = range(each, 300, each)
    ticks = [0.0, *(10.0**k for k in powers), *(-(10.0**k) for k in powers)]
    axes.set_yticks([tick for tick in ticks if bounds[0] <= tick <= bounds[1]])
    axes.minorticks_off()


def ratio_axis(axes: Axes, low: float, high: float) -> None:
    """Scale a vertical axis of positive numbers logarithmically, with round numbers at its ticks, around 1 at least."""
    low, high = min(low, 1.0), max(high, 1.0)
    widen = 1.15 * max(1.0, 4.0 / (high / low)) ** 0.5
    low, high = low / widen, high * widen
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.minorticks_off()
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    if last - first <= 4:
        ticks = [m * 10.0**k for k in range(first, last + 1) for m in (1, 2, 5)]
        axes.set_yticks([tick for tick in ticks if low <= tick <= high])
        axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    else:
        axes.yaxis.set_major_locator(LogLocator(numticks=7))


def dtype_limits(axes: Axes, dtypes: Sequence[str], curve: NDArray[np.float64], low: float, high: float) -> None:
    """Draw where |z| (log10 K at twice its logarithm) leaves the formats, for those that low..high comes near.

    A name stands clear of the curve, (layers,): at the right on the side of zero where the curve has crossed early, at
    the left on the other side where it has not. Lines too close to name apart share one name.
    """
    bottom, top = axes.get_ylim()
    to_axes = axes.transData + axes.transAxes.inverted()
    for side, word, near in ((0, "overflows", high), (1, "underflows", -low)):
        groups: list[tuple[float, list[str]]] = []
        limits = sorted((abs(2 * RANGES[dtype][side]), 2 * RANGES[dtype][side], dtype) for dtype in dtypes)
        for size, value, dtype in limits:
            if near < 0.6 * size or not bottom <= value <= top:
                continue
            axes.axhline(value, color=QUIET, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
            height = float(to_axes.transform((1.0, value))[1])
            if groups and abs(to_axes.transform((1.0, groups[-1][0]))[1] - height) < 0.055:
                groups[-1][1].append(dtype)
            else:
                groups.append((value, [dtype]))
        for value, names in groups:
            beyond = np.flatnonzero(curve * np.sign(value) >= abs(value))
            early = beyond.size > 0 and beyond[0] < 0.45 * curve.size
            below = (value > 0) == early
            place = {"ha": "right" if early else "left", "va": "top" if below else "bottom"}
            at, offset = (0.985 if early else 0.015, value), (0, -2 if below else 2)
            note(axes, f"|z| {word} {', '.join(names)}", at, offset, xycoords=("axes fraction", "data"), **place)


def end_labels(
    axes: Axes, labels: Sequence[tuple[float, float, str, Any]], gap: float = GAP, size: float = NORMAL
) -> None:
    """Name curves at their right ends (x, y, text, colour), pushed apart by a share of the axes' height, within it."""
    transform = axes.transData + axes.transAxes.inverted()
    places = [[*transform.transform((x, y)), text, colour] for x, y, text, colour in labels]
    places.sort(key=lambda place: place[1])
    for _ in range(100):
        for below, above in pairwise(places):
            overlap = gap - (above[1] - below[1])
            if overlap > 0:
                below[1], above[1] = below[1] - overlap / 2, above[1] + overlap / 2
        for i, place in enumerate(places):  # what lies above and below keeps its room
            lowest, highest = gap / 2 + i * gap, 1 - gap / 2 - (len(places) - 1 - i) * gap
            place[1] = min(max(place[1], lowest), max(lowest, highest))
    for x, y, text, colour in places:
        look = {"va": "center", "fontsize": size, "color": colour, "annotation_clip": False}
        note(axes, text, (x, y), (5, 0), xycoords="axes fraction", **look)
