"""A physics-informed network for Burgers' equation, after Raissi, Perdikaris and Karniadakis (arXiv:1711.10561).

Shapes: M members, B points, C = 1 output, T times, X places.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repu_lab.networks.derivatives import jets
from repu_lab.networks.population import Population
from repu_lab.tasks.base import Passed, Split, Task
from repu_lab.tasks.burgers_reference import VISCOSITY, burgers_solution
from repu_lab.tasks.measures import by_rows, in_float64, relative_error
from repu_lab.tasks.objectives import Regression

COLLOCATION, BOUNDARY, TEST, VALIDATION = 10_000, 100, 2048, 1024
# R^2 on the test points: a relative L2 error of 0.1. The sine that forms no shock, which solves the equation without
# its term u u_x, is at .67, an error of .58: so this takes the shock, which is what the task is about.
BURGERS_CRITERION = 0.99
# The grid of the reference: at t = 1 the shock, from maximum to minimum, is seven of its cells wide.
PLACES, TIMES = 257, 101


class Solution(NamedTuple):
    """Exact and learnt u(x, t) on a grid, for drawing: x (X,), t (T,), exact (T, X), learnt (M, T, X)."""

    x: NDArray[np.float64]
    t: NDArray[np.float64]
    exact: NDArray[np.float64]
    learnt: NDArray[np.float64]


def burgers(data_seed: int = 0, collocation: int = COLLOCATION, boundary: int = BOUNDARY) -> Task:
    """u_t + u u_x = (0.01/pi) u_xx on -1 <= x <= 1, 0 <= t <= 1, u(x, 0) = -sin(pi x), u(+-1, t) = 0; R^2 of 0.99.

    Trained on the mean square of the residual at the batch's collocation points plus that of the error at all boundary
    points, half of them at t = 0; both are drawn uniformly from data_seed. Inputs (x, t) stay as they are. The targets
    of the training split are the right-hand side, 0; those of the other splits are the exact solution, u.
    """
    generator = torch.Generator().manual_seed(data_seed)

    def uniform(count: int) -> Tensor:
        """Points of the domain."""
        unit = torch.rand(count, 2, generator=generator, dtype=torch.float64)
        return torch.stack([2 * unit[:, 0] - 1, unit[:, 1]], dim=1)

    inside, edge, test, validation = map(uniform, (collocation, boundary, TEST, VALIDATION))
    edge[: boundary // 2, 1] = 0
    edge[boundary // 2 :, 0] = edge[boundary // 2 :, 0].sign()
    zero = torch.zeros(collocation, 1, dtype=torch.float64)
    return Task(
        name="burgers",
        train=Split(inside, zero),
        validation=Split(validation, _exact(validation)),
        test=Split(test, _exact(test)),
        conditions=Split(edge, _exact(edge)),
        outputs=1,
        objective=Regression(zero),
        criterion=BURGERS_CRITERION,
        input_mean_square=1 / 3,
        data_seed=data_seed,
        equation=residual_and_conditions,
        measurement=grid_error,
    )


def residual_and_conditions(
    population: Population, batch: Split, conditions: Split, theta_MP: Tensor | None = None
) -> Passed:
    """Return z^1 .. z^{L+1} at the batch and mean (u_t + u u_x - nu u_xx - y)^2 + mean (u - u_given)^2, (M,)."""
    layers = jets(population, batch.x, first=(0, 1), second=(0,), theta_MP=theta_MP)
    u, first, second = layers[-1]
    u_x, u_t, u_xx = first[:, 0], first[:, 1], second[:, 0]
    residual_MBC = u_t + u * u_x - VISCOSITY * u_xx - batch.y
    error_MBC = population(conditions.x, theta_MP) - conditions.y
    loss_M = residual_MBC.square().mean((1, 2)) + error_MBC.square().mean((1, 2))
    return Passed([layer.z_MBN for layer in layers], loss_M)


def grid_error(population: Population, theta_MP: Tensor) -> dict[str, Tensor]:
    """Return the relative L2 error on the grid of PLACES x TIMES points, for every row of theta."""
    theta_MP = in_float64(theta_MP)
    points, exact = (torch.from_numpy(array).to(theta_MP.device) for array in _grid())

    def error(rows_MP: Tensor) -> Tensor:
        return relative_error(population(points, rows_MP), exact)

    return {"relative_l2": by_rows(error, population, theta_MP, len(points))}


def solution(population: Population, theta_MP: Tensor | None = None) -> Solution:
    """Return the exact solution and those of the given rows, or of all, on the grid of PLACES x TIMES points."""
    theta_MP = in_float64(population.theta if theta_MP is None else theta_MP)
    points, exact = _grid()
    x = torch.from_numpy(points).to(theta_MP.device)
    learnt = by_rows(lambda rows_MP: population(x, rows_MP), population, theta_MP, len(points))
    return Solution(
        x=points[:PLACES, 0],
        t=points[::PLACES, 1],
        exact=exact.reshape(TIMES, PLACES),
        learnt=learnt.view(-1, TIMES, PLACES).cpu().numpy(),
    )


@cache
def _grid() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points (T X, 2), the place running fastest, and u there, (T X, 1)."""
    t, x = np.meshgrid(np.linspace(0, 1, TIMES), np.linspace(-1, 1, PLACES), indexing="ij")
    return np.stack([x.ravel(), t.ravel()], axis=1), burgers_solution(x, t).reshape(-1, 1)


def _exact(points: Tensor) -> Tensor:
    return torch.from_numpy(burgers_solution(*points.numpy().T)).unsqueeze(1)
