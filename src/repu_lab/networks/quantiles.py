"""The quantiles that the lab shows, in tables, pictures, pages and event files alike.

Linear between neighbours. A network without a number (its loss is NaN, it has no metric) ranks as the worst of all: a
median of the others would speak as if of all. A quantile that falls on one that is not finite is not shown.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from torch import Tensor

# How captions and help say it.
RULE = "a network without a number ranks as the worst"


def quantiles(values: "ArrayLike | Tensor", q: Sequence[float], *, defined: float = 0.0) -> NDArray[np.float64]:
    """Return the quantiles of each row, (rows, N) -> (len(q), rows), leaving NaN out and ordering -inf and +inf.

    Linear between neighbours as numpy's default, so not finite between a number and an infinite one. NaN for a row of
    NaN and for one of which less than the share `defined` is a number. What lies on a GPU is sorted there, to the same
    bits, and only the neighbours of the quantiles leave it; on a CPU numpy's sort is the faster one.
    """
    if str(getattr(values, "device", "cpu")) != "cpu":
        return quantiles_sorted(cast("Tensor", values).double().sort(1).values, q, defined)
    ordered = np.sort(np.asarray(values, np.float64), axis=1)  # NaN last
    if ordered.shape[1] == 1:
        return np.repeat(ordered.T, len(q), axis=0)
    count = ordered.shape[1] - np.isnan(ordered).sum(axis=1)
    below, above, share = _neighbours(count, q)
    rows = np.arange(len(ordered))
    result = _between(ordered[rows, below], ordered[rows, above], share)
    result[:, count < defined * ordered.shape[1]] = np.nan
    return result


def quantiles_sorted(ordered: "Tensor", q: Sequence[float], defined: float) -> NDArray[np.float64]:
    """Return the quantiles of rows that are sorted, NaN last, on any device."""
    missing = ordered.isnan().sum(1)
    count = ordered.shape[1] - missing.cpu().numpy()
    below, above, share = _neighbours(count, q)
    places = missing.new_tensor(np.concatenate([below, above])).T
    low, high = np.split(ordered.gather(1, places).T.cpu().numpy(), 2)
    result = _between(low, high, share)
    result[:, count < defined * ordered.shape[1]] = np.nan
    return result


def _neighbours(count: NDArray, q: Sequence[float]) -> tuple[NDArray, NDArray, NDArray]:
    """Return between which of so many sorted numbers a row the quantiles lie, and how far; each (len(q), rows)."""
    place = np.asarray(q, np.float64)[:, None] * np.maximum(count - 1, 0)
    below = np.floor(place).astype(int)
    return below, np.ceil(place).astype(int), place - below


def _between(low: NDArray, high: NDArray, share: NDArray) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", over="ignore"):
        between = low + (high - low) * share
        # Numbers of opposite signs near the end of float64 are further apart than it reaches.
        between = np.where(np.isinf(high - low), low * (1 - share) + high * share, between)
        return np.where((share == 0) | (low == high), low, between)


def ranked(values: ArrayLike, worst: ArrayLike) -> NDArray[np.float64]:
    """Return values with `worst`, -inf or +inf (the same for all, or one a row), in place of NaN."""
    number = np.asarray(values, np.float64)
    return np.where(np.isnan(number), worst, number)


def of_networks(values: Iterable[float | None], q: Sequence[float], worst: float) -> list[float | None]:
    """Return quantiles of one number a network, None where there is none or it falls on a network without one."""
    row = np.array([[np.nan if value is None else value for value in values]], np.float64)
    if not row.size:
        return [None] * len(q)
    return [value if np.isfinite(value) else None for value in quantiles(ranked(row, worst), q)[:, 0].tolist()]


def median(values: Iterable[float | None], worst: float) -> float | None:
    """Return the median of one number a network, as `of_networks` does."""
    return of_networks(values, (0.5,), worst)[0]
