"""What the signal claims measure, against theory, the lab's other measurements and single networks."""

import math

import numpy as np
import pytest
import torch

from repu_lab.activations import MRePU, ReLU, RePU, Tanh
from repu_lab.claims.lab import Lab
from repu_lab.claims.signal.fates import KEPT, fates, rule_at
from repu_lab.claims.signal.growth import fixed_point, slope
from repu_lab.claims.signal.keeping import kept_by_layer, measured
from repu_lab.claims.signal.measuring import log10_kernel, populations, sphere
from repu_lab.claims.signal.meeting import first_layer_chi
from repu_lab.claims.signal.ratio import chi_sums
from repu_lab.networks.initialization import uniform_depth
from repu_lab.networks.population import Population
from repu_lab.networks.statistics import measure
from repu_lab.theory import PHASES

SIZES = (16, 32, 32, 32, 4)


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path, scale="smoke", versions={"repu-lab": "1"})


def networks(activation, C_W, *, k1=1.0, C_b=0.0, members=3, sizes=SIZES, dtype=torch.float64) -> Population:
    rule = uniform_depth("test", sizes, C_W=C_W, C_b=C_b, k1=k1)
    (population,) = populations(activation, sizes, [rule] * members, range(members), dtype=dtype)
    return population


def test_inputs_have_unit_mean_square():
    torch.testing.assert_close(sphere(5, 16).square().mean(-1), torch.ones(5, dtype=torch.float64))


def test_the_kernel_is_that_of_the_labs_statistics():
    population = networks(MRePU(1), 1.0, k1=0.1)
    x = sphere(4, 16)
    stats = measure(population, x, lambda z_MBC: z_MBC.mean((-1, -2)))
    np.testing.assert_allclose(log10_kernel(population, x), stats.log10_K, rtol=1e-10)


def test_the_kernel_says_where_a_format_ends():
    """RePU in float32: the signal overflows, or becomes exactly 0; what comes after is infinite or no number."""
    deep = (16, *[32] * 12, 4)
    up, down = networks(RePU(3), 5.0, sizes=deep, dtype=torch.float32), networks(RePU(3), 1e-3, sizes=deep)
    assert not np.isfinite(log10_kernel(up, sphere(1, 16))[-1]).any()
    assert (log10_kernel(down, sphere(1, 16))[-1] == -np.inf).all()


def test_the_slope_of_a_double_exponential_is_the_log_of_its_base():
    layer = np.arange(1, 20)
    assert slope(0.4 * 2.5**layer) == pytest.approx(math.log(2.5))
    assert slope(-0.4 * 2.5**layer) == pytest.approx(math.log(2.5))
    exponential = slope(4.0 * layer)
    assert 0 < exponential < 0.3
    assert math.isnan(slope(np.array([1.0, 2.0, 4.0, np.inf])))


def test_at_the_fixed_point_the_kernel_of_a_wide_network_stays():
    """C_W c_2 K = 1 at p = 2, c_2 = 3/2."""
    assert fixed_point(2) == pytest.approx(2 / 3) and fixed_point(2, C_W=3.0) == pytest.approx(2 / 9)


def test_chi_sums_are_the_labs_susceptibilities_at_unit_kernel():
    p, C_W = 2.0, 0.8
    population = networks(RePU(p), C_W)
    x = sphere(1, 16)
    sums, _ = chi_sums(population, x)
    stats = measure(population, x, lambda z_MBC: z_MBC.mean((-1, -2)))
    chi = 10 ** (stats.log10_chi_parallel - stats.log10_chi_perp)
    np.testing.assert_allclose(sums[:, :, 0] / sums[:, :, 1], chi[:, :, 0].T, rtol=1e-10)


def test_first_layer_susceptibilities_of_a_linear_unit_are_one():
    """At K = 1e-12 MRePU is the identity up to terms of order 1e-6."""
    chi = first_layer_chi(networks(MRePU(2), 1.0), sphere(4, 16) * 1e-6)
    np.testing.assert_allclose(chi, 1.0, atol=1e-5)


CELLS = [(ReLU(), 1e-4, 0.0, "vanishes"), (Tanh(), 0.5, 0.3, "ordered"), (Tanh(), 4.0, 0.0, "chaotic"),
         (RePU(2), 3.0, 0.0, "explodes")]  # fmt: skip


@pytest.mark.parametrize(("activation", "C_W", "C_b", "fate"), CELLS)
def test_fates_are_what_they_are_called(activation, C_W, C_b, fate, lab):
    sizes = (16, *[32] * 20, 4)
    fate_M, moved_M = fates(activation, sizes, [rule_at(sizes, C_W, C_b, 1.0)] * 3, [0, 1, 2], lab)
    assert [PHASES[code] for code in fate_M] == [fate] * 3
    assert not (moved_M < KEPT).any()


def test_a_critical_network_keeps_signal_and_gradient(lab):
    sizes = (16, *[64] * 20, 4)
    _, moved_M = fates(ReLU(), sizes, [rule_at(sizes, 2.0, 0.0, 1.0)] * 3, [0, 1, 2], lab)
    assert (moved_M < KEPT).all()


def test_kept_is_a_matter_of_every_layer_and_every_input():
    """Layers x networks x inputs: kept; out and back; one input of two; not finite."""
    log10_K = np.zeros((4, 4, 2))
    log10_K[2, 1] = 1.5
    log10_K[3, 2, 0] = -1.2
    log10_K[3, 3] = np.inf
    kept = kept_by_layer(log10_K, 10.0)
    assert kept.T.tolist() == [[True] * 4, [True, True, False, False], [True] * 3 + [False], [True] * 3 + [False]]


def test_a_scaled_input_sees_the_network_of_another_k1(lab):
    """The networks of `repu-lab propagate ... initialization.k1=0.01` themselves, on inputs of size 1."""
    together = measured(lab, 1.0, 16, 2, [1.0, 0.01])
    alone = lab.build(
        "activation=mrepu",
        "activation.p=1",
        "depth=50",
        "width=16",
        "members=2",
        "initialization=custom",
        "initialization.c_w=1",
        "initialization.k1=0.01",
    )
    direct = log10_kernel(alone.population(), sphere(16, alone.sizes[0]))[:-1]
    np.testing.assert_allclose(together[:, :, 1], direct, atol=1e-3)
    assert any("initialization.k1=0.01" in command for command in lab.commands)
