"""The statistics of the claims: intervals, tests and effect sizes. Pure functions of numbers."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Array = NDArray[np.float64]

LEVEL = 0.95
RESAMPLES = 4000


class Interval(NamedTuple):
    """An estimate and the 95 % interval around it."""

    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        """Return `0.693 [0.690, 0.697]`."""
        return f"{self.estimate:.3g} [{self.low:.3g}, {self.high:.3g}]"


class Comparison(NamedTuple):
    """Two samples: p-value of a two-sided test, effect size, and the median difference a - b with its interval.

    effect: P(a > b) + P(a = b) / 2, over pairs if the samples are paired, else over all combinations; .5 is no effect.
    """

    p_value: float
    effect: float
    difference: Interval


def bootstrap(
    values: ArrayLike, statistic: Callable[..., Any] = np.median, *, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Return the percentile bootstrap interval of a statistic of independent rows (n, ...).

    `statistic(rows, axis)` reduces the axis of the rows. The interval of a median of n numbers reaches from the
    smallest to the largest at most, which covers 1 - 2^(1-n): 75 % for n = 3, 95 % from n = 6. ValueError without rows.
    """
    rows = np.asarray(values, np.float64)
    if len(rows) == 0:
        raise ValueError("an interval needs at least one number")
    index = np.random.default_rng(seed).integers(0, len(rows), (resamples, len(rows)))
    low, high = np.quantile(statistic(rows[index], axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(statistic(rows, axis=0)), float(low), float(high))


def median_interval(values: ArrayLike, seed: int = 0) -> Interval:
    """Return the median of a sample and its bootstrap interval."""
    return bootstrap(values, np.median, seed=seed)


def ratio_of_sums(rows: Array, axis: int) -> Any:
    """Return sum a / sum b of rows of pairs (a, b): a statistic for `bootstrap`, which a mean of a / b is not near."""
    total = rows.sum(axis)
    return total[..., 0] / total[..., 1]


def wilson(successes: int, trials: int, *, chances: int = 1) -> Interval:
    """Return the share of successes with Wilson's interval: (s + z^2/2 +- z sqrt(s f / n + z^2/4)) / (n + z^2).

    s successes, f = n - s failures, z = 1.96 (Wilson 1927). Right for shares of 0 and 1 too. chances: of how many
    shares one is enough for a verdict, whose intervals all hold together with 95 % (Bonferroni). ValueError for n < 1.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"{successes} successes of {trials}: need 0 <= successes <= trials and a trial")
    ends = stats.binomtest(successes, trials).proportion_ci(1 - (1 - LEVEL) / chances, method="wilson")
    return Interval(successes / trials, float(ends.low), float(ends.high))


def paired_test(a: ArrayLike, b: ArrayLike) -> Comparison:
    """Compare two samples of the same seeds by Wilcoxon's signed-rank test; zeros are split between the signs."""
    difference = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    p_value = 1.0
    if difference.any():
        signed_rank: Any = stats.wilcoxon(difference, zero_method="zsplit")
        p_value = float(signed_rank.pvalue)
    effect = np.mean(difference > 0) + np.mean(difference == 0) / 2
    return Comparison(p_value, float(effect), median_interval(difference))


def rank_test(a: ArrayLike, b: ArrayLike) -> Comparison:
    """Compare two independent samples by the Mann-Whitney test.

    The difference is the median of all a_i - b_j (Hodges, Lehmann), its interval from resampling both samples.
    """
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    ranked = stats.mannwhitneyu(first, second, alternative="two-sided")
    generator = np.random.default_rng(0)
    index_a, index_b = (generator.integers(0, len(sample), (500, len(sample))) for sample in (first, second))
    shifts = np.median(first[index_a][:, :, None] - second[index_b][:, None, :], axis=(1, 2))
    low, high = np.quantile(shifts, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    shift = Interval(float(np.median(first[:, None] - second[None, :])), float(low), float(high))
    return Comparison(float(ranked.pvalue), float(ranked.statistic / (len(first) * len(second))), shift)
