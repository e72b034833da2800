"""What follows the last step: L-BFGS where the task asks for it, and what is measured once."""

import time
from typing import Any

import torch
from torch import Tensor

from repu_lab.networks.lbfgs import history, lbfgs
from repu_lab.networks.population import Population
from repu_lab.runs.building import Experiment, build_task
from repu_lab.runs.checkpoint import Checkpoints
from repu_lab.runs.outcome import json_number
from repu_lab.tasks import Evaluation, Task, on_device
from repu_lab.tasks.measures import in_float64

# Numbers of a layer that members pass at once, on a CPU and on a GPU: more leave the cache, or the memory.
CACHED, LARGE = 200_000, 20_000_000


def refine(
    experiment: Experiment,
    population: Population,
    theta_MP: Tensor,
    alive_M: Tensor,
    checkpoints: Checkpoints,
    part: str,
) -> tuple[Task, Tensor, str | None]:
    """Return the task and the weights to be judged, those given unless the task has `lbfgs_steps`, and what to say.

    Then L-BFGS goes on from them on all training examples, in float64, for every member that is alive. How far it has
    come is saved as that part of the checkpoints, and it goes on from there if it started from these weights.
    """
    steps = experiment.config.task.lbfgs_steps
    if not steps:
        return experiment.task, theta_MP, None
    refined_MP = in_float64(theta_MP).clone()
    task = on_device(build_task(experiment.config), refined_MP.device, torch.float64)
    alive_M = alive_M.to(refined_MP.device)
    if not alive_M.any():
        return task, refined_MP, None
    start_MP = refined_MP[alive_M]
    size = 2 * len(start_MP) * (1 + min(history(start_MP.shape[1]), steps)) * start_MP[0].nbytes
    numbers = len(task.train) * max(population.sizes)
    at_once = max(1, (LARGE if refined_MP.is_cuda else CACHED) // numbers)
    begun = checkpoints.part(part, refined_MP.device)
    if begun is not None and not _goes_on(begun, start_MP, steps):
        begun = None
    before = 0.0 if begun is None else begun["seconds"]
    clock = time.perf_counter()

    def loss(theta_MP: Tensor) -> Tensor:
        return task.losses(population, task.train, theta_MP)

    def keep(state: dict[str, Any]) -> None:
        if checkpoints.due(size):
            seconds = before + time.perf_counter() - clock
            saved = {"start": start_MP, "steps": steps, "seconds": seconds, "state": state}
            checkpoints.save_part(part, saved)

    saved = None if begun is None else begun["state"]
    refined_MP[alive_M], first, last = lbfgs(loss, start_MP, steps, saved, keep, at_once=at_once)
    seconds = before + time.perf_counter() - clock
    said = f"L-BFGS, {steps} steps in {seconds:.1f} s: median training loss {first.median():.3g} -> {last.median():.3g}"
    return task, refined_MP, said


def _goes_on(begun: dict[str, Any], start_MP: Tensor, steps: int) -> bool:
    """Whether a state is of these weights and steps: not of a shorter run, an earlier attempt, or somebody else."""
    start = begun.get("start") if isinstance(begun, dict) else None
    same_start = isinstance(start, Tensor) and start.dtype == start_MP.dtype and torch.equal(start, start_MP)
    known = isinstance(begun.get("state"), dict) and "inverse" in begun["state"] if same_start else False
    return known and begun.get("steps") == steps and "seconds" in begun


def add_validation(records: list[dict[str, Any]], evaluation: Evaluation) -> None:
    """Write into every member's record how it does on the validation split, by which settings are chosen.

    A network that no step has changed has no metric there either.
    """
    for record, loss, metric in zip(records, evaluation.loss.tolist(), evaluation.metric.tolist(), strict=True):
        record["validation_loss"] = json_number(loss)
        record["validation_metric"] = None if record["metric"] is None else json_number(metric)


def add_measures(records: list[dict[str, Any]], measures: dict[str, Tensor]) -> None:
    """Write what a task measures into every member's record, None where it is not finite."""
    columns = {name: values.tolist() for name, values in measures.items()}
    for i, record in enumerate(records):
        record["measures"] = {name: json_number(values[i]) for name, values in columns.items()}
