"""The neural tangent kernel of one input at initialization.

H^(l+1) = lambda_b + lambda_W E[h^2] + C_W E[(dh/dz)^2] H^l with H^1 = K^1 and the learning rates lambda_b = C_b,
lambda_W = C_W (Roberts, Yaida, Hanin, The Principles of Deep Learning Theory, chapter 8), so that in plain layers
H^(l+1) = K^(l+1) + chi_perp^l H^l: what neural-tangents calls 'ntk' in the ntk parameterization. Where a block skips,
K^(l+1) - K^l is what the map's own weights add, and chi_perp has the 1 of what is kept; branches a have no rate.
Followed as the ratio H/K, which stays exact where both leave float64: for RePU_p with C_b = 0 it is
(q^l - 1) / (q - 1), q = p^2 / (2p - 1).
"""

from dataclasses import dataclass

import numpy as np

from repu_lab.blocks import CENTRED
from repu_lab.theory.angles import Array
from repu_lab.theory.closed_forms import PowerMoments, moments
from repu_lab.theory.kernel import LARGE_K, LN10, SMALL_K, KernelLayers, kernel_layers, log_g
from repu_lab.theory.law import Law


@dataclass(frozen=True)
class TangentLayers:
    """One input, arrays of length depth + 1: H, log10 H (right where H is inf or 0) and log10 of the ratio H/K."""

    layer: Array
    H: Array
    log10_H: Array
    log10_ratio: Array


def tangent_layers(law: Law) -> TangentLayers:
    """Return the tangent kernel H^l(x, x), l = 1..depth+1, of one input with K^1 = k1; errors as for `layers`."""
    kernel = kernel_layers(law)
    log_gain, x = _log_gain(law, kernel), kernel.log10_K * LN10
    log_ratio = np.zeros(law.depth + 1)
    with np.errstate(divide="ignore", over="ignore", under="ignore", invalid="ignore"):
        log_W, log_b = (np.log(variances) for variances in law.variances)
        for i in range(law.depth):
            own = np.log(-np.expm1(x[i] - x[i + 1])) if law.skips[i] else 0.0
            if law.block.after == CENTRED:  # steps see the mean of s, which the weights that are drawn do not
                g = log_g(law.activation, x[i : i + 1])[0]
                own = np.logaddexp(log_b[i], log_W[i] + g) - x[i + 1]
            log_ratio[i + 1] = np.logaddexp(own, log_gain[i] + log_ratio[i])
        direct = kernel.K * np.exp(log_ratio)
        log10_H = kernel.log10_K + log_ratio / LN10
        usable = np.isfinite(direct) & (direct > 0)
        H = np.where(usable, direct, np.exp(log10_H * LN10))
    return TangentLayers(kernel.layer, H, log10_H, log_ratio / LN10)


def _log_gain(law: Law, kernel: KernelLayers) -> Array:
    """Return log of chi_perp^l K^l / K^(l+1), l = 1..depth: the factor of the ratio H/K from layer to layer."""
    form, (W, _) = moments(law.activation), law.variances
    if isinstance(form, PowerMoments) and law.is_power:
        return np.full(law.depth, np.log(form.p**2 / (2 * form.p - 1)))
    x = kernel.log10_K * LN10
    with np.errstate(divide="ignore", over="ignore", under="ignore", invalid="ignore"):
        known = kernel.log10_chi_perp[:-1] * LN10 + x[:-1] - x[1:]
        if law.skips.any() or not law.block.bare:
            return known
        K, after = kernel.K[:-1], kernel.K[1:]
        inside = (K > SMALL_K) & (K < LARGE_K) & (after > 0) & (after < np.inf)
        clipped = np.clip(K, SMALL_K, LARGE_K)
        slope = form.mean_square_slope(clipped)
        # Outside s is a power and C_b is beyond all digits, so the gain is that of the edge, whatever C_W.
        gain = np.where(inside, W * slope * K / after, slope * clipped / form.mean_square(clipped))
        return np.log(gain)
