"""What is minimised and what is reported: cross-entropy and accuracy, squared error and R^2.

Shapes: M members, B examples, C outputs.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


class Classification:
    """Cross-entropy of softmax(z) and accuracy; an output that is not finite counts as wrong."""

    metric_name = "accuracy"

    def __init__(self, classes: int):
        """Take the number of classes C."""
        self.classes = classes

    def losses(self, z_MBC: Tensor, y: Tensor) -> Tensor:
        """Return -log softmax(z)_y, shape (M, B)."""
        M, B, C = z_MBC.shape
        labels = y.expand(M, B).reshape(-1)
        return F.cross_entropy(_at_least_float32(z_MBC).reshape(-1, C), labels, reduction="none").view(M, B)

    def scores(self, z_MBC: Tensor, y: Tensor) -> Tensor:
        """Return 1 where the largest output is the right class, else 0."""
        right = (z_MBC.argmax(-1) == y) & z_MBC.isfinite().all(-1)
        return right.double()

    def constant(self, y_train: Tensor) -> Tensor:
        """Return the logarithm of the class frequencies."""
        return torch.bincount(y_train, minlength=self.classes).double().log()


class Regression:
    """Mean squared error over the outputs and R^2 against the constant predictor.

    R^2 = 1 - sum (y - z)^2 / sum (y - c)^2, averaged over the outputs, with c the mean of the training targets.
    """

    metric_name = "r2"

    def __init__(self, y_train: Tensor):
        """Take the training targets, whose mean is the constant predictor."""
        self._mean_C = y_train.double().mean(0)

    def losses(self, z_MBC: Tensor, y: Tensor) -> Tensor:
        """Return the mean over the outputs of (z - y)^2, shape (M, B)."""
        return (_at_least_float32(z_MBC) - y).square().mean(-1)

    def scores(self, z_MBC: Tensor, y: Tensor) -> Tensor:
        """Return 1 - (z - y)^2 / E(y - c)^2, averaged over the outputs; its mean over a split is R^2."""
        self._mean_C = self._mean_C.to(y.device)  # once: sending it would stop every look on a GPU
        y = y.double()
        error_C = (y - self._mean_C).square().mean(0)
        return (1 - (z_MBC.double() - y).square() / error_C).mean(-1)

    def constant(self, y_train: Tensor) -> Tensor:
        """Return the mean of the targets."""
        return y_train.double().mean(0)


# A loss to minimise and, from it, a score whose mean over examples is the metric; `constant` is what the best predictor
# that ignores its input answers.
Objective = Classification | Regression


def _at_least_float32(z: Tensor) -> Tensor:
    return z.float() if z.dtype in (torch.float16, torch.bfloat16) else z
