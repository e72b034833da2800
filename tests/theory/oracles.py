"""Gaussian averages at 40 digits by mpmath, from s and s' alone: independent of everything in repu_lab.theory."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import mpmath as mp
from mpmath.calculus.quadrature import GaussLegendre

mp.mp.dps = 40
Function = Callable[[Any], Any]


@cache
def _nodes():
    """96 Gauss-Legendre nodes and weights on [-1, 1] at 40 digits, by mpmath."""
    return GaussLegendre(mp.mp).calc_nodes(6, mp.mp.prec)


@dataclass(frozen=True)
class Oracle:
    """s, s' and the points at which they are not smooth."""

    s: Function
    slope: Function
    kinks: tuple[float, ...] = (0.0,)

    def averages(self, K: float) -> dict[str, Any]:
        """All quantities of repu_lab.theory.gaussian at one K, z = sqrt(K) x.

        Panels are split at the kinks and on the scales of both z and x. g' and g'' by differentiating the density, not
        s: E[s^2 (x^2 - 1)] / (2K) and E[s^2 (x^4 - 6 x^2 + 3)] / (4 K^2).
        """
        K = mp.mpf(K)
        sd = mp.sqrt(K)
        marks = [kink + sign * step for kink in self.kinks for sign in (1, -1) for step in (0, 1, 4, 30)]
        cuts = {mp.mpf(x) for x in (-26, -9, -3, 0, 3, 9, 26)} | {mark / sd for mark in marks}
        cuts = sorted(cut for cut in cuts if abs(cut) <= 26)
        square = slope_square = first = second = mp.mpf(0)
        for low, high in itertools.pairwise(cuts):
            for node, weight in _nodes():
                x = (low + high) / 2 + (high - low) / 2 * node
                y = x * x
                w = weight * (high - low) / 2 * mp.exp(-y / 2)
                s2 = self.s(sd * x) ** 2
                square += w * s2
                first += w * s2 * (y - 1)
                second += w * s2 * (y * y - 6 * y + 3)
                slope_square += w * self.slope(sd * x) ** 2
        norm = 1 / mp.sqrt(2 * mp.pi)
        return {
            "mean_square": norm * square,
            "mean_square_slope": norm * slope_square,
            "stein": norm * first / (2 * K),
            "curvature_overlap": norm * (first / (2 * K) - slope_square),
            "second_variation": norm * second / (4 * K * K),
            "excess": norm * square - K,
        }


def repu(p):
    p = mp.mpf(p)
    return Oracle(lambda z: z**p if z > 0 else mp.mpf(0), lambda z: p * z ** (p - 1) if z > 0 else mp.mpf(0))


def mrepu(p):
    p = mp.mpf(p)
    return Oracle(
        lambda z: z * (1 + z) ** p if z > -1 else mp.mpf(0),
        lambda z: (1 + z) ** (p - 1) * (1 + (p + 1) * z) if z > -1 else mp.mpf(0),
        (-1.0, 0.0),
    )


def _hardswish(z):
    return z * min(max(z + 3, mp.mpf(0)), mp.mpf(6)) / 6


SELU_SCALE, SELU_ALPHA = mp.mpf("1.0507009873554804934193349852946"), mp.mpf("1.6732632423543772848170429916717")
ELU = Oracle(lambda z: z if z > 0 else mp.expm1(z), lambda z: mp.mpf(1) if z > 0 else mp.exp(z))
SELU = Oracle(
    lambda z: SELU_SCALE * (z if z > 0 else SELU_ALPHA * mp.expm1(z)),
    lambda z: SELU_SCALE * (mp.mpf(1) if z > 0 else SELU_ALPHA * mp.exp(z)),
)

SQRT_PI, SQRT_2PI = mp.sqrt(mp.pi), mp.sqrt(2 * mp.pi)


def _gelu_tanh(z):
    return z * (1 + mp.tanh(2 / SQRT_2PI * (z + mp.mpf("0.044715") * z**3))) / 2


def _gelu_tanh_slope(z):
    t = mp.tanh(2 / SQRT_2PI * (z + mp.mpf("0.044715") * z**3))
    return (1 + t) / 2 + z / 2 * (1 - t * t) * 2 / SQRT_2PI * (1 + mp.mpf("0.134145") * z * z)


def _mish_slope(z):
    e = mp.exp(z)
    t = mp.tanh(mp.log1p(e))
    return t + z * (1 - t * t) * e / (1 + e)


def _logistic(z):
    return 1 / (1 + mp.exp(-z))


ORACLES = {
    "elu": ELU,
    "erf": Oracle(mp.erf, lambda z: 2 / SQRT_PI * mp.exp(-z * z)),
    "gelu": Oracle(lambda z: z * mp.ncdf(z), lambda z: mp.ncdf(z) + z * mp.exp(-z * z / 2) / SQRT_2PI),
    "gelu_tanh": Oracle(_gelu_tanh, _gelu_tanh_slope),
    "hardswish": Oracle(
        _hardswish, lambda z: mp.mpf(0) if z <= -3 else ((2 * z + 3) / 6 if z <= 3 else mp.mpf(1)), (-3.0, 0.0, 3.0)
    ),
    "leaky_relu": Oracle(lambda z: z if z > 0 else z / 100, lambda z: mp.mpf(1) if z > 0 else mp.mpf("0.01")),
    "mish": Oracle(lambda z: z * mp.tanh(mp.log1p(mp.exp(z))), _mish_slope),
    "monomial": Oracle(lambda z: z**2, lambda z: 2 * z),
    "selu": SELU,
    "sigmoid": Oracle(_logistic, lambda z: _logistic(z) * _logistic(-z)),
    "silu": Oracle(lambda z: z * _logistic(z), lambda z: _logistic(z) * (1 + z * _logistic(-z))),
    "sin": Oracle(mp.sin, mp.cos),
    "softplus": Oracle(lambda z: mp.log1p(mp.exp(z)), _logistic),
    "tanh": Oracle(mp.tanh, lambda z: mp.sech(z) ** 2),
}
