"""Spline RePU: bounded activations in the span of shifted RePUs, by their piecewise polynomials."""

import math
from collections import defaultdict
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softshrink

from repu_lab.activations.base import Activation, WithDerivative, finite_number, power

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
        self._right = [(float(knot), float(weight / slope)) for knot, weight in knots.items() if knot > 0]
        # The nearest first on this side too, so that an odd s is odd to the last bit.
        far_first = [(float(knot), float((-1) ** p * weight / slope)) for knot, weight in knots.items() if knot < 0]
        self._left = far_first[::-1]
        # Of an odd s one power of softshrink does for two knots, k and -k: a tenth of all passes over z each.
        self._odd = p % 2 == 0 and self._left == [(-knot, -weight) for knot, weight in self._right]
        # relu(z)^q = (z^q + |z| z^(q-1)) / 2
        self._at_0 = float(knots.get(Fraction(0), Fraction(0)) / slope / 2)

    def forward(self, z: Tensor) -> Tensor:
        return WithDerivative.apply(z, self._value, self.derivative)

    def derivative(self, z: Tensor) -> Tensor:
        return self._inside(z, 1)

    def second_derivative(self, z: Tensor) -> Tensor:
        return self._inside(z, 2)

    def _value(self, z: Tensor) -> Tensor:
        return self._branch(z.clamp(*self.edges), 0)

    def _inside(self, z: Tensor, order: int) -> Tensor:
        low, high = self.edges
        return self._branch(z.clamp(low, high), order).masked_fill((z <= low) | (z >= high), 0.0)

    def _branch(self, z: Tensor, order: int) -> Tensor:
        """Return a derivative of s between its edges."""
        q = self.p + 1
        coefficients = [math.perm(k, order) * self._polynomial[k] for k in range(order, len(self._polynomial))]
        total = torch.full_like(z, coefficients.pop() if coefficients else 0.0)
        for coefficient in reversed(coefficients):
            total = total * z + coefficient if coefficient else total * z
        falling, exponent = math.perm(q, order), q - order
        if self._at_0:
            total = total + falling * self._at_0 * z.abs() * power(z, exponent - 1)
        for knot, weight in self._right:
            if knot < self.edges[1]:
                beyond = softshrink(z, knot) if self._odd else (z - knot).relu()
                total = total + falling * weight * power(beyond, exponent)
        for knot, weight in self._left:
            if knot > self.edges[0] and not self._odd:
                total = total + (-1) ** order * falling * weight * power((knot - z).relu(), exponent)
        return total

    def extra_repr(self) -> str:
        shift = f", shift={self.shift:g}" if self.shift else ""
        return f"p={self.p}{shift}" + (f", plateau={self.plateau}" if self.plateau > 1 else "")


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
