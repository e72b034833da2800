"""Trials of blocks at depth: every activation tuned alike on the validation split, judged on the test split.

A deep network that computes something linear passes many a task: on the digits 50 layers of the identity do. So every
trial has its baseline, the identity in the same block, depth and budget, and a network counts only if it beats that by
a margin. On XOR it ends at .27, near chance (.25). A norm divides every input by its own size, which is not linear:
with RMSNorm the identity reaches .39.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from repu_lab.claims.lab import Lab, Trained
from repu_lab.claims.statistics import Interval, wilson

ACTIVATIONS: dict[str, tuple[str, ...]] = {
    "RePU 2": ("activation=repu", "activation.p=2"),
    "ReLU": ("activation=relu",),
    "tanh": ("activation=tanh",),
    "identity": ("activation=identity",),
}
REPU, LINEAR = "RePU 2", "identity"
BLOCKS: dict[str, tuple[str, ...]] = {
    "RMSNorm": ("block.norm=rms",),
    "LayerNorm": ("block.norm=layer",),
    "skips and RMSNorm": ("block=residual", "block.branch=auto", "block.norm=rms"),
    "skips and frozen scales": ("block=residual", "block.branch=auto", "block.scalar=true"),
    "ReZero": ("block=residual", "block.branch=rezero"),
}
TASKS: dict[str, tuple[str, ...]] = {"XOR": ("task=xor",), "digits": ("task=digits",)}
MARGIN = 0.1  # above the median of the identity's networks
# Settings are chosen on another split, in other batches, with other networks than they are judged on.
TUNING_SEED = 1000


@dataclass(frozen=True)
class Case:
    """What is tried: a task, a block, an activation, a depth."""

    task: str
    block: str
    activation: str
    depth: int

    @property
    def overrides(self) -> tuple[str, ...]:
        """Return it as a command line does."""
        return (*TASKS[self.task], *BLOCKS[self.block], *ACTIVATIONS[self.activation], f"depth={self.depth}")


@dataclass(frozen=True)
class Budget:
    """What every case gets: the rates tried, on how many networks; the splits and networks by which it is judged."""

    rates: Sequence[str]
    tuning_members: int
    splits: int
    members: int
    sizes: tuple[str, ...]

    def __str__(self) -> str:
        """Say the budget in words."""
        width, batch, steps = (text.partition("=")[2] for text in self.sizes)
        return (
            f"width {width}, batches of {batch}, {steps} steps of Adam; the rate of {', '.join(self.rates)} with the "
            f"best median on the validation split ({self.tuning_members} networks each) judged on the test splits of "
            f"{self.splits} other divisions of the data, by {self.members} fresh networks each"
        )


@dataclass(frozen=True)
class Judged:
    """What became of a case: the rate that was chosen, and the fresh networks."""

    rate: str
    runs: Sequence[Trained]

    @property
    def metrics(self) -> list[float]:
        """The test metric of each network, 0 where there is none."""
        return [member["metric"] or 0.0 for run in self.runs for member in run.members]

    @property
    def metric(self) -> float:
        """Their median."""
        return float(np.median(self.metrics))

    def above(self, bound: float) -> Interval:
        """Return the share of the networks whose metric is at least the bound."""
        return wilson(sum(metric >= bound for metric in self.metrics), len(self.metrics))


def budget(lab: Lab) -> Budget:
    """Return the budget of this scale."""
    return lab.choose(
        smoke=Budget(("1e-3",), 1, 1, 4, ("width=32", "batch_size=64", "steps=300")),
        full=Budget(("7e-4", "2e-3"), 2, 3, 4, ("width=64", "batch_size=64", "steps=400")),
    )


def cases(tasks: Sequence[str], blocks: Sequence[str], activations: Sequence[str], depths: Sequence[int]) -> list[Case]:
    """Return all of these, the deepest first: what takes longest should not be waited for at the end."""
    return [
        Case(task, block, activation, depth)
        for depth in sorted(depths, reverse=True)
        for task, block, activation in product(tasks, blocks, activations)
    ]


def judge(lab: Lab, wanted: Sequence[Case], given: Budget) -> dict[Case, Judged]:
    """Tune every case on the validation split and train fresh networks at its best rate."""
    common = (*given.sizes, "statistics=false")
    places = list(product(wanted, given.rates))
    tuned = dict(zip(places, lab.train([
        (*case.overrides, *common, f"optimizer.lr={rate}", f"members={given.tuning_members}", f"seed={TUNING_SEED}",
         f"data_seed={TUNING_SEED}")
        for case, rate in places
    ]), strict=True))  # fmt: skip
    lab.progress(0.4)
    best = {case: max(given.rates, key=lambda rate: validated(tuned[case, rate])) for case in wanted}
    places = list(product(wanted, range(given.splits)))
    fresh = dict(zip(places, lab.train([
        (*case.overrides, *common, f"optimizer.lr={best[case]}", f"members={given.members}",
         f"seed={split * given.members}", f"data_seed={split}")
        for case, split in places
    ]), strict=True))  # fmt: skip
    lab.progress(1.0)
    return {case: Judged(best[case], [fresh[case, split] for split in range(given.splits)]) for case in wanted}


def validated(run: Trained) -> float:
    """Return the median metric of a run on the validation split, 0 for a network that has none."""
    return float(np.median([member["validation_metric"] or 0.0 for member in run.members]))


def bar(found: Mapping[Case, Judged], case: Case, criterion: float) -> float:
    """Return what a network of a case must reach: the task's criterion, and MARGIN above the linear baseline."""
    linear = found[Case(case.task, case.block, LINEAR, case.depth)]
    return max(criterion, linear.metric + MARGIN)
