"""Two inputs through the same random network of finite width, as the first one and the difference of the second to it.

Given h = s(z) of the first input and the difference dh = s(z + d) - s(z), the units of the next layer's branch b + W h
and of its difference W dh are independent pairs of Gaussians with the covariance

    [ C_b + (C_W / n) h.h    (C_W / n) h.dh  ]
    [     (C_W / n) h.dh     (C_W / n) dh.dh ] .

Of orthogonal weights, which keep all lengths and angles, W h and W dh are uniform among vectors of that covariance
(`turning`). Exact in law at every width. z and d have sizes of their own, kept as logarithms, and dh = s'(z) d where d
is far below z, so inputs are told apart at 1 - c = 1e-300 as at 1 - c = 1. Where a block skips the branch is added to z
and d, whose units persist. An error of rounding is such a difference too; its size is followed by the same gain,

    N^{l+1} = (C_W / n) sum_i s'(z_i)^2 xi_i^2 N^l [+ N^l] + rounding^2 S^{l+1} ,

with xi_i ~ N(0, 1), or xi on the sphere, and so is a gradient on its way back.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from repu_lab.blocks import Block
from repu_lab.blocks.maps import LOG_CLOSE
from repu_lab.theory.chain import CHUNK, LN10, one_thread
from repu_lab.theory.formats import limits
from repu_lab.theory.inputs import Pair
from repu_lab.theory.law import Law, check_positive
from repu_lab.theory.power_law import Floats, PowerLaw, largest, log_mean_square
from repu_lab.theory.rates import FEW, NODES, WEIGHTS
from repu_lab.theory.turning import frames, sphere

# z + d below this share of z: 1 - r^2 is about its square, and known to 1e-16.
LOST = 1e-6
# An activation's own arithmetic counts where it errs by more than so many eps: ordinary ones are right to one or two.
OWN_ERRORS, LOST_NOISE = 8.0, 1e30
# ln S beyond this is as good as infinite, or 0, and its differences are still numbers.
LARGEST_LOG = 1e300


@dataclass(frozen=True)
class PairChain:
    """Samples of the law of two inputs; arrays (chains, depth + 1), column l - 1 for layer l.

    `log10_K`: log10 of the variance S^l of the first input (where a block skips: of z^{l-1} as drawn and its branch).
    `log10_z`, `log10_h`: of its largest |z_i| and |s(z_i)|. `log10_gain` (depth columns): of the factor by which the
    mean square of a gradient grows from layer l+1 back to l. `log10_spread`: of D / 2S, the mean square difference of
    the inputs over twice that of the first. `log10_distance`: of 1 - c, NaN where the second input is far below the
    first, whose angle is lost (RePU squares their ratio at each layer; as likely as the converse). `log10_noise`: of
    N / S, mean square error of rounding, of which every layer adds what the law's dtype does; `log10_own` (depth
    columns): what the arithmetic of s adds beyond that.
    """

    log10_K: Floats
    log10_z: Floats
    log10_h: Floats
    log10_gain: Floats
    log10_spread: Floats
    log10_distance: Floats
    log10_noise: Floats
    log10_own: Floats


@one_thread()
def pair_chain(law: Law, pair: Pair, chains: int, *, seed: int | np.random.Generator = 0) -> PairChain:
    """Draw `chains` networks for two inputs.

    About 80 ns a unit; memory does not grow with width x chains. ValueError for chains < 1, and unless K^1 and the
    ratio of the pair are finite and positive and 0 <= distance <= 2.
    """
    check_positive(chains=chains)
    k1, ratio, distance = pair.k1, pair.ratio, pair.distance
    if not (0 < k1 < math.inf and 0 < ratio < math.inf and 0 <= distance <= 2):
        raise ValueError(
            f"k1={k1!r}, ratio={ratio!r}, distance={distance!r}: need k1, ratio > 0 and 0 <= distance <= 2"
        )
    generator = np.random.default_rng(seed)
    rows = max(1, CHUNK // law.width)
    drawing = _Drawing(law, PowerLaw(law.activation), *law.variances)
    parts = [drawing.draw(pair, min(rows, chains - start), generator) for start in range(0, chains, rows)]
    return PairChain(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


@dataclass(frozen=True)
class _Covariance:
    """Of z and d, or of their branch: log variances and the correlation r of the two; (chains,) each."""

    log_S: Floats
    log_D: Floats
    r: Floats

    def log_distance(self) -> Floats:
        """Log of 1 - c, c the correlation of z and z + d, by the tangent of their angle: right at any size of d.

        NaN where z + d is so far below z that r, to 1e-16, does not know its angle.
        """
        log_q = np.minimum((self.log_D - self.log_S) / 2, 300.0)
        q = np.exp(log_q)
        side, up = 1 + q * self.r, np.sqrt(np.maximum(1 - self.r**2, 0.0))
        t = q * up / side
        root = np.hypot(1.0, t)
        # 1 - 1/root = t^2 / (root (root + 1)), with q^2 taken out, which may underflow.
        near = 2 * log_q + 2 * np.log(up / np.abs(side)) - np.log(root * (root + 1))
        distance = np.nan_to_num(np.where(side > 0, near, np.log(1 + 1 / root)), nan=0.0, neginf=-np.inf)
        return np.where(np.hypot(side, q * up) < LOST, np.nan, distance)


class _Layer(NamedTuple):
    """Of a layer's chains z = e^(size / 2) x, what s sees e^(seen / 2) u, s = e^log_f h and s' = e^log_s slope."""

    size: Floats
    x: Floats
    seen: Floats
    u: Floats
    h: Floats
    log_f: Floats
    slope: Floats
    log_s: Floats


@dataclass(frozen=True)
class _Drawing:
    law: Law
    power: PowerLaw
    C_W: Floats
    C_b: Floats

    @property
    def block(self) -> Block:
        return self.law.block

    def draw(self, pair: Pair, chains: int, generator: np.random.Generator) -> tuple[Floats, ...]:
        """Return the arrays of a PairChain."""
        width = self.law.width
        log_eps = math.log(limits(self.law.dtype).rounding(width))
        depth = len(self.C_W)
        skips = np.append(False, self.law.skips)  # whether layer l + 1 adds to layer l
        columns = [np.empty((depth + 1, chains)) for _ in range(7)]
        log_K, log_z, log_h, log_gain, log_spread, log_distance, log_noise = columns
        with np.errstate(divide="ignore", over="ignore", invalid="ignore", under="ignore"):
            covariance = _first(pair, chains)
            log_S, log_D = covariance.log_S, covariance.log_D
            x = y = np.zeros((chains, width, 1))
            log_N = np.full(chains, -LARGEST_LOG)
            log_own, log_error = np.full((depth + 1, chains), -LARGEST_LOG), self._own_error()
            for l in range(depth + 1):
                g, f = self._units(l, covariance, chains, generator)
                if skips[l]:
                    own = _moments(x, y, log_S, log_D)
                    log_S, x = _add(log_S, x, covariance.log_S, g)
                    log_D, y = _add(log_D, y, covariance.log_D, f)
                    covariance = _sum(own, covariance)
                else:
                    log_S, log_D, x, y = covariance.log_S, covariance.log_D, g, f
                log_K[l] = covariance.log_S
                log_distance[l] = covariance.log_distance()
                log_spread[l] = covariance.log_D - covariance.log_S - math.log(2)
                log_N = np.logaddexp(log_N, np.maximum(2 * log_eps, log_own[l - 1]) + covariance.log_S)
                log_noise[l] = log_N - covariance.log_S
                size, moved = log_S[:, None, None], log_D[:, None, None]
                seen, u = self.block.units(size, x)
                h, log_f = self.power.value(seen, u)
                log_z[l] = log_S / 2 + np.log(largest(x, (1, 2)))
                log_h[l] = np.log(largest(h, (1, 2))) + log_f[:, 0, 0]
                if l == depth:
                    break
                log_own[l] = log_error(float(np.median(seen)))
                layer = _Layer(size, x, seen, u, h, log_f, *self.power.slope(seen, u))
                xi = sphere(chains, width, width, generator) if self.turns else self._normal(chains, generator)
                log_chi = np.log(self.C_W[l]) + self._gain(layer, xi)
                log_back = log_chi
                if self.invariant and l < depth - 1 and not skips[l + 1]:
                    passed = self.block.after.units(2 * log_f, h)
                    log_back = np.log(self.C_W[l]) + self._gain(layer, self._across(l, *passed, xi))
                if skips[l + 1]:
                    log_chi = log_back = np.logaddexp(0.0, log_chi)
                log_gain[l] = _bounded(log_back)
                log_N = _bounded(log_N + _bounded(log_chi))
                moved, v = self.block.change(size, x, moved, y)
                dh, log_d = self._difference(layer, moved[:, 0, 0], v)
                log_dh, dh = self.block.after.change(2 * log_f, h, 2 * log_d[:, None, None], dh)
                log_f, h = self.block.after.units(2 * log_f, h)
                covariance = self._next(l, h, log_f[:, 0, 0] / 2, dh, log_dh[:, 0, 0] / 2)
        rows = (log_K, log_z, log_h, log_gain[:depth], log_spread, log_distance, log_noise, log_own[:depth])
        return tuple(row.T / LN10 for row in rows)

    @property
    def turns(self) -> bool:
        """Whether weights are orthogonal: W^T g keeps the length of a gradient g, as W h keeps that of h."""
        return self.law.weights == "orthogonal"

    def _normal(self, chains: int, generator: np.random.Generator) -> Floats:
        return generator.standard_normal((chains, self.law.width, 1))

    def _units(self, l: int, of: _Covariance, chains: int, generator: np.random.Generator) -> tuple[Floats, Floats]:
        """Return z and d of layer l + 1, or its branch, each over its root mean square."""
        r = of.r[:, None, None]
        if not self.turns:
            g, f = (self._normal(chains, generator) for _ in range(2))
            return g, r * g + np.sqrt(np.maximum(1 - r**2, 0.0)) * f
        width, dimension = self.law.width, self.law.dimensions[l]
        U = frames(chains, width, dimension, min(2, dimension), generator)
        g, f = U[:, :, :1], U[:, :, -1:]
        if not self.law.shared[l]:
            return g, r * g + np.sqrt(np.maximum(1 - r**2, 0.0)) * f
        share = np.minimum(np.exp(np.log(self.law.shared[l]) - of.log_S), 1.0)[:, None, None]
        own = np.sqrt(1 - share)
        r = np.clip(np.nan_to_num(r / own), -1.0, 1.0)  # of W h and W dh, of which the biases are no part
        z = own * g + np.sqrt(share) * self._normal(chains, generator)
        return z, r * g + np.sqrt(1 - r**2) * f

    def _own_error(self) -> Callable[[float], float]:
        """Return log of N / S that s adds in the law's dtype by itself, as a function of ln K of what it is applied to.

        By the correlation 1 / sqrt(1 + N / S) with its exact values; -LARGEST_LOG where that is a rounding, or unknown.
        """
        dtype, activation = getattr(torch, self.law.dtype), self.law.activation
        if dtype == torch.float64 or activation.degree is not None:
            return lambda log_K: -LARGEST_LOG
        own, weights = copy.deepcopy(activation).to(dtype), torch.from_numpy(WEIGHTS[::FEW])
        small = (OWN_ERRORS * limits(self.law.dtype).eps) ** 2

        def error(log_K: float) -> float:
            z = torch.from_numpy(NODES[::FEW] * math.exp(min(log_K, 600.0) / 2)).to(dtype)
            with torch.no_grad():
                s, exact = own(z).double(), activation(z.double())
            square, exact_square = (float((weights * h * h).sum()) for h in (s, exact))
            common = float((weights * s * exact).sum()) ** 2
            if not (math.isfinite(square) and 0 < exact_square < math.inf):
                return -LARGEST_LOG
            noise = square * exact_square / common - 1 if common > 0 else math.inf
            return math.log(min(noise, LOST_NOISE)) if noise > small else -LARGEST_LOG

        return error

    @property
    def invariant(self) -> bool:
        """Whether the network behind a hidden layer does not see the size of its z, so that z . dL/dz = 0."""
        return self.block.before.scale_free or (self.block.after.scale_free and self.law.activation.degree is not None)

    def _gain(self, layer: _Layer, xi: Floats) -> Floats:
        """Log of the mean square of J^T xi, J = dh/dz, for a gradient xi in h; normalizations are symmetric."""
        log_xi, xi = self.block.after.change(2 * layer.log_f, layer.h, np.zeros_like(layer.size), xi, small=True)
        log_xi, xi = self.block.change(layer.size, layer.x, 2 * layer.log_s + log_xi, layer.slope * xi, small=True)
        return log_mean_square(xi) + log_xi[:, 0, 0]

    def _across(self, l: int, log_f: Floats, h: Floats, xi: Floats) -> Floats:
        """Return W^T g for a gradient g with z . g = 0, z = b + W h: along h only what the biases leave, C_b / S.

        The factor is 1 - O(1/n), but s' is largest where h is: for RePU_2 behind RMSNorm the gain is 10/n smaller.
        """
        square = log_mean_square(h)
        log_own = np.log(self.C_W[l]) + square + log_f[:, 0, 0]
        left = np.sqrt(np.exp(-np.logaddexp(0.0, log_own - np.log(self.C_b[l])))) if self.C_b[l] else 0.0
        along = np.einsum("min,min->m", h, xi) / h.shape[1] / np.exp(square) * (1 - left)
        across = xi - h * along[:, None, None]
        return across * np.exp(-log_mean_square(across) / 2)[:, None, None] if self.turns else across

    def _difference(self, layer: _Layer, log_D: Floats, y: Floats) -> tuple[Floats, Floats]:
        """S(z + d) - s(z) / e^f and f, for d = e^(log_D / 2) y."""
        log_S, log_f, log_s = (log[:, 0, 0] for log in (layer.seen, layer.log_f, layer.log_s))
        x, h, slope = layer.u, layer.h, layer.slope
        near = log_D - log_S < LOG_CLOSE
        if near.all():
            return slope * y, log_s + log_D / 2
        top = np.maximum(log_S, log_D)
        v = _scaled(x, log_S - top) + _scaled(y, log_D - top)
        h_v, log_v = self.power.value(top[:, None, None], v)
        log_v = log_v[:, 0, 0]
        scale = np.maximum(log_f, log_v)
        dh = _scaled(h_v, 2 * (log_v - scale)) - _scaled(h, 2 * (log_f - scale))
        if not near.any():
            return dh, scale
        return np.where(near[:, None, None], slope * y, dh), np.where(near, log_s + log_D / 2, scale)

    def _next(self, l: int, h: Floats, log_f: Floats, dh: Floats, log_d: Floats) -> _Covariance:
        of = _moments(h, dh)
        log_own = np.log(self.C_W[l]) + of.log_S + 2 * log_f
        log_S = np.logaddexp(np.log(self.C_b[l]), log_own)
        log_D = np.log(self.C_W[l]) + of.log_D + 2 * log_d
        r = np.nan_to_num(of.r * np.exp((log_own - log_S) / 2), nan=0.0)
        return _Covariance(_bounded(log_S), _bounded(log_D), r)


def _first(pair: Pair, chains: int) -> _Covariance:
    k1, ratio, distance = pair.k1, pair.ratio, pair.distance
    root = math.sqrt(ratio)
    D = (root - 1) ** 2 + 2 * root * distance
    r = ((1 - distance) * root - 1) / math.sqrt(D) if D else 0.0
    log_D = math.log(k1) + math.log(D) if D else -LARGEST_LOG
    return _Covariance(*(np.full(chains, v) for v in (math.log(k1), log_D, min(1.0, max(-1.0, r)))))


def _bounded(log: Floats) -> Floats:
    return np.clip(log, -LARGEST_LOG, LARGEST_LOG)


def _scaled(x: Floats, log_square: Floats) -> Floats:
    return x * np.exp(log_square / 2)[:, None, None]


def _add(log_a: Floats, x: Floats, log_b: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Sum of e^{a/2} x and e^{b/2} y in the same form."""
    log_c = np.logaddexp(log_a, log_b)
    return log_c, _scaled(x, log_a - log_c) + _scaled(y, log_b - log_c)


def _moments(x: Floats, y: Floats, log_S: Any = 0.0, log_D: Any = 0.0) -> _Covariance:
    own, other = log_mean_square(x), log_mean_square(y)
    cross = np.einsum("min,min->m", x, y) / x.shape[1] * np.exp(-(own + other) / 2)
    return _Covariance(log_S + own, log_D + other, np.nan_to_num(np.clip(cross, -1, 1)))


def _sum(a: _Covariance, b: _Covariance) -> _Covariance:
    log_S, log_D = np.logaddexp(a.log_S, b.log_S), np.logaddexp(a.log_D, b.log_D)
    r = sum(c.r * np.exp((c.log_S + c.log_D - log_S - log_D) / 2) for c in (a, b))
    return _Covariance(log_S, log_D, np.nan_to_num(np.clip(r, -1, 1)))
