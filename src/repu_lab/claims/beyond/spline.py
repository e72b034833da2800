"""Claim 14: a bounded activation in the span of RePU trains at depths at which RePU and MRePU do not."""

import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from repu_lab.activations import Activation, MRePU, SplineRePU, Tanh
from repu_lab.claims.approximation.constructions import (
    TARGETS,
    Construction,
    constructions,
    spline_constructions,
)
from repu_lab.claims.approximation.exact import DTYPES, EXACT, box, error_in_eps, name
from repu_lab.claims.approximation.exact import judge as judge_exact
from repu_lab.claims.base import Cell, Claim, Evidence, Picture, Table, prose
from repu_lab.claims.beyond.family import FAMILY, KEPT, affordable, critical_passage
from repu_lab.claims.contest import Case, Entries, Entry, case_rows, hold, misclassified, pooled, relative_l2, standing
from repu_lab.claims.lab import Lab
from repu_lab.claims.statistics import Comparison, Interval, median_interval, paired_test
from repu_lab.claims.training.tuning import Grid, scale_of
from repu_lab.claims.verdicts import Verdict, above, together
from repu_lab.theory import analyse

ODD, RIVAL = "spline RePU 2", "tanh"
MARGIN = 0.05  # of accuracy: a twentieth of the test examples
# What theory picks of each kind: `skew` keeps the gradient, `wide` and `one-sided` keep gradient and angle.
PICKED: dict[str, Activation] = {
    ODD: SplineRePU(2),
    "spline RePU 3": SplineRePU(3),
    "skew spline": SplineRePU(3, shift=0.4411),
    "wide spline": SplineRePU(2, plateau=4),
    "one-sided spline": SplineRePU(2, shift=-2.0, plateau=8),
}
SHALLOW = ("MRePU 1", "MRePU 2", ODD, "wide spline")
CURVES = (1, 2, 5, 10, 20, 50, 100)  # depths at which theory is drawn


def examine(lab: Lab) -> Evidence:
    """Train deep networks of what theory picks, beside others; evaluate exact networks; learn polynomials."""
    depth, deeper = lab.choose(smoke=(20, 30), full=(50, 100))
    names, deep_names, curved_names = lab.choose(
        smoke=((RIVAL, ODD, "wide spline"), (RIVAL, ODD), (ODD, "wide spline", "identity")),
        full=(
            (RIVAL, *PICKED, "GELU", "ReLU", "identity"),
            (RIVAL, ODD, "wide spline"),
            (RIVAL, *PICKED, "identity"),
        ),
    )
    grid = lab.choose(
        smoke=Grid(("critical",), ("1e-3",), 1, 6), full=Grid(("critical",), ("3e-4", "1e-3"), 2, lab.seeds)
    )
    digits = {d: Case(name="digits", depth=d, overrides=scale_of(lab)) for d in (depth, deeper)}
    narrow = ("task=polynomial", "width=32", "batch_size=128", f"steps={lab.choose(smoke=100, full=400)}")
    deep_curved, shallow = (Case(name="x, x^2, xy, xyz", depth=d, overrides=narrow) for d in (depth, 2))
    entries: dict[tuple[str, Case], Entry] = {}
    contests = (
        (names, digits[depth], misclassified), (deep_names, digits[deeper], misclassified),
        (curved_names, deep_curved, relative_l2), (SHALLOW, shallow, relative_l2),
    )  # fmt: skip
    for i, (contestants, case, errors) in enumerate(contests):
        part = (i / len(contests), (i + 1) / len(contests))
        entries |= hold(lab, contestants, [case], grid, errors, part=part)
    accuracy = {
        (who, case.depth): 1 - misclassified(entry.fresh)
        for (who, case), entry in entries.items() if case.name == "digits"
    }  # fmt: skip
    gaps = {d: paired_test(accuracy[ODD, d], accuracy[RIVAL, d]) for d in digits}
    shares = {d: entries[ODD, case].trained for d, case in digits.items()}
    exact_rows, exact_errors = _exact(lab)
    curved = {who: pooled(entries, who, [deep_curved], relative_l2) for who in curved_names}
    polynomial = {who: pooled(entries, who, [shallow], relative_l2) for who in SHALLOW}
    better = {
        who: paired_test(accuracy[who, depth], accuracy[ODD, depth]) for who in names if who in PICKED and who != ODD
    }
    best = max((who for who in names if who in PICKED), key=lambda who: float(np.median(accuracy[who, depth])))
    costs = relative_costs({RIVAL: Tanh(), "MRePU 1": MRePU(1), ODD: PICKED[ODD], "wide spline": PICKED["wide spline"]})
    return Evidence(
        setup=_set_up(lab, grid, depth, deeper),
        verdict=judge(list(shares.values()), [gap.difference for gap in gaps.values()], exact_errors),
        reason=_reason(shares, gaps, better, best, curved, polynomial, exact_rows, costs),
        seeds=grid.members,
        numbers={
            **{f"share trained at depth {d}, {ODD}": share.estimate for d, share in shares.items()},
            **{f"accuracy at depth {d} minus {RIVAL}'s": gap.difference.estimate for d, gap in gaps.items()},
            "largest error of exact networks in eps": max(exact_errors),
            **{f"time of s and s', {who}, over {RIVAL}'s": cost for who, cost in costs.items()},
        },
        tables=[
            _picked_table(entries, names, accuracy, depth, digits[depth]),
            *([_family_table(depth)] if lab.scale == "full" else []),
            _better_table(better, gaps),
            Table(
                caption="Fresh networks at the best setting: share trained, median error with its 95 % interval "
                "(digits: share misclassified; polynomials: relative L2).",
                columns=("task", "depth", "activation", "initialization", "rate", "trained", "error", "low", "high"),
                rows=[
                    *case_rows({key: e for key, e in entries.items() if key[1].name == "digits"}, {"": misclassified}),
                    *case_rows({key: e for key, e in entries.items() if key[1].name != "digits"}, {"": relative_l2}),
                ],
            ),
            Table(
                caption="Exact networks: largest absolute error on [-1, 1]^3 in units of eps, and on [-2, 2]^3 in "
                "units of the polynomial's largest value there.",
                columns=("activation", "polynomial", "neurons", "hidden layers", *DTYPES, "[-2, 2]^3"),
                rows=exact_rows,
            ),
        ],
        pictures=[_picture(accuracy, names, depth)],
    )


def judge(shares: Sequence[Interval], gaps: Sequence[Interval], errors: Sequence[float]) -> Verdict:
    """Apply the rule: most train at each depth, no less accurate than tanh by MARGIN, and exact networks are exact."""
    trained = [above(share, 0.5) for share in shares]
    return together([*trained, *(above(gap, -MARGIN) for gap in gaps), judge_exact(errors)])


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


def _exact(lab: Lab) -> tuple[list[list[Cell]], list[float]]:
    """Return a row for each exact network of spline RePU and of MRePU_1, and the spline's errors on the box in eps."""
    count = lab.choose(smoke=20_000, full=300_000)
    splines = spline_constructions()
    rivals = [one for one in constructions() if name(one) == "MRePU 1"]
    rows: list[list[Cell]] = []
    errors: list[float] = []
    for one in (*splines, *rivals):
        inside = [error_in_eps(one, dtype, box(count, 1.0)) for dtype in DTYPES]
        errors += inside if one in splines else []
        rows.append([name(one), one.target, one.neurons, len(one.layers), *inside, _beyond(one, count)])
    return rows, errors


def _beyond(one: Construction, count: int) -> float:
    return error_in_eps(one, "float64", box(count, 2.0)) * torch.finfo(torch.float64).eps


def _set_up(lab: Lab, grid: Grid, depth: int, deeper: int) -> str:
    sizes = dict(text.split("=") for text in scale_of(lab))
    return prose(f"""Digits, width {sizes["width"]}, batches of {sizes["batch_size"]}, {sizes["steps"]} steps, float32,
        depths {depth} and {deeper}; the polynomials x, x^2, xy, xyz at width 32, depths 2 and {depth}; for every
        activation the same {grid}. Skew: p = 3, shift 0.4411, where b_1 = 0; wide: p = 2, a plateau of 4 B-splines;
        one-sided: p = 2, a plateau of 8 shifted by -2, linear from -1 to 5. They were picked by theory from
        {len(FAMILY)} members of the family. Identity shows what a network that stays linear does.""")


def _reason(
    shares: Mapping[int, Interval], gaps: Mapping[int, Comparison], better: Mapping[str, Comparison], best: str,
    curved: Mapping[str, np.ndarray], polynomial: Mapping[str, np.ndarray], exact_rows: Sequence[Sequence[Cell]],
    costs: Mapping[str, float],
) -> str:  # fmt: skip
    depths = "; ".join(
        f"depth {d}: {share} of {ODD} train, accuracy less {RIVAL}'s {gaps[d].difference}"
        for d, share in shares.items()
    )
    found = ", ".join(f"{who} {c.difference.estimate:+.3f} (p = {c.p_value:.2g})" for who, c in better.items())
    neurons = " and ".join(
        f"{', '.join(str(row[2]) for row in exact_rows if row[0] == kind)} ({kind})"
        for kind in dict.fromkeys(row[0] for row in exact_rows)
    )
    return prose(f"""{depths}. Best of the span at depth {min(shares)}: {best}; accuracy less {ODD}'s: {found}. Learning
        polynomials, relative L2 error at that depth: {standing(curved)}; with 2 layers: {standing(polynomial)}. Exact
        networks for {", ".join(TARGETS)} take {neurons} neurons; s and s' take
        {costs[ODD] / costs["MRePU 1"]:.2g} times as long as those of MRePU 1""")


def _picked_table(
    entries: Entries, names: Sequence[str], accuracy: Mapping[tuple[str, int], np.ndarray], depth: int, case: Case
) -> Table:
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


def _family_table(depth: int) -> Table:
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


def _better_table(better: Mapping[str, Comparison], gaps: Mapping[int, Comparison]) -> Table:
    rows: list[list[Cell]] = [
        [ODD, f"{RIVAL}, depth {d}", *gap.difference, gap.p_value, gap.effect] for d, gap in gaps.items()
    ]
    rows += [
        [who, f"{ODD}, depth {min(gaps)}", *found.difference, found.p_value, found.effect]
        for who, found in better.items()
    ]
    return Table(
        caption="Differences of accuracy, paired by seed: median with its 95 % interval, Wilcoxon's p, effect (share "
        "of pairs in which the first is the more accurate).",
        columns=("activation", "against", "difference", "low", "high", "p", "effect"),
        rows=rows,
    )


def _picture(accuracy: Mapping[tuple[str, int], np.ndarray], names: Sequence[str], depth: int) -> Picture:
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


CLAIM = Claim(
    number=14, slug="spline", family="beyond",
    title="A bounded activation in the span of RePU trains 50 layers and more",
    statement=prose("""Spline RePU, a combination of shifted RePUs that is as smooth and has a_1 < 0, trains at depth
        50 and beyond as well as tanh, and represents polynomials exactly on a box."""),
    reference="past the paper (Kim & Kang, arXiv:2408.02697)",
    rule=prose(f"""For the odd spline RePU of degree 2. Supported if at both depths more than half of its fresh
        networks train (95 % Wilson interval) with an accuracy of at least {RIVAL}'s less {MARGIN:g} (95 % interval of
        the median difference, paired by seed), and its networks for x, x^2, xy and xyz err by at most {EXACT:g} eps.
        Refuted if one of these lies on the other side. Else inconclusive. What else theory picks from the span stands
        beside it and does not decide."""),
    cost={"smoke": 15, "full": 350},
    examine=examine,
)  # fmt: skip
