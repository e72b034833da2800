"""What claim 14 shows beside its verdict: theory next to measurement, exact networks, costs, the picture."""

import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from repu_lab.activations import Activation, SplineRePU, Tanh
from repu_lab.claims.approximation.constructions import Construction, constructions, spline_constructions
from repu_lab.claims.approximation.exact import DTYPES, box, error_in_eps, name
from repu_lab.claims.base import Cell, Picture, Table, prose
from repu_lab.claims.beyond.family import FAMILY, KEPT, affordable, critical_passage
from repu_lab.claims.contest import Case, Entries, case_rows, misclassified, relative_l2
from repu_lab.claims.statistics import Comparison, median_interval
from repu_lab.theory import analyse

Accuracy = Mapping[tuple[str, int], NDArray[np.float64]]  # of the fresh networks, by activation and depth

ODD, RIVAL = "spline RePU 2", "tanh"
# What theory picks of each kind: `skew` keeps the gradient, `wide` and `one-sided` keep gradient and angle.
PICKED: dict[str, Activation] = {
    ODD: SplineRePU(2),
    "spline RePU 3": SplineRePU(3),
    "skew spline": SplineRePU(3, shift=0.4411),
    "wide spline": SplineRePU(2, plateau=4),
    "one-sided spline": SplineRePU(2, shift=-2.0, plateau=8),
}
CURVES = (1, 2, 5, 10, 20, 50, 100)  # depths at which theory is drawn


def picked_table(entries: Entries, names: Sequence[str], accuracy: Accuracy, depth: int, case: Case) -> Table:
    """Return what theory says of each activation beside how its networks trained."""
    rows: list[list[Cell]] = []
    for who in names:
        theory: list[Cell] = [None] * 6
        if who in PICKED or who == RIVAL:
            activation = PICKED.get(who) or Tanh()
            found = analyse(activation)
            passed, most = critical_passage(activation, depth), affordable(activation, depth)
            kind = found.points[0].universality_class if found.points else "none"
            theory = [kind, found.a_1, found.b_1, passed.K, passed.gradient, most.nonlinearity]
        rows.append([who, *theory, entries[who, case].trained.estimate, float(np.median(accuracy[who, depth]))])
    return Table(
        caption=f"Theory beside measurement at depth {depth}: by which factor K and a squared gradient change from "
        "`critical`; the nonlinearity (sum over layers of the share of s that no line explains) that is affordable "
        f"while K, gradient and angle stay within a factor {KEPT:g}; share trained and median accuracy.",
        columns=("activation", "class", "a_1", "b_1", "K", "gradient", "affordable nonlinearity", "trained",
                 "accuracy"),
        rows=rows,
    )  # fmt: skip


def family_table(depth: int) -> Table:
    """Return the search: every member of the family by its affordable nonlinearity."""
    rows: list[list[Cell]] = []
    for p, shift, plateau in FAMILY:
        activation = SplineRePU(p, shift, plateau)
        found, passed, most = analyse(activation), critical_passage(activation, depth), affordable(activation, depth)
        rows.append([p, shift, plateau, found.points[0].universality_class, found.a_1, found.b_1, passed.K,
                     passed.gradient, passed.angle, most.nonlinearity])  # fmt: skip
    return Table(
        caption=f"The search by theory: changes over {depth} layers from `critical`, and affordable nonlinearity.",
        columns=("p", "shift", "plateau", "class", "a_1", "b_1", "K", "gradient", "angle", "affordable nonlinearity"),
        rows=sorted(rows, key=lambda row: -float(row[-1] or 0)),
    )


def fresh_table(entries: Entries) -> Table:
    """Return how the fresh networks of every activation and task did."""
    rows: list[list[Cell]] = []
    for digits, errors in ((True, misclassified), (False, relative_l2)):
        chosen = {place: entry for place, entry in entries.items() if (place[1].name == "digits") is digits}
        rows += case_rows(chosen, {"error": errors})
    return Table(
        caption="Fresh networks at the best setting: share trained, median error with its 95 % interval (digits: share "
        "misclassified; polynomials: relative L2).",
        columns=("task", "depth", "activation", "initialization", "rate", "trained", "error", "low", "high"),
        rows=rows,
    )


def differences(found: Mapping[tuple[str, str, int], Comparison]) -> Table:
    """Return a row for each comparison of two activations' accuracies at a depth."""
    return Table(
        caption="Differences of accuracy, paired by seed: median with its 95 % interval, Wilcoxon's p, effect (share "
        "of pairs in which the first is the more accurate).",
        columns=("activation", "against", "depth", "difference", "low", "high", "p", "effect"),
        rows=[[*place, *one.difference, one.p_value, one.effect] for place, one in found.items()],
    )


def exact_networks(count: int) -> tuple[Table, list[float]]:
    """Evaluate exact networks of spline RePU and MRePU_1 at random points; return also the spline's errors in eps."""
    splines = spline_constructions()
    rows: list[list[Cell]] = []
    errors: list[float] = []
    for one in (*splines, *(one for one in constructions() if name(one) == "MRePU 1")):
        inside = [error_in_eps(one, dtype, box(count, 1.0)) for dtype in DTYPES]
        errors += inside if one in splines else []
        rows.append([name(one), one.target, one.neurons, len(one.layers), *inside, _beyond(one, count)])
    table = Table(
        caption="Exact networks: largest absolute error on [-1, 1]^3 in units of eps, and on [-2, 2]^3 in units of the "
        "polynomial's largest value there.",
        columns=("activation", "polynomial", "neurons", "hidden layers", *DTYPES, "[-2, 2]^3"),
        rows=rows,
    )
    return table, errors


def _beyond(one: Construction, count: int) -> float:
    return error_in_eps(one, "float64", box(count, 2.0)) * torch.finfo(torch.float64).eps


def relative_costs(activations: Mapping[str, Activation], repeats: int = 15) -> dict[str, float]:
    """Return the time of s(z) and its gradient over that of the first activation, on 2^16 numbers of float32.

    Interleaved, medians: the machine's other work falls on all alike.
    """
    z = torch.randn(2**16, generator=torch.Generator().manual_seed(0)).requires_grad_()
    seconds = np.empty((repeats, len(activations)))
    for row in seconds:
        for i, activation in enumerate(activations.values()):
            start = time.perf_counter()
            torch.autograd.grad(activation(z).sum(), z)
            row[i] = time.perf_counter() - start
    ratios = np.median(seconds / seconds[:, :1], axis=0)
    return dict(zip(activations, ratios.tolist(), strict=True))


def picture(accuracy: Accuracy, names: Sequence[str], depth: int) -> Picture:
    """Draw slopes, theory and accuracies."""
    from repu_lab.figures.claims_beyond import span

    shown = {RIVAL: Tanh(), **{who: PICKED[who] for who in names if who in PICKED}}
    z = torch.linspace(-4, 4, 161, dtype=torch.float64)
    passages = {who: [critical_passage(activation, d) for d in CURVES] for who, activation in shown.items()}
    return Picture(
        name="spline",
        caption=prose(f"""a: the slopes of the splines picked by theory. b: by which factor a squared gradient changes
            over a network from `critical`, infinite width. c: accuracy of fresh networks at depth {depth}, each
            activation at the best setting of the same grid; a bar marks the median with its 95 % interval."""),
        alt="Slopes: bells of different widths. The gradient falls fastest for the odd splines and tanh, least for "
        "those with a plateau. Points: test accuracy of every network by activation.",
        figure=span(
            z.numpy(), {who: activation.derivative(z).numpy() for who, activation in shown.items()}, CURVES,
            {who: [passed.gradient for passed in found] for who, found in passages.items()},
            {who: accuracy[who, depth] for who in names},
            {who: median_interval(accuracy[who, depth]) for who in names},
        ),
    )  # fmt: skip
