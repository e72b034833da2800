"""Claim 8: what fails first, the forward signal, the gradient, or the size of the step."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from repu_lab.claims.base import Cell, Claim, Evidence, Picture, Table
from repu_lab.claims.contest import ACTIVATIONS, sizes
from repu_lab.claims.lab import Lab, Trained
from repu_lab.claims.statistics import Interval, wilson
from repu_lab.claims.verdicts import Verdict, above
from repu_lab.figures.bars import first_failures
from repu_lab.runs.outcome import EXCURSION

Floats = NDArray[np.floating[Any]]

CAUSES = ("none", "forward", "gradient", "step", "slow")
SHOWN = ("RePU 2", "RePU 3", "MRePU 1", "MRePU 2", "ReLU")
LARGE, SMALL = "1e-3", "2e-4"
LONGER = 2  # times as many steps at the small rate
START = ("initialization=critical",)
PROFILES = 5  # measured steps whose K by layer is drawn
MOVED = 3.0  # decades: a signal or a gradient that moves more over the hidden layers counts as lost


class Failure(NamedTuple):
    """Why a network did not train, and the first measured step at which that showed; 'none' if it did."""

    cause: str
    step: int | None = None


Condition = tuple[str, int, str]  # activation, depth, rate
Runs = Mapping[Condition, Sequence[Trained]]  # one a division of the data
Failures = Mapping[Condition, Sequence[Failure]]  # of each network


def examine(lab: Lab) -> Evidence:
    """Train with statistics at a large and a small rate, and find the first thing that fails in each network."""
    depths = lab.choose(smoke=(3, 8, 20), full=(2, 3, 5, 8, 12, 20, 50))
    members, splits = lab.choose(smoke=(5, 1), full=(4, 3))
    places = [(name, depth, rate) for depth, name, rate in product(reversed(depths), SHOWN, (LARGE, SMALL))]
    trained = lab.train([_job(lab, *place, members, split) for place in places for split in range(splits)])
    runs = {place: trained[i * splits : (i + 1) * splits] for i, place in enumerate(places)}
    failed = {place: [failure for run in of_place for failure in failures(run)] for place, of_place in runs.items()}
    untrained = {kind: [*_untrained(failed, kind)] for kind in ("RePU", "MRePU")}
    causes = {kind: Counter(failed[place][i].cause for place, i in networks) for kind, networks in untrained.items()}
    total = {kind: len(networks) for kind, networks in untrained.items()}
    # All that fail so count as sharing a division, whatever their depth: a few more than do.
    forward = wilson(causes["RePU"]["forward"], max(1, total["RePU"]), sharing=max(1, total["RePU"] // splits))
    broken = [(place, i) for place, i in untrained["MRePU"] if failed[place][i].cause == "step"]
    saved = sum(failed[name, depth, SMALL][i].cause == "none" for (name, depth, _), i in broken)
    at_large = [run for (*_, rate), of_place in runs.items() if rate == LARGE for run in of_place]
    control = [lost for run in at_large for lost in lost_yet_trained(run)]
    lost = {cause: sum(cause in losses for losses in control) for cause in ("forward", "gradient")}
    return Evidence(
        setup=f"""Digits, depths {", ".join(map(str, depths))}, `critical` initialization, Adam at {LARGE}, and at
            {SMALL} for {LONGER} times as many steps; {members} networks each on each of {splits} divisions of the data,
            statistics of 32 probe inputs. Forward: K moves by more than {MOVED:g} decades over the hidden layers of the
            fresh network, for some input, or is not finite. Gradient: the same of its mean square. Step: neither, but
            the test loss passes {EXCURSION:g} times its first value, or is not finite, at a later measured step. Slow:
            none of these, and not trained.""",
        verdict=judge(forward),
        reason=f"""of {total["RePU"]} RePU networks that do not train at rate {LARGE}, {forward} fail first in the
            forward signal, before any step ({_counted(causes["RePU"])}); of {total["MRePU"]} MRePU networks
            {_counted(causes["MRePU"])}; {saved} of the {len(broken)} that a step broke train at {SMALL}. Of the
            {len(control)} networks of all activations that do train, the signal of {lost["forward"]} and the gradient
            of {lost["gradient"]} move as far""",
        seeds=members * splits,
        numbers={
            **{f"{kind}, {cause}": causes[kind][cause] for kind in causes for cause in CAUSES[1:]},
            "MRePU networks that a step broke": len(broken),
            f"of these trained at {SMALL}": saved,
            "networks that train": len(control),
            **{f"of these lost by the same measure, {cause}": count for cause, count in lost.items()},
        },
        tables=[
            Table(
                caption="""Share of networks by what failed first, the median step of that, and by how many decades the
                    first update moves K of the last hidden layer (median over networks and inputs).""",
                columns=("activation", "depth", "rate", *CAUSES, "at step", "first update"),
                rows=[
                    [*place, *_shares(failed[place]), _median_step(failed[place]), first_update(runs[place])]
                    for place in product(SHOWN, depths, (LARGE, SMALL))
                ],
            )
        ],
        pictures=[_picture(failed, runs, depths)],
    )


def judge(forward: Interval) -> Verdict:
    """Apply the rule: most RePU networks that fail do so in the forward signal."""
    return above(forward, 0.5)


def failures(run: Trained) -> list[Failure]:
    """Return what failed first in each network of a run."""
    numbers = run.statistics
    log10_K, log10_gradient = (numbers[name][0, :-1] for name in ("log10_K", "log10_gradient"))
    return [
        first_failure(
            member["outcome"], log10_K[:, i], log10_gradient[:, i], numbers["test_loss"][:, i], numbers["step"]
        )
        for i, member in enumerate(run.members)
    ]


def lost_yet_trained(run: Trained) -> list[set[str]]:
    """Return for each trained network what the rule would have blamed had it failed: how little a blame may mean."""
    log10 = {"forward": run.statistics["log10_K"], "gradient": run.statistics["log10_gradient"]}
    trained = [i for i, member in enumerate(run.members) if member["outcome"] == "trained"]
    return [{cause for cause, array in log10.items() if _lost(array[0, :-1, i])} for i in trained]


def first_failure(
    outcome: str, log10_K_LP: Floats, log10_gradient_LP: Floats, loss_S: Floats, steps_S: Floats
) -> Failure:
    """Judge one network by K and the gradient of its hidden layers, (layers, inputs), before any step, and its loss.

    The rule is that of the claim's set-up: what is lost on the first pass comes before what a step breaks.
    """
    if outcome == "trained":
        return Failure("none")
    if _lost(log10_K_LP):
        return Failure("forward", 0)
    if _lost(log10_gradient_LP):
        return Failure("gradient", 0)
    with np.errstate(invalid="ignore"):
        broken = ~(loss_S <= EXCURSION * loss_S[0])
    return Failure("step", int(steps_S[broken.argmax()])) if broken.any() else Failure("slow")


def first_update(runs: Sequence[Trained]) -> Cell:
    """Return by how many decades the first update moves K of the last hidden layer; None if there was no update."""
    log10_K = [run.statistics["log10_K"] for run in runs]
    with np.errstate(invalid="ignore"):
        moved = [np.abs(of_run[1, -2] - of_run[0, -2]).ravel() for of_run in log10_K if len(of_run) > 1]
    known = np.array([change for of_run in moved for change in of_run if np.isfinite(change)])
    return float(np.median(known)) if known.size else None


def _job(lab: Lab, name: str, depth: int, rate: str, members: int, split: int) -> tuple[str, ...]:
    *rest, steps = sizes(lab)
    longer = f"steps={LONGER * int(steps.partition('=')[2])}" if rate == SMALL else steps
    drawn = (f"members={members}", f"seed={split * members}", f"data_seed={split}")
    return (*ACTIVATIONS[name], f"depth={depth}", *rest, longer, *START, f"optimizer.lr={rate}", *drawn)


def _untrained(failed: Failures, kind: str) -> Iterator[tuple[Condition, int]]:
    """Yield the networks of an activation, of either power, that did not train at the large rate."""
    for place, networks in failed.items():
        if place[0].startswith(kind) and place[2] == LARGE:
            yield from ((place, i) for i, failure in enumerate(networks) if failure.cause != "none")


def _lost(log10_LP: Floats) -> bool:
    with np.errstate(invalid="ignore"):
        return not bool((np.ptp(log10_LP, axis=0) <= MOVED).all())  # NaN and infinities are not


def _shares(networks: Sequence[Failure]) -> list[float]:
    return [sum(failure.cause == cause for failure in networks) / len(networks) for cause in CAUSES]


def _median_step(networks: Sequence[Failure]) -> Cell:
    steps = [failure.step for failure in networks if failure.step is not None]
    return float(np.median(steps)) if steps else None


def _most_often(failed: Failures, name: str) -> str:
    causes = Counter(failed[place][i].cause for place, i in _untrained(failed, name))
    return f"by {causes.most_common(1)[0][0]}" if causes else "none fails"


def _counted(causes: Counter[str]) -> str:
    return ", ".join(f"{count} by {cause}" for cause, count in causes.most_common()) or "none"


def _picture(failed: Failures, runs: Runs, depths: Sequence[int]) -> Picture:
    deep = 20 if 20 in depths else max(depths)
    profiles: dict[tuple[str, int], Floats] = {}
    for name in ("RePU 2", "MRePU 1"):
        tables = [run.statistics for run in runs[name, deep, LARGE]]
        longest = max((table["step"] for table in tables), key=len)
        for row, step in enumerate(longest[:PROFILES].tolist()):
            log10_K = np.concatenate([table["log10_K"][row] for table in tables if row < len(table["step"])], axis=1)
            profiles[name, step] = np.median(log10_K, axis=(1, 2))
    most_often = "; ".join(f"{name} {_most_often(failed, name)}" for name in SHOWN)
    shares = {name: {depth: _shares(failed[name, depth, LARGE]) for depth in depths} for name in SHOWN}
    return Picture(
        name="failure",
        caption=f"""a: what fails first, by activation and depth, at rate {LARGE}. b, c: K by layer at depth
            {deep} after the first steps, median over networks and inputs; a line ends where K leaves float32.""",
        alt=f"""Bars by depth of what fails first. Most often, of those that fail: {most_often}. Profiles of K by layer
            below.""",
        figure=first_failures(shares, CAUSES, profiles, deep),
    )


CLAIM = Claim(
    number=8,
    slug="failure",
    family="training",
    title="RePU fails in the forward signal, before any step",
    statement="""Deep RePU networks do not train because their signal explodes or vanishes on the way forward
        at initialization, not because of their gradients or of the size of a step.""",
    reference="Kim & Kang, arXiv:2408.02697: why RePU fails; past the paper: why MRePU does",
    rule=f"""Of the RePU networks, p = 2 and 3, that do not train at rate {LARGE} from `critical`: supported if
        more than half fail first in the forward signal (95 % Wilson interval), refuted if fewer than half do, else
        inconclusive.""",
    cost={"smoke": 9, "full": 200},
    examine=examine,
)
