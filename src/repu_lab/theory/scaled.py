"""The averages of an activation that is another one between affine maps, from those of the other one.

s_a(z) = a s(z / a), z / a is N(0, K / a^2): g_a(K) = a^2 g(K / a^2), while g', E[s'^2] and E[s s''] are those of s at
K / a^2; a_1 becomes a_1 / a^2. A tailored one is averaged on the panels of s, around its shift.
"""

import numpy as np

from repu_lab.activations import Activation, Tailored
from repu_lab.theory.angles import Array
from repu_lab.theory.quadrature import QuadratureMoments


class ScaledMoments(QuadratureMoments):
    """The averages of an activation that is another one at a scale, as exact as those of the other one."""

    def __init__(self, activation: Activation, unit: QuadratureMoments, scale: float):
        """Take s_a, the averages of s, and a."""
        super().__init__(activation)
        self.unit, self.square = unit, scale**2
        self.largest_K = unit.largest_K * self.square

    def mean_square(self, K: Array) -> Array:
        return self.square * self.unit.mean_square(self._in_units(K))

    def mean_square_slope(self, K: Array) -> Array:
        return self.unit.mean_square_slope(self._in_units(K))

    def stein(self, K: Array) -> Array:
        return self.unit.stein(self._in_units(K))

    def curvature_overlap(self, K: Array) -> Array:
        """E[s s''] at K / a^2: s has a factor a, s'' has 1/a."""
        return self.unit.curvature_overlap(self._in_units(K))

    def second_variation(self, K: Array) -> Array:
        return self.unit.second_variation(self._in_units(K)) / self.square

    def pair_mean(self, K11: Array, K22: Array, K12: Array) -> tuple[Array, Array]:
        value, gain = self.unit.pair_mean(*(self._in_units(K) for K in (K11, K22, K12)))
        return self.square * value, gain

    def _in_units(self, K: Array) -> Array:
        return np.asarray(K, dtype=np.float64) / self.square


class TailoredMoments(QuadratureMoments):
    """The averages of s_hat(u) = gamma (s(alpha u + beta) + delta): z = alpha u + beta is N(beta, alpha^2 K)."""

    def __init__(self, activation: Tailored, base: QuadratureMoments):
        """Take s_hat and the averages of s by quadrature."""
        super().__init__(activation, graded=base.graded)
        self.base, self.alpha, self.beta = base, activation.alpha, activation.beta
        self.largest_K = base.largest_K / self.alpha**2
        self.cuts = (base.cuts - self.beta) / self.alpha

    def rule(self, K: Array, mean: float = 0.0) -> tuple[Array, Array]:
        """Return the nodes of s as values of u."""
        z, weights = self.base.rule(self.alpha**2 * K, self.alpha * mean + self.beta)
        return (z - self.beta) / self.alpha, weights
