"""A user's own elementwise module as an activation."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from repu_lab.activations.base import Activation, finite_number


def as_activation(module: nn.Module) -> Activation:
    """Return the module itself if it is an `Activation`, else the module adapted; ValueError if not elementwise."""
    if isinstance(module, Activation):
        return module
    adapted = Adapted(module)
    check_elementwise(adapted)
    return adapted


class Adapted(Activation):
    """A user's own module as an `Activation`.

    `derivative`, `second_derivative`, `kinks` and `degree` are taken from the module where it has them; a missing
    derivative comes from autograd, which is right everywhere but at the kinks.
    """

    def __init__(self, module: nn.Module):
        """Wrap the module; it must map a tensor to one of the same shape, each element on its own."""
        super().__init__()
        self.module = module
        self.kinks = tuple(float(kink) for kink in getattr(module, "kinks", ()))
        degree = getattr(module, "degree", None)
        self.degree = None if degree is None else finite_number("degree", degree)

    def forward(self, z: Tensor) -> Tensor:
        return self.module(z)

    def derivative(self, z: Tensor) -> Tensor:
        own = getattr(self.module, "derivative", None)
        return own(z) if own is not None else elementwise_derivative(self.module, z)

    def second_derivative(self, z: Tensor) -> Tensor:
        own = getattr(self.module, "second_derivative", None)
        return own(z) if own is not None else elementwise_derivative(self.derivative, z)


def check_elementwise(activation: Activation) -> None:
    """Raise ValueError unless s keeps the shape, acts on each element alone and is finite on moderate arguments.

    Nor may it change its buffers: a run that goes on has its parameters, but nothing else that it remembers.
    """
    name = type(getattr(activation, "module", activation)).__name__
    buffers = [buffer.clone() for buffer in activation.buffers()]
    z = torch.linspace(-8, 8, 24, dtype=torch.float64).view(4, 6)
    with torch.no_grad():
        try:
            value = activation(z)
            alone = torch.stack([activation(element.view(1, 1)).view(()) for element in z.flatten()]).view(4, 6)
        except (RuntimeError, IndexError, TypeError, ValueError) as error:
            raise ValueError(f"{name} cannot be applied elementwise: {error}") from error
    if not all(map(torch.equal, buffers, activation.buffers())):
        raise ValueError(f"{name} changes its buffers: s(z) must depend on z and the parameters alone")
    if value.shape != z.shape or not torch.equal(value.isnan(), alone.isnan()):
        raise ValueError(f"{name} is not elementwise: it must map every element on its own and keep the shape")
    if not value.isfinite().all():
        raise ValueError(f"{name} is not finite on the whole line, first at z={z[~value.isfinite()][0].item():.3g}")
    if not torch.allclose(value, alone, rtol=1e-9, atol=1e-12):
        raise ValueError(f"{name} is not elementwise: an element's value depends on its neighbours")


def elementwise_derivative(function: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """Return the derivative of an elementwise function by autograd, zero where it does not depend on z.

    It keeps its graph where z requires a gradient.
    """
    keep_graph = z.requires_grad and torch.is_grad_enabled()
    with torch.enable_grad():
        z = z if z.requires_grad else z.detach().requires_grad_()
        value = function(z)
        if not value.requires_grad:
            return torch.zeros_like(z)
        (slope,) = torch.autograd.grad(value.sum(), z, create_graph=True, allow_unused=True)
    slope = torch.zeros_like(z) if slope is None else slope
    return slope if keep_graph else slope.detach()
