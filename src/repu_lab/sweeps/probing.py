"""What a group of jobs will cost, from a short probe: a few steps, two observations and the folders of a few jobs.

The probe does what the run will do, on the whole population, in a temporary folder.
"""

import contextlib
import math
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from repu_lab.runs.building import Experiment, build, build_group
from repu_lab.runs.checkpoint import Checkpoints
from repu_lab.runs.folder import RunFolder
from repu_lab.runs.forecasting import announce
from repu_lab.runs.memory import member_bytes
from repu_lab.runs.observation import Sight, observe
from repu_lab.runs.schedule import is_measured, is_profiled
from repu_lab.runs.state import Run, State
from repu_lab.runs.stepping import train_step
from repu_lab.runs.training import END_CHECK, finish
from repu_lab.sweeps.group import PICTURES, Group, run_group
from repu_lab.theory.forecast import Forecast
from repu_lab.tracking.tracker import Tracker

STEP_SECONDS = 0.5  # a probe times steps for so long, 2 at least and END_CHECK at most
JOBS = 3  # whose folders are written
MEMBERS = 4  # of a job of `propagate`


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Seconds by what they are spent on, and the bytes that the tensors take."""

    start: float = 0.0
    work: float = 0.0  # steps, or all that a job of another command does
    statistics: float = 0.0
    writing: float = 0.0
    memory: int = 0

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.start + self.work + self.statistics + self.writing


def probe_training(group: Group, expected: Forecast | None, *, lost: bool) -> Cost:
    """Time a population's start, steps, observations and folders; `lost`: it is expected to end at its first pass.

    L-BFGS steps after the last one are not counted.
    """
    configs = [replace(job.config, task=replace(job.config.task, lbfgs_steps=None), rerun=False) for job in group.jobs]
    config, clock = configs[0], _Clock()
    experiments = build_group(configs)
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        runs = [
            Run(experiment=experiment, folder=RunFolder(Path(place) / str(i), echo=False), picture=False)
            for i, experiment in enumerate(experiments)
        ]
        clock.restart()
        state = State.start(experiments)
        start = clock.seconds()
        trackers: dict[int, Tracker] = {}
        for i, run in enumerate(runs):
            run.folder.path.mkdir()
            tracker = Tracker(run.folder.path, depth=config.depth, members=run.experiment.config.members)
            trackers[i] = stack.enter_context(tracker)
        everyone, sight = list(range(len(runs))), Sight(experiments[0], state)
        observe(runs, state, sight, trackers, everyone, [])
        profiled = clock.seconds()
        step = _step_seconds(state, experiments[0], clock)
        clock.restart()
        state.step = 2  # measured, not profiled
        observe(runs, state, sight, trackers, everyone, [])
        plain = clock.seconds()
        state.ended, state.seconds = [state.step] * len(runs), start

        def write(i: int, picture: bool) -> float:
            clock.restart()
            with runs[i].folder.run("train", configs[i], {}):
                announce(experiments[i], runs[i].folder, expected)
                run = replace(runs[i], picture=picture, expected=expected)
                result = finish(run, state, i, trackers[i], Checkpoints(run.folder, math.inf, run.folder.log))
                runs[i].folder.write_json("result.json", result)
            return clock.seconds()

        sample = [write(i, picture=False) for i in everyone[:JOBS]]
        folder = sum(sample) / len(sample)
        picture = write(0, picture=True) - folder
    steps = 0 if lost else config.steps
    measured = sum(is_measured(i, steps) for i in _candidates(steps))
    profiles = sum(is_profiled(i, steps) for i in _candidates(steps) if is_measured(i, steps))
    pictures = min(PICTURES, len({_law(experiment) for experiment in experiments})) if config.statistics else 0
    return Cost(
        start=start,
        work=step * steps,
        statistics=profiles * profiled + (measured - profiles) * plain,
        writing=len(runs) * folder + pictures * picture,
        memory=_memory(group, experiments[0].sizes),
    )


def probe_job(group: Group) -> Cost:
    """Time the job of a group of one, of `propagate` or `theory`, by running it in a temporary folder.

    That of propagate with few networks; the time is taken to be linear in their number.
    """
    (job,) = group.jobs

    def run(config: Any) -> float:
        clock = _Clock()
        with tempfile.TemporaryDirectory() as place, contextlib.redirect_stdout(None):
            trial = replace(job, config=replace(config, rerun=False), folder=Path(place) / "run")
            run_group(Group(command=group.command, jobs=(trial,)), lambda share: None)
        return clock.seconds()

    if group.command == "theory":
        return Cost(work=run(job.config))
    seconds = run(replace(job.config, members=min(MEMBERS, job.config.members)))
    if job.config.members > MEMBERS:
        once = run(replace(job.config, members=1))
        seconds = once + (job.config.members - 1) * max(0.0, seconds - once) / (MEMBERS - 1)
    return Cost(work=seconds, memory=_memory(group, build(job.config).sizes))


def _memory(group: Group, sizes: tuple[int, ...]) -> int:
    """Return the bytes that the tensors of a group take at most, estimated from its shapes."""
    return group.members * sum(member_bytes(group.jobs[0].config, sizes))


def _step_seconds(state: State, experiment: Experiment, clock: "_Clock") -> float:
    task, config = experiment.task, experiment.config
    times: list[float] = []
    for step in range(END_CHECK):
        clock.restart()
        loss_M = train_step(
            state.population, state.optimizer, task, task.batch(step, config.batch_size), state.progress.alive
        )
        state.progress.record_loss(step, loss_M)
        float(loss_M.sum())  # a GPU answers when it is done
        times.append(clock.seconds())
        if step >= 2 and sum(times) > STEP_SECONDS:
            break
    return sum(times[1:]) / (len(times) - 1)  # the first one warms up


def _candidates(steps: int) -> Sequence[int]:
    """Return the steps of which some are measured: beyond the first few they are geometric."""
    geometric = (round(2 ** (i / 2)) for i in range(2 * max(1, steps).bit_length() + 1))
    return sorted({step for step in (*range(5), *geometric, steps) if step <= steps})


def _law(experiment: Experiment) -> tuple[Any, ...]:
    """Return what jobs with the same picture have in common."""
    rule = experiment.rule
    return rule.C_W, rule.C_b, experiment.lr, experiment.config.optimizer.weight_decay


class _Clock:
    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.start = time.perf_counter()

    def seconds(self) -> float:
        """Return the seconds since the last restart or reading."""
        start, self.start = self.start, time.perf_counter()
        return self.start - start
