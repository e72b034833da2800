"""Jobs that train together: which may, how many fit the memory, and the training of a group as one population.

Jobs that differ only in what a member may have of its own (seed, number of members, initialization, learning rate,
weight decay) are one group. Each keeps its own folder, result, statistics and events; the checkpoint is the group's.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repu_lab.configs.command import job_command
from repu_lab.configs.composition import Job
from repu_lab.configs.config import config_hash, result_fields
from repu_lab.configs.schema import TrainConfig
from repu_lab.runs.folder import RunFolder
from repu_lab.runs.job import check_job, run_job
from repu_lab.runs.paths import CHECKPOINTS, GROUPS, check_inside
from repu_lab.runs.writer import synced_together
from repu_lab.sweeps.workers import Reporter

if TYPE_CHECKING:
    from repu_lab.runs.building import Experiment
    from repu_lab.runs.state import TrainingRun
    from repu_lab.theory.forecast import Forecast

# More jobs than this hold too many event files open at once (1,024 is a usual limit), and more members lose the cache.
MOST_JOBS = 256
MOST_MEMBERS = 1024

Bound = Callable[[Any], int]  # the most members of a population of this config


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """Jobs that train as one population, or a single job of any command; `place` holds a population's checkpoint."""

    command: str
    jobs: tuple[Job, ...]
    place: Path | None = None

    @property
    def members(self) -> int:
        """The number of networks."""
        return sum(getattr(job.config, "members", 1) for job in self.jobs)


def shape(config: TrainConfig) -> str:
    """Return what the jobs of a group share, as one text: what decides the result, but for keys of their members."""
    fields = result_fields(config)
    del fields["seed"], fields["members"], fields["initialization"]
    fields["centred"] = config.initialization.weights == "centred"  # their statistics are others
    fields["optimizer"] = {
        key: fields["optimizer"][key] for key in fields["optimizer"] if key not in ("lr", "weight_decay")
    }
    return json.dumps(fields, sort_keys=True)


def make_groups(command: str, jobs: Iterable[Job], sweep: Path, bound: Bound) -> list[Group]:
    """Return the jobs in groups, in the order of their first jobs; jobs that make no populations stand alone."""
    populations = job_command(command).populations
    by_shape: dict[str, list[Job]] = {}
    for job in jobs:
        by_shape.setdefault(shape(job.config) if populations else str(job.folder), []).append(job)
    return [make_group(command, part, sweep) for several in by_shape.values() for part in _chunks(several, bound)]


def make_group(command: str, jobs: Sequence[Job], sweep: Path) -> Group:
    """Return the group of these jobs; its place is named by a hash of their configs."""
    if len(jobs) == 1:
        return Group(command=command, jobs=tuple(jobs))
    hashes = [config_hash(command, job.config) for job in jobs]
    return Group(
        command=command,
        jobs=tuple(jobs),
        place=sweep / GROUPS / hashlib.sha256("".join(hashes).encode()).hexdigest()[:16],
    )


def _chunks(jobs: Sequence[Job], bound: Bound) -> Iterator[list[Job]]:
    """Cut a group where the next job's members would not fit any more."""
    most = min(MOST_MEMBERS, bound(jobs[0].config)) if len(jobs) > 1 else MOST_MEMBERS
    chunk: list[Job] = []
    for job in jobs:
        if chunk and (len(chunk) == MOST_JOBS or sum(j.config.members for j in chunk) + job.config.members > most):
            yield chunk
            chunk = []
        chunk.append(job)
    yield chunk


def members_that_fit(config: TrainConfig, report: Reporter) -> int:
    """Return how many members of this kind fit the memory; a worker's task."""
    from repu_lab.runs import building

    return building.members_that_fit(config)


def check_group(group: Group, report: Reporter) -> None:
    """Raise ConfigError if a job of the group cannot run; a worker's task."""
    command = job_command(group.command)
    if command.populations:  # what lies in the jobs' folders has been looked at
        from repu_lab.runs.building import build_group

        build_group([job.config for job in group.jobs])
    else:
        (job,) = group.jobs
        check_job(command, job.config, job.folder)


def next_of_sweep(jobs: Sequence[Job], report: Reporter) -> str | None:
    """Return the next command for the commonest failure of the jobs, see advice.next_of_jobs; a worker's task."""
    from repu_lab.runs.advice import next_of_jobs

    return next_of_jobs(jobs)


def run_group(group: Group, report: Reporter) -> None:
    """Run a group's jobs in their folders; a worker's task."""
    command = job_command(group.command)
    if command.populations:
        train_group(group, report)
    else:
        (job,) = group.jobs
        run_job(command, job.config, job.folder)


def train_group(group: Group, report: Reporter) -> None:
    """Train a group as one population and write every job's folder.

    A job that finished before an interruption trains along without being written again. What raises leaves all jobs
    `failed`, or `interrupted`, in their folders.
    """
    from repu_lab.runs.building import build_group
    from repu_lab.runs.checkpoint import Checkpoints
    from repu_lab.runs.forecasting import announce
    from repu_lab.runs.state import TrainingRun
    from repu_lab.runs.training import train
    from repu_lab.runs.words import closing_lines

    experiments = build_group([job.config for job in group.jobs])
    folders = [RunFolder(job.folder, echo=False) for job in group.jobs]
    expected: dict[Any, Forecast | None] = {}
    runs: list[TrainingRun] = []
    with ExitStack() as stack:
        with synced_together(folders):
            for folder, experiment, entries in zip(folders, experiments, _entries(group, experiments), strict=True):
                config = experiment.config
                stored = not config.rerun and folder.finished("train", config, "result.json") is not None
                law = (experiment.rule.C_W, experiment.rule.C_b, experiment.rule.weights)
                if not stored:
                    stack.enter_context(folder.run("train", config, entries, afresh=config.rerun))
                    expected[law] = announce(experiment, folder, expected.get(law))
                twin = expected.get(law)
                runs.append(TrainingRun(experiment=experiment, folder=folder, expected=twin, stored=stored))
        written = [run for run in runs if not run.stored]

        def say(line: str) -> None:
            for run in written:
                run.folder.log(line)

        config = group.jobs[0].config
        checkpoints = Checkpoints(_checkpointed(group, runs), config.checkpoint.every_seconds, say)
        results = train(runs, checkpoints, _Steps(config.steps, report))
        with synced_together(folders):
            for run, result in zip(written, results, strict=True):
                run.folder.write_json("result.json", result)
                run.folder.log(closing_lines(result))
        with synced_together(folders):
            stack.close()  # which writes that they finished


def _checkpointed(group: Group, runs: "Sequence[TrainingRun]") -> RunFolder:
    """Return the folder of the checkpoints: a population's own, or the job's."""
    if group.place is None:
        return runs[0].folder
    check_inside(group.place / CHECKPOINTS, group.place.parent.parent)
    place = RunFolder(group.place)
    place.path.mkdir(parents=True, exist_ok=True)
    place.write_json("group.json", {"jobs": [config_hash(group.command, job.config) for job in group.jobs]})
    return place


def _entries(group: Group, experiments: "Sequence[Experiment]") -> Iterator[Mapping[str, Any]]:
    """Return what each job's manifest says of the device and of the population that it is part of."""
    import torch

    first = 0
    for experiment in experiments:
        entries: dict[str, Any] = {"device": str(experiment.device), "threads": torch.get_num_threads()}
        if group.place is not None:
            entries["group"] = {
                "name": group.place.name,
                "jobs": len(group.jobs),
                "members": group.members,
                "first_member": first,
            }
        yield entries
        first += experiment.config.members


class _Steps:
    """Reports how far the steps have come, where a single run shows a bar."""

    def __init__(self, steps: int, report: Reporter):
        self.steps, self.report = max(1, steps), report
        self.done = 0.0

    def update(self, n: float | None = 1) -> None:
        self.done += n or 0
        self.report(self.done / self.steps)

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
        pass
