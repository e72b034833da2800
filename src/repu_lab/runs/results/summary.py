"""Networks of one kind in a few numbers: how many trained, where they failed, how good they are."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from repu_lab.runs.results.scanning import Member

GOOD = ("trained", "survived", "survives")  # of train, propagate, theory
NORMAL_95 = 1.959963984540054  # two-sided
LISTED = 3  # layers named one by one, above that as a range


@dataclass(frozen=True)
class Summary:
    """n networks; the share that is good with its 95 % Wilson interval; quartiles of the metric; layers of failure."""

    n: int
    good: int
    interval: tuple[float, float] | None
    quartiles: tuple[float | None, float | None, float | None]
    loss: float | None
    outcomes: dict[str, int]
    layers: dict[int, int]

    @property
    def share(self) -> float | None:
        """The share of good networks, None of none."""
        return self.good / self.n if self.n else None


def summarise(members: Sequence[Member]) -> Summary:
    """Summarise networks; one without a metric (or loss) ranks as the worst of all, since it has failed."""
    outcomes = Counter(member.outcome for member in members)
    good = sum(outcomes[name] for name in GOOD)
    metrics = [-math.inf if member.metric is None else member.metric for member in members]
    losses = [math.inf if member.loss is None else member.loss for member in members]
    layers = Counter(int(member.layer) for member in members if member.layer is not None)
    return Summary(
        n=len(members), good=good, interval=wilson(good, len(members)) if members else None,
        quartiles=(quantile(metrics, 0.25), quantile(metrics, 0.5), quantile(metrics, 0.75)),
        loss=quantile(losses, 0.5), outcomes=dict(outcomes.most_common()), layers=dict(sorted(layers.items())),
    )  # fmt: skip


def wilson(successes: int, n: int, z: float = NORMAL_95) -> tuple[float, float]:
    """Return Wilson's interval of a share: all p with |successes/n - p| <= z sqrt(p (1 - p) / n).

    (s + z^2/2 -+ z sqrt(s (n - s) / n + z^2/4)) / (n + z^2), Wilson 1927; within [0, 1] also at none and all of n.
    """
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"{successes} of {n} is no share")
    middle = successes + z * z / 2
    spread = z * math.sqrt(successes * (n - successes) / n + z * z / 4)
    low = 0.0 if successes == 0 else (middle - spread) / (n + z * z)
    return low, 1.0 if successes == n else (middle + spread) / (n + z * z)


def quantile(values: Iterable[float], q: float) -> float | None:
    """Return a quantile, linear between neighbours; None if there is none or it falls on an infinite value."""
    ordered = sorted(values)
    if not ordered:
        return None
    place = q * (len(ordered) - 1)
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    if low == high:
        value = low
    elif math.isfinite(low) and math.isfinite(high):
        value = low + (high - low) * (place - math.floor(place))
    else:
        value = low if place - math.floor(place) < 0.5 else high
    return value if math.isfinite(value) else None


def counted(counts: dict[str, int]) -> str:
    """Return `trained 30, diverged 2`."""
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def where(layers: dict[int, int]) -> str:
    """Return the layers of failure, `9 (31), 10 (1)`, or `4-17, median 9` where there are many."""
    if len(layers) <= LISTED:
        return ", ".join(f"{layer} ({count})" for layer, count in layers.items())
    median = quantile([layer for layer, count in layers.items() for _ in range(count)], 0.5)
    return f"{min(layers)}-{max(layers)}, median {median:g}"
