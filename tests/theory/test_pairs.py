"""Two-input averages: closed forms against the two-dimensional quadrature, series and explicit formulas."""

from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr

from repu_lab.activations import (
    ELU,
    GELU,
    Erf,
    Hardswish,
    Identity,
    LeakyReLU,
    Monomial,
    MRePU,
    ReLU,
    RePU,
    SiLU,
    Sin,
    SplineRePU,
    Tailored,
    Tanh,
    as_activation,
)
from repu_lab.theory import gaussian
from repu_lab.theory.angles import angle
from repu_lab.theory.closed_forms import rectified_pair
from repu_lab.theory.pair_quadrature import pair_average
from repu_lab.theory.quadrature import QuadratureMoments

PAIRS = [
    (1.0, 1.2, 0.4),
    (0.05, 0.06, 0.02),
    (1.0, 1.0, -0.7),
    (30.0, 10.0, 17.0),
    (1.0, 1.0, 1 - 1e-8),
    (2.0, 0.1, 0.0),
    (3.0, 2.0, -2.449),
    (20.0, 20.0, 19.0),
    (4.0, 1.0, 2.0),
]


def scales(activation, K11, K22):
    """The size of both averages: sqrt of the product of the two diagonal ones."""
    return [
        np.sqrt(function(activation, K11) * function(activation, K22))
        for function in (gaussian.mean_square, gaussian.mean_square_slope)
    ]


@pytest.mark.parametrize(
    "activation",
    [ReLU(), LeakyReLU(0.2), RePU(2), RePU(3), Monomial(2), Monomial(3), Identity(), MRePU(1), MRePU(2), MRePU(5),
     Erf(), Sin(), GELU()],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_closed_forms_agree_with_quadrature(activation, pair):
    exact = gaussian.pair_mean(activation, *pair)
    numeric = QuadratureMoments(activation).pair_mean(*(np.asarray(K) for K in pair))
    for a, b, scale in zip(exact, numeric, scales(activation, *pair[:2]), strict=True):
        assert abs(a - b) <= 2e-13 * scale


@pytest.mark.parametrize("pair", [(1.0, 1.2, 0.4), (1.0, 1.0, -0.99), (1.0, 1.0, 1 - 1e-8), (9.0, 1.0, 2.9)], ids=str)
def test_a_power_that_nobody_declared(pair):
    exact = gaussian.pair_mean(RePU(1.5), *pair)
    own = gaussian.pair_mean(as_activation(lambda z: z.relu() ** 1.5), *pair)
    for a, b, scale in zip(exact, own, scales(RePU(1.5), *pair[:2]), strict=True):
        assert abs(a - b) <= 1e-12 * scale


def test_a_tailored_one_changes_where_it_was_shifted_to():
    """tanh(u + 20) against the trapezoidal rule of the plane."""
    K, r, x = 400.0, 0.9975, np.arange(-9.5, 9.5, 0.012)
    weights = np.exp(-x * x / 2) / np.exp(-x * x / 2).sum()
    u = np.sqrt(K) * x + 20
    v = np.sqrt(K) * (r * x[:, None] + np.sqrt(1 - r * r) * x) + 20
    value, gain = gaussian.pair_mean(Tailored(Tanh(), 1.0, 20.0, 1.0, 0.0), K, K, r * K)
    assert value == pytest.approx((weights * np.tanh(u)) @ (np.tanh(v) @ weights), rel=1e-12)
    assert gain == pytest.approx((weights / np.cosh(u) ** 2) @ (np.cosh(v) ** -2 @ weights), rel=1e-12)


@pytest.mark.parametrize("r", [-0.99, 0.3, 0.9, 0.999, 1 - 1e-7])
def test_kinks_against_adaptive_quadrature(r):
    """clamp of u times E[clamp of v | u], which is known, by QUADPACK; P(both between the kinks) likewise."""
    low, high, K22 = -0.7, 1.3, 2.0
    spread = np.sqrt(K22 * (1 - r) * (1 + r))

    def conditional(u: float) -> tuple[float, float]:
        ends = (np.array([low, high]) - r * np.sqrt(K22) * u) / spread
        below, above = ndtr(ends[0]), ndtr(-ends[1])
        inside, density = ndtr(ends[1]) - below, np.exp(-(ends**2) / 2) / np.sqrt(2 * np.pi)
        mean = r * np.sqrt(K22) * u * inside + spread * (density[0] - density[1]) + low * below + high * above
        return float(mean), float(inside)

    def average(function) -> float:
        steps = [(c + k * spread) / r / np.sqrt(K22) for c in (low, high) for k in (-9, -3, 0, 3, 9)]
        cuts = sorted({-9.5, low, high, 9.5, *(step for step in steps if abs(step) < 9.5)})
        parts = [
            quad(lambda u: function(u) * np.exp(-u * u / 2) / np.sqrt(2 * np.pi), a, b, epsabs=1e-13, limit=500)[0]
            for a, b in pairwise(cuts)
        ]
        return sum(parts)

    value, gain = gaussian.pair_mean(as_activation(lambda z: z.clamp(low, high)), 1.0, K22, r * np.sqrt(K22))
    assert value == pytest.approx(average(lambda u: min(max(u, low), high) * conditional(u)[0]), abs=1e-12)
    assert gain == pytest.approx(average(lambda u: (low < u < high) * conditional(u)[1]), abs=1e-12)


@pytest.mark.parametrize("distance", [1e-6, 1e-9, 1e-12])
def test_nearly_equal_inputs_keep_their_difference(distance):
    """g - E[s(u) s(v)] is (1 - r) K E[s'^2] to first order, of which a kink leaves (1 - r)^(3/2)."""
    activation = as_activation(lambda z: z.clamp(-0.7, 1.3))
    value, _ = gaussian.pair_mean(activation, 1.0, 1.0, 1 - distance)
    lost = gaussian.mean_square(activation, 1.0) - value
    expected = (1 - (1 - distance)) * gaussian.mean_square_slope(activation, 1.0)
    assert lost == pytest.approx(float(expected), rel=np.sqrt(distance), abs=2e-16)


@pytest.mark.parametrize(
    "activation", [Tanh(), SiLU(), ELU(), Hardswish(), SplineRePU(2), MRePU(1.5), GELU(), MRePU(2), RePU(1.5)], ids=str
)
def test_parallel_independent_and_opposite_inputs(activation):
    for K in (0.02, 1.0, 9.0):
        value, gain = gaussian.pair_mean(activation, K, K, K)
        assert value == pytest.approx(float(gaussian.mean_square(activation, K)), rel=1e-12)
        assert gain == pytest.approx(float(gaussian.mean_square_slope(activation, K)), rel=1e-11)
        # Cauchy-Schwarz, with room for rounding only.
        assert abs(gaussian.pair_mean(activation, K, 2 * K, 0.9 * K)[0]) <= scales(activation, K, 2 * K)[0] * (
            1 + 1e-12
        )


@pytest.mark.parametrize("activation", [Tanh(), SiLU(), GELU(), MRePU(2), ELU()], ids=str)
def test_hermite_series(activation):
    """E[s(u) s(v)] = sum_n a_n(K11) a_n(K22) r^n (Mehler), a_n = E[s(sqrt(K) x) He_n(x)] / sqrt(n!)."""
    form = QuadratureMoments(activation)
    r, total = 0.3, 0.0
    for n in range(36):
        a = []
        for K in (0.7, 1.1):
            z, weights = form.rule(np.array([K]))
            he = np.polynomial.hermite_e.hermeval(z / np.sqrt(K), [0.0] * n + [1.0])
            a.append(float((form.s(z) * he * weights).sum()) / float(mp.sqrt(mp.factorial(n))))
        total += a[0] * a[1] * r**n
    assert gaussian.pair_mean(activation, 0.7, 1.1, r * np.sqrt(0.77))[0] == pytest.approx(total, rel=1e-12)


def test_gain_is_the_derivative_in_the_covariance():
    """d E[s(u) s(v)] / d K12 = E[s'(u) s'(v)] (Price), by a five-point difference."""
    h = 1e-3
    for activation in (Tanh(), ELU(), MRePU(2), GELU(), RePU(2.5), Erf(), LeakyReLU(0.3), SplineRePU(3)):
        f = [float(gaussian.pair_mean(activation, 1.0, 1.3, 0.4 + k * h)[0]) for k in (-2, -1, 1, 2)]
        difference = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h)
        assert gaussian.pair_mean(activation, 1.0, 1.3, 0.4)[1] == pytest.approx(difference, rel=1e-9)


def test_arc_cosine_polynomials():
    theta = np.linspace(0, 1.57, 30)
    sin, cos, rest = np.sin(theta), np.cos(theta), np.pi - theta
    explicit = [
        rest,
        sin + rest * cos,
        3 * sin * cos + rest * (1 + 2 * cos**2),
        sin * (4 + 11 * cos**2) + rest * (9 * cos + 6 * cos**3),
    ]
    for p, J in enumerate(explicit):
        np.testing.assert_allclose(2 * np.pi * rectified_pair(p, theta), J, rtol=1e-14)


@pytest.mark.parametrize("p", [-0.25, 0.5, 1.5, 2.3])
def test_real_powers_against_mpmath(p):
    for theta in (0.01, 0.4, 1.2, 1.9):
        with mp.workdps(30):
            r, q = mp.cos(mp.mpf(theta)), mp.mpf(p)
            even = mp.gamma((q + 1) / 2) ** 2 * mp.hyp2f1(-q / 2, -q / 2, 0.5, r**2)
            odd = 2 * r * mp.gamma(q / 2 + 1) ** 2 * mp.hyp2f1((1 - q) / 2, (1 - q) / 2, 1.5, r**2)
            expected = float(2 ** (q - 2) / mp.pi * (even + odd))
        assert rectified_pair(p, np.array(theta)) == pytest.approx(expected, rel=3e-13)


def test_small_angles_are_not_lost():
    """The determinant of nearly parallel inputs is exact to rounding, at any scale."""
    for scale in (1.0, 2.0**-600, 2.0**600):
        for delta in (1e-3, 1e-10, 2.0**-50):
            K12 = 1 - delta
            with mp.workdps(60):
                expected = float(mp.acos(mp.mpf(K12)))
            theta = float(angle(np.asarray(scale), np.asarray(scale), np.asarray(K12 * scale)))
            assert theta == pytest.approx(expected, rel=1e-15)


def test_kernel_matrix_of_many_inputs_is_symmetric_and_positive():
    """Vectorised over pairs: 30 inputs at once equal one pair at a time."""
    x = np.random.default_rng(0).standard_normal((30, 40))
    K = x @ x.T / 40
    d = np.diag(K)
    value, gain = gaussian.pair_mean(MRePU(2), d[:, None], d[None, :], K)
    np.testing.assert_allclose(value, value.T, rtol=1e-12, atol=1e-13)
    assert np.linalg.eigvalsh(value).min() > 0 and np.linalg.eigvalsh(gain).min() > 0
    assert value[3, 7] == pytest.approx(float(gaussian.pair_mean(MRePU(2), d[3], d[7], K[3, 7])[0]), rel=1e-13)


def test_inputs_of_no_correlation_have_no_average():
    assert np.isnan(pair_average(QuadratureMoments(Tanh()), 1.0, 1.0, np.nan)).all()
