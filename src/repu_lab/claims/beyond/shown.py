"""What claim 15 shows: outcomes, the price, theory beside it, and the ladder drawn."""

import numpy as np

from repu_lab.activations import MRePU
from repu_lab.blocks import PLAIN, RESIDUAL
from repu_lab.claims.base import Cell, Picture, Table
from repu_lab.claims.beyond.ladder import RUNGS, Network, named, pulled, said
from repu_lab.claims.beyond.trials import POWERS, Best, Ladder, RungShares, Usual, sizes
from repu_lab.claims.lab import Lab, Trained
from repu_lab.claims.statistics import Interval, median_interval, rank_test
from repu_lab.claims.training.failure import first_update
from repu_lab.claims.trials import Judged, metrics
from repu_lab.figures.rows import ladder as ladder_figure
from repu_lab.tasks import xor
from repu_lab.theory import Law
from repu_lab.theory.kernel import kernel_layers
from repu_lab.theory.rates import adam_change


def outcomes(ladder: Ladder, usual: Usual, shares: RungShares, bar: float) -> Table:
    """Return shares and accuracies, a row a rung and power, the usual activations below."""
    rows = [
        [named(rung), p, said(judged.setting), *_counted(judged, shares[rung, p])]
        for (rung, p), judged in ladder.items()
    ]
    rows += [[name, None, judged.setting, *_counted(judged, judged.reached(bar))] for name, judged in usual.items()]
    return Table(
        caption="""Fresh networks by what is changed, each at the best setting of its levers, and usual activations at
            their best rate: share that counts (95 % Wilson interval), median accuracy (95 % bootstrap interval).""",
        columns=("changes", "p", "setting", "networks", "share", "low", "high", "accuracy", "low", "high"),
        rows=rows,
    )


def _counted(judged: Judged, share: Interval) -> list[Cell]:
    return [len(judged.networks), *share, *median_interval(metrics(judged.networks))]


def price(ladder: Ladder, usual: Usual, best: Best) -> list[Table]:
    """Compare the smallest change that works, if any does, with the usual activations."""
    rows: list[list[Cell]] = []
    for p, rung in best.items():
        if rung is None:
            continue
        for name, judged in usual.items():
            compared = rank_test(metrics(ladder[rung, p].networks), metrics(judged.networks))
            rows.append([named(rung), p, name, *compared.difference, compared.p_value, compared.effect])
    table = Table(
        caption="""The price: accuracy with the smallest change that works less that of usual activations, median
            difference of pairs with its 95 % interval, p-value of the Mann-Whitney test, share of pairs in which MRePU
            is the more accurate.""",
        columns=("changes", "p", "against", "difference", "low", "high", "p-value", "effect"),
        rows=rows,
    )
    return [table] if rows else []


def beside_theory(lab: Lab, ladder: Ladder, depth: int) -> Table:
    """Set theory before any step beside what the fresh networks show."""
    width = int(dict(text.split("=", 1) for text in sizes(lab))["width"])
    return Table(
        caption="""Theory at infinite width: x = a_1 L K^1 / scale^2; decades by which K grows over the hidden layers,
            and the gradient from the last to the first; by how much of its own size Adam's first step may move the
            signal, layers added up. Measured, medians over networks and inputs: decades by which K grew before any step
            (at width n a typical linear network loses L / (n ln 10)), and by which the first step moved it in the last
            hidden layer; bent: the largest sqrt(K) / scale of a layer after the last step, a linear network's is 0.""",
        columns=("changes", "p", "x", "K grows", "gradient grows", "first step", "K grew", "K moved", "bent"),
        rows=[
            [named(rung), p, *_theory(network, width), *_measured(network, judged.fresh[0])]
            for (rung, p), judged in ladder.items()
            for network in [pulled(rung, judged.setting, p, depth)]
        ],
    )


def picture(ladder: Ladder, usual: Usual, shares: RungShares, depth: int) -> Picture:
    """Draw the ladder."""
    rows = {
        named(rung): {p: (shares[rung, p], median_interval(metrics(ladder[rung, p].networks))) for p in POWERS}
        for rung in RUNGS
    }
    return Picture(
        name="ladder",
        caption=f"""MRePU networks of {depth} hidden layers by what is changed, each at the best of the same
            number of settings. a: share of fresh networks that count, with 95 % Wilson intervals. b: their median
            accuracy, with 95 % intervals; lines: tanh, ReLU and the identity, tuned alike.""",
        alt="""A row for each change: none, one or two of input scale, argument scale, residual branches and a
            smaller rate. Points show the share of networks that count and their accuracy for p = 1 and 2.""",
        figure=ladder_figure(rows, {name: judged.metric for name, judged in usual.items()}),
    )


def _theory(network: Network, width: int) -> list[Cell]:
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


def _measured(network: Network, run: Trained) -> list[Cell]:
    """Return what the fresh networks show of it: growth of K before any step, the first step, how bent they end."""
    log10_K = run.statistics["log10_K"]
    with np.errstate(invalid="ignore", over="ignore"):
        grown = np.median(log10_K[0, -2] - log10_K[0, 0])
        bent = np.median(10 ** (log10_K[-1, :-1].max(axis=0) / 2)) / network.scale
    return [float(grown), first_update(run), float(bent)]
