"""Claim 1: the kernel of RePU networks moves double-exponentially with depth."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from repu_lab.activations import RePU
from repu_lab.claims.base import Claim, Evidence, Picture, Table
from repu_lab.claims.lab import Lab
from repu_lab.claims.signal.measuring import log10_kernel, sphere
from repu_lab.claims.signal.story import story
from repu_lab.claims.statistics import Interval, median_interval
from repu_lab.claims.verdicts import Verdict, together, within
from repu_lab.figures.growth import double_exponential
from repu_lab.networks.log_domain import LN10, measure_in_logs
from repu_lab.theory import layers, mean_square

Array = NDArray[np.float64]

POWERS = (2, 3)
START = 4.0  # K^1 / K_* of the networks that shall explode, its inverse for those that shall vanish
FAR = 3.0  # |ln(K/K_*)| from which on a network's own K_*, e^(+-0.3) around theory's, no longer bends the line
DEPTH = 50
TOLERANCE = 0.05


def examine(lab: Lab) -> Evidence:
    """Measure ln|ln(K^l/K_*)| against l in plain float64, to its overflow, and in the logarithm, to layer 51."""
    width, members = lab.choose(smoke=128, full=512), lab.choose(smoke=10, full=20)
    rows, intervals, curves, numbers = [], [], {}, {}
    for i, p in enumerate(POWERS):
        K_star = fixed_point(p)
        experiment = lab.build(
            "activation=repu", f"activation.p={p}", f"depth={DEPTH}", f"width={width}", f"members={members}",
            "dtype=float64", "initialization=custom", "initialization.c_w=1", f"initialization.k1={K_star!r}",
        )  # fmt: skip
        population = experiment.population()
        scale = torch.tensor([START, 1.0, 1 / START], dtype=torch.float64).sqrt()
        x_PI = sphere(1, experiment.sizes[0]) * scale[:, None]
        plain = log10_kernel(population, x_PI) * LN10 - math.log(K_star)
        exact = measure_in_logs(population, x_PI.to(population.theta), torch.ones(10).to(population.theta))
        logs = exact.log10_K * LN10 - math.log(K_star)
        for name, where in (("explodes", 0), ("vanishes", 2)):
            slopes = [slope(plain[:, member, where]) for member in range(members)]
            intervals.append(median_interval(slopes))
            followed = int(np.isfinite(plain[:, :, where]).sum(0).min())
            rows.append([p, name, intervals[-1].estimate, *intervals[-1][1:], math.log(p), followed])
            curves[f"RePU {p}, {name}"] = (p, np.abs(plain[:, :, where]), np.abs(logs[:, :, where]))
        both = np.isfinite(plain) & (np.abs(plain) > FAR)
        numbers |= {
            f"slope over ln p, p={p}, theory": slope(LN10 * layers(RePU(p), 1.0, 0.0, START * K_star, 12).log10_K
                                                     - math.log(K_star)) / math.log(p),
            f"slope to layer 51, p={p}": float(np.median([slope(logs[:, m, 0]) for m in range(members)])),
            f"share that explodes from K_*, p={p}": float((logs[-1, :, 1] > 0).mean()),
            f"largest relative difference of both arithmetics, p={p}":
                float(np.max(np.abs(plain[both] / logs[both] - 1))),
        }  # fmt: skip
        lab.progress((i + 1) / len(POWERS))
    verdict = judge(intervals)
    worst = max(intervals, key=lambda found: max(abs(found.low - found.estimate), abs(found.high - found.estimate)))
    shown = ", ".join(f"p={row[0]} {row[1]}: {found}" for row, found in zip(rows, intervals, strict=True))
    return Evidence(
        setup=f"{members} RePU networks of width {width}, C_W = 1, C_b = 0, one input each, K^1 = {START:g} K_* and "
        f"K_*/{START:g}. The line is fitted to each network in plain float64 over the layers with |ln(K/K_*)| > {FAR:g}"
        f" up to the first non-finite one; in the logarithm the same networks are followed to layer {DEPTH + 1}.",
        verdict=verdict,
        reason=f"slope of ln|ln(K^l/K_*)| a layer, against ln 2 = 0.693 and ln 3 = 1.099: {shown}",
        seeds=members,
        numbers=numbers | {"widest interval": worst.high - worst.low},
        tables=[
            Table(
                caption="Slope of ln|ln(K^l/K_*)| against l: median over networks and 95 % interval.",
                columns=("p", "fate", "slope", "low", "high", "ln p", "layers float64 can hold, at least"),
                rows=rows,
            )
        ],
        pictures=[story(lab), _picture(curves, width, lab)],
    )


def judge(slopes: list[Interval]) -> Verdict:
    """Apply the rule: every interval within 5 % of ln p, two for each power in the order of POWERS."""
    targets = [math.log(p) for p in POWERS for _ in range(2)]
    return together(
        within(found, (1 - TOLERANCE) * target, (1 + TOLERANCE) * target)
        for found, target in zip(slopes, targets, strict=True)
    )


def fixed_point(p: float, C_W: float = 1.0) -> float:
    """Return K_* = (C_W c_p)^(-1/(p-1)) of infinitely wide RePU networks without biases."""
    return float((C_W * mean_square(RePU(p), 1.0)) ** (-1 / (p - 1)))


def slope(log_ratio_D: NDArray[np.floating[Any]]) -> float:
    """Return the least-squares slope of ln|r_l| against l over the finite r_l beyond FAR; NaN for fewer than three."""
    layer = np.arange(1, len(log_ratio_D) + 1)
    far = np.isfinite(log_ratio_D) & (np.abs(log_ratio_D) > FAR)
    if far.sum() < 3:
        return math.nan
    return float(np.polyfit(layer[far], np.log(np.abs(log_ratio_D[far])), 1)[0])


def _picture(curves: dict[str, tuple[int, Array, Array]], width: int, lab: Lab) -> Picture:
    experiment = lab.build(
        "activation=relu", f"depth={DEPTH}", f"width={width}", f"members={lab.seeds}", "dtype=float64",
        "initialization=custom", "initialization.c_w=4",
    )  # fmt: skip
    relu = log10_kernel(experiment.population(), sphere(1, experiment.sizes[0]))[:, :, 0] * LN10
    drawn = {name: {"p": p, "plain": plain, "logs": logs} for name, (p, plain, logs) in curves.items()}
    return Picture(
        name="double-exponential",
        caption="|ln(K^l/K_*)| of single networks against the layer, on a logarithmic axis: a straight line is a double"
        " exponential. Filled: plain float64, until it overflows; hollow: the same networks followed in the logarithm;"
        " lines: slope ln p. Grey: ReLU with C_W = 4, an ordinary exponential, which bends.",
        alt="Straight rising lines for RePU of power 2 and 3, steeper for 3, beside a bending curve for ReLU.",
        figure=double_exponential(drawn, np.abs(relu - relu[:1])[1:], start=math.log(START)),
    )


CLAIM = Claim(
    number=1, slug="double-exponential", family="signal",
    title="RePU's kernel grows or dies double-exponentially",
    statement="In a network of RePU_p, p > 1, the mean square K of the preactivations leaves its fixed point K_* "
    "double-exponentially with depth: ln(K^l/K_*) grows in size as p^l, so ln|ln(K^l/K_*)| is a line of slope ln p.",
    reference="Kim & Kang, arXiv:2408.02697: RePU networks at initialization",
    rule=f"For p = 2, 3 and both fates, the 95 % bootstrap interval of the median slope over networks lies within "
    f"{TOLERANCE:.0%} of ln p: supported. One interval wholly outside: refuted. Else inconclusive.",
    cost={"smoke": 5, "full": 28},
    examine=examine,
)  # fmt: skip
