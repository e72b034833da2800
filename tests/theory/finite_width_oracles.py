"""Corrections of relative size 1/n to the infinitely wide network, and where they stop being small.

Conventions as in `chain`: S^l is the variance of layer l's preactivations in one network for one input, a random
number of law E S^l = K^l + G1^l / n + ..., Var S^l = V^l / n + ...; n is the width.

The recursions and their names follow Roberts, Yaida, Hanin, The Principles of Deep Learning Theory (2022), chapter 4.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from laws import mean_fourth
from numpy.typing import NDArray
from scipy.integrate import cumulative_simpson

from repu_lab.activations import Activation
from repu_lab.theory import gaussian

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Corrections:
    """Coefficients of 1/n by layer; every array has depth + 1 entries, entry l - 1 for layer l.

    `V_over_K2` = V / K^2 and `G1_over_K` = G1 / K, relative, so that they stay finite where K does not.
    """

    layer: NDArray[np.int64]
    V_over_K2: Floats
    G1_over_K: Floats


@dataclass(frozen=True)
class LogLaw:
    """Mean and standard deviation of ln Y, Y = (1/n) sum_i s(x_i)^2, given Y > 0, and their meaning for the fate.

    `bias` = E ln Y - ln E Y (negative). `K_typ_over_K_star` = exp(-bias / (p - 1)): where the median network neither
    grows nor shrinks, relative to the infinite network's fixed point K_* (nan for p = 1).
    """

    mean: float
    std: float
    bias: float
    K_typ_over_K_star: float


def corrections(activation: Activation, *, C_W: float, C_b: float, k1: float, depth: int) -> Corrections:
    """Return V and G1 of layers 1..depth+1, relative to K^2 and K.

    V' = chi_parallel^2 V + C_W^2 (E[s^4] - g^2),  G1' = chi_parallel G1 + (C_W g'' / 2) V,  V^1 = G1^1 = 0,
    where chi_parallel = C_W g'(K). Valid while V / (n K^2) is small, see `breakdown_layer`. For a homogeneous
    activation with C_b = 0 the ratios need no K, and are exact at any depth; else entries are nan beyond K's range.
    """
    v, gamma = np.zeros(depth + 1), np.zeros(depth + 1)
    p = activation.degree
    with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
        if p is not None and C_b == 0:
            w = excess(activation)
            for l in range(depth):
                v[l + 1] = p * p * v[l] + w
                gamma[l + 1] = p * gamma[l] + p * (p - 1) / 2 * v[l]
            return Corrections(np.arange(1, depth + 2), v, gamma)
        K = np.float64(k1)
        for l in range(depth):
            g = _moment(gaussian.mean_square, activation, K)
            K_next = C_b + C_W * g
            chi_parallel = C_W * _moment(gaussian.stein, activation, K)
            ratio = K / K_next
            source = C_W**2 * (_moment(mean_fourth, activation, K) - g * g) / K_next**2
            curvature = C_W / 2 * _moment(gaussian.second_variation, activation, K) * K
            v[l + 1] = (chi_parallel * ratio) ** 2 * v[l] + source
            gamma[l + 1] = chi_parallel * ratio * gamma[l] + curvature * ratio * v[l]
            K = K_next
    return Corrections(np.arange(1, depth + 2), v, gamma)


def excess(activation: Activation, K: float = 1.0) -> float:
    """Return w = E[s^4] / E[s^2]^2 - 1 over N(0, K): n times the relative variance that one layer adds to S."""
    g = _moment(gaussian.mean_square, activation, K)
    return float(_moment(mean_fourth, activation, K) / g**2 - 1)


def breakdown_layer(
    activation: Activation, width: int, *, C_W: float = 1.0, C_b: float = 0.0, k1: float = 1.0, max_depth: int = 1000
) -> float:
    """Return the (fractional) layer at which V / (n K^2) = 1: beyond it E S and Var S say nothing about a network.

    Homogeneous with C_b = 0: 1 + log_p(1 + n (p^2 - 1) / w) / 2 for p != 1 and 1 + n / w for p = 1, whatever C_W and
    k1; for RePU, p > 1, it grows as log n only. Otherwise interpolated in ln(V/K^2); inf if not reached by max_depth.
    """
    p = activation.degree
    if p is not None and C_b == 0:
        w = excess(activation)
        if p == 1:
            return 1 + width / w
        argument = 1 + width * (p * p - 1) / w
        return 1 + math.log(argument) / (2 * math.log(p)) if argument > 0 else math.inf
    v = corrections(activation, C_W=C_W, C_b=C_b, k1=k1, depth=max_depth).V_over_K2
    above = np.flatnonzero(v >= width)
    if not len(above):
        return math.inf
    l = int(above[0])
    if v[l - 1] <= 0:
        return 1 + width / v[l]
    return float(l + math.log(width / v[l - 1]) / math.log(v[l] / v[l - 1]))


def log_law(activation: Activation, width: int) -> LogLaw:
    """Return mean and standard deviation of ln Y, Y = (1/n) sum_i s(x_i)^2 with x_i ~ N(0, 1), for homogeneous s.

    With L(t) = E[exp(-t Y)] = (E exp(-t s^2 / n))^n and P(Y = 0) taken out (2^-n for RePU):
    E ln Y = int_0^inf (e^-t - L(t)) dt / t,  and  int_0^inf ln t (L(t) - e^-t) dt / t = E[ln^2 Y] / 2 + gamma E ln Y
    with Euler's gamma (expand the Mellin transform E Y^-z = int t^{z-1} L dt / Gamma(z) in z). Both by the trapezoidal
    rule in ln t, which converges exponentially; absolute error about 1e-15. ValueError unless s is homogeneous.
    """
    p = _degree(activation)
    c = float(_moment(gaussian.mean_square, activation, 1.0))
    sides = _sides(activation)
    h = 0.05
    # L(t) - P(Y = 0) decays as t^(-1/2p) for a rectified s: far out for small n only, where 2^-n is not yet nothing.
    u = h * np.arange(round(-42.0 / h), round((60.0 + 60.0 * p) / h))
    t = np.exp(u)
    deficit = sum(_deficit(t * a * a / (c * width), p, zero=a == 0) for a in sides)
    with np.errstate(divide="ignore"):
        log_L = width * np.log1p(-np.minimum(deficit, 1.0))
    zero = 0.5 * sum(a == 0 for a in sides)
    if zero:
        # (1/2 + r)^n - 2^-n = 2^-n ((1 + 2 r)^n - 1), r = the living half's share, without cancellation.
        r = _living(t * max(sides) ** 2 / (c * width), p)
        growth = width * np.log1p(2 * r)
        late = zero**width * np.expm1(np.minimum(growth, 1.0))
        L = np.where(growth > 1.0, np.exp(log_L) - zero**width, late)
        L /= 1 - zero**width
    else:
        L = np.exp(log_L)
    difference = L - np.exp(-t)
    m1 = -h * difference.sum()
    m2 = 2 * (h * (u * difference).sum() - np.euler_gamma * m1)
    bias = float(m1)
    typical = math.exp(-bias / (p - 1)) if p != 1 else math.nan
    return LogLaw(math.log(c) + bias, math.sqrt(m2 - m1 * m1), bias, typical)


def log_K_moments(activation: Activation, *, C_W: float, k1: float, depth: int, width: int) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of ln S^l, l = 1..depth+1, for homogeneous s of degree p and C_b = 0.

    ln S^{l+1} = ln C_W + p ln S^l + ln Y_l with independent Y_l, hence with m = E ln Y, sigma = std ln Y
    mean = p^{l-1} ln k1 + (m + ln C_W) (p^{l-1} - 1) / (p - 1),  variance = sigma^2 (p^{2(l-1)} - 1) / (p^2 - 1).
    """
    p, law = _degree(activation), log_law(activation, width)
    k = np.arange(depth + 1)
    with np.errstate(over="ignore", invalid="ignore"):
        power = p**k
        geometric = (power - 1) / (p - 1) if p != 1 else k.astype(float)
        squares = (p ** (2.0 * k) - 1) / (p * p - 1) if p != 1 else k.astype(float)
        return power * math.log(k1) + (law.mean + math.log(C_W)) * geometric, law.std * np.sqrt(squares)


def blow_up_probability_log_diffusion(
    activation: Activation, *, width: int, k1: float, C_W: float = 1.0, points: int = 4001
) -> float:
    """Return P(blow-up) after infinitely many layers, C_b = 0, from a diffusion in X = ln K with exact moments.

    Drift mu = ln(C_W g / K) - v / (2n), variance v / n a layer, v = E[s^4]/g^2 - 1; the scale function
    sigma(X) = int exp(-int 2 n mu / v) gives P = sigma(ln k1) / sigma(inf), both from ln K -> -inf. Against the chain:
    within .02 at n >= 64, where jumps of ln K are small.
    """
    # The scale density is e^{X} below K ~ 1/n and falls steeply above, where drift wins: nothing beyond [1e-16, 1e4],
    # in units of the activation's own scale where its kinks show a larger one.
    largest = 1e4 * max([1.0, *(kink**2 for kink in activation.kinks)])
    X = np.linspace(math.log(min(k1, 1 / width) * 1e-14), math.log(largest), points | 1)
    K = np.exp(X)
    g = np.asarray(gaussian.mean_square(activation, K))
    v = np.asarray(mean_fourth(activation, K)) / g**2 - 1
    mu = np.log(C_W * g / K) - v / (2 * width)
    exponent = cumulative_simpson(-2 * width * mu / v, x=X, initial=0.0)
    scale = cumulative_simpson(np.exp(exponent - exponent.max()), x=X, initial=0.0)
    # Left of the grid mu and v are constant, so the density is an exponential with the integral density / rate.
    scale += math.exp(exponent[0] - exponent.max()) / max(float(-2 * width * mu[0] / v[0]), 1e-300)
    return float(np.interp(math.log(k1), X, scale) / scale[-1])


def _moment(function, activation: Activation, K: float | np.float64) -> np.float64:
    """One Gaussian moment at one K; nan where K itself is out of range."""
    if not np.isfinite(K):
        return np.float64(np.nan)
    return np.float64(np.asarray(function(activation, np.asarray([K], dtype=np.float64))).reshape(-1)[0])


def _degree(activation: Activation) -> float:
    if activation.degree is None:
        raise ValueError(f"{activation.title} is not homogeneous: ln S has no closed law, use chain()")
    return activation.degree


def _sides(activation: Activation) -> list[float]:
    """|s(1)| and |s(-1)|."""
    with torch.no_grad():
        return activation(torch.tensor([1.0, -1.0], dtype=torch.float64)).abs().tolist()


# Nodes in v = ln x for integrals over x > 0 of functions of x^{2p} against the normal density: trapezoidal rule.
def _nodes(p: float) -> tuple[Floats, Floats]:
    step = min(0.05, 0.12 / p)
    # Not arange(-42, 2.35, step), whose spacing is wrong by 1e-13.
    x = np.exp(step * np.arange(round(-42.0 / step), round(2.35 / step)))
    return x ** (2 * p), step * x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


def _deficit(tau: Floats, p: float, *, zero: bool) -> Floats:
    """E[1 - exp(-tau x^{2p})] over the half line x > 0 (weight 1/2)."""
    if zero:
        return np.zeros_like(tau)
    power, weight = _nodes(p)
    with np.errstate(under="ignore", over="ignore"):
        return np.array([weight @ -np.expm1(-t * power) for t in tau])


def _living(tau: Floats, p: float) -> Floats:
    """E[exp(-tau x^{2p})] over the half line x > 0."""
    power, weight = _nodes(p)
    with np.errstate(under="ignore", over="ignore"):
        return np.array([weight @ np.exp(-t * power) for t in tau])
