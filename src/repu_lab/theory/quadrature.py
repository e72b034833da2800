"""Gaussian averages of any activation by Gauss-Legendre panels split at the kinks.

One input, E[f(z)], z ~ N(0, K): the window |z| <= 14 sqrt(K) is cut at multiples of sqrt(K) (the density's scale), at
the kinks, and geometrically around them and around 0 (the activation's own scale, |z| ~ 1, which nodes placed on
the scale of sqrt(K) alone miss for K >> 1); every panel gets 24 nodes. Relative error below 1e-13: against mpmath for
1e-4 <= K <= 200, against closed forms for 1e-10 <= K <= 1e10. An activation that keeps oscillating, as the sine does,
is resolved up to K ~ 3 only. Gauss-Hermite is of no use here: with 25 nodes it is 25 % wrong on ReLU's E[s'^2], since a
node sits on the kink.

Two inputs: `pair_quadrature`.
"""

from collections.abc import Callable

import numpy as np
import torch

from repu_lab.activations import Activation
from repu_lab.theory.angles import Array
from repu_lab.theory.pair_quadrature import composite, pair_average
from repu_lab.theory.patience import evaluated

Integrand = Callable[[Array, Array], Array]

WINDOW = 14.0  # exp(-14^2/2) = 3e-43: what lies outside is lost even for s^2 with s ~ z^12
# Beyond this many standard deviations the integrand must have died out. Not "the last nodes": panels that are empty for
# one K of a block and not for another stand there with weight 0.
END = 13.5
DENSITY_CUTS = np.array([1.5, 3.5, 6.5, WINDOW])
# Ratios of at most 6: a 24-point panel [a, 6a] meets a singularity at 0 with an error of about 2.4^-48 = 1e-18.
STRUCTURE_CUTS = np.concatenate(
    ([1 / 16, 1 / 4], np.array([1.0, 3.0]), 10.0 * 4.0 ** np.arange(3), 6.0 ** np.arange(4, 18))
)
# Grading towards a kink, for activations like (1 + z)^1.5 whose derivatives are singular there.
KINK_CUTS = 8.0 ** -np.arange(0.0, 9.0)
EDGE_TOLERANCE = 1e-12  # an integrand that is not below this (against its integral) at the window's end has no average
FELT = 1e-20  # of a weight: within 9 standard deviations
SIDE = 1e-7  # distance from a kink at which one-sided slopes are read off; their error is its square

# Torch starts threads for tanh, expm1, ... of 4,000 numbers and more, and waits 8 ms for them on a busy machine; 2,000
# take 6 microseconds.
PIECE = 2000


class QuadratureMoments:
    """The averages of one activation by quadrature; every method maps an array K > 0 to an array of its shape.

    A value that does not exist (the activation overflows inside the window, or its growth beats the density) is NaN.
    largest_K: up to where the averages may be asked for directly.
    """

    largest_K = 1e24
    block = 32  # values of K that share an array, so that panels that are empty for all of them can be left out
    rough: str | None = None  # why E[s'^2] is infinite, where it is
    jumps: tuple[tuple[float, float], ...] = ()  # of s: place and height

    def __init__(self, activation: Activation, graded: bool = False):
        """Take the activation, and how it behaves at its kinks.

        graded: s is not analytic on either side of its kinks (a power, say), so panels shrink towards them.
        """
        self.activation = activation
        self.kinks = activation.kinks
        self.graded = graded
        fixed = [np.array([0.0]), STRUCTURE_CUTS, -STRUCTURE_CUTS]
        for kink in self.kinks:
            fixed += [kink + KINK_CUTS, kink - KINK_CUTS] if graded else []
        fixed.append(np.array(self.kinks))
        self.cuts = np.unique(np.concatenate(fixed))

    def mean(self, K: Array) -> Array:
        """E[s]."""
        return self._average(K, lambda z, _: self.s(z))

    def variance(self, K: Array) -> Array:
        """E[(s - E s)^2]."""
        return self._average(K, self._deviation)

    def variance_slope(self, K: Array) -> Array:
        """Return its derivative in K, E[(s - E s)^2 (z^2/K - 1)] / 2K: E s moves too, but E[s - E s] = 0."""
        return self._average(K, lambda z, K: self._deviation(z, K) * (z**2 / K[:, None] - 1)) / (2 * K)

    def _deviation(self, z: Array, K: Array) -> Array:
        return (self.s(z) - self.mean(K)[:, None]) ** 2

    def mean_square(self, K: Array) -> Array:
        """E[s^2]."""
        return self._average(K, lambda z, _: self.s(z) ** 2)

    def mean_square_slope(self, K: Array) -> Array:
        """E[s'^2]."""
        return self._average(K, lambda z, _: self.slope(z) ** 2)

    def mean_square_gradient(self, K: Array) -> Array:
        """E[s'^2] with the s' of back-propagation, which does not know of jumps; else as mean_square_slope."""
        return self.mean_square_slope(K)

    def stein(self, K: Array) -> Array:
        """E[z s s'] / K."""
        return self._average(K, lambda z, _: np.prod(self.s_and_slope(z), axis=0) * z) / K

    def curvature_overlap(self, K: Array) -> Array:
        """E[s s''], the regular part by quadrature plus s(c) [s'](c) phi(c) for every kink c."""
        regular = self._average(K, lambda z, _: self.s(z) * self.curvature(z))
        return regular + self._delta_parts(K, np.ones_like)

    def second_variation(self, K: Array) -> Array:
        """E[(s'^2 + s s'') (z^2/K - 1)] / (2K), which is g'' by parts; relative error about eps/K at small K."""
        regular = self._average(
            K, lambda z, K: (self.slope(z) ** 2 + self.s(z) * self.curvature(z)) * (z**2 / K[:, None] - 1)
        )
        return (regular + self._delta_parts(K, lambda kink_over_sd: kink_over_sd**2 - 1)) / (2 * K)

    def one_input(self, K: Array) -> Array:
        """E[s^2], E[z s s'] / K and E[s'^2] as the rows of an array: the activation is evaluated once for all three."""

        def integrands(z: Array, _: Array) -> tuple[Array, ...]:
            s, slope = self.s_and_slope(z)
            return s**2, s * slope * z, slope**2

        square, stein, slopes = self._averages(K, integrands, 3)
        return np.array([square, stein / K, slopes])

    def pair_mean(self, K11: Array, K22: Array, K12: Array) -> tuple[Array, Array]:
        """E[s(u) s(v)] and E[s'(u) s'(v)], pair by pair."""
        pairs = [pair_average(self, *pair) for pair in zip(K11.flat, K22.flat, K12.flat, strict=True)]
        both = np.array(pairs, dtype=np.float64).reshape(-1, 2)
        return both[:, 0].reshape(K11.shape), both[:, 1].reshape(K11.shape)

    def s(self, z: Array) -> Array:
        """Return the activation on an array."""
        return _apply(self.activation, z)

    def slope(self, z: Array) -> Array:
        """Its derivative on an array."""
        return _apply(self.activation.derivative, z)

    def s_and_slope(self, z: Array) -> Array:
        """Return both on an array, stacked."""
        return _apply(lambda z: torch.stack(self.activation.value_and_derivative(z)), z)

    def curvature(self, z: Array) -> Array:
        """Return the regular part of its second derivative on an array."""
        return _apply(self.activation.second_derivative, z)

    def rule(self, K: Array, mean: float = 0.0) -> tuple[Array, Array]:
        """Nodes z and weights (density of N(mean, K) included), each (len(K), nodes), for one block of similar K."""
        sd = np.sqrt(K)[:, None]
        window = WINDOW * sd
        inside = self.cuts[np.abs(self.cuts - mean) <= float(window.max(initial=0.0))]
        fixed = np.broadcast_to(inside, (len(K), inside.size))
        cuts = np.concatenate([mean + sd * DENSITY_CUTS, mean - sd * DENSITY_CUTS, fixed], axis=1)
        z, weights = self.panels(np.sort(np.clip(cuts, mean - window, mean + window), axis=1))
        return z, weights * np.exp(-(((z - mean) / sd) ** 2) / 2) / (np.sqrt(2 * np.pi) * sd)

    def panels(self, cuts: Array) -> tuple[Array, Array]:
        """Return the nodes and weights of panels between cuts, row by row."""
        return composite(cuts)

    def unknown(self, K: float) -> str | None:
        """Return why the averages are not known at K although they may exist; None where nothing hides them."""
        return None

    def _average(self, K: Array, integrand: Integrand) -> Array:
        return self._averages(K, lambda z, K: (integrand(z, K),), 1)[0]

    def _averages(self, K: Array, integrands: Callable[[Array, Array], tuple[Array, ...]], count: int) -> Array:
        flat = np.ravel(K)
        result = np.empty((count, flat.size))
        with np.errstate(all="ignore"):
            for start in range(0, flat.size, self.block):
                rows = slice(start, start + self.block)
                z, weights = self.rule(flat[rows])
                end = np.abs(z) > END * np.sqrt(flat[rows])[:, None]
                result[:, rows] = [_sum(values, weights, end) for values in integrands(z, flat[rows])]
        return result.reshape(count, *np.shape(K))

    def _delta_parts(self, K: Array, weight) -> Array:
        """Sum over the kinks c of s(c) [s'](c) phi(c) weight(c / sqrt K)."""
        total = np.zeros(np.shape(K))
        for kink in self.kinks:
            height = float(self.s(np.array([kink]))[0])
            if height == 0:
                continue
            # Extrapolated from two points on either side: next to the kink a user's function may round onto it.
            step = SIDE * (1 + abs(kink))
            left_2, left, right, right_2 = self.slope(kink + step * np.array([-2.0, -1.0, 1.0, 2.0]))
            jump = float((2 * right - right_2) - (2 * left - left_2))
            with np.errstate(over="ignore"):
                y = kink / np.sqrt(K)
                total = total + height * jump * weight(y) * np.exp(-(y**2) / 2) / np.sqrt(2 * np.pi * K)
        return total


def _sum(integrand: Array, weights: Array, end: Array) -> Array:
    """Average the rows; NaN where the integrand has not died out at the window's ends, or is not finite.

    What is 0 up to there (a slope behind a kink) has not died out, but is nothing.
    """
    values = integrand * weights
    total, sizes = values.sum(axis=1), np.abs(values)
    died = np.where(end, sizes, 0.0).max(axis=1) <= EDGE_TOLERANCE * sizes.sum(axis=1)
    nothing = ~((weights > FELT) & (sizes > 0)).any(axis=1)
    return np.where((died | nothing) & np.isfinite(total), total, np.nan)


def jumps(function, left: Array, right: Array) -> list[float]:
    """Return the points in the cells at which a function jumps, one a cell."""
    low, high = _apply(function, left), _apply(function, right)
    finite = np.abs(low[np.isfinite(low)])
    scale = max(1e-300, float(finite.max(initial=0.0)))  # NaN would leave no scale, and make every point a kink
    for _ in range(60):
        middle = (left + right) / 2
        value = _apply(function, middle)
        keep_left = np.abs(value - low) >= np.abs(high - value)
        left, low = np.where(keep_left, left, middle), np.where(keep_left, low, value)
        right, high = np.where(keep_left, middle, right), np.where(keep_left, value, high)
        keep = np.abs(high - low) > 1e-6 * scale
        left, right, low, high = left[keep], right[keep], low[keep], high[keep]
        if left.size == 0:
            return []
    # A kink at a representable round number is almost always meant to be that number.
    return [float(point) for point in np.round(right, 12)]


def _apply(function, z: Array) -> Array:
    """Return a torch function, or several stacked, on a numpy array, a piece at a time."""
    flat = torch.from_numpy(np.ascontiguousarray(z)).view(-1)
    with torch.no_grad():
        pieces = []
        for piece in flat.split(PIECE):
            pieces.append(function(piece))
            evaluated(pieces[-1].numel())
        whole = pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=-1)
    # force: autograd's second derivative of |z| is a tensor of zeros without memory.
    return whole.view(*whole.shape[:-1], *z.shape).numpy(force=True)
