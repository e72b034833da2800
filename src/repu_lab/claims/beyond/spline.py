"""Claim 14: a bounded activation in the span of RePU trains at depths at which RePU and MRePU do not."""

from collections.abc import Mapping, Sequence

import numpy as np

from repu_lab.activations import MRePU, Tanh
from repu_lab.claims.approximation.constructions import TARGETS
from repu_lab.claims.approximation.exact import EXACT
from repu_lab.claims.approximation.exact import judge as judge_exact
from repu_lab.claims.base import Claim, Evidence, Table, prose
from repu_lab.claims.beyond.family import FAMILY
from repu_lab.claims.beyond.span import (
    ODD,
    PICKED,
    RIVAL,
    Accuracy,
    differences,
    exact_networks,
    family_table,
    fresh_table,
    picked_table,
    picture,
    relative_costs,
)
from repu_lab.claims.contest import Case, Entry, hold, misclassified, pooled, relative_l2, standing
from repu_lab.claims.lab import Lab
from repu_lab.claims.statistics import Comparison, Interval, paired_test
from repu_lab.claims.training.tuning import Grid, scale_of
from repu_lab.claims.verdicts import Verdict, above, together

MARGIN = 0.05  # of accuracy: a twentieth of the test examples
SHALLOW = ("MRePU 1", "MRePU 2", ODD, "wide spline")
Differences = Mapping[tuple[str, str, int], Comparison]  # of accuracy: first, second, depth


def examine(lab: Lab) -> Evidence:
    """Train deep networks of what theory picks, beside others; evaluate exact networks; learn polynomials."""
    depth, deeper = lab.choose(smoke=(20, 30), full=(50, 100))
    names, deep_names, curved_names = lab.choose(
        smoke=((RIVAL, ODD, "wide spline"), (RIVAL, ODD), (ODD, "wide spline", "identity")),
        full=(
            (RIVAL, *PICKED, "GELU", "ReLU", "identity"),
            (RIVAL, ODD, "wide spline", "one-sided spline"),
            (RIVAL, *PICKED, "identity"),
        ),
    )
    grid = lab.choose(
        smoke=Grid(("critical",), ("1e-3",), 1, 6), full=Grid(("critical",), ("1e-4", "3e-4", "1e-3"), 2, lab.seeds)
    )
    digits = {d: Case(name="digits", depth=d, overrides=scale_of(lab)) for d in (depth, deeper)}
    narrow = ("task=polynomial", "width=32", "batch_size=128", f"steps={lab.choose(smoke=100, full=400)}")
    deep_curved, shallow = (Case(name="x, x^2, xy, xyz", depth=d, overrides=narrow) for d in (depth, 2))
    entries: dict[tuple[str, Case], Entry] = {}
    contests = (
        (names, digits[depth]), (deep_names, digits[deeper]), (curved_names, deep_curved), (SHALLOW, shallow),
    )  # fmt: skip
    for i, (contestants, case) in enumerate(contests):
        part = (i / len(contests), (i + 1) / len(contests))
        entries |= hold(lab, contestants, [case], grid, part=part)
    accuracy = {
        (who, case.depth): 1 - misclassified(entry.fresh)
        for (who, case), entry in entries.items() if case.name == "digits"
    }  # fmt: skip
    compared = compare(accuracy, depth, deeper)
    shares = {d: entries[ODD, case].trained for d, case in digits.items()}
    exact, exact_errors = exact_networks(lab.choose(smoke=20_000, full=300_000))
    curved = {who: pooled(entries, who, [deep_curved], relative_l2) for who in curved_names}
    polynomial = {who: pooled(entries, who, [shallow], relative_l2) for who in SHALLOW}
    costs = relative_costs({RIVAL: Tanh(), "MRePU 1": MRePU(1), ODD: PICKED[ODD], "wide spline": PICKED["wide spline"]})
    gaps = {d: compared[ODD, RIVAL, d].difference for d in digits}
    return Evidence(
        setup=_set_up(lab, grid, depth, deeper),
        verdict=judge(list(shares.values()), list(gaps.values()), exact_errors),
        reason=prose(f"""{_standing(shares, compared, accuracy)}. Learning polynomials, relative L2 error at depth
            {depth}: {standing(curved)}; with 2 layers: {standing(polynomial)}. Exact networks for
            {", ".join(TARGETS)} take {_neurons(exact)} neurons; s and s' take {costs[ODD] / costs["MRePU 1"]:.2g} times
            as long as those of MRePU 1"""),
        seeds=grid.members,
        numbers={
            **{f"share trained at depth {d}, {ODD}": share.estimate for d, share in shares.items()},
            **{f"accuracy at depth {d} less {RIVAL}'s": gap.estimate for d, gap in gaps.items()},
            "largest error of exact networks in eps": max(exact_errors),
            **{f"time of s and s', {who}, over {RIVAL}'s": cost for who, cost in costs.items()},
        },
        tables=[
            picked_table(entries, names, accuracy, depth, digits[depth]),
            *([family_table(depth)] if lab.scale == "full" else []),
            differences(compared),
            fresh_table(entries),
            exact,
        ],
        pictures=[picture(accuracy, names, depth)],
    )


def compare(accuracy: Accuracy, depth: int, deeper: int) -> dict[tuple[str, str, int], Comparison]:
    """Compare the odd spline with tanh, the other splines with it, and the best one with all else, at each depth."""
    pairs = [(ODD, RIVAL, d) for d in (depth, deeper)]
    pairs += [(who, ODD, d) for who, d in accuracy if who in PICKED and who != ODD]
    pairs += [(best_of(accuracy, d), who, d) for who, d in accuracy if who not in PICKED]
    return {(one, other, d): paired_test(accuracy[one, d], accuracy[other, d]) for one, other, d in pairs}


def best_of(accuracy: Accuracy, depth: int) -> str:
    """Return the spline with the largest median accuracy."""
    return max(
        (who for who, d in accuracy if d == depth and who in PICKED), key=lambda who: np.median(accuracy[who, depth])
    )


def _standing(shares: Mapping[int, Interval], compared: Differences, accuracy: Accuracy) -> str:
    """Say how the odd spline does, and by how much the most accurate spline of each depth is ahead."""
    told = []
    for d, share in shares.items():
        best = best_of(accuracy, d)
        told.append(
            prose(f"""depth {d}: {share} of {ODD} train, accuracy less {RIVAL}'s
            {compared[ODD, RIVAL, d].difference}; the best of the span there is the {best}, accuracy
            {np.median(accuracy[best, d]):.1%}""")
        )
        ahead = [
            f"{found.difference} (p = {found.p_value:.2g}) more than {other}"
            for (one, other, at), found in compared.items()
            if (one, at) == (best, d) and other in (ODD, RIVAL) and best != ODD
        ]
        told[-1] += "".join(f", {one}" for one in ahead)
    return "; ".join(told)


def _neurons(exact: Table) -> str:
    kinds = dict.fromkeys(row[0] for row in exact.rows)
    return " and ".join(f"{', '.join(str(row[2]) for row in exact.rows if row[0] == kind)} ({kind})" for kind in kinds)


def judge(shares: Sequence[Interval], gaps: Sequence[Interval], errors: Sequence[float]) -> Verdict:
    """Apply the rule: most train at each depth, no less accurate than tanh by MARGIN, and exact networks are exact."""
    trained = [above(share, 0.5) for share in shares]
    return together([*trained, *(above(gap, -MARGIN) for gap in gaps), judge_exact(errors)])


def _set_up(lab: Lab, grid: Grid, depth: int, deeper: int) -> str:
    sizes = dict(text.split("=") for text in scale_of(lab))
    return prose(f"""Digits, width {sizes["width"]}, batches of {sizes["batch_size"]}, {sizes["steps"]} steps, float32,
        depths {depth} and {deeper}; the polynomials x, x^2, xy, xyz at width 32, depths 2 and {depth}; for every
        activation the same {grid}. Skew: p = 3, shift 0.4411, where b_1 = 0; wide: p = 2, a plateau of 4 B-splines;
        one-sided: p = 2, a plateau of 8 shifted by -2, linear from -1 to 5. They were picked by theory from
        {len(FAMILY)} members of the family. Identity shows what a network that stays linear does.""")


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
    cost={"smoke": 12, "full": 400},
    examine=examine,
)  # fmt: skip
