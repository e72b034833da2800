"""Time what a user waits for: help, a mistake, and from Enter to the first training step.

Run in the project's environment, on an otherwise idle machine: .venv/bin/python scripts/bench_cli.py [REPETITIONS]
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPU_LAB = str(Path(sys.executable).with_name("repu-lab"))
# The real command in a process of its own, ended at the moment its first training step would begin.
FIRST_STEP = """
import os
import sys
from repu_lab.cli import main
import repu_lab.runs.stepping as stepping
stepping.train_step = lambda *arguments: os._exit(0)
sys.exit(main(sys.argv[1:]))
"""
TRAIN = ["train", "activation=relu", "initialization=he", "depth=50"]
COMMANDS = {
    "repu-lab --help": [REPU_LAB, "--help"],
    "repu-lab train --help": [REPU_LAB, "train", "--help"],
    "repu-lab train dpth=5 (a mistake)": [REPU_LAB, "train", "dpth=5"],
    "repu-lab train -m depth=range(100,-1,-1) (the last of 101 jobs is wrong)": [
        REPU_LAB,
        "train",
        "-m",
        "depth=range(100,-1,-1)",
    ],
    "repu-lab train, to the first step": [sys.executable, "-c", FIRST_STEP, *TRAIN],
}


def main(repetitions: int = 7) -> None:
    print(f"medians of {repetitions} runs in turn, {os.cpu_count()} cores: wall clock (fastest to slowest), CPU time")
    wall: dict[str, list[float]] = {name: [] for name in COMMANDS}
    cpu: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(repetitions):
        for name, command in COMMANDS.items():
            with tempfile.TemporaryDirectory() as folder:
                start, before = time.perf_counter(), cpu_of_children()
                subprocess.run(command, cwd=folder, capture_output=True, check=False)
                wall[name].append(time.perf_counter() - start)
                cpu[name].append(cpu_of_children() - before)
    for name, times in wall.items():
        spread = f"({min(times):.3f} to {max(times):.3f})"
        print(f"{statistics.median(times):8.3f} s {spread:18} {statistics.median(cpu[name]):8.3f} s CPU   {name}")


def cpu_of_children() -> float:
    """Return the seconds of CPU that the processes started here have taken so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
