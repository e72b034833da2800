"""Laws of networks of given sizes, the tangent kernel of two inputs, and a moment that only tests ask for."""

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from repu_lab.activations import Activation
from repu_lab.blocks import PLAIN, Block
from repu_lab.theory import Law, correlations
from repu_lab.theory.closed_forms import moments


def sized(
    activation: Activation, C_W: float, C_b: float, k1: float, sizes: tuple[int, ...], block: Block = PLAIN
) -> Law:
    """Return the law of networks of these sizes, one C_W and C_b for all maps."""
    return replace(Law.of(activation, C_W, C_b, k1, len(sizes) - 2, block=block), sizes=sizes)


def pair_ratio(law: Law, K22: float, K12: float) -> list[float]:
    """H12 / sqrt(K11 K22) by layer: what the correlation is, and what is passed on of it."""
    pair = correlations(law, K22, K12)
    ratio = [pair.correlation[0]]
    for c, gain in zip(pair.correlation[1:], pair.gain[:-1], strict=True):
        ratio.append(c + gain * ratio[-1])
    return ratio


def mean_fourth(activation: Activation, K: ArrayLike) -> NDArray[np.float64]:
    """E[s(z)^4], z ~ N(0, K), on the panels of E[s^2]."""
    form = moments(activation)
    with np.errstate(all="ignore"):
        values = []
        for variance in np.ravel(K):
            z, weights = form.rule(np.array([variance], dtype=np.float64))
            values.append((form.s(z) ** 4 @ weights.T).item())
    return np.reshape(values, np.shape(K))
