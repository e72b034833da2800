"""Claim 4: chi_parallel and chi_perp of MRePU meet at K = 0."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from repu_lab.activations import MRePU
from repu_lab.claims.base import Cell, Claim, Evidence, Picture, Table
from repu_lab.claims.lab import Lab
from repu_lab.claims.signal.measuring import Array, sphere
from repu_lab.claims.statistics import Interval, bootstrap, ratio_of_sums
from repu_lab.claims.verdicts import Verdict, above, near, together
from repu_lab.figures.chi import meeting
from repu_lab.networks.population import Population
from repu_lab.theory import analyse, mean_square_slope, stein

POWERS = (1.0, 2.0)
KERNELS = (1e-6, 1e-4, 1e-2, 0.1, 1.0, 10.0)
INPUTS = 8
MEETING = 0.01  # how near to 1 both must come at the smallest K
APART = 0.1  # from this K on the interval of their ratio must exclude 1
Point = tuple[float, float]  # a power, a kernel


def examine(lab: Lab) -> Evidence:
    """Measure both susceptibilities of MRePU's first layer at kernels from 1e-6 to 10, C_W = 1, C_b = 0."""
    width, members = lab.choose(smoke=1024, full=4096), lab.choose(smoke=10, full=20)
    chi: dict[Point, tuple[Interval, Interval]] = {}
    ratio: dict[Point, Interval] = {}
    for p in POWERS:
        experiment = lab.build(
            *("activation=mrepu", f"activation.p={p:g}", "depth=1", f"width={width}", f"members={members}"),
            *("dtype=float64", "initialization=custom", "initialization.c_w=1", "initialization.k1=1"),
        )
        population, x_PI = experiment.population(), sphere(INPUTS, experiment.sizes[0])
        for K in KERNELS:
            chi_M2 = first_layer_chi(population, x_PI * K**0.5)
            chi[p, K] = bootstrap(chi_M2[:, 0], np.mean), bootstrap(chi_M2[:, 1], np.mean)
            ratio[p, K] = bootstrap(chi_M2, ratio_of_sums)
    known = {p: analyse(MRePU(p)) for p in POWERS}
    alone = all([point.K for point in theory.points] == [0.0] for theory in known.values())
    at_zero = [interval for p in POWERS for interval in chi[p, KERNELS[0]]]
    apart = [interval for (_, K), interval in ratio.items() if K >= APART]
    numbers: dict[str, Cell] = {}
    for p, theory in known.items():
        points = ", ".join(f"({point.C_W:g}, {point.C_b:g}) at K = {point.K:g}" for point in theory.points)
        assert theory.a_1 is not None
        numbers |= {
            f"critical points (C_W, C_b), p={p:g}": points,
            f"2 a_1, p={p:g}": 2 * theory.a_1,
            f"b_1, p={p:g}": theory.b_1,
        }
    return Evidence(
        setup=f"""First layers of {members} MRePU networks of width {width}, {INPUTS} inputs each, C_W = 1, C_b = 0,
            float64; the size of the input sets K from {KERNELS[0]:g} to {KERNELS[-1]:g}.""",
        verdict=judge(at_zero, apart, alone),
        reason=f"""at K = {KERNELS[0]:g} chi_parallel and chi_perp are 1 to within
            {max(abs(end - 1) for interval in at_zero for end in interval):.1g}; from K = {APART:g} on their ratio is at
            least {min(interval.low for interval in apart):.3g}. Theory: chi_parallel = 1 + 2 a_1 K with a_1 = 6p^2 - 3p
            > 0, so the point where they meet repels""",
        seeds=members,
        numbers=numbers,
        tables=[
            Table(
                caption="""Susceptibilities of MRePU at C_W = 1, C_b = 0, means over networks, and their ratio with its
                    95 % bootstrap interval.""",
                columns=("p", "K", "chi_parallel", "theory", "chi_perp", "theory", "ratio", "low", "high"),
                rows=[
                    [p, K, parallel.estimate, expected[0], perp.estimate, expected[1], *ratio[p, K]]
                    for (p, K), (parallel, perp) in chi.items()
                    for expected in [(float(stein(MRePU(p), K)), float(mean_square_slope(MRePU(p), K)))]
                ],
            )
        ],
        pictures=[_picture(chi)],
    )


def judge(at_zero: Sequence[Interval], apart: Sequence[Interval], alone: bool) -> Verdict:
    """Apply the rule: both within 1 % of 1 at the smallest K, their ratio above 1 at every large one.

    alone: whether theory knows no other critical point, between and beyond the K that are measured.
    """
    parts = [*(near(interval, 1.0, MEETING) for interval in at_zero), *(above(interval, 1.0) for interval in apart)]
    return together([*parts, Verdict.SUPPORTED if alone else Verdict.REFUTED])


@torch.no_grad()
def first_layer_chi(population: Population, x_PI: torch.Tensor) -> Array:
    """Return chi_parallel = mean(z s s') / K and chi_perp = mean(s'^2) of z^1 at C_W = 1, (members, 2)."""
    s = population.activation
    z = population.preactivations(x_PI.to(population.theta))[0]
    slope = s.derivative(z)
    parallel = (z * s(z) * slope).sum((-1, -2)) / z.square().sum((-1, -2))
    return torch.stack([parallel, slope.square().mean((-1, -2))], dim=-1).cpu().numpy()


def _picture(chi: Mapping[Point, tuple[Interval, Interval]]) -> Picture:
    K = np.logspace(-6, 1.3, 60)
    curves = {
        f"MRePU {p:g}": {
            "theory": [stein(MRePU(p), K), mean_square_slope(MRePU(p), K)],
            "measured": [chi[p, kernel] for kernel in KERNELS],
        }
        for p in POWERS
    }
    return Picture(
        name="meeting",
        caption="""Susceptibilities of MRePU at C_W = 1, C_b = 0 less 1, against K: points measured, lines theory. Both
            fall to 0 with K, chi_parallel from above: the critical point is at K = 0 and repels.""",
        alt="chi_parallel - 1 and chi_perp - 1 fall in proportion to K, chi_parallel above chi_perp.",
        figure=meeting(K, curves, KERNELS),
    )


CLAIM = Claim(
    number=4,
    slug="meeting",
    family="signal",
    title="MRePU's susceptibilities meet at K = 0",
    statement="For MRePU chi_parallel = chi_perp = 1 is reached at C_W = 1, C_b = 0 as K goes to 0, and nowhere else.",
    reference="Kim & Kang, arXiv:2408.02697: susceptibilities of RePU and MRePU",
    rule=f"""Supported if the 95 % intervals of both lie within {MEETING:.0%} of 1 at K = {KERNELS[0]:g}, and that of
        their ratio above 1 at every K of {APART:g} and more, and theory finds no other critical point between 1e-8 and
        1e8. Refuted if one lies wholly elsewhere or there is another point. Else inconclusive.""",
    cost={"smoke": 1, "full": 1},
    examine=examine,
)
