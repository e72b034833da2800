"""Derivatives of a population's outputs with respect to its inputs, carried forward through the layers.

With h = s(z): dh/dx_k = s'(z) dz/dx_k, d2h/dx_k2 = s''(z) (dz/dx_k)^2 + s'(z) d2z/dx_k2, and every affine map acts on
each of them as on z, without its bias. One forward pass, and a graph that a loss on derivatives can be
differentiated through once.

Shapes: M members, B inputs, I input coordinates, N units, K first and J second derivatives.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from repu_lab.networks.population import Population


class Jet(NamedTuple):
    """z^l of a layer with its first and second derivatives along some input coordinates."""

    z_MBN: Tensor
    first_MKBN: Tensor
    second_MJBN: Tensor


def jets(
    population: Population, x_BI: Tensor, *, first: Sequence[int], second: Sequence[int] = (),
    theta_MP: Tensor | None = None,
) -> list[Jet]:  # fmt: skip
    """Return z^1 .. z^{L+1} with dz/dx_k for k in `first` and d2z/dx_k2 for k in `second`, which `first` must hold.

    About 1 + K + J times the work of a forward pass. At a kink s' and s'' are limits from the left; delta functions of
    s'' are left out. ValueError if `second` names a coordinate that `first` does not.
    """
    if not set(second) <= set(first):
        raise ValueError(f"second={tuple(second)}: needs the first derivatives too, but first={tuple(first)}")
    squared = [list(first).index(k) for k in second]
    maps = population.affine_maps(theta_MP)
    W_MIO, b_M1O, _ = maps[0]
    M, B = len(W_MIO), len(x_BI)
    z = torch.baddbmm(b_M1O, x_BI.expand(M, -1, -1), W_MIO)
    d = W_MIO[:, list(first)].unsqueeze(2).expand(-1, -1, B, -1)
    dd = torch.zeros_like(z).unsqueeze(1).expand(-1, len(squared), -1, -1)
    layers = [Jet(z, d, dd)]
    for l, (W_MIO, b_M1O, _) in enumerate(maps[1:], 1):
        own_MA = maps[l - 1].activation_MA
        slope = population.slope(z, own_MA).unsqueeze(1)
        h = population.activate(z, own_MA)
        dh = slope * d
        ddh = slope * dd
        if squared:
            ddh = ddh + population.curvature(z, own_MA).unsqueeze(1) * d[:, squared].square()
        branch = Jet(torch.baddbmm(b_M1O, h, W_MIO), _mapped(dh, W_MIO), _mapped(ddh, W_MIO))
        if population.skips(l):
            z, d, dd = z + branch.z_MBN, d + branch.first_MKBN, dd + branch.second_MJBN
        else:
            z, d, dd = branch
        layers.append(Jet(z, d, dd))
    return layers


def _mapped(h_MKBN: Tensor, W_MIO: Tensor) -> Tensor:
    """Return h W for every derivative, as one batched product."""
    return torch.bmm(h_MKBN.flatten(1, 2), W_MIO).unflatten(1, h_MKBN.shape[1:3])
