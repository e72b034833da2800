"""Functions to be learnt, each with its derivatives, in closed form: on [-1, 1]^I, float64.

Shapes: B points, I coordinates.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement as multisets

import torch
from torch import Tensor

# A polynomial of more terms takes longer to evaluate than networks take to learn it.
MAX_TERMS = 2000
RUNGE = 25.0
BUMP_RADIUS = 0.75
# The hills a exp(-(9u - c)^2 / h - (9v - d)^2 / k) of Franke's function on [0, 1]^2: a, c, h, d, k. The second one
# falls with v as exp(-(9v + 1) / 10).
FRANKE = ((0.75, 2, 4, 2, 4), (0.75, -1, 49, -1, None), (0.5, 7, 4, 3, 4), (-0.2, 4, 1, 7, 1))


@dataclass(frozen=True)
class Target:
    """A function of `inputs` coordinates: value (B, I) -> (B,), gradient (B, I) -> (B, I)."""

    inputs: int
    value: Callable[[Tensor], Tensor]
    gradient: Callable[[Tensor], Tensor]


def _columns(*columns: Tensor) -> Tensor:
    return torch.stack(columns, dim=1)


def _zero(v: Tensor) -> Tensor:
    return torch.zeros_like(v[:, 0])


MONOMIALS: dict[str, Target] = {
    "x": Target(3, lambda v: v[:, 0], lambda v: _columns(_zero(v) + 1, _zero(v), _zero(v))),
    "x2": Target(3, lambda v: v[:, 0] ** 2, lambda v: _columns(2 * v[:, 0], _zero(v), _zero(v))),
    "xy": Target(3, lambda v: v[:, 0] * v[:, 1], lambda v: _columns(v[:, 1], v[:, 0], _zero(v))),
    "xyz": Target(3, lambda v: v.prod(1), lambda v: _columns(v[:, 1] * v[:, 2], v[:, 0] * v[:, 2], v[:, 0] * v[:, 1])),
}


def legendre(degree: int) -> Target:
    """P_d(x), by (k + 1) P_{k+1} = (2 k + 1) x P_k - k P_{k-1}: orthogonal to every polynomial of lower degree."""
    return Target(1, lambda v: legendre_table(v[:, 0], degree)[0][-1], lambda v: legendre_table(v, degree)[1][-1])


def legendre_table(x: Tensor, degree: int) -> tuple[list[Tensor], list[Tensor]]:
    """Return P_0 .. P_degree at x, and their derivatives."""
    values, slopes = [torch.ones_like(x), x], [torch.zeros_like(x), torch.ones_like(x)]
    for k in range(1, degree):
        values.append(((2 * k + 1) * x * values[k] - k * values[k - 1]) / (k + 1))
        slopes.append(slopes[k - 1] + (2 * k + 1) * values[k])
    return values[: degree + 1], slopes[: degree + 1]


def chebyshev(degree: int) -> Target:
    """T_d(x) = cos(d arccos x), by T_{k+1} = 2 x T_k - T_{k-1}; T_d' = d U_{d-1}, by the same recurrence."""

    def recurrence(x: Tensor, second: Tensor, count: int) -> Tensor:
        before, now = torch.ones_like(x), second
        for _ in range(count):
            before, now = now, 2 * x * now - before
        return before

    def value(v: Tensor) -> Tensor:
        return recurrence(v[:, 0], v[:, 0], degree)

    return Target(1, value, lambda v: degree * recurrence(v, 2 * v, degree - 1))


def random_polynomial(degree: int, dimension: int, seed: int) -> Target:
    """Sum of c_a P_{a_1}(x_1) .. P_{a_n}(x_n) over 1 <= |a| <= degree, c_a independent and normal, drawn from the seed.

    P_k is the Legendre polynomial of mean square 1 on [-1, 1], so every term contributes alike; their number is
    C(degree + dimension, degree) - 1. ValueError if it exceeds MAX_TERMS.
    """
    terms = math.comb(degree + dimension, degree) - 1
    if terms > MAX_TERMS:
        raise ValueError(
            f"degree={degree} in dimension={dimension}: has {terms} terms, valid are up to {MAX_TERMS}; lower either"
        )
    powers = [Counter(drawn) for k in range(1, degree + 1) for drawn in multisets(range(dimension), k)]
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(terms, generator=generator, dtype=torch.float64) / math.sqrt(terms)

    def factors(v: Tensor) -> tuple[Tensor, Tensor]:
        norms = torch.sqrt(2 * torch.arange(degree + 1, dtype=v.dtype) + 1)[:, None, None]
        values, slopes = legendre_table(v, degree)
        return norms * torch.stack(values), norms * torch.stack(slopes)

    def value(v: Tensor) -> Tensor:
        P, _ = factors(v)
        return sum((c * _product(P, a) for c, a in zip(weights, powers, strict=True)), torch.zeros_like(v[:, 0]))

    def gradient(v: Tensor) -> Tensor:
        P, slope = factors(v)
        total = torch.zeros_like(v)
        for c, a in zip(weights, powers, strict=True):
            for i, power in a.items():
                total[:, i] += c * slope[power, :, i] * _product(P, a, without=i)
        return total

    return Target(dimension, value, gradient)


def _product(P: Tensor, powers: Mapping[int, int], without: int = -1) -> Tensor:
    """Return the product of P_k(x_i) over the coordinates i with their powers k, but for one."""
    result = torch.ones_like(P[0, :, 0])
    for i, k in powers.items():
        if i != without:
            result = result * P[k, :, i]
    return result


def sine(k: float) -> Target:
    """sin(k x): k / pi periods on [-1, 1]."""
    return Target(1, lambda v: torch.sin(k * v[:, 0]), lambda v: k * torch.cos(k * v))


def runge() -> Target:
    """1 / (1 + 25 x^2), whose interpolating polynomials in equidistant points diverge (Runge 1901)."""
    return Target(1, lambda v: 1 / (1 + RUNGE * v[:, 0] ** 2), lambda v: -2 * RUNGE * v / (1 + RUNGE * v**2) ** 2)


def abs3() -> Target:
    """|x|^3: twice differentiable, the second derivative has a kink at 0."""
    return Target(1, lambda v: v[:, 0].abs() ** 3, lambda v: 3 * v * v.abs())


def bump() -> Target:
    """exp(1 - 1 / (1 - (x/r)^2)) for |x| < r = 3/4, else 0: smooth, not analytic, constant outside."""

    def parts(v: Tensor) -> tuple[Tensor, Tensor]:
        u = v / BUMP_RADIUS
        room = torch.where(u.abs() < 1, 1 - u**2, 1.0)
        return torch.where(u.abs() < 1, torch.exp(1 - 1 / room), 0.0), -2 * u / (BUMP_RADIUS * room**2)

    return Target(1, lambda v: parts(v[:, 0])[0], lambda v: torch.mul(*parts(v)))


def franke() -> Target:
    """Franke's function of (x + 1)/2, (y + 1)/2: two hills, a smaller one and a dip (Franke 1979)."""

    def hills(v: Tensor) -> Tensor:
        """Value, derivative by x and derivative by y of their sum, (B, 3)."""
        u, w = (4.5 * (v + 1)).unbind(1)
        total = v.new_zeros(len(v), 3)
        for a, c, h, d, k in FRANKE:
            down, slope = ((w - d) / 10, 0.1) if k is None else ((w - d) ** 2 / k, 2 * (w - d) / k)
            hill = a * torch.exp(-((u - c) ** 2) / h - down)
            total += _columns(hill, -4.5 * 2 * (u - c) / h * hill, -4.5 * slope * hill)
        return total

    return Target(2, lambda v: hills(v)[:, 0], lambda v: hills(v)[:, 1:])
