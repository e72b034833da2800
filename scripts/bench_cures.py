"""What each cure of a deep RePU network costs: the time of a step over that of plain ReLU networks of the same sizes.

One process, interleaved, medians of ratios. Usage: scripts/bench_cures.py [--rounds 15] [--depth 50] [--members 8]
"""

import argparse
import time
from statistics import median

import torch

from repu_lab.claims.contest import ACTIVATIONS
from repu_lab.claims.cures.blocks import BLOCKS
from repu_lab.claims.cures.skips import SKIPS
from repu_lab.configs.composition import compose_jobs
from repu_lab.runs.building import build
from repu_lab.runs.state import State
from repu_lab.runs.stepping import Step, stepper

RELU, REPU = "plain ReLU", "RePU 2"
NETWORKS = {
    RELU: ACTIVATIONS["ReLU"],
    "plain tanh": ACTIVATIONS["tanh"],
    "residual ReLU": (*ACTIVATIONS["ReLU"], "block=residual", "block.branch=auto"),
    **{f"{REPU}, {block}": (*ACTIVATIONS[REPU], *BLOCKS[block]) for block in SKIPS},
    "RePU 2 of z + 4, LayerNorm after it": (*ACTIVATIONS["RePU 2 of z + 4"], *BLOCKS["LayerNorm after s"]),
    **{name: ACTIVATIONS[name] for name in ("MRePU 1, dks", "RePU 2, shift", "one-sided spline")},
}


def step_of(overrides: tuple[str, ...], depth: int, members: int) -> Step:
    """Return the lab's own step of such networks on XOR."""
    sizes = ["task=xor", f"depth={depth}", "width=64", "batch_size=64", f"members={members}", "device=cpu"]
    (job,) = compose_jobs("train", [*overrides, *sizes, "optimizer.lr=1e-5", "statistics=false"])
    experiment = build(job.config)
    state = State.start([experiment])
    step, _ = stepper(state, experiment.task, 64, 1000)
    return step


def main() -> None:
    """Time every kind of network, round by round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--depth", type=int, default=50)
    parser.add_argument("--members", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    steps = {name: step_of(overrides, options.depth, options.members) for name, overrides in NETWORKS.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(-2, options.rounds):
        for name, step in steps.items():
            start = time.process_time()
            step(number + 2)
            times[name] += [time.process_time() - start] if number >= 0 else []
    for name, seconds in times.items():
        ratio = median(own / relu for own, relu in zip(seconds, times[RELU], strict=True))
        print(f"{name:36} {1e3 * median(seconds):8.1f} ms {ratio:6.2f}")


if __name__ == "__main__":
    main()
