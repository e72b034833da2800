"""Claim 20: by how much orthogonal weights help a plain network of each activation, and whether theory tells whom.

Orthogonal weights keep the size of what they turn: all that is left to scatter the signal is what s adds. So theory
draws the band of log10 K at the last layer with either kind of weights, before any network exists.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import numpy as np

from repu_lab.claims.base import Claim, Evidence, Picture, Table
from repu_lab.claims.contest import ACTIVATIONS, LINEAR, Case, contest, deep_grid, sizes
from repu_lab.claims.lab import Lab
from repu_lab.claims.statistics import LEVEL, Array, Comparison, Interval, paired_test
from repu_lab.claims.trials import metrics, misclassified
from repu_lab.claims.verdicts import Verdict, above, together
from repu_lab.figures.points import accuracies
from repu_lab.theory.chain import chain

NAMES = ("tanh", "GELU", "ReLU", "spline RePU 2", "one-sided spline", "MRePU 1", LINEAR)
NARROWER = 3.0  # by which factor a band narrows at least where theory promises help
CHAINS = 4000
Gains = Mapping[str, Array]  # log10 of the errors with Gaussian over those with orthogonal weights, by seed


def examine(lab: Lab) -> Evidence:
    """Draw the bands, train with either kind of weights at the best of one grid, compare the errors seed by seed."""
    depth = lab.choose(smoke=6, full=50)
    # Twelve networks on three divisions could not be sure of anything at 5 % over so many tests.
    grid = lab.choose(smoke=deep_grid(lab), full=replace(deep_grid(lab), rates=("1e-4", "3e-4", "1e-3"), splits=5))
    case = Case("digits", depth, sizes(lab))
    cases = (case, case.orthogonal)
    entries = contest(lab, product(NAMES, cases), grid)
    bands = {place: band(lab, *place) for place in product(NAMES, cases)}
    narrower = {name: narrowing(bands[name, case], bands[name, case.orthogonal]) for name in NAMES}
    errors = {place: misclassified(entry.records) for place, entry in entries.items()}
    gains = {name: np.log10(errors[name, case] / errors[name, case.orthogonal]) for name in NAMES}
    gained = {name: paired_test(gains[name], 0 * gains[name], sharing=grid.members) for name in NAMES}
    factors = {name: Interval(*(10**gain for gain in pair.difference)) for name, pair in gained.items()}
    helped = ", ".join(f"{name} {factors[name]}" for name in sorted(NAMES, key=lambda name: -factors[name].estimate))
    kinds = zip(("Gaussian weights", "orthogonal weights"), cases, strict=True)
    groups = {kind: entries.points(NAMES, at) for kind, at in kinds}
    return Evidence(
        setup=f"""Digits, {case.training}, float32, plain networks of depth {depth}, `critical`, Gaussian and
            orthogonal weights; for each the same {grid}. Bands: log10 K at layer {depth} between its 5 and 95 %
            quantiles over {CHAINS} networks of this width by the exact chain, one input. The digits are learnt by the
            identity too: what is compared is whether a signal gets through, not what it is good for. Their divisions
            are of the same 1,797 images and overlap, with that on which rates are chosen too.""",
        verdict=judge(narrower, gains, grid.members),
        reason=f"""by which factor the errors fall with orthogonal weights: {helped}; theory's band narrows at least
            {NARROWER:g} times for {", ".join(name for name in NAMES if narrower[name] >= NARROWER)}""",
        seeds=grid.fresh,
        numbers={
            **{f"errors fall by, {name}": factor.estimate for name, factor in factors.items()},
            **{f"band narrows by, {name}": min(narrower[name], 1e9) for name in NAMES},
        },
        tables=[
            Table(
                caption="""Theory's band of log10 K at the last hidden layer, in decades, beside the factor by which the
                    share misclassified falls with orthogonal weights, paired by seed: median, 95 % interval,
                    Wilcoxon's p.""",
                columns=("activation", "band, Gaussian", "orthogonal", "errors fall by", "low", "high", "p"),
                rows=[
                    [name, *(bands[name, at] for at in cases), *factors[name], gained[name].p_value]
                    for name in sorted(NAMES, key=lambda name: -narrower[name])
                ],
            ),
            entries.table({"accuracy": metrics}, "share trained and median accuracy"),
        ],
        pictures=[
            Picture(
                name="orthogonal",
                caption=f"""Accuracy of fresh plain networks of depth {depth} on the digits, a point each, and their
                    median, with either kind of weights, each at the best rate of the same grid.""",
                alt=f"Points by kind of weights and activation; errors fall by {helped}.",
                figure=accuracies(groups, chance=0.1),
            )
        ],
    )


def band(lab: Lab, name: str, case: Case) -> float:
    """Return how many decades lie between the 5 and 95 % quantiles of K at the last hidden layer, by the exact chain.

    inf if one of these has left the number format, as where networks blow up.
    """
    keys = [text for text in case.overrides if not text.startswith(("batch_size", "steps"))]
    law = lab.build(*ACTIVATIONS[name], f"depth={case.depth}", "initialization=critical", *keys).law
    log10_K = chain(law, CHAINS)[:, law.depth - 1]
    with np.errstate(invalid="ignore"):
        low, high = np.quantile(log10_K, [0.05, 0.95], method="inverted_cdf")
        return float(high - low) if np.isfinite(high - low) else np.inf


def narrowing(gaussian: float, orthogonal: float) -> float:
    """Return how many times as wide the band is with Gaussian weights; 1 where both leave the number format."""
    return 1.0 if np.isinf(gaussian) and np.isinf(orthogonal) else gaussian / max(orthogonal, 1e-9)


def judge(narrower: Mapping[str, float], gains: Gains, sharing: int = 1) -> Verdict:
    """Apply the rule: who has a narrower band gains for certain, and for certain more than each who has not.

    sharing: how many of the networks share a division of the data.
    """
    promised = [name for name in gains if narrower[name] >= NARROWER]
    others = [name for name in gains if narrower[name] < NARROWER]
    level = (1 - LEVEL) / max(1, len(promised) * (1 + len(others)))

    def certain(pair: Comparison) -> Verdict:
        return above(pair.difference, 0.0) if pair.p_value < level else Verdict.INCONCLUSIVE

    pairs = [(gains[name], 0 * gains[name]) for name in promised]
    pairs += [(gains[a], gains[b]) for a, b in product(promised, others)]
    return together(certain(paired_test(first, second, sharing=sharing)) for first, second in pairs)


CLAIM = Claim(
    number=20,
    slug="orthogonal",
    family="cures",
    title="Orthogonal weights help plain networks of depth 50 whose signal theory says they steady",
    statement="""In plain networks of depth 50 on the digits, the activations whose band of K theory says orthogonal
        weights narrow gain from them, and more than the others.""",
    reference="past the paper; theory: a semi-orthogonal matrix keeps the size of what it turns",
    rule=f"""Theory promises help where the band of log10 K at the last layer, 5 to 95 % by the exact chain, narrows at
        least {NARROWER:g} times. For each such activation the share misclassified falls (Wilcoxon's signed-rank test of
        the logarithms, paired by seed, five divisions of the data), and by a larger factor than for each of the others;
        5 % over all these tests. Supported if all hold, refuted if one holds for certain the other way round, else
        inconclusive.""",
    cost={"smoke": 8, "full": 380},
    examine=examine,
)
