"""Claim 5: for which k1 and width MRePU keeps its kernel over 50 layers."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from repu_lab.activations import MRePU
from repu_lab.claims.base import Claim, Evidence, Picture, Table
from repu_lab.claims.lab import Lab
from repu_lab.claims.signal.measuring import Array, log10_kernel, populations, sphere
from repu_lab.claims.statistics import Interval, wilson
from repu_lab.claims.verdicts import Verdict, above, below, provided
from repu_lab.figures.shares import shares_kept
from repu_lab.networks.initialization import uniform_depth
from repu_lab.theory import Law
from repu_lab.theory.chain import chain
from repu_lab.theory.finite_width import blow_up_probability

DEPTH = 50
POWERS = (1.0, 2.0)
# k1 = x / (a_1 L): 0.5 is where theory's K doubles within L layers at infinite width. Last, an ordinary input.
SHARES = (0.05, 0.15, 0.5, 1.5, 5.0)
ORDINARY = 1.0
FACTOR = 10.0  # kept: within this factor of K^1 at every layer
TIGHT = 2.0  # and this for comparison
REFERENCE_WIDTH = 256
INPUTS = 16  # of a batch that must all be kept


def examine(lab: Lab) -> Evidence:
    """Measure the share of networks that keep K at every width and k1, beside the exact one-input chain."""
    widths = lab.choose(smoke=(64, 128, 256), full=(64, 128, 256, 512, 1024))
    members, chains = lab.choose(smoke=20, full=40), lab.choose(smoke=400, full=2000)
    a_1 = {p: 6 * p * p - 3 * p for p in POWERS}
    rows, agreed, best, profiles, ordinary = [], [], {}, {}, []
    for i, width in enumerate(widths):
        networks = min(members, 10) if width > 512 else members
        for p in POWERS:
            s, kernels = MRePU(p), [*(x / (a_1[p] * DEPTH) for x in SHARES), ORDINARY]
            log10_K = measured(lab, p, width, networks, kernels)
            for j, k1 in enumerate(kernels):
                one = kept_by_layer(log10_K[:, :, j, :1], FACTOR)
                all_of_batch = kept_by_layer(log10_K[:, :, j], FACTOR)
                tight = kept_by_layer(log10_K[:, :, j, :1], TIGHT)
                found = wilson(int(one[-1].sum()), networks)
                drawn = chain(Law.of(s, 1.0, 0.0, k1, DEPTH, width), chains).log10_K.T[:DEPTH]
                exact = kept_by_layer(drawn[:, :, None], FACTOR)
                agreed.append(found.low <= exact[-1].mean() <= found.high)
                limit = float(blow_up_probability(width * a_1[p] * k1))
                rows.append([p, width, k1, *found, float(exact[-1].mean()), float(tight[-1].mean()),
                             float(all_of_batch[-1].mean()), limit])  # fmt: skip
                if k1 == ORDINARY:
                    ordinary.append(found)
                elif (p, width) not in best or found.estimate > best[p, width][1].estimate:
                    best[p, width] = k1, found
                if width == REFERENCE_WIDTH and p == POWERS[0]:
                    profiles[k1] = {"measured": one.mean(1), "theory": exact.mean(1), "members": networks}
        lab.progress((i + 1) / len(widths))
    relu = relu_share(lab, members)
    here = {p: best[p, REFERENCE_WIDTH] for p in POWERS}
    enough = {
        width: [k1 for p, w, k1, share, *_ in rows if p == POWERS[0] and w == width and share >= 0.5]
        for width in widths
    }
    return Evidence(
        setup=f"""MRePU_p, p = 1, 2, C_W = 1, C_b = 0 (the paper's critical point), {DEPTH} layers, k1 = x /
            (a_1 L) for x = {", ".join(f"{x:g}" for x in SHARES)}, and k1 = 1; {members} networks a width (at most 10
            above 512), the same for every k1 and p. Kept: within a factor {FACTOR:g} of K^1 at every layer. Chain:
            {chains} samples.""",
        verdict=judge({p: found for p, (_, found) in here.items()}, ordinary, relu),
        reason=f"""at width {REFERENCE_WIDTH} and the best k1, kept by
            {"; ".join(f"{found} (p={p:g}, k1={k1:.2g})" for p, (k1, found) in here.items())}, nearly linear there;
            {_stricter(rows, here)}; against {relu} for critical ReLU; with ordinary inputs (k1 = 1) by at most
            {max(found.estimate for found in ordinary):.0%}. Largest k1 kept by half, p=1:
            {", ".join(f"{max(k1s):.2g} at width {width}" for width, k1s in enough.items() if k1s)}""",
        seeds=members,
        numbers={
            "exact chain inside the measured interval, share of cells": float(np.mean(agreed)),
            "kept by critical ReLU": relu.estimate,
            **{f"kept at width {width} and the best k1, p={p:g}": found.estimate for (p, width), (_, found)
               in best.items()},
        },
        tables=[
            Table(
                caption=f"Share of networks that keep K within a factor {FACTOR:g} over {DEPTH} layers (95 % Wilson "
                f"interval), by the exact chain, within a factor {TIGHT:g}, for all of {INPUTS} inputs, and the "
                "formula 1 - exp(-n a_1 k1) for those that blow up in infinitely many layers.",
                columns=("p", "width", "k1", "kept", "low", "high", "exact chain", "within 2", f"all {INPUTS} inputs",
                         "blow up in the end"),
                rows=rows,
            )
        ],
        pictures=[_picture(rows, profiles)],
    )  # fmt: skip


def _stricter(rows: list[list[float]], here: dict[float, tuple[float, Interval]]) -> str:
    """Say how many networks meet stricter demands at the best k1 of the reference width."""
    found = {p: next(row for row in rows if tuple(row[:3]) == (p, REFERENCE_WIDTH, k1)) for p, (k1, _) in here.items()}
    return f"""within a factor {TIGHT:g} {" and ".join(f"{row[7]:.0%}" for row in found.values())}, for all of
        {INPUTS} inputs at once {" and ".join(f"{row[8]:.0%}" for row in found.values())}"""


def judge(best: dict[float, Interval], ordinary: list[Interval], relu: Interval) -> Verdict:
    """Apply the rule: most networks keep K at the best k1; void if critical ReLU's do not, which no width noise spares.

    The statement is about K^1 near 0, so ordinary inputs cannot support it; if their networks are kept it is not
    refuted either.
    """
    verdicts = {above(found, 0.5) for found in best.values()}
    refuted = all(below(found, 0.5) is Verdict.SUPPORTED for found in [*best.values(), *ordinary])
    verdict = Verdict.SUPPORTED if Verdict.SUPPORTED in verdicts else Verdict.INCONCLUSIVE
    return provided(relu.estimate > 0.5, Verdict.REFUTED if refuted else verdict)


def measured(lab: Lab, p: float, width: int, networks: int, kernels: list[float]) -> Array:
    """Return log10 K^l, (layers, networks, kernels, inputs): the same networks for every k1.

    Without biases K^1 = k1 |x|^2/n_0, so an input scaled by sqrt(k1) sees the network of that k1.
    """
    overrides = ("activation=mrepu", f"activation.p={p:g}", f"depth={DEPTH}", f"width={width}", "initialization=custom",
                 "initialization.c_w=1")  # fmt: skip
    experiment = lab.build(
        *overrides, "members=1", "initialization.k1=1"
    )  # of one network: all at once need not fit the memory
    for k1 in kernels:
        lab.note("propagate", [*overrides, f"members={networks}", f"initialization.k1={k1:.6g}"])
    x = sphere(INPUTS, experiment.sizes[0])
    scaled = (x * torch.tensor(kernels, dtype=x.dtype).sqrt()[:, None, None]).flatten(0, 1)
    rules = [experiment.rule] * networks
    drawn = populations(experiment.activation, experiment.sizes, rules, range(networks), device=experiment.device)
    parts = [log10_kernel(population, scaled) for population in drawn]
    layers = np.concatenate(parts, axis=1)[:-1]
    return layers.reshape(*layers.shape[:2], len(kernels), INPUTS)


def kept_by_layer(log10_K: Array, factor: float) -> NDArray[np.bool_]:
    """Say for every layer whether all inputs' K stayed within the factor of K^1 up to it, (layers, networks).

    log10_K (layers, networks, inputs); its first layer is the reference. What is not finite is not kept.
    """
    with np.errstate(invalid="ignore"):
        inside = (np.abs(log10_K - log10_K[:1]) <= np.log10(factor)).all(-1)
    return np.logical_and.accumulate(inside, axis=0)


def relu_share(lab: Lab, members: int) -> Interval:
    """Return the share of critical ReLU networks of the reference width that keep K: what finite width alone costs."""
    experiment = lab.build("activation=relu", f"depth={DEPTH}", f"width={REFERENCE_WIDTH}", f"members={members}")
    rule = uniform_depth("critical", experiment.sizes, C_W=2.0, C_b=0.0, k1=1.0)
    parts = [
        log10_kernel(population, sphere(1, experiment.sizes[0]))
        for population in populations(
            experiment.activation, experiment.sizes, [rule] * members, experiment.seeds, device=experiment.device
        )
    ]
    return wilson(int(kept_by_layer(np.concatenate(parts, axis=1)[:-1], FACTOR)[-1].sum()), members)


def _picture(rows: list[list[float]], profiles: dict[float, dict[str, Any]]) -> Picture:
    cells: list[dict[str, Any]] = [
        {"p": row[0], "width": row[1], "k1": row[2], "share": row[3:6], "exact": row[6]} for row in rows
    ]
    return Picture(
        name="keeping",
        caption=f"MRePU networks at C_W = 1, C_b = 0 that keep K within a factor {FACTOR:g}. Left: by layer, p = 1, "
        f"width {REFERENCE_WIDTH}, points measured, lines the exact one-input chain. Right: after {DEPTH} layers "
        "against k1, by width, with 95 % intervals.",
        alt="The share that keeps its kernel falls with depth and, beyond the smallest k1, with k1. Wider networks keep"
        " it more often where k1 is small, less often where it is so large that the infinitely wide one does not.",
        figure=shares_kept(profiles, [cell for cell in cells if cell["p"] == POWERS[0]]),
    )


CLAIM = Claim(
    number=5, slug="keeping", family="signal",
    title="From a small enough K^1 MRePU keeps its kernel within a factor 10 over 50 layers",
    statement="""Initialized with C_W = 1, C_b = 0 and K^1 = 0.05 / (50 a_1), 3.3e-4 for p = 1 and 5.6e-5 for p = 2, an
        MRePU network of width 256 keeps the mean square of its preactivations within a factor 10 through 50 layers.""",
    reference="Kim & Kang, arXiv:2408.02697: MRePU at its critical initialization",
    rule=f"At width {REFERENCE_WIDTH}, and the k1 of the grid that keeps most networks within a factor {FACTOR:g} of "
    "K^1 at every layer: supported if more than half are kept (95 % Wilson interval) for p = 1 or 2; refuted if fewer "
    "than half are for both, and at k1 = 1 at every width; else inconclusive. Void unless most critical ReLU networks "
    "pass.",
    cost={"smoke": 6, "full": 82},
    examine=examine,
)  # fmt: skip
