"""Claim 15: the smallest change that makes an MRePU network of 50 layers train."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from repu_lab.activations import MRePU
from repu_lab.claims.base import Cell, Claim, Evidence, Picture, Table, prose
from repu_lab.claims.beyond.ladder import LEVERS, RUNGS, SETTINGS, UNCHANGED, Network, Rung, named, pulled, settings
from repu_lab.claims.lab import Lab, Trained
from repu_lab.claims.statistics import Interval, median_interval, rank_test
from repu_lab.claims.training.failure import first_update
from repu_lab.claims.training.tuning import TUNING_SEED, merit, metrics, share
from repu_lab.claims.verdicts import Verdict, above, together
from repu_lab.tasks.images import digits
from repu_lab.theory import layers
from repu_lab.theory.rates import adam_change

POWERS = (1, 2)
# What the price is measured against; identity shows what a network does that stays linear.
USUAL = {"tanh": "tanh", "ReLU": "relu", "identity": "identity"}
USUAL_RATES = ("1e-3", "3e-4", "1e-4")
DEEPER = 2  # times the depth, for the smallest change that works

Place = tuple[Rung, int]
Shares = Mapping[Place, Interval]


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


def examine(lab: Lab) -> Evidence:
    """Tune every rung and the usual activations with the same budget, judge fresh networks, go deeper with the best."""
    depth = lab.choose(smoke=20, full=50)
    judged, usual = _judged(lab, depth)
    shares = {place: found.trained for place, found in judged.items()}
    best = {p: smallest(shares, p) for p in POWERS}
    deeper = _deeper(lab, judged, best, DEEPER * depth)
    lab.progress(1.0)
    sizes = dict(text.split("=") for text in _common(lab))
    return Evidence(
        setup=prose(f"""Digits, width {sizes["width"]}, batches of {sizes["batch_size"]}, {sizes["steps"]} steps of
            Adam, float32, {depth} hidden layers. Unchanged: C_W = 1, C_b = 0, K^1 = 1, rate 1e-3. Levers: input, K^1 =
            x / (a_1 L); argument, s(z) -> a s(z/a) with a^2 = a_1 L / x; x = {_listed("input")}; branches, skip
            connections and C_W of a branch c / (L - 1), c = {_listed("branches")}; rate, {_listed("rate")}. The best
            of {_budget(lab)} settings of every changed rung, tried on {_tuners(lab)} networks each, is judged on
            {_members(lab, UNCHANGED)} fresh ones, {lab.seeds} for two levers; so are tanh, ReLU and the identity
            ({lab.seeds} networks) over rates {", ".join(USUAL_RATES[: _budget(lab)])}."""),
        verdict=judge(shares),
        reason="; ".join(_said(p, best[p], shares, judged, deeper) for p in POWERS),
        seeds=lab.seeds,
        numbers=_numbers(best, shares, judged, usual, deeper),
        tables=[_outcomes(judged, usual), *_price(judged, usual, best), _beside_theory(judged)],
        pictures=[_picture(judged, usual, depth)],
    )  # fmt: skip


def judge(shares: Shares) -> Verdict:
    """Apply the rule to the shares trained by rung and power."""
    return together(_judge_power(shares, p) for p in POWERS)


def _judge_power(shares: Shares, p: int) -> Verdict:
    half: dict[Rung, Verdict] = {rung: above(shares[rung, p], 0.5) for rung in RUNGS if len(rung) <= 1}
    unchanged = half.pop(UNCHANGED)
    if unchanged is Verdict.SUPPORTED or set(half.values()) == {Verdict.REFUTED}:
        return Verdict.REFUTED
    needed = unchanged is Verdict.REFUTED and Verdict.SUPPORTED in half.values()
    return Verdict.SUPPORTED if needed else Verdict.INCONCLUSIVE


def smallest(shares: Shares, p: int) -> Rung | None:
    """Return the rung with the fewest changes of which more than half train, the highest share among equals."""
    works = [rung for rung in RUNGS if above(shares[rung, p], 0.5) is Verdict.SUPPORTED]
    return min(works, key=lambda rung: (len(rung), -shares[rung, p].estimate), default=None)


def _judged(lab: Lab, depth: int) -> tuple[dict[Place, Judged], dict[str, Trained]]:
    """Return every rung at its best setting and the usual activations at their best rate."""
    tried = [(rung, p, setting) for rung in reversed(RUNGS) for p in POWERS for setting in settings(rung, _budget(lab))]
    rates = [(name, rate) for name in USUAL for rate in USUAL_RATES[: _budget(lab)]]
    jobs = [pulled(rung, setting, p, depth).overrides for rung, p, setting in tried]
    jobs += [_usual(name, rate, depth) for name, rate in rates]
    tuning = (*_common(lab), "statistics=false", f"members={_tuners(lab)}", f"seed={TUNING_SEED}")
    runs = lab.train([(*job, *tuning) for job in jobs])
    lab.progress(0.5)
    merits = {place: merit(run) for place, run in zip([*tried, *rates], runs, strict=True)}
    places = [(rung, p) for rung in RUNGS for p in POWERS]
    best = {place: max(settings(place[0], _budget(lab)), key=lambda s: merits[(*place, s)]) for place in places}
    rate = {name: max(USUAL_RATES[: _budget(lab)], key=lambda rate: merits[name, rate]) for name in USUAL}
    chosen = {place: pulled(place[0], best[place], place[1], depth) for place in places}
    fresh = lab.train([
        *((*network.overrides, *_common(lab), f"members={_members(lab, rung)}")
          for (rung, _), network in chosen.items()),
        *((*_usual(name, rate[name], depth), *_common(lab), "statistics=false", f"members={lab.seeds}")
          for name in USUAL),
    ])  # fmt: skip
    lab.progress(0.9)
    judged = {place: Judged(best[place], chosen[place], run) for place, run in zip(places, fresh, strict=False)}
    return judged, dict(zip(USUAL, fresh[len(places) :], strict=True))


def _deeper(
    lab: Lab, judged: Mapping[Place, Judged], best: Mapping[int, Rung | None], depth: int
) -> dict[int, Trained]:
    """Return fresh networks of more layers for the smallest change of each power, at the setting found."""
    places = [(rung, p) for p, rung in best.items() if rung is not None]
    runs = lab.train([
        (*pulled(rung, judged[rung, p].setting, p, depth).overrides, *_common(lab), "statistics=false",
         f"members={lab.seeds}")
        for rung, p in places
    ]) if places else []  # fmt: skip
    return {p: run for (_, p), run in zip(places, runs, strict=True)}


def _usual(name: str, rate: str, depth: int) -> tuple[str, ...]:
    return f"activation={USUAL[name]}", f"optimizer.lr={rate}", "initialization=critical", f"depth={depth}"


def _rate(run: Trained) -> str:
    return dict(text.split("=", 1) for text in run.overrides)["optimizer.lr"]


def _common(lab: Lab) -> tuple[str, ...]:
    return lab.choose(
        smoke=("task=digits", "width=32", "batch_size=64", "steps=100"),
        full=("task=digits", "width=64", "batch_size=64", "steps=300"),
    )


def _budget(lab: Lab) -> int:
    return lab.choose(smoke=2, full=SETTINGS)


def _members(lab: Lab, rung: Rung) -> int:
    """Return how many fresh networks judge a rung; the verdict is about one change, so that gets more of them."""
    return lab.choose(smoke=lab.seeds, full=16 if len(rung) <= 1 else lab.seeds)


def _tuners(lab: Lab) -> int:
    return lab.choose(smoke=1, full=2)


def _listed(lever: str) -> str:
    return ", ".join(f"{value:g}" for value in LEVERS[lever].alone)


def _told(setting: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in setting)


def _outcomes(judged: Mapping[Place, Judged], usual: Mapping[str, Trained]) -> Table:
    rows: list[tuple[str, int | None, str, Trained]] = [
        (named(rung), p, _told(found.setting), found.fresh) for (rung, p), found in judged.items()
    ]
    rows += [(name, None, _rate(run), run) for name, run in usual.items()]
    return Table(
        caption="Fresh networks by what is changed, each at the best setting of its levers, and usual activations at "
        "their best rate: share trained (95 % Wilson interval), median accuracy (95 % bootstrap interval).",
        columns=("changes", "p", "setting", "networks", "trained", "low", "high", "accuracy", "low", "high"),
        rows=[
            [*about, len(run.members), *share([run], "trained"), *median_interval(metrics(run))]
            for *about, run in rows
        ],
    )  # fmt: skip


def _price(
    judged: Mapping[Place, Judged], usual: Mapping[str, Trained], best: Mapping[int, Rung | None]
) -> list[Table]:  # fmt: skip
    """Compare the smallest change that works, if any does, with the usual activations."""
    rows: list[list[Cell]] = []
    for p, rung in best.items():
        for name, run in usual.items() if rung is not None else ():
            found = rank_test(metrics(judged[rung or UNCHANGED, p].fresh), metrics(run))
            rows.append([named(rung or UNCHANGED), p, name, *found.difference, found.p_value, found.effect])
    table = Table(
        caption="The price: accuracy with the smallest change that works less that of usual activations, median "
        "difference of pairs with its 95 % interval, p-value of the Mann-Whitney test, share of pairs in which MRePU "
        "is the more accurate.",
        columns=("changes", "p", "against", "difference", "low", "high", "p-value", "effect"),
        rows=rows,
    )
    return [table] if rows else []


def _beside_theory(judged: Mapping[Place, Judged]) -> Table:
    return Table(
        caption="Theory at infinite width: x = a_1 L K^1 / scale^2; decades by which K grows over the hidden layers, "
        "and the gradient from the last to the first; by how much of its own size Adam's first step may move the signal, "
        "layers added up. Measured, medians over networks and inputs: decades by which K grew before any step (at "
        "width n a typical linear network loses L / (n ln 10)), and by which the first step moved it in the last "
        "hidden layer; bent: the largest sqrt(K) / scale of a layer after the last step, a linear network's is 0.",
        columns=("changes", "p", "x", "K grows", "gradient grows", "first step", "K grew", "K moved", "bent"),
        rows=[[named(rung), p, *_theory(found), *_measured(found)] for (rung, p), found in judged.items()],
    )


def _theory(found: Judged) -> list[Cell]:
    """Return x, then theory's growth of K and of the gradient over the hidden layers and the size of Adam's step."""
    net, residual = found.network, found.network.branch is not None
    kernel = layers(MRePU(net.p, net.scale), net.C_W, 0.0, net.k1, net.depth, residual=residual)
    task, width = digits(), _width(found.fresh)
    sizes = (task.train.x.shape[1], *[width] * net.depth, task.outputs)
    change = adam_change(
        MRePU(net.p, net.scale), net.C_W, 0.0, net.k1, sizes, float(task.train.x.abs().mean()), residual=residual
    )
    return [
        net.a_1 * net.depth * net.k1 / net.scale**2, float(kernel.log10_K[-2] - kernel.log10_K[0]),
        float(kernel.log10_chi_perp[:-2].sum()), net.rate * change,
    ]  # fmt: skip


def _width(run: Trained) -> int:
    return int(dict(text.split("=", 1) for text in run.overrides)["width"])


def _measured(found: Judged) -> list[Cell]:
    """Return what the fresh networks show of it: growth of K before any step, the first step, how bent they end."""
    log10_K = found.fresh.statistics["log10_K"]
    with np.errstate(invalid="ignore", over="ignore"):
        grown = np.median(log10_K[0, -2] - log10_K[0, 0])
        bent = np.median(10 ** (log10_K[-1, :-1].max(axis=0) / 2)) / found.network.scale
    return [float(grown), first_update(found.fresh), float(bent)]


def _said(
    p: int, rung: Rung | None, shares: Shares, judged: Mapping[Place, Judged], deeper: Mapping[int, Trained]
) -> str:  # fmt: skip
    alone = ", ".join(f"{named(one)} {shares[one, p].estimate:.0%}" for one in RUNGS if len(one) <= 1)
    if rung is None:
        return f"p = {p}: no change of two levers at most makes more than half train for certain (alone: {alone})"
    found, deep = judged[rung, p], deeper[p]
    return prose(f"""p = {p}: the smallest change is {named(rung)} ({_told(found.setting)}): {found.trained} train,
        median accuracy {np.median(metrics(found.fresh)):.1%}, and {share([deep], "trained")} at twice the depth (one
        change: {alone})""")


def _numbers(
    best: Mapping[int, Rung | None], shares: Shares, judged: Mapping[Place, Judged], usual: Mapping[str, Trained],
    deeper: Mapping[int, Trained],
) -> dict[str, Cell]:  # fmt: skip
    numbers: dict[str, Cell] = {}
    for p, rung in best.items():
        numbers[f"smallest change, p = {p}"] = None if rung is None else named(rung)
        if rung is not None:
            numbers[f"share trained, p = {p}"] = shares[rung, p].estimate
            numbers[f"share trained at twice the depth, p = {p}"] = share([deeper[p]], "trained").estimate
            numbers[f"median accuracy, p = {p}"] = float(np.median(metrics(judged[rung, p].fresh)))
    return numbers | {f"median accuracy, {name}": float(np.median(metrics(run))) for name, run in usual.items()}


def _picture(judged: Mapping[Place, Judged], usual: Mapping[str, Trained], depth: int) -> Picture:
    from repu_lab.figures.claims_safe import ladder

    rows = {
        named(rung): {p: (judged[rung, p].trained, median_interval(metrics(judged[rung, p].fresh))) for p in POWERS}
        for rung in RUNGS
    }
    marks = {name: float(np.median(metrics(run))) for name, run in usual.items()}
    return Picture(
        name="ladder",
        caption=prose(f"""MRePU networks of {depth} hidden layers by what is changed, each at the best of the same
            number of settings. a: share of fresh networks that train, with 95 % Wilson intervals. b: their median
            accuracy, with 95 % intervals; lines: tanh, ReLU and the identity, tuned alike."""),
        alt=prose("""A row for each change: none, one or two of input scale, argument scale, residual branches and a
            smaller rate. Points show the share of networks that train and their accuracy for p = 1 and 2."""),
        figure=ladder(rows, marks),
    )


CLAIM = Claim(
    number=15, slug="safe-mrepu", family="beyond",
    title="One change makes MRePU train at depth 50",
    statement=prose("""A single change of an ordinary MRePU network (a smaller input, a scaled argument, residual
        branches or a smaller rate) makes networks of 50 hidden layers train that do not train without it."""),
    reference="Past the paper: MRePU's critical point repels (a_1 > 0), so depth and steps make its signal explode",
    rule=prose("""Each changed rung of the ladder, of one lever or two, gets the same number of settings; the best is
        judged by the share of fresh networks that train (95 % Wilson interval). For each power p = 1 and 2: supported
        if more than half train with some single change and fewer than half without any; refuted if fewer than half
        train with every single change, or more than half without any; else inconclusive. Supported if it is for both,
        refuted if for one. The smallest change is that with the fewest levers of which more than half train, the
        highest share among equals."""),
    cost={"smoke": 15, "full": 400},
    examine=examine,
)  # fmt: skip
