"""Splines in the span of RePU, ranked by theory: what a deep network keeps of a signal, and how nonlinear it may be.

Near K = 0, with r = s''/s' and t = s'''/s' at 0: K' = K + a_1 K^2, a_1 = (3/4) r^2 + t, and chi_perp = 1 + b_1 K,
b_1 = r^2 + t (Roberts, Yaida, Hanin). For a_1 < 0, K ~ 1/(|a_1| l), so that over l layers
    a squared gradient grows like l^gamma, gamma = b_1/|a_1|,
    the angle 1 - c of near inputs, whose distance K (1 - c) grows as the gradient does, like l^(gamma + 1).
An odd s has r = 0: gamma = -1, angles stay. A skew one with r^2 = -t has gamma = 0: gradients stay, and angles open
like l until, by c' - c = K (r^2/4)(1 - c)(1 - 2c), every pair stands at 60 degrees. So at a stable K* = 0 of first
order no choice of r and t keeps both. A plateau does: s is linear for |z| <= h, all that a layer does is of the order
of exp(-h^2/2K), so that K ~ h^2/(2 ln l), and gradients fall no faster, with angles that stay.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from repu_lab.activations import Activation
from repu_lab.theory import Initialization, critical_initialization
from repu_lab.theory.chain import one_thread

# (p, shift, plateau): odd ones, skew ones, so skew that a half-stable point appears, plateaus, and plateaus that begin
# near 0 and end far from it
FAMILY = (
    (2, 0.0, 1), (3, 0.0, 1), (4, 0.0, 1),
    (2, 0.25, 1), (2, 0.44, 1), (3, 0.25, 1), (3, 0.4411, 1), (4, 0.49, 1),
    (2, 0.5, 1), (3, 1.0, 1),
    (2, 0.0, 2), (2, 0.0, 3), (2, 0.0, 4), (2, 0.0, 6), (2, 0.0, 8), (3, 0.0, 3), (3, 0.0, 4),
    (2, -2.0, 8), (2, -2.5, 8), (2, -3.0, 8), (3, -2.0, 8), (3, -3.5, 8),
)  # fmt: skip
# A trapezoidal rule over N(0, 1), right to 1e-6 for what is twice differentiable; no node sits on ReLU's kink.
NODES = np.linspace(-9, 9, 1440)
WEIGHTS = np.exp(-(NODES**2) / 2) / np.exp(-(NODES**2) / 2).sum()
KEPT = 2.0  # what changes by at most this factor counts as kept


@dataclass(frozen=True)
class Passage:
    """How K, a mean squared gradient and 1 - c of two near inputs change over `depth` layers of infinite width.

    nonlinearity: sum over the layers of the share of s's variance that no linear function of z explains,
    1 - K E[s']^2 / Var s.
    """

    K: float
    gradient: float
    nonlinearity: float

    @property
    def angle(self) -> float:
        """The change of 1 - c: that of the distance K (1 - c), which is the gradient's, over that of K."""
        return self.gradient / self.K

    @property
    def kept(self) -> bool:
        """Whether none of the three changes by more than a factor KEPT."""
        return all(1 / KEPT <= change <= KEPT for change in (self.K, self.gradient, self.angle))


@one_thread()
def passage(activation: Activation, start: Initialization, depth: int) -> Passage:
    """Follow one input through `depth` activations, and a near one beside it."""
    K, log_gradient, nonlinearity = start.k1, 0.0, 0.0
    for _ in range(depth):
        z = torch.from_numpy(math.sqrt(K) * NODES)
        s, slope = activation(z).numpy(), activation.derivative(z).numpy()
        g = float(WEIGHTS @ s**2)
        nonlinearity += 1 - K * float(WEIGHTS @ slope) ** 2 / (g - float(WEIGHTS @ s) ** 2)
        log_gradient += math.log(start.C_W * float(WEIGHTS @ slope**2))
        K = start.C_b + start.C_W * g
    return Passage(K / start.k1, math.exp(log_gradient), nonlinearity)


def affordable(activation: Activation, depth: int) -> Passage:
    """Return the passage at C_W = 1, C_b = 0 from the largest k1 from which everything is kept.

    So its nonlinearity is what a network may have without losing its signal. It does not depend on the scale alpha of
    alpha s(z/alpha), as which every activation becomes a line.
    """
    low, high = math.log(1e-5), math.log(1e2)
    for _ in range(14):
        middle = (low + high) / 2
        kept = passage(activation, Initialization(1.0, 0.0, math.exp(middle), ""), depth).kept
        low, high = (middle, high) if kept else (low, middle)
    return passage(activation, Initialization(1.0, 0.0, math.exp(low), ""), depth)


def critical_passage(activation: Activation, depth: int) -> Passage:
    """Return the passage from the `critical` initialization."""
    return passage(activation, critical_initialization(activation, depth), depth)
