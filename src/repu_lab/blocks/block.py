"""A kind of layer: what lies between the preactivations of one layer and those of the next.

    z^{l+1} = b + W h   or, where the layer skips,   z^{l+1} = z^l + a (b + W h),   h = after(s(before(z^l / c))) ,

with a = `branch` and c = 1, unless each layer has its own: a learned one, and a frozen one, the root mean square of z^l
over the first batch. The first map and the one to the output never skip. Shapes as in maps.py; a and c (M, 1, 1).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from repu_lab.activations.base import Elementwise
from repu_lab.blocks.maps import CENTRED, NORMS, RMS, SAME, Floats, Map


class Skip(nn.Module):
    """A residual step of a plain network: z -> z + a branch(z), branch(z) = b + W h(z)."""

    def __init__(self, *branch: nn.Module, a: float | Tensor = 1.0):
        """Take the modules of h and the affine map behind it; a tensor is learned."""
        super().__init__()
        self.branch = nn.Sequential(*branch)
        self.a = nn.Parameter(a) if isinstance(a, Tensor) else a

    def forward(self, z: Tensor) -> Tensor:
        """Return z + a (b + W h(z))."""
        branch = self.branch(z)
        return z + (branch if isinstance(self.a, float) and self.a == 1 else self.a * branch)


class Scaled(nn.Module):
    """z / c, with a number that is not learned."""

    c: Tensor

    def __init__(self, c: Tensor):
        """Take c."""
        super().__init__()
        self.register_buffer("c", c)

    def forward(self, z: Tensor) -> Tensor:
        """Return z / c."""
        return z / self.c


@dataclass(frozen=True)
class Block:
    """A kind of layer; at most one of `before`, `after` and `frozen` is not the default."""

    residual: bool = False
    before: Map = SAME
    after: Map = SAME
    branch: float = 1.0  # a; of a learned one the value at the start
    learned: bool = False
    frozen: bool = False

    # What networks compute.

    def skips(self, l: int, sizes: Sequence[int]) -> bool:
        """Whether z^l is added to what the map from layer l to layer l + 1 gives, in a network of these sizes."""
        return self.residual and 1 <= l < len(sizes) - 2 and sizes[l] == sizes[l + 1]

    def seen(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return what the activation is applied to."""
        return self.before(z if c is None else z / c.detach())

    def joined(self, z: Tensor, branch: Tensor, skips: bool, a: Tensor | None = None) -> Tensor:
        """Return z^{l+1}, given z^l and b + W h; of their derivatives too."""
        if not skips:
            return branch
        return torch.add(z, branch, alpha=self.branch) if a is None else z + a * branch

    def share(self, skips: bool, a: Tensor | None = None) -> Any:
        """Return a^2, 1 where a layer does not skip: what the variances of b + W h are multiplied by."""
        return 1.0 if not skips else self.branch**2 if a is None else a.square()

    def modules(self, activation: nn.Module, units: int, c: Tensor | None = None) -> list[nn.Module]:
        """Return h as modules of plain torch."""
        scaled = [] if c is None else [Scaled(c)]
        return [*scaled, *self.before.modules(units), activation, *self.after.modules(units)]

    def susceptibilities(
        self, z: Tensor, C_W: Tensor, s: Elementwise, slope: Elementwise, c: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what b + W h multiplies K, and a mean square gradient, by, and s' at every unit.

            chi_parallel = C_W h . (z . d/dz) h / z . z,   chi_perp = C_W / n sum_ij (dh_i/dz_j)^2 ,

        for given weights of mean square C_W / n; h less its mean where they take that out. Units are the last axis.
        """
        u = self.seen(z, c)
        h, slopes = s(u), slope(u)
        if self.after == CENTRED:
            h = (h - h.mean(-1, keepdim=True)) * (h.shape[-1] / (h.shape[-1] - 1))
        # K from z, not from a scaled copy: where z^2 leaves float64, so does z s s', and the ratio is undefined.
        overlap = torch.zeros_like(z[..., 0]) if self.scale_free else (u * h * slopes).mean(-1)
        scale = 1.0 if c is None else c.square()
        gain = (slopes.square() * (self.before.gain(z) * self.after.gain(h) / scale)).mean(-1)
        return C_W * overlap / z.square().mean(-1), C_W * gain, slopes

    # What theory says of them, for K^l = E[z^2] of an infinitely wide layer. `form`: the averages of an activation.

    @property
    def scale_free(self) -> bool:
        """Whether h does not change if z is multiplied by a number."""
        return self.before.scale_free or self.after.scale_free

    @property
    def as_is(self) -> bool:
        """Whether the activation is applied to z itself."""
        return self.before == SAME and not self.frozen

    @property
    def bare(self) -> bool:
        """Whether h = s(z)."""
        return self.as_is and self.after == SAME

    def behind(self, weights: str) -> "Block":
        """Return the block that weights of this kind make of it: centred ones take the mean of h out, if it has one."""
        return replace(self, after=CENTRED) if weights == "centred" and self.after == SAME else self

    @property
    def normal(self) -> bool:
        """Whether h depends on the direction of z alone, as far as the network can tell at the start."""
        return self.scale_free or self.frozen

    def skipped(self, depth: int) -> NDArray[np.bool_]:
        """Whether the maps from layers l = 1..depth skip, in a network of one width."""
        return (np.arange(1, depth + 1) < depth) & self.residual

    def shares(self, depth: int) -> Floats:
        """Return a^2 of the same maps."""
        return np.where(self.skipped(depth), self.branch**2, 1.0)

    def time(self, depth: int) -> float:
        """Return the sum of a^2 over all branches, 0 where nothing skips: K moves by that times C_b + C_W E[h^2]."""
        return int(self.skipped(depth).sum()) * self.grown(depth).branch ** 2

    @property
    def divided(self) -> bool:
        """Whether the weights of a branch have to be as small as their number demands: neither a nor h can be."""
        return self.residual and not (self.normal or self.learned) and self.branch == 1

    def grown(self, depth: int) -> "Block":
        """Return the block with learned branches of 1/sqrt(depth), a size that they reach in a few steps."""
        return replace(self, branch=depth**-0.5) if self.learned else self

    def enters(self, K: Floats) -> tuple[Floats, Any]:
        """Return the variance of what the activation is applied to, and log of its derivative in K."""
        return (RMS if self.frozen else self.before).wide(K)

    def leaves(self, form: Any, K: Floats, square: Floats) -> tuple[Floats, Any]:
        """Return E[h^2] and log |dh/ds|^2 in the mean over units, at the variance K that enters s."""
        if self.after == CENTRED:  # not as a difference, which is rounding where s is nearly a constant
            return form.variance(K), 0.0
        return self.after.wide(square, form.mean(K) if self.after.centred else 0.0)

    # What finite layers are in theory's chains: e^(log_S / 2) x, units on axis 1.

    def units(self, log_S: Floats, x: Floats) -> tuple[Floats, Floats]:
        """Return what the activation is applied to; a scale is frozen over the inputs that are given."""
        return (log_S - self._log_scale(log_S, x), x) if self.frozen else self.before.units(log_S, x)

    def change(
        self, log_S: Floats, x: Floats, log_D: Floats, y: Floats, *, small: bool = False
    ) -> tuple[Floats, Floats]:
        """Return the change of that when y of size e^(log_D / 2) is added to x; to first order if it is `small`."""
        if self.frozen:
            return log_D - self._log_scale(log_S, x), y
        return self.before.change(log_S, x, log_D, y, small=small)

    def held(self, K_before: Floats, K: Floats) -> tuple["Block", Floats]:
        """Return the block and the variance by which a later K is seen: what was frozen at K_before does not follow."""
        return (replace(self, frozen=False), K / K_before) if self.frozen else (self, K)

    def _log_scale(self, log_S: Floats, x: Floats) -> Floats:
        top = log_S.max(2, keepdims=True)
        return top + np.log((np.exp(log_S - top) * x * x).mean((1, 2), keepdims=True))


PLAIN = Block()
RESIDUAL = Block(residual=True)


def kinds(depth: int) -> Iterator[Block]:
    """Yield every kind of layer that has no numbers of its own, with branches of 1 and of 1/sqrt(depth)."""
    for before, after in NORMS.values():
        yield Block(before=before, after=after)
        yield from (Block(residual=True, before=before, after=after, branch=a) for a in (1.0, depth**-0.5))
