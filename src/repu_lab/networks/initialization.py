"""Initialization rules: from a name to the variances (C_W, C_b) of every affine map, and the drawing of weights.

W^l_ij has mean 0 and variance C_W^l / fan_in, b^l_i has variance C_b^l, l = 1..L+1. The first map has a C_W of its own,
so that an input with |x|^2/n_0 = 1 gives K^1 = C_b^1 + C_W^1 = k1 whatever the other maps need. That is also the mean
square of W's entries where these are not independent (`Rule.weights`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from repu_lab.activations import Activation
from repu_lab.blocks import PLAIN, Block
from repu_lab.networks.population import Population
from repu_lab.theory import critical_initialization, mean_square
from repu_lab.theory.closed_forms import moments
from repu_lab.theory.law import WEIGHTS

SAME_WEIGHTS = 1e-9  # rounding: Var[s] of an odd s is E[s^2]
BLOW_UP_TIME = 10 / 3  # k1 = .3 for RePU_2 in branches of a^2 = 1/L: K ends at .43 in a wide network


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Variances of the affine maps l = 1..L+1, and what the weights are: one of theory's WEIGHTS, or 'uniform'."""

    name: str
    C_W: tuple[float, ...]
    C_b: tuple[float, ...]
    weights: str = "gaussian"
    note: str = ""

    def __post_init__(self) -> None:
        """Check the weights."""
        if self.weights not in (*WEIGHTS, "uniform"):
            raise ValueError(f"weights={self.weights!r}: must be one of {', '.join(WEIGHTS)}")

    @property
    def k1(self) -> float:
        """K^1 of an input with |x|^2/n_0 = 1."""
        return self.C_b[0] + self.C_W[0]


def he(sizes: Sequence[int]) -> Rule:
    """C_W = 2, C_b = 0 (He et al. 2015, fan-in): keeps K for ReLU."""
    return uniform_depth("he", sizes, C_W=2.0, C_b=0.0, k1=2.0)


def lecun(sizes: Sequence[int]) -> Rule:
    """C_W = 1, C_b = 0 (LeCun et al. 1998): keeps K for a linear network."""
    return uniform_depth("lecun", sizes, C_W=1.0, C_b=0.0, k1=1.0)


def xavier(sizes: Sequence[int]) -> Rule:
    """Var W = 2 / (fan_in + fan_out), C_b = 0 (Glorot, Bengio 2010): C_W = 1 between layers of one width."""
    maps = list(pairwise(sizes))
    return Rule(name="xavier", C_W=tuple(2 * i / (i + o) for i, o in maps), C_b=(0.0,) * len(maps))


def pytorch(sizes: Sequence[int]) -> Rule:
    """Return torch.nn.Linear's default: W and b uniform on +-1/sqrt(fan_in), so C_W = 1/3, C_b = 1/(3 fan_in)."""
    maps = list(pairwise(sizes))
    return Rule(name="pytorch", C_W=(1 / 3,) * len(maps), C_b=tuple(1 / (3 * i) for i, _ in maps), weights="uniform")


def uniform_depth(
    name: str, sizes: Sequence[int], *, C_W: float, C_b: float, k1: float, note: str = "", weights: str = "gaussian"
) -> Rule:
    """C_W and C_b the same for l = 2..L+1; the first map gives K^1 = k1 >= C_b."""
    if not (C_W >= 0 and C_b >= 0 and k1 >= C_b):
        raise ValueError(f"C_W={C_W}, C_b={C_b}, k1={k1}: need C_W >= 0, C_b >= 0 and k1 >= C_b")
    maps = len(sizes) - 1
    return Rule(name=name, C_W=(k1 - C_b, *[C_W] * (maps - 1)), C_b=(C_b,) * maps, note=note, weights=weights)


def critical(
    activation: Activation,
    sizes: Sequence[int],
    block: Block = PLAIN,
    *,
    biases: bool = True,
    weights: str = "gaussian",
) -> Rule:
    """Return the variances with which signals keep their size in this kind of layer, see the theory's `choosing`.

    Where h does not see the size of z, C_W = 1 / E[h^2] at K = 1. A frozen scale is that of other inputs: of a power
    in branches K grows to infinity for inputs BLOW_UP_TIME times as large. Branches are together as one plain layer;
    those of a fixed or learned size a without normalization too, and K of a power of degree p > 1, which grows to
    infinity at the time t = K^(1-p) / (p - 1) of sum a^2, starts where that is BLOW_UP_TIME. Without
    biases C_b is 0, and C_W = k1 / g(k1) keeps K instead; centred weights, which see the variance of s
    alone, get C_W E[s^2] / Var[s]. ValueError as `critical_initialization`.
    """
    depth = len(sizes) - 2
    time, p, bare, block = block.time(depth), activation.degree, block.bare, block.behind(weights)
    if block.normal:
        form, one = moments(activation), np.ones(1)
        kept = float(block.leaves(form, one, form.mean_square(one))[0][0])
        if not kept > 0:
            raise ValueError(f"{activation.title} gives no signal that a normalised layer could pass on")
        k1, note = 1.0, f"a normalised layer gives E[h^2] = {kept:.4g} whatever K is"
        if block.frozen and time and p is not None and p > 1:
            k1 = time / ((1 - BLOW_UP_TIME ** (1 - p)) ** (-1 / (p - 1)) - 1)
            note += f", but an input {BLOW_UP_TIME:.2g} times as large as others blows up from k1={k1:.3g}"
        note += f": C_W={1 / kept:.4g} keeps K=1"
        return uniform_depth("critical", sizes, C_W=1 / kept, C_b=0.0, k1=k1, note=note, weights=weights)
    if not bare:
        raise ValueError(f"{block.before} before the activation, {block.after} behind it: nobody knows their variances")
    start = critical_initialization(activation, 1 if time else depth)
    if start.C_b and not biases:
        C_W = start.k1 / float(mean_square(activation, start.k1))
        why = f"; without the biases of variance C_b={start.C_b:.3g} that it needs C_W={C_W:.4g} keeps K"
        start = replace(start, C_W=C_W, C_b=0.0, reason=start.reason + why)
    if weights == "centred":
        K = np.array([start.k1])
        C_W = start.C_W * float((mean_square(activation, K) / moments(activation).variance(K))[0])
        if not math.isfinite(C_W):
            raise ValueError(f"{activation.title} has no variance that centred weights could pass on")
        if abs(C_W / start.C_W - 1) > SAME_WEIGHTS:
            why = f"; centred weights see s less its mean: C_W={C_W:.4g} in place of {start.C_W:.4g}"
            start = replace(start, reason=start.reason + why)
        start = replace(start, C_W=C_W)
    k1, note = start.k1, start.reason
    if time and not block.divided:
        note += f"; the branches, of a^2 = {time / (depth - 1):.3g} each, add what {time:.3g} plain layers do"
        if p is not None and p > 1:
            k1 = (BLOW_UP_TIME * (p - 1) * time) ** (-1 / (p - 1))
            note += f", and K would be infinite after {BLOW_UP_TIME:.2g} times as many from k1={k1:.3g}"
    rule = uniform_depth("critical", sizes, C_W=start.C_W, C_b=start.C_b, k1=k1, note=note, weights=weights)
    return in_branches(rule) if block.divided else rule


def in_branches(rule: Rule) -> Rule:
    """Return the rule for a residual network: C_W and C_b of the L - 1 branches divided by their number.

    Kernels add, K^{l+1} = K^l + C_b + C_W g(K^l). So all branches together add what one plain layer gives.
    """
    branches = max(1, len(rule.C_W) - 2)
    C_W, C_b = ((v[0], *(value / branches for value in v[1:-1]), *v[-1:]) for v in (rule.C_W, rule.C_b))
    note = f"{rule.note}; residual: C_W and C_b of a branch are a share 1/{branches} of that"
    return replace(rule, C_W=C_W, C_b=C_b, note=note)


def drawn_as(rule: Rule, weights: str) -> Rule:
    """Return the rule with weights of this kind; ValueError for uniform ones, which can be no other."""
    if rule.weights == "uniform" and weights != "gaussian":
        raise ValueError(
            f"weights={weights}: {rule.name} draws every weight uniformly on its own; leave weights out, or take "
            f"{', '.join(name for name in ('critical', *RULES, 'custom') if name != rule.name)}"
        )
    return rule if rule.weights == "uniform" else replace(rule, weights=weights)


RULES = {"he": he, "lecun": lecun, "xavier": xavier, "pytorch": pytorch}


def draw_(population: Population, rule: Rule | Sequence[Rule], seeds: Sequence[int]) -> None:
    """Draw the weights in place: member i from a generator of its own seeded with seeds[i], under its own rule.

    The draws are made on the CPU in float64 and then cast, so a member starts the same in any population, on any device
    and, up to rounding, in any dtype. Orthogonal and centred weights are made of the normal numbers that would be the
    gaussian ones. Parameters of the activation start at the module's own values.
    """
    rules = [rule] * population.members if isinstance(rule, Rule) else list(rule)
    if not len(rules) == len(seeds) == population.members:
        raise ValueError(f"{len(rules)} rules and {len(seeds)} seeds for {population.members} members")
    with torch.no_grad():
        for row_P, member_rule, seed in zip(population.theta, rules, seeds, strict=True):
            row_P.copy_(_draw(population, member_rule, seed))
    population.reset_own_()


def _draw(population: Population, rule: Rule, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    count = population.drawn
    if rule.weights == "uniform":
        unit_P = (2 * torch.rand(count, generator=generator, dtype=torch.float64) - 1) * math.sqrt(3)
    else:
        unit_P = torch.randn(count, generator=generator, dtype=torch.float64)
    unit_P = torch.cat([unit_P, torch.ones(population.theta.shape[1] - count, dtype=torch.float64)])
    for l, (W_1IO, b_11O, *_) in enumerate(population.affine_maps(unit_P.unsqueeze(0))):
        shape_(W_1IO[0], rule.weights, first=l == 0)
        W_1IO.mul_(math.sqrt(rule.C_W[l] / W_1IO.shape[1]))
        b_11O.mul_(math.sqrt(rule.C_b[l]))
    return unit_P


def shape_(W_IO: Tensor, weights: str, *, first: bool) -> None:
    """Make independent normal numbers in place into weights of this kind, of mean square 1 over all draws.

    Orthogonal: Q of the QR of the longer side, the signs of R's diagonal taken out (Haar, Mezzadri 2007), times the
    root of the longer side. Centred: each unit's weights less their mean, but for the first map: inputs are data, of
    which K^1 would lose what their mean holds, and one number all of it.
    """
    I, O = W_IO.shape
    if weights == "orthogonal":
        Q, R = torch.linalg.qr(W_IO if I >= O else W_IO.T)
        Q *= math.sqrt(max(I, O)) * R.diagonal().sign()
        W_IO.copy_(Q if I >= O else Q.T)
    elif weights == "centred" and not first:
        if I == 1:
            raise ValueError("centred weights of one unit are 0: the width must be at least 2")
        W_IO.sub_(W_IO.mean(0)).mul_(math.sqrt(I / (I - 1)))
