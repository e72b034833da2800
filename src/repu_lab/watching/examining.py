"""One look at any torch network with one batch, without training it: for a question, or for a test suite."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from repu_lab.watching.health import Report, report_of
from repu_lab.watching.measures import measures
from repu_lab.watching.recording import check_module, recorded


def examine(network: nn.Module, batch: Any, *, loss: Callable[[Any], Tensor] | None = None, seed: int = 0) -> Report:
    """Send a batch forward and a gradient backward through a network as it is, and report every layer.

    `batch`: a tensor, or a tuple or dict of the arguments of forward; other values are handed on as they are. `loss`:
    from what forward returns to a number; left out, a Gaussian gradient is sent back from all outputs. The network is
    left as it was: weights, gradients, buffers, mode and the state of random numbers.
    """
    check_module(network)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    if not weights:
        raise ValueError(f"{type(network).__name__}: has no weight that requires a gradient, so nothing comes back")
    devices = sorted({weight.device.index or 0 for weight in weights if weight.device.type == "cuda"})
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    with torch.random.fork_rng(devices=devices), torch.enable_grad(), recorded(network) as recording:
        torch.manual_seed(seed)
        try:
            given = batch if isinstance(batch, (tuple, Mapping)) else (batch,)
            made = network(**given) if isinstance(given, Mapping) else network(*given)
            value = _random_product(made) if loss is None else loss(made)
            torch.autograd.grad(value, weights, allow_unused=True)  # into no .grad
        finally:
            with torch.no_grad():
                for buffer, before in buffers:  # running averages
                    buffer.copy_(before)
    return report_of(measures(recording.layers))


def assert_healthy(network: nn.Module, batch: Any, *, loss: Callable[[Any], Tensor] | None = None) -> None:
    """Raise AssertionError with a line for each layer that is ill and why; see `examine`, for a test suite."""
    report = examine(network, batch, loss=loss)
    if not report.healthy():
        name = type(network).__name__
        lines = [f"{name} is not healthy:", *(f"  {problem}" for problem in report.problems), f"next: {report.next}"]
        raise AssertionError("\n".join(lines))


def _random_product(made: Any) -> Tensor:
    """Return the sum of all outputs, each times a Gaussian number, over the number of inputs."""
    tensors = list(_tensors(made))
    if not tensors:
        raise ValueError("forward returns no tensor with a gradient: give loss=, from what it returns to a number")
    products = [(z * torch.randn_like(z)).sum() / max(1, len(z) if z.dim() else 1) for z in tensors]
    return torch.stack([product.double() for product in products]).sum()


def _tensors(made: Any) -> list[Tensor]:
    if isinstance(made, Tensor):
        return [made] if made.requires_grad else []
    parts = made.values() if isinstance(made, Mapping) else made if isinstance(made, (list, tuple)) else ()
    return [z for part in parts for z in _tensors(part)]
