"""Claim 17: RePU networks of depth 50, 100 and 200 learn what no linear network does, between skips."""

from collections.abc import Sequence
from itertools import chain, product

from repu_lab.claims.base import Claim, Evidence, Picture
from repu_lab.claims.contest import COUNTS, CRITERION, LINEAR, XOR, Case, Entries, contest
from repu_lab.claims.cures.blocks import RATES, case, grid
from repu_lab.claims.lab import Lab
from repu_lab.claims.statistics import Interval
from repu_lab.claims.verdicts import Verdict, above, below, corrected, together
from repu_lab.figures.points import accuracies

SKIPS = ("skips and RMSNorm", "skips and frozen scales", "ReZero")
REPU = "RePU 2"
NAMES = (REPU, "ReLU", "tanh", LINEAR)
LEVEL = 0.05  # of accuracy: what RePU may lie below ReLU
FASTER = (*RATES[1:], "6e-3")  # skips bear rates that others do not
PARTS = 12  # nine shares, three differences


def examine(lab: Lab) -> Evidence:
    """Tune and judge every activation in every block on XOR, RePU and the identity deeper and on the digits too."""
    depth = lab.choose(smoke=6, full=50)
    multiples = lab.choose(smoke=(2,), full=(2, 4))
    single, *deeper = ([case(lab, "XOR", block, depth * by) for block in SKIPS] for by in (1, *multiples))
    digits = case(lab, "digits", SKIPS[0], depth)
    places = [*product((REPU, LINEAR), [*chain(*deeper), digits]), *product(NAMES, single)]
    budget = grid(lab, FASTER)
    entries = contest(lab, places, budget, tuning_share=0.4)
    xor = Entries({place: entry for place, entry in entries.items() if place[1] is not digits})

    def counted(chances: int = 1) -> dict[Case, Interval]:
        return {at: share for (name, at), share in xor.counting(chances=chances).items() if name == REPU}

    def behind(chances: int = 1) -> dict[Case, Interval]:
        return {at: xor.ahead("ReLU", REPU, at, chances).difference for at in single}

    gaps = ", ".join(f"{gap} ({at.name.removeprefix('XOR, ')})" for at, gap in behind().items())
    on_digits = entries.medians((REPU, LINEAR), digits)
    drawn = list(chain(*zip(single, deeper[0], strict=True)))
    groups = {f"{at.name.removeprefix('XOR, ')}, depth {at.depth}": xor.points(NAMES, at) for at in drawn}
    medians = ", ".join(f"{xor[REPU, at].metric:.2f} ({at.name}, depth {at.depth})" for at in drawn)
    return Evidence(
        setup=f"""{XOR}; depth {depth}, and {" and ".join(str(depth * by) for by in multiples)} for RePU 2 and the
            identity; these two with skips and RMSNorm on the digits too; {digits.training}; {budget}.
            {COUNTS}""",
        verdict=corrected(PARTS, lambda chances: judge([*counted(chances).values()], [*behind(chances).values()])),
        reason=f"""in every block and depth at least {min(counted().values()).estimate:.0%} of the fresh
            RePU 2 networks count, with medians of {_range(xor, REPU)} (ReLU {_range(xor, "ReLU")}, tanh
            {_range(xor, "tanh")}, identity {_range(xor, LINEAR)}); at depth {depth} ReLU is ahead of it by {gaps};
            on the digits there, which cannot tell, RePU 2 reaches {on_digits[REPU]:.3f} and the identity
            {on_digits[LINEAR]:.3f}""",
        seeds=budget.fresh,
        numbers={
            **{f"median accuracy, {at.name}, depth {at.depth}": xor[REPU, at].metric for at in counted()},
            **{f"ReLU ahead by, {at.name}, depth {at.depth}": gap.estimate for at, gap in behind().items()},
            **{f"digits, {name}, depth {depth}": metric for name, metric in on_digits.items()},
        },
        tables=[xor.counted_table()],
        pictures=[
            Picture(
                name="skips",
                caption="""Accuracy of fresh networks on XOR, a point each, and their median. The identity shows what
                    the block does by itself: something linear but with RMSNorm, which divides every input by its own
                    size.""",
                alt=f"Points by block and depth: medians of RePU 2 {medians}.",
                figure=accuracies(groups, chance=0.25, bar=CRITERION),
            )
        ],
    )


def judge(shares: Sequence[Interval], behind: Sequence[Interval]) -> Verdict:
    """Apply the rule to the shares of RePU networks that count, and to how much ReLU is ahead of RePU."""
    return together([*(above(share, 0.5) for share in shares), *(below(gap, LEVEL) for gap in behind)])


def _range(entries: Entries, name: str) -> str:
    medians = [entry.metric for (activation, _), entry in entries.items() if activation == name]
    return f"{min(medians):.2f} to {max(medians):.2f}"


CLAIM = Claim(
    number=17,
    slug="skips",
    family="cures",
    title="RePU between skips learns XOR at depth 50 to 200, within .05 of ReLU at 50",
    statement=f"""RePU networks (p = 2) of depth 50, 100 and 200 learn XOR in three residual blocks: with RMSNorm, with
        one frozen scale a layer, and with learned branches that start at 0; at depth 50 within {LEVEL:g} of ReLU.""",
    reference="past the paper, whose networks are plain: a cure by the block instead of the activation",
    rule=f"""Supported if in each of the three blocks, at each depth, more than half of the fresh networks count
        (95 % Wilson interval), and at depth 50 RePU is less accurate than ReLU in the same block by less than {LEVEL:g}
        (95 % interval of the median difference, paired by seed). Refuted if one of these lies on the other side, at 5 %
        over {PARTS}, as many chances. Else inconclusive.""",
    cost={"smoke": 8, "full": 800},
    examine=examine,
)
