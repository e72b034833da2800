"""Tune, choose, judge: settings are tried by a few networks, the best one is judged by others.

The best has the largest median metric on the validation split; what is judged is of the test split, which no choice has
seen, of networks drawn from other seeds, on other divisions of the data.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from repu_lab.claims.lab import Lab, Trained
from repu_lab.claims.statistics import Array, Interval, median_interval, wilson

Overrides = tuple[str, ...]
Setting = tuple[Any, ...]  # what is tried: (initialization, rate), or (how far a lever is pulled, rate)
Records = Sequence[Mapping[str, Any]]  # of networks, as result.json has them
Measure = Callable[[Records], Array]  # a number of each network
Entrant = TypeVar("Entrant", bound=Hashable)

TUNING_SEED = 1000
AT_ENDS = "looks=ends"  # looks along a run take 14 to 48 % of its time, and few claims draw them
# Metrics are at most 1, errors relative to the target's size. What is worse than -1 or 1, or no number, counts as that:
# how much worse a network is than the answer 0 means nothing.
WORST = 1.0


@dataclass(frozen=True)
class Tuned:
    """An entrant at the best of the settings it tried: fresh networks, a run for each division of the data.

    validation: what it was chosen by, the median metric of the networks that tried it; of the fresh ones where there
    was one setting and no choice.
    """

    setting: Setting
    fresh: Sequence[Trained]
    validation: float

    @property
    def records(self) -> Records:
        """The fresh networks of all divisions."""
        return [member for run in self.fresh for member in run.members]

    @property
    def sharing(self) -> int:
        """How many of the fresh networks share a division of the data."""
        return len(self.fresh[0].members)

    @property
    def trained(self) -> Interval:
        """The share of the fresh networks that met the task's criterion."""
        return share(self.records, "trained", self.sharing)

    @property
    def metric(self) -> float:
        """The median test metric of the fresh networks."""
        return float(np.median(metrics(self.records)))

    def median(self, measure: Measure) -> Interval:
        """Return the median of a measure of the fresh networks; no accuracy or error is larger than 1.

        The interval is widened for networks that share a division of the data, but not beyond what the measure can be.
        """
        values = measure(self.records)
        estimate, low, high = median_interval(values, sharing=self.sharing)
        return Interval(estimate, max(low, min(0.0, float(values.min()))), min(high, 1.0))

    def reached(self, bar: float, *, chances: int = 1) -> Interval:
        """Return the share of the fresh networks whose test metric is at least the bar; chances: see `wilson`."""
        reached = metrics(self.records) >= bar
        return wilson(int(reached.sum()), len(reached), chances=chances, sharing=self.sharing)


def tuned(
    lab: Lab,
    entrants: Mapping[Entrant, Mapping[Setting, Overrides]],
    *,
    tuning_members: int,
    members: int,
    splits: int = 1,
    tuning: Overrides = (),
    judging: Overrides = (),
    tuning_share: float = 0.6,
    part: tuple[float, float] = (0.0, 1.0),
) -> dict[Entrant, Tuned]:
    """Try the settings of every entrant that has several, then train fresh networks at the best one.

    entrants: settings and the command line of each; those that take longest first, so that none is waited for at the
    end. splits: divisions of the data on which `members` networks each are judged. tuning, judging: overrides of that
    stage alone; tuning_share: of its time; part: from which to which share of the claim's time it runs.
    """
    several = {entrant: settings for entrant, settings in entrants.items() if len(settings) > 1}
    tries = [(entrant, setting) for entrant, settings in several.items() for setting in settings]
    few = (f"members={tuning_members}", f"seed={TUNING_SEED}", f"data_seed={TUNING_SEED}", AT_ENDS, *tuning)
    runs = lab.train([(*entrants[entrant][setting], *few) for entrant, setting in tries])
    lab.progress(part[0] + tuning_share * (part[1] - part[0]))
    merit = {place: validated(run) for place, run in zip(tries, runs, strict=True)}
    best = {entrant: next(iter(settings)) for entrant, settings in entrants.items()}
    best |= {
        entrant: max(settings, key=lambda setting: merit[entrant, setting]) for entrant, settings in several.items()
    }
    draws = [(f"members={members}", f"seed={split * members}", f"data_seed={split}") for split in range(splits)]
    runs = lab.train([(*entrants[entrant][best[entrant]], *judging, *draw) for entrant in best for draw in draws])
    lab.progress(part[1])
    fresh = {entrant: runs[i * splits : (i + 1) * splits] for i, entrant in enumerate(best)}
    return {
        entrant: Tuned(setting, fresh[entrant], merit.get((entrant, setting), validated(*fresh[entrant])))
        for entrant, setting in best.items()
    }


def validated(*runs: Trained) -> float:
    """Return what settings are chosen by: the median metric of the networks of runs on the validation split."""
    values = [member["validation_metric"] for run in runs for member in run.members]
    return float(np.median([-WORST if metric is None else max(metric, -WORST) for metric in values]))


def metrics(records: Records) -> Array:
    """Return the test metric of each network, 0 where there is none."""
    return np.array([member["metric"] or 0.0 for member in records])


def misclassified(records: Records) -> Array:
    """Return the share of test examples that each network gets wrong."""
    return 1 - metrics(records)


def relative(measure: str) -> Measure:
    """Return the errors of a measure relative to its target's size; what is larger or not finite counts as WORST."""

    def errors(records: Records) -> Array:
        values = [member["measures"][measure] for member in records]
        return np.array([WORST if value is None else min(value, WORST) for value in values])

    return errors


relative_l2, relative_h1 = relative("relative_l2"), relative("relative_h1")


def share(records: Records, outcome: str, sharing: int = 1) -> Interval:
    """Return the share of the networks that ended so; sharing: see `wilson`."""
    return wilson(sum(member["outcome"] == outcome for member in records), len(records), sharing=sharing)
