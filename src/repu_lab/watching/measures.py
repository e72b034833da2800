"""The numbers of recorded layers: those of one shape together, since a small layer's time is that of its calls."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repu_lab.watching.recording import Layer

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measures:
    """Of one layer: log10_K, log10_gradient (P,), log10_distance (P//2,), and numbers; NaN where there is nothing.

    Mean squares over all but the inputs, +inf where an entry is not finite, -inf for exactly 0. distance = 1 - c of
    neighbouring inputs, from differences, so that it is followed to 1e-14 in float32. dead: share of units without a
    gradient.
    """

    layer: Layer
    log10_K: Floats
    log10_gradient: Floats
    log10_distance: Floats
    log10_max_abs: float
    mean: float
    excess_kurtosis: float
    dead: float


def measures(layers: Sequence[Layer]) -> list[Measures]:
    """Return the numbers of every layer."""
    shapes: dict[tuple[torch.Size, torch.dtype, torch.device], list[int]] = defaultdict(list)
    for place, layer in enumerate(layers):
        shapes[layer.z_PN.shape, layer.z_PN.dtype, layer.z_PN.device].append(place)
    by_place: dict[int, Measures] = {}
    for places in shapes.values():
        by_place |= zip(places, _of_one_size([layers[place] for place in places]), strict=True)
    return [by_place[place] for place in range(len(layers))]


def _of_one_size(layers: Sequence[Layer]) -> list[Measures]:
    z_DPN = torch.stack([layer.z_PN for layer in layers])
    inputs = z_DPN.shape[1]
    log10_K, scaled_DPN = _log10_mean_square(z_DPN)
    finite = scaled_DPN.nan_to_num(0.0, 0.0, 0.0)
    tiny = torch.finfo(finite.dtype).tiny
    square_DP1 = finite.square().mean(2, keepdim=True)
    # Rows of one length: their differences are as exact as z is, where 1 - cosine would end at 1e-7.
    unit = finite / square_DP1.sqrt().clamp(min=tiny)
    pairs = inputs // 2 * 2
    distance = ((unit[:, 0:pairs:2] - unit[:, 1:pairs:2]).square().mean(2) / 2).log10()
    if z_DPN.shape[2] == 1:  # the direction of a single number is its sign: half of all pairs would look the same
        distance *= math.nan
    kurtosis = (unit.square().square().mean(2) - 3).quantile(0.5, dim=1)
    gradients = [layer.z_PN * math.nan if layer.gradient_PN is None else layer.gradient_PN for layer in layers]
    log10_gradient, _ = _log10_mean_square(torch.stack(gradients))
    alive = [
        z_DPN.new_tensor(math.nan) if layer.alive_N is None else layer.alive_N.to(z_DPN.dtype).mean()
        for layer in layers
    ]
    numbers = torch.stack((z_DPN.abs().amax((1, 2)).log10(), z_DPN.mean((1, 2)), kurtosis, 1 - torch.stack(alive)), 1)
    table = torch.cat((log10_K, log10_gradient, distance, numbers), 1).double().cpu().numpy()  # one fetch from a GPU
    made = []
    for layer, row in zip(layers, table, strict=True):
        K, gradient, apart, rest = np.split(row, np.cumsum([inputs, inputs, pairs // 2]))
        gradient = np.full(inputs, math.nan) if layer.gradient_PN is None else gradient
        made.append(Measures(layer, K, gradient, apart, *rest.tolist()))
    return made


def _log10_mean_square(rows_DPN: Tensor) -> tuple[Tensor, Tensor]:
    """Return log10 of the rows' mean squares, which may leave the dtype, and the rows over their largest entry."""
    largest_DP1 = rows_DPN.abs().amax(2, keepdim=True)
    scaled_DPN = rows_DPN / largest_DP1.clamp(min=torch.finfo(rows_DPN.dtype).tiny)
    log10 = 2 * largest_DP1[..., 0].log10() + scaled_DPN.square().mean(2).log10()
    log10 = log10.nan_to_num(nan=-math.inf, neginf=-math.inf)
    return torch.where(largest_DP1[..., 0].isfinite(), log10, math.inf), scaled_DPN
