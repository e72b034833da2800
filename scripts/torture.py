"""Kill runs with SIGKILL at random moments, resume each to its end, and compare every bit with an uninterrupted run.

Then torture_folders.py (damage, swapped files, odd groups) and torture_streams.py (signals, streams, locales, places);
each of the three can be had alone, and the counts of all stand together at the end.

Each run is a process forked from this one, which has imported what they need; several kinds of them in turn. A run is
killed once or more often. After its end weights, result (times aside), statistics and events must be those of the run
that nobody killed, and nothing else may be left behind.

    scripts/torture.py [--kills 100] [--folders 300] [--streams 60] [--seed 0] [--by time|calls] [--folder DIR]

--by time: real command lines, killed by another process after a random time, which hits writes and computations
halfway. --by calls: the command's function alone, with an empty picture at the end, killed by itself before a random
one of the lab's own calls: the same on every machine, and quicker. Exit code 1 if a bit differs, or a part finds
anything.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: what is forked must have one thread

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]

from repu_lab import cli, figures
from repu_lab.configs.command import job_command
from repu_lab.configs.composition import Job, compose_jobs
from repu_lab.runs import training  # noqa: F401
from repu_lab.runs.job import run_job
from repu_lab.sweeps import launching  # noqa: F401
from repu_lab.tracking.events import EVENTS_NAME

TINY = ("members=4", "width=8", "steps=24", "batch_size=16", "probe=4", "checkpoint.every_seconds=0")
KINDS = {
    "adam": ("activation=tanh", "depth=3"),
    "sgd with momentum, float64": (
        "activation=gelu", "depth=2", "optimizer=sgd", "optimizer.momentum=0.9", "optimizer.lr=0.05", "dtype=float64",
    ),
    "three of four diverge": ("activation=repu", "depth=2", "initialization=he", "optimizer=sgd", "optimizer.lr=1"),
    "two of four explode at once": ("activation=repu", "depth=8", "seed=4"),
    "ends early": ("activation=relu", "depth=2", "optimizer=sgd", "optimizer.lr=1e30", "seed=3"),
    "residual, Gauss-Newton at the end": (
        "activation=tanh", "depth=2", "residual=true", "task=polynomial", "task.newton_steps=120",
    ),
    "AdamW, bfloat16": (
        "activation=gelu", "depth=2", "optimizer=adamw", "optimizer.weight_decay=0.1", "optimizer.clip=0.5",
        "dtype=bfloat16",
    ),
    "Burgers, Gauss-Newton at the end": (
        "activation=tanh", "depth=2", "members=2", "task=burgers", "task.collocation=64", "task.newton_steps=2",
    ),
    "parameters of its own": ("activation=custom", "activation._target_=torture_activation.Swish", "depth=2"),
}  # fmt: skip
SWISH = """
import torch

class Swish(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.beta = torch.nn.Parameter(torch.tensor(1.0))

    def forward(self, z):
        return z * torch.sigmoid(self.beta * z)
"""
TIMES = ("seconds", "steps_per_second", "statistics_share")
SESSION = ("_hparams_/session_start_info", "_hparams_/session_end_info")  # hold the time of day
LAST = "24"  # the number of the last checkpoint of a run that does not end early
CRASHED = 70
BESIDE = {"folders": "torture_folders.py", "streams": "torture_streams.py"}
AGAIN = 0.3  # chance that a resumed run is killed as well


def differences(one: Path, other: Path) -> list[str]:
    """Return the names of what is not the same, bit for bit, in the folders of two finished runs."""
    return [name for name, read in PARTS.items() if read(one) != read(other)]


def weights(folder: Path) -> bytes:
    """Return the bytes of the final weights."""
    return torch.load(folder / "weights.pt", weights_only=True)["theta"].view(torch.uint8).numpy().tobytes()


def result(folder: Path) -> dict[str, Any]:
    """Return the result without its times."""
    stored = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return {key: value for key, value in stored.items() if key not in TIMES}


def statistics(folder: Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Return dtype, shape and bytes of every array."""
    with np.load(folder / "statistics.npz") as table:
        return {name: (str(table[name].dtype), table[name].shape, table[name].tobytes()) for name in table}


def events(folder: Path) -> list[tuple[str, int, bytes]]:
    """Return (tag, step, value) of everything in the event file, in its order."""
    written = []
    for raw in RawEventFileLoader(str(folder / EVENTS_NAME)).Load():
        event = Event.FromString(raw)
        for value in event.summary.value:
            written.append((value.tag, event.step, b"" if value.tag in SESSION else value.SerializeToString()))
    return written


PARTS: dict[str, Callable[[Path], Any]] = {
    "weights": weights, "result": result, "statistics": statistics, "events": events,
}  # fmt: skip


class Life:
    """One process that runs a command in a folder of its own."""

    def __init__(self, place: Path, folder: Path, settings: Sequence[str], by: str, calls: int = 0):
        """Start it; by calls it kills itself at that number of them, and else tells in the end how many there were."""
        self.counter = place / "calls"
        overrides = [*TINY, *settings, f"hydra.run.dir={folder.name}"]
        (job,) = compose_jobs("train", overrides)
        self.process = os.fork()
        if self.process:
            return
        code = CRASHED
        try:
            os.chdir(place)
            output = os.open(f"{folder.name}.output", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(output, 1)
            os.dup2(output, 2)
            code = cli.main(["train", *overrides]) if by == "time" else self._counted(calls, job)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)

    def _counted(self, calls: int, job: Job) -> int:
        number = 0

        def count(frame: Any, event: str, argument: Any) -> None:
            nonlocal number
            number += event in ("call", "c_call") and frame.f_globals["__name__"].startswith("repu_lab")
            if number == calls:
                os.kill(os.getpid(), signal.SIGKILL)

        figures.signal_propagation = lambda *_, **__: Figure()
        sys.setprofile(count)
        code = run_job(job_command("train"), job.config, job.folder)
        sys.setprofile(None)
        self.counter.write_text(str(number), encoding="utf-8")
        return code

    def kill_after(self, seconds: float) -> None:
        """Kill it, unless it ends before."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if os.waitid(os.P_PID, self.process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                return
            time.sleep(0.001)
        os.kill(self.process, signal.SIGKILL)

    def wait(self) -> int:
        """Return its exit code, or minus the signal that ended it."""
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])


class Torture:
    """Runs of one kind: what they should end with, and how long they take."""

    def __init__(self, place: Path, kind: str, by: str):
        """Run it once without a kill."""
        self.place, self.kind, self.by = place, kind, by
        self.reference = place / file_name(kind)
        start = time.monotonic()
        life = self.life(self.reference)
        if life.wait():
            raise RuntimeError(f"{kind}: {output_of(self.reference)}")
        self.seconds = time.monotonic() - start
        self.calls = int(life.counter.read_text(encoding="utf-8")) if by == "calls" else 0

    def life(self, folder: Path, calls: int = 0) -> Life:
        """Start a process that runs in this folder."""
        return Life(self.place, folder, KINDS[self.kind], self.by, calls)

    def killed(self, folder: Path, draw: random.Random) -> bool:
        """Start a run, or go on with it, and kill it; whether it died before it ended."""
        if self.by == "calls":
            life = self.life(folder, draw.randint(1, self.calls))
        else:
            life = self.life(folder)
            life.kill_after(draw.uniform(0, self.seconds))
        return life.wait() == -signal.SIGKILL

    def complaints(self, folder: Path) -> list[str]:
        """Go on to the end; return what is not as in the run that nobody killed."""
        if code := self.life(folder).wait():
            return [f"exit code {code}", output_of(folder)]
        problems = differences(self.reference, folder)
        names = {path.name for path in folder.iterdir()} ^ {path.name for path in self.reference.iterdir()}
        problems += [f"files {names}"] if names else []
        kept = [path.name for path in (folder / "checkpoints").iterdir()]
        problems += [] if len(kept) <= 2 and all(name.endswith(".ckpt") for name in kept) else [f"checkpoints {kept}"]
        log = (folder / "run.log").read_text(encoding="utf-8")
        return problems + (["a warning in run.log"] if "warning" in log else [])


def file_name(kind: str) -> str:
    """Return the name of the folder of a kind's reference run."""
    return kind.replace(" ", "_").replace(",", "")


def output_of(folder: Path) -> str:
    """Return the end of what the processes of a folder printed."""
    return folder.with_name(f"{folder.name}.output").read_text(encoding="utf-8")[-2000:]


def reached(folder: Path) -> str:
    """Say in which part of its life a run was killed."""
    if not (folder / "manifest.json").exists():
        return "before its manifest"
    steps = sorted((folder / "checkpoints").glob("*.ckpt"))
    if not steps:
        return "before its first checkpoint"
    return "after its last step" if steps[-1].stem.endswith(LAST) else "while it trained"


def torture(place: Path, kills: int, draw: random.Random, by: str) -> tuple[int, str]:
    """Kill so many times; return the exit code and what came of it in a line."""
    (place / "torture_activation.py").write_text(SWISH, encoding="utf-8")
    sys.path.insert(0, str(place))
    torch.optim.LBFGS([torch.zeros(1, requires_grad=True)])  # imports a second's worth that no run shall wait for
    kinds = [Torture(place, kind, by) for kind in KINDS]
    where: Counter[str] = Counter()
    runs = equal = 0
    while where.total() < kills:
        kind = kinds[runs % len(kinds)]
        folder = place / f"run_{runs:04d}"
        before = where.total()
        while where.total() < kills and (where.total() == before or draw.random() < AGAIN):
            if kind.killed(folder, draw):
                where[reached(folder)] += 1
        problems = kind.complaints(folder)
        runs += 1
        equal += not problems
        if problems:
            print(f"{folder.name}, {kind.kind}: differs in {', '.join(problems)}", flush=True)
        print(f"{where.total()} kills, {equal} of {runs} runs bit-equal", end="\r", file=sys.stderr, flush=True)
        if not problems:
            shutil.rmtree(folder)
    counts = ", ".join(f"{count} {name}" for name, count in where.most_common())
    ended = f"{equal} of {runs} runs, of {len(kinds)} kinds, ended bit-equal to the run that nobody killed"
    return 0 if equal == runs else 1, f"{where.total()} kills: {counts}; {ended}"


def beside(script: str, cases: int, seed: int) -> tuple[int, str]:
    """Run another script of torture; print what it finds, and return its exit code and its last line, the counts."""
    line = [sys.executable, Path(__file__).with_name(script), "--cases", str(cases), "--seed", str(seed)]
    done = subprocess.run(line, stdout=subprocess.PIPE, encoding="utf-8", errors="replace", check=False)
    *problems, counts = done.stdout.splitlines() or ["it said nothing"]
    print("\n".join(problems), end="\n" * bool(problems), flush=True)
    return done.returncode, counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--folders", type=int, default=300, help="cases of torture_folders.py; 0: none")
    parser.add_argument("--streams", type=int, default=60, help="cases of torture_streams.py; 0: none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--by", choices=("time", "calls"), default="time")
    parser.add_argument("--folder", type=Path, help="where runs that differ are kept; left out: a temporary folder")
    chosen = parser.parse_args()
    ended: dict[str, tuple[int, str]] = {}
    if chosen.kills:
        with tempfile.TemporaryDirectory() as temporary:
            place = chosen.folder or Path(temporary)
            ended["kills"] = torture(place, chosen.kills, random.Random(chosen.seed), chosen.by)
    for part, script in BESIDE.items():
        if cases := getattr(chosen, part):
            ended[part] = beside(script, cases, chosen.seed)
    for part, (code, counts) in ended.items():
        print(f"{part}: {'held' if code == 0 else 'FAILED'}; {counts}")
    return 1 if any(code for code, _ in ended.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
