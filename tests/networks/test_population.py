"""A member of a population is the network trained alone: weights, outputs, gradients, steps."""

import pytest
import torch
from torch import nn

from repu_lab.activations import ACTIVATIONS, RePU, Tanh
from repu_lab.blocks import RESIDUAL
from repu_lab.networks.initialization import RULES, Rule, draw_, lecun, uniform_depth
from repu_lab.networks.optimizers import Optimizer
from repu_lab.networks.population import Population

F64 = torch.float64
SIZES = (5, 7, 6, 3)  # no square layer: a fan-in taken for a fan-out shows


def population_of(members: int, seed: int = 0, activation: nn.Module | None = None, dtype=F64) -> Population:
    population = Population(activation or Tanh(), SIZES, members, dtype=dtype)
    draw_(population, lecun(SIZES), range(seed, seed + members))
    return population


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_member_is_a_plain_network_with_the_same_outputs(name):
    population = population_of(3, activation=ACTIVATIONS[name]())
    x = torch.randn(4, 5, dtype=F64, generator=torch.Generator().manual_seed(1))
    for i in range(3):
        torch.testing.assert_close(population.member(i)(x), population(x)[i], rtol=1e-13, atol=1e-14)


def test_member_can_be_taken_away_saved_and_loaded(tmp_path):
    population = population_of(2)
    torch.save(population.member(1), tmp_path / "member.pt")
    loaded = torch.load(tmp_path / "member.pt", weights_only=False)
    x = torch.ones(1, 5, dtype=F64)
    torch.testing.assert_close(loaded(x), population(x)[1])
    assert [type(m) for m in loaded] == [nn.Linear, Tanh, nn.Linear, Tanh, nn.Linear]


def test_member_starts_bit_for_bit_as_the_network_with_its_seed_alone():
    together = population_of(4, seed=10, dtype=torch.float32)
    for i in range(4):
        alone = population_of(1, seed=10 + i, dtype=torch.float32)
        assert torch.equal(together.theta[i], alone.theta[0])


def train(population: Population, method: str, steps: int, **settings) -> list[torch.Tensor]:
    optimizer = Optimizer(method, population.theta, **settings)
    alive = torch.ones(population.members, dtype=torch.bool)
    generator = torch.Generator().manual_seed(3)
    history = []
    for _ in range(steps):
        x, y = torch.randn(8, 5, dtype=F64, generator=generator), torch.randn(8, 3, dtype=F64, generator=generator)
        loss = (population(x) - y).square().mean((1, 2))
        (gradient,) = torch.autograd.grad(loss.sum(), population.theta)
        optimizer.step(population.theta, gradient, alive)
        history.append(loss.detach())
    return history


METHODS = {
    "sgd": {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01},
    "adam": {"lr": 0.003, "beta1": 0.8, "beta2": 0.99, "weight_decay": 0.01},
    "adamw": {"lr": 0.003, "weight_decay": 0.1},
    "adam clipped": {"lr": 0.003, "clip": 0.5},
}


@pytest.mark.parametrize("name", METHODS)
def test_member_trains_as_the_network_alone_under_torch_optim(name):
    """Both against torch.nn and torch.optim, 100 steps in float64: weights to 1e-6, losses over 50 steps to 1e-5."""
    population, settings = population_of(3), METHODS[name]
    plain = [population.member(i) for i in range(3)]
    history = train(population, name.split()[0], 100, **settings)
    for i, network in enumerate(plain):
        s = dict(settings)
        clip = s.pop("clip", None)
        betas = {"betas": (s.pop("beta1", 0.9), s.pop("beta2", 0.999))} if "adam" in name else {}
        kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name.split()[0]]
        optimizer = kind(network.parameters(), **s, **betas)
        generator = torch.Generator().manual_seed(3)
        for step in range(100):
            x, y = torch.randn(8, 5, dtype=F64, generator=generator), torch.randn(8, 3, dtype=F64, generator=generator)
            optimizer.zero_grad()
            loss = (network(x) - y).square().mean()
            if step < 50:
                assert loss.item() == pytest.approx(history[step][i].item(), rel=1e-5)
            loss.backward()
            if clip:
                nn.utils.clip_grad_norm_(network.parameters(), clip)
            optimizer.step()
        trained = population.member(i)
        for mine, theirs in zip(trained.parameters(), network.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)


def test_rates_decays_and_clips_per_member_equal_separate_runs():
    lr, decay, clip = [1e-2, 1e-3, 0.0], [0.0, 0.1, 0.2], [0.1, 10.0, 1.0]
    together = population_of(3)
    train(together, "adamw", 30, lr=lr, weight_decay=decay, clip=clip)
    for i in range(3):
        alone = population_of(1, seed=i)
        train(alone, "adamw", 30, lr=lr[i], weight_decay=decay[i], clip=clip[i])
        torch.testing.assert_close(together.theta[i], alone.theta[0], rtol=1e-10, atol=1e-12)


def test_freezing_a_member_leaves_the_others_bit_for_bit_and_keeps_its_last_weights():
    def run(poison: bool) -> Population:
        population = population_of(4, dtype=torch.float32)
        optimizer = Optimizer("adam", population.theta, lr=1e-2)
        alive = torch.ones(4, dtype=torch.bool)
        x, y = torch.ones(8, 5), torch.zeros(8, 3)
        kept = population.theta[2].clone()
        for step in range(20):
            loss = (population(x) - y).square().mean((1, 2))
            (gradient,) = torch.autograd.grad(loss.sum(), population.theta)
            if poison and step == 7:
                gradient[2, 5] = torch.nan
            optimizer.step(population.theta, gradient, alive)
            if step == 6:
                kept = population.theta[2].clone()
        if poison:
            assert torch.equal(population.theta[2], kept)
            assert alive.tolist() == [True, True, False, True]
        return population

    healthy, poisoned = run(False), run(True)
    for i in (0, 1, 3):
        assert torch.equal(healthy.theta[i], poisoned.theta[i])


@pytest.mark.parametrize(("name", "C_W", "C_b"), [("he", 2, 0), ("lecun", 1, 0), ("pytorch", 1 / 3, 1 / 3)])
def test_rules_give_their_variances_on_layers_that_are_not_square(name, C_W, C_b):
    sizes = (300, 500, 200)
    population = Population(Tanh(), sizes, 1, dtype=F64)
    draw_(population, RULES[name](sizes), [0])
    for fan_in, affine in zip(sizes, population.affine_maps(), strict=False):
        W, b = affine.W_MIO.detach(), affine.b_M1O.detach()
        # The variance of m draws has the relative standard error sqrt(2/m) for a normal, less for a uniform one.
        assert fan_in * W.var().item() == pytest.approx(C_W, rel=4 * (2 / W.numel()) ** 0.5)
        wanted_b = C_b / fan_in if name == "pytorch" else C_b
        assert b.var().item() == pytest.approx(wanted_b, rel=4 * (2 / b.numel()) ** 0.5)


def test_xavier_uses_both_fans():
    assert RULES["xavier"]((100, 300, 300, 50)).C_W == (0.5, 1.0, 600 / 350)


def test_the_pytorch_rule_has_the_range_of_torch_nn_linear():
    population = Population(Tanh(), (64, 64, 10), 1)
    draw_(population, RULES["pytorch"](population.sizes), [0])
    linear = nn.Linear(64, 64)
    for mine, theirs in zip(population.affine_maps()[0][:2], (linear.weight, linear.bias), strict=True):
        assert mine.abs().max().item() <= 1 / 8
        assert mine.abs().max().item() == pytest.approx(theirs.abs().max().item(), abs=0.02)


@pytest.mark.parametrize("p", [1, 2, 3])
def test_wide_networks_have_the_exact_kernel_at_the_second_layer(p):
    """RePU: K^2 = C_W (2p-1)!!/2 K^p at K^1 = k1; mean over units and members against its own standard error."""
    C_W, k1, members, width = 1.5, 0.7, 200, 400
    sizes = (3, width, 11, 1)
    population = Population(RePU(p), sizes, members, dtype=F64)
    draw_(population, uniform_depth("custom", sizes, C_W=C_W, C_b=0.0, k1=k1), range(members))
    x = torch.tensor([[1.0, -1.0, 1.0]], dtype=F64)  # |x|^2/n_0 = 1
    z1, z2, _ = population.preactivations(x)
    double_factorial = {1: 1, 2: 3, 3: 15}[p]
    for z, wanted in ((z1, k1), (z2, C_W * double_factorial / 2 * k1**p)):
        square_M = z.detach().square().mean((1, 2))
        error = square_M.std().item() / members**0.5
        assert abs(square_M.mean().item() - wanted) < 4 * error


class PerMemberSlope(nn.Module):
    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor([0.25]))

    def forward(self, z):
        return torch.where(z > 0, z, self.slope * z)


def test_an_activation_with_parameters_is_copied_per_member_and_layer_and_trains():
    population = population_of(3, activation=PerMemberSlope())
    network = population.member(1)
    assert sum(p.numel() for p in network.parameters()) == population.theta.shape[1]
    optimizer, plain = Optimizer("adam", population.theta, lr=1e-2), torch.optim.Adam(network.parameters(), lr=1e-2)
    x = torch.randn(8, 5, dtype=F64, generator=torch.Generator().manual_seed(0))
    alive = torch.ones(3, dtype=torch.bool)
    for _ in range(10):
        (gradient,) = torch.autograd.grad(population(x).square().mean((1, 2)).sum(), population.theta)
        optimizer.step(population.theta, gradient, alive)
        plain.zero_grad()
        network(x).square().mean().backward()
        plain.step()
    for mine, theirs in zip(population.member(1).parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)
    slopes = [affine.activation_MA for affine in population.affine_maps()[:2]]
    assert len({round(v, 6) for s in slopes for v in s.flatten().tolist()}) == 6


def test_unequal_numbers_of_rules_or_seeds_are_refused():
    with pytest.raises(ValueError, match="2 seeds for 3 members"):
        draw_(Population(Tanh(), SIZES, 3), lecun(SIZES), [0, 1])
    with pytest.raises(ValueError, match="need C_W >= 0"):
        uniform_depth("custom", SIZES, C_W=-1, C_b=0, k1=1)
    assert isinstance(lecun(SIZES), Rule)


RESIDUAL_SIZES = (5, 7, 7, 7, 6, 6, 3)  # skips where widths are equal, none into or out of the hidden layers


@pytest.mark.parametrize("activation", [Tanh(), RePU(2), PerMemberSlope()], ids=["tanh", "repu", "own parameters"])
def test_residual_layers_add_their_branch_and_member_is_the_same_plain_network(activation):
    population = Population(activation, RESIDUAL_SIZES, 2, block=RESIDUAL, dtype=F64)
    draw_(population, lecun(RESIDUAL_SIZES), [0, 1])
    assert [population.skips(l) for l in range(7)] == [False, True, True, False, True, False, False]
    x = torch.randn(4, 5, dtype=F64, generator=torch.Generator().manual_seed(1))
    z_D = population.preactivations(x)
    for i in range(2):
        torch.testing.assert_close(population.member(i)(x), population(x)[i], rtol=1e-13, atol=1e-14)
        by_hand = z_D[0][i]
        for l, (W, b, *_) in enumerate(population.affine_maps()[1:], 1):
            s = population.activate(by_hand.unsqueeze(0), population.affine_maps()[l - 1].activation_MA[i : i + 1])[0]
            by_hand = b[i] + s @ W[i] + (by_hand if l in (1, 2, 4) else 0)
            torch.testing.assert_close(z_D[l][i], by_hand, rtol=1e-12, atol=1e-13)


def test_wide_residual_networks_add_kernels():
    """K^{l+1} = K^l + C_b + C_W g(K^l), for RePU_2 with g = 3 K^2 / 2; against the mean's own standard error."""
    C_W, C_b, k1, members, width = 0.3, 0.05, 0.7, 200, 400
    sizes = (3, width, width, 1)
    population = Population(RePU(2), sizes, members, block=RESIDUAL, dtype=F64)
    draw_(population, uniform_depth("custom", sizes, C_W=C_W, C_b=C_b, k1=k1), range(members))
    z2 = population.preactivations(torch.tensor([[1.0, -1.0, 1.0]], dtype=F64))[1].detach()
    square_M = z2.square().mean((1, 2))
    error = square_M.std().item() / members**0.5
    assert abs(square_M.mean().item() - (k1 + C_b + C_W * 1.5 * k1**2)) < 4 * error
