"""One-input averages against mpmath at 40 digits."""

import mpmath as mp
import numpy as np
import pytest
import torch
from oracles import ORACLES, mrepu, repu

from repu_lab.activations import ACTIVATIONS, ELU, GELU, Adapted, MRePU, ReLU, RePU, SplineRePU, Tanh, as_activation
from repu_lab.theory import gaussian
from repu_lab.theory.closed_forms import moments
from repu_lab.theory.quadrature import QuadratureMoments, jumps

QUANTITIES = ("mean_square", "stein", "mean_square_slope", "curvature_overlap", "second_variation")


def assert_agrees(activation, oracle, K, limit, quantities=QUANTITIES):
    for quantity, expected in oracle.averages(K).items():
        if quantity in quantities:
            value = float(getattr(gaussian, quantity)(activation, K))
            # What is 0 beside the oracle's own 40 digits (or its 30 after a difference) is compared as such.
            size = abs(expected) if abs(expected) > 1e-22 else 1
            assert abs(value - expected) < limit * size, (quantity, K, value, float(expected))


@pytest.mark.parametrize("p", [1, 1.5, 2, 2.5, 3, 5])
def test_repu_closed_forms(p):
    for K in (1e-6, 40.0):
        assert_agrees(RePU(p), repu(p), K, 1e-13)


@pytest.mark.parametrize("p", [0.6, 0.75])
def test_repu_below_one(p):
    """s' is infinite at 0+."""

    def moment(power):
        # x = t^10 leaves no singularity behind.
        density = 10 / mp.sqrt(2 * mp.pi)
        return mp.quad(lambda t: t ** (10 * power + 9) * mp.exp(-(t**20) / 2) * density, [0, 0.6, 1, 1.2, 1.4])

    K, q = 0.3, mp.mpf(p)
    expected = {
        "mean_square": K**q * moment(2 * q),
        "mean_square_slope": q**2 * K ** (q - 1) * moment(2 * q - 2),
        "stein": q * K ** (q - 1) * moment(2 * q),
        "curvature_overlap": q * (q - 1) * K ** (q - 1) * moment(2 * q - 2),
    }
    for quantity, value in expected.items():
        assert float(getattr(gaussian, quantity)(RePU(p), K)) == pytest.approx(float(value), rel=1e-13), quantity


@pytest.mark.parametrize("p", [1, 2, 3, 4, 5])
def test_mrepu_closed_forms_from_tiny_to_huge_kernels(p):
    for K in (1e-12, 1e-8, 1e-4, 1e-2, 0.3, 1.0, 30.0, 1e4, 1e8, 1e12):
        assert_agrees(MRePU(p), mrepu(p), K, 1e-13, QUANTITIES)


@pytest.mark.parametrize("name", ["erf", "sin", "gelu", "leaky_relu", "monomial"])
def test_closed_forms(name):
    for K in (1e-6, 0.2, 30.0) if name != "sin" else (1e-6, 0.2, 3.0):
        assert_agrees(ACTIVATIONS[name](), ORACLES[name], K, 1e-13)


@pytest.mark.parametrize("name", sorted(set(ORACLES) - {"erf", "sin", "gelu", "leaky_relu", "monomial"}))
def test_quadrature(name):
    for K in (1e-4, 1.0, 200.0):
        assert_agrees(ACTIVATIONS[name](), ORACLES[name], K, 1e-13, ("mean_square", "stein"))
    assert_agrees(ACTIVATIONS[name](), ORACLES[name], 2.0, 2e-12)


@pytest.mark.parametrize("activation", [RePU(2), RePU(1.5), ReLU(), MRePU(1), MRePU(3), GELU()], ids=str)
def test_quadrature_agrees_with_closed_forms_over_all_scales(activation):
    K = 10.0 ** np.arange(-10.0, 11.0, 2)
    form = QuadratureMoments(activation)
    for quantity in ("mean_square", "stein", "mean_square_slope"):
        np.testing.assert_allclose(getattr(form, quantity)(K), getattr(gaussian, quantity)(activation, K), rtol=1e-13)


def test_power_with_a_singular_slope_at_its_kink():
    """(1 + z)^1.3: the oracle's own panels are not graded towards the kink, which limits it to 8 digits."""
    for K in (1e-2, 1.0, 50.0):
        assert_agrees(MRePU(1.3), mrepu("1.3"), K, 1e-7, ("mean_square", "stein", "mean_square_slope"))


def test_parts_of_the_slope_add_up():
    """g' = E[s'^2] + E[s s''], delta functions included, for every activation."""
    K = np.array([0.01, 1.0, 30.0])
    for name, cls in ACTIVATIONS.items():
        a = cls()
        parts = gaussian.mean_square_slope(a, K) + gaussian.curvature_overlap(a, K)
        np.testing.assert_allclose(parts, gaussian.stein(a, K), rtol=1e-12, atol=1e-14, err_msg=name)


def test_undeclared_kinks_are_found():
    """The user's hardtanh has delta functions in s'' that it does not declare."""
    a = as_activation(torch.nn.Hardtanh(-0.7, 1.3))
    K = np.array([0.1, 1.0, 10.0])
    parts = gaussian.mean_square_slope(a, K) + gaussian.curvature_overlap(a, K)
    np.testing.assert_allclose(parts, gaussian.stein(a, K), rtol=1e-12)


def test_shapes_and_limits():
    for a in (RePU(2), MRePU(1), Tanh(), GELU(), ELU(), SplineRePU(2)):
        assert gaussian.mean_square(a, 1.0).shape == ()
        assert gaussian.stein(a, np.ones((2, 3))).shape == (2, 3)
        assert gaussian.mean_square(a, [0.0, 1.0])[0] == 0
    assert gaussian.mean_square(ACTIVATIONS["sigmoid"](), 0.0) == 0.25
    for quantity in ("stein", "mean_square_slope"):
        assert getattr(gaussian, quantity)(MRePU(2), 0.0) == pytest.approx(1.0, abs=1e-15)
        assert getattr(gaussian, quantity)(ReLU(), 0.0) == 0.5


class Exploding(torch.nn.Module):
    def forward(self, z):
        return torch.exp(z**2 / 8)


class Pole(torch.nn.Module):
    def forward(self, z):
        return torch.where(z > 20, torch.full_like(z, float("nan")), z)


class WrongDegree(torch.nn.Module):
    degree = 2.0

    def forward(self, z):
        return z.relu()


class Root(torch.nn.Module):
    degree = 0.5

    def forward(self, z):
        return z.abs().sqrt()


def test_bad_input_says_why():
    growing = Adapted(Exploding())  # which the door refuses
    assert gaussian.mean_square(growing, 1.0) == pytest.approx(2**0.5, rel=1e-13)  # E[exp(z^2/4)] = (1 - K/2)^(-1/2)
    for bad, message in (
        (lambda: gaussian.mean_square(growing, 3.0), "grows too fast to be averaged"),
        (lambda: gaussian.mean_square(as_activation(Pole()), 9.0), "Pole or its derivative is not finite at z="),
        (lambda: gaussian.mean_square(as_activation(WrongDegree()), 1.0), "says that its degree is 2"),
        (lambda: gaussian.mean_square(as_activation(Root()), 1.0), "must be greater than 1/2"),
        (lambda: gaussian.mean_square(Tanh(), -1.0), "K must be at least 0"),
        (lambda: gaussian.pair_mean(Tanh(), 1.0, 1.0, 2.0), "it is a covariance"),
        (lambda: gaussian.mean_square(torch.nn.Tanh(), 1.0), "is not an Activation"),  # pyright: ignore
    ):
        with pytest.raises(ValueError, match=message) as error:
            bad()
        assert "\n" not in str(error.value)


class FiniteWithinTen(torch.nn.Module):
    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return (100 - z * z).sqrt()


def test_an_activation_that_is_not_finite_has_few_kinks():
    left = np.linspace(-20.0123, 20.0117, 1601)
    assert len(jumps(FiniteWithinTen(), left[:-1], left[1:])) < 10


def test_a_slope_far_behind_a_kink_is_nothing_and_no_growth() -> None:
    """RePU(z - 1.07) at K = .009 has its kink 11 standard deviations away: P(z > 1.07) is 7e-30."""
    form = moments(RePU(2, shift=-1.07))
    K = np.geomspace(1e-3, 0.02, 40)
    for values in (form.mean_square(K), form.mean_square_slope(K), form.stein(K)):
        assert (values >= 0).all() and (values < 1e-8).all() and values[-1] > 0
