"""How large a step may be: learning rates from the sizes of the signal and of its derivatives at initialization.

Sizes n_0, n_1 .. n_L, n_{L+1}; layer l = 1..L+1. Both rules follow a network's kernel K^l at infinite width and are the
same for every activation.
"""

import numpy as np
import torch

from repu_lab.activations import Activation
from repu_lab.theory.kernel import Array, Variances, layers

# By how much of their own size Adam's first step may change the preactivations, all layers added up, in a wide network.
# Of order one by construction; measured on the digits at width 64 (scripts/learning_rates.py): accuracy is best for
# totals of 1.5 at depth 20 and 1.1 at depth 50, for ReLU, GELU, tanh and spline RePU alike.
ADAM_STEP = 2.5
# Networks as deep as wide differ from the typical one, Var S / K^2 = 5 (l - 1) / n for ReLU: smaller steps by its root.
FLUCTUATION = 5.0
# Where the sum over layers is short larger steps gain nothing: 1e-3 to 3e-3 end alike at depth 5.
LARGEST_ADAM_RATE = 2e-3
LARGEST_SGD_RATE = 1.0
# Points of a trapezoidal rule over N(0, 1): a rate needs two digits, and the rule does not mind kinks.
NODES = np.linspace(-8, 8, 1601)
WEIGHTS = np.exp(-(NODES**2) / 2) / np.exp(-(NODES**2) / 2).sum()


def adam_rate(
    activation: Activation, C_W: Variances, C_b: Variances, k1: float, sizes: tuple[int, ...], mean_abs_input: float, *,
    residual: bool = False,
) -> float:  # fmt: skip
    """Return the rate at which Adam's first step changes the preactivations by about their own size.

    lr `adam_change` = ADAM_STEP / sqrt(1 + FLUCTUATION sum_{l=1..L} 1/n_l), and at most LARGEST_ADAM_RATE.
    """
    change = adam_change(activation, C_W, C_b, k1, sizes, mean_abs_input, residual=residual)
    step = ADAM_STEP / np.sqrt(1 + FLUCTUATION * sum(1 / n for n in sizes[1:-1]))
    return min(LARGEST_ADAM_RATE, float(step) / change) if change > 0 else LARGEST_ADAM_RATE


def adam_change(
    activation: Activation, C_W: Variances, C_b: Variances, k1: float, sizes: tuple[int, ...], mean_abs_input: float, *,
    residual: bool = False,
) -> float:  # fmt: skip
    """Return by how much of their own size Adam's first step at rate 1 may change the preactivations, layers added up.

    Adam moves every weight by about the rate, in the direction that its gradient agrees on, so that a preactivation of
    layer l moves by at most lr n_{l-1} E|s(z^{l-1})|: sum_l n_{l-1} E|s(z^{l-1})| / sqrt(K^l). For ReLU, E|s| =
    sqrt(K / 2 pi). `mean_abs_input` is E|x|, in place of E|s| for l = 1. Layers whose K leaves float64 are left out:
    nothing trains.
    """
    K = layers(activation, C_W, C_b, k1, len(sizes) - 2, residual=residual).K
    mean_abs = np.append(mean_abs_input, _mean_abs(activation, K[:-1]))
    with np.errstate(all="ignore"):
        moves = np.array(sizes[:-1]) * mean_abs / np.sqrt(K)
    return float(moves[np.isfinite(moves)].sum())


def sgd_rate(
    activation: Activation, C_W: Variances, C_b: Variances, k1: float, sizes: tuple[int, ...], mean_square_input: float,
    *, residual: bool = False,
) -> float:  # fmt: skip
    """Return the rate 1 / Theta, with Theta the tangent kernel of one input for plain gradient descent.

    Theta = sum_l (n_{l-1} m^{l-1} + 1) prod_{k=l}^{L} chi_perp^k, where m^0 = |x|^2/n_0 and m^l = E[s(z^l)^2]: the sum
    over all weights and biases of (dz^{L+1}_i/dtheta)^2. A step of that rate moves an output by what its loss gradient
    asks for. At most LARGEST_SGD_RATE; layers beyond float64 are left out, as in `adam_rate`.
    """
    depth = len(sizes) - 2
    kernel = layers(activation, C_W, C_b, k1, depth, residual=residual)
    W, b = np.broadcast_to(C_W, depth), np.broadcast_to(C_b, depth)
    skipped = np.where(np.arange(1, depth + 1) < depth, kernel.K[:-1], 0.0) if residual else 0.0
    with np.errstate(all="ignore"):
        mean_square = np.append(mean_square_input, (kernel.K[1:] - skipped - b) / W)
        log_gain = np.append(np.cumsum(kernel.log10_gain[:depth][::-1])[::-1], 0.0)
        terms = (np.array(sizes[:-1]) * mean_square + 1) * 10.0**log_gain
    total = float(terms[np.isfinite(terms)].sum())
    return min(LARGEST_SGD_RATE, 1 / total) if total > 0 else LARGEST_SGD_RATE


def _mean_abs(activation: Activation, K: Array) -> Array:
    """Return E|s(z)| over N(0, K), to two digits."""
    finite = np.where(np.isfinite(K), K, 0.0)
    z = np.sqrt(finite)[:, None] * NODES
    with torch.no_grad(), np.errstate(all="ignore"):
        s = activation(torch.from_numpy(z)).numpy()
        return np.where(np.isfinite(K), np.abs(s) @ WEIGHTS, np.inf)
