"""What is seen of networks of any kind: the numbers against autograd and the lab's own, and what is called ill."""

import copy
import math
import sys
import types

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from repu_lab import assert_healthy, examine, watch
from repu_lab.activations import ReLU
from repu_lab.networks.initialization import draw_, he
from repu_lab.networks.population import Population
from repu_lab.networks.statistics import measure
from repu_lab.tracking.events import EVENTS_NAME
from repu_lab.tracking.tags import declared
from repu_lab.watching.measures import measures
from repu_lab.watching.recording import recorded


class Mixed(nn.Module):
    """A convolution, batch norm, attention, a skip and a layer that runs twice."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.twice, self.dropout, self.last = nn.Linear(4, 4), nn.Dropout(0.2), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.norm(self.first(x))).flatten(2).transpose(1, 2)
        h = h + self.attention(h, h, h)[0]
        h = F.relu(self.twice(h), inplace=True)
        return self.last(self.dropout(self.twice(h).mean(1)))


def images(count: int = 16) -> Tensor:
    return torch.randn(count, 1, 4, 4, generator=torch.Generator().manual_seed(1))


def perceptron(depth: int, width: int = 64, seed: int = 0, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    torch.manual_seed(seed)
    parts = [part for _ in range(depth - 1) for part in (activation(), nn.Linear(width, width))]
    return nn.Sequential(nn.Linear(8, width), *parts, activation(), nn.Linear(width, 3))


def inputs(count: int = 32) -> Tensor:
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(2))


def test_the_numbers_are_those_of_the_labs_own_networks():
    sizes, x = (8, 16, 16, 3), inputs(20)
    population = Population(ReLU(), sizes)
    draw_(population, he(sizes), [5])
    network = population.member(0)
    own = measure(population, x, lambda z_MPC: z_MPC.square().mean((1, 2)))
    with recorded(network) as recording:
        network(x).square().mean().backward()
    for l, measured in enumerate(measures(recording.layers)):
        np.testing.assert_allclose(measured.log10_K, own.log10_K[l, 0], atol=1e-6)
        np.testing.assert_allclose(measured.log10_gradient, own.log10_gradient[l, 0], atol=1e-5)
        np.testing.assert_allclose(1 - 10**measured.log10_distance, own.correlation[l, 0], atol=1e-6)
        np.testing.assert_allclose(measured.mean, own.mean[l, 0], atol=1e-6)
        np.testing.assert_allclose(measured.log10_max_abs, own.log10_max_abs[l, 0], atol=1e-6)
        if l < len(sizes) - 2:
            assert measured.dead == pytest.approx(own.dead[l, 0], abs=1e-7)


def test_layers_of_every_kind_are_seen_in_the_order_in_which_they_run():
    report = examine(Mixed(), images())
    assert [(row.name, row.kind) for row in report.rows] == [
        ("first", "Conv2d"),
        ("norm", "BatchNorm2d"),
        ("attention", "MultiheadAttention"),
        ("twice", "Linear"),
        ("twice#2", "Linear"),
        ("last", "Linear"),
    ]
    assert report.healthy() and str(report).splitlines()[-1].startswith("healthy")
    assert all(row.log10_gradient is not None and math.isfinite(row.log10_gradient) for row in report.rows)


def test_weights_that_are_made_are_no_layer_and_their_module_is_one():
    """weight_norm: the module has no weights of its own, and the one that makes them has an output, the weights."""
    plain = nn.Sequential(nn.Conv2d(1, 3, 2, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(3, 2, bias=False))
    made = copy.deepcopy(plain)
    for module in (made[0], made[3]):
        nn.utils.parametrizations.weight_norm(module)
    batch = torch.randn(8, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    seen, wanted = examine(made, batch).rows, examine(plain, batch).rows
    assert [row.name for row in seen] == ["0", "3"]
    for a, b in zip(seen, wanted, strict=True):
        assert a.log10_K == pytest.approx(b.log10_K, abs=1e-5) and a.dead == b.dead


def test_hooks_of_a_compiled_network_are_not_compiled(monkeypatch):
    """Where dynamo is loaded it is kept from the hooks: it would print thirty lines for each number they look at."""
    kept = []
    monkeypatch.setitem(sys.modules, "torch._dynamo", sys.modules.get("torch._dynamo", types.ModuleType("dynamo")))
    monkeypatch.setattr(torch.compiler, "disable", lambda hook: kept.append(hook) or hook)
    assert len(examine(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 2)), inputs()).rows) == 2
    assert len(kept) == 1


def test_k_is_the_mean_square_before_what_follows_works_in_place():
    network, x = nn.Sequential(nn.Linear(8, 32), nn.ReLU(inplace=True), nn.Linear(32, 1)), inputs()
    expected = network[0](x).square().mean(1).log10().sort().values[15].item()
    assert examine(network, x).rows[0].log10_K == pytest.approx(expected, abs=1e-5)


def test_a_network_is_left_as_it_was():
    network = Mixed()
    network(images()).sum().backward()
    values = {name: value.clone() for name, value in network.state_dict().items()}
    gradients = [weight.grad.clone() for weight in network.parameters() if weight.grad is not None]
    drawn = torch.get_rng_state()
    examine(network, images())
    assert torch.equal(torch.get_rng_state(), drawn)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in network.modules())
    assert all(torch.equal(value, values[name]) for name, value in network.state_dict().items())
    now = [weight.grad for weight in network.parameters() if weight.grad is not None]
    assert len(now) == len(gradients) > 8 and all(map(torch.equal, now, gradients))


class Cut(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.first(x)).detach())


def scaled(network: nn.Sequential, factor: float) -> nn.Sequential:
    with torch.no_grad():
        for part in list(network)[2:]:
            if isinstance(part, nn.Linear):
                part.weight *= factor
                part.bias.zero_()
    return network


def killed(network: nn.Sequential) -> nn.Sequential:
    with torch.no_grad():
        network[2].bias.fill_(-1e3)  # pyright: ignore[reportArgumentType, reportCallIssue]
        network[2].bias[:2] = 0  # pyright: ignore[reportArgumentType, reportIndexIssue]
    return network


class Squares(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return z.relu().square()


LINEAR = r"layer \d+ \(\d+, Linear\): "
ILL = {
    "overflow": (
        lambda: scaled(perceptron(12, activation=Squares), 30),
        LINEAR + r".* entries are not finite: the signal[\s\S]*\nnext: repu_lab.initialize_\(network\) draws",
    ),
    "growth": (lambda: scaled(perceptron(6), 100), r"layer 7 .*: the signal grows to 10\^\d+ times that of layer 1"),
    "shrinking": (lambda: scaled(perceptron(6), 1e-3), r"layer 7 .*: the signal shrinks to 10\^-\d+ times"),
    "gradient": (
        lambda: scaled(perceptron(6), 1e-3),
        r"layer 1 .*: the gradient vanishes: 10\^-\d+ times that of layer 7",
    ),
    "cut": (Cut, r"layer 1 \(first, Linear\): no gradient arrives"),
    "dead": (
        lambda: killed(perceptron(3)),
        r"layer 2 \(2, Linear\): 9\d% of the units get no gradient[\s\S]*\nnext: .*a smaller learning rate",
    ),
    "alike": (
        lambda: perceptron(30),
        LINEAR + r"different inputs look the same: 1 - c = [\s\S]*\nnext: .*; or skips",
    ),
}


@pytest.mark.parametrize("name", ILL)
def test_what_is_ill_is_told_with_its_layer(name):
    make, message = ILL[name]
    with pytest.raises(AssertionError, match=message):
        assert_healthy(make(), inputs())


def test_healthy_networks_are_not_called_ill():
    for depth in (2, 8):
        network = perceptron(depth)
        for part in network:
            if isinstance(part, nn.Linear):
                nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
                nn.init.zeros_(part.bias)
        assert_healthy(network, inputs())
    assert_healthy(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), torch.randn(4, 5, 16))


def test_a_single_output_is_not_said_to_look_the_same_for_all_inputs():
    """Half of all pairs of numbers have one sign, and so the cosine 1."""
    last = nn.Linear(8, 1)
    nn.init.constant_(last.bias, 10.0)  # one sign for all
    report = examine(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), last), torch.randn(16, 4))
    assert report.healthy() and [row.log10_distance is None for row in report.rows] == [False, True]


def test_signals_are_followed_beyond_the_squares_of_their_dtype():
    network = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 2))
    with torch.no_grad():
        network[0].weight *= 1e25  # pyright: ignore[reportOperatorIssue]
    assert examine(network, inputs()).rows[0].log10_K == pytest.approx(50, abs=2)


def test_what_cannot_be_looked_at_is_one_line():
    with pytest.raises(ValueError, match="has no weight that requires a gradient"):
        examine(nn.ReLU(), inputs())
    with pytest.raises(ValueError, match="give loss="):
        examine(Text(), inputs())


class Text(nn.Linear):
    def __init__(self):
        super().__init__(8, 8)

    def forward(self, input: Tensor) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return str(super().forward(input).shape)


def train(network: nn.Module, steps: int, folder, *, with_optimizer: bool = True):
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    x, y = images(), torch.randint(0, 3, (16,), generator=torch.Generator().manual_seed(3))
    losses = []
    with watch(network, optimizer if with_optimizer else None, folder=folder) as look:
        for _ in range(steps):
            optimizer.zero_grad()
            with torch.no_grad():
                network(x)  # a look at the validation data is no step
            loss = F.cross_entropy(network(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if not with_optimizer:
                look.step()
    return look, losses


@pytest.mark.parametrize("with_optimizer", [True, False])
def test_a_loop_is_seen_at_the_steps_of_the_schedule(tmp_path, with_optimizer):
    network = Mixed().eval()
    look, _ = train(network, 20, tmp_path / "seen", with_optimizer=with_optimizer)
    assert [report.step for report in look.reports] == [0, 1, 2, 3, 4, 6, 8, 11, 16]
    assert len(look.table()) == 9 * 6 and look.table()[0]["name"] == "first"
    assert not any(module._forward_hooks for module in network.modules())


def test_watching_changes_nothing(tmp_path):
    networks = [Mixed().eval()]
    networks.append(copy.deepcopy(networks[0]))
    _, losses = train(networks[0], 6, None)
    _, watched = train(networks[1], 6, tmp_path)
    assert losses == watched
    for one, other in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        assert torch.equal(one, other)


def test_tensorboard_gets_the_labs_tags(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    look, _ = train(Mixed().eval(), 9, tmp_path)
    events = EventAccumulator(str(tmp_path / EVENTS_NAME), {"scalars": 0, "tensors": 0}).Reload()
    tags = events.Tags()["scalars"]
    assert all(declared(tag) for tag in tags)
    assert {
        "z_log10_K/depth_0.00",
        "z_profile_log10_gradient/step_000008",
        "z_dead/depth_0.57",
        "z_nonfinite/nan",
    } <= set(tags)
    assert {"z_profile_log10_K/start", "z_profile_log10_K/end"} <= set(tags)
    assert not any("chi" in tag for tag in tags)  # laws of perceptrons
    curve = events.Scalars("z_log10_K/depth_0.57")
    assert [event.step for event in curve] == [0, 1, 2, 3, 4, 6, 8]
    assert curve[0].value == pytest.approx(look.reports[0].rows[3].log10_K, abs=0.3)  # interpolated and lower median
    named = events.Tensors("config")[0].tensor_proto.string_val[0].decode()
    assert "| 3 | `attention` | MultiheadAttention |" in named


def test_nothing_seen_is_said():
    with pytest.raises(ValueError, match="nothing was seen"):
        watch(Mixed(), folder=None).report()


def test_what_cannot_be_watched_is_refused_in_one_line():
    network = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    with pytest.raises(ValueError, match=r"^SGD: must be a torch.nn.Module$"):
        watch(optimizer, network)  # pyright: ignore
    with pytest.raises(ValueError, match=r"^float: must be a torch.optim.Optimizer; without one call .step\(\)$"):
        watch(network, 0.1)  # pyright: ignore
    assert not network._forward_hooks  # nothing is left on it
