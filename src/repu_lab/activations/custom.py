"""A user's own elementwise module or function as an activation."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn

from repu_lab.activations.base import Activation, Elementwise, finite_number
from repu_lab.activations.checks import changes_its_argument, check_activation

_checked: WeakSet[Activation] = WeakSet()


def as_activation(user: nn.Module | Elementwise) -> Activation:
    """Return an activation of the lab as it is, and a module or function of a tensor adapted to be one.

    s is elementwise: it returns as many numbers as it gets, each of its own z alone. A user's own is tried once on a
    few hundred of them; ValueError for what `check_activation` refuses, with the reason.
    """
    if isinstance(user, type) or not callable(user):
        raise ValueError(f"{user!r} is not an activation: give a module, as MyActivation(), or a function of a tensor")
    if isinstance(user, Activation) and (type(user).__module__.startswith("repu_lab.") or user in _checked):
        return user
    activation = user if isinstance(user, Activation) else Adapted(user)
    check_activation(activation)
    _checked.add(activation)
    return activation


class Adapted(Activation):
    """A user's own module or function as an `Activation`, in float64 on the CPU.

    `derivative`, `second_derivative`, `kinks` and `degree` are taken from it where it has them; a missing derivative
    comes from autograd, which is right everywhere but at the kinks, and where torch does not differentiate twice
    (hardsigmoid), s'' comes from differences of s'.
    """

    def __init__(self, function: nn.Module | Elementwise):
        """Wrap a copy; it must map a tensor to one of the same shape, each element on its own."""
        super().__init__()
        module = copy.deepcopy(function) if isinstance(function, nn.Module) else Function(function)
        self.module = module.to(dtype=torch.float64, device="cpu").requires_grad_(False)
        try:
            self.kinks = tuple(sorted(finite_number("kinks", kink) for kink in self._declared("kinks", ())))
            degree = self._declared("degree", None)
            self.degree = None if degree is None else finite_number("degree", degree)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{self.title}: {error}") from error
        self.in_place = changes_its_argument(self.module)
        self.twice = differentiates_twice(self)

    @property
    def title(self) -> str:
        """The name of the user's class or function."""
        function = getattr(self.module, "function", self.module)
        function = function.func if isinstance(function, partial) else function
        return getattr(function, "__name__", type(function).__name__)

    def extra_repr(self) -> str:
        return self.module.extra_repr()

    def forward(self, z: Tensor) -> Tensor:
        return self.module(z.clone() if self.in_place else z)

    def derivative(self, z: Tensor) -> Tensor:
        declared = self._declared("derivative", None)
        return declared(z) if declared is not None else elementwise_derivative(self.forward, z)

    def value_and_derivative(self, z: Tensor) -> tuple[Tensor, Tensor]:
        if self._declared("derivative", None) is not None:
            return super().value_and_derivative(z)
        return with_derivative(self.forward, z)

    def second_derivative(self, z: Tensor) -> Tensor:
        declared = self._declared("second_derivative", None)
        if declared is not None:
            return declared(z)
        if self.twice:
            return elementwise_derivative(self.derivative, z)
        with torch.no_grad():
            step = torch.finfo(z.dtype).eps ** 0.4 * (1 + z.abs())
            return (self.derivative(z + step) - self.derivative(z - step)) / (2 * step)

    def _declared(self, name: str, default: Any) -> Any:
        return getattr(self.module, name, getattr(getattr(self.module, "function", None), name, default))


class Function(nn.Module):
    """A plain function as a module."""

    def __init__(self, function: Elementwise):
        """Take the function of a tensor."""
        super().__init__()
        self.function = function

    def forward(self, z: Tensor) -> Tensor:
        """Return the function's value."""
        return self.function(z)


def differentiates_twice(activation: "Adapted") -> bool:
    """Say whether autograd gives s''; False too where s itself cannot be applied, which the check reports."""
    try:
        elementwise_derivative(activation.derivative, torch.ones(1, dtype=torch.float64))
    except Exception:
        return False
    return True


def elementwise_derivative(function: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """Return the derivative of an elementwise function by autograd, see `with_derivative`."""
    return with_derivative(function, z)[1]


def with_derivative(function: Callable[[Tensor], Tensor], z: Tensor) -> tuple[Tensor, Tensor]:
    """Return an elementwise function and its derivative by autograd, zero where it does not depend on z.

    Both keep their graph where z requires a gradient.
    """
    keep_graph = z.requires_grad and torch.is_grad_enabled()
    with torch.enable_grad():
        z = z if z.requires_grad else z.detach().requires_grad_()
        value, slope = function(z), None
        if value.requires_grad:
            (slope,) = torch.autograd.grad(value.sum(), z, create_graph=keep_graph, allow_unused=True)
    if slope is None or slope._is_zerotensor():  # which has no numbers that numpy could see
        slope = torch.zeros_like(z)
    return value if keep_graph else value.detach(), slope
