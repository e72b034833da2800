"""Where along one axis an outcome turns, from yes-or-no trials whose places are chosen as the answers come in.

The chance of success is taken as a logistic curve in u = log(axis),
P(u) = LAPSE + (1 - 2 LAPSE) / (1 + exp(-(u - u0) / spread)), rising or falling, and the boundary is u0, where half of
the trials succeed. Its interval is that of the profile likelihood: a likelihood does not ask why a place was chosen, so
it stays valid for adaptive trials, and it is finite where failures and successes do not overlap at all. (An isotonic
fit with a bootstrap is neither.) N trials, G grid points.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Trial = Callable[[Floats], Flags]
Round = Callable[[int, float, float], None]  # told of each: networks so far, ends of the interval

# Share of trials that may contradict the curve anywhere: without it a single stray network far away, which says nothing
# of the boundary, would widen the curve without bound (3.9 units of log likelihood instead).
LAPSE = 0.02
# The fall of the log likelihood at the interval's ends. Half the 95 % quantile of chi^2, 1.92, holds the truth in 86 to
# 96 % of traces only, since a trace stops when its interval happens to be narrow; 2.3 in 93 to 99 %.
FALL = 2.3
# The likelihood's maximum is found on a grid in (u0, log spread) that is narrowed to where it is within KEEP of it.
PLACES, SPREADS, KEEP, ZOOMS = 33, 25, 4.0, 6
# After so many rounds an interval that still reaches to the end of the range holds no boundary inside it.
SETTLED = 4
# The narrowest curve, as a share of the half width asked for: trials do not resolve less, and a step fitted to a few of
# them that happen not to overlap would look more certain than it is.
NARROWEST = 0.25


class NoBoundaryError(ValueError):
    """The range does not hold a boundary: the outcome is the same all over it, or turns at its very end."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The likeliest boundary u0, its 95 % interval and the spread of the curve, all in u = log(axis)."""

    place: float
    low: float
    high: float
    spread: float
    rising: bool

    @property
    def half_width(self) -> float:
        """Half the length of the interval."""
        return (self.high - self.low) / 2


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """The value of the axis at which half of the networks succeed, the ends of its 95 % interval, and all trials.

    `rising`: success lies above the boundary. `spread`: success goes from 27 % to 73 % within value exp(-+spread).
    `reached`: the interval is as narrow as was asked. `searched`: the range given. `values`, `successes`: (N,).
    """

    value: float
    low: float
    high: float
    spread: float
    rising: bool
    reached: bool
    searched: tuple[float, float]
    values: Floats
    successes: Flags

    @property
    def networks(self) -> int:
        """Trials used."""
        return len(self.values)

    @property
    def grid_networks(self) -> int:
        """Trials that an even grid over the range needs for an interval as narrow: see `grid_cost`."""
        half_width = math.log(self.high / self.low) / 2
        return grid_cost(math.log(self.searched[1] / self.searched[0]), half_width, self.spread)

    @property
    def contradictions(self) -> tuple[int, int]:
        """How many trials end otherwise than on their side of the boundary, and of how many, beyond 4 spreads of it.

        A curve that turns once has hardly any; many mean that the outcome turns a second time within the range, or that
        some networks fail, or work, wherever they stand.
        """
        away = np.log(self.values / self.value)
        far = np.abs(away) > max(4 * self.spread, math.log(self.high / self.low))
        return int((far & (self.successes != ((away > 0) == self.rising))).sum()), int(far.sum())

    def __str__(self) -> str:
        """Return one line."""
        text = f"{self.value:.4g} (95 %: {self.low:.4g} to {self.high:.4g}), {self.networks} networks"
        against, far = self.contradictions
        if against > LAPSE * far + 3 * math.sqrt(LAPSE * far):
            text += f"; {against} of {far} far from it end otherwise: the outcome turns again, or chance decides"
        return text if self.reached else f"{text}; the precision asked for was not reached"


def trace(
    trial: Trial,
    low: float,
    high: float,
    *,
    precision: float = 0.02,
    members: int = 32,
    distinct: int | None = None,
    most: int = 4096,
    whole: bool = False,
    watch: Round | None = None,
) -> Boundary:
    """Return the boundary between `low` and `high`, its 95 % interval within a factor 1 +- `precision` if `most` allow.

    `trial(values (members,))` returns whether each trial succeeds; all must be independent. The first round spreads its
    values over the whole range; each further one over the interval reached so far and one spread beyond, where a trial
    tells most. `distinct` values a round (left out: all), rounded if `whole`. `watch` is told of every round.
    ValueError for a range that is not 0 < low < high; NoBoundaryError where the outcome does not turn inside it.
    """
    if not (0 < low < high < math.inf and precision > 0):
        raise ValueError(f"low={low}, high={high}, precision={precision}: need 0 < low < high and precision > 0")
    ends, half_width = (math.log(low), math.log(high)), math.log1p(precision)
    distinct = members if distinct is None else min(distinct, members)
    values, successes = np.empty(0), np.empty(0, dtype=bool)
    start, stop = ends
    while True:
        # The middles of equal cells, each as often as the others or once more.
        cells = np.arange(members) * distinct // members
        u = start + (stop - start) * (cells + 0.5) / distinct
        places = np.rint(np.exp(u)) if whole else np.exp(u)
        values = np.append(values, places)
        successes = np.append(successes, trial(places))
        if successes.all() or not successes.any():
            ended = "succeed" if successes.all() else "fail"
            raise NoBoundaryError(f"all of {members} networks from {low:g} to {high:g} {ended}: no boundary lies there")
        curve = fit(np.log(values), successes, ends, NARROWEST * half_width)
        if watch is not None:
            watch(len(values), math.exp(curve.low), math.exp(curve.high))
        reached, spent = curve.half_width <= half_width, len(values) + members > most
        settled = reached or spent or len(values) >= SETTLED * members
        if settled and (curve.low <= ends[0] or curve.high >= ends[1]):
            raise NoBoundaryError(
                f"{len(values)} networks from {low:g} to {high:g} do not turn once from failing to working: "
                "choose a range that holds one boundary, and not at its end"
            )
        if reached or spent:
            break
        start, stop = max(ends[0], curve.low - curve.spread), min(ends[1], curve.high + curve.spread)
    return Boundary(
        value=math.exp(curve.place),
        low=math.exp(curve.low),
        high=math.exp(curve.high),
        spread=curve.spread,
        rising=curve.rising,
        reached=reached,
        searched=(low, high),
        values=values,
        successes=successes,
    )


def fit(u_N: Floats, success_N: Flags, ends: tuple[float, float], narrowest: float) -> Fit:
    """Return the likeliest curve with a boundary between `ends`, no narrower than `narrowest`.

    It rises if successes lie higher than failures on average, as they do for a rising curve wherever trials are made.
    """
    rising = bool(u_N[success_N].mean() > u_N[~success_N].mean())
    start, stop = ends
    narrow, wide = math.log(narrowest), math.log(stop - start)
    u0_G, profile, spread = np.empty(0), np.empty(0), 0.0
    for _ in range(ZOOMS):
        u0_G, log_spread_G = np.linspace(start, stop, PLACES), np.linspace(narrow, wide, SPREADS)
        surface = log_likelihood(u_N, success_N == rising, u0_G, np.exp(log_spread_G))
        profile, by_spread = surface.max(1), surface.max(0)
        spread = math.exp(log_spread_G[by_spread.argmax()])
        start, stop = _around(u0_G, profile)
        # Narrow curves stay: they may look bad only because their place lies between two points of the grid.
        wide = _around(log_spread_G, by_spread)[1]
        if stop - start > 0.5 * (u0_G[-1] - u0_G[0]):
            break
    # A gap between failures and successes is a plateau: its middle.
    place = float(u0_G[profile > profile.max() - 1e-3].mean())
    inside = np.flatnonzero(profile > profile.max() - FALL)
    low, high = _crossing(u0_G, profile, inside[0], -1), _crossing(u0_G, profile, inside[-1], 1)
    return Fit(place=place, low=low, high=high, spread=spread, rising=rising)


def log_likelihood(u_N: Floats, up_N: Flags, u0_G: Floats, spread_G: Floats) -> Floats:
    """Return log P of the trials for rising curves, shape (len(u0_G), len(spread_G)); `up_N`: the upper outcome."""
    t = np.where(up_N, 1.0, -1.0) * (u_N - u0_G[:, None])
    return np.log(LAPSE + (1 - 2 * LAPSE) * expit(t[:, None, :] / spread_G[:, None])).sum(-1)


def grid_cost(length: float, half_width: float, spread: float) -> int:
    """Return how many trials an even grid over a range of u of this length needs for an interval of +- half_width.

    The cheapest kind, one trial a place: they hold N / (length spread) of Fisher information on u0, and the interval
    ends where information half_width^2 / 2 = FALL. Of a step no grid knows more than between which places it lies.
    """
    return math.ceil(length / half_width * max(0.5, 2 * FALL * spread / half_width))


def _around(grid: Floats, height: Floats) -> tuple[float, float]:
    """Return the part of the grid within KEEP of the top, a step wider on both sides."""
    kept = np.flatnonzero(height > height.max() - KEEP)
    return float(grid[max(kept[0] - 1, 0)]), float(grid[min(kept[-1] + 1, len(grid) - 1)])


def _crossing(u0_G: Floats, profile: Floats, inside: int, step: int) -> float:
    """Return where the profile falls through the interval's level beyond grid point `inside`, between two points."""
    outside = inside + step
    if not 0 <= outside < len(u0_G):
        return float(u0_G[inside])
    level = profile.max() - FALL
    share = (profile[inside] - level) / (profile[inside] - profile[outside])
    return float(u0_G[inside] + share * (u0_G[outside] - u0_G[inside]))
