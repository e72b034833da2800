"""Error against time of physics-informed networks, 7 x 20 in float64: Adam, then L-BFGS, members side by side.

Usage: scripts/bench_physics.py [--task burgers] [--activations tanh,gelu] [--members 3] [--steps 3000] [--adam 800]
       [--conditions exact] [--json FILE]
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from repu_lab.activations import ACTIVATIONS
from repu_lab.networks.initialization import draw_, uniform_depth
from repu_lab.networks.lbfgs import lbfgs
from repu_lab.networks.optimizers import Optimizer
from repu_lab.networks.population import Population
from repu_lab.runs.stepping import train_step
from repu_lab.tasks import TASKS, Task
from repu_lab.theory import critical_initialization

SIZES = (2, *[20] * 7, 1)
BATCH, RATE = 500, 2e-3
EVERY = 250  # steps of L-BFGS between two rows


def drawn(activation: str, members: int) -> Population:
    """Return networks at their critical point."""
    arguments = {"mrepu": {"p": 3}, "repu": {"p": 3}, "spline_repu": {"p": 3}}.get(activation, {})
    own = ACTIVATIONS[activation](**arguments)
    found = critical_initialization(own, len(SIZES) - 2)
    population = Population(own, SIZES, members, dtype=torch.float64)
    rule = uniform_depth("critical", SIZES, C_W=found.C_W, C_b=found.C_b, k1=found.k1)
    draw_(population, rule, range(members))
    return population


def traced(task: Task, activation: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Train the networks and return a row of CPU seconds a member, loss and errors at every look."""
    population = drawn(activation, options.members)
    optimizer = Optimizer("adam", population.theta, lr=RATE)
    alive, rows, start = torch.ones(options.members, dtype=torch.bool), [], time.process_time()
    looked = 0.0

    def look(stage: str, step: int, theta_MP: torch.Tensor, loss_M: torch.Tensor) -> None:
        nonlocal looked
        began = time.process_time()
        errors = task.measures(population, theta_MP)["relative_l2"].nan_to_num(nan=1.0).clamp(max=1.0)
        row = {
            "activation": activation,
            "stage": stage,
            "step": step,
            "cpu_seconds": (began - start - looked) / options.members,
            "loss": loss_M.median().item(),
            "median": errors.median().item(),
            "errors": errors.tolist(),
        }
        rows.append(row)
        print(
            f"{activation:12} {stage:6} {step:5} {row['cpu_seconds']:7.1f} s of CPU a member  loss {row['loss']:.2e}  "
            f"error {row['median']:.4f} ({errors.min():.4f} to {errors.max():.4f})",
            flush=True,
        )
        looked += time.process_time() - began

    for step in range(options.adam):
        train_step(population, optimizer, task, task.batch(step, BATCH), alive)
    with torch.no_grad():
        look("Adam", options.adam, population.theta.detach(), task.losses(population, task.train))

    def keep(state: dict[str, Any]) -> None:
        if state["step"] % EVERY == 0:
            look("L-BFGS", state["step"], state["theta"], state["loss"])

    def loss(theta_MP: torch.Tensor) -> torch.Tensor:
        return task.losses(population, task.train, theta_MP)

    theta_MP, _, loss_M = lbfgs(loss, population.theta, options.steps, keep=keep, at_once=1)
    look("L-BFGS", options.steps, theta_MP, loss_M)
    return rows


def main() -> None:
    """Trace each activation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=("burgers", "helmholtz"), default="burgers")
    parser.add_argument("--activations", default="tanh,gelu")
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3000)
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
