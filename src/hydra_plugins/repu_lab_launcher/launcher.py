"""The lab's launchers for Hydra: `hydra/launcher=lab` (here, the default) and `hydra/launcher=slurm`.

What they do stands in repu_lab.sweeps.sweep; `repu-lab ... -m` goes there directly with the jobs it has composed and
checked. These classes are for Hydra's other sweepers (optuna, ...), which ask a launcher for a batch of jobs at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

TARGET = "hydra_plugins.repu_lab_launcher.launcher.LabLauncher"


@dataclass
class LabConf:
    """Here, in worker processes."""

    _target_: str = TARGET
    where: str = "here"
    workers: int = 1  # processes side by side
    threads: int | None = None  # CPU threads a worker; none: an equal share of the cores
    devices: list[str] = field(default_factory=list)  # CUDA devices, one a worker in turn; none: all that are visible
    max_members: int | None = None  # most networks in one population; none: what fits the memory


@dataclass
class SlurmConf:
    """On a Slurm cluster that shares this file system: each group of jobs is a task of a job array."""

    _target_: str = TARGET
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


for name, node in (("lab", LabConf), ("slurm", SlurmConf)):
    ConfigStore.instance().store(group="hydra/launcher", name=name, node=node, provider="repu-lab")


class LabLauncher(Launcher):
    """Runs batches of jobs as `repu-lab -m` does."""

    def __init__(self, **settings: Any):
        """Take the launcher's node of the config."""
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra hands every launcher."""
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run one batch and return each job's status; its value, which a sweeper may optimize, is the median metric."""
        from repu_lab.configs.composition import compose_jobs
        from repu_lab.configs.config import folder_name
        from repu_lab.sweeps.job_table import median_metric, stored_result
        from repu_lab.sweeps.launching import launch

        command, sweep = str(self.config.hydra.job.name), Path(str(self.config.hydra.sweep.dir))
        alone = [compose_jobs(command, overrides)[0] for overrides in job_overrides]
        jobs = [replace(job, folder=sweep / folder_name(command, job.config), sweep=sweep) for job in alone]
        launch(command, jobs, self.settings)
        returns = []
        for job in jobs:
            result = stored_result(command, job)
            returns.append(JobReturn(overrides=job.overrides, working_dir=str(job.folder)))
            returns[-1].status = JobStatus.FAILED if result is None else JobStatus.COMPLETED
            returns[-1].return_value = (
                RuntimeError(f"see {job.folder}/traceback.txt") if result is None else median_metric(result)
            )
        return returns
