"""Networks of one kind in a few numbers: how many trained, where they failed, how good they are."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from repu_lab.catalogue.scanning import Member
from repu_lab.configs.command import job_commands
from repu_lab.networks.quantiles import median, of_networks

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
    validation_metric: float | None
    outcomes: dict[str, int]
    layers: dict[int, int]

    @property
    def share(self) -> float | None:
        """The share of good networks, None of none."""
        return self.good / self.n if self.n else None


def summarise(members: Sequence[Member]) -> Summary:
    """Summarise networks; the quartiles and the loss as in networks.quantiles."""
    outcomes = Counter(member.outcome for member in members)
    good = sum(outcomes[name] for command in job_commands().values() for name in command.good)
    low, middle, high = of_networks([member.metric for member in members], (0.25, 0.5, 0.75), -math.inf)
    layers = Counter(int(member.layer) for member in members if member.layer is not None)
    return Summary(
        n=len(members),
        good=good,
        interval=wilson(good, len(members)) if members else None,
        quartiles=(low, middle, high),
        loss=median([member.loss for member in members], math.inf),
        validation_metric=median([member.validation_metric for member in members], -math.inf),
        outcomes=dict(outcomes.most_common()),
        layers=dict(sorted(layers.items())),
    )


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


def counted(counts: dict[str, int]) -> str:
    """Return `trained 30, diverged 2`."""
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def where(layers: dict[int, int]) -> str:
    """Return the layers of failure, `9 (31), 10 (1)`, or `4-17, median 9` where there are many."""
    if len(layers) <= LISTED:
        return ", ".join(f"{layer} ({count})" for layer, count in layers.items())
    middle = median([layer for layer, count in layers.items() for _ in range(count)], math.inf)
    return f"{min(layers)}-{max(layers)}, median {middle:g}"
