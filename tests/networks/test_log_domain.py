"""In the logarithm as in plain float64 where both exist, and as the exact recursion where only the logarithm does."""

import mpmath
import numpy as np
import pytest
import torch

from repu_lab.activations import LeakyReLU, Monomial, RePU, Tanh
from repu_lab.networks.initialization import draw_, lecun, pytorch
from repu_lab.networks.log_domain import measure_in_logs
from repu_lab.networks.population import Population
from repu_lab.networks.statistics import measure
from same_statistics import assert_same_statistics

F64 = torch.float64


def drawn(activation, sizes, members=3, rule=lecun) -> Population:
    population = Population(activation, sizes, members, dtype=F64)
    draw_(population, rule(sizes), range(members))
    return population


@pytest.mark.parametrize("activation", [RePU(2), RePU(1.5), RePU(3), LeakyReLU(0.3), Monomial(3)])
def test_equals_the_plain_measurement_where_float64_reaches(activation):
    population = drawn(activation, (4, 12, 12, 7, 5, 3))
    x = torch.randn(6, 4, dtype=F64, generator=torch.Generator().manual_seed(0))
    e = torch.tensor([1.0, -1.0, 1.0], dtype=F64)
    logs, plain = measure_in_logs(population, x, e), measure(population, x, lambda z: (z @ e).mean(-1))
    assert_same_statistics(logs, plain)


def test_equals_high_precision_far_beyond_float64():
    """One network of 40 layers of three units, against mpmath with 60 digits: K is about 10^(10^11)."""
    population = drawn(RePU(2), (3, *[3] * 40, 1), members=1)
    x = torch.tensor([[1.0, 2.0, -0.5], [0.3, -1.0, 1.0]], dtype=F64)
    got = measure_in_logs(population, x, torch.ones(1)).log10_K[:, 0, :]
    with mpmath.workdps(60):
        for column, row in enumerate(x.tolist()):
            h = mpmath.matrix([row])
            for l, affine in enumerate(population.affine_maps()):
                z = h * mpmath.matrix(affine.W_MIO[0].tolist())
                K = mpmath.fsum(v**2 for v in z) / z.cols
                if K == 0:
                    assert np.isneginf(got[l:, column]).all()
                    break
                assert float(mpmath.log10(K)) == pytest.approx(got[l, column], rel=1e-12, abs=1e-12)
                h = z.apply(lambda v: v**2 if v > 0 else mpmath.mpf(0))


def test_what_has_no_log_domain_is_refused():
    for population in (drawn(Tanh(), (2, 3, 1)), drawn(RePU(2), (2, 3, 1), rule=pytorch)):
        with pytest.raises(ValueError, match="homogeneous"):
            measure_in_logs(population, torch.ones(2, 2), torch.ones(1))
