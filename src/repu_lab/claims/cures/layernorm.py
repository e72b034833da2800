"""Claim 18: without skips: LayerNorm behind RePU(z + b), where for large b the gradient grows slowly."""

from repu_lab.claims.base import Claim, Evidence, Picture
from repu_lab.claims.contest import ACTIVATIONS, COUNTS, CRITERION, LINEAR, ORTHOGONAL, XOR, contest
from repu_lab.claims.cures.blocks import BLOCKS, case, fresh, grid, growth, slopes
from repu_lab.claims.lab import Lab
from repu_lab.claims.statistics import Interval
from repu_lab.claims.verdicts import Verdict, above, below, corrected, near, together
from repu_lab.figures.points import accuracies

BLOCK = "LayerNorm after s"
SHIFTED, UNSHIFTED = "RePU 2 of z + 4", "RePU 2"
NAMES = (SHIFTED, UNSHIFTED, "ReLU", "tanh", LINEAR)
B = 4
EXPECTED = (4 * B**2 + 4) / (4 * B**2 + 2)  # E s'^2 / Var s of (z + b)^2: what the kink adds is below 1e-4
ROOM = 0.02  # relative: by how much the measured factor may miss it; 1 lies outside, and so does 1.6
PARTS = 3


def examine(lab: Lab) -> Evidence:
    """Measure the gradient's growth in fresh networks, and train plain networks with LayerNorm after the activation."""
    depth, grown_over = lab.choose(smoke=(6, 12), full=(50, 30))
    grown = slopes(lab, *ACTIVATIONS[SHIFTED], *BLOCKS[BLOCK], depth=grown_over)
    factor = growth(grown)
    plain, deeper = case(lab, "XOR", BLOCK, depth), case(lab, "XOR", BLOCK, 2 * depth).orthogonal
    turned = plain.orthogonal
    places = [(name, at) for at in (deeper, plain) for name in (SHIFTED, LINEAR)] + [(name, turned) for name in NAMES]
    entries = contest(lab, places, grid(lab), tuning_share=0.4)
    shares = entries.counting()
    groups = {
        f"{kind}, depth {at.depth}": entries.points(NAMES, at)
        for kind, at in ((ORTHOGONAL, turned), ("Gaussian weights", plain), (ORTHOGONAL, deeper))
    }

    def judged(chances: int) -> Verdict:
        counted = entries.counting(chances=chances)
        return judge(growth(grown, chances), counted[SHIFTED, turned], counted[UNSHIFTED, turned])

    networks, width = fresh(lab)
    return Evidence(
        setup=f"""RePU 2 of z + {B}, and LayerNorm after it; no skips. Growth: {networks} fresh networks of width
            {width}, Gaussian weights, the factor by which the mean square gradient grows a layer, its geometric mean
            over {grown_over - 1} layers and the inputs. Training: {XOR}, depth {depth} and {2 * depth} with
            {ORTHOGONAL}, {depth} with Gaussian ones; {plain.training}; {grid(lab)}. {COUNTS}""",
        verdict=corrected(PARTS, judged),
        reason=f"""the gradient grows by {factor} a layer (theory {EXPECTED:.4g}); of networks of depth {depth} with
            {ORTHOGONAL} {", ".join(f"{shares[name, turned].estimate:.0%} ({name})" for name in NAMES)} count, with
            medians of {", ".join(f"{entries[name, turned].metric:.2f}" for name in NAMES)}; of {SHIFTED}
            {shares[SHIFTED, plain].estimate:.0%} with Gaussian weights and {shares[SHIFTED, deeper].estimate:.0%} at
            depth {2 * depth}""",
        seeds=grid(lab).fresh,
        numbers={
            "growth of the gradient": factor.estimate,
            **{f"median accuracy, {at.name}, depth {at.depth}": entries[SHIFTED, at].metric for at in (turned, plain)},
        },
        tables=[entries.counted_table()],
        pictures=[
            Picture(
                name="layernorm",
                caption=f"""Accuracy of fresh networks on XOR with LayerNorm after the activation, a point each, and
                    their median. {SHIFTED} is almost linear in a layer; what 50 of them learn is not.""",
                alt=f"""Points by depth and kind of weights: median of {SHIFTED}
                    {entries[SHIFTED, turned].metric:.2f}, of {UNSHIFTED} {entries[UNSHIFTED, turned].metric:.2f}.""",
                figure=accuracies(groups, chance=0.25, bar=CRITERION),
            )
        ],
    )


def judge(factor: Interval, shifted: Interval, unshifted: Interval) -> Verdict:
    """Apply the rule to the measured factor, and to the shares of networks that count with the shift and without."""
    return together([near(factor, EXPECTED, ROOM), above(shifted, 0.5), below(unshifted, 0.5)])


CLAIM = Claim(
    number=18,
    slug="layernorm",
    family="cures",
    title="Without skips LayerNorm after a shifted RePU lets 50 layers learn XOR",
    statement=f"""With LayerNorm after RePU_2(z + {B}) the gradient grows by {EXPECTED:.3g} a layer instead of 1.6, and
        networks of 50 hidden layers with {ORTHOGONAL} learn XOR without any skip, which those of RePU_2(z) do not.""",
    reference="past the paper; theory: E s'^2 / Var s = (4 b^2 + 4) / (4 b^2 + 2) for p = 2",
    rule=f"""Supported if the interval of the measured factor lies within {ROOM:.0%} of {EXPECTED:.4g}, and with
        {ORTHOGONAL} more than half of the fresh networks of RePU_2(z + {B}) count and fewer than half of RePU_2(z)
        (95 % Wilson intervals). Refuted if one of these lies on the other side, at 5 % over {PARTS}, as many chances.
        Else inconclusive. Gaussian weights and twice the depth stand beside it and do not decide. {COUNTS}""",
    cost={"smoke": 4, "full": 200},
    examine=examine,
)
