"""What a group of jobs will cost, by finished runs of its kind; else some of its steps, or a small job, are timed."""

import contextlib
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from repu_lab.configs.command import job_command
from repu_lab.configs.composition import Job
from repu_lab.configs.config import result_fields
from repu_lab.networks.gauss_newton import gauss_newton
from repu_lab.runs.building import Experiment, build, build_group
from repu_lab.runs.job import run_job
from repu_lab.runs.memory import member_bytes
from repu_lab.runs.observation import Observer
from repu_lab.runs.schedule import measured_steps
from repu_lab.runs.state import State
from repu_lab.runs.stepping import stepper
from repu_lab.sweeps.group import Group
from repu_lab.sweeps.job_table import finished_result
from repu_lab.tasks import on_device
from repu_lab.tasks.measures import in_float64
from repu_lab.tasks.residuals import BatchResiduals

STEP_SECONDS = 0.5  # steps are timed for so long
MEMBERS = 4  # of a job that is tried
FOLDER = 0.02  # seconds that writing a job's folder takes: docs/performance.md


@dataclass(frozen=True)
class Cost:
    """Seconds, and the bytes that the tensors take at most, estimated from their shapes."""

    seconds: float
    memory: int = 0


def seconds_by_law(command: str, finished: Sequence[Job]) -> dict[str, float]:
    """Return the mean seconds a network of finished jobs by their `settings_key`; {} if results do not tell them."""
    times: dict[str, list[float]] = {}
    for job in finished:
        if "seconds" in (result := finished_result(command, job) or {}):
            times.setdefault(settings_key(job.config), []).append(result["seconds"] / job.config.members)
    return {key: mean(several) for key, several in times.items()}


def settings_key(config: Any, *left_out: str) -> str:
    """Return what decides a job's networks, without their seeds and number and other keys, as one text."""
    fields = result_fields(config)
    return json.dumps({key: fields[key] for key in fields if key not in ("seed", "members", *left_out)}, sort_keys=True)


def cost_of(group: Group, known: dict[str, float], *, lost: bool) -> Cost:
    """Return the cost of a group. known: of `seconds_by_law`; lost: its networks will end at their first pass."""
    config = group.jobs[0].config
    times = [job.config.members * known[key] for job in group.jobs if (key := settings_key(job.config)) in known]
    memory = 0
    if hasattr(config, "members"):
        memory = group.members * sum(member_bytes(config, build(config).sizes))
    if len(times) == len(group.jobs):
        seconds = sum(times) + len(group.jobs) * FOLDER
    else:
        seconds = _by_steps(group, lost) if job_command(group.command).populations else _by_trial(group)
    return Cost(seconds, memory)


def _by_steps(group: Group, lost: bool) -> float:
    """Time a population's start, one look at it and some of its steps, done as in training."""
    experiments = build_group([job.config for job in group.jobs])
    config, task = experiments[0].config, experiments[0].task
    begun = time.perf_counter()
    state = State.start(experiments)
    start, begun = time.perf_counter() - begun, time.perf_counter()
    advance, _ = stepper(state, task, config.batch_size, config.steps)
    observer = Observer(experiments[0], state, lambda line: None)
    observer.all(histogram=True).evaluation.loss.sum().item()  # a GPU answers when it is done
    look = time.perf_counter() - begun
    if lost:
        return start + look + len(group.jobs) * FOLDER
    advance(0)  # the first one warms up
    begun, steps = time.perf_counter(), 0
    while steps == 0 or time.perf_counter() - begun < STEP_SECONDS:
        steps += 1
        advance(steps)
        state.progress.last_loss.sum().item()
    step = (time.perf_counter() - begun) / steps
    steps = config.steps * step + len(measured_steps(config.steps, config.looks)) * look
    return start + steps + _refining(experiments[0], group.members) + len(group.jobs) * FOLDER


def _refining(experiment: Experiment, members: int) -> float:
    """Time two steps of Gauss-Newton, if any are asked for, of one network as it starts."""
    if not (steps := experiment.config.task.newton_steps):
        return 0.0
    population = experiment.population()
    residuals = BatchResiduals(population, on_device(experiment.task, population.theta.device, torch.float64))
    begun = time.perf_counter()
    gauss_newton(residuals, in_float64(population.theta[:1].detach()), 2)
    return (time.perf_counter() - begun) / 2 * steps * members


def _by_trial(group: Group) -> float:
    """Time a job by running it in a temporary folder, with few networks; the time is linear in their number."""
    (job,) = group.jobs

    def seconds(config: Any) -> float:
        begun = time.perf_counter()
        with tempfile.TemporaryDirectory() as place, contextlib.redirect_stdout(None):
            run_job(job_command(group.command), replace(config, rerun=False), Path(place) / "run")
        return time.perf_counter() - begun

    members = getattr(job.config, "members", 1)
    if members <= MEMBERS:
        return seconds(job.config)
    few, alone = (seconds(replace(job.config, members=count)) for count in (MEMBERS, 1))
    return alone + (members - 1) * max(0.0, few - alone) / (MEMBERS - 1)
