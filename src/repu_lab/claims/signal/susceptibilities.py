"""Claims 3 and 4: chi_parallel against chi_perp, which part by (2p-1) : p for RePU and meet at K = 0 for MRePU."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from repu_lab.activations import MRePU, RePU
from repu_lab.claims.base import Claim, Evidence, Picture, Table
from repu_lab.claims.lab import Lab
from repu_lab.claims.signal.measuring import sphere
from repu_lab.claims.statistics import Interval, bootstrap, ratio_of_sums
from repu_lab.claims.verdicts import Verdict, above, together, within
from repu_lab.figures.chi import meeting, ratio_by_power
from repu_lab.networks.population import Population
from repu_lab.theory import analyse, mean_square, mean_square_slope, stein

Array = NDArray[np.float64]

TOLERANCE = 0.1
POWERS = (1.5, 2.0, 3.0)
# Weight variance in units of the one that keeps K = 1, bias variance, k1: kernels that fall, stay and grow.
STARTS = ((0.5, 0.0, 1.0), (1.0, 0.0, 1.0), (1.0, 0.2, 2.0))
LAYERS = 3
INPUTS = 8
MEETING_POWERS = (1.0, 2.0)
KERNELS = (1e-6, 1e-4, 1e-2, 0.1, 1.0, 10.0)
MEETING = 0.01  # how near to 1 both must come at the smallest K
APART = 0.1  # from this K on the interval of their ratio must exclude 1


def examine_ratio(lab: Lab) -> Evidence:
    """Measure chi_parallel / chi_perp of RePU networks at several powers, C_W, C_b and K."""
    width, members = lab.choose(smoke=512, full=1024), lab.choose(smoke=12, full=20)
    rows, intervals, theory = [], [], []
    for i, p in enumerate(POWERS):
        keeps = 1 / float(mean_square(RePU(p), 1.0))
        expected = (2 * p - 1) / p
        grid = np.logspace(-6, 6, 49)
        theory.append(float(np.max(np.abs(stein(RePU(p), grid) / mean_square_slope(RePU(p), grid) / expected - 1))))
        for j, (factor, C_b, k1) in enumerate(STARTS):
            experiment = lab.build(
                "activation=repu", f"activation.p={p:g}", f"depth={LAYERS}", f"width={width}", f"members={members}",
                f"seed={j * members}", "dtype=float64", "initialization=custom",
                f"initialization.c_w={factor * keeps:.6g}", f"initialization.c_b={C_b:g}", f"initialization.k1={k1:g}",
            )  # fmt: skip
            sums, K = chi_sums(experiment.population(), sphere(INPUTS, experiment.sizes[0]), p)
            intervals.append(bootstrap(sums, lambda rows, axis: ratio_of_sums(rows.sum(-2), axis)))
            rows.append([p, factor * keeps, C_b, K[0], K[-1], *intervals[-1], expected])
        lab.progress((i + 1) / len(POWERS))
    targets = [(2 * p - 1) / p for p in POWERS for _ in STARTS]
    shown = "; ".join(
        f"p={p:g}: " + ", ".join(f"{found.estimate:.3f}" for found in intervals[i * len(STARTS) :][: len(STARTS)])
        + f" against {(2 * p - 1) / p:.3f}" for i, p in enumerate(POWERS)
    )  # fmt: skip
    return Evidence(
        setup=f"""{members} RePU networks of width {width} for each power and initialization, layers 1 to
            {LAYERS}, {INPUTS} inputs each, float64; C_W at 1/2 and 1 times the value that keeps K = 1, with and
            without biases. The ratio is that of sums over layers and networks, at unit K; a mean of single networks'
            ratios is biased by the heavy tails of z^(2p).""",
        verdict=judge_ratio(intervals, targets),
        reason=f"measured chi_parallel / chi_perp, {shown}; theory agrees with (2p-1)/p to {max(theory):.1g}",
        seeds=members,
        numbers={f"largest relative error of theory, p={p:g}": e for p, e in zip(POWERS, theory, strict=True)},
        tables=[
            Table(
                caption="chi_parallel / chi_perp with its 95 % bootstrap interval over networks.",
                columns=("p", "C_W", "C_b", "K at layer 1", f"K at layer {LAYERS}", "ratio", "low", "high", "(2p-1)/p"),
                rows=rows,
            )
        ],
        pictures=[_ratio_picture(rows)],
    )


def judge_ratio(ratios: Sequence[Interval], targets: Sequence[float]) -> Verdict:
    """Apply claim 3's rule: every interval within 10 % of (2p-1)/p and clear of 1."""
    near = [
        within(found, (1 - TOLERANCE) * t, (1 + TOLERANCE) * t) for found, t in zip(ratios, targets, strict=True)
    ]  # fmt: skip
    return together([*near, *(above(found, 1.0) for found in ratios)])


@torch.no_grad()
def chi_sums(population: Population, x_PI: torch.Tensor, p: float) -> tuple[Array, Array]:
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


def examine_meeting(lab: Lab) -> Evidence:
    """Measure both susceptibilities of MRePU's first layer at kernels from 1e-6 to 10, C_W = 1, C_b = 0."""
    width, members = lab.choose(smoke=1024, full=4096), lab.choose(smoke=10, full=20)
    rows, at_zero, apart, curves, alone = [], [], [], {}, True
    numbers: dict[str, float | str | None] = {}
    for p in MEETING_POWERS:
        experiment = lab.build(
            "activation=mrepu", f"activation.p={p:g}", "depth=1", f"width={width}", f"members={members}",
            "dtype=float64", "initialization=custom", "initialization.c_w=1", "initialization.k1=1",
        )  # fmt: skip
        known = analyse(MRePU(p))
        assert known.a_1 is not None and known.b_1 is not None
        alone &= [point.K for point in known.points] == [0.0]
        points = ", ".join(f"({point.C_W:g}, {point.C_b:g}) at K = {point.K:g}" for point in known.points)
        numbers |= {f"critical points (C_W, C_b), p={p:g}": points, f"2 a_1, p={p:g}": 2 * known.a_1,
                    f"b_1, p={p:g}": known.b_1}  # fmt: skip
        population = experiment.population()
        x_PI = sphere(INPUTS, experiment.sizes[0])
        measured = []
        for K in KERNELS:
            chi_M2 = first_layer_chi(population, x_PI * K**0.5)
            parallel, perp = (bootstrap(chi_M2[:, i], np.mean) for i in (0, 1))
            ratio = bootstrap(chi_M2, ratio_of_sums)
            measured.append((parallel, perp))
            rows.append([p, K, parallel.estimate, float(stein(MRePU(p), K)), perp.estimate,
                         float(mean_square_slope(MRePU(p), K)), *ratio])  # fmt: skip
            if KERNELS[0] == K:
                at_zero += [parallel, perp]
            if K >= APART:
                apart.append(ratio)
        curves[f"MRePU {p:g}"] = {"p": p, "measured": measured}
    return Evidence(
        setup=f"First layers of {members} MRePU networks of width {width}, {INPUTS} inputs each, C_W = 1, C_b = 0, "
        f"float64; the size of the input sets K from {KERNELS[0]:g} to {KERNELS[-1]:g}.",
        verdict=judge_meeting(at_zero, apart, alone),
        reason=f"at K = {KERNELS[0]:g} chi_parallel and chi_perp are 1 to within "
        f"{max(abs(end - 1) for found in at_zero for end in found):.1g}; from "
        f"K = {APART:g} on their ratio is at least {min(found.low for found in apart):.3g}. Theory: chi_parallel = "
        "1 + 2 a_1 K with a_1 = 6p^2 - 3p > 0, so the point where they meet repels",
        seeds=members,
        numbers=numbers,
        tables=[
            Table(
                caption="Susceptibilities of MRePU at C_W = 1, C_b = 0, means over networks, and their ratio with its "
                "95 % bootstrap interval.",
                columns=("p", "K", "chi_parallel", "theory", "chi_perp", "theory", "ratio", "low", "high"),
                rows=rows,
            )
        ],
        pictures=[_meeting_picture(curves)],
    )


def judge_meeting(at_zero: Sequence[Interval], apart: Sequence[Interval], alone: bool) -> Verdict:
    """Apply claim 4's rule: both within 1 % of 1 at the smallest K, their ratio above 1 at every large one.

    alone: whether theory knows no other critical point, between and beyond the K that are measured.
    """
    near = [within(found, 1 - MEETING, 1 + MEETING) for found in at_zero]
    elsewhere = Verdict.SUPPORTED if alone else Verdict.REFUTED
    return together([*near, *(above(found, 1.0) for found in apart), elsewhere])


@torch.no_grad()
def first_layer_chi(population: Population, x_PI: torch.Tensor) -> Array:
    """Return chi_parallel = mean(z s s') / K and chi_perp = mean(s'^2) of z^1 at C_W = 1, (members, 2)."""
    s = population.activation
    z = population.preactivations(x_PI.to(population.theta))[0]
    slope = s.derivative(z)
    parallel = (z * s(z) * slope).sum((-1, -2)) / z.square().sum((-1, -2))
    return torch.stack([parallel, slope.square().mean((-1, -2))], dim=-1).cpu().numpy()


def _ratio_picture(rows: list[list[float]]) -> Picture:
    return Picture(
        name="ratio",
        caption="chi_parallel / chi_perp of RePU networks against the power p: measured at three initializations each "
        "(95 % intervals), and (2p-1)/p. A critical initialization needs 1.",
        alt="The curve (2p-1)/p, above 1 for every p > 1, and measured ratios: "
        + ", ".join(f"{row[5]:.3f} at p = {row[0]:g}" for row in rows)
        + ".",
        figure=ratio_by_power([(row[0], row[5], row[6], row[7]) for row in rows]),
    )


def _meeting_picture(curves: dict) -> Picture:
    grid = np.logspace(-6, 1.3, 60)
    for curve in curves.values():
        curve["theory"] = [stein(MRePU(curve["p"]), grid), mean_square_slope(MRePU(curve["p"]), grid)]
    return Picture(
        name="meeting",
        caption="Susceptibilities of MRePU at C_W = 1, C_b = 0 less 1, against K: points measured, lines theory. Both "
        "fall to 0 with K, chi_parallel from above: the critical point is at K = 0 and repels.",
        alt="chi_parallel - 1 and chi_perp - 1 fall in proportion to K, chi_parallel above chi_perp.",
        figure=meeting(grid, curves, KERNELS),
    )


REFERENCE = "Kim & Kang, arXiv:2408.02697: susceptibilities of RePU and MRePU"

RATIO = Claim(
    number=3, slug="ratio", family="signal",
    title="RePU's susceptibilities stand in the ratio (2p-1) : p",
    statement="chi_parallel : chi_perp = (2p-1) : p for RePU_p at every K, C_W and C_b, so they are never both 1.",
    reference=REFERENCE,
    rule=f"For every power and initialization the 95 % bootstrap interval of the ratio lies within {TOLERANCE:.0%} of "
    "(2p-1)/p and above 1: supported. One interval wholly elsewhere: refuted. Else inconclusive.",
    cost={"smoke": 2, "full": 8},
    examine=examine_ratio,
)  # fmt: skip

MEETS = Claim(
    number=4, slug="meeting", family="signal",
    title="MRePU's susceptibilities meet at K = 0",
    statement="For MRePU chi_parallel = chi_perp = 1 is reached at C_W = 1, C_b = 0 as K goes to 0, and nowhere else.",
    reference=REFERENCE,
    rule=f"Supported if the 95 % intervals of both lie within {MEETING:.0%} of 1 at K = {KERNELS[0]:g}, and that of "
    f"their ratio above 1 at every K of {APART:g} and more, and theory finds no other critical point between 1e-8 and "
    "1e8. Refuted if one lies wholly elsewhere or there is another point. Else inconclusive.",
    cost={"smoke": 1, "full": 1},
    examine=examine_meeting,
)  # fmt: skip
