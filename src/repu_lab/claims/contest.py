"""Contests of activations: each gets the same settings and the same number of networks in every case."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from repu_lab.claims.base import Cell, Table
from repu_lab.claims.lab import Lab
from repu_lab.claims.statistics import Array, Comparison, Interval, paired_test
from repu_lab.claims.trials import AT_ENDS, Measure, Overrides, Setting, Tuned, metrics, tuned

# small: MRePU's critical variances near K = 0, at any depth. biased: RePU's stable fixed point, whose signal neither
# explodes nor vanishes, but forgets its input.
INITIALIZATIONS: dict[str, Overrides] = {
    "critical": ("initialization=critical",),
    "small": ("initialization=custom", "initialization.c_w=1", "initialization.k1=1e-4"),
    "pytorch": ("initialization=pytorch",),
    "he": ("initialization=he",),
    "biased": ("initialization=custom", "initialization.c_w=0.5", "initialization.c_b=0.1", "initialization.k1=0.2"),
}
ACTIVATIONS: dict[str, Overrides] = {
    "RePU 2": ("activation=repu", "activation.p=2"),
    "RePU 3": ("activation=repu", "activation.p=3"),
    "RePU 2 of z + 4": ("activation=repu", "activation.p=2", "activation.shift=4"),
    "MRePU 1": ("activation=mrepu", "activation.p=1"),
    "MRePU 2": ("activation=mrepu", "activation.p=2"),
    "MRePU 3": ("activation=mrepu", "activation.p=3"),
    "ReLU": ("activation=relu",),
    "GELU": ("activation=gelu",),
    "tanh": ("activation=tanh",),
    "spline RePU 2": ("activation=spline_repu", "activation.p=2"),
    "spline RePU 3": ("activation=spline_repu", "activation.p=3"),
    "skew spline": ("activation=spline_repu", "activation.p=3", "activation.shift=0.4411"),
    "wide spline": ("activation=spline_repu", "activation.p=2", "activation.plateau=4"),
    "one-sided spline": ("activation=spline_repu", "activation.p=2", "activation.plateau=8", "activation.shift=-2"),
    "identity": ("activation=identity",),
    **{
        f"{name}, {kind}": (f"activation={activation}", f"activation.p={p}", f"tailor={kind}")
        for name, activation, p, kind in (
            ("MRePU 1", "mrepu", 1, "dks"),
            ("MRePU 2", "mrepu", 2, "dks"),
            ("MRePU 2", "mrepu", 2, "tat"),
            ("RePU 2", "repu", 2, "shift"),
            ("RePU 2", "repu", 2, "tat"),
        )
    },
}
# A deep network that computes something linear passes many a task: on the digits 50 layers of the identity do. So what
# shall show depth has the identity beside it, and counts only above the identity's median by a margin.
LINEAR, MARGIN = "identity", 0.1
CRITERION = 0.7  # of accuracy on XOR: linear networks end near chance, .25, those that learn it above .8
XOR = "XOR, the signs of x_1 x_2 and x_3 x_4 as four classes"
COUNTS = f"A network counts if its accuracy is {CRITERION:g} and {MARGIN:g} above the best median of the identity."
ORTHOGONAL = "orthogonal weights"
Curves = dict[str, dict[str, dict[int, Interval]]]  # case's name -> activation -> depth


@dataclass(frozen=True)
class Grid:
    """The settings that every activation tries in every case, and by how many networks each is tried and judged."""

    initializations: Sequence[str]
    rates: Sequence[str]
    tuning_members: int
    members: int
    splits: int = 1

    @property
    def settings(self) -> list[Setting]:
        """Every pair of an initialization and a learning rate."""
        return list(product(self.initializations, self.rates))

    @property
    def fresh(self) -> int:
        """How many fresh networks judge a case, on all divisions of the data."""
        return self.splits * self.members

    def __str__(self) -> str:
        """Say the budget in words."""
        splits = f" on each of {self.splits} divisions of the data" if self.splits > 1 else ""
        settings = f"({', '.join(self.initializations)}; Adam at {', '.join(self.rates)})"
        if len(self.settings) == 1:
            return f"one setting {settings}, judged by {self.members} networks{splits} on the test split"
        return (
            f"{len(self.settings)} settings {settings} tried on {self.tuning_members} "
            f"network{'s' * (self.tuning_members > 1)} each, the best on the validation split judged by {self.members} "
            f"fresh ones{splits} on the test split"
        )


@dataclass(frozen=True)
class Case:
    """What is to be learnt: a name, the depth of the networks, and the overrides that say the rest."""

    name: str
    depth: int
    overrides: Overrides = ()

    @property
    def orthogonal(self) -> "Case":
        """The same of networks whose weights are orthogonal."""
        overrides = (*self.overrides, "initialization.weights=orthogonal")
        return replace(self, name=f"{self.name}, {ORTHOGONAL}", overrides=overrides)

    @property
    def training(self) -> str:
        """Its networks and their training in words, `width 64, batches of 128, 400 steps of Adam`."""
        key = dict(text.split("=", 1) for text in self.overrides)
        return f"width {key['width']}, batches of {key['batch_size']}, {key['steps']} steps of Adam"

    def allows(self, setting: Setting) -> bool:
        """Return whether the setting's initialization draws such weights: PyTorch's draws no orthogonal ones."""
        return ORTHOGONAL not in self.name or setting[0] != "pytorch"


Place = tuple[str, Case]  # an activation, what it learns


class Entries(dict[Place, Tuned]):
    """What each activation came to in each case."""

    def counting(self, *, chances: int = 1) -> dict[Place, Interval]:
        """Return the share of the fresh networks that count: at CRITERION, and MARGIN above the linear baseline.

        That is the best median of the identity in cases of the same name: in a shallow one it is a linear model.
        chances: see `wilson`.
        """
        bars: dict[str, float] = {}
        for (name, case), entry in self.items():
            if name == LINEAR:
                bars[case.name] = max(CRITERION, entry.metric + MARGIN, bars.get(case.name, CRITERION))
        return {place: entry.reached(bars[place[1].name], chances=chances) for place, entry in self.items()}

    def ahead(self, name: str, rival: str, at: Case, chances: int = 1) -> Comparison:
        """Compare two activations by their test metrics in a case, paired by seed and division."""
        first, second = self[name, at], self[rival, at]
        return paired_test(metrics(first.records), metrics(second.records), chances=chances, sharing=first.sharing)

    def medians(self, names: Iterable[str], at: Case) -> dict[str, float]:
        """Return the median metric of each activation in a case."""
        return {name: self[name, at].metric for name in names}

    def pooled(self, names: Sequence[str], cases: Sequence[Case], measure: Measure) -> dict[str, Array]:
        """Return a measure of each activation's fresh networks in all cases, (cases, seeds)."""
        return {name: np.stack([measure(self[name, case].records) for case in cases]) for name in names}

    def curves(self, names: Sequence[str], cases: Sequence[Case], measure: Measure) -> Curves:
        """Return the medians of a measure as curves against depth."""
        by_name: Curves = {case.name: {name: {} for name in names} for case in sorted(cases, key=lambda at: at.depth)}
        for case, name in product(sorted(cases, key=lambda at: at.depth), names):
            by_name[case.name][name][case.depth] = self[name, case].median(measure)
        return by_name

    def points(self, names: Sequence[str], at: Case) -> dict[str, list[float]]:
        """Return the test metrics of each activation's fresh networks in a case, to be drawn: at least -.1."""
        there = [name for name in names if (name, at) in self]
        return {name: np.maximum(metrics(self[name, at].records), -0.1).tolist() for name in there}

    def counted_table(self, metric: str = "accuracy", shares: Mapping[Place, Interval] | None = None) -> Table:
        """Return the share of each case and activation's fresh networks that count, and their median metric."""
        return self.table({metric: metrics}, f"share that counts and median {metric}", shares or self.counting())

    def table(
        self, measures: Mapping[str, Measure], caption: str, shares: Mapping[Place, Interval] | None = None
    ) -> Table:
        """Return a row for each case and activation: setting, share of the fresh networks, medians of measures.

        shares: of the networks that count; those that trained if it is left out.
        """
        rows: list[list[Cell]] = []
        for place, entry in sorted(self.items(), key=lambda item: (item[0][1].name, item[0][1].depth)):
            name, case = place
            share = entry.trained if shares is None else shares[place]
            medians = [cell for measure in measures.values() for cell in entry.median(measure)]
            rows.append([case.name, case.depth, name, *entry.setting, *share, *medians])
        columns = ["trained" if shares is None else "share", *measures]
        return Table(
            caption=f"""Fresh networks at the best setting: {caption}; shares with their 95 % Wilson interval, medians
                with their 95 % bootstrap interval.""",
            columns=(
                *("case", "depth", "activation", "initialization", "rate"),
                *(name for column in columns for name in (column, "low", "high")),
            ),
            rows=rows,
        )


def contest(lab: Lab, places: Iterable[Place], grid: Grid, judging: Overrides = (AT_ENDS,), **stages: Any) -> Entries:
    """Let activations try the grid in cases, (activation, case) each; judging, stages: what else `tuned` takes."""
    entrants = {
        (name, case): {setting: _overrides(name, case, setting) for setting in grid.settings if case.allows(setting)}
        for name, case in sorted(places, key=lambda place: -place[1].depth)
    }
    budget = {"tuning_members": grid.tuning_members, "members": grid.members, "splits": grid.splits}
    return Entries(tuned(lab, entrants, judging=judging, **budget, **stages))


def _overrides(name: str, case: Case, setting: Setting) -> Overrides:
    initialization, rate = setting
    network = (*ACTIVATIONS[name], f"depth={case.depth}", *INITIALIZATIONS[initialization])
    return (*network, f"optimizer.lr={rate}", *case.overrides, "statistics=false")


def sizes(lab: Lab, task: str = "digits") -> Overrides:
    """Return the overrides that the training claims share: the task, the size of the networks and their training."""
    return lab.choose(
        smoke=(f"task={task}", "width=32", "batch_size=64", "steps=100"),
        full=(f"task={task}", "width=64", "batch_size=64", "steps=400"),
    )


def deep_grid(lab: Lab) -> Grid:
    """Return the budget of the claims on plain networks of 50 layers and more: from `critical`, a rate to choose."""
    return lab.choose(
        smoke=Grid(("critical",), ("1e-3",), 1, 6),
        full=Grid(("critical",), ("3e-5", "1e-4", "3e-4", "1e-3"), 2, 4, splits=3),
    )


def learning_curves(entries: Mapping[str, Tuned], measure: Callable[[Array], Array]) -> dict[str, tuple[Array, Array]]:
    """Return steps (S,) and quartiles (3, S) of a measure of the fresh networks' test metrics (S, networks).

    From the first step on, as far as there is a network that trains.
    """
    curves: dict[str, tuple[Array, Array]] = {}
    for name, entry in entries.items():
        tables = [run.statistics for run in entry.fresh]
        last = min(len(table["step"]) for table in tables)
        values = measure(np.concatenate([table["test_metric"][1:last] for table in tables], axis=1))
        curves[name] = (tables[0]["step"][1:last], np.quantile(values, (0.25, 0.5, 0.75), axis=1))
    return curves
