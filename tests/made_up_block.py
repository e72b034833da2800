"""A kind of layer as CONTRIBUTING says that one is added: a Map. The activation is applied to z over a number."""

from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
from torch import Tensor, float64, nn, tensor

from repu_lab.blocks.block import Scaled
from repu_lab.blocks.maps import Floats, Map


@dataclass(frozen=True)
class Cooled(Map):
    """u = x / t."""

    t: float

    def __call__(self, x: Tensor) -> Tensor:
        return x / self.t

    def jet(self, x_MBN: Tensor, d_MKBN: Tensor, J: int) -> tuple[Tensor, Tensor]:
        return x_MBN / self.t, d_MKBN / self.t

    def gain(self, x: Tensor) -> float:
        return self.t**-2

    def modules(self, units: int) -> list[nn.Module]:
        return [Scaled(tensor(self.t, dtype=float64))]

    def wide(self, square: Floats, mean: Any = 0.0) -> tuple[Floats, float]:
        return square / self.t**2, -2 * log(self.t)

    def weighted(self, x: Floats, weights: Floats) -> Floats:
        return x / self.t

    def units(self, log_S: Floats, x: Floats) -> tuple[Floats, Floats]:
        return log_S - 2 * log(self.t), x

    def change(
        self, log_S: Floats, x: Floats, log_D: Floats, y: Floats, *, small: bool = False
    ) -> tuple[Floats, Floats]:
        return log_D - 2 * log(self.t), y


COOLED = Cooled(float(np.sqrt(3.0)))
