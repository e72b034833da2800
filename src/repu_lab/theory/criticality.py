"""Where signals neither grow nor shrink: all critical points of an activation, or why there is none.

A pair (C_W, C_b) is critical at K when K = C_b + C_W g(K) and chi_parallel = chi_perp = 1. Since chi_parallel -
chi_perp = C_W E[s s''], a point at K > 0 needs E[s s''] = 0; then C_W = 1 / E[s'^2] and C_b = K - C_W g(K), which must
be >= 0. K = 0 is critical at C_W = 2 / (s'(0+)^2 + s'(0-)^2), C_b = 0 when s(0) = 0 and that slope is not 0.
Scale-invariant, K* = 0 and half-stable classes as in Roberts, Yaida, Hanin, The Principles of Deep Learning Theory,
chapter 5.

Nothing turns on rounding: where a typed constant moves an activation off its critical point, the point is kept among
the near ones, with its distance from criticality.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from repu_lab.activations import Activation
from repu_lab.theory.angles import Array
from repu_lab.theory.closed_forms import PowerMoments, moments
from repu_lab.theory.fixed_points import FixedPoint, companions_of, sign_changes
from repu_lab.theory.gaussian import mean_square
from repu_lab.theory.quadrature import QuadratureMoments
from repu_lab.theory.roots import minimum_between

SCALE_INVARIANT = "scale-invariant"
STABLE_AT_0 = "K*=0 stable"
UNSTABLE_AT_0 = "K*=0 unstable"
HALF_STABLE = "half-stable"
NEAR = "near-critical"

GRID = np.logspace(-8, 8, 200)
FLAT = 1e-12  # |chi_parallel / chi_perp - 1| below this at every K of the grid is rounding: scale-invariant
NEARLY_FLAT = 1e-3  # below this at every K an activation is nearly scale-invariant: ReLU + 1e-9, an ELU of alpha = 1e-3
ZERO = 1e-14  # below this a single ratio is rounding
# |ln chi| a layer up to which a point is near: what is off by 5 % a layer is off by a factor of 3 after 20 layers.
NEAR_DISTANCE = 0.05
SIDE = 1e-150  # where one-sided derivatives at 0 are read off: nearer than any curvature can be felt


@dataclass(frozen=True)
class CriticalPoint:
    """A critical point. K is 0 for the K*=0 classes and None where any K will do.

    coefficient: how C_W g(K) leaves the diagonal there: C_W g''/2 for half-stable (in (K - K*)^2), a_1 for K*=0 (in
    K^2), or the coefficient of K^(3/2), as `order` says. companions: the other fixed points at the same (C_W, C_b).
    distance: 0 for a critical point; for a near one the larger of |ln chi_parallel| and |ln chi_perp| there, a layer.
    """

    K: float | None
    C_W: float
    C_b: float
    universality_class: str
    coefficient: float
    order: float
    stability: str
    companions: tuple[FixedPoint, ...] = ()
    distance: float = 0.0


@dataclass(frozen=True)
class Criticality:
    """All critical points, best first (scale-invariant or half-stable before K*=0); certificate says why there is none.

    a_1, b_1: C_W g = K + a_1 K^2, chi_perp = 1 + b_1 K near the K*=0 point; None where g has no such expansion.
    near: points that are critical but for a distance of at most NEAR_DISTANCE, nearest kind first.
    """

    points: tuple[CriticalPoint, ...]
    certificate: str | None
    a_1: float | None
    b_1: float | None
    near: tuple[CriticalPoint, ...] = ()


def analyse(activation: Activation) -> Criticality:
    """Find every critical point with 1e-8 <= K <= 1e8, and K = 0, or why there is none.

    A point is a K with variances C_W, C_b that keep it and make chi_parallel = chi_perp = 1, so that sizes, differences
    and gradients stay. `points` have them with their class, `near` has those that are nearly critical, `certificate`
    says why there is none. Costs 0.01 s (closed forms) to 0.3 s (quadrature).
    ValueError for an activation that cannot be averaged over any Gaussian.
    """
    form = moments(activation)
    if isinstance(form, PowerMoments):
        return _of_power(form)
    if form.rough is not None:
        why = f"{form.rough}, so E[s'^2] and chi_perp are infinite: small differences grow without bound"
        return Criticality((), why, None, None)
    K, g, overlap, slope = _on_grid(activation, form)
    ratio = np.where(np.abs(overlap / slope) < ZERO, 0.0, overlap / slope)
    at_zero = _expansion_at_zero(activation, form, K, ratio, g)
    if at_zero is not None and at_zero.distance > NEAR_DISTANCE:
        at_zero = None
    flat = bool(np.all(np.abs(ratio) < FLAT))  # chi_parallel = chi_perp at every K
    bent = float(np.ptp(np.log(g / K)))  # 0 where one C_W keeps every K
    if flat and at_zero is not None and at_zero.distance == 0 and bent < FLAT:
        return _scale_invariant(at_zero.C_W)

    def ratio_at(K: float) -> float:
        K_ = np.array([K])
        return float((form.curvature_overlap(K_) / form.mean_square_slope(K_))[0])

    # Where it is flat all K are critical, each with its own variances: relu(z - 1/2), Softshrink.
    roots = [1.0] if flat else sign_changes(ratio_at, K[ratio != 0], ratio[ratio != 0])
    points = [_at_root(activation, form, root) for root in roots]
    if at_zero is not None:
        points.append(at_zero)
    exact = [point for point in points if point.distance == 0]
    a_1 = b_1 = None
    if at_zero is not None and at_zero.order == 2:
        a_1, b_1 = _expansion(activation)
    near = [point for point in points if 0 < point.distance <= NEAR_DISTANCE]
    off = max(float(np.abs(ratio).max()), bent)
    if off < NEARLY_FLAT:
        C_W = 1 / float(form.mean_square(np.ones(1))[0])
        near.insert(0, CriticalPoint(None, C_W, 0.0, SCALE_INVARIANT, 0.0, 2.0, "every K nearly stays", distance=off))
    near += _between(form, K, np.stack((g, slope + overlap, slope)), (*exact, *near))
    certificate = None if exact else _certificate(form, K, overlap, len(roots))
    return Criticality(tuple(exact), certificate, a_1, b_1, tuple(near))


def kept_at(K: float | Array, averages: Array) -> tuple[Array, Array, Array]:
    """Return (C_W, C_b, distance): the variances that keep K and are nearest to critical, from g, g' and E[s'^2] at K.

    chi_parallel and chi_perp lie on both sides of 1 by the same factor, where C_b >= 0 allows it.
    """
    g, stein, slope = averages
    with np.errstate(all="ignore"):
        C_W = np.minimum(K / g, 1 / np.sqrt(stein * slope))
        distance = np.maximum(np.abs(np.log(C_W * stein)), np.abs(np.log(C_W * slope)))
    return C_W, np.maximum(K - C_W * g, 0.0), distance


def _of_power(form: PowerMoments) -> Criticality:
    if form.amplitude == 0:
        return Criticality((), "s is zero almost everywhere", None, None)
    if form.p == 1:
        return _scale_invariant(2 / form.amplitude)
    ratio = form.p / (2 * form.p - 1)
    certificate = (
        f"s is homogeneous of degree p={form.p:g}: chi_perp/chi_parallel = p/(2p-1) = {ratio:.4g}, "
        "never 1, at every K, C_W and C_b"
    )
    return Criticality((), certificate, None, None)


def _scale_invariant(C_W: float) -> Criticality:
    point = CriticalPoint(None, C_W, 0.0, SCALE_INVARIANT, 0.0, 2.0, "every K is a fixed point")
    return Criticality((point,), None, 0.0, 0.0)


def _on_grid(activation: Activation, form: QuadratureMoments) -> tuple[Array, Array, Array, Array]:
    """Return the part of the grid on which the averages exist, with g, E[s s''] and E[s'^2] there."""
    g, overlap, slope = form.mean_square(GRID), form.curvature_overlap(GRID), form.mean_square_slope(GRID)
    exists = np.isfinite(overlap) & np.isfinite(slope) & np.isfinite(g)
    if not exists.any():
        mean_square(activation, GRID[[0, -1]])  # says why
        if (why := form.unknown(1.0)) is not None:
            raise ValueError(f"{activation.title} {why}")
        raise ValueError(f"{activation.title}: its slope, or s s'', cannot be averaged over any Gaussian")
    exists &= slope > 0
    return GRID[exists], g[exists], overlap[exists], slope[exists]


def _at_root(activation: Activation, form: QuadratureMoments, K: float) -> CriticalPoint:
    """Return the critical point at a root of E[s s'']: a near one if it would need a negative C_b."""
    K_ = np.array([K])
    C_W = 1 / float(form.mean_square_slope(K_)[0])
    g = float(form.mean_square(K_)[0])
    C_b = K - C_W * g
    curvature = C_W * float(form.second_variation(K_)[0]) / 2
    side = "attracts from below, repels above" if curvature > 0 else "attracts from above, repels below"
    if C_b < -1e-13 * K:
        off = float(np.log(C_W * g / K))
        return CriticalPoint(K, K / g, 0.0, NEAR, curvature, 2.0, f"C_b={C_b:.2g} would make it critical", (), off)
    others = companions_of(activation, K, C_W, max(C_b, 0.0))
    return CriticalPoint(K, C_W, max(C_b, 0.0), HALF_STABLE, curvature, 2.0, side, others)


def _between(form: QuadratureMoments, K: Array, averages: Array, known: Sequence[CriticalPoint]) -> list[CriticalPoint]:
    """Return the points at which the distance from criticality has a minimum that no point known explains."""
    _, _, distance = kept_at(K, averages)
    # Where the distance is rounding (around K = 0, or for ever) its minima are noise.
    felt = np.minimum(distance[:-2], distance[2:]) > 1e-9
    lowest = (distance[1:-1] < distance[:-2]) & (distance[1:-1] <= distance[2:]) & (distance[1:-1] <= NEAR_DISTANCE)
    nearest = []
    for i in np.nonzero(felt & lowest)[0] + 1:
        # A constant s(0) that moves K = 0 away makes a minimum of its own: s(0)^2 is what keeps it from 0.
        shifted = float(form.s(np.zeros(1))[0]) ** 2 > 0.1 * distance[i] * averages[0, i]
        if any(
            K[i - 1] <= point.K <= K[i + 1] if point.K else shifted and point.distance < 4 * distance[i]
            for point in known
        ):
            continue

        def at(x: float) -> tuple[Array, Array, Array]:
            K_ = np.exp([x])
            return kept_at(K_, np.stack((form.mean_square(K_), form.stein(K_), form.mean_square_slope(K_))))

        x = minimum_between(lambda x: float(at(x)[2][0]), *np.log(K[[i - 1, i + 1]]))
        C_W, C_b, off = (float(value[0]) for value in at(x))
        where = "chi_parallel and chi_perp are nearest to 1 here"
        nearest.append(CriticalPoint(float(np.exp(x)), C_W, C_b, NEAR, np.nan, 2.0, where, (), off))
    return sorted(nearest, key=lambda point: point.distance)


def _expansion_at_zero(
    activation: Activation, form: QuadratureMoments, K: Array, ratio: Array, g: Array
) -> CriticalPoint | None:
    """Return the K*=0 point: needs s(0) = 0 and a slope on at least one side; its class from the next order of g.

    Where no order shows (s is linear around 0, as hardtanh is) the sign of E[s s''], or of C_W g - K, at the smallest K
    that feels it decides. With s(0) not 0 but small, a near one: as far from K = 0 as a bias of variance C_W s(0)^2
    would keep it.
    """
    at_0 = abs(float(form.s(np.zeros(1))[0]))
    left, right = form.slope(np.array([-SIDE, SIDE]))
    squares = left**2 + right**2
    if not 1e-12 < squares < np.inf:
        return None
    C_W = float(2 / squares)
    bend_left, bend_right = form.curvature(np.array([-SIDE, SIDE]))
    # E[a z d z^2] on either side: E[z^3; z > 0] = sqrt(2/pi) K^(3/2).
    half_power = float(C_W * (right * bend_right - left * bend_left) * np.sqrt(2 / np.pi))
    # Below K = (half_power / a_1)^2 = 1e-8 no network of 10^8 layers gets: there a jump of s'' decides nothing.
    a_1, _ = _expansion(activation)
    if abs(half_power) > max(1e-6 * C_W * squares, 1e-4 * abs(a_1)):
        coefficient, order, law = half_power, 1.5, f"K ~ {4 / half_power**2:.4g}/l^2"
    else:
        coefficient, order = a_1, 2.0
        law = f"K ~ {1 / abs(coefficient):.4g}/l" if coefficient else "slower than any power of K"
    departure = ratio if ratio.any() else np.where(np.abs(C_W * g / K - 1) > FLAT, C_W * g / K - 1, 0.0)
    felt = departure[departure != 0]
    sign = coefficient if coefficient else (felt[0] if felt.size else 0.0)
    distance = 0.0
    if at_0 > 1e-300:
        # The bias C_W s(0)^2 and c K^q are of one size there; ln chi is about their share of K.
        distance = 2 * float(abs(coefficient) ** (1 / order) * (C_W * at_0**2) ** (1 - 1 / order))
        distance = max(distance, at_0 * float(np.abs([bend_left, bend_right]).max()) * C_W)
        if not coefficient:  # linear around 0: the bias's share of the smallest K at which that ends
            distance = C_W * at_0**2 / float(K[departure != 0][0]) if felt.size else 0.0
    if sign > 0:
        return CriticalPoint(0.0, C_W, 0.0, UNSTABLE_AT_0, coefficient, order, "repels", distance=distance)
    return CriticalPoint(0.0, C_W, 0.0, STABLE_AT_0, coefficient, order, f"attracts, {law}", distance=distance)


def _expansion(activation: Activation) -> tuple[float, float]:
    """Return a_1 and b_1 by s', s'', s''' on both sides of 0, the third by autograd through s''.

    C_W = 1 / <s'^2>, a_1 = C_W <3/4 s''^2 + s' s'''>, b_1 = C_W <s''^2 + s' s'''>, with <> the mean of the two sides.
    """
    z = torch.tensor([-SIDE, SIDE], dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        bend = activation.second_derivative(z)
        (third,) = torch.autograd.grad(bend.sum(), z) if bend.requires_grad else (torch.zeros_like(z),)
        first = activation.derivative(z)
    parts = np.stack([part.numpy(force=True) for part in (first, bend, third)])
    with np.errstate(all="ignore"):
        first, second, third = parts / np.abs(parts[0]).max()
        rest, squares = first * third, (first**2).sum()
        return float((0.75 * second**2 + rest).sum() / squares), float((second**2 + rest).sum() / squares)


def _certificate(form: QuadratureMoments, K: Array, overlap: Array, roots: int) -> str:
    if roots:
        elsewhere = "where E[s s''] vanishes, C_b = K - g/E[s'^2] is negative"
    else:
        z = np.concatenate((-np.logspace(2, -6, 400), np.logspace(-6, 2, 400)))
        with np.errstate(all="ignore"):  # an activation that has no averages may overflow at z = 100
            product = form.s(z) * form.curvature(z)
        sign = ">" if overlap[len(overlap) // 2] > 0 else "<"
        pointwise = np.all(product >= 0) if sign == ">" else np.all(product <= 0)
        why = f"since s s'' {sign}= 0 everywhere" if pointwise else f"for {K[0]:.0e} <= K <= {K[-1]:.0e}"
        elsewhere = f"E[s s''] {sign} 0 {why}, so chi_parallel {sign} chi_perp at every K > 0"
    if abs(float(form.s(np.zeros(1))[0])) > 1e-300:
        return f"{elsewhere}; s(0) is not 0, so K = 0 is no fixed point"
    return f"{elsewhere}; s'(0) is 0 or infinite, so K = 0 is not critical"
