"""Claim 16: normalization alone does not cure RePU, since it leaves the gradient to grow by p^2/(2p-1) a layer."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from repu_lab.claims.base import Claim, Evidence
from repu_lab.claims.contest import CRITERION, accuracy_table, contest, described
from repu_lab.claims.cures.blocks import case, grid
from repu_lab.claims.lab import Lab
from repu_lab.claims.statistics import Interval, median_interval
from repu_lab.claims.verdicts import Verdict, below, together, within
from repu_lab.networks.statistics import measure

CRITERIA = {"XOR": CRITERION, "digits": 0.8}
POWERS = (2, 3)
ROOM = 0.07  # relative: by how much a measured factor may miss the one of infinite width; at width 128 it is 6 % lower


def examine(lab: Lab) -> Evidence:
    """Measure the gradient's growth in fresh networks with RMSNorm, and train networks with either norm."""
    depth = lab.choose(smoke=20, full=50)
    networks, width = fresh(lab)
    factors = {
        p: growth(lab, "activation=repu", f"activation.p={p}", "block.norm=rms", depth=lab.choose(smoke=12, full=30))
        for p in POWERS
    }
    expected = {p: p * p / (2 * p - 1) for p in POWERS}
    criteria = {
        case(lab, task, norm, depth): bar for (task, bar), norm in product(CRITERIA.items(), ("RMSNorm", "LayerNorm"))
    }
    entries = contest(lab, product(["RePU 2"], criteria), grid(lab), tuning_share=0.4)
    shares = {place: entry.reached(criteria[place[1]]) for place, entry in entries.items()}
    medians = {place[1].name: entry.metric for place, entry in entries.items()}
    return Evidence(
        setup=f"""Growth: {networks} fresh networks of width {width} with RMSNorm before each activation, the
            factor by which the mean square gradient grows a layer, its geometric mean over inputs and hidden layers.
            Training: RePU 2, depth {depth}, XOR and digits, RMSNorm or LayerNorm before each activation;
            {described(next(iter(criteria)).overrides)}; {grid(lab)}. A network counts if it reaches
            {" and ".join(f"{bar:g} ({task})" for task, bar in CRITERIA.items())}.""",
        verdict=judge([(factors[p], expected[p]) for p in POWERS], list(shares.values())),
        reason=f"""the gradient grows by {
            " and ".join(f"{factors[p]} a layer (p = {p}; theory {expected[p]:.4g})" for p in POWERS)
        }; of networks of depth {depth} at most
            {max(share.estimate for share in shares.values()):.0%} count, with medians of
            {", ".join(f"{median:.2f} ({name})" for name, median in medians.items())}""",
        seeds=grid(lab).fresh,
        numbers={
            **{f"growth of the gradient, p = {p}": factors[p].estimate for p in POWERS},
            **{f"median accuracy, {name}": median for name, median in medians.items()},
        },
        tables=[accuracy_table(entries, shares)],
    )


def fresh(lab: Lab) -> tuple[int, int]:
    """Return how many fresh networks the growth is measured in, and their width."""
    return lab.choose(smoke=(8, 256), full=(32, 512))


def growth(lab: Lab, *overrides: str, depth: int) -> Interval:
    """Return by what the mean square gradient grows a layer backwards, its median over networks with its interval."""
    networks, width = fresh(lab)
    experiment = lab.build(*overrides, f"depth={depth}", f"width={width}", f"members={networks}", "task=digits")
    population, probe = experiment.population(), experiment.task.test.x[:32]
    stats = measure(population, probe, lambda z_MBC: z_MBC.sum((1, 2)) / len(probe))
    slope_M = np.diff(-stats.log10_gradient[:-1], axis=0).mean(axis=(0, 2))  # of log10, a hidden layer
    return Interval(*(10**slope for slope in median_interval(slope_M)))


def judge(factors: Sequence[tuple[Interval, float]], shares: Sequence[Interval]) -> Verdict:
    """Apply the rule to measured and expected factors, and to the shares of networks that count."""
    grows = (within(factor, (1 - ROOM) * expected, (1 + ROOM) * expected) for factor, expected in factors)
    return together([*grows, *(below(share, 0.5) for share in shares)])


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
        interval). Refuted if one of these lies on the other side. Else inconclusive.""",
    cost={"smoke": 15, "full": 400},
    examine=examine,
)
