import math
from statistics import NormalDist

import mpmath as mp
import numpy as np
import pytest
import torch
from finite_width_oracles import (
    blow_up_probability_log_diffusion,
    breakdown_layer,
    corrections,
    excess,
    log_K_moments,
    log_law,
)

from repu_lab.activations import GELU, MRePU, ReLU, RePU, Sigmoid, Tanh
from repu_lab.networks.initialization import draw_, uniform_depth
from repu_lab.networks.population import Population
from repu_lab.theory.chain import batch_chain, chain, one_thread
from repu_lab.theory.finite_width import blow_up_probability
from repu_lab.theory.gaussian import mean_square
from repu_lab.theory.inputs import Pair
from repu_lab.theory.law import WEIGHTS, Law
from repu_lab.theory.pair_chain import pair_chain

# Activation, C_W, C_b, k1: near where the signal stays, so that several layers say something.
GRID = {
    "repu1": (RePU(1), 2.0, 0.0, 1.0),
    "repu2": (RePU(2), 2 / 3, 0.0, 1.0),
    "repu3": (RePU(3), 2 / 15, 0.0, 1.0),
    "mrepu1": (MRePU(1), 1.0, 0.0, 0.05),
    "mrepu2": (MRePU(2), 0.9, 0.001, 0.01),
    "relu": (ReLU(), 1.8, 0.1, 1.0),
    "tanh": (Tanh(), 1.5, 0.05, 1.0),
    "gelu": (GELU(), 2.0, 0.17, 3.0),
}
DRAWN = [("gaussian", 16), ("orthogonal", 16), ("orthogonal", 100), ("centred", 16)]  # weights, n_0
WIDTHS = {64: 5, 256: 3, 1024: 3}  # width: the layer whose S is compared
CHAINS = {64: 100_000, 256: 100_000, 1024: 20_000}  # the error of a quantile is that of the 1,000 networks anyway
NETWORKS = 1000
LEVELS = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
# All comparisons of the grid together fail by chance once in a thousand runs (and the seeds are fixed).
Z_BONFERRONI = NormalDist().inv_cdf(1 - 1e-3 / 2 / (len(GRID) * len(WIDTHS) * len(LEVELS)))


def assert_same_quantiles(networks: np.ndarray, samples: np.ndarray) -> None:
    """The share of networks below each quantile of the chain, in standard errors of both samples."""
    # A tie of all values (a layer whose S is not random) has nothing to compare.
    share = (networks[:, None] < np.quantile(samples, LEVELS)[None, :]).mean(0)
    error = np.sqrt(LEVELS * (1 - LEVELS) * (1 / len(networks) + 1 / len(samples)))
    assert np.abs((share - LEVELS) / error).max() < Z_BONFERRONI


@pytest.fixture(scope="module", params=WIDTHS)
def networks_log10_S(request):
    """log10 S of NETWORKS networks, full weight matrices shared by the activations of the grid (columns)."""
    width, last = request.param, WIDTHS[request.param]
    generator = torch.Generator().manual_seed(width)
    settings = list(GRID.values())
    C_W, C_b, k1 = (torch.tensor([s[k] for s in settings], dtype=torch.float64) for k in (1, 2, 3))
    log10_S = np.empty((NETWORKS, len(GRID)))
    W = torch.empty(width, width)
    with one_thread():
        for i in range(NETWORKS):
            z = torch.empty(width, 1, dtype=torch.float64).normal_(generator=generator) * k1.sqrt()
            for layer in range(2, last + 1):
                h = torch.stack([s[0](z[:, column]) for column, s in enumerate(settings)], dim=1)
                if layer == last:
                    log10_S[i] = (C_b + C_W * h.square().mean(0)).log10().numpy()
                    break
                b = torch.empty(width, 1).normal_(generator=generator)
                z = W.normal_(generator=generator) @ (h * (C_W / width).sqrt()).float() + b * C_b.sqrt().float()
                z = z.double()
    return width, dict(zip(GRID, log10_S.T, strict=True))


@pytest.mark.parametrize("name", GRID)
def test_networks_have_the_law_of_the_chain(networks_log10_S, name):
    width, log10_S = networks_log10_S
    activation, C_W, C_b, k1 = GRID[name]
    samples = chain(Law.of(activation, C_W, C_b, k1, WIDTHS[width] - 1, width), CHAINS[width], seed=7)
    assert_same_quantiles(log10_S[name], samples[:, -1])


@pytest.mark.parametrize(("weights", "inputs"), DRAWN)
@pytest.mark.parametrize("name", GRID)
def test_the_labs_population_has_the_law_of_the_chain(name, weights, inputs):
    """Also where a map has more inputs than units, of which orthogonal weights lose some."""
    activation, C_W, C_b, k1 = GRID[name]
    sizes = (inputs, 64, 64, 64, 1)
    population = Population(activation, sizes, 500, dtype=torch.float64)
    draw_(population, uniform_depth("custom", sizes, C_W=C_W, C_b=C_b, k1=k1, weights=weights), range(500))
    x = torch.ones(1, inputs, dtype=torch.float64)
    z = population.preactivations(x)[-2].detach()[:, 0]
    h = activation(z)
    S = C_b + C_W * (h.var(-1) if weights == "centred" else h.square().mean(-1))
    samples = chain(Law(activation, (C_W,) * 3, (C_b,) * 3, k1, sizes, weights=weights), 20_000, seed=3)
    assert_same_quantiles(S.log10().numpy(), samples[:, -1])


def test_largest_preactivation_and_gain_of_a_population():
    C_W, C_b, k1, width = 1.5, 0.05, 1.0, 32
    sizes = [16, width, width, 1]
    population = Population(Tanh(), sizes, 1000, dtype=torch.float64)
    draw_(population, uniform_depth("custom", sizes, C_W=C_W, C_b=C_b, k1=k1), range(1000))
    z = population.preactivations(torch.ones(1, 16, dtype=torch.float64))[1].detach()[:, 0]
    samples = pair_chain(Law.of(Tanh(), C_W, C_b, k1, 2, width), Pair(k1, 1.0, 0.5), 20_000, seed=5)
    assert samples.log10_gain.shape == (20_000, 2)
    assert_same_quantiles(z.abs().amax(1).log10().numpy(), samples.log10_z[:, 1])
    assert_same_quantiles(z.tanh().abs().amax(1).log10().numpy(), samples.log10_h[:, 1])
    xi = torch.randn(z.shape, dtype=z.dtype, generator=torch.Generator().manual_seed(1))
    gain = C_W * (Tanh().derivative(z) * xi).square().mean(1)
    assert_same_quantiles(gain.log10().numpy(), samples.log10_gain[:, 1])


@pytest.mark.parametrize(("p", "width"), [(2, 64), (2, 256), (3, 64), (1.5, 128), (0.75, 64)])
def test_chain_has_the_exact_log_moments(p, width):
    depth, chains = 12, 4000
    samples = chain(Law.of(RePU(p), 1.0, 0.0, 0.9, depth, width), chains, seed=1)
    mean, std = log_K_moments(RePU(p), C_W=1.0, k1=0.9, depth=depth, width=width)
    log_S = samples * math.log(10)
    assert np.abs((log_S.mean(0) - mean)[1:] / (std[1:] / math.sqrt(chains))).max() < 4
    # The relative error of a standard deviation is 1/sqrt(2 N), larger by the kurtosis: ln Y is skewed, hence 6.
    assert np.abs(log_S.std(0)[1:] / std[1:] - 1).max() < 6 / math.sqrt(2 * chains)


def test_deep_repu_beyond_float64():
    depth = 1200
    samples = chain(Law.of(RePU(2), 1.0, 0.0, 1.0, depth, 64), 300, seed=2)
    y = samples[:, 1000] * math.log(10) / 2.0**1000
    law = log_law(RePU(2), 64)
    # y = 2^(1-l) ln S^l converges to sum_k 2^-k ln Y_k: mean and standard deviation of theory.md's table for n = 64.
    assert y.mean() == pytest.approx(law.mean, abs=4 * law.std / math.sqrt(3) / math.sqrt(300))
    assert np.isfinite(samples[:, 1000]).all() and np.abs(samples[:, 1000]).max() > 1e290
    grown = y > 0
    assert (samples[grown, -1] == np.inf).all() and (samples[~grown, -1] == -np.inf).all()


def test_nonhomogeneous_chain_beyond_float64():
    samples = chain(Law.of(MRePU(1), 1.0, 0.0, 1.0, 20, 64), 50, seed=0)
    # Far out MRePU_1 is z^2: log K doubles.
    ratio = samples[:, -1] / samples[:, -2]
    assert np.allclose(ratio, 2, atol=1e-3) and samples[:, -1].min() > 1e4


def test_chain_is_reproducible_and_the_chunks_join():
    law = Law.of(Tanh(), 1.5, 0.1, 1.0, 3, 30_000)
    first = chain(law, 7, seed=5)
    assert np.array_equal(first, chain(law, 7, seed=5))
    assert first.shape == (7, 4) and len(np.unique(first[:, 1])) == 7


def test_variances_by_map():
    C_W, C_b = [1.0, 2.0, 0.5], [0.0, 0.1, 0.2]
    wide = chain(Law.of(ReLU(), C_W, C_b, 1.0, 3, 400_000), 1, seed=0)[0]
    K = [1.0]
    for W, b in zip(C_W, C_b, strict=True):
        K.append(b + W * K[-1] / 2)
    assert np.allclose(10**wide, K, rtol=0.02)  # 5 standard errors of sqrt(15 / n)


def test_relu_variance_is_exact_at_finite_width():
    n, chains = 64, 200_000
    samples = chain(Law.of(ReLU(), 2.0, 0.0, 1.0, 4, n), chains, seed=4)
    S = 10**samples
    for l in range(2, 6):
        deviation = (S[:, l - 1] - 1) ** 2
        exact = (1 + 5 / n) ** (l - 1) - 1
        assert abs(deviation.mean() - exact) < 4 * deviation.std() / math.sqrt(chains)


def moments_of_S(p: int, n: int, last: int):
    """E S / K and Var S / K^2 of layer `last` for RePU_p at K = K_* = 1, exact at width n.

    S' = S^p Y / c: E S^k of layer l+1 is E S^(p k) of layer l times E Y^k / c^k, Y = (1/n) sum_i relu(x_i)^(2p).
    """
    c = mp.fac2(2 * p - 1) / 2

    def mean_power(k: int):
        a = [mp.mpf(1)] + [mp.fac2(2 * p * j - 1) / 2 / mp.factorial(j) for j in range(1, k + 1)]
        b = [mp.mpf(1)]  # the series (sum_j a_j t^j)^n by Miller's recurrence
        for m in range(1, k + 1):
            b.append(sum((n * j - (m - j)) * a[j] * b[m - j] for j in range(1, m + 1)) / m)
        return b[k] * mp.factorial(k) / (n * c) ** k

    first, second = mp.mpf(1), mp.mpf(1)
    for l in range(last - 1):
        first *= mean_power(p**l)
        second *= mean_power(2 * p**l)
    return first, second - first**2


@pytest.mark.parametrize(("p", "n"), [(1, 1024), (2, 2**20), (3, 2**34)])
def test_error_of_the_first_order_falls_fourfold_per_doubling(p, n):
    last = max(3, int(breakdown_layer(RePU(p), n) / 2)) if p > 1 else 10
    assert last <= breakdown_layer(RePU(p), n) / 2
    order = corrections(RePU(p), C_W=2 / float(mp.fac2(2 * p - 1)), C_b=0.0, k1=1.0, depth=last - 1)
    with mp.workdps(60):
        error = []
        for width in (n, 2 * n):
            mean, var = moments_of_S(p, width, last)
            exact_V = mp.mpf(round(order.V_over_K2[-1] * 1000000)) / 1000000 / width
            exact_G1 = mp.mpf(round(order.G1_over_K[-1] * 1000000)) / 1000000 / width
            error.append((var - exact_V, mean - 1 - exact_G1))
    assert 3.5 < error[0][0] / error[1][0] < 4.5
    assert p == 1 or 3.5 < error[0][1] / error[1][1] < 4.5


@pytest.mark.parametrize(("activation", "C_W", "C_b", "k1"), [(MRePU(2), 1.0, 0.0, 0.02), (Tanh(), 3.0, 0.2, 1.0)])
def test_first_order_against_the_chain(activation, C_W, C_b, k1):
    depth, n, chains = 3, 1000, 8000
    samples = chain(Law.of(activation, C_W, C_b, k1, depth, n), chains, seed=9)
    S = 10 ** samples[:, -1]
    order = corrections(activation, C_W=C_W, C_b=C_b, k1=k1, depth=depth)
    K = k1
    for _ in range(depth):
        K = C_b + C_W * float(mean_square(activation, K))
    V, G1 = order.V_over_K2[-1] * K**2 / n, order.G1_over_K[-1] * K / n
    deviation = (S - S.mean()) ** 2
    # Four standard errors, and the next order: a share V / (n K^2) of the first, times what a few layers make of it.
    assert abs(deviation.mean() - V) < 4 * deviation.std() / math.sqrt(chains) + 5 * V * order.V_over_K2[-1] / n
    assert abs(S.mean() - K - G1) < 4 * S.std() / math.sqrt(chains) + 5 * abs(G1) * order.V_over_K2[-1] / n


def test_excess_and_breakdown():
    assert excess(RePU(2)) == pytest.approx(67 / 3, rel=1e-12)
    assert excess(ReLU()) == pytest.approx(5, rel=1e-12)
    assert breakdown_layer(ReLU(), 64) == pytest.approx(1 + 64 / 5)
    # Not homogeneous: interpolated. With C_b = 0 and tiny K, MRePU is linear with w = 2.
    assert breakdown_layer(MRePU(1), 100, k1=1e-9, max_depth=60) == pytest.approx(51, rel=1e-3)
    assert breakdown_layer(Tanh(), 10**6, C_W=0.5, C_b=0.1, max_depth=20) == math.inf


def test_log_law_against_mpmath():
    # E ln Y of RePU_1 at n = 2, given Y > 0: both units alive (probability 1/3) Y = chi^2_2 / 2, else chi^2_1 / 2.
    both, one = mp.digamma(1), mp.digamma(mp.mpf(1) / 2)
    mean = both / 3 + 2 * one / 3
    second = (both**2 + mp.psi(1, 1)) / 3 + 2 * (one**2 + mp.psi(1, mp.mpf(1) / 2)) / 3
    law = log_law(RePU(1), 2)
    assert law.mean == pytest.approx(float(mean), rel=1e-12)
    assert law.std == pytest.approx(float(mp.sqrt(second - mean**2)), rel=1e-12)
    # 22-digit double quadrature of the same integral, done once.
    assert log_law(RePU(2), 1024).bias == pytest.approx(-0.01080206461029200167, abs=2e-15)
    assert log_law(RePU(3), 16).std == pytest.approx(1.889092793531455, rel=1e-13)
    assert math.isnan(log_law(ReLU(), 64).K_typ_over_K_star)


def test_blow_up_of_mrepu():
    n, x = 128, 1.0
    samples = chain(Law.of(MRePU(1), 1.0, 0.0, x / (3 * n), 600, n), 300, seed=1)
    measured = (samples[:, -1] > 0).mean()
    error = math.sqrt(measured * (1 - measured) / 300)
    assert abs(blow_up_probability_log_diffusion(MRePU(1), width=n, k1=x / (3 * n)) - measured) < 3 * error + 0.02
    assert blow_up_probability(x) == pytest.approx(1 - math.exp(-x), rel=1e-12)
    # Below C_W = 1 fewer do, and the two diffusions agree to what exact moments change.
    below = blow_up_probability(x, width=n, C_W=1 - 1 / n)
    assert below == pytest.approx(1 - 2 * math.exp(-1), rel=1e-12)
    fewer = blow_up_probability_log_diffusion(MRePU(1), width=n, k1=x / (3 * n), C_W=1 - 1 / n)
    assert fewer == pytest.approx(float(below), abs=0.05)


@pytest.mark.parametrize("C_b", [0.0, 0.1])
def test_batch_of_one_input_is_the_chain(C_b):
    law = Law.of(GELU(), 1.2, C_b, 1.0, 3, 32)
    alone = chain(law, 20_000, seed=1)
    batch = batch_chain(law, np.ones((1, 1)), 2000, seed=2)
    assert batch.log10_K.shape == (2000, 1, 4)
    assert_same_quantiles(batch.log10_K[:, 0, -1], alone[:, -1])


@pytest.mark.parametrize(
    ("activation", "C_W", "C_b"), [(RePU(2), 2 / 3, 0.0), (Tanh(), 1.5, 0.05), (MRePU(1), 1.0, 0.1)]
)
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("inputs", [4, 40])
def test_batch_chain_against_networks(activation, C_W, C_b, inputs, weights):
    """Orthogonal inputs through real networks, 40 of them more than the width: the largest and smallest K."""
    width, depth, networks = 16, 3, 600
    sizes = [inputs, *[width] * depth, 1]
    population = Population(activation, sizes, networks, dtype=torch.float64)
    draw_(population, uniform_depth("custom", sizes, C_W=C_W, C_b=C_b, k1=1.0, weights=weights), range(networks))
    z = population.preactivations(math.sqrt(inputs) * torch.eye(inputs, dtype=torch.float64))[depth - 1].detach()
    h = activation(z)
    if weights == "centred":
        h = math.sqrt(width / (width - 1)) * (h - h.mean(-1, keepdim=True))
    S = (C_b + C_W * h.square().mean(-1)).log10().numpy()
    cross = C_b + C_W * (h[:, :-1:2] * h[:, 1::2]).mean(-1)
    with np.errstate(invalid="ignore"):  # RePU networks of 16 units in which an input has died
        far = 1 - cross.numpy() / 10 ** ((S[:, :-1:2] + S[:, 1::2]) / 2)
    far = np.sort(far, 1)[:, (far.shape[1] - 1) // 2]
    covariance = C_b + (1 - C_b) * np.eye(inputs)
    law = Law(activation, (C_W,) * depth, (C_b,) * depth, 1.0, tuple(sizes), weights=weights)
    batch = batch_chain(law, covariance, 4000, seed=3)
    assert_same_quantiles(S.max(1), batch.log10_K[:, :, -1].max(1))
    assert_same_quantiles(S.min(1), batch.log10_K[:, :, -1].min(1))
    assert_same_quantiles(np.log10(far[np.isfinite(far)]), batch.log10_distance[np.isfinite(batch.log10_distance)])
    assert_same_quantiles(z.abs().amax((1, 2)).log10().numpy(), batch.log10_z[:, depth - 1])
    assert_same_quantiles(activation(z).abs().amax((1, 2)).log10().numpy(), batch.log10_h[:, depth - 1])


def test_batch_of_equal_inputs_stays_equal():
    batch = batch_chain(Law.of(MRePU(1), 1.0, 0.0, 0.1, 5, 64), np.full((3, 3), 0.1), 50)
    assert np.abs(batch.log10_K - batch.log10_K[:, :1]).max() < 1e-3  # 1e-5 from the jitter, grown by five layers


def test_the_largest_input_is_found_among_fewer_and_fewer():
    """Of 40 inputs 5 are left at the output, and the others have no number from the layer on at which they go."""
    law = Law.of(RePU(2), 1.0, 0.1, 1.0, 3, 16)
    every, few = (
        batch_chain(law, np.eye(40), 4000, kept=kept, seed=s) for s, kept in ((1, None), (2, [40, 40, 10, 5]))
    )
    assert_same_quantiles(every.log10_K[:, :, -1].max(1), np.nanmax(few.log10_K[:, :, -1], 1))
    assert_same_quantiles(every.log10_z[:, -1], few.log10_z[:, -1])
    assert (np.isfinite(few.log10_K).sum(1) == [40, 40, 10, 5]).all()


def test_the_end_of_the_number_format_ends_a_network():
    batch = batch_chain(Law.of(RePU(2), 1.0, 0.0, 1.0, 30, 64), np.eye(8), 50)
    over = np.maximum(batch.log10_z, batch.log10_h) > np.log10(torch.finfo(torch.float32).max)
    first = over.argmax(1)
    assert over.any(1).all() and all(np.isinf(row[f + 1 :]).all() for row, f in zip(batch.log10_z, first, strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": 0}, "depth"),
        ({"width": 0}, "width"),
        ({"chains": -1}, "chains"),
        ({"C_W": -1.0}, "C_W"),
        ({"C_b": [0.1, 0.2]}, "C_b"),
        ({"k1": math.nan}, "k1"),
    ],
)
def test_bad_input_of_the_chain(change, message):
    settings = {"C_W": 1.0, "C_b": 0.0, "k1": 1.0, "depth": 3, "width": 8, "chains": 2} | change
    with pytest.raises(ValueError, match=message):
        chain(Law.of(Tanh(), **{k: v for k, v in settings.items() if k != "chains"}), settings["chains"])


def test_other_bad_input():
    with pytest.raises(ValueError, match="not homogeneous"):
        log_law(Sigmoid(), 64)
    with pytest.raises(ValueError, match="C_W"):
        blow_up_probability(1.0, width=100, C_W=1.1)
    with pytest.raises(ValueError, match="correlation"):
        batch_chain(Law.of(ReLU(), 2.0, 0.0, 1.0, 1, 4), np.array([[1.0, 1.5], [1.5, 1.0]]), 1)
