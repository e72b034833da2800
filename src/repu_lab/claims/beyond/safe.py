"""Claim 15: the smallest change that makes an MRePU network of 50 layers learn what no linear network does."""

from repu_lab.claims.base import Cell, Claim, Evidence
from repu_lab.claims.beyond.ladder import LEVERS, RUNGS, UNCHANGED, Rung, named, said
from repu_lab.claims.beyond.shown import beside_theory, outcomes, picture, price
from repu_lab.claims.beyond.trials import (
    POWERS,
    USUAL_RATES,
    Best,
    Ladder,
    RungShares,
    budget,
    go_deeper,
    judge_all,
    members,
    sizes,
    splits,
)
from repu_lab.claims.contest import COUNTS, CRITERION, LINEAR, MARGIN, described
from repu_lab.claims.lab import Lab
from repu_lab.claims.statistics import Interval, wilson
from repu_lab.claims.trials import metrics
from repu_lab.claims.verdicts import Verdict, above, together

DEEPER = 2  # times the depth, for the smallest change that works


def examine(lab: Lab) -> Evidence:
    """Tune every rung and the usual activations with the same budget, judge fresh networks, go deeper with the best."""
    depth = lab.choose(smoke=12, full=50)
    ladder, usual = judge_all(lab, depth)
    bar = max(CRITERION, usual[LINEAR].metric + MARGIN)
    shares = {place: judged.reached(bar, chances=len(LEVERS)) for place, judged in ladder.items()}
    best = {p: smallest(shares, p) for p in POWERS}
    deeper = {
        p: wilson(int((metrics(run.members) >= bar).sum()), len(run.members))
        for p, run in go_deeper(lab, ladder, best, DEEPER * depth).items()
    }
    lab.progress(1.0)
    return Evidence(
        setup=f"""XOR, {described(sizes(lab))}, float32, {depth} hidden layers. Unchanged: C_W = 1, C_b = 0, K^1 = 1,
            rate 1e-3. Levers: input, K^1 = x / (a_1 L); argument, s(z) -> a s(z/a) with a^2 = a_1 L / x; x =
            {said(LEVERS["input"].alone)}; branches, skip connections and C_W of a branch c / (L - 1), c =
            {said(LEVERS["branches"].alone)}; orthogonal weights; rate, {said(LEVERS["rate"].alone)}. Of at most
            {budget(lab)} settings of every changed rung the best on the validation split is judged by
            {members(lab, 1)} fresh networks on each of {splits(lab)} divisions of the data, {members(lab, 2)} for two
            levers; so are tanh, ReLU and the identity over rates {", ".join(USUAL_RATES[: budget(lab)])}. {COUNTS}""",
        verdict=judge(shares),
        reason="; ".join(_reason(p, best[p], shares, ladder, deeper) for p in POWERS),
        seeds=splits(lab) * members(lab, 1),
        numbers=_numbers(best, shares, ladder, deeper)
        | {f"median accuracy, {name}": judged.metric for name, judged in usual.items()},
        tables=[outcomes(ladder, usual, shares, bar), *price(ladder, usual, best), beside_theory(lab, ladder, depth)],
        pictures=[picture(ladder, usual, shares, depth)],
    )


def judge(shares: RungShares) -> Verdict:
    """Apply the rule to the shares that count by rung and power."""
    return together(_judge_power(shares, p) for p in POWERS)


def _judge_power(shares: RungShares, p: int) -> Verdict:
    half: dict[Rung, Verdict] = {rung: above(shares[rung, p], 0.5) for rung in RUNGS if len(rung) <= 1}
    unchanged = half.pop(UNCHANGED)
    if unchanged is Verdict.SUPPORTED or set(half.values()) == {Verdict.REFUTED}:
        return Verdict.REFUTED
    needed = unchanged is Verdict.REFUTED and Verdict.SUPPORTED in half.values()
    return Verdict.SUPPORTED if needed else Verdict.INCONCLUSIVE


def smallest(shares: RungShares, p: int) -> Rung | None:
    """Return the rung with the fewest changes of which more than half count, the highest share among equals."""
    works = [rung for rung in RUNGS if above(shares[rung, p], 0.5) is Verdict.SUPPORTED]
    return min(works, key=lambda rung: (len(rung), -shares[rung, p].estimate), default=None)


def _reason(p: int, rung: Rung | None, shares: RungShares, ladder: Ladder, deeper: dict[int, Interval]) -> str:
    singles = ", ".join(f"{named(few)} {shares[few, p].estimate:.0%}" for few in RUNGS if len(few) <= 1)
    if rung is None:
        return f"p = {p}: no change of two levers at most makes more than half count for certain ({singles})"
    judged = ladder[rung, p]
    return f"""p = {p}: the smallest change is {named(rung)} at {said(judged.setting)}, with which {shares[rung, p]}
        count, of a median accuracy of {judged.metric:.1%} (with one change or none: {singles}), but at twice the depth
        {deeper[p]}"""


def _numbers(best: Best, shares: RungShares, ladder: Ladder, deeper: dict[int, Interval]) -> dict[str, Cell]:
    numbers: dict[str, Cell] = {}
    for p, rung in best.items():
        numbers[f"smallest change, p = {p}"] = None if rung is None else named(rung)
        if rung is not None:
            numbers[f"share that counts, p = {p}"] = shares[rung, p].estimate
            numbers[f"share that counts at twice the depth, p = {p}"] = deeper[p].estimate
            numbers[f"median accuracy, p = {p}"] = ladder[rung, p].metric
    return numbers


CLAIM = Claim(
    number=15,
    slug="safe-mrepu",
    family="beyond",
    title="One change makes MRePU learn XOR at depth 50",
    statement="""A single change of an ordinary MRePU network (a smaller input, a scaled argument, residual branches,
        orthogonal weights or a smaller rate) makes networks of 50 hidden layers learn XOR, which no linear network does
        and they do not without it.""",
    reference="Past the paper: MRePU's critical point repels (a_1 > 0), so depth and steps make its signal explode",
    rule=f"""Each changed rung of the ladder, of one lever or two, gets the same number of settings (orthogonal weights
        fewer: they have nothing to choose); the best is judged by the share of fresh networks that count (Wilson
        interval at 5 % over {len(LEVERS)}, for as many single changes). For each power p = 1 and 2: supported
        if more than half count with some single change and fewer than half without any; refuted if fewer than half
        count with every single change, or more than half without any; else inconclusive. Supported if it is for both,
        refuted if for one. The smallest change is that with the fewest levers of which more than half count, the
        highest share among equals. {COUNTS}""",
    cost={"smoke": 11, "full": 240},
    examine=examine,
)
