"""Claim 14: a bounded activation in the span of RePU learns at depths at which RePU and MRePU do not."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from repu_lab.activations import MRePU, Tanh
from repu_lab.claims.approximation.constructions import TARGETS
from repu_lab.claims.approximation.exact import EXACT
from repu_lab.claims.approximation.exact import judge as judge_exact
from repu_lab.claims.base import Claim, Evidence, Table
from repu_lab.claims.beyond.family import FAMILY
from repu_lab.claims.beyond.span import (
    ODD,
    PICKED,
    RIVAL,
    Accuracy,
    differences,
    exact_networks,
    family_table,
    picked_table,
    picture,
    relative_costs,
)
from repu_lab.claims.comparing import standing
from repu_lab.claims.contest import (
    COUNTS,
    LINEAR,
    ORTHOGONAL,
    Case,
    Grid,
    accuracy_table,
    contest,
    counting,
    described,
    fresh_table,
    sizes,
)
from repu_lab.claims.lab import Lab
from repu_lab.claims.statistics import Comparison, Interval, paired_test
from repu_lab.claims.trials import metrics, relative_l2
from repu_lab.claims.verdicts import Verdict, above, together

MARGIN = 0.05  # of accuracy: a twentieth of the test examples
SHALLOW = ("MRePU 1", "MRePU 2", ODD, "wide spline")
Differences = Mapping[tuple[str, str, int], Comparison]  # of accuracy: first, second, depth


def examine(lab: Lab) -> Evidence:
    """Train deep networks of what theory picks, beside others; evaluate exact networks; learn polynomials."""
    depth, deeper = lab.choose(smoke=(20, 30), full=(50, 100))
    names, deep_names = lab.choose(
        smoke=((RIVAL, ODD, "wide spline", LINEAR), (RIVAL, ODD, LINEAR)),
        full=((RIVAL, *PICKED, "GELU", "ReLU", LINEAR), (RIVAL, ODD, "wide spline", "one-sided spline", LINEAR)),
    )
    grid = lab.choose(
        smoke=Grid(("critical",), ("1e-3",), 1, 6),
        full=Grid(("critical",), ("1e-4", "3e-4", "1e-3"), 2, 4, splits=3),
    )
    xor, digits = ({d: Case(name, d, sizes(lab, name.lower())) for d in (depth, deeper)} for name in ("XOR", "digits"))
    narrow = ("task=polynomial", "width=32", "batch_size=128", f"steps={lab.choose(smoke=100, full=400)}")
    shallow = Case("x, x^2, xy, xyz", 2, narrow)
    few = lab.choose(smoke=(RIVAL, ODD, LINEAR), full=(RIVAL, ODD, "one-sided spline", LINEAR))
    turned = xor[depth].orthogonal
    places = [*product(names, [xor[depth]]), *product(deep_names, [xor[deeper]]), *product(few, [turned])]
    deep = contest(lab, places, grid, part=(0.0, 0.6))
    linear = contest(lab, product(few, digits.values()), grid, part=(0.6, 0.9))
    curved = contest(lab, product(SHALLOW, [shallow]), grid, part=(0.9, 1.0))
    counted = counting(deep)
    shares = {d: counted[ODD, case] for d, case in xor.items()}
    accuracy = {(name, case.depth): metrics(entry.networks) for (name, case), entry in deep.items() if case != turned}
    compared = compare(accuracy, depth, deeper)
    gaps = {d: compared[ODD, RIVAL, d].difference for d in xor}
    exact, exact_errors = exact_networks(lab.choose(smoke=20_000, full=300_000))
    polynomial = {name: relative_l2(entry.networks) for (name, _), entry in curved.items()}
    costs = relative_costs({RIVAL: Tanh(), "MRePU 1": MRePU(1), ODD: PICKED[ODD], "wide spline": PICKED["wide spline"]})
    return Evidence(
        setup=f"""XOR, the signs of x_1 x_2 and x_3 x_4 as four classes, {described(sizes(lab))}, float32, depths
            {depth} and {deeper}; the digits, which linear networks learn too; the polynomials x, x^2, xy, xyz at width
            32, depth 2; for every activation the same {grid}. {COUNTS} Skew: p = 3, shift 0.4411, where b_1 = 0;
            wide: p = 2, a plateau of 4 B-splines; one-sided: p = 2, a plateau of 8 shifted by -2, linear from -1 to 5.
            They were picked by theory from {len(FAMILY)} members of the family.""",
        verdict=judge(list(shares.values()), list(gaps.values()), exact_errors),
        reason=f"""{_standing(shares, compared, accuracy)}. With {ORTHOGONAL} at depth {depth} count
            {", ".join(f"{name} {counted[name, turned].estimate:.0%}" for name in few)}. Digits, median accuracy:
            {", ".join(f"{name} {entry.metric:.1%} at depth {case.depth}" for (name, case), entry in linear.items())}.
            Learning polynomials with 2 layers, relative L2 error: {standing(polynomial)}. Exact networks for
            {", ".join(TARGETS)} take {_neurons(exact)} neurons; s and s' take {costs[ODD] / costs["MRePU 1"]:.2g} times
            as long as those of MRePU 1""",
        seeds=grid.fresh,
        numbers={
            **{f"share that counts at depth {d}, {ODD}": share.estimate for d, share in shares.items()},
            **{f"accuracy at depth {d} less {RIVAL}'s": gap.estimate for d, gap in gaps.items()},
            "largest error of exact networks in eps": max(exact_errors),
            **{f"time of s and s', {name}, over {RIVAL}'s": cost for name, cost in costs.items()},
        },
        tables=[
            picked_table({name: (counted[name, xor[depth]], accuracy[name, depth]) for name in names}, depth),
            *([family_table(depth)] if lab.scale == "full" else []),
            differences(compared),
            accuracy_table(deep, counted),
            fresh_table(linear, {"accuracy": metrics}, "digits, share trained and median accuracy"),
            fresh_table(
                curved, {"relative L2": relative_l2}, "polynomials, share trained and median relative L2 error"
            ),
            exact,
        ],
        pictures=[picture({name: accuracy[name, depth] for name in names}, depth)],
    )


def compare(accuracy: Accuracy, depth: int, deeper: int) -> dict[tuple[str, str, int], Comparison]:
    """Compare the odd spline with tanh, the other splines with it, and the best one with all else, at each depth."""
    pairs = [(ODD, RIVAL, d) for d in (depth, deeper)]
    pairs += [(name, ODD, d) for name, d in accuracy if name in PICKED and name != ODD]
    pairs += [(best_of(accuracy, d), name, d) for name, d in accuracy if name not in PICKED]
    return {(name, rival, d): paired_test(accuracy[name, d], accuracy[rival, d]) for name, rival, d in pairs}


def best_of(accuracy: Accuracy, depth: int) -> str:
    """Return the spline with the largest median accuracy."""
    splines = [name for name, d in accuracy if d == depth and name in PICKED]
    return max(splines, key=lambda name: np.median(accuracy[name, depth]))


def _standing(shares: Mapping[int, Interval], compared: Differences, accuracy: Accuracy) -> str:
    """Say how the odd spline does, and by how much the most accurate spline of each depth is ahead."""
    parts = []
    for d, share in shares.items():
        best = best_of(accuracy, d)
        ahead = [
            f", {comparison.difference} (p = {comparison.p_value:.2g}) more than {rival}"
            for (name, rival, at), comparison in compared.items()
            if (name, at) == (best, d) and rival in (ODD, RIVAL) and best != ODD
        ]
        parts.append(
            f"""depth {d}: {share} of {ODD} count, accuracy less {RIVAL}'s {compared[ODD, RIVAL, d].difference}; the
            best of the span there is the {best}, accuracy {np.median(accuracy[best, d]):.1%}{"".join(ahead)}"""
        )
    return "; ".join(parts)


def _neurons(exact: Table) -> str:
    kinds = dict.fromkeys(row[0] for row in exact.rows)
    return " and ".join(f"{', '.join(str(row[2]) for row in exact.rows if row[0] == kind)} ({kind})" for kind in kinds)


def judge(shares: Sequence[Interval], gaps: Sequence[Interval], errors: Sequence[float]) -> Verdict:
    """Apply the rule: most count at each depth, no less accurate than tanh by MARGIN, and exact networks are exact."""
    count = [above(share, 0.5) for share in shares]
    return together([*count, *(above(gap, -MARGIN) for gap in gaps), judge_exact(errors)])


CLAIM = Claim(
    number=14,
    slug="spline",
    family="beyond",
    title="A bounded activation in the span of RePU learns XOR at depth 50 and 100",
    statement="""Plain networks of spline RePU, a combination of shifted RePUs that is as smooth and has a_1 < 0, learn
        XOR at depth 50 and 100 as well as those of tanh, and represent polynomials exactly on a box.""",
    reference="past the paper (Kim & Kang, arXiv:2408.02697)",
    rule=f"""For the odd spline RePU of degree 2. Supported if at both depths more than half of its fresh
        networks count (95 % Wilson intervals) with an accuracy of at least {RIVAL}'s less {MARGIN:g} (95 % interval of
        the median difference, paired by seed), and its networks for x, x^2, xy and xyz err by at most {EXACT:g} eps.
        Refuted if one of these lies on the other side. Else inconclusive. What else theory picks from the span stands
        beside it, as do {ORTHOGONAL}, and does not decide. {COUNTS}""",
    cost={"smoke": 12, "full": 400},
    examine=examine,
)
