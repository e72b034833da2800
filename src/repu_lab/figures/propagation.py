"""How a signal and its gradient travel through the layers: measured beside theory, on four panels."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import ArrayLike, NDArray

from repu_lab.figures.style import (
    INK,
    MARKERS,
    NORMAL,
    QUIET,
    RANGES,
    SMALL,
    canvas,
    decades_axis,
    dtype_limits,
    entry,
    extent,
    finite,
    layer_axis,
    legend,
    note,
    quiet,
    set_extent,
    tint,
    title,
)
from repu_lab.networks.quantities import Panel, Quantity, over_depth

Curves = Mapping[str, ArrayLike]
Floats = NDArray[np.float64]
BANDS = 3  # above this many steps, only the first and the last have their band drawn
DASHED = (0, (4, 1.5))


def signal_propagation(
    measured: Mapping[int, Curves], theory: Curves | None = None, *, dtype: str = "float32", heading: str = ""
) -> Figure:
    """Draw the quantities that have a panel against the layer: K, chi_parallel and chi_perp, the gradient, pairs.

    measured: training step -> quantity -> (3, layers) of 5, 50, 95 % quantiles; `nonfinite`, (layers,), counts the
    entries that are no number, and the first such layer is marked. Layers: L+1, or L of what the output layer does not
    have; a missing quantity leaves a gap.
    theory: quantity -> (layers,), and log10_K_quantiles (5, layers) of 5, 25, 50, 75, 95 %.
    dtype: the number format whose overflow and underflow are drawn. log10 K beyond 400 turns the axis logarithmic.
    """
    theory = theory or {}
    layers = _depth(measured, theory)
    panels: dict[Panel, list[Quantity]] = {}
    for quantity in over_depth():
        if quantity.panel is not None:
            panels.setdefault(quantity.panel, []).append(quantity)
    rows = (len(panels) + 1) // 2
    figure = canvas(7.0, 2.65 * rows)
    grid = figure.subplots(rows, 2, sharex=True).ravel()
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    bad = _first_bad(measured)
    for i, (axes, (panel, quantities)) in enumerate(zip(grid, panels.items(), strict=False)):
        quiet(axes, "layer $l$" if i >= len(panels) - 2 else "", panel.label)
        title(axes, f"{'abcdefghij'[i]}  {panel.title}")
        layer_axis(axes, layers)
        _scale(axes, panel, quantities, measured, theory, dtype)
        for quantity in quantities:
            _draw(axes, quantity, measured, theory)
        if bad is not None:
            axes.axvspan(bad[0] - 0.5, layers + 0.5, facecolor="#f0f0f0", linewidth=0, zorder=0)
            axes.axvline(bad[0] - 0.5, color=INK, linewidth=0.8, zorder=1)
        if len(quantities) > 1:
            _name_curves(axes, quantities)
    if bad is not None:
        when = f"\nat step {bad[1]}" if bad[1] else ""
        grid[0].set_title(f"NaN or inf from layer {bad[0]}{when}", loc="right", fontsize=SMALL, color=INK)
    _legend(figure, sorted(measured), theory, heading)
    return figure


def _depth(measured: Mapping[int, Curves], theory: Curves) -> int:
    shapes = [np.shape(values)[-1] for profile in (*measured.values(), theory) for values in profile.values()]
    if not shapes:
        raise ValueError("nothing to draw: neither a measured nor a theoretical profile")
    return max(shapes)


def _first_bad(measured: Mapping[int, Curves]) -> tuple[int, int] | None:
    """Return the first layer with an entry that is no number, over all steps, and the first step where it is so."""
    places = []
    for step, profile in sorted(measured.items()):
        count = np.asarray(profile.get("nonfinite", ()))
        if count.any():
            places.append((int(np.flatnonzero(count)[0]) + 1, step))
    return min(places, default=None)


def _values(quantity: str, measured: Mapping[int, Curves], theory: Curves) -> tuple[list[ArrayLike], list[ArrayLike]]:
    names = [quantity, f"{quantity}_quantiles"]
    return [p[quantity] for p in measured.values() if quantity in p], [theory[name] for name in names if name in theory]


def _scale(
    axes: Axes, panel: Panel, quantities: Sequence[Quantity], measured: Mapping[int, Curves], theory: Curves, dtype: str
) -> None:
    """Choose the vertical range; theory may leave it where the dtype's range ends before theory does."""
    pairs = [_values(quantity.name, measured, theory) for quantity in quantities]
    seen, forecast = extent(a for pair in pairs for a in pair[0]), extent(a for pair in pairs for a in pair[1])
    medians = extent(np.asarray(a)[1] for pair in pairs for a in pair[0])
    if seen is not None and medians is not None:  # a few members far away may leave the picture, as their band does
        room = max(panel.room, medians[1] - medians[0])
        seen = (max(seen[0], medians[0] - room), min(seen[1], medians[1] + room))
    whole = extent([seen or (), forecast or ()])
    if whole is None:
        axes.set_yticks([])
        note(axes, "no finite value", (0.5, 0.5), (0, 0), xycoords="axes fraction", ha="center", va="center")
        return
    if panel.share:
        set_extent(axes, min(0.0, whole[0]), 1.0, smallest=1.0, margin=0.04)
        return
    if panel.limited:
        name = quantities[0].name
        highest, lowest = 2 * RANGES[dtype][0], 2 * RANGES[dtype][1]  # where |z| itself, not z^2, leaves the range
        if seen is not None and lowest <= seen[0] and seen[1] <= highest:
            whole = (max(whole[0], 1.1 * lowest), min(whole[1], 1.1 * highest))
        decades_axis(axes, *whole)
        medians = [finite(p[name])[1] for p in measured.values() if name in p]
        dtype_limits(axes, [dtype], finite(theory[name]) if name in theory else medians[0], *whole)
    else:
        if panel.critical:
            whole = (min(whole[0], 0.0), max(whole[1], 0.0))
        decades_axis(axes, *whole, smallest=panel.smallest)
    if panel.critical:
        axes.axhline(0.0, color=QUIET, linewidth=0.8, zorder=1)
        axes.set_title("0 is critical", loc="right", fontsize=SMALL, color=QUIET)


def _draw(axes: Axes, quantity: Quantity, measured: Mapping[int, Curves], theory: Curves) -> None:
    name, colour = quantity.name, quantity.colour
    if f"{name}_quantiles" in theory:
        rows = finite(theory[f"{name}_quantiles"])
        for row in (rows[0], rows[-1]):
            axes.plot(np.arange(1, row.size + 1), row, color=INK, linewidth=0.7, linestyle=(0, (2, 1.5)), zorder=4)
    steps = sorted(measured)
    for i, step in enumerate(steps):
        if name not in measured[step]:
            continue
        low, median, high = np.asarray(measured[step][name], np.float64)
        median = finite(median)
        layer = np.arange(1, median.size + 1)
        shade = tint(colour, 0.6 * i / max(1, len(steps) - 1))
        if len(steps) <= BANDS or step in (steps[0], steps[-1]):
            axes.fill_between(layer, *_band(axes, low, high), color=shade, alpha=0.2, linewidth=0, zorder=2)
        every = -(-median.size // 25)  # a marker per layer up to 25 layers, then thinned, each step at its own layers
        places = (i * every // len(steps), every)
        point = {"marker": MARKERS[i % len(MARKERS)], "markersize": 4 if every == 1 else 3, "markeredgewidth": 0.8}
        look = {"color": shade, "markerfacecolor": "white" if quantity.dashed else shade, "linewidth": 0.6}
        axes.plot(layer, median, markevery=places, zorder=3, **point, **look)
    if name in theory:
        line = finite(theory[name])
        style = DASHED if quantity.dashed else "-"
        axes.plot(np.arange(1, line.size + 1), line, color=INK, linewidth=1.1, linestyle=style, zorder=4)


def _band(axes: Axes, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Return a band's bounds with an infinite one at the picture's edge; a gap where both are infinite."""
    bottom, top = axes.get_ylim()
    known = np.isfinite(low) | np.isfinite(high)
    low, high = np.where(low == -np.inf, bottom, low), np.where(high == np.inf, top, high)
    return np.where(known, finite(low), np.nan), np.where(known, finite(high), np.nan)


def _name_curves(axes: Axes, quantities: Sequence[Quantity]) -> None:
    """Name each curve within the panel, where there is most room."""
    dot = {"linestyle": "-", "linewidth": 0.6, "marker": MARKERS[0], "markersize": 4}
    handles = [
        entry(q.label, color=q.colour, markerfacecolor="white" if q.dashed else q.colour, **dot) for q in quantities
    ]
    axes.legend(handles=handles, loc="best", frameon=False, fontsize=NORMAL, handlelength=1.4, borderaxespad=0.3)


def _legend(figure: Figure, steps: Sequence[int], theory: Curves, heading: str) -> None:
    handles: list[Line2D | Patch] = []
    for i, step in enumerate(steps):
        shade = tint("#444444", 0.6 * i / max(1, len(steps) - 1))
        name = f"measured, step {step}" if i == 0 else f"step {step}"
        handles.append(entry(name, marker=MARKERS[i % len(MARKERS)], markersize=4, color=shade))
    if steps:
        which = "" if len(steps) <= BANDS else ", first and last"
        handles.append(Patch(facecolor="#999999", alpha=0.35, linewidth=0, label=f"5-95 % of members, inputs{which}"))
    if theory:
        handles.append(entry("theory", color=INK, linewidth=1.1))
    if "log10_K_quantiles" in theory:
        handles.append(entry("5 and 95 % of finite networks", color=INK, linewidth=0.7, linestyle=(0, (2, 1.5))))
    head = {"title": heading or None, "title_fontproperties": {"size": NORMAL, "weight": "bold"}, "alignment": "left"}
    space = {"handletextpad": 0.5, "columnspacing": 1.4, "borderaxespad": 0.0}
    legend(figure, handles=handles, loc="outside upper left", ncols=min(len(handles), 4), **head, **space)
