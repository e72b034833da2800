"""Every way of computing z^l, K and the gradient agrees, for every kind of layer."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from made_up_block import COOLED
from repu_lab.activations import Activation, RePU, Tanh
from repu_lab.blocks import PLAIN, RESIDUAL, Block
from repu_lab.blocks.maps import LAYER, RMS
from repu_lab.networks.derivatives import jets
from repu_lab.networks.initialization import draw_, uniform_depth
from repu_lab.networks.log_domain import measure_in_logs
from repu_lab.networks.population import Population
from repu_lab.networks.statistics import measure
from same_statistics import assert_same_statistics

F64 = torch.float64
SIZES = (4, 6, 6, 6, 3)
C = 1.7  # what z is divided by where the block has a frozen scale, in all tests but the one of its measurement


def rms(z: Tensor) -> Tensor:
    return z / z.square().mean().sqrt()


def centred(z: Tensor) -> Tensor:
    return z - z.mean()


# A block, h(s(z)) written out for one input, and the number by which b + W h is multiplied before z is added.
BLOCKS: dict[str, tuple[Block, Callable[[Activation, Tensor], Tensor], float]] = {
    "plain": (PLAIN, lambda s, z: s(z), 0.0),
    "residual": (RESIDUAL, lambda s, z: s(z), 1.0),
    "half": (Block(residual=True, branch=0.5), lambda s, z: s(z), 0.5),
    "learned": (Block(residual=True, branch=-0.7, learned=True), lambda s, z: s(z), -0.7),
    "frozen": (Block(frozen=True), lambda s, z: s(z / C), 0.0),
    "frozen residual": (Block(residual=True, branch=0.5, frozen=True), lambda s, z: s(z / C), 0.5),
    "rms": (Block(before=RMS), lambda s, z: s(rms(z)), 0.0),
    "layer": (Block(before=LAYER), lambda s, z: s(rms(centred(z))), 0.0),
    "layer after": (Block(after=LAYER), lambda s, z: rms(centred(s(z))), 0.0),
    "rms residual": (Block(residual=True, before=RMS, branch=0.5), lambda s, z: s(rms(z)), 0.5),
    "cooled, as a newcomer adds it": (Block(before=COOLED), lambda s, z: s(z / COOLED.t), 0.0),
    "layer after, learned": (
        Block(residual=True, after=LAYER, branch=0.3, learned=True), lambda s, z: rms(centred(s(z))), 0.3
    ),
}  # fmt: skip


def drawn(activation: Activation, block: Block, *, C_b: float = 0.2, sizes=SIZES, members: int = 2) -> Population:
    population = Population(activation, sizes, members, block=block, dtype=F64)
    draw_(population, uniform_depth("custom", sizes, C_W=0.8, C_b=C_b, k1=1.0), range(members))
    with torch.no_grad():
        for affine in population.affine_maps():
            if affine.scale_M11 is not None:
                affine.scale_M11.fill_(C)
    return population


def inputs(count: int = 4) -> Tensor:
    return torch.randn(count, SIZES[0], dtype=F64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=BLOCKS)
def kind(request):
    return BLOCKS[request.param]


@pytest.fixture(params=[Tanh(), RePU(2), RePU(3)], ids=["tanh", "repu2", "repu3"])
def activation(request):
    return request.param


def jacobian(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return torch.as_tensor(torch.autograd.functional.jacobian(function, x, create_graph=True))


def by_hand(population: Population, index: int, x: Tensor, h, branch: float) -> list[Tensor]:
    """Return z^1 .. z^{L+1} of one input and one member, layer by layer as the formula says."""
    maps = [(W[index].detach(), b[index, 0].detach()) for W, b, *_ in population.affine_maps()]
    z_D = [x @ maps[0][0] + maps[0][1]]
    for l, (W, b) in enumerate(maps[1:], 1):
        new = h(population.activation, z_D[-1]) @ W + b
        z_D.append(z_D[-1] + branch * new if branch and l < len(maps) - 1 else new)
    return z_D


def test_forward_and_the_exported_network_are_the_formula(kind, activation):
    block, h, branch = kind
    population, x = drawn(activation, block), inputs()
    z_D = population.preactivations(x)
    for i in range(2):
        for row, example in enumerate(x):
            for mine, wanted in zip(z_D, by_hand(population, i, example, h, branch), strict=True):
                torch.testing.assert_close(mine[i, row], wanted, rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(population.member(i)(x), population(x)[i], rtol=1e-13, atol=1e-14)


def test_derivatives_are_those_of_autograd(kind, activation):
    population, x = drawn(activation, kind[0], members=1), inputs(2)
    layers = jets(population, x, first=(0, 2), second=(0,))
    for row, example in enumerate(x):

        def z(e: Tensor) -> Tensor:
            return torch.cat([layer[0, 0] for layer in population.preactivations(e[None])])

        def slope(e: Tensor) -> Tensor:
            return jacobian(z, e)[:, 0]

        first, along_0 = jacobian(z, example), jacobian(slope, example)[:, 0]
        for k, wanted in ((0, first[:, 0]), (1, first[:, 2])):
            got = torch.cat([jet.first_MKBN[0, k, row] for jet in layers])
            torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-11)
        got = torch.cat([jet.second_MJBN[0, 0, row] for jet in layers])
        torch.testing.assert_close(got, along_0, rtol=1e-9, atol=1e-10)


def test_statistics_are_those_of_the_jacobian(kind, activation):
    """chi_perp is C_W |dh/dz|^2 / n [+ 1], chi_parallel that of a change along z; K and the gradient by autograd."""
    block, _, branch = kind
    population, x = drawn(activation, block), inputs()
    stats = measure(population, x, lambda z: z.square().sum(-1).mean(-1))
    maps, z_D = population.affine_maps(), population.preactivations(x)
    for l, z in enumerate(z_D):
        gradient = torch.autograd.grad(z_D[-1].square().sum(), z, retain_graph=True)[0]
        np.testing.assert_allclose(stats.log10_gradient[l], gradient.square().mean(-1).log10(), atol=1e-10)
        np.testing.assert_allclose(stats.log10_K[l], z.detach().square().mean(-1).log10(), atol=1e-12)
    for l, z in enumerate(z_D[:-1]):
        W = maps[l + 1].W_MIO.detach()
        C_W = W.shape[1] * W.square().mean((1, 2))
        skipped, share = (1.0, branch**2) if branch and l < len(z_D) - 2 else (0.0, 1.0)
        for i in range(2):
            for row in range(len(x)):
                at, alone = z[i, row].detach(), maps[l]._replace(scale_M11=C * torch.ones(1, 1, 1, dtype=F64))
                alone = alone if block.frozen else maps[l]

                def h(v: Tensor) -> Tensor:
                    return population.passed_on(v[None, None], alone)[0, 0]  # noqa: B023

                J = jacobian(h, at)
                perp = skipped + share * C_W[i] * J.square().sum() / len(at)
                parallel = skipped + share * C_W[i] * (h(at).detach() @ J @ at) / (at @ at)
                assert 10 ** stats.log10_chi_perp[l, i, row] == pytest.approx(perp.item(), rel=1e-9)
                assert 10 ** stats.log10_chi_parallel[l, i, row] == pytest.approx(parallel.item(), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("p", [2, 3])
def test_the_logarithm_is_the_plain_measurement(kind, p):
    population, x = drawn(RePU(p), kind[0], C_b=0.0, sizes=(4, 9, 9, 9, 3)), inputs()
    e = torch.tensor([1.0, -1.0, 1.0], dtype=F64)
    if kind[0].scale_free:
        with pytest.raises(ValueError, match="no normalization"):
            measure_in_logs(population, x, e)
        return
    logs, plain = measure_in_logs(population, x, e), measure(population, x, lambda z: (z @ e).mean(-1))
    assert_same_statistics(logs, plain)
