"""Blocks by theory: closed forms, and wide networks."""

import numpy as np
import pytest
import torch
from laws import sized
from scipy.optimize import brentq
from scipy.stats import ks_2samp

from made_up_block import COOLED
from repu_lab.activations import Activation, MRePU, ReLU, RePU, Tanh
from repu_lab.blocks import PLAIN, RESIDUAL, Block
from repu_lab.blocks.maps import LAYER, RMS
from repu_lab.networks.initialization import critical, draw_, uniform_depth
from repu_lab.networks.population import Population
from repu_lab.networks.statistics import LayerStatistics, measure
from repu_lab.theory.inputs import Pair
from repu_lab.theory.kernel import correlations, layers
from repu_lab.theory.law import Law
from repu_lab.theory.pair_chain import pair_chain
from repu_lab.theory.rates import adam_rate, sgd_rate
from repu_lab.theory.tangent import tangent_layers
from same_statistics import assert_as_in_wide_networks

F64 = torch.float64
BLOCKS = {
    "residual": RESIDUAL,
    "half": Block(residual=True, branch=0.5),
    "rms": Block(before=RMS),
    "layer": Block(before=LAYER),
    "layer after": Block(after=LAYER),
    "frozen": Block(frozen=True),
    "rms residual": Block(residual=True, before=RMS, branch=0.5),
    "layer after residual": Block(residual=True, after=LAYER, branch=0.5),
    "frozen residual": Block(residual=True, frozen=True, branch=0.5),
    "cooled, as a newcomer adds it": Block(before=COOLED),
}


def measured(population: Population, x: torch.Tensor) -> LayerStatistics:
    sign = torch.ones(population.sizes[-1], dtype=population.theta.dtype)
    return measure(population, x, lambda z: (z @ sign).mean(-1))


@pytest.mark.parametrize("p", [2, 3, 4])
def test_rms_norm_cures_the_signal_and_not_the_gradient(p):
    """K stays, chi_parallel = 0, and the gradient grows by p^2 / (2p - 1) a layer: 4/3, 9/5, 16/7."""
    rule = critical(RePU(p), (3, *[9] * 50, 2), Block(before=RMS))
    kernel = layers(RePU(p), rule.C_W[1:], rule.C_b[1:], rule.k1, 50, block=Block(before=RMS))
    np.testing.assert_allclose(kernel.K, 1.0, rtol=1e-12)
    np.testing.assert_allclose(kernel.chi_perp[:-1], p**2 / (2 * p - 1), rtol=1e-12)
    assert (kernel.chi_parallel[:-1] == 0).all()


@pytest.mark.parametrize(("p", "c", "slope"), [(2, 0.379957, 0.708739), (3, 0.131334, 0.410969)])
def test_the_angle_of_two_inputs_settles_where_the_map_says(p, c, slope):
    C_W = critical(RePU(p), (3, 9, 2), Block(before=RMS)).C_W[1]
    kernel = correlations(Law.of(RePU(p), C_W, 0.0, 2.0, 60, block=Block(before=RMS)), 0.5, 0.9)
    assert kernel.correlation[-1] == pytest.approx(c, abs=1e-6)
    assert kernel.gain[-2] == pytest.approx(slope, abs=1e-6)


@pytest.mark.parametrize(("p", "shift", "share"), [(2, 0.53725939, 0.5), (3, 1.38278436, 6.0), (4, 2.30042585, 67.5)])
def test_critical_lines_of_rms_norm(p, shift, share):
    """chi_perp = 1 at s(z + b*), and at C_b / C_W = E[s'^2] - E[s^2], at K = 1."""

    def chi(b: float) -> float:
        g = critical(RePU(p, b), (3, 9, 2), Block(before=RMS)).C_W[1]
        return float(layers(RePU(p, b), g, 0.0, 1.0, 2, block=Block(before=RMS)).chi_perp[0]) - 1

    assert brentq(chi, shift - 0.2, shift + 0.2) == pytest.approx(shift, abs=1e-7)
    g = 1 / critical(RePU(p), (3, 9, 2), Block(before=RMS)).C_W[1]
    C_W = 1 / (g + share)
    kernel = layers(RePU(p), C_W, share * C_W, 1.0, 5, block=Block(before=RMS))
    np.testing.assert_allclose(kernel.K, 1.0, rtol=1e-12)
    np.testing.assert_allclose(kernel.chi_perp[:-1], 1.0, rtol=1e-12)


def test_layer_norm_behind_a_shifted_square():
    """chi = (4 b^2 + 4) / (4 b^2 + 2) for (z + b)^2, of which RePU_2(z + 4) misses the left 3e-5 of the normal law."""
    block = Block(after=LAYER)
    rule = critical(RePU(2, 4.0), (3, *[9] * 5, 2), block)
    kernel = layers(RePU(2, 4.0), rule.C_W[1:], 0.0, 1.0, 5, block=block)
    np.testing.assert_allclose(kernel.K, 1.0, rtol=1e-12)
    np.testing.assert_allclose(kernel.chi_perp[:-1], 68 / 66, rtol=1e-4)
    parabola = layers(Shifted(), 1.0, 0.0, 1.0, 5, block=block)
    np.testing.assert_allclose(parabola.chi_perp[:-1], 68 / 66, rtol=1e-12)


class Shifted(Activation):
    """(z + 4)^2."""

    def forward(self, z):
        return (z + 4) ** 2

    def derivative(self, z):
        return 2 * (z + 4)

    def second_derivative(self, z):
        return 2 * torch.ones_like(z)


@pytest.mark.parametrize("p", [2, 3])
def test_a_residual_network_of_any_depth_is_as_deep_as_the_growth_of_its_kernel(p):
    """RMS, a = 1/sqrt(L): K^L = 1 + (L-1)/L, gain prod(1 + chi / (L K^l)) -> 2^chi; 2.481, 3.40 at L = 50."""
    L = 50
    block = Block(residual=True, before=RMS, branch=L**-0.5)
    rule = critical(RePU(p), (3, *[9] * L, 2), block)
    kernel = layers(RePU(p), rule.C_W[1:], 0.0, rule.k1, L, block=block)
    np.testing.assert_allclose(kernel.K[:-1], 1 + np.arange(L) / L, rtol=1e-12)
    assert 10 ** kernel.log10_gain[: L - 1].sum() == pytest.approx({2: 2.481, 3: 3.40}[p], rel=2e-3)


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("activation", [Tanh(), RePU(2), MRePU(1)], ids=["tanh", "repu2", "mrepu1"])
def test_wide_networks_measure_what_theory_says(name, activation):
    """log10 K, chi and the correlation of 24 networks of width 300: means by their standard error and O(L/n)."""
    block, depth, members, width = BLOCKS[name], 5, 24, 300
    sizes = (4, *[width] * depth, 2)
    population = Population(activation, sizes, members, block=block, dtype=F64)
    draw_(population, uniform_depth("custom", sizes, C_W=0.6, C_b=0.05, k1=0.5), range(members))
    x = torch.tensor([[1.0, -1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]], dtype=F64)
    population.freeze_(x)
    stats = measured(population, x)
    theory = layers(activation, 0.6, 0.05, 0.5, depth, block=block)
    pair = correlations(Law.of(activation, 0.6, 0.05, 0.5, depth, block=block), 0.5, 0.05 + 0.45 / 2)
    assert_as_in_wide_networks(stats, theory, pair.correlation, width)


@pytest.mark.parametrize(("p", "chi"), [(2, 4 / 3), (3, 9 / 5)])
def test_gradients_of_real_normalised_networks(p, chi):
    """exp of the mean log of the gradient's gain a layer: within three standard errors, at n = 512."""
    depth, members = 4, 32
    sizes = (4, *[512] * depth, 512)
    population = Population(RePU(p), sizes, members, block=Block(before=RMS))
    draw_(population, critical(RePU(p), sizes, population.block), range(members))
    log10 = measured(population, torch.ones(1, 4)).log10_gradient[:, :, 0]
    gain_M = np.log(10) * (log10[0] - log10[-1]) / depth
    assert abs(gain_M.mean() - np.log(chi)) < 3 * gain_M.std() / members**0.5


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("activation", [Tanh(), RePU(2)], ids=["tanh", "repu2"])
def test_sgd_rate_is_one_over_the_measured_tangent_kernel(name, activation):
    sizes, members, C_W, C_b, block = (20, 120, 120, 120, 1), 150, 0.3, 0.01, BLOCKS[name]
    population = Population(activation, sizes, members, block=block, dtype=F64)
    draw_(population, uniform_depth("custom", sizes, C_W=C_W, C_b=C_b, k1=0.5), range(members))
    x = torch.ones(1, 20, dtype=F64)
    population.freeze_(x)
    (gradient,) = torch.autograd.grad(population(x).sum(), population.theta)
    measured_M = gradient.square().sum(1)
    error = (measured_M.std() / members**0.5).item()
    wanted = 1 / sgd_rate(sized(activation, C_W, C_b, 0.5, sizes, block=block), 1.0)
    # Corrections are of relative size depth/n = 0.025.
    assert abs(measured_M.mean().item() - wanted) < 4 * error + 0.06 * wanted
    assert 0 < adam_rate(sized(activation, C_W, C_b, 0.5, sizes, block=block), 0.8) <= 2e-3


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("activation", [Tanh(), ReLU()], ids=["tanh", "relu"])
def test_the_tangent_kernel_is_the_measured_one(name, activation):
    """Sum over weights and biases of C_W / n (dz/dW)^2 and C_b (dz/db)^2."""
    sizes, members, C_W, C_b, block = (20, 300, 300, 300, 1), 40, 0.3, 0.01, BLOCKS[name]
    rule = uniform_depth("custom", sizes, C_W=C_W, C_b=C_b, k1=0.5)
    population = Population(activation, sizes, members, block=block, dtype=F64)
    draw_(population, rule, range(members))
    x, rates = torch.ones(1, 20, dtype=F64), torch.zeros_like(population.theta)
    population.freeze_(x)
    for l, affine in enumerate(population.affine_maps(rates)):
        affine.W_MIO.fill_(rule.C_W[l] / sizes[l])
        affine.b_M1O.fill_(rule.C_b[l])
    (gradient,) = torch.autograd.grad(population(x).sum(), population.theta)
    measured_M = (gradient.square() * rates).sum(1)
    error = (measured_M.std() / members**0.5).item()
    wanted = tangent_layers(sized(activation, C_W, C_b, 0.5, sizes, block=block)).H[-1]
    # Corrections are of relative size 5 depth/n = 0.05 for ReLU.
    assert abs(measured_M.mean().item() - wanted) < 4 * error + 0.06 * wanted


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("activation", [Tanh(), RePU(2)], ids=["tanh", "repu2"])
def test_one_input_of_narrow_networks_is_the_chain(name, activation):
    """The largest |z|, of 800 networks of width 20, Kolmogorov-Smirnov at p > 1e-5."""
    sizes, members, C_W, C_b, block = (4, *[20] * 4, 20), 800, 0.6, 0.05, BLOCKS[name]
    population = Population(activation, sizes, members, block=block, dtype=F64)
    draw_(population, uniform_depth("custom", sizes, C_W=C_W, C_b=C_b, k1=0.5), range(members))
    x = torch.ones(1, 4, dtype=F64)
    population.freeze_(x)
    stats, samples = (
        measured(population, x),
        pair_chain(sized(activation, C_W, C_b, 0.5, sizes, block=block), Pair(0.5, 1.0, 0.5), 3000),
    )
    for l in range(1, 5):
        assert ks_2samp(stats.log10_max_abs[l], samples.log10_z[:, l]).pvalue > 1e-5, l  # pyright: ignore


def test_branches_without_normalization_start_where_their_kernel_stays():
    """RePU_2: K = 1 / (1/k1 - t) at the time t = sum a^2 <= 1, from k1 = .3; learned branches alike."""
    sizes = (3, *[9] * 200, 2)
    for block in (Block(residual=True, branch=200**-0.5), Block(residual=True, branch=0.0, learned=True)):
        rule = critical(RePU(2), sizes, block)
        assert rule.k1 == pytest.approx(0.3, abs=2e-3)
        kernel = layers(RePU(2), rule.C_W[1:], 0.0, rule.k1, 200, block=block)
        assert kernel.K[-2] == pytest.approx(rule.k1 if block.learned else 1 / (1 / 0.3 - 1), rel=0.01)
        assert 1 <= kernel.chi_perp[:-2].prod() < 2
    assert critical(Tanh(), sizes, PLAIN).C_W[1] == critical(Tanh(), sizes).C_W[1] == 1


@pytest.mark.parametrize("p", [2, 3])
def test_frozen_scales_start_where_larger_inputs_stay(p):
    """K of an input F times as large as those by which scales were frozen: finite for F < 10/3, without end above."""
    depth, ends = 4000, []
    block = Block(residual=True, branch=depth**-0.5, frozen=True)
    k1 = critical(RePU(p), (3, *[9] * depth, 2), block).k1
    for F in (3.2, 3.5):
        typical, larger = k1, F * k1
        for _ in range(depth - 1):
            larger = min(1e9, larger + block.branch**2 * (larger / typical) ** p)
            typical += block.branch**2
        ends.append(larger)
    assert ends[0] < 1e3 and ends[1] == 1e9


NARROW = {
    "rms": (RePU(2), Block(before=RMS), 2 / 3, 0.0),
    "rms, biases": (RePU(2), Block(before=RMS), 0.5, 0.25),
    "layer, tanh": (Tanh(), Block(before=LAYER), 1.0, 0.1),
    "layer after": (RePU(2), Block(after=LAYER), 1.0, 0.0),
}


@pytest.mark.parametrize("name", NARROW)
def test_gradients_of_narrow_normalised_networks_are_those_of_the_chain(name):
    """W^T g lies across h, since a normalised layer does not see the size of z: .5 of a decade over 10 layers of 48."""
    activation, block, C_W, C_b = NARROW[name]
    depth, members, sizes = 10, 300, (4, *[48] * 10, 48)
    population = Population(activation, sizes, members, block=block)
    draw_(population, uniform_depth("custom", sizes, C_W=C_W, C_b=C_b, k1=1.0), range(members))
    log10 = measured(population, torch.ones(1, 4)).log10_gradient[:, :, 0]
    kernel = log10[0] - log10[-1]
    law = Law.of(activation, C_W, C_b, 1.0, depth, 48, block=block)
    gain = pair_chain(law, Pair(1.0, 1.0, 1.0), 1200).log10_gain.sum(1)
    assert abs(kernel.mean() - gain.mean()) < 3.5 * np.sqrt(kernel.var() / members + gain.var() / 1200)
