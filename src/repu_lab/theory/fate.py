"""From samples of the finite-width law to the fate of a network in a given dtype."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri

from repu_lab.activations import Activation
from repu_lab.theory import kernel
from repu_lab.theory.chain import BatchChain, Chain, batch_chain, leading_power
from repu_lab.theory.kernel import Variances

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

DTYPES = ("float16", "bfloat16", "float32", "float64")
FATES = ("explodes", "vanishes", "collapses correlations", "survives")

# Outputs that correlate less than this with those of the same weights in float64, centred over the inputs, have lost
# the signal: their error is sqrt(3) times the signal. Networks that correlate .87 still train.
KNOWN = 0.5
# They do where they spread over the inputs by this many eps of their size (root mean squares). Measured on networks
# that lose their signal layer by layer, 6 activations, widths 16 to 512: .07 to .17 in float16 and bfloat16, whose
# products are added up in float32, and in float32, whose sums err too, .11 to .23 (width 16), .18 to .48 (64), .34 to
# .60 (256), .24 to .55 (512): the same times width^(1/4).
ROUNDING = 0.12
HALF = ("float16", "bfloat16")
# Below 1 - c = 1e-3 inputs that were orthogonal differ by 4 % of the signal: a network can still learn that, but slowly
# (ReLU gets there at depth 200).
COLLAPSE = 1e-3
# log10 of the largest entry of dL/dW^1 over the rms gain of the backward pass: the slope of the loss (about .3), the
# mean over a batch and the largest of many entries, together within a decade of this. An entry of dL/dz^l belongs to
# one input of the batch, so it is smaller.
LOG10_WEIGHT_GRADIENT = -1.0
LOG10_LAYER_GRADIENT = -2.0
# Below 1 - c = 1e-6 the correlation map is its tangent, while 1 - c as a difference loses its digits.
TANGENT = 1e-6
# Inputs followed together; the extremes of a larger batch are extrapolated from their spread.
MAX_INPUTS = 32
# Work of the batch in units (one neuron, one layer, one input), each about 50 ns.
BATCH_UNITS = 2_000_000
MIN_NETWORKS, MAX_NETWORKS = 5, 200


@dataclass(frozen=True)
class Limits:
    """A dtype's range as log10, and its spacing eps."""

    name: str
    largest: float
    smallest_normal: float
    smallest: float
    eps: float


@dataclass(frozen=True)
class Ends:
    """Layer at which each network ends, 0 where it does not: `exploded` and `died` (networks,)."""

    exploded: Integers
    died: Integers


def limits(dtype: str | torch.dtype) -> Limits:
    """Return the range of a floating dtype, given by name or as a torch dtype; ValueError unless one of DTYPES."""
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise ValueError(f"dtype={name!r} must be one of {', '.join(DTYPES)}")
    info = torch.finfo(getattr(torch, name))
    # The smallest subnormal is tiny * eps, which itself leaves float64 for float64 only in the product's rounding.
    return Limits(
        name,
        math.log10(info.max),
        math.log10(info.tiny),
        math.log10(info.tiny) + math.log10(info.eps),
        info.eps,
    )


def overflow_layers(log10_K: Floats, dtype: str) -> dict[str, int | None]:
    """Return the first layer where K, and where a typical z = sqrt(K), exceeds the dtype's largest number, or None."""
    top = limits(dtype).largest
    return {"K": _first(log10_K > top), "z": _first(log10_K / 2 > top)}


def underflow_layers(log10_K: Floats, dtype: str) -> dict[str, int | None]:
    """Return the first layer where K, and where sqrt(K), falls below the dtype's smallest subnormal, or None."""
    bottom = limits(dtype).smallest
    return {"K": _first(log10_K < bottom), "z": _first(log10_K / 2 < bottom)}


def first_ends(log10_z: Floats, log10_h: Floats, dtype: Limits) -> Ends:
    """Return where networks end, from the largest |z^l| and |s(z^l)| of each layer, (networks, depth + 1) both.

    Exploded at l: some |z^l| overflows, or some |s(z^{l-1})| did, which makes z^l infinite or NaN. Died at l: every
    |z^l|, or every |s(z^{l-1})|, is below the smallest subnormal, so that z^l is zero, or the bias alone.
    """
    before = np.pad(log10_h[:, :-1], ((0, 0), (1, 0)), constant_values=0.0)
    over = (log10_z > dtype.largest) | (before > dtype.largest)
    under = (log10_z < dtype.smallest) | (before < dtype.smallest)
    return Ends(*(np.where(bad.any(1), bad.argmax(1) + 1, 0) for bad in (over, under)))


def follow_batch(
    activation: Activation,
    *,
    C_W: Floats,
    C_b: Floats,
    k1: float,
    width: int,
    inputs: int,
    correlation: float,
    dtype: Limits,
    seed: int,
) -> Ends:
    """Return where networks end with a batch: exploded with the first of `inputs`, died with the last.

    At most MAX_INPUTS inputs are followed exactly; for more, the largest log10 |z| is moved up by the spread of
    log10 S over the inputs of that network times the difference of the expected largest of B and of MAX_INPUTS normal
    numbers (Blom's approximation). 10 to 200 networks, as many as BATCH_UNITS allow: those that end early cost less.
    """
    followed, depth = min(inputs, MAX_INPUTS), len(C_W)
    generator = np.random.default_rng([seed, 1])
    parts: list[BatchChain] = []

    def draw(networks: int) -> None:
        part = batch_chain(
            activation, C_W=C_W, C_b=C_b, k1=k1, depth=depth, width=width, inputs=followed, networks=networks,
            correlation=correlation, ceiling=dtype.largest, seed=generator,
        )  # fmt: skip
        parts.append(part)

    draw(MIN_NETWORKS)
    layers = float(np.isfinite(parts[0].log10_z).sum(1).mean()) + 1
    draw(int(np.clip(BATCH_UNITS / (layers * width * followed), MIN_NETWORKS, MAX_NETWORKS)))
    log10_K, log10_z, log10_h = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("log10_K", "log10_z", "log10_h")
    )
    if inputs > followed:
        finite = np.isfinite(log10_K)
        spread = np.where(finite.all(1), np.std(np.where(finite, log10_K, 0.0), axis=1), 0.0)
        shift = spread / 2 * (_largest_normal(inputs) - _largest_normal(followed))
        log10_z, log10_h = log10_z + shift, log10_h + max(1.0, leading_power(activation)) * shift
    return first_ends(log10_z, log10_h, dtype)


def lost_gradient_layers(samples: Chain, dtype: Limits) -> Integers:
    """Return, for each chain, the largest l whose dL/dz^l underflows if that of dL/dW^1 does, else 0.

    The mean square of dL/dz^l is that of the output's gradient times the gains of the layers from l on.
    """
    assert samples.log10_gain is not None
    with np.errstate(invalid="ignore"):
        gain = np.cumsum(samples.log10_gain[:, ::-1], axis=1)[:, ::-1]
        below = gain / 2 + LOG10_LAYER_GRADIENT < dtype.smallest_normal
        lost = gain[:, 0] / 2 + LOG10_WEIGHT_GRADIENT < dtype.smallest_normal
    last = below.shape[1] - below[:, ::-1].argmax(1)
    return np.where(lost, last, 0)


def rounding(dtype: str | torch.dtype, width: int) -> float:
    """Return the spread of outputs over the inputs, relative to their size, below which it is rounding that is seen."""
    own = limits(dtype)
    return ROUNDING * own.eps * (1.0 if own.name in HALF else width**0.25)


def collapsed_layer(log10_distance: Floats, spread: float) -> int:
    """Return the first layer from which on 1 - c, the squared spread of two inputs, stays below `spread`^2, or 0."""
    below = log10_distance < 2 * math.log10(spread)
    return int(len(below) - below[::-1].argmin()) + 1 if below[-1] and not below.all() else int(below.all())


def log10_one_minus_correlation(
    activation: Activation, *, C_W: Variances, C_b: Variances, k1: float, correlation: float, depth: int
) -> Floats:
    """Return log10(1 - c^l), l = 1..depth+1, for two inputs of K^1 = k1 in the infinitely wide network.

    From `kernel.correlations` while 1 - c > TANGENT, below it by the map's slope, so that it is followed far below the
    rounding of c itself.
    """
    pair = kernel.correlations(activation, C_W, C_b, k1, k1, k1 * correlation, depth)
    with np.errstate(divide="ignore", invalid="ignore"):
        out, log10_gain = np.log10(1 - pair.correlation), np.log10(pair.gain)
    for l in range(depth):
        if not out[l] > math.log10(TANGENT):
            out[l + 1] = out[l] + log10_gain[l]
    return out


def judge(
    ends: Ends, *, lost: Integers, collapsed: int, log10_distance: float
) -> tuple[dict[str, float], Mapping[str, Integers]]:
    """Return the probability of each fate and, for "explodes" and "vanishes", the layers at which it was seen.

    In the order of the lab's outcomes: exploded; then vanished, by an underflow of the signal, by outputs that are
    equal up to rounding (`collapsed` > 0), or by an underflow of the first gradient (`lost`, its own sample); the
    rest collapse correlations if 1 - c at the output is below COLLAPSE, else survive.
    """
    exploded = ends.exploded > 0
    died = ~exploded & (ends.died > 0)
    rest = float((~exploded & ~died).mean())
    fading = 1.0 if collapsed else float((lost > 0).mean())
    quiet = rest * (1 - fading)
    cause = vanishing_cause(ends, lost=lost, collapsed=collapsed)
    collapses = log10_distance < math.log10(COLLAPSE)
    probabilities = {
        "explodes": float(exploded.mean()),
        "vanishes": float(died.mean()) + rest * fading,
        "collapses correlations": quiet if collapses else 0.0,
        "survives": 0.0 if collapses else quiet,
    }
    vanished = {"zero": ends.died[died], "equal": np.array([collapsed]), "gradient": lost[lost > 0]}[cause]
    return probabilities, {"explodes": ends.exploded[exploded], "vanishes": vanished}


def vanishing_cause(ends: Ends, *, lost: Integers, collapsed: int) -> str:
    """Return what makes most of the vanishing networks vanish: "zero", "equal" outputs or the "gradient"."""
    alive = ends.exploded == 0
    died = alive & (ends.died > 0)
    fading = 1.0 if collapsed else float((lost > 0).mean())
    if died.mean() >= float((alive & ~died).mean()) * fading:
        return "zero"
    return "equal" if collapsed else "gradient"


def gradient_depth(samples: Chain, dtype: Limits) -> int:
    """Return the largest depth, up to the chains' own, at which half of the networks keep the gradient of W^1."""
    assert samples.log10_gain is not None
    with np.errstate(invalid="ignore"):
        gone = np.cumsum(samples.log10_gain, axis=1) / 2 + LOG10_WEIGHT_GRADIENT < dtype.smallest_normal
    half = gone.mean(0) > 0.5
    return int(half.argmax()) if half.any() else gone.shape[1]


def survival_depth(ends: Ends, collapsed: int, depth: int) -> int:
    """Return the largest depth <= `depth` at which at least half of the networks neither explode nor vanish.

    A network of depth L has layers up to L + 1, so one that ends at layer l lives at depths up to l - 2.
    """
    last = np.full(len(ends.exploded), depth + 2)
    for layers in (ends.exploded, ends.died, np.full_like(last, collapsed)):
        last = np.where(layers > 0, np.minimum(last, layers), last)
    half = np.sort(last)[::-1][(len(last) - 1) // 2]
    return int(np.clip(half - 2, 0, depth))


def _first(condition: NDArray[np.bool_]) -> int | None:
    return int(condition.argmax()) + 1 if condition.any() else None


def _largest_normal(count: int) -> float:
    return float(ndtri((count - 0.375) / (count + 0.25)))
