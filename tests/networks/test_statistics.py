"""Statistics against the same numbers computed the plain way, and on networks built to overflow at a known layer."""

import numpy as np
import pytest
import torch

from repu_lab.activations import Identity, RePU, Tanh
from repu_lab.networks import statistics
from repu_lab.networks.initialization import draw_, lecun
from repu_lab.networks.population import Population
from repu_lab.networks.statistics import AXES, HISTOGRAM_EDGES, measure

SIZES = (4, 9, 9, 5, 3)  # two hidden layers of one width and one of another


@pytest.fixture
def measured():
    population = Population(Tanh(), SIZES, 3, dtype=torch.float32)
    draw_(population, lecun(SIZES), range(3))
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    return population, x, measure(population, x, mean_square, histogram=True)


def mean_square(z_MPC):
    return z_MPC.square().sum(-1).mean(-1)


def test_every_quantity_equals_its_formula(measured):
    population, x, stats = measured
    z = [layer.detach().double().numpy() for layer in population.preactivations(x)]
    for l, z_MPN in enumerate(z):
        K = (z_MPN**2).mean(-1)
        np.testing.assert_allclose(stats.log10_K[l], np.log10(K), atol=1e-12)
        a, b = z_MPN[:, 0::2], z_MPN[:, 1::2]
        overlap = (a * b).sum(-1) / np.sqrt((a**2).sum(-1) * (b**2).sum(-1))
        np.testing.assert_allclose(stats.correlation[l], overlap, atol=1e-12)
        np.testing.assert_allclose(stats.mean[l], z_MPN.mean((1, 2)), atol=1e-12)
        np.testing.assert_allclose(stats.log10_max_abs[l], np.log10(np.abs(z_MPN).max((1, 2))), atol=1e-12)
        deviation = z_MPN - z_MPN.mean(-1, keepdims=True)
        kurtosis = (deviation**4).mean(-1) / (deviation**2).mean(-1) ** 2 - 3
        np.testing.assert_allclose(stats.excess_kurtosis[l], np.median(kurtosis, axis=1), atol=1e-9)
    for l, affine in enumerate(population.affine_maps()[1:]):
        W = affine.W_MIO.detach().double().numpy()
        C_W = W.shape[1] * (W**2).mean((1, 2))[:, None]
        s, slope = np.tanh(z[l]), 1 - np.tanh(z[l]) ** 2
        chi_parallel = C_W * (z[l] * s * slope).mean(-1) / (z[l] ** 2).mean(-1)
        np.testing.assert_allclose(10 ** stats.log10_chi_parallel[l], chi_parallel, rtol=1e-10)
        np.testing.assert_allclose(10 ** stats.log10_chi_perp[l], C_W * (slope**2).mean(-1), rtol=1e-10)
    assert stats.dead.shape == (3, 3) and not stats.dead.any()
    assert set(AXES) == set(dict(stats.measured()))


def test_gradient_is_that_of_each_inputs_own_loss(measured):
    population, x, stats = measured
    for i, example in enumerate(x):
        z = population.preactivations(example[None])
        for l, gradient in enumerate(torch.autograd.grad(mean_square(z[-1]).sum(), z)):
            alone = (gradient.double() ** 2).mean((1, 2)).log10()
            np.testing.assert_allclose(stats.log10_gradient[l, :, i], alone, atol=1e-5)


def test_histogram_counts_every_finite_value_once(measured):
    population, x, stats = measured
    for l, z in enumerate(population.preactivations(x)):
        wanted, _ = np.histogram(np.log10(np.abs(z.detach().double().numpy())), HISTOGRAM_EDGES)
        np.testing.assert_array_equal(stats.histogram[l].sum(0), wanted)
        assert (stats.zeros[l] == 0).all()


def test_members_measured_in_chunks_give_the_same_table(measured, monkeypatch):
    population, x, whole = measured
    monkeypatch.setattr(statistics, "CHUNK", 1)
    pieces = measure(population, x, mean_square, histogram=True)
    # Products of other shapes sum float32 in another order: a few eps of a number, absolute ones of its logarithm.
    for name in AXES:
        np.testing.assert_allclose(getattr(pieces, name), getattr(whole, name), rtol=1e-6, atol=1e-6, err_msg=name)


def chain_of_units(weights: list[float], activation, dtype=torch.float32) -> Population:
    """One unit a layer: z^l is the product of the weights for an identity activation."""
    population = Population(activation, [1] * (len(weights) + 1), 1, dtype=dtype)
    with torch.no_grad():
        for affine, weight in zip(population.affine_maps(), weights, strict=True):
            affine.W_MIO.fill_(weight)
    return population


def test_overflow_is_found_at_its_layer_and_told_from_nan():
    population = chain_of_units([1e10] * 6, Identity())
    stats = measure(population, torch.ones(2, 1), mean_square)
    np.testing.assert_allclose(stats.log10_K[:3, 0, 0], [20, 40, 60], rtol=1e-6)  # K = 1e60 is beyond float32, z is not
    assert np.isposinf(stats.log10_K[3:]).all()
    assert stats.first_bad_layer().tolist() == [4]
    assert stats.plus_inf[:, 0].tolist() == [0, 0, 0, 2, 2, 2] and not stats.nan.any()
    stats = measure(chain_of_units([-1e10, *[1e10] * 5], Identity()), torch.ones(2, 1), mean_square)
    assert stats.minus_inf[:, 0].tolist() == [0, 0, 0, 2, 2, 2] and stats.first_bad_layer().tolist() == [4]

    wide = Population(Identity(), [1, 2, 2, 1], 1)
    with torch.no_grad():
        wide.affine_maps()[0].W_MIO.copy_(torch.tensor([[[1e30, -1e30]]]))
        wide.affine_maps()[1].W_MIO.copy_(torch.tensor([[[1e30, 0.0], [0.0, 1e30]]]))
        wide.affine_maps()[2].W_MIO.fill_(1.0)
    stats = measure(wide, torch.ones(2, 1), mean_square)
    assert (stats.plus_inf[1, 0], stats.minus_inf[1, 0]) == (2, 2)
    assert stats.nan[:, 0].tolist() == [0, 0, 2]  # inf - inf
    assert np.isposinf(stats.log10_K[1]).all() and np.isnan(stats.log10_K[2]).all()
    assert stats.first_bad_layer().tolist() == [2]


def test_underflow_is_exact_zero_and_dead():
    population = chain_of_units([1e-20] * 4, RePU(2))
    stats = measure(population, torch.ones(2, 1), mean_square)
    assert stats.log10_K[0, 0, 0] == pytest.approx(-40, abs=1e-5)
    assert np.isneginf(stats.log10_K[1:]).all()  # (1e-20)^2 1e-20 = 1e-60
    assert stats.dead[:, 0].tolist() == [0, 1, 1]
    assert stats.first_bad_layer().tolist() == [0]


def test_a_float64_kernel_beyond_its_square_is_still_right():
    stats = measure(
        chain_of_units([1e100, 1e100, 1.0], Identity(), torch.float64), torch.ones(2, 1).double(), mean_square
    )
    np.testing.assert_allclose(stats.log10_K[:, 0, 0], [200, 400, 400])


class Bump(torch.nn.Module):
    def forward(self, z):
        return torch.exp(-z * z)


def test_negative_chi_parallel_has_no_logarithm():
    """s = exp(-z^2) shrinks as z grows: z s s' < 0."""
    stats = measure(chain_of_units([1.0, 1.0], Bump()), torch.ones(2, 1), mean_square)
    assert np.isnan(stats.log10_chi_parallel).all()
    np.testing.assert_allclose(stats.log10_chi_perp, np.log10((2 * np.exp(-1)) ** 2), rtol=1e-6)


def test_dead_units_are_those_without_a_slope_on_every_input():
    """One of four units is far below zero for all inputs, another for some."""
    population = Population(RePU(2), (2, 4, 1), dtype=torch.float64)
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [2.0, 1.0], [0.5, 1.0]], dtype=torch.float64)
    with torch.no_grad():
        first, _ = population.affine_maps()
        first.W_MIO[0, 0] = 1.0
        first.b_M1O[0, 0] = torch.tensor([-9.0, 0.0, 9.0, 9.0])
    assert measure(population, x, lambda z_MPC: z_MPC.sum((1, 2))).dead.tolist() == [[0.25]]
