"""What a block does to all units of a layer at once, before or after its activation.

Shapes: M members, B inputs, N units, K first and J second derivatives; "..." is any of them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

Floats = NDArray[np.float64]

# Added to a mean square before it is divided by, the smallest normal float32: an input that is zero stays zero.
EPS = 2.0**-126
# d below 1e-6 of x: u(x + d) - u(x), or s of both, loses more digits than its first order is wrong by.
LOG_CLOSE = 2 * np.log(1e-6)


@dataclass(frozen=True)
class Map:
    """A function x -> u of all units of one input, here u = x; each kind of layer overrides what it does otherwise.

    `scale_free`: u does not change if x is multiplied by a number, so its derivatives fall as 1/x. `centred`: nor does
    what the next map makes of it if a number is added to x.
    """

    scale_free = False
    centred = False

    def __call__(self, x: Tensor) -> Tensor:
        """Return u for x of shape (..., N)."""
        return x

    def jet(self, x_MBN: Tensor, d_MKBN: Tensor, J: int) -> tuple[Tensor, Tensor]:
        """Return u and its derivatives, given those of x; the last J of them are second ones, of the first J."""
        return x_MBN, d_MKBN

    def gain(self, x: Tensor) -> Any:
        """Return, for each unit j, sum_i (du_i/dx_j)^2: what a mean square gradient is multiplied by there."""
        return 1.0

    def modules(self, units: int) -> list[nn.Module]:
        """Return the same as plain torch."""
        return []

    def weighted(self, x: Floats, weights: Floats) -> Floats:
        """Return u of an infinitely wide layer whose units have the values x, as often as the weights say."""
        return x

    def wide(self, square: Floats, mean: Any = 0.0) -> tuple[Floats, Any]:
        """Return the mean square of u and log |du/dx|^2 in an infinitely wide layer, given E[x^2] and E[x]."""
        return square, 0.0

    def units(self, log_S: Floats, x: Floats) -> tuple[Floats, Floats]:
        """Return a sampled layer e^(log_S / 2) x, units on axis 1, behind the map, in the same form."""
        return log_S, x

    def change(
        self, log_S: Floats, x: Floats, log_D: Floats, y: Floats, *, small: bool = False
    ) -> tuple[Floats, Floats]:
        """Return the change of u when y of size e^(log_D / 2) is added to x; to first order if it is `small`."""
        return log_D, y


@dataclass(frozen=True)
class Unit(Map):
    """u = x / rms(x): RMSNorm (Zhang, Sennrich 2019); of x less its mean if `centred`: LayerNorm (Ba et al. 2016).

    Without weights of its own. With P = 1 - u u^T / N [- 1 1^T / N], a projection, du/dx = P / rms.
    """

    centred: bool = False
    scale_free = True

    def __call__(self, x: Tensor) -> Tensor:
        """Return x / sqrt(mean x^2 + EPS), as torch's own layers do."""
        if self.centred:
            return F.layer_norm(x, x.shape[-1:], eps=EPS)
        return F.rms_norm(x, x.shape[-1:], eps=EPS)

    def jet(self, x_MBN: Tensor, d_MKBN: Tensor, J: int) -> tuple[Tensor, Tensor]:
        """U' = P x' / rms and u'' = (P x'' - 2 (u . x' / N) u' - (u' . x' / N) u) / rms."""
        if self.centred:
            x_MBN, d_MKBN = (a - a.mean(-1, keepdim=True) for a in (x_MBN, d_MKBN))
        rms = (x_MBN.square().mean(-1, keepdim=True) + EPS).sqrt()
        u, rms = x_MBN / rms, rms.unsqueeze(1)
        u_M1BN = u.unsqueeze(1)
        growth = (u_M1BN * d_MKBN).mean(-1, keepdim=True)
        du = (d_MKBN - u_M1BN * growth) / rms
        if J:
            bent = 2 * growth[:, :J] * du[:, :J] + u_M1BN * (du[:, :J] * d_MKBN[:, :J]).mean(-1, keepdim=True)
            du = torch.cat([du[:, :-J], du[:, -J:] - bent / rms], dim=1)
        return u, du

    def gain(self, x: Tensor) -> Tensor:
        """Return P_jj / rms^2, since P P = P."""
        x = x - x.mean(-1, keepdim=True) if self.centred else x
        square = x.square().mean(-1, keepdim=True) + EPS
        return (1 - (self.centred + x.square() / square) / x.shape[-1]) / square

    def modules(self, units: int) -> list[nn.Module]:
        if self.centred:
            return [nn.LayerNorm(units, eps=EPS, elementwise_affine=False)]
        return [nn.RMSNorm(units, eps=EPS, elementwise_affine=False)]

    def wide(self, square: Floats, mean: Any = 0.0) -> tuple[Floats, Floats]:
        """Return 1 and -log of the mean square; a number of directions that P takes out is nothing of many."""
        variance = square - mean**2 if self.centred else square
        return np.where(variance > 0, 1.0, 0.0), -np.log(variance)

    def weighted(self, x: Floats, weights: Floats) -> Floats:
        x = x - (x @ weights)[:, None] if self.centred else x
        return x / np.sqrt((x * x) @ weights)[:, None]

    def units(self, log_S: Floats, x: Floats) -> tuple[Floats, Floats]:
        """Return log 1 and u, of x alone."""
        x = x - x.mean(1, keepdims=True) if self.centred else x
        square = np.einsum("mnb,mnb->mb", x, x)[:, None, :] / x.shape[1]
        return np.zeros_like(log_S), x / np.sqrt(np.where(square > 0, square, 1.0))

    def change(
        self, log_S: Floats, x: Floats, log_D: Floats, y: Floats, *, small: bool = False
    ) -> tuple[Floats, Floats]:
        """P y / rms where y is far below x, else the difference itself."""
        x, y = (a - a.mean(1, keepdims=True) if self.centred else a for a in (x, y))
        square = np.einsum("mnb,mnb->mb", x, x)[:, None, :] / x.shape[1]
        u = x / np.sqrt(np.where(square > 0, square, 1.0))
        overlap = np.einsum("mnb,mnb->mb", u, y)[:, None, :] / x.shape[1]
        near = (log_D - log_S - np.log(square) < LOG_CLOSE) | small
        log_first, first = log_D - log_S - np.log(square), y - u * overlap
        if near.all():
            return log_first, first
        top = np.maximum(log_S, log_D)
        both = x * np.exp((log_S - top) / 2) + y * np.exp((log_D - top) / 2)
        full = self.units(top, both)[1] - u
        return np.where(near, log_first, 0.0), np.where(near, first, full)


@dataclass(frozen=True)
class Centred(Map):
    """Nothing that a network computes: weights whose rows have no mean see x less its mean, however it is sent on.

    u = sqrt(N / (N - 1)) (x - mean x): rows w = sqrt(N / (N - 1)) P g with P = 1 - 1 1^T / N and independent g of one
    variance, and g . u = w . x. The mean square of w is that of g.
    """

    centred = True

    def wide(self, square: Floats, mean: Any = 0.0) -> tuple[Floats, float]:
        """Return the variance of x, and log 1: P takes one direction of many out."""
        return square - mean**2, 0.0

    def weighted(self, x: Floats, weights: Floats) -> Floats:
        return x - (x @ weights)[:, None]

    def units(self, log_S: Floats, x: Floats) -> tuple[Floats, Floats]:
        N = x.shape[1]
        return log_S, (x - x.mean(1, keepdims=True)) * np.sqrt(N / (N - 1))

    def change(
        self, log_S: Floats, x: Floats, log_D: Floats, y: Floats, *, small: bool = False
    ) -> tuple[Floats, Floats]:
        """Return u of y, since u is linear."""
        return self.units(log_D, y)


SAME, CENTRED = Map(), Centred()
RMS, LAYER = Unit(centred=False), Unit(centred=True)
# What `block.norm` names: the maps before and after the activation.
NORMS: dict[str, tuple[Map, Map]] = {
    "none": (SAME, SAME),
    "rms": (RMS, SAME),
    "layer": (LAYER, SAME),
    "layer_after": (SAME, LAYER),
}
