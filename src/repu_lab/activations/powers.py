"""Powers and pieces of lines: RePU, MRePU, monomials and the ReLU family.

RePU and MRePU are defined in Kim, Kang, arXiv:2408.02697.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from repu_lab.activations.base import LARGEST_DEGREE, Activation, WithDerivative, finite_number, power

LARGEST_MREPU_POWER = 9
LARGEST_MREPU_SCALE = 1e3
LARGEST_SHIFT = 1e3


class RePU(Activation):
    """Rectified power unit, s(z) = max(0, z)^p with real p > 1/2 (p = 1 is ReLU), of z + shift if there is one.

    For p <= 1/2 the mean of s'^2 over a normal distribution is infinite, so nothing of the theory exists there.
    """

    def __init__(self, p: float = 2.0, shift: float = 0.0):
        """Take the power p and the shift; ValueError unless p > 1/2 and |shift| <= 1e3."""
        super().__init__()
        self.p, self.shift = finite_number("p", p), finite_number("shift", shift)
        if abs(self.shift) > LARGEST_SHIFT:
            raise ValueError(f"shift={shift} must lie between -{LARGEST_SHIFT:g} and {LARGEST_SHIFT:g}")
        if self.p <= 0.5:
            raise ValueError(f"p={p} must be greater than 1/2: for p <= 1/2 the variance of RePU's slope is infinite")
        if self.p > LARGEST_DEGREE:
            raise ValueError(f"p={p} must be at most {LARGEST_DEGREE}: theory's averages leave float64")
        self.kinks = (-self.shift if self.shift else 0.0,)
        self.degree = None if self.shift else self.p

    def forward(self, z: Tensor) -> Tensor:
        return WithDerivative.apply(z, self._value, self.derivative)

    def _shifted(self, z: Tensor) -> Tensor:
        return z + self.shift if self.shift else z

    def _value(self, z: Tensor) -> Tensor:
        return power(self._shifted(z).relu(), self.p)

    def derivative(self, z: Tensor) -> Tensor:
        z = self._shifted(z)
        if self.p == 1:
            return (z > 0).to(z.dtype)
        # For p < 1 the power of 0 is infinite, but the limit from the left is 0.
        slope = self.p * power(z.relu(), self.p - 1)
        return slope if self.p > 1 else slope.masked_fill(z <= 0, 0.0)

    def second_derivative(self, z: Tensor) -> Tensor:
        z = self._shifted(z)
        if self.p == 1:
            return torch.zeros_like(z)
        curvature = self.p * (self.p - 1) * power(z.relu(), self.p - 2)
        return curvature if self.p > 2 else curvature.masked_fill(z <= 0, 0.0)

    def extra_repr(self) -> str:
        return f"p={self.p:g}, shift={self.shift:g}" if self.shift else f"p={self.p:g}"


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
        return z.clamp(min=-self.scale) * power((self._unit(z) + 1).relu(), self.p)

    def derivative(self, z: Tensor) -> Tensor:
        u = self._unit(z)
        slope = power((u + 1).relu(), self.p - 1) * (1 + (self.p + 1) * u.clamp(min=-1))
        return slope.masked_fill(u <= -1, 0.0)

    def second_derivative(self, z: Tensor) -> Tensor:
        p, u = self.p, self._unit(z)
        if p == 1:
            return 2 * (u > -1).to(z.dtype) / self.scale
        curvature = p * power((u + 1).relu(), p - 2) * (2 + (p + 1) * u.clamp(min=-1)) / self.scale
        return curvature.masked_fill(u <= -1, 0.0)

    def _unit(self, z: Tensor) -> Tensor:
        return z if self.scale == 1 else z / self.scale

    def extra_repr(self) -> str:
        return f"p={self.p:g}" if self.scale == 1 else f"p={self.p:g}, scale={self.scale:g}"


class Monomial(Activation):
    """s(z) = z^p, integer p >= 1."""

    def __init__(self, p: int = 2):
        """Take the power p; ValueError unless it is an integer >= 1."""
        super().__init__()
        if finite_number("p", p) != int(p) or not 1 <= p <= LARGEST_DEGREE:
            raise ValueError(f"p={p} must be an integer of at least 1 and at most {LARGEST_DEGREE}")
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
