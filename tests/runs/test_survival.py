"""Signals, kills, damage, full disks and folders that vanish: what was finished stays, what was not goes on."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from repu_lab.catalogue.scanning import read_run
from repu_lab.runs import folder as run_folder
from repu_lab.runs import forecasting, interruption, lock, stepping, training
from repu_lab.runs.checkpoint import Damaged, read
from repu_lab.runs.folder import RunFolder
from repu_lab.runs.interruption import Interrupted, deferred, requested_signal, terminable
from repu_lab.runs.paths import CHECKPOINTS
from repu_lab.tracking.events import EVENTS_NAME
from surviving import ADAM, TORTURE, damages, manifest, same, signals_at, steps_kept, torture, train, typed

REPU_LAB = str(Path(sys.executable).with_name("repu-lab"))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder's name, in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    return Path("run")


def command(folder: Path, *overrides: str) -> list[str]:
    return [*torture.TINY, *ADAM, *overrides, f"hydra.run.dir={folder}"]


# --- kills


def test_20_kills_harmed_folders_and_streams_and_everything_holds():
    """scripts/torture.py in its short form; the long one kills by the clock, 100 times."""
    short = ["--kills", "20", "--by", "calls", "--folders", "8", "--streams", "4"]
    done = subprocess.run([sys.executable, str(TORTURE), *short], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    kills, folders, streams = done.stdout.splitlines()
    assert kills.startswith("kills: held; 20 kills: ") and "while it trained" in kills
    assert folders.startswith("folders: held; 8 cases: ") and "; 0 as they must not end; " in folders
    assert streams.startswith("streams: held; 4 of 4 cases held: ")


def test_a_part_of_torture_that_finds_something_is_told_and_decides_the_exit_code(monkeypatch, capfd):
    monkeypatch.setattr(torture, "BESIDE", {"folders": "no_such_script.py"})
    monkeypatch.setattr(sys, "argv", ["torture.py", "--kills", "0"])
    assert torture.main() == 1
    assert capfd.readouterr().out == "folders: FAILED; it said nothing\n"


# --- signals

TALKATIVE = """
import os
import signal
from pathlib import Path
import torch

class Talkative(torch.nn.Module):
    signals = os.environ.get("SIGNALS", "").split()

    def forward(self, z):
        if self.signals and len(list(Path("run/checkpoints").glob("*"))) == 2:
            for number in self.signals:
                os.kill(os.getpid(), int(number))
            self.signals.clear()
        return torch.tanh(z)
"""


@pytest.mark.parametrize(
    ("signals", "code", "kept"),
    [([signal.SIGTERM], 143, [1, 2]), ([signal.SIGINT], 130, [1, 2]), ([signal.SIGINT] * 2, 130, [0, 1])],
    ids=["SIGTERM", "SIGINT", "two SIGINT"],
)
def test_a_real_command_ends_after_the_step_and_at_once_after_a_second_ctrl_c(signals, code, kept, run):
    """The activation sends the signals amid the second step, when checkpoints 0 and 1 are there."""
    Path("talkative.py").write_text(TALKATIVE)
    own = ("activation=custom", "activation._target_=talkative.Talkative")
    environment = os.environ | {"SIGNALS": " ".join(str(int(number)) for number in signals)}

    def hear_ctrl_c() -> None:  # which a shell's background job does not
        signal.signal(signal.SIGINT, signal.default_int_handler)

    done = subprocess.run(
        [REPU_LAB, "train", *command(run, *own)],
        env=environment,
        preexec_fn=hear_ctrl_c,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert done.stdout.endswith(f"interrupted; the same command goes on with the run in {run}\n")
    assert done.stderr == "repu-lab: interrupted\n" and manifest(run)["status"] == "interrupted"
    assert steps_kept(run) == kept
    assert train(run, *ADAM, *own) == train(Path("unbroken"), *ADAM, *own) == 0
    assert same(Path("unbroken"), run)


@pytest.mark.parametrize("where", ["announce", "judge"])
def test_a_signal_at_the_start_or_at_the_end_leaves_a_run_that_goes_on(where, run, unbroken, monkeypatch, capsys):
    module = {"announce": forecasting, "judge": training}[where]
    original = getattr(module, where)

    def interrupted(*arguments, **named):
        signal.raise_signal(signal.SIGTERM)
        return original(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(module, where, interrupted)
        assert typed(*command(run)) == 143
    assert capsys.readouterr().err == "repu-lab: interrupted\n"
    assert manifest(run)["status"] == "interrupted" and not (run / "result.json").exists()
    assert train(run, *ADAM) == 0
    assert same(unbroken("adam"), run)


def test_a_signal_during_the_last_observation_is_heard(run, monkeypatch, unbroken):
    original = training.observe

    def observe(*arguments):
        if arguments[0].step == 24:
            signal.raise_signal(signal.SIGINT)
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(training, "observe", observe)
        assert typed(*command(run)) == 130
    assert manifest(run)["status"] == "interrupted" and steps_kept(run) == [23, 24]
    assert train(run, *ADAM) == 0
    assert same(unbroken("adam"), run)


def test_a_signal_whose_exception_is_swallowed_still_ends_the_run(run, monkeypatch):
    """As numpy's import does in C: it makes an ImportError of whatever comes."""
    original = forecasting.announce

    def swallows(*arguments):
        try:
            signal.raise_signal(signal.SIGTERM)
        except BaseException as error:
            raise ImportError("numpy.core.multiarray failed to import") from error

    def forgets(*arguments):
        try:
            signal.raise_signal(signal.SIGTERM)
        except BaseException:
            return original(*arguments)

    for announce, steps in ((swallows, []), (forgets, [0])):
        monkeypatch.setattr(forecasting, "announce", announce)
        assert typed(*command(run)) == 143
        assert manifest(run)["status"] == "interrupted" and not (run / "traceback.txt").exists()
        assert steps_kept(run) == steps  # in the end the loop looks


@pytest.mark.parametrize("number", interruption.SIGNALS)
def test_every_signal_that_asks_for_an_end_is_heard_after_the_step(number, run, monkeypatch):
    with monkeypatch.context() as patch:
        signals_at(patch, 2, number=number)
        assert typed(*command(run)) == 128 + number
    assert manifest(run)["status"] == "interrupted" and steps_kept(run)[-1] == 3


def test_a_hangup_that_follows_does_not_cut_short_what_sigterm_has_started():
    done = []
    with pytest.raises(Interrupted) as interrupted, terminable():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGHUP)
            done.append("saved")
    assert done and interrupted.value.code == 143


def test_a_signal_after_the_step_that_one_was_kept_for_does_not_cut_short_the_ending():
    """A worker saves what SIGTERM asked for; then its parent is gone and asks again, while folders are written."""
    with terminable():
        with deferred():
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert requested_signal() == signal.SIGTERM


def test_a_run_that_is_interrupted_as_its_manifest_is_written_says_so(run, monkeypatch):
    write = RunFolder.write_json

    def interrupted(self, name, content):
        write(self, name, content)
        if name == "manifest.json" and content["status"] == "running":
            raise Interrupted(signal.SIGTERM)

    monkeypatch.setattr(RunFolder, "write_json", interrupted)
    with pytest.raises(Interrupted):
        train(run, *ADAM)
    assert manifest(run)["status"] == "interrupted"


def test_signals_that_were_ignored_stay_ignored_and_handlers_are_put_back():
    before = [signal.getsignal(number) for number in interruption.SIGNALS]
    with pytest.raises(Interrupted) as interrupted, terminable():
        with deferred() as request:
            signal.raise_signal(signal.SIGTERM)
            assert request.number == requested_signal() == signal.SIGTERM
            signal.raise_signal(signal.SIGTERM)  # a second one of these changes nothing
        signal.raise_signal(signal.SIGINT)  # a second Ctrl-C is heard at once
    assert interrupted.value.code == 130
    assert [signal.getsignal(number) for number in interruption.SIGNALS] == before and requested_signal() is None
    kept = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with terminable(), deferred() as request:
            signal.raise_signal(signal.SIGINT)
        assert request.number is None and signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, kept)


# --- damage


def interrupted_at(monkeypatch: pytest.MonkeyPatch, folder: Path, step: int) -> None:
    with monkeypatch.context() as patch:
        signals_at(patch, step)
        with pytest.raises(Interrupted):
            train(folder, *ADAM)


def flip(path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


@pytest.mark.parametrize("both", [False, True])
def test_a_damaged_checkpoint_is_named_and_kept_and_the_run_ends_right(both, run, unbroken, monkeypatch, capsys):
    interrupted_at(monkeypatch, run, 10)
    draw = random.Random(1)
    for step in (10, 11)[not both :]:
        flip(run / CHECKPOINTS / f"step_{step:010d}.ckpt", draw)
    assert train(run, *ADAM) == 0
    assert same(unbroken("adam"), run)
    out = capsys.readouterr().out
    warnings = [line for line in out.splitlines() if "checkpoint" in line]
    assert "step_0000000011.ckpt is passed over: its checksum is wrong" in warnings[0]
    assert warnings[-1].endswith("the run starts afresh" if both else "from the checkpoint at step 10")
    assert sorted(path.name for path in (run / CHECKPOINTS).glob("*.damaged")) == [
        f"step_{step:010d}.ckpt.damaged" for step in (10, 11)[not both :]
    ]


def test_both_checkpoints_of_a_run_damaged_at_50_places_are_never_read(run, monkeypatch):
    interrupted_at(monkeypatch, run, 10)
    for step in (10, 11):
        file = run / CHECKPOINTS / f"step_{step:010d}.ckpt"
        assert read(file)["step"] == step
        for damaged in damages(file.read_bytes(), 50):
            file.write_bytes(damaged)
            with pytest.raises(Damaged):
                read(file)


@pytest.mark.parametrize(("kept", "end"), [(-1, "from the checkpoint at step 8"), (100, "starts afresh")])
def test_a_truncated_event_file_costs_the_checkpoints_after_it(kept, end, run, unbroken, monkeypatch, capsys):
    interrupted_at(monkeypatch, run, 8)
    os.truncate(run / EVENTS_NAME, kept % (run / EVENTS_NAME).stat().st_size)
    assert train(run, *ADAM) == 0
    assert same(unbroken("adam"), run)
    out = capsys.readouterr().out
    assert f"{EVENTS_NAME} has lost what was written before it" in out and end in out


@pytest.mark.parametrize("name", ["result.json", "statistics.npz", "weights.pt"])
def test_a_damaged_file_of_a_finished_run_is_made_again_from_the_last_checkpoint(name, run, unbroken, capsys):
    assert train(run, *ADAM) == 0
    whole = (run / name).read_bytes()
    draw = random.Random(2)
    for damage in (lambda: flip(run / name, draw), lambda: os.truncate(run / name, 20), (run / name).unlink):
        damage()
        capsys.readouterr()
        assert train(run, *ADAM) == 0
        assert same(unbroken("adam"), run) and (name == "result.json" or (run / name).read_bytes() == whole)
        out = capsys.readouterr().out
        assert f"not as it was written: {name}; made again" in out and "from the checkpoint at step 24" in out
        assert train(run, *ADAM) == 0
        assert capsys.readouterr().out.startswith("stored result of ")


def test_a_truncated_event_file_of_a_finished_run_is_told_and_left(run, capsys):
    assert train(run, *ADAM) == 0
    os.truncate(run / EVENTS_NAME, 1000)
    capsys.readouterr()
    assert train(run, *ADAM) == 0
    out = capsys.readouterr().out
    assert "stored result of " in out and f"not as it was written: {EVENTS_NAME}; rerun=true" in out
    stored = read_run(str(run), Path())
    assert stored.state == "damaged" and EVENTS_NAME in stored.note and len(stored.members) == 4


def test_without_a_checkpoint_a_whole_result_is_given_and_the_damage_told(run, capsys):
    assert train(run, *ADAM) == 0
    shutil.rmtree(run / CHECKPOINTS)
    os.truncate(run / "statistics.npz", 1000)
    result = (run / "result.json").read_bytes()
    capsys.readouterr()
    assert train(run, *ADAM) == 0
    out = capsys.readouterr().out
    assert "stored result of " in out and "not as it was written: statistics.npz; rerun=true" in out
    assert (run / "result.json").read_bytes() == result


# --- disks and folders


def test_a_real_disk_that_is_full_ends_the_run_and_with_room_it_goes_on(run, unbroken):
    """In a mount namespace of its own: 200 kB are enough for two checkpoints and part of the events."""
    script = f"""
        mount -t tmpfs -o size=200k tmpfs disk || exit 77
        "$@"; echo "ended with $?"; ls disk/run/checkpoints
        mount -o remount,size=64m disk
        "$@"; echo "ended with $?"
        cp -r disk/run {run}
    """
    Path("disk").mkdir()
    own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    arguments = ["unshare", "--mount", *own, "sh", "-c", script, "sh", REPU_LAB, "train", *command(Path("disk/run"))]
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare (Linux) to mount a small disk with")
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    first, second, third = done.stdout.split("ended with ")
    assert first.count("No space left on device; the run goes on without") == 1
    assert "failed: OSError: [Errno 28] No space left on device" in first and "Traceback" not in done.stdout
    assert second.splitlines()[0] == "1" and second.count(".ckpt") == 2
    assert "resumed:  from the checkpoint at step" in second and third == "0\n"
    assert typed(*command(run)) == 0  # draws the stored result: it is whole
    on_a_full_disk, on_a_free_one = (
        {name: read(folder) for name, read in torture.PARTS.items()} for folder in (run, unbroken("adam"))
    )
    assert on_a_full_disk == on_a_free_one


@pytest.mark.parametrize("name", ["statistics.npz", "weights.pt", "result.json", "manifest.json"])
def test_a_disk_that_is_full_at_the_end_loses_no_checkpoint(name, run, unbroken, monkeypatch, capsys):
    original = os.replace

    def full(source, target):
        if Path(target).name == name and steps_kept(run)[-1:] == [24]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(run_folder.os, "replace", full)
        assert train(run, *ADAM) == 1
    assert "No space left on device" in capsys.readouterr().out
    assert not list(run.glob(".*")) and manifest(run)["status"] != "finished"
    assert train(run, *ADAM) == 0
    assert same(unbroken("adam"), run)


@pytest.mark.parametrize("replaced", [False, True])
def test_a_folder_that_is_removed_while_it_trains_ends_the_run(replaced, run, monkeypatch, capsys):
    """Another run may be in its place by then: nothing of it is touched."""
    original, other = stepping.train_step, {"manifest.json": "{}", "lock": "", "run.log": "mine\n"}

    def step(*arguments):
        if steps_kept(run)[-1:] == [5]:
            shutil.rmtree(run)
            if replaced:
                run.mkdir()
                for name, text in other.items():
                    (run / name).write_text(text)
        return original(*arguments)

    monkeypatch.setattr(stepping, "train_step", step)
    assert train(run, *ADAM) == 1
    out = capsys.readouterr().out
    assert out.count("failed: FileNotFoundError") == 1 and "traceback.txt" not in out
    left = {path.name: path.read_text() for path in run.iterdir() if path.is_file()} if run.exists() else {}
    assert left == (other if replaced else {})


def test_a_folder_that_takes_nothing_is_refused_but_a_finished_run_in_it_answers(run, monkeypatch, capsys):
    (run / "lock").mkdir(parents=True)  # cannot be opened, even by root
    assert typed(*command(run)) == 2
    assert f"{run}: cannot be written to" in capsys.readouterr().err
    (run / "lock").rmdir()
    assert train(run, *ADAM) == 0
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert typed(*command(run)) == 0
    assert "stored result of" in capsys.readouterr().out
    assert typed(*command(run, "seed=7")) == 2


def test_a_folder_that_was_moved_while_its_lock_was_awaited_is_not_written_to(run, monkeypatch):
    run.mkdir()
    original = lock.fcntl.flock

    def flock(*arguments):
        run.rename("run.1")
        run.mkdir()
        original(*arguments)

    monkeypatch.setattr(lock.fcntl, "flock", flock)
    with pytest.raises(run_folder.ConfigError, match="moved or removed by another run"), RunFolder(run).lock():
        pytest.fail("held a folder that is another one")
    assert list(run.iterdir()) == []


def test_a_file_that_differs_is_found_by_its_checksum(run):
    assert train(run, *ADAM) == 0
    stored = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps(stored | {"steps": 25}))
    assert RunFolder(run).damaged() == ["result.json"]
    os.mkfifo(run / "pipe")
    (run / "manifest.json").write_text(json.dumps(manifest(run) | {"files": {"pipe": {}, "nothing": None}}))
    assert RunFolder(run).damaged() == ["pipe"]  # and nobody waited for the pipe
