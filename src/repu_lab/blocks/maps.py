"""What a block does to all units of a layer at once, before or after its activation.

Shapes: M members, B inputs, N units, K first and J second derivatives; "..." is any of them.
"""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn


class Map(Protocol):
    """A function x -> u of all units of one input.

    `scale_free`: u does not change if x is multiplied by a number, so its derivatives fall as 1/x.
    """

    scale_free: bool

    def __call__(self, x: Tensor) -> Tensor:
        """Return u for x of shape (..., N)."""
        ...

    def jet(self, x_MBN: Tensor, d_MKBN: Tensor, J: int) -> tuple[Tensor, Tensor]:
        """Return u and its derivatives, given those of x; the last J of them are second ones, of the first J."""
        ...

    def gain(self, x: Tensor) -> Tensor | float:
        """Return, for each unit j, sum_i (du_i/dx_j)^2: what a layer's mean square gradient is multiplied by there."""
        ...

    def modules(self, units: int) -> list[nn.Module]:
        """Return the same as plain torch."""
        ...


@dataclass(frozen=True)
class Same:
    """u = x."""

    scale_free = False

    def __call__(self, x: Tensor) -> Tensor:
        """Return x."""
        return x

    def jet(self, x_MBN: Tensor, d_MKBN: Tensor, J: int) -> tuple[Tensor, Tensor]:
        """Return x and its derivatives."""
        return x_MBN, d_MKBN

    def gain(self, x: Tensor) -> float:
        """Return 1."""
        return 1.0

    def modules(self, units: int) -> list[nn.Module]:
        """Return nothing."""
        return []


SAME = Same()
