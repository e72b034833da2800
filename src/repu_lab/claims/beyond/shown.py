"""What claim 15 shows: outcomes, the price, theory beside it, and the ladder drawn."""

from collections.abc import Mapping

import numpy as np

from repu_lab.activations import MRePU
from repu_lab.blocks import PLAIN, RESIDUAL
from repu_lab.claims.base import Cell, Picture, Table, prose
from repu_lab.claims.beyond.ladder import RUNGS, UNCHANGED, named
from repu_lab.claims.beyond.trials import POWERS, Best, Curved, Judged, Place, rate_of, told
from repu_lab.claims.lab import Trained
from repu_lab.claims.statistics import median_interval, rank_test
from repu_lab.claims.training.failure import first_update
from repu_lab.claims.training.tuning import metrics, share
from repu_lab.tasks.images import digits
from repu_lab.theory import layers
from repu_lab.theory.rates import adam_change


def outcomes(judged: Mapping[Place, Judged], usual: Mapping[str, Trained]) -> Table:
    """Return shares trained and accuracies, a row a rung and power, the usual activations below."""
    rows: list[tuple[str, int | None, str, Trained]] = [
        (named(rung), p, told(found.setting), found.fresh) for (rung, p), found in judged.items()
    ]
    rows += [(name, None, rate_of(run), run) for name, run in usual.items()]
    return Table(
        caption="Fresh networks by what is changed, each at the best setting of its levers, and usual activations at "
        "their best rate: share trained (95 % Wilson interval), median accuracy (95 % bootstrap interval).",
        columns=("changes", "p", "setting", "networks", "trained", "low", "high", "accuracy", "low", "high"),
        rows=[
            [*about, len(run.members), *share([run], "trained"), *median_interval(metrics(run))]
            for *about, run in rows
        ],
    )  # fmt: skip


def price(
    judged: Mapping[Place, Judged], usual: Mapping[str, Trained], best: Best
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


def on_a_curve(curved: Curved) -> list[Table]:
    """Say which settings of the smallest changes leave a network that can bend."""
    table = Table(
        caption="The price in curvature: networks of the smallest changes, at every setting, that learn x^2, of which "
        "a linear network explains nothing: share trained (R^2 above 0.9; 95 % Wilson interval), median R^2 (95 % "
        "bootstrap interval).",
        columns=("changes", "p", "setting", "trained", "low", "high", "R^2", "low", "high"),
        rows=[[*about, *share([run], "trained"), *median_interval(metrics(run))] for about, run in curved.items()],
    )
    return [table] if curved else []


def beside_theory(judged: Mapping[Place, Judged]) -> Table:
    """Set theory before any step beside what the fresh networks show."""
    return Table(
        caption="Theory at infinite width: x = a_1 L K^1 / scale^2; decades by which K grows over the hidden layers, "
        "and the gradient from the last to the first; by how much of its own size Adam's first step may move the "
        "signal, layers added up. Measured, medians over networks and inputs: decades by which K grew before any step "
        "(at width n a typical linear network loses L / (n ln 10)), and by which the first step moved it in the last "
        "hidden layer; bent: the largest sqrt(K) / scale of a layer after the last step, a linear network's is 0.",
        columns=("changes", "p", "x", "K grows", "gradient grows", "first step", "K grew", "K moved", "bent"),
        rows=[[named(rung), p, *_theory(found), *_measured(found)] for (rung, p), found in judged.items()],
    )


def picture(judged: Mapping[Place, Judged], usual: Mapping[str, Trained], depth: int) -> Picture:
    """Draw the ladder."""
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


def _theory(found: Judged) -> list[Cell]:
    """Return x, then theory's growth of K and of the gradient over the hidden layers and the size of Adam's step."""
    net = found.network
    block = PLAIN if net.branch is None else RESIDUAL
    kernel = layers(MRePU(net.p, net.scale), net.C_W, 0.0, net.k1, net.depth, block=block)
    task, width = digits(), _width(found.fresh)
    sizes = (task.train.x.shape[1], *[width] * net.depth, task.outputs)
    change = adam_change(
        MRePU(net.p, net.scale), net.C_W, 0.0, net.k1, sizes, float(task.train.x.abs().mean()), block=block
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
