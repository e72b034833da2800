"""Where one network in many runs away: an unstable K* = 0 at finite width."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammainc


def blow_up_probability(x: ArrayLike, *, width: int = 1, C_W: float = 1.0) -> NDArray[np.float64]:
    """Return P(a network at an unstable K* = 0 blows up), with x = n a_1 K^1, after infinitely many layers, C_b = 0.

    The diffusion dK = (C_W - 1 + a_1 K) K dl + sqrt(2/n) K dW gives gammainc(1 + n (1 - C_W), x), the regularised lower
    incomplete gamma function; at C_W = 1 it is 1 - exp(-n a_1 K^1) and needs no width. The other networks die.
    In a given finite number of layers far fewer blow up: use `chain` there. ValueError unless 1 + n (1 - C_W) > 0.
    """
    shape = 1 + width * (1 - C_W)
    if shape <= 0:
        raise ValueError(f"C_W={C_W!r} must be below 1 + 1/width: above it every network blows up")
    return gammainc(shape, np.asarray(x, dtype=np.float64))
