"""A sweep on a real Slurm of one node: a job that raises, one that is cancelled, one that is requeued.

The node runs on loopback, started by scripts/slurm_up; where Slurm is not installed the test is skipped and says so.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from repu_lab.cli import main
from repu_lab.configs.composition import compose_jobs
from repu_lab.configs.config import config_hash
from repu_lab.sweeps.group import Group, run_group
from repu_lab.sweeps.slurm import SlurmPool

ROOT = Path(__file__).parents[2]
PROGRAMS = ("munged", "slurmctld", "slurmd", "sinfo")
PATIENCE = 240  # seconds that a step of the sweep may take on a busy machine
# Cases 2 and 3 take long enough to be saved, then wait for a signal, or for the file that holds them to be removed.
CASES = """
import time
from pathlib import Path

import torch
from torch import nn

from repu_lab.runs.interruption import requested_signal


class Case(nn.Module):
    def __init__(self, number):
        super().__init__()
        self.number, self.passes, self.hold = number, 0, Path(f"hold{number}")

    def forward(self, z):
        if z.requires_grad and z.dim() == 3 and z.shape[1] == 16:  # a training step
            if self.number == 1:
                raise RuntimeError("case 1 raises")
            if self.hold.exists():
                self.passes += 1
                time.sleep(0.01)
                while self.passes > 100 and self.hold.exists() and requested_signal() is None:
                    time.sleep(0.01)
        return torch.tanh(z)
"""
RECORD = Path("outputs/sweeps/cluster/.groups/slurm.json")
RAISES, REQUEUED, CANCELLED = 1, 2, 3
SWEEP = [
    "train", "-m", "activation=custom", "activation._target_=cases.Case", "+activation.number=range(8)",
    "initialization=lecun", "optimizer.lr=1e-3", "depth=2", "width=8", "batch_size=16", "steps=300", "probe=4",
    "statistics=false", "checkpoint.every_seconds=0.2",
]  # fmt: skip
ON_SLURM = ["hydra/launcher=slurm", "hydra.launcher.poll_seconds=0.5", "sweep=cluster"]
COMMAND = [Path(sys.executable).with_name("repu-lab"), *SWEEP, *ON_SLURM]


@pytest.fixture(scope="module")
def slurm() -> Iterator[None]:
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        pytest.skip(f"Slurm is not installed here ({', '.join(missing)}); scripts/slurm_up --install does it")
    with tempfile.TemporaryDirectory(prefix="slurm") as state:  # short: a socket's path has at most 107 characters
        environment = os.environ | {"SLURM_STATE": state}
        up = subprocess.run([ROOT / "scripts/slurm_up"], env=environment, stdout=subprocess.PIPE, text=True, check=True)
        before = os.environ.get("SLURM_CONF")
        os.environ["SLURM_CONF"] = up.stdout.strip().partition("=")[2]
        try:
            yield
        finally:
            subprocess.run([ROOT / "scripts/slurm_down"], env=environment, check=True)
            os.environ.pop("SLURM_CONF")
            if before is not None:
                os.environ["SLURM_CONF"] = before


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "cases.py").write_text(CASES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def drive() -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Give a function that starts a driver of the sweep; one that a failing test leaves behind is killed."""
    drivers: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        drivers.append(subprocess.Popen(COMMAND))
        return drivers[-1]

    yield start
    for driver in drivers:
        driver.kill()
        driver.wait()


def wait_until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"in {PATIENCE} s: {what}"
        time.sleep(0.1)


def job_folder(case: int, sweep: str = "cluster") -> Path:
    for file in Path("outputs/sweeps", sweep).glob("*/config.yaml"):
        if f"number: {case}\n" in file.read_text():
            return file.parent
    return Path("not there yet")


def started(case: int) -> bool:
    return any((job_folder(case) / "checkpoints").glob("*.ckpt"))


def job_id(case: int) -> str:
    record = json.loads(RECORD.read_text())
    return record[manifest(case)["config_hash"]]


def manifest(case: int) -> dict[str, Any]:
    return json.loads((job_folder(case) / "manifest.json").read_text())


def status(case: int) -> str:
    return manifest(case)["status"]


@pytest.mark.usefixtures("slurm")
def test_eight_jobs_survive_what_a_cluster_does_to_them(
    folder: Path, drive: Callable[[], subprocess.Popen[bytes]], capfd: pytest.CaptureFixture[str]
) -> None:
    holds = {case: Path(f"hold{case}") for case in (REQUEUED, CANCELLED)}
    for hold in holds.values():
        hold.touch()
    first = drive()
    wait_until(lambda: started(REQUEUED), "the job to be requeued has a checkpoint")
    first.kill()  # the driver; its jobs go on
    first.wait()
    process = Path("/proc", str(manifest(REQUEUED)["process"]))
    subprocess.run(["scontrol", "requeue", job_id(REQUEUED)], check=True)
    wait_until(lambda: not process.exists(), "the requeued job's process is gone")
    holds[REQUEUED].unlink()
    before = RECORD.stat().st_mtime_ns
    second = drive()
    wait_until(lambda: RECORD.stat().st_mtime_ns > before, "the second driver watches the jobs")
    wait_until(lambda: started(CANCELLED), "the job to be cancelled has a checkpoint")
    subprocess.run(["scancel", job_id(CANCELLED)], check=True)
    assert second.wait(PATIENCE) == 1
    holds[CANCELLED].unlink()

    assert status(RAISES) == "failed" and "case 1 raises" in (job_folder(RAISES) / "traceback.txt").read_text()
    assert status(CANCELLED) == "interrupted"
    assert len(manifest(REQUEUED)["resumed"]) == 1
    assert [case for case in range(8) if status(case) != "finished"] == [RAISES, CANCELLED]

    finished = {case: (job_folder(case) / "result.json").stat().st_mtime_ns for case in (0, 2, 4, 5, 6, 7)}
    assert subprocess.run(COMMAND, check=False, timeout=PATIENCE).returncode == 1  # the rest: one still raises
    assert status(CANCELLED) == "finished" and status(RAISES) == "failed"
    assert finished == {case: (job_folder(case) / "result.json").stat().st_mtime_ns for case in finished}

    assert main([*SWEEP, "sweep=here", "hydra.launcher.threads=1"]) == 1
    for case in (0, 2, 3, 4, 5, 6, 7):
        here, cluster = (torch.load(job_folder(case, sweep) / "weights.pt") for sweep in ("here", "cluster"))
        assert torch.equal(here["theta"], cluster["theta"]), f"case {case}"
    capfd.readouterr()


def test_without_a_slurm_to_be_reached_it_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    programs = folder / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    for name, body in (("sbatch", ""), ("scontrol", "echo 'Slurmctld(primary) at node is DOWN'")):
        assert main([*SWEEP, *ON_SLURM]) == 2
        (programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (programs / name).chmod(0o755)
    assert main([*SWEEP, *ON_SLURM]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and not Path("outputs").exists()
    assert "has no sbatch" in lines[0] and "scontrol cannot be run" in lines[1] and "DOWN" in lines[2]


def test_without_submitit_the_line_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert main([*SWEEP, *ON_SLURM]) == 2
    assert "pip install 'repu-lab[slurm]'" in capsys.readouterr().err


SQUEUE = """#!/bin/sh
echo '7_0|RUNNING|simulation of | somebody'
echo "8_0|RUNNING|$(cat name)"
echo '9_0|RUNNING|repu-lab'
"""


def test_a_record_that_names_other_jobs_of_the_user_lets_none_be_watched_or_cancelled(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, body in (("squeue", SQUEUE), ("scancel", '#!/bin/sh\necho "$@" >> cancelled\n')):
        (folder / name).write_text(body)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    place = folder / "sweep/.groups"
    place.mkdir(parents=True)
    settings = {"poll_seconds": 0}
    (folder / "name").write_text(SlurmPool(place, settings).job_name)
    jobs = compose_jobs("train", ["depth=1,2,3", "hydra.sweep.dir=sweep"], multirun=True)
    groups = [Group(command="train", jobs=(job,)) for job in jobs]
    names = [config_hash("train", job.config) for job in jobs]
    (place / "slurm.json").write_text(json.dumps(dict(zip(names, ("7_0", "8_0", "9_0"), strict=True))))
    pool = SlurmPool(place, settings)
    for group in groups:
        pool.submit(run_group, group)
    assert pool.running == {"8_0": groups[1]} and [group for _, group in pool.waiting] == [groups[0], groups[2]]
    for _ in range(2):  # the driver asks until nothing runs any more
        pool.interrupt()
    assert (folder / "cancelled").read_text() == "8_0\n"
    (folder / "other/.groups").mkdir(parents=True)
    assert SlurmPool(folder / "other/.groups", settings).job_name != pool.job_name
