"""Intervals and tests against closed forms, coverage and made-up numbers."""

import math

import numpy as np
import pytest
from scipy import stats

from repu_lab.claims.statistics import (
    Interval,
    bootstrap,
    design_effect,
    median_interval,
    paired_test,
    ratio_of_sums,
    wilson,
)
from repu_lab.claims.verdicts import Verdict, above, below, corrected, near, provided, together


def test_the_bootstrap_interval_of_a_median_covers_it():
    """400 samples of 15: within three standard errors of 95 %, and a bit below it as percentile intervals are."""
    generator = np.random.default_rng(1)
    samples = generator.normal(size=(400, 15))
    intervals = [median_interval(sample) for sample in samples]
    share = np.mean([interval.low <= 0 <= interval.high for interval in intervals])
    assert 0.95 - 3 * math.sqrt(0.95 * 0.05 / 400) - 0.02 <= share <= 0.99


def test_the_bootstrap_of_a_mean_has_the_width_of_the_standard_error():
    values = np.random.default_rng(2).normal(size=400)
    interval = bootstrap(values, np.mean)
    error = values.std() / 20
    assert interval.estimate == pytest.approx(values.mean())
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_the_bootstrap_resamples_rows():
    """Pairs whose members stand in a fixed ratio have that ratio of sums in every sample."""
    b = np.arange(1.0, 8.0)
    interval = bootstrap(np.stack([3 * b, b], axis=1), ratio_of_sums)
    assert interval == pytest.approx((3, 3, 3))
    with pytest.raises(ValueError, match="at least one"):
        bootstrap([])


@pytest.mark.parametrize(("successes", "trials", "chances"), [(0, 10, 1), (3, 10, 1), (10, 10, 14), (1, 3, 2)])
def test_wilson_is_the_root_of_its_equation(successes, trials, chances):
    """Both ends solve |share - p| = z sqrt(p (1 - p) / n); of several chances each errs in its share of 5 %."""
    z, share = stats.norm.ppf(1 - 0.025 / chances), successes / trials
    interval = wilson(successes, trials, chances=chances)
    ends = np.roots([1 + z**2 / trials, -(2 * share + z**2 / trials), share**2])
    assert (interval.estimate, interval.low, interval.high) == pytest.approx((share, *sorted(ends)), abs=1e-9)


@pytest.mark.parametrize(("judged", "rho"), [("share", 0.1), ("difference", 0.2), ("median", 0.5)])
def test_networks_of_one_division_tell_less_than_as_many_independent_ones(judged, rho):
    """Four of each division: as little as n / (1 + 3 rho) of them, or errors so many times the root of that."""
    effect = 1 + 3 * rho
    assert design_effect(judged, 4) == pytest.approx(effect) and design_effect(judged, 1) == 1
    sample = np.random.default_rng(0).normal(0.4, 1, 12)
    alone, shared = {
        "share": lambda: (wilson(100, 200), wilson(round(100 * effect), round(200 * effect), sharing=4)),
        "difference": lambda: [paired_test(sample, 0 * sample, sharing=m).difference for m in (1, 4)],
        "median": lambda: [median_interval(sample, sharing=m) for m in (1, 4)],
    }[judged]()
    wider = 1.0 if judged == "share" else effect**0.5
    assert shared.estimate == alone.estimate
    assert (shared.low - shared.estimate) == pytest.approx(wider * (alone.low - alone.estimate))
    assert (shared.high - shared.estimate) == pytest.approx(wider * (alone.high - alone.estimate))


def test_a_paired_test_of_alike_pairs_errs_in_one_of_twenty():
    """400 times 3 divisions of 4 pairs whose differences correlate by .2: 5 %, 3 standard errors; uncorrected more."""
    generator = np.random.default_rng(1)
    own, shared = generator.normal(size=(400, 3, 4)), generator.normal(size=(400, 3, 1))
    differences = (0.8**0.5 * own + 0.2**0.5 * shared).reshape(400, 12)
    errs = [np.mean([paired_test(d, 0 * d, sharing=m).p_value < 0.05 for d in differences]) for m in (1, 4)]
    assert errs[1] < 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5 < errs[0]


def test_an_interval_of_many_chances_is_wider():
    """For a mean of normal numbers by the ratio of the quantiles at 5 % and at 5 % over ten, 2.81 / 1.96."""
    values = np.random.default_rng(2).normal(size=2000)
    one, ten = (bootstrap(values, np.mean, chances=chances) for chances in (1, 10))
    assert (ten.high - ten.low) / (one.high - one.low) == pytest.approx(2.81 / 1.96, rel=0.05)


def test_wilson_refuses_what_is_no_share():
    for pair in ((4, 3), (-1, 3), (0, 0)):
        with pytest.raises(ValueError, match="successes"):
            wilson(*pair)


def test_a_paired_test_sees_a_small_common_shift():
    base = np.random.default_rng(3).normal(size=12)
    paired = paired_test(base + 0.1, base)
    assert paired.p_value == pytest.approx(2 / 2**12) and paired.effect == 1
    assert paired.difference == pytest.approx((0.1, 0.1, 0.1))
    same = paired_test(base, base)
    assert (same.p_value, same.effect) == (1, 0.5)


RULES = [
    (lambda low, high: near(Interval(0, low, high), 1.5, 1 / 3), (1.2, 1.8), (2.1, 3), (1.5, 2.5)),
    (lambda low, high: above(Interval(0, low, high), 1), (1.2, 1.8), (0.1, 0.9), (0.5, 1.5)),
    (lambda low, high: below(Interval(0, low, high), 1), (0.1, 0.9), (1.2, 1.8), (0.5, 1.5)),
]


@pytest.mark.parametrize(("rule", "supported", "refuted", "inconclusive"), RULES)
def test_every_rule_gives_each_verdict(rule, supported, refuted, inconclusive):
    assert rule(*supported) is Verdict.SUPPORTED
    assert rule(*refuted) is Verdict.REFUTED
    assert rule(*inconclusive) is Verdict.INCONCLUSIVE


def test_parts_are_joined_and_a_blind_instrument_says_nothing():
    yes, no, unknown = Verdict.SUPPORTED, Verdict.REFUTED, Verdict.INCONCLUSIVE
    assert together([yes, yes]) is yes
    assert together([yes, unknown, no]) is no
    assert together([yes, unknown]) is unknown and together([]) is unknown


def test_refuting_is_corrected_for_the_parts_and_supporting_is_not():
    yes, no, unknown = Verdict.SUPPORTED, Verdict.REFUTED, Verdict.INCONCLUSIVE
    for once, of_five, verdict in ((yes, unknown, yes), (no, no, no), (no, unknown, unknown), (unknown, no, unknown)):
        assert corrected(5, {1: once, 5: of_five}.__getitem__) is verdict
    assert provided(True, no) is no and provided(False, no) is unknown
