"""Time a sweep of small jobs from Enter to its table, against a process for each job, and what a job costs on top.

256 jobs: 64 seeds x 4 values of c_w, depth 10, width 32, batch 32, 300 steps on digits, one thread. Every command is
the real one in an empty folder, with all folders and event files; its CPU time is that of all its processes.

Overhead a job: the sweep against one job of 256 members, which trains and measures the same number of networks; and a
sweep of steps=0, which trains none, against one such job.

Run in the project's environment, on an otherwise idle machine (Linux):
    .venv/bin/python scripts/bench_sweep.py [ROUNDS [PROCESSES]]
The time of 256 processes, one after another, is that of a few, continued.
"""

import ctypes
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from statistics import median

from bench_cli import REPU_LAB, cpu_of_children

KEYS = ("activation=tanh", "depth=10", "width=32", "batch_size=32", "threads=1", "initialization=custom")
C_WS, SEEDS = (0.5, 1.0, 1.5, 2.0), 64
JOBS = SEEDS * len(C_WS)
PR_SET_CHILD_SUBREAPER = 36

Seconds = tuple[float, float]  # wall clock, CPU time


def main(rounds: int = 3, processes: int = 4) -> None:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)  # workers outlive the command by a moment: they become ours
    commands = {
        "sweep": sweep(SEEDS, steps=300),
        "one job": one_job(JOBS, steps=300),
        "sweep of steps=0": sweep(SEEDS, steps=0),
        "one job of steps=0": one_job(1, steps=0),
        "a process": one_job(1, steps=300),
    }
    times: defaultdict[str, list[Seconds]] = defaultdict(list)
    for _ in range(rounds):
        for name, command in commands.items():
            several = [timed(command) for _ in range(processes if name == "a process" else 1)]
            times[name] += several
    typical = {name: (median(wall for wall, _ in each), median(cpu for _, cpu in each)) for name, each in times.items()}
    print(f"medians of {rounds} rounds in turn, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}: wall, CPU")
    for name, (wall, cpu) in typical.items():
        print(f"{wall:8.1f} s {cpu:8.1f} s  {name:20} {' '.join(commands[name][2:])}")
    for i, clock in enumerate(("wall", "CPU")):
        took = {name: seconds[i] for name, seconds in typical.items()}
        alone = JOBS * took["a process"]
        print(f"{clock}: {JOBS} jobs {took['sweep']:.1f} s, a process each {alone:.0f} s:", end=" ")
        print(f"{alone / took['sweep']:.1f} times as fast (goal 10)")
        trained = 1000 * (took["sweep"] - took["one job"]) / (JOBS - 1)
        empty = 1000 * (took["sweep of steps=0"] - took["one job of steps=0"]) / (JOBS - 1)
        print(f"{clock}: overhead a job {trained:.1f} ms; of steps=0 {empty:.1f} ms (goal 20)")


def sweep(seeds: int, steps: int) -> list[str]:
    values = ",".join(map(str, C_WS))
    return [REPU_LAB, "train", "-m", f"seed=range({seeds})", f"initialization.c_w={values}", f"steps={steps}", *KEYS]


def one_job(members: int, steps: int) -> list[str]:
    return [REPU_LAB, "train", "-m", f"members={members}", "initialization.c_w=1", f"steps={steps}", *KEYS]


def timed(command: list[str]) -> Seconds:
    """Return the wall clock of a command from Enter to its end and the CPU time of it and all that it started."""
    with tempfile.TemporaryDirectory() as folder:
        start, before = time.perf_counter(), cpu_of_children()
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        wall = time.perf_counter() - start
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
        while True:
            try:
                os.wait()
            except ChildProcessError:
                return wall, cpu_of_children() - before


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
