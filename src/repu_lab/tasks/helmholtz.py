"""A physics-informed network for Helmholtz' equation in two dimensions, whose solution is smooth (arXiv:2001.04536)."""

import math

import torch
from torch import Tensor

from repu_lab.networks.derivatives import Jet
from repu_lab.tasks.base import Split, Task
from repu_lab.tasks.equations import EXACT, Form, columns, grid_error, residual, sobol
from repu_lab.tasks.objectives import Regression

COLLOCATION, BOUNDARY, TEST, VALIDATION = 3000, 400, 2048, 1024
WAVES = (1, 2)  # along x and y
K2 = 1.0  # k^2
SCALE = math.pi**2 * (WAVES[0] ** 2 + WAVES[1] ** 2)  # of the Laplacian of u, by which the equation is divided
HELMHOLTZ_CRITERION = 0.99  # R^2: a relative L2 error of 0.1
PLACES = 101


def helmholtz(
    data_seed: int = 0, collocation: int = COLLOCATION, boundary: int = BOUNDARY, conditions: str = EXACT
) -> Task:
    """u_xx + u_yy + u = q on [-1, 1]^2, u = 0 at the edge, q such that u = sin(pi x) sin(2 pi y); R^2 of 0.99.

    Trained on the mean square of the residual over 5 pi^2, the size of u_xx + u_yy, at Sobol points. `conditions`:
    exact, u = (1 - x^2) (1 - y^2) N(x, y); soft, the mean square of u at `boundary` points of the edge is added.
    """
    form = FORM if conditions == EXACT else None
    inside = 2 * sobol(collocation, data_seed) - 1
    generator = torch.Generator().manual_seed(data_seed)
    test, validation, edge = (
        2 * torch.rand(count, 2, generator=generator, dtype=torch.float64) - 1 for count in (TEST, VALIDATION, boundary)
    )
    across = torch.arange(boundary) % 2
    edge[torch.arange(boundary), across] = edge[torch.arange(boundary), across].sign()
    places = torch.linspace(-1, 1, PLACES, dtype=torch.float64)
    grid = torch.cartesian_prod(places, places)
    source = (K2 - SCALE) / SCALE * _exact(inside)
    return Task(
        name="helmholtz",
        train=Split(inside, source),
        validation=Split(validation, _exact(validation)),
        test=Split(test, _exact(test)),
        conditions=Split(edge, torch.zeros(boundary, 1, dtype=torch.float64)) if form is None else None,
        outputs=1,
        objective=Regression(torch.zeros_like(source)),
        criterion=HELMHOLTZ_CRITERION,
        input_mean_square=1 / 3,
        data_seed=data_seed,
        equation=residual(_operator, (0, 1), form),
        form=form,
        measurement=grid_error(grid, _exact(grid), form),
    )


def _operator(_: Tensor, u: Jet) -> Tensor:
    return (u.second_MJBN.sum(1) + K2 * u.z_MBN) / SCALE


def _factor(x_BI: Tensor) -> Jet:
    a, b = (1 - x_BI**2).unbind(-1)
    x, y = x_BI.unbind(-1)
    return columns(a * b, [-2 * x * b, -2 * y * a], [-2 * b, -2 * a])


def _zero(x_BI: Tensor) -> Jet:
    zero = torch.zeros_like(x_BI[..., 0])
    return columns(zero, [zero, zero], [zero, zero])


FORM = Form(known=_zero, factor=_factor)


def _exact(x_BI: Tensor) -> Tensor:
    return (torch.sin(math.pi * WAVES[0] * x_BI[:, 0]) * torch.sin(math.pi * WAVES[1] * x_BI[:, 1])).unsqueeze(1)
