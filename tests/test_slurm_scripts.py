"""scripts/slurm_up starts a Slurm of one node on loopback, whose jobs can be requeued; scripts/slurm_down stops it."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

SCRIPTS = Path(__file__).parent.parent / "scripts"
DAEMONS = ("munged", "slurmctld", "slurmd")
MISSING = [name for name in (*DAEMONS, "sinfo", "sbatch") if shutil.which(name) is None]
needs_slurm = pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} not here: scripts/slurm_up --install")


def script(name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPTS / name, *arguments], env=environment, capture_output=True, text=True, timeout=90, check=False
    )


def pids(state: Path) -> dict[str, int]:
    return {name: int((state / f"{name}.pid").read_text()) for name in DAEMONS if (state / f"{name}.pid").exists()}


def runs(pid: int) -> bool:
    """Whether a process is there that has not ended; a container's first process may not reap those that have."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """Return the environment of a Slurm of the test's own, in a folder whose path is short enough for a socket."""
    state = tempfile.mkdtemp(prefix="slurm-")
    made = {"SLURM_STATE": state, "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
    yield made
    script("slurm_down", **made)
    shutil.rmtree(state)


@pytest.fixture
def slurm(environment: dict[str, str]) -> Callable[..., str]:
    """Start the Slurm and return a function that runs one of its commands."""
    started = script("slurm_up", **environment)
    assert started.returncode == 0, started.stderr
    environment["SLURM_CONF"] = started.stdout.strip().removeprefix("export SLURM_CONF=")

    def run(*command: str) -> str:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=True)
        return done.stdout

    return run


def until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait for Slurm to come to something; it tells nobody."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)


@needs_slurm
def test_up_and_down_twice(environment, slurm):
    state = Path(environment["SLURM_STATE"])
    assert slurm("sinfo", "--noheader", "--format=%T").strip() == "idle"
    before = pids(state)
    assert set(before) == set(DAEMONS)
    again = script("slurm_up", **environment)
    assert again.returncode == 0 and "up already" in again.stderr and pids(state) == before
    listening = [c for pid in before.values() for c in psutil.Process(pid).net_connections() if c.status == "LISTEN"]
    assert len(listening) == 2 and {c.laddr.ip for c in listening} == {"127.0.0.1"}

    slurm("sbatch", "--output=/dev/null", "--wrap=sleep 300")
    down = script("slurm_down", **environment)
    assert down.returncode == 0 and down.stderr.count("stopped") == 3
    assert not any(map(runs, before.values())) and not pids(state)
    again = script("slurm_down", **environment)
    assert (again.returncode, again.stderr) == (0, "")


@needs_slurm
def test_a_daemon_that_died_is_started_again(environment, slurm):
    old = pids(Path(environment["SLURM_STATE"]))
    psutil.Process(old["slurmctld"]).kill()
    until(lambda: not runs(old["slurmctld"]), "slurmctld is gone")
    assert script("slurm_up", **environment).returncode == 0
    assert slurm("sinfo", "--noheader", "--format=%T").strip() == "idle"


@needs_slurm
def test_a_requeued_task_of_an_array_starts_again_and_one_command_tells_the_state_of_all(tmp_path, slurm):
    """Task 0 raises, 1 is cancelled, 2 is requeued; no accounting is needed to see it."""
    job = tmp_path / "job.sh"
    job.write_text(
        f'#!/bin/bash\necho started >> {tmp_path}/$SLURM_ARRAY_TASK_ID.log\n[ "$SLURM_ARRAY_TASK_ID" != 0 ] || exit 3\n'
        '[ -n "${SLURM_RESTART_COUNT:-}" ] || srun sleep 300\n'
    )
    number = slurm("sbatch", "--parsable", "--array=0-2", "--requeue", f"--output={tmp_path}/%a.out", str(job)).strip()

    def states() -> dict[str, str]:
        lines = slurm("squeue", "--noheader", "--array", "--states=all", f"--jobs={number}", "--format=%K %T")
        return dict(line.split() for line in lines.splitlines())

    until(lambda: states()["1"] == "RUNNING" and (tmp_path / "1.log").exists(), "task 1 runs")
    slurm("scancel", f"{number}_1")
    until(lambda: states()["2"] == "RUNNING" and (tmp_path / "2.log").exists(), "task 2 runs")
    slurm("scontrol", "requeue", f"{number}_2")
    until(lambda: states() == {"0": "FAILED", "1": "CANCELLED", "2": "COMPLETED"}, f"three ends, not {states()}")
    assert [(tmp_path / f"{i}.log").read_text().count("started") for i in range(3)] == [1, 1, 2]


def test_what_is_wrong_is_one_line(environment, tmp_path):
    unknown = script("slurm_up", "--instal", **environment)
    assert (unknown.returncode, unknown.stderr.count("\n")) == (1, 1) and "usage: scripts/slurm_up" in unknown.stderr
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "dirname", "realpath", "hostname"):
        (tools / name).symlink_to(str(shutil.which(name)))
    missing = script("slurm_up", **environment | {"PATH": str(tools)})
    assert (missing.returncode, missing.stderr.count("\n")) == (1, 1)
    assert "munged is not installed; scripts/slurm_up --install does it" in missing.stderr


@needs_slurm
def test_a_path_too_long_for_a_socket_is_refused(environment, tmp_path):
    long = script("slurm_up", **environment | {"SLURM_STATE": str(tmp_path / ("x" * 90))})
    assert long.returncode == 1 and "90 characters at most" in long.stderr


def test_down_without_slurm_is_harmless(environment):
    done = script("slurm_down", **environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
