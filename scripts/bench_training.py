"""Step time of populations against the obvious PyTorch loop, in one process, interleaved, medians.

Plain: nn.Sequential of nn.Linear and torch.nn activations, cross-entropy, torch.optim.Adam with default arguments, one
network after another. Ours: the training step of `repu-lab train`; for one member also with the default statistics, at
their share of a run of 1,000 steps. Usage: scripts/bench_training.py [--rounds 15] [--threads 2] [--device cpu]
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import nn

from repu_lab.configs.composition import compose_jobs
from repu_lab.runs.building import build
from repu_lab.runs.folder import RunFolder
from repu_lab.runs.schedule import is_measured
from repu_lab.runs.state import Run, State
from repu_lab.runs.stepping import train_step
from repu_lab.runs.training import observe
from repu_lab.tasks import digits, on_device
from repu_lab.tracking.tracker import Tracker

# members, depth, width, batch, and the factor that is asked for
CASES = [(1, 50, 128, 128, 1 / 0.9), (64, 10, 32, 32, 12), (256, 10, 16, 32, 30), (32, 20, 64, 64, 2.5)]
STEPS = 1000  # of the run whose statistics are counted


def plain(members: int, depth: int, width: int, batch: int, device: str) -> Callable[[int], None]:
    def network() -> nn.Sequential:
        hidden = [m for _ in range(depth - 1) for m in (nn.Linear(width, width), nn.Tanh())]
        return nn.Sequential(nn.Linear(64, width), nn.Tanh(), *hidden, nn.Linear(width, 10)).to(device)

    networks = [network() for _ in range(members)]
    optimizers = [torch.optim.Adam(network.parameters()) for network in networks]
    task = on_device(digits(), device, torch.float32)

    def step(number: int) -> None:
        x, y = task.batch(number, batch)
        for network, optimizer in zip(networks, optimizers, strict=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x), y).backward()
            optimizer.step()

    return step


def ours(members: int, depth: int, width: int, batch: int, device: str):
    settings = ["activation=tanh", f"members={members}", f"depth={depth}", f"width={width}", f"batch_size={batch}"]
    (job,) = compose_jobs("train", [*settings, f"device={device}", f"steps={STEPS}"])
    experiment = build(job.config)
    state = State.start([experiment])

    def step(number: int) -> None:
        piece = experiment.task.batch(number, batch)
        loss_M = train_step(state.population, state.optimizer, experiment.task, piece, state.progress.alive)
        state.progress.record_loss(number, loss_M)

    return experiment, state, step


def seconds(step: Callable[[int], None], number: int, device: str) -> float:
    start = time.perf_counter()
    step(number)
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - start


def statistics_seconds(experiment, state, device: str) -> float:
    """Time of all observations of a run of STEPS steps, drawing the last figure left out."""
    steps = [step for step in range(STEPS + 1) if is_measured(step, STEPS)]
    with tempfile.TemporaryDirectory() as folder, Tracker(folder, depth=experiment.config.depth, members=1) as tracker:
        run = Run(experiment=experiment, folder=RunFolder(folder))

        def measure(step: int) -> None:
            state.step = step
            observe([run], state, {0: tracker}, [0], [0] if step == STEPS else [])

        measure(1)  # warm
        return sum(seconds(measure, step, device) for step in steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = arguments.device
    print("members depth width batch   plain ms   ours ms   ratio   asked")
    for members, depth, width, batch, asked in CASES:
        plain_step = plain(members, depth, width, batch, device)
        experiment, state, our_step = ours(members, depth, width, batch, device)
        rounds = arguments.rounds * (4 if members == 1 else 1)
        plain_times, our_times = [], []
        for number in range(-3, rounds):
            a = seconds(plain_step, abs(number), device)
            b = median(seconds(our_step, abs(number), device) for _ in range(1 if members == 1 else 3))
            if number >= 0:
                plain_times.append(a)
                our_times.append(b)
        a, b = 1e3 * median(plain_times), 1e3 * median(our_times)
        # Machines change speed while one waits: the ratio is taken within each round.
        ratio = median(p / o for p, o in zip(plain_times, our_times, strict=True))
        print(f"{members:7} {depth:5} {width:5} {batch:5} {a:10.2f} {b:9.2f} {ratio:7.2f} {asked:7.2f}", flush=True)
        if members == 1:
            extra = 1e3 * statistics_seconds(experiment, state, device) / STEPS
            share, ratio = extra / (b + extra), a / (b + extra)
            print(f"        with default statistics {b + extra:9.2f} {ratio:7.2f}    1.00   ({share:.1%} of a run)")


if __name__ == "__main__":
    main()
