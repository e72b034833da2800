"""An activation of a user's that goes wrong, written into a working directory; what tests of sweeps share."""

import json
from pathlib import Path
from typing import Any

from repu_lab.cli import main

TINY = ("depth=2", "width=8", "steps=24", "batch_size=16", "probe=4", "statistics=false", "optimizer.lr=0.01")
FAULTY = ("activation=custom", "activation._target_=mine.Faulty")

# A fault strikes a network whose preactivations are large (a job with a large c_w), or at a given forward pass; and
# only in a worker, while the file `fault` is there and names it.
SOURCE = """
import ctypes, multiprocessing, os, signal, sys, time
import torch
from repu_lab.runs.interruption import requested_signal

def fault(name):
    driver = multiprocessing.parent_process().pid
    if name == "raise": raise RuntimeError("boom")
    if name == "exit": sys.exit(3)
    if name == "os_exit": os._exit(3)
    if name == "segfault": ctypes.string_at(0)
    if name == "kill": os.kill(os.getpid(), signal.SIGKILL)
    if name == "memory": raise MemoryError("no memory")
    if name in ("hangup", "cpu limit"):  # reach the worker too, one of them it alone
        os.kill(os.getpid(), signal.SIGHUP if name == "hangup" else signal.SIGXCPU)
    number = {
        "hangup": signal.SIGHUP, "interrupt": signal.SIGINT, "terminate": signal.SIGTERM, "kill_driver": signal.SIGKILL
    }.get(name)
    if number:
        os.kill(driver, number)
        while requested_signal() is None:  # the worker hears of it
            time.sleep(0.01)

class Faulty(torch.nn.Tanh):
    def __init__(self, size=1e3, after=None, what=None):
        super().__init__()
        self.size, self.after, self.what, self.calls = size, after, what, 0

    def forward(self, z):
        if z.dim() == 3 and z.dtype == torch.float32 and os.path.exists("fault"):
            self.calls += 1
            if self.calls == self.after or (self.after is None and z.abs().max() > self.size):
                fault(self.what or open("fault").read())
        return super().forward(z)
"""


def break_at(folder: Path, name: str) -> None:
    """Let the activation `mine.Faulty` go wrong."""
    (folder / "mine.py").write_text(SOURCE)
    (folder / "fault").write_text(name)


def sweep(*overrides: str) -> int:
    """Run a sweep of tiny networks of faulty activations in the working directory and return the exit code."""
    return main(["train", "-m", "sweep=s", *TINY, *FAULTY, *overrides])


def statuses() -> dict[str, str]:
    """Return the status of every job by its c_w and seed."""
    return {key: manifest["status"] for key, (_, manifest) in jobs().items()}


def jobs() -> dict[str, tuple[Path, dict[str, Any]]]:
    """Return folder and manifest of every job of the sweep, by c_w and seed."""
    manifests = {}
    for path in sorted(Path("outputs/sweeps/s").glob("*/manifest.json")):
        config = (path.parent / "config.yaml").read_text().split("\n")
        values = dict(line.strip().split(": ", 1) for line in config if ": " in line)
        manifests[f"{values['c_w']} {values['seed']}"] = (path.parent, json.loads(path.read_text()))
    return manifests
