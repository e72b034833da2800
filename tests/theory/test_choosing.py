"""Which variances are chosen: ranked by what they do at the depth asked, whatever the last digit of a constant."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from repu_lab.activations import ACTIVATIONS, Activation, as_activation
from repu_lab.networks.initialization import draw_, uniform_depth
from repu_lab.networks.population import Population
from repu_lab.theory import Initialization, analyse, critical_initialization, mean_square, mean_square_slope, stein


class Function(nn.Module):
    """A user's own activation, of which nothing is declared."""

    def __init__(self, s):
        super().__init__()
        self.s = s

    def forward(self, z: Tensor) -> Tensor:
        return self.s(z)


def own(s) -> Activation:
    return as_activation(Function(s))


def mrepu(z: Tensor, p: int) -> Tensor:
    return z * torch.relu(1 + z) ** p


def tailored() -> Activation:
    """MRePU_1 in DKS' frame for 50 layers: gamma (s(alpha u + beta) + delta) of mean 0 and variance 1 over N(0, 1)."""
    x, w = np.polynomial.legendre.leggauss(2000)
    u, w = 14 * x, 14 * w * np.exp(-((14 * x) ** 2) / 2) / math.sqrt(2 * math.pi)
    z = 0.0439 * u - 0.853
    s = z * np.maximum(1 + z, 0)
    mean = float((w * s).sum())
    gamma = float((w * (s - mean) ** 2).sum()) ** -0.5
    return own(lambda u: gamma * (mrepu(0.0439 * u - 0.853, 1) - mean))


def share_that_keeps(activation: Activation, start: Initialization, depth: int, below: float = 2.0) -> float:
    """Of 24 real networks of width 128, the share in which no layer's K leaves [k1 / 10^below, 100 k1]."""
    population = Population(activation, (64, *[128] * depth, 10), 24, dtype=torch.float64)
    rule = uniform_depth("custom", population.sizes, C_W=start.C_W, C_b=start.C_b, k1=start.k1)
    draw_(population, rule, range(24))
    with torch.no_grad():
        hidden = population.preactivations(torch.ones(1, 64, dtype=torch.float64))[:-1]
        drift = torch.stack([(z.square().mean((1, 2)) / start.k1).log10() for z in hidden])
    return ((drift <= 2) & (drift >= -below)).all(0).double().mean().item()


def test_a_critical_point_that_finite_networks_lose_is_passed_over() -> None:
    """MRePU_2 about its inflection point is critical at K = .126, which repels above, and at K = 0, which attracts."""
    s, depth = own(lambda u: mrepu(u - 2 / 3, 2) + 2 / 27), 50
    half_stable = analyse(s).points[0]
    assert pytest.approx(0.126376, rel=1e-5) == half_stable.K
    assert critical_initialization(s, 2).k1 == half_stable.K
    chosen = critical_initialization(s, depth)
    assert pytest.approx(9) == chosen.C_W and "not at K=0.1264, which 50 layers lose" in chosen.reason
    lost = Initialization(half_stable.C_W, half_stable.C_b, half_stable.K or 0.0, "")
    assert share_that_keeps(s, chosen, depth, below=3) == 1  # K ~ 1/(18 l), a seventieth of k1
    assert share_that_keeps(s, lost, depth, below=3) < 0.6


def test_a_critical_point_of_huge_k_comes_last() -> None:
    """At K = 227 a network starts with outputs of 15; where the activation was tailored they are of size 1."""
    s = tailored()
    assert pytest.approx(226.74, rel=1e-3) == analyse(s).points[0].K
    (near,) = (point for point in analyse(s).near if point.K)
    assert near.K is not None and 0.3 < near.K < 1.5 and near.distance < 3e-3
    chosen = critical_initialization(s, 50)
    assert (chosen.C_W, chosen.C_b, chosen.k1) == (near.C_W, near.C_b, near.K)
    assert share_that_keeps(s, chosen, 50) >= 0.9


# Exact, with constants as one types them, and how far from critical those are at most.
TYPED = {
    "softplus - ln 2": (
        lambda z: nn.functional.softplus(z) - math.log(2), lambda z: nn.functional.softplus(z) - 0.6931, 1e-4),
    "MRePU_2 about -2/3": (lambda u: mrepu(u - 2 / 3, 2) + 2 / 27, lambda u: mrepu(u - 0.6667, 2) + 0.0741, 5e-3),
    "sine": (torch.sin, lambda z: torch.sin(z + 3.14159), 1e-5),
    "sigmoid": (lambda z: torch.sigmoid(z) - 0.5, lambda z: torch.sigmoid(z) - 0.4999, 1e-3),
    "GELU": (nn.functional.gelu, lambda z: nn.functional.gelu(z) + 1e-6, 0.0),
    "ReLU": (torch.relu, lambda z: torch.relu(z) + 1e-9, 1e-4),
    "tanh": (torch.tanh, lambda z: torch.tanh(z) + 1e-5 * torch.relu(z) * z, 0.0),
}  # fmt: skip


@pytest.mark.parametrize("name", TYPED)
def test_no_choice_turns_on_the_last_digits_of_a_constant(name: str) -> None:
    exact, typed, off = TYPED[name]
    wanted, chosen = critical_initialization(own(exact), 20), critical_initialization(own(typed), 20)
    assert (chosen.C_W, chosen.k1) == pytest.approx((wanted.C_W, wanted.k1), rel=0.02)
    assert abs(chosen.C_b - wanted.C_b) < 0.01 * wanted.k1
    nearness = float(chosen.reason.split("reaches ")[1].split(" ")[0]) if "nearly so" in chosen.reason else 0.0
    assert nearness <= off and ("nearly so" in chosen.reason) == (off > 0)


@pytest.mark.parametrize("typed", [TYPED[name][1] for name in TYPED] + [None], ids=[*TYPED, "tailored"])
def test_near_points_are_as_near_as_they_say(typed) -> None:
    """chi_parallel and chi_perp at (C_W, C_b, K), which keep K, by averages alone."""
    s = tailored() if typed is None else own(typed)
    for point in analyse(s).near:
        assert 0 < point.distance <= 0.05
        if not point.K:
            continue
        assert point.C_b + point.C_W * float(mean_square(s, point.K)) == pytest.approx(point.K, rel=1e-9)
        chi = [point.C_W * float(average(s, point.K)) for average in (stein, mean_square_slope)]
        assert max(abs(math.log(value)) for value in chi) == pytest.approx(point.distance, rel=1e-6)


@pytest.mark.parametrize("scale", [1.0, 30.0, 3e3])
def test_k1_has_the_activation_s_own_scale_where_zero_attracts(scale: float) -> None:
    """sin(a z): g = (1 - exp(-2 a^2 K)) / 2, a_1 = -a^2; at C_W = 1/a^2 the first layer leaves g / (a^2 K) of K."""
    chosen = critical_initialization(own(lambda z: torch.sin(scale * z)), 20)
    assert pytest.approx(scale**-2, rel=1e-9) == chosen.C_W
    x = scale**2 * chosen.k1
    assert 1 <= x <= 3 and (1 - math.exp(-2 * x)) / (2 * x) >= 0.2 and chosen.k1 <= 1


def test_k1_is_where_zero_attracts_and_not_beyond() -> None:
    """z - z^3: g = K - 6K^2 + 15K^3, which is above K for K > 6/15; drawn to 0 most at K = 1/5."""
    chosen = critical_initialization(own(lambda z: z - z**3), 20)
    assert pytest.approx(1) == chosen.C_W and chosen.k1 == pytest.approx(0.2, rel=0.1)
    linear = critical_initialization(own(lambda z: z.clamp(-0.03, 0.03)), 20)
    assert linear.k1 == pytest.approx(9e-4 / 0.25, rel=0.2)  # clipped to +-c: g(K) ~ c^2 once K >> c^2


def test_the_lab_s_own_points_are_exact() -> None:
    for name, kind in ACTIVATIONS.items():
        criticality = analyse(kind())
        assert all(point.distance == 0 for point in criticality.points), name
        assert "nearly" not in critical_initialization(kind(), 50).reason
