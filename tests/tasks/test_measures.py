"""Errors of a learnt function and its derivative, on networks whose error is known in closed form."""

import math
from collections.abc import Sequence

import pytest
import torch

from repu_lab.activations import MRePU, ReLU
from repu_lab.networks.population import Population
from repu_lab.tasks import TASKS, function, polynomial
from repu_lab.tasks.measures import GRID, FunctionErrors

F64 = torch.float64


def by_weights(activation, sizes, *rows: Sequence[tuple[list[list[float]], list[float]]]) -> Population:
    """A population whose members have these W (fan-in x fan-out) and b, map by map."""
    population = Population(activation, sizes, len(rows), dtype=F64)
    with torch.no_grad():
        for i, maps in enumerate(rows):
            for affine, (W, b) in zip(population.affine_maps(), maps, strict=True):
                affine.W_MIO[i], affine.b_M1O[i, 0] = torch.tensor(W, dtype=F64), torch.tensor(b, dtype=F64)
    return population


def test_an_exact_network_has_no_error_and_a_constant_one_all_of_it():
    """MRePU_1 gives x^2 = (s(x) + s(-x)) / 2 on [-1, 1]; a network of zeros predicts the mean."""
    task = polynomial(target="x2")
    measurement = task.measurement
    assert isinstance(measurement, FunctionErrors)
    mean, std = measurement.mean_C.item(), measurement.std_C.item()
    x2 = [([[1.0, -1.0], [0.0, 0.0], [0.0, 0.0]], [0.0, 0.0]), ([[0.5 / std], [0.5 / std]], [-mean / std])]
    zero = [([[0.0, 0.0]] * 3, [0.0, 0.0]), ([[0.0], [0.0]], [0.0])]
    population = by_weights(MRePU(1), (3, 2, 1), x2, zero)
    measures = task.measures(population, population.theta)
    assert set(measures) == {"relative_l2", "relative_h1"}
    assert measures["relative_l2"][0] < 1e-15 and measures["relative_h1"][0] < 1e-15
    x = task.test.x[:, 0]
    wanted = ((x**2 - mean).square().mean() / x.pow(4).mean()).sqrt().item()
    assert measures["relative_l2"][1].item() == pytest.approx(wanted)
    assert measures["relative_h1"][1].item() == pytest.approx(1)
    assert wanted == pytest.approx(math.sqrt(4 / 45 / (1 / 5)), rel=0.1)  # by the integrals, 1,024 random points


def test_several_outputs_are_averaged():
    task = polynomial()
    population = Population(ReLU(), (3, 4, 4), 2, dtype=F64)
    measures = task.measures(population, population.theta)
    torch.testing.assert_close(measures["relative_h1"], torch.ones(2, dtype=F64))
    assert 0.5 < measures["relative_l2"][0] < 1.1  # 1 for x, xy, xyz and sqrt(4/9) for x^2


def test_a_kink_is_a_jump_and_a_smooth_derivative_is_none():
    """-3 |x| has a jump of 6 in its derivative; x^2 moves by 2 h, with h = 2 / GRID, max |f'| is 3."""
    task = function(target="abs3")
    assert isinstance(task.measurement, FunctionErrors)
    std = task.measurement.std_C.item()
    kink = [([[1.0, -1.0]], [0.0, 0.0]), ([[-3 / std], [-3 / std]], [0.0])]
    line = [([[1.0, 0.0]], [2.0, 0.0]), ([[5 / std], [0.0]], [0.0])]
    population = by_weights(ReLU(), (1, 2, 1), kink, line)
    jump = task.measures(population, population.theta)["derivative_jump"]
    assert jump[0].item() == pytest.approx(6 / 3) and jump[1].item() == pytest.approx(0, abs=1e-12)
    smooth = by_weights(MRePU(1), (1, 2, 1), [([[1.0, -1.0]], [0.0, 0.0]), ([[0.5 / std], [0.5 / std]], [0.0])])
    jump = task.measures(smooth, smooth.theta)["derivative_jump"]
    assert jump.item() == pytest.approx(2 * (2 / GRID) / 3, rel=1e-6)


def test_a_jump_is_measured_by_the_steepest_slope_wherever_it_is():
    """Runge's function is steepest at 5 x = 1/sqrt(3), 10 (1/sqrt 3) (9/16), and nearly flat at the ends."""
    task = function(target="runge")
    assert isinstance(task.measurement, FunctionErrors)
    kink = [([[1.0, -1.0]], [0.0, 0.0]), ([[1 / task.measurement.std_C.item()]] * 2, [0.0])]  # |x|
    population = by_weights(ReLU(), (1, 2, 1), kink)
    jump = task.measures(population, population.theta)["derivative_jump"]
    assert jump.item() == pytest.approx(2 / (10 * 3**-0.5 * 9 / 16), rel=1e-4)


def test_errors_of_float32_networks_are_measured_in_float64_and_rows_alone():
    task = function(target="runge")
    population = Population(ReLU(), (1, 8, 8, 1), 3)
    with torch.no_grad():
        population.theta.copy_(torch.randn(population.theta.shape, generator=torch.Generator().manual_seed(0)))
    all_rows = task.measures(population, population.theta)
    one = task.measures(population, population.theta[1:2])
    for name, values in all_rows.items():
        assert values.dtype == F64
        torch.testing.assert_close(values[1:2], one[name])


def test_a_network_that_is_not_finite_has_no_error():
    task = function(target="runge")
    population = Population(ReLU(), (1, 4, 1), 1)
    with torch.no_grad():
        population.theta.fill_(torch.nan)
    assert all(values.isnan().all() for values in task.measures(population, population.theta).values())


def test_tasks_without_measures_have_none():
    assert TASKS["digits"]().measures(Population(ReLU(), (64, 4, 10), 1), torch.zeros(1, 310)) == {}
