"""Which variances a network of a given depth should start with.

The candidates are the critical points of an activation, those that are critical but for a typed constant, and the
weights that keep K = 1. They are tried in the order of how well their class carries signals, and the first one is taken
that theory forecasts to keep the kernel through the depth asked: at first order, (chi_parallel)^L and (chi_perp)^L, and
where s grows faster than linearly, so that one network in many runs away, by the exact chain of finite networks.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from repu_lab.activations import Activation, Tailored
from repu_lab.theory.angles import Array
from repu_lab.theory.chain import chain
from repu_lab.theory.closed_forms import moments
from repu_lab.theory.criticality import (
    GRID,
    HALF_STABLE,
    NEAR,
    SCALE_INVARIANT,
    STABLE_AT_0,
    UNSTABLE_AT_0,
    CriticalPoint,
    analyse,
)
from repu_lab.theory.gaussian import mean_square, mean_square_slope, stein
from repu_lab.theory.law import Law, check_depth
from repu_lab.theory.power_law import leading_power

CLASSES = (SCALE_INVARIANT, HALF_STABLE, STABLE_AT_0, UNSTABLE_AT_0, NEAR)
# The networks asked where an infinitely wide one cannot tell: their number and width, the factor within which each K^l
# must stay, and the share of them that must stay there.
NETWORKS, WIDTH, DECADES, SHARE = 32, 128, 2.0, 0.9
# A factor e^this of K or of the gradient (mean squares) over the depth is what trained networks still bear.
EXPONENT = math.log(100.0)
LARGEST_K = 100.0  # outputs of a few sqrt(K) start with ten times the loss of a network that knows nothing
NEGLIGIBLE = 0.1  # of |ln chi| times the depth: such a point is as good as critical
# Where K* = 0 attracts k1 = 1, unless the first layer alone would lose 4/5 of it; tanh loses 3/5, the cubic spline 3/4.
LEFT = 0.2
ROUNDING = 1e-6  # of a share of 1, which activations that are linear around 0 keep


@dataclass(frozen=True)
class Initialization:
    """Variances of weights and biases (l >= 2), the mean square k1 of the first preactivation, and why these."""

    C_W: float
    C_b: float
    k1: float
    reason: str


def critical_initialization(activation: Activation, depth: int) -> Initialization:
    """Choose the variances for a network with `depth` hidden layers: the first of these that is forecast to keep K.

    A scale-invariant point, at k1 = 1; a half-stable one, k1 = K*; a stable K*=0, at k1 = 1 or on the activation's own
    scale if that is smaller; an unstable K*=0 at k1 = 0.15 / (a_1 depth) on the line chi_parallel = 1 (C_W = 1/g',
    C_b = k1 - g/g'); the K at which chi_parallel and chi_perp are nearest to 1; the C_W = 1/g(1) that keeps the kernel
    at k1 = 1. If none is, the one that keeps it best. Of a tailored activation C_W = 1, C_b = 0, k1 = 1.
    ValueError as for `analyse`, and for depth < 1.
    """
    check_depth(depth)
    if isinstance(activation, Tailored) and activation.known:
        parallel, perp = (f"{activation.known[name]:.4g}" for name in ("chi_parallel", "chi_perp"))
        made = f"{activation.title}, is made for K=1: chi_parallel={parallel}, chi_perp={perp} there"
        return Initialization(1.0, 0.0, 1.0, made)
    best, most, passed = None, -math.inf, ""
    for start, safe in _candidates(activation, depth):
        kept = 1.0 if safe else _kept(activation, start, depth)
        if kept > most:
            best, most = start, kept
        if kept >= SHARE:
            break
        passed += f"; not at K={start.k1:.4g}, which {depth} layers lose"
    assert best is not None
    return replace(best, reason=best.reason + passed) if most >= SHARE else best


def _candidates(activation: Activation, depth: int) -> Iterator[tuple[Initialization, bool]]:
    """Yield every candidate, best first, and whether theory knows without asking that K is kept.

    Critical points by their class, those included whose distance does not add up to anything within this depth; then
    the other near ones, those of huge K and the weights that keep K = 1, by their distance.
    """
    result, name = analyse(activation), activation.title
    points = (*result.points, *result.near)
    others: list[tuple[float, Initialization, bool]] = []
    for point in sorted(points, key=lambda point: CLASSES.index(point.universality_class)):
        start = _at(activation, point, name, depth)
        if point.distance:
            off = f"; nearly so: |ln chi| reaches {point.distance:.2g} a layer"
            start = replace(start, reason=start.reason + off)
        # Half-stable points may run away, and near ones must be near enough; the rest start where they cannot.
        sure = point.universality_class not in (HALF_STABLE, NEAR) and point.distance * depth <= EXPONENT
        if point.distance * depth <= NEGLIGIBLE and start.k1 <= LARGEST_K:
            yield start, sure
        else:
            others.append((max(point.distance, math.log(start.k1 / LARGEST_K)), start, sure))
    g = float(mean_square(activation, 1.0))
    if g == 0:
        raise ValueError(f"{name} is zero almost everywhere: no C_W keeps its kernel")
    what = "keeps no critical point" if result.points else "has no critical point"
    what += f" ({result.certificate})" if moments(activation).rough else ""
    start = Initialization(1 / g, 0.0, 1.0, f"{name} {what}; C_W={1 / g:.4g} keeps K=1 at infinite width")
    if points:
        exponent = max(abs(x) for x in _exponents(activation, start))
        others.append((exponent, replace(start, reason=f"{start.reason}, |ln chi| = {exponent:.2g} a layer"), False))
    else:
        others.append((0.0, start, True))  # there is no other
    for _, start, sure in sorted(others, key=lambda other: other[0]):
        yield start, sure


def _at(activation: Activation, point: CriticalPoint, name: str, depth: int) -> Initialization:
    kind, C_W, C_b = point.universality_class, point.C_W, point.C_b
    if kind == SCALE_INVARIANT:
        return Initialization(C_W, 0.0, 1.0, f"{name} is scale-invariant: at C_W={C_W:.4g} every K stays")
    if kind == STABLE_AT_0:
        k1 = _own_scale(activation, point)
        return Initialization(C_W, 0.0, k1, f"{name} is critical at K=0, which attracts: K decays slowly from {k1:.3g}")
    if kind == UNSTABLE_AT_0:
        return _beside_unstable_zero(activation, point, name, depth)
    assert point.K is not None
    return Initialization(C_W, C_b, point.K, f"{name} is critical at K={point.K:.4g} ({point.stability})")


def _exponents(activation: Activation, start: Initialization) -> tuple[float, float]:
    """Return ln chi_parallel and ln chi_perp at k1."""
    slopes = float(stein(activation, start.k1)), float(mean_square_slope(activation, start.k1))
    parallel, perp = (math.log(start.C_W * slope) if slope > 0 else -math.inf for slope in slopes)
    return parallel, perp


def _kept(activation: Activation, start: Initialization, depth: int) -> float:
    """Return the share of networks that keep K, or what falls short at first order as a number below 0."""
    parallel, perp = _exponents(activation, start)
    exponent = depth * max(parallel, abs(perp))
    if not exponent <= EXPONENT:
        return -exponent
    if leading_power(activation) <= 1:
        return 1.0  # a layer moves log K by a bounded step
    log10_K = chain(Law.of(activation, start.C_W, start.C_b, start.k1, depth, WIDTH), NETWORKS)
    return float((np.abs(log10_K - math.log10(start.k1)).max(1) <= DECADES).mean())


def _own_scale(activation: Activation, point: CriticalPoint) -> float:
    """Return k1 beside a stable K*=0: 1, or the largest K from which the first layer leaves enough and none too much.

    Where K is pushed away from 0 again further out (a power does), the K that is drawn to 0 most.
    """
    form = moments(activation)
    at_0 = float(form.s(np.zeros(1))[0]) ** 2

    def left(K: Array) -> Array:
        return point.C_W * (form.mean_square(K) - at_0) / K

    if LEFT <= left(np.ones(1))[0] <= 1 + ROUNDING:
        return 1.0
    # Where a term of K^order is 1 % of K the activation is still linear.
    linear = (0.01 / abs(point.coefficient)) ** (1 / (point.order - 1)) if point.coefficient else 1.0
    K = np.geomspace(min(1e-8, linear), 1.0, 200)
    share = left(K)
    end = int(((share >= LEFT) & (share <= 1 + ROUNDING)).argmin())
    last = int(share[:end].argmin()) if share[end] > 1 and end else end - 1
    return float(K[max(last, 0)])


def _beside_unstable_zero(activation: Activation, point: CriticalPoint, name: str, depth: int) -> Initialization:
    if point.order == 2 and point.coefficient:
        k1 = 0.15 / (point.coefficient * depth)
    elif point.coefficient:
        # K' = K + k K^(3/2) blows up after 2/(k sqrt K) layers, K + a_1 K^2 after 1/(a_1 K): the same share of them.
        k1 = (0.3 / (point.coefficient * depth)) ** 2
    else:
        # 0.15 / (a_1 depth) is where chi_parallel = 1 + 2 a_1 K has risen to 1 + 0.3 / depth.
        excess = point.C_W * stein(activation, GRID) - 1 - 0.3 / depth
        k1 = float(GRID[np.argmax(excess > 0)])
    slope, g = float(stein(activation, k1)), float(mean_square(activation, k1))
    # C_b ~ a_1 k1^2 cancels to a relative error of eps / (a_1 k1), far below what it needs. It is never negative, but
    # where s(0) is not quite 0: there C_W keeps K without it.
    C_W = min(1 / slope, k1 / g) if point.distance else 1 / slope
    return Initialization(
        C_W,
        max(0.0, k1 - g / slope),
        k1,
        f"{name} is critical only at K=0, which repels: for {depth} layers it starts at K={k1:.3g} (chi_parallel=1)",
    )
