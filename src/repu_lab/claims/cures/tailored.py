"""Claim 19: affine maps around the activation, made for the depth: which of them lets 50 plain layers learn x y z."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import torch

from repu_lab.activations import RePU
from repu_lab.claims.base import Claim, Evidence, Picture
from repu_lab.claims.contest import CRITERION, LINEAR, MARGIN, Case, Grid, accuracy_table, contest, counting, described
from repu_lab.claims.lab import Lab
from repu_lab.claims.statistics import Array, Interval, median_interval, wilson
from repu_lab.claims.trials import Networks, metrics
from repu_lab.claims.verdicts import Verdict, above, below, together
from repu_lab.figures.points import accuracies
from repu_lab.networks.initialization import critical, draw_
from repu_lab.networks.population import Population
from repu_lab.theory import tailor

TAILORED, PLAIN = "MRePU 1, dks", "MRePU 1"
SHOWN = ("MRePU 2, dks", "MRePU 2, tat", "RePU 2, shift", "RePU 2, tat")
NAMES = (TAILORED, PLAIN, *SHOWN, "ReLU", "GELU", "tanh", LINEAR)
FACTOR = 10.0  # by which K may grow where a signal counts as kept
COUNTS = f"A network counts if its R^2 is {CRITERION:g} and {MARGIN:g} above the best median of the identity."


def examine(lab: Lab) -> Evidence:
    """Train plain networks of tailored and usual activations, and follow K in a plain RePU network with a shift."""
    depth, width = lab.choose(smoke=(12, 32), full=(50, 64))
    sizes = (f"width={width}", "batch_size=64", f"steps={lab.choose(smoke=200, full=600)}")
    case = Case("xyz", depth, ("task=polynomial", "task.target=xyz", *sizes))
    grid = lab.choose(
        smoke=Grid(("critical",), ("1e-3",), 1, 6),
        full=Grid(("critical",), ("1e-4", "3e-4", "1e-3"), 2, 4, splits=3),
    )
    entries = contest(lab, product(NAMES, [case]), grid, tuning_share=0.4)
    shares = {name: share for (name, _), share in counting(entries).items()}
    r2 = {name: entries[name, case].metric for name in NAMES}
    medians = ", ".join(f"{value:.2f} ({name})" for name, value in r2.items())
    K, difference = realised(depth, width, lab.numbers(lab.choose(smoke=20, full=200)))
    middle = {l: median_interval(K[l - 1]) for l in (1, (depth + 1) // 2, depth)}
    by_layer = ", ".join(f"{value} (layer {l})" for l, value in middle.items())
    kept = wilson(int((K / K[0] < FACTOR).all(0).sum()), K.shape[1])
    return Evidence(
        setup=f"""x y z on [-1, 1]^3, plain networks of depth {depth}; {described((*sizes, "task=xyz"))}, float32; for
            every activation the same {grid}. DKS and TAT are solved for this depth; a shift has alpha = 1. {COUNTS}
            K: {K.shape[1]} plain RePU 2 networks of width {width} at initialization, whose biases are the shift, beside
            the tailored networks that they realise, float64.""",
        verdict=judge(shares[TAILORED], shares[PLAIN]),
        reason=f"""of the fresh networks of {TAILORED} {shares[TAILORED]} count, of {PLAIN} without {shares[PLAIN]};
            median R^2 {medians}. Plain RePU 2 networks with centred weights and one bias for all units keep K below
            {FACTOR:g} times its first value in {kept} of networks, median {by_layer}; half of them compute what
            {SHOWN[2]} does to {difference:.0e} of its size""",
        seeds=grid.fresh,
        numbers={
            **{f"median R^2, {name}": value for name, value in r2.items()},
            **{f"K of plain RePU 2 with a shift, layer {l}": value.estimate for l, value in middle.items()},
            "share of these that keep K": kept.estimate,
        },
        tables=[accuracy_table(entries, counting(entries), "R^2")],
        pictures=[
            Picture(
                name="tailored",
                caption=f"""R^2 of fresh networks of depth {depth} on x y z, a point each, and their median, each
                    activation at the best setting of the same grid.""",
                alt=f"Points by activation: medians {medians}.",
                figure=accuracies(
                    {
                        "tailored": {name: _shown(entries[name, case].networks) for name in (TAILORED, *SHOWN)},
                        "as they are": {name: _shown(entries[name, case].networks) for name in (PLAIN, *NAMES[-4:])},
                    },
                    chance=0.0,
                    bar=CRITERION,
                    label="$R^2$ on the test split",
                ),
            )
        ],
    )


def realised(depth: int, width: int, seeds: Sequence[int]) -> tuple[Array, float]:
    """Follow plain RePU_2 networks whose biases are the shift of a tailored activation, and the tailored ones.

    s_hat(u) = gamma (relu(u + beta)^2 + delta) of weights W whose rows have the mean 0 is RePU_2 of y = u + beta: the
    weights gamma W, and beta as every bias. Return K^l of y, (layers, networks), its median over inputs, inf where it
    is no number, and by how much the outputs differ, relative to their root mean square, the median of all networks.
    """
    s, sizes = tailor(RePU(2), depth, "shift"), (width, *[width] * depth, 1)
    tailored, plain = (Population(a, sizes, len(seeds), dtype=torch.float64) for a in (s, RePU(2)))
    rule = critical(s, sizes, weights="centred")
    draw_(tailored, rule, seeds)
    x_BI = torch.randn(16, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x_BI *= width**0.5 / x_BI.norm(dim=1, keepdim=True)
    with torch.no_grad():
        plain.theta.copy_(tailored.theta)
        for l, affine in enumerate(plain.affine_maps()):
            affine.W_MIO.mul_(s.gamma if l else 1.0)
            affine.b_M1O.add_(s.beta if l < depth else 0.0)
        u, y = tailored.preactivations(x_BI), plain.preactivations(x_BI)
    K = np.stack([z.square().mean(2).median(1).values.numpy() for z in y[:depth]])
    difference_M = (u[-1] - y[-1]).abs().amax((1, 2)) / u[-1].square().mean((1, 2)).sqrt()
    return np.where(np.isnan(K), np.inf, K), float(difference_M.nan_to_num(torch.inf).median())


def judge(tailored: Interval, plain: Interval) -> Verdict:
    """Apply the rule to the shares of MRePU_1 networks that count with DKS and without."""
    return together([above(tailored, 0.5), below(plain, 0.5)])


def _shown(networks: Networks) -> list[float]:
    return np.maximum(metrics(networks), -0.1).tolist()


CLAIM = Claim(
    number=19,
    slug="tailored",
    family="cures",
    title="Tailored to the depth, MRePU of 50 plain layers learns xyz",
    statement="""Within affine maps that deep kernel shaping chooses for depth 50, networks of MRePU (p = 1) learn xyz
        without skips or norms, which linear networks cannot and those of MRePU as it is do not. Plain RePU networks
        whose weights have rows of mean 0, and whose biases are one constant, realise a shift; most keep their signal at
        initialization.""",
    reference="past the paper; Martens et al. 2021, arXiv:2110.01765; Zhang et al. 2022, arXiv:2203.08120",
    rule=f"""Supported if more than half of the fresh networks of {TAILORED} count and fewer than half of {PLAIN}'s, at
        the same budget (95 % Wilson intervals). Refuted if one of these lies on the other side. Else inconclusive. What
        MRePU 2 and RePU 2 do, tailored in other ways, and the shift as biases, stand beside it and do not decide.
        {COUNTS}""",
    cost={"smoke": 15, "full": 400},
    examine=examine,
)
