"""Claim 1: the kernel of RePU networks moves double-exponentially with depth."""

import math
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from repu_lab.activations import RePU
from repu_lab.claims.base import Cell, Claim, Evidence, Picture, Table
from repu_lab.claims.lab import Lab
from repu_lab.claims.signal.measuring import Array, log10_kernel, sphere
from repu_lab.claims.signal.story import story
from repu_lab.claims.statistics import Interval, median_interval
from repu_lab.claims.verdicts import Verdict, near, together
from repu_lab.figures.growth import double_exponential
from repu_lab.networks.log_domain import LN10, measure_in_logs
from repu_lab.theory import layers, mean_square

POWERS = (2, 3)
START = 4.0  # K^1 / K_* of the networks that shall explode, its inverse for those that shall vanish
FATES = {"explodes": 0, "vanishes": 2}  # the inputs, of which the one between starts at K_*
FAR = 3.0  # |ln(K/K_*)| from which on a network's own K_*, e^(+-0.3) around theory's, no longer bends the line
DEPTH = 50
TOLERANCE = 0.05


class Logs(NamedTuple):
    """ln(K^l/K_*), (layers, networks, inputs): in plain float64, to its overflow, and followed in the logarithm."""

    plain: Array
    logs: Array


def examine(lab: Lab) -> Evidence:
    """Measure ln|ln(K^l/K_*)| against l in plain float64, to its overflow, and in the logarithm, to layer 51."""
    width, members = lab.choose(smoke=128, full=512), lab.choose(smoke=10, full=20)
    measured = {p: _measure(lab, p, width, members) for p in lab.through(POWERS)}
    slopes = {
        (p, fate): median_interval([slope(network) for network in measured[p].plain[:, :, FATES[fate]].T])
        for p, fate in product(POWERS, FATES)
    }
    worst = max(slopes.values(), key=lambda interval: max(abs(end - interval.estimate) for end in interval))
    return Evidence(
        setup=f"""{members} RePU networks of width {width}, C_W = 1, C_b = 0, one input each, K^1 = {START:g} K_* and
            K_*/{START:g}. The line is fitted to each network in plain float64 over the layers with |ln(K/K_*)| >
            {FAR:g} up to the first non-finite one; in the logarithm the same networks are followed to layer
            {DEPTH + 1}.""",
        verdict=judge(list(slopes.values())),
        reason=f"""slope of ln|ln(K^l/K_*)| a layer, against ln 2 = 0.693 and ln 3 = 1.099:
            {", ".join(f"p={p} {fate}: {interval}" for (p, fate), interval in slopes.items())}""",
        seeds=members,
        numbers={name: value for p in POWERS for name, value in _numbers(p, *measured[p]).items()}
        | {"widest interval": worst.high - worst.low},
        tables=[
            Table(
                caption="Slope of ln|ln(K^l/K_*)| against l: median over networks and 95 % interval.",
                columns=("p", "fate", "slope", "low", "high", "ln p", "layers float64 can hold, at least"),
                rows=[
                    [
                        p,
                        fate,
                        *interval,
                        math.log(p),
                        int(np.isfinite(measured[p].plain[:, :, FATES[fate]]).sum(0).min()),
                    ]
                    for (p, fate), interval in slopes.items()
                ],
            )
        ],
        pictures=[story(lab), _picture(lab, measured, width)],
    )


def judge(slopes: list[Interval]) -> Verdict:
    """Apply the rule: every interval within 5 % of ln p, two for each power in the order of POWERS."""
    targets = [math.log(p) for p in POWERS for _ in FATES]
    return together(near(interval, target, TOLERANCE) for interval, target in zip(slopes, targets, strict=True))


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


def _measure(lab: Lab, p: int, width: int, members: int) -> Logs:
    K_star = fixed_point(p)
    experiment = lab.build(
        *("activation=repu", f"activation.p={p}", f"depth={DEPTH}", f"width={width}", f"members={members}"),
        *("dtype=float64", "initialization=custom", "initialization.c_w=1", f"initialization.k1={K_star!r}"),
    )
    population = experiment.population()
    scale = torch.tensor([START, 1.0, 1 / START], dtype=torch.float64).sqrt()
    x_PI = sphere(1, experiment.sizes[0]) * scale[:, None]
    exact = measure_in_logs(population, x_PI.to(population.theta), torch.ones(10).to(population.theta))
    return Logs(*(log10_K * LN10 - math.log(K_star) for log10_K in (log10_kernel(population, x_PI), exact.log10_K)))


def _numbers(p: int, plain: Array, logs: Array) -> dict[str, Cell]:
    both = np.isfinite(plain) & (np.abs(plain) > FAR)
    K_star = fixed_point(p)
    theory = LN10 * layers(RePU(p), 1.0, 0.0, START * K_star, 12).log10_K - math.log(K_star)
    return {
        f"slope over ln p, p={p}, theory": slope(theory) / math.log(p),
        f"slope to layer 51, p={p}": float(np.median([slope(network) for network in logs[:, :, 0].T])),
        f"share that explodes from K_*, p={p}": float((logs[-1, :, 1] > 0).mean()),
        f"largest relative difference of both arithmetics, p={p}": float(np.abs(plain[both] / logs[both] - 1).max()),
    }


def _picture(lab: Lab, measured: dict[int, Logs], width: int) -> Picture:
    experiment = lab.build(
        *("activation=relu", f"depth={DEPTH}", f"width={width}", f"members={lab.seeds}", "dtype=float64"),
        *("initialization=custom", "initialization.c_w=4"),
    )
    relu = log10_kernel(experiment.population(), sphere(1, experiment.sizes[0]))[:, :, 0] * LN10
    curves = {
        f"RePU {p}, {fate}": {"p": p, **{name: np.abs(log[:, :, i]) for name, log in measured[p]._asdict().items()}}
        for p, (fate, i) in product(POWERS, FATES.items())
    }
    return Picture(
        name="double-exponential",
        caption="""|ln(K^l/K_*)|, median over networks, against the layer, on a logarithmic axis: a straight line is a
            double exponential. Filled: plain float64, until it overflows; hollow: the same networks followed in the
            logarithm; lines: slope ln p. Grey: ReLU with C_W = 4, an ordinary exponential, which bends.""",
        alt="Straight rising lines for RePU of power 2 and 3, steeper for 3, beside a bending curve for ReLU.",
        figure=double_exponential(curves, np.abs(relu - relu[:1])[1:], start=math.log(START)),
    )


CLAIM = Claim(
    number=1,
    slug="double-exponential",
    family="signal",
    title="RePU's kernel grows or dies double-exponentially",
    statement="""In a network of RePU_p, p > 1, the mean square K of the preactivations leaves its fixed point K_*
        double-exponentially with depth: ln(K^l/K_*) grows in size as p^l, so ln|ln(K^l/K_*)| is a line of slope ln
        p.""",
    reference="Kim & Kang, arXiv:2408.02697: RePU networks at initialization",
    rule=f"""For p = 2, 3 and both fates, the 95 % bootstrap interval of the median slope over networks lies within
        {TOLERANCE:.0%} of ln p: supported. One interval wholly outside: refuted. Else inconclusive.""",
    cost={"smoke": 5, "full": 52},
    examine=examine,
)
