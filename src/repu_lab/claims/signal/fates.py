"""Claim 2: no initialization is critical for RePU; a measured map of fates over the plane of (C_b, C_W)."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from repu_lab.activations import Activation
from repu_lab.claims.base import Claim, Evidence, Picture, Table
from repu_lab.claims.lab import Lab
from repu_lab.claims.signal.measuring import populations, sphere
from repu_lab.claims.statistics import Interval, wilson
from repu_lab.claims.verdicts import Verdict, above, below, provided, together
from repu_lab.figures.fates import fate_maps
from repu_lab.networks.initialization import Initialization, uniform_depth
from repu_lab.networks.statistics import measure
from repu_lab.theory import PHASES, Law, analyse, critical_initialization, fate_map
from repu_lab.theory.fate_map import LOG_MIN
from repu_lab.theory.kernel import LN10

Array = NDArray[np.float64]

DEPTH, INPUTS = 50, 4
KEPT = 3.0  # decades that the signal and the gradient may each move over all hidden layers
LAST = 10  # layers over which chi_perp is averaged for the fate
LOWEST_W, TOP_W, TOP_B = 0.05, 5.0, 0.5
# Name, overrides, whether the lab's instrument must find a critical initialization here for its silence to mean one.
ACTIVATIONS = (
    ("RePU 2", ("activation=repu", "activation.p=2"), False),
    ("RePU 3", ("activation=repu", "activation.p=3"), False),
    ("ReLU", ("activation=relu",), True),
    ("tanh", ("activation=tanh",), True),
    ("GELU", ("activation=gelu",), False),
    ("MRePU 1", ("activation=mrepu", "activation.p=1"), False),
    ("spline RePU 2", ("activation=spline_repu", "activation.p=2"), False),
)
CLAIMED = ("RePU 2", "RePU 3")


@dataclass(frozen=True, kw_only=True)
class Fates:
    """Of each network (M,): its fate as an index of PHASES, and by how many decades signal and gradient moved."""

    fate: NDArray[np.int64]
    moved: Array

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Whether signal and gradient kept their size for every input."""
        return self.moved < KEPT


def examine(lab: Lab) -> Evidence:
    """Map the fates, then draw fresh networks where a map looks most critical and at the lab's own initialization."""
    side, width = lab.choose(smoke=8, full=20), lab.choose(smoke=64, full=128)
    members = lab.choose(smoke=20, full=40)
    C_W = np.geomspace(LOWEST_W, TOP_W, side)
    C_b = np.linspace(0.0, TOP_B, side)
    shares: dict[str, Interval] = {}
    certificates: dict[str, str | None] = {}
    rows, maps = [], []
    for i, (name, overrides, _) in enumerate(ACTIVATIONS):
        experiment = lab.build(*overrides, f"depth={DEPTH}", f"width={width}", f"members={members}")
        s, sizes = experiment.activation, experiment.sizes
        start = critical_initialization(s, DEPTH)
        grid = [rule_at(sizes, w, b, start.k1) for b in C_b for w in C_W]
        seeds = range(members, members + len(grid))
        found = fates(s, sizes, grid, list(seeds), lab)
        best = int(np.argmin(found.moved))
        candidates = {
            "critical": uniform_depth("critical", sizes, C_W=start.C_W, C_b=start.C_b, k1=start.k1),
            "most critical cell": grid[best],
        }
        kept = {
            where: int(fates(s, sizes, [rule] * members, list(range(members)), lab).kept.sum())
            for where, rule in candidates.items()
        }
        winner = max(kept, key=lambda where: kept[where])
        shares[name] = wilson(kept[winner], members)
        theory = fate_map(Law.of(s, start.C_W, start.C_b, start.k1, DEPTH), C_W, C_b)
        measured = found.fate.reshape(side, side)
        agree = float((measured == theory.phase).mean())
        known = analyse(s)
        certificates[name] = known.certificate
        points = [(p.C_b, p.C_W) for p in known.points]
        maps.append({"name": name, "measured": measured, "theory": theory.phase, "critical": points})
        rule = candidates[winner]
        rows.append([name, *(float((measured == k).mean()) for k in range(len(PHASES))), agree, rule.C_W[-1],
                     rule.C_b[-1], rule.k1, *shares[name]])  # fmt: skip
        lab.progress((i + 1) / len(ACTIVATIONS))
    verdict = judge(
        {name: certificates[name] is not None for name in CLAIMED},
        {name: shares[name] for name in CLAIMED},
        {name: shares[name] for name, _, instrument in ACTIVATIONS if instrument},
    )
    return Evidence(
        setup=f"""Depth {DEPTH}, width {width}, float32, {INPUTS} inputs. One network in each of {side} x
            {side} cells of C_W from {LOWEST_W:g} to {TOP_W:g} and C_b to {TOP_B:g}; k1 is that of the lab's own
            initialization of the activation. Where signal and gradient move least on the map, and at the lab's own
            initialization, {members} fresh networks are drawn; the better of the two counts.""",
        verdict=verdict,
        reason=f"networks that keep signal and gradient within {KEPT:g} decades at the best initialization found: "
        + ", ".join(f"{name} {share.estimate:.0%}" for name, share in shares.items())
        + f"; theory: {certificates['RePU 2']}",
        seeds=members,
        numbers={f"certificate, {name}": certificates[name] for name in CLAIMED},
        tables=[
            Table(
                caption="Share of the plane with each fate as measured, agreement with theory's map, and the best "
                f"initialization found with the share of fresh networks that keep signal and gradient within {KEPT:g} "
                "decades (95 % Wilson interval).",
                columns=("activation", *PHASES, "agreement", "best C_W", "C_b", "k1", "kept", "low", "high"),
                rows=rows,
            )
        ],
        pictures=[_picture(C_b, C_W, maps)],
    )


def judge(certified: dict[str, bool], claimed: dict[str, Interval], instruments: dict[str, Interval]) -> Verdict:
    """Apply the rule: certificate there, kept share below a half; void if the instrument sees no critical point."""
    parts = [below(share, 0.5) for share in claimed.values()]
    parts += [Verdict.SUPPORTED if there else Verdict.REFUTED for there in certified.values()]
    sees = all(above(share, 0.5) is Verdict.SUPPORTED for share in instruments.values())
    return provided(sees, together(parts))


def rule_at(sizes: tuple[int, ...], C_W: float, C_b: float, k1: float) -> Initialization:
    """Return the variances of one cell; K^1 cannot be smaller than C_b."""
    return uniform_depth("cell", sizes, C_W=float(C_W), C_b=float(C_b), k1=max(k1, float(C_b)))


def fates(
    activation: Activation, sizes: tuple[int, ...], rules: list[Initialization], seeds: list[int], lab: Lab
) -> Fates:
    """Pass a batch through a network of each rule and seed, forward and backward from one random direction.

    explodes: some preactivation is not finite; vanishes: K of every input is below float32's smallest number at some
    layer; else chaotic or ordered as chi_perp, averaged over the last layers, is above 1 or not.
    """
    x_PI = sphere(INPUTS, sizes[0]).to(lab.device, torch.float32)
    sign_C = torch.ones(sizes[-1], device=lab.device)
    fate, moved = [], []
    for population in populations(activation, sizes, rules, seeds, device=lab.device):
        found = measure(population, x_PI, lambda z_MBC: (z_MBC @ sign_C).mean(-1))
        with np.errstate(invalid="ignore"):
            hidden = slice(None, -1)
            drift = [
                np.ptp(found.log10_K[hidden], axis=0).max(-1),
                np.ptp(found.log10_gradient[hidden], axis=0).max(-1),
            ]
            perp = np.median(found.log10_chi_perp[-LAST:], axis=-1).mean(0)
            dead = (found.log10_K <= LOG_MIN / LN10).all(-1).any(0)
        code = np.where(perp > 0, PHASES.index("chaotic"), PHASES.index("ordered"))
        code = np.where(dead, PHASES.index("vanishes"), code)
        fate.append(np.where(found.first_bad_layer() > 0, PHASES.index("explodes"), code))
        moved.append(np.nan_to_num(np.maximum(*drift), nan=np.inf))
    return Fates(fate=np.concatenate(fate), moved=np.concatenate(moved))


def _picture(C_b: Array, C_W: Array, maps: list[dict]) -> Picture:
    return Picture(
        name="fates",
        caption=f"What becomes of a signal over {DEPTH} layers, by bias and weight variance: measured, one network a "
        "cell, above theory of infinite width. Stars: critical points.",
        alt="Maps of fates, measured above theory. Critical points of theory: "
        + "; ".join(f"{one['name']} {len(one['critical']) or 'none'}" for one in maps)
        + ".",
        figure=fate_maps(C_b, C_W, maps, PHASES),
    )


CLAIM = Claim(
    number=2, slug="no-criticality", family="signal",
    title="No variance of independent zero-mean weights and biases is critical for RePU",
    statement="""For RePU_p, p > 1, no pair (C_b, C_W) of variances of independent zero-mean weights and biases makes
        chi_parallel = chi_perp = 1, so that none keeps both the signal and the gradient in a deep plain network.""",
    reference="Kim & Kang, arXiv:2408.02697: criticality of RePU",
    rule=f"""Supported if theory certifies for p = 2 and 3 that no critical point exists, and if at the best
        initialization found fewer than half of fresh networks (95 % Wilson interval) keep both within {KEPT:g}
        decades. Refuted if more than half do. Inconclusive unless more than half of ReLU's and of tanh's do at
        theirs.""",
    cost={"smoke": 4, "full": 50},
    examine=examine,
)  # fmt: skip
