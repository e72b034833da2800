"""Claim 15: whether a single change makes an MRePU network of 50 layers learn what no linear network does."""

from collections.abc import Mapping
from itertools import product
from typing import Any

from repu_lab.claims.base import Claim, Evidence
from repu_lab.claims.beyond.ladder import LEVERS, RATES, UNCHANGED, in_words, pulled, settings
from repu_lab.claims.beyond.shown import Ladder, beside_theory, outcomes, picture
from repu_lab.claims.contest import COUNTS, CRITERION, LINEAR, MARGIN, Case, contest, deep_grid, sizes
from repu_lab.claims.lab import Lab
from repu_lab.claims.statistics import Interval
from repu_lab.claims.trials import tuned
from repu_lab.claims.verdicts import Verdict, above, below, one_of, together

POWERS = (1, 2)
USUAL = ("tanh", "ReLU", LINEAR)  # what else learns there, and the baseline
CHANCES = len(LEVERS) - 1

Shares = Mapping[tuple[str, int], Interval]  # of the fresh networks that count, by lever and power


def examine(lab: Lab) -> Evidence:
    """Tune every change and the usual activations, and judge fresh networks."""
    depth = lab.choose(smoke=6, full=50)
    case = Case("XOR", depth, sizes(lab, "xor"))
    members, splits = lab.choose(smoke=(10, 1), full=(6, 3))
    rates = lab.choose(smoke=RATES[:1], full=RATES)
    tries = {place: settings(place[0], rates) for place in product(LEVERS, POWERS)}
    entrants = {
        (lever, p): {s: (*pulled(lever, s, p, depth).overrides, *case.overrides) for s in tries[lever, p]}
        for lever, p in tries
    }
    tuning: dict[str, Any] = {"tuning_members": lab.choose(smoke=1, full=2), "tuning": ("statistics=false",)}
    ladder = tuned(lab, entrants, **tuning, members=members, splits=splits, part=(0.0, 0.8))
    usual = {name: entry for (name, _), entry in contest(lab, product(USUAL, [case]), deep_grid(lab)).items()}
    bar = max(CRITERION, usual[LINEAR].metric + MARGIN)
    shares = {place: entry.reached(bar, chances=CHANCES) for place, entry in ladder.items()}
    return Evidence(
        setup=f"""XOR, {case.training}, float32, {depth} hidden layers. Unchanged: C_W = 1, C_b = 0, K^1 =
            1. Changes: input, K^1 = x / (a_1 L); argument, s(z) -> a s(z/a) with a^2 = a_1 L / x; x =
            {in_words(LEVERS["input"].values)}; branches, skip connections and C_W of a branch c / (L - 1), c =
            {in_words(LEVERS["branches"].values)}; orthogonal weights. Each with a rate among {in_words(rates)}: the
            best setting on the validation split is judged by {members} fresh networks on each of {splits} divisions of
            the data. tanh, ReLU and the identity: {deep_grid(lab)}. {COUNTS}""",
        verdict=judge(shares),
        reason="; ".join(f"p = {p}: {_counted(p, shares, ladder)}" for p in POWERS)
        + f". Median accuracy of {', '.join(f'{name} {entry.metric:.2f}' for name, entry in usual.items())}",
        seeds=splits * members,
        numbers={f"median accuracy, {lever}, p = {p}": entry.metric for (lever, p), entry in ladder.items()}
        | {f"median accuracy, {name}": entry.metric for name, entry in usual.items()},
        tables=[outcomes(ladder, usual, shares, bar), beside_theory(ladder, depth, case.overrides)],
        pictures=[picture(ladder, usual, shares, depth)],
    )


def judge(shares: Shares) -> Verdict:
    """Apply the rule to the shares that count by lever and power."""
    changed = (one_of(above(shares[lever, p], 0.5) for lever in LEVERS if lever != UNCHANGED) for p in POWERS)
    return together([*changed, *(below(shares[UNCHANGED, p], 0.5) for p in POWERS)])


def _counted(p: int, shares: Shares, ladder: Ladder) -> str:
    """Return `input 0% count, median 0.21, ...`."""
    return ", ".join(
        f"{lever} {shares[lever, p].estimate:.0%} count, median {ladder[lever, p].metric:.2f}" for lever in LEVERS
    )


CLAIM = Claim(
    number=15,
    slug="safe-mrepu",
    family="beyond",
    title="One change beside the rate makes MRePU learn XOR at depth 50",
    statement="""A single change of an ordinary MRePU network (a smaller input, a scaled argument, residual branches or
        orthogonal weights), at a rate chosen with it, makes networks of 50 hidden layers learn XOR, which no linear
        network does and they do not without it.""",
    reference="Past the paper: MRePU's critical point repels (a_1 > 0), so depth and steps make its signal explode",
    rule=f"""Of the unchanged network and of each change the best setting, of how far it goes and of the rate, is judged
        by the share of fresh networks that count (Wilson interval at 5 % over {CHANCES}, for as many changes). For each
        power p = 1 and 2: supported if more than half count with some change and fewer than half without any; refuted
        if fewer than half count with every change, or more than half without any; else inconclusive. Supported if it is
        for both, refuted if for one. {COUNTS}""",
    cost={"smoke": 6, "full": 240},
    examine=examine,
)
