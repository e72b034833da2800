"""What could make a deep MRePU network train: five changes of an ordinary one, and every rung of one or two of them.

Ordinary is what the usual activations get: C_W = 1, C_b = 0, K^1 = 1, Gaussian weights, no skip connections, Adam at
1e-3. Theory asks for a_1 K^1 / scale^2 <= 0.15 / L: a smaller input and a larger scale of the argument are the same
network in other units at initialization, but not for the steps of Adam, whose size knows no units.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product

from repu_lab.activations import MRePU
from repu_lab.theory import analyse

Rung = tuple[str, ...]  # the names of the levers that are pulled; none for the unchanged network


@dataclass(frozen=True, kw_only=True)
class Network:
    """An MRePU network; `branch`: the C_W of all its residual branches together, None for a plain network."""

    p: int
    depth: int
    k1: float = 1.0
    scale: float = 1.0
    branch: float | None = None
    weights: str = "gaussian"
    rate: float = 1e-3

    @property
    def C_W(self) -> float:
        """The weight variance of one affine map; kernels of residual branches add, so each gets its share."""
        return 1.0 if self.branch is None else self.branch / (self.depth - 1)

    @property
    def a_1(self) -> float:
        """The rate 1 / (a_1 K) at which the critical point of this power, at scale 1, repels."""
        a_1 = analyse(MRePU(self.p)).a_1
        assert a_1 is not None
        return a_1

    @property
    def overrides(self) -> tuple[str, ...]:
        """The command line that trains it, the task left out."""
        return (
            "activation=mrepu",
            f"activation.p={self.p}",
            f"activation.scale={self.scale:.6g}",
            f"depth={self.depth}",
            "initialization=custom",
            f"initialization.c_w={self.C_W:.6g}",
            f"initialization.k1={self.k1:.6g}",
            f"initialization.weights={self.weights}",
            *(["residual=true"] if self.branch is not None else []),
            f"optimizer.lr={self.rate:g}",
        )


@dataclass(frozen=True)
class Lever:
    """One change and its free parameter: the values tried where it is pulled alone, and beside another one."""

    pull: Callable[[Network, float], Network]
    alone: Sequence[float]
    beside: Sequence[float]  # the likelier first


# input, argument: x = a_1 L K^1 / scale^2, whose first value is that of `critical`. branches: C_W of all together.
SHARES = (0.15, 0.02, 0.003)
LEVERS: Mapping[str, Lever] = {
    "input": Lever(lambda net, x: replace(net, k1=x / (net.a_1 * net.depth)), SHARES, (0.02, 0.15)),
    "argument": Lever(lambda net, x: replace(net, scale=(net.a_1 * net.depth / x) ** 0.5), SHARES, (0.02, 0.15)),
    "branches": Lever(lambda net, share: replace(net, branch=share), (1, 0.1, 0.01), (0.1, 0.01)),
    "orthogonal": Lever(lambda net, _: replace(net, weights="orthogonal"), (1,), (1,)),  # nothing to choose
    "rate": Lever(lambda net, rate: replace(net, rate=rate), (3e-4, 1e-4, 3e-5), (3e-4, 1e-4)),
}
UNCHANGED: Rung = ()
RUNGS: Sequence[Rung] = tuple(rung for changes in range(3) for rung in combinations(LEVERS, changes))
SETTINGS = 3  # of every changed rung, but where there is less to choose


def settings(rung: Rung, count: int = SETTINGS) -> list[tuple[float, ...]]:
    """Return how far the levers of a rung are pulled, each setting a value for each lever.

    `count` of them at most: a rung of two levers leaves out both second values together.
    """
    values = [LEVERS[name].alone if len(rung) == 1 else LEVERS[name].beside for name in rung]
    return list(product(*values))[:count]


def pulled(rung: Rung, setting: Sequence[float], p: int, depth: int) -> Network:
    """Return the ordinary network with the levers of a rung pulled this far."""
    network = Network(p=p, depth=depth)
    for name, value in zip(rung, setting, strict=True):
        network = LEVERS[name].pull(network, value)
    return network


def named(rung: Rung) -> str:
    """Return `argument + rate`, or `unchanged`."""
    return " + ".join(rung) or "unchanged"


def said(setting: Sequence[float]) -> str:
    """Return `0.15, 0.0003`: how far the levers are pulled."""
    return ", ".join(f"{value:g}" for value in setting)
