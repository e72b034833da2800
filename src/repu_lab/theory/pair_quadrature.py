"""E[s(u) s(v)] and E[s'(u) s'(v)] by quadrature, for (u, v) normal with covariance (K11, K12; K12, K22).

u = sqrt(K11) x and v = (K12/K11) u + sigma y with x, y independent. Without kinks the trapezoidal rule in x and y: its
error falls like exp(-2 pi d / h) when s is analytic for |Im z| < d, so that 60 x 60 points give 15 digits of tanh. Its
step is halved until the one-input averages agree with those of half the step. With kinks, or windows too wide for
that: Gauss-Legendre panels, the inner ones cut at the kinks of v, the outer ones at the kinks of u and where the mean
of v given u passes a kink.
"""

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from repu_lab.theory.angles import Array, determinant

if TYPE_CHECKING:
    from repu_lab.theory.quadrature import QuadratureMoments

# The values of u; for every point of the plane the index of its u, its v and its weight.
Points = tuple[Array, Array, Array, Array]

WINDOW = 9.5  # exp(-9.5^2/2) = 3e-20
STEPS = 0.3 / 2.0 ** np.arange(5)
GAUSSIAN_STEP = 0.7  # the density alone: 2 exp(-2 pi^2 / h^2) = 6e-18
MOST_POINTS = 300_000
MOST_CUTS = 300  # of a user's own function within the window: the points of the plane are 256 times its square
NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
DENSITY_CUTS = np.array([-WINDOW, -4.5, -2.0, 0.0, 2.0, 4.5, WINDOW])
# With 16 nodes a panel [a, 3.5a] meets poles at +-i pi/2 (tanh) with an error below 3.4^-32 = 1e-17.
STRUCTURE_CUTS = np.concatenate(([0.5, 2.0], 6.0 * 3.5 ** np.arange(24)))
KINK_CUTS = 8.0 ** -np.arange(0.0, 6.0)


_analytic_steps: "WeakKeyDictionary[QuadratureMoments, dict[int, float | None]]" = WeakKeyDictionary()


def pair_average(function: "QuadratureMoments", K11: float, K22: float, K12: float) -> tuple[float, float]:
    """Return (E[s(u) s(v)], E[s'(u) s'(v)]); relative error about 1e-13 of sqrt(g(K11) g(K22)); 0.2 to 10 ms."""
    if K22 > K11:  # the wider input outside: its window covers the conditional mean's
        K11, K22 = K22, K11
    variance = float(determinant(*map(np.asarray, (K11, K22, K12)))) / K11 if K11 > 0 else 0.0
    slope, sigma = (K12 / K11 if K11 > 0 else 0.0), float(np.sqrt(variance))
    with np.errstate(all="ignore"):
        points = None if function.kinks else _trapezoid(function, K11, slope, sigma)
        u, row, v, weights = _panels(function, K11, slope, sigma) if points is None else points
        # s(u) once for each u, not for each pair.
        value = np.sum(function.s(u)[row] * function.s(v) * weights)
        gain = np.sum(function.slope(u)[row] * function.slope(v) * weights)
        gain += _of_jumps(function, (K11, K22, K12), slope, sigma)
    return float(value), float(gain)


def _of_jumps(
    function: "QuadratureMoments", covariance: tuple[float, float, float], slope: float, sigma: float
) -> float:
    """Return what the jumps of s add to E[s'(u) s'(v)]: s' has delta functions there, of u, of v and of both."""
    jumps = getattr(function, "jumps", ())
    if not jumps or sigma == 0:
        return np.inf if jumps else 0.0
    K11, K22, K12 = covariance
    total, other, sigma_u = 0.0, K12 / K22, sigma * np.sqrt(K11 / K22)
    for c, height in jumps:
        for K, mean, spread in ((K11, slope * c, sigma), (K22, other * c, sigma_u)):
            weight = height * np.exp(-(c**2) / (2 * K)) / np.sqrt(2 * np.pi * K)
            cuts = np.concatenate((mean + spread * DENSITY_CUTS, function.cuts))
            z, weights = composite(np.sort(np.clip(cuts, mean - WINDOW * spread, mean + WINDOW * spread))[None, :])
            density = np.exp(-(((z[0] - mean) / spread) ** 2) / 2) / (np.sqrt(2 * np.pi) * spread)
            total += weight * np.sum(function.slope(z[0]) * density * weights[0])
        for d, rise in jumps:
            both = np.exp(-(c**2) / (2 * K11) - ((d - slope * c) / sigma) ** 2 / 2)
            total += height * rise * both / (2 * np.pi * np.sqrt(K11) * sigma)
    return float(total)


def _trapezoid(function: "QuadratureMoments", K11: float, slope: float, sigma: float) -> Points | None:
    sd = np.sqrt(K11)
    # One step serves an octave of widths: how near s's singularities are to the line does not depend on them.
    octave = int(np.ceil(np.log2(max(sd, sigma))))
    steps = _analytic_steps.setdefault(function, {})
    if octave not in steps:
        steps[octave] = _analytic_step(function, 2.0**octave)
    step = steps[octave]
    if step is None:
        return None
    h_x, h_y = min(GAUSSIAN_STEP, step / sd), min(GAUSSIAN_STEP, step / max(sigma, 1e-300))
    if 4 * WINDOW**2 / (h_x * h_y) > MOST_POINTS:
        return None
    x = h_x * np.arange(-np.ceil(WINDOW / h_x), np.ceil(WINDOW / h_x) + 1)
    y = h_y * np.arange(-np.ceil(WINDOW / h_y), np.ceil(WINDOW / h_y) + 1) if sigma > 0 else np.zeros(1)
    inside = x[:, None] ** 2 + y**2 <= WINDOW**2
    rows, columns = np.nonzero(inside)
    weights = np.exp(-(x[rows] ** 2 + y[columns] ** 2) / 2)
    u = sd * x
    return u, rows, slope * u[rows] + sigma * y[columns], weights / weights.sum()


def _analytic_step(function: "QuadratureMoments", sd: float) -> float | None:
    """Largest step in z at which halving no longer changes E[s^2] and E[s'^2]; None: s is not analytic enough."""
    previous = None
    for step in STEPS:
        h = min(GAUSSIAN_STEP, step / sd)
        if WINDOW / h > 2000:
            return None
        # Off the grid's symmetric position, so that an undeclared kink at 0 cannot hide on a node.
        x = h * (np.arange(-np.ceil(WINDOW / h), np.ceil(WINDOW / h) + 1) + 0.237)
        weights = np.exp(-(x**2) / 2)
        weights /= weights.sum()
        sums = np.array([np.sum(weights * f(sd * x) ** 2) for f in (function.s, function.slope)])
        if previous is not None and np.all(np.abs(sums - previous) <= 1e-14 * sums):
            return 2 * step if _is_known(function, sd, sums) else None
        previous = sums
    return None


def _is_known(function: Any, sd: float, sums: Array) -> bool:
    """Say whether a user's own function has these averages: all steps may have missed a narrow bump."""
    if not hasattr(function, "reach"):
        return True
    K = np.array([sd**2])
    known = np.array([function.mean_square(K)[0], function.mean_square_slope(K)[0]])
    return bool(np.all(np.abs(sums - known) <= 1e-11 * known))


def _panels(function: "QuadratureMoments", K11: float, slope: float, sigma: float) -> Points:
    sd = np.sqrt(K11)
    marks = np.array(function.kinks) if function.kinks else np.zeros(1)
    around = marks[:, None] + np.concatenate(([0.0], KINK_CUTS, -KINK_CUTS) if function.graded else ([0.0],))
    structure = np.unique(np.concatenate(([0.0], STRUCTURE_CUTS, -STRUCTURE_CUTS, around.ravel())))
    if hasattr(function, "reach"):  # a user's own, which knows its panels
        structure = np.unique(np.concatenate((structure, function.cuts[np.abs(function.cuts) < WINDOW * sd])))
        if structure.size > MOST_CUTS:
            unknown = np.full(1, np.nan)
            return unknown, np.zeros(1, dtype=int), unknown, unknown
    passing = ((marks[:, None] + sigma * DENSITY_CUTS) / slope).ravel() if slope != 0 else np.zeros(0)
    window = WINDOW * sd
    outer = np.unique(np.clip(np.concatenate((sd * DENSITY_CUTS, structure, passing)), -window, window))
    u, outer_weights = composite(outer[None, :])
    u, outer_weights = u[0], outer_weights[0] * np.exp(-((u[0] / sd) ** 2) / 2) / (np.sqrt(2 * np.pi) * sd)
    if sigma == 0:
        return u, np.arange(u.size), slope * u, outer_weights
    mean = (slope * u)[:, None]
    cuts = np.concatenate((mean + sigma * DENSITY_CUTS, np.broadcast_to(structure, (u.size, structure.size))), axis=1)
    v, inner_weights = composite(np.sort(np.clip(cuts, mean - WINDOW * sigma, mean + WINDOW * sigma), axis=1))
    inner_weights *= np.exp(-(((v - mean) / sigma) ** 2) / 2) / (np.sqrt(2 * np.pi) * sigma)
    weights = outer_weights[:, None] * inner_weights
    used = weights > 1e-25 * weights.max()
    return u, np.nonzero(used)[0], v[used], weights[used]


def composite(cuts: Array, nodes: Array = NODES, weights: Array = WEIGHTS) -> tuple[Array, Array]:
    """Return the nodes and weights of panels between cuts, row by row; those empty in all rows are left out."""
    half = np.diff(cuts, axis=1) / 2
    used = (half > 0).any(axis=0)
    half, left = half[:, used], cuts[:, :-1][:, used]
    z = (left + half)[:, :, None] + half[:, :, None] * nodes
    return z.reshape(len(cuts), -1), (half[:, :, None] * weights).reshape(len(cuts), -1)
