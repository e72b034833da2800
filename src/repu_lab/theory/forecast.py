"""What will happen to this activation, initialization, depth, width and dtype, before any network is built.

Infinitely wide networks give the curves (K, gradient, correlation, tangent kernel by layer); the exact finite-width
chains give the fate, since at unstable points (RePU near K_*, MRePU) the infinite-width answer is wrong for every real
network, and since of a batch of inputs a single one that overflows ends the run.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from repu_lab.activations import Activation
from repu_lab.blocks import PLAIN, Block
from repu_lab.theory.angles import Floats
from repu_lab.theory.chain import one_thread
from repu_lab.theory.closed_forms import moments
from repu_lab.theory.fate import (
    FATES,
    distances,
    fading,
    first_ends,
    follow_batch,
    gradient_depth,
    judge,
    survival_depth,
)
from repu_lab.theory.formats import DTYPES, limits, overflow_layers, underflow_layers
from repu_lab.theory.inputs import Pair, batch_of
from repu_lab.theory.kernel import kernel_layers, susceptibilities
from repu_lab.theory.law import Law, Variances
from repu_lab.theory.pair_chain import pair_chain
from repu_lab.theory.power_law import leading_power
from repu_lab.theory.rates import SAFE

ByFormat = dict[str, dict[str, int | None]]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# Work of the chain of two inputs in units (one neuron, one layer), each about 100 ns; with the batch's below 0.3 s.
CHAIN_UNITS = 600_000
MIN_CHAINS, MAX_CHAINS = 60, 500
# A fate this likely is stated without its probability.
CERTAIN = 0.95
# A change is advised if this share of the networks then keeps its signal.
LIKELY = 0.9
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
    `log10_K`, `log10_chi_parallel`, `log10_chi_perp`: infinite width, one input. `log10_K_quantiles`
    (5, depth + 1): QUANTILES of log10 S at this width. `log10_gradient`: log10 of |dL/dz^l|^2 relative to the
    output's; `log10_gain` (depth,): what one layer multiplies it by, the median at this width.
    `log10_one_minus_correlation`: of a typical pair of inputs, the median over networks. `rate`: Adam's, of a training
    run; `stable_rate`: the largest at which its first step does not blow it up, of which one in `safety` is safe;
    `risk`: the share of networks that diverge all the same at the `automatic` rate, and the most that do so at a
    smaller one; None where theory knows of none (`rates`).
    `survival_depth`: the largest depth, up to the one asked for, at which at least half of the networks neither explode
    nor vanish.
    """

    law: Law
    inputs: int
    fate: str
    probability: float
    probabilities: dict[str, float]
    networks: int
    layer: int | None
    layer_range: tuple[int, int] | None
    survival_depth: int
    overflow_layer: ByFormat
    underflow_layer: ByFormat
    layers: NDArray[np.int64]
    log10_K: Floats
    log10_K_quantiles: Floats
    log10_chi_parallel: Floats
    log10_chi_perp: Floats
    log10_gradient: Floats
    log10_one_minus_correlation: Floats
    log10_gain: Floats
    advice: str
    rate: float | None = None
    stable_rate: float | None = None
    safety: float = SAFE
    risk: float | None = None
    automatic: float | None = None

    @property
    def activation(self) -> str:
        """The activation's name, with its parameters."""
        return self.law.activation.described

    @cached_property
    def susceptibilities(self) -> tuple[Floats, Floats]:
        """log10 chi_parallel and log10 chi_perp of the maps l = 2..L+1 at the median K of networks of this width."""
        return susceptibilities(self.law, self.log10_K_quantiles[2, :-1])

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
            return f"{text}, {self.law.dtype} overflow at {_layers_text(self.layer_range)}"
        if self.fate == "vanishes":
            return f"{text} at {_layers_text(self.layer_range)} in {self.law.dtype}"
        if self.fate == "collapses correlations":
            text += f", 1 - c = {10 ** self.log10_one_minus_correlation[-1]:.1g} at the output"
        training = self.training()
        return f"{text}; {training}" if training else text

    def training(self) -> str:
        """Return what the rate does, in words; nothing where no rate is known or theory has no limit for it."""
        if self.rate is None or self.stable_rate is None:
            return ""
        if self.stable_rate == 0 and self.risk is None:
            return "training may fail at any rate: networks of large K start at the edge of blowing up"
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
            most = "up to " if self.automatic is not None and self.rate < NEAR * self.automatic else ""
            return f"of such networks {most}{self.risk:.0%} diverge in training at {at}{known}"
        return f"training is stable at {at}{known}"


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
    weights: str = "gaussian",
    seed: int = 0,
) -> Forecast:
    """Forecast the fate of networks of `depth` hidden layers at initialization.

    C_W, C_b: variances of the affine maps l = 2..depth+1, one number or a sequence of `depth`; k1 = K^1 of an input.
    `inputs`: the size of the batch that must survive, `outputs`: units of the last layer. `covariance` (B, B) of the
    first preactivations of the batch, or some of it; else `correlation` of any two; left out: C_b / k1, that of
    orthogonal inputs (centred data). `block`: the kind of layer, `weights`: "gaussian", "orthogonal" or "centred". The
    same seed gives the same forecast.
    About 0.25 s at depth 50, width 256, 128 inputs on one core. ValueError for depth, width or inputs < 1, C_W or
    C_b < 0, k1 < C_b, k1 = 0, a dtype that is not one of DTYPES.
    """
    name = limits(dtype).name
    law = Law.of(activation, C_W, C_b, k1, depth, width, outputs=outputs, block=block, dtype=name, weights=weights)
    return forecast_law(law, inputs, correlation=correlation, covariance=covariance, seed=seed)


@one_thread()
def forecast_law(
    law: Law, inputs: int = 1, *, correlation: float | None = None, covariance: Floats | None = None, seed: int = 0
) -> Forecast:
    """Return the forecast of a law, see `forecast`."""
    depth, dtype = law.depth, limits(law.dtype)
    wide = kernel_layers(law)
    batch = batch_of(law, inputs, correlation=correlation, covariance=covariance)
    count = int(np.clip(CHAIN_UNITS // ((depth + 1) * law.width), MIN_CHAINS, MAX_CHAINS))
    lead = pair_chain(law, batch.lead, count, seed=seed)
    apart = lead if batch.typical == batch.lead else pair_chain(law, batch.typical, count, seed=seed)
    log10_K = lead.log10_K
    if batch.lead.k1 != law.k1:
        log10_K = pair_chain(law, Pair(law.k1, 1.0, batch.typical.distance), count, seed=seed).log10_K
    ends = alone = first_ends(lead.log10_z, lead.log10_h, dtype)
    # The first input to overflow and the last to underflow count. Where a single input never does either, the others
    # do not, unless growth faster than linear lets a few run away from the rest.
    if inputs > 1 and (alone.exploded.any() or alone.died.any() or leading_power(law.activation) > 1):
        ends = follow_batch(law, batch, seed)
    faded = fading(law, batch, lead, distances(law, batch, apart.log10_distance[:, -1], seed), seed)
    probabilities, seen, cause = judge(ends, faded, (alone.exploded > 0) | (alone.died > 0))
    fate = max(FATES, key=lambda name: probabilities[name])
    layers_seen = seen.get(fate, np.empty(0))
    known = np.where(np.isnan(apart.log10_distance).all(axis=0), 0.0, apart.log10_distance)  # where all angles are lost
    result = Forecast(
        law=law,
        inputs=inputs,
        fate=fate,
        probability=probabilities[fate],
        probabilities=probabilities,
        networks=min(len(ends.exploded), count),
        layer=int(np.median(layers_seen)) if len(layers_seen) else None,
        layer_range=_range(layers_seen),
        survival_depth=min(survival_depth(ends, faded.equal, depth), gradient_depth(law, lead)),
        overflow_layer={name: overflow_layers(wide.log10_K, name) for name in DTYPES},
        underflow_layer={name: underflow_layers(wide.log10_K, name) for name in DTYPES},
        layers=np.arange(1, depth + 2),
        log10_K=wide.log10_K,
        log10_K_quantiles=np.quantile(log10_K, QUANTILES, axis=0, method="inverted_cdf"),
        log10_chi_parallel=wide.log10_chi_parallel,
        log10_chi_perp=wide.log10_chi_perp,
        log10_gradient=np.append(np.cumsum(wide.log10_gain[:depth][::-1])[::-1], 0.0),
        log10_one_minus_correlation=np.nanquantile(known, 0.5, axis=0, method="inverted_cdf"),
        advice="",
        log10_gain=np.quantile(lead.log10_gain, 0.5, axis=0, method="inverted_cdf"),
    )
    log10_lost = lead.log10_gain[faded.lost > 0].sum(axis=1) / 2
    return replace(result, advice=_advice(result, cause, log10_lost))


_NEVER = (
    "Without biases no C_W and k1 keep the signal of a power of degree {:g}: at the only K that stays, errors grow."
)


def _advice(result: Forecast, cause: str, log10_lost: Floats) -> str:
    """One or two sentences, each a fact of this forecast.

    log10_lost: of the networks of this width that lose the gradient, its size at layer 1 relative to the output's.
    """
    law = result.law
    batch = "one input" if result.inputs == 1 else f"a batch of {result.inputs} inputs"
    share, p = f"At width {law.width}, {result.probability:.0%} of networks", law.activation.degree
    hopeless = p is not None and p > 1 and law.is_power
    if result.fate == "explodes":
        first = f"{share} overflow {law.dtype} on {batch}, at {_layers_text(result.layer_range)}; "
        first += f"half of all networks would survive {result.survival_depth} hidden layers."
        return f"{first} {_NEVER.format(p) if hopeless else 'A smaller k1 or C_W postpones it.'}"
    gain = result.log10_gradient[0] / 2
    if result.fate == "vanishes":
        lost = float(np.median(log10_lost)) if len(log10_lost) else -math.inf
        size = f"10^{lost:.0f} times" if lost > -1e100 else "0 times"
        how = {
            "zero": "the preactivations underflow",
            "equal": "the outputs are equal up to rounding for all inputs",
            "gradient": f"the gradient at layer 1 is {size} the output's in the median of them",
        }[cause]
        text = f"{share} lose the signal of {batch} in {law.dtype}, at {_layers_text(result.layer_range)}: {how}."
        if hopeless:
            return f"{text} {_NEVER.format(p)}"
        # chi_perp of infinitely wide networks need not be that of these: RePU may blow up there, and die here.
        if cause == "gradient" or not result.log10_chi_perp[-2] < 0:
            return text
        chi_perp = 10 ** float(result.log10_chi_perp[-2])
        return f"{text} A layer multiplies small squared differences of inputs by {chi_perp:.2g}, where 1 keeps them."
    alive = 1 - result.probabilities["explodes"] - result.probabilities["vanishes"]
    text = f"At width {law.width} the signal of {batch} survives {law.depth} hidden layers in {law.dtype} "
    text += f"in all of {result.networks} networks drawn" if alive == 1 else f"with probability {alive:.2f}"
    text += "; the gradient at layer 1 is "
    size = "of infinite mean square." if gain == math.inf else f"10^{gain:.1f} times the output's."
    text += "as large as the output's." if abs(gain) < 0.15 else size
    if (why := moments(law.activation).rough) is not None:
        text += f" Small differences of inputs grow without bound, since {why}."
    if result.fate == "collapses correlations":
        distance = 10 ** result.log10_one_minus_correlation[-1]
        text += f" Inputs become nearly equal (1 - c = {distance:.1g} at the output), so learning will be slow."
    return text


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
