"""What could make a deep MRePU network train: four changes of an ordinary one.

Ordinary is what the usual activations get: C_W = 1, C_b = 0, K^1 = 1, Gaussian weights, no skip connections, and a rate
of Adam that is chosen, as with every change. Theory asks for a_1 K^1 / scale^2 <= 0.15 / L: a smaller input and a
larger scale of the argument are the same network in other units at initialization, but not for the steps of Adam, whose
size knows no units.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from repu_lab.activations import MRePU
from repu_lab.claims.trials import Overrides, Setting
from repu_lab.theory import analyse


@dataclass(frozen=True, kw_only=True)
class MRePUNetwork:
    """An MRePU network to be trained; `branch`: the C_W of all residual branches together, None for a plain one."""

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
    def overrides(self) -> Overrides:
        """The command line that trains it, the task left out."""
        activation = ("activation=mrepu", f"activation.p={self.p}", f"activation.scale={self.scale:.6g}")
        variances = (f"initialization.c_w={self.C_W:.6g}", f"initialization.k1={self.k1:.6g}")
        weights = ("initialization=custom", *variances, f"initialization.weights={self.weights}")
        skips = () if self.branch is None else ("residual=true",)
        return (*activation, f"depth={self.depth}", *weights, *skips, f"optimizer.lr={self.rate:g}")


@dataclass(frozen=True)
class Lever:
    """One change, and how far it may be pulled."""

    pull: Callable[[MRePUNetwork, float], MRePUNetwork]
    values: Sequence[float]


UNCHANGED = "unchanged"
# input, argument: x = a_1 L K^1 / scale^2, whose first value is that of `critical`. branches: C_W of all together.
SHARES = (0.15, 0.02, 0.003)
LEVERS: Mapping[str, Lever] = {
    UNCHANGED: Lever(lambda net, _: net, (1,)),
    "input": Lever(lambda net, x: replace(net, k1=x / (net.a_1 * net.depth)), SHARES),
    "argument": Lever(lambda net, x: replace(net, scale=(net.a_1 * net.depth / x) ** 0.5), SHARES),
    "branches": Lever(lambda net, share: replace(net, branch=share), (1, 0.1, 0.01)),
    "orthogonal": Lever(lambda net, _: replace(net, weights="orthogonal"), (1,)),  # nothing to choose
}
RATES = (1e-3, 3e-4, 1e-4)


def settings(lever: str, rates: Sequence[float]) -> list[Setting]:
    """Return what is tried of a lever: how far it is pulled, and the rate."""
    return list(product(LEVERS[lever].values, rates))


def pulled(lever: str, setting: Setting, p: int, depth: int) -> MRePUNetwork:
    """Return the ordinary network with a lever pulled this far, at this rate."""
    value, rate = setting
    return LEVERS[lever].pull(MRePUNetwork(p=p, depth=depth, rate=rate), value)


def in_words(values: Sequence[float]) -> str:
    """Return `0.15, 0.0003`."""
    return ", ".join(f"{value:g}" for value in values)
