"""What physics-informed networks share: conditions met by the form of the solution, residuals, errors on a grid.

Shapes: M members, B points, I coordinates, C = 1 output, K first and J second derivatives. Points are (B, I) or, others
for each member, (M, B, I); what is known of them then has an M in front, too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from repu_lab.networks.derivatives import Jet, jets
from repu_lab.networks.population import Population
from repu_lab.tasks.base import Equation, Measurement, Split
from repu_lab.tasks.measures import by_rows, in_float64, relative_error

EXACT = "exact"  # conditions are met by the form of u, not by a part of the loss
# What is judged, of points and the outputs there.
OfOutputs = Callable[[Tensor, Tensor], Tensor]
# Of points x (B, I) and the derivatives of u there what is to equal the target of the training split.
Operator = Callable[[Tensor, Jet], Tensor]


@dataclass(frozen=True)
class Form:
    """u = known(x) + factor(x) N(x): where the factor is 0, u is the known function, whatever the network N.

    Both return a function with its derivatives as a Jet of shapes (B, 1), (K, B, 1) and (J, B, 1). The factor falls to
    0 with a slope, or the residual could not move the network there (Lagaris, Likas & Fotiadis, arXiv:physics/9705023).
    """

    known: Callable[[Tensor], Jet]
    factor: Callable[[Tensor], Jet]

    def __call__(self, x_BI: Tensor, z_MBC: Tensor) -> Tensor:
        """Return u of a network's outputs."""
        return self.known(x_BI).z_MBN + self.factor(x_BI).z_MBN * z_MBC

    def jet(self, x_BI: Tensor, outputs: Jet) -> Jet:
        """Return u with its derivatives, by the product rule."""
        g, d = self.known(x_BI), self.factor(x_BI)
        z, factor = outputs.z_MBN.unsqueeze(1), d.z_MBN.unsqueeze(-3)
        J = outputs.second_MJBN.shape[1]
        mixed = 2 * d.first_MKBN[..., :J, :, :] * outputs.first_MKBN[:, :J]
        return Jet(
            self(x_BI, outputs.z_MBN),
            g.first_MKBN + d.first_MKBN * z + factor * outputs.first_MKBN,
            g.second_MJBN + d.second_MJBN * z + mixed + factor * outputs.second_MJBN,
        )


def columns(value: Tensor, first: Sequence[Tensor], second: Sequence[Tensor]) -> Jet:
    """Return a function of the points as a Jet, from its value and derivatives (B,)."""
    stacked = (torch.stack(list(parts), dim=-2).unsqueeze(-1) for parts in (first, second))
    return Jet(value.unsqueeze(-1), *stacked)


def residual(operator: Operator, second: Sequence[int], form: Form | None) -> Equation:
    """Return the residual operator(u) - y of a network, with its preactivations.

    u has first derivatives along both coordinates, second ones along those of `second`, with which they begin.
    """

    def equation(population: Population, batch: Split, theta_MP: Tensor | None = None) -> tuple[list[Tensor], Tensor]:
        layers = jets(population, batch.x, first=(0, 1), second=second, theta_MP=theta_MP)
        u = layers[-1] if form is None else form.jet(batch.x, layers[-1])
        return [layer.z_MBN for layer in layers], operator(batch.x, u) - batch.y

    return equation


def grid_error(points_BI: Tensor, exact_B1: Tensor, form: OfOutputs | None) -> Measurement:
    """Return what measures the relative L2 error on a grid of points, for every row of theta."""

    def measure(population: Population, theta_MP: Tensor) -> dict[str, Tensor]:
        theta_MP = in_float64(theta_MP)
        points, exact = points_BI.to(theta_MP.device), exact_B1.to(theta_MP.device)

        def error(rows_MP: Tensor) -> Tensor:
            z = population(points, rows_MP)
            return relative_error(z if form is None else form(points, z), exact)

        return {"relative_l2": by_rows(error, population, theta_MP, len(points))}

    return measure


def sobol(count: int, seed: int) -> Tensor:
    """Return scrambled Sobol points of the unit square (count, 2), which fill it evenly, in float64."""
    return torch.quasirandom.SobolEngine(2, scramble=True, seed=seed % 2**31).draw(count).double()
