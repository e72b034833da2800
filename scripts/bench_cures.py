"""What each cure of a deep RePU network costs: the time of a step over that of plain ReLU networks of the same sizes.

One process, interleaved, medians of ratios. Usage: scripts/bench_cures.py [--rounds 15] [--depth 50] [--members 8]
"""

import argparse
import time
from statistics import median

import torch

from repu_lab.configs.composition import compose_jobs
from repu_lab.runs.building import build
from repu_lab.runs.state import State
from repu_lab.runs.stepping import Step, stepper

RELU = "plain ReLU"
REPU = ("activation=repu", "activation.p=2")
RESIDUAL = ("block=residual", "block.branch=auto")
NETWORKS = {
    RELU: ("activation=relu",),
    "plain tanh": ("activation=tanh",),
    "residual ReLU": ("activation=relu", *RESIDUAL),
    "RePU 2, skips and RMSNorm": (*REPU, *RESIDUAL, "block.norm=rms"),
    "RePU 2, skips and frozen scales": (*REPU, *RESIDUAL, "block.scalar=true"),
    "RePU 2, ReZero": (*REPU, "block=residual", "block.branch=rezero"),
    "RePU 2 of z + 4, LayerNorm after it": (*REPU, "activation.shift=4", "block.norm=layer_after"),
    "MRePU 1, tailor=dks": ("activation=mrepu", "activation.p=1", "tailor=dks"),
    "RePU 2, tailor=shift": (*REPU, "tailor=shift"),
    "one-sided spline": ("activation=spline_repu", "activation.plateau=8", "activation.shift=-2"),
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
