"""Gaussian averages in closed form: powers (RePU, the ReLU family, monomials), MRePU, erf, sin and GELU.

Every class has the methods of `QuadratureMoments`; what has no closed form is inherited from it. `moments(activation)`
chooses. Sources: the arc-cosine kernels of Cho, Saul 2009; Stein's identity; derivations in the docstrings.
"""

import numpy as np
from scipy.special import gamma, hyp2f1

from repu_lab.activations import GELU, Activation, Adapted, Erf, Formula, MRePU, RePU, Sin, Tailored
from repu_lab.theory.angles import Array, angle, determinant
from repu_lab.theory.mrepu import MRePUMoments
from repu_lab.theory.own_moments import OwnMoments
from repu_lab.theory.quadrature import QuadratureMoments
from repu_lab.theory.scaled import ScaledMoments, TailoredMoments


def moments(activation: Activation) -> QuadratureMoments:
    """Return the averages of an activation, in closed form where there is one.

    ValueError for a homogeneous activation of degree <= 1/2, whose E[s'^2] is infinite, or of a wrong degree.
    """
    if not isinstance(activation, Activation):
        raise ValueError(f"{type(activation).__name__} is not an Activation: take repu_lab.as_activation of it")
    if activation.degree is not None:
        return PowerMoments(activation)
    return by_quadrature(activation)


class PowerMoments(QuadratureMoments):
    """s(z) = a_plus z^p for z > 0 and a_minus |z|^p for z < 0, p > 1/2: every homogeneous activation.

    g = A c_p K^p with A = a_plus^2 + a_minus^2 and c_p = 2^(p-1) Gamma(p + 1/2) / sqrt(pi).
    """

    largest_K = 1e300

    def __init__(self, activation: Activation):
        """Read p and the two amplitudes off the activation."""
        super().__init__(activation)
        assert activation.degree is not None
        self.p = p = float(activation.degree)
        name = activation.title
        self.a_plus, self.a_minus, *doubled = (float(a) for a in self.s(np.array([1.0, -1.0, 2.0, -2.0])))
        if not np.allclose(doubled, [2**p * self.a_plus, 2**p * self.a_minus], rtol=1e-9, atol=1e-12):
            raise ValueError(f"{name} says that its degree is {p:g}, but s(2) / s(1) is not 2^{p:g}")
        self.amplitude = self.a_plus**2 + self.a_minus**2
        if p <= 0.5:
            kept = (
                f"C_W={1 / (self.amplitude * c(p)):.4g} keeps K=1" if self.amplitude and p > -0.5 else "no C_W keeps K"
            )
            raise ValueError(
                f"{name} of degree {p:g}: E[s'^2] is infinite, the degree must be greater than 1/2 for theory; "
                f"networks run without it, {kept}"
            )
        with np.errstate(divide="ignore"):
            # Of the product: for ReLU at C_W = 2 log C_W + log_c is exactly 0.
            self.log_c = float(np.log(self.amplitude * c(p)))

    def mean(self, K: Array) -> Array:
        """Return (a_plus + a_minus) c_(p/2) K^(p/2)."""
        return (self.a_plus + self.a_minus) * c(self.p / 2) * _power(K, self.p / 2)

    def variance(self, K: Array) -> Array:
        one = np.ones(1)
        return (self.mean_square(one) - self.mean(one) ** 2)[0] * _power(K, self.p)

    def variance_slope(self, K: Array) -> Array:
        return self.p * self.variance(np.ones(1))[0] * _power(K, self.p - 1)

    def mean_square(self, K: Array) -> Array:
        return self.amplitude * c(self.p) * _power(K, self.p)

    def mean_square_slope(self, K: Array) -> Array:
        return self.amplitude * self.p**2 / (2 * self.p - 1) * c(self.p) * _power(K, self.p - 1)

    def stein(self, K: Array) -> Array:
        return self.amplitude * self.p * c(self.p) * _power(K, self.p - 1)

    def curvature_overlap(self, K: Array) -> Array:
        """Return a p (p - 1) c_p / (2p - 1) K^(p-1): of one sign unless p = 1."""
        return self.stein(K) * (self.p - 1) / (2 * self.p - 1)

    def second_variation(self, K: Array) -> Array:
        factor = self.amplitude * self.p * (self.p - 1) * c(self.p)
        return factor * _power(K, self.p - 2) if factor else np.zeros(np.shape(K))

    def pair_mean(self, K11: Array, K22: Array, K12: Array) -> tuple[Array, Array]:
        value, gain = self.unit_pair(angle(K11, K22, K12))
        with np.errstate(all="ignore"):
            scale = np.sqrt(K11) * np.sqrt(K22)
            return value * scale**self.p, gain * scale ** (self.p - 1)

    def unit_pair(self, theta: Array) -> tuple[Array, Array]:
        """E[s(u) s(v)] and E[s'(u) s'(v)] for unit variances and correlation cos theta.

        With F_p = E[relu(u)^p relu(v)^p]: A F_p(theta) + 2 a_plus a_minus F_p(pi - theta), and p^2 times the same with
        F_(p-1) and the opposite sign, since s' changes sign with the side.
        """
        cross = 2 * self.a_plus * self.a_minus
        value = self.amplitude * rectified_pair(self.p, theta)
        gain = self.amplitude * rectified_pair(self.p - 1, theta)
        if cross:
            value = value + cross * rectified_pair(self.p, np.pi - theta)
            gain = gain - cross * rectified_pair(self.p - 1, np.pi - theta)
        return value, self.p**2 * gain


class ErfMoments(QuadratureMoments):
    """erf: g = (2/pi) arcsin(2K / (1 + 2K)) (Williams 1997)."""

    largest_K = 1e140

    def mean_square(self, K: Array) -> Array:
        return 2 / np.pi * np.arctan2(2 * K, np.sqrt(1 + 4 * K))

    def mean_square_slope(self, K: Array) -> Array:
        return 4 / np.pi / np.sqrt(1 + 4 * K)

    def stein(self, K: Array) -> Array:
        return 4 / np.pi / ((1 + 2 * K) * np.sqrt(1 + 4 * K))

    def curvature_overlap(self, K: Array) -> Array:
        return -2 * K * self.stein(K)

    def second_variation(self, K: Array) -> Array:
        """Return g' of `stein`, differentiated."""
        return -2 * self.stein(K) * (1 / (1 + 2 * K) + 1 / (1 + 4 * K))

    def pair_mean(self, K11: Array, K22: Array, K12: Array) -> tuple[Array, Array]:
        root = np.sqrt(1 + 2 * (K11 + K22) + 4 * determinant(K11, K22, K12))
        return 2 / np.pi * np.arctan2(2 * K12, root), 4 / np.pi / root


class SinMoments(QuadratureMoments):
    """sin: g = (1 - exp(-2K)) / 2, from E[exp(i k z)] = exp(-k^2 K / 2)."""

    largest_K = 1e140

    def mean_square(self, K: Array) -> Array:
        return -np.expm1(-2 * K) / 2

    def mean_square_slope(self, K: Array) -> Array:
        return (1 + np.exp(-2 * K)) / 2

    def stein(self, K: Array) -> Array:
        return np.exp(-2 * K)

    def curvature_overlap(self, K: Array) -> Array:
        return -self.mean_square(K)

    def second_variation(self, K: Array) -> Array:
        return -2 * np.exp(-2 * K)

    def pair_mean(self, K11: Array, K22: Array, K12: Array) -> tuple[Array, Array]:
        larger = np.exp(np.abs(K12) - (K11 + K22) / 2) / 2
        ratio = np.exp(-2 * np.abs(K12))
        return -np.sign(K12) * larger * np.expm1(-2 * np.abs(K12)), larger * (1 + ratio)


class GELUMoments(QuadratureMoments):
    """GELU: g = K/4 + K/(2 pi) f, f = arcsin(K/(1+K)) + 2K / ((1+K) sqrt(1+2K)).

    From E[Phi(u) Phi(v)] = 1/4 + arcsin(K12 / sqrt((1+K11)(1+K22))) / (2 pi) by Stein's identity in both variables.
    E[s s''] has the factor 2 + 3K - K^2: the critical point is K = (3 + sqrt 17) / 2.
    """

    largest_K = 1e140

    def mean_square(self, K: Array) -> Array:
        return K / 4 + K / (2 * np.pi) * self._f(K)

    def mean_square_slope(self, K: Array) -> Array:
        return 0.25 + (self._f(K) + K / (1 + 2 * K) / np.sqrt(1 + 2 * K)) / (2 * np.pi)

    def stein(self, K: Array) -> Array:
        """1/4 + (f + K f') / (2 pi), f' = (3 + 5K) / ((1+K)^2 (1+2K)^(3/2))."""
        return 0.25 + (self._f(K) + K * self._slope_of_f(K)) / (2 * np.pi)

    def curvature_overlap(self, K: Array) -> Array:
        polynomial = (2 + 3 * K) / (1 + K) / (1 + K) - (K / (1 + K)) ** 2
        return K / (1 + 2 * K) / np.sqrt(1 + 2 * K) * polynomial / (2 * np.pi)

    def second_variation(self, K: Array) -> Array:
        """(2 f' + K f'') / (2 pi)."""
        relative = 2 + K * (5 / (3 + 5 * K) - 2 / (1 + K) - 3 / (1 + 2 * K))
        return self._slope_of_f(K) * relative / (2 * np.pi)

    def pair_mean(self, K11: Array, K22: Array, K12: Array) -> tuple[Array, Array]:
        """K12 Q + N / (2 pi sqrt D) and its derivative in K12, D = (1+K11)(1+K22) - K12^2, Q = E[Phi(u) Phi(v)]."""
        det = determinant(K11, K22, K12)
        D = 1 + K11 + K22 + det
        shares = 1 / (1 + K11) + 1 / (1 + K22)
        Q = 0.25 + np.arctan2(K12, np.sqrt(D)) / (2 * np.pi)
        N = det + K12**2 * shares
        value = K12 * Q + N / (2 * np.pi * np.sqrt(D))
        return value, Q + K12 / (2 * np.pi * np.sqrt(D)) * (2 * shares - 1 + N / D)

    @staticmethod
    def _f(K: Array) -> Array:
        root = np.sqrt(1 + 2 * K)
        return np.arctan2(K, root) + 2 * (K / (1 + K)) / root

    @staticmethod
    def _slope_of_f(K: Array) -> Array:
        return (3 + 5 * K) / (1 + K) / (1 + K) / (1 + 2 * K) / np.sqrt(1 + 2 * K)


def c(p: float) -> float:
    """c_p = E[max(0, x)^(2p)] = 2^(p-1) Gamma(p + 1/2) / sqrt(pi), x ~ N(0, 1); (2p-1)!!/2 for integer p."""
    return float(2.0 ** (p - 1) * gamma(p + 0.5) / np.sqrt(np.pi))


def rectified_pair(p: float, theta: Array) -> Array:
    """F_p = E[relu(u)^p relu(v)^p], unit variances, correlation cos theta, p > -1/2 (relu^0 is the step function).

    Integer p: J_p / (2 pi), J_(n+1) = (2n+1) cos J_n + n^2 sin^2 J_(n-1) (arc-cosine kernels, Cho, Saul 2009), exact
    to eps for cos >= 0; for theta -> pi the absolute error stays eps, the relative one does not: take no logarithm.
    Real p: 2^(p-2)/pi [Gamma((p+1)/2)^2 2F1(-p/2,-p/2;1/2;r^2) + 2r Gamma(p/2+1)^2 2F1((1-p)/2,(1-p)/2;3/2;r^2)].
    """
    theta = np.asarray(theta, dtype=np.float64)
    if p == int(p):
        return _arc_cosine(int(p), theta) / (2 * np.pi)
    r = np.cos(theta)
    even = gamma((p + 1) / 2) ** 2 * hyp2f1(-p / 2, -p / 2, 0.5, r**2)
    odd = 2 * r * gamma(p / 2 + 1) ** 2 * hyp2f1((1 - p) / 2, (1 - p) / 2, 1.5, r**2)
    return 2.0 ** (p - 2) / np.pi * (even + odd)


def _arc_cosine(p: int, theta: Array) -> Array:
    cos, sin = np.cos(theta), np.sin(theta)
    previous, current = np.pi - theta, sin + (np.pi - theta) * cos
    if p == 0:
        return previous
    for n in range(1, p):
        previous, current = current, (2 * n + 1) * cos * current + n**2 * sin**2 * previous
    return current


def _power(K: Array, exponent: float) -> Array:
    """K^exponent; inf and 0 where it leaves float64: a result here, not an accident."""
    with np.errstate(over="ignore", divide="ignore"):
        return np.asarray(K, dtype=np.float64) ** exponent


def by_quadrature(activation: Activation) -> QuadratureMoments:
    """Return the averages of an activation, whatever its degree: its panels know nothing of homogeneity."""
    match activation:
        case Erf():
            return ErfMoments(activation)
        case Sin():
            return SinMoments(activation)
        case GELU():
            return GELUMoments(activation)
        case MRePU() if activation.scale != 1:
            return ScaledMoments(activation, by_quadrature(MRePU(activation.p)), activation.scale)
        case MRePU() if activation.p == int(activation.p):
            return MRePUMoments(activation)
        case RePU() | MRePU():  # a RePU with a shift: it has no degree
            return QuadratureMoments(activation, graded=activation.p != int(activation.p))
        case Tailored():
            base = by_quadrature(activation.base)
            return OwnMoments(activation) if isinstance(base, OwnMoments) else TailoredMoments(activation, base)
        case Adapted() | Formula():
            return OwnMoments(activation)
    return QuadratureMoments(activation)
