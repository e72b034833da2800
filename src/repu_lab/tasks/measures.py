"""How well a function and its derivative are learnt, in float64: relative L2 and H1 errors, jumps of the derivative.

Shapes: M members, P parameters, B points, I inputs, C outputs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from repu_lab.networks.derivatives import jets
from repu_lab.networks.population import Population
from repu_lab.tasks.targets import Target

# Points of the grid on which the learnt derivative's jumps are looked for. A smooth one moves by f'' 2 / GRID from
# point to point, a kink by its whole size. They are the middles of cells: 0, where kinks begin, is none of them.
GRID = 4096
# Bound on the float64 numbers that one evaluation holds at once (64 MiB).
CHUNK = 8_000_000


@dataclass(frozen=True, kw_only=True)
class FunctionErrors:
    """The measurement of a regression on known targets, learnt as (f - mean) / std.

    relative_l2 = |f_net - f| / |f|, relative_h1 = |grad f_net - grad f| / |grad f| (the H1 seminorm: derivatives
    alone), root mean squares over `x_BI`, averaged over the outputs. derivative_jump, for one input and one output:
    the largest |f_net'(x + h) - f_net'(x)| on a grid of GRID points, h = 2 / GRID, in units of the largest |f'|.
    """

    x_BI: Tensor
    targets: Sequence[Target]
    mean_C: Tensor
    std_C: Tensor

    def __call__(self, population: Population, theta_MP: Tensor) -> dict[str, Tensor]:
        """Return the errors of every row of theta."""
        theta_MP = in_float64(theta_MP)
        x_BI, device = self.x_BI.to(theta_MP.device), theta_MP.device
        f_BC = torch.stack([target.value(self.x_BI) for target in self.targets], dim=1).to(device)
        slope_BCI = torch.stack([target.gradient(self.x_BI) for target in self.targets], dim=1).to(device)

        def errors(rows_MP: Tensor) -> Tensor:
            learnt_MBC, slope_MBCI = self._learnt(population, rows_MP, x_BI)
            l2 = relative_error(learnt_MBC, f_BC)
            h1 = relative_error(slope_MBCI.mT.flatten(1, 2), slope_BCI.mT.flatten(0, 1))
            return torch.stack([l2, h1], dim=1)

        error_M2 = by_rows(errors, population, theta_MP, x_BI.numel() + len(x_BI))
        measures = {"relative_l2": error_M2[:, 0], "relative_h1": error_M2[:, 1]}
        if x_BI.shape[1] == len(self.targets) == 1:
            grid_G1 = ((2 * torch.arange(GRID, dtype=torch.float64) + 1) / GRID - 1)[:, None]
            ends_G1 = torch.linspace(-1, 1, GRID + 1, dtype=torch.float64)[:, None]
            largest = self.targets[0].gradient(ends_G1).abs().max().item()
            grid_G1 = grid_G1.to(device)

            def jump(rows_MP: Tensor) -> Tensor:
                slope_MG = self._learnt(population, rows_MP, grid_G1)[1].flatten(1)
                return slope_MG.diff(dim=1).abs().amax(1) / largest

            measures["derivative_jump"] = by_rows(jump, population, theta_MP, 2 * len(grid_G1))
        return measures

    def _learnt(self, population: Population, theta_MP: Tensor, x_BI: Tensor) -> tuple[Tensor, Tensor]:
        """Return the learnt functions (M, B, C) and their derivatives (M, B, C, I), in the targets' own units."""
        z_MBC, first_MIBC, _ = jets(population, x_BI, first=range(x_BI.shape[1]), theta_MP=theta_MP)[-1]
        mean_C, std_C = self.mean_C.to(x_BI.device), self.std_C.to(x_BI.device)
        return mean_C + std_C * z_MBC, (std_C * first_MIBC).permute(0, 2, 3, 1)


def in_float64(theta_MP: Tensor) -> Tensor:
    """Return the rows in float64, on the CPU if their own device has no such numbers (mps)."""
    theta_MP = theta_MP.detach()
    return (theta_MP.cpu() if theta_MP.device.type == "mps" else theta_MP).double()


@torch.no_grad()
def by_rows(function: Callable[[Tensor], Tensor], population: Population, theta_MP: Tensor, points: int) -> Tensor:
    """Return function(rows of theta), a few members at a time: it holds `points` numbers for each unit of a layer."""
    members = max(1, CHUNK // (points * max(population.sizes)))
    return torch.cat([function(rows_MP) for rows_MP in theta_MP.split(members)])


def relative_error(learnt_MBC: Tensor, true_BC: Tensor) -> Tensor:
    """Return the root mean square of learnt - true relative to that of true, averaged over the outputs, (M,)."""
    error_MC = (learnt_MBC - true_BC).square().mean(1)
    return (error_MC / true_BC.square().mean(0)).sqrt().mean(-1)
