"""Claim 5: for which k1 and width MRePU keeps its kernel over 50 layers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

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
from repu_lab.networks.population import Population
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


@dataclass(frozen=True)
class Kept:
    """Networks of one power, width and k1: the share that is kept, by layer too, and by the exact one-input chain.

    tight: within the smaller factor; batch: for all inputs at once; limit: blow up in infinitely many layers.
    """

    p: float
    width: int
    k1: float
    share: Interval
    tight: float
    batch: float
    limit: float
    by_layer: Array
    chain_by_layer: Array

    @property
    def exact(self) -> float:
        """The share that the chain keeps after all layers."""
        return float(self.chain_by_layer[-1])


def examine(lab: Lab) -> Evidence:
    """Measure the share of networks that keep K at every width and k1, beside the exact one-input chain."""
    widths = lab.choose(smoke=(64, 128, 256), full=(64, 128, 256, 512, 1024))
    members, chains = lab.choose(smoke=20, full=40), lab.choose(smoke=400, full=2000)
    cells: list[Kept] = []
    for width, p in lab.through(list(product(widths, POWERS))):
        cells += _cells(lab, p, width, min(members, 10) if width > 512 else members, chains)
    relu = relu_share(lab, members)
    best = {
        (p, width): max(
            (cell for cell in cells if (cell.p, cell.width) == (p, width) and cell.k1 != ORDINARY),
            key=lambda cell: cell.share.estimate,
        )
        for width, p in product(widths, POWERS)
    }
    here = [best[p, REFERENCE_WIDTH] for p in POWERS]
    ordinary = [cell.share for cell in cells if cell.k1 == ORDINARY]
    largest = {
        cell.width: cell.k1
        for cell in sorted(cells, key=lambda cell: cell.k1)
        if cell.p == POWERS[0] and cell.share.estimate >= 0.5
    }
    return Evidence(
        setup=f"""MRePU_p, p = 1, 2, C_W = 1, C_b = 0 (the paper's critical point), {DEPTH} layers, k1 = x /
            (a_1 L) for x = {", ".join(f"{x:g}" for x in SHARES)}, and k1 = 1; {members} networks a width (at most 10
            above 512), the same for every k1 and p. Kept: within a factor {FACTOR:g} of K^1 at every layer. Chain:
            {chains} samples.""",
        verdict=judge([cell.share for cell in here], ordinary, relu),
        reason=f"""at width {REFERENCE_WIDTH} and the best k1, kept by
            {"; ".join(f"{cell.share} (p={cell.p:g}, k1={cell.k1:.2g})" for cell in here)}, nearly linear there; within
            a factor {TIGHT:g} {" and ".join(f"{cell.tight:.0%}" for cell in here)}, for all of {INPUTS} inputs at once
            {" and ".join(f"{cell.batch:.0%}" for cell in here)}; against {relu} for critical ReLU; with ordinary inputs
            (k1 = 1) by at most {max(share.estimate for share in ordinary):.0%}. Largest k1 kept by half, p=1:
            {", ".join(f"{largest[width]:.2g} at width {width}" for width in widths if width in largest)}""",
        seeds=members,
        numbers={
            "exact chain inside the measured interval, share of cells": float(
                np.mean([cell.share.low <= cell.exact <= cell.share.high for cell in cells])
            ),
            "kept by critical ReLU": relu.estimate,
            **{f"kept at width {w} and the best k1, p={p:g}": cell.share.estimate for (p, w), cell in best.items()},
        },
        tables=[
            Table(
                caption=f"""Share of networks that keep K within a factor {FACTOR:g} over {DEPTH} layers (95 % Wilson
                    interval), by the exact chain, within a factor {TIGHT:g}, for all of {INPUTS} inputs, and the
                    formula 1 - exp(-n a_1 k1) for those that blow up in infinitely many layers.""",
                columns=(
                    *("p", "width", "k1", "kept", "low", "high", "exact chain"),
                    *(f"within {TIGHT:g}", f"all {INPUTS} inputs", "blow up in the end"),
                ),
                rows=[[c.p, c.width, c.k1, *c.share, c.exact, c.tight, c.batch, c.limit] for c in cells],
            )
        ],
        pictures=[_picture([cell for cell in cells if cell.p == POWERS[0]])],
    )


def judge(best: Sequence[Interval], ordinary: Sequence[Interval], relu: Interval) -> Verdict:
    """Apply the rule: most networks keep K at the best k1; void if critical ReLU's do not, which no width noise spares.

    The statement is about K^1 near 0, so ordinary inputs cannot support it; if their networks are kept it is not
    refuted either.
    """
    refuted = all(below(share, 0.5) is Verdict.SUPPORTED for share in [*best, *ordinary])
    supported = any(above(share, 0.5) is Verdict.SUPPORTED for share in best)
    verdict = Verdict.SUPPORTED if supported else Verdict.REFUTED if refuted else Verdict.INCONCLUSIVE
    return provided(relu.estimate > 0.5, verdict)


def measured(lab: Lab, p: float, width: int, networks: int, kernels: Sequence[float]) -> Array:
    """Return log10 K^l, (layers, networks, kernels, inputs): the same networks for every k1.

    Without biases K^1 = k1 |x|^2/n_0, so an input scaled by sqrt(k1) sees the network of that k1.
    """
    overrides = ("activation=mrepu", f"activation.p={p:g}", f"depth={DEPTH}", f"width={width}")
    start = ("initialization=custom", "initialization.c_w=1")
    # Of one network: all at once need not fit the memory.
    experiment = lab.build(*overrides, *start, "members=1", "initialization.k1=1")
    for k1 in kernels:
        lab.note("propagate", [*overrides, *start, f"members={networks}", f"initialization.k1={k1:.6g}"])
    x = sphere(INPUTS, experiment.sizes[0])
    scaled = (x * torch.tensor(kernels, dtype=x.dtype).sqrt()[:, None, None]).flatten(0, 1)
    rules = [experiment.rule] * networks
    drawn = populations(experiment.activation, experiment.sizes, rules, lab.numbers(networks), device=experiment.device)
    layers = _hidden(drawn, scaled)
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
    sizes = experiment.sizes
    rules = [uniform_depth("critical", sizes, C_W=2.0, C_b=0.0, k1=1.0)] * members
    drawn = populations(experiment.activation, sizes, rules, experiment.seeds, device=experiment.device)
    return wilson(int(kept_by_layer(_hidden(drawn, sphere(1, sizes[0])), FACTOR)[-1].sum()), members)


def _hidden(drawn: Iterable[Population], x_PI: torch.Tensor) -> Array:
    return np.concatenate([log10_kernel(population, x_PI) for population in drawn], axis=1)[:-1]


def _cells(lab: Lab, p: float, width: int, networks: int, chains: int) -> Iterator[Kept]:
    a_1 = 6 * p * p - 3 * p
    kernels = [*(x / (a_1 * DEPTH) for x in SHARES), ORDINARY]
    for log10_K, k1 in zip(np.moveaxis(measured(lab, p, width, networks, kernels), 2, 0), kernels, strict=True):
        drawn = chain(Law.of(MRePU(p), 1.0, 0.0, k1, DEPTH, width), chains).T[:DEPTH]
        first = kept_by_layer(log10_K[:, :, :1], FACTOR)
        yield Kept(
            p=p,
            width=width,
            k1=k1,
            share=wilson(int(first[-1].sum()), networks),
            tight=float(kept_by_layer(log10_K[:, :, :1], TIGHT)[-1].mean()),
            batch=float(kept_by_layer(log10_K, FACTOR)[-1].mean()),
            limit=float(blow_up_probability(width * a_1 * k1)),
            by_layer=first.mean(1),
            chain_by_layer=kept_by_layer(drawn[:, :, None], FACTOR).mean(1),
        )


def _picture(cells: Sequence[Kept]) -> Picture:
    profiles: Mapping[float, tuple[Array, Array]] = {
        cell.k1: (cell.by_layer, cell.chain_by_layer) for cell in cells if cell.width == REFERENCE_WIDTH
    }
    shares = {(cell.width, cell.k1): (cell.share, cell.exact) for cell in cells}
    return Picture(
        name="keeping",
        caption=f"""MRePU networks at C_W = 1, C_b = 0 that keep K within a factor {FACTOR:g}. Left: by layer, p = 1,
            width {REFERENCE_WIDTH}, points measured, lines the exact one-input chain. Right: after {DEPTH} layers
            against k1, by width, with 95 % intervals.""",
        alt="""The share that keeps its kernel falls with depth and, beyond the smallest k1, with k1. Wider networks
            keep it more often where k1 is small, less often where it is so large that the infinitely wide one does
        not.""",
        figure=shares_kept(profiles, shares),
    )


CLAIM = Claim(
    number=5,
    slug="keeping",
    family="signal",
    title="From a small enough K^1 MRePU keeps its kernel within a factor 10 over 50 layers",
    statement="""Initialized with C_W = 1, C_b = 0 and K^1 = 0.05 / (50 a_1), 3.3e-4 for p = 1 and 5.6e-5 for p = 2, an
        MRePU network of width 256 keeps the mean square of its preactivations within a factor 10 through 50 layers.""",
    reference="Kim & Kang, arXiv:2408.02697: MRePU at its critical initialization",
    rule=f"""At width {REFERENCE_WIDTH}, and the k1 of the grid that keeps most networks within a factor {FACTOR:g} of
        K^1 at every layer: supported if more than half are kept (95 % Wilson interval) for p = 1 or 2; refuted if fewer
        than half are for both, and at k1 = 1 at every width; else inconclusive. Void unless most critical ReLU networks
        pass.""",
    cost={"smoke": 6, "full": 110},
    examine=examine,
)
