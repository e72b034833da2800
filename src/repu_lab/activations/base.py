"""What every activation knows: s, s', s'', its kinks and its degree of homogeneity."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

# Beyond |z| = 40 the normal density exp(-z^2/2) is below the smallest float64, beyond 800 so is exp(-|z|): products
# z exp(-z^2/2) and z exp(-|z|) are exactly 0 there, and clamping the argument keeps inf * 0 out of them.
GAUSSIAN_TAIL = 40.0
EXPONENTIAL_TAIL = 800.0

LARGEST = 1e30  # of an argument: products of several stay far from the end of float64
LARGEST_DEGREE = 20  # of a power: beyond it theory leaves float64, and float32 networks overflow in the first layers

Elementwise = Callable[[Tensor], Tensor]


class Activation(nn.Module):
    """An elementwise function s(z) with its first two derivatives.

    `kinks`: points where s is not analytic. `degree`: p if s(a z) = a^p s(z) for all a > 0, else None.
    """

    kinks: tuple[float, ...] = ()
    degree: float | None = None

    @property
    def title(self) -> str:
        """What messages and pictures call it: the name of its class."""
        return type(self).__name__

    @property
    def described(self) -> str:
        """The title with the parameters: `MRePU(p=1)`."""
        extra = self.extra_repr()
        return self.title + (f"({extra})" if extra else "")

    def forward(self, z: Tensor) -> Tensor:
        """Return s(z), elementwise; differentiable, its gradient is `derivative`."""
        raise TypeError(f"{type(self).__name__} is abstract: define forward(z), derivative(z), second_derivative(z)")

    def derivative(self, z: Tensor) -> Tensor:
        """Return s'(z), elementwise; at a kink the limit from the left."""
        raise TypeError(f"{type(self).__name__} is abstract: define forward(z), derivative(z), second_derivative(z)")

    def second_derivative(self, z: Tensor) -> Tensor:
        """Return the regular part of s''(z) (no delta functions), elementwise; at a kink the limit from the left."""
        raise TypeError(f"{type(self).__name__} is abstract: define forward(z), derivative(z), second_derivative(z)")

    def value_and_derivative(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return s(z) and s'(z), what they share computed once by classes that know how."""
        return self(z), self.derivative(z)


class WithDerivative(torch.autograd.Function):
    """Computes value(z) and back-propagates with derivative(z), so that one definition of s' serves everywhere."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, value: Elementwise, derivative: Elementwise) -> Tensor:
        ctx.save_for_backward(z)
        ctx.derivative = derivative
        return value(z)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        (z,) = ctx.saved_tensors
        return grad_outputs[0] * ctx.derivative(z), None, None


def finite_number(name: str, value: Any) -> float:
    """Return value as a float; ValueError unless it is a finite number whose powers float64 still holds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= LARGEST:
        raise ValueError(f"{name}={value!r} must be a finite number of at most {LARGEST:g} in size")
    return float(value)


def power(base: Tensor, exponent: float) -> Tensor:
    """Return base^exponent for base >= 0, by products for the small integers (several times cheaper than pow)."""
    if exponent == 0:
        return torch.ones_like(base)
    if exponent == 1:
        return base
    if exponent == 2:
        return base * base
    if exponent == 3:
        return base * base * base
    if exponent == 4:
        square = base * base
        return square * square
    return base**exponent
