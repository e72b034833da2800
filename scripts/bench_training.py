"""Step time of populations against the usual PyTorch, in one process, interleaved, medians.

Plain: nn.Sequential of nn.Linear and torch.nn activations, cross-entropy, torch.optim.Adam with default arguments, one
network after another. vmap: the same networks stacked, torch.func.vmap of their gradient, torch.optim.Adam(fused=True).
Ours: the step of `repu-lab train`, on a GPU as one captured graph; for one member also with the default statistics, at
their share of a run of 1,000 steps. Usage: scripts/bench_training.py [--rounds 15] [--threads 2] [--device cpu]
"""

import argparse
import copy
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch
from torch import nn

from repu_lab import SplineRePU
from repu_lab.configs.composition import compose_jobs
from repu_lab.runs.building import Experiment, build
from repu_lab.runs.observation import Observer, observe
from repu_lab.runs.schedule import is_measured
from repu_lab.runs.state import State
from repu_lab.runs.stepping import stepper
from repu_lab.tasks import Split, Splits, Task, on_device
from repu_lab.tasks.tensors import classification
from repu_lab.tracking.tracker import Tracker

Step = Callable[[int], Any]
STEPS = 1000  # of the run whose statistics are counted
INPUTS, CLASSES = 64, 10


@dataclass(frozen=True)
class Case:
    """A shape of population, and the factor over the plain loop that is asked for."""

    members: int
    depth: int
    width: int
    batch: int
    asked: float | None = None
    dtype: str = "float32"
    activation: str = "tanh"
    precision: str = "highest"


CASES = [Case(1, 50, 128, 128, 1 / 0.9), Case(64, 10, 32, 32, 12), Case(256, 10, 16, 32, 30), Case(32, 20, 64, 64, 2.5)]


def random_task(device: str, dtype: str, examples: int = 16_384) -> Task:
    """Return a task of random inputs and classes, of which there are enough for any batch."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(examples + 1000, INPUTS, generator=random)
    y = torch.randint(CLASSES, (examples + 1000,), generator=random)
    rest = Split(x[examples:], y[examples:])
    splits = Splits(Split(x[:examples], y[:examples]), rest, rest)
    return on_device(classification("random", splits), device, getattr(torch, dtype))


def network(case: Case, device: str) -> nn.Sequential:
    """Return the usual network."""
    s = {"tanh": nn.Tanh, "spline_repu": SplineRePU}[case.activation]
    with torch.device(device):
        hidden = [m for _ in range(case.depth - 1) for m in (nn.Linear(case.width, case.width), s())]
        layers = [nn.Linear(INPUTS, case.width), s(), *hidden, nn.Linear(case.width, CLASSES)]
    return nn.Sequential(*layers).to(getattr(torch, case.dtype))


def loss(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(z.float(), y)


def plain(case: Case, device: str, members: int) -> Step:
    """Return the step of so many networks, one after another."""
    networks = [network(case, device) for _ in range(members)]
    optimizers = [torch.optim.Adam(network.parameters(), lr=1e-4) for network in networks]
    task = random_task(device, case.dtype)

    def step(number: int) -> None:
        x, y = task.batch(number, case.batch)
        for one, optimizer in zip(networks, optimizers, strict=True):
            optimizer.zero_grad()
            loss(one(x), y).backward()
            optimizer.step()

    return step


def vmapped(case: Case, device: str) -> Step:
    """Return the step of all networks at once, by torch.func.vmap."""
    networks = [network(case, device) for _ in range(case.members)]
    parameters, _ = torch.func.stack_module_state(networks)
    skeleton = copy.deepcopy(networks[0]).to("meta")
    del networks
    optimizer = torch.optim.Adam(parameters.values(), lr=1e-4, fused=True)
    task = random_task(device, case.dtype)

    def one_loss(weights: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return loss(torch.func.functional_call(skeleton, weights, (x,)), y)

    gradients = torch.func.vmap(torch.func.grad(one_loss), in_dims=(0, None, None))

    def step(number: int) -> None:
        x, y = task.batch(number, case.batch)
        gradient = gradients(parameters, x, y)
        for name, parameter in parameters.items():
            parameter.grad = gradient[name]
        optimizer.step()

    return step


def ours(case: Case, device: str) -> tuple[Experiment, State, Step]:
    """Return the lab's own step of all networks, as `repu-lab train` takes it."""
    settings = [f"activation={case.activation}", f"members={case.members}", f"depth={case.depth}"]
    settings += [f"width={case.width}", f"dtype={case.dtype}", f"device={device}", f"steps={STEPS}"]
    (job,) = compose_jobs("train", [*settings, "optimizer.lr=1e-4", f"precision={case.precision}"])
    built = build(job.config)
    task, config = random_task(device, case.dtype), replace(job.config, batch_size=case.batch)
    experiment = replace(built, task=task, config=config)
    state = State.start([experiment])
    step, line = stepper(state, task, case.batch, STEPS)
    if line:
        print(line)
    return experiment, state, step


def synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def seconds(step: Step, number: int, device: str) -> float:
    start = time.perf_counter()
    step(number)
    synchronize(device)
    return time.perf_counter() - start


def looking_seconds(experiment: Experiment, state: State, device: str) -> tuple[float, float]:
    """Time of all looks of a run of STEPS steps: with the default statistics, and at the test split alone."""
    alone = replace(experiment, config=replace(experiment.config, statistics=False))
    return _looking(experiment, state, device), _looking(alone, state, device)


def _looking(experiment: Experiment, state: State, device: str) -> float:
    steps = [step for step in range(STEPS + 1) if is_measured(step, STEPS)]
    config = experiment.config
    with tempfile.TemporaryDirectory() as folder:
        (part,) = state.parts
        with Tracker(folder, depth=config.depth, members=config.members) as part.tracker:

            def measure(step: int) -> None:
                state.step = step
                observe(state, observer, [part], [part] if step == STEPS else [])

            observer = Observer(experiment, state)
            measure(1)  # warm
            observer = Observer(experiment, state)  # so that capturing its graphs is counted
            return sum(seconds(measure, step, device) for step in steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = arguments.device
    print("members depth width batch   plain ms    vmap ms    ours ms   plain/ours    goal")
    for case in CASES:
        plain_step, vmapped_step = plain(case, device, case.members), vmapped(case, device)
        experiment, state, our_step = ours(case, device)
        rounds = arguments.rounds * (4 if case.members == 1 else 1)
        times: list[tuple[float, float, float]] = []
        for number in range(-3, rounds):
            a = seconds(plain_step, abs(number), device)
            b = seconds(vmapped_step, abs(number), device)
            c = median(seconds(our_step, abs(number), device) for _ in range(1 if case.members == 1 else 3))
            times += [(a, b, c)] if number >= 0 else []
        a, b, c = (1e3 * median(column) for column in zip(*times, strict=True))
        # Machines change speed while one waits: the ratio is taken within each round.
        ratio = median(p / o for p, _, o in times)
        sizes = f"{case.members:7} {case.depth:5} {case.width:5} {case.batch:5}"
        print(f"{sizes} {a:10.2f} {b:10.2f} {c:10.2f} {ratio:12.2f} {case.asked or 0:7.2f}", flush=True)
        if case.members == 1:
            with_, without = (1e3 * total / STEPS for total in looking_seconds(experiment, state, device))
            shares = f"looks {with_ / (c + with_):.1%} of a run, statistics {(with_ - without) / (c + with_):.1%}"
            print(f"        with default statistics {c + with_:22.2f} {a / (c + with_):12.2f}    1.00   ({shares})")


if __name__ == "__main__":
    main()
