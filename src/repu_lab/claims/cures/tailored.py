"""Claim 19: affine maps around the activation, made for the depth: which of them lets 50 plain layers learn x y z."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import torch

from repu_lab.activations import RePU
from repu_lab.claims.base import Claim, Evidence, Picture
from repu_lab.claims.contest import CRITERION, LINEAR, MARGIN, Case, contest, deep_grid, sizes
from repu_lab.claims.lab import Lab
from repu_lab.claims.statistics import Array, Interval, median_interval, wilson
from repu_lab.claims.verdicts import Verdict, above, below, corrected, together
from repu_lab.figures.points import accuracies
from repu_lab.networks.initialization import critical, draw_
from repu_lab.networks.population import Population
from repu_lab.theory import tailor

TAILORED, PLAIN = "MRePU 1, dks", "MRePU 1"
SHOWN = ("MRePU 2, dks", "MRePU 2, tat", "RePU 2, shift", "RePU 2, tat")
NAMES = (TAILORED, PLAIN, *SHOWN, "ReLU", "GELU", "tanh", LINEAR)
ON_XOR = (TAILORED, "MRePU 2, dks", "RePU 2, shift", "ReLU", "GELU", "tanh", LINEAR)
FACTOR = 10.0  # within which the signal stays of its first size, upwards and downwards, where it counts as kept
PARTS = 3
COUNTS = f"""A network counts if its R^2 (xyz) or accuracy (XOR) is {CRITERION:g} and {MARGIN:g} above the best median
    of the identity."""


def examine(lab: Lab) -> Evidence:
    """Train plain networks of tailored and usual activations, and follow the signal in plain RePU networks."""
    depth, width = lab.choose(smoke=(6, 32), full=(50, 64))
    longer = (f"width={width}", "batch_size=64", f"steps={lab.choose(smoke=100, full=600)}")
    case = Case("xyz", depth, ("task=polynomial", "task.target=xyz", *longer))
    xor = Case("XOR", depth, sizes(lab, "xor"))
    names, on_xor = lab.choose(smoke=((TAILORED, PLAIN, LINEAR), ()), full=(NAMES, ON_XOR))
    grid = deep_grid(lab)
    entries = contest(lab, [*product(names, [case]), *product(on_xor, [xor])], grid, tuning_share=0.4)
    shares = entries.counting()
    medians, medians_xor = (
        ", ".join(f"{entry.metric:.2f} ({name})" for (name, at), entry in entries.items() if at == task)
        for task in (case, xor)
    )
    K, difference = realised(depth, width, lab.numbers(lab.choose(smoke=20, full=200)))
    middle = {l: median_interval(K[l - 1]) for l in (1, (depth + 1) // 2, depth)}
    by_layer = ", ".join(f"{value} (layer {l})" for l, value in middle.items())
    fates = kept(K)
    kinds = {"tailored": (TAILORED, *SHOWN), "as they are": (PLAIN, *NAMES[-4:])}
    groups = {kind: entries.points(activations, case) for kind, activations in kinds.items()}

    def judged(chances: int) -> Verdict:
        counted = entries.counting(chances=chances)
        steady = wilson(fates["keep it"], K.shape[1], chances=chances)
        return judge(counted[TAILORED, case], counted[PLAIN, case], steady)

    return Evidence(
        setup=f"""x y z on [-1, 1]^3, plain networks of depth {depth}; {case.training}, float32; for
            every activation the same {grid}. DKS and TAT are solved for this depth; a shift has alpha = 1. {COUNTS}
            Beside it XOR, {xor.training}. Signal: {K.shape[1]} plain RePU 2 networks of width {width} at
            initialization, whose biases are the shift beta, beside the tailored networks that they realise, float64;
            K is the mean square of u = z - beta, since that of z is beta^2 and little else.""",
        verdict=corrected(PARTS, judged),
        reason=f"""of the fresh networks of {TAILORED} {shares[TAILORED, case]} count, of {PLAIN} without
            {shares[PLAIN, case]}; median R^2 {medians}. On XOR, median accuracy: {medians_xor or "not tried"}. Of
            {K.shape[1]} plain RePU 2 networks with centred weights and one bias for all units
            {", ".join(f"{count} {fate}" for fate, count in fates.items())}, within a factor {FACTOR:g} of the first
            layer's K, median {by_layer}; half of them compute what RePU 2, shift does to {difference:.0e} of its
            size""",
        seeds=grid.fresh,
        numbers={
            **{f"median of {at.name}, {name}": entry.metric for (name, at), entry in entries.items()},
            **{f"K of plain RePU 2 with a shift, layer {l}": value.estimate for l, value in middle.items()},
            "share of these that keep K": fates["keep it"] / K.shape[1],
        },
        tables=[entries.counted_table("R^2 or accuracy")],
        pictures=[
            Picture(
                name="tailored",
                caption=f"""R^2 of fresh networks of depth {depth} on x y z, a point each, and their median, each
                    activation at the best setting of the same grid.""",
                alt=f"Points by activation: medians {medians}.",
                figure=accuracies(groups, chance=0.0, bar=CRITERION, label="$R^2$ on the test split"),
            )
        ],
    )


def realised(depth: int, width: int, seeds: Sequence[int]) -> tuple[Array, float]:
    """Follow plain RePU_2 networks whose biases are the shift of a tailored activation, and the tailored ones.

    s_hat(u) = gamma (relu(u + beta)^2 + delta) of weights W whose rows have the mean 0 is RePU_2 of y = u + beta: the
    weights gamma W, and beta as every bias. Return K^l of u = y - beta, (layers, networks), its median over inputs, inf
    where it is no number, and by how much the outputs differ, relative to their root mean square, the median of all
    networks.
    """
    s, layers = tailor(RePU(2), depth, "shift"), (width, *[width] * depth, 1)
    tailored, plain = (Population(a, layers, len(seeds), dtype=torch.float64) for a in (s, RePU(2)))
    rule = critical(s, layers, weights="centred")
    draw_(tailored, rule, seeds)
    x_BI = torch.randn(16, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x_BI *= width**0.5 / x_BI.norm(dim=1, keepdim=True)
    with torch.no_grad():
        plain.theta.copy_(tailored.theta)
        for l, affine in enumerate(plain.affine_maps()):
            affine.W_MIO.mul_(s.gamma if l else 1.0)
            affine.b_M1O.add_(s.beta if l < depth else 0.0)
        u, y = tailored.preactivations(x_BI), plain.preactivations(x_BI)
    K = np.stack([(z - s.beta).square().mean(2).median(1).values.numpy() for z in y[:depth]])
    difference_M = (u[-1] - y[-1]).abs().amax((1, 2)) / u[-1].square().mean((1, 2)).sqrt()
    return np.where(np.isnan(K), np.inf, K), float(difference_M.nan_to_num(torch.inf).median())


def kept(K: Array) -> dict[str, int]:
    """Return how many networks keep K within FACTOR of their first layer's, and how many leave it upwards or downwards.

    K: (layers, networks). What leaves both ways counts by the end that it reaches: nothing comes back from inf.
    """
    ratio = K / K[0]
    steady = ((ratio <= FACTOR) & (ratio >= 1 / FACTOR)).all(0)
    return {
        "keep it": int(steady.sum()),
        "grow": int((~steady & (ratio[-1] > 1)).sum()),
        "shrink": int((~steady & (ratio[-1] <= 1)).sum()),
    }


def judge(tailored: Interval, plain: Interval, steady: Interval) -> Verdict:
    """Apply the rule to the shares of MRePU_1 that count with DKS and without, and of RePU_2 that keep their signal."""
    return together([above(tailored, 0.5), below(plain, 0.5), above(steady, 0.5)])


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
        the same budget, and more than half of the plain RePU networks keep the mean square of u = z - beta within a
        factor {FACTOR:g} of its first value, upwards and downwards, at each of 50 layers (95 % Wilson intervals).
        Refuted if one of these lies on the other side, at 5 % over {PARTS}, as many chances. Else inconclusive. What
        MRePU 2 and RePU 2 learn, tailored in other ways, and XOR stand beside it and do not decide. {COUNTS}""",
    cost={"smoke": 3, "full": 340},
    examine=examine,
)
