"""What claim 15 shows: outcomes, theory beside them, and the ladder drawn."""

from collections.abc import Mapping

import numpy as np

from repu_lab.activations import MRePU
from repu_lab.blocks import PLAIN, RESIDUAL
from repu_lab.claims.base import Cell, Picture, Table
from repu_lab.claims.beyond.ladder import LEVERS, MRePUNetwork, in_words, pulled
from repu_lab.claims.lab import Trained
from repu_lab.claims.statistics import Interval
from repu_lab.claims.training.failure import first_update
from repu_lab.claims.trials import Overrides, Tuned, metrics
from repu_lab.figures.rows import ladder as ladder_figure
from repu_lab.tasks import xor
from repu_lab.theory import Law
from repu_lab.theory.kernel import kernel_layers
from repu_lab.theory.rates import adam_change

Ladder = Mapping[tuple[str, int], Tuned]  # by lever and power
Usual = Mapping[str, Tuned]  # by activation


def outcomes(ladder: Ladder, usual: Usual, shares: Mapping[tuple[str, int], Interval], bar: float) -> Table:
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


def beside_theory(ladder: Ladder, depth: int, overrides: Overrides) -> Table:
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


def picture(ladder: Ladder, usual: Usual, shares: Mapping[tuple[str, int], Interval], depth: int) -> Picture:
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
