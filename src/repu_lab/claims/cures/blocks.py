"""What the claims about cures train and measure: RePU, usual activations and the identity in blocks that may cure."""

from collections.abc import Sequence

import numpy as np

from repu_lab.claims.contest import Case, Grid, sizes
from repu_lab.claims.lab import Lab
from repu_lab.claims.statistics import Array, Interval, median_interval
from repu_lab.claims.trials import Overrides
from repu_lab.networks.statistics import measure

BLOCKS: dict[str, Overrides] = {
    "RMSNorm": ("block.norm=rms",),
    "LayerNorm": ("block.norm=layer",),
    "skips and RMSNorm": ("block=residual", "block.branch=auto", "block.norm=rms"),
    "skips and frozen scales": ("block=residual", "block.branch=auto", "block.scalar=true"),
    "ReZero": ("block=residual", "block.branch=rezero"),
    "LayerNorm after s": ("block.norm=layer_after",),
}
RATES = ("7e-5", "2e-4", "7e-4", "2e-3")


def case(lab: Lab, task: str, block: str, depth: int) -> Case:
    """Return what is tried, `XOR, ReZero` at a depth."""
    learnt, *network = sizes(lab, task.lower())
    return Case(f"{task}, {block}", depth, (learnt, *BLOCKS[block], *network))


def grid(lab: Lab, rates: Sequence[str] = RATES) -> Grid:
    """Return the budget of every case: a rate to choose, three divisions of the data to be judged on."""
    return lab.choose(
        smoke=Grid(("critical",), ("1e-3",), 1, 4, splits=1),
        full=Grid(("critical",), rates, 2, 4, splits=3),
    )


def fresh(lab: Lab) -> tuple[int, int]:
    """Return how many fresh networks the growth is measured in, and their width."""
    return lab.choose(smoke=(8, 256), full=(32, 512))


def slopes(lab: Lab, *overrides: str, depth: int) -> Array:
    """Return by how many decades the mean square gradient of each fresh network grows a hidden layer backwards."""
    networks, width = fresh(lab)
    experiment = lab.build(*overrides, f"depth={depth}", f"width={width}", f"members={networks}", "task=digits")
    population, probe = experiment.population(), experiment.task.test.x[:32]
    stats = measure(population, probe, lambda z_MBC: z_MBC.sum((1, 2)) / len(probe))
    return np.diff(-stats.log10_gradient[:-1], axis=0).mean(axis=(0, 2))


def growth(slopes_M: Array, chances: int = 1) -> Interval:
    """Return the factor by which a gradient grows a layer: the median over networks, with its interval."""
    return Interval(*(10**slope for slope in median_interval(slopes_M, chances=chances)))
