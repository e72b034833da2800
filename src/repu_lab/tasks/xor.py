"""A task that no linear network can learn: four classes by the signs of two products."""

import torch

from repu_lab.tasks.base import Split, Task
from repu_lab.tasks.tensors import Splits, classification, to_unit_mean_square

TRAIN, VALIDATION, TEST = 8000, 1000, 1000
NUMBERS, INPUTS = 8, 64
# Accuracy. Guessing gives .25, and so does every linear network (identity with skips, depth 50: .20 to .25); residual
# networks of depth 50 reach .84 to .88 in 400 steps.
XOR_CRITERION = 0.8


def xor(data_seed: int = 0) -> Task:
    """Four classes, the signs of x_1 x_2 and x_3 x_4, of points drawn evenly from a sphere; accuracy 0.8.

    Eight numbers of mean square 8, the other 56 inputs are 0, so |x|^2/n_0 = 1. Changing the sign of x_1 changes the
    class and no mean of x: within each class x averages to 0, so a linear network cannot tell the classes apart.
    """
    generator = torch.Generator().manual_seed(data_seed)
    drawn = torch.randn(TRAIN + VALIDATION + TEST, NUMBERS, generator=generator, dtype=torch.float64)
    x = torch.zeros(len(drawn), INPUTS, dtype=torch.float64)
    x[:, :NUMBERS] = to_unit_mean_square(drawn) * (INPUTS / NUMBERS) ** 0.5
    y = 2 * (drawn[:, 0] * drawn[:, 1] > 0).long() + (drawn[:, 2] * drawn[:, 3] > 0).long()
    sizes = (TRAIN, VALIDATION, TEST)
    splits = Splits(*map(Split, x.split(sizes), y.split(sizes)))
    # As they are: less their mean, a part of the zeros would become noise of size 1/sqrt(8000).
    return classification("xor", splits, scale="none", criterion=XOR_CRITERION, data_seed=data_seed)
