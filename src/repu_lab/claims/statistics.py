"""The statistics of the claims: intervals, tests and effect sizes. Pure functions of numbers."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Array = NDArray[np.float64]

LEVEL = 0.95
RESAMPLES = 4000
# Correlation of networks that are judged on one division of the data, by what is judged of them: which count, paired
# differences, medians by themselves. Pooled analyses of variance over the cells of claims 6 to 20, of three divisions,
# gave at most .07, .18 and .53 (upper ends of 95 % intervals): docs/decisions.md.
SAME_DIVISION = {"share": 0.1, "difference": 0.2, "median": 0.5}


class Interval(NamedTuple):
    """An estimate and the 95 % interval around it."""

    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        """Return `0.693 [0.690, 0.697]`."""
        return f"{self.estimate:.3g} [{self.low:.3g}, {self.high:.3g}]"

    def stretched(self, factor: float) -> "Interval":
        """Return the interval so many times as wide around the same estimate."""
        low, high = (self.estimate + factor * (end - self.estimate) for end in (self.low, self.high))
        return Interval(self.estimate, low, high)


class Comparison(NamedTuple):
    """Two samples: p-value of a two-sided test, effect size, and the median difference a - b with its interval.

    effect: P(a > b) + P(a = b) / 2, over pairs if the samples are paired, else over all combinations; .5 is no effect.
    """

    p_value: float
    effect: float
    difference: Interval


def design_effect(judged: str, sharing: int) -> float:
    """Return 1 + (m - 1) rho: how much larger a variance is with m = `sharing` networks on each division of the data.

    rho: SAME_DIVISION of what is judged (Kish 1965). So many times fewer independent networks would tell as much.
    """
    return 1 + (sharing - 1) * SAME_DIVISION[judged]


def bootstrap(values: ArrayLike, statistic: Callable[..., Any] = np.median, *, chances: int = 1) -> Interval:
    """Return the percentile bootstrap interval of a statistic of independent rows (n, ...).

    `statistic(rows, axis)` reduces the axis of the rows. The interval of a median of n numbers reaches from the
    smallest to the largest at most, which covers 1 - 2^(1-n): 75 % for n = 3, 95 % from n = 6. chances: of how many
    intervals one is enough for a verdict, which all hold together with 95 % (Bonferroni). ValueError without rows.
    """
    rows = np.asarray(values, np.float64)
    if len(rows) == 0:
        raise ValueError("an interval needs at least one number")
    index = np.random.default_rng(0).integers(0, len(rows), (RESAMPLES, len(rows)))
    tail = (1 - LEVEL) / chances / 2
    low, high = np.quantile(statistic(rows[index], axis=1), [tail, 1 - tail])
    return Interval(float(statistic(rows, axis=0)), float(low), float(high))


def median_interval(values: ArrayLike, *, chances: int = 1, sharing: int = 1) -> Interval:
    """Return the median of a sample and its bootstrap interval; `sharing` of them share a division of the data."""
    return bootstrap(values, chances=chances).stretched(design_effect("median", sharing) ** 0.5)


def ratio_of_sums(rows: Array, axis: int) -> Any:
    """Return sum a / sum b of rows of pairs (a, b): a statistic for `bootstrap`, which a mean of a / b is not near."""
    total = rows.sum(axis)
    return total[..., 0] / total[..., 1]


def wilson(successes: int, trials: int, *, chances: int = 1, sharing: int = 1) -> Interval:
    """Return the share of successes with Wilson's interval: (s + z^2/2 +- z sqrt(s f / n + z^2/4)) / (n + z^2).

    s successes, f = n - s failures, z = 1.96 (Wilson 1927), right for shares of 0 and 1 too; s and n over the design
    effect where `sharing` networks share a division of the data. chances: as of `bootstrap`. ValueError for n < 1.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"{successes} successes of {trials}: need 0 <= successes <= trials and a trial")
    z2 = float(stats.norm.isf((1 - LEVEL) / chances / 2)) ** 2
    share, n = successes / trials, trials / design_effect("share", sharing)
    half = (z2 * (n * share * (1 - share) + z2 / 4)) ** 0.5
    low, high = ((n * share + z2 / 2 + sign * half) / (n + z2) for sign in (-1, 1))
    return Interval(share, max(low, 0.0), min(high, 1.0))  # but for rounding they lie there


def paired_test(a: ArrayLike, b: ArrayLike, *, chances: int = 1, sharing: int = 1) -> Comparison:
    """Compare two samples of the same seeds by Wilcoxon's signed-rank test; zeros are split between the signs.

    sharing: how many pairs share a division of the data; the test's normal deviate shrinks and the interval grows by
    the root of the design effect. chances: of the interval, as of `bootstrap`.
    """
    difference = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    wider = design_effect("difference", sharing) ** 0.5
    p_value = 1.0
    if difference.any():
        signed_rank: Any = stats.wilcoxon(difference, zero_method="zsplit")
        p_value = float(2 * stats.norm.sf(stats.norm.isf(signed_rank.pvalue / 2) / wider))
    effect = np.mean(difference > 0) + np.mean(difference == 0) / 2
    return Comparison(p_value, float(effect), bootstrap(difference, chances=chances).stretched(wider))
