"""Claim 15: whether a single change makes an MRePU network of 50 layers learn what no linear network does."""

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np

from repu_lab.activations import MRePU
from repu_lab.blocks import PLAIN, RESIDUAL
from repu_lab.claims.base import Cell, Claim, Evidence, Picture, Table
from repu_lab.claims.beyond.ladder import LEVERS, RATES, UNCHANGED, MRePUNetwork, in_words, pulled, settings
from repu_lab.claims.contest import COUNTS, CRITERION, LINEAR, MARGIN, Case, contest, deep_grid, sizes
from repu_lab.claims.lab import Lab, Trained
from repu_lab.claims.statistics import Interval
from repu_lab.claims.training.failure import first_update
from repu_lab.claims.trials import Overrides, Tuned, metrics, tuned
from repu_lab.claims.verdicts import Verdict, above, below, one_of, together
from repu_lab.figures.rows import ladder as ladder_figure
from repu_lab.tasks import xor
from repu_lab.theory import Law
from repu_lab.theory.kernel import kernel_layers
from repu_lab.theory.rates import adam_change

POWERS = (1, 2)
USUAL = ("tanh", "ReLU", LINEAR)  # what else learns there, and the baseline
CHANCES = len(LEVERS) - 1

Ladder = Mapping[tuple[str, int], Tuned]  # by lever and power
Shares = Mapping[tuple[str, int], Interval]  # of the fresh networks that count
Usual = Mapping[str, Tuned]  # by activation


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
        tables=[_outcomes(ladder, usual, shares, bar), _beside_theory(ladder, depth, case.overrides)],
        pictures=[_picture(ladder, usual, shares, depth)],
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


def _outcomes(ladder: Ladder, usual: Usual, shares: Shares, bar: float) -> Table:
    """Return shares and accuracies, a row a change and power, the usual activations below."""

    def row(name: str, p: int | None, setting: str, entry: Tuned, share: Interval) -> list[Cell]:
        return [name, p, setting, len(entry.records), *share, *entry.median(metrics)]

    rows = [row(lever, p, in_words(entry.setting), entry, shares[lever, p]) for (lever, p), entry in ladder.items()]
    rows += [row(name, None, entry.setting[1], entry, entry.reached(bar)) for name, entry in usual.items()]
    return Table(
        caption="""Fresh networks by what is changed, each at its best setting and rate, and usual activations at their
            best rate: share that counts (Wilson interval at the level of the rule; 95 % for usual ones), median
            accuracy (95 % bootstrap interval).""",
        columns=("change", "p", "setting, rate", "networks", "share", "low", "high", "accuracy", "low", "high"),
        rows=rows,
    )


def _beside_theory(ladder: Ladder, depth: int, overrides: Overrides) -> Table:
    """Set theory before any step beside what the fresh networks show."""
    width = int(dict(text.split("=", 1) for text in overrides)["width"])
    return Table(
        caption="""Theory at infinite width: x = a_1 L K^1 / scale^2; decades by which K grows over the hidden layers,
            and the gradient from the last to the first; by how much of its own size Adam's first step may move the
            signal, layers added up. Measured, medians over the networks of the first division and inputs: decades by
            which K grew before any step (at width n a typical linear network loses L / (n ln 10)), and by which the
            first step moved it in the last hidden layer; bent: the largest sqrt(K) / scale of a layer after the last
            step, a linear network's is 0.""",
        columns=("change", "p", "x", "K grows", "gradient grows", "first step", "K grew", "K moved", "bent"),
        rows=[
            [lever, p, *_theory(network, width), *_measured(network, entry.fresh[0])]
            for (lever, p), entry in ladder.items()
            for network in [pulled(lever, entry.setting, p, depth)]
        ],
    )


def _picture(ladder: Ladder, usual: Usual, shares: Shares, depth: int) -> Picture:
    """Draw the ladder."""
    rows = {lever: {p: (shares[lever, p], ladder[lever, p].median(metrics)) for p in (1, 2)} for lever in LEVERS}
    return Picture(
        name="ladder",
        caption=f"""MRePU networks of {depth} hidden layers by what is changed, each at its best setting and rate. a:
            share of fresh networks that count, with Wilson intervals at the level of the rule. b: their median
            accuracy, with 95 % intervals; lines: tanh, ReLU and the identity at their best rate.""",
        alt="""A row for each change: none, input scale, argument scale, residual branches, orthogonal weights. Points
            show the share of networks that count and their accuracy for p = 1 and 2.""",
        figure=ladder_figure(rows, {name: entry.metric for name, entry in usual.items()}),
    )


def _theory(network: MRePUNetwork, width: int) -> list[Cell]:
    """Return x, then theory's growth of K and of the gradient over the hidden layers and the size of Adam's step."""
    task, block = xor(), PLAIN if network.branch is None else RESIDUAL
    sizes = (task.train.x.shape[1], *[width] * network.depth, task.outputs)
    C_W, C_b = (network.C_W,) * network.depth, (0.0,) * network.depth
    law = Law(MRePU(network.p, network.scale), C_W, C_b, network.k1, sizes, block, weights=network.weights)
    kernel, change = kernel_layers(law), adam_change(law, float(task.train.x.abs().mean()))
    return [
        network.a_1 * network.depth * network.k1 / network.scale**2,
        float(kernel.log10_K[-2] - kernel.log10_K[0]),
        float(kernel.log10_chi_perp[:-2].sum()),
        network.rate * change,
    ]


def _measured(network: MRePUNetwork, run: Trained) -> list[Cell]:
    """Return what the fresh networks show of it: growth of K before any step, the first step, how bent they end."""
    log10_K = run.statistics["log10_K"]
    with np.errstate(invalid="ignore", over="ignore"):
        grown = np.median(log10_K[0, -2] - log10_K[0, 0])
        bent = np.median(10 ** (log10_K[-1, :-1].max(axis=0) / 2)) / network.scale
    return [float(grown), first_update([run]), float(bent)]


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
