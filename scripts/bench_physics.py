"""Error against time of physics-informed networks, 7 x 20 in float64: Adam, then Gauss-Newton.

Usage: scripts/bench_physics.py [--task burgers] [--activations tanh,gelu] [--members 3] [--steps 100,200,400]
       [--adam 800] [--conditions exact] [--json FILE]

Every number of steps begins at Adam's weights, since the length of a step depends on how many there are.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from repu_lab.activations import ACTIVATIONS
from repu_lab.networks.gauss_newton import gauss_newton
from repu_lab.networks.initialization import draw_, uniform_depth
from repu_lab.networks.optimizers import Optimizer
from repu_lab.networks.population import Population
from repu_lab.runs.stepping import train_step
from repu_lab.tasks import TASKS, Task
from repu_lab.tasks.residuals import BatchResiduals
from repu_lab.theory import critical_initialization

SIZES = (2, *[20] * 7, 1)
BATCH, RATE = 500, 2e-3


def drawn(activation: str, members: int) -> Population:
    """Return networks at their critical point."""
    arguments = {"mrepu": {"p": 3}, "repu": {"p": 3}, "spline_repu": {"p": 3}}.get(activation, {})
    own = ACTIVATIONS[activation](**arguments)
    start = critical_initialization(own, len(SIZES) - 2)
    population = Population(own, SIZES, members, dtype=torch.float64)
    rule = uniform_depth("critical", SIZES, C_W=start.C_W, C_b=start.C_b, k1=start.k1)
    draw_(population, rule, range(members))
    return population


def traced(task: Task, activation: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Train the networks and return, after Adam and after so many steps each, CPU seconds a member, loss and errors."""
    population = drawn(activation, options.members)
    optimizer = Optimizer("adam", population.theta, lr=RATE)
    alive, start = torch.ones(options.members, dtype=torch.bool), time.process_time()
    for step in range(options.adam):
        train_step(population, optimizer, task, task.batch(step, BATCH), alive)
    adam_MP, seconds = population.theta.detach(), time.process_time() - start
    rows = [row(task, population, adam_MP, activation, 0, seconds)]
    for steps in map(int, options.steps.split(",")):
        start = time.process_time()
        theta_MP = gauss_newton(BatchResiduals(population, task), adam_MP, steps)
        rows.append(row(task, population, theta_MP, activation, steps, seconds + time.process_time() - start))
    return rows


def row(
    task: Task, population: Population, theta_MP: torch.Tensor, activation: str, steps: int, seconds: float
) -> dict[str, Any]:
    """Return and print how far the networks are."""
    errors = task.measures(population, theta_MP)["relative_l2"].nan_to_num(nan=1.0).clamp(max=1.0)
    with torch.no_grad():
        loss = task.losses(population, task.train, theta_MP).median().item()
    seconds /= len(theta_MP)
    print(
        f"{activation:12} {steps:5} steps {seconds:7.1f} s of CPU a member  loss {loss:.2e}  "
        f"error {errors.median():.2e} ({errors.min():.1e} to {errors.max():.1e})",
        flush=True,
    )
    return {
        "activation": activation,
        "steps": steps,
        "cpu_seconds": seconds,
        "loss": loss,
        "median": errors.median().item(),
        "errors": errors.tolist(),
    }


def main() -> None:
    """Trace each activation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=("burgers", "helmholtz"), default="burgers")
    parser.add_argument("--activations", default="tanh,gelu")
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--steps", default="100,200,400")
    parser.add_argument("--adam", type=int, default=800)
    parser.add_argument("--conditions", choices=("exact", "soft"), default="exact")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    task = TASKS[options.task](conditions=options.conditions)
    rows = [row for name in options.activations.split(",") for row in traced(task, name, options)]
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
