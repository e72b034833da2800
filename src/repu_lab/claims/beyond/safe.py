"""Claim 15: the smallest change that makes an MRePU network of 50 layers train."""

from collections.abc import Mapping

import numpy as np

from repu_lab.claims.base import Cell, Claim, Evidence, prose
from repu_lab.claims.beyond.ladder import LEVERS, RUNGS, UNCHANGED, Rung, named
from repu_lab.claims.beyond.shown import beside_theory, on_a_curve, outcomes, picture, price
from repu_lab.claims.beyond.trials import (
    POWERS,
    USUAL_RATES,
    Curved,
    Judged,
    Place,
    budget,
    common,
    go_deeper,
    judge_all,
    learn_a_curve,
    members,
    told,
    tuners,
)
from repu_lab.claims.lab import Lab, Trained
from repu_lab.claims.statistics import Interval
from repu_lab.claims.training.tuning import metrics, share
from repu_lab.claims.verdicts import Verdict, above, together

DEEPER = 2  # times the depth, for the smallest change that works

Shares = Mapping[Place, Interval]


def examine(lab: Lab) -> Evidence:
    """Tune every rung and the usual activations with the same budget, judge fresh networks, go deeper with the best."""
    depth = lab.choose(smoke=12, full=50)
    judged, usual = judge_all(lab, depth)
    shares = {place: found.trained for place, found in judged.items()}
    best = {p: smallest(shares, p) for p in POWERS}
    deeper = go_deeper(lab, judged, best, DEEPER * depth)
    curved = learn_a_curve(lab, judged, usual, best)
    lab.progress(1.0)
    sizes = dict(text.split("=") for text in common(lab))
    return Evidence(
        setup=prose(f"""Digits, width {sizes["width"]}, batches of {sizes["batch_size"]}, {sizes["steps"]} steps of
            Adam, float32, {depth} hidden layers. Unchanged: C_W = 1, C_b = 0, K^1 = 1, rate 1e-3. Levers: input, K^1 =
            x / (a_1 L); argument, s(z) -> a s(z/a) with a^2 = a_1 L / x; x = {_listed("input")}; branches, skip
            connections and C_W of a branch c / (L - 1), c = {_listed("branches")}; rate, {_listed("rate")}. The best
            of {budget(lab)} settings of every changed rung, tried on {tuners(lab)} networks each, is judged on
            {members(lab, UNCHANGED)} fresh ones, {lab.seeds} for two levers; so are tanh, ReLU and the identity
            ({lab.seeds} networks) over rates {", ".join(USUAL_RATES[: budget(lab)])}."""),
        verdict=judge(shares),
        reason="; ".join(_said(p, best[p], shares, judged, deeper, curved) for p in POWERS),
        seeds=lab.seeds,
        numbers=_numbers(best, shares, judged, usual, deeper),
        tables=[outcomes(judged, usual), *price(judged, usual, best), *on_a_curve(curved), beside_theory(judged)],
        pictures=[picture(judged, usual, depth)],
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


def _said(
    p: int, rung: Rung | None, shares: Shares, judged: Mapping[Place, Judged], deeper: Mapping[int, Trained],
    curved: Curved,
) -> str:  # fmt: skip
    alone = ", ".join(f"{named(one)} {shares[one, p].estimate:.0%}" for one in RUNGS if len(one) <= 1)
    if rung is None:
        return f"p = {p}: no change of two levers at most makes more than half train for certain (trained: {alone})"
    found, deep = judged[rung, p], deeper[p]
    bends = ", ".join(f"{run.share('trained'):.0%} at {at}" for (_, power, at), run in curved.items() if power == p)
    return prose(f"""p = {p}: the smallest change is {named(rung)} at {told(found.setting)}, with which
        {found.trained} train to a median accuracy of {np.median(metrics(found.fresh)):.1%} (trained with one change or
        none: {alone}), but at twice the depth {share([deep], "trained")}; x^2, for which networks have to bend, is
        learnt by {bends}""")


def _listed(lever: str) -> str:
    return ", ".join(f"{value:g}" for value in LEVERS[lever].alone)


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
    cost={"smoke": 11, "full": 240},
    examine=examine,
)  # fmt: skip
