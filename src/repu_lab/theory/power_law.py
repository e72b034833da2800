"""s(sqrt(S) x) at any size of S, with the size taken out as a logarithm: homogeneous or a leading power far out."""

import math

import numpy as np
import torch

from repu_lab.activations import Activation
from repu_lab.activations.base import Elementwise
from repu_lab.theory.angles import Floats

# Beyond |z| = 1e30 an activation that is not homogeneous is its own leading power to better than one rounding.
TAIL = 1e30
LOG_TAIL = 2 * math.log(TAIL)


class PowerLaw:
    """s(sqrt(S) x) as (a function of moderate size, the logarithm of the factor taken out).

    For a homogeneous activation s(sqrt(S) x) = S^{p/2} s(x) at every S; any other one has, for |z| > TAIL, its leading
    power a |z|^q, read off at TAIL and 2 TAIL (q = 0 for a bounded activation).
    """

    def __init__(self, activation: Activation):
        """Read off the leading power; ValueError where s grows faster than one."""
        self.activation = activation
        self.degree = activation.degree
        if self.degree is None:
            right, left = self._leading(1.0), self._leading(-1.0)
            self.q = max(right[1], left[1])
            self.a = tuple(a if q == self.q else 0.0 for a, q in (right, left))

    def _leading(self, sign: float) -> tuple[float, float]:
        """Return (a, q) with |s(z)| = |a| |z|^q far out on one side."""
        s = apply(self.activation, np.array([sign * TAIL, 2 * sign * TAIL])).tolist()
        if not all(math.isfinite(value) for value in s):
            raise ValueError(f"{self.activation.title} grows faster than a power: s({sign * TAIL:g}) = {s[0]}")
        if s[0] == 0 or s[1] == 0 or s[0] * s[1] < 0:
            return 0.0, 0.0
        q = round(math.log2(s[1] / s[0]), 6)
        return s[0] * TAIL**-q if q > 0 else s[0], max(q, 0.0)

    def value(self, log_S: Floats, x: Floats) -> tuple[Floats, Floats]:
        """s(sqrt(S) x) / e^f and f for x of shape (..., n, B or 1) and log_S of shape (..., 1, B or 1)."""
        return self._factored(self.activation, 0, log_S, x)

    def slope(self, log_S: Floats, x: Floats) -> tuple[Floats, Floats]:
        """s'(sqrt(S) x) / e^f and f."""
        return self._factored(self.activation.derivative, 1, log_S, x)

    def _factored(self, function: Elementwise, order: int, log_S: Floats, x: Floats) -> tuple[Floats, Floats]:
        if self.degree is not None:
            power = (self.degree - order) / 2
            return apply(function, x), power * log_S if power else np.zeros_like(log_S)
        far = log_S > LOG_TAIL
        with np.errstate(under="ignore"):
            h = apply(function, np.exp(np.where(far, 0.0, log_S) / 2) * x)
        if far.any():
            with np.errstate(divide="ignore"):
                h = np.where(far, self.q**order * np.where(x > 0, *self.a) * np.abs(x) ** (self.q - order), h)
        return h, np.where(far, (self.q - order) / 2 * log_S, 0.0)


def leading_power(activation: Activation) -> float:
    """Return q such that |s(z)| grows as |z|^q (0 for a bounded activation)."""
    law = PowerLaw(activation)
    return law.q if law.degree is None else law.degree


def apply(function: Elementwise, z: Floats) -> Floats:
    """Return a function of tensors at an array."""
    with torch.no_grad():
        return function(torch.from_numpy(z)).numpy()


def largest(x: Floats, axis: int | tuple[int, ...]) -> Floats:
    """Return the largest |x|, without the array of absolute values."""
    return np.maximum(x.max(axis), -x.min(axis))


def log_mean_square(h: Floats) -> Floats:
    """Log of the mean of h^2 over the units (axis 1), without leaving float64 for tiny or huge h."""
    mean = np.einsum("min,min->m", h, h) / h.shape[1]
    log = np.log(mean)
    bad = ~np.isfinite(log)
    if bad.any():
        most = np.abs(h[bad]).max((1, 2), keepdims=True)
        scaled = np.where(most > 0, h[bad] / most, 0.0)
        log[bad] = np.log((scaled**2).mean((1, 2))) + 2 * np.log(most[:, 0, 0])
    return log
