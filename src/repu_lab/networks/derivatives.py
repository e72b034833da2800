"""Derivatives of a population's outputs with respect to its inputs, carried forward through the layers.

With h = s(z): dh/dx_k = s'(z) dz/dx_k, d2h/dx_k2 = s''(z) (dz/dx_k)^2 + s'(z) d2z/dx_k2, and every affine map acts on
each of them as on z, without its bias; what else a block does, it carries along itself. One forward pass, and a graph
that a loss on derivatives can be differentiated through once.

Shapes: M members, B inputs, I input coordinates, N units, K first and J second derivatives.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from repu_lab.networks.population import Population


class Jet(NamedTuple):
    """z^l of a layer with its first and second derivatives along some input coordinates."""

    z_MBN: Tensor
    first_MKBN: Tensor
    second_MJBN: Tensor


def jets(
    population: Population,
    x_BI: Tensor,
    *,
    first: Sequence[int],
    second: Sequence[int] = (),
    theta_MP: Tensor | None = None,
) -> list[Jet]:
    """Return z^1 .. z^{L+1} with dz/dx_k for k in `first` and d2z/dx_k2 for k in `second`, with which `first` begins.

    Inputs are (B, I) or, one batch a member, (M, B, I). About 1 + K + J times the work of a forward pass. At a kink s'
    and s'' are limits from the left; delta functions of s'' are left out. ValueError unless `first` begins with
    `second`.
    """
    K, J = len(first), len(second)
    if tuple(first[:J]) != tuple(second):
        raise ValueError(f"first={tuple(first)}: must begin with second={tuple(second)}, the derivatives those need")
    maps = population.affine_maps(theta_MP)
    W_MIO, b_M1O, *_ = maps[0]
    M, B = len(W_MIO), x_BI.shape[-2]
    z = torch.baddbmm(b_M1O, x_BI.expand(M, -1, -1), W_MIO)
    # Not W[:, list(first)]: its index would be sent to the device, and every step would wait for it.
    slopes = torch.stack([W_MIO[:, k] for k in first], dim=1).unsqueeze(2).expand(-1, -1, B, -1)
    d = torch.cat([slopes, torch.zeros_like(slopes[:, :J])], dim=1)  # first, then second derivatives
    layers = [Jet(z, d[:, :K], d[:, K:])]
    for l, (W_MIO, b_M1O, _, a, _) in enumerate(maps[1:], 1):
        c = maps[l - 1].scale_M11
        scaled = (z, d) if c is None else (z / c.detach(), d / c.detach().unsqueeze(1))
        u, du = population.block.before.jet(*scaled, J)
        h, dh = population.block.after.jet(*_activated(population, u, du, maps[l - 1].activation_MA, J), J)
        branch = torch.baddbmm(b_M1O, h, W_MIO)
        branch_d = torch.bmm(dh.flatten(1, 2), W_MIO).unflatten(1, (K + J, B))
        z = population.block.joined(z, branch, population.skips(l), a)
        d = population.block.joined(d, branch_d, population.skips(l), None if a is None else a.unsqueeze(1))
        layers.append(Jet(z, d[:, :K], d[:, K:]))
    return layers


def _activated(population: Population, z_MBN: Tensor, d_MKBN: Tensor, own_MA: Tensor, J: int) -> tuple[Tensor, Tensor]:
    """Return s(z) and its derivatives, given those of z; the last J of them are second ones, of the first J."""
    if own_MA.shape[1] == 0:
        h_MBN, dh_MKBN = _Chain.apply(z_MBN, d_MKBN, population, J)
        return h_MBN, dh_MKBN
    dh_MKBN = population.slope(z_MBN, own_MA).unsqueeze(1) * d_MKBN
    if J:
        curved_MJBN = population.curvature(z_MBN, own_MA).unsqueeze(1) * d_MKBN[:, :J].square()
        dh_MKBN = torch.cat([dh_MKBN[:, :-J], dh_MKBN[:, -J:] + curved_MJBN], dim=1)
    return population.activate(z_MBN, own_MA), dh_MKBN


class _Chain(torch.autograd.Function):
    """The chain rule through s, with s' and s'' computed once: half the time of the same by autograd."""

    @staticmethod
    def forward(ctx: Any, z_MBN: Tensor, d_MKBN: Tensor, population: Population, J: int) -> tuple[Tensor, Tensor]:
        s = population.activation
        slope_MBN, curvature_MBN = s.derivative(z_MBN), s.second_derivative(z_MBN)
        ctx.save_for_backward(z_MBN, d_MKBN, slope_MBN, curvature_MBN)
        ctx.population, ctx.J = population, J
        dh_MKBN = slope_MBN.unsqueeze(1) * d_MKBN
        for j in range(J):
            dh_MKBN[:, j - J].addcmul_(curvature_MBN, d_MKBN[:, j].square())
        return s(z_MBN), dh_MKBN

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (z_MBN, d_MKBN, slope_MBN, curvature_MBN), J = ctx.saved_tensors, ctx.J
        grad_h, grad_dh = grad_outputs
        grad_d = grad_dh * slope_MBN.unsqueeze(1)
        moved = torch.zeros_like(z_MBN)
        for k in range(d_MKBN.shape[1]):
            moved.addcmul_(grad_dh[:, k], d_MKBN[:, k])
        grad_z = torch.addcmul(grad_h * slope_MBN, curvature_MBN, moved)
        third_MBN = ctx.population.third_derivative(z_MBN) if J else z_MBN
        for j in range(J):
            bent = grad_dh[:, j - J] * d_MKBN[:, j]
            grad_d[:, j].addcmul_(curvature_MBN, bent, value=2)
            grad_z.addcmul_(third_MBN, bent.mul_(d_MKBN[:, j]))
        return grad_z, grad_d, None, None
