"""Claim 16: normalization alone does not cure RePU, since it leaves the gradient to grow by p^2/(2p-1) a layer."""

from collections.abc import Sequence
from itertools import product

from repu_lab.claims.base import Claim, Evidence
from repu_lab.claims.contest import CRITERION, LINEAR, contest
from repu_lab.claims.cures.blocks import RATES, case, fresh, grid, growth, slopes
from repu_lab.claims.lab import Lab
from repu_lab.claims.statistics import Interval
from repu_lab.claims.verdicts import Verdict, above, below, corrected, near, provided, together

REPU = "RePU 2"
CRITERIA = {"XOR": CRITERION, "digits": 0.8}
POWERS = (2, 3)
ROOM = 0.07  # relative: by how much a measured factor may miss the one of infinite width; at width 128 it is 6 % lower
PARTS = 6  # two factors, four shares
SLOWER = ("2e-5", *RATES)  # no rate shall save a network whose gradient grows


def examine(lab: Lab) -> Evidence:
    """Measure the gradient's growth in fresh networks with RMSNorm, and train networks with either norm."""
    depth, measured_over = lab.choose(smoke=(6, 12), full=(50, 30))
    networks, width = fresh(lab)
    grown = {
        p: slopes(lab, "activation=repu", f"activation.p={p}", "block.norm=rms", depth=measured_over) for p in POWERS
    }
    factors = {p: growth(slopes_M) for p, slopes_M in grown.items()}
    expected = {p: p * p / (2 * p - 1) for p in POWERS}
    criteria = {
        case(lab, task, norm, depth): bar for (task, bar), norm in product(CRITERIA.items(), ("RMSNorm", "LayerNorm"))
    }
    budget = grid(lab, SLOWER)
    entries = contest(lab, product((REPU, LINEAR), criteria), budget, tuning_share=0.4)
    shares = {place: entry.reached(criteria[place[1]]) for place, entry in entries.items()}

    def judged(chances: int) -> Verdict:
        return judge(
            [(growth(grown[p], chances), expected[p]) for p in POWERS],
            [entries[REPU, at].reached(bar, chances=chances) for at, bar in criteria.items()],
            [shares[LINEAR, at] for at in criteria if at.name.startswith("digits")],
        )

    medians = {
        name: ", ".join(f"{entries[name, at].metric:.2f} ({at.name})" for at in criteria) for name in (REPU, LINEAR)
    }
    return Evidence(
        setup=f"""Growth: {networks} fresh networks of width {width} with RMSNorm before each activation, the
            factor by which the mean square gradient grows a layer, its geometric mean over inputs and hidden layers.
            Training: RePU 2 and the identity, depth {depth}, XOR and digits, RMSNorm or LayerNorm before each
            activation; {next(iter(criteria)).training}; {budget}. A network counts if it reaches
            {" and ".join(f"{bar:g} ({task})" for task, bar in CRITERIA.items())}.""",
        verdict=corrected(PARTS, judged),
        reason=f"""the gradient grows by {
            " and ".join(f"{factors[p]} a layer (p = {p}; theory {expected[p]:.4g})" for p in POWERS)
        }; of RePU networks of depth {depth} at most
            {max(share.estimate for (name, _), share in shares.items() if name == REPU):.0%} count, with medians of
            {medians[REPU]}; the identity in the same blocks: {medians[LINEAR]}""",
        seeds=budget.fresh,
        numbers={
            **{f"growth of the gradient, p = {p}": factors[p].estimate for p in POWERS},
            **{f"median accuracy, {at.name}, {name}": entry.metric for (name, at), entry in entries.items()},
        },
        tables=[entries.counted_table(shares=shares)],
    )


def judge(factors: Sequence[tuple[Interval, float]], shares: Sequence[Interval], linear: Sequence[Interval]) -> Verdict:
    """Apply the rule to measured and expected factors, the shares of RePU that count, those of the identity."""
    grows = (near(factor, expected, ROOM) for factor, expected in factors)
    verdict = together([*grows, *(below(share, 0.5) for share in shares)])
    return provided(all(above(share, 0.5) is Verdict.SUPPORTED for share in linear), verdict)


CLAIM = Claim(
    number=16,
    slug="normalization",
    family="cures",
    title="Normalization alone does not cure RePU at depth 50",
    statement="""With RMSNorm before each activation the signal of RePU networks stays, and the gradient grows by
        p^2/(2p-1) a layer; at depth 50 networks (p = 2) with RMSNorm or LayerNorm train on neither XOR nor digits.""",
    reference="past the paper; theory: E s'^2 / E s^2 of RePU_p is p^2/(2p-1) at any size of the signal",
    rule=f"""Supported if for p = 2 and 3 the interval of the measured factor lies within {ROOM:.0%} of
        p^2/(2p-1), and on both tasks, with either norm, fewer than half of the fresh networks count (95 % Wilson
        interval). Refuted if one of these lies on the other side, at 5 % over {PARTS}, as many chances. Else
        inconclusive. Void unless with either norm more than half of the identity's networks count on the digits, which
        shows that the block and the budget let a signal through.""",
    cost={"smoke": 5, "full": 165},
    examine=examine,
)
