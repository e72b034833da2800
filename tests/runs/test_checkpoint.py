"""A checkpoint is whole, or it is recognised as damaged, set aside and named; nothing in one is ever run."""

import errno
import hashlib
import io
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from repu_lab.runs import checkpoint
from repu_lab.runs.checkpoint import MAGIC, SHARE, SLOW_DISK, Checkpoints, Damaged, read, steps_done
from repu_lab.runs.folder import RunFolder
from repu_lab.runs.paths import CHECKPOINTS
from surviving import damages

CPU = torch.device("cpu")


def state(step: int) -> dict[str, Any]:
    return {"step": step, "theta": torch.arange(300.0) + step, "tables": [{"steps": [0, 1]}], "events": [None]}


class Place:
    """A folder with checkpoints, and what they said."""

    def __init__(self, path: Path, every_seconds: float = 0.0):
        self.said: list[str] = []
        self.path = path / CHECKPOINTS
        self.checkpoints = Checkpoints(RunFolder(path), every_seconds, self.said.append)

    def save(self, *steps: int) -> "Place":
        for step in steps:
            self.checkpoints.save(step, state(step))
        return self

    def newest(self, restore: Callable[[Any], Any] = lambda saved: saved["step"]) -> Any:
        return self.checkpoints.newest(CPU, restore)

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.path.iterdir())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def name(step: int) -> str:
    return f"step_{step:010d}.ckpt"


def forged(payload: bytes) -> bytes:
    """A file with the right magic and checksum."""
    return MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload


def zipped(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def test_what_is_read_is_what_was_written(place):
    place.save(3)
    saved = read(place.path / name(3))
    assert saved.keys() == state(3).keys() and torch.equal(saved["theta"], state(3)["theta"])
    assert (saved["step"], saved["tables"], saved["events"]) == (3, [{"steps": [0, 1]}], [None])


def test_the_last_two_are_kept_and_what_a_kill_left_is_removed(place):
    place.save(1, 2, 3, 10)
    (place.path / f".{name(11)}.4711").write_bytes(b"half")
    for other in (".hidden", "step_12.ckpt", "step_ten.ckpt"):  # somebody's own
        (place.path / other).write_bytes(b"")
    assert place.newest() == 10 and steps_done(RunFolder(place.path.parent)) == 10
    assert place.save(11).names == [".hidden", name(10), name(11), "step_12.ckpt", "step_ten.ckpt"]
    assert place.said == []


def test_a_power_cut_finds_the_last_two_on_the_disk(place, monkeypatch):
    """The content is there before it takes its name, and the name is there before an older checkpoint goes."""
    place.save(1, 2)
    done: list[tuple[str, int | str]] = []
    replace, unlink = os.replace, Path.unlink

    def renamed(source, target):
        done.append(("renamed", os.stat(source).st_ino))
        replace(source, target)

    def removed(path):
        done.append(("removed", path.name))
        unlink(path)

    monkeypatch.setattr(os, "fsync", lambda descriptor: done.append(("synced", os.fstat(descriptor).st_ino)))
    monkeypatch.setattr(os, "replace", renamed)
    monkeypatch.setattr(Path, "unlink", removed)
    place.save(3)
    file, folder = (place.path / name(3)).stat().st_ino, place.path.stat().st_ino
    assert done == [("synced", file), ("renamed", file), ("synced", folder), ("removed", name(1))]


def test_each_of_50_damages_is_detected(place):
    place.save(1)
    file = place.path / name(1)
    for damaged in damages(file.read_bytes(), 50):
        file.write_bytes(damaged)
        with pytest.raises(Damaged):
            read(file)


OTHER_CONTENT = {
    "empty": b"",
    "a text": b"step 3, loss 0.7",
    "torch's file without a header": zipped(state(9)),
    "a list": forged(zipped([1, 2, 3])),
    "a number": forged(zipped(7)),
    "another mapping": forged(zipped({"weights": torch.zeros(3)})),
    "no zip": forged(b"PK\x03\x04 and nothing behind it"),
    "nothing behind the header": forged(b""),
    "a pickle": forged(pickle.dumps({"step": 9})),
}


@pytest.mark.parametrize("content", OTHER_CONTENT.values(), ids=OTHER_CONTENT)
def test_a_file_of_other_content_is_named_and_set_aside_and_the_one_before_is_used(place, content):
    place.save(1, 2)
    (place.path / name(2)).write_bytes(content)
    assert place.newest() == 1
    assert place.names == [name(1), f"{name(2)}.damaged"]
    (line,) = place.said
    assert name(2) in line and "passed over" in line and line.isprintable()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_named_and_nobody_waits_for_it(place, make):
    place.save(1)
    make(place.path / name(2))
    assert place.newest() == 1 and f"{name(2)} is no file" in place.said[0]
    assert place.names == [name(1), f"{name(2)}.damaged"]


def test_with_none_left_it_says_so(place):
    place.save(1, 2)
    for step in (1, 2):
        (place.path / name(step)).write_bytes(b"")
    assert place.newest() is None
    assert [name(2) in place.said[0], name(1) in place.said[1], "starts afresh" in place.said[2]] == [True] * 3


class Malicious:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_no_code_in_a_checkpoint_is_run(place, tmp_path):
    trap = tmp_path / "executed"
    place.save(1, 2, 3)
    (place.path / name(2)).write_bytes(forged(zipped({"step": Malicious(trap)})))
    (place.path / name(3)).write_bytes(forged(pickle.dumps(Malicious(trap))))
    assert place.newest() is None and not trap.exists()
    assert place.names == [f"{name(2)}.damaged", f"{name(3)}.damaged"]
    pickle.loads(pickle.dumps(Malicious(trap)))
    assert trap.exists()  # so the trap would have shown it


def test_what_cannot_be_restored_is_set_aside_but_not_for_want_of_memory(place):
    place.save(1, 2)

    def picky(saved):
        if saved["step"] == 2:
            raise Damaged("it belongs to another run")
        return saved["step"]

    assert place.newest(picky) == 1
    assert "it belongs to another run" in place.said[0] and place.names == [name(1), f"{name(2)}.damaged"]

    def full(saved):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    with pytest.raises(RuntimeError):
        place.newest(full)
    assert place.names == [name(1), f"{name(2)}.damaged"]


@pytest.mark.parametrize(("seconds", "size"), [(0.01, 10**5), (2.0, 10**8), (50.0, 5 * 10**9)])
def test_writing_takes_at_most_2_percent_of_the_time(monkeypatch, tmp_path, seconds, size):
    """On a clock of its own: a day of writes of so many seconds each, as guessed from their size or twice that."""
    now = 0.0
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now)

    def write(*_: Any) -> None:
        nonlocal now
        now += seconds
        times.append(now)

    monkeypatch.setattr(checkpoint, "write", write)
    times: list[float] = []
    checkpoints = Checkpoints(RunFolder(tmp_path), 60.0, print)
    while now < 86_400:
        now += 0.5
        if checkpoints.due(size):
            checkpoints.save(0, {})
            assert len(times) * seconds <= SHARE * now + (seconds - size / SLOW_DISK)
    wait = max(60.0, seconds / SHARE)
    assert len(times) * seconds <= 0.0205 * now
    assert len(times) == pytest.approx(86_400 / wait, rel=0.05)


def test_every_step_is_due_for_0_seconds(place):
    place.checkpoints.seconds = 100.0
    assert place.checkpoints.due(10**12)


def test_a_full_disk_is_told_once_and_loses_nothing(place, monkeypatch):
    """torch complains of its zip's end instead of the disk: it is the disk that must be named."""
    place.save(1, 2)
    original = checkpoint._Hashing.write

    def full(self, data):
        if self.file.tell() > 1000:
            self.failure = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise self.failure
        return original(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint._Hashing, "write", full)
        place.save(3, 4, 5)
    assert place.said == ["warning:  no checkpoint at step 3: No space left on device; the run goes on without"]
    assert place.names == [name(1), name(2)] and place.newest() == 2
    place.save(6)
    assert place.newest() == 6 and len(place.said) == 1


def test_a_folder_that_is_gone_ends_the_run(place, tmp_path):
    place.save(1)
    shutil.rmtree(tmp_path)
    with pytest.raises(FileNotFoundError):
        place.save(2)
    assert not tmp_path.exists()
