"""A contest of activations: the same tuning budget for each, judged by the errors of fresh networks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from repu_lab.claims.base import Cell, Table
from repu_lab.claims.lab import Lab, Trained
from repu_lab.claims.statistics import LEVEL, Comparison, Interval, median_interval, paired_test, wilson
from repu_lab.claims.training.tuning import ACTIVATIONS, INITIALIZATIONS, TUNING_SEED, Grid
from repu_lab.claims.verdicts import Verdict

Array = NDArray[np.float64]
Errors = Callable[[Trained], Array]

CONTESTANTS: dict[str, tuple[str, ...]] = {
    **ACTIVATIONS,
    "MRePU 3": ("activation=mrepu", "activation.p=3"),
    "spline RePU 2": ("activation=spline_repu", "activation.p=2"),
    "spline RePU 3": ("activation=spline_repu", "activation.p=3"),
    "skew spline": ("activation=spline_repu", "activation.p=3", "activation.shift=0.4411"),
    "wide spline": ("activation=spline_repu", "activation.p=2", "activation.plateau=4"),
    "one-sided spline": ("activation=spline_repu", "activation.p=2", "activation.plateau=8", "activation.shift=-2"),
    "identity": ("activation=identity",),
}
# An error relative to the size of the target above 1 is worse than the answer 0; how much worse means nothing.
WORST = 1.0


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is to be learnt: a name, the depth of the networks, and the overrides that say the rest."""

    name: str
    depth: int
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """How one activation did in one case: its best setting and the fresh networks at it."""

    setting: tuple[str, str]
    fresh: Trained

    @property
    def trained(self) -> Interval:
        """The share of fresh networks that met the task's criterion."""
        return wilson(sum(member["outcome"] == "trained" for member in self.fresh.members), len(self.fresh.members))


Entries = Mapping[tuple[str, Case], Entry]


def hold(
    lab: Lab, names: Sequence[str], cases: Sequence[Case], grid: Grid, *,
    tuning: Sequence[str] = (), judging: Sequence[str] = (), tuning_share: float = 0.6,
    part: tuple[float, float] = (0.0, 1.0),
) -> dict[tuple[str, Case], Entry]:  # fmt: skip
    """Try every setting of the grid for every activation and case, then train fresh networks at the best one.

    The best has the largest median metric on the validation split, which no error is judged on. tuning, judging:
    overrides of that stage alone; tuning_share: of its time; part: from which to which share of the claim's time it
    runs.
    """
    hardest = sorted(cases, key=lambda case: -case.depth)  # what takes longest shall not be waited for at the end
    places = [(name, case, setting) for case in hardest for name in names for setting in grid.settings]
    tried = lab.train([
        (*_overrides(*place), *tuning, f"members={grid.tuning_members}", f"seed={TUNING_SEED}") for place in places
    ])  # fmt: skip
    lab.progress(part[0] + tuning_share * (part[1] - part[0]))
    median = {place: float(np.median(validated(run))) for place, run in zip(places, tried, strict=True)}
    best = {
        (name, case): max(grid.settings, key=lambda setting: median[name, case, setting])
        for name, case in dict.fromkeys((name, case) for name, case, _ in places)
    }
    fresh = lab.train([
        (*_overrides(name, case, setting), *judging, f"members={grid.members}")
        for (name, case), setting in best.items()
    ])  # fmt: skip
    lab.progress(part[1])
    return {place: Entry(best[place], run) for place, run in zip(best, fresh, strict=True)}


def _overrides(name: str, case: Case, setting: tuple[str, str]) -> tuple[str, ...]:
    initialization, rate = setting
    network = (*CONTESTANTS[name], f"depth={case.depth}", *INITIALIZATIONS[initialization])
    return (*network, f"optimizer.lr={rate}", *case.overrides, "statistics=false")


def relative(measure: str) -> Errors:
    """Return the errors of a measure relative to its target's size; what is larger or not finite counts as WORST."""

    def errors(run: Trained) -> Array:
        found = [member["measures"][measure] for member in run.members]
        return np.array([WORST if error is None else min(error, WORST) for error in found])

    return errors


relative_l2, relative_h1 = relative("relative_l2"), relative("relative_h1")


def validated(run: Trained) -> Array:
    """Return each network's metric on the validation split, -1 where it is none or worse: as bad as they come."""
    found = [member["validation_metric"] for member in run.members]
    return np.array([-WORST if metric is None else max(metric, -WORST) for metric in found])


def misclassified(run: Trained) -> Array:
    """Return the share of test examples that each network gets wrong."""
    return np.array([1 - (member["metric"] or 0.0) for member in run.members])


def pooled(entries: Entries, name: str, cases: Sequence[Case], errors: Errors) -> Array:
    """Return an activation's errors on the fresh networks of all cases, (cases, seeds)."""
    return np.stack([errors(entries[name, case].fresh) for case in cases])


def decades(
    errors: Mapping[str, Array], champions: Sequence[str], rivals: Sequence[str],
    test: Callable[[Array, Array], Comparison] = paired_test,
) -> dict[str, dict[str, Comparison]]:  # fmt: skip
    """Compare log10 of each champion's errors with those of each rival: champion -> rival -> comparison.

    errors: name -> (seeds,) or (cases, seeds), of which the mean over the cases is compared. Networks of one seed start
    from the same first weights at every depth, and those of one case share its data: seeds alone are independent, and
    as many pairs as cases times seeds would make a p-value that is too small.
    """
    log10 = {name: np.log10(np.atleast_2d(errors[name])).mean(0) for name in (*champions, *rivals)}
    return {one: {rival: test(log10[one], log10[rival]) for rival in rivals} for one in champions}


def champion(comparisons: Mapping[str, Mapping[str, Comparison]], *, ahead: int = 0) -> Verdict:
    """Say whether a champion, of several, has smaller errors than all rivals but `ahead` of them.

    Each win counts at level 5 % divided by the number of champions, which have as many chances to be supported; each
    loss at 5 % divided by the number of rivals, as many chances to be refuted. Supported if one champion wins as often
    as that takes, refuted if each loses more than `ahead` times, else inconclusive.
    """
    level = 1 - LEVEL
    wins = [
        sum(c.p_value < level / len(comparisons) and c.difference.estimate < 0 for c in against.values())
        for against in comparisons.values()
    ]
    losses = [
        sum(c.p_value < level / len(against) and c.difference.estimate > 0 for c in against.values())
        for against in comparisons.values()
    ]
    if any(won >= len(against) - ahead for won, against in zip(wins, comparisons.values(), strict=True)):
        return Verdict.SUPPORTED
    return Verdict.REFUTED if all(lost > ahead for lost in losses) else Verdict.INCONCLUSIVE


def in_order(errors: Mapping[str, Array]) -> list[str]:
    """Return the names from the smallest to the largest median error."""
    return sorted(errors, key=lambda name: float(np.median(errors[name])))


def standing(errors: Mapping[str, Array], digits: str = ".2g") -> str:
    """Return `GELU 0.012, tanh 0.03`: median errors, the smallest first."""
    return ", ".join(f"{name} {np.median(errors[name]):{digits}}" for name in in_order(errors))


def comparison_table(
    comparisons: Mapping[str, Mapping[str, Comparison]], caption: str, *, over: str = "seeds"
) -> Table:
    """Return a row for each champion and rival: the ratio of their errors with its interval, p-value and effect.

    over: what the comparison's sample consists of.
    """
    return Table(
        caption=f"{caption} Ratio: median over {over}, 95 % interval; effect: share of {over} for which the first "
        "one's error is the larger.",
        columns=("activation", "against", "ratio of errors", "low", "high", "p", "effect"),
        rows=[
            [one, rival, *(10.0**bound for bound in found.difference), found.p_value, found.effect]
            for one, against in comparisons.items()
            for rival, found in against.items()
        ],
    )


def case_rows(entries: Entries, measures: Mapping[str, Errors]) -> list[list[Cell]]:
    """Return case, depth, activation, setting, share trained, then the median of each measure and its interval."""
    rows: list[list[Cell]] = []
    for (name, case), entry in sorted(entries.items(), key=lambda item: (item[0][1].name, item[0][1].depth)):
        found = [median_interval(errors(entry.fresh)) for errors in measures.values()]
        rows.append([case.name, case.depth, name, *entry.setting, entry.trained.estimate,
                     *(bound for interval in found for bound in interval)])  # fmt: skip
    return rows
