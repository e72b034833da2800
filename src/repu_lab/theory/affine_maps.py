"""The maps Q and C of s_hat(u) = gamma (s(alpha u + beta) + delta), and the four numbers at which they are as asked.

Q(q) = E s_hat(sqrt(q) u)^2 and C(c) = E s_hat(u) s_hat(v), u and v normal of variance 1 and correlation c: Q'(1) is
chi_parallel and C'(1) chi_perp at K = 1, C_W = 1. gamma and delta follow from Q(1) = 1 and C(0) = 0, or from Q(1) = 1
and C'(1) = 1; alpha from C'(1), or from C''(1); beta from Q'(1) = 1.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from repu_lab.activations import Activation
from repu_lab.theory.angles import Array
from repu_lab.theory.closed_forms import by_quadrature
from repu_lab.theory.quadrature import QuadratureMoments
from repu_lab.theory.roots import minimum_between, root_between

ALPHAS = np.geomspace(1e-5, 30, 30)
SHIFTS = np.geomspace(1e-3, 12, 30)  # of beta, in units of the farthest kink
BESIDE = np.geomspace(1e-3, 1, 10)  # the same of the MOST_KINKS kinks nearest to 0
MOST_KINKS = 4
FAR = np.geomspace(12, 1e5, 60)[1:]  # where alpha is 1: RePU_2 is shifted by 350 at depth 100,000
MET = 1e-9  # what is left of a condition that is met
LEVEL = 0.98  # the share of it that a neighbour leaves where more of a shift does not help
UNKNOWN = 1e3  # the same where no alpha gives the target


class Maps(NamedTuple):
    """gamma, delta, and Q'(1), C'(1), C''(1) with them; arrays over alpha."""

    gamma: Array
    delta: Array
    chi_parallel: Array
    chi_perp: Array
    curvature: Array


@dataclass(frozen=True)
class Conditions:
    """What is asked of the maps of an activation: C'(1) = target, C(0) = 0, or if curved C''(1) = target, C'(1) = 1.

    free: whether alpha is looked for, such that Q'(1) = 1 can be asked too; else it is 1, as it may be for a power,
    of which alpha and gamma are one freedom.
    """

    activation: Activation
    target: float
    curved: bool
    free: bool

    @property
    def form(self) -> QuadratureMoments:
        """The averages of s."""
        return by_quadrature(self.activation)

    def maps(self, alpha: Any, beta: float, side: int = 1) -> Maps:
        """Return the maps for an array of alpha; if curved delta is the larger (side 1) or the smaller of two (-1).

        By f(u) = s(alpha u + beta) - s(beta), in which nothing large cancels where alpha is small.
        """
        form, alpha = self.form, np.atleast_1d(np.asarray(alpha, dtype=np.float64))[:, None]
        start = form.s(np.array([beta]))
        with np.errstate(all="ignore"):
            z, weights = form.rule(alpha[:, 0] ** 2, beta)
            u = (z - beta) / alpha
            f, slope, bend = form.s(z) - start, alpha * form.slope(z), alpha**2 * form.curvature(z)
            products = (f, f**2, slope**2, f * slope * u, slope * u, bend**2)
            mean, square, slopes, stein, tilt, bends = ((product * weights).sum(axis=1) for product in products)
            if self.curved:
                delta, scale = side * np.sqrt(mean**2 - square + slopes) - mean, 1 / slopes
            else:
                delta, scale = -mean, 1 / (square - mean**2)
            parallel = scale * (stein + delta * tilt)
            return Maps(np.sqrt(scale), delta - start, parallel, scale * slopes, scale * bends)

    def solve(self) -> tuple[float, float, int]:
        """Return alpha, beta and the side: of several solutions the one with the smallest shift, where s is as known.

        Without a solution what is nearest to one; ValueError where that is infinitely far.
        """
        met: list[tuple[Any, ...]] = []
        nearest: list[tuple[Any, ...]] = []
        shifts = self._shifts()
        for side in (1, -1) if self.curved else (1,):
            rough = np.array([self._rough(beta, side) for beta in shifts])
            change = np.nonzero(rough[:-1] * rough[1:] <= 0)[0]
            beside = {int(i + step) for i in change for step in (-1, 0, 1) if 0 <= i + step < len(shifts) - 1}
            roots = (self._root(float(shifts[i]), float(shifts[i + 1]), side) for i in sorted(beside))
            # Of an odd s there are two, equal but for the sign.
            met += [(round(abs(root), 6), root < 0, root, side) for root in roots if root is not None]
            size = np.nan_to_num(np.abs(rough), nan=UNKNOWN)
            inner = {0: 1, len(size) - 1: len(size) - 2}.get(low := int(size.argmin()), low)
            falls = size[low] < LEVEL * size[inner]  # at an end, and further beyond it
            # Where the tail of s is an exponential all shifts are as good: the smallest.
            level = np.nonzero(size <= size[low] / LEVEL)[0]
            i = int(min(level, key=lambda i: abs(shifts[i])))
            nearest.append((np.inf if falls else size[i], i, side))
        if met:
            _, _, beta, side = min(met)
        elif min(nearest)[0] < UNKNOWN:
            _, i, side = min(nearest)
            ends = shifts[[max(i - 1, 0), min(i + 1, len(shifts) - 1)]]
            best = minimum_between(lambda beta: self._size(beta, side), *ends, xtol=1e-9)
            beta = min((best, float(shifts[i])), key=lambda beta: self._size(beta, side))
        else:
            raise ValueError(f"no alpha and beta bring {self.activation.title} near its conditions")
        return self._alpha(beta, side), beta, side

    def _shifts(self) -> Array:
        kinks = self.form.kinks
        unit = max([1.0, *map(abs, kinks)])
        steps = SHIFTS if self.free else np.concatenate((SHIFTS, FAR))
        around = [(0.0, steps), *((kink, BESIDE) for kink in sorted(kinks, key=abs)[:MOST_KINKS])]
        return np.unique([place + unit * step for place, part in around for step in (0.0, *part, *-part)])

    def _targeted(self, maps: Maps) -> Array:
        return maps.curvature if self.curved else maps.chi_perp

    def _alpha(self, beta: float, side: int) -> float:
        """Return the smallest alpha that gives the target; NaN if there is none."""
        if not self.free:
            return 1.0
        if (i := self._crossing(self._targeted(self.maps(ALPHAS, beta, side)))) is None:
            return np.nan

        def off(log_alpha: float) -> float:
            return float(self._targeted(self.maps(np.exp(log_alpha), beta, side))[0] - self.target)

        return float(np.exp(root_between(off, *np.log(ALPHAS[i : i + 2]), xtol=1e-14)))

    def _crossing(self, values: Array) -> int | None:
        """Return behind which of ALPHAS the target is passed first."""
        below = np.nonzero((values[:-1] < self.target) & (values[1:] >= self.target))[0]
        return int(below[0]) if below.size else None

    def _off(self, beta: float, side: int) -> float:
        """Return what is left of the last condition at the alpha of the one before; NaN where there is none."""
        if np.isnan(alpha := self._alpha(beta, side)):
            return np.nan
        maps = self.maps(alpha, beta, side)
        return float(maps.chi_parallel[0] - 1 if self.free or self.curved else maps.chi_perp[0] - self.target)

    def _size(self, beta: float, side: int) -> float:
        return float(np.nan_to_num(abs(self._off(beta, side)), nan=UNKNOWN))

    def _rough(self, beta: float, side: int) -> float:
        """Return `_off` interpolated between ALPHAS: Q'(1) - 1 grows as C'(1) - 1, or C''(1), does."""
        if not self.free:
            return self._off(beta, side)
        maps, least = self.maps(ALPHAS, beta, side), 0.0 if self.curved else 1.0
        values = self._targeted(maps)
        if (i := self._crossing(values)) is None:
            return np.nan
        ratio = (maps.chi_parallel[i : i + 2] - 1) / (values[i : i + 2] - least)
        share = (self.target - values[i]) / (values[i + 1] - values[i])
        return float((self.target - least) * (ratio[0] + share * (ratio[1] - ratio[0])))

    def _root(self, low: float, high: float, side: int) -> float | None:
        """Return where the last condition is met between two shifts, None where it jumps over 0."""
        ends = self._off(low, side), self._off(high, side)
        if not ends[0] * ends[1] <= 0:
            return None
        met = root_between(lambda beta: np.nan_to_num(self._off(beta, side)), low, high, xtol=1e-14)
        return met if abs(self._off(met, side)) < MET else None
