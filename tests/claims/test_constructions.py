"""Exact networks against the polynomials they are, and against an independent table of errors and weights."""

import numpy as np
import pytest
import torch

from repu_lab.activations import MRePU
from repu_lab.claims.approximation.constructions import constructions, parity_combination
from repu_lab.claims.approximation.exact import box, error_in_eps

# activation, polynomial, neurons, largest error in eps measured on 1e6 points in float64 by other code
REFERENCE = [
    ("RePU 2", "x^2", 2, 0.0),
    ("RePU 2", "x", 4, 0.25),
    ("MRePU 1", "x", 2, 0.0),
    ("MRePU 1", "x^2", 2, 0.5),
    ("MRePU 1", "xy", 4, 1.0),
    ("MRePU 2", "x^2", 2, 0.5),
    ("MRePU 2", "x", 4, 3.5),
    ("MRePU 2", "xyz", 8, 5.5),
]
# p, power, neurons, sum of |c_j| with a_j = 2^-j
WEIGHTS = [(1, 2, 2, 0.5), (2, 1, 4, 1.5), (2, 2, 2, 0.25), (3, 1, 4, 1.5), (4, 1, 6, 3.3), (4, 2, 4, 0.708333333333),
           (5, 2, 6, 2.45555555556)]  # fmt: skip
FOUND = {(one.kind, one.target): one for one in constructions()}


@pytest.mark.parametrize(("activation", "target", "neurons", "error"), REFERENCE)
def test_errors_agree_with_the_table(activation, target, neurons, error):
    """Within one rounding: the order of additions is the library's, and that of the table is not known."""
    one = FOUND[activation, target]
    assert one.neurons == neurons
    assert error_in_eps(one, "float64", box(20_000, 1.0)) <= error + 1


@pytest.mark.parametrize("key", FOUND, ids=" ".join)
def test_every_network_is_its_polynomial_in_every_format(key):
    """A hundred times the eps of a format is far below any error of an approximation in the next coarser one."""
    one = FOUND[key]
    for dtype in ("float64", "float32"):
        assert error_in_eps(one, dtype, box(2_000, 1.0)) < 16
    beyond = error_in_eps(one, "float64", box(2_000, 2.0))
    assert beyond < 16 if one.everywhere else beyond > 1e10


@pytest.mark.parametrize(("p", "power", "neurons", "total"), WEIGHTS)
def test_weights_agree_with_the_table_and_make_the_power(p, power, neurons, total):
    combination = parity_combination(p, power)
    assert 2 * len(combination) == neurons
    assert sum(abs(weight) for _, weight in combination) == pytest.approx(total, rel=1e-11)
    t = torch.linspace(-1, 1, 101, dtype=torch.float64)
    s = MRePU(p)
    value = sum(c * (s(a * t) + (-1) ** power * s(-a * t)) for a, c in combination)
    np.testing.assert_allclose(value, t**power, atol=1e-13)


def test_beyond_the_box_the_square_of_mrepu_is_off_by_a_known_parabola():
    """At |t| > 1 one of the two neurons is cut off: s(t)/2 is left of t^2."""
    t = torch.tensor([[1.5, 0, 0], [-2.0, 0, 0], [3.0, 0, 0]], dtype=torch.float64)
    with torch.no_grad():
        value = FOUND["MRePU 1", "x^2"].network(torch.float64)(t)[:, 0]
    u = t[:, 0].abs()
    torch.testing.assert_close(value - u**2, -(u**2 - u) / 2, rtol=1e-14, atol=1e-14)
