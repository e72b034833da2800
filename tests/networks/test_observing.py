"""Which modules of plain torch are known for perceptrons, whatever their forward, and what is said of the others."""

import copy
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from repu_lab.activations import GELU, Identity, MRePU, ReLU, RePU, Tanh
from repu_lab.blocks import PLAIN, RESIDUAL, Block, kinds
from repu_lab.networks.observing import as_perceptron
from repu_lab.networks.population import Population

SIZES = (5, 7, 6, 7, 3)


def linears(**settings) -> list[nn.Linear]:
    return [nn.Linear(i, o, **settings) for i, o in pairwise(SIZES)]


class Backwards(nn.Module):
    """Its layers are registered in another order than that in which they run, and forward calls a function."""

    def __init__(self, function=torch.tanh):
        super().__init__()
        self.layers = nn.ModuleList(linears()[::-1])
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        first, *others = reversed(self.layers)
        z = first(x)
        for layer in others:
            z = layer(self.function(z))
        return z.softmax(-1)


class Residual(nn.Module):
    """Skips between hidden layers of one width, written by hand, z -> scale z + b + W s(z)."""

    def __init__(self, scale: float = 1.0):
        super().__init__()
        self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 2)
        self.blocks = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))
        self.s = MRePU(1)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        z = self.first(x)
        for block in self.blocks:
            z = self.scale * z + block(self.s(z))
        return self.last(self.s(z))


class Sine(nn.Module):
    """Elementwise, with a module inside."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Identity()

    def forward(self, z: Tensor) -> Tensor:
        return torch.sin(3 * self.inner(z))


def alternating(*activations: nn.Module) -> list[nn.Module]:
    maps = linears()
    return [m for pair in zip(maps[:-1], activations, strict=True) for m in pair] + maps[-1:]


NESTED = alternating(*[Tanh()] * 3)
DROPPING = nn.Sequential(Tanh(), nn.Dropout(0.9))
KNOWN = {
    "sequential": (nn.Sequential(*alternating(RePU(2), RePU(2), RePU(2))), None, RePU(2)),
    "nested": (nn.Sequential(nn.Sequential(*NESTED[:3]), nn.Sequential(nn.Sequential(*NESTED[3:]))), None, Tanh()),
    "one module used thrice": (nn.Sequential(*alternating(*[GELU()] * 3)), None, GELU()),
    "in place": (nn.Sequential(*alternating(*[nn.ReLU(inplace=True) for _ in range(3)])), None, ReLU()),
    "in place, adapted": (nn.Sequential(*alternating(*[nn.SiLU(inplace=True)] * 3)), None, nn.SiLU()),
    "own parameters": (nn.Sequential(*alternating(nn.PReLU(), nn.PReLU(), nn.PReLU())), None, nn.LeakyReLU(0.25)),
    "own module": (nn.Sequential(*alternating(Sine(), Sine(), Sine())), None, Sine()),
    "two spellings": (nn.Sequential(*alternating(nn.Tanh(), Tanh(), nn.Tanh())), None, Tanh()),
    "no activation": (nn.Sequential(*linears()), None, Identity()),
    "image and softmax": (nn.Sequential(nn.Flatten(), *NESTED, nn.LogSoftmax(-1)), None, Tanh()),
    "a function, named": (Backwards(), nn.Tanh(), Tanh()),
    "a dropout switched off": (nn.Sequential(*alternating(*[DROPPING] * 3)).eval(), None, Tanh()),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", KNOWN)
def test_perceptrons_are_known(name: str, dtype: torch.dtype) -> None:
    network, named, wanted = KNOWN[name]
    perceptron = as_perceptron(network.to(dtype), named)
    assert perceptron.sizes == SIZES and perceptron.dtype == dtype and perceptron.block == PLAIN
    z = torch.linspace(-3, 3, 61, dtype=torch.float64)
    torch.testing.assert_close(perceptron.activation(z), wanted.double()(z.clone()))


def test_order_is_that_of_running_not_of_registering() -> None:
    network = Backwards()
    assert list(as_perceptron(network, nn.Tanh()).linears) == list(reversed(network.layers))


@pytest.mark.parametrize("depth", [3, 50])
def test_neither_weights_nor_depth_matter(depth: int) -> None:
    """Weights that overflow at once, and ones of zero."""
    for size in (1e30, 0.0):
        hidden = [m for _ in range(depth - 1) for m in (nn.Linear(8, 8), RePU(3))]
        network = nn.Sequential(nn.Linear(4, 8), RePU(3), *hidden, nn.Linear(8, 2))
        for parameter in network.parameters():
            nn.init.constant_(parameter, size)
        assert len(as_perceptron(network).linears) == depth + 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_skips_are_seen_in_any_spelling(dtype: torch.dtype) -> None:
    perceptron = as_perceptron(Residual().to(dtype))
    assert perceptron.block == RESIDUAL and len(perceptron.linears) == 5
    members = Population(MRePU(1), (4, 6, 6, 6, 6, 2), 2, block=RESIDUAL, dtype=dtype)
    assert as_perceptron(members.member(1)).block == RESIDUAL
    assert as_perceptron(Population(MRePU(1), (4, 6, 6, 2), 1, dtype=dtype).member(0)).block == PLAIN


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("block", [*kinds(4), *kinds(9)], ids=str)
def test_every_kind_of_layer_without_numbers_of_its_own_is_known(block: Block, dtype: torch.dtype) -> None:
    """As a member is exported, and 1/sqrt(9) of a network of depth 4 is not 1/sqrt(depth)."""
    network = Population(MRePU(1), (4, 6, 6, 6, 6, 2), 2, block=block, dtype=dtype).member(1)
    if block.branch == 9**-0.5:
        with pytest.raises(ValueError, match=r"Linear 2 feeds|between two Linears"):
            as_perceptron(network)
    else:
        perceptron = as_perceptron(network)
        assert (perceptron.block, type(perceptron.activation)) == (block, MRePU)


def test_numbers_of_a_networks_own_are_refused() -> None:
    for block in (Block(residual=True, learned=True, branch=0.3), Block(frozen=True)):
        population = Population(Tanh(), (4, 6, 6, 6, 2), block=block)
        with torch.no_grad():
            population.theta.fill_(0.3)
        with pytest.raises(ValueError, match=r"is a weight of no nn.Linear|lie Scaled"):
            as_perceptron(population.member(0))


class Scaled(nn.Linear):
    """Not what it says."""

    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


class Twice(nn.Module):
    """One Linear, run twice."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[1](torch.tanh(self.layers[0](self.layers[0](x))))


def small(*between: nn.Module, first: nn.Module | None = None) -> nn.Sequential:
    return nn.Sequential(first or nn.Linear(4, 6), *between, nn.Linear(6, 3))


UNKNOWN = {
    "one Linear": (nn.Sequential(nn.Linear(4, 3), Tanh()), None, r"has 1 nn.Linear, and needs two .*has Tanh\(\)"),
    "no Linear": (nn.Sequential(nn.Conv1d(1, 2, 3), nn.ReLU()), None, r"has 0 nn.Linear.*Conv1d\(1, 2"),
    "convolution": (nn.Sequential(nn.Conv1d(1, 4, 1), *small(Tanh())), None, r"cannot be run on .*\(8, 4\).*Conv1d"),
    "weights in front": (nn.Sequential(nn.PReLU(), *small(Tanh())), None, r"0.weight is a weight of no nn.Linear"),
    "several activations": (nn.Sequential(*alternating(Tanh(), MRePU(1), Tanh())), None,
                            r"Linear 2 feeds the next one with something else than Tanh\(\).*Tanh\(\), MRePU\(p=1\)"),
    "several powers": (nn.Sequential(*alternating(RePU(2), RePU(3), RePU(2))), None, r"Linear 2 .* RePU\(p=2\)"),
    "the wrong one named": (small(Tanh()), MRePU(1), r"Linear 1 feeds .* than MRePU\(p=1\)"),
    "normalization of parts": (small(nn.GroupNorm(2, 6), Tanh()), None,
                               r"between two Linears .* lie GroupNorm\(.*, Tanh\(\)"),
    "running averages": (small(nn.BatchNorm1d(6, affine=False), Tanh()), None, "lie BatchNorm1d"),
    "normalization alone": (small(nn.LayerNorm(6)), None, r"LayerNorm cannot be applied elementwise"),
    "dropout": (small(Tanh(), nn.Dropout(0.1)), None, r"lie Tanh\(\), Dropout\(p=0.1.* \(after network.eval\(\)"),
    "dropout, named": (small(Tanh(), nn.Dropout(0.9)), Tanh(), r"Linear 1 feeds .* than Tanh\(\)"),
    "dropout deeper": (nn.Sequential(*alternating(Tanh(), copy.deepcopy(DROPPING).train(), Tanh())), None,
                       "Linear 2 feeds"),
    "scaled skips": (Residual(0.7), None, "Linear 2 feeds"),
    "a function of its own": (Backwards(lambda z: 2 * torch.tanh(z)), Tanh(), "Linear 1 feeds"),
    "scaled weights": (small(Tanh(), first=Scaled(4, 6)), None, "has 1 nn.Linear"),
    "weight norm": (small(Tanh(), first=nn.utils.parametrizations.weight_norm(nn.Linear(4, 6))), None,
                    "parametrizations.weight.original0 is a weight of no nn.Linear"),
    "lazy": (nn.Sequential(nn.LazyLinear(6), Tanh(), nn.LazyLinear(3)), None, "no weights yet"),
    "meta": (small(Tanh(), first=nn.Linear(4, 6, device="meta")), None, "meta device"),
    "dtypes": (small(Tanh(), first=nn.Linear(4, 6, dtype=torch.float64)), None, "torch.float32, torch.float64"),
    "run twice": (Twice(), Tanh(), "must be called once"),
    "never run": (nn.ModuleDict({"a": small(Tanh())}), None, "cannot be run"),
    "a function": (Backwards(lambda z: 2 * torch.tanh(z)), None, r"as initialize_\(network, RePU"),
    "Linears by function": (Backwards(lambda z: F.linear(z, torch.eye(z.shape[-1]))), Tanh(), "Linear 1 feeds"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_no_perceptron_is_refused_by_name(name: str) -> None:
    network, named, message = UNKNOWN[name]
    with pytest.raises(ValueError, match=message) as refusal:
        as_perceptron(network, named)
    assert "theory knows nn.Linear layers with the same elementwise activation" in str(refusal.value)
    assert "any other network is measured by repu_lab.examine" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^function: must be a torch.nn.Module$"):
        as_perceptron(lambda z: z)  # pyright: ignore


@pytest.mark.parametrize("network", [small(nn.BatchNorm1d(6), Tanh()), small(nn.Tanh())], ids=["refused", "known"])
def test_the_network_is_left_as_it_was(network: nn.Module) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    try:
        as_perceptron(network)
    except ValueError as error:
        assert "BatchNorm1d" in str(error)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not any(module._forward_hooks for module in network.modules()) and network.training
    x = torch.ones(3, 4)
    assert network(x).requires_grad and network(x).isfinite().all()


@pytest.mark.parametrize(("function", "kind"), [(torch.relu, ReLU), (F.gelu, GELU), (torch.tanh, Tanh)])
def test_a_function_of_the_labs_own_need_not_be_named(function, kind) -> None:
    assert type(as_perceptron(Backwards(function)).activation) is kind


def test_modules_that_change_nothing_are_passed_over() -> None:
    assert type(as_perceptron(small(Tanh(), nn.Unflatten(-1, (2, 3)), nn.Flatten(1))).activation) is Tanh
