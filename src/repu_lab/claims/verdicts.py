"""Statistical rules: from numbers to a verdict. Pure, so that a claim's rule stands before its run."""

from collections.abc import Callable, Iterable
from enum import StrEnum

from repu_lab.claims.statistics import Interval


class Verdict(StrEnum):
    """What the numbers say of a statement."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"


def near(interval: Interval, target: float, tolerance: float) -> Verdict:
    """Supported if the interval lies within a relative tolerance of a positive number, refuted if wholly elsewhere."""
    low, high = (1 - tolerance) * target, (1 + tolerance) * target
    if low <= interval.low and interval.high <= high:
        return Verdict.SUPPORTED
    return Verdict.REFUTED if interval.high < low or high < interval.low else Verdict.INCONCLUSIVE


def above(interval: Interval, bound: float) -> Verdict:
    """Supported if the interval lies above the bound, refuted if below, else inconclusive."""
    if interval.low > bound:
        return Verdict.SUPPORTED
    return Verdict.REFUTED if interval.high < bound else Verdict.INCONCLUSIVE


def below(interval: Interval, bound: float) -> Verdict:
    """Supported if the interval lies below the bound, refuted if above, else inconclusive."""
    if interval.high < bound:
        return Verdict.SUPPORTED
    return Verdict.REFUTED if interval.low > bound else Verdict.INCONCLUSIVE


def together(verdicts: Iterable[Verdict]) -> Verdict:
    """Join the verdicts of a statement's parts: refuted if one is, supported if all are, else inconclusive."""
    parts = set(verdicts)
    if Verdict.REFUTED in parts:
        return Verdict.REFUTED
    return Verdict.SUPPORTED if parts == {Verdict.SUPPORTED} else Verdict.INCONCLUSIVE


def one_of(verdicts: Iterable[Verdict]) -> Verdict:
    """Say whether one of several statements holds: supported if one is, refuted if all are, else inconclusive."""
    parts = set(verdicts)
    if Verdict.SUPPORTED in parts:
        return Verdict.SUPPORTED
    return Verdict.REFUTED if parts == {Verdict.REFUTED} else Verdict.INCONCLUSIVE


def corrected(parts: int, judged: Callable[[int], Verdict]) -> Verdict:
    """Return what a rule of several parts says if each is a chance to refute it, and supports only with all others.

    judged: chances -> the verdict by intervals at 5 % over so many. It supports at 5 % and refutes at 5 % over `parts`.
    """
    if (supported := judged(1)) is not Verdict.REFUTED:
        return supported
    return Verdict.REFUTED if judged(parts) is Verdict.REFUTED else Verdict.INCONCLUSIVE


def provided(instrument: bool, verdict: Verdict) -> Verdict:
    """Return the verdict if the instrument could have seen the opposite, else inconclusive."""
    return verdict if instrument else Verdict.INCONCLUSIVE
