"""Gaussian averages of a user's own activation: on panels made for it, checked, and unknown rather than wrong."""

from weakref import WeakKeyDictionary

import numpy as np

from repu_lab.activations import Activation
from repu_lab.theory.angles import Array
from repu_lab.theory.pair_quadrature import NODES, WEIGHTS
from repu_lab.theory.quadrature import QuadratureMoments, jumps
from repu_lab.theory.resolution import MOST_PANELS, Resolution, resolve

ONE_INPUT = ("mean_square", "stein", "mean_square_slope")  # the rows of `one_input`
TRIALS = 10.0 ** np.arange(-4, 7, 2)  # values of K at which every quantity is computed twice
DIGITS = 1e-8  # how far the two may be apart; six digits are printed
REACH = 10.0  # standard deviations within which all must be resolved: the density beyond is 1e-22
NODES_AT_ONCE = 200_000
CELLS = 8  # into which what is not smooth is cut to look for kinks: one is found in each

_known: WeakKeyDictionary[Activation, tuple[Resolution, dict[str, Array]]] = WeakKeyDictionary()


class OwnMoments(QuadratureMoments):
    """The averages on the panels of `resolve`, NaN where two computations of them disagree.

    Beside a kink where s is a power, a panel's nodes are z = c + w t^4, which integrates |z - c|^e exactly for
    e = -3/4, -1/2, ... Where s jumps, E[s'^2] is infinite and g' = E[s^2 (z^2/K - 1)] / (2K), by parts.
    """

    def __init__(self, activation: Activation):
        """Find the panels and the kinks, which cost 10 to 20 ms, once for an activation."""
        super().__init__(activation)
        self._halved, self._doubtful = False, {}
        if activation in _known:
            resolution, self._doubtful = _known[activation]
            self._take(resolution)
            return
        torch_functions = (activation, activation.derivative, activation.second_derivative)

        def find(low: Array, high: Array) -> list[float]:
            parts = np.linspace(low - 1e-3 * (high - low), high + 1e-3 * (high - low), CELLS + 1)
            cells = parts[:-1].ravel(), parts[1:].ravel()
            return [c for function in torch_functions for c in jumps(function, *cells)]

        with np.errstate(all="ignore"):
            resolution = resolve((self.s, self.slope, self.curvature), self.cuts, activation.kinks, find)
        self._take(resolution)
        self._check()
        _known[activation] = resolution, self._doubtful

    def _take(self, resolution: Resolution) -> None:
        self.cuts, self.kinks = resolution.cuts, resolution.kinks
        self.jumps, self.reach = resolution.jumps, resolution.reach
        self.graded = bool(resolution.singular)
        self._singular = np.array(resolution.singular)
        if resolution.jumps:
            self.rough = f"s jumps at z={resolution.jumps[0][0]:.4g}"
        elif resolution.steep is not None:
            self.rough = f"the slope at z={resolution.steep:.4g} is too steep"

    def mean_square(self, K: Array) -> Array:
        return self._trusted("mean_square", K, super().mean_square(K))

    def mean_square_slope(self, K: Array) -> Array:
        """E[s'^2]; infinite where s jumps."""
        value = self._trusted("mean_square_slope", K, super().mean_square_slope(K))
        if self.rough is None:
            return value
        places = [c for c, _ in self.jumps] or [0.0]
        felt = np.exp(-np.min(np.square(places)) / (2 * np.asarray(K))) > 0
        return np.where(felt, np.inf, value)

    def mean_square_gradient(self, K: Array) -> Array:
        """E[s'^2] without the delta functions of jumps."""
        if self.jumps:
            return self._trusted("mean_square_slope", K, super().mean_square_slope(K))
        return self.mean_square_slope(K)

    def stein(self, K: Array) -> Array:
        if not self.jumps:
            return self._trusted("stein", K, super().stein(K))
        parts = self._average(K, lambda z, K: self.s(z) ** 2 * (z**2 / K[:, None] - 1) / 2)
        return self._trusted("stein", K, parts / K)

    def curvature_overlap(self, K: Array) -> Array:
        """E[s s''], NaN where s jumps."""
        if self.rough is not None:
            return np.full(np.shape(K), np.nan)
        return self._trusted("curvature_overlap", K, super().curvature_overlap(K))

    def second_variation(self, K: Array) -> Array:
        """Return g'', NaN where s jumps."""
        if self.rough is not None:
            return np.full(np.shape(K), np.nan)
        return self._trusted("curvature_overlap", K, super().second_variation(K))

    def one_input(self, K: Array) -> Array:
        if self.rough is not None:
            return np.array([self.mean_square(K), self.stein(K), self.mean_square_slope(K)])
        rows = super().one_input(K)
        return np.array([self._trusted(name, K, row) for name, row in zip(ONE_INPUT, rows, strict=True)])

    def unknown(self, K: float) -> str | None:
        """Return why the averages are not known at K."""
        if self.reach < REACH * np.sqrt(K):
            return (
                f"changes too fast beyond |z|={self.reach:.3g} for {MOST_PANELS} panels, and N(0, K={K:.3g}) reaches it"
            )
        near = [name for name, doubts in self._doubtful.items() if _near(K, doubts)]
        if near:
            return f"cannot be averaged over N(0, K={K:.3g}) to {-round(np.log10(DIGITS))} digits ({', '.join(near)})"
        return None

    @property
    def block(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Fewer values of K at once, the more panels there are."""
        return max(1, min(32, NODES_AT_ONCE // (NODES.size * len(self.cuts))))

    def panels(self, cuts: Array) -> tuple[Array, Array]:
        """Return nodes and weights, drawn towards kinks beside which s is a power."""
        if self._halved:
            cuts = np.sort(np.concatenate((cuts, (cuts[:, 1:] + cuts[:, :-1]) / 2), axis=1), axis=1)
        width = np.diff(cuts, axis=1)
        used = (width > 0).any(axis=0)
        width, left, right = width[:, used], cuts[:, :-1][:, used], cuts[:, 1:][:, used]
        t = (1 + NODES) / 2
        z = left[:, :, None] + width[:, :, None] * t
        weights = width[:, :, None] * (WEIGHTS / 2)
        if self._singular.size:
            drawn = width[:, :, None] * 4 * t**3 * (WEIGHTS / 2)
            for beside, ends, sign in (
                (np.isin(left, self._singular), left, 1),
                (np.isin(right, self._singular), right, -1),
            ):
                where = np.broadcast_to(beside[:, :, None], z.shape)
                z = np.where(where, ends[:, :, None] + sign * width[:, :, None] * t**4, z)
                weights = np.where(where, drawn, weights)
        return z.reshape(len(cuts), -1), weights.reshape(len(cuts), -1)

    def _trusted(self, name: str, K: Array, value: Array) -> Array:
        """Return the value, NaN where it is not known."""
        K = np.asarray(K)
        doubted = self.reach < REACH * np.sqrt(K)
        if name in self._doubtful:
            doubted = doubted | _near(K, self._doubtful[name])
        return np.where(doubted, np.nan, value)

    def _check(self) -> None:
        """Compute everything on halved panels too, and remember where that makes a difference."""
        K = TRIALS[REACH * np.sqrt(TRIALS) < self.reach]
        with np.errstate(all="ignore"):
            once = self._products(K)
            self._halved = True
            twice = self._products(K)
            self._halved = False
            for name, (value, size) in twice.items():
                differ = np.abs(once[name][0] - value) > DIGITS * size + 1e-300
                if differ.any():
                    self._doubtful[name] = K[differ]

    def _products(self, K: Array) -> dict[str, tuple[Array, Array]]:
        """Return the integral of each quantity's integrand and of its size."""
        integrals: dict[str, list[tuple[float, float]]] = {}
        for variance in K:
            z, weights = (part[0] for part in self.rule(np.array([variance])))
            (s, slope), bend = self.s_and_slope(z), self.curvature(z)
            products = {"mean_square": s**2, "stein": s**2 * (z**2 / variance - 1) if self.jumps else s * slope * z}
            if self.rough is None:
                products |= {"mean_square_slope": slope**2, "curvature_overlap": s * bend}
            for name, product in products.items():
                integrals.setdefault(name, []).append((product @ weights, np.abs(product) @ weights))
        return {name: (pairs[:, 0], pairs[:, 1]) for name, rows in integrals.items() for pairs in [np.array(rows)]}


def _near(K: float | Array, doubts: Array) -> Array:
    inside = np.clip(np.asarray(K), TRIALS[0], TRIALS[-1])
    return np.asarray((np.abs(np.log10(inside[..., None] / doubts)) <= 1.01).any(axis=-1))
