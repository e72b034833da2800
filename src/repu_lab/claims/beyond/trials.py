"""The runs behind claim 15: every rung tuned and judged, the smallest changes driven deeper."""

from collections.abc import Mapping
from functools import partial
from itertools import product

from repu_lab.claims.beyond.ladder import RUNGS, SETTINGS, Rung, pulled, settings
from repu_lab.claims.contest import ACTIVATIONS, LINEAR
from repu_lab.claims.lab import Lab, Trained
from repu_lab.claims.statistics import Interval
from repu_lab.claims.trials import Judged, Overrides, hold

POWERS = (1, 2)
USUAL = ("tanh", "ReLU", LINEAR)  # what the price is measured against
USUAL_RATES = ("1e-3", "3e-4", "1e-4")
SILENT = ("statistics=false",)

RungAtPower = tuple[Rung, int]
Ladder = Mapping[RungAtPower, Judged[tuple[float, ...]]]
Usual = Mapping[str, Judged[str]]  # their setting is the rate
Best = Mapping[int, Rung | None]  # the smallest change that works, by power
RungShares = Mapping[RungAtPower, Interval]  # of the fresh networks that count


def judge_all(lab: Lab, depth: int) -> tuple[Ladder, Usual]:
    """Return every rung at its best setting and the usual activations at their best rate."""
    held = partial(hold, lab, tuning_members=lab.choose(smoke=1, full=2), splits=splits(lab))
    ladder: dict[RungAtPower, Judged[tuple[float, ...]]] = {}
    for levers, part in (((0, 1), (0.0, 0.4)), ((2,), (0.4, 0.8))):
        rungs = [rung for rung in RUNGS if len(rung) in levers]
        entrants = {
            (rung, p): {
                setting: (*pulled(rung, setting, p, depth).overrides, *sizes(lab))
                for setting in settings(rung, budget(lab))
            }
            for rung, p in product(rungs, POWERS)
        }
        ladder |= held(entrants, members=members(lab, max(levers)), tuning=SILENT, part=part)
    rates = {
        name: {
            rate: (
                *ACTIVATIONS[name],
                f"optimizer.lr={rate}",
                "initialization=critical",
                f"depth={depth}",
                *sizes(lab),
                *SILENT,
            )
            for rate in USUAL_RATES[: budget(lab)]
        }
        for name in USUAL
    }
    return ladder, held(rates, members=members(lab, 2), part=(0.8, 0.9))


def go_deeper(lab: Lab, ladder: Ladder, best: Best, depth: int) -> dict[int, Trained]:
    """Return fresh networks of more layers for the smallest change of each power, at the setting found."""
    jobs = {
        p: (*pulled(rung, ladder[rung, p].setting, p, depth).overrides, *sizes(lab), *SILENT, f"members={lab.seeds}")
        for p, rung in best.items()
        if rung is not None
    }
    return dict(zip(jobs, lab.train(list(jobs.values())), strict=True)) if jobs else {}


def sizes(lab: Lab) -> Overrides:
    """Return the task and the sizes that all networks share."""
    return lab.choose(
        smoke=("task=xor", "width=32", "batch_size=64", "steps=200"),
        full=("task=xor", "width=64", "batch_size=64", "steps=400"),
    )


def budget(lab: Lab) -> int:
    """Return how many settings of a rung are tried."""
    return lab.choose(smoke=2, full=SETTINGS)


def members(lab: Lab, levers: int) -> int:
    """Return how many fresh networks judge a rung on a division of the data; one lever decides, so that gets more."""
    return lab.choose(smoke=10, full=6) if levers <= 1 else lab.choose(smoke=3, full=4)


def splits(lab: Lab) -> int:
    """Return the number of divisions of the data on which a setting is judged."""
    return lab.choose(smoke=1, full=3)
