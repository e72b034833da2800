"""The automatic learning rates against what they claim, on drawn networks."""

import numpy as np
import pytest
import torch

from repu_lab.activations import ACTIVATIONS, GELU, MRePU, ReLU, Tanh
from repu_lab.networks.initialization import initialize_, uniform_depth
from repu_lab.networks.population import Population
from repu_lab.theory.rates import ADAM_STEP, LARGEST_ADAM_RATE, adam_change, adam_rate, sgd_rate

F64 = torch.float64
SIZES = (20, *[60] * 30, 5)


def test_adam_rate_of_relu_is_its_closed_form():
    """E|s| = sqrt(K / 2 pi) and K^l = 1 for C_W = 2: lr (n_0 E|x| + L n / sqrt(2 pi)) sqrt(1 + 5 L/n) = ADAM_STEP."""
    change = 20 * 0.7 + 30 * 60 / (2 * np.pi) ** 0.5
    assert adam_change(ReLU(), 2.0, 0.0, 1.0, SIZES, 0.7) == pytest.approx(change, rel=1e-4)
    total = change * (1 + 5 * 30 / 60) ** 0.5
    assert adam_rate(ReLU(), 2.0, 0.0, 1.0, SIZES, 0.7) == pytest.approx(ADAM_STEP / total, rel=1e-4)


def test_a_scaled_argument_moves_the_hidden_layers_as_a_scaled_input_does_but_not_the_first():
    """The same network in other units: only the first layer's weights are larger, n_0 E|x| / sqrt(k1) smaller."""
    plain, scaled = (
        adam_change(MRePU(1, a), 1.0, 0.0, 1e-3 * a**2, SIZES, 0.7) - 20 * 0.7 / (1e-3**0.5 * a) for a in (1.0, 30.0)
    )
    assert scaled == pytest.approx(plain, rel=1e-10)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_rates_exist_for_every_activation_even_where_K_leaves_float64(name):
    rate = adam_rate(ACTIVATIONS[name](), 1.5, 0.1, 1.0, SIZES, 0.8)
    assert 0 < rate <= LARGEST_ADAM_RATE and sgd_rate(ACTIVATIONS[name](), 1.5, 0.1, 1.0, SIZES, 1.0) > 0


@pytest.mark.parametrize(("activation", "C_W", "C_b"), [(ReLU(), 2.0, 0.0), (Tanh(), 1.3, 0.1), (GELU(), 1.98, 0.17)])
def test_sgd_rate_is_one_over_the_measured_tangent_kernel(activation, C_W, C_b):
    """sum over all parameters of (dz_i/dtheta)^2, averaged over 200 networks, by its standard error and 1/n."""
    sizes, members = (20, 150, 150, 150, 1), 200
    population = Population(activation, sizes, members, dtype=F64)
    initialize_(population, uniform_depth("custom", sizes, C_W=C_W, C_b=C_b, k1=1.0), range(members))
    x = torch.ones(1, 20, dtype=F64)
    (gradient,) = torch.autograd.grad(population(x).sum(), population.theta)
    measured_M = gradient.square().sum(1)
    error = (measured_M.std() / members**0.5).item()
    wanted = 1 / sgd_rate(activation, C_W, C_b, 1.0, sizes, 1.0)
    # Corrections are of relative size depth/n = 0.02.
    assert abs(measured_M.mean().item() - wanted) < 4 * error + 0.03 * wanted
