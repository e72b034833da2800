"""Averages of an activation s over normal variables, in closed form where there is one, else by quadrature.

K, and K11, K22, K12, are variances and covariances in float64, scalars or arrays; results have their (broadcast)
shape. K = 0 gives the limit. Errors: a negative or NaN variance, or an average that does not exist (an activation that
is not finite on the line, or grows faster than the Gaussian falls), is a ValueError of one line.
"""

import numpy as np
from numpy.typing import ArrayLike

from repu_lab.activations import Activation
from repu_lab.theory.angles import Array
from repu_lab.theory.closed_forms import moments

# Averages at K = 0 are limits; slopes at this K equal them to all digits for every activation with a Taylor series
# on either side of 0.
TINY_K = 1e-40


def mean_square(activation: Activation, K: ArrayLike) -> Array:
    """g(K) = E[s(z)^2], z ~ N(0, K)."""
    return _evaluate(activation, K, "mean_square")


def mean_square_slope(activation: Activation, K: ArrayLike) -> Array:
    """E[s'(z)^2] = chi_perp / C_W."""
    return _evaluate(activation, K, "mean_square_slope")


def stein(activation: Activation, K: ArrayLike) -> Array:
    """g'(K) = E[z s s'] / K = chi_parallel / C_W (Stein's identity: no second derivative, so kinks do no harm)."""
    return _evaluate(activation, K, "stein")


def curvature_overlap(activation: Activation, K: ArrayLike) -> Array:
    """E[s s''] = g'(K) - E[s'^2], delta functions of s'' included; computed as such, not as the difference."""
    return _evaluate(activation, K, "curvature_overlap")


def second_variation(activation: Activation, K: ArrayLike) -> Array:
    """g''(K); relative error about eps/K at small K where there is no closed form."""
    return _evaluate(activation, K, "second_variation")


def pair_mean(activation: Activation, K11: ArrayLike, K22: ArrayLike, K12: ArrayLike) -> tuple[Array, Array]:
    """(E[s(u) s(v)], E[s'(u) s'(v)]) for u, v normal with variances K11, K22 and covariance K12.

    |K12| may exceed sqrt(K11 K22) by rounding only. Closed forms as for one input (MRePU by Owen's T function); else
    by quadrature, about 1 ms a pair.
    """
    K11, K22, K12 = np.broadcast_arrays(variance("K11", K11), variance("K22", K22), np.asarray(K12, dtype=np.float64))
    bound = np.sqrt(K11) * np.sqrt(K22)
    if not np.all(np.abs(K12) <= bound * (1 + 1e-9)):
        raise ValueError("K12 must lie between -sqrt(K11 K22) and sqrt(K11 K22): it is a covariance")
    form = moments(activation)
    # Inputs of zero variance are given a variance too small to matter: every form then has its limit.
    K11, K22 = np.where(K11 == 0, TINY_K, K11), np.where(K22 == 0, TINY_K, K22)
    value, gain = form.pair_mean(K11, K22, np.clip(K12, -bound, bound))
    if np.isnan(value).any() or np.isnan(gain).any():
        raise ValueError(_reason(activation, float(np.max(np.maximum(K11, K22)))))
    return value, gain


def variance(name: str, K: ArrayLike) -> Array:
    """K as a float64 array; ValueError unless every entry is >= 0 (inf allowed)."""
    K = np.asarray(K, dtype=np.float64)
    if not np.all(K >= 0):
        raise ValueError(f"{name} must be at least 0: it is a variance")
    return K


def _evaluate(activation: Activation, K: ArrayLike, quantity: str) -> Array:
    form, K = moments(activation), variance("K", K)
    zero, at_zero = K == 0, None
    if quantity == "mean_square" and zero.any():
        at_zero, K = float(form.s(np.zeros(1))[0]) ** 2, np.where(zero, 1.0, K)
    elif activation.degree is None:
        K = np.where(zero, TINY_K, K)
    value = np.asarray(getattr(form, quantity)(K), dtype=np.float64)
    if np.isnan(value).any():
        raise ValueError(_reason(activation, float(np.max(K[np.isnan(value)]))))
    return value if at_zero is None else np.where(zero, at_zero, value)


def _reason(activation: Activation, K: float) -> str:
    form, name = moments(activation), activation.title
    if (why := form.unknown(K)) is not None:
        return f"{name} {why}"
    z = np.linspace(-14, 14, 2001) * np.sqrt(K)
    finite = np.isfinite(form.s(z)) & np.isfinite(form.slope(z))
    if not finite.all():
        first = z[~finite][np.argmin(np.abs(z[~finite]))]
        return f"{name} or its derivative is not finite at z={first:.3g}, which N(0, K={K:.3g}) reaches"
    if np.isfinite(np.asarray(form.mean_square(np.array([K])))).all():
        return f"{name} changes too fast for two inputs of N(0, K={K:.3g}), or s'' has no average there"
    return f"{name} grows too fast to be averaged over N(0, K={K:.3g})"
