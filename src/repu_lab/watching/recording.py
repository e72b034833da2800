"""What every layer of any torch network gives and gets back in one forward and one backward pass, by hooks.

A layer is the output of a module with weights of its own (Linear, Conv, norm, Embedding) or of attention and recurrent
modules as a whole, in the order in which they run; what makes weights (weight_norm) is none. Shapes: B inputs, the
first axis of an output; N units, its last axis, or the second of convolutions and batch norms.
"""

import math
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList, is_parametrized

INPUTS = 32  # of a batch, whose K, gradient and correlation are measured; counts are of all
WHOLE = (nn.MultiheadAttention, nn.RNNBase)  # what computes with weights of parts that are not called as modules
CHANNELS = ("Conv", "BatchNorm", "InstanceNorm", "GroupNorm")  # their units are the second axis


@dataclass
class Layer:
    """One layer in one pass, on its device; `gradient_PN` and `alive_N` are there after the backward pass.

    z_PN, gradient_PN: up to 32 inputs, all that a layer has of each in one row, float32 or wider. nan, plus_inf,
    minus_inf: counts of all entries. alive_N: which units get a gradient from any input of the batch.
    """

    name: str
    kind: str
    entries: int
    dtype: torch.dtype
    trains: bool  # it has weights that want a gradient
    z_PN: Tensor
    nan: int = 0
    plus_inf: int = 0
    minus_inf: int = 0
    gradient_PN: Tensor | None = None
    alive_N: Tensor | None = None


@dataclass
class Recording:
    """The layers of one pass in the order in which they ran."""

    layers: list[Layer] = field(default_factory=list)
    complete: bool = False  # the forward pass has ended
    calls: Counter[str] = field(default_factory=Counter)


def layers_of(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules whose outputs are layers, with their names."""
    inside: set[nn.Module] = set()
    for name, module in network.named_modules():
        if module in inside:
            continue
        makes_weights = isinstance(module, ParametrizationList)
        if makes_weights or isinstance(module, WHOLE):
            inside |= set(module.modules())
        weights = is_parametrized(module) or next(module.parameters(recurse=False), None) is not None
        if not makes_weights and (weights or isinstance(module, WHOLE)):
            yield name or type(module).__name__, module


@contextmanager
def recorded(network: nn.Module) -> Iterator[Recording]:
    """Record the first forward pass with gradients within the context, and its backward pass."""
    recording = Recording()
    handles = attach(network, recording)
    try:
        yield recording
    finally:
        for handle in handles:
            handle.remove()


def check_module(network: object) -> None:
    """Raise ValueError unless it is a module, whose layers can be looked at."""
    if not isinstance(network, nn.Module):
        raise ValueError(f"{type(network).__name__}: must be a torch.nn.Module")


def attach(network: nn.Module, recording: Recording) -> list[Any]:
    """Put the hooks of a recording on a network; return the handles that take them off."""
    running = False

    def begins(*_: Any) -> None:
        nonlocal running
        running = not recording.complete and torch.is_grad_enabled()

    def ends(*_: Any) -> None:
        nonlocal running
        recording.complete |= running
        running = False

    def note(name: str, module: nn.Module, _: Any, output: Any) -> None:
        z = _first_tensor(output)
        if running and z is not None:
            recording.calls[name] += 1
            count = recording.calls[name]
            layer = _layer(f"{name}#{count}" if count > 1 else name, module, z.detach())
            recording.layers.append(layer)
            if z.requires_grad:
                z.register_hook(partial(_receive, layer, _unit_axis(module, z)))

    # Where something is compiled, hooks run as they are: dynamo would warn of each number that they look at.
    plain = torch.compiler.disable(note) if "torch._dynamo" in sys.modules else note
    handles: list[Any] = [module.register_forward_hook(partial(plain, name)) for name, module in layers_of(network)]
    handles.append(network.register_forward_pre_hook(begins))
    handles.append(network.register_forward_hook(ends, always_call=True))
    return handles


def _layer(name: str, module: nn.Module, z: Tensor) -> Layer:
    trains = any(weight.requires_grad for weight in module.parameters())
    layer = Layer(name, type(module).__name__, z.numel(), z.dtype, trains, _rows(z))
    if not math.isfinite(z.sum().item()):  # seldom: counting takes six times as long
        kinds = (z.isnan(), z.isposinf(), z.isneginf())
        layer.nan, layer.plus_inf, layer.minus_inf = (int(kind.sum()) for kind in kinds)
    return layer


def _receive(layer: Layer, units: int, gradient: Tensor) -> None:
    if layer.gradient_PN is None:
        # Of the loss of one input, if the loss is a mean over them.
        layer.gradient_PN = _rows(gradient) * (len(gradient) if gradient.dim() else 1)
        others = [axis for axis in range(gradient.dim()) if axis != units % gradient.dim()]
        layer.alive_N = (gradient != 0).any(dim=others) if others else gradient != 0


def _rows(z: Tensor) -> Tensor:
    z = z[:INPUTS] if z.dim() else z[None]
    return z.reshape(len(z), -1).to(torch.promote_types(z.dtype, torch.float32), copy=True)  # the next may act in place


def _unit_axis(module: nn.Module, z: Tensor) -> int:
    name = type(module).__name__.removeprefix("Lazy").removeprefix("Parametrized")
    return 1 if name.startswith(CHANNELS) and z.dim() > 1 else -1


def _first_tensor(output: Any) -> Tensor | None:
    """Return the first floating tensor of an output, as attention's and recurrent modules' is the first of several."""
    if isinstance(output, Tensor):
        return output if output.is_floating_point() and output.numel() else None
    parts = output.values() if isinstance(output, dict) else output if isinstance(output, (list, tuple)) else ()
    return next((tensor for part in parts if (tensor := _first_tensor(part)) is not None), None)
