"""Where a sweep runs: here in worker processes on slots, or on Slurm."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from repu_lab.configs.composition import Job
from repu_lab.configs.config import ConfigError
from repu_lab.runs.workers import Slot


def launch(command: str, jobs: Sequence[Job], settings: Mapping[str, Any]) -> int:
    """Run a sweep's jobs as the launcher's settings say and return the exit code."""
    from repu_lab.runs.sweep import run_sweep

    return run_sweep(command, jobs, slots(settings), settings["max_members"])


def slots(settings: Mapping[str, Any]) -> list[Slot]:
    """Return one slot a worker: threads that share the cores out, devices in turn.

    A single worker is left to torch's own choice of threads, so that a sweep has the bits of its runs one by one.
    """
    workers, devices = settings["workers"], settings["devices"]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = settings["threads"] or (max(1, cores // workers) if workers > 1 else None)
    if not isinstance(workers, int) or workers < 1:
        raise ConfigError(f"hydra.launcher.workers={workers}: must be a whole number of at least 1")
    slots = []
    for number in range(workers):
        environment = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
        if devices:
            environment["CUDA_VISIBLE_DEVICES"] = str(devices[number % len(devices)]).removeprefix("cuda:")
        slots.append(Slot(number, environment))
    return slots
