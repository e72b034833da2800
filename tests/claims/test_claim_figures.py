"""The claims' figures, from made-up tables: what is drawn is what was given, and it can be told apart in grey."""

from itertools import cycle, pairwise

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation

from repu_lab.claims.cures import tailored, turned
from repu_lab.configs.schema import OUTCOMES
from repu_lab.figures import bars, chi, curves, fates, growth, looks, points, rows, shares
from repu_lab.figures.kernels import KernelCurves, kernels_by_layer
from repu_lab.figures.narrow import WIDTH, narrow

GENERATOR = np.random.default_rng(0)
LAYERS, NETWORKS = 8, 3


def rising(p: float) -> np.ndarray:
    return p ** np.arange(LAYERS)[:, None] * GENERATOR.uniform(1, 2, (1, NETWORKS))


def double_exponential() -> Figure:
    plain = rising(2)
    plain[5:] = np.inf
    kinds = {name: {"p": p, "plain": plain, "logs": rising(p)} for name, p in (("a", 2), ("b", 2), ("c", 3))}
    return growth.double_exponential(kinds, rising(1.1)[1:], start=1.4)


PHASES = ("vanishes", "ordered", "chaotic", "explodes")


def fate_maps() -> Figure:
    one = {"measured": np.eye(4, dtype=int), "theory": np.zeros((4, 4), int), "critical": [(0.0, 2.0)]}
    grid = np.linspace(0, 1, 4), np.geomspace(0.1, 10, 4)
    return fates.fate_maps(*grid, {"ReLU": one, "tanh": one}, PHASES)


def meeting() -> Figure:
    K = np.geomspace(1e-6, 10, 20)
    measured = [((1 + k, 1 + k / 2, 1 + 2 * k), (1 - k, 1 - 2 * k, 1 + k)) for k in (1e-4, 1.0)]
    return chi.meeting(K, {"MRePU": {"theory": [1 + 2 * K, 1 + K], "measured": measured}}, (1e-4, 1.0))


def keeping() -> Figure:
    profiles = {k1: (np.ones(50), np.ones(50)) for k1 in (1e-3, 1.0)}
    cells = {(width, k1): ((0.5, 0.3, 0.9), 0.6) for width in (64, 128) for k1 in profiles}
    return shares.shares_kept(profiles, cells)


def first_failures() -> Figure:
    causes = ("none", "forward", "gradient", "step", "slow")
    shown = {"RePU 2": [0.2] * 5, "ReLU": [1.0, 0, 0, 0, 0]}
    failed = {name: {depth: row for depth in (3, 8, 20)} for name, row in shown.items()}
    profiles = {(name, step): np.arange(21.0) for name in ("RePU 2", "ReLU") for step in (0, 1, 2)}
    return bars.first_failures(failed, causes, profiles, 20)


def exact_networks() -> Figure:
    t = np.linspace(-2, 2, 9)
    return rows.exact_networks([("RePU 2: x", 0.25, 0.5)] * 4, t, {"RePU 2": 0 * t, "MRePU 1": t}, 16)


def kernels() -> Figure:
    layer = np.arange(1.0, 51)
    up = np.stack([2.0 ** (layer - 2), 2.0**layer, 2.0 ** (layer + 1)])  # leaves float32 behind layer 6, 5, 4
    flat = np.stack([layer * 0 - 1, layer * 0, layer * 0 + 1])
    return kernels_by_layer(
        {"up": KernelCurves(up, up, "#D55E00", leaves=True), "flat": KernelCurves(flat, flat, "#0072B2")}
    )


NAMES = list(looks.LOOKS)[:9]  # the largest contest
FOUND = {name: [(0.2, 0.1, 0.4), (0.5, 0.4, 0.9)] for name in NAMES}


def by_depth(*, logarithmic: bool = False, names: str = "xy") -> Figure:
    """Panels of different depths."""
    panels = {
        panel: {name: dict(zip(depths, values, strict=True)) for name, values in FOUND.items()}
        for panel, depths in zip(names, cycle(((2, 8), (3, 5))), strict=False)
    }
    return curves.by_depth(panels, "error", logarithmic=logarithmic)


def accuracies() -> Figure:
    """The widest one: claim 17's six blocks."""
    blocks = ("skips and RMSNorm", "skips and frozen scales", "ReZero")
    names = [f"{block}, depth {depth}" for block in blocks for depth in (50, 100)]
    return points.accuracies({name: {a: [0.3, 0.9] for a in tailored.NAMES} for name in names}, chance=0.25, bar=0.7)


DRAWN = {
    "kernels": kernels,
    "accuracies": accuracies,
    "by_depth": lambda: by_depth(logarithmic=True),
    "by_depth, two rows": lambda: by_depth(names="uvwxyz"),
    "by_case": lambda: rows.by_case({"L2": FOUND, "H1": FOUND}, ["sin", "Runge"]),
    "ranking": lambda: rows.ranking(
        dict.fromkeys(NAMES, (0.1, 0.2, 1.0)), dict.fromkeys(NAMES, (0.2, 0.1, 1.0)), "error", {"no shock": 0.58}
    ),
    "double_exponential": double_exponential,
    "fate_maps": fate_maps,
    "ratio": lambda: chi.ratio_by_power({1.5: [(1.3, 1.2, 1.4), (1.35, 1.3, 1.4)], 2: [(1.5, 1.4, 1.6)]}),
    "meeting": meeting,
    "keeping": keeping,
    "exact_networks": exact_networks,
    "outcome_bars": lambda: bars.outcome_bars({"RePU 2": {depth: [1 / 6] * 6 for depth in (2, 5, 10, 50)}}, OUTCOMES),
    "first_failures": first_failures,
}


@pytest.mark.parametrize("name", DRAWN)
def test_it_is_drawn_for_a_papers_column_and_says_what_its_axes_are(name, tmp_path):
    figure = DRAWN[name]()
    width, height = figure.get_size_inches()
    assert width in (looks.COLUMN, looks.PAGE) and height < 5
    for form in ("svg", "pdf", "png"):
        figure.savefig(tmp_path / f"x.{form}", format=form)
    every = [axes for axes in figure.findobj(Axes) if isinstance(axes, Axes)]
    assert every and any(axes.get_xlabel() + axes.get_ylabel() for axes in every)


@pytest.mark.parametrize("name", DRAWN)
def test_on_a_phone_every_panel_of_a_wide_figure_has_the_width_and_its_labels(name):
    figure = DRAWN[name]()
    wide = figure.get_size_inches()[0] == looks.PAGE
    assert narrow(figure) == wide
    if wide:
        figure.draw_without_rendering()
        titled = [axes for axes in figure.axes if axes.get_title("left") or axes.get_title() or name != "fate_maps"]
        tops = [axes.get_window_extent().y1 for axes in titled]
        boxes = [box for axes in figure.axes if (box := axes.get_tightbbox())]
        assert tops == sorted(tops, reverse=True) and len(set(tops)) == len(tops)
        assert figure.bbox.width == WIDTH * figure.dpi
        # Beside the legend of nine names two thirds of the width are left; side by side it would be a half at most.
        assert all(
            box.width > 0.6 * figure.bbox.width and box.x0 >= -1 and box.x1 <= figure.bbox.x1 + 1 for box in boxes
        )
        assert all(axes.get_ylabel() or axes.get_yticklabels() for axes in figure.axes)
        assert figure.get_supxlabel() or all(axes.get_xlabel() for axes in figure.axes)
        assert all(legend.get_window_extent().width <= figure.bbox.width for legend in figure.legends)


def test_on_a_phone_panels_keep_their_width_and_stand_below_their_title_beside_their_label():
    """Of seven maps four stand in a row, each above its theory; of bars above two profiles as many as are as wide."""
    one = {"measured": np.eye(4, dtype=int), "theory": np.zeros((4, 4), int), "critical": []}
    figure = fates.fate_maps(np.arange(4), np.arange(1, 5), {str(i): one for i in range(7)}, PHASES)
    assert narrow(figure)
    figure.draw_without_rendering()
    spans = [axes.get_subplotspec() for axes in figure.axes]
    places = [(span.rowspan.start, span.colspan.start) for span in spans if span]
    assert places == [(row + 2 * (i > 3), i % 4) for row in (0, 1) for i in range(7)]
    labelled = {place: axes.get_ylabel() for place, axes in zip(places, figure.axes, strict=True) if axes.get_ylabel()}
    assert labelled == {(row, 0): f"{('measured', 'theory')[row % 2]}\n$C_W$" for row in range(4)}
    ticks = [any(label.get_visible() for label in axes.get_xticklabels()) for axes in figure.axes]
    assert ticks == [row % 2 == 1 for row, _ in places]
    figure = first_failures()
    assert narrow(figure)
    assert [axes.get_title("left") or axes.get_title() for axes in figure.axes] == [
        "RePU 2", "ReLU", "b  RePU 2, depth 20", "c  ReLU, depth 20",
    ]  # fmt: skip


def test_a_kernel_is_drawn_up_to_where_the_format_ends_or_through_all_layers():
    left, right = kernels().axes
    medians = [
        np.asarray(line.get_ydata()) for axes in (left, right) for line in axes.lines if line.get_marker() == "o"
    ]
    (up,) = medians  # "flat" has a marker of its own
    assert np.isfinite(up).sum() == 6 and np.nanmax(up) == 2.0**6  # 2 log10(float32's largest) = 77.06
    assert [text.get_text() for text in left.texts if "float32" not in text.get_text()] == ["up"]
    assert [text.get_text() for text in right.texts] == ["flat"]
    assert right.get_xlim() == (0.5, 50.5)
    assert left.get_xlim() == (0.5, 8.5)  # the last layer that one of the curves is seen at
    (place,) = [text.xy[0] for text in left.texts if isinstance(text, Annotation) and text.get_text() == "up"]
    assert place == pytest.approx(1)  # of the width: beside it


def test_on_a_phone_the_names_of_groups_stand_clear_of_each_other():
    figure = accuracies()
    assert narrow(figure)
    figure.draw_without_rendering()
    names = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    assert all(left.x1 < right.x0 for left, right in pairwise(names)) and names[0].x0 >= 0


def test_activations_of_one_picture_are_told_apart():
    """By colour alone in claim 20; tailored ones of a family share a colour, and differ in their markers."""
    assert len({looks.LOOKS[name][0] for name in turned.NAMES}) == len(turned.NAMES)
    assert len({looks.LOOKS[name][:2] for name in tailored.NAMES}) == len(tailored.NAMES)


def test_a_curve_goes_through_the_estimates_at_the_depths():
    left, right = by_depth().axes
    assert [label.get_text() for label in right.get_xticklabels()] == ["3", "5"]
    assert left.get_title(loc="left") == "a  x"
    drawn = [np.asarray(line.get_ydata()) for line in left.lines if line.get_marker() not in ("None", "", None)]
    assert len(drawn) == len(NAMES) and all(values.tolist() == [0.2, 0.5] for values in drawn)


def drawn_intervals(figure: Figure) -> set[tuple[float, ...]]:
    """Estimate, low and high of every error bar of a figure, along its bar."""
    intervals = set()
    for axes in figure.axes:
        for bar in (each for each in axes.containers if isinstance(each, ErrorbarContainer)):
            line, _, (segments,) = bar.lines
            for point, ends in zip(np.column_stack(line.get_data()), segments.get_segments(), strict=True):
                along = int(ends[0][0] == ends[1][0])  # a vertical bar is one of y
                intervals.add(tuple(np.round([point[along], *sorted(ends[:, along])], 9).tolist()))
    return intervals


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("by_depth", FOUND[NAMES[0]]),
        ("by_case", FOUND[NAMES[0]]),
        ("keeping", [(0.5, 0.3, 0.9)]),
        ("ratio", [(1.3, 1.2, 1.4), (1.35, 1.3, 1.4), (1.5, 1.4, 1.6)]),
        ("meeting", [(1e-4, 5e-5, 2e-4), (1.0, 0.5, 2.0)]),  # of chi - 1; what lies below 0 is not drawn
    ],
)
def test_a_mark_is_the_estimate_and_its_bar_ends_at_the_interval(name, given):
    assert drawn_intervals(DRAWN[name]()) == set(given)


def test_the_mark_of_a_ranking_is_the_median_on_its_interval():
    (axes,) = DRAWN["ranking"]().axes
    marks = [np.asarray(line.get_xdata()).tolist() for line in axes.lines if line.get_marker() == "|"]
    spans = [ends for line in axes.lines if (ends := np.asarray(line.get_xdata()).tolist()) == [0.1, 1.0]]
    assert marks == [[0.2]] * len(NAMES) and len(spans) == len(NAMES)


def test_bars_stand_for_the_shares():
    """Outcomes in the order of the schema, `trained` drawn first: a bar for each share, stacked to 1."""
    outcomes = np.array([[0.1, 0.2, 0.05, 0.5, 0.15, 0.0], [1, 0, 0, 0, 0, 0]])
    figure = bars.outcome_bars({"RePU 2": dict(zip((2, 50), outcomes.tolist(), strict=True))}, OUTCOMES)
    (axes,) = figure.axes
    drawn = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    heights = np.array([bar.get_height() for bar in drawn]).reshape(6, 2)
    np.testing.assert_allclose(heights[0], outcomes[:, OUTCOMES.index("trained")])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "50"]
    np.testing.assert_allclose(heights.sum(0), 1)


@pytest.mark.parametrize(
    "names", [OUTCOMES, ("none", "forward", "gradient", "step", "slow")], ids=["outcomes", "causes"]
)
def test_neighbouring_fills_differ_in_grey_or_by_a_hatch(names):
    grey = {name: np.dot(to_rgb(bars.FILLS[name][0]), (0.299, 0.587, 0.114)) for name in names}
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            hatched = bars.FILLS[a][1] != bars.FILLS[b][1]
            assert hatched or abs(grey[a] - grey[b]) > 0.1, (a, b)
