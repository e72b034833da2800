"""The phase diagram: what becomes of the signal over the plane of (C_W, C_b)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from repu_lab.activations import Activation
from repu_lab.theory.angles import Array
from repu_lab.theory.closed_forms import PowerMoments, moments
from repu_lab.theory.kernel import LN10
from repu_lab.theory.law import Law, check_k1, check_variances
from repu_lab.theory.quadrature import QuadratureMoments

PHASES = ("vanishes", "ordered", "chaotic", "explodes")
# The range of float32 for a mean square: the largest number and the smallest subnormal one.
LOG_MAX, LOG_MIN = float(np.log(np.finfo(np.float32).max)), float(np.log(np.finfo(np.float32).smallest_subnormal))
TABLE = np.linspace(np.log(1e-30), np.log(1e24), 400)  # cubic interpolation of log g in steps of 0.3: error below 1e-4


@dataclass(frozen=True)
class FateMap:
    """Arrays over the grid, shape (len(C_b), len(C_W)).

    log10_K is that of the output, K^(depth+1); chi_parallel, chi_perp belong to the last map, from z^depth to the
    output. phase holds indices of PHASES: "explodes" and "vanishes" if K leaves float32 at any layer, else "chaotic"
    where chi_perp > 1 (nearby inputs are driven apart, gradients grow) and "ordered" where chi_perp <= 1.
    """

    C_W: Array
    C_b: Array
    log10_K: Array
    chi_parallel: Array
    chi_perp: Array
    phase: Array


def fate_map(law: Law, C_W: ArrayLike, C_b: ArrayLike) -> FateMap:
    """Iterate the kernel from K^1 = max(k1, C_b) for every pair of the grids C_W and C_b (1-D), in place of the law's.

    In log K: exactly for homogeneous activations, else through one table of log g with slopes K g'/g, relative error
    about 1e-4 in K. Cost for 200 x 200 and depth 50: 0.3 s. ValueError for negative variances, and for blocks that keep
    or normalise z, whose map is another one.
    """
    C_W, C_b = np.atleast_1d(np.asarray(C_W, dtype=np.float64)), np.atleast_1d(np.asarray(C_b, dtype=np.float64))
    check_k1("k1", law.k1, 0.0)
    if law.skips.any() or not law.block.bare:
        raise ValueError("the phase diagram is that of plain layers")
    for name, grid in (("C_W", C_W), ("C_b", C_b)):
        if grid.ndim != 1:
            raise ValueError(f"{name} must be a list of numbers")
        check_variances(name, grid)
    log_g, log_parallel, log_perp = _logs(law.activation)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        log_W, log_b = np.log(C_W)[None, :], np.log(C_b)[:, None]
        x = np.broadcast_to(np.maximum(np.log(law.k1), log_b), (len(C_b), len(C_W))).copy()
        highest, lowest = x.copy(), x.copy()
        before = x
        for _ in range(law.depth):
            before = x
            growth = log_g(x)
            # C_W = 0 cuts the network however large g is.
            x = np.logaddexp(log_b, np.where(np.isneginf(log_W), -np.inf, log_W + growth))
            highest, lowest = np.maximum(highest, x), np.minimum(lowest, x)
        parallel, perp = (
            np.where(np.isneginf(log_W), 0.0, np.exp(log_W + log(before))) for log in (log_parallel, log_perp)
        )
        phase = np.where(perp > 1, 2, 1)
        phase = np.where(lowest < LOG_MIN, 0, phase)
        phase = np.where(~(highest <= LOG_MAX), 3, phase)
    return FateMap(C_W, C_b, x / LN10, parallel, perp, phase)


def _logs(activation: Activation):
    """Return log g, log g' and log E[s'^2] as functions of log K, natural logarithms."""
    form = moments(activation)
    if isinstance(form, PowerMoments):

        def line(constant: float, power: float):
            return lambda x: constant + (power * x if power else np.zeros_like(x))

        slope = np.log(form.p) + form.log_c
        perp = slope + np.log(form.p / (2 * form.p - 1))
        return line(form.log_c, form.p), line(slope, form.p - 1), line(perp, form.p - 1)
    return _tables(form)


def _tables(form: QuadratureMoments):
    from scipy.interpolate import CubicHermiteSpline, CubicSpline  # it brings scipy.optimize, see roots.py

    K = np.exp(TABLE)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        g, slope, perp = form.mean_square(K), form.stein(K), form.mean_square_slope(K)
        exists = np.isfinite(g) & np.isfinite(slope) & np.isfinite(perp) & (g > 0)
        if not exists.any():
            raise ValueError(f"{form.activation.title} cannot be averaged over any Gaussian")
        x, g, slope, perp = TABLE[exists], g[exists], slope[exists], perp[exists]
        exponent = K[exists] * slope / g
        logs = [np.maximum(np.log(np.abs(value)), -745.0) for value in (slope, perp)]
    at_zero = 2 * np.log(np.maximum(np.abs(form.s(np.zeros(1))[0]), 1e-320))
    # A table that ends before TABLE does belongs to an activation whose average is infinite from there on.
    beyond = np.inf if x[-1] < TABLE[-1] else exponent[-1]
    g_spline = CubicHermiteSpline(x, np.log(g), exponent)

    def log_g(y: Array) -> Array:
        inside = np.clip(y, x[0], x[-1])
        above, below = np.maximum(y - inside, 0.0), np.minimum(y - inside, 0.0)
        value = g_spline(inside) + np.where(above > 0, above * beyond, 0.0)
        return np.where(below < 0, np.maximum(value + below * exponent[0], at_zero), value)

    def log_slope(spline: CubicSpline):
        growth = 0.0 if np.isinf(beyond) else beyond - 1
        return lambda y: spline(np.clip(y, x[0], x[-1])) + np.where(y > x[-1], (y - x[-1]) * growth, 0.0)

    return log_g, *(log_slope(CubicSpline(x, log)) for log in logs)
