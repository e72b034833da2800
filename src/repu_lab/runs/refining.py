"""What follows the last step: Gauss-Newton where the task asks for it, and what is measured once."""

import time
from math import inf
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from repu_lab.networks.gauss_newton import gauss_newton
from repu_lab.networks.population import Population
from repu_lab.runs.building import Experiment, build_task
from repu_lab.runs.checkpoint import Checkpoints
from repu_lab.runs.outcome import json_number
from repu_lab.runs.pace import Pace
from repu_lab.tasks import Evaluation, Task, on_device
from repu_lab.tasks.measures import by_rows, in_float64
from repu_lab.tasks.residuals import BatchResiduals

PART = "newton.part"  # of the checkpoints: where Gauss-Newton has come to


def refine(
    experiment: Experiment, population: Population, alive_M: Tensor, checkpoints: Checkpoints
) -> tuple[Task, Tensor]:
    """Return the task and the weights to be judged: the population's unless the task has `newton_steps`.

    Then Gauss-Newton goes on from them in float64, for every member that is alive. How far it has come is saved as a
    part of the checkpoints, and it goes on from there if it started from these weights.
    """
    theta_MP, steps = population.theta.detach(), experiment.config.task.newton_steps
    if not steps:
        return experiment.task, theta_MP
    refined_MP = in_float64(theta_MP).clone()
    task = on_device(build_task(experiment.config), refined_MP.device, torch.float64)
    alive_M = alive_M.to(refined_MP.device)
    if not alive_M.any():
        return task, refined_MP
    start_MP = refined_MP[alive_M]
    begun = checkpoints.part(PART, refined_MP.device)
    if begun is not None and not _goes_on(begun, start_MP, steps):
        begun = None
    before = 0.0 if begun is None else begun["seconds"]
    clock = time.perf_counter()

    residuals, size = BatchResiduals(population, task), 2 * start_MP.nbytes
    needs = residuals.examples * task.outputs * start_MP[0].nbytes, size
    pace = Pace(tqdm(disable=True), steps * len(start_MP), needs, checkpoints.say, terminal=False)

    def keep(state: dict[str, Any]) -> None:
        pace.update(state["member"] * steps + state["step"] - pace.done)
        if checkpoints.due(size):
            seconds = before + time.perf_counter() - clock
            saved = {"start": start_MP, "steps": steps, "seconds": seconds, "state": state}
            checkpoints.save_part(PART, saved)

    saved = None if begun is None else begun["state"]
    refined_MP[alive_M] = gauss_newton(residuals, start_MP, steps, saved, keep)
    seconds = before + time.perf_counter() - clock

    def losses(rows_MP: Tensor) -> Tensor:
        return task.losses(population, task.train, rows_MP)

    # A network that the last step made NaN ranks as the worst: torch's median of it and others is NaN.
    first, last = (
        by_rows(losses, population, rows_MP, len(task.train)).nan_to_num(inf, inf).median()
        for rows_MP in (start_MP, refined_MP[alive_M])
    )
    networks = f" of {len(start_MP)} networks" if len(start_MP) > 1 else ""
    what = f"Gauss-Newton, {steps} steps{networks} in {seconds:.1f} s"
    checkpoints.say(f"refined:  {what}: median training loss {first:.3g} -> {last:.3g}")
    return task, refined_MP


def _goes_on(begun: dict[str, Any], start_MP: Tensor, steps: int) -> bool:
    """Whether a state is of these weights and steps: not of a shorter run, an earlier attempt, or somebody else."""
    start = begun.get("start") if isinstance(begun, dict) else None
    same_start = isinstance(start, Tensor) and start.dtype == start_MP.dtype and torch.equal(start, start_MP)
    known = isinstance(begun.get("state"), dict) and "last" in begun["state"] if same_start else False
    return known and begun.get("steps") == steps and "seconds" in begun


def add_measured(records: list[dict[str, Any]], validation: Evaluation, measures: dict[str, Tensor]) -> None:
    """Write into every member's record how it does on the validation split, and what its task measures.

    By the first settings are chosen. A network that no step has changed has no metric there either; None stands for
    what is not finite.
    """
    losses, metrics = validation.loss.tolist(), validation.metric.tolist()
    columns = {name: values.tolist() for name, values in measures.items()}
    for i, record in enumerate(records):
        record["validation_loss"] = json_number(losses[i])
        record["validation_metric"] = None if record["metric"] is None else json_number(metrics[i])
        record["measures"] = {name: json_number(values[i]) for name, values in columns.items()}
