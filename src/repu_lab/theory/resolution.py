"""Panels for a user's own activation, and where it is not smooth: what its averages must know.

Cells of the line are halved until s, s' and s'' are polynomials on each: the interpolant through 24 nodes meets them at
the 48 nodes of its halves, and s at 2,048 points of every first cell, so that a bump of width 0.004 is seen within
|z| < 40. Cells that do not become smooth however small they are have a kink in them, which becomes a cut. Next to a
power such as |z|^0.7, polynomials never fit: there nodes are drawn towards the kink (`QuadratureMoments.rule`).
"""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.polynomial.legendre import legvander

from repu_lab.theory.angles import Array
from repu_lab.theory.pair_quadrature import NODES, WEIGHTS

SCAN, SCANNED = 2048, 200.0  # points a cell, and up to where
KINK_LEVELS, MOST_LEVELS = 5, 60  # halvings
MOST_PANELS = 8192
NARROWEST = 1e-9  # relative to 1 + |z|
SINGULAR_LEVEL = 10  # halvings after which a cell beside a kink is taken for a power
# Of the interpolants of s, s', s'', against their largest value in the cell: the quadrature's own error is about the
# square of it. And against their largest value from 0 to there, which is what rounding leaves of s = log(1 + exp z).
TOLERANCE = np.array([[1e-9], [1e-8], [1e-7]])
ROUNDING = np.array([[1e-13], [1e-9], [1e-8]])
FAR = 1e4  # beyond it sin(50 z) is as good as noise to a search for kinks
MOST_KINKS = 400  # cuts that are looked at one by one
STEEPEST = -0.495  # |s'| ~ |z - c|^e has a mean square for e > -1/2
JUMP_STEPS, JUMP_SEEN = (1e-7, 1e-9), 1e-6


@dataclass(frozen=True)
class Resolution:
    """Cuts between panels; kinks; jumps of s (place, height); kinks beside which s is a power; how far all this holds.

    steep: the kink at which E[s'^2] is infinite although s is continuous, None if there is none.
    """

    cuts: Array
    kinks: tuple[float, ...]
    jumps: tuple[tuple[float, float], ...]
    singular: tuple[float, ...]
    steep: float | None
    reach: float


def resolve(functions: Any, base: Array, kinks: tuple[float, ...], find: Any) -> Resolution:
    """Return the panels of an activation; about 5 ms for a smooth one.

    functions: s, s' and s'' on arrays; base: the first cuts; kinks: those that are known; find: a function of cells'
    left and right ends that returns the kinks in them.
    """
    declared = kinks
    # A few halvings show where kinks are; then these are cuts, and what is not smooth yet is merely narrow.
    for levels in (KINK_LEVELS, MOST_LEVELS, MOST_LEVELS, MOST_LEVELS):
        edges = np.unique(np.concatenate((base, kinks)))
        cuts, singular, suspects, reach = _refine(functions, edges, set(kinks), levels)
        suspects = [cell for cell in suspects if abs(cell[0]) < min(reach, FAR)]
        fresh = set(find(*np.array(suspects).T) if suspects else ()) - set(kinks)
        if not fresh and (levels == MOST_LEVELS or not suspects):
            break
        kinks = tuple(sorted({*kinks, *fresh}))
    # A kink on a cut divides no cell.
    places = cuts[np.abs(cuts) < reach] if cuts.size <= MOST_KINKS else np.array([c for c in kinks if abs(c) < reach])
    height, *bends = (_jumps(function, places) for function in functions)
    bent = np.any([height, *bends], axis=0)
    every = sorted({*declared, *singular, *places[bent].tolist()})
    # Without those that are others, found twice with other roundings.
    kinks = tuple(c for i, c in enumerate(every) if i == 0 or c - every[i - 1] > 1e-8 * (1 + abs(c)))
    heights = dict(zip(places.tolist(), height.tolist(), strict=True))
    jumps = tuple((c, heights[c]) for c in kinks if heights.get(c))
    steep = next((c for c in sorted(singular) if c not in dict(jumps) and _exponent(functions[1], c) < STEEPEST), None)
    middles = [(a + b) / 2 for a, b in pairwise(cuts) if a in singular and b in singular]
    cuts = np.unique(np.concatenate((cuts, middles)))
    return Resolution(cuts, kinks, jumps, tuple(sorted(singular)), steep, reach)


def _refine(functions: Any, edges: Array, kinks: set[float], levels: int) -> tuple[Array, set[float], list, float]:
    """Return the cuts, the kinks with powers, the cells that did not become smooth, and the end of what did."""
    left, right = edges[:-1], edges[1:]
    values = _values(functions, left, right, NODES)
    scan = values[0] @ _to_scan(SCAN).T
    seen = np.maximum(np.abs(left), np.abs(right)) <= SCANNED
    scan[seen] = functions[0](_points(left[seen], right[seen], (np.arange(SCAN) + 0.5) / SCAN * 2 - 1))
    far = np.argsort(np.maximum(np.abs(left), np.abs(right)), kind="stable")
    floor = np.empty(values.shape[:2])
    with np.errstate(all="ignore"):
        sizes = np.nan_to_num(np.abs(values).max(axis=2), nan=0.0, posinf=0.0)
    floor[:, far] = ROUNDING * np.maximum.accumulate(sizes[:, far], axis=1)
    cuts, singular, suspects, reach, done = [edges], set(), [], np.inf, np.zeros(0)
    marks, level = np.array(sorted(kinks)), 0
    with np.errstate(all="ignore"):
        while left.size:
            halves = _values(functions, left, right, HALVES)
            error = np.abs(values @ TO_HALVES.T - halves).max(axis=2)
            size = np.abs(halves).max(axis=2)
            good = (error <= TOLERANCE * size + floor).all(axis=0)
            if scan.shape[1] >= 2 * NODES.size:
                missed = np.abs(values[0] @ _to_scan(scan.shape[1]).T - scan).max(axis=1)
                good &= missed <= TOLERANCE[0] * np.maximum(size[0], np.abs(scan).max(axis=1)) + floor[0]
            good |= ~np.isfinite(error).all(axis=0)
            beside = np.isin(left, marks), np.isin(right, marks)
            powers = ~good & (beside[0] | beside[1]) & (level >= SINGULAR_LEVEL)
            singular |= {*left[powers & beside[0]].tolist(), *right[powers & beside[1]].tolist()}
            narrow = ~good & ~powers & ((right - left <= NARROWEST * (1 + np.abs(left))) | (level == levels))
            suspects += list(zip(left[narrow].tolist(), right[narrow].tolist(), strict=True))
            split = ~(good | powers | narrow)
            near = np.minimum(np.abs(left), np.abs(right))
            done = np.append(done, near[~split])
            if done.size + 2 * np.count_nonzero(split) > MOST_PANELS:
                # The innermost half goes on, with room for its own halves.
                reach = float(np.sort(np.concatenate((done, near[split], near[split])))[MOST_PANELS // 2])
                split, done = split & (near < reach), done[done < reach]
            left, right, middle = left[split], right[split], ((left + right) / 2)[split]
            cuts.append(middle)
            left, right = (np.stack(pair, axis=1).ravel() for pair in ((left, middle), (middle, right)))
            values = halves[:, split].reshape(3, -1, NODES.size)
            scan = scan[split].reshape(len(left), max(1, scan.shape[1] // 2)) if scan.shape[1] > 1 else scan[:0]
            floor, level = np.repeat(floor[:, split], 2, axis=1), level + 1
    made = np.concatenate(cuts[1:])
    return np.unique(np.concatenate((edges, made[np.abs(made) <= reach]))), singular, suspects, reach


def _points(left: Array, right: Array, at: Array) -> Array:
    half = (right - left)[:, None] / 2
    return left[:, None] + half * (1 + at)


def _values(functions: Any, left: Array, right: Array, at: Array) -> Array:
    z = _points(left, right, at)
    return np.stack([function(z) for function in functions])


def _interpolation(points: Array) -> Array:
    """Return the matrix from values at NODES to those of their interpolant, by its Legendre coefficients."""
    degrees = np.arange(NODES.size)
    return (legvander(points, degrees[-1]) * (degrees + 0.5)) @ (legvander(NODES, degrees[-1]) * WEIGHTS[:, None]).T


HALVES = np.concatenate(((NODES - 1) / 2, (NODES + 1) / 2))
TO_HALVES = _interpolation(HALVES)


@cache
def _to_scan(count: int) -> Array:
    return _interpolation((np.arange(count) + 0.5) / count * 2 - 1)


def _jumps(function: Any, places: Array) -> Array:
    """Return f(c+) - f(c-), 0 where it shrinks with the distance, as that of a root does, or is rounding."""
    heights, left, right = [], np.zeros(0), np.zeros(0)
    for size in JUMP_STEPS:
        step = size * (1 + np.abs(places))
        left_2, left, right, right_2 = function(places + np.array([[-2.0], [-1.0], [1.0], [2.0]]) * step)
        heights.append((2 * right - right_2) - (2 * left - left_2))
    first, second = heights
    # Beside the size of f there, that around: f may be 0 at its kink.
    around = function(places + np.array([[-0.1], [0.1]]) * (1 + np.abs(places)))
    seen = JUMP_SEEN * (np.abs(left) + np.abs(right) + np.nan_to_num(np.abs(around), posinf=0).sum(axis=0) / 10)
    return np.where((np.abs(second) > seen) & (np.abs(first - second) <= 0.1 * np.abs(second)), second, 0.0)


def _exponent(slope: Any, c: float) -> float:
    """Return the smaller e of |s'| ~ |z - c|^e on the two sides; 0 where s' is bounded."""
    step = 1e-9 * (1 + abs(c))
    at = np.abs(slope(c + step * np.array([-16.0, -1.0, 1.0, 16.0])))
    with np.errstate(all="ignore"):
        both = np.log(np.array([at[0] / at[1], at[3] / at[2]])) / np.log(16)
    return float(np.nanmin(np.append(both, 0.0)))
