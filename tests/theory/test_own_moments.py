"""Averages of activations that users may write, against a plain midpoint rule: right to six digits, or not told."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erfc
from torch import Tensor
from torch.nn import functional as F

from repu_lab.activations import Adapted, Tanh, as_activation
from repu_lab.theory import analyse, critical_initialization, gaussian, pair_mean
from repu_lab.theory.closed_forms import moments
from repu_lab.theory.forecast import forecast

Function = Callable[[Tensor], Tensor]
POINTS = 400_000
X = torch.from_numpy((np.arange(POINTS) + 0.5) / POINTS * 28 - 14)
DENSITY = torch.exp(-X * X / 2) * (28 / POINTS / np.sqrt(2 * np.pi))
KERNELS = (1e-2, 1.0, 100.0)

NASTY: dict[str, Function] = {
    "sine of 50 z": lambda z: torch.sin(50 * z), "cosine of 20 z": lambda z: torch.cos(20 * z) + z / 2,
    "steep sigmoid": lambda z: torch.sigmoid(200 * (z - 0.3)), "steep tanh": lambda z: torch.tanh(1000 * z),
    "bump": lambda z: torch.exp(-(((z - 0.7) / 0.004) ** 2)),
    "far bump": lambda z: z / 9 + F.relu(1 - (20 * z - 70) ** 2),
    "pole nearby": lambda z: 1 / (1 + ((z - 2) / 0.01) ** 2), "Snake": lambda z: z + torch.sin(z) ** 2,
    "kink at 25": lambda z: F.relu(z - 25) + 1, "kink at .5": lambda z: F.relu(z - 0.5),
    "kinks at thirds": lambda z: torch.clamp(z, -1 / 3, 7 / 3), "softshrink": F.softshrink,
    "triangle wave": lambda z: (torch.remainder(z, 2) - 1).abs() * (z.abs() < 9),
    "root": lambda z: z.abs() ** 0.75, "root elsewhere": lambda z: (z - 0.3).abs() ** 0.8,
    "power": lambda z: F.relu(z + 1) ** 1.5, "CELU": lambda z: F.celu(z, 0.01),
    "root of a square": lambda z: (z * z + 1e-6).sqrt(),
    "wobbling ReLU": lambda z: F.relu(z) + torch.sin(100 * z) / 100, "softplus": lambda z: torch.log(1 + z.exp()),
    "sine inside": lambda z: torch.tanh(5 * torch.sin(4 * z) + z),
    "chirp": lambda z: torch.sin(z * z) * torch.exp(-z * z / 50),
    "dome": lambda z: F.relu(1 - z * z), "two bumps": lambda z: torch.exp(-((z.abs() - 9) / 0.05) ** 2) + z / 100,
}  # fmt: skip
JUMPING: dict[str, Function] = {
    "hardshrink": F.hardshrink, "threshold": lambda z: F.threshold(z, 0.1, 0.7),
    "stairs": lambda z: torch.round(z.clamp(-4, 4)) + 0.3 * z,
    "one step": lambda z: torch.where(z > 0.3, z, z / 10 - 1),
}  # fmt: skip


def brute(function: Function, K: float) -> tuple[float, float, float]:
    """E[s^2]; g' with the density differentiated instead of s; and what that is a difference of."""
    s2 = function(K**0.5 * X) ** 2 * DENSITY
    return float(s2.sum()), float((s2 * (X * X - 1)).sum()) / (2 * K), float((s2 * (X * X + 1)).sum()) / (2 * K)


def assert_right_or_untold(function: Function, K: float, limit: float, must_be_told: bool) -> None:
    form = moments(Adapted(function))
    averages = float(form.mean_square(np.array([K]))[0]), float(form.stein(np.array([K]))[0])
    g, slope, scale = brute(function, K)
    assert not must_be_told or np.isfinite(averages).all()
    if np.isfinite(averages[0]) and g > 1e-100:
        assert abs(averages[0] - g) <= limit * g
    if np.isfinite(averages[1]) and g > 1e-100:
        assert abs(averages[1] - slope) <= limit * scale


@pytest.mark.parametrize("name", NASTY)
def test_what_changes_fast_is_averaged_to_six_digits(name):
    for K in KERNELS:
        assert_right_or_untold(NASTY[name], K, 1e-6, must_be_told=True)


@pytest.mark.parametrize("name", JUMPING)
def test_jumps(name):
    """The midpoint rule itself is off by half a step times the height of a jump."""
    activation = as_activation(JUMPING[name])
    for K in (1.0, 100.0):
        assert_right_or_untold(JUMPING[name], K, 1e-4, must_be_told=True)
    assert moments(activation).rough is not None
    assert gaussian.mean_square_slope(activation, 1.0) == np.inf
    criticality = analyse(activation)
    assert not criticality.points and "jumps at z=" in (criticality.certificate or "")
    start = critical_initialization(activation, 10)
    assert pytest.approx(1, rel=1e-4) == start.C_W * brute(JUMPING[name], 1.0)[0] and "without bound" in start.reason


@pytest.mark.parametrize("name", ["hardshrink", "one step"])
def test_two_inputs_and_a_jump(name):
    """E[s'(u) s'(v)] is the derivative of E[s(u) s(v)] in the covariance, delta functions included."""
    activation = as_activation(JUMPING[name])
    step = 1e-4
    low, high = (pair_mean(activation, 1.0, 2.0, 0.6 + sign * step)[0] for sign in (-1, 1))
    gain = pair_mean(activation, 1.0, 2.0, 0.6)[1]
    assert float(gain) == pytest.approx(float(high - low) / (2 * step), rel=1e-6)
    assert pair_mean(activation, 1.0, 1.0, 1.0)[1] == np.inf


def test_the_forecast_of_a_jump_has_the_gradient_that_networks_have():
    """Hardshrink's slope is 1 beyond 1/2: a layer multiplies the gradient by C_W P(|z| > 1/2); K = 1 stays."""
    activation, depth = as_activation(F.hardshrink), 5
    C_W = critical_initialization(activation, depth).C_W
    expected = forecast(activation, C_W=C_W, C_b=0.0, k1=1.0, depth=depth, width=32)
    assert expected.log10_gradient[0] == pytest.approx(depth * np.log10(C_W * erfc(0.5 / 2**0.5)), rel=1e-6)
    assert "inf" not in expected.advice and "differences of inputs grow without bound, since s jumps" in expected.advice
    steep = forecast(as_activation(lambda z: z.abs() ** 0.4), C_W=1.0, C_b=0.0, k1=1.0, depth=depth, width=32)
    assert "of infinite mean square. Small differences of inputs grow without bound, since the slope" in steep.advice


def test_two_inputs_see_a_narrow_bump():
    activation = as_activation(NASTY["bump"])
    value, _ = pair_mean(activation, 1.0, 1.0, 0.0)
    mean = float((NASTY["bump"](X) * DENSITY).sum())
    assert float(value) == pytest.approx(mean**2, rel=1e-6)


def test_a_slope_without_a_mean_square_says_so_and_keeps_K():
    activation = as_activation(lambda z: (z - 0.2).abs() ** 0.4)
    assert gaussian.mean_square_slope(activation, 1.0) == np.inf
    start = critical_initialization(activation, 10)
    assert "the slope at z=0.2 is too steep" in start.reason
    assert pytest.approx(1, rel=1e-6) == start.C_W * float(gaussian.mean_square(activation, 1.0))


def test_what_cannot_be_followed_is_not_told():
    activation = as_activation(NASTY["sine of 50 z"])
    with pytest.raises(ValueError, match=r"changes too fast beyond \|z\|=.* for 8192 panels") as error:
        gaussian.mean_square(activation, 1e8)
    assert "\n" not in str(error.value)


def test_fine_ripples_invent_no_critical_points():
    """tanh z + a sin(w z): E[s s''] = E[tanh tanh''] - a^2 w^2 (1 - exp(-2 w^2 K)) / 2, never 0; else not told."""
    a, w, K = 1e-6, 1000.0, np.array([1e-4, 1e-2, 1.0])
    form = moments(Adapted(lambda z: torch.tanh(z) + a * torch.sin(w * z)))
    alone = gaussian.curvature_overlap(Tanh(), K)
    assert form.curvature_overlap(K) == pytest.approx(alone - (a * w) ** 2 / 2, rel=1e-8)
    assert np.isnan(form.curvature_overlap(np.geomspace(340, 6e7, 8))).all()


def test_undeclared_kinks_far_out_and_on_cuts_are_found():
    for place in (0.0, 1 / 3, 3.0, 25.0, -77.7):
        form = moments(Adapted(lambda z, place=place: F.relu(z - place) + 1))
        assert form.kinks == pytest.approx((place,), abs=1e-9)


LEAVES: dict[str, Function] = {
    "z": lambda z: z, "tanh": torch.tanh, "sin": lambda z: torch.sin(3 * z), "relu": F.relu, "abs": torch.abs,
    "gauss": lambda z: torch.exp(-z * z), "sigmoid": lambda z: torch.sigmoid(4 * z), "square": lambda z: z * z / 4,
}  # fmt: skip
numbers = st.floats(-3, 3).map(lambda x: round(x, 2))


def grown(inner: st.SearchStrategy) -> st.SearchStrategy:
    pairs = st.tuples(inner, inner)
    return st.one_of(
        pairs.map(lambda f: lambda z: f[0](z) + f[1](z)),
        pairs.map(lambda f: lambda z: f[0](z) * f[1](z)),
        pairs.map(lambda f: lambda z: f[0](torch.clamp(f[1](z), -6, 6))),
        st.tuples(inner, numbers).map(lambda f: lambda z: f[0](z - f[1])),
        st.tuples(inner, numbers).map(lambda f: lambda z: torch.clamp(f[0](z), f[1], f[1] + 1.5)),
        st.tuples(inner, inner, numbers).map(lambda f: lambda z: torch.where(z > f[2], f[0](z), f[1](z))),
    )


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.recursive(st.sampled_from(list(LEAVES.values())), grown, max_leaves=6), st.sampled_from([0.05, 1.0, 30.0]))
def test_whatever_is_built_of_sums_products_compositions_shifts_choices_and_clamps(function, K):
    assert_right_or_untold(function, K, 3e-4, must_be_told=False)
