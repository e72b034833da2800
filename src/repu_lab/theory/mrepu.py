"""MRePU_p, s = z (1 + z)^p on z >= -1, integer p: averages from truncated moments, exact at every K.

M_j = E[z^j 1(z >= -1)], z ~ N(0, K): M_0 = erfc(-1/sqrt(2K)) / 2, M_1 = K phi,
M_j = K [(j-1) M_(j-2) + (-1)^(j-1) phi], phi = exp(-1/(2K)) / sqrt(2 pi K) the density at the kink.
All M_j and all coefficients of s^2, s'^2, s s'' in powers of z are positive: nothing cancels, 1e-12 <= K <= 1e12.
"""

import numpy as np
from numpy.polynomial import polynomial as poly
from scipy.special import erfc, ndtr, owens_t

from repu_lab.activations import MRePU
from repu_lab.theory.angles import Array, determinant
from repu_lab.theory.quadrature import QuadratureMoments


class MRePUMoments(QuadratureMoments):
    """The averages of MRePU with integer p."""

    largest_K = 1e140

    def __init__(self, activation: MRePU):
        """Expand s, s' and the averaged products in powers of z, once."""
        super().__init__(activation)
        p = int(activation.p)
        self._s = np.concatenate(([0.0], poly.polypow([1.0, 1.0], p)))
        self._slope = poly.polyder(self._s)
        self._square = poly.polymul(self._s, self._s)
        self._square_slope = poly.polymul(self._slope, self._slope)
        self._overlap = poly.polymul(self._s, poly.polyder(self._s, 2))
        self._stein = poly.polymul(self._s, self._slope)

    def mean_square(self, K: Array) -> Array:
        return _average(self._square, K)

    def mean_square_slope(self, K: Array) -> Array:
        return _average(self._square_slope, K)

    def stein(self, K: Array) -> Array:
        return _average(self._stein, K, over_K=True)

    def curvature_overlap(self, K: Array) -> Array:
        """E[s s'']; s(-1) = 0, so the kink adds nothing."""
        return _average(self._overlap, K)

    def second_variation(self, K: Array) -> Array:
        """Differentiate g' = E[s'^2 + s s''] term by term: dM_j/dK = (j M_j - (-1)^j phi) / (2K)."""
        K = np.asarray(K, dtype=np.float64)
        coefficients = poly.polyadd(self._square_slope, self._overlap)
        M, phi = _moments_over_K(K, len(coefficients))
        total = np.zeros(K.shape)
        with np.errstate(over="ignore"):
            for j, coefficient in enumerate(coefficients):
                sign = -1.0 if j % 2 else 1.0
                total = total + coefficient * (j * M[j] - sign * phi / K) / 2
        return total

    def pair_mean(self, K11: Array, K22: Array, K12: Array) -> tuple[Array, Array]:
        shape, size = np.shape(K12), len(self._s)
        K11, K22, K12 = (np.ravel(k).astype(np.float64) for k in (K11, K22, K12))
        m = _pair_moments(K11, K22, K12, size)
        value = np.einsum("i,j,ij...->...", self._s, self._s, m)
        gain = np.einsum("i,j,ij...->...", self._slope, self._slope, m[: size - 1, : size - 1])
        return value.reshape(shape), gain.reshape(shape)


def _average(coefficients: Array, K: Array, over_K: bool = False) -> Array:
    """Sum of coefficients[j] M_j, or of coefficients[j] M_(j+1) / K."""
    K = np.asarray(K, dtype=np.float64)
    shift = 1 if over_K else 0
    M, _ = _moments_over_K(K, len(coefficients) + shift)
    total = np.zeros(K.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        for j in reversed(range(len(coefficients))):
            if coefficients[j]:
                total = total + coefficients[j] * M[j + shift]
        return total if over_K else total * K


def _moments_over_K(K: Array, count: int) -> tuple[list[Array], Array]:
    """M_j / K for j < count, and phi."""
    with np.errstate(all="ignore"):
        phi = _density(K)
        M = [erfc(-1 / np.sqrt(2 * K)) / 2 / K, phi]
        for j in range(2, count):
            M.append((j - 1) * K * M[j - 2] + (-phi if j % 2 == 0 else phi))
    return M, phi


def _density(K: Array) -> Array:
    return np.exp(-1 / (2 * K)) / np.sqrt(2 * np.pi * K)


def _pair_moments(K11: Array, K22: Array, K12: Array, size: int) -> Array:
    """m[i, j] = E[u^i v^j 1(u >= -1) 1(v >= -1)], i, j < size, by Gaussian integration by parts.

    m[i+1, j] = i K11 m[i-1, j] + j K12 m[i, j-1] + (-1)^i K11 phi(u=-1) E[v^j 1(v >= -1) | u = -1]
              + (-1)^j K12 phi(v=-1) E[u^i 1(u >= -1) | v = -1],   m[0, 0] by Owen's T function.
    """
    root = np.sqrt(determinant(K11, K22, K12))
    m = np.zeros((size, size, K11.size))
    m[0, 0] = _orthant(K11, K22, K12, root)
    with np.errstate(all="ignore"):
        v_at = _density(K11) * _conditional_moments(K11, K12, root, size)
        u_at = _density(K22) * _conditional_moments(K22, K12, root, size)
        for i in range(size):
            for j in range(size):
                if i > 0:
                    m[i, j] = (-1) ** (i - 1) * K11 * v_at[j] + (-1) ** j * K12 * u_at[i - 1]
                    if i > 1:
                        m[i, j] += (i - 1) * K11 * m[i - 2, j]
                    if j > 0:
                        m[i, j] += j * K12 * m[i - 1, j - 1]
                elif j > 0:
                    m[i, j] = (-1) ** (j - 1) * K22 * u_at[0] + K12 * v_at[j - 1]
                    if j > 1:
                        m[i, j] += (j - 1) * K22 * m[i, j - 2]
    return m


def _conditional_moments(K: Array, K12: Array, root: Array, size: int) -> list[Array]:
    """E[v^j 1(v >= -1)] for v of mean -K12/K and standard deviation root/sqrt(K): v given that the other is -1."""
    mean, sd = -K12 / K, root / np.sqrt(K)
    distance = np.where(K == K12, 0.0, (K - K12) / (sd * K))
    density_sd = np.exp(-(distance**2) / 2) / np.sqrt(2 * np.pi) * sd  # sd^2 times the density at -1
    moments = [ndtr(distance), mean * ndtr(distance) + density_sd]
    for j in range(2, size):
        moments.append(mean * moments[-1] + (j - 1) * sd**2 * moments[-2] + (-1) ** (j - 1) * density_sd)
    return moments


def _orthant(K11: Array, K22: Array, K12: Array, root: Array) -> Array:
    """P(u >= -1, v >= -1) (Owen 1956)."""
    h, k = 1 / np.sqrt(K11), 1 / np.sqrt(K22)
    with np.errstate(divide="ignore", invalid="ignore"):
        a_h = np.where(K11 == K12, 0.0, (K11 - K12) / root)
        a_k = np.where(K22 == K12, 0.0, (K22 - K12) / root)
    return (ndtr(h) + ndtr(k)) / 2 - owens_t(h, a_h) - owens_t(k, a_k)
