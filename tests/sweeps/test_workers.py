"""Sweeps in which something goes wrong: jobs that raise, exit, crash or are killed, signals, a driver that dies."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from faulty import FAULTY, TINY, break_at, jobs, statuses, sweep
from repu_lab.configs.config import ConfigError
from repu_lab.sweeps.workers import Pool, Slot

REPU_LAB = str(Path(sys.executable).with_name("repu-lab"))
# Job "1e8 0" is the one with large preactivations; all are one group.
GROUP = ("initialization=custom", "initialization.c_w=1,1e8", "seed=0,1")
ONE_BAD = ("initialization=custom", "initialization.c_w=1,2,1e8", "seed=0")
MESSAGES = {
    "raise": "RuntimeError: boom",
    "exit": "SystemExit: 3",
    "os_exit": "the process ended with code 3",
    "segfault": "the process was ended by SIGSEGV",
    "kill": "the process was ended by SIGKILL",
    "memory": "MemoryError: no memory",
}


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("fault", MESSAGES)
def test_a_job_that_goes_wrong_leaves_the_others_of_its_group(fault, empty_folder, capsys):
    break_at(empty_folder, fault)
    assert sweep(*ONE_BAD) == 1
    out = capsys.readouterr().out
    assert statuses() == {"1.0 0": "finished", "2.0 0": "finished", "100000000.0 0": "failed"}
    folder, manifest = jobs()["100000000.0 0"]
    assert MESSAGES[fault] in (folder / "traceback.txt").read_text()
    assert "1 job failed" in out and f"failed: {MESSAGES[fault]}" in out and str(folder / "traceback.txt") in out
    others = [jobs()[key][1] for key in ("1.0 0", "2.0 0")]
    assert len({m["process"] for m in [manifest, *others]}) == 3  # each was tried again in a process of its own
    assert all("group" not in m for m in others)
    # Typed again after the cause is mended: what is finished is left as it is.
    finished = [path / "result.json" for path, manifest in jobs().values() if manifest["status"] == "finished"]
    before = [path.stat().st_mtime_ns for path in finished]
    (empty_folder / "fault").unlink()
    assert sweep(*ONE_BAD) == 0
    assert set(statuses().values()) == {"finished"} and not (folder / "traceback.txt").exists()
    assert [path.stat().st_mtime_ns for path in finished] == before


def test_a_job_that_crashes_while_it_is_checked_fails_alone(empty_folder):
    break_at(empty_folder, "segfault")
    source = (empty_folder / "mine.py").read_text()
    always = source.replace("z.dim() == 3 and z.dtype == torch.float32 and", "self.what and")
    (empty_folder / "mine.py").write_text(always)
    assert sweep("+activation.what=null,segfault", "+activation.after=1", *ONE_BAD[:1], "initialization.c_w=1") == 1
    states = [json.loads(path.read_text())["status"] for path in empty_folder.rglob("manifest.json")]
    assert sorted(states) == ["failed", "finished"]


def test_three_that_fail_alike_stop_the_sweep(empty_folder, capsys):
    break_at(empty_folder, "raise")
    assert sweep("+activation.size=0", "initialization=he", "seed=range(6)") == 1
    out, err = capsys.readouterr()
    assert err == "stopped, since the first 3 jobs failed alike: RuntimeError: boom\n"
    assert "failed: RuntimeError: boom (in " in out and "6 jobs in" in out
    assert "finished" not in [json.loads(path.read_text())["status"] for path in empty_folder.rglob("manifest.json")]


def test_on_failure_stop_stops_at_the_first(empty_folder, capsys):
    break_at(empty_folder, "raise")
    assert sweep("+activation.size=0,1e3", "initialization=he", "on_failure=stop") == 1
    assert "on_failure=stop" in capsys.readouterr().err
    assert len(list(empty_folder.rglob("manifest.json"))) == 1


@pytest.mark.parametrize(("fault", "code"), [("interrupt", 130), ("terminate", 143), ("hangup", 129)])
def test_after_a_signal_the_same_command_goes_on_to_the_same_bits(fault, code, empty_folder, capsys):
    break_at(empty_folder, fault)
    variants = ("initialization=custom", "initialization.c_w=1,2", "seed=0,1", "+activation.after=60")
    assert sweep(*variants) == code
    assert "the same command goes on" in capsys.readouterr().out
    assert set(statuses().values()) == {"interrupted"} and len(statuses()) == 4
    (empty_folder / "fault").unlink()
    assert sweep(*variants) == 0
    assert all("resumed" in manifest for _, manifest in jobs().values())
    _same_as_unbroken(empty_folder, variants)


def test_a_worker_at_the_limit_of_its_cpu_time_saves_and_ends(empty_folder, capsys):
    break_at(empty_folder, "cpu limit")
    variants = ("initialization=he", "seed=0,1", "+activation.after=60")
    assert sweep(*variants) == 1
    assert "2 jobs interrupted" in capsys.readouterr().out
    assert list(empty_folder.glob("outputs/sweeps/s/.groups/*/checkpoints/*.ckpt"))
    (empty_folder / "fault").unlink()
    assert sweep(*variants) == 0


def test_a_temporary_folder_with_a_long_name_is_no_hindrance(empty_folder):
    """A socket's path has at most 107 bytes."""
    long = empty_folder / ("x" * 132)
    long.mkdir()
    command = [REPU_LAB, "propagate", "-m", "sweep=s", "depth=1", "width=4", "members=1", "probe=4", "seed=0,1"]
    done = subprocess.run(command, env=os.environ | {"TMPDIR": str(long)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "2 jobs in" in done.stdout, done.stderr
    assert list(long.iterdir()) == []


def test_no_temporary_folder_is_a_mistake(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/dev/null")
    with pytest.raises(ConfigError, match="TMPDIR"):
        Pool([Slot()])


def test_workers_outlive_a_killed_driver_until_they_have_saved(empty_folder):
    break_at(empty_folder, "kill_driver")
    variants = ("initialization=custom", "initialization.c_w=1,2", "seed=0,1", "+activation.after=60")
    done = subprocess.run(
        [REPU_LAB, "train", "-m", "sweep=s", *TINY, *FAULTY, *variants], capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    for folder, _ in jobs().values():
        with open(folder / "lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the worker has let go of it
    assert set(statuses().values()) == {"interrupted"} and len(statuses()) == 4
    (empty_folder / "fault").unlink()
    assert sweep(*variants) == 0
    _same_as_unbroken(empty_folder, variants)


def _same_as_unbroken(empty_folder: Path, variants: tuple[str, ...]) -> None:
    broken = jobs()
    (empty_folder / "outputs").rename("broken")
    assert sweep(*variants) == 0
    for key, (folder, manifest) in jobs().items():
        other = Path("broken", *folder.parts[1:])
        assert manifest["group"] == broken[key][1]["group"]
        theta, resumed = (torch.load(path / "weights.pt", weights_only=True)["theta"] for path in (folder, other))
        assert torch.equal(theta, resumed)
        with np.load(folder / "statistics.npz") as table, np.load(other / "statistics.npz") as resumed_table:
            for name in table:
                assert np.array_equal(table[name], resumed_table[name], equal_nan=name != "axes")
        results = [json.loads((path / "result.json").read_text()) for path in (folder, other)]
        assert results[0]["members"] == results[1]["members"]


def test_require_is_3_and_a_failure_1(empty_folder):
    break_at(empty_folder, "raise")
    assert sweep("initialization=he", "seed=0,1", "require=exploded") == 3
    assert sweep("+activation.size=0,1e3", "initialization=he", "require=exploded", "sweep=t") == 1


def test_interrupted_before_anything_has_begun_leaves_nothing(empty_folder):
    code = (
        "import os, signal, sys; from repu_lab.cli import main; import repu_lab.sweeps.sweep as s\n"
        "s.plan_groups = lambda *_: os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.exit(main(['train', '-m', 'seed=0,1']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (143, "") and "Traceback" not in done.stderr
    assert not (empty_folder / "outputs").exists()


def test_a_sweep_whose_reader_goes_away_ends_quietly_and_whole(empty_folder):
    command = f"{REPU_LAB} train -m seed=0,1 initialization=he {' '.join(TINY)} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout == "0\n" and done.stderr == ""
    manifests = [json.loads(path.read_text()) for path in empty_folder.glob("outputs/sweeps/*/*/manifest.json")]
    assert [manifest["status"] for manifest in manifests] == ["finished", "finished"]
