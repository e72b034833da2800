"""The automatic learning rates against what they claim, on drawn networks."""

import numpy as np
import pytest
import torch
from laws import sized

from repu_lab.activations import ACTIVATIONS, GELU, MRePU, ReLU, RePU, Tanh
from repu_lab.configs.composition import compose_jobs
from repu_lab.networks.initialization import draw_, uniform_depth
from repu_lab.networks.population import Population
from repu_lab.runs.building import build, make_optimizer
from repu_lab.runs.stepping import train_step
from repu_lab.theory.rates import (
    ADAM_STEP,
    BLOW_UP,
    LARGEST_ADAM_RATE,
    SAFE,
    WORST,
    adam_change,
    adam_rate,
    risk,
    safety,
    sgd_rate,
    stable_rate,
)

F64 = torch.float64
SIZES = (20, *[60] * 30, 5)


def test_adam_rate_of_relu_is_its_closed_form():
    """E|s| = sqrt(K / 2 pi) and K^l = 1 for C_W = 2: lr (n_0 E|x| + L n / sqrt(2 pi)) sqrt(1 + 5 L/n) = ADAM_STEP."""
    change = 20 * 0.7 + 30 * 60 / (2 * np.pi) ** 0.5
    assert adam_change(sized(ReLU(), 2.0, 0.0, 1.0, SIZES), 0.7) == pytest.approx(change, rel=1e-4)
    total = change * (1 + 5 * 30 / 60) ** 0.5
    assert adam_rate(sized(ReLU(), 2.0, 0.0, 1.0, SIZES), 0.7) == pytest.approx(ADAM_STEP / total, rel=1e-4)


def test_a_scaled_argument_moves_the_hidden_layers_as_a_scaled_input_does_but_not_the_first():
    """The same network in other units: only the first layer's weights are larger, n_0 E|x| / sqrt(k1) smaller."""
    plain, scaled = (
        adam_change(sized(MRePU(1, a), 1.0, 0.0, 1e-3 * a**2, SIZES), 0.7) - 20 * 0.7 / (1e-3**0.5 * a)
        for a in (1.0, 30.0)
    )
    assert scaled == pytest.approx(plain, rel=1e-10)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_rates_exist_for_every_activation_even_where_K_leaves_float64(name):
    rate = adam_rate(sized(ACTIVATIONS[name](), 1.5, 0.1, 1.0, SIZES), 0.8)
    assert 0 < rate <= LARGEST_ADAM_RATE and sgd_rate(sized(ACTIVATIONS[name](), 1.5, 0.1, 1.0, SIZES), 1.0) > 0


@pytest.mark.parametrize(("activation", "C_W", "C_b"), [(ReLU(), 2.0, 0.0), (Tanh(), 1.3, 0.1), (GELU(), 1.98, 0.17)])
def test_sgd_rate_is_one_over_the_measured_tangent_kernel(activation, C_W, C_b):
    """sum over all parameters of (dz_i/dtheta)^2, averaged over 200 networks, by its standard error and 1/n."""
    sizes, members = (20, 150, 150, 150, 1), 200
    population = Population(activation, sizes, members, dtype=F64)
    draw_(population, uniform_depth("custom", sizes, C_W=C_W, C_b=C_b, k1=1.0), range(members))
    x = torch.ones(1, 20, dtype=F64)
    (gradient,) = torch.autograd.grad(population(x).sum(), population.theta)
    measured_M = gradient.square().sum(1)
    error = (measured_M.std() / members**0.5).item()
    wanted = 1 / sgd_rate(sized(activation, C_W, C_b, 1.0, sizes), 1.0)
    # Corrections are of relative size depth/n = 0.02.
    assert abs(measured_M.mean().item() - wanted) < 4 * error + 0.03 * wanted


def test_sgd_rate_counts_the_biases():
    """ReLU at C_W = 2, K = 1: E[s^2] = 1/2 and chi_perp = 1, so that Theta = (3 + 1) + 2 (4/2 + 1) = 10."""
    assert sgd_rate(sized(ReLU(), 2.0, 0.0, 1.0, (3, 4, 4, 1)), 1.0) == pytest.approx(1 / 10, rel=1e-12)


def test_largest_stable_rate_of_relu_is_its_closed_form():
    """sqrt(K') grows by 1 + lr n / sqrt(2 pi) a layer, 5 / n is the spread of ln K: sqrt(F) (1 + lr n_0 E|x|) ... ."""
    rate = stable_rate(sized(ReLU(), 2.0, 0.0, 1.0, SIZES), 0.7)
    grown = (
        np.exp(WORST * (5 * 30 / 60) ** 0.5) * ((1 + rate * 20 * 0.7) * (1 + rate * 60 / (2 * np.pi) ** 0.5) ** 30) ** 2
    )
    assert BLOW_UP / 1.6 < grown <= BLOW_UP * 1.02  # the rate is found to 7 %
    assert stable_rate(sized(ReLU(), 2.0, 0.0, 1.0, SIZES), 0.7, beyond=rate / 2) == np.inf
    assert stable_rate(sized(ReLU(), 2.0, 0.0, 1.0, SIZES), 0.7, beyond=2 * rate) == rate
    assert adam_rate(sized(ReLU(), 2.0, 0.0, 1.0, SIZES), 0.7) < rate / SAFE
    assert stable_rate(sized(RePU(2), 2.0, 0.0, 1.0, SIZES), 0.7) == 0  # blows up as it is


def train(rate: float, steps: int = 60) -> int:
    """Return how many of 8 MRePU networks, p = 2, 10 layers of 64 on the digits, are finite after some steps."""
    (job,) = compose_jobs(
        "train", ["activation=mrepu", "activation.p=2", "width=64", "members=8", f"optimizer.lr={rate}", "threads=1"]
    )
    run = build(job.config)
    population = run.population()
    optimizer, alive = make_optimizer([run], population), torch.ones(8, dtype=torch.bool)
    for step in range(steps):
        train_step(population, optimizer, run.task, run.task.batch(step, 128), alive)
    return int(alive.sum())


def test_a_twelfth_of_the_largest_stable_rate_keeps_networks_finite_and_three_times_it_does_not():
    """MRePU p=2 diverges at the defaults of a rule that knows sizes only: lr 8e-4 left 3 of 8 networks finite."""
    edge = stable_rate(sized(MRePU(2), *MREPU, (64, *[64] * 10, 10)), 0.65)
    assert train(edge / 12) == 8
    assert train(3 * edge) <= 3


MREPU = (1.0, 0.0, 0.15 / (18 * 10))  # C_W, C_b, k1 of p = 2 at depth 10


def test_outputs_that_have_to_grow_towards_the_wall_take_smaller_steps():
    """1/3 of the largest stable rate, 1/12 for |z|^3 from small outputs; the scaled argument starts at K = 1."""
    sizes = (64, *[64] * 10, 10)
    for activation, k1, part in ((MRePU(2), MREPU[2], 12), (MRePU(1), 0.15 / (3 * 10), 3), (MRePU(2, 35), 1.0, 3)):
        edge = stable_rate(sized(activation, 1.0, 0.0, k1, sizes), 0.65)
        assert adam_rate(sized(activation, 1.0, 0.0, k1, sizes), 0.65) == pytest.approx(edge / part, rel=1e-9)
    assert (safety(MRePU(3), 1e-3), safety(MRePU(3), 1.0), safety(Tanh(), 1e-3), safety(ReLU(), 1e-3)) == (27, 3, 3, 3)
    assert [risk(MRePU(2), 1e-3, depth, 50) for depth in (12, 13, 25, 26)] == [0.02, 0.21, 0.21, 0.34]
    assert [risk(MRePU(2), 1e-3, depth, 200) for depth in (40, 41)] == [0.02, 0.34]
    assert risk(MRePU(2), 1.0, 90, 100) is None and risk(Tanh(), 1e-3, 90, 100) is None


def test_where_the_worst_network_blows_up_by_itself_the_rate_is_that_of_a_less_bad_one():
    """20 layers of 32: auto took 2.5e-4, at which 14 of 16 networks diverged."""
    sizes, k1 = (64, *[32] * 20, 10), 0.15 / (18 * 20)
    assert stable_rate(sized(MRePU(2), 1.0, 0.0, k1, sizes), 0.65) == 0
    assert 0 < adam_rate(sized(MRePU(2), 1.0, 0.0, k1, sizes), 0.65) < 2e-5
