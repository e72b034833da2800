"""The chain of two inputs against full weight matrices, plain and residual, and its noise against real rounding."""

import math
from statistics import NormalDist

import numpy as np
import pytest
import torch

from repu_lab.activations import GELU, MRePU, ReLU, RePU, Tanh
from repu_lab.blocks import PLAIN, RESIDUAL, Block
from repu_lab.blocks.maps import LAYER, RMS
from repu_lab.theory.chain import batch_chain, chain
from repu_lab.theory.fate import limits, rounding
from repu_lab.theory.kernel import layers
from repu_lab.theory.pair_chain import pair_chain

LEVELS = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
NETWORKS, WIDTH, DEPTH = 1500, 24, 4
# Activation, C_W, C_b, k1, block.
GRID = {
    "tanh": (Tanh(), 1.3, 0.05, 1.0, PLAIN),
    "relu": (ReLU(), 2.0, 0.0, 1.0, PLAIN),
    "repu2": (RePU(2), 2 / 3, 0.0, 1.0, PLAIN),
    "mrepu1": (MRePU(1), 1.0, 0.001, 0.05, PLAIN),
    "residual tanh": (Tanh(), 0.5, 0.02, 1.0, RESIDUAL),
    "residual repu2": (RePU(2), 0.2, 0.0, 0.5, RESIDUAL),
    "rms repu2": (RePU(2), 2 / 3, 0.1, 0.5, Block(before=RMS)),
    "layer tanh, half": (Tanh(), 1.3, 0.05, 1.0, Block(residual=True, before=LAYER, branch=0.5)),
    "layer after relu": (ReLU(), 1.0, 0.0, 0.5, Block(after=LAYER)),
    "rms repu2, half": (RePU(2), 2 / 3, 0.0, 1.0, Block(residual=True, before=RMS, branch=0.5)),
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
    h = activation(z)
    centred = h - h.mean(1, keepdim=True)
    return centred / centred.square().mean(1, keepdim=True).sqrt() if block.after == LAYER else h


def matrices(activation, C_W: float, C_b: float, k1: float, block: Block, first: np.ndarray):
    """Return the covariances of the inputs' branches by layer and all z, of networks of full weight matrices."""
    generator = torch.Generator().manual_seed(1)
    inputs = len(first)
    root = torch.from_numpy(np.linalg.cholesky(first * k1 + 1e-12 * np.eye(inputs)))
    z = torch.randn(NETWORKS, WIDTH, inputs, generator=generator, dtype=torch.float64) @ root.T
    covariances, states = [], [z]
    for l in range(DEPTH):
        h = passed_on(activation, block, z)
        covariances.append(C_b + C_W * (h.mT @ h) / WIDTH)
        W = torch.randn(NETWORKS, WIDTH, WIDTH, generator=generator, dtype=torch.float64) * (C_W / WIDTH) ** 0.5
        b = torch.randn(NETWORKS, WIDTH, 1, generator=generator, dtype=torch.float64) * C_b**0.5
        z = z + block.branch * (W @ h + b) if block.residual and l < DEPTH - 1 else W @ h + b
        states.append(z)
    return covariances, states


@pytest.mark.parametrize("name", GRID)
def test_two_inputs_are_as_far_apart_as_in_full_networks(name):
    """K and 1 - c given the last hidden layer, at the output."""
    activation, C_W, C_b, k1, block = GRID[name]
    covariances, _ = matrices(activation, C_W, C_b, k1, block, np.array([[1.0, 0.6], [0.6, 1.0]]))
    S = covariances[-1]
    c = S[:, 0, 1] / (S[:, 0, 0] * S[:, 1, 1]).sqrt()
    samples = pair_chain(
        activation,
        C_W=C_W,
        C_b=C_b,
        k1=k1,
        depth=DEPTH,
        width=WIDTH,
        chains=3000,
        distance=0.4,
        block=block,
        seed=2,
    )
    assert_same_quantiles(S[:, 0, 0].log10().numpy(), samples.log10_K[:, -1])
    assert_same_quantiles((1 - c).log10().numpy(), samples.log10_distance[:, -1])
    D = S[:, 0, 0] + S[:, 1, 1] - 2 * S[:, 0, 1]
    assert_same_quantiles((D / 2 / S[:, 0, 0]).log10().numpy(), samples.log10_spread[:, -1])


@pytest.mark.parametrize("name", [name for name in GRID if name not in ("relu", "repu2", "mrepu1")])
def test_batch_of_networks(name):
    activation, C_W, C_b, k1, block = GRID[name]
    first = np.array([[1.0, 0.6, 0.1], [0.6, 1.0, -0.3], [0.1, -0.3, 1.0]])
    _, states = matrices(activation, C_W, C_b, k1, block, first)
    law = {"C_W": C_W, "C_b": C_b, "k1": k1, "depth": DEPTH, "width": WIDTH}
    found = batch_chain(
        activation, **law, inputs=3, networks=NETWORKS, correlation=first, block=block, seed=3
    )  # fmt: skip
    for l in (1, DEPTH):  # the largest |z| of a layer; the output of these networks is as wide as the others
        assert_same_quantiles(states[l].abs().amax((1, 2)).log10().numpy(), found.log10_z[:, l])


@pytest.mark.parametrize("name", GRID)
def test_a_wide_layer_passes_a_gradient_on_as_theory_says(name):
    activation, C_W, C_b, k1, block = GRID[name]
    law = {"C_W": C_W, "C_b": C_b, "k1": k1, "depth": DEPTH, "block": block}
    samples = pair_chain(activation, **law, width=4000, chains=30, distance=0.5)
    gain = layers(activation, **law).log10_gain[:-1]
    error = samples.log10_gain.std(0) / math.sqrt(30)
    assert (np.abs(samples.log10_gain.mean(0) - gain) < 4 * error + 20 * DEPTH / 4000).all()


def test_one_input_is_the_chain_of_one_input():
    law = {"C_W": 2.0, "C_b": 0.1, "k1": 1.0, "depth": 6, "width": 40}
    one = chain(GELU(), **law, chains=4000, details=True)
    pair = pair_chain(GELU(), **law, chains=4000, distance=0.5, seed=5)
    assert one.log10_z is not None and one.log10_gain is not None
    assert_same_quantiles(one.log10_K[:, -1], pair.log10_K[:, -1])
    assert_same_quantiles(one.log10_z[:, -1], pair.log10_z[:, -1])
    # The gain of a gradient has the conditional one as its mean.
    gain = 10 ** np.stack([one.log10_gain[:, 3], pair.log10_gain[:, 3]])
    assert abs(np.diff(gain.mean(1))[0]) < 4 * math.sqrt(gain.var(1).sum() / 4000)


def test_inputs_are_followed_far_below_rounding():
    """Tanh in its ordered phase: 1 - c shrinks by chi_perp a layer, to 1e-30, with the fluctuations of width 2000."""
    samples = pair_chain(Tanh(), C_W=0.5, C_b=0.1, k1=1.0, depth=70, width=2000, chains=20, distance=0.8)
    chi_perp = layers(Tanh(), 0.5, 0.1, 1.0, 70).log10_chi_perp[-2]
    steps = np.diff(samples.log10_distance, axis=1)[:, 40:].mean(1)
    assert samples.log10_distance[:, -1].max() < -25
    assert abs(steps.mean() - chi_perp) < 4 * steps.std() / math.sqrt(20) + 1e-3
    same = pair_chain(Tanh(), C_W=0.5, C_b=0.1, k1=1.0, depth=3, width=20, chains=5, distance=0.0)
    assert same.log10_distance.max() < -1e200 and same.log10_spread.max() < -1e200


def test_repu_that_leaves_float64_stays_a_number():
    samples = pair_chain(RePU(3), C_W=1.0, C_b=0.0, k1=1.0, depth=900, width=8, chains=40, distance=1.0)
    for values in vars(samples).values():
        assert not np.isnan(values).any()


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
    samples = pair_chain(
        activation, C_W=C_W, C_b=0.0, k1=1.0, depth=depth, width=width, chains=400, distance=1.0,
        rounding=rounding(limits(dtype), width),
    )  # fmt: skip
    assert abs(error.log10().median().item() - np.median(samples.log10_noise[:, -1])) < 0.5


@pytest.mark.parametrize("change", [{"k1": 0.0}, {"ratio": 0.0}, {"distance": 2.1}, {"width": 0}, {"chains": 0}])
def test_bad_input(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        pair_chain(
            Tanh(),
            **{"C_W": 1.0, "C_b": 0.0, "k1": 1.0, "depth": 2, "width": 8, "chains": 2, "distance": 1.0, **change},
        )
