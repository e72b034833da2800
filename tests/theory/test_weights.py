"""Orthogonal and centred weights by theory: deep networks of real matrices, the order 1/n, wide limits."""

import math
from statistics import NormalDist

import numpy as np
import pytest
import torch
from finite_width_oracles import corrections
from scipy.stats import beta, kstest

from repu_lab.activations import GELU, Identity, MRePU, ReLU, RePU, Sigmoid, SplineRePU, Tanh
from repu_lab.blocks import Block
from repu_lab.blocks.maps import RMS
from repu_lab.networks.initialization import critical, draw_, uniform_depth
from repu_lab.networks.population import Population
from repu_lab.networks.statistics import measure
from repu_lab.theory.chain import batch_chain, chain, one_thread
from repu_lab.theory.gaussian import mean_square
from repu_lab.theory.inputs import Pair
from repu_lab.theory.kernel import correlations, layers
from repu_lab.theory.law import Law
from repu_lab.theory.pair_chain import pair_chain
from repu_lab.theory.rates import fluctuation
from repu_lab.theory.tangent import tangent_layers
from repu_lab.theory.turning import frames, sphere
from same_statistics import assert_as_in_wide_networks

# log10 K at 5, 50, 95 % of 20,000 chains on the sphere, n = 64, measured by a prototype: activation, C_W, K^1, layer.
TABLE = [
    (Tanh(), 1.0, 1.0, 10, (-1.263, -1.228, -1.197)),
    (Tanh(), 1.0, 1.0, 50, (-1.989, -1.970, -1.953)),
    (ReLU(), 2.0, 1.0, 50, (-1.676, -0.504, 0.622)),
    (MRePU(1), 1.0, 1e-3, 50, (-3.095, -2.949, -2.774)),
    (Identity(), 1.0, 1.0, 50, (0.0, 0.0, 0.0)),
]
CHAINS = 4000


@pytest.mark.parametrize(("activation", "C_W", "k1", "layer", "quantiles"), TABLE)
def test_the_sphere_chain_has_the_quantiles_of_the_prototype(activation, C_W, k1, layer, quantiles):
    """The share below each number, rounded up and down, is on either side of its level: 4 standard errors of both."""
    law = Law.of(activation, C_W, 0.0, k1, layer - 1, 64, weights="orthogonal")
    log10_K = chain(law, CHAINS, seed=1)[:, -1]
    for level, value in zip((0.05, 0.5, 0.95), quantiles, strict=True):
        error = 4 * math.sqrt(level * (1 - level) * (1 / CHAINS + 1 / 20_000))
        assert (log10_K < value - 6e-4).mean() < level + error
        assert (log10_K < value + 6e-4).mean() > level - error


# Activation, C_W, K^1: where 50 layers keep the signal.
DEEP = {
    "tanh": (Tanh(), 1.0, 1.0),
    "relu": (ReLU(), 2.0, 1.0),
    "mrepu1": (MRePU(1), 1.0, 1e-3),
    "mrepu2": (MRePU(2), 1.0, 1e-4),
    "spline": (SplineRePU(2), 1.0, 1.0),
}
NETWORKS = {32: 1000, 64: 300, 256: 16}  # 1,000 of 256 take 5 minutes; run once, they agree as well
LAYERS = (5, 20, 50)
LEVELS = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
Z = NormalDist().inv_cdf(1 - 1e-3 / 2 / (len(DEEP) * len(NETWORKS) * len(LAYERS) * len(LEVELS)))


def measured_S(width: int, count: int, columns: list, gain: torch.Tensor, k1: torch.Tensor, seed: int) -> np.ndarray:
    """log10 S by network, layer and column, by full matrices: QR with the signs of R's diagonal taken out."""
    generator = torch.Generator().manual_seed(seed + 10**6 * width)
    x = torch.randn(count, width, 1, generator=generator, dtype=torch.float64)
    z = x / x.square().mean(1, keepdim=True).sqrt() * k1.sqrt()
    log10_S = np.zeros((count, LAYERS[-1] + 1, len(columns)))
    for layer in range(2, LAYERS[-1] + 1):
        h = torch.stack([s(z[:, :, j]) for j, (s, *_) in enumerate(columns)], dim=2)
        log10_S[:, layer] = (gain * h.square().mean(1)).log10().numpy()
        Q, R = torch.linalg.qr(torch.randn(count, width, width, generator=generator, dtype=torch.float64))
        z = gain.sqrt() * ((Q * R.diagonal(dim1=1, dim2=2).sign().unsqueeze(1)) @ h)
    return log10_S


@pytest.mark.parametrize("width", NETWORKS)
def test_deep_networks_of_orthogonal_matrices_have_the_law_of_the_chain(width):
    """Quantiles of log10 S to depth 50, two samples; all comparisons together fail by chance once in 1,000 runs."""
    count, columns = NETWORKS[width], list(DEEP.values())
    gain, k1 = (torch.tensor([column[i] for column in columns], dtype=torch.float64) for i in (1, 2))
    with one_thread():
        parts = [measured_S(width, min(50, count - start), columns, gain, k1, start) for start in range(0, count, 50)]
    measured = np.concatenate(parts)
    for j, (activation, C_W, k1) in enumerate(columns):
        law = Law.of(activation, C_W, 0.0, k1, LAYERS[-1] - 1, width, weights="orthogonal")
        samples = chain(law, 4000, seed=3)
        for layer in LAYERS:
            share = (measured[:, layer, j][:, None] < np.quantile(samples[:, layer - 1], LEVELS)).mean(0)
            error = np.sqrt(LEVELS * (1 - LEVELS) * (1 / count + 1 / len(samples)))
            assert np.abs((share - LEVELS) / error).max() < Z, (activation.title, layer, share)


@pytest.mark.parametrize(("activation", "C_W", "k1"), [(Tanh(), 1.5, 1.0), (ReLU(), 2.0, 1.0), (MRePU(1), 1.0, 0.02)])
def test_variance_to_first_order_and_its_error_by_width(activation, C_W, k1):
    """V' = chi_parallel^2 V + K'^2 fluctuation: n Var S / K^2 differs from V by O(1/n), 4 times less at 4 times n."""
    depth, chains = 4, 200_000
    kernel = layers(activation, C_W, 0.0, k1, depth)
    law = Law.of(activation, C_W, 0.0, k1, depth, weights="orthogonal")
    V = 0.0
    for l in range(depth):
        ratio = kernel.chi_parallel[l] * kernel.K[l] / kernel.K[l + 1]
        V = ratio**2 * V + fluctuation(law, kernel.K[l : l + 1])[0]
    gaussian = corrections(activation, C_W=C_W, C_b=0.0, k1=k1, depth=depth).V_over_K2[-1]
    assert V / gaussian < 0.9
    error, noise = [], []
    for n in (8, 32):
        law = Law.of(activation, C_W, 0.0, k1, depth, n, weights="orthogonal")
        S = 10 ** chain(law, chains, seed=n)[:, -1] / kernel.K[-1]
        deviation = n * (S - S.mean()) ** 2
        error.append(deviation.mean() - V)
        noise.append(deviation.std() / math.sqrt(chains))
    assert abs(error[0]) > 10 * noise[0]  # or there is no error whose size could be compared
    assert abs(error[1] - error[0] / 4) < 4 * math.hypot(noise[1], noise[0] / 4) + 0.35 * abs(error[0] / 4)


def test_a_map_to_fewer_units_loses_what_it_projects_out():
    """100 inputs to 64 units: mean z^2 = (100 / 64) times a Beta(32, 18) number, which square maps then keep."""
    law = Law(Identity(), (1.0,) * 3, (0.0,) * 3, 1.0, (100, 64, 64, 64, 1), weights="orthogonal")
    batch = batch_chain(law, np.eye(1), 4000, seed=2).log10_K[:, 0]
    pair = pair_chain(law, Pair(1.0, 1.0, 1.0), 4000, seed=3).log10_K
    for log10_K in (chain(law, 4000, seed=1), batch, pair):
        assert kstest(10 ** log10_K[:, 1] * 0.64, beta(32, 18).cdf).pvalue > 1e-3
        np.testing.assert_allclose(log10_K[:, 2:], log10_K[:, 1:2].repeat(2, 1), atol=1e-9)


def test_a_linear_network_does_not_fluctuate():
    law = Law.of(Identity(), 1.0, 0.0, 1.0, 5, weights="orthogonal")
    assert np.abs(fluctuation(law, np.ones(1))).max() < 1e-9
    assert fluctuation(Law.of(Identity(), 1.0, 0.0, 1.0, 5), np.ones(1))[0] == pytest.approx(2, rel=1e-6)


def test_gradients_of_orthogonal_networks():
    """A linear network keeps them exactly; those of tanh spread by 10 % as theory says, a quarter of gaussian ones."""
    depth, width, networks = 20, 64, 300
    linear = pair_chain(Law.of(Identity(), 1.0, 0.0, 1.0, depth, width, weights="orthogonal"), Pair(1.0, 1.0, 0.5), 20)
    assert np.abs(linear.log10_gain).max() < 1e-12 and np.abs(linear.log10_spread - math.log10(0.5)).max() < 1e-12
    sizes = (width, *[width] * depth, width)
    population = Population(Tanh(), sizes, networks, dtype=torch.float64)
    rule = uniform_depth("custom", sizes, C_W=1.0, C_b=0.0, k1=1.0, weights="orthogonal")
    draw_(population, rule, range(networks))
    z = population.preactivations(torch.ones(1, width, dtype=torch.float64))
    cotangent = torch.randn(networks, 1, width, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (gradient,) = torch.autograd.grad(z[-1], z[0], cotangent)
    measured = (gradient.square().mean((1, 2)) / cotangent.square().mean((1, 2))).log10().numpy()
    theory = {
        weights: pair_chain(Law.of(Tanh(), 1.0, 0.0, 1.0, depth, width, weights=weights), Pair(1.0, 1.0, 1.0), 2000)
        for weights in ("orthogonal", "gaussian")
    }
    own, usual = (samples.log10_gain.sum(1) for samples in theory.values())
    assert abs(np.median(measured) - np.median(own)) < 4 * 1.25 * own.std() / math.sqrt(networks) + 0.3 / width
    assert measured.std() == pytest.approx(own.std(), rel=4 / math.sqrt(2 * networks))
    assert own.std() < 0.6 * usual.std()


@pytest.mark.parametrize("C_b", [0.0, 0.2])
def test_gradients_behind_a_norm_keep_their_length_in_orthogonal_weights(C_b):
    """RePU_2 behind RMSNorm, where a gradient has no part along h: W^T g is as long as g, not 1/n a layer shorter."""
    depth, width, networks = 6, 24, 3000
    block, sizes = Block(before=RMS), (width, *[width] * depth, width)
    population = Population(RePU(2), sizes, networks, block=block, dtype=torch.float64)
    rule = uniform_depth("custom", sizes, C_W=2 / 3, C_b=C_b, k1=1.0, weights="orthogonal")
    draw_(population, rule, range(networks))
    z = population.preactivations(torch.ones(1, width, dtype=torch.float64))
    cotangent = torch.randn(networks, 1, width, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (gradient,) = torch.autograd.grad(z[-1], z[0], cotangent)
    measured = (gradient.square().mean((1, 2)) / cotangent.square().mean((1, 2))).log10().numpy()
    law = Law.of(RePU(2), 2 / 3, C_b, 1.0, depth, width, block=block, weights="orthogonal")
    own = pair_chain(law, Pair(1.0, 1.0, 1.0), 4000).log10_gain.sum(1)
    assert abs(np.median(measured) - np.median(own)) < 3 * 1.25 * own.std() / math.sqrt(networks)


@pytest.mark.parametrize(("dimension", "count"), [(12, 1), (12, 4), (12, 9), (12, 12)])
def test_frames_are_uniform(dimension, count):
    """Orthonormal columns, and Q_ij with the mean square 1 and the fourth moment 3 d / (d + 2) of the sphere."""
    generator = np.random.default_rng(0)
    whole = frames(2000, dimension, dimension, count, generator)
    gram = np.einsum("mia,mib->mab", whole, whole) / dimension
    np.testing.assert_allclose(gram, np.broadcast_to(np.eye(count), gram.shape), atol=1e-10)
    part = frames(20_000, 5, dimension, count, generator)
    assert part.shape == (20_000, 5, count)
    for entry in (part[:, 0, 0], part[:, -1, -1]):
        for values, wanted in ((entry, 0.0), (entry**2, 1.0), (entry**4, 3 * dimension / (dimension + 2))):
            assert abs(values.mean() - wanted) < 4 * values.std() / math.sqrt(len(values))
    x = sphere(3, 7, 7, generator)
    np.testing.assert_allclose((x**2).mean((1, 2)), 1.0, rtol=1e-12)


@pytest.mark.parametrize(("activation", "C_W"), [(ReLU(), 2.5), (Sigmoid(), 15.0), (GELU(), 3.0), (RePU(2), 0.6)])
def test_wide_networks_of_centred_weights_measure_what_theory_says(activation, C_W):
    """log10 K, both chi and the correlation of 24 networks of width 300: by their standard error and O(L/n)."""
    depth, members, width = 4, 24, 300
    sizes = (4, *[width] * depth, 2)
    law = Law(activation, (C_W,) * depth, (0.05,) * depth, 0.5, sizes, weights="centred")
    population = Population(activation, sizes, members, block=law.block, dtype=torch.float64)
    draw_(population, uniform_depth("custom", sizes, C_W=C_W, C_b=0.05, k1=0.5, weights="centred"), range(members))
    x = torch.tensor([[1.0, -1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]], dtype=torch.float64)
    stats = measure(population, x, lambda z: z.mean((-1, -2)))
    theory = layers(activation, C_W, 0.05, 0.5, depth, weights="centred")
    pair = correlations(law, 0.5, 0.05 + 0.45 / 2)
    assert_as_in_wide_networks(stats, theory, pair.correlation, width)
    step = 1e-5  # chi_parallel is what a small change of K is multiplied by
    up, down = (layers(activation, C_W, 0.05, 0.5 + sign * step, 1, weights="centred").K[1] for sign in (1, -1))
    assert theory.chi_parallel[0] == pytest.approx((up - down) / (2 * step), rel=1e-6)


def test_centred_weights_in_closed_form():
    """ReLU: Var s = (1 - 1/pi) K/2; RePU_2: 5/4 K^2, RePU_3: (15/2 - 2/pi) K^3, beyond float64 too. Odd s as ever."""
    kernel = layers(ReLU(), 2.0, 0.0, 1.0, 30, weights="centred")
    np.testing.assert_allclose(kernel.K, (1 - 1 / np.pi) ** np.arange(31), rtol=1e-12)
    np.testing.assert_allclose(kernel.chi_parallel[:-1], 1 - 1 / np.pi, rtol=1e-12)
    kernel = layers(RePU(2), 0.8, 0.0, 10.0, 12, weights="centred")
    np.testing.assert_allclose(kernel.log10_K, 2.0 ** np.arange(13), rtol=1e-12)
    kernel = layers(RePU(3), 1 / (15 / 2 - 2 / np.pi), 0.0, 1e-40, 6, weights="centred")
    np.testing.assert_allclose(kernel.log10_K, -40 * 3.0 ** np.arange(7), rtol=1e-12)
    np.testing.assert_allclose(kernel.log10_chi_parallel[:-1], np.log10(3) + 2 * kernel.log10_K[:-1], rtol=1e-12)
    for weights in ("centred", "orthogonal"):
        one, other = (layers(Tanh(), 1.5, 0.1, 1.0, 20, weights=kind) for kind in ("gaussian", weights))
        np.testing.assert_allclose(one.log10_K, other.log10_K, rtol=1e-10)
        np.testing.assert_allclose(one.chi_parallel, other.chi_parallel, rtol=1e-10)


@pytest.mark.parametrize("activation", [ReLU(), MRePU(1), Tanh(), GELU()], ids=lambda s: s.title)
def test_critical_keeps_the_kernel_of_centred_weights(activation):
    usual, rule = (critical(activation, (3, *[9] * 10, 2), weights=weights) for weights in ("gaussian", "centred"))
    assert (rule.k1, rule.C_b) == (usual.k1, usual.C_b) and rule.weights == "centred"
    centred, kept = (
        layers(activation, each.C_W[1], each.C_b[1], each.k1, 1, weights=each.weights).K[1] for each in (rule, usual)
    )
    assert centred == pytest.approx(kept, rel=1e-9)
    assert ("centred weights see s less its mean" in rule.note) == (activation.title != "Tanh")


def test_the_tangent_kernel_of_centred_weights_sees_all_of_s():
    """H' = C_b + C_W E[s^2] + chi_perp H, by hand, where K' = C_b + C_W Var s."""
    law = Law.of(ReLU(), 2.5, 0.1, 1.0, 3, weights="centred")
    kernel = layers(ReLU(), 2.5, 0.1, 1.0, 3, weights="centred")
    H = [1.0]
    for K, chi in zip(kernel.K[:-1], kernel.chi_perp[:-1], strict=True):
        H.append(0.1 + 2.5 * float(mean_square(ReLU(), K)) + chi * H[-1])
    np.testing.assert_allclose(tangent_layers(law).H, H, rtol=1e-10)


def test_weights_that_there_are_not():
    with pytest.raises(ValueError, match="weights='sparse': must be one of gaussian, orthogonal, centred"):
        Law.of(Tanh(), 1.0, 0.0, 1.0, 3, weights="sparse")
