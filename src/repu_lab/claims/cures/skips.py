"""Claim 17: RePU networks of depth 50 and 100 learn what no linear network does, between skips."""

from collections.abc import Mapping, Sequence

from repu_lab.claims.base import Claim, Evidence, Picture, Table, prose
from repu_lab.claims.cures.trials import ACTIVATIONS, LINEAR, MARGIN, REPU, Case, Judged, bar, budget, cases, judge
from repu_lab.claims.lab import Lab
from repu_lab.claims.statistics import Interval
from repu_lab.claims.verdicts import Verdict, above, together

BLOCKS = ("skips and RMSNorm", "skips and frozen scales", "ReZero")
CRITERION = 0.7  # of XOR: what four of five prototypes passed; chance is .25
LEVEL = 0.05  # of accuracy: what the medians of RePU may lie below those of ReLU


def examine(lab: Lab) -> Evidence:
    """Tune and judge every activation in every block on XOR, RePU and the identity twice as deep and on the digits."""
    depth = lab.choose(smoke=12, full=50)
    given = budget(lab)
    wanted = [
        *cases(("XOR",), BLOCKS, (REPU, LINEAR), (2 * depth,)), *cases(("XOR",), BLOCKS, list(ACTIVATIONS), (depth,))
    ]  # fmt: skip
    told = cases(("digits",), BLOCKS[:1], (REPU, LINEAR), (depth,))
    found = judge(lab, [*wanted, *told], given)
    shares = {case: found[case].above(bar(found, case, CRITERION)) for case in wanted}
    repu = [case for case in wanted if case.activation == REPU]
    behind = [found[_of(case, "ReLU")].metric - found[case].metric for case in repu if case.depth == depth]
    digits, linear = (found[case] for case in told)
    return Evidence(
        setup=prose(f"""XOR, the signs of x_1 x_2 and x_3 x_4 as four classes; depth {depth}, and {2 * depth} for RePU 2
            and the identity; these two with skips and RMSNorm on the digits too; {given}. A network counts if it
            reaches {CRITERION:g} and {MARGIN:g} more than the median of the identity in the same block and depth."""),
        verdict=judge_skips([shares[case] for case in repu], behind),
        reason=prose(f"""in every block and depth {min(shares[case].estimate for case in repu):.0%} of the fresh
            RePU 2 networks count, or more, with medians of {_range(found, REPU)} (ReLU {_range(found, "ReLU")}, tanh
            {_range(found, "tanh")}, identity {_range(found, LINEAR)}); on the digits at depth {depth}, which cannot
            tell, RePU 2 reaches {digits.metric:.3f} and the identity {linear.metric:.3f}"""),
        seeds=given.splits * given.members,
        numbers={
            **{f"median accuracy, {case.block}, depth {case.depth}": found[case].metric for case in repu},
            f"digits, RePU 2, depth {depth}": digits.metric,
            f"digits, identity, depth {depth}": linear.metric,
        },
        tables=[
            Table(
                caption="Share of fresh networks that count (95 % Wilson interval) and their median accuracy on XOR, "
                "at the rate chosen on the validation split.",
                columns=("block", "activation", "depth", "rate", "share", "low", "high", "accuracy", "bar"),
                rows=[
                    [case.block, case.activation, case.depth, found[case].rate, *shares[case], found[case].metric,
                     bar(found, case, CRITERION)]
                    for case in sorted(wanted, key=lambda case: (BLOCKS.index(case.block), case.depth))
                ],
            )
        ],
        pictures=[_picture(found, (depth, 2 * depth))],
    )  # fmt: skip


def judge_skips(shares: Sequence[Interval], behind: Sequence[float]) -> Verdict:
    """Apply the rule to the shares of RePU networks that count, and to how far their medians lie below ReLU's."""
    verdict = together(above(share, 0.5) for share in shares)
    if verdict is Verdict.SUPPORTED and max(behind) > LEVEL:
        return Verdict.INCONCLUSIVE
    return verdict


def _of(case: Case, activation: str) -> Case:
    return Case(case.task, case.block, activation, case.depth)


def _range(found: Mapping[Case, Judged], activation: str) -> str:
    medians = [judged.metric for case, judged in found.items() if (case.task, case.activation) == ("XOR", activation)]
    return f"{min(medians):.2f} to {max(medians):.2f}"


def _picture(found: Mapping[Case, Judged], depths: Sequence[int]) -> Picture:
    from repu_lab.figures.claims_cures import accuracies

    groups = {
        f"{block}, depth {depth}": {
            name: found[case].metrics for name in ACTIVATIONS if (case := Case("XOR", block, name, depth)) in found
        }
        for block in BLOCKS
        for depth in depths
    }
    return Picture(
        name="skips",
        caption="Accuracy of fresh networks on XOR, a point each, and their median. The identity shows what the "
        "block does by itself: something linear but with RMSNorm, which divides every input by its own size.",
        alt="Points by block and depth: medians of RePU 2 "
        + ", ".join(
            f"{found[Case('XOR', block, REPU, depth)].metric:.2f} ({block}, depth {depth})"
            for block in BLOCKS
            for depth in depths
        )
        + ".",
        figure=accuracies(groups, chance=0.25, bar=CRITERION),
    )


CLAIM = Claim(
    number=17, slug="skips", family="cures",
    title="Between skips RePU networks of depth 50 and 100 learn what no linear network does",
    statement=prose(f"""RePU networks (p = 2) of depth 50 and 100 learn XOR in three residual blocks: with RMSNorm, with
        one frozen scale a layer, and with learned branches that start at 0; at depth 50 within {LEVEL:g} of ReLU."""),
    reference="past the paper, whose networks are plain: a cure by the block instead of the activation",
    rule=prose(f"""Supported if in each of the three blocks, at each depth, more than half of the fresh networks count
        (95 % Wilson interval) and at depth 50 none of RePU's medians lies more than {LEVEL:g} below ReLU's in the
        same block. Refuted if in one of them fewer than half count. Else inconclusive."""),
    cost={"smoke": 30, "full": 1200},
    examine=examine,
)  # fmt: skip
