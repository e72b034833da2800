"""Mean accuracy on digits against Adam's learning rate, and where the rule of `optimizer.lr=auto` stands.

Width 64, batch 128, 300 steps, float32, initialization=critical. All seeds and rates of one activation and depth train
as one population. Usage: scripts/learning_rates.py [--seeds 10] [--rates 1e-4,3e-4,1e-3,3e-3] [--depths 5,20,50]
"""

import argparse

import numpy as np
import torch

from repu_lab.configs.composition import compose_jobs
from repu_lab.networks.initialization import draw_
from repu_lab.networks.optimizers import Optimizer
from repu_lab.networks.population import Population
from repu_lab.runs.building import build
from repu_lab.runs.observation import evaluate
from repu_lab.runs.stepping import train_step

ACTIVATIONS = ("relu", "tanh", "gelu", "spline_repu")
STEPS = 300


def accuracies(activation: str, depth: int, rates: list[float], seeds: int, width: int) -> tuple[np.ndarray, float]:
    """Return accuracies (rates + 1, seeds), the last row at the automatic rate, and that rate."""
    (job,) = compose_jobs("train", [f"activation={activation}", f"depth={depth}", f"width={width}"])
    experiment = build(job.config)
    every = [*rates, experiment.lr]
    population = Population(experiment.activation, experiment.sizes, len(every) * seeds, device=experiment.device)
    draw_(population, experiment.rule, list(range(seeds)) * len(every))
    optimizer = Optimizer("adam", population.theta, lr=[rate for rate in every for _ in range(seeds)])
    alive = torch.ones(population.members, dtype=torch.bool, device=experiment.device)
    for step in range(STEPS):
        train_step(population, optimizer, experiment.task, experiment.task.batch(step, 128), alive)
    return evaluate(population, experiment.task, population.theta.detach()).metric.cpu().numpy().reshape(
        len(every), seeds
    ), experiment.lr


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rates", default="1e-4,3e-4,1e-3,3e-3")
    parser.add_argument("--depths", default="5,20,50")
    parser.add_argument("--activations", default=",".join(ACTIVATIONS))
    parser.add_argument("--width", type=int, default=64)
    arguments = parser.parse_args()
    rates = [float(rate) for rate in arguments.rates.split(",")]
    columns = [f"{rate:g}" for rate in rates]
    print(f"| activation, depth | {' | '.join(columns)} | auto (rate) | auto - best (2 SE) |")
    print("|---|" + "---|" * (len(rates) + 2))
    for activation in arguments.activations.split(","):
        for depth in map(int, arguments.depths.split(",")):
            accuracy, rate = accuracies(activation, depth, rates, arguments.seeds, arguments.width)
            mean = accuracy.mean(1)
            best = int(mean[:-1].argmax())
            # The same seeds start both, so the difference is paired.
            difference = accuracy[-1] - accuracy[best]
            error = 2 * difference.std(ddof=1) / len(difference) ** 0.5
            cells = [f"{value:.3f}" for value in mean[:-1]]
            print(
                f"| {activation}, {depth} | {' | '.join(cells)} | {mean[-1]:.3f} ({rate:.2g}) | "
                f"{difference.mean():+.3f} ({error:.3f}) |",
                flush=True,
            )


if __name__ == "__main__":
    main()
