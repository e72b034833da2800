"""Many multilayer perceptrons of one shape as one module.

Shapes: M members, B inputs, I fan-in, O fan-out, N width, C outputs, P parameters of one member, L hidden layers.
"""

import copy
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from repu_lab.activations import Activation, as_activation
from repu_lab.activations.base import WithDerivative
from repu_lab.activations.custom import elementwise_derivative
from repu_lab.blocks import PLAIN, Block, Skip


class Affine(NamedTuple):
    """The affine map z = h W + b of every member: views into theta."""

    W_MIO: Tensor
    b_M1O: Tensor
    activation_MA: Tensor  # parameters of the activation that follows, (M, 0) for most
    branch_M11: Tensor | None = None  # what b + W h is multiplied by before z is added, where the block learns it
    scale_M11: Tensor | None = None  # what z is divided by before the activation that follows, where the block has one


def layout(sizes: Sequence[int], own: int, block: Block) -> list[int]:
    """Return how many numbers of a member each part of theta has; `own`: parameters of the activation."""
    maps = list(pairwise(sizes))
    splits = [size for l, (i, o) in enumerate(maps, 1) for size in (i * o, o, own if l < len(maps) else 0)]
    splits += [sum(block.skips(l, sizes) for l in range(len(maps)))] if block.learned else []
    return [*splits, len(maps) - 1] if block.frozen else splits


class Population(nn.Module):
    """M multilayer perceptrons z^{l+1} = b^{l+1} + W^{l+1} s(z^l), z^1 = b^1 + W^1 x, with l = 1..L+1.

    Or, with another `block`, what that puts in place of s(z^l), and adds to the maps between hidden layers.

    All parameters lie in one tensor `theta` of shape (M, P), a row a member: for each affine map W (fan-in x fan-out),
    then b, then the activation's own parameters if it has any; behind all of them those of the block. An optimizer, a
    checkpoint or a norm so handles one tensor, a member is a row, and each layer is one batched product
    (torch.baddbmm) over all members.
    """

    def __init__(
        self,
        activation: nn.Module,
        sizes: Sequence[int],
        members: int = 1,
        *,
        block: Block = PLAIN,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ):
        """Take s, sizes (n_0, n_1, .., n_L, n_{L+1}) and M; theta is zero until it is initialized."""
        super().__init__()
        if members < 1 or len(sizes) < 2 or min(sizes) < 1:
            raise ValueError(f"sizes={tuple(sizes)}, members={members}: need two sizes or more, all of at least 1")
        self.sizes = tuple(sizes)
        self.block = block
        own_copy = copy.deepcopy(as_activation(activation))
        self.activation: Activation = own_copy.to(dtype=dtype, device=device).requires_grad_(False)
        self._own = [parameter for _, parameter in self.activation.named_parameters()]
        self.own = own = sum(parameter.numel() for parameter in self._own)  # A
        self._splits = layout(self.sizes, own, block)
        self.drawn = sum(self._splits[: 3 * len(self.sizes) - 3])
        self.theta = nn.Parameter(torch.zeros(members, sum(self._splits), dtype=dtype, device=device))

    @property
    def members(self) -> int:
        """M."""
        return self.theta.shape[0]

    @property
    def depth(self) -> int:
        """L, the number of hidden layers."""
        return len(self.sizes) - 2

    def share(self, l: int, affine: Affine) -> Tensor | float:
        """Return what the variances of the map from layer l to l + 1 are multiplied by, where it is a branch: (M,)."""
        share = self.block.share(self.skips(l), affine.branch_M11)
        return share.flatten() if isinstance(share, Tensor) else share

    def skips(self, l: int) -> bool:
        """Whether z^l is added to what the map from layer l to layer l + 1 gives."""
        return self.block.skips(l, self.sizes)

    def affine_maps(self, theta_MP: Tensor | None = None) -> list[Affine]:
        """Return the maps l = 1..L+1 as views of theta (of the given rows, if a theta of fewer members is given)."""
        theta_MP = self.theta if theta_MP is None else theta_MP
        # One split, whose backward is one concatenation; slices would each allocate a gradient of theta's size.
        parts = theta_MP.split(self._splits, dim=1)
        own = [part.unsqueeze(2).unbind(1) for part in parts[3 * len(self.sizes) - 3 :]]
        branches = iter(own.pop(0) if self.block.learned else ())
        scales = iter(own.pop(0) if self.block.frozen else ())
        return [
            Affine(
                parts[3 * l].unflatten(1, (i, o)),
                parts[3 * l + 1].unsqueeze(1),
                parts[3 * l + 2],
                next(branches).unsqueeze(2) if self.block.learned and self.skips(l) else None,
                next(scales).unsqueeze(2) if self.block.frozen and l < self.depth else None,
            )
            for l, (i, o) in enumerate(pairwise(self.sizes))
        ]

    def forward(self, x: Tensor, theta_MP: Tensor | None = None) -> Tensor:
        """Return the outputs z^{L+1}, shape (M, B, C), of inputs (B, I) or, one batch a member, (M, B, I)."""
        z = x
        for preactivation in self._layers(x, theta_MP):  # keeps the last; the earlier ones may be freed
            z = preactivation
        return z

    def preactivations(self, x: Tensor, theta_MP: Tensor | None = None) -> list[Tensor]:
        """Return z^1 .. z^{L+1}, each of shape (M, B, fan-out)."""
        return list(self._layers(x, theta_MP))

    def _layers(self, x: Tensor, theta_MP: Tensor | None) -> Iterator[Tensor]:
        maps = self.affine_maps(theta_MP)
        h = z = x.expand(maps[0].W_MIO.shape[0], -1, -1) if x.dim() == 2 else x
        for l, affine in enumerate(maps, 1):
            branch = torch.baddbmm(affine.b_M1O, h, affine.W_MIO)
            z = self.block.joined(z, branch, self.skips(l - 1), affine.branch_M11)
            yield z
            if l <= self.depth:
                h = self.passed_on(z, affine)

    def passed_on(self, z_MBN: Tensor, affine: Affine) -> Tensor:
        """Return h of the block, what the map behind layer l gets, given z^l and the map in front of it."""
        return self.block.after(self.activate(self.block.seen(z_MBN, affine.scale_M11), affine.activation_MA))

    @torch.no_grad()
    def reset_own_(self) -> None:
        """Set what is no weight and no bias to its start: the activation's own parameters, and branches."""
        for affine in self.affine_maps():
            if affine.activation_MA.shape[1]:
                affine.activation_MA.copy_(torch.cat([parameter.flatten() for parameter in self._own]))
            if affine.branch_M11 is not None:
                affine.branch_M11.fill_(self.block.branch)

    @torch.no_grad()
    def freeze_(self, x_BI: Tensor) -> None:
        """Set what z^l is divided by to its root mean square over these inputs, where the block has such scales."""
        if not self.block.frozen:
            return
        # Views of theta: a scale is set before the next layer is computed with it.
        for z_MBN, affine in zip(self._layers(x_BI, None), self.affine_maps(), strict=True):
            if affine.scale_M11 is not None:
                affine.scale_M11.copy_(z_MBN.square().mean((1, 2), keepdim=True).sqrt())

    def activate(self, z_MBN: Tensor, own_MA: Tensor) -> Tensor:
        """Return s(z); an activation with parameters of its own is applied with each member's row of them."""
        if own_MA.shape[1] == 0:
            return self.activation(z_MBN)
        return torch.func.vmap(self._with_parameters)(own_MA, z_MBN)

    def slope(self, z_MBN: Tensor, own_MA: Tensor) -> Tensor:
        """Return s'(z), as `activate` returns s(z); its gradient is s''."""
        if own_MA.shape[1] == 0:
            return WithDerivative.apply(z_MBN, self.activation.derivative, self.activation.second_derivative)
        return elementwise_derivative(lambda z: self.activate(z, own_MA), z_MBN)

    def curvature(self, z_MBN: Tensor, own_MA: Tensor) -> Tensor:
        """Return s''(z), as `activate` returns s(z); its gradient is the third derivative."""
        if own_MA.shape[1] == 0:
            return WithDerivative.apply(z_MBN, self.activation.second_derivative, self.third_derivative)
        return elementwise_derivative(lambda z: self.slope(z, own_MA), z_MBN)

    def third_derivative(self, z: Tensor) -> Tensor:
        """Return that of s, by autograd of s'', and 0 where that is no number, as left of the kink of some powers."""
        third = elementwise_derivative(self.activation.second_derivative, z)
        return third.nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf)

    def _with_parameters(self, own_A: Tensor, z: Tensor) -> Tensor:
        names = [name for name, _ in self.activation.named_parameters()]
        values = own_A.split([parameter.numel() for parameter in self._own])
        shaped = {name: value.view_as(like) for name, value, like in zip(names, values, self._own, strict=True)}
        return torch.func.functional_call(self.activation, shaped, (z,))

    def member(self, index: int) -> nn.Sequential:
        """Return a copy of member `index` as a plain network: nn.Linear, the modules of a block, Skip if residual."""
        modules: list[nn.Module] = []
        between: list[nn.Module] = []
        with torch.no_grad():
            for l, (W_MIO, b_M1O, own_MA, branch_M11, scale_M11) in enumerate(self.affine_maps(), 1):
                _, fan_in, fan_out = W_MIO.shape
                linear = nn.Linear(fan_in, fan_out, dtype=self.theta.dtype, device=self.theta.device)
                linear.weight.copy_(W_MIO[index].T)
                linear.bias.copy_(b_M1O[index, 0])
                a, c = (None if part is None else part[index, 0, 0].clone() for part in (branch_M11, scale_M11))
                skip = Skip(*between, linear, a=self.block.branch if a is None else a)
                modules += [skip] if self.skips(l - 1) else [*between, linear]
                if l <= self.depth:
                    between = self.block.modules(self._activation_of(own_MA[index]), fan_out, c)
        return nn.Sequential(*modules)

    def _activation_of(self, own_A: Tensor) -> nn.Module:
        activation = copy.deepcopy(self.activation)
        values = own_A.split([parameter.numel() for parameter in self._own]) if self._own else ()
        for parameter, value in zip(activation.parameters(), values, strict=True):
            parameter.copy_(value.view_as(parameter)).requires_grad_(True)
        return getattr(activation, "module", activation)
