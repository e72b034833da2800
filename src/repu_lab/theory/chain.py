"""The exact law of the signal in a random network of finite width, as a Markov chain (pure float64, no network built).

Given the preactivations' variance S^l of one input, the n units of layer l are independent, z_i = sqrt(S^l) x_i with
x_i ~ N(0, 1), and the next layer's variance is

    S^{l+1} = C_b + (C_W / n) sum_i s(sqrt(S^l) x_i)^2 .

This holds for every activation and every width, since Gaussian weights make W h depend on h through |h|^2 alone: O(n)
work a layer instead of O(n^2). For B inputs the same argument gives a chain in their B x B covariance. Variances are
kept as logarithms, so nothing overflows: where s grows as a power (always so for RePU) s is factored out exactly.

Layer l is z^l, l = 1..depth+1; C_W and C_b belong to the affine maps 2..depth+1: one number, or one for each map.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from repu_lab.activations import Activation
from repu_lab.blocks import PLAIN, Block
from repu_lab.theory.kernel import Variances, per_map
from repu_lab.theory.power_law import PowerLaw, largest, log_mean_square

Floats = NDArray[np.float64]

LN10 = math.log(10.0)
# Doubles worked on at a time: the few arrays of a step stay within a second-level cache, and memory does not depend
# on the number of chains.
CHUNK = 2**15
BATCH_CHUNK = 2**19
# Added to a correlation matrix before its Cholesky factor is taken: inputs as close as 1 - c = 1e-10 count as one.
JITTER = 1e-10


@dataclass(frozen=True)
class Chain:
    """Samples of the one-input law; every array is (chains, depth + 1), column l - 1 for layer l.

    `log10_K`: log10 of the variance S^l. `y`: p^{-(l-1)} ln S^l, which stays finite where ln S itself leaves float64
    (homogeneous activations of degree p > 1 only, else None). `log10_z`, `log10_h`: log10 of the largest |z_i| and
    |s(z_i)| among the n units. `log10_gain`: log10 of (C_W / n) sum_i s'(z_i)^2, the factor by which the mean square of
    a gradient grows from layer l+1 back to layer l (depth columns). The last three are None unless asked for.
    """

    log10_K: Floats
    y: Floats | None = None
    log10_z: Floats | None = None
    log10_h: Floats | None = None
    log10_gain: Floats | None = None


@dataclass(frozen=True)
class BatchChain:
    """Samples of the law of B inputs through the same network; column l - 1 is layer l.

    `log10_K` (networks, inputs, depth + 1): log10 of each input's variance S^l. `log10_z`, `log10_h` (networks,
    depth + 1): log10 of the largest |z| and |s(z)| over units and inputs. A network that passed `ceiling` holds +inf
    from the layer after on; one in which every input died holds -inf.
    """

    log10_K: Floats
    log10_z: Floats
    log10_h: Floats


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
def chain(
    activation: Activation,
    *,
    C_W: Variances,
    C_b: Variances,
    k1: float,
    depth: int,
    width: int,
    chains: int,
    seed: int | np.random.Generator = 0,
    details: bool = False,
) -> Chain:
    """Draw `chains` independent networks' S^1..S^{depth+1} for one input with S^1 = k1.

    Exact in law, see the module's docstring. `details` adds the largest |z|, the largest |s(z)| and the gradient gain
    of every layer, at about twice the cost. About 30 ns a unit; memory does not grow with width x chains. The same seed
    gives the same samples. ValueError for depth, width or chains < 1, C_W < 0, C_b < 0, k1 < 0.
    """
    C_W_l, C_b_l = per_map(C_W, C_b, depth)
    check_positive(width=width, chains=chains)
    if not k1 >= 0 or not math.isfinite(k1):
        raise ValueError(f"k1={k1!r} must be a finite number >= 0")
    generator = np.random.default_rng(seed)
    law = PowerLaw(activation)
    rows = max(1, CHUNK // width)
    parts = [
        _chain_chunk(law, C_W_l, C_b_l, k1, width, min(rows, chains - start), generator, details)
        for start in range(0, chains, rows)
    ]
    joined = {
        name: None if getattr(parts[0], name) is None else np.concatenate([getattr(part, name) for part in parts])
        for name in ("y", "log10_z", "log10_h", "log10_gain")
    }
    return replace(Chain(np.concatenate([part.log10_K for part in parts])), **joined)


@one_thread()
def batch_chain(
    activation: Activation,
    *,
    C_W: Variances,
    C_b: Variances,
    k1: float | Floats,
    depth: int,
    width: int,
    inputs: int,
    networks: int,
    correlation: float | Floats = 0.0,
    block: Block = PLAIN,
    ceiling: float = math.inf,
    kept: Sequence[int] | None = None,
    seed: int | np.random.Generator = 0,
) -> BatchChain:
    """Draw the variances of `inputs` inputs that go through the same network, for `networks` networks.

    Given the n x B post-activations h, the rows of z^{l+1} are independent N(0, C_b + (C_W / n) h^T h): one B x B
    Cholesky factor and n B normals a layer, in place of n^2 weights. `k1`: S^1, one number or one for each input.
    `correlation`: of the first preactivations, one number for all pairs or the B x B matrix. The units of a `block`
    that skips persist; log10_K is then that of the size drawn. Networks in
    which |z| or |s(z)| passed 10^ceiling are followed no further (their fate is known, and they cost most). `kept`: how
    many inputs are followed at each layer, those of the largest variance; log10_K of the others is NaN from there on.
    """
    C_W_l, C_b_l = (block.shares(depth) * v for v in per_map(C_W, C_b, depth))
    check_positive(width=width, inputs=inputs, networks=networks)
    generator = np.random.default_rng(seed)
    log_k1, R_BB = _first_covariance(k1, correlation, inputs)
    law = PowerLaw(activation)
    rows = max(1, BATCH_CHUNK // (width * inputs))
    counts = [inputs] * (depth + 1) if kept is None else list(kept)
    parts = [
        _batch_chunk(
            law, C_W_l, C_b_l, log_k1, R_BB, width, min(rows, networks - start), block, ceiling, counts, generator
        )
        for start in range(0, networks, rows)
    ]
    return BatchChain(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def check_positive(**counts: int) -> None:
    """Raise ValueError unless every count is an integer of at least 1."""
    for name, value in counts.items():
        if isinstance(value, bool) or int(value) != value or value < 1:
            raise ValueError(f"{name}={value!r} must be an integer of at least 1")


def _chain_chunk(
    law: PowerLaw,
    C_W: Floats,
    C_b: Floats,
    k1: float,
    width: int,
    chains: int,
    generator: np.random.Generator,
    details: bool,
) -> Chain:
    depth, p = len(C_W), law.degree
    homogeneous = p is not None and p > 1 and not C_b.any()
    log_K = np.empty((depth + 1, chains))
    y = np.empty((depth + 1, chains)) if homogeneous else None
    log_z, log_h, log_gain = (np.empty((depth + 1, chains)) for _ in range(3))
    x = np.empty((chains, width, 1))
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        log_K[0] = np.log(k1)
        if y is not None:
            y[0] = log_K[0]
        for l in range(depth + 1 if details else depth):
            generator.standard_normal(out=x)
            log_S = log_K[l][:, None, None]
            h, factor = law.value(log_S, x)
            if details:
                log_z[l] = log_K[l] / 2 + np.log(largest(x, (1, 2)))
                log_h[l] = np.log(largest(h, (1, 2))) + factor[:, 0, 0]
            if l == depth:
                break
            log_C_W, log_C_b = np.log(C_W[l]), np.log(C_b[l])
            step = log_C_W + log_mean_square(h)
            log_K[l + 1] = np.logaddexp(log_C_b, step + 2 * factor[:, 0, 0])
            if y is not None and p is not None:
                # Where ln S leaves float64 only y is left; inf - inf does not arise since y is summed on its own.
                y[l + 1] = y[l] + step * p ** -float(l + 1)
                log_K[l + 1] = y[l + 1] * p ** float(l + 1) if l < 1000 / math.log2(p) else np.inf * y[l + 1]
            if details:
                slope, factor = law.slope(log_S, x)
                log_gain[l] = log_C_W + log_mean_square(slope) + 2 * factor[:, 0, 0]
    if not details:
        return Chain(log_K.T / LN10, None if y is None else y.T)
    return Chain(
        log_K.T / LN10,
        None if y is None else y.T,
        log_z.T / LN10,
        log_h.T / LN10,
        log_gain[:depth].T / LN10,
    )


def _first_covariance(k1: float | Floats, correlation: float | Floats, inputs: int) -> tuple[Floats, Floats]:
    k1_B = np.broadcast_to(np.asarray(k1, dtype=np.float64), (inputs,))
    if not (np.isfinite(k1_B).all() and (k1_B > 0).all()):
        raise ValueError(f"k1={k1!r} must be finite and positive, one number or {inputs}")
    R_BB = np.array(np.broadcast_to(np.asarray(correlation, dtype=np.float64), (inputs, inputs)))
    np.fill_diagonal(R_BB, 1.0)
    if not np.abs(R_BB).max() <= 1 or not np.array_equal(R_BB, R_BB.T):
        raise ValueError("correlation must be one number or a symmetric matrix, within [-1, 1]")
    return np.log(k1_B), R_BB


def _batch_chunk(
    law: PowerLaw,
    C_W: Floats,
    C_b: Floats,
    log_k1: Floats,
    R_BB: Floats,
    width: int,
    networks: int,
    block: Block,
    ceiling: float,
    kept: list[int],
    generator: np.random.Generator,
) -> tuple[Floats, Floats, Floats]:
    depth, inputs = len(C_W), len(log_k1)
    log_K = np.full((networks, inputs, depth + 1), np.inf)
    log_z, log_h = (np.full((networks, depth + 1), np.inf) for _ in range(2))
    alive = np.arange(networks)
    log_S = np.tile(log_k1, (networks, 1))
    R = np.tile(R_BB, (networks, 1, 1))
    who = np.tile(np.arange(inputs), (networks, 1))
    skips = np.append(False, block.skipped(depth))  # whether layer l + 1 adds to layer l
    log_before, z = log_S, np.zeros((networks, 1, inputs))
    with np.errstate(divide="ignore", over="ignore", invalid="ignore", under="ignore"):
        for l in range(depth + 1):
            if kept[l] < log_S.shape[1]:
                size = np.logaddexp(log_S, log_before) if skips[l] else log_S
                top = np.sort(np.argsort(-size, axis=1, kind="stable")[:, : kept[l]], axis=1)
                log_K[alive[:, None], who, l:] = np.nan
                who = np.take_along_axis(who, top, 1)
                log_S, log_before = (np.take_along_axis(a, top, 1) for a in (log_S, log_before))
                z = np.take_along_axis(z, top[:, None, :], 2)
                R = np.take_along_axis(np.take_along_axis(R, top[:, None, :], 2), top[:, :, None], 1)
                log_K[alive[:, None], who, l:] = np.inf
            x = _correlated_normals(R, width, generator)
            if skips[l]:
                log_T, log_S = log_S, np.logaddexp(log_S, log_before)
                x = x * np.exp((log_T - log_S) / 2)[:, None, :] + z * np.exp((log_before - log_S) / 2)[:, None, :]
            log_K[alive[:, None], who, l] = log_S
            h, factor = law.value(*block.units(log_S[:, None, :], x))
            log_z[alive, l] = (log_S / 2 + np.log(largest(x, 1))).max(1)
            log_h[alive, l] = (np.log(largest(h, 1)) + factor[:, 0, :]).max(1)
            log_f, h = block.after.units(2 * factor, h)
            most = largest(h, 1)
            log_m = np.log(most) + log_f[:, 0, :] / 2
            dead = np.isneginf(log_h[alive, l]) & (not (C_b[l:].any() or skips[l + 1 :].any()))
            ended = dead | (np.maximum(log_z[alive, l], log_h[alive, l]) > ceiling * LN10) | (l == depth)
            if l < depth and dead.any():
                log_K[alive[dead], :, l + 1 :] = -np.inf
                log_z[alive[dead], l + 1 :] = -np.inf
                log_h[alive[dead], l + 1 :] = -np.inf
            alive = alive[~ended]
            if not len(alive):
                break
            if ended.any():
                h, most, log_m, log_S, x = (a[~ended] for a in (h, most, log_m, log_S, x))
                who = who[~ended]
            log_before, z = log_S, x
            h = h / np.where(most > 0, most, 1.0)[:, None, :]
            h_torch = torch.from_numpy(h)
            gram = (h_torch.mT @ h_torch).numpy() / width
            log_C_W, log_C_b = np.log(C_W[l]), np.log(C_b[l])
            diagonal = np.arange(gram.shape[1])
            own = log_C_W + 2 * log_m + np.log(gram[:, diagonal, diagonal])
            log_S = np.logaddexp(log_C_b, own)
            half = np.where(np.isneginf(log_S), 0.0, log_S) / 2
            scale = np.exp(log_C_W / 2 + log_m - half)
            bias = np.exp(log_C_b / 2 - half)
            R = gram * scale[:, :, None] * scale[:, None, :] + bias[:, :, None] * bias[:, None, :]
            R[:, diagonal, diagonal] = 1.0
    return log_K / LN10, log_z / LN10, log_h / LN10


def _correlated_normals(R: Floats, width: int, generator: np.random.Generator) -> Floats:
    """(networks, width, inputs) standard normals, independent over units, correlated over inputs as R says."""
    networks, inputs, _ = R.shape
    x = generator.standard_normal((networks, width, inputs))
    if inputs == 1:
        return x
    factor, info = torch.linalg.cholesky_ex(torch.from_numpy(R + JITTER * np.eye(inputs)))
    if info.any():
        # Rounding made a matrix of rank below B indefinite by more than the jitter: clip its eigenvalues instead.
        values, vectors = np.linalg.eigh(R)
        factor = torch.from_numpy(vectors * np.sqrt(np.clip(values, 0, None))[:, None, :])
    # torch's product, not numpy's, whose threads nothing here could hold back.
    return (torch.from_numpy(x) @ factor.mT).numpy()
