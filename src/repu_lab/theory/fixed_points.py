"""Fixed points K = C_b + C_W g(K) of the kernel, all of them, also close pairs."""

from dataclasses import dataclass, replace

import numpy as np

from repu_lab.activations import Activation
from repu_lab.theory.angles import Array
from repu_lab.theory.closed_forms import PowerMoments, moments
from repu_lab.theory.quadrature import QuadratureMoments
from repu_lab.theory.roots import root_between

POINTS = 200
K_MIN, K_MAX = 1e-8, 1e8
# F = C_b + C_W g - K at a stationary point of F counts as 0 (two roots merged) below this times K.
TANGENT = 1e-13
RTOL = np.float64(1e-15)
NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)


@dataclass(frozen=True)
class FixedPoint:
    """A fixed point of the kernel with its susceptibilities; K is None where every K is one.

    stable: chi_parallel < 1.
    """

    K: float | None
    chi_parallel: float
    chi_perp: float
    stable: bool


def fixed_points(activation: Activation, C_W: float, C_b: float) -> list[FixedPoint]:
    """Every fixed point with K = 0 or K_MIN <= K <= K_MAX (wider as C_b and a power's own K_* need), smallest first.

    F(K) = C_b + C_W g(K) - K is monotone between the points where chi_parallel = 1, so each piece is searched for its
    one root; at such a point F = 0 is a half-stable fixed point (stable is False). ValueError for negative variances.
    """
    if not (C_W >= 0 and C_b >= 0):
        raise ValueError(f"C_W={C_W} and C_b={C_b} must be at least 0: they are variances")
    form = moments(activation)
    at_zero = _at_zero(form, C_W, C_b)
    if C_W == 0:
        return at_zero if C_b == 0 else [FixedPoint(C_b, 0.0, 0.0, True)]
    if isinstance(form, PowerMoments):
        if form.p == 1:
            chi = C_W * form.amplitude / 2
            if abs(chi - 1) < 4 * np.finfo(float).eps:
                return [FixedPoint(None, 1.0, 1.0, False)] if C_b == 0 else []
            return at_zero if C_b == 0 else [_point(form, C_b / (1 - chi), C_W)] if chi < 1 else []
        # The stationary point of F, p C_W A c_p K^(p-1) = 1, known in closed form, and the scale of everything else.
        middle = float(np.exp(-(np.log(C_W * form.p) + form.log_c) / (form.p - 1)))
        low = max(1e-300, min(C_b / 2 if C_b else middle * 1e-3, middle * 1e-3))
        high = max(middle, C_b) * max(1e3, (2 * form.p) ** (2 / abs(form.p - 1)))
        return at_zero + _roots(form, C_W, C_b, [low, middle, min(high, 1e300)])
    low = min(K_MIN, C_b / 2) if C_b else K_MIN
    grid = np.logspace(np.log10(max(low, 1e-100)), np.log10(max(K_MAX, 10 * C_b)), POINTS)
    slope = C_W * form.stein(grid)
    grid, slope = grid[np.isfinite(slope)], slope[np.isfinite(slope)]
    if np.all(np.abs(slope - 1) <= TANGENT):  # an ELU of alpha = 1e-14 is a ReLU
        return [FixedPoint(None, 1.0, 1.0, False)] if C_b == 0 else []
    # An activation that is linear around 0 keeps every small K to rounding, where signs of F and F' are noise.
    felt = int(np.argmax(np.abs(slope - 1) > TANGENT))
    grid, slope = _refined(form, C_W, grid[felt:], slope[felt:])
    turning = sign_changes(lambda K: C_W * float(form.stein(np.array([K]))[0]) - 1, grid, slope - 1)
    return at_zero + _roots(form, C_W, C_b, [float(grid[0]), *turning, float(grid[-1])])


def fixed_correlation(activation: Activation) -> tuple[float, float]:
    """Return (r_*, slope there) of the correlation map of a homogeneous activation with C_b = 0, which ignores K.

    For p != 1 the map has slope p^2 / (2p - 1) > 1 at r = 1, so every pair not parallel ends at r_*; for the ReLU
    family r_* = 1, but the identity keeps every r. ValueError for an activation that is not homogeneous.
    """
    form = moments(activation)
    if not isinstance(form, PowerMoments):
        raise ValueError(f"{activation.title} is not homogeneous: its correlation map depends on K")
    g = float(form.mean_square(np.ones(1))[0])
    if form.p == 1:
        return 1.0, 1.0

    def drift(theta: float) -> float:
        return float(form.unit_pair(np.asarray(theta))[0]) / g - np.cos(theta)

    theta = np.pi / 2 if abs(drift(np.pi / 2)) < 1e-15 else _root(drift, 1e-2, np.pi / 2)
    return float(np.cos(theta)), float(form.unit_pair(np.asarray(theta))[1]) / g


def companions_of(activation: Activation, K: float, C_W: float, C_b: float) -> tuple[FixedPoint, ...]:
    """Return the other fixed points at a critical point's (C_W, C_b), smallest first.

    Near K the map is tangent to the diagonal, F(K') = C_W int_K^K' (K' - t) g''(t) dt with F(K) = F'(K) = 0 exactly:
    integrated, since the difference C_b + C_W g(K') - K' would leave 9 digits of a companion 2 % away. Both F and F'
    are divided by their zeros at K, so that the search of `fixed_points` finds the others only.
    """
    form = moments(activation)
    share = (1 + NODES) / 2

    def slope(other: float) -> float:
        if abs(np.log(other / K)) < 0.15:
            return C_W * float(np.sum(WEIGHTS / 2 * form.second_variation(K + share * (other - K))))
        return (C_W * float(form.stein(np.array([other]))[0]) - 1) / (other - K)

    def value(other: float) -> float:
        if abs(np.log(other / K)) < 0.7:
            return C_W * float(np.sum(WEIGHTS / 2 * (1 - share) * form.second_variation(K + share * (other - K))))
        return float(C_b + C_W * form.mean_square(np.array([other]))[0] - other) / (other - K) ** 2

    grid = np.logspace(np.log10(K_MIN), np.log10(max(K_MAX, 10 * K)), POINTS)
    far = np.abs(np.log(grid / K)) >= 0.15
    slopes = (C_W * form.stein(grid) - 1) / np.where(far, grid - K, 1.0)
    slopes[~far] = [slope(other) for other in grid[~far]]
    exists = np.isfinite(slopes)
    grid, slopes = grid[exists], slopes[exists]
    ends = [float(grid[0]), *sign_changes(slope, grid, slopes), float(grid[-1])]
    roots = sign_changes(value, np.array(ends), np.array([value(end) for end in ends]))
    return (*_at_zero(form, C_W, C_b), *(_point(form, root, C_W) for root in roots))


def sign_changes(function, grid: Array, values: Array) -> list[float]:
    """Roots of a function of K > 0 by brentq in log K between neighbours of different sign."""
    roots = [float(K) for K in grid[values == 0]]
    for i in np.nonzero(values[:-1] * values[1:] < 0)[0]:
        roots.append(_root(function, grid[i], grid[i + 1]))
    return sorted(roots)


def _root(function, low: float, high: float) -> float:
    ends = np.log(low), np.log(high)
    first, last = (float(function(np.exp(x))) for x in ends)
    if first * last >= 0:  # the sign changes in the last bits only, which come out otherwise for a whole grid
        return low if abs(first) <= abs(last) else high
    return float(np.exp(root_between(lambda x: function(np.exp(x)), *ends, xtol=1e-15, rtol=RTOL)))


def _refined(form: QuadratureMoments, C_W: float, grid: Array, slope: Array) -> tuple[Array, Array]:
    """Add points where chi_parallel has an extremum near 1: two turning points may lie between two neighbours there."""
    change = np.diff(slope)
    turns = np.nonzero((change[:-1] * change[1:] < 0) & (np.abs(slope[1:-1] - 1) < 0.01))[0]
    if turns.size == 0:
        return grid, slope
    more = np.concatenate([np.geomspace(grid[i], grid[i + 2], 61)[1:-1] for i in turns])
    both = np.unique(np.concatenate((grid, more)))
    return both, C_W * form.stein(both)


def _roots(form: QuadratureMoments, C_W: float, C_b: float, ends: list[float]) -> list[FixedPoint]:
    """One root at most in each piece, since F is monotone there; both ends of a piece may be tangent points."""

    def F(K: float) -> float:
        return float(C_b + C_W * form.mean_square(np.array([K]))[0] - K)

    values = [F(K) for K in ends]
    tangent = [
        0 < i < len(ends) - 1 and abs(value) <= TANGENT * K
        for i, (K, value) in enumerate(zip(ends, values, strict=True))
    ]
    points = []
    for i in range(len(ends) - 1):
        if not (tangent[i] or tangent[i + 1]) and values[i] * values[i + 1] < 0:
            points.append(_point(form, _root(F, ends[i], ends[i + 1]), C_W))
        if tangent[i + 1]:
            perp = C_W * float(form.mean_square_slope(np.array([ends[i + 1]]))[0])
            points.append(FixedPoint(ends[i + 1], 1.0, perp, False))
    return points


def _at_zero(form: QuadratureMoments, C_W: float, C_b: float) -> list[FixedPoint]:
    if C_b > 0 or float(form.s(np.zeros(1))[0]) ** 2 * C_W > 0:
        return []
    with np.errstate(divide="ignore"):
        limit = _point(form, 0.0 if isinstance(form, PowerMoments) else 1e-40, C_W)
    return [replace(limit, K=0.0)]


def _point(form: QuadratureMoments, K: float, C_W: float) -> FixedPoint:
    K_ = np.array([K])
    parallel, perp = float(C_W * form.stein(K_)[0]), float(C_W * form.mean_square_slope(K_)[0])
    return FixedPoint(K, parallel, perp, parallel < 1)
