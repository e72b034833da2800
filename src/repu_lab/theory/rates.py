"""How large a step may be: learning rates from the sizes of the signal and of its derivatives at initialization.

Sizes n_0, n_1 .. n_L, n_{L+1}; layer l = 1..L+1. Both rules follow a network's kernel K^l at infinite width and are the
same for every activation.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from repu_lab.activations import Activation
from repu_lab.blocks import CENTRED, Block
from repu_lab.theory.angles import Array
from repu_lab.theory.kernel import kernel_layers
from repu_lab.theory.law import Law
from repu_lab.theory.power_law import leading_power

# By how much of their own size Adam's first step may change the preactivations, all layers added up, in a wide network.
# Of order one by construction; measured on the digits at width 64 (scripts/learning_rates.py): accuracy is best for
# totals of 1.5 at depth 20 and 1.1 at depth 50, for ReLU, GELU, tanh and spline RePU alike.
ADAM_STEP = 2.5
# Networks as deep as wide differ from the typical one, Var S / K^2 = 5 (l - 1) / n for ReLU: smaller steps by its root.
FLUCTUATION = 5.0
# Where the sum over layers is short larger steps gain nothing: 1e-3 to 3e-3 end alike at depth 5.
LARGEST_ADAM_RATE = 2e-3
LARGEST_SGD_RATE = 1.0
# An output 300 times its size at initialization (1e5 in K) is on its way out: an unstable network is at the end of
# float32 within another fifth of the step, and one that is not has lost what it was.
BLOW_UP = 1e5
# The automatic rate is at most this part of the largest stable one (docs/learning_rates.md).
SAFE = 3.0
# Outputs of a smaller K have to grow before they tell classes apart. Where s grows as |z|^q, q > 1, that leads towards
# the wall: at a third of the largest stable rate 5 of 16 MRePU networks (p = 2, K = 2e-3) diverge in 600 steps, at a
# twelfth none; with the argument scaled so that K = 1 none does at a third.
GROWN = 0.1
# Share of such networks that diverge in 600 to 1,000 steps at the automatic rate, by depth: 4 of 208 up to 10 layers or
# a fifth of the width, 34 of 160 of 20 layers, 11 of 32 of 30 (MRePU, p = 1 to 3, width 32 to 128). No rate is
# safe for deep ones: of 20 layers 25 of 128 diverge at a quarter and at a sixteenth of it, of 30 16 of 64.
DIVERGED, WIDE = ((12, 0.02), (25, 0.21), (np.inf, 0.34)), 0.2
# By how many standard deviations of ln K the input that decides lies above the typical one: the worst of a few networks
# and of a batch, whose inputs move together. Fewer where that one blows up before any step.
WORST = 2.0
LESS = (1.75, 1.5, 1.25, 1.0, 0.5, 0.0)
# Points of a trapezoidal rule over N(0, 1): a rate needs two digits, and the rule does not mind kinks.
NODES = np.linspace(-8, 8, 1601)
# A step of the search for the largest stable rate takes one in so many of them.
FEW = 20
WEIGHTS = np.exp(-(NODES**2) / 2) / np.exp(-(NODES**2) / 2).sum()


def adam_rate(law: Law, mean_abs_input: float) -> float:
    """Return the rate at which Adam's first step changes the preactivations by about their own size.

    lr `adam_change` = ADAM_STEP / sqrt(1 + FLUCTUATION sum_{l=1..L} 1/n_l), at most LARGEST_ADAM_RATE, and at most
    `stable_rate` / `safety` (of that with less spread between inputs, where K blows up before any step).
    """
    law = _in_training(law)
    K = kernel_layers(law).K
    safe = safety(law.activation, float(K[-1]))
    change = _change(law, K, mean_abs_input)
    step = ADAM_STEP / np.sqrt(1 + FLUCTUATION * sum(1 / n for n in law.sizes[1:-1]))
    rate = min(LARGEST_ADAM_RATE, float(step) / change) if change > 0 else LARGEST_ADAM_RATE
    for worst in (WORST, *(LESS if K[-1] < GROWN else LESS[-1:])):
        grown = _first_step(law, K, mean_abs_input, worst)
        before, after = grown(np.array([0.0, safe * rate]))
        if after <= BLOW_UP:
            return rate
        if before <= BLOW_UP:
            return _largest_rate(grown) / safe
    return rate


def safety(activation: Activation, K: float) -> float:
    """Return the part of the largest stable rate that is safe for outputs of size K: 1 in SAFE, or SAFE (q - 1)^2."""
    return SAFE * max(1.0, leading_power(activation) - 1) ** 2 if K < GROWN else SAFE


def risk(activation: Activation, K: float, depth: int, width: int) -> float | None:
    """Return the share of networks with outputs of size K that diverge at the automatic rate; None if K may stay."""
    if not (K < GROWN and leading_power(activation) > 1):
        return None
    return next(share for most, share in DIVERGED if depth <= most or depth / width <= WIDE)


def stable_rate(law: Law, mean_abs_input: float, *, beyond: float | None = None) -> float:
    """Return the largest rate at which Adam's first step leaves the network short of blowing up; inf if any does.

    With `beyond`, inf where it lies beyond that rate, which is found at once.

    The step moves every preactivation by up to lr n_{l-1} E|s(z^{l-1})|, which the layers behind it pass on:

        K'^1 = (F^{1/2} K^1^{1/2} + lr n_0 E|x|)^2,   K'^{l+1} = ((C_b + C_W g(K'^l))^{1/2} + lr n_l E|s(z'^l)|)^2 .

    Blown up is K'^{L+1} > BLOW_UP K^{L+1}; 0 if it is that before any step. The finite-width spread of K is
    F = exp(WORST (sum_l (E[s^4] / g^2 - 1) / n_l)^{1/2}), see `fluctuation`. Where K grows faster than linearly (MRePU,
    RePU) the limit is a wall: its distance, not the size of the step, decides. Rates above 1 are not asked for.
    """
    law = _in_training(law)
    grown = _first_step(law, kernel_layers(law).K, mean_abs_input, WORST)
    return np.inf if beyond is not None and grown(np.array([beyond]))[0] <= BLOW_UP else _largest_rate(grown)


def adam_change(law: Law, mean_abs_input: float) -> float:
    """Return by how much of their own size Adam's first step at rate 1 may change the preactivations, layers added up.

    Adam moves every weight by about the rate, in the direction that its gradient agrees on, so that a preactivation of
    layer l moves by at most lr n_{l-1} E|s(z^{l-1})|: sum_l n_{l-1} E|s(z^{l-1})| / sqrt(K^l). For ReLU, E|s| =
    sqrt(K / 2 pi). `mean_abs_input` is E|x|, in place of E|s| for l = 1. Layers whose K leaves float64 are left out:
    nothing trains.
    """
    law = _in_training(law)
    return _change(law, kernel_layers(law).K, mean_abs_input)


def sgd_rate(law: Law, mean_square_input: float) -> float:
    """Return the rate 1 / Theta, with Theta the tangent kernel of one input for plain gradient descent.

    Theta = sum_l (n_{l-1} m^{l-1} + 1) prod_{k=l}^{L} chi_perp^k, where m^0 = |x|^2/n_0 and m^l = E[s(z^l)^2]: the sum
    over all weights and biases of (dz^{L+1}_i/dtheta)^2. A step of that rate moves an output by what its loss gradient
    asks for. At most LARGEST_SGD_RATE; layers beyond float64 are left out, as in `adam_rate`.
    """
    law = _in_training(law)
    kernel, share, (W, b) = kernel_layers(law), law.block.shares(law.depth), law.variances
    skipped = np.where(law.skips, kernel.K[:-1], 0.0)
    with np.errstate(all="ignore"):
        mean_square = np.append(mean_square_input, (kernel.K[1:] - skipped - b) / W)
        if law.block.after == CENTRED:  # steps see the mean of s as well
            s, weights, _ = _nodes(law.activation, law.block, kernel.K[:-1], 1)
            mean_square[1:] = (s * s) @ weights
        log_gain = np.append(np.cumsum(kernel.log10_gain[:-1][::-1])[::-1], 0.0)
        terms = np.append(1.0, share) * (np.array(law.sizes[:-1]) * mean_square + 1) * 10.0**log_gain
    total = float(terms[np.isfinite(terms)].sum())
    return min(LARGEST_SGD_RATE, 1 / total) if total > 0 else LARGEST_SGD_RATE


def fluctuation(law: Law, K: Array, every: int = 1) -> Array:
    """Return n Var S' / S'^2 of a layer's variance S' = C_W mean h_i^2 in a network with S = K, to first order in 1/n.

    Gaussian weights: E h^4 / (E h^2)^2 - 1. Orthogonal ones keep mean z_i^2, so of h^2 only what is not in proportion
    to z^2 fluctuates: less Cov[h^2, z^2]^2 / Var[z^2] / (E h^2)^2, which is 2 (K g'(K) / g(K))^2 for h = s.
    """
    s, weights, finite = _nodes(law.activation, law.block, K, every)
    with np.errstate(all="ignore"):
        square = law.block.after.weighted(s, weights) ** 2
        mean = square @ weights
        spread = (square * square) @ weights / mean**2 - 1
        if law.weights == "orthogonal":
            spread = spread - (square @ (weights * (NODES[::every] ** 2 - 1)) / mean) ** 2 / 2
        return np.where(finite, spread, np.inf)


def absolute_moments(activation: Activation, block: Block, K: Array, every: int = 1) -> tuple[Array, Array, Array]:
    """Return E|h|, E h^2 and E h^4 for z ~ N(0, K), to two digits, inf where K is not; from one in `every` nodes.

    h in the first is what a step multiplies, in the others what the weights see that are drawn.
    """
    s, weights, finite = _nodes(activation, block, K, every)
    with np.errstate(all="ignore"):
        h = block.after.weighted(s, weights)
        square, stepped = h * h, s if block.after == CENTRED else h
        values = (np.abs(stepped) @ weights, square @ weights, (square * square) @ weights)
        return tuple(np.where(finite, value, np.inf) for value in values)  # pyright: ignore[reportReturnType]


def _nodes(activation: Activation, block: Block, K: Array, every: int) -> tuple[Array, Array, Array]:
    """Return s at every K and node, the nodes' weights, and which K are finite."""
    finite = np.isfinite(K)
    with torch.no_grad(), np.errstate(all="ignore"):
        z = np.sqrt(block.enters(np.where(finite, K, 0.0))[0])[:, None] * NODES[::every]
        return activation(torch.from_numpy(z)).numpy(), WEIGHTS[::every] * every, finite


def _in_training(law: Law) -> Law:
    """Return the law with learned branches of the size that they have after a few steps."""
    return replace(law, block=law.block.grown(law.depth))


def _change(law: Law, K: Array, mean_abs_input: float) -> float:
    mean_abs = np.sqrt(law.block.shares(law.depth)) * absolute_moments(law.activation, law.block, K[:-1])[0]
    mean_abs = np.append(mean_abs_input, mean_abs)
    with np.errstate(all="ignore"):
        moves = np.array(law.sizes[:-1]) * mean_abs / np.sqrt(K)
    return float(moves[np.isfinite(moves)].sum())


def _largest_rate(grown: Callable[[Array], Array]) -> float:
    """Return the largest rate, to 7 %, at which K does not blow up: 0 if there is none, inf if it is above 1."""
    low, high = -8.0, 0.0
    for points in (17, 17):  # a factor of 3.2, then of 1.07 between neighbours
        grid = np.linspace(low, high, points)
        bad = ~(grown(10.0**grid) <= BLOW_UP)
        if not bad.any():
            return np.inf
        if bad[0]:
            return 0.0
        low, high = grid[bad.argmax() - 1], grid[bad.argmax()]
    return float(10.0**low)


def _first_step(law: Law, K: Array, mean_abs_input: float, worst: float) -> Callable[[Array], Array]:
    """Return K'^{L+1} / K^{L+1} as a function of some rates, see `stable_rate`; NaN or inf where K leaves float64."""
    n, share, (W, b) = np.array(law.sizes[:-1], dtype=np.float64), law.block.shares(law.depth), law.variances
    with np.errstate(all="ignore"):
        start = K[0] * np.exp(worst * np.sqrt(np.nansum(fluctuation(law, K[:-1], FEW) / n[1:])))

    def grown(lr: Array) -> Array:
        with np.errstate(all="ignore"):
            x = (np.sqrt(start) + lr * n[0] * mean_abs_input) ** 2
            for l in range(law.depth):
                mean_abs, square, _ = absolute_moments(law.activation, *law.block.held(K[l], x), FEW)
                kept = x if law.skips[l] else 0.0
                x = (np.sqrt(kept + b[l] + W[l] * square) + lr * n[l + 1] * np.sqrt(share[l]) * mean_abs) ** 2
            return x / K[-1]

    return grown
