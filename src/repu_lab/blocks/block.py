"""A kind of layer: what lies between the preactivations of one layer and those of the next.

    z^{l+1} = b + W h   or, where the layer skips,   z^{l+1} = z^l + branch (b + W h),   h = after(s(before(z^l))) .

The first map and the one to the output never skip. Shapes as in maps.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from repu_lab.blocks.maps import SAME, Map

Floats = NDArray[np.float64]
Elementwise = Callable[[Tensor], Tensor]


class Skip(nn.Module):
    """A residual step of a plain network: z -> z + branch(z), branch(z) = b + W h(z)."""

    def __init__(self, *branch: nn.Module):
        """Take the modules of h and the affine map behind it."""
        super().__init__()
        self.branch = nn.Sequential(*branch)

    def forward(self, z: Tensor) -> Tensor:
        """Return z + b + W h(z)."""
        return z + self.branch(z)


@dataclass(frozen=True)
class Block:
    """A kind of layer; at most one of `before` and `after` is not `Same`."""

    residual: bool = False
    before: Map = SAME
    after: Map = SAME

    def skips(self, l: int, sizes: Sequence[int]) -> bool:
        """Whether z^l is added to what the map from layer l to layer l + 1 gives, in a network of these sizes."""
        return self.residual and 1 <= l < len(sizes) - 2 and sizes[l] == sizes[l + 1]

    def skipped(self, depth: int) -> NDArray[np.bool_]:
        """Return the same for the maps from layers l = 1..depth of a network of one width."""
        return (np.arange(1, depth + 1) < depth) & self.residual

    def degree(self, p: float) -> float:
        """Return q with h(a z) = a^q h(z) for all a > 0, given that of s."""
        return 0.0 if self.scale_free else p

    @property
    def scale_free(self) -> bool:
        """Whether h does not change if z is multiplied by a number."""
        return self.before.scale_free or self.after.scale_free

    def joined(self, z: Tensor, branch: Tensor, skips: bool) -> Tensor:
        """Return z^{l+1}, given z^l and b + W h; of their derivatives too."""
        return z + branch if skips else branch

    def modules(self, activation: nn.Module, units: int) -> list[nn.Module]:
        """Return h as modules of plain torch."""
        return [*self.before.modules(units), activation, *self.after.modules(units)]

    def susceptibilities(
        self, z: Tensor, C_W: Tensor, skips: Tensor, s: Elementwise, slope: Elementwise
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what a layer multiplies K, and a mean square gradient, by, and s' at every unit.

            chi_parallel = C_W h . (z . d/dz) h / z . z [+ 1],   chi_perp = C_W / n sum_ij (dh_i/dz_j)^2 [+ 1] ,

        for given weights of mean square C_W / n; + 1 where `skips`. Units are the last axis.
        """
        u = self.before(z)
        h, slopes = s(u), slope(u)
        # K from z, not from a scaled copy: where z^2 leaves float64, so does z s s', and the ratio is undefined.
        overlap = torch.zeros_like(z[..., 0]) if self.scale_free else (u * h * slopes).mean(-1)
        gain = (slopes.square() * (self.before.gain(z) * self.after.gain(h))).mean(-1)
        return skips + C_W * overlap / z.square().mean(-1), skips + C_W * gain, slopes


PLAIN = Block()
RESIDUAL = Block(residual=True)
