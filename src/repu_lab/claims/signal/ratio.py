"""Claim 3: chi_parallel and chi_perp of RePU part by (2p-1) : p."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import torch

from repu_lab.activations import RePU
from repu_lab.claims.base import Cell, Claim, Evidence, Picture, Table
from repu_lab.claims.lab import Lab
from repu_lab.claims.signal.measuring import Array, sphere
from repu_lab.claims.statistics import Interval, bootstrap, ratio_of_sums
from repu_lab.claims.verdicts import Verdict, above, near, together
from repu_lab.figures.chi import ratio_by_power
from repu_lab.networks.population import Population
from repu_lab.theory import mean_square, mean_square_slope, stein

TOLERANCE = 0.1
# Power -> (2p-1)/p.
TARGETS = {p: (2 * p - 1) / p for p in (1.5, 2.0, 3.0)}
# Weight variance in units of the one that keeps K = 1, bias variance, k1: kernels that fall, stay and grow.
STARTS = ((0.5, 0.0, 1.0), (1.0, 0.0, 1.0), (1.0, 0.2, 2.0))
LAYERS = 3
INPUTS = 8


def examine(lab: Lab) -> Evidence:
    """Measure chi_parallel / chi_perp of RePU networks at several powers, C_W, C_b and K."""
    width, members = lab.choose(smoke=512, full=1024), lab.choose(smoke=12, full=20)
    ratios: dict[float, list[Interval]] = {p: [] for p in TARGETS}
    rows: list[list[Cell]] = []
    for (p, target), (start, (factor, C_b, k1)) in lab.through(list(product(TARGETS.items(), enumerate(STARTS)))):
        C_W = factor / float(mean_square(RePU(p), 1.0))
        experiment = lab.build(
            *("activation=repu", f"activation.p={p:g}", f"depth={LAYERS}", f"width={width}", f"members={members}"),
            *(f"seed={start * members}", "dtype=float64", "initialization=custom", f"initialization.c_w={C_W:.6g}"),
            *(f"initialization.c_b={C_b:g}", f"initialization.k1={k1:g}"),
        )
        sums, medians = chi_sums(experiment.population(), sphere(INPUTS, experiment.sizes[0]))
        ratios[p].append(bootstrap(sums, lambda rows, axis: ratio_of_sums(rows.sum(-2), axis)))
        rows.append([p, C_W, C_b, medians[0], medians[-1], *ratios[p][-1], target])
    K = np.logspace(-6, 6, 49)
    theory = {
        p: float(np.max(np.abs(stein(RePU(p), K) / mean_square_slope(RePU(p), K) / target - 1)))
        for p, target in TARGETS.items()
    }
    points = [f"{ratio.estimate:.3f} at p = {p:g}" for p in ratios for ratio in ratios[p]]
    measured = "; ".join(
        f"p={p:g}: {', '.join(f'{ratio.estimate:.3f}' for ratio in ratios[p])} against {target:.3f}"
        for p, target in TARGETS.items()
    )
    return Evidence(
        setup=f"""{members} RePU networks of width {width} for each power and initialization, layers 1 to
            {LAYERS}, {INPUTS} inputs each, float64; C_W at 1/2 and 1 times the value that keeps K = 1, with and
            without biases. The ratio is that of sums over layers and networks, at unit K; a mean of single networks'
            ratios is biased by the heavy tails of z^(2p).""",
        verdict=judge([(ratio, TARGETS[p]) for p in TARGETS for ratio in ratios[p]]),
        reason=f"""measured chi_parallel / chi_perp, {measured}; theory agrees with (2p-1)/p to
            {max(theory.values()):.1g}""",
        seeds=members,
        numbers={f"largest relative error of theory, p={p:g}": error for p, error in theory.items()},
        tables=[
            Table(
                caption="chi_parallel / chi_perp with its 95 % bootstrap interval over networks.",
                columns=("p", "C_W", "C_b", "K at layer 1", f"K at layer {LAYERS}", "ratio", "low", "high", "(2p-1)/p"),
                rows=rows,
            )
        ],
        pictures=[
            Picture(
                name="ratio",
                caption="""chi_parallel / chi_perp of RePU networks against the power p: measured at three
                    initializations each (95 % intervals), and (2p-1)/p. A critical initialization needs 1.""",
                alt=f"The curve (2p-1)/p, above 1 for every p > 1, and measured ratios: {', '.join(points)}.",
                figure=ratio_by_power(ratios),
            )
        ],
    )


def judge(ratios: Sequence[tuple[Interval, float]]) -> Verdict:
    """Apply the rule to measured and expected ratios: every interval within 10 % of (2p-1)/p and clear of 1."""
    return together([*(near(*pair, TOLERANCE) for pair in ratios), *(above(ratio, 1.0) for ratio, _ in ratios)])


@torch.no_grad()
def chi_sums(population: Population, x_PI: torch.Tensor) -> tuple[Array, Array]:
    """Return chi_parallel and chi_perp at unit K and C_W = 1, (members, layers, 2), and the median K by layer.

    RePU is homogeneous, so chi_parallel = C_W K^(p-1) mean(x s(x) s'(x)) and chi_perp = C_W K^(p-1) mean(s'(x)^2) with
    x = z / sqrt(K): both lose the same factor, and networks of different K can be added up.
    """
    s = population.activation
    sums, kernels = [], []
    for z in population.preactivations(x_PI.to(population.theta))[:-1]:
        K_MP1 = z.square().mean(-1, keepdim=True)
        x = z / K_MP1.sqrt()
        slope = s.derivative(x)
        sums.append(torch.stack([(x * s(x) * slope).mean((-1, -2)), slope.square().mean((-1, -2))], dim=-1))
        kernels.append(K_MP1.median())
    return torch.stack(sums, dim=1).cpu().numpy(), torch.stack(kernels).cpu().numpy()


CLAIM = Claim(
    number=3,
    slug="ratio",
    family="signal",
    title="RePU's susceptibilities stand in the ratio (2p-1) : p",
    statement="chi_parallel : chi_perp = (2p-1) : p for RePU_p at every K, C_W and C_b, so they are never both 1.",
    reference="Kim & Kang, arXiv:2408.02697: susceptibilities of RePU and MRePU",
    rule=f"""For every power and initialization the 95 % bootstrap interval of the ratio lies within {TOLERANCE:.0%} of
        (2p-1)/p and above 1: supported. One interval wholly elsewhere: refuted. Else inconclusive.""",
    cost={"smoke": 2, "full": 9},
    examine=examine,
)
