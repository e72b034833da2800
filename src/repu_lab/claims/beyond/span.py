"""What claim 14 shows beside its verdict: theory next to measurement, exact networks, costs, the picture."""

import time
from collections.abc import Mapping

import numpy as np
import torch

from repu_lab.activations import Activation, SplineRePU, Tanh
from repu_lab.claims.approximation.constructions import constructions, spline_constructions
from repu_lab.claims.approximation.exact import evaluate
from repu_lab.claims.base import Cell, Picture, Table
from repu_lab.claims.beyond.family import FAMILY, KEPT, affordable, critical_passage
from repu_lab.claims.statistics import Comparison
from repu_lab.claims.trials import Tuned, metrics
from repu_lab.figures.slopes import slopes_and_accuracies
from repu_lab.theory import analyse

ODD, RIVAL = "spline RePU 2", "tanh"
# What theory picks of each kind: `skew` keeps the gradient, `wide` and `one-sided` keep gradient and angle.
PICKED: dict[str, Activation] = {
    ODD: SplineRePU(2),
    "spline RePU 3": SplineRePU(3),
    "skew spline": SplineRePU(3, shift=0.4411),
    "wide spline": SplineRePU(2, plateau=4),
    "one-sided spline": SplineRePU(2, shift=-2.0, plateau=8),
}
THEORY = ("class", "a_1", "b_1", "K", "gradient", "affordable nonlinearity", "angle")
CURVES = (1, 2, 5, 10, 20, 50, 100)  # depths at which theory is drawn


def picked_table(entries: Mapping[str, Tuned], shares: Mapping[str, float], depth: int) -> Table:
    """Return what theory says of each activation beside the share that counts and the accuracies."""
    rows: list[list[Cell]] = []
    for name, entry in entries.items():
        theory: list[Cell] = [None] * 6
        if name in PICKED or name == RIVAL:
            theory = _theory(PICKED.get(name) or Tanh(), depth)[:6]
        rows.append([name, *theory, shares[name], entry.metric])
    return Table(
        caption=f"""Theory beside measurement at depth {depth}: by which factor K and a squared gradient change from
            `critical`; the nonlinearity (sum over layers of the share of s that no line explains) that is affordable
            while K, gradient and angle stay within a factor {KEPT:g}; share that counts and median accuracy.""",
        columns=("activation", *THEORY[:6], "share", "accuracy"),
        rows=rows,
    )


def family_table(depth: int) -> Table:
    """Return the search: every member of the family by its affordable nonlinearity."""
    rows = [[*member, *_theory(SplineRePU(*member), depth)] for member in FAMILY]
    return Table(
        caption=f"The search by theory: changes over {depth} layers from `critical`, and affordable nonlinearity.",
        columns=("p", "shift", "plateau", *THEORY),
        rows=sorted(rows, key=lambda row: -float(row[8] or 0)),
    )


def _theory(activation: Activation, depth: int) -> list[Cell]:
    """Return what THEORY names."""
    known, passed = analyse(activation), critical_passage(activation, depth)
    kind = known.points[0].universality_class if known.points else "none"
    afforded = affordable(activation, depth).nonlinearity
    return [kind, known.a_1, known.b_1, passed.K, passed.gradient, afforded, passed.angle]


def differences(compared: Mapping[tuple[str, str, int], Comparison]) -> Table:
    """Return a row for each comparison of two activations' accuracies at a depth."""
    return Table(
        caption="Differences of accuracy, paired by seed: median with its 95 % interval, Wilcoxon's p, effect (share "
        "of pairs in which the first is the more accurate).",
        columns=("activation", "against", "depth", "difference", "low", "high", "p", "effect"),
        rows=[[*place, *pair.difference, pair.p_value, pair.effect] for place, pair in compared.items()],
    )


def exact_networks(count: int) -> tuple[Table, list[float]]:
    """Evaluate exact networks of spline RePU and MRePU_1 at random points; return also the spline's errors in eps."""
    splines = spline_constructions()
    table, errors = evaluate([*splines, *(n for n in constructions() if n.kind == "MRePU 1")], count)
    return table, errors[: 2 * len(splines)]


def relative_costs(activations: Mapping[str, Activation]) -> dict[str, float]:
    """Return the time of s(z) and its gradient over that of the first activation, on 2^16 numbers of float32.

    Interleaved, medians: the machine's other work falls on all alike.
    """
    z = torch.randn(2**16, generator=torch.Generator().manual_seed(0)).requires_grad_()
    seconds = np.empty((15, len(activations)))
    for row in seconds:
        for i, activation in enumerate(activations.values()):
            start = time.perf_counter()
            torch.autograd.grad(activation(z).sum(), z)
            row[i] = time.perf_counter() - start
    ratios = np.median(seconds / seconds[:, :1], axis=0)
    return dict(zip(activations, ratios.tolist(), strict=True))


def picture(entries: Mapping[str, Tuned], depth: int) -> Picture:
    """Draw slopes, theory and accuracies."""
    shown = {RIVAL: Tanh(), **{name: PICKED[name] for name in entries if name in PICKED}}
    z = torch.linspace(-4, 4, 161, dtype=torch.float64)
    return Picture(
        name="spline",
        caption=f"""a: the slopes of the splines picked by theory. b: by which factor a squared gradient changes
            over a network from `critical`, infinite width. c: accuracy of fresh networks at depth {depth}, each
            activation at the best setting of the same grid; a bar marks the median with its 95 % interval.""",
        alt="""Slopes: bells of different widths. The gradient falls fastest for the odd splines and tanh, least for
            those with a plateau. Points: test accuracy of every network by activation.""",
        figure=slopes_and_accuracies(
            z.numpy(),
            {name: activation.derivative(z).numpy() for name, activation in shown.items()},
            {name: {d: critical_passage(activation, d).gradient for d in CURVES} for name, activation in shown.items()},
            {name: metrics(entry.records) for name, entry in entries.items()},
            {name: entry.median(metrics) for name, entry in entries.items()},
        ),
    )
