"""Claim 14: whether a bounded activation in the span of RePU learns at depths at which RePU and MRePU do not."""

from collections.abc import Mapping, Sequence
from itertools import product

from repu_lab.activations import MRePU, Tanh
from repu_lab.claims.approximation.constructions import TARGETS
from repu_lab.claims.approximation.exact import EXACT
from repu_lab.claims.approximation.exact import judge as judge_exact
from repu_lab.claims.base import Claim, Evidence, Table
from repu_lab.claims.beyond import span
from repu_lab.claims.beyond.family import FAMILY
from repu_lab.claims.beyond.span import ODD, PICKED, RIVAL
from repu_lab.claims.comparing import standing
from repu_lab.claims.contest import COUNTS, LINEAR, ORTHOGONAL, XOR, Case, Entries, contest, deep_grid, sizes
from repu_lab.claims.lab import Lab
from repu_lab.claims.statistics import Comparison, Interval
from repu_lab.claims.trials import relative_l2
from repu_lab.claims.verdicts import Verdict, above, corrected, together

MARGIN = 0.05  # of accuracy: a twentieth of the test examples
SHALLOW = ("MRePU 1", "MRePU 2", ODD, "wide spline")
PARTS = 4  # a share and a difference at each depth


def examine(lab: Lab) -> Evidence:
    """Train deep networks of what theory picks, beside others; evaluate exact networks; learn polynomials."""
    depths = depth, deeper = lab.choose(smoke=(20, 30), full=(50, 100))
    names, deep_names = lab.choose(
        smoke=((RIVAL, ODD, "wide spline", LINEAR), (RIVAL, ODD, LINEAR)),
        full=((RIVAL, *PICKED, "GELU", "ReLU", LINEAR), (RIVAL, ODD, "wide spline", "one-sided spline", LINEAR)),
    )
    grid = deep_grid(lab)
    xor = {d: Case("XOR", d, sizes(lab, "xor")) for d in depths}
    narrow = ("task=polynomial", "width=32", "batch_size=128", f"steps={lab.choose(smoke=100, full=400)}")
    shallow = Case("x, x^2, xy, xyz", 2, narrow)
    few = lab.choose(smoke=(RIVAL, ODD, LINEAR), full=(RIVAL, ODD, "one-sided spline", LINEAR))
    turned = xor[depth].orthogonal
    places = [*product(names, [xor[depth]]), *product(deep_names, [xor[deeper]]), *product(few, [turned])]
    deep = contest(lab, places, grid, part=(0.0, 0.9))
    curved = contest(lab, product(SHALLOW, [shallow]), grid, part=(0.9, 1.0))
    counted = deep.counting()
    best = {at: best_of(deep, at) for at in xor.values()}
    exact, exact_errors = span.exact_networks(lab.choose(smoke=20_000, full=300_000))

    def judged(chances: int) -> Verdict:
        shares, gaps = deep.counting(chances=chances), [deep.ahead(best[at], RIVAL, at, chances) for at in best]
        return judge([shares[best[at], at] for at in best], [gap.difference for gap in gaps], exact_errors)

    rivals = [(name, at) for name, at in deep if best.get(at, name) != name]
    compared = {(best[at], name, at.depth): deep.ahead(best[at], name, at) for name, at in rivals}
    polynomial = {name: relative_l2(entry.records) for (name, _), entry in curved.items()}
    timed = {RIVAL: Tanh(), "MRePU 1": MRePU(1), **{name: PICKED[name] for name in (ODD, "wide spline")}}
    costs = span.relative_costs(timed)
    shallower = {name: deep[name, xor[depth]] for name in names}
    return Evidence(
        setup=f"""{XOR}, {turned.training}, float32, depths
            {depth} and {deeper}; the polynomials x, x^2, xy, xyz at width 32, depth 2; for every activation the same
            {grid}. {COUNTS} Splines: two odd ones; skew: p = 3, shift 0.4411, where b_1 = 0; wide: p = 2, a plateau of
            4 B-splines; one-sided: p = 2, a plateau of 8 shifted by -2, linear from -1 to 5. They were picked by theory
            from {len(FAMILY)} members of the family; the best on the validation split, of
            {" and ".join(f"{len(_splines(deep, at))} at depth {at.depth}" for at in best)}, is judged.""",
        verdict=corrected(PARTS, judged),
        reason=f"""{_standing(deep, best, compared)}. With {ORTHOGONAL} at depth {depth} count
            {", ".join(f"{name} {counted[name, turned].estimate:.0%}" for name in few)}. Learning polynomials with 2
            layers, relative L2 error: {standing(polynomial)}. Exact networks for {", ".join(TARGETS)} take
            {_neurons(exact)} neurons; s and s' take {costs[ODD] / costs["MRePU 1"]:.2g} times as long as those of MRePU
            1""",
        seeds=grid.fresh,
        numbers={
            **{f"share that counts at depth {at.depth}, {best[at]}": counted[best[at], at].estimate for at in best},
            **{
                f"accuracy at depth {d} less that of {r}": pair.difference.estimate
                for (_, r, d), pair in compared.items()
            },
            "largest error of exact networks in eps": max(exact_errors),
            **{f"time of s and s', {name}, over {RIVAL}'s": cost for name, cost in costs.items()},
        },
        tables=[
            span.picked_table(shallower, {name: counted[name, xor[depth]].estimate for name in names}, depth),
            *([span.family_table(depth)] if lab.scale == "full" else []),
            span.differences(compared),
            deep.counted_table(),
            curved.table({"relative L2": relative_l2}, "polynomials, share trained and median relative L2 error"),
            exact,
        ],
        pictures=[span.picture(shallower, depth)],
    )


def best_of(entries: Entries, at: Case) -> str:
    """Return the spline that is best on the validation split."""
    return max(_splines(entries, at), key=lambda name: entries[name, at].validation)


def _splines(entries: Entries, at: Case) -> list[str]:
    return [name for name, case in entries if case == at and name in PICKED]


def _standing(entries: Entries, best: Mapping[Case, str], compared: Mapping[tuple[str, str, int], Comparison]) -> str:
    """Say how the spline judged does at each depth, against tanh and the odd spline, and the others' medians."""
    counted, tests = entries.counting(), len(compared)
    parts = []
    for at, name in best.items():
        more = [
            f"{pair.difference} (p = {min(1.0, tests * pair.p_value):.2g}, of {tests} tests) more than {rival}"
            for (_, rival, d), pair in compared.items()
            if d == at.depth and rival in (ODD, RIVAL) and rival != name
        ]
        medians = [f"{other} {entries[other, at].metric:.2f}" for other in _splines(entries, at) if other != name]
        parts.append(
            f"""depth {at.depth}: the best on the validation split is the {name}; {counted[name, at]} of it count,
            median {entries[name, at].metric:.2f}, {", ".join([*more, *medians])}"""
        )
    return "; ".join(parts)


def _neurons(exact: Table) -> str:
    kinds = dict.fromkeys(row[0] for row in exact.rows)
    return " and ".join(f"{', '.join(str(row[2]) for row in exact.rows if row[0] == kind)} ({kind})" for kind in kinds)


def judge(shares: Sequence[Interval], gaps: Sequence[Interval], errors: Sequence[float]) -> Verdict:
    """Apply the rule: at each depth most count, and are no less accurate than tanh by MARGIN; exact ones are exact."""
    count = [above(share, 0.5) for share in shares]
    return together([*count, *(above(gap, -MARGIN) for gap in gaps), judge_exact(errors)])


CLAIM = Claim(
    number=14,
    slug="spline",
    family="beyond",
    title="The best of five bounded splines of RePU learns XOR at depth 50 and 100",
    statement="""Of the spline RePUs that theory picks, bounded combinations of shifted RePUs that are as smooth, five
        at depth 50 and three of them at depth 100, the one that is best on the validation split learns XOR in plain
        networks of that depth as well as tanh does; the odd one of degree 2 represents polynomials exactly on a
        box.""",
    reference="past the paper (Kim & Kang, arXiv:2408.02697)",
    rule=f"""For the spline that is best on the validation split of the depth, of five at depth 50 and three at depth
        100, with Gaussian weights. Supported if at both depths more than half of its fresh networks count (95 % Wilson
        intervals) with an accuracy of at least {RIVAL}'s less {MARGIN:g} (95 % interval of the median difference,
        paired by seed), and the odd spline's networks for x, x^2, xy and xyz err by at most {EXACT:g} eps. Refuted if
        one of these lies on the other side, at 5 % over {PARTS}, as many chances. Else inconclusive.
        {ORTHOGONAL.capitalize()} stand beside it and do not decide. {COUNTS}""",
    cost={"smoke": 14, "full": 410},
    examine=examine,
)
