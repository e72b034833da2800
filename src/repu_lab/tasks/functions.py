"""Regression on functions that RePU and MRePU networks can represent exactly."""

from collections.abc import Callable

import torch
from torch import Tensor

from repu_lab.tasks.base import Regression, Split, Task

TRAIN, TEST = 2048, 1024
POLYNOMIAL_CRITERION = 0.9  # R^2

POLYNOMIALS: dict[str, Callable[[Tensor], Tensor]] = {
    "x": lambda v: v[:, 0],
    "x2": lambda v: v[:, 0] ** 2,
    "xy": lambda v: v[:, 0] * v[:, 1],
    "xyz": lambda v: v[:, 0] * v[:, 1] * v[:, 2],
}


def polynomial(data_seed: int = 0, target: str = "all") -> Task:
    """x, x^2, xy, xyz, or all four at once, of (x, y, z) uniform on [-1, 1]^3; R^2 of 0.9.

    Inputs stay as they are: |x|^2/n_0 is 1/3 in the mean. Targets are standardised by the training split.
    """
    names = list(POLYNOMIALS) if target == "all" else [target]
    generator = torch.Generator().manual_seed(data_seed)
    x = 2 * torch.rand(TRAIN + TEST, 3, generator=generator, dtype=torch.float64) - 1
    y = torch.stack([POLYNOMIALS[name](x) for name in names], dim=1)
    y = (y - y[:TRAIN].mean(0)) / y[:TRAIN].std(0)
    return Task(
        name="polynomial",
        train=Split(x[:TRAIN], y[:TRAIN]),
        test=Split(x[TRAIN:], y[TRAIN:]),
        outputs=len(names),
        objective=Regression(y[:TRAIN], y[TRAIN:]),
        criterion=POLYNOMIAL_CRITERION,
        input_mean_square=1 / 3,
        data_seed=data_seed,
    )
