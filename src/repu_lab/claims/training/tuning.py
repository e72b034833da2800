"""The same tuning budget for every activation: a grid of initializations and learning rates, then fresh networks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from repu_lab.claims.lab import Lab, Trained
from repu_lab.claims.statistics import Interval, wilson

# As overrides. small: MRePU's critical variances near K = 0, at any depth. biased: RePU's stable fixed point, whose
# signal neither explodes nor vanishes, but forgets its input.
INITIALIZATIONS: dict[str, tuple[str, ...]] = {
    "critical": ("initialization=critical",),
    "small": ("initialization=custom", "initialization.c_w=1", "initialization.k1=1e-4"),
    "pytorch": ("initialization=pytorch",),
    "he": ("initialization=he",),
    "biased": ("initialization=custom", "initialization.c_w=0.5", "initialization.c_b=0.1", "initialization.k1=0.2"),
}
ACTIVATIONS: dict[str, tuple[str, ...]] = {
    "RePU 2": ("activation=repu", "activation.p=2"),
    "RePU 3": ("activation=repu", "activation.p=3"),
    "MRePU 1": ("activation=mrepu", "activation.p=1"),
    "MRePU 2": ("activation=mrepu", "activation.p=2"),
    "ReLU": ("activation=relu",),
    "GELU": ("activation=gelu",),
    "tanh": ("activation=tanh",),
}
# Networks are tuned on other seeds than they are judged on.
TUNING_SEED = 1000


@dataclass(frozen=True)
class Grid:
    """The settings that are tried for every activation and depth, and how many networks try each."""

    initializations: Sequence[str]
    rates: Sequence[str]
    tuning_members: int
    members: int

    @property
    def settings(self) -> list[tuple[str, str]]:
        """Every pair of an initialization and a learning rate."""
        return [(initialization, rate) for initialization in self.initializations for rate in self.rates]

    def __str__(self) -> str:
        """Say the budget in words."""
        return (
            f"{len(self.settings)} settings ({', '.join(self.initializations)}; Adam at {', '.join(self.rates)}) tried "
            f"on {self.tuning_members} networks each, the best judged on {self.members} fresh ones"
        )


@dataclass(frozen=True)
class Tuned:
    """What tuning found for an activation at a depth: the runs by setting, the best setting, its fresh networks."""

    tried: Mapping[tuple[str, str], Trained]
    best: tuple[str, str]
    fresh: Trained

    @property
    def trained(self) -> Interval:
        """The share of fresh networks that trained."""
        return share([self.fresh], "trained")

    @property
    def metric(self) -> float:
        """The median test metric of the fresh networks."""
        return float(np.median(metrics(self.fresh)))

    def best_share(self, initialization: str) -> float:
        """Return the largest share trained of an initialization's tuning runs, over the learning rates."""
        return max(run.share("trained") for (name, _), run in self.tried.items() if name == initialization)


def scale_of(lab: Lab) -> tuple[str, ...]:
    """Return the overrides that all training claims share: the size of the networks and of their training."""
    return lab.choose(
        smoke=("task=digits", "width=32", "batch_size=64", "steps=200"),
        full=("task=digits", "width=64", "batch_size=128", "steps=400"),
    )


def tune(
    lab: Lab, activations: Sequence[str], depths: Sequence[int], grid: Grid, *, progress: float = 1.0
) -> dict[tuple[str, int], Tuned]:
    """Train the grid for every activation and depth, then fresh networks at the setting with most trained.

    Ties go to the higher median metric. `progress`: the share of the claim that this is.
    """
    common = (*scale_of(lab), "statistics=false")
    # The deepest first: what takes longest should not be what is waited for at the end.
    cases = [(name, depth) for depth in sorted(depths, reverse=True) for name in activations]
    places = [(name, depth, setting) for name, depth in cases for setting in grid.settings]
    runs = lab.train([
        (*ACTIVATIONS[name], f"depth={depth}", *common, *_overrides(setting), f"members={grid.tuning_members}",
         f"seed={TUNING_SEED}")
        for name, depth, setting in places
    ])  # fmt: skip
    tried = dict(zip(places, runs, strict=True))
    lab.progress(0.8 * progress)
    by_case = {(name, depth): {s: tried[name, depth, s] for s in grid.settings} for name, depth in cases}
    best = {case: max(found, key=lambda setting: merit(found[setting])) for case, found in by_case.items()}
    fresh = lab.train([
        (*ACTIVATIONS[name], f"depth={depth}", *common, *_overrides(best[name, depth]), f"members={grid.members}")
        for name, depth in cases
    ])  # fmt: skip
    lab.progress(progress)
    return {case: Tuned(by_case[case], best[case], run) for case, run in zip(cases, fresh, strict=True)}


def share(runs: Sequence[Trained], outcome: str) -> Interval:
    """Return the share of all networks of these runs that ended so."""
    members = [member for run in runs for member in run.members]
    return wilson(sum(member["outcome"] == outcome for member in members), len(members))


def metrics(run: Trained) -> list[float]:
    """Return the test metric of each network, 0 where there is none."""
    return [member["metric"] or 0.0 for member in run.members]


def merit(run: Trained) -> tuple[float, float]:
    """Return what settings are ranked by: the share trained, then the median metric."""
    return run.share("trained"), float(np.median(metrics(run)))


def _overrides(setting: tuple[str, str]) -> tuple[str, ...]:
    initialization, rate = setting
    return (*INITIALIZATIONS[initialization], f"optimizer.lr={rate}")
