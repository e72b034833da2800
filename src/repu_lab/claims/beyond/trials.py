"""The runs behind claim 15: every rung tuned and judged, the smallest changes driven deeper and on a curve."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from repu_lab.claims.beyond.ladder import RUNGS, SETTINGS, Network, Rung, named, pulled, settings
from repu_lab.claims.lab import Lab, Trained
from repu_lab.claims.statistics import Interval
from repu_lab.claims.training.tuning import TUNING_SEED, merit, share

POWERS = (1, 2)
# What the price is measured against; identity shows what a network does that stays linear.
USUAL = {"tanh": "tanh", "ReLU": "relu", "identity": "identity"}
USUAL_RATES = ("1e-3", "3e-4", "1e-4")
# Digits are learnt by a linear network too; of x^2 that explains nothing.
CURVED = ("task=polynomial", "task.target=x2")

Place = tuple[Rung, int]
Best = Mapping[int, Rung | None]  # the smallest change that works, by power
Curved = Mapping[tuple[str, int | None, str], Trained]  # by change, power and setting


@dataclass(frozen=True)
class Judged:
    """A rung for one power at its best setting, and the fresh networks there."""

    setting: tuple[float, ...]
    network: Network
    fresh: Trained

    @property
    def trained(self) -> Interval:
        """The share of the fresh networks that trained."""
        return share([self.fresh], "trained")


def judge_all(lab: Lab, depth: int) -> tuple[dict[Place, Judged], dict[str, Trained]]:
    """Return every rung at its best setting and the usual activations at their best rate."""
    tried = [(rung, p, setting) for rung in reversed(RUNGS) for p in POWERS for setting in settings(rung, budget(lab))]
    rates = [(name, rate) for name in USUAL for rate in USUAL_RATES[: budget(lab)]]
    jobs = [pulled(rung, setting, p, depth).overrides for rung, p, setting in tried]
    jobs += [_usual(name, rate, depth) for name, rate in rates]
    tuning = (*common(lab), "statistics=false", f"members={tuners(lab)}", f"seed={TUNING_SEED}")
    runs = lab.train([(*job, *tuning) for job in jobs])
    lab.progress(0.5)
    merits = {place: merit(run) for place, run in zip([*tried, *rates], runs, strict=True)}
    places = [(rung, p) for rung in RUNGS for p in POWERS]
    best = {place: max(settings(place[0], budget(lab)), key=lambda s: merits[(*place, s)]) for place in places}
    rate = {name: max(USUAL_RATES[: budget(lab)], key=lambda rate: merits[name, rate]) for name in USUAL}
    chosen = {place: pulled(place[0], best[place], place[1], depth) for place in places}
    fresh = lab.train([
        *((*network.overrides, *common(lab), f"members={members(lab, rung)}")
          for (rung, _), network in chosen.items()),
        *((*_usual(name, rate[name], depth), *common(lab), "statistics=false", f"members={lab.seeds}")
          for name in USUAL),
    ])  # fmt: skip
    lab.progress(0.9)
    judged = {place: Judged(best[place], chosen[place], run) for place, run in zip(places, fresh, strict=False)}
    return judged, dict(zip(USUAL, fresh[len(places) :], strict=True))


def go_deeper(lab: Lab, judged: Mapping[Place, Judged], best: Best, depth: int) -> dict[int, Trained]:
    """Return fresh networks of more layers for the smallest change of each power, at the setting found."""
    places = [(rung, p) for p, rung in best.items() if rung is not None]
    runs = lab.train([
        (*pulled(rung, judged[rung, p].setting, p, depth).overrides, *common(lab), "statistics=false",
         f"members={lab.seeds}")
        for rung, p in places
    ]) if places else []  # fmt: skip
    return {p: run for (_, p), run in zip(places, runs, strict=True)}


def learn_a_curve(
    lab: Lab, judged: Mapping[Place, Judged], usual: Mapping[str, Trained], best: Best
) -> dict[tuple[str, int | None, str], Trained]:  # fmt: skip
    """Return networks that learn x^2: every setting of the smallest changes, the usual activations at their rate."""
    depth = next(iter(judged.values())).network.depth
    jobs: dict[tuple[str, int | None, str], tuple[str, ...]] = {
        (named(rung), p, told(setting)): pulled(rung, setting, p, depth).overrides
        for p, rung in best.items() if rung is not None for setting in settings(rung, budget(lab))
    }  # fmt: skip
    if jobs:
        jobs |= {
            (name, None, rate_of(usual[name])): _usual(name, rate_of(usual[name]), depth) for name in ("tanh", "ReLU")
        }
    sizes = (*CURVED, *common(lab)[1:], "statistics=false", f"members={lab.seeds}")
    runs = lab.train([(*job, *sizes) for job in jobs.values()]) if jobs else []
    return dict(zip(jobs, runs, strict=True))


def _usual(name: str, rate: str, depth: int) -> tuple[str, ...]:
    return f"activation={USUAL[name]}", f"optimizer.lr={rate}", "initialization=critical", f"depth={depth}"


def rate_of(run: Trained) -> str:
    """Return the learning rate of a run as typed."""
    return dict(text.split("=", 1) for text in run.overrides)["optimizer.lr"]


def common(lab: Lab) -> tuple[str, ...]:
    """Return the task and the sizes that all networks share."""
    return lab.choose(
        smoke=("task=digits", "width=32", "batch_size=64", "steps=100"),
        full=("task=digits", "width=64", "batch_size=64", "steps=300"),
    )


def budget(lab: Lab) -> int:
    """Return how many settings of a rung are tried."""
    return lab.choose(smoke=2, full=SETTINGS)


def members(lab: Lab, rung: Rung) -> int:
    """Return how many fresh networks judge a rung; the verdict is about one change, so that gets more of them."""
    return lab.choose(smoke=6, full=16) if len(rung) <= 1 else lab.seeds


def tuners(lab: Lab) -> int:
    """Return how many networks try a setting."""
    return lab.choose(smoke=1, full=2)


def told(setting: Sequence[float]) -> str:
    """Return `0.15, 0.0003`: how far the levers are pulled."""
    return ", ".join(f"{value:g}" for value in setting)
