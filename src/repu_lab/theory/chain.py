"""The exact law of the signal in a random network of finite width, as a Markov chain (pure float64, no network built).

Given the preactivations' variance S^l of one input, the n units of layer l are independent, z_i = sqrt(S^l) x_i with
x_i ~ N(0, 1), and the next layer's variance is

    S^{l+1} = C_b + (C_W / n) sum_i s(sqrt(S^l) x_i)^2 .

This holds for every activation and every width, since Gaussian weights make W h depend on h through |h|^2 alone: O(n)
work a layer instead of O(n^2). For B inputs the same argument gives a chain in their B x B covariance. Variances are
kept as logarithms, so nothing overflows: where s grows as a power (always so for RePU) s is factored out exactly.

Orthogonal weights keep |h| too: x is then uniform on the sphere |x|^2 = n instead of Gaussian, the biases are added to
it, and B inputs are turned as one (`turning`).

Layer l is z^l, l = 1..depth+1. Where a block skips, the units x_i persist and what the map gives is added to them.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from repu_lab.theory.angles import Floats
from repu_lab.theory.formats import limits
from repu_lab.theory.law import Law, check_positive
from repu_lab.theory.power_law import PowerLaw, largest, log_mean_square
from repu_lab.theory.turning import frames, sphere

LN10 = math.log(10.0)
# Doubles worked on at a time: the few arrays of a step stay within a second-level cache, and memory does not depend
# on the number of chains.
CHUNK = 2**15
BATCH_CHUNK = 2**19
# Added to a correlation matrix before its Cholesky factor is taken: inputs as close as 1 - c = 1e-10 count as one.
JITTER = 1e-10
# Of more inputs than they have dimensions, n_0 at most, the eigenvalues below this share are rounding.
RANK = 1e-10


@dataclass(frozen=True)
class BatchChain:
    """Samples of the law of B inputs through the same network; column l - 1 is layer l.

    `log10_K` (networks, inputs, depth + 1): log10 of each input's variance S^l. `log10_z`, `log10_h` (networks,
    depth + 1): log10 of the largest |z| and |s(z)| over units and inputs. A network that passed `ceiling` holds +inf
    from the layer after on; one in which every input died holds -inf. `log10_distance` (networks,): log10 of the lower
    median of 1 - c at the output over inputs (0, 1), (2, 3), ...; NaN where a network or an input is not followed.
    """

    log10_K: Floats
    log10_z: Floats
    log10_h: Floats
    log10_distance: Floats


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread inside: its arrays here are small, and starting threads made them 20 times slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@one_thread()
def chain(law: Law, chains: int, *, seed: int | np.random.Generator = 0) -> Floats:
    """Return log10 of S^1..S^{depth+1} of `chains` networks for one input with S^1 = k1, (chains, depth + 1).

    Exact in law where all widths are one, see the module's docstring. About 30 ns a unit; memory does not grow with
    width x chains. The same seed gives the same samples. ValueError for chains < 1, k1 < 0.
    """
    check_positive(chains=chains)
    if not law.k1 >= 0 or not math.isfinite(law.k1):
        raise ValueError(f"k1={law.k1!r} must be a finite number >= 0")
    generator = np.random.default_rng(seed)
    rows = max(1, CHUNK // law.width)
    return np.concatenate([_chain_chunk(law, min(rows, chains - start), generator) for start in range(0, chains, rows)])


@one_thread()
def batch_chain(
    law: Law,
    covariance: Floats,
    networks: int,
    *,
    kept: Sequence[int] | None = None,
    seed: int | np.random.Generator = 0,
) -> BatchChain:
    """Draw the variances of inputs that go through the same network, for `networks` networks.

    Given the n x B post-activations h, the rows of z^{l+1} are independent N(0, C_b + (C_W / n) h^T h): one B x B
    Cholesky factor and n B normals a layer, in place of n^2 weights. `covariance` (B, B): of the first preactivations.
    The units of a block that skips persist; log10_K is then that of the size drawn. Networks in which |z| or |s(z)|
    passed the largest number of the law's dtype are followed no further (their fate is known, and they cost most).
    `kept`: how many inputs are followed at each layer, those of the largest variance; log10_K of the others is NaN from
    there on.
    """
    check_positive(networks=networks)
    first = _first_covariance(covariance)
    generator = np.random.default_rng(seed)
    rows = max(1, BATCH_CHUNK // (law.width * len(covariance)))
    counts = [len(covariance)] * (law.depth + 1) if kept is None else list(kept)
    parts = [
        _batch_chunk(law, first, min(rows, networks - start), counts, generator) for start in range(0, networks, rows)
    ]
    return BatchChain(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _chain_chunk(law: Law, chains: int, generator: np.random.Generator) -> Floats:
    (C_W, C_b), depth, block = law.variances, law.depth, law.block
    power, skips = PowerLaw(law.activation), np.append(False, law.skips)  # whether layer l + 1 adds to layer l
    log_K = np.empty((depth + 1, chains))
    x = np.empty((chains, law.width, 1))
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        log_K[0] = np.log(law.k1)
        for l in range(depth):
            before = x.copy() if skips[l] else x
            if law.weights == "orthogonal":
                x = _turned(law, l, log_K[l], generator)
            else:
                generator.standard_normal(out=x)
            if skips[l]:
                log_T, log_K[l] = log_K[l].copy(), np.logaddexp(log_K[l - 1], log_K[l])
                x *= np.exp((log_T - log_K[l]) / 2)[:, None, None]
                x += before * np.exp((log_K[l - 1] - log_K[l]) / 2)[:, None, None]
            h, factor = power.value(*block.units(log_K[l][:, None, None], x))
            log_f, passed = block.after.units(2 * factor, h)
            step = np.log(C_W[l]) + log_mean_square(passed)
            log_K[l + 1] = np.logaddexp(np.log(C_b[l]), step + log_f[:, 0, 0])
    return log_K.T / LN10


def _turned(law: Law, l: int, log_S: Floats, generator: np.random.Generator) -> Floats:
    """Return the units of layer l + 1 behind orthogonal weights, as e^(-log_S / 2) (b + W h), (chains, width, 1)."""
    x = sphere(len(log_S), law.width, law.dimensions[l], generator)
    if not law.shared[l]:
        return x
    share = np.minimum(np.exp(np.log(law.shared[l]) - log_S), 1.0)[:, None, None]
    return np.sqrt(1 - share) * x + np.sqrt(share) * generator.standard_normal(x.shape)


def _first_covariance(covariance: Floats) -> tuple[Floats, Floats]:
    """Return log S^1 of every input, and their correlations."""
    k1_B = np.diagonal(covariance)
    if not (np.isfinite(covariance).all() and (k1_B > 0).all()):
        raise ValueError("k1 of every input must be finite and positive")
    R_BB = covariance / np.sqrt(np.outer(k1_B, k1_B))
    if np.abs(R_BB).max() > 1 + 1e-9 or np.abs(R_BB - R_BB.T).max() > 1e-9:
        raise ValueError("covariance must be a symmetric matrix, of correlations within [-1, 1]")
    R_BB = np.clip((R_BB + R_BB.T) / 2, -1, 1)
    np.fill_diagonal(R_BB, 1.0)
    return np.log(k1_B), R_BB


def _batch_chunk(
    law: Law, first: tuple[Floats, Floats], networks: int, kept: list[int], generator: np.random.Generator
) -> tuple[Floats, Floats, Floats, Floats]:
    log_k1, R_BB = first
    (C_W, C_b), block, depth, inputs = law.variances, law.block, law.depth, len(log_k1)
    power, ceiling = PowerLaw(law.activation), limits(law.dtype).largest
    log_K = np.full((networks, inputs, depth + 1), np.inf)
    log_z, log_h = (np.full((networks, depth + 1), np.inf) for _ in range(2))
    log_distance, pairs = np.full(networks, np.nan), np.arange(0, inputs - 1, 2)
    alive = np.arange(networks)
    log_S = np.tile(log_k1, (networks, 1))
    R = np.tile(R_BB, (networks, 1, 1))
    inputs_left = np.tile(np.arange(inputs), (networks, 1))
    skips = np.append(False, law.skips)  # whether layer l + 1 adds to layer l
    log_before, z, root = log_S, np.zeros((networks, 1, inputs)), None
    if law.weights == "orthogonal" and inputs > law.dimensions[0]:
        shared = np.minimum(np.sqrt(law.shared[0]) * np.exp(-log_k1 / 2), 1.0)
        values, vectors = np.linalg.eigh(R_BB - np.outer(shared, shared))
        some = values > RANK * inputs
        root = (vectors[:, some] * np.sqrt(values[some])).T[None]
    with np.errstate(divide="ignore", over="ignore", invalid="ignore", under="ignore"):
        for l in range(depth + 1):
            if kept[l] < log_S.shape[1]:
                size = np.logaddexp(log_S, log_before) if skips[l] else log_S
                top = np.sort(np.argsort(-size, axis=1, kind="stable")[:, : kept[l]], axis=1)
                log_K[alive[:, None], inputs_left, l:] = np.nan
                inputs_left = np.take_along_axis(inputs_left, top, 1)
                log_S, log_before = (np.take_along_axis(a, top, 1) for a in (log_S, log_before))
                z = np.take_along_axis(z, top[:, None, :], 2)
                R = np.take_along_axis(np.take_along_axis(R, top[:, None, :], 2), top[:, :, None], 1)
                root = None if root is None else np.take_along_axis(root, top[:, None, :], 2)
                log_K[alive[:, None], inputs_left, l:] = np.inf
            if l == depth and len(pairs) and kept[l] == inputs:
                log_distance[alive] = np.log(np.sort(1 - R[:, pairs, pairs + 1])[:, (len(pairs) - 1) // 2])
            if law.weights == "orthogonal":
                x = _turned_together(law, l, R, root, log_S, generator)
            else:
                x = _correlated_normals(R, law.width, generator)
            if skips[l]:
                log_T, log_S = log_S, np.logaddexp(log_S, log_before)
                x = x * np.exp((log_T - log_S) / 2)[:, None, :] + z * np.exp((log_before - log_S) / 2)[:, None, :]
            log_K[alive[:, None], inputs_left, l] = log_S
            h, factor = power.value(*block.units(log_S[:, None, :], x))
            log_z[alive, l] = (log_S / 2 + np.log(largest(x, 1))).max(1)
            log_h[alive, l] = (np.log(largest(h, 1)) + factor[:, 0, :]).max(1)
            log_f, h = block.after.units(2 * factor, h)
            most = largest(h, 1)
            log_m = np.log(most) + log_f[:, 0, :] / 2
            dead = np.isneginf(log_h[alive, l]) & (not (C_b[l:].any() or skips[l + 1 :].any()))
            ended = dead | (np.maximum(log_z[alive, l], log_h[alive, l]) > ceiling * LN10) | (l == depth)
            if l < depth and dead.any():
                for logs in (log_K, log_z, log_h):
                    logs[alive[dead], ..., l + 1 :] = -np.inf
            alive = alive[~ended]
            if not len(alive):
                break
            if ended.any():
                h, most, log_m, log_S, x = (a[~ended] for a in (h, most, log_m, log_S, x))
                inputs_left = inputs_left[~ended]
            log_before, z = log_S, x
            h = h / np.where(most > 0, most, 1.0)[:, None, :]
            h_torch = torch.from_numpy(h)
            gram = (h_torch.mT @ h_torch).numpy() / law.width
            log_C_W, log_C_b = np.log(C_W[l]), np.log(C_b[l])
            diagonal = np.arange(gram.shape[1])
            own = log_C_W + 2 * log_m + np.log(gram[:, diagonal, diagonal])
            log_S = np.logaddexp(log_C_b, own)
            half = np.where(np.isneginf(log_S), 0.0, log_S) / 2
            scale = np.exp(log_C_W / 2 + log_m - half)
            bias = np.exp(log_C_b / 2 - half)
            R = gram * scale[:, :, None] * scale[:, None, :] + bias[:, :, None] * bias[:, None, :]
            R[:, diagonal, diagonal] = 1.0
            root = h * (scale / law.width**0.5)[:, None, :] if h.shape[2] > law.width else None
    return log_K / LN10, log_z / LN10, log_h / LN10, log_distance / LN10


def _turned_together(
    law: Law, l: int, R: Floats, root: Floats | None, log_S: Floats, generator: np.random.Generator
) -> Floats:
    """Return the units of layer l + 1 behind orthogonal weights for all inputs, of variance 1 each.

    R: their correlations; `root`: that of what the weights see, n x B, where it is not to be had from R.
    """
    shared = np.minimum(np.sqrt(law.shared[l]) * np.exp(-log_S / 2), 1.0) if law.shared[l] else np.zeros_like(log_S)
    if root is None:
        root = _factor(R - shared[:, :, None] * shared[:, None, :]).mT.numpy()
    rank = root.shape[1]
    U = frames(len(R), law.width, max(law.dimensions[l], rank), rank, generator)
    x = (torch.from_numpy(U) @ torch.from_numpy(root)).numpy()
    if law.shared[l]:
        x += generator.standard_normal((len(R), law.width, 1)) * shared[:, None, :]
    return x


def _correlated_normals(R: Floats, width: int, generator: np.random.Generator) -> Floats:
    """(networks, width, inputs) standard normals, independent over units, correlated over inputs as R says."""
    networks, inputs, _ = R.shape
    x = generator.standard_normal((networks, width, inputs))
    if inputs == 1:
        return x
    # torch's product, not numpy's, whose threads nothing here could hold back.
    return (torch.from_numpy(x) @ _factor(R).mT).numpy()


def _factor(R: Floats) -> torch.Tensor:
    """Return F with F F^T = R."""
    inputs = R.shape[1]
    factor, info = torch.linalg.cholesky_ex(torch.from_numpy(R + JITTER * np.eye(inputs)))
    if info.any():
        # Rounding made a matrix of rank below B indefinite by more than the jitter: clip its eigenvalues instead.
        values, vectors = np.linalg.eigh(R)
        factor = torch.from_numpy(vectors * np.sqrt(np.clip(values, 0, None))[:, None, :])
    return factor
