"""What the claims about cures train: RePU, usual activations and the identity in blocks that may cure."""

from repu_lab.claims.contest import Case, Grid
from repu_lab.claims.lab import Lab
from repu_lab.claims.trials import Overrides

BLOCKS: dict[str, Overrides] = {
    "RMSNorm": ("block.norm=rms",),
    "LayerNorm": ("block.norm=layer",),
    "skips and RMSNorm": ("block=residual", "block.branch=auto", "block.norm=rms"),
    "skips and frozen scales": ("block=residual", "block.branch=auto", "block.scalar=true"),
    "ReZero": ("block=residual", "block.branch=rezero"),
    "LayerNorm after s": ("block.norm=layer_after",),
}


def case(lab: Lab, task: str, block: str, depth: int) -> Case:
    """Return what is tried, `XOR, ReZero` at a depth."""
    sizes = lab.choose(
        smoke=("width=32", "batch_size=64", "steps=300"), full=("width=64", "batch_size=64", "steps=400")
    )
    return Case(f"{task}, {block}", depth, (f"task={task.lower()}", *BLOCKS[block], *sizes))


def grid(lab: Lab) -> Grid:
    """Return the budget of every case: a rate to choose, three divisions of the data to be judged on."""
    return lab.choose(
        smoke=Grid(("critical",), ("1e-3",), 1, 4, splits=1), full=Grid(("critical",), ("7e-4", "2e-3"), 2, 4, splits=3)
    )
