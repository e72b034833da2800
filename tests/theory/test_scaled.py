"""MRePU with a scaled argument: against mpmath, quadrature and the law that it obeys, K in units of scale^2."""

import mpmath as mp
import numpy as np
import pytest
from finite_width_oracles import blow_up_probability_log_diffusion
from oracles import Oracle

from repu_lab.activations import MRePU
from repu_lab.theory import gaussian
from repu_lab.theory.choosing import critical_initialization
from repu_lab.theory.criticality import UNSTABLE_AT_0, analyse
from repu_lab.theory.finite_width import blow_up_probability
from repu_lab.theory.kernel import layers
from repu_lab.theory.quadrature import QuadratureMoments

QUANTITIES = ("mean_square", "stein", "mean_square_slope", "curvature_overlap", "second_variation")


def oracle(p: int, scale: float) -> Oracle:
    """s and s' of z (1 + z/a)^p, written once more."""
    a = mp.mpf(scale)
    return Oracle(
        lambda z: z * (1 + z / a) ** p if z > -a else mp.mpf(0),
        lambda z: (1 + z / a) ** (p - 1) * (1 + (p + 1) * z / a) if z > -a else mp.mpf(0),
        (-scale, 0.0),
    )


@pytest.mark.parametrize(("p", "scale"), [(1, 30.0), (2, 0.05), (3, 4.0)])
def test_averages_equal_those_of_the_definition(p, scale):
    for share in (1e-6, 0.3, 100.0):
        K = share * scale**2
        averages = oracle(p, scale).averages(K)
        for quantity in QUANTITIES:
            value = float(getattr(gaussian, quantity)(MRePU(p, scale), K))
            assert value == pytest.approx(float(averages[quantity]), rel=1e-12), (quantity, K)


@pytest.mark.parametrize("p", [1, 1.5, 2])
def test_quadrature_of_the_scaled_function_agrees(p):
    K, activation = np.array([0.1, 3.0, 50.0]), MRePU(p, 3.0)
    direct = QuadratureMoments(activation, graded=p == 1.5)
    for quantity in QUANTITIES:
        wanted = getattr(direct, quantity)(K)
        np.testing.assert_allclose(getattr(gaussian, quantity)(activation, K), wanted, rtol=1e-10, err_msg=quantity)


def test_pairs_agree_with_quadrature():
    K11, K22, K12 = np.array([2.0, 9.0]), np.array([5.0, 1.0]), np.array([1.5, -2.0])
    for p in (1, 2):
        means = gaussian.pair_mean(MRePU(p, 2.0), K11, K22, K12)
        for value, wanted in zip(means, QuadratureMoments(MRePU(p, 2.0)).pair_mean(K11, K22, K12), strict=True):
            np.testing.assert_allclose(value, wanted, rtol=1e-12)


@pytest.mark.parametrize("p", [1, 2, 2.5])
@pytest.mark.parametrize("scale", [0.01, 5.0, 300.0])
def test_a_1_falls_by_the_square_of_the_scale(p, scale):
    criticality = analyse(MRePU(p, scale))
    assert criticality.points[0].universality_class == UNSTABLE_AT_0 and len(criticality.points) == 1
    assert criticality.a_1 == pytest.approx((6 * p**2 - 3 * p) / scale**2, rel=1e-12)
    assert criticality.b_1 == pytest.approx((7 * p**2 - 3 * p) / scale**2, rel=1e-12)


def test_a_network_at_a_scale_is_the_other_one_in_other_units():
    """K^l(a^2 k1) = a^2 K^l(k1), past float64 too; `critical` finds the same network."""
    scale, depth = 20.0, 30
    plain, scaled = layers(MRePU(1), 1.0, 0.0, 0.3, depth), layers(MRePU(1, scale), 1.0, 0.0, 0.3 * scale**2, depth)
    # Where float64 ends theory follows a power of z that s is up to scale / sqrt(LARGE_K) = 2e-11, a few times.
    np.testing.assert_allclose(scaled.log10_K, plain.log10_K + 2 * np.log10(scale), rtol=1e-9)
    np.testing.assert_allclose(scaled.log10_chi_perp, plain.log10_chi_perp, rtol=1e-9)
    start, own = critical_initialization(MRePU(2), depth), critical_initialization(MRePU(2, scale), depth)
    assert (own.k1, own.C_W) == pytest.approx((start.k1 * scale**2, start.C_W), rel=1e-12)
    assert own.C_b == pytest.approx(start.C_b * scale**2, rel=1e-8)


def test_blow_up_at_a_scale():
    """P depends on n a_1 K^1 alone, wherever the scale puts it."""
    n, x = 256, 0.7
    for scale in (1.0, 100.0):
        probability = blow_up_probability_log_diffusion(MRePU(1, scale), width=n, k1=x * scale**2 / (3 * n))
        assert probability == pytest.approx(float(blow_up_probability(x)), abs=0.03)
