"""Residual layers by theory: against closed forms, and against wide networks."""

import numpy as np
import pytest
import torch
from laws import sized

from repu_lab.activations import GELU, Identity, MRePU, ReLU, RePU, Tanh
from repu_lab.blocks import RESIDUAL
from repu_lab.networks.initialization import draw_, in_branches, uniform_depth
from repu_lab.networks.population import Population
from repu_lab.networks.statistics import measure
from repu_lab.tasks.images import digits
from repu_lab.theory import fate
from repu_lab.theory.forecast import forecast
from repu_lab.theory.kernel import layers
from repu_lab.theory.rates import adam_rate, sgd_rate

F64 = torch.float64


def test_scale_invariant_kernels_grow_by_one_plus_chi():
    """ReLU: K^l = k1 (1 + C_W/2)^(l-1) up to l = L, chi = 1 + C_W/2; the output's map is plain."""
    kernel = layers(ReLU(), 0.4, 0.0, 0.7, 6, block=RESIDUAL)
    hidden = 0.7 * 1.2 ** np.arange(6)
    np.testing.assert_allclose(kernel.K, np.append(hidden, 0.2 * hidden[-1]), rtol=1e-13)
    for chi in (kernel.chi_parallel, kernel.chi_perp):
        np.testing.assert_allclose(chi[:-1], [1.2] * 5 + [0.2], rtol=1e-13)
        assert np.isnan(chi[-1])


@pytest.mark.parametrize("p", [2, 3])
def test_repu_adds_its_power(p):
    """K' = K + C_b + C_W (2p-1)!!/2 K^p, which leaves float64 as exp(p^l): log10 K goes on."""
    kernel = layers(RePU(p), 0.5, 0.1, 1.0, 30, block=RESIDUAL)
    K = 1.0
    for l in range(4):
        assert kernel.K[l] == pytest.approx(K, rel=1e-12)
        K = K + 0.1 + 0.5 * {2: 3, 3: 15}[p] / 2 * K**p
    assert kernel.log10_K[20] == pytest.approx(p * kernel.log10_K[19] + np.log10(0.5 * {2: 3, 3: 15}[p] / 2), rel=1e-12)
    assert kernel.log10_K[25] > 1e4


@pytest.mark.parametrize("activation", [Tanh(), GELU(), MRePU(1), ReLU()])
def test_wide_networks_measure_what_theory_says(activation):
    """log10 K and log10 chi of 30 networks of width 400: means over members by their standard error and O(L/n)."""
    depth, members, C_W, C_b, k1 = 6, 30, 0.5, 0.02, 0.3
    sizes = (3, *[400] * depth, 2)
    population = Population(activation, sizes, members, block=RESIDUAL, dtype=F64)
    draw_(population, uniform_depth("custom", sizes, C_W=C_W, C_b=C_b, k1=k1), range(members))
    x = torch.tensor([[1.0, -1.0, 1.0], [1.0, 1.0, 1.0]], dtype=F64)
    stats = measure(population, x, lambda z: z.square().mean((1, 2)))
    theory = layers(activation, C_W, C_b, k1, depth, block=RESIDUAL)
    for measured, wanted in (
        (stats.log10_K[:-1], theory.log10_K[:-1]),  # the output has two units only
        (stats.log10_chi_parallel, theory.log10_chi_parallel[:-1]),
        (stats.log10_chi_perp, theory.log10_chi_perp[:-1]),
    ):
        mean_LM = measured.mean(-1)
        error_L = mean_LM.std(1) / members**0.5
        # The output's map has 800 weights, whose mean square scatters by sqrt(2/800) from network to network.
        np.testing.assert_array_less(np.abs(mean_LM.mean(1) - wanted), 4 * error_L + 3 * depth / 400 / np.log(10))


def test_branches_together_add_what_one_layer_gives():
    rule = uniform_depth("critical", (5, *[9] * 11, 3), C_W=2.0, C_b=0.3, k1=1.0)
    shared = in_branches(rule)
    np.testing.assert_allclose(shared.C_W, (rule.C_W[0], *[0.2] * 10, 2.0))
    np.testing.assert_allclose(shared.C_b, (0.3, *[0.03] * 10, 0.3))
    grown = layers(Identity(), 1 / 10, 0.0, 1.0, 11, block=RESIDUAL).K[10]
    assert grown == pytest.approx(1.1**10) and grown < np.e


@pytest.mark.parametrize("activation", [Tanh(), RePU(2)])
def test_sgd_rate_is_one_over_the_measured_tangent_kernel_of_residual_networks(activation):
    sizes, members, C_W, C_b = (20, 150, 150, 150, 1), 200, 0.3, 0.01
    population = Population(activation, sizes, members, block=RESIDUAL, dtype=F64)
    draw_(population, uniform_depth("custom", sizes, C_W=C_W, C_b=C_b, k1=0.5), range(members))
    (gradient,) = torch.autograd.grad(population(torch.ones(1, 20, dtype=F64)).sum(), population.theta)
    measured_M = gradient.square().sum(1)
    error = (measured_M.std() / members**0.5).item()
    wanted = 1 / sgd_rate(sized(activation, C_W, C_b, 0.5, sizes, block=RESIDUAL), 1.0)
    # Corrections are of relative size depth/n = 0.02.
    assert abs(measured_M.mean().item() - wanted) < 4 * error + 0.03 * wanted
    assert 0 < adam_rate(sized(activation, C_W, C_b, 0.5, sizes, block=RESIDUAL), 0.8) <= 2e-3


def test_a_batch_of_residual_networks_explodes_as_often_as_forecast(monkeypatch):
    """RePU on 128 digits: a third of the networks run away with the largest of their inputs, which 32 miss."""
    monkeypatch.setattr(fate, "BATCH_UNITS", 10 * fate.BATCH_UNITS)
    depth, width, members, task = 20, 128, 120, digits()
    sizes = (64, *[width] * depth, 10)
    rule = in_branches(uniform_depth("custom", sizes, C_W=2 / 3, C_b=0.0, k1=1.0))
    population = Population(RePU(2), sizes, members, block=RESIDUAL, dtype=torch.float32)
    draw_(population, rule, range(members))
    x = task.train.x[:128]
    with torch.no_grad():
        exploded = float((~population(x.float()).isfinite().all(-1).all(-1)).float().mean())
    theory = forecast(
        RePU(2),
        C_W=rule.C_W[1:],
        C_b=0.0,
        k1=1.0,
        depth=depth,
        width=width,
        inputs=128,
        block=RESIDUAL,
        covariance=(x @ x.T / 64).numpy(),
    )
    stated = theory.probabilities["explodes"]
    assert theory.networks >= 150 and 0.2 < exploded < 0.5
    assert abs(stated - exploded) < 3 * (0.36 * 0.64 * (1 / members + 1 / theory.networks)) ** 0.5
