"""What will happen to this activation, initialization, depth, width and dtype, before any network is built.

Infinitely wide networks give the curves (K, gradient, correlation, tangent kernel by layer); the exact finite-width
chains give the fate, since at unstable points (RePU near K_*, MRePU) the infinite-width answer is wrong for every real
network, and since of a batch of inputs a single one that overflows ends the run.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from repu_lab.activations import Activation, Formula
from repu_lab.blocks import PLAIN, Block
from repu_lab.theory import kernel
from repu_lab.theory.chain import check_positive, one_thread
from repu_lab.theory.closed_forms import moments
from repu_lab.theory.fate import (
    DTYPES,
    FATES,
    MAX_INPUTS,
    SAME_SIZE,
    fading,
    first_ends,
    follow_batch,
    gradient_depth,
    judge,
    limits,
    overflow_layers,
    rounding,
    survival_depth,
    underflow_layers,
)
from repu_lab.theory.kernel import Variances
from repu_lab.theory.pair_chain import PairChain, pair_chain
from repu_lab.theory.power_law import leading_power
from repu_lab.theory.rates import SAFE, absolute_moments

Floats = NDArray[np.float64]
Layers = dict[str, dict[str, int | None]]

LOG2_10 = math.log2(10.0)
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# Work of the chain of two inputs in units (one neuron, one layer), each about 100 ns; with the batch's below 0.3 s.
CHAIN_UNITS = 600_000
MIN_CHAINS, MAX_CHAINS = 60, 500
# A fate this likely is stated without its probability.
CERTAIN = 0.95
# From half the largest stable rate on single networks fail.
NEAR = 0.5


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """A forecast; arrays by layer have depth + 1 entries, entry l - 1 for z^l (the last one is the output).

    `probabilities` of each fate for a network of this width, from `networks` sampled ones; `fate` is the likeliest.
    `layer`, `layer_range`: median and 5 to 95 % range, over the networks that share the fate, of the layer at which z
    is first non-finite ("explodes") or no longer depends on the input ("vanishes"), else None.
    `overflow_layer[dtype]["K" | "z"]`: the first layer where K, or a typical z = sqrt(K), exceeds the dtype's largest
    number in the infinitely wide network; `underflow_layer`: falls below its smallest subnormal; None within the depth.
    `log10_K`, `log10_chi_parallel`, `log10_chi_perp`, `log10_ntk`: infinite width, one input. `log10_K_quantiles`
    (5, depth + 1): QUANTILES of log10 S at this width. `log10_gradient`: log10 of the mean square of dL/dz^l relative
    to the output's; `log10_gain` (depth,): what one layer multiplies it by, the median at this width.
    `log10_one_minus_correlation`: of a typical pair of inputs, the median over networks. `rate`: Adam's, of a training
    run; `stable_rate`: the largest at which its first step does not blow it up, of which one in `safety` is safe;
    `risk`: the share of networks that diverge there all the same, None where theory knows of none (`rates`).
    `survival_depth`: the largest depth, up to the one asked for, at which at least half of the networks neither explode
    nor vanish.
    """

    activation: str
    C_W: tuple[float, ...]
    C_b: tuple[float, ...]
    k1: float
    depth: int
    width: int
    dtype: str
    inputs: int
    fate: str
    probability: float
    probabilities: dict[str, float]
    networks: int
    layer: int | None
    layer_range: tuple[int, int] | None
    survival_depth: int
    overflow_layer: Layers
    underflow_layer: Layers
    layers: NDArray[np.int64]
    log10_K: Floats
    log10_K_quantiles: Floats
    log10_chi_parallel: Floats
    log10_chi_perp: Floats
    log10_gradient: Floats
    log10_one_minus_correlation: Floats
    log10_ntk: Floats
    advice: str
    log10_gain: Floats | None = None
    rate: float | None = None
    stable_rate: float | None = None
    safety: float = SAFE
    risk: float | None = None

    @property
    def correlation(self) -> Floats:
        """Correlation of a pair of inputs by layer."""
        return 1 - 10**self.log10_one_minus_correlation

    def summary(self) -> str:
        """Return one line, e.g. "first pass explodes, float32 overflow at layer 9-10"."""
        text = f"first pass {self.fate}"
        if self.probability < CERTAIN:
            text += f" (probability {self.probability:.2f})"
        if self.fate == "explodes":
            return f"{text}, {self.dtype} overflow at {_layers_text(self.layer_range)}"
        if self.fate == "vanishes":
            return f"{text} at {_layers_text(self.layer_range)} in {self.dtype}"
        if self.fate == "collapses correlations":
            text += f", 1 - c = {10 ** self.log10_one_minus_correlation[-1]:.1g} at the output"
        training = self.training()
        return f"{text}; {training}" if training else text

    def training(self) -> str:
        """Return what the rate does, in words; nothing where no rate is known or theory has no limit for it."""
        if self.rate is None or self.stable_rate is None or (self.stable_rate == 0 and self.risk is None):
            return ""
        at, limit = f"rate {self.rate:.2g}", f"{self.stable_rate:.2g}, the largest stable one"
        part = self.rate / self.stable_rate if self.stable_rate else 0.0
        if part > 1:
            return f"training fails: {at} is above {limit}"
        if part > NEAR:
            return f"training may fail: {at} is near {limit}"
        if self.risk is not None and part > 1.1 / self.safety:
            return f"training may fail: {at} is more than 1/{self.safety:g} of {limit}"
        known = f", below {limit}" if 0 < self.stable_rate < math.inf else ""
        if self.risk is not None:
            return f"of such networks {self.risk:.0%} diverge in training at {at}{known}"
        return f"training is stable at {at}{known}"


@one_thread()
def forecast(
    activation: Activation,
    *,
    C_W: Variances,
    C_b: Variances,
    k1: float,
    depth: int,
    width: int,
    dtype: str | torch.dtype = "float32",
    inputs: int = 1,
    outputs: int = 10,
    correlation: float | None = None,
    covariance: Floats | None = None,
    block: Block = PLAIN,
    seed: int = 0,
) -> Forecast:
    """Forecast the fate of networks of `depth` hidden layers at initialization.

    C_W, C_b: variances of the affine maps l = 2..depth+1, one number or a sequence of `depth`; k1 = K^1 of an input.
    `inputs`: the size of the batch that must survive, `outputs`: units of the last layer. `covariance` (B, B) of the
    first preactivations of the batch, or some of it; else `correlation` of any two; left out: C_b / k1, that of
    orthogonal inputs (centred data). `block`: the kind of layer. The same seed gives the same forecast.
    About 0.1 s at depth 50, width 256, 128 inputs on one core. ValueError for depth, width or inputs < 1, C_W or
    C_b < 0, k1 < C_b, k1 = 0, a dtype that is not one of DTYPES.
    """
    C_W_l, C_b_l = kernel.per_map(C_W, C_b, depth)
    check_positive(width=width, inputs=inputs)
    own = limits(dtype)
    wide = kernel.layers(activation, C_W_l, C_b_l, k1, depth, block=block)
    if covariance is None:
        c = float(C_b_l[0] / k1) if correlation is None else correlation
        count = min(inputs, MAX_INPUTS)
        covariance, pair = k1 * (np.eye(count) * (1 - c) + c), Pair(k1, 1.0, 1 - c, 0.0)
        lead = pair
    else:
        lead, pair = largest_pair(covariance, k1), typical_pair(covariance, k1)
        covariance = largest(covariance, MAX_INPUTS)
    law = {"C_W": C_W_l, "C_b": C_b_l, "width": width, "block": block}
    count = int(np.clip(CHAIN_UNITS // ((depth + 1) * width), MIN_CHAINS, MAX_CHAINS))

    def follow(two: Pair) -> PairChain:
        return pair_chain(
            activation, **law, k1=two.k1, depth=depth, chains=count, distance=two.distance, ratio=two.ratio,
            rounding=rounding(own, width), seed=seed,
        )  # fmt: skip

    one = follow(lead)
    apart = one if pair == lead else follow(pair)
    log10_K = one.log10_K
    if lead.k1 != k1:
        log10_K = follow(Pair(k1, 1.0, pair.distance, 0.0)).log10_K
    ends = alone = first_ends(one.log10_z, one.log10_h, own)
    # The first input to overflow and the last to underflow count. Where a single input never does either, the others
    # do not, unless growth faster than linear lets a few run away from the rest.
    if inputs > 1 and (alone.exploded.any() or alone.died.any() or leading_power(activation) > 1):
        ends = follow_batch(activation, **law, first=covariance, inputs=inputs, dtype=own, seed=seed)
    kurtosis = kurtosis_of(activation, block, float(np.median(one.log10_K[:, -2])))
    faded = fading(
        one, own, outputs=outputs, inputs=inputs, excess=lead.excess, width=width, kurtosis=kurtosis, seed=seed,
        log10_distance=apart.log10_distance[:, -1],
    )  # fmt: skip
    probabilities, seen, cause = judge(ends, faded, (alone.exploded > 0) | (alone.died > 0))
    fate = max(FATES, key=lambda name: probabilities[name])
    layers_seen = seen.get(fate, np.empty(0))
    gradient = np.append(np.cumsum(wide.log10_gain[:depth][::-1])[::-1], 0.0)
    result = Forecast(
        activation=_name(activation),
        C_W=tuple(C_W_l.tolist()),
        C_b=tuple(C_b_l.tolist()),
        k1=float(k1),
        depth=depth,
        width=width,
        dtype=own.name,
        inputs=inputs,
        fate=fate,
        probability=probabilities[fate],
        probabilities=probabilities,
        networks=min(len(ends.exploded), count),
        layer=int(np.median(layers_seen)) if len(layers_seen) else None,
        layer_range=_range(layers_seen),
        survival_depth=min(survival_depth(ends, faded.equal, depth), gradient_depth(one, own, width)),
        overflow_layer={name: overflow_layers(wide.log10_K, name) for name in DTYPES},
        underflow_layer={name: underflow_layers(wide.log10_K, name) for name in DTYPES},
        layers=np.arange(1, depth + 2),
        log10_K=wide.log10_K,
        log10_K_quantiles=np.quantile(log10_K, QUANTILES, axis=0, method="inverted_cdf"),
        log10_chi_parallel=wide.log10_chi_parallel,
        log10_chi_perp=wide.log10_chi_perp,
        log10_gradient=gradient,
        log10_one_minus_correlation=np.quantile(apart.log10_distance, 0.5, axis=0, method="inverted_cdf"),
        log10_ntk=_log10_ntk(wide.log10_K, wide.log10_chi_perp),
        advice="",
        log10_gain=np.quantile(one.log10_gain, 0.5, axis=0, method="inverted_cdf"),
    )
    log10_lost = one.log10_gain[faded.lost > 0].sum(axis=1) / 2
    return replace(result, advice=_advice(activation, result, cause, log10_lost, block=block))


@dataclass(frozen=True)
class Pair:
    """Two inputs that stand for the batch: K^1 of the first, the second's over it, and their 1 - c.

    `excess`: log10 of the batch's mean square difference, relative to its size, over that of these two.
    """

    k1: float
    ratio: float
    distance: float
    excess: float


def typical_pair(covariance: Floats, k1: float) -> Pair:
    """Return the pair with the lower median 1 - c of inputs (0, 1), (2, 3), ...; of several such that of median D.

    The smaller one is the first: of a second one of 1e-9 of its size, which the other order leads to where K grows
    fast, the difference to the first says no angle. Inputs of one size have that of `k1`.
    """
    S = np.diagonal(covariance)
    a, b = np.arange(0, len(S) - 1, 2), np.arange(1, len(S), 2)
    a, b = np.where(S[a] <= S[b], a, b), np.where(S[a] <= S[b], b, a)
    a, b = a[S[a] > 0], b[S[a] > 0]
    if not len(a):
        return Pair(k1, 1.0, 1 - float(covariance.min()) / k1, 0.0)
    root = np.sqrt(S[a] * S[b])
    distance = np.clip(1 - covariance[a, b] / root, 0.0, 2.0)
    D = S[a] + S[b] - 2 * covariance[a, b]
    middle = np.lexsort((D / root, distance.round(12)))[(len(a) - 1) // 2]
    return _pair(covariance, int(a[middle]), int(b[middle]), k1)


def largest_pair(covariance: Floats, k1: float) -> Pair:
    """Return the typical pair where all inputs have one size, else the largest and one of median difference to it.

    The largest decides what the batch's gradients and the spread of its outputs are where K grows fast.
    """
    S = np.diagonal(covariance)
    if S.max() < SAME_SIZE * S.min() or len(S) == 1:
        return typical_pair(covariance, k1)
    first = int(S.argmax())
    D = S[first] + S - 2 * covariance[first]
    others = np.delete(np.arange(len(S)), first)
    second = others[np.argsort(D[others], kind="stable")[(len(others) - 1) // 2]]
    return _pair(covariance, first, int(second), k1)


def _pair(covariance: Floats, a: int, b: int, k1: float) -> Pair:
    S = np.diagonal(covariance)
    distance = float(np.clip(1 - covariance[a, b] / math.sqrt(S[a] * S[b]), 0.0, 2.0)) if S[b] > 0 else 1.0
    mean = 2 * (S.mean() - covariance.mean()) * len(S) / (len(S) - 1) / S.mean()
    relative = max(S[a] + S[b] - 2 * covariance[a, b], 0.0) / S[a]
    excess = math.log10(mean / relative) if mean > 0 and relative > 0 else 0.0
    same = S.max() < SAME_SIZE * S.min()
    return Pair(k1 if same else float(S[a]), max(float(S[b] / S[a]), 1e-300), distance, excess)


def largest(covariance: Floats, count: int) -> Floats:
    """Return the covariance of the `count` inputs of the largest K^1: of inputs that differ they decide."""
    kept = np.sort(np.argsort(-np.diagonal(covariance), kind="stable")[:count])
    return covariance[np.ix_(kept, kept)]


def kurtosis_of(activation: Activation, block: Block, log10_K: float) -> float:
    """Return E h^4 / (E h^2)^2 for z ~ N(0, K); of K beyond 1e-6 to 1e6 that at the end, so that no power overflows."""
    _, square, fourth = absolute_moments(activation, block, 10 ** np.clip(np.array([log10_K]), -6, 6))
    return float(fourth[0] / square[0] ** 2) if square[0] > 0 else 1.0


_NEVER = (
    "No C_W and k1 hold the signal of a homogeneous activation of degree {:g} without biases: its only fixed point "
    "K > 0 repels."
)


def _log10_ntk(log10_K: Floats, log10_chi_perp: Floats) -> Floats:
    """Return log10 H^l of one input: H^1 = K^1, H' = K' + chi_perp H (rates lambda_b = C_b, lambda_W = C_W)."""
    log10_H = np.array(log10_K)
    with np.errstate(invalid="ignore", over="ignore"):
        for l in range(len(log10_K) - 1):
            log10_H[l + 1] = (
                np.logaddexp2(log10_K[l + 1] * LOG2_10, (log10_chi_perp[l] + log10_H[l]) * LOG2_10) / LOG2_10
            )
    return log10_H


def _advice(activation: Activation, result: Forecast, cause: str, log10_lost: Floats, *, block: Block) -> str:
    """One or two sentences, each a fact of this forecast.

    log10_lost: of the networks of this width that lose the gradient, its size at layer 1 relative to the output's.
    """
    batch = "one input" if result.inputs == 1 else f"a batch of {result.inputs} inputs"
    share, p = f"At width {result.width}, {result.probability:.0%} of networks", activation.degree
    hopeless = p is not None and p > 1 and not any(result.C_b) and block == PLAIN
    if result.fate == "explodes":
        first = f"{share} overflow {result.dtype} on {batch}, at {_layers_text(result.layer_range)}; "
        first += f"half of all networks would survive {result.survival_depth} hidden layers."
        return f"{first} {_NEVER.format(p) if hopeless else 'A smaller k1 or C_W postpones it.'}"
    gain = result.log10_gradient[0] / 2
    if result.fate == "vanishes":
        how = {
            "zero": "the preactivations underflow",
            "equal": "the outputs are equal up to rounding for all inputs",
            "gradient": f"the gradient at layer 1 is {_size(log10_lost)} the output's in the median of them",
        }[cause]
        text = f"{share} lose the signal of {batch} in {result.dtype}, at {_layers_text(result.layer_range)}: {how}."
        if hopeless:
            return f"{text} {_NEVER.format(p)}"
        if cause == "gradient":  # chi_perp of infinitely wide networks need not be that of these
            return text
        chi_perp = 10 ** float(result.log10_chi_perp[-2])
        return f"{text} A layer multiplies small squared differences of inputs by {chi_perp:.2g}, where 1 keeps them."
    alive = 1 - result.probabilities["explodes"] - result.probabilities["vanishes"]
    text = f"At width {result.width} the signal of {batch} survives {result.depth} hidden layers in {result.dtype} "
    text += f"in all of {result.networks} networks drawn" if alive == 1 else f"with probability {alive:.2f}"
    text += "; the gradient at layer 1 is "
    size = "of infinite mean square." if gain == math.inf else f"10^{gain:.1f} times the output's."
    text += "as large as the output's." if abs(gain) < 0.15 else size
    if (why := moments(activation).rough) is not None:
        text += f" Small differences of inputs grow without bound, since {why}."
    if result.fate == "collapses correlations":
        distance = 10 ** result.log10_one_minus_correlation[-1]
        text += f" Inputs become nearly equal (1 - c = {distance:.1g} at the output), so learning will be slow."
    return text


def _size(log10_values: Floats) -> str:
    """Return `10^-42 times`, the median, or `0 times` where that has no logarithm."""
    median = float(np.median(log10_values)) if len(log10_values) else -math.inf
    return f"10^{median:.0f} times" if median > -1e100 else "0 times"


def _layers_text(layers: tuple[int, int] | None) -> str:
    if layers is None:
        return "no layer"
    low, high = layers
    return f"layer {low}" if low == high else f"layer {low}-{high}"


def _range(layers: NDArray) -> tuple[int, int] | None:
    if not len(layers):
        return None
    low, high = np.quantile(layers, [QUANTILES[0], QUANTILES[-1]], method="inverted_cdf")
    return int(low), int(high)


def _name(activation: Activation) -> str:
    if isinstance(activation, Formula):
        return activation.title
    extra = getattr(activation, "module", activation).extra_repr()
    return activation.title + (f"({extra})" if extra else "")
