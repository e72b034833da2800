"""The chain of two inputs against full weight matrices, plain and residual, and its noise against real rounding."""

import math
from statistics import NormalDist

import numpy as np
import pytest
import torch

from made_up_block import COOLED
from repu_lab.activations import GELU, MRePU, ReLU, RePU, Tanh
from repu_lab.blocks import PLAIN, RESIDUAL, Block
from repu_lab.blocks.maps import LAYER, RMS
from repu_lab.theory.chain import batch_chain, chain
from repu_lab.theory.inputs import Pair
from repu_lab.theory.kernel import kernel_layers, layers
from repu_lab.theory.law import Law
from repu_lab.theory.pair_chain import pair_chain

LEVELS = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
NETWORKS, WIDTH, DEPTH = 1500, 24, 4
# Activation, C_W, C_b, k1, block, weights.
GRID = {
    "tanh": (Tanh(), 1.3, 0.05, 1.0, PLAIN, "gaussian"),
    "relu": (ReLU(), 2.0, 0.0, 1.0, PLAIN, "gaussian"),
    "repu2": (RePU(2), 2 / 3, 0.0, 1.0, PLAIN, "gaussian"),
    "mrepu1": (MRePU(1), 1.0, 0.001, 0.05, PLAIN, "gaussian"),
    "residual tanh": (Tanh(), 0.5, 0.02, 1.0, RESIDUAL, "gaussian"),
    "residual repu2": (RePU(2), 0.2, 0.0, 0.5, RESIDUAL, "gaussian"),
    "rms repu2": (RePU(2), 2 / 3, 0.1, 0.5, Block(before=RMS), "gaussian"),
    "layer tanh, half": (Tanh(), 1.3, 0.05, 1.0, Block(residual=True, before=LAYER, branch=0.5), "gaussian"),
    "layer after relu": (ReLU(), 1.0, 0.0, 0.5, Block(after=LAYER), "gaussian"),
    "cooled repu2, as a newcomer adds it": (RePU(2), 2.0, 0.05, 1.0, Block(before=COOLED), "gaussian"),
    "rms repu2, half": (RePU(2), 2 / 3, 0.0, 1.0, Block(residual=True, before=RMS, branch=0.5), "gaussian"),
    "orthogonal tanh": (Tanh(), 1.3, 0.05, 1.0, PLAIN, "orthogonal"),
    "orthogonal mrepu1": (MRePU(1), 1.0, 0.0, 0.05, PLAIN, "orthogonal"),
    "orthogonal relu, residual": (ReLU(), 1.0, 0.1, 1.0, RESIDUAL, "orthogonal"),
    "orthogonal rms repu2, half": (
        RePU(2),
        2 / 3,
        0.0,
        1.0,
        Block(residual=True, before=RMS, branch=0.5),
        "orthogonal",
    ),
    "centred relu": (ReLU(), 2.5, 0.1, 1.0, PLAIN, "centred"),
    "centred repu2, residual": (RePU(2), 0.3, 0.0, 0.5, RESIDUAL, "centred"),
}
# All comparisons below fail by chance once in a thousand runs (and the seeds are fixed).
Z = NormalDist().inv_cdf(1 - 1e-3 / 2 / (len(GRID) * len(LEVELS) * 10))


def assert_same_quantiles(networks: np.ndarray, samples: np.ndarray) -> None:
    if np.ptp(samples) < 1e-12:  # a normalised layer has no spread
        np.testing.assert_allclose(networks, samples[0], atol=1e-12)
        return
    share = (networks[:, None] < np.quantile(samples, LEVELS)[None, :]).mean(0)
    error = np.sqrt(LEVELS * (1 - LEVELS) * (1 / len(networks) + 1 / len(samples)))
    assert np.abs((share - LEVELS) / error).max() < Z, share


def passed_on(activation, block: Block, z: torch.Tensor) -> torch.Tensor:
    """Return h of the block, units on axis 1."""
    unit = z / z.square().mean(1, keepdim=True).sqrt()
    centred = z - z.mean(1, keepdim=True)
    if block.before == RMS:
        return activation(unit)
    if block.before == LAYER:
        return activation(centred / centred.square().mean(1, keepdim=True).sqrt())
    h = activation(z / COOLED.t if block.before == COOLED else z)
    centred = h - h.mean(1, keepdim=True)
    return centred / centred.square().mean(1, keepdim=True).sqrt() if block.after == LAYER else h


def matrices(activation, C_W: float, C_b: float, k1: float, block: Block, weights: str, first: np.ndarray):
    """Return the covariances of the inputs' branches by layer and all z, of networks of full weight matrices."""
    generator = torch.Generator().manual_seed(1)
    inputs = len(first)
    shared = C_b if weights == "orthogonal" else 0.0
    root = torch.from_numpy(np.linalg.cholesky(first * k1 - shared + 1e-12 * np.eye(inputs)))
    z = torch.randn(NETWORKS, WIDTH, inputs, generator=generator, dtype=torch.float64)
    if weights == "orthogonal":
        z = WIDTH**0.5 * torch.linalg.qr(z).Q
    z = z @ root.T + shared**0.5 * torch.randn(NETWORKS, WIDTH, 1, generator=generator, dtype=torch.float64)
    covariances, states = [], [z]
    for l in range(DEPTH):
        h = passed_on(activation, block, z)
        seen = h - h.mean(1, keepdim=True) if weights == "centred" else h
        covariances.append(C_b + C_W * (seen.mT @ seen) / (WIDTH - (weights == "centred")))
        W = torch.randn(NETWORKS, WIDTH, WIDTH, generator=generator, dtype=torch.float64)
        if weights == "orthogonal":
            Q, R = torch.linalg.qr(W)
            W = Q * WIDTH**0.5 * R.diagonal(dim1=1, dim2=2).sign().unsqueeze(1)
        elif weights == "centred":
            W = (W - W.mean(2, keepdim=True)) * (WIDTH / (WIDTH - 1)) ** 0.5
        W = W * (C_W / WIDTH) ** 0.5
        b = torch.randn(NETWORKS, WIDTH, 1, generator=generator, dtype=torch.float64) * C_b**0.5
        z = z + block.branch * (W @ h + b) if block.residual and l < DEPTH - 1 else W @ h + b
        states.append(z)
    return covariances, states


@pytest.mark.parametrize("name", GRID)
def test_two_inputs_are_as_far_apart_as_in_full_networks(name):
    """K and 1 - c given the last hidden layer, at the output."""
    activation, C_W, C_b, k1, block, weights = GRID[name]
    covariances, _ = matrices(activation, C_W, C_b, k1, block, weights, np.array([[1.0, 0.6], [0.6, 1.0]]))
    S = covariances[-1]
    c = S[:, 0, 1] / (S[:, 0, 0] * S[:, 1, 1]).sqrt()
    law = Law.of(activation, C_W, C_b, k1, DEPTH, WIDTH, block=block, weights=weights)
    samples = pair_chain(law, Pair(k1, 1.0, 0.4), 3000, seed=2)
    assert_same_quantiles(S[:, 0, 0].log10().numpy(), samples.log10_K[:, -1])
    distance = samples.log10_distance[:, -1]
    known = ~np.isnan(distance)
    assert known.mean() > (0.95 if name == "repu2" else 0.9999)  # RePU alone loses an angle in so few layers
    assert_same_quantiles((1 - c).log10().numpy(), distance[known])
    D = S[:, 0, 0] + S[:, 1, 1] - 2 * S[:, 0, 1]
    assert_same_quantiles((D / 2 / S[:, 0, 0]).log10().numpy(), samples.log10_spread[:, -1])


@pytest.mark.parametrize("name", [name for name in GRID if name not in ("relu", "repu2", "mrepu1")])
def test_batch_of_networks(name):
    activation, C_W, C_b, k1, block, weights = GRID[name]
    first = np.array([[1.0, 0.6, 0.1], [0.6, 1.0, -0.3], [0.1, -0.3, 1.0]])
    _, states = matrices(activation, C_W, C_b, k1, block, weights, first)
    law = Law.of(activation, C_W, C_b, k1, DEPTH, WIDTH, block=block, weights=weights)
    batch = batch_chain(law, k1 * first, NETWORKS, seed=3)
    for l in (1, DEPTH):  # the largest |z| of a layer; the output of these networks is as wide as the others
        assert_same_quantiles(states[l].abs().amax((1, 2)).log10().numpy(), batch.log10_z[:, l])


@pytest.mark.parametrize("name", GRID)
def test_a_wide_layer_passes_a_gradient_on_as_theory_says(name):
    activation, C_W, C_b, k1, block, weights = GRID[name]
    law = Law.of(activation, C_W, C_b, k1, DEPTH, 4000, block=block, weights=weights)
    samples = pair_chain(law, Pair(k1, 1.0, 0.5), 30)
    gain = kernel_layers(law).log10_gain[:-1]
    error = samples.log10_gain.std(0) / math.sqrt(30)
    assert (np.abs(samples.log10_gain.mean(0) - gain) < 4 * error + 20 * DEPTH / 4000).all()


def test_one_input_is_the_chain_of_one_input():
    law = Law.of(GELU(), 2.0, 0.1, 1.0, 6, 40)
    pair = pair_chain(law, Pair(1.0, 1.0, 0.5), 4000, seed=5)
    assert_same_quantiles(chain(law, 4000)[:, -1], pair.log10_K[:, -1])


def test_inputs_are_followed_far_below_rounding():
    """Tanh in its ordered phase: 1 - c shrinks by chi_perp a layer, to 1e-30, with the fluctuations of width 2000."""
    samples = pair_chain(Law.of(Tanh(), 0.5, 0.1, 1.0, 70, 2000), Pair(1.0, 1.0, 0.8), 20)
    chi_perp = layers(Tanh(), 0.5, 0.1, 1.0, 70).log10_chi_perp[-2]
    steps = np.diff(samples.log10_distance, axis=1)[:, 40:].mean(1)
    assert samples.log10_distance[:, -1].max() < -25
    assert abs(steps.mean() - chi_perp) < 4 * steps.std() / math.sqrt(20) + 1e-3
    same = pair_chain(Law.of(Tanh(), 0.5, 0.1, 1.0, 3, 20), Pair(1.0, 1.0, 0.0), 5)
    assert same.log10_distance.max() < -1e200 and same.log10_spread.max() < -1e200


def test_the_correlation_of_inputs_whose_sizes_leave_each_other_is_that_of_full_networks():
    """RePU squares the ratio of two inputs' sizes at each layer; the angle is known where the second stays as large."""
    width, depth, networks = 64, 12, 1000
    generator = torch.Generator().manual_seed(0)
    h = torch.randn(networks, width, 2, generator=generator, dtype=torch.float64)
    z = h
    for _ in range(depth + 1):
        z = torch.randn(networks, width, width, generator=generator, dtype=torch.float64) @ h
        h = (z / z.abs().amax(1, keepdim=True)).clamp(min=0).square()  # the angle does not depend on the sizes
    (first, second), size = z.unbind(2), z.square().sum(1).sqrt()
    measured = ((first * second).sum(1) / size.prod(1)).numpy()
    law = Law.of(RePU(2), 1.0, 0.0, 1.0, depth, width)
    log10_distance = pair_chain(law, Pair(1.0, 1.0, 1.0), networks, seed=0).log10_distance[:, -1]
    known = ~np.isnan(log10_distance)
    assert 0.4 < known.mean() < 0.8
    # As likely larger as smaller: a lost one has the law of the others.
    assert_same_quantiles(measured, 1 - 10 ** log10_distance[known])


def test_repu_that_leaves_float64_stays_a_number():
    samples = pair_chain(Law.of(RePU(3), 1.0, 0.0, 1.0, 900, 8), Pair(1.0, 1.0, 1.0), 40)
    for name, values in vars(samples).items():
        assert name == "log10_distance" or not np.isnan(values).any()


@pytest.mark.parametrize(("activation", "C_W"), [(Tanh(), 1.0), (ReLU(), 2.0), (GELU(), 2.5)])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_noise_is_that_of_real_rounding(activation, C_W, dtype):
    """log10 of the mean square error over K of 40 networks at layer 8, by median: within .5, a factor of 1.8."""
    depth, width, members = 8, 64, 40
    generator = torch.Generator().manual_seed(3)
    low = getattr(torch, dtype)
    x = torch.randn(members, 16, width, generator=generator, dtype=torch.float64).to(low)
    exact = x.double()
    for _ in range(depth):
        W = (torch.randn(members, width, width, generator=generator, dtype=torch.float64) * (C_W / width) ** 0.5).to(
            low
        )
        x, exact = activation(x) @ W, activation(exact) @ W.double()
    error = (x.double() - exact).square().mean((1, 2)) / exact.square().mean((1, 2))
    samples = pair_chain(Law.of(activation, C_W, 0.0, 1.0, depth, width, dtype=dtype), Pair(1.0, 1.0, 1.0), 400)
    assert abs(error.log10().median().item() - np.median(samples.log10_noise[:, -1])) < 0.5


@pytest.mark.parametrize("change", [{"k1": 0.0}, {"ratio": 0.0}, {"distance": 2.1}, {"chains": 0}])
def test_bad_input(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        pair = Pair(**{"k1": 1.0, "ratio": 1.0, "distance": 1.0} | {k: v for k, v in change.items() if k != "chains"})
        pair_chain(Law.of(Tanh(), 1.0, 0.0, 1.0, 2, 8), pair, change.get("chains", 2))
