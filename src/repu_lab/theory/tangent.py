"""The neural tangent kernel at initialization, one and two inputs.

H^(l+1) = lambda_b + lambda_W E[s s] + C_W E[s' s'] H^l with H^1 = K^1 and the learning rates lambda_b = C_b,
lambda_W = C_W (Roberts, Yaida, Hanin, The Principles of Deep Learning Theory, chapter 8), so that
H^(l+1) = K^(l+1) + chi_perp^l H^l: what neural-tangents calls 'ntk' in the ntk parameterization. Followed as the ratio
H/K, which stays exact where both leave float64: for RePU_p with C_b = 0 it is (q^l - 1) / (q - 1), q = p^2 / (2p - 1).
"""

from dataclasses import dataclass

import numpy as np

from repu_lab.activations import Activation
from repu_lab.theory.angles import Array
from repu_lab.theory.closed_forms import PowerMoments, moments
from repu_lab.theory.kernel import LARGE_K, LN10, SMALL_K, KernelLayers, Variances, correlations, per_map
from repu_lab.theory.kernel import layers as kernel_layers


@dataclass(frozen=True)
class TangentLayers:
    """One input, arrays of length depth + 1: H, log10 H (right where H is inf or 0) and log10 of the ratio H/K."""

    layer: Array
    H: Array
    log10_H: Array
    log10_ratio: Array


@dataclass(frozen=True)
class PairTangentLayers:
    """Two inputs, arrays of length depth + 1. ratio12 = H12 / sqrt(K11 K22)."""

    layer: Array
    H11: Array
    H22: Array
    H12: Array
    ratio12: Array


def layers(activation: Activation, C_W: Variances, C_b: Variances, k1: float, depth: int) -> TangentLayers:
    """H^l(x, x) for l = 1..depth+1 of an input with K^1 = k1; variances and errors as in `kernel.layers`."""
    kernel = kernel_layers(activation, C_W, C_b, k1, depth)
    log_gain = _log_gain(activation, *per_map(C_W, C_b, depth), kernel)
    log_ratio = np.zeros(depth + 1)
    for i in range(depth):
        log_ratio[i + 1] = np.logaddexp(0.0, log_gain[i] + log_ratio[i])
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        direct = kernel.K * np.exp(log_ratio)
        log10_H = kernel.log10_K + log_ratio / LN10
        usable = np.isfinite(direct) & (direct > 0)
        H = np.where(usable, direct, np.exp(log10_H * LN10))
    return TangentLayers(kernel.layer, H, log10_H, log_ratio / LN10)


def pair_layers(
    activation: Activation, C_W: Variances, C_b: Variances, K11: float, K22: float, K12: float, depth: int
) -> PairTangentLayers:
    """H^l for l = 1..depth+1 of two inputs with first kernels K11, K22, K12; errors as in `kernel.correlations`."""
    kernel = correlations(activation, C_W, C_b, K11, K22, K12, depth)
    ratio = np.empty(depth + 1)
    ratio[0] = kernel.correlation[0]
    H12 = kernel.K12.copy()
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for i in range(depth):
            ratio[i + 1] = kernel.correlation[i + 1] + kernel.gain[i] * ratio[i]
        scale = np.sqrt(kernel.K11) * np.sqrt(kernel.K22)
        H12[1:] = np.where(scale[1:] < np.inf, ratio[1:] * scale[1:], np.sign(ratio[1:]) * np.inf)
    H11, H22 = (layers(activation, C_W, C_b, k, depth).H for k in (K11, K22))
    return PairTangentLayers(kernel.layer, H11, H22, H12, ratio)


def _log_gain(activation: Activation, W: Array, B: Array, kernel: KernelLayers) -> Array:
    """Return log of chi_perp^l K^l / K^(l+1), l = 1..depth: the factor of the ratio H/K from layer to layer."""
    form, depth = moments(activation), len(W)
    if isinstance(form, PowerMoments) and not B.any():
        return np.full(depth, np.log(form.p**2 / (2 * form.p - 1)))
    K, after = kernel.K[:-1], kernel.K[1:]
    inside = (K > SMALL_K) & (K < LARGE_K) & (after > 0) & (after < np.inf)
    with np.errstate(divide="ignore", over="ignore", under="ignore", invalid="ignore"):
        clipped = np.clip(K, SMALL_K, LARGE_K)
        slope = form.mean_square_slope(clipped)
        # Outside s is a power and C_b is beyond all digits, so the gain is that of the edge, whatever C_W.
        gain = np.where(inside, W * slope * K / after, slope * clipped / form.mean_square(clipped))
        return np.log(gain)
