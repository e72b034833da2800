"""Layer by layer at infinite width: the kernel K^l, its susceptibilities, and the correlation of two inputs.

K^(l+1) = C_b + C_W g(K^l), chi_parallel^l = C_W g'(K^l), chi_perp^l = C_W E[s'^2] (Roberts, Yaida, Hanin, The
Principles of Deep Learning Theory), l = 1..L+1 where L = depth counts hidden layers and K^(L+1) belongs to the output.
K is followed in log space where it leaves float64. Where a block skips, z^(l+1) = z^l + a (b + W h^l) for l = 1..L-1,
kernels and both susceptibilities add: K^(l+1) = K^l + a^2 (C_b + C_W E[h^2]), chi = 1 + a^2 C_W (...), since W is
independent of z^l. What a block does to z before s, or to s(z) before W, replaces g(K) by E[h^2] and enters both
susceptibilities by the chain rule. Orthogonal weights have the same limit; centred ones see the variance of s in place
of g = E[s^2].
"""

from dataclasses import dataclass
from functools import cache
from itertools import accumulate

import numpy as np

from repu_lab.activations import Activation
from repu_lab.blocks import CENTRED, PLAIN, Block
from repu_lab.theory.angles import Array, angle
from repu_lab.theory.closed_forms import PowerMoments, moments
from repu_lab.theory.law import Law, Variances, check_k1
from repu_lab.theory.quadrature import QuadratureMoments
from repu_lab.theory.tabulated import Tabulated

# Beyond LARGE_K every activation that has averages there is a power of z up to corrections of about LARGE_K^(-1/2), and
# below SMALL_K a constant or a linear function, so that log g is a straight line in log K.
LARGE_K = 1e24
SMALL_K = 1e-130
LN10 = np.log(10.0)
# K^1 this close to RePU's unstable K_* (in units of rounding) is K_*: else rounding errors grow like p^l into a fate.
SNAP = 8 * np.finfo(np.float64).eps


@dataclass(frozen=True)
class KernelLayers:
    """One input, arrays of length depth + 1; the entry of layer l is the state or the susceptibility at z^l.

    K is inf or 0 where it leaves float64, its log10 is not. The susceptibilities describe the map from layer l to l + 1
    and are NaN at the output layer. If log10_K itself leaves float64 it is +-inf. log10_gain: what a layer multiplies
    the mean square gradient by: chi_perp, but finite where s jumps, since back-propagation does not see that.
    """

    layer: Array
    K: Array
    log10_K: Array
    chi_parallel: Array
    log10_chi_parallel: Array
    chi_perp: Array
    log10_chi_perp: Array
    log10_gain: Array


@dataclass(frozen=True)
class CorrelationLayers:
    """Two inputs, arrays of length depth + 1. correlation = K12 / sqrt(K11 K22), NaN once a kernel is 0.

    gain^l = C_W E[s'(u) s'(v)] sqrt(K11^l K22^l / (K11^(l+1) K22^(l+1))), NaN at the output layer: what a small change
    of the correlation is multiplied by from layer l to l + 1, as well as the tangent kernel in units of sqrt(K11 K22).
    """

    layer: Array
    K11: Array
    K22: Array
    K12: Array
    correlation: Array
    log10_K11: Array
    log10_K22: Array
    gain: Array


def layers(
    activation: Activation,
    C_W: Variances,
    C_b: Variances,
    k1: float,
    depth: int,
    *,
    block: Block = PLAIN,
    weights: str = "gaussian",
) -> KernelLayers:
    """Return K, chi_parallel and chi_perp by layer, as log10, of one input in an infinitely wide network from K^1 = k1.

    C_W, C_b: variances of the maps l = 2..depth+1, one number or a sequence. ValueError for negative ones, k1 < C_b,
    depth < 1, or an activation that cannot be averaged.
    """
    return kernel_layers(Law.of(activation, C_W, C_b, k1, depth, block=block, weights=weights))


def kernel_layers(law: Law) -> KernelLayers:
    """Iterate the kernel of one input through all layers.

    RePU with C_b = 0 by its exact solution log(K^l / K_*) = p^(l-1) log(K^1 / K_*): right at any depth. ValueError
    for k1 <= 0, k1 < C_b, or an activation that cannot be averaged.
    """
    check_k1("k1", law.k1, law.C_b[0])
    table = Tabulated(moments(law.activation))
    K, x = _follow(law, law.k1, table)
    with np.errstate(over="ignore", under="ignore"):
        log_parallel, log_perp, log_gain = (
            np.append(log, np.nan) for log in _log_susceptibilities(law, table, K[:-1], x[:-1])
        )
        return KernelLayers(
            layer=np.arange(1, law.depth + 2),
            K=K,
            log10_K=x / LN10,
            chi_parallel=np.exp(log_parallel),
            log10_chi_parallel=log_parallel / LN10,
            chi_perp=np.exp(log_perp),
            log10_chi_perp=log_perp / LN10,
            log10_gain=log_gain / LN10,
        )


def susceptibilities(law: Law, log10_K: Array) -> tuple[Array, Array]:
    """Return log10 chi_parallel and log10 chi_perp of the maps l = 2..L+1 at given log10 K^1 .. log10 K^L."""
    x = np.asarray(log10_K, dtype=np.float64) * LN10
    with np.errstate(over="ignore", under="ignore"):
        parallel, perp, _ = _log_susceptibilities(law, Tabulated(moments(law.activation)), np.exp(x), x)
    return parallel / LN10, perp / LN10


def correlations(law: Law, K22: float, K12: float) -> CorrelationLayers:
    """Iterate the kernel of two inputs from K11 = k1, K22 and K12: K12' = C_b + C_W E[s(u) s(v)].

    Or what a block makes of that. Homogeneous activations with C_b = 0 in plain layers follow the correlation alone, so
    depth 1000 is as exact as depth 1. Errors as for `layers`, and ValueError for |K12| > sqrt(K11 K22).
    """
    K11, form = law.k1, moments(law.activation)
    for name, k1 in (("K11", K11), ("K22", K22)):
        check_k1(name, k1, law.C_b[0])
    if not abs(K12) <= np.sqrt(K11) * np.sqrt(K22) * (1 + 1e-9):
        raise ValueError("K12 must lie between -sqrt(K11 K22) and sqrt(K11 K22): it is a covariance")
    table = Tabulated(form)
    K1, x1 = _follow(law, K11, table)
    K2, x2 = (K1, x1) if K22 == K11 else _follow(law, float(K22), table)
    with np.errstate(all="ignore"):
        follow = _homogeneous_pairs if law.is_power else _general_pairs
        K12_, correlation, gain = follow(law, table, (K1, K2), (x1, x2), float(K12))
    return CorrelationLayers(
        layer=np.arange(1, law.depth + 2),
        K11=K1,
        K22=K2,
        K12=K12_,
        correlation=correlation,
        log10_K11=x1 / LN10,
        log10_K22=x2 / LN10,
        gain=gain,
    )


def log_g(activation: Activation, log_K: Array) -> Array:
    """Return log g(K) as a function of natural log K, at any size of K; +inf where g does not exist."""
    form, x = moments(activation), np.asarray(log_K, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        if isinstance(form, PowerMoments):
            return form.log_c + form.p * x
        inside = np.clip(x, np.log(SMALL_K), np.log(LARGE_K))
        K = np.exp(inside)
        logs = np.log(form.mean_square(K))
        if (above := x > inside).any():
            logs = np.where(above, logs + (x - inside) * _exponent(form), logs)
        if (below := x < inside).any():
            at_zero = 2 * np.log(np.abs(form.s(np.zeros(1))))
            logs = np.where(below, np.where(np.isfinite(at_zero), at_zero, logs + (x - inside)), logs)
    lost = np.isnan(logs)
    if lost.any() and (why := form.unknown(float(np.exp(x[lost].min().clip(-700, 700))))) is not None:
        raise ValueError(f"{activation.title} {why}")
    return np.where(lost, np.inf, logs)


def _follow(law: Law, k1: float, table: Tabulated) -> tuple[Array, Array]:
    """K^l and log K^l, l = 1..L+1, from K^1 = k1."""
    form, block, skips, (W, B) = table.form, law.block, law.skips, law.variances
    if isinstance(form, PowerMoments) and law.is_power:
        x = _exact_powers(form, W, float(np.log(k1)))
        with np.errstate(over="ignore", under="ignore"):
            K = np.exp(x)
            # Below overflow the direct product rounds less than the exponential of a logarithm.
            K[0] = k1
        return K, x
    K, x = np.empty(len(W) + 1), np.empty(len(W) + 1)
    K[0], x[0] = k1, np.log(k1)
    at_zero = float(form.s(np.zeros(1))[0]) ** 2
    with np.errstate(all="ignore"):
        for i, (C_W, C_b) in enumerate(zip(W, B, strict=True)):
            if K[i] == 0 and x[i] == -np.inf:
                K[i + 1] = C_b + C_W * at_zero
            elif SMALL_K < (entering := block.enters(K[i : i + 1])[0])[0] < form.largest_K:
                square = np.array([table.mean_square(float(entering[0]))])
                K[i + 1] = C_b + C_W * block.leaves(form, entering, square)[0][0]
            else:
                K[i + 1] = np.nan
            if 0 < K[i + 1] < np.inf or (K[i] == 0 and x[i] == -np.inf):
                x[i + 1] = np.log(K[i + 1])
            else:
                log_in = np.nan_to_num(block.enters(K[i : i + 1])[1], nan=0.0, posinf=0.0, neginf=0.0)
                log_square = log_g(law.activation, x[i : i + 1] + log_in)[0] + _log_kept(block, form, x[i])
                x[i + 1] = np.logaddexp(np.log(C_b), np.log(C_W) + log_square)
                K[i + 1] = np.exp(x[i + 1])
            if skips[i]:
                K[i + 1], x[i + 1] = K[i] + K[i + 1], np.logaddexp(x[i], x[i + 1])
    return K, x


def _log_kept(block: Block, form: QuadratureMoments, x: float) -> float:
    """Return log of the part of E[s^2] that is the variance of s, where that is all that the weights see."""
    if block.after != CENTRED:
        return 0.0
    K = _within(form, np.exp(np.array([x])))
    return float(np.log(form.variance(K) / form.mean_square(K))[0])


def _within(form: QuadratureMoments, K: Array) -> Array:
    """Return K brought to where ratios of averages can be taken; those of a power are the same at every K."""
    return np.ones_like(K) if isinstance(form, PowerMoments) else np.clip(K, SMALL_K, min(LARGE_K, form.largest_K))


def _exact_powers(form: PowerMoments, W: Array, x1: float) -> Array:
    """Return log K^l for C_b = 0: log K' = log(C_W A c_p) + p log K, around the fixed point of the first C_W."""
    p = form.p
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        logs = np.log(W) + form.log_c
        if p == 1 or not np.isfinite(logs).all():
            return np.array(list(accumulate(logs, lambda x, step: step + p * x, initial=x1)))
        fixed = -logs[0] / (p - 1)
        first = x1 - fixed
        if abs(first) <= SNAP * max(1.0, abs(x1), abs(fixed)):
            first = 0.0
        steps = logs - logs[0]
        return fixed + np.array(list(accumulate(steps, lambda deviation, step: p * deviation + step, initial=first)))


def _exponent(form: QuadratureMoments) -> float:
    """Return d log g / d log K at LARGE_K, the power with which g grows from there on; NaN without an average there."""
    K = np.array([LARGE_K])
    return float((K * form.stein(K) / form.mean_square(K))[0])


def _log_susceptibilities(law: Law, table: Tabulated, K: Array, x: Array) -> list[Array]:
    """Return log chi_parallel, log chi_perp, and that in back-propagation, of the maps from layers of K = exp x."""
    block, (W, _) = law.block, law.variances
    with np.errstate(all="ignore"):
        entering, log_in = block.enters(K)
        logs = _log_slopes(table, entering, x if block.as_is else np.log(entering))
        log_out = 0.0
        if block.after.scale_free:
            log_out = block.leaves(table.form, entering, table.form.mean_square(entering))[1]
        parallel, perp, slopes = (log + log_in + log_out for log in logs)
        if block.after == CENTRED:
            inside = _within(table.form, entering)
            parallel = parallel + np.log(table.form.variance_slope(inside) / table.form.stein(inside))
        if block.scale_free:
            parallel = np.full_like(parallel, -np.inf)
        # Without weights nothing is passed on, however steep the activation is.
        logs = (np.where(W == 0, -np.inf, np.log(W) + log) for log in (parallel, perp, slopes))
        return [np.where(law.skips, np.logaddexp(0.0, log), log) for log in logs]


def _log_slopes(table: Tabulated, K: Array, x: Array) -> tuple[Array, Array, Array]:
    """Return log g'(K), log E[s'^2] and the same in back-propagation for every K = exp x."""
    form = table.form
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        if isinstance(form, PowerMoments):
            # (p - 1) x with x = -inf or inf is wanted; at p = 1 the slope does not depend on K.
            slope = form.log_c + np.log(form.p) + (0.0 if form.p == 1 else (form.p - 1) * x)
            perp = slope + np.log(form.p / (2 * form.p - 1))
            return slope, perp, perp
        inside, past = np.clip(K, SMALL_K, form.largest_K), x - np.log(LARGE_K)
        logs = []
        for function in (table.stein, table.mean_square_slope):
            log = np.log(function(inside))
            # Past LARGE_K the straight line takes over where the direct value is out of reach.
            if (beyond := (past > 0) & ((form.largest_K < K) | ~np.isfinite(log))).any():
                line = np.log(function(np.array([LARGE_K]))) + past * (_exponent(form) - 1)
                log = np.where(beyond, line, log)
            logs.append(log)
        parallel, perp = logs
        # What cannot be averaged at such a K is larger than any number.
        parallel, perp = (np.where(np.isnan(log), np.inf, log) for log in (parallel, perp))
        return parallel, perp, np.log(form.mean_square_gradient(inside)) if form.rough else perp


def _homogeneous_pairs(law: Law, table: Tabulated, K, x, K12: float) -> tuple[Array, Array, Array]:
    """Return the correlation map r' = E[s s] / g at unit variance, which knows nothing of K."""
    form, depth = table.form, law.depth
    assert isinstance(form, PowerMoments)
    correlation, gain = np.full(depth + 1, np.nan), np.full(depth + 1, np.nan)
    theta = angle(K[0][0], K[1][0], np.asarray(K12))
    g = float(form.mean_square(np.ones(1))[0])
    correlation[0] = np.cos(theta)
    for i in range(depth):
        value, slope = form.unit_pair(theta)
        correlation[i + 1], gain[i] = np.clip(value / g, -1.0, 1.0), slope / g
        theta = np.arccos(correlation[i + 1])
    K12_ = correlation * np.exp((x[0] + x[1]) / 2)
    K12_[0] = K12
    return K12_, correlation, gain


def _general_pairs(law: Law, table: Tabulated, K, x, K12: float) -> tuple[Array, Array, Array]:
    """Direct iteration while everything is inside float64, at a clipped scale (where s is a power) outside."""
    form, block, (W, B) = table.form, law.block, law.variances
    covariance, correlation, gain = (np.full(law.depth + 1, np.nan) for _ in range(3))
    (u, log_u), (v, log_v) = (block.enters(np.clip(k[:-1], SMALL_K, LARGE_K)) for k in K)
    scales, log_in = np.sqrt(u) * np.sqrt(v), np.broadcast_to(log_u + log_v, u.shape)
    sizes = np.sqrt(K[0]) * np.sqrt(K[1])
    direct = np.all([(k[:-1] > SMALL_K) & (k[:-1] < LARGE_K) & (k[1:] > 0) & (k[1:] < np.inf) for k in K], axis=0)
    covariance[0], correlation[0] = K12, K12 / sizes[0]
    # At a fixed point layer after layer asks for the same.
    pair_mean = cache(lambda *K: [part[0] for part in form.pair_mean(*(np.array([k]) for k in K))])
    leaves = cache(
        lambda k: [np.ravel(part)[0] for part in block.leaves(form, *np.array([[k], [table.mean_square(k)]]))]
    )
    for i, (skips, scale) in enumerate(zip(law.skips, scales, strict=True)):
        c12 = covariance[i] if direct[i] and block.as_is else correlation[i] * scale
        value, slope = pair_mean(u[i], v[i], np.clip(c12, -scale, scale))
        h, g = leaves(u[i]), leaves(v[i])
        if block.after.centred:
            value = (value - form.mean(u[i : i + 1])[0] * form.mean(v[i : i + 1])[0]) * np.exp((h[1] + g[1]) / 2)
        slope = slope * np.exp((log_in[i] + h[1] + g[1]) / 2)
        if direct[i]:
            covariance[i + 1] = (skips and covariance[i]) + B[i] + W[i] * value
            correlation[i + 1] = np.clip(covariance[i + 1] / sizes[i + 1], -1.0, 1.0)
            gain[i] = (skips + W[i] * slope) * sizes[i] / sizes[i + 1]
            continue
        # Here s is a power and C_b is beyond all digits (K huge) or absent (K tiny): neither scale nor C_W matters.
        norm = np.sqrt(h[0] * g[0])
        # What is kept of K, and what is new, of both inputs; all is new where nothing skips.
        kept = np.exp(sum(a[i] - a[i + 1] for a in x) / 2) if skips else 0.0
        new = np.sqrt(np.prod([-np.expm1(a[i] - a[i + 1]) for a in x])) if skips else 1.0
        correlation[i + 1] = np.clip(kept * correlation[i] + new * value / norm, -1.0, 1.0)
        gain[i] = kept + new * slope * scale / norm
        covariance[i + 1] = correlation[i + 1] * np.exp((x[0][i + 1] + x[1][i + 1]) / 2)
    return covariance, correlation, gain
