"""Claim 2: no initialization is critical for RePU; a measured map of fates over the plane of (C_b, C_W)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from repu_lab.activations import Activation
from repu_lab.claims.base import Claim, Evidence, Picture, Table
from repu_lab.claims.contest import ACTIVATIONS
from repu_lab.claims.lab import Lab
from repu_lab.claims.signal.measuring import Array, populations, sphere
from repu_lab.claims.statistics import Interval, wilson
from repu_lab.claims.verdicts import Verdict, above, below, provided, together
from repu_lab.figures.fates import fate_maps
from repu_lab.networks.initialization import Rule, uniform_depth
from repu_lab.networks.statistics import measure
from repu_lab.theory import PHASES, Law, analyse, critical_initialization, fate_map
from repu_lab.theory.fate_map import LOG_MIN
from repu_lab.theory.kernel import LN10

DEPTH, INPUTS = 50, 4
KEPT = 3.0  # decades that the signal and the gradient may each move over all hidden layers
LAST = 10  # layers over which chi_perp is averaged for the fate
LOWEST_W, TOP_W, TOP_B = 0.05, 5.0, 0.5
NAMES = ("RePU 2", "RePU 3", "ReLU", "tanh", "GELU", "MRePU 1", "spline RePU 2")
CLAIMED = ("RePU 2", "RePU 3")
INSTRUMENT = ("ReLU", "tanh")  # whose critical initialization must be found, for silence to mean that there is none


@dataclass(frozen=True)
class Plane:
    """An activation's maps (C_b, C_W) of fates as indices of PHASES, theory's points, and the best initialization."""

    measured: NDArray[np.int64]
    theory: NDArray[np.int64]
    critical: Sequence[tuple[float, float]]
    certificate: str | None
    best: Rule
    kept: Interval  # the share of fresh networks that keep signal and gradient there


def examine(lab: Lab) -> Evidence:
    """Map the fates, then draw fresh networks where a map looks most critical and at the lab's own initialization."""
    side, width = lab.choose(smoke=8, full=20), lab.choose(smoke=64, full=128)
    members = lab.choose(smoke=20, full=40)
    C_W, C_b = np.geomspace(LOWEST_W, TOP_W, side), np.linspace(0.0, TOP_B, side)
    planes = {name: _plane(lab, name, C_W, C_b, width, members) for name in lab.through(NAMES)}
    kept = {name: plane.kept for name, plane in planes.items()}
    certificates = {name: planes[name].certificate for name in CLAIMED}
    return Evidence(
        setup=f"""Depth {DEPTH}, width {width}, float32, {INPUTS} inputs. One network in each of {side} x
            {side} cells of C_W from {LOWEST_W:g} to {TOP_W:g} and C_b to {TOP_B:g}; k1 is that of the lab's own
            initialization of the activation, but at least C_b. Where signal and gradient move least on the map, and at
            the lab's own initialization, {members} fresh networks are drawn; the better of the two counts.""",
        verdict=judge(
            {name: certificate is not None for name, certificate in certificates.items()},
            {name: kept[name] for name in CLAIMED},
            {name: kept[name] for name in INSTRUMENT},
        ),
        reason=f"""networks that keep signal and gradient within {KEPT:g} decades at the best initialization found:
            {", ".join(f"{name} {share.estimate:.0%}" for name, share in kept.items())}; theory:
            {certificates["RePU 2"]}""",
        seeds=members,
        numbers={f"certificate, {name}": certificate for name, certificate in certificates.items()},
        tables=[
            Table(
                caption=f"""Share of the plane with each fate as measured, agreement with theory's map, and the best
                    initialization found with the share of fresh networks that keep signal and gradient within {KEPT:g}
                    decades (95 % Wilson interval).""",
                columns=("activation", *PHASES, "agreement", "best C_W", "C_b", "k1", "kept", "low", "high"),
                rows=[_row(name, plane) for name, plane in planes.items()],
            )
        ],
        pictures=[_picture(C_b, C_W, planes)],
    )


def judge(
    certified: Mapping[str, bool], claimed: Mapping[str, Interval], instruments: Mapping[str, Interval]
) -> Verdict:
    """Apply the rule: certificate there, kept share below a half; void if the instrument sees no critical point."""
    parts = [below(share, 0.5) for share in claimed.values()]
    parts += [Verdict.SUPPORTED if there else Verdict.REFUTED for there in certified.values()]
    sees = all(above(share, 0.5) is Verdict.SUPPORTED for share in instruments.values())
    return provided(sees, together(parts))


def rule_at(sizes: tuple[int, ...], C_W: float, C_b: float, k1: float) -> Rule:
    """Return the variances of one cell; K^1 cannot be smaller than C_b."""
    return uniform_depth("cell", sizes, C_W=float(C_W), C_b=float(C_b), k1=max(k1, float(C_b)))


def fates(
    activation: Activation, sizes: tuple[int, ...], rules: list[Rule], seeds: Sequence[int], lab: Lab
) -> tuple[NDArray[np.int64], Array]:
    """Pass a batch through a network of each rule and seed, forward and backward from one random direction.

    Return of each network its fate and by how many decades signal and gradient moved. explodes: some preactivation is
    not finite; vanishes: K of every input is below float32's smallest number at some layer; else chaotic or ordered as
    chi_perp, averaged over the last layers, is above 1 or not.
    """
    x_PI = sphere(INPUTS, sizes[0]).to(lab.device, torch.float32)
    sign_C = torch.ones(sizes[-1], device=lab.device)
    fate, moved = [], []
    for population in populations(activation, sizes, rules, seeds, device=lab.device):
        stats = measure(population, x_PI, lambda z_MBC: (z_MBC @ sign_C).mean(-1))
        with np.errstate(invalid="ignore"):
            drift = [np.ptp(log10[:-1], axis=0).max(-1) for log10 in (stats.log10_K, stats.log10_gradient)]
            perp = np.median(stats.log10_chi_perp[-LAST:], axis=-1).mean(0)
            dead = (stats.log10_K <= LOG_MIN / LN10).all(-1).any(0)
        code = np.where(perp > 0, PHASES.index("chaotic"), PHASES.index("ordered"))
        code = np.where(dead, PHASES.index("vanishes"), code)
        fate.append(np.where(stats.first_bad_layer() > 0, PHASES.index("explodes"), code))
        moved.append(np.nan_to_num(np.maximum(*drift), nan=np.inf))
    return np.concatenate(fate), np.concatenate(moved)


def _plane(lab: Lab, name: str, C_W: Array, C_b: Array, width: int, members: int) -> Plane:
    experiment = lab.build(*ACTIVATIONS[name], f"depth={DEPTH}", f"width={width}", f"members={members}")
    s, sizes = experiment.activation, experiment.sizes
    start = critical_initialization(s, DEPTH)
    cells = [rule_at(sizes, w, b, start.k1) for b in C_b for w in C_W]
    fate, moved = fates(s, sizes, cells, lab.numbers(len(cells), members), lab)
    critical = uniform_depth("critical", sizes, C_W=start.C_W, C_b=start.C_b, k1=start.k1)
    candidates = [critical, cells[int(np.argmin(moved))]]
    kept = [int((fates(s, sizes, [rule] * members, lab.numbers(members), lab)[1] < KEPT).sum()) for rule in candidates]
    known = analyse(s)
    return Plane(
        measured=fate.reshape(len(C_b), len(C_W)),
        theory=fate_map(Law.of(s, start.C_W, start.C_b, start.k1, DEPTH), C_W, C_b).phase,
        critical=[(point.C_b, point.C_W) for point in known.points],
        certificate=known.certificate,
        best=candidates[int(np.argmax(kept))],
        kept=wilson(max(kept), members),
    )


def _row(name: str, plane: Plane) -> list[str | float]:
    shares = [float((plane.measured == fate).mean()) for fate in range(len(PHASES))]
    agreement = float((plane.measured == plane.theory).mean())
    return [name, *shares, agreement, plane.best.C_W[-1], plane.best.C_b[-1], plane.best.k1, *plane.kept]


def _picture(C_b: Array, C_W: Array, planes: Mapping[str, Plane]) -> Picture:
    points = "; ".join(f"{name} {len(plane.critical) or 'none'}" for name, plane in planes.items())
    return Picture(
        name="fates",
        caption=f"""What becomes of a signal over {DEPTH} layers, by bias and weight variance: measured, one network a
            cell, above theory of infinite width. Stars: critical points.""",
        alt=f"Maps of fates, measured above theory. Critical points of theory: {points}.",
        figure=fate_maps(C_b, C_W, {name: vars(plane) for name, plane in planes.items()}, PHASES),
    )


CLAIM = Claim(
    number=2,
    slug="no-criticality",
    family="signal",
    title="No variance of independent zero-mean weights and biases is critical for RePU",
    statement="""For RePU_p, p > 1, no pair (C_b, C_W) of variances of independent zero-mean weights and biases makes
        chi_parallel = chi_perp = 1, so that none keeps both the signal and the gradient in a deep plain network.""",
    reference="Kim & Kang, arXiv:2408.02697: criticality of RePU",
    rule=f"""Supported if theory certifies for p = 2 and 3 that no critical point exists, and if at the best
        initialization found fewer than half of fresh networks (95 % Wilson interval) keep both within {KEPT:g}
        decades. Refuted if more than half do. Inconclusive unless more than half of ReLU's and of tanh's do at
        theirs.""",
    cost={"smoke": 4, "full": 71},
    examine=examine,
)
