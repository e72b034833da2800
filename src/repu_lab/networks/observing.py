"""What a network of plain torch computes: its affine maps in the order in which they run, and the activation between.

Observed, not guessed from its type. In one pass of random inputs the output of each nn.Linear is replaced by random
numbers z^l, and the next one must get h of them, as in one of the kinds of layers that `blocks` has. So any
nesting and any forward method will do, nothing overflows, and neither the weights nor the depth matter. What comes
before the first Linear (a Flatten) or after the last (a softmax) is not judged.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from repu_lab.activations import ACTIVATIONS, Activation, Identity, as_activation
from repu_lab.blocks import PLAIN, Block, kinds
from repu_lab.networks.population import Population

BATCH = 8  # random inputs; with 8 numbers a unit no two activations agree to half of a dtype's digits by chance
SHOWN = 8  # kinds of modules that an error lists
JUDGED = (
    "theory knows nn.Linear layers with the same elementwise activation between any two that follow each other, "
    "and no weights beside theirs; any other network is measured by repu_lab.examine(network, batch)"
)


@dataclass(frozen=True)
class Perceptron:
    """A multilayer perceptron found in a module: its affine maps l = 1..L+1, s, and how they are put together."""

    linears: tuple[nn.Linear, ...]
    activation: Activation  # a copy, in float64 on the CPU
    block: Block

    @property
    def sizes(self) -> tuple[int, ...]:
        """n_0, n_1, .., n_L, n_{L+1}."""
        return (self.linears[0].in_features, *(linear.out_features for linear in self.linears))

    @property
    def dtype(self) -> torch.dtype:
        """That of the weights."""
        return self.linears[0].weight.dtype

    @torch.no_grad()
    def population(self) -> Population:
        """Return its weights as a population of one, in float64 on the CPU."""
        made = Population(self.activation, self.sizes, block=self.block, dtype=torch.float64)
        made.reset_own_()
        for linear, affine in zip(self.linears, made.affine_maps(), strict=True):
            affine.W_MIO[0].copy_(linear.weight.T)
            if linear.bias is not None:
                affine.b_M1O[0, 0].copy_(linear.bias)
        return made


def as_perceptron(network: nn.Module, activation: nn.Module | None = None) -> Perceptron:
    """Return what the network computes; ValueError, which lists what was found in it, if that is no perceptron.

    One forward pass of BATCH inputs, in the mode (train or eval) in which the network is; it is left as it was.
    `activation` need be named only if forward calls a function that is not among the lab's own.
    """
    if not isinstance(network, nn.Module):
        raise ValueError(f"{type(network).__name__}: must be a torch.nn.Module")
    parts = dict.fromkeys(_parts(network))
    linears = [part for part in parts if _is_linear(part)]
    if len(linears) < 2:
        raise _refusal(network, f"has {len(linears)} nn.Linear, and needs two or more")
    if any(is_lazy(linear.weight) or linear.weight.is_meta for linear in linears):
        raise _refusal(network, "a Linear has no weights yet: run it once, or move it from the meta device")
    dtypes = {str(linear.weight.dtype) for linear in linears}
    if len(dtypes) > 1:
        raise _refusal(network, f"the dtypes of its Linears differ: {', '.join(sorted(dtypes))}")
    maps, gaps = _run(network, list(parts), linears[0])
    if sorted(id(call.linear) for call in maps) != sorted(map(id, linears)):
        raise _refusal(network, "each nn.Linear must be called once in forward, no more and no less")
    _check_weights(network, [*linears, *(module for gap in gaps for module in gap)])
    seen = gaps[0] if activation is None else [activation]
    for candidate in seen or [Identity(), *(kind() for kind in ACTIVATIONS.values())]:
        try:
            s = _by_itself(network, candidate)
        except ValueError:
            if len(seen) == 1:
                raise
            continue  # one of several modules that is no activation: a normalization
        for block in kinds(len(maps) - 1):
            if _first_difference(maps, s, block) is None:
                return Perceptron(tuple(call.linear for call in maps), s, block)
    crowded = next((gap for gap in gaps if len(gap) > 1), None)
    if crowded and activation is None:
        drops = any(part.training and isinstance(part, nn.Dropout) for part in crowded)
        cure = " (after network.eval() Dropout does nothing)" if drops else ""
        raise _refusal(
            network, f"between two Linears that follow each other lie {', '.join(map(_name, crowded))}{cure}"
        )
    if not seen:
        cure = "name it, as initialize_(network, RePU(2)), or call a module, nn.ReLU()"
        what = "what lies between its Linears is not one of the lab's activations, applied to their outputs"
        raise _refusal(network, f"{what}: {cure}")
    s = _by_itself(network, seen[0])
    l = _first_difference(maps, s, PLAIN)
    name = _name(getattr(s, "module", s))
    raise _refusal(network, f"Linear {l} feeds the next one with something else than {name} of its output")


@dataclass(frozen=True)
class _Call:
    """A Linear, what it got, and the random numbers z^l that it gave instead of its output; float64 on the CPU."""

    linear: nn.Linear
    got: Tensor
    z: Tensor


def _is_linear(module: nn.Module) -> TypeGuard[nn.Linear]:
    """Whether it computes b + W x; a subclass with a forward of its own may scale or mask W."""
    return isinstance(module, nn.Linear) and type(module).forward in (nn.Linear.forward, nn.LazyLinear.forward)


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    """Every Linear, and the largest modules that hold none."""
    if _is_linear(module):
        yield module
    elif isinstance(module, (nn.ModuleList, nn.ModuleDict)) or any(map(_is_linear, module.modules())):
        for child in module.children():
            yield from _parts(child)
    else:
        yield module


@torch.no_grad()
def _run(network: nn.Module, parts: list[nn.Module], first: nn.Linear) -> tuple[list[_Call], list[list[nn.Module]]]:
    """Return the Linears in the order in which they ran, and what else ran between any two of them."""
    random = torch.Generator().manual_seed(0)
    maps: list[_Call] = []
    gaps: list[list[nn.Module]] = [[]]

    def inputs(linear: nn.Linear) -> Tensor:
        x_BI = torch.randn(BATCH, linear.in_features, generator=random, dtype=torch.float64)
        return x_BI.to(linear.weight.dtype).to(linear.weight.device)

    def fit(part: nn.Module, _: tuple[Tensor, ...]) -> Tensor | None:
        # The Linear that runs first need not be the one that was registered first, whose fan-in x has.
        return inputs(part) if not maps and _is_linear(part) else None

    def note(part: nn.Module, got: tuple[Tensor, ...], gave: Tensor) -> Tensor | None:
        if not _is_linear(part):
            gaps[-1] += [] if isinstance(part, nn.Identity) else [part]
            return None
        z = torch.randn(gave.shape, generator=random, dtype=torch.float64).to(gave.dtype)
        maps.append(_Call(part, got[0].cpu().double().clone(), z.double()))
        gaps.append([])
        return z.to(gave.device, copy=True)  # what follows may act in place

    before = [(buffer, buffer.clone()) for buffer in network.buffers()]
    hooks = [part.register_forward_hook(note) for part in parts]
    hooks += [part.register_forward_pre_hook(fit) for part in parts]
    x_BI = inputs(first)
    try:
        network(x_BI)
    except Exception as error:  # whatever the network's own code raises
        raise _refusal(network, f"cannot be run on an input of shape {tuple(x_BI.shape)} ({error})") from error
    finally:
        for hook in hooks:
            hook.remove()
        for buffer, value in before:  # running averages
            buffer.copy_(value)
    return maps, gaps[1:-1]


def _first_difference(maps: list[_Call], s: Activation, block: Block) -> int | None:
    """Return the first l whose successor does not get h(z^l), or None."""
    z, sizes = maps[0].z, [call.linear.out_features for call in maps]
    for l, (_, following) in enumerate(pairwise(maps), 1):
        with torch.no_grad():
            wanted = block.after(s(block.seen(z)))
        half_of_the_digits = torch.finfo(following.linear.weight.dtype).eps ** 0.5
        close = {"rtol": half_of_the_digits, "atol": half_of_the_digits}
        if wanted.shape != following.got.shape or not torch.allclose(wanted, following.got, **close):
            return l
        z = block.joined(z, following.z, block.skips(l, [0, *sizes]))
    return None


def _by_itself(network: nn.Module, activation: nn.Module) -> Activation:
    """Return a copy that theory can average: float64, on the CPU, without gradients, leaving its argument as it is."""
    own = copy.deepcopy(activation).to(device="cpu", dtype=torch.float64).requires_grad_(False)
    for module in own.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # pyright: ignore[reportArgumentType]
    try:
        return as_activation(own)
    except ValueError as error:
        raise _refusal(network, str(error)) from error


def _check_weights(network: nn.Module, known: list[nn.Module]) -> None:
    """Raise ValueError if there are weights that belong neither to a Linear nor to what runs between two of them."""
    own = {id(weight) for module in known for weight in module.parameters(recurse=not _is_linear(module))}
    for name, weight in network.named_parameters():
        if id(weight) not in own:
            raise _refusal(network, f"{name} is a weight of no nn.Linear and of no activation")


def _refusal(network: nn.Module, cause: str) -> ValueError:
    leaves = [m for m in network.modules() if not _is_linear(m) and next(m.children(), None) is None]
    names = list(dict.fromkeys(map(_name, leaves)))
    listed = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    beside = f"; beside Linears it has {listed}" if listed else ""
    text = f"{type(network).__name__}: {cause}{beside}; {JUDGED}"
    return ValueError(" ".join(text.split()))  # one line, whatever an error or a module says of itself


def _name(module: nn.Module) -> str:
    return f"{type(module).__name__}({module.extra_repr()})"
