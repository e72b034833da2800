"""How weights are drawn: gaussian, orthogonal and centred ones of one size, and who may not have which."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from repu_lab import initialize_
from repu_lab.activations import Tanh
from repu_lab.networks.initialization import Rule, draw_, drawn_as, he, pytorch, shape_, uniform_depth, xavier
from repu_lab.networks.population import Population

F64 = torch.float64
SIZES = (5, 8, 8, 6, 9, 3)  # square, to fewer and to more units


def population_of(rule: Rule, seeds, sizes=SIZES) -> Population:
    population = Population(Tanh(), sizes, len(seeds), dtype=F64)
    draw_(population, rule, seeds)
    return population


def test_gaussian_weights_are_the_generators_numbers():
    """As ever since version 0.1: one stream of normal numbers a member, scaled layer by layer."""
    theta = population_of(uniform_depth("custom", SIZES, C_W=0.9, C_b=0.3, k1=2.0), [4]).theta[0].detach()
    stream = torch.randn(len(theta), generator=torch.Generator().manual_seed(4), dtype=F64)
    at = 0
    for l, (i, o) in enumerate(pairwise(SIZES)):
        C_W, weights, biases = (1.7, 0.9)[l > 0], slice(at, at + i * o), slice(at + i * o, at + i * o + o)
        assert torch.equal(theta[weights], stream[weights] * math.sqrt(C_W / i))
        assert torch.equal(theta[biases], stream[biases] * math.sqrt(0.3))
        at += i * o + o


@pytest.mark.parametrize("rule", [he(SIZES), xavier(SIZES)], ids=lambda rule: rule.name)
def test_orthogonal_matrices_have_equal_singular_values_and_the_size_of_the_rule(rule):
    for l, affine in enumerate(population_of(drawn_as(rule, "orthogonal"), [0, 1]).affine_maps()):
        for W_IO in affine.W_MIO.detach():
            i, o = W_IO.shape
            wanted = rule.C_W[l] * max(1, o / i)
            np.testing.assert_allclose(torch.linalg.svdvals(W_IO).square(), wanted, rtol=1e-12)
            assert W_IO.square().mean().item() == pytest.approx(rule.C_W[l] / i, rel=1e-12)


@pytest.mark.parametrize(("fan_in", "fan_out"), [(4, 4), (7, 3), (3, 7)])
def test_orthogonal_matrices_are_haar(fan_in, fan_out):
    """The mean of every entry is 0, of its fourth power 3 d / (d + 2): without the signs of R's diagonal it is not."""
    W = torch.randn(4000, fan_in, fan_out, generator=torch.Generator().manual_seed(1), dtype=F64)
    for matrix in W:
        shape_(matrix, "orthogonal", first=False)
    d = max(fan_in, fan_out)
    for power, wanted in ((1, 0.0), (2, 1.0), (4, 3 * d / (d + 2))):
        values = W**power
        assert ((values.mean(0) - wanted).abs() < 4.5 * values.std(0) / math.sqrt(len(W))).all()


def test_centred_weights_have_no_row_mean_but_in_the_first_map():
    rule = uniform_depth("custom", SIZES, C_W=1.5, C_b=0.1, k1=1.0)
    first, *others = population_of(drawn_as(rule, "centred"), range(400)).affine_maps()
    assert torch.equal(first.W_MIO, population_of(rule, range(400)).affine_maps()[0].W_MIO)
    for affine in others:
        W_MIO = affine.W_MIO.detach()
        assert W_MIO.mean(1).abs().max() < 1e-15
        square = W_MIO.square().mean((1, 2))
        assert abs(square.mean() - 1.5 / W_MIO.shape[1]) < 4 * square.std() / 20


@pytest.mark.parametrize("weights", ["orthogonal", "centred"])
def test_a_member_has_the_weights_of_its_seed_and_the_biases_of_any(weights):
    rule = drawn_as(he(SIZES), weights)
    rule = Rule(name="he", C_W=rule.C_W, C_b=(0.5,) * 5, weights=weights)
    usual = Rule(name="he", C_W=rule.C_W, C_b=rule.C_b)
    population = Population(Tanh(), SIZES, 3, dtype=F64)
    draw_(population, [usual, rule, usual], [7, 8, 9])
    assert torch.equal(population.theta[1], population_of(rule, [8]).theta[0])
    assert torch.equal(population.theta[2], population_of(usual, [9]).theta[0])
    assert torch.equal(population.affine_maps()[2].b_M1O[1], population_of(usual, [8]).affine_maps()[2].b_M1O[0])


def test_what_cannot_be_is_refused():
    with pytest.raises(
        ValueError, match=r"pytorch draws every weight uniformly on its own.*critical, he, lecun, xavier"
    ):
        drawn_as(pytorch(SIZES), "orthogonal")
    assert drawn_as(pytorch(SIZES), "gaussian").weights == "uniform"
    network = nn.Sequential(nn.Linear(4, 8), Tanh(), nn.Linear(8, 2))
    with pytest.raises(ValueError, match="weights='haar': must be one of gaussian, orthogonal, centred"):
        initialize_(network, weights="haar")
    with pytest.raises(ValueError, match="width must be at least 2"):
        population_of(drawn_as(he((3, 1, 1)), "centred"), [0], (3, 1, 1))
