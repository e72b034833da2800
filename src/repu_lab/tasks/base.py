"""What a task is: three splits of data, a loss, a criterion, and batches that depend on the step alone.

Shapes: M members, P parameters, B examples, I inputs, C outputs, L hidden layers.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from repu_lab.networks.population import Population
from repu_lab.tasks.objectives import Objective


class Split(NamedTuple):
    """Inputs x (B, I) and targets y: classes (B,) or values (B, C)."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        """Return the number of examples."""
        return self.x.shape[0]


# The preactivations of a population (of the rows theta, or all) on a batch, and what is to vanish there, (M, B, 1):
# no function of the outputs alone.
Equation = Callable[[Population, Split, Tensor | None], tuple[list[Tensor], Tensor]]
# Numbers beside the metric, by name, for every row of theta; NaN where they are not finite.
Measurement = Callable[[Population, Tensor], dict[str, Tensor]]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Test loss (M,), metric (M,), and by how many standard errors the metric beats the constant predictor's (M,)."""

    loss: Tensor
    metric: Tensor
    advantage: Tensor


@dataclass(frozen=True, kw_only=True)
class Task:
    """Data, objective and success criterion; `input_mean_square` is the mean of |x|^2/n_0 (exactly 1 for images).

    Settings are chosen by the validation split, networks judged by the test split. A task with an `equation` trains on
    the mean square of its residual at the training inputs and, added to it, of the error at `conditions`, points at
    which values are prescribed, if any; the objective judges the other splits. `form` makes of inputs and
    outputs what is judged. `measurement` gives what is measured once, at the end.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    outputs: int
    objective: Objective
    criterion: float
    input_mean_square: float
    data_seed: int
    conditions: Split | None = None
    equation: Equation | None = None
    form: Callable[[Tensor, Tensor], Tensor] | None = None
    measurement: Measurement | None = None
    source: str = ""  # where the data were found

    def batch(self, step: int, size: int) -> Split:
        """Return the batch of a step: the same for all members, and a function of step, size and data_seed alone.

        Each epoch is a fresh permutation of the training split; what does not fill a batch is left out.
        """
        return self.at(self.index(step, size))

    def index(self, step: int, size: int) -> Tensor:
        """Return which training examples (B,) the batch of a step holds, without waiting for the device."""
        epoch, place = divmod(step, len(self.train) // size)
        order = _permutation(len(self.train), self.data_seed, epoch, self.train.x.device)
        return order[place * size : (place + 1) * size]

    def at(self, index_B: Tensor) -> Split:
        """Return the training examples of an index."""
        return Split(self.train.x[index_B], self.train.y[index_B])

    def losses(self, population: Population, batch: Split, theta_MP: Tensor | None = None) -> Tensor:
        """Return the training loss of each member on a batch, shape (M,), of the given rows or of all."""
        if self.equation is not None:
            return self.passed(population, batch, theta_MP)[1]
        return self.objective.losses(population(batch.x, theta_MP), batch.y).mean(-1)

    def passed(
        self, population: Population, batch: Split, theta_MP: Tensor | None = None
    ) -> tuple[list[Tensor], Tensor]:
        """Return the preactivations z^1 .. z^{L+1}, each (M, B, N), which cost memory, and the same losses, (M,)."""
        if self.equation is not None:
            z_D, residual_MBC = self.equation(population, batch, theta_MP)
            loss_M = residual_MBC.square().mean((1, 2))
            if self.conditions is not None:
                error_MBC = population(self.conditions.x, theta_MP) - self.conditions.y
                loss_M = loss_M + error_MBC.square().mean((1, 2))
            return z_D, loss_M
        z_D = population.preactivations(batch.x, theta_MP)
        return z_D, self.objective.losses(z_D[-1], batch.y).mean(-1)

    def baseline(self) -> tuple[float, float]:
        """Return the test loss and the test metric of the constant predictor."""
        loss = self.objective.losses(self._constant_outputs(self.test), self.test.y).double().mean().item()
        return loss, self._constant_scores_1B.mean().item()

    def evaluate(self, z_MBC: Tensor, split: Split | None = None) -> Evaluation:
        """Judge outputs on the test split, or another; the constant predictor is compared example by example."""
        constant_1B = self._constant_scores_1B if split is None else self._constant_scores(split)
        split = self.test if split is None else split
        z_MBC = self.formed(split.x, z_MBC)
        scores_MB = self.objective.scores(z_MBC, split.y)
        gain_MB = scores_MB - constant_1B
        error_M = gain_MB.std(-1) / math.sqrt(gain_MB.shape[-1])
        return Evaluation(
            loss=self.objective.losses(z_MBC, split.y).double().mean(-1),
            metric=scores_MB.mean(-1),
            advantage=torch.where(error_M > 0, gain_MB.mean(-1) / error_M, 0.0),
        )

    def formed(self, x_BI: Tensor, z_MBC: Tensor) -> Tensor:
        """Return what is judged of the outputs at these inputs: they themselves, unless the task has a form."""
        return z_MBC if self.form is None else self.form(x_BI, z_MBC)

    def measures(self, population: Population, theta_MP: Tensor) -> dict[str, Tensor]:
        """Return what this task measures beside its metric, by name, for the given rows: each of shape (M,)."""
        return {} if self.measurement is None else self.measurement(population, theta_MP)

    @cached_property
    def _constant_scores_1B(self) -> Tensor:
        return self._constant_scores(self.test)

    def _constant_scores(self, split: Split) -> Tensor:
        return self.objective.scores(self._constant_outputs(split), split.y)

    def _constant_outputs(self, split: Split) -> Tensor:
        constant_C = self.objective.constant(self.train.y).to(split.x.device)
        return constant_C.expand(1, len(split), -1)


@lru_cache(maxsize=2)
def _permutation(size: int, seed: int, epoch: int, device: torch.device) -> Tensor:
    """Return an epoch's order, on the device: sent there at once, since a batch's index would stop every step."""
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
    order = torch.randperm(size, generator=generator)
    # From pinned memory it travels while the host goes on.
    return order.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else order.to(device)
