"""Piecewise polynomial activations: RePU, MRePU, spline RePU, monomials and the ReLU family.

RePU and MRePU are defined in Kim, Kang, arXiv:2408.02697.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from repu_lab.activations.base import Activation, WithDerivative, finite_number

# Beyond these powers theory leaves float64, and float32 networks overflow in the first layers.
LARGEST_POWER = 20
LARGEST_MREPU_POWER = 9
LARGEST_MREPU_SCALE = 1e3


class RePU(Activation):
    """Rectified power unit, s(z) = max(0, z)^p with real p > 1/2 (p = 1 is ReLU).

    For p <= 1/2 the mean of s'^2 over a normal distribution is infinite, so nothing of the theory exists there.
    """

    def __init__(self, p: float = 2.0):
        """Take the power p; ValueError unless p > 1/2."""
        super().__init__()
        self.p = finite_number("p", p)
        if self.p <= 0.5:
            raise ValueError(f"p={p} must be greater than 1/2: for p <= 1/2 the variance of RePU's slope is infinite")
        if self.p > LARGEST_POWER:
            raise ValueError(f"p={p} must be at most {LARGEST_POWER}: theory's averages leave float64")
        self.kinks = (0.0,)
        self.degree = self.p

    def forward(self, z: Tensor) -> Tensor:
        return WithDerivative.apply(z, self._value, self.derivative)

    def _value(self, z: Tensor) -> Tensor:
        return _power(z.relu(), self.p)

    def derivative(self, z: Tensor) -> Tensor:
        if self.p == 1:
            return (z > 0).to(z.dtype)
        # For p < 1 the power of 0 is infinite, but the limit from the left is 0.
        slope = self.p * _power(z.relu(), self.p - 1)
        return slope if self.p > 1 else slope.masked_fill(z <= 0, 0.0)

    def second_derivative(self, z: Tensor) -> Tensor:
        if self.p == 1:
            return torch.zeros_like(z)
        curvature = self.p * (self.p - 1) * _power(z.relu(), self.p - 2)
        return curvature if self.p > 2 else curvature.masked_fill(z <= 0, 0.0)

    def extra_repr(self) -> str:
        return f"p={self.p:g}"


class MRePU(Activation):
    """Modified rectified power unit, s(z) = z (1 + z/scale)^p for z >= -scale and 0 below, real p >= 1.

    Kim and Kang's has scale = 1. s_scale(z) = scale s_1(z / scale): with a larger scale it bends later, its slope at 0
    stays 1, and a_1 falls by scale^2.
    """

    def __init__(self, p: float = 1.0, scale: float = 1.0):
        """Take the power p and the argument's scale; ValueError unless p >= 1 and 1e-3 <= scale <= 1e3."""
        super().__init__()
        self.p, self.scale = finite_number("p", p), finite_number("scale", scale)
        if self.p < 1:
            raise ValueError(f"p={p} must be at least 1: below it the slope of MRePU at z = -1 is infinite")
        if self.p > LARGEST_MREPU_POWER:
            raise ValueError(f"p={p} must be at most {LARGEST_MREPU_POWER}: theory follows s(z) to z = 1e30 in float64")
        if not 1 / LARGEST_MREPU_SCALE <= self.scale <= LARGEST_MREPU_SCALE:
            raise ValueError(
                f"scale={scale} must lie between {1 / LARGEST_MREPU_SCALE:g} and {LARGEST_MREPU_SCALE:g}: theory's "
                "grids reach no further"
            )
        self.kinks = (-self.scale,)

    def forward(self, z: Tensor) -> Tensor:
        return WithDerivative.apply(z, self._value, self.derivative)

    def _value(self, z: Tensor) -> Tensor:
        # The factor z is kept (not (1 + z) - 1), since signals of size 1e-8 live here; its clamp keeps -inf * 0 out.
        return z.clamp(min=-self.scale) * _power((self._unit(z) + 1).relu(), self.p)

    def derivative(self, z: Tensor) -> Tensor:
        u = self._unit(z)
        slope = _power((u + 1).relu(), self.p - 1) * (1 + (self.p + 1) * u.clamp(min=-1))
        return slope.masked_fill(u <= -1, 0.0)

    def second_derivative(self, z: Tensor) -> Tensor:
        p, u = self.p, self._unit(z)
        if p == 1:
            return 2 * (u > -1).to(z.dtype) / self.scale
        curvature = p * _power((u + 1).relu(), p - 2) * (2 + (p + 1) * u.clamp(min=-1)) / self.scale
        return curvature.masked_fill(u <= -1, 0.0)

    def _unit(self, z: Tensor) -> Tensor:
        return z if self.scale == 1 else z / self.scale

    def extra_repr(self) -> str:
        return f"p={self.p:g}" if self.scale == 1 else f"p={self.p:g}, scale={self.scale:g}"


class SplineRePU(Activation):
    """The integral of the centred cardinal B-spline B_p, divided by B_p(0), integer p >= 2.

    s(z) = S_p(z) / B_p(0), S_p(z) = sum_j (-1)^j C(p+1, j) relu(z + (p+1)/2 - j)^(p+1) / (p+1)! - 1/2: a combination
    of p + 2 shifted RePU_{p+1}, p times continuously differentiable, odd, of slope 1 at 0, constant beyond (p+1)/2.
    """

    def __init__(self, p: int = 2):
        """Take the degree p of the spline; ValueError unless it is an integer >= 2 (p = 1 has a kink in s')."""
        super().__init__()
        if finite_number("p", p) != int(p) or not 2 <= p <= 10:
            raise ValueError(f"p={p} must be an integer from 2 to 10: the degree of the spline")
        self.p = p = int(p)
        self.edge = (p + 1) / 2
        knots = [(j - self.edge, (-1) ** j * math.comb(p + 1, j) / math.factorial(p + 1)) for j in range(p + 2)]
        self.kinks = tuple(knot for knot, _ in knots)
        # On [0, edge] S_p is one polynomial (from the knots <= 0) plus a truncated power for each knot inside.
        # Summing all the truncated powers of the definition instead would cancel where the signal is small.
        left = [(knot, weight) for knot, weight in knots if knot <= 0]
        coefficients = [
            sum(weight * math.comb(p + 1, k) * (-knot) ** (p + 1 - k) for knot, weight in left) for k in range(p + 2)
        ]
        self.slope_at_0 = coefficients[1]
        self._polynomial = [c / self.slope_at_0 for c in coefficients[1:]]
        self._corrections = [(knot, weight / self.slope_at_0) for knot, weight in knots if 0 < knot < self.edge]

    def forward(self, z: Tensor) -> Tensor:
        return WithDerivative.apply(z, self._value, self.derivative)

    def _value(self, z: Tensor) -> Tensor:
        inside = z.clamp(-self.edge, self.edge)
        u = inside.abs()
        even = torch.full_like(u, self._polynomial[-1])
        for coefficient in reversed(self._polynomial[:-1]):
            even = even * u + coefficient
        value = inside * even
        for knot, weight in self._corrections:
            value = value + weight * inside.sign() * _power((u - knot).relu(), self.p + 1)
        return value

    def derivative(self, z: Tensor) -> Tensor:
        u = z.abs().clamp(max=self.edge)
        slope = torch.full_like(u, (self.p + 1) * self._polynomial[-1])
        for k in range(self.p - 1, -1, -1):
            slope = slope * u + (k + 1) * self._polynomial[k]
        for knot, weight in self._corrections:
            slope = slope + weight * (self.p + 1) * _power((u - knot).relu(), self.p)
        return slope.masked_fill(u >= self.edge, 0.0)

    def second_derivative(self, z: Tensor) -> Tensor:
        u = z.abs().clamp(max=self.edge)
        curvature = torch.full_like(u, (self.p + 1) * self.p * self._polynomial[-1])
        for k in range(self.p - 1, 0, -1):
            curvature = curvature * u + (k + 1) * k * self._polynomial[k]
        for knot, weight in self._corrections:
            curvature = curvature + weight * (self.p + 1) * self.p * _power((u - knot).relu(), self.p - 1)
        return z.sign() * curvature.masked_fill(u >= self.edge, 0.0)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Monomial(Activation):
    """s(z) = z^p, integer p >= 1."""

    def __init__(self, p: int = 2):
        """Take the power p; ValueError unless it is an integer >= 1."""
        super().__init__()
        if finite_number("p", p) != int(p) or not 1 <= p <= LARGEST_POWER:
            raise ValueError(f"p={p} must be an integer of at least 1 and at most {LARGEST_POWER}")
        self.p = int(p)
        self.degree = float(self.p)

    def forward(self, z: Tensor) -> Tensor:
        return z**self.p

    def derivative(self, z: Tensor) -> Tensor:
        return self.p * z ** (self.p - 1)

    def second_derivative(self, z: Tensor) -> Tensor:
        return self.p * (self.p - 1) * z ** (self.p - 2) if self.p > 1 else torch.zeros_like(z)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Identity(Activation):
    """s(z) = z: the deep linear network."""

    degree = 1.0

    def forward(self, z: Tensor) -> Tensor:
        return z

    def derivative(self, z: Tensor) -> Tensor:
        return torch.ones_like(z)

    def second_derivative(self, z: Tensor) -> Tensor:
        return torch.zeros_like(z)


class ReLU(Activation):
    """s(z) = max(0, z)."""

    kinks = (0.0,)
    degree = 1.0

    def forward(self, z: Tensor) -> Tensor:
        return F.relu(z)

    def derivative(self, z: Tensor) -> Tensor:
        return (z > 0).to(z.dtype)

    def second_derivative(self, z: Tensor) -> Tensor:
        return torch.zeros_like(z)


class LeakyReLU(Activation):
    """s(z) = z for z > 0 and slope z below; slope = 0 is ReLU."""

    kinks = (0.0,)
    degree = 1.0

    def __init__(self, slope: float = 0.01):
        """Take the slope of the negative side, any finite number."""
        super().__init__()
        self.slope = finite_number("slope", slope)

    def forward(self, z: Tensor) -> Tensor:
        return F.leaky_relu(z, self.slope)

    def derivative(self, z: Tensor) -> Tensor:
        return torch.where(z > 0, torch.ones_like(z), self.slope)

    def second_derivative(self, z: Tensor) -> Tensor:
        return torch.zeros_like(z)

    def extra_repr(self) -> str:
        return f"slope={self.slope:g}"


class Hardswish(Activation):
    """s(z) = z min(max(z + 3, 0), 6) / 6."""

    kinks = (-3.0, 3.0)

    def forward(self, z: Tensor) -> Tensor:
        return WithDerivative.apply(z, F.hardswish, self.derivative)

    def derivative(self, z: Tensor) -> Tensor:
        middle = (2 * z + 3) / 6
        return torch.where(z <= -3, 0.0, torch.where(z <= 3, middle, 1.0))

    def second_derivative(self, z: Tensor) -> Tensor:
        return ((z > -3) & (z <= 3)).to(z.dtype) / 3


def _power(base: Tensor, exponent: float) -> Tensor:
    """base^exponent for base >= 0, by products for the small integers (several times cheaper than pow)."""
    if exponent == 0:
        return torch.ones_like(base)
    if exponent == 1:
        return base
    if exponent == 2:
        return base * base
    if exponent == 3:
        return base * base * base
    return base**exponent
