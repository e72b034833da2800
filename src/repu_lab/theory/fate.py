"""From samples of the finite-width law to the fate of a network in a given dtype."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from repu_lab.theory.angles import Floats
from repu_lab.theory.chain import BatchChain, batch_chain
from repu_lab.theory.formats import Limits, limits
from repu_lab.theory.inputs import SAME_SIZE, Batch
from repu_lab.theory.law import Law
from repu_lab.theory.pair_chain import PairChain
from repu_lab.theory.power_law import leading_power
from repu_lab.theory.rates import absolute_moments

Integers = NDArray[np.int64]

FATES = ("explodes", "vanishes", "collapses correlations", "survives")

# A network's outputs are lost when those of its own dtype and those of the same weights in float64, both centred over
# the inputs, correlate by less than this: half of what they say of the input is then rounding (R^2 = 1/4).
KNOWN = 0.5
# Outputs that spread over the inputs by more than this many eps of their size tell them apart, whatever rounding does:
# the errors of healthy networks reach 5.5 eps (ReLU, depth 150, bfloat16), and larger ones are those of chaotic
# networks, which enlarge every difference. Only what spreads less is compared with float64.
DOUBTFUL = 16.0
# Below 1 - c = 1e-3 inputs that were orthogonal differ by 4 % of the signal: a network can still learn that, but slowly
# (ReLU gets there at depth 200).
COLLAPSE = 1e-3
# log10 of the largest entry of dL/dW^1 over that of the output's gradient carried back by the gains: the slope of the
# loss, the mean over a batch and the largest of many entries together.
LOG10_WEIGHT_GRADIENT = 0.0
# An entry of dL/dz^l belongs to one input of the batch, so it is smaller.
LOG10_LAYER_GRADIENT = -1.0
# What theory does not know of one network's thresholds (how its errors add up, its data), as standard deviations of
# log10: without them a forecast near a threshold is certain and wrong.
SPREAD_KNOWN, SPREAD_GRADIENT, SPREAD_COLLAPSE = 0.3, 0.3, 0.15
# The share of the variance of log(1 - c) that all pairs of a network have in common. The standard deviation of their
# median is, over 84 configurations, .71 of a pair's in batches of 20 inputs or more, .86 in those of 4 to 19.
SHARED = 0.5
# Products in float64 take this many inputs at a time and the rest in sums of another order: of a batch that is no
# multiple equal inputs come out as different numbers (measured at 5, 6, 7, 17 and 33 inputs, not at 4, 8, 24 and 48).
ROWS = 4
# Within so many decades of COLLAPSE so many pairs are followed together, in so many networks.
CLOSE, MOST_PAIRS, MIN_PAIRED, MAX_PAIRED = 3.0, 15, 24, 64
# The parts of the depth after which half of them, the smaller ones, are followed no further, down to FEWEST: networks
# run away with the largest, which stays so. Of residual RePU networks (p = 2, depth 20, width 128) 36 % explode, and
# the same is found with a sixth of the work; 32 of the inputs, extrapolated, said 7 %.
HALVED = (0.1, 0.2, 0.4, 0.6)
FEWEST = 8
# Inputs followed through normalised layers, to the end.
FOLLOWED = 32
# Work of the batch in units (one neuron, one layer, one input), each about 50 ns; three times as much again where some
# networks explode and some do not: 28 networks know a half to .09, 112 to .05.
BATCH_UNITS = 2_000_000
MIXED = 3
MIN_NETWORKS, MAX_NETWORKS = 5, 200
MANY = 64


@dataclass(frozen=True)
class Ends:
    """Layer at which each network ends, 0 where it does not: `exploded` and `died` (networks,)."""

    exploded: Integers
    died: Integers


def first_ends(log10_z: Floats, log10_h: Floats, dtype: Limits) -> Ends:
    """Return where networks end, from the largest |z^l| and |s(z^l)| of each layer, (networks, depth + 1) both.

    Exploded at l: some |z^l| overflows, or some |s(z^{l-1})| did, which makes z^l infinite or NaN. Died at l: every
    |z^l|, or every |s(z^{l-1})|, is below the smallest subnormal, so that z^l is zero, or the bias alone.
    """
    before = np.pad(log10_h[:, :-1], ((0, 0), (1, 0)), constant_values=0.0)
    over = (log10_z > dtype.largest) | (before > dtype.largest)
    under = (log10_z < dtype.smallest) | (before < dtype.smallest)
    return Ends(*(np.where(bad.any(1), bad.argmax(1) + 1, 0) for bad in (over, under)))


def follow_batch(law: Law, batch: Batch, seed: int) -> Ends:
    """Return where networks end with a batch: exploded with the first of its inputs, died with the last.

    The smaller inputs are left out layer by layer (HALVED). Where those that are followed stand for more, and all have
    one size, the largest log10 |z| is moved up by the spread of log10 S over the inputs of that network times the
    difference of the expected largest of all and of those followed normal numbers. 5 to 200 networks, as many as
    BATCH_UNITS allow: those that end early cost less.
    """
    normal, dtype, inputs = law.block.normal, limits(law.dtype), batch.count
    # Behind a normalization nothing runs away, and a frozen scale is that of all inputs: 32 stand for the rest.
    first = batch.covariance[:FOLLOWED, :FOLLOWED] if normal else batch.covariance
    followed, k1 = len(first), np.diagonal(first)
    halvings = np.searchsorted(np.array(HALVED) * law.depth, np.arange(law.depth + 1), side="right")
    kept = np.maximum(followed >> halvings * (not normal), min(FEWEST, followed))
    generator = np.random.default_rng([seed, 1])
    parts: list[BatchChain] = []

    def draw(networks: int) -> None:
        parts.append(batch_chain(law, first, networks, kept=kept.tolist(), seed=generator))

    draw(MIN_NETWORKS)
    units = law.width * float((np.isfinite(parts[0].log10_z) @ kept).mean() + kept[-1])
    networks = int(np.clip(BATCH_UNITS / units, MIN_NETWORKS, MAX_NETWORKS))
    draw(networks)
    over = np.concatenate([part.log10_z[:, -1] > dtype.largest for part in parts])
    if over.any() and not over.all():
        draw(min(MIXED * networks, MAX_NETWORKS))
    log10_K, log10_z, log10_h = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("log10_K", "log10_z", "log10_h")
    )
    if inputs > followed and k1.max() < SAME_SIZE * k1.min():
        finite = np.isfinite(log10_K)
        width_kept = np.where(finite, log10_K, -np.inf).max(1) - np.where(finite, log10_K, np.inf).min(1)
        spread = np.where(finite.sum(1) == kept, width_kept, 0.0) / (_normal(1, followed) - _normal(kept, followed))
        shift = spread / 2 * (_normal(1, inputs) - _normal(1, followed))
        log10_z, log10_h = log10_z + shift, log10_h + max(1.0, leading_power(law.activation)) * shift
    return first_ends(log10_z, log10_h, dtype)


@dataclass(frozen=True)
class Fading:
    """What became of the signal in each chain, (chains,).

    `equal`: the layer from which on the outputs are equal up to rounding, 0 where they are not; `lost`: the last layer
    at which the gradient is lost on its way back, 0 where it arrives; whether the inputs `collapsed`.
    """

    equal: Integers
    lost: Integers
    collapsed: NDArray[np.bool_]


def distances(law: Law, batch: Batch, typical: Floats, seed: int) -> Floats:
    """Return log10 of 1 - c at the output in as many networks as `typical` has, of which it is that of one pair.

    Where that may decide the fate it is the lower median of the batch's pairs instead, of which some are followed
    together, as many as BATCH_UNITS allow but three at least. A single pair stands badly for few inputs (four, GELU,
    depth 70: 18 % of the networks collapse by one pair, and 31 % do) and for inputs of many sizes.
    """
    typical = np.clip(np.nan_to_num(typical, nan=0.0), -1000.0, None)  # lost angles are not small
    total, units = len(batch.paired) // 2, BATCH_UNITS // (2 * (law.depth + 1) * law.width)
    low, high = np.quantile(typical, (0.05, 0.95), method="inverted_cdf")
    if total < 2 or not low - CLOSE < math.log10(COLLAPSE) < high + CLOSE:
        return _lower_median(typical, 1, max(1, batch.count // 2))
    networks = int(np.clip(units // min(total, MOST_PAIRS), MIN_PAIRED, min(len(typical), MAX_PAIRED)))
    followed = int(np.clip(units // networks, min(total, 3), min(total, MOST_PAIRS)))
    if followed < total:  # an odd number of them about the middle one; of an even number the last is left out
        total -= 1 - total % 2
        followed -= 1 - followed % 2
    pairs = ((np.arange(followed) + 0.5) * total / followed).astype(int)
    kept = np.column_stack([2 * pairs, 2 * pairs + 1]).ravel()
    drawn = batch_chain(law, batch.paired[np.ix_(kept, kept)], networks, seed=np.random.default_rng([seed, 3]))
    middle = np.clip(np.nan_to_num(drawn.log10_distance, nan=0.0), -1000.0, None)
    return _lower_median(np.resize(middle, len(typical)), followed, max(followed, batch.count // 2))


def fading(law: Law, batch: Batch, samples: PairChain, log10_distance: Floats, seed: int) -> Fading:
    """Return what becomes of the differences between inputs, and of the gradient, in each chain of the leading pair.

    With noise N and half the mean square difference D/2 outputs and exact ones correlate by 1 / sqrt(1 + 2N/D); the
    layer given is the first from which on that stays below KNOWN. At the output it is drawn, since of few numbers
    (`noise_dimension`) pure noise may look like the signal.
    Outputs that spread by DOUBTFUL eps are not lost, unless by the arithmetic of s, nor is a single input. The mean
    square of dL/dz^l is that of the output's gradient, of order 1/width at layer L, times the gains from l on.
    Collapsed is, by the signal's `log10_distance` at the output, whatever rounding adds.
    """
    dtype, excess, chains = limits(law.dtype), batch.lead.excess, len(samples.log10_K)
    generator = np.random.default_rng([seed, 2])
    jitter = generator.standard_normal((3, chains, 1))
    log10_error = samples.log10_noise - samples.log10_spread - excess + 2 * SPREAD_KNOWN * jitter[0]
    below = log10_error > math.log10(1 / KNOWN**2 - 1)
    first = np.where(below.all(1), 1, below.shape[1] - (~below[:, ::-1]).argmax(1) + 1)
    freedom = noise_dimension(law, batch.count, samples.log10_noise, kurtosis_of(law, samples))
    lost = _is_noise(log10_error[:, -1], freedom, 2 if dtype.name == "float64" else 1, generator)
    if batch.count > 1 and (dtype.name != "float64" or batch.count % ROWS == 0):
        lost |= generator.random(chains) < _identical(samples, first, law.width)
    narrow = samples.log10_spread[:, -1] + excess < 2 * math.log10(DOUBTFUL * dtype.eps)
    lost &= narrow | (samples.log10_own.max(1) >= 0)
    equal = np.where(lost, np.minimum(first, below.shape[1]), 0)
    lost_from = log10_gradient(samples, law.width) + SPREAD_GRADIENT * jitter[1]
    faint = lost_from + LOG10_LAYER_GRADIENT < dtype.smallest_normal
    last = faint.shape[1] - faint[:, ::-1].argmax(1)
    lost = np.where(lost_from[:, 0] + LOG10_WEIGHT_GRADIENT < dtype.smallest_normal, last, 0)
    collapsed = log10_distance < math.log10(COLLAPSE) + SPREAD_COLLAPSE * jitter[2, :, 0]
    return Fading(equal, lost, collapsed)


def _lower_median(log10_distance: Floats, followed: int, pairs: int) -> Floats:
    """Return, from the lower median of the pairs followed in each network, that of more, which share a part (SHARED).

    It scatters less, and of an even number it is smaller: of two the lower one.
    """
    low, middle, high = np.quantile(log10_distance, (0.16, 0.5, 0.84), method="inverted_cdf")
    few, many = (SHARED + (1 - SHARED) / number for number in (followed, pairs))
    shift = _normal(pairs // 2 + 1, pairs) - _normal(followed // 2 + 1, followed)
    lower = math.sqrt((1 - SHARED) / few) * (high - low) / 2 * shift
    return middle + lower + math.sqrt(many / few) * (log10_distance - middle)


def kurtosis_of(law: Law, samples: PairChain) -> float:
    """Return E h^4 / (E h^2)^2 of the last hidden layer; of a K beyond 1e-6 to 1e6 that at the end."""
    log10_K = float(np.median(samples.log10_K[:, -2]))
    _, square, fourth = absolute_moments(law.activation, law.block, 10 ** np.clip(np.array([log10_K]), -6, 6))
    return float(fourth[0] / square[0] ** 2) if square[0] > 0 else 1.0


def noise_dimension(law: Law, inputs: int, log10_noise: Floats, kurtosis: float) -> Floats:
    """Return in how many dimensions the errors of a batch's outputs lie, centred over the inputs, for each chain.

    An error of h is in proportion to h, so n units count as 1 / q = (n - 1) / kurtosis + 1, and it goes on to the C
    outputs by a random matrix M: d = E (tr M M')^2 / E tr (M M')^2 = (C + 2q) / (1 + (C + 1) q), and as many times q
    as the error has passed maps. That is 1 plus its age: a layer's own share of N is f = rounding^2 / N, so
    A^{l+1} = (1 - f) (A^l + 1).
    """
    width, outputs = law.width, law.sizes[-1]
    fresh = 10.0 ** np.minimum(2 * math.log10(limits(law.dtype).rounding(width)) - log10_noise, 0.0)
    age = np.zeros(len(fresh))
    for share in fresh.T:
        age = (1 - share) * (age + 1)
    q = kurtosis / (width - 1 + kurtosis) * (1 + age)
    return (inputs - 1) * (outputs + 2 * q) / (1 + (outputs + 1) * q)


def _is_noise(log10_error: Floats, freedom: Floats, twins: int, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Draw whether d numbers and their twin correlate by less than KNOWN; both have errors if there are two `twins`.

    Then less than KNOWN^2. Of more than MANY numbers the correlation is as good as its mean, of none it is 1.
    """
    counted = np.arange(MANY) < np.round(np.maximum(freedom, freedom > 0))[:, None]
    error = 10 ** np.minimum(log10_error / 2, 50.0)[:, None]
    signal, own, other = (generator.standard_normal(counted.shape) * counted for _ in range(3))
    a, b = signal + error * own, signal + error * other if twins == 2 else signal
    return (a * b).sum(1) < KNOWN**twins * np.sqrt((a * a).sum(1) * (b * b).sum(1))


def _identical(samples: PairChain, first: Integers, width: int) -> Floats:
    """Return the probability that two inputs closer than rounding have become the same numbers, for each chain.

    Of differences below a spacing of the format a share of .64 gain of the units is left by the next layer; where none
    is, exp(-.64 gain width), none comes back.
    """
    with np.errstate(over="ignore"):
        kept = np.log1p(-np.exp(-0.64 * width * 10**samples.log10_gain).clip(max=1 - 1e-12))
    behind = np.arange(1, kept.shape[1] + 1) >= first[:, None]
    return 1 - np.exp(np.where(behind, kept, 0.0).sum(1))


def collapsed_layer(law: Law, log10_spread: Floats) -> int:
    """Return the first layer from which on the squared spread D / 2S of one network's inputs is rounding, or 0."""
    below = log10_spread < 2 * math.log10(limits(law.dtype).rounding(law.width)) - math.log10(1 / KNOWN**2 - 1)
    return int(len(below) - below[::-1].argmin()) + 1 if below[-1] and not below.all() else int(below.all())


def log10_gradient(samples: PairChain, width: int) -> Floats:
    """Return log10 of the root mean square of dL/dz^l, l = 1..depth, relative to the norm of dL/dz^{L+1}."""
    with np.errstate(invalid="ignore"):
        return np.cumsum(samples.log10_gain[:, ::-1], axis=1)[:, ::-1] / 2 - math.log10(width) / 2


def judge(ends: Ends, faded: Fading, gone: NDArray[np.bool_]) -> tuple[dict[str, float], Mapping[str, Integers], str]:
    """Return the probability of each fate, the layers at which "explodes" and "vanishes" were seen, the latter's cause.

    In the order of the lab's outcomes: exploded; then vanished, by an underflow of the signal ("zero"), by outputs that
    are "equal" up to rounding or by an underflow of the first "gradient"; the rest collapse or survive. `ends` and
    `faded` are samples of their own; of the second those count that are not `gone` themselves, if any is left.
    """
    exploded = ends.exploded > 0
    died = ~exploded & (ends.died > 0)
    rest = float((~exploded & ~died).mean())
    counted = ~gone if not gone.all() else gone
    equal = (faded.equal > 0)[counted]
    lost = (faded.lost > 0)[counted] & ~equal
    collapsed = faded.collapsed[counted] & ~equal & ~lost
    chances = {"zero": float(died.mean()), "equal": rest * float(equal.mean()), "gradient": rest * float(lost.mean())}
    probabilities = {
        "explodes": float(exploded.mean()),
        "vanishes": sum(chances.values()),
        "collapses correlations": rest * float(collapsed.mean()),
        "survives": rest * float((~equal & ~lost & ~collapsed).mean()),
    }
    cause = max(chances, key=lambda name: chances[name])
    layers = {"zero": ends.died[died], "equal": faded.equal[counted][equal], "gradient": faded.lost[counted][lost]}
    return probabilities, {"explodes": ends.exploded[exploded], "vanishes": layers[cause]}, cause


def gradient_depth(law: Law, samples: PairChain) -> int:
    """Return the largest depth, up to the chains' own, at which half of the networks keep the gradient of W^1."""
    with np.errstate(invalid="ignore"):
        size = np.cumsum(samples.log10_gain, axis=1) / 2 - math.log10(law.width) / 2
        gone = size + LOG10_WEIGHT_GRADIENT < limits(law.dtype).smallest_normal
    half = gone.mean(0) > 0.5
    return int(half.argmax()) if half.any() else gone.shape[1]


def survival_depth(ends: Ends, equal: Integers, depth: int) -> int:
    """Return the largest depth <= `depth` at which at least half of the networks neither explode nor vanish.

    A network of depth L has layers up to L + 1, so one that ends at layer l lives at depths up to l - 2.
    """
    last = np.full(len(ends.exploded), depth + 2)
    for layers in (ends.exploded, ends.died):
        last = np.where(layers > 0, np.minimum(last, layers), last)
    halves = [
        int(np.sort(layers)[::-1][(len(layers) - 1) // 2]) for layers in (last, np.where(equal > 0, equal, depth + 2))
    ]
    return int(np.clip(min(halves) - 2, 0, depth))


def _normal(rank: int | Integers, count: int) -> Floats:
    """Return the expected `rank`-th largest of `count` normal numbers (Blom's approximation)."""
    return ndtri((count - rank + 0.625) / (count + 0.25))
