"""Where signals neither grow nor shrink: all critical points of an activation, or why there is none.

A pair (C_W, C_b) is critical at K when K = C_b + C_W g(K) and chi_parallel = chi_perp = 1. Since chi_parallel -
chi_perp = C_W E[s s''], a point at K > 0 needs E[s s''] = 0; then C_W = 1 / E[s'^2] and C_b = K - C_W g(K), which must
be >= 0. K = 0 is critical at C_W = 2 / (s'(0+)^2 + s'(0-)^2), C_b = 0 when s(0) = 0 and that slope is not 0.
Scale-invariant, K* = 0 and half-stable classes as in Roberts, Yaida, Hanin, The Principles of Deep Learning Theory,
chapter 5.
"""

from dataclasses import dataclass

import numpy as np
import torch

from repu_lab.activations import Activation
from repu_lab.theory.angles import Array
from repu_lab.theory.closed_forms import PowerMoments, moments
from repu_lab.theory.fixed_points import FixedPoint, companions_of, fixed_correlation, fixed_points, sign_changes
from repu_lab.theory.gaussian import mean_square, stein
from repu_lab.theory.kernel import per_map
from repu_lab.theory.quadrature import QuadratureMoments

__all__ = [
    "HALF_STABLE",
    "SCALE_INVARIANT",
    "STABLE_AT_0",
    "UNSTABLE_AT_0",
    "CriticalPoint",
    "Criticality",
    "FixedPoint",
    "Initialization",
    "analyse",
    "critical_initialization",
    "fixed_correlation",
    "fixed_points",
]

SCALE_INVARIANT = "scale-invariant"
STABLE_AT_0 = "K*=0 stable"
UNSTABLE_AT_0 = "K*=0 unstable"
HALF_STABLE = "half-stable"

GRID = np.logspace(-8, 8, 200)
FLAT = 1e-12  # |chi_parallel / chi_perp - 1| below this at every K of the grid is rounding: scale-invariant
ZERO = 1e-14  # below this a single ratio is rounding
SIDE = 1e-150  # where one-sided derivatives at 0 are read off: nearer than any curvature can be felt


@dataclass(frozen=True)
class CriticalPoint:
    """A critical point. K is 0 for the K*=0 classes and None where any K will do.

    coefficient: how C_W g(K) leaves the diagonal there: C_W g''/2 for half-stable (in (K - K*)^2), a_1 for K*=0 (in
    K^2), or the coefficient of K^(3/2), as `order` says. companions: the other fixed points at the same (C_W, C_b).
    """

    K: float | None
    C_W: float
    C_b: float
    universality_class: str
    coefficient: float
    order: float
    stability: str
    companions: tuple[FixedPoint, ...] = ()


@dataclass(frozen=True)
class Criticality:
    """All critical points, best first (scale-invariant or half-stable before K*=0); certificate says why there is none.

    a_1, b_1: C_W g = K + a_1 K^2, chi_perp = 1 + b_1 K near the K*=0 point; None where g has no such expansion.
    """

    points: tuple[CriticalPoint, ...]
    certificate: str | None
    a_1: float | None
    b_1: float | None


@dataclass(frozen=True)
class Initialization:
    """Variances of weights and biases (l >= 2), the mean square k1 of the first preactivation, and why these."""

    C_W: float
    C_b: float
    k1: float
    reason: str


def analyse(activation: Activation) -> Criticality:
    """Find every critical point with 1e-8 <= K <= 1e8, and K = 0. Cost 0.01 s (closed forms) to 0.3 s (quadrature).

    ValueError for an activation that cannot be averaged over any Gaussian.
    """
    form = moments(activation)
    if isinstance(form, PowerMoments):
        return _of_power(form)
    K, overlap, slope = _on_grid(activation, form)
    ratio = np.where(np.abs(overlap / slope) < ZERO, 0.0, overlap / slope)
    at_zero = _expansion_at_zero(activation, form, ratio)
    if at_zero is not None and at_zero.coefficient == 0 and np.all(np.abs(ratio) < FLAT):
        point = CriticalPoint(None, at_zero.C_W, 0.0, SCALE_INVARIANT, 0.0, 2.0, "every K is a fixed point")
        return Criticality((point,), None, 0.0, 0.0)
    points = [
        _at_root(activation, form, root) for root in sign_changes(_ratio_at(form), K[ratio != 0], ratio[ratio != 0])
    ]
    found = [point for point in points if point is not None]
    a_1 = b_1 = None
    if at_zero is not None:
        found.append(at_zero)
        if at_zero.order == 2:
            a_1, b_1 = at_zero.coefficient, _b_1(activation)
    return Criticality(
        tuple(found), None if found else _certificate(activation, form, K, overlap, len(points)), a_1, b_1
    )


def critical_initialization(activation: Activation, depth: int) -> Initialization:
    """Choose the variances for a network with `depth` hidden layers.

    In this order: a half-stable or scale-invariant point (k1 = K*, or 1 where any K will do); a stable K*=0 at k1 = 1;
    an unstable K*=0 at k1 = 0.15 / (a_1 depth) on the line chi_parallel = 1 (C_W = 1/g', C_b = k1 - g/g'); else, no
    point being critical, the C_W = k1 / g(k1) that keeps the kernel at k1 = 1. ValueError as for `analyse`, and for
    depth < 1.
    """
    per_map(1.0, 0.0, depth)
    result = analyse(activation)
    name = activation.title
    by_class = {point.universality_class: point for point in reversed(result.points)}
    if SCALE_INVARIANT in by_class:
        point = by_class[SCALE_INVARIANT]
        return Initialization(point.C_W, 0.0, 1.0, f"{name} is scale-invariant: at C_W={point.C_W:.6g} every K stays")
    if HALF_STABLE in by_class:
        point = by_class[HALF_STABLE]
        assert point.K is not None
        return Initialization(
            point.C_W, point.C_b, point.K, f"{name} is critical at K={point.K:.6g} ({point.stability})"
        )
    if STABLE_AT_0 in by_class:
        point = by_class[STABLE_AT_0]
        return Initialization(point.C_W, 0.0, 1.0, f"{name} is critical at K=0, which attracts: K decays slowly from 1")
    if UNSTABLE_AT_0 in by_class:
        return _beside_unstable_zero(activation, by_class[UNSTABLE_AT_0], name, depth)
    g = float(mean_square(activation, 1.0))
    if g == 0:
        raise ValueError(f"{name} is zero almost everywhere: no C_W keeps its kernel")
    return Initialization(1 / g, 0.0, 1.0, f"{name} has no critical point; C_W={1 / g:.6g} keeps K=1 at infinite width")


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
    # C_b ~ a_1 k1^2 cancels to a relative error of eps / (a_1 k1), far below what it needs; it is never negative.
    return Initialization(
        1 / slope,
        max(0.0, k1 - g / slope),
        k1,
        f"{name} is critical only at K=0, which repels: K={k1:.3g} on the line chi_parallel=1 for {depth} layers",
    )


def _of_power(form: PowerMoments) -> Criticality:
    if form.amplitude == 0:
        return Criticality((), "s is zero almost everywhere", None, None)
    if form.p == 1:
        C_W = 2 / form.amplitude
        point = CriticalPoint(None, C_W, 0.0, SCALE_INVARIANT, 0.0, 2.0, "every K is a fixed point")
        return Criticality((point,), None, 0.0, 0.0)
    ratio = form.p / (2 * form.p - 1)
    certificate = (
        f"s is homogeneous of degree p={form.p:g}: chi_perp/chi_parallel = p/(2p-1) = {ratio:.6g}, "
        "never 1, at every K, C_W and C_b"
    )
    return Criticality((), certificate, None, None)


def _on_grid(activation: Activation, form: QuadratureMoments) -> tuple[Array, Array, Array]:
    """Return the part of the grid on which the averages exist, with E[s s''] and E[s'^2] there."""
    overlap, slope = form.curvature_overlap(GRID), form.mean_square_slope(GRID)
    exists = np.isfinite(overlap) & np.isfinite(slope) & np.isfinite(form.mean_square(GRID))
    if not exists.any():
        mean_square(activation, GRID[0])  # says why
        raise ValueError(f"{activation.title}: its slope cannot be averaged over any Gaussian")
    exists &= slope > 0
    return GRID[exists], overlap[exists], slope[exists]


def _ratio_at(form: QuadratureMoments):
    def ratio(K: float) -> float:
        K_ = np.array([K])
        return float((form.curvature_overlap(K_) / form.mean_square_slope(K_))[0])

    return ratio


def _at_root(activation: Activation, form: QuadratureMoments, K: float) -> CriticalPoint | None:
    """Return the critical point at a root of E[s s''], or None if its C_b is negative."""
    K_ = np.array([K])
    C_W = 1 / float(form.mean_square_slope(K_)[0])
    C_b = K - C_W * float(form.mean_square(K_)[0])
    if C_b < -1e-13 * K:
        return None
    curvature = C_W * float(form.second_variation(K_)[0]) / 2
    side = "attracts from below, repels above" if curvature > 0 else "attracts from above, repels below"
    others = companions_of(activation, K, C_W, max(C_b, 0.0))
    return CriticalPoint(K, C_W, max(C_b, 0.0), HALF_STABLE, curvature, 2.0, side, others)


def _expansion_at_zero(activation: Activation, form: QuadratureMoments, ratio: Array) -> CriticalPoint | None:
    """Return The K*=0 point: needs s(0) = 0 and a slope on at least one side; its class from the next order of g.

    Where no order shows (s is linear around 0, as hardtanh is) the sign of E[s s''] at the smallest K decides.
    """
    if abs(float(form.s(np.zeros(1))[0])) > 1e-300:
        return None
    left, right = form.slope(np.array([-SIDE, SIDE]))
    squares = left**2 + right**2
    if not 1e-12 < squares < np.inf:
        return None
    C_W = float(2 / squares)
    bend_left, bend_right = form.curvature(np.array([-SIDE, SIDE]))
    # E[a z d z^2] on either side: E[z^3; z > 0] = sqrt(2/pi) K^(3/2).
    half_power = float(C_W * (right * bend_right - left * bend_left) * np.sqrt(2 / np.pi))
    if abs(half_power) > 1e-6 * C_W * squares:
        coefficient, order, law = half_power, 1.5, f"K ~ {4 / half_power**2:.4g}/l^2"
    else:
        coefficient, order = _a_1(activation), 2.0
        law = f"K ~ {1 / abs(coefficient):.4g}/l" if coefficient else "slower than any power of K"
    felt = ratio[ratio != 0]
    sign = coefficient if coefficient else (felt[0] if felt.size else 0.0)
    if sign > 0:
        return CriticalPoint(0.0, C_W, 0.0, UNSTABLE_AT_0, coefficient, order, "repels")
    return CriticalPoint(0.0, C_W, 0.0, STABLE_AT_0, coefficient, order, f"attracts, {law}")


def _taylor(activation: Activation) -> tuple[float, float, float]:
    """s', s'', s''' at 0; the third by autograd through s'', averaged over both sides of 0."""
    z = torch.tensor([-SIDE, SIDE], dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        bend = activation.second_derivative(z)
        (third,) = torch.autograd.grad(bend.sum(), z) if bend.requires_grad else (torch.zeros_like(z),)
        first = activation.derivative(z)
    return float(first.detach().mean()), float(bend.detach().mean()), float(third.mean())


def _a_1(activation: Activation) -> float:
    """(3/4)(s''/s')^2 + s'''/s' at 0."""
    first, second, third = _taylor(activation)
    return 0.75 * (second / first) ** 2 + third / first


def _b_1(activation: Activation) -> float:
    """(s''/s')^2 + s'''/s' at 0."""
    first, second, third = _taylor(activation)
    return (second / first) ** 2 + third / first


def _certificate(activation: Activation, form: QuadratureMoments, K: Array, overlap: Array, roots: int) -> str:
    parts = []
    if roots:
        parts.append("where E[s s''] vanishes, C_b = K - g/E[s'^2] is negative")
    else:
        z = np.concatenate((-np.logspace(2, -6, 400), np.logspace(-6, 2, 400)))
        with np.errstate(all="ignore"):  # an activation that has no averages may overflow at z = 100
            product = form.s(z) * form.curvature(z)
        sign = ">" if overlap[len(overlap) // 2] > 0 else "<"
        pointwise = np.all(product >= 0) if sign == ">" else np.all(product <= 0)
        why = f"since s s'' {sign}= 0 everywhere" if pointwise else f"for {K[0]:.0e} <= K <= {K[-1]:.0e}"
        parts.append(f"E[s s''] {sign} 0 {why}, so chi_parallel {sign} chi_perp at every K > 0")
    if abs(float(form.s(np.zeros(1))[0])) > 1e-300:
        parts.append("s(0) is not 0, so K = 0 is no fixed point")
    else:
        parts.append("s'(0) is 0 or infinite, so K = 0 is not critical")
    return "; ".join(parts)
