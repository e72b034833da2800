"""What theory says before anything is trained: susceptibilities, K by layer, fate over the plane of initializations."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt

from repu_lab.figures.style import (
    COLOURS,
    FAINT,
    INK,
    LABELS,
    NORMAL,
    QUIET,
    RANGES,
    SMALL,
    canvas,
    decades_axis,
    dtype_limits,
    end_labels,
    extent,
    finite,
    layer_axis,
    note,
    panels,
    quiet,
    ratio_axis,
    title,
)

MarkedPoint = Mapping[str, Any]
PHASE_FILLS = {"explodes": "#F6D2BC", "survives": "#BFE3D2", "vanishes": "#C9DDEE", "collapses": "#F3E6A8"}
# A susceptibility below this is as good as none (sin's chi_parallel falls to 1e-300): the curve leaves the panel there.
LOWEST_CHI = 1e-9
OTHER_FATES = ("#DDCFE6", "#E3E3E3", "#CFE8E8", "#EBD3D3")


def susceptibilities(
    K: ArrayLike,
    chi_parallel: ArrayLike,
    chi_perp: ArrayLike,
    critical_points: Sequence[MarkedPoint] = (),
    *,
    heading: str = "",
) -> Figure:
    """Draw chi_parallel and chi_perp against K, and below them their ratio, which no initialization changes.

    K, chi_parallel, chi_perp: (points,), positive. critical_points: {K, C_W, C_b, universality_class}; one with K > 0
    is marked where the ratio crosses 1, others (K = 0, or None: any K) are named in the lower panel.
    """
    k, parallel, perp = finite(K), finite(chi_parallel), finite(chi_perp)
    figure = canvas(3.5, 4.2)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    quiet(upper, "", r"$\chi$")
    quiet(lower, "$K$", r"$\chi_\parallel\,/\,\chi_\perp$")
    title(upper, heading)
    for axes in (upper, lower):
        axes.set_xscale("log")
        axes.axhline(1.0, color=QUIET, linewidth=0.8, zorder=1)
        axes.minorticks_off()
    upper.set_xlim(k[0], k[-1])
    ratio_axis(upper, *(extent([np.where(chi > LOWEST_CHI, chi, 1.0) for chi in (parallel, perp)]) or (1.0, 1.0)))
    upper.plot(k, parallel, color=COLOURS["log10_chi_parallel"], linewidth=1.6)
    upper.plot(k, perp, color=COLOURS["log10_chi_perp"], linewidth=1.6, linestyle=(0, (4, 1.5)))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = finite(parallel / perp)
    lower.plot(k, ratio, color=INK, linewidth=1.4)
    span = extent([ratio, [1.0]]) or (0.5, 2.0)
    room = max(0.12 * (span[1] - span[0]), 0.05)
    lower.set_ylim(span[0] - room, span[1] + room)
    figure.draw_without_rendering()  # the labels' places depend on the axes' scales
    ends = [(parallel, "log10_chi_parallel"), (perp, "log10_chi_perp")]
    bottom = upper.get_ylim()[0]
    end_labels(
        upper,
        [
            (k[-1], max(bottom, float(chi[np.isfinite(chi)][-1])), LABELS[name], COLOURS[name])
            for chi, name in ends
            if np.isfinite(chi).any()
        ],
    )
    _mark_critical(upper, lower, critical_points)
    return figure


def kernel_by_layer(log10_K: ArrayLike, quantiles: ArrayLike | None = None, *, heading: str = "") -> Figure:
    """Draw log10 K, (layers,), with the 5..95 % quantiles, (5, layers), of finite networks, and where formats end.

    A format's limit, where |z| leaves it, is drawn if the curve comes near. log10 K beyond 400 makes the axis
    logarithmic.
    """
    line = finite(log10_K)
    layer = np.arange(1, line.size + 1)
    figure, (axes,) = panels(3.5, 2.7, (heading, "layer $l$", LABELS["log10_K"]))
    layer_axis(axes, line.size)
    rows = None if quantiles is None else finite(quantiles)
    span = extent([line, () if rows is None else rows]) or (-1.0, 1.0)
    decades_axis(axes, *span)
    if rows is not None:
        for low, high, colour in ((0, -1, "#DCE9F3"), (1, -2, "#B5D2E8")):
            axes.fill_between(layer, rows[low], rows[high], color=colour, linewidth=0)
    axes.plot(layer, line, color=COLOURS["log10_K"], linewidth=1.5, marker="o" if line.size <= 25 else "", markersize=3)
    dtype_limits(axes, tuple(RANGES), line, *span)
    return figure


def phase_diagram(
    C_b: ArrayLike,
    C_W: ArrayLike,
    fate: ArrayLike,
    names: Sequence[str],
    critical_points: Sequence[MarkedPoint] = (),
    *,
    initialization: tuple[float, float] | None = None,
    heading: str = "",
) -> Figure:
    """Draw what happens over the plane of initializations, each region named inside.

    C_b: (columns,), C_W: (rows,), ascending; fate: (rows, columns), index into names; critical_points: {C_b, C_W, ...},
    a star each; initialization: (C_b, C_W) of the run at hand, a cross, or one star for both where they coincide.
    """
    b, w, code = finite(C_b), finite(C_W), np.asarray(fate, int)
    if code.shape != (w.size, b.size) or code.min() < 0 or code.max() >= len(names):
        raise ValueError(f"fate {code.shape} needs shape {(w.size, b.size)} and entries below {len(names)}")
    figure, (axes,) = panels(3.5, 3.2, (heading, "bias variance $C_b$", "weight variance $C_W$"))
    stars = [(float(point["C_b"]), float(point["C_W"])) for point in critical_points]
    taken = np.zeros(code.shape, bool)
    for x, y in [*stars, *([initialization] if initialization else [])]:  # room for the point and its name
        taken |= (np.abs(w - y) < 0.05 * np.ptp(w))[:, None] & (np.abs(b - x) < 0.25 * np.ptp(b))[None, :]
    others = iter(OTHER_FATES * len(names))
    colours = [PHASE_FILLS[name] if name in PHASE_FILLS else next(others) for name in names]
    axes.pcolormesh(
        b, w, code, cmap=ListedColormap(colours), vmin=-0.5, vmax=len(names) - 0.5, shading="nearest", rasterized=True
    )
    for i, name in enumerate(names):
        region = code == i
        if region.any() and not region.all():
            axes.contour(b, w, region.astype(float), levels=[0.5], colors=[QUIET], linewidths=0.7)
        _name_region(axes, b, w, region, name, taken)
    axes.set_xlim(b[0], b[-1])
    axes.set_ylim(w[0], w[-1])
    # Names closer than their height would hide each other.
    both = [s for s in stars if initialization is not None and _near(s, initialization, np.ptp(b), np.ptp(w))]
    for star in stars:
        there = "critical, this run" if star == initialization else "this run, next to critical"
        _label_point(axes, *star, "*", 11, there if star in both else "critical")
    if initialization is not None and not both:
        _label_point(axes, *initialization, "X", 6, "this run")
    return figure


def _mark_critical(upper: Axes, lower: Axes, points: Sequence[MarkedPoint]) -> None:
    notes = []
    for point in points:
        k, kind = point["K"], point.get("universality_class", "")
        if not k:
            notes.append(f"critical {'at every K' if k is None else 'at K = 0'}: {kind}, $C_W$ = {point['C_W']:.4g}")
            continue
        for axes in (upper, lower):
            axes.axvline(k, color=QUIET, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
        lower.plot([k], [1.0], marker="o", color=INK, markersize=4.5, markerfacecolor="white", zorder=5)
        beside = {"xycoords": ("data", "axes fraction"), "rotation": 90, "ha": "left", "va": "bottom", "color": INK}
        note(upper, f"$K_*$ = {k:.4g}", (k, 0.0), (3, 3), **beside)
        notes.append(f"{kind}: $C_b$ = {point['C_b']:.4g}, $C_W$ = {point['C_W']:.4g}")
    lower.set_title("\n".join(notes) or "no critical point", loc="left", fontsize=SMALL, color=INK)


def _name_region(
    axes: Axes, b: NDArray[Any], w: NDArray[Any], region: NDArray[np.bool_], name: str, taken: NDArray[np.bool_]
) -> None:
    """Write a region's name farthest from its border and from what is taken; regions under 2 % stay bare."""
    if region.mean() < 0.02:
        return
    free = np.pad(region & ~taken, 1)
    distance = np.asarray(distance_transform_edt(free, sampling=(1 / w.size, 0.4 / b.size)))[1:-1, 1:-1]
    rows, columns = np.nonzero(distance >= 0.95 * distance.max())
    middle = np.argsort(columns, kind="stable")[columns.size // 2]
    axes.annotate(name, (b[columns[middle]], w[rows[middle]]), ha="center", va="center", fontsize=NORMAL, color=INK)


def _near(point: tuple[float, float], other: tuple[float, float], width: float, height: float) -> bool:
    """Say whether two points of the plane look like one."""
    return abs(point[0] - other[0]) < 0.01 * width and abs(point[1] - other[1]) < 0.01 * height


def _label_point(axes: Axes, x: float, y: float, marker: str, size: float, name: str) -> None:
    look = {"color": INK, "markeredgecolor": "white", "markeredgewidth": 0.8}
    axes.plot([x], [y], marker=marker, markersize=size, linestyle="none", clip_on=False, zorder=5, **look)
    left, right = axes.get_xlim()
    offset, side = ((-7, 0), "right") if x > left + 0.75 * (right - left) else ((7, 0), "left")
    box = {"facecolor": "white", "edgecolor": FAINT, "pad": 1.0, "alpha": 0.8, "linewidth": 0.4}
    note(axes, name, (x, y), offset, va="center", ha=side, color=INK, bbox=box)
