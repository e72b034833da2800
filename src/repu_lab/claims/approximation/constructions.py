"""Polynomials as exact networks of RePU and MRePU: weights in closed form.

RePU_2: s(t) + s(-t) = t^2 on all of R; RePU_3: s(t) - s(-t) = t^3. MRePU_p, on |t| <= 1 only: s(t) + s(-t) and
s(t) - s(-t) are polynomials of even and of odd powers, from which t and t^2 follow by a small linear system. Spline
RePU, on |t| <= 1 too: its slopes at integer distances are B-splines, which add up to polynomials (Marsden's identity).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from repu_lab.activations import Activation, MRePU, RePU, SplineRePU
from repu_lab.claims.statistics import Array

# t^m = sum of weight * s(scale * t + shift) over these neurons, (scale, shift, weight) each
Neurons = list[tuple[float, float, float]]
X, Y, Z = np.eye(3)


@dataclass(frozen=True)
class Shallow:
    """v -> outer s(inner v + bias): inner (N, I), bias (N,), outer (C, N)."""

    inner: Array
    bias: Array
    outer: Array


@dataclass(frozen=True, kw_only=True)
class Construction:
    """A network that is a polynomial of (x, y, z). everywhere: on all of R^3, else on [-1, 1]^3 alone."""

    target: str
    activation: Activation
    layers: tuple[Shallow, ...]
    everywhere: bool

    @property
    def neurons(self) -> int:
        """Hidden units of all layers."""
        return sum(len(layer.bias) for layer in self.layers)

    @property
    def kind(self) -> str:
        """Its activation as `MRePU 2`."""
        return f"{type(self.activation).__name__} {self.activation.p:g}"

    def network(self, dtype: torch.dtype) -> nn.Sequential:
        """Return the network as plain torch modules: the outer map of a layer and the inner one of the next are one."""
        before: Array = np.eye(3)
        modules: list[nn.Module] = []
        for layer in self.layers:
            modules += [_linear(layer.inner @ before, layer.bias, dtype), self.activation]
            before = layer.outer
        return nn.Sequential(*modules, _linear(before, np.zeros(len(before)), dtype))


TARGETS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "x": lambda v: v[:, 0],
    "x^2": lambda v: v[:, 0] ** 2,
    "xy": lambda v: v[:, 0] * v[:, 1],
    "xyz": lambda v: v[:, 0] * v[:, 1] * v[:, 2],
}


def constructions() -> list[Construction]:
    """Return x, x^2, xy and xyz by RePU_2, MRePU_1 and MRePU_2, and xyz by RePU_3 in one layer."""
    cubes = along([(1.0, 0.0, 1.0), (-1.0, 0.0, -1.0)], _corners(1 / 24, 1.0))
    return [
        *_all_targets(RePU(2), everywhere=True),
        *_all_targets(MRePU(1)),
        *_all_targets(MRePU(2)),
        Construction(target="xyz", activation=RePU(3), layers=(cubes,), everywhere=True),
    ]


def spline_constructions() -> list[Construction]:
    """Return x, x^2, xy and, in two layers, xyz by the odd spline RePU of degree 2."""
    return _all_targets(SplineRePU(2))


def _all_targets(activation: Activation, *, everywhere: bool = False) -> list[Construction]:
    t1, t2 = power(activation, 1), power(activation, 2)
    squares = [neuron for neuron in t2 if neuron[0]]  # constants cancel in a product
    layers = {
        "x": (along(t1, [(X, 1.0)]),),
        "x^2": (along(t2, [(X, 1.0)]),),
        "xy": (along(squares, times(X, Y)),),
        "xyz": _three_at_once(activation) or _three_in_turn(t1, squares),
    }
    return [
        Construction(target=target, activation=activation, layers=layers[target], everywhere=everywhere)
        for target in TARGETS
    ]


def power(activation: Activation, m: int) -> Neurons:
    """Return t^m, m = 1 or 2, as a combination of neurons of RePU_2, MRePU_p or the odd spline RePU of degree 2."""
    if isinstance(activation, SplineRePU):
        return _by_splines(activation, m)
    if isinstance(activation, MRePU):
        return [
            (sign * scale, 0.0, weight * sign**m)
            for scale, weight in parity_combination(int(activation.p), m)
            for sign in (1.0, -1.0)
        ]
    if m == 2:
        return [(1.0, 0.0, 1.0), (-1.0, 0.0, 1.0)]
    # t = ((t + 1)^2 - (t - 1)^2) / 4
    return [(sign, sign * shift, shift / 4) for shift in (1.0, -1.0) for sign in (1.0, -1.0)]


def parity_combination(p: int, m: int) -> list[tuple[float, float]]:
    """Return (a_j, c_j) with t^m = sum_j c_j (s(a_j t) + (-1)^m s(-a_j t)) for MRePU_p on |t| <= 1, a_j = 2^-j.

    s(t) = sum_k C(p, k) t^(k+1), so the pair holds the powers k + 1 of m's parity, twice each; as many scales as powers
    make a Vandermonde system.
    """
    powers = [k + 1 for k in range(p + 1) if (k + 1 - m) % 2 == 0]
    scales = 2.0 ** -np.arange(len(powers))
    system = np.array([2 * math.comb(p, n - 1) * scales**n for n in powers])
    wanted = np.array([float(n == m) for n in powers])
    return list(zip(scales.tolist(), np.linalg.solve(system, wanted).tolist(), strict=True))


def times(u: Array, v: Array) -> list[tuple[Array, float]]:
    """Return the squares whose weighted sum is a product: u v = ((u + v)/2)^2 - ((u - v)/2)^2."""
    return [((u + v) / 2, 1.0), ((u - v) / 2, -1.0)]


def along(neurons: Neurons, forms: Sequence[tuple[Array, float]]) -> Shallow:
    """Return sum over the linear forms (direction, factor) of factor times the neurons' function of the form."""
    units = [(scale * form, shift, factor * weight) for form, factor in forms for scale, shift, weight in neurons]
    inner, bias, outer = zip(*units, strict=True)
    return Shallow(np.array(inner), np.array(bias), np.array([outer]))


def beside(*parts: Shallow) -> Shallow:
    """Return networks of the same inputs side by side, an output each."""
    outer = np.zeros((len(parts), sum(len(part.bias) for part in parts)))
    start = 0
    for row, part in zip(outer, parts, strict=True):
        row[start : start + len(part.bias)] = part.outer[0]
        start += len(part.bias)
    inner, bias = [part.inner for part in parts], [part.bias for part in parts]
    return Shallow(np.concatenate(inner), np.concatenate(bias), outer)


def _by_splines(activation: SplineRePU, m: int) -> Neurons:
    """Return t = sum_j S(t - j), or t^2 = sum_j 2j (S(t - j) - S(-j)), |t| <= 1, over j = -3/2, -1/2, 1/2, 3/2.

    S = B_2(0) s has the slope B_2: sum_j B_2(t - j) = 1 and sum_j 2j B_2(t - j) = 2t there.
    """
    weight, halves = activation.slope_at_0, (-1.5, -0.5, 0.5, 1.5)
    if m == 1:
        return [(1.0, -j, weight) for j in halves]
    constants = [(0.0, -j, -2 * j * weight) for j in halves]
    return [(1.0, -j, 2 * j * weight) for j in halves] + constants


def _three_in_turn(t1: Neurons, t2: Neurons) -> tuple[Shallow, ...]:
    """Xyz in two layers: (xy, z), then their product."""
    u, v = np.eye(2)
    return beside(along(t2, times(X, Y)), along(t1, [(Z, 1.0)])), along(t2, times(u, v))


def _three_at_once(activation: Activation) -> tuple[Shallow, ...] | None:
    """Xyz = (27/48) sum e_2 e_3 d((x + e_2 y + e_3 z)/3) by MRePU_2, d(t) = s(t) - s(-t) = 2t + 2t^3: t drops out."""
    if not (isinstance(activation, MRePU) and activation.p == 2):
        return None
    return (along([(1.0, 0.0, 1.0), (-1.0, 0.0, -1.0)], _corners(27 / 48, 1 / 3)),)


def _corners(factor: float, scale: float) -> list[tuple[Array, float]]:
    signs = product((1.0, -1.0), repeat=2)
    return [(scale * (X + e_2 * Y + e_3 * Z), factor * e_2 * e_3) for e_2, e_3 in signs]


def _linear(weight: Array, bias: Array, dtype: torch.dtype) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], dtype=dtype)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(weight))
        linear.bias.copy_(torch.from_numpy(bias))
    return linear
