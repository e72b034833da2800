"""Spline RePU: bounded activations in the span of shifted RePUs, by their piecewise polynomials."""

import math
from collections import defaultdict
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softshrink

from repu_lab.activations.base import Activation, finite_number, power

LARGEST_DEGREE = 10
LARGEST_PLATEAU = 20


class SplineRePU(Activation):
    """A sigmoid whose slope is a sum of neighbouring B-splines: s'(z) = B(z + shift) / B(shift), s(0) = 0.

    B(z) = sum_{j=1}^m B_p(z - j + (m+1)/2): m = plateau cardinal B-splines of degree p >= 2, side by side around 0, so
    that B is even, 1 for |z| <= (m-p)/2 and 0 beyond (m+p)/2. As B_p is a combination of p + 2 shifted RePU_p, s is one
    of shifted RePU_{p+1} and a constant; p times continuously differentiable, bounded, of slope 1 at 0; odd if
    shift = 0, skew otherwise.
    """

    def __init__(self, p: int = 2, shift: float = 0.0, plateau: int = 1):
        """Take degree, shift and number of B-splines; ValueError outside their ranges (p = 1 has a kink in s')."""
        super().__init__()
        self.p = p = _whole("p", p, 2, LARGEST_DEGREE, "the degree of the spline")
        self.plateau = m = _whole("plateau", plateau, 1, LARGEST_PLATEAU, "the number of neighbouring B-splines")
        self.shift, largest = finite_number("shift", shift), (m + p) / 2 - 1
        if abs(self.shift) > largest:
            raise ValueError(
                f"shift={shift} must be at most (plateau + p)/2 - 1 = {largest:g} in size: s is flat a little beyond"
            )
        knots = _knots(p, m, Fraction(self.shift))
        self.kinks = tuple(float(knot) for knot in knots)
        self.edges = (self.kinks[0], self.kinks[-1])
        # Around 0, s is one polynomial without a constant term; each knot beyond adds a truncated power on its far
        # side. Summing the RePUs themselves would cancel where the signal is small. Fractions: what is 0 stays 0.
        polynomial = [
            sum(
                weight * math.comb(p + 1, k) * (-knot) ** (p + 1 - k) * (Fraction(1, 2) if knot == 0 else 1)
                for knot, weight in knots.items()
                if knot <= 0
            )
            for k in range(p + 2)
        ]
        slope = polynomial[1]
        self.slope_at_0 = float(slope)
        self._polynomial = [0.0, *(float(coefficient / slope) for coefficient in polynomial[1:])]
        while not self._polynomial[-1]:  # on a plateau s is a line
            self._polynomial.pop()
        inner = [(float(knot), float(weight / slope)) for knot, weight in knots.items()][1:-1]
        right = [(1, knot, weight) for knot, weight in inner if knot > 0]
        # The nearest first on this side too, so that an odd s is odd to the last bit.
        left = [(-1, knot, (-1) ** p * weight) for knot, weight in reversed(inner) if knot < 0]
        # Of an odd s one power of softshrink does for two knots, k and -k: a tenth of all passes over z each.
        odd = p % 2 == 0 and left == [(-1, -knot, -weight) for _, knot, weight in right]
        beyond = [(0, knot, weight) for _, knot, weight in right] if odd else right + left
        self._knots = [(side, knot) for side, knot, _ in beyond]
        # relu(z)^q = (z^q + |z| z^(q-1)) / 2
        at_0 = float(knots.get(Fraction(0), Fraction(0)) / slope / 2)
        # Of s, s' and s'': the polynomial, what |z| z^(q-1) has at 0, what the powers beyond the knots have.
        self._factors = [
            (
                [math.perm(k, order) * self._polynomial[k] for k in range(order, len(self._polynomial))] or [0.0],
                math.perm(p + 1, order) * at_0,
                [(side or 1) ** order * math.perm(p + 1, order) * weight for side, _, weight in beyond],
            )
            for order in range(3)
        ]

    def forward(self, z: Tensor) -> Tensor:
        if z.requires_grad and torch.is_grad_enabled():
            return _WithSlope.apply(z, self._derivatives)
        return self._derivatives(z, 0)[0]

    def derivative(self, z: Tensor) -> Tensor:
        return self._derivatives(z, 1)[0]

    def value_and_derivative(self, z: Tensor) -> tuple[Tensor, Tensor]:
        value, slope = self._derivatives(z, 0, 1)
        return value, slope

    def second_derivative(self, z: Tensor) -> Tensor:
        return self._derivatives(z, 2)[0]

    def _derivatives(self, z: Tensor, *orders: int) -> list[Tensor]:
        """Return derivatives of s: what two of them share is computed once."""
        c, q, totals = z.clamp(*self.edges), self.p + 1, []
        # Memory takes most of the time: what is at hand changes in place, unless autograd needs it as it was.
        times, plus = (Tensor.mul, Tensor.add) if c.requires_grad else (Tensor.mul_, Tensor.add_)
        for order in orders:
            (*lower, leading), at_0, _ = self._factors[order]
            total = torch.full_like(c, leading)
            for coefficient in reversed(lower):
                total = times(total, c)
                total = plus(total, coefficient) if coefficient else total
            if at_0:
                total = plus(total, times(times(c.abs(), at_0), power(c, q - order - 1)))
            totals.append(total)
        for number, (side, knot) in enumerate(self._knots):
            beyond = ((c - knot) if side > 0 else (knot - c)).relu() if side else softshrink(c, knot)
            for i, order in enumerate(orders):
                factor = self._factors[order][2][number]
                totals[i] = plus(totals[i], times(power(beyond, q - order), factor))
        # Slopes are 0 at the edges and beyond: the backward of a clamp, in one pass.
        edges = _rounded(self.edges, z.dtype)
        outside_0 = torch.ops.aten.hardtanh_backward
        return [outside_0(total, z, *edges) if order else total for order, total in zip(orders, totals, strict=True)]

    def extra_repr(self) -> str:
        shift = f", shift={self.shift:g}" if self.shift else ""
        return f"p={self.p}{shift}" + (f", plateau={self.plateau}" if self.plateau > 1 else "")


class _WithSlope(torch.autograd.Function):
    """s(z) and the s'(z) that back-propagates, in one go: they share half of their work."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, derivatives: Callable[..., list[Tensor]]) -> Tensor:
        value, slope = derivatives(z, 0, 1)
        ctx.save_for_backward(z, slope)
        ctx.derivatives = derivatives
        return value

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        z, slope = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: somebody wants s'', which the slope at hand knows nothing of
            (slope,) = ctx.derivatives(z, 1)
        return grad_outputs[0] * slope, None


@cache
def _rounded(edges: tuple[float, ...], dtype: torch.dtype) -> list[float]:
    """Return the edges as tensors of this dtype are clamped to."""
    return torch.tensor(edges, dtype=dtype).tolist()


def _knots(p: int, plateau: int, shift: Fraction) -> dict[Fraction, Fraction]:
    """Return knot -> weight of s as a sum of weight relu(z - knot)^(p+1), from left to right."""
    weights: dict[Fraction, Fraction] = defaultdict(Fraction)
    for i in range(plateau):
        for j in range(p + 2):
            knot = i - Fraction(plateau - 1, 2) + j - Fraction(p + 1, 2) - shift
            weights[knot] += Fraction((-1) ** j * math.comb(p + 1, j), math.factorial(p + 1))
    return {knot: weight for knot, weight in sorted(weights.items()) if weight}


def _whole(name: str, value: Any, low: int, high: int, what: str) -> int:
    if finite_number(name, value) != int(value) or not low <= value <= high:
        raise ValueError(f"{name}={value} must be an integer from {low} to {high}: {what}")
    return int(value)
