"""Derivatives carried forward equal those of autograd, and so do the gradients of a loss on them."""

import pytest
import torch
from torch import Tensor, nn

from repu_lab.activations import ACTIVATIONS, MRePU, RePU, Tanh
from repu_lab.blocks import PLAIN, RESIDUAL, Block
from repu_lab.networks.derivatives import jets
from repu_lab.networks.initialization import draw_, lecun
from repu_lab.networks.population import Population

F64 = torch.float64
SIZES = (3, 7, 7, 6, 2)


class OwnParameter(nn.Module):
    def __init__(self):
        super().__init__()
        self.rate = nn.Parameter(torch.tensor([0.7]))

    def forward(self, z):
        return torch.sin(self.rate * z) + 0.3 * z**2


def drawn(activation: nn.Module, *, block: Block = PLAIN, members: int = 2) -> Population:
    population = Population(activation, SIZES, members, block=block, dtype=F64)
    draw_(population, lecun(SIZES), range(members))
    return population


def inputs() -> Tensor:
    return torch.randn(5, 3, dtype=F64, generator=torch.Generator().manual_seed(1))


KINDS = {name: kind() for name, kind in ACTIVATIONS.items()} | {
    "repu(1.5)": RePU(1.5),
    "repu(2.5)": RePU(2.5),
    "mrepu(2.5)": MRePU(2.5),
    "own parameter": OwnParameter(),
}


@pytest.mark.parametrize("name", KINDS)
def test_first_and_second_derivatives_are_those_of_autograd(name):
    population, x = drawn(KINDS[name], block=RESIDUAL if name in ("mrepu", "own parameter") else PLAIN), inputs()
    z, first, second = jets(population, x, first=(2, 0), second=(2,))[-1]
    torch.testing.assert_close(z, population(x))
    for i, b, c in ((0, 0, 0), (1, 3, 1)):
        u = x[b].clone().requires_grad_()
        (slope,) = torch.autograd.grad(population.member(i)(u)[c], u, create_graph=True)
        torch.testing.assert_close(first[i, :, b, c], slope[[2, 0]], rtol=1e-10, atol=1e-12)
        (curvature,) = torch.autograd.grad(slope[2], u, materialize_grads=True)  # zeros where s' is constant
        torch.testing.assert_close(second[i, 0, b, c], curvature[2], rtol=1e-9, atol=1e-11)


def test_every_layer_has_its_jet():
    population, x = drawn(Tanh()), inputs()
    layers = jets(population, x, first=(1,), second=(1,))
    for z, jet in zip(population.preactivations(x), layers, strict=True):
        torch.testing.assert_close(jet.z_MBN, z)
    step = 1e-4 * torch.tensor([0.0, 1.0, 0.0], dtype=F64)
    ahead, behind = population.preactivations(x + step), population.preactivations(x - step)
    for jet, z, above, below in zip(layers, population.preactivations(x), ahead, behind, strict=True):
        # Central differences: errors h^2 = 1e-8 times a higher derivative, and eps / h^2 = 2e-8 of rounding.
        torch.testing.assert_close(jet.first_MKBN[:, 0], (above - below) / 2e-4, rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(jet.second_MJBN[:, 0], (above - 2 * z + below) / 1e-8, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", KINDS)
def test_the_gradient_of_a_loss_on_derivatives_is_that_of_autograd(name):
    """d/dtheta of mean((u u_x + u_t - u_xx)^2) against autograd through autograd, where that is defined."""
    population, x = drawn(KINDS[name]), inputs()
    z, first, second = jets(population, x, first=(0, 1), second=(0,))[-1]
    loss = (z * first[:, 0] + first[:, 1] - second[:, 0]).square().mean()
    (mine,) = torch.autograd.grad(loss, population.theta)
    assert mine.isfinite().all()

    x = x.expand(population.members, -1, -1).clone().requires_grad_()
    columns = []
    u = population(x) if name == "own parameter" else smooth(population, KINDS[name], x)
    for c in range(2):
        (slope,) = torch.autograd.grad(u[..., c].sum(), x, create_graph=True)
        twice = torch.zeros_like(slope)
        if slope[..., 0].requires_grad:
            (twice,) = torch.autograd.grad(slope[..., 0].sum(), x, create_graph=True)
        columns.append(u[..., c] * slope[..., 0] + slope[..., 1] - twice[..., 0])
    (wanted,) = torch.autograd.grad(torch.stack(columns, -1).square().mean(), population.theta)
    # Central differences of s'' with a relative step of 1e-6: rounding leaves 1e-9 of each term.
    torch.testing.assert_close(mine, wanted, rtol=1e-6, atol=1e-8)


class Chain(torch.autograd.Function):
    """s, s', s'', then finite differences of s'': a tower of functions, each the gradient of the one before."""

    @staticmethod
    def forward(ctx, z, s, order):
        ctx.save_for_backward(z)
        ctx.s, ctx.order = s, order
        return (s, s.derivative, s.second_derivative)[order](z).detach()

    @staticmethod
    def backward(ctx, *grad_outputs):
        (z,) = ctx.saved_tensors
        if ctx.order < 2:
            return grad_outputs[0] * Chain.apply(z, ctx.s, ctx.order + 1), None, None
        step = 1e-6 * z.abs().clamp(min=1e-2)
        rise = ctx.s.second_derivative(z + step) - ctx.s.second_derivative(z - step)
        return grad_outputs[0] * rise / (2 * step), None, None


def smooth(population: Population, s, x: Tensor) -> Tensor:
    h = x
    for l, (W, b, *_) in enumerate(population.affine_maps(), 1):
        z = torch.baddbmm(b, h, W)
        h = Chain.apply(z, s, 0) if l <= population.depth else z
    return h


def test_second_derivatives_need_the_first():
    with pytest.raises(ValueError, match="must begin with second"):
        jets(drawn(Tanh()), inputs(), first=(0,), second=(1,))
