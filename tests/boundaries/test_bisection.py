"""The tracer on boundaries that are known: its interval holds the truth as often as it says, at a known cost."""

import math
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit

from repu_lab.boundaries.bisection import (
    FALL,
    LAPSE,
    Boundary,
    NoBoundaryError,
    Trial,
    fit,
    grid_cost,
    log_likelihood,
    trace,
)


def logistic(u0: float, spread: float, seed: int, rising: bool = True) -> Trial:
    """Return trials that succeed with the logistic curve's chance, or surely above u0 where the spread is 0."""
    generator = np.random.default_rng(seed)

    def trial(values):
        t = (np.log(values) - u0) * (1 if rising else -1)
        return generator.random(len(t)) < (expit(t / spread) if spread else t > 0)

    return trial


def traces(spread: float, precision: float, count: int, members: int = 32) -> list[tuple[float, Boundary]]:
    """Return boundaries drawn over three decades and their traces, half of them falling."""
    places = np.random.default_rng(round(1000 * spread)).uniform(math.log(0.03), math.log(30), count)
    return [
        (u0, trace(logistic(u0, spread, seed, seed % 2 == 0), 0.01, 100, precision=precision, members=members))
        for seed, u0 in enumerate(places)
    ]


@pytest.mark.parametrize(
    ("spread", "precision", "members"), [(0.02, 0.02, 32), (0.1, 0.05, 32), (0.1, 0.05, 16), (0.4, 0.2, 24)]
)
def test_the_interval_holds_the_truth(spread, precision, members):
    """50 traces of each kind, 200 together, their seeds fixed."""
    done = traces(spread, precision, 50, members)
    held = [boundary.low <= math.exp(u0) <= boundary.high for u0, boundary in done]
    assert sum(held) >= 0.9 * len(held)
    assert all(boundary.reached and boundary.low < boundary.value < boundary.high for _, boundary in done)
    assert all(math.log(boundary.high / boundary.low) / 2 <= math.log1p(precision) for _, boundary in done)
    assert [boundary.rising for _, boundary in done] == [seed % 2 == 0 for seed in range(len(done))]


def test_a_step_is_found_in_a_few_rounds():
    for u0, boundary in traces(0.0, 0.02, 20):
        assert boundary.low <= math.exp(u0) <= boundary.high and boundary.networks <= 128
        assert boundary.spread <= 0.01


def test_a_tenth_of_a_grids_cost():
    for spread, precision in ((0.0, 0.02), (0.05, 0.02), (0.1, 0.05)):
        done = [boundary for _, boundary in traces(spread, precision, 9)]
        assert np.median([boundary.networks / boundary.grid_networks for boundary in done]) < 0.1


@pytest.mark.parametrize(("length", "half_width", "spread"), [(4.0, 0.05, 0.1), (4.0, 0.1, 0.1), (9.0, 0.05, 0.0)])
def test_a_grid_of_that_cost_gives_that_interval(length, half_width, spread):
    """The median half width of simulated grids; for a step the formula allows a grid more than it can reach."""
    count = grid_cost(length, half_width, spread)
    u = (np.arange(count) + 0.5) * length / count
    widths = []
    for seed in range(12):
        u0 = length * (0.4 + 0.017 * seed)
        up = logistic(u0, spread, seed)(np.exp(u))
        widths.append(fit(u, up, (0.0, length), half_width / 4).half_width)
    assert 0.85 * half_width < np.median(widths) < (1.2 if spread else 3) * half_width


def test_fit_is_the_maximum_and_its_ends_have_fallen_by_as_much_as_said():
    """Against scipy's optimizer on the likelihood written out trial by trial."""
    generator = np.random.default_rng(3)
    u = generator.uniform(-1, 1.5, 150)
    up = generator.random(150) < expit((u - 0.3) / 0.2)

    def fall(u0: float, log_spread: float) -> float:
        p = LAPSE + (1 - 2 * LAPSE) / (1 + np.exp(-(u - u0) / math.exp(log_spread)))
        return -float(np.log(np.where(up, p, 1 - p)).sum())

    def profile(u0: float) -> float:
        best: Any = minimize_scalar(lambda s: fall(u0, s), bounds=(-6, 1), method="bounded")
        return best.fun

    best = minimize(lambda x: fall(*x), [0.0, -1.0], method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9})
    boundary = fit(u, up, (-1.0, 1.5), 1e-3)
    assert boundary.place == pytest.approx(best.x[0], abs=0.01)
    assert boundary.spread == pytest.approx(math.exp(best.x[1]), rel=0.15)
    assert profile(boundary.low) - best.fun == pytest.approx(FALL, abs=0.15)
    assert profile(boundary.high) - best.fun == pytest.approx(FALL, abs=0.15)
    surface = log_likelihood(u, up, np.array([0.1, 0.4]), np.array([0.05, 0.5]))
    wanted = [[-fall(u0, math.log(spread)) for spread in (0.05, 0.5)] for u0 in (0.1, 0.4)]
    np.testing.assert_allclose(surface, wanted, rtol=1e-12)


def test_the_fit_of_failing_is_that_of_succeeding():
    generator = np.random.default_rng(0)
    u = generator.uniform(0, 1, 80)
    up = generator.random(80) < expit((u - 0.4) / 0.05)
    one, other = fit(u, up, (0.0, 1.0), 1e-3), fit(u, ~up, (0.0, 1.0), 1e-3)
    assert (one.rising, other.rising) == (True, False)
    assert (one.place, one.low, one.high) == (other.place, other.low, other.high)


def test_a_stray_network_far_away_hardly_moves_the_boundary():
    u = np.linspace(0, 4, 100)
    clean = u > 2.0
    stray = clean.copy()
    stray[[3, 95]] = ~stray[[3, 95]]
    one, other = fit(u, clean, (0.0, 4.0), 0.01), fit(u, stray, (0.0, 4.0), 0.01)
    assert other.place == pytest.approx(one.place, abs=0.04) and other.half_width < 0.2


def test_no_boundary_is_said_to_be_none():
    with pytest.raises(NoBoundaryError, match="all of 32 networks from 1 to 10 fail: no boundary lies there"):
        trace(lambda values: np.zeros(len(values), dtype=bool), 1, 10)
    with pytest.raises(NoBoundaryError, match="from 1 to 10 do not turn once"):
        trace(lambda values: values > 9.6, 1, 10, precision=0.1)
    for low, high in ((0, 1), (2, 1), (1, math.inf)):
        with pytest.raises(ValueError, match="need 0 < low < high"):
            trace(lambda values: values > 1, low, high)


def test_what_is_not_reached_or_turns_twice_is_said():
    short = trace(logistic(0.0, 0.5, 0), 0.01, 100, precision=0.01, most=64)
    assert not short.reached and short.networks == 64 and "was not reached" in str(short)
    window = trace(lambda values: (values > 0.1) & (values < 30), 0.01, 100, members=64)
    assert window.contradictions[0] == 8 and "8 of" in str(window) and "turns again" in str(window)
    assert "turns again" not in str(trace(lambda values: values > 3, 0.01, 100))


def test_whole_values_come_a_few_at_a_time():
    seen, watched = [], []

    def trial(values):
        seen.append(values)
        return values > 20.5

    boundary = trace(
        trial, 2, 512, precision=0.1, members=10, distinct=4, whole=True, watch=lambda *round: watched.append(round)
    )
    assert [networks for networks, _, _ in watched] == [10 * i for i in range(1, len(seen) + 1)]
    assert watched[-1] == (boundary.networks, boundary.low, boundary.high)
    assert all(len(set(values)) <= 4 and (values == np.rint(values)).all() for values in seen)
    assert {len(values) for values in seen} == {10} and boundary.low <= 20.5 <= boundary.high
