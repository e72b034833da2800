"""What a task is: two splits of data, an objective, a criterion, and batches that depend on the step alone.

Shapes: M members, B examples, I inputs, C outputs.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F


class Split(NamedTuple):
    """Inputs x (B, I) and targets y: classes (B,) or values (B, C)."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        """Return the number of examples."""
        return self.x.shape[0]


class Objective(Protocol):
    """A loss to minimise and, from it, a score whose mean over examples is the metric."""

    metric_name: str

    def losses(self, z_MBC: Tensor, y: Tensor) -> Tensor:
        """Return the loss of every member and example, shape (M, B)."""
        ...

    def scores(self, z_MBC: Tensor, y: Tensor) -> Tensor:
        """Return the score of every member and example, shape (M, B); its mean is the metric."""
        ...

    def constant(self, y_train: Tensor) -> Tensor:
        """Return the outputs (C,) of the best predictor that ignores its input, as seen from the training split."""
        ...


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

    def __init__(self, y_train: Tensor, y_test: Tensor):
        """Take the targets, from which the constant predictor and its test error follow."""
        self._mean_C = y_train.double().mean(0)
        self._error_C = (y_test.double() - self._mean_C).square().mean(0)

    def losses(self, z_MBC: Tensor, y: Tensor) -> Tensor:
        """Return the mean over the outputs of (z - y)^2, shape (M, B)."""
        return (_at_least_float32(z_MBC) - y).square().mean(-1)

    def scores(self, z_MBC: Tensor, y: Tensor) -> Tensor:
        """Return 1 - (z - y)^2 / E(y - c)^2, averaged over the outputs; its mean over the test split is R^2."""
        return (1 - (z_MBC.double() - y.double()).square() / self._error_C.to(z_MBC.device)).mean(-1)

    def constant(self, y_train: Tensor) -> Tensor:
        """Return the mean of the targets."""
        return y_train.double().mean(0)


@lru_cache(maxsize=2)
def _permutation(size: int, seed: int, epoch: int) -> Tensor:
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
    return torch.randperm(size, generator=generator)


def _at_least_float32(z: Tensor) -> Tensor:
    return z.float() if z.dtype in (torch.float16, torch.bfloat16) else z


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Test loss (M,), metric (M,), and by how many standard errors the metric beats the constant predictor's (M,)."""

    loss: Tensor
    metric: Tensor
    advantage: Tensor


@dataclass(frozen=True, kw_only=True)
class Task:
    """Data, objective and success criterion; `input_mean_square` is the mean of |x|^2/n_0 (exactly 1 for images)."""

    name: str
    train: Split
    test: Split
    outputs: int
    objective: Objective
    criterion: float
    input_mean_square: float
    data_seed: int

    def batch(self, step: int, size: int) -> Split:
        """Return the batch of a step: the same for all members, and a function of step, size and data_seed alone.

        Each epoch is a fresh permutation of the training split; what does not fill a batch is left out.
        """
        epoch, place = divmod(step, len(self.train) // size)
        index = _permutation(len(self.train), self.data_seed, epoch)[place * size : (place + 1) * size]
        index = index.to(self.train.x.device)
        return Split(self.train.x[index], self.train.y[index])

    def baseline(self) -> tuple[float, float]:
        """Return the test loss and the test metric of the constant predictor."""
        z_1BC = self._constant_outputs()
        loss = self.objective.losses(z_1BC, self.test.y).double().mean().item()
        return loss, self.objective.scores(z_1BC, self.test.y).mean().item()

    def evaluate(self, z_MBC: Tensor) -> Evaluation:
        """Judge outputs on the test split; the comparison with the constant predictor is paired, example by example."""
        scores_MB = self.objective.scores(z_MBC, self.test.y)
        gain_MB = scores_MB - self.objective.scores(self._constant_outputs(), self.test.y)
        error_M = gain_MB.std(-1) / math.sqrt(gain_MB.shape[-1])
        return Evaluation(
            loss=self.objective.losses(z_MBC, self.test.y).double().mean(-1),
            metric=scores_MB.mean(-1),
            advantage=torch.where(error_M > 0, gain_MB.mean(-1) / error_M, 0.0),
        )

    def _constant_outputs(self) -> Tensor:
        constant_C = self.objective.constant(self.train.y).to(self.test.x.device)
        return constant_C.expand(1, len(self.test), -1)
