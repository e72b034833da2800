"""The angle between two normal variables, without losing it to cancellation when they are nearly parallel."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]

SPLIT = 134217729.0  # 2^27 + 1: Veltkamp's constant, cuts a float64 into two halves of 26 bits


def determinant(K11: Array, K22: Array, K12: Array) -> Array:
    """K11 K22 - K12^2, at least 0, to a relative error of about eps (not eps K11 K22 / determinant).

    The rounding errors of both products are computed exactly (Dekker 1971) and added. NaN beyond 1e150.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        left, left_error = _product(K11, K22)
        right, right_error = _product(K12, K12)
        return np.maximum((left - right) + (left_error - right_error), 0.0)


def angle(K11: Array, K22: Array, K12: Array) -> Array:
    """Return theta in [0, pi], cos theta = K12 / sqrt(K11 K22), to full relative accuracy near 0; pi/2 where K = 0."""
    # Powers of two taken out of the variances keep the products inside the range of float64.
    m11, e11 = np.frexp(K11)
    m22, e22 = np.frexp(K22)
    odd = (e11 + e22) % 2
    m12 = np.ldexp(K12, -((e11 + e22 + odd) // 2))
    sine = np.sqrt(determinant(np.ldexp(m11, -odd), m22, m12))
    return np.where((K11 > 0) & (K22 > 0), np.arctan2(sine, m12), np.pi / 2)


def _product(a: Array, b: Array) -> tuple[Array, Array]:
    """Return a product and its rounding error."""
    product = a * b
    a_high, b_high = a * SPLIT, b * SPLIT
    a_high, b_high = a_high - (a_high - a), b_high - (b_high - b)
    a_low, b_low = a - a_high, b - b_high
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
