"""Time `repu-lab results` on 10,000 made-up run folders, and measure its memory.

Run in the project's environment, on an otherwise idle machine: .venv/bin/python scripts/bench_results.py [RUNS MEMBERS]
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from bench_cli import REPU_LAB

COMMANDS = (["--by", "member"], ["--by", "run"], ["--by", "config"], ["--csv", "-"], ["--by", "config", "--json", "-"])
CONFIG = """\
activation:
  name: {activation}
  _target_: repu_lab.activations.RePU
  p: 2.0
depth: {depth}
width: 64
initialization:
  name: custom
  c_w: {c_w}
  c_b: null
  k1: null
dtype: float32
task:
  name: digits
  target: null
members: {members}
seed: {seed}
data_seed: 0
probe: 32
device: auto
threads: null
optimizer:
  name: adam
  lr: auto
  weight_decay: 0.0
  clip: null
  momentum: null
  beta1: 0.9
  beta2: 0.999
steps: 1000
batch_size: 128
statistics: true
"""


def main(runs: int = 10_000, members: int = 4) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for number in range(runs):
            write_run(Path(folder) / f"sweep{number // 1000}" / f"train-{number:05d}", number, members)
        print(f"{runs} runs of {members} networks; files in the system's cache after the first command")
        for arguments in COMMANDS:
            seconds, cpu, mebibytes = measured([REPU_LAB, "results", folder, *arguments])
            print(
                f"{seconds:6.2f} s  {cpu:6.2f} s CPU  {mebibytes:5.0f} MiB  repu-lab results DIR {' '.join(arguments)}",
                flush=True,
            )


def write_run(folder: Path, number: int, members: int) -> None:
    """Write the folder of a finished run as the lab does, with a statistics.npz that is small; one in 100 is cut."""
    folder.mkdir(parents=True)
    depth, seed, outcome = 2 + number % 50, members * (number // 50), ("trained", "exploded")[number % 2]
    record = {"outcome": outcome, "layer": 9, "step": 40, "loss": 0.25, "metric": 0.9, "metric_name": "accuracy"}
    record |= {"excursion_step": None, "excursion_size": None}
    result = {
        "outcomes": {outcome: members},
        "verdict": "forecast: survives | measured: as made up",
        "steps": 1000,
        "members": [record | {"seed": seed + i} for i in range(members)],
        "seconds": 1.5,
    }
    versions = {name: "1.2.3" for name in ("repu-lab", "python", "torch", "numpy", "scipy", "hydra-core")}
    manifest = {"status": "finished", "command": "train", "command_line": ["repu-lab", "train"], "versions": versions}
    config = CONFIG.format(
        activation=("repu", "mrepu")[number % 2], depth=depth, c_w=number % 4 + 1, members=members, seed=seed
    )
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    (folder / "config.yaml").write_text(config, encoding="utf-8")
    (folder / "result.json").write_text(
        json.dumps(result, indent=1)[: -20 if number % 100 == 99 else None], encoding="utf-8"
    )
    (folder / "lock").write_text("process 1 on host", encoding="utf-8")
    with zipfile.ZipFile(folder / "statistics.npz", "w") as archive:
        archive.writestr("step.npy", b"0" * 200)


def measured(command: list[str]) -> tuple[float, float, float]:
    """Return the wall and CPU time of a command, its output thrown away, and the most memory it held (MiB)."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    # ru_maxrss counts kilobytes on Linux
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
