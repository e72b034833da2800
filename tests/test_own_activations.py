"""What a user may give as an activation: what works, and the one line that refuses the rest."""

import random
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from repu_lab.activations import Activation, Tanh, as_activation, check_dtype
from repu_lab.networks.population import Population

F64 = torch.float64


class Learnable(nn.Module):
    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(0.5))

    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(z) + self.slope * z


class ByNumber(Learnable):
    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(z) + self.slope.item() * z


class Remembering(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, z: Tensor) -> Tensor:
        self.calls += 1
        return torch.tanh(z)


class Buffered(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, z: Tensor) -> Tensor:
        self.calls += 1
        return torch.tanh(z)


class WrongSlope(nn.Tanh):
    def derivative(self, z: Tensor) -> Tensor:
        return 1 - torch.tanh(z)


class WrongBend(nn.Tanh):
    def second_derivative(self, z: Tensor) -> Tensor:
        return -torch.tanh(z)


class WrongDegree(nn.ReLU):
    degree = 2.0


class OwnActivation(Activation):
    """A user's class derived from the lab's is checked too."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(z)

    def derivative(self, z: Tensor) -> Tensor:
        return 1 - torch.tanh(z)

    def second_derivative(self, z: Tensor) -> Tensor:
        return -2 * torch.tanh(z) * (1 - torch.tanh(z) ** 2)


class Surrogate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z):
        return torch.sign(z)

    @staticmethod
    def backward(ctx, *grad_outputs):
        return grad_outputs[0]


class Uncast(nn.Module):
    table = torch.tensor([2.0], dtype=F64)

    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(z) * self.table


calls: list[int] = []


def counted(z: Tensor) -> Tensor:
    calls.append(1)
    return torch.tanh(z)


def counts_elsewhere(z: Tensor) -> Tensor:
    return counted(z)


def own_draws(z: Tensor) -> Tensor:
    random.random()
    return torch.tanh(z)


def raising(z: Tensor) -> Tensor:
    raise KeyError("oops")


WORK = {
    "PReLU": nn.PReLU(), "a parameter inside": nn.Sequential(nn.PReLU(), nn.Tanh()), "Learnable": Learnable(),
    "ReLU in place": nn.ReLU(inplace=True), "SiLU in place": nn.SiLU(inplace=True), "Hardsigmoid": nn.Hardsigmoid(),
    "Softshrink": nn.Softshrink(), "Hardshrink": nn.Hardshrink(), "shifted": lambda z: F.relu(z - 0.5),
    "far": lambda z: F.relu(z - 25), "function": torch.sin, "partial": partial(F.leaky_relu, negative_slope=0.2),
    "overflows at 710": lambda z: torch.log(1 + z.exp()), "naive swish": lambda z: z / (1 + torch.exp(-z)),
    "a root": lambda z: z.abs() ** 0.4, "stairs": lambda z: torch.round(z) + 0.3 * z,
    "narrow": lambda z: torch.exp(-((z / 0.004) ** 2)),
}  # fmt: skip
REFUSED = {
    "sign": (torch.sign, "sign has slope 0 wherever it has one"),
    "floor": (torch.floor, "slope 0"), "round": (torch.round, "slope 0"),
    "constant": (torch.ones_like, "ones_like is constant"),
    "leaves torch": (lambda z: torch.from_numpy(np.tanh(z.detach().numpy())), "passes no gradient"),
    "leaves torch loudly": (lambda z: torch.from_numpy(np.tanh(z.numpy())), "passes no gradient .*leave torch"),
    "the other branch": (lambda z: torch.where(z > 0, z.sqrt(), 0), "slope is nan at z=-8; torch.where"),
    "at 0 alone": (lambda z: torch.where(z == 0, 1.0, z.sin() / z), "slope NaN at z=0"),
    "exp": (torch.exp, "exp grows faster than z"), "a slow exp": (lambda z: torch.exp(0.05 * z), "grows faster"),
    "Gaussian growth": (lambda z: torch.exp(z * z / 8), "grows faster"),
    "noise": (lambda z: z + 1e-10 * torch.randn_like(z), "is random"),
    "drawing for nothing": (own_draws, "own_draws is random"),
    "Dropout": (nn.Dropout(0.1), "Dropout is random.*eval"), "RReLU": (nn.RReLU(), "RReLU is random.*eval"),
    "softmax": (nn.Softmax(-1), "not elementwise"), "softmax 0": (lambda z: z.softmax(0), "not elementwise"),
    "centred": (lambda z: z - z.mean(), "not elementwise"), "sum": (torch.sum, "must keep the shape"),
    "per unit": (nn.PReLU(5), "PReLU cannot be applied elementwise"),
    "a counter": (Remembering(), "Remembering changes what it remembers .*calls"),
    "a buffer": (Buffered(), "Buffered changes its buffers"),
    "a global": (counted, "changes what it remembers"), "two calls away": (counts_elsewhere, "changes what it"),
    "derivative": (WrongSlope(), "WrongSlope: derivative is 2 at z=-8, and autograd's slope of s"),
    "second_derivative": (WrongBend(), "WrongBend: second_derivative"),
    "an Activation": (OwnActivation(), "OwnActivation: derivative is 2"),
    "degree": (WrongDegree(), "WrongDegree says that its degree is 2"),
    "surrogate": (Surrogate.apply, "the slope that autograd gives is 1 .*differences 0"),
    "half of it": (Uncast(), "Uncast returns float64 for float32"), "an integer": (lambda z: z.int(), "returns int32"),
    "by number": (ByNumber(), "ByNumber cannot give members parameters of their own"),
    "log": (torch.log, "log is not finite on the whole line, first at z=-8"), "a class": (nn.Tanh, "as MyActivation"),
    "raising": (raising, r"raising cannot be applied elementwise: 'oops', in line \d+ of test_own_activations.py$"),
    "text": ("tanh", "is not an activation"),
}  # fmt: skip


@pytest.mark.parametrize("name", WORK)
def test_what_can_work_works_in_a_population_as_alone(name):
    """Forward and backward of two members with their own parameters equal each member's own plain network."""
    activation = as_activation(WORK[name])
    population = Population(activation, (3, 5, 5, 2), 2, dtype=F64)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        population.theta.copy_(torch.randn(population.theta.shape, generator=generator, dtype=F64))
    x = torch.randn(4, 3, generator=generator, dtype=F64)
    out = population(x)
    (gradient,) = torch.autograd.grad(out.square().sum(), population.theta)
    assert gradient.isfinite().all() and gradient.any()
    for i in range(2):
        torch.testing.assert_close(population.member(i)(x.clone()), out[i], rtol=1e-10, atol=1e-12)
    z = torch.linspace(-3.01, 3, 50, dtype=F64)
    before = z.clone()
    activation(z)
    assert torch.equal(z, before)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_is_refused_in_one_line(name):
    own, says = REFUSED[name]
    state = torch.get_rng_state()
    with pytest.raises(ValueError, match=says) as error:
        as_activation(own)
    assert "\n" not in str(error.value) and "Adapted" not in str(error.value)
    if name in ("noise", "drawing for nothing"):
        torch.set_rng_state(state)


def test_a_function_is_told_by_its_name_once():
    assert as_activation(torch.tanh).described == "tanh"


def test_second_derivatives_where_torch_has_none():
    """Hardsigmoid cannot be differentiated twice; the lab's own hardswish is z times it."""
    s, z = as_activation(nn.Hardsigmoid()), torch.linspace(-5.03, 5, 77, dtype=F64)
    torch.testing.assert_close(s.second_derivative(z), torch.zeros_like(z))
    z_squared = as_activation(lambda z: F.hardsigmoid(z) * z)
    wanted = torch.where(z.abs() < 3, 1 / 3, 0.0).to(F64)
    torch.testing.assert_close(z_squared.second_derivative(z), wanted, rtol=1e-6, atol=1e-8)


def test_a_derivative_that_is_zero_everywhere_has_numbers():
    """Autograd's zero of |z|'' is a tensor without any."""
    z = torch.tensor([-1.0, 2.0], dtype=torch.float64)
    assert as_activation(torch.abs).second_derivative(z).numpy().tolist() == [0.0, 0.0]


def test_a_number_format_that_is_not_there_is_named():
    activation = as_activation(torch.special.i1e)
    with pytest.raises(ValueError, match=r"special_i1e does not work in bfloat16 .*choose another dtype"):
        check_dtype(activation, torch.bfloat16)
    check_dtype(activation, torch.float32)


def test_the_labs_own_and_what_was_checked_pass_as_they_are():
    tanh, own = Tanh(), as_activation(nn.Tanh())
    assert as_activation(tanh) is tanh and as_activation(own) is own
    module = nn.PReLU()
    copied = as_activation(module)
    assert module.weight.dtype == torch.float32 and copied.title == "PReLU"
    assert as_activation(partial(F.elu, alpha=0.3)).title == "elu"


def test_fine_ripples_and_narrow_ramps_are_no_wrong_or_absent_slopes():
    """A ripple of period 6e-5 has other differences than slopes; a ramp of width .001 fits between any 48 points."""
    as_activation(lambda z: torch.tanh(z) + 1e-8 * torch.sin(1e5 * z))
    as_activation(lambda z: torch.clamp(1000 * z, 300, 301))
