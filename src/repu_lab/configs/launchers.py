"""Where the jobs of a sweep run: `hydra/launcher=lab` (here, the default) and `hydra/launcher=slurm`, with settings."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class LabConf:
    """Here, in worker processes."""

    where: str = "here"
    workers: int = 1  # processes side by side
    threads: int | None = None  # CPU threads a worker; none: an equal share of the cores
    devices: list[str] = field(default_factory=list)  # CUDA devices, one a worker in turn; none: all that are visible
    max_members: int | None = None  # most networks in one population; none: what fits the memory


@dataclass
class SlurmConf:
    """On a Slurm cluster that shares this file system: each group of jobs is a task of a job array."""

    where: str = "slurm"
    partition: str | None = None
    minutes: int = 60  # time limit of a task; one that nears it is queued again and goes on from its checkpoint
    cpus: int = 1  # cores, and CPU threads, a task
    memory: str | None = None  # a task's, as Slurm writes it: 8G
    gpus: int | None = None  # a task's
    jobs_at_once: int = 256  # tasks of the array that run side by side
    setup: list[str] = field(default_factory=list)  # shell lines before the task: module load ..., source ...
    options: dict[str, Any] = field(default_factory=dict)  # other options of sbatch: {account: physics, qos: low}
    poll_seconds: float = 5.0  # between two questions to the queue
    max_members: int | None = None  # most networks in one population; none: what fits this machine's memory


LAUNCHERS: dict[str, type] = {"lab": LabConf, "slurm": SlurmConf}
