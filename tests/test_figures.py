"""Figures are drawn for every shape of data and leave no global state; what they show is read from their artists."""

import io
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib._pylab_helpers import Gcf
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from repu_lab.figures import boundary, kernel_by_layer, phase_diagram, signal_propagation, susceptibilities
from repu_lab.figures.style import RANGES, end_labels

QUANTITIES = ("log10_K", "log10_chi_parallel", "log10_chi_perp", "log10_gradient", "correlation")


def make_profile(depth: int, log10_K: Any = None) -> dict[str, np.ndarray]:
    spread = np.array([-0.1, 0.0, 0.1])[:, None]
    layer = np.arange(1, depth + 2)
    middle = {
        "log10_K": -0.05 * layer if log10_K is None else np.asarray(log10_K),
        "log10_chi_parallel": np.full(depth, -0.05),
        "log10_chi_perp": np.full(depth, 0.02),
        "log10_gradient": 0.03 * layer - 6,
        "correlation": layer / (depth + 2),
    }
    return {name: values + spread for name, values in middle.items()} | {"nonfinite": np.zeros(depth + 1)}


def make_theory(depth: int) -> dict[str, np.ndarray]:
    return {name: row[1] for name, row in make_profile(depth).items() if name in QUANTITIES} | {
        "log10_K_quantiles": np.linspace(-1, 1, 5)[:, None] + np.zeros(depth + 1)
    }


def draw(figure: Figure) -> Figure:
    """Draw it, every warning an error."""
    figure.draw_without_rendering()
    return figure


def words(axes: Axes) -> str:
    titles = [axes.get_title(loc=side) for side in ("left", "center", "right")]
    return " ".join([*titles, *(text.get_text() for text in axes.texts)])


def marked(axes: Axes) -> list[Any]:
    return [line for line in axes.lines if line.get_marker() not in ("", "None", None)]


def test_state_of_matplotlib_is_left_alone() -> None:
    before = matplotlib.rcParams.copy()
    for kind, start in (("png", b"\x89PNG"), ("svg", b"<?xml")):
        file = io.BytesIO()
        signal_propagation({0: make_profile(5)}, make_theory(5)).savefig(file, format=kind)
        assert file.getvalue().startswith(start)
    assert {name for name in before if name != "backend" and before[name] != matplotlib.rcParams[name]} == set()
    assert not Gcf.figs  # pyplot's register


@pytest.mark.parametrize("depth", [1, 5, 50, 200])
@pytest.mark.parametrize("steps", [(0,), (0, 10, 1000), (0, 1, 8, 64, 512, 1000)])
def test_medians_are_drawn_at_every_layer_and_step(depth: int, steps: tuple[int, ...]) -> None:
    figure = draw(signal_propagation({step: make_profile(depth) for step in steps}, heading="a run"))
    for axes, names in zip(figure.axes, ([0], [1, 2], [3], [4]), strict=True):
        lines = marked(axes)
        assert len(lines) == len(steps) * len(names)
        for name, line in zip((QUANTITIES[i] for i in names for _ in steps), lines, strict=True):
            expected = make_profile(depth)[name][1]
            np.testing.assert_array_equal(line.get_xdata(), np.arange(1, expected.size + 1))
            np.testing.assert_array_equal(line.get_ydata(), expected)
        assert axes.get_xlim() == (0.5, depth + 1.5)


def test_steps_differ_in_marker_and_shade() -> None:
    figure = signal_propagation({step: make_profile(5) for step in (0, 10, 100, 1000)})
    lines = marked(figure.axes[0])
    assert len({line.get_marker() for line in lines}) == 4
    brightness = [sum(to_rgb(line.get_color())) for line in lines]
    assert brightness == sorted(set(brightness))


def test_theory_is_a_line_with_its_quantiles_and_may_stand_alone() -> None:
    theory = make_theory(5)
    figure = draw(signal_propagation({}, theory))
    curves = [np.asarray(line.get_ydata()) for line in figure.axes[0].lines if len(np.asarray(line.get_xdata())) == 6]
    expected = [theory["log10_K_quantiles"][0], theory["log10_K_quantiles"][-1], theory["log10_K"]]
    np.testing.assert_array_equal(curves, expected)
    with pytest.raises(ValueError, match="nothing to draw"):
        signal_propagation({})


def test_first_bad_layer_is_marked_and_named() -> None:
    profile = make_profile(20)
    for name in QUANTITIES:
        profile[name][:, 9:] = np.nan
    profile["log10_K"][:, 8] = np.inf
    profile["log10_gradient"][:] = np.nan
    profile["nonfinite"][8:] = 4
    figure = draw(signal_propagation({0: profile}))
    assert "NaN or inf from layer 9" in words(figure.axes[0])
    assert "step" not in words(figure.axes[0])
    assert all(any(list(np.asarray(line.get_xdata())) == [8.5, 8.5] for line in axes.lines) for axes in figure.axes)
    assert "no finite value" in words(figure.axes[2])
    later = signal_propagation({0: make_profile(20), 64: profile})
    assert "at step 64" in words(later.axes[0])
    assert "NaN" not in words(draw(signal_propagation({0: make_profile(20)})).axes[0])


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_double_exponentials_to_ten_to_the_fourteen(sign: float) -> None:
    log10_K = sign * 0.15 * 2.0 ** np.arange(51)
    figure = draw(signal_propagation({0: make_profile(50, log10_K)}, {"log10_K": log10_K}))
    axes = figure.axes[0]
    assert axes.get_yscale() == "symlog"
    bottom, top = axes.get_ylim()
    assert bottom <= log10_K.min() and log10_K.max() <= top
    assert f"|z| {'overflows' if sign > 0 else 'underflows'} float32" in words(axes)
    assert len(axes.get_yticks()) <= 9


def test_theory_far_beyond_the_dtype_does_not_flatten_what_was_measured() -> None:
    log10_K = 0.15 * 2.0 ** np.arange(51)
    profile = make_profile(50, np.where(log10_K < 77, log10_K, np.inf))
    figure = draw(signal_propagation({0: profile}, {"log10_K": log10_K}))
    assert figure.axes[0].get_yscale() == "linear"
    assert 77 < figure.axes[0].get_ylim()[1] < 120


def test_a_few_members_far_away_do_not_flatten_the_rest() -> None:
    profile = make_profile(20)
    profile["log10_K"][2, 15:] = [60.0, 70.0, 75.0, np.inf, np.inf, np.inf]
    profile["log10_K"][0, 20] = -np.inf
    (axes, *_) = draw(signal_propagation({0: profile})).axes
    assert axes.get_ylim()[1] < 10
    (path,) = [path for collection in axes.collections for path in collection.get_paths()]
    band = np.asarray(path.vertices)
    top = {x: y for x, y in band if y > 0}
    assert top[17.0] == 70.0 and top[19.0] == axes.get_ylim()[1]
    assert not (band[:, 0] > 20).any()  # both bounds infinite: nothing is known of the spread


def test_a_profile_may_lack_quantities() -> None:
    figure = draw(signal_propagation({0: {"log10_K": make_profile(5)["log10_K"]}}))
    assert [len(marked(axes)) for axes in figure.axes] == [1, 0, 0, 0]


@pytest.mark.parametrize("dtype", RANGES)
def test_ranges_of_the_number_formats(dtype: str) -> None:
    info = torch.finfo(getattr(torch, dtype))
    assert RANGES[dtype][0] == pytest.approx(np.log10(info.max), rel=1e-12)
    smallest = np.log10(info.tiny) + np.log10(info.eps)  # the smallest subnormal number
    assert RANGES[dtype][1] == pytest.approx(smallest, rel=1e-12)


def test_kernel_by_layer_names_the_formats_it_passes() -> None:
    log10_K = 0.15 * 2.0 ** np.arange(14)
    figure = draw(kernel_by_layer(log10_K, log10_K + np.linspace(-0.1, 0.1, 5)[:, None], heading="RePU"))
    assert "overflows float16" in words(figure.axes[0])
    assert "overflows bfloat16, float32" in words(figure.axes[0])
    assert "overflows float64" in words(figure.axes[0])
    assert "underflows" not in words(figure.axes[0])
    down = words(draw(kernel_by_layer(-log10_K[:10])).axes[0])
    assert "underflows float16" in down and "overflows" not in down
    assert "flows" not in words(draw(kernel_by_layer(np.full(5, -2.0))).axes[0])
    draw(kernel_by_layer([np.nan, np.inf]))


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([], "no critical point"),
        ([{"K": None, "C_b": 0.0, "C_W": 2.0, "universality_class": "scale-invariant"}], "every K"),
        ([{"K": 0.0, "C_b": 0.0, "C_W": 1.0, "universality_class": "K*=0 stable"}], "K = 0"),
        ([{"K": 14.32, "C_b": 0.555, "C_W": 1.988, "universality_class": "half-stable"}], "half-stable"),
    ],
)
def test_susceptibilities_say_where_the_critical_points_are(points: list[dict[str, Any]], expected: str) -> None:
    K = np.logspace(-3, 4, 50)
    figure = draw(susceptibilities(K, 2 * K, 1.5 * K, points))
    upper, lower = figure.axes
    assert expected in words(lower)
    np.testing.assert_array_equal(upper.lines[1].get_ydata(), 2 * K)
    ratio = next(line for line in lower.lines if len(np.asarray(line.get_xdata())) == 50)
    np.testing.assert_allclose(np.asarray(ratio.get_ydata()), 4 / 3)
    assert ("14.32" in words(upper)) == (expected == "half-stable")
    draw(susceptibilities(K, np.ones(50), np.ones(50), points))


def test_a_susceptibility_that_vanishes_leaves_the_panel_readable() -> None:
    """Sin's chi_parallel falls as exp(-2 K): to 1e-300 within the range of K."""
    K = np.geomspace(1e-4, 1e4, 80)
    upper = draw(susceptibilities(K, np.exp(-2 * K), np.ones(80))).axes[0]
    assert upper.get_ylim()[0] > 1e-11
    assert all(text.get_position()[1] > -0.05 for text in upper.texts)


def test_phase_diagram_names_each_region_inside_it() -> None:
    C_b, C_W = np.linspace(0, 0.5, 60), np.linspace(0, 3, 80)
    B, W = np.meshgrid(C_b, C_W)
    fate = np.where(W > 1.5 + B, 2, np.where(W < 1.0, 0, 1))
    names = ["vanishes", "survives", "explodes"]
    point = {"K": 3.56, "C_b": 0.1729, "C_W": 1.983, "universality_class": "half-stable"}
    figure = draw(phase_diagram(C_b, C_W, fate, names, [point], initialization=(0.0, 1.0), heading="GELU"))
    (axes,) = figure.axes
    placed = {text.get_text(): text.xy for text in axes.texts if isinstance(text, Annotation)}
    for code, name in enumerate(names):
        x, y = placed[name]
        assert fate[np.abs(C_W - y).argmin(), np.abs(C_b - x).argmin()] == code
    assert placed["critical"] == (0.1729, 1.983)
    assert placed["this run"] == (0.0, 1.0)
    for initialization, name in (
        ((0.1729, 1.983), "critical, this run"),
        ((0.173, 1.98), "this run, next to critical"),
    ):
        figure = draw(phase_diagram(C_b, C_W, fate, names, [point], initialization=initialization))
        texts = [text.get_text() for text in figure.axes[0].texts]
        assert [text for text in texts if text not in names] == [name]
    assert "survives" not in words(draw(phase_diagram(C_b, C_W, np.zeros_like(fate), names)).axes[0])
    draw(phase_diagram(C_b, C_W, fate, ["one", "two", "three"]))


@pytest.mark.parametrize("fate", [np.zeros((3, 2)), np.full((2, 3), 2), np.full((2, 3), -1)])
def test_phase_diagram_refuses_what_does_not_fit(fate: np.ndarray) -> None:
    with pytest.raises(ValueError, match="needs shape"):
        phase_diagram([0.0, 1.0, 2.0], [0.0, 1.0], fate, ["a", "b"])


def test_a_boundary_shows_where_it_turns_and_counts_what_lies_beyond() -> None:
    values = np.concatenate([np.linspace(1.2, 1.5, 31), [0.1, 20, 50]])
    successes = np.concatenate([np.arange(31) < 15, [True, False, True]])
    figure = draw(
        boundary(values, successes, value=1.33, low=1.3, high=1.36, spread=0.03, rising=False, theory=1.46, axis="c_w")
    )
    (axes,) = figure.axes
    strokes = [
        np.array(lines.get_segments())[:, 0, 0] for lines in axes.collections if isinstance(lines, LineCollection)
    ]
    np.testing.assert_allclose(strokes[0], values[:15])
    np.testing.assert_allclose(strokes[1], values[15:31])
    curve, theory = axes.lines[0], axes.lines[1]
    assert np.interp(np.log(1.33), np.log(np.asarray(curve.get_xdata())), np.asarray(curve.get_ydata())) == (
        pytest.approx(0.5, abs=1e-3)
    )
    assert np.asarray(curve.get_ydata())[0] > 0.99 > 0.01 > np.asarray(curve.get_ydata())[-1]
    assert np.asarray(theory.get_xdata()).tolist() == [1.46, 1.46]
    beyond = "beyond, on the left: 1 of 1 succeed\nbeyond, on the right: 1 of 2 succeed"
    assert f"34 networks, one stroke each\n{beyond}" in words(axes)
    assert "measured 1.33" in words(axes) and "1.3 to 1.36" in words(axes)
    left, right = axes.get_xlim()
    assert 1 < left < 1.2 and 1.46 < right < 1.7


def test_names_at_curves_ends_stay_beside_the_axes() -> None:
    """All curves end at the top: their names are pushed down from there, one below the other."""
    figure = Figure()
    axes = figure.subplots()
    axes.set_ylim(0, 1)
    end_labels(axes, [(1.0, height, f"{height}", "black") for height in (0.98, 0.99, 1.0)])
    heights = [text.xy[1] for text in axes.texts if isinstance(text, Annotation)]
    assert heights == sorted(heights) and heights[-1] < 1 and np.diff(heights) == pytest.approx([0.085, 0.085])
