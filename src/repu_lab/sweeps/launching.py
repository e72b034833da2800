"""Where a sweep runs: here in worker processes on slots, or on Slurm."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from repu_lab.configs.composition import Job
from repu_lab.configs.config import ConfigError
from repu_lab.sweeps.sweep import Place, run_sweep
from repu_lab.sweeps.workers import Slot

COUNTS = ("workers", "threads", "max_members")


def launch(command: str, jobs: Sequence[Job], settings: Mapping[str, Any]) -> int:
    """Run a sweep's jobs as the launcher's settings say and return the exit code."""
    if settings["where"] == "slurm":
        from repu_lab.sweeps.slurm import SlurmPool, check_slurm

        check_slurm()  # before the jobs are checked, which takes longer
        place = Place([Slot()], settings["max_members"], lambda folder: SlurmPool(folder, settings))
    else:
        place = Place(slots(settings), settings["max_members"])
    return run_sweep(command, jobs, place)


def plan(command: str, jobs: Sequence[Job], settings: Mapping[str, Any] | None) -> int:
    """Print what a run or a sweep would do, under the launcher's settings if it is the lab's; return the exit code."""
    from repu_lab.sweeps.plan import print_plan

    if settings is None:
        return print_plan(command, jobs, [Slot()], 1)
    places = [Slot(threads=settings["cpus"])] if settings["where"] == "slurm" else slots(settings)
    return print_plan(command, jobs, places, settings["max_members"])


def slots(settings: Mapping[str, Any]) -> list[Slot]:
    """Return one slot a worker: threads that share the cores out, devices in turn.

    A single worker is left to torch's own choice of threads, so that a sweep has the bits of its runs one by one.
    """
    for key in COUNTS:
        if (value := settings[key]) is not None and value < 1:
            raise ConfigError(f"hydra.launcher.{key}={value}: must be a whole number of at least 1")
    workers, devices = settings["workers"], settings["devices"]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = settings["threads"] or (max(1, cores // workers) if workers > 1 else None)
    chosen = [str(devices[number % len(devices)]) if devices else None for number in range(workers)]
    return [Slot(threads, device and device.removeprefix("cuda:")) for device in chosen]
