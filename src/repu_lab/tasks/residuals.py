"""What a task of squared errors squares and sums, and its Jacobian: for Gauss-Newton.

Shapes: P parameters, B examples, I inputs, C outputs, R residuals.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from repu_lab.networks.population import Population
from repu_lab.tasks.base import Split, Task

# Residuals of a batch. 250 and 1,000 led no nearer to Burgers' solution (7 x 20, 2,601 parameters) in the same time.
RESIDUALS = 500
ROOM = 1 << 30  # bytes of a Jacobian: large networks get smaller batches


@dataclass(frozen=True)
class BatchResiduals:
    """Those of a regression or an equation, scaled such that the sum of their squares is the training loss."""

    population: Population
    task: Task

    @property
    def examples(self) -> int:
        """Return the size of a batch."""
        fitting = min(RESIDUALS, ROOM // (8 * self.population.theta.shape[1])) // self.task.outputs
        return max(1, min(fitting, len(self.task.train)))

    def values(self, theta_P: Tensor, step: int) -> Tensor:
        """Return r on the batch of a step, shape (R,), output by output."""
        with torch.no_grad():
            parts = [self._of(split, at_points, theta_P.unsqueeze(0)) for split, at_points in self._splits(step)]
        return torch.cat([part.mT.flatten() / part.numel() ** 0.5 for part in parts])

    def jacobian(self, theta_P: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Return r and its Jacobian, (R,) and (R, P): each example is the batch of a member of its own."""
        values: list[Tensor] = []
        rows: list[Tensor] = []
        for (x_BI, y_BC), at_points in self._splits(step):
            theta_BP = theta_P.expand(len(x_BI), -1).detach().requires_grad_()
            r_B1C = self._of(Split(x_BI.unsqueeze(1), y_BC.unsqueeze(1)), at_points, theta_BP)
            for r_B in (r_B1C / r_B1C.numel() ** 0.5).unbind(2):
                rows += torch.autograd.grad(r_B.sum(), theta_BP, retain_graph=True)
                values.append(r_B.detach().flatten())
        # A copy of a single Jacobian would take as long as half of its making: 30 MB are new pages each time.
        return torch.cat(values), rows[0] if len(rows) == 1 else torch.cat(rows)

    def _splits(self, step: int) -> Iterator[tuple[Split, bool]]:
        """Yield what of the training data counts at a step, and whether the equation is to hold there."""
        yield self.task.batch(step, self.examples), self.task.equation is not None
        if self.task.conditions is not None:
            yield self.task.conditions, False

    def _of(self, split: Split, at_points: bool, theta_MP: Tensor) -> Tensor:
        if at_points:
            assert self.task.equation is not None
            return self.task.equation(self.population, split, theta_MP)[1]
        return self.population(split.x, theta_MP) - split.y
