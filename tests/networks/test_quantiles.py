"""Quantiles as the lab shows them, against numpy's and by hand."""

import numpy as np
import pytest
import torch

from repu_lab.networks.quantiles import median, of_networks, quantiles, quantiles_sorted, ranked

RNG = np.random.default_rng(0)


def test_quantiles_are_numpys_and_rank_infinities():
    values = RNG.standard_normal((4, 101))
    q = (0.0, 0.05, 0.5, 0.95, 1.0)
    np.testing.assert_allclose(quantiles(values, q), np.quantile(values, q, axis=1), rtol=1e-14)
    row = np.array([[np.nan, -np.inf, 1.0, 2.0, np.inf, np.nan]])
    np.testing.assert_allclose(quantiles(row, (0.0, 0.5, 0.6, 1.0))[:, 0], [-np.inf, 1.5, 1.8, np.inf], rtol=1e-14)
    assert not np.isfinite(quantiles(row, (0.1, 0.9))).any()  # between a number and an infinite one
    np.testing.assert_array_equal(quantiles([[1.0, np.inf, np.inf, np.inf]], (0.0, 0.5))[:, 0], [1.0, np.inf])
    assert np.isnan(quantiles(np.full((2, 3), np.nan), q)).all()
    np.testing.assert_allclose(quantiles([[-1.5e308, 1.5e308]], (0.25,))[:, 0], [-0.75e308], rtol=1e-14)


def test_networks_without_a_number_rank_as_the_worst():
    values = RNG.normal(size=17).tolist()
    q = (0.0, 0.25, 0.5, 0.9, 1.0)
    assert of_networks(values, q, np.inf) == pytest.approx(np.quantile(values, q).tolist())
    assert median([0.9, None, 0.5], -np.inf) == 0.5 and median([0.9, None, 0.5], np.inf) == 0.9
    assert median([0.9, float("nan")], -np.inf) is None and median([0.9, float("nan")], np.inf) is None
    assert median([], np.inf) is None and median([None], np.inf) is None
    np.testing.assert_array_equal(
        ranked([[1, np.nan], [np.nan, 2]], [[np.inf], [-np.inf]]), [[1, np.inf], [-np.inf, 2]]
    )


def test_between_the_largest_numbers_of_either_sign_lies_a_number():
    assert quantiles([[-1.7e308, 1.7e308]], (0.25, 0.5, 0.75))[:, 0] == pytest.approx([-0.85e308, 0, 0.85e308])
    assert of_networks([-1.7e308, None], (0.5,), np.inf) == [None]


def test_a_table_that_is_sorted_where_it_lies_has_the_same_quantiles():
    """Rows with NaN, infinities of both signs, ties, numbers at float64's end, one number, none."""
    table = np.random.default_rng(0).standard_normal((40, 21))
    table[:20, ::3] = np.nan
    table[5:15, ::4] = np.inf
    table[10:20, 1::5] = -np.inf
    table[3], table[4, 1:], table[25, :10] = np.nan, np.nan, table[25, 10:20]
    table[30, :2] = -1.7e308, 1.7e308
    for columns in (21, 1):
        rows = table[:, :columns]
        there = quantiles_sorted(torch.from_numpy(rows).sort(1).values, (0.05, 0.5, 0.95), 0.5)
        assert np.array_equal(there, quantiles(rows, (0.05, 0.5, 0.95), defined=0.5), equal_nan=True)
