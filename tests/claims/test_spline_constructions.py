"""Exact networks of spline RePU against the polynomials they are."""

import numpy as np
import pytest
import torch

from repu_lab.activations import SplineRePU
from repu_lab.claims.approximation.constructions import power, spline_constructions
from repu_lab.claims.approximation.exact import box, error_in_eps

FOUND = {one.target: one for one in spline_constructions()}


@pytest.mark.parametrize("target", FOUND)
def test_every_network_is_its_polynomial_on_the_box_and_only_there(target):
    for dtype in ("float64", "float32"):
        assert error_in_eps(FOUND[target], dtype, box(5_000, 1.0)) < 16
    assert error_in_eps(FOUND[target], "float64", box(5_000, 2.0)) > 1e10


@pytest.mark.parametrize("m", [1, 2])
def test_neurons_add_up_to_a_power(m):
    s, t = SplineRePU(2), torch.linspace(-1, 1, 101, dtype=torch.float64)
    value = sum(weight * s(scale * t + shift) for scale, shift, weight in power(s, m))
    np.testing.assert_allclose(value, t**m, atol=1e-14)


def test_its_first_piece_is_the_repu_of_the_next_power():
    """S(t - 3/2) + 1/2 = relu(t)^3 / 6 for t <= 1: what RePU_3 represents on a box, the spline does."""
    s, t = SplineRePU(2), torch.linspace(-2, 1, 61, dtype=torch.float64)
    np.testing.assert_allclose(s.slope_at_0 * s(t - 1.5) + 0.5, t.relu() ** 3 / 6, atol=1e-15)
