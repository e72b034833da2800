"""One batch through the weights that a network has, and what those weights were drawn from.

Everything is float64, in which float32 neither overflows nor rounds; a float64 network ends where it would itself.
Shapes: L hidden layers, B inputs, N units, O outputs of a map, I its inputs.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from repu_lab.networks.observing import Perceptron
from repu_lab.networks.population import Population
from repu_lab.theory.angles import Floats

# Independent draws pass each of the tests but once in a million.
DEVIATIONS = 5.0
# Weights are known as orthogonal or centred by less than this share of the spread that independent ones have.
KNOWN = 0.1


@dataclass(frozen=True)
class Pass:
    """What a batch met; column l - 1 is layer l = 1..L+1, +inf from the layer on at which float64 ends.

    `log10_K` (B, L+1). `log10_z`, `log10_h` (L+1): the largest |z^l| and |s(z^l)| of all. `log10_gradient` (L+1): mean
    square of a random output gradient carried back, relative to the output's. `log10_distance` (L+1): 1 - c between
    neighbouring inputs, the median, from differences, so that it is followed to 1e-31; `log10_spread` (L+1): of their
    squared difference over 2 |z| |z'|, which is larger where their sizes differ.
    """

    log10_K: Floats
    log10_z: Floats
    log10_h: Floats
    log10_gradient: Floats
    log10_distance: Floats
    log10_spread: Floats


def pass_batch(network: Population, *, inputs: int, mean_square: float, seed: int) -> Pass:
    """Send `inputs` Gaussian inputs, all with |x|^2/n_0 = mean_square, through a network: a population of one."""
    random = torch.Generator().manual_seed(seed)
    x_BI = torch.randn(max(inputs, 2), network.sizes[0], generator=random, dtype=torch.float64)
    x_BI *= (mean_square / x_BI.square().mean(1, keepdim=True)).sqrt()
    z_D, maps = network.preactivations(x_BI), network.affine_maps()
    g = torch.randn(z_D[-1].shape[1:], generator=random, dtype=torch.float64)
    gradients = torch.autograd.grad(z_D[-1], z_D, g[None])
    with torch.no_grad():
        z_D = [z_1BN[0] for z_1BN in z_D]
        h_D = [
            network.activate(network.block.seen(z[None], m.scale_M11), m.activation_MA)
            for z, m in zip(z_D, maps, strict=True)
        ]
        K = torch.stack([z.square().mean(1) for z in z_D], dim=1)
        # 1 - c is half the squared difference of the two at unit size.
        unit_D = [z / z.square().mean(1, keepdim=True).sqrt() for z in z_D]
        spread, distance = (
            torch.stack([(z[:-1:2] - z[1::2]).square().mean(1) / 2 for z in layers], dim=1) for layers in (z_D, unit_D)
        )
        spread = spread / (K[:-1:2] * K[1::2]).sqrt()
        distance = torch.where(spread.isfinite(), distance, torch.nan)
        gradient = torch.stack([g.square().mean() for g in gradients])
        z, h = (torch.stack([a.abs().max() for a in arrays]) for arrays in (z_D, h_D))
        middle = (a.median(0).values for a in (distance, spread))
        logs = (a.log10() for a in (K[:inputs], z, h, gradient / gradient[-1], *middle))
        return Pass(*(log.nan_to_num(nan=np.inf, posinf=np.inf, neginf=-np.inf).numpy() for log in logs))


def recognise(network: Perceptron) -> tuple[str, list[str]]:
    """Return which of theory's WEIGHTS the maps l >= 2 have, and in what they and the biases differ from those.

    Of independent draws sum_ij W_ij / sqrt(sum W_ij^2) is a standard normal number, so is that of biases; row sums have
    variance I v, v = mean W_ij^2, centred ones none; eigenvalues of W W^T have the relative variance min(O, I) /
    max(O, I) (Marchenko, Pastur), and none if W is orthogonal.
    """
    maps = [_float64(linear) for linear in network.linears[1:]]
    weights, signs = "gaussian", []
    if (t := _standardized([W for W, _ in maps])) > DEVIATIONS:
        signs.append(f"weights have a mean ({t:.0f} standard errors from 0)")
    if (t := _standardized([b for _, b in maps])) > DEVIATIONS:
        signs.append(f"biases have a mean ({t:.0f} standard errors from 0)")
    # Weights that are all 0 say nothing.
    rows = torch.cat([W.sum(1).square() / (W.shape[1] * W.square().mean()) for W, _ in maps]).nan_to_num(1.0)
    if rows.mean() < KNOWN:
        weights = "centred"
    elif abs(rows.mean() - 1).item() > DEVIATIONS * (2 / len(rows)) ** 0.5:
        signs.append(f"row sums have {rows.mean():.2g} of the variance of independent weights")
    spread = [_spread(W) for W, _ in maps if min(W.shape) >= 8 and bool(W.any())]
    if spread and np.median(spread) < KNOWN and weights == "gaussian":
        weights = "orthogonal"
    elif spread and abs(np.median(spread) - 1) > 0.5:
        signs.append(f"squared singular values have {np.median(spread):.2g} of the spread of independent weights")
    return weights, signs


def _float64(linear: nn.Linear) -> tuple[Tensor, Tensor]:
    W = linear.weight.detach().cpu().double()
    bias = linear.bias
    return W, W.new_zeros(len(W)) if bias is None else bias.detach().cpu().double()


def _standardized(parts: list[Tensor]) -> float:
    """|sum| / sqrt(sum of squares), the parts scaled to one size."""
    scaled = torch.cat([(part / part.square().mean().sqrt().clamp(min=1e-300)).flatten() for part in parts])
    return (scaled.sum().abs() / scaled.square().sum().sqrt().clamp(min=1e-300)).item()


def _spread(W: Tensor) -> float:
    """Relative variance of the squared singular values, in units of that of independent weights."""
    squares = torch.linalg.svdvals(W).square()
    return (squares.var(correction=0) / squares.mean() ** 2 * max(W.shape) / min(W.shape)).item()
