"""What the signal claims show: kernels, fates, susceptibilities. Sized for one or two columns of a paper."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import ArrayLike, NDArray

from repu_lab.figures.style import INK, NORMAL, QUIET, SMALL, canvas, finite, layer_axis, quiet, title

COLUMN, PAGE = 3.4, 7.0  # inches
SERIES = ("#0072B2", "#D55E00", "#009E73", "#8F4B86")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))


def double_exponential(curves: Mapping[str, Mapping[str, Any]], relu: ArrayLike, *, start: float) -> Figure:
    """Draw |ln(K^l/K_*)|, median over networks, on a logarithmic axis.

    curves: name -> p, plain (layers, networks), logs (layers, networks), both |ln(K^l/K_*)|; the names of one p follow
    each other. relu: (layers, networks), |ln(K^l/K^1)| from layer 2 on. Lines: start p^(l-1).
    """
    figure = canvas(COLUMN, 3.0)
    axes = figure.subplots()
    quiet(axes, "layer $l$", r"$|\ln (K^l / K_*)|$")
    powers = sorted({curve["p"] for curve in curves.values()})
    layers = max(len(curve["logs"]) for curve in curves.values())
    layer_axis(axes, layers)
    axes.set_yscale("log")
    seen: dict[float, int] = {}
    for curve in curves.values():
        p = curve["p"]
        colour, marker = SERIES[powers.index(p)], "^v"[seen.setdefault(p, 0)]
        seen[p] += 1
        layer = np.arange(1, layers + 1)
        logs, plain = _median(curve["logs"]), _median(curve["plain"])
        axes.plot(
            layer, logs, marker, markersize=3.5, markerfacecolor="white", color=colour, markeredgewidth=0.7,
            markevery=2, zorder=3,
        )  # fmt: skip
        axes.plot(layer, plain, marker, markersize=3.5, color=colour, markeredgewidth=0.7, zorder=4)
        axes.plot(layer, start * p ** (layer - 1.0), color=colour, linewidth=0.9, zorder=2)
    for p in powers:
        upper = p == powers[-1]  # its name stands above its line, the others' below
        axes.annotate(
            f"RePU, $p$ = {p:g}", (0.55 * layers, start * p ** (0.55 * layers)), xytext=(-7, 5) if upper else (7, -5),
            textcoords="offset points", ha="right" if upper else "left", va="bottom" if upper else "top",
            fontsize=SMALL, color=SERIES[powers.index(p)],
        )  # fmt: skip
    bend = _median(relu)
    axes.plot(np.arange(2, len(bend) + 2), bend, color=QUIET, linewidth=1.4)
    axes.annotate(
        "ReLU", (len(bend), bend[-1]), xytext=(-2, 4), textcoords="offset points", ha="right", fontsize=SMALL,
        color=QUIET,
    )  # fmt: skip
    handles = [
        Line2D([], [], linestyle="none", marker="^", color=INK, markersize=3.5, label="explodes"),
        Line2D([], [], linestyle="none", marker="v", color=INK, markersize=3.5, label="vanishes"),
        Line2D([], [], linestyle="none", marker="^", color=INK, markerfacecolor="white", markersize=3.5,
               label="in the logarithm"),
        Line2D([], [], color=INK, linewidth=0.9, label="theory"),
    ]  # fmt: skip
    axes.legend(handles=handles, frameon=False, fontsize=SMALL, loc="upper left", handletextpad=0.4)
    return figure


def _median(values: ArrayLike) -> NDArray[np.float64]:
    """Median over networks where at least half of them have a number, else a gap."""
    rows = finite(values)
    known = np.isfinite(rows).mean(1) >= 0.5
    median = np.full(len(rows), np.nan)
    median[known] = np.nanmedian(rows[known], axis=1)
    return median


# From the fate a network dies of downwards to the one it overflows of: light to dark, told apart without colour.
FATE_COLOURS = {"vanishes": "#FFFFFF", "ordered": "#BBD4EA", "chaotic": "#D98245", "explodes": "#6B2F14"}


def fate_maps(C_b: ArrayLike, C_W: ArrayLike, maps: Sequence[Mapping[str, Any]], fates: Sequence[str]) -> Figure:
    """Draw a measured map of fates above theory's for each activation.

    C_b (rows,), C_W (columns,): the cells' centres. maps: name, measured and theory (rows, columns) of indices into
    fates, critical: pairs (C_b, C_W).
    """
    b, w = finite(C_b), finite(C_W)
    figure = canvas(PAGE, 2.7)
    grid = figure.subplots(2, len(maps), sharex=True, sharey=True, squeeze=False)
    colours = ListedColormap([FATE_COLOURS[name] for name in fates])
    for column, one in enumerate(maps):
        for axes, which in zip(grid[:, column], ("measured", "theory"), strict=True):
            quiet(axes)
            axes.pcolormesh(
                b, w, np.asarray(one[which]).T, cmap=colours, vmin=-0.5, vmax=len(fates) - 0.5, shading="nearest",
                rasterized=True,
            )  # fmt: skip
            for x, y in one["critical"]:
                axes.plot(
                    [x], [y], marker="*", markersize=9, color=INK, markeredgecolor="white", markeredgewidth=0.7,
                    clip_on=False,
                )  # fmt: skip
            axes.set_yscale("log")
            axes.set_xlim(0, b[-1])
            axes.set_ylim(w[0], w[-1])
            axes.set_xticks([0, 0.4], ["0", "0.4"])
            axes.set_yticks([0.1, 1], ["0.1", "1"])
            axes.minorticks_off()
        grid[0, column].set_title(one["name"], fontsize=SMALL, color=INK)
    for axes, which in zip(grid[:, 0], ("measured", "theory"), strict=True):
        axes.set_ylabel(f"{which}\n$C_W$", fontsize=NORMAL, color=INK)
    figure.supxlabel("bias variance $C_b$", fontsize=NORMAL, color=INK)
    handles = [Patch(facecolor=FATE_COLOURS[name], edgecolor=QUIET, linewidth=0.5, label=name) for name in fates]
    handles.append(Line2D([], [], linestyle="none", marker="*", markersize=8, color=INK, label="critical point"))  # type: ignore[arg-type]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False, fontsize=SMALL)
    return figure


def ratio_by_power(points: Sequence[tuple[float, float, float, float]]) -> Figure:
    """Draw measured chi_parallel / chi_perp, (p, estimate, low, high), on the curve (2p-1)/p."""
    figure = canvas(COLUMN, 2.3)
    axes = figure.subplots()
    quiet(axes, "power $p$", r"$\chi_\parallel\,/\,\chi_\perp$")
    powers = np.linspace(1, max(point[0] for point in points) + 0.3, 100)
    axes.axhline(1.0, color=QUIET, linewidth=0.8, linestyle=(0, (1, 2)))
    axes.annotate("critical needs 1", (powers[-1], 1.0), xytext=(0, 3), textcoords="offset points", ha="right",
                  fontsize=SMALL, color=QUIET)  # fmt: skip
    axes.plot(powers, (2 * powers - 1) / powers, color=INK, linewidth=1.0)
    axes.annotate("$(2p-1)/p$", (powers[60], (2 * powers[60] - 1) / powers[60]), xytext=(-4, 6), ha="right",
                  textcoords="offset points", fontsize=SMALL, color=INK)  # fmt: skip
    for p in sorted({point[0] for point in points}):
        here = [point for point in points if point[0] == p]
        for i, (_, estimate, low, high) in enumerate(here):
            x = p + 0.05 * (i - (len(here) - 1) / 2)
            axes.errorbar(x, estimate, [[max(0.0, estimate - low)], [max(0.0, high - estimate)]], fmt="os^D"[i % 4],
                          color=SERIES[i % 4], markersize=3.5, elinewidth=0.8, capsize=1.5)  # fmt: skip
    axes.set_ylim(0.9, 1.9)
    return figure


def meeting(K: ArrayLike, curves: Mapping[str, Mapping[str, Any]], kernels: Sequence[float]) -> Figure:
    """Draw chi - 1 against K on logarithmic axes.

    curves: name -> theory, the pair chi_parallel and chi_perp over K, and measured, for each of `kernels` a pair of
    (estimate, low, high). What noise leaves below 1 is not drawn.
    """
    figure = canvas(COLUMN, 2.7)
    axes = figure.subplots()
    quiet(axes, "$K$", r"$\chi - 1$")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.minorticks_off()
    k = finite(K)
    for i, (name, curve) in enumerate(curves.items()):
        for j, symbol in enumerate((r"$\chi_\parallel$", r"$\chi_\perp$")):
            line = finite(curve["theory"][j]) - 1
            axes.plot(k, line, color=SERIES[i], linestyle=DASHES[j], linewidth=1.0, label=f"{symbol}, {name}")
            estimate, low, high = (np.array([pair[j][part] for pair in curve["measured"]]) - 1 for part in range(3))
            seen = low > 0
            error = [(estimate - low)[seen], (high - estimate)[seen]]
            axes.errorbar(
                np.asarray(kernels)[seen], estimate[seen], error, fmt="os"[j], color=SERIES[i], markersize=3.5,
                markerfacecolor=SERIES[i] if j == 0 else "white", elinewidth=0.8, zorder=3,
            )  # fmt: skip
    axes.legend(frameon=False, fontsize=SMALL, loc="upper left")
    return figure


def keeping(profiles: Mapping[float, Mapping[str, Any]], cells: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the share of networks that keep K: by layer for each k1, and after all layers against k1 for each width.

    profiles: k1 -> measured and theory, (layers,). cells: width, k1, share (estimate, low, high), exact.
    """
    figure = canvas(PAGE, 2.6)
    left, right = figure.subplots(1, 2, sharey=True)
    quiet(left, "layer $l$", "share of networks that keep $K$")
    quiet(right, "$K^1$")
    title(left, "a  by layer")
    title(right, "b  after all layers")
    shades = np.linspace(0.0, 0.7, max(2, len(profiles)))
    layers = max(len(profile["measured"]) for profile in profiles.values())
    layer_axis(left, layers)
    for i, (k1, profile) in enumerate(sorted(profiles.items())):
        colour = str(shades[i])
        layer = np.arange(1, layers + 1)
        left.plot(layer, profile["theory"], color=colour, linestyle=DASHES[i % 4], linewidth=1.1, label=f"{k1:.2g}")
        left.plot(layer[:: layers // 12], profile["measured"][:: layers // 12], "os^Dv"[i % 5], color=colour,
                  markersize=3.5)  # fmt: skip
    left.legend(title="$K^1$", title_fontsize=SMALL, frameon=False, fontsize=SMALL, loc="upper left",
                bbox_to_anchor=(1.0, 1.0), handlelength=2.2)  # fmt: skip
    right.set_xscale("log")
    right.minorticks_off()
    widths = sorted({cell["width"] for cell in cells})
    for i, width in enumerate(widths):
        here = sorted((cell for cell in cells if cell["width"] == width), key=lambda cell: cell["k1"])
        k1 = np.array([cell["k1"] for cell in here]) * 1.07 ** (i - (len(widths) - 1) / 2)
        share = np.array([cell["share"] for cell in here])
        colour = SERIES[i % 4] if i < 4 else INK
        error = np.abs(share[:, 1:].T - share[:, 0])
        right.errorbar(k1, share[:, 0], error, fmt="os^Dv"[i % 5], color=colour, markersize=3.5, elinewidth=0.7,
                       label=f"{width}")  # fmt: skip
        right.plot([cell["k1"] for cell in here], [cell["exact"] for cell in here], color=colour, linewidth=0.9)
    right.legend(title="width", title_fontsize=SMALL, frameon=False, fontsize=SMALL, loc="upper left",
                 bbox_to_anchor=(1.0, 1.0), handletextpad=0.3)  # fmt: skip
    left.set_ylim(-0.03, 1.03)
    return figure
