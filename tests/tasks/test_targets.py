"""Targets against independent definitions (numpy's and scipy's polynomials, formulas), gradients against autograd."""

import math

import numpy as np
import pytest
import scipy.special
import torch

from repu_lab.configs.schema import TARGETS
from repu_lab.tasks import targets
from repu_lab.tasks.functions import FAMILIES, FUNCTIONS
from repu_lab.tasks.targets import MONOMIALS, Target, random_polynomial

F64 = torch.float64
ALL: dict[str, Target] = (
    dict(MONOMIALS)
    | {f"legendre {d}": targets.legendre(d) for d in (1, 2, 3, 7, 20)}
    | {f"chebyshev {d}": targets.chebyshev(d) for d in (1, 2, 3, 7, 20)}
    | {f"random {d} {n}": random_polynomial(d, n, 5) for d, n in ((1, 1), (3, 1), (4, 2), (3, 5))}
    | {name: kind(6.0) for name, kind in FUNCTIONS.items()}
)


def points(inputs: int, count: int = 40) -> torch.Tensor:
    generator = torch.Generator().manual_seed(inputs)
    return 2 * torch.rand(count, inputs, generator=generator, dtype=F64) - 1


def test_the_config_knows_the_targets_that_there_are():
    assert TARGETS["polynomial"] == ("all", *MONOMIALS, *FAMILIES)
    assert TARGETS["function"] == tuple(FUNCTIONS)


@pytest.mark.parametrize("name", ALL)
def test_gradients_are_those_of_autograd(name):
    target = ALL[name]
    x = points(target.inputs).requires_grad_()
    value = target.value(x)
    assert value.shape == (40,) and target.gradient(x).shape == x.shape
    (gradient,) = torch.autograd.grad(value.sum(), x)
    scale = gradient.abs().max().item()
    torch.testing.assert_close(target.gradient(x.detach()), gradient, rtol=1e-10, atol=1e-12 * scale)


@pytest.mark.parametrize("degree", [1, 2, 5, 12])
def test_families_are_those_of_scipy(degree):
    x = points(1)
    legendre, chebyshev = targets.legendre(degree).value(x), targets.chebyshev(degree).value(x)
    v = x[:, 0].numpy()
    assert np.allclose(legendre.numpy(), scipy.special.eval_legendre(degree, v), rtol=0, atol=1e-13)
    assert np.allclose(chebyshev.numpy(), np.cos(degree * np.arccos(v)), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("degree", "dimension"), [(1, 1), (4, 1), (3, 2), (2, 4)])
def test_random_polynomials_have_their_degree_and_mean_square(degree, dimension):
    """A least-squares fit by all monomials of the degree is exact, one by those of lower degree is not; and the mean
    over seeds of the mean square, by exact quadrature, is 1, since every coefficient has variance 1 / terms."""
    x = points(dimension, 400)
    exponents = [a for a in np.ndindex(*[degree + 1] * dimension) if sum(a) <= degree]
    columns = np.stack([np.prod(x.numpy() ** a, axis=1) for a in exponents], axis=1)
    lower = columns[:, [sum(a) < degree for a in exponents]]
    value = random_polynomial(degree, dimension, 3).value(x).numpy()
    for basis, fits in ((columns, True), (lower, False)):
        rest = value - basis @ np.linalg.lstsq(basis, value, rcond=None)[0]
        assert (np.abs(rest).max() < 1e-10) == fits
    nodes, weights = np.polynomial.legendre.leggauss(degree + 1)
    grid = torch.tensor(np.stack(np.meshgrid(*[nodes] * dimension), -1).reshape(-1, dimension))
    weight = torch.tensor(np.prod(np.stack(np.meshgrid(*[weights / 2] * dimension), -1), -1).ravel())
    squares = [
        (weight * random_polynomial(degree, dimension, seed).value(grid) ** 2).sum().item() for seed in range(100)
    ]
    terms = math.comb(degree + dimension, degree) - 1
    assert np.mean(squares) == pytest.approx(1, abs=4 * (2 / terms / 100) ** 0.5)  # of a chi-squared, over 100 seeds


def test_a_polynomial_of_too_many_terms_is_refused():
    with pytest.raises(ValueError, match="degree=10 in dimension=10: has 184755 terms, valid are up to 2000"):
        random_polynomial(10, 10, 0)


def test_functions_are_as_named():
    x = torch.tensor([[-1.0], [-0.5], [0.0], [0.3], [0.75], [1.0]], dtype=F64)
    v = x[:, 0]
    torch.testing.assert_close(FUNCTIONS["sin"](6.0).value(x), torch.sin(6 * v))
    torch.testing.assert_close(FUNCTIONS["runge"](0).value(x), 1 / (1 + 25 * v**2))
    torch.testing.assert_close(FUNCTIONS["abs3"](0).value(x), v.abs() ** 3)
    bump = [0.0, math.exp(1 - 1 / (1 - 4 / 9)), 1.0, math.exp(1 - 1 / (1 - 0.16)), 0.0, 0.0]
    torch.testing.assert_close(FUNCTIONS["bump"](0).value(x), torch.tensor(bump, dtype=F64))
    u, w = 0.3, 0.8  # Franke's function as it stands in its paper, on the unit square
    franke = 0.75 * math.exp(-((9 * u - 2) ** 2) / 4 - (9 * w - 2) ** 2 / 4)
    franke += 0.75 * math.exp(-((9 * u + 1) ** 2) / 49 - (9 * w + 1) / 10)
    franke += 0.5 * math.exp(-((9 * u - 7) ** 2) / 4 - (9 * w - 3) ** 2 / 4)
    franke -= 0.2 * math.exp(-((9 * u - 4) ** 2) - (9 * w - 7) ** 2)
    value = FUNCTIONS["franke"](0).value(torch.tensor([[2 * u - 1, 2 * w - 1]], dtype=F64))
    assert value.item() == pytest.approx(franke)
