"""Critical points, fixed points, the choice of the variances, the phase diagram."""

import math
import re

import numpy as np
import pytest
import torch
from scipy.special import ndtr

from repu_lab.activations import (
    ACTIVATIONS,
    ELU,
    GELU,
    SELU,
    Activation,
    MRePU,
    ReLU,
    RePU,
    SiLU,
    SplineRePU,
    Tanh,
    as_activation,
)
from repu_lab.theory import Law, fixed_correlation, fixed_points, gaussian, kernel
from repu_lab.theory.choosing import critical_initialization
from repu_lab.theory.criticality import analyse
from repu_lab.theory.fate_map import PHASES, fate_map

# K*, C_W, C_b, C_W g''/2 and the companion: computed independently at 12 or more digits.
HALF_STABLE = {
    "silu": (14.3201736180, 1.98800467827, 0.555143170722, 2.84979e-6, 14.5931049906),
    "gelu": ((3 + 17**0.5) / 2, 1.98305825744, 0.172922390756, -1.43626e-4, 3.03498143551),
    "gelu_tanh": (3.55677284472, 1.98288823982, 0.172895198264, -1.61819e-4, 2.97591939917),
    "mish": (1.67016913248, 2.01352406972, 0.0945217873707, 7.89397e-3, None),
    "hardswish": (4.80385594888, 1.97328958364, 0.507145848789, 1.39005e-3, 11.0316425783),
}
AT_ZERO = {  # class, C_W, coefficient
    "tanh": ("K*=0 stable", 1, -2), "sin": ("K*=0 stable", 1, -1), "erf": ("K*=0 stable", np.pi / 4, -2),
    "elu": ("K*=0 stable", 1, -((2 / np.pi) ** 0.5)), "selu": ("K*=0 stable", 0.476771017883, -1.17580886761),
    "spline_repu": ("K*=0 stable", 1, -8 / 3), "mrepu": ("K*=0 unstable", 1, 3),
    "gelu": ("K*=0 unstable", 4, 6 / np.pi),
    "gelu_tanh": ("K*=0 unstable", 4, 6 / np.pi), "silu": ("K*=0 unstable", 4, 0.75),
    "hardswish": ("K*=0 unstable", 4, 1 / 3), "mish": ("K*=0 unstable", 1 / 0.36, 0.693333333333),
}  # fmt: skip
SCALE_INVARIANT = {"relu": 2.0, "leaky_relu": 2 / 1.0001, "identity": 1.0}
NONE = {"repu", "monomial", "softplus", "sigmoid"}


def test_the_lists_cover_every_activation():
    assert HALF_STABLE.keys() | AT_ZERO.keys() | SCALE_INVARIANT.keys() | NONE == ACTIVATIONS.keys()


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_every_activation_is_classified(name):
    result = analyse(ACTIVATIONS[name]())
    classes = {point.universality_class: point for point in result.points}
    expected = set()
    if name in HALF_STABLE:
        K, C_W, C_b, curvature, companion = HALF_STABLE[name]
        point = classes["half-stable"]
        expected.add("half-stable")
        assert pytest.approx(K, rel=1e-10) == point.K
        assert (point.C_W, point.C_b) == (pytest.approx(C_W, rel=1e-10), pytest.approx(C_b, rel=1e-10))
        assert point.coefficient == pytest.approx(curvature, rel=1e-5)
        assert [other.K for other in point.companions] == (
            [] if companion is None else [pytest.approx(companion, rel=1e-9)]
        )
        assert all(other.stable for other in point.companions)
    if name in AT_ZERO:
        label, C_W, coefficient = AT_ZERO[name]
        expected.add(label)
        assert classes[label].K == 0 and classes[label].C_b == 0
        assert pytest.approx(C_W, rel=1e-11) == classes[label].C_W
        assert classes[label].coefficient == pytest.approx(coefficient, rel=1e-11)
        assert classes[label].order == (1.5 if name in ("elu", "selu") else 2)
        assert (result.a_1 is None) == (name in ("elu", "selu"))
    if name in SCALE_INVARIANT:
        expected.add("scale-invariant")
        assert classes["scale-invariant"].K is None
        assert pytest.approx(SCALE_INVARIANT[name], rel=1e-14) == classes["scale-invariant"].C_W
    assert classes.keys() == expected
    assert (result.certificate is not None) == (name in NONE)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_points_are_critical(name):
    """K = C_b + C_W g(K) and chi_parallel = chi_perp = 1, as the definition says."""
    activation = ACTIVATIONS[name]()
    for point in analyse(activation).points:
        for K in [point.K] if point.K else [1e-9] if point.K == 0 else [1e-5, 1.0, 1e5]:
            limit = 2e-4 if point.K == 0 else 1e-12
            assert point.C_b + point.C_W * float(gaussian.mean_square(activation, K)) == pytest.approx(K, rel=limit)
            assert point.C_W * float(gaussian.stein(activation, K)) == pytest.approx(1, rel=limit)
            assert point.C_W * float(gaussian.mean_square_slope(activation, K)) == pytest.approx(1, rel=limit)


def test_certificates_name_the_reason():
    assert "p/(2p-1) = 0.6667" in (analyse(RePU(2)).certificate or "")
    assert "s s'' >= 0 everywhere" in (analyse(ACTIVATIONS["softplus"]()).certificate or "")
    assert "s(0) is not 0" in (analyse(ACTIVATIONS["sigmoid"]()).certificate or "")


def test_expansion_coefficients_are_those_of_g():
    """a_1 and b_1 against g and E[s'^2] themselves at small K, also where s is another function on either side of 0."""
    names = ("tanh", "sin", "erf", "gelu", "gelu_tanh", "silu", "mish", "hardswish", "spline_repu")
    own = (lambda z: z.tanh().abs(), lambda z: torch.where(z > 0, z.tanh(), z / 2 + z**3 / 4))
    for activation in (*(ACTIVATIONS[name]() for name in names), *map(as_activation, own)):
        K = 1e-4
        result = analyse(activation)
        C_W = next(point.C_W for point in result.points if point.K == 0)
        assert (C_W * gaussian.stein(activation, K) - 1) / (2 * K) == pytest.approx(result.a_1, rel=5e-3)
        assert (C_W * gaussian.mean_square_slope(activation, K) - 1) / K == pytest.approx(result.b_1, rel=5e-3)


class Swish6(torch.nn.Module):
    """Hardswish without a word about its kinks."""

    def forward(self, z):
        return z * torch.clamp(z + 3, 0, 6) / 6


class Cubic(torch.nn.Module):
    def forward(self, z):
        return z + z**3


def test_a_users_own_activation():
    own, built_in = analyse(as_activation(Swish6())), analyse(ACTIVATIONS["hardswish"]())
    for mine, theirs in zip(own.points, built_in.points, strict=True):
        assert mine.universality_class == theirs.universality_class
        assert (mine.K, mine.C_W, mine.C_b) == pytest.approx((theirs.K, theirs.C_W, theirs.C_b), rel=1e-10)
    cubic = analyse(as_activation(Cubic()))
    assert [point.universality_class for point in cubic.points] == ["K*=0 unstable"] and cubic.a_1 == pytest.approx(6)
    softsign = analyse(as_activation(torch.nn.Softsign())).points[0]
    assert (softsign.universality_class, softsign.order) == ("K*=0 stable", 1.5)
    assert softsign.coefficient == pytest.approx(-4 * (2 / np.pi) ** 0.5, rel=1e-10)
    hardtanh = analyse(as_activation(torch.nn.Hardtanh())).points[0]
    assert (hardtanh.universality_class, hardtanh.coefficient) == ("K*=0 stable", 0.0)
    assert analyse(as_activation(torch.nn.ReLU())).points[0].universality_class == "scale-invariant"
    assert analyse(as_activation(torch.nn.Hardshrink())).points == ()


@pytest.mark.parametrize("sides", [1, 2], ids=["relu(z - c)", "Softshrink"])
def test_kinks_at_zeros_of_s_are_critical_at_every_K_each_with_its_own_variances(sides: int) -> None:
    """s s'' = 0, so chi_parallel = chi_perp, but g/K varies: no scale invariance. g = (K + c^2) Phi - c sqrt(K) phi."""
    c = 0.5
    activation = as_activation(torch.nn.Softshrink(c) if sides == 2 else lambda z: torch.relu(z - c))
    tail, density = ndtr(-c), math.exp(-(c**2) / 2) / math.sqrt(2 * math.pi)
    g, slope = sides * ((1 + c**2) * tail - c * density), sides * tail
    result = analyse(activation)
    (point,) = result.points
    assert (point.K, point.universality_class, result.near) == (1.0, "half-stable", ())
    assert pytest.approx(1 / slope, rel=1e-12) == point.C_W
    assert point.C_b == pytest.approx(1 - g / slope, rel=1e-12)
    chosen = critical_initialization(activation, 20)
    assert (chosen.C_W, chosen.C_b, chosen.k1) == (point.C_W, point.C_b, 1.0)


def test_a_kink_at_a_zero_of_s_below_minus_one_repels_from_zero_and_one_above_has_no_point() -> None:
    far = analyse(as_activation(lambda z: torch.relu(z) + torch.relu(-z - 1)))  # 2 g/K rises from 1
    assert [point.universality_class for point in far.points] == ["half-stable", "K*=0 unstable"]
    assert analyse(as_activation(lambda z: torch.relu(z + 0.5))).points == ()  # would need C_b < 0 at every K


def test_fixed_points_of_repu_with_biases():
    """p = 2: K = C_b + (3/2) C_W K^2 is a quadratic equation."""
    for C_W, C_b in ((1.0, 0.1), (2.0, 0.01), (0.3, 0.5), (1.0, 1e-12)):
        root = np.sqrt(1 - 6 * C_W * C_b)
        low, high = fixed_points(RePU(2), C_W, C_b)
        # The small root as 2 C_b / (1 + root): the textbook form cancels.
        assert pytest.approx((2 * C_b / (1 + root), (1 + root) / (3 * C_W)), rel=1e-12) == (low.K, high.K)
        assert low.stable and not high.stable
        assert low.chi_perp == pytest.approx(low.chi_parallel * 2 / 3)
    assert fixed_points(RePU(2), 1.0, 0.2) == []
    (half_stable,) = fixed_points(RePU(2), 1.0, 1 / 6)
    assert pytest.approx(1 / 3) == half_stable.K and half_stable.chi_parallel == 1.0


def test_fixed_points_satisfy_their_equation():
    for activation in (Tanh(), MRePU(1), MRePU(3), GELU(), SiLU(), ELU(), RePU(0.75), ACTIVATIONS["sigmoid"]()):
        for C_W, C_b in ((0.5, 0.0), (0.8, 1e-4), (1.5, 0.1), (3.0, 0.2), (2.0, 1e-9)):
            for point in fixed_points(activation, C_W, C_b):
                assert point.K is not None
                assert C_b + C_W * float(gaussian.mean_square(activation, point.K)) == pytest.approx(point.K, rel=1e-12)
                assert point.stable == (point.chi_parallel < 1)
    # A stable one is where the recursion goes.
    (only,) = fixed_points(Tanh(), 1.5, 0.1)
    assert kernel.layers(Tanh(), 1.5, 0.1, 3.0, 80).K[-1] == pytest.approx(only.K, rel=1e-12)


def test_fixed_points_at_a_critical_pair_include_both():
    for name, (K, C_W, C_b, _, companion) in HALF_STABLE.items():
        point = analyse(ACTIVATIONS[name]()).points[0]
        fixed = [other.K for other in fixed_points(ACTIVATIONS[name](), point.C_W, point.C_b)]
        assert fixed == pytest.approx(sorted(k for k in (K, companion) if k), rel=1e-7), (name, C_W, C_b)


def test_fixed_points_of_scale_invariant_activations():
    assert fixed_points(ReLU(), 2.0, 0.0)[0].K is None
    assert fixed_points(ReLU(), 2.0, 0.1) == [] and fixed_points(ReLU(), 3.0, 0.1) == []
    assert fixed_points(ELU(4e-14), 2.0, 0.0)[0].K is None and fixed_points(ELU(4e-14), 2.0, 0.1) == []
    for alpha in (1e-13, 3e-13, 1e-12):  # within a few roundings of it
        assert all(point.K is None or point.K >= 0 for point in fixed_points(ELU(alpha), 2.0, 0.0))
    assert [point.K for point in fixed_points(ReLU(), 1.0, 0.1)] == [pytest.approx(0.2)]
    assert [point.K for point in fixed_points(ReLU(), 1.0, 0.0)] == [0.0]


@pytest.mark.parametrize(
    "activation",
    [SplineRePU(2, plateau=4), SplineRePU(2, shift=-2.0, plateau=8), as_activation(torch.nn.Hardtanh())],
    ids=["wide", "one-sided", "hardtanh"],
)
def test_activations_that_are_linear_around_zero_have_no_fixed_points_of_noise(activation):
    """g(K) < K for every K > 0, by less than rounding where the ends of the linear piece are far away."""
    assert [point.K for point in fixed_points(activation, 1.0, 0.0)] == [0.0]
    zero, above = fixed_points(activation, 1.1, 0.0)
    assert zero.K == 0 and not zero.stable and above.stable and above.K is not None
    assert 1.1 * gaussian.mean_square(activation, above.K) == pytest.approx(above.K, rel=1e-12)


def test_critical_initialization_by_class():
    for name, (K, C_W, C_b, *_) in HALF_STABLE.items():
        chosen = critical_initialization(ACTIVATIONS[name](), 20)
        assert (chosen.k1, chosen.C_W, chosen.C_b) == pytest.approx((K, C_W, C_b), rel=1e-10)
    for name, C_W in SCALE_INVARIANT.items():
        chosen = critical_initialization(ACTIVATIONS[name](), 20)
        assert (chosen.k1, chosen.C_W, chosen.C_b) == pytest.approx((1.0, C_W, 0.0))
    for name in ("tanh", "sin", "erf", "elu", "selu", "spline_repu"):
        chosen = critical_initialization(ACTIVATIONS[name](), 20)
        assert (chosen.k1, chosen.C_b) == (1.0, 0.0) and pytest.approx(AT_ZERO[name][1]) == chosen.C_W
    for name in NONE:
        activation = ACTIVATIONS[name]()
        chosen = critical_initialization(activation, 20)
        assert "no critical point" in chosen.reason and (chosen.k1, chosen.C_b) == (1.0, 0.0)
        assert chosen.C_W * float(gaussian.mean_square(activation, 1.0)) == pytest.approx(1.0)


@pytest.mark.parametrize("activation", [MRePU(1), MRePU(2), MRePU(3), MRePU(2.5), as_activation(Cubic())], ids=str)
@pytest.mark.parametrize("depth", [5, 50, 1000])
def test_critical_initialization_beside_an_unstable_zero(activation, depth):
    """K1 = 0.15 / (a_1 L) on the line chi_parallel = 1: a fixed point with C_b > 0, chi_perp below 1."""
    chosen = critical_initialization(activation, depth)
    assert chosen.k1 == pytest.approx(0.15 / ((analyse(activation).a_1 or 0.0) * depth), rel=1e-12)
    assert chosen.C_b > 0
    result = kernel.layers(activation, chosen.C_W, chosen.C_b, chosen.k1, depth)
    np.testing.assert_allclose(result.K, chosen.k1, rtol=1e-9)
    np.testing.assert_allclose(result.chi_parallel[:-1], 1, rtol=1e-7)
    assert (result.chi_perp[:-1] < 1).all()


class Kinked(torch.nn.Module):
    """z + z |z|: g(K) = K + 2 E|z|^3 + E z^4 = K + 4 sqrt(2/pi) K^(3/2) + 3 K^2."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z + z * z.abs()


@pytest.mark.parametrize("depth", [10, 100])
def test_critical_initialization_beside_an_unstable_zero_with_a_kink(depth):
    """Of the gradient e^-.15 is left: ln chi_perp = -2 sqrt(2 K / pi), and K = (.3 / (4 sqrt(2/pi) L))^2."""
    activation = as_activation(Kinked())
    chosen = critical_initialization(activation, depth)
    assert chosen.k1 == pytest.approx((0.3 / (4 * np.sqrt(2 / np.pi) * depth)) ** 2, rel=1e-6)
    result = kernel.layers(activation, chosen.C_W, chosen.C_b, chosen.k1, depth)
    np.testing.assert_allclose(result.K, chosen.k1, rtol=1e-6)
    assert np.prod(result.chi_perp[:-1]) == pytest.approx(np.exp(-0.15), rel=0.02)


def test_bad_input_says_why():
    for bad, message in (
        (lambda: critical_initialization(ReLU(), 0), "depth=0 must be an integer"),
        (lambda: fixed_points(ReLU(), -1.0, 0.0), "must be at least 0"),
        (lambda: fate_map(Law.of(ReLU(), 1.0, 0.0, 1.0, 3), [-1.0], [0.0]), "C_W=-1.0 must be a finite number"),
        (lambda: fate_map(Law.of(ReLU(), 1.0, 0.0, 0.0, 3), [1.0], [0.0]), "k1=0.0 must be a positive"),
        (lambda: fixed_correlation(Tanh()), "is not homogeneous"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            bad()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "activation", [ReLU(), RePU(2), RePU(0.75), MRePU(1), GELU(), Tanh(), SELU(), ACTIVATIONS["softplus"]()], ids=str
)
def test_fate_map_agrees_with_the_recursion(activation: Activation):
    C_W, C_b, depth = np.array([0.0, 0.5, 1.0, 2.1, 4.0]), np.array([0.0, 1e-6, 0.3, 2.0]), 20
    result = fate_map(Law.of(activation, 1.0, 0.0, 1.0, depth), C_W, C_b)
    assert result.phase.shape == (len(C_b), len(C_W))
    for i, bias in enumerate(C_b):
        for j, weight in enumerate(C_W):
            exact = kernel.layers(activation, weight, bias, max(1.0, bias), depth)
            with np.errstate(invalid="ignore"):
                close = np.isclose(result.log10_K[i, j], exact.log10_K[-1], rtol=1e-5, atol=1e-4)
            assert close, (weight, bias, result.log10_K[i, j], exact.log10_K[-1])
            expected = (
                "explodes"
                if (exact.log10_K > np.log10(3.4028235e38)).any()
                else "vanishes"
                if (exact.log10_K < np.log10(1.4e-45)).any()
                else "chaotic"
                if exact.chi_perp[-2] > 1
                else "ordered"
            )
            assert PHASES[result.phase[i, j]] == expected, (weight, bias)


def test_fate_map_remembers_where_the_signal_left_the_format():
    """K^1 = 1e-46 is below float32's 1.4e-45; 16 times as large a layer later, and again, it is of order 1 at the end.

    From 1e-44 nothing is lost: the weights of tanh at C_W = 16 are chaotic.
    """
    lost, chaotic = (fate_map(Law.of(Tanh(), 1.0, 0.0, k1, 60), [16.0], [0.0]) for k1 in (1e-46, 1e-44))
    assert abs(lost.log10_K[0, 0] - chaotic.log10_K[0, 0]) < 0.01 and lost.log10_K[0, 0] > 0
    assert (PHASES[lost.phase[0, 0]], PHASES[chaotic.phase[0, 0]]) == ("vanishes", "chaotic")


def test_the_law_of_decay_is_that_of_the_iterated_kernel():
    """Softsign's K at its critical point: dK/dl = -c K^(3/2), so K l^2 -> 4 / c^2; tanh's K l -> 1 / |a_1|."""
    for activation, power in ((as_activation(torch.nn.Softsign()), 2), (Tanh(), 1)):
        point = analyse(activation).points[0]
        said = re.fullmatch(
            rf"attracts, K ~ ([\d.e+-]+)/l{'^2' if power == 2 else ''}".replace("^", r"\^"), point.stability
        )
        assert said is not None
        depth = 4000
        followed = kernel.layers(activation, point.C_W, 0.0, 1.0, depth).K[-1]
        assert followed * depth**power == pytest.approx(float(said[1]), rel=0.03)
