"""Forecasts of networks as they are: measured on their own weights, whatever drew those."""

import numpy as np
import pytest
import torch
from torch import nn

from repu_lab import forecast_network, initialize_
from repu_lab.activations import MRePU, ReLU, RePU, Tanh
from repu_lab.blocks import Block, Skip
from repu_lab.blocks.maps import RMS
from repu_lab.networks.initialization import draw_, uniform_depth
from repu_lab.networks.observing import as_perceptron
from repu_lab.networks.passing import pass_batch, recognise
from repu_lab.networks.population import Population


def network(activation: nn.Module, depth: int, width: int = 64) -> nn.Sequential:
    maps = [m for _ in range(depth) for m in (nn.Linear(width, width), activation)]
    return nn.Sequential(*maps, nn.Linear(width, 10)).double()


def linears(of: nn.Module) -> list[nn.Linear]:
    return [m for m in of.modules() if isinstance(m, nn.Linear)]


@torch.no_grad()
def drawn(activation: nn.Module, depth: int, draw, C_W: float, width: int = 64) -> nn.Sequential:
    made = network(activation, depth, width)
    for linear in linears(made):
        draw(linear.weight)
        linear.weight *= (C_W / (linear.in_features * linear.weight.square().mean())).sqrt()
        linear.bias.zero_()
    return made


@torch.no_grad()
def realised() -> nn.Sequential:
    """RePU_2 tailored by its biases: rows of mean 0, biases of mean 7.8; measured elsewhere K = 62.07, 61.47, 61.27."""
    torch.manual_seed(0)
    made = drawn(RePU(2), 50, nn.init.orthogonal_, 1.0)
    for l, linear in enumerate(linears(made)):
        nn.init.orthogonal_(linear.weight)
        if l:
            linear.weight -= linear.weight.mean(1, keepdim=True)
            linear.weight *= 0.063805
        linear.bias.fill_(7.804353 if l < 50 else 0.0)
    return made


def test_a_healthy_network_of_no_known_law_is_called_healthy() -> None:
    seen = forecast_network(realised().float(), inputs=64)
    assert seen.fate == "survives" and seen.layer is None
    np.testing.assert_allclose(10 ** seen.log10_K_quantiles[2, [0, 24, 49]], [62.07, 61.47, 61.27], rtol=0.03)
    for what in ("no known law", "biases have a mean", "squared singular values have"):
        assert what in seen.advice


def test_an_activation_with_a_parameter_of_its_own_is_forecast() -> None:
    made = nn.Sequential(nn.Linear(8, 16), nn.PReLU(init=0.3), nn.Linear(16, 16), nn.PReLU(init=0.3), nn.Linear(16, 2))
    initialize_(made, seed=0)
    assert forecast_network(made, inputs=4).fate == "survives"


@pytest.mark.parametrize("q", [1.0, 3.0])
def test_what_is_measured_is_what_torch_does(q: float) -> None:
    """K, the largest numbers and the gradient against the module itself and autograd."""
    torch.manual_seed(1)
    made = drawn(Tanh(), 6, nn.init.normal_, 1.5, 20)
    perceptron = as_perceptron(made)
    seen = pass_batch(perceptron.population(), inputs=4, mean_square=q, seed=3)
    random = torch.Generator().manual_seed(3)
    x = torch.randn(4, 20, generator=random, dtype=torch.float64)
    h, zs = x * (q / x.square().mean(1, keepdim=True)).sqrt(), []
    for module in made:
        h = module(h)
        if isinstance(module, nn.Linear):
            h.retain_grad()
            zs.append(h)
    cotangent = torch.randn(4, 10, generator=random, dtype=torch.float64)
    (zs[-1] * cotangent).sum().backward()
    for l, z in enumerate(zs):
        np.testing.assert_allclose(10 ** seen.log10_K[:, l], z.detach().square().mean(1), rtol=1e-12)
        assert 10 ** seen.log10_z[l] == pytest.approx(z.abs().max().item(), rel=1e-12)
        wanted = z.grad.square().mean() / cotangent.square().mean()
        assert 10 ** seen.log10_gradient[l] == pytest.approx(wanted.item(), rel=1e-12)
        one, other = z.detach()[::2], z.detach()[1::2]
        c = torch.cosine_similarity(one, other, dim=1)  # of two pairs the lower median is the smaller
        assert 10 ** seen.log10_distance[l] == pytest.approx(1 - c.max().item(), rel=1e-10)
        spread = (one - other).square().sum(1) / (2 * one.norm(dim=1) * other.norm(dim=1))
        assert 10 ** seen.log10_spread[l] == pytest.approx(spread.min().item(), rel=1e-12)


def less_row_means(W: torch.Tensor) -> None:
    nn.init.normal_(W).sub_(W.mean(1, keepdim=True))


def half_centred(W: torch.Tensor) -> None:
    nn.init.normal_(W).sub_(W.mean(1, keepdim=True) / 2)


DRAWS = {
    "normal": (nn.init.normal_, "gaussian", []),
    "uniform": (nn.init.uniform_, "gaussian", ["weights have a mean", "row sums"]),  # on [0, 1]
    "symmetric": (lambda W: nn.init.uniform_(W, -1, 1), "gaussian", []),
    "orthogonal": (nn.init.orthogonal_, "orthogonal", []),
    "identity": (nn.init.eye_, "orthogonal", ["weights have a mean"]),
    "centred": (less_row_means, "centred", []),
    "half centred": (half_centred, "gaussian", ["row sums have 0.2"]),
}


@pytest.mark.parametrize("name", DRAWS)
def test_draws_are_told_apart(name: str) -> None:
    draw, weights, wanted = DRAWS[name]
    torch.manual_seed(2)
    for depth in (3, 12):
        kind, reasons = recognise(as_perceptron(drawn(Tanh(), depth, draw, 1.0)))
        assert kind == weights
        assert all(any(t.startswith(w) for t in reasons) for w in wanted), reasons
        assert bool(reasons) == bool(wanted), reasons


def test_weights_that_are_zero_are_of_no_other_law() -> None:
    made = network(ReLU(), 3, 1)
    for linear in linears(made):
        nn.init.zeros_(linear.weight)
    assert recognise(as_perceptron(made))[0] == "gaussian"


@pytest.mark.parametrize(("weights", "words"), [("orthogonal", "matrices are orthogonal"), ("centred", "rows have no")])
def test_a_network_is_forecast_by_the_law_of_its_weights(weights, words):
    """initialize_ draws them, and the gradient's gain by layer is that law's, not that of gaussian weights."""
    made = network(ReLU(), 8)
    start = initialize_(made, weights=weights, seed=3)
    expected = forecast_network(made, inputs=16)
    assert expected.law.weights == weights and words in expected.advice
    assert start.C_W * (1.0 if weights == "orthogonal" else 1 - 1 / np.pi) == pytest.approx(2.0, rel=1e-9)
    assert 10 ** expected.log10_chi_parallel[0] == pytest.approx(1.0, rel=0.1)  # C_W Var s / K, measured on 64 x 64
    W = linears(made)[1].weight.detach()
    seen = W.mean(1).abs().max() if weights == "centred" else (W @ W.T / start.C_W - torch.eye(64)).abs().max()
    assert seen < 1e-12


# log10 K at 5, 50, 95 % of 400 orthogonal networks of width 64, and by how much a network's own may leave that.
ORTHOGONAL = {
    "tanh": (Tanh(), 1.0, 1.0, 10, (-1.263, -1.197)),
    "tanh, deep": (Tanh(), 1.0, 1.0, 50, (-1.988, -1.954)),
    "ReLU": (ReLU(), 2.0, 1.0, 50, (-1.717, 0.669)),
    "MRePU": (MRePU(1), 1.0, 1e-3, 50, (-3.088, -2.787)),
}


@pytest.mark.parametrize("name", ORTHOGONAL)
def test_orthogonal_networks_have_their_own_law(name: str) -> None:
    """At least 12 of 20 networks within the published 5 to 95 % range (0.9 each: fewer has probability 1e-4)."""
    s, C_W, k1, layer, (low, high) = ORTHOGONAL[name]
    torch.manual_seed(5)
    inside = 0
    for seed in range(20):
        made = drawn(s, layer - 1, nn.init.orthogonal_, C_W)
        with torch.no_grad():
            linears(made)[0].weight.mul_((k1 / C_W) ** 0.5)
            made[-1] = last = nn.Linear(64, 64).double()
            nn.init.orthogonal_(last.weight).mul_(C_W**0.5)
            last.bias.zero_()
        K = pass_batch(as_perceptron(made).population(), inputs=1, mean_square=1.0, seed=seed).log10_K[0, -1]
        inside += low <= K <= high
    assert inside >= 12


def test_a_normalised_network_with_skips_is_measured_as_it_is() -> None:
    """K and the gradient by layer, against the modules themselves (torch's RMSNorm) and autograd."""
    block = Block(residual=True, before=RMS, branch=0.5)
    population = Population(RePU(2), (20, 16, 16, 16, 16, 5), block=block, dtype=torch.float64)
    draw_(population, uniform_depth("custom", population.sizes, C_W=0.7, C_b=0.1, k1=1.0), [4])
    network = population.member(0)
    perceptron = as_perceptron(network)
    seen = pass_batch(perceptron.population(), inputs=4, mean_square=1.0, seed=3)
    assert perceptron.block == block
    random = torch.Generator().manual_seed(3)
    x = torch.randn(4, 20, generator=random, dtype=torch.float64)
    x = (x / x.square().mean(1, keepdim=True).sqrt()).requires_grad_()
    z = [x]
    for module in network:
        z.append(module(z[-1]))
    layers = [z[1], *(made for made, module in zip(z[1:], network, strict=True) if isinstance(module, Skip)), z[-1]]
    assert len(layers) == 5
    cotangent = torch.randn(4, 5, generator=random, dtype=torch.float64)
    gradients = torch.autograd.grad((z[-1] * cotangent).sum(), layers)
    for l, (made, gradient) in enumerate(zip(layers, gradients, strict=True)):
        np.testing.assert_allclose(10 ** seen.log10_K[:, l], made.detach().square().mean(1), rtol=1e-12)
        wanted = gradient.square().mean() / cotangent.square().mean()
        assert 10 ** seen.log10_gradient[l] == pytest.approx(wanted.item(), rel=1e-12)
