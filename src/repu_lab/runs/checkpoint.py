"""Checkpoints: the state of a run in files that are either whole or recognised as damaged.

A file is a header line with the SHA-256 of what follows, then torch's zip of tensors and plain values, read with
weights_only=True, so that loading one runs no code. The last two are kept: while a new one is written the one before
is there, and should the newest be damaged later, so is its predecessor.
"""

import hashlib
import io
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import torch

from repu_lab.configs.files import Damaged, open_regular
from repu_lab.runs.folder import RunFolder
from repu_lab.runs.paths import CHECKPOINTS, remove_leftovers

MAGIC = b"repu-lab checkpoint 1 sha256 "
HEADER = len(MAGIC) + 64 + 1
KEPT = 2
NAME = re.compile(r"step_[0-9]{10}\.ckpt")
# What is written along the way takes at most this share of the time. The cost of the first is guessed at the rate of a
# slow disk (bytes a second).
SHARE = 0.02
SLOW_DISK = 100e6

Saved = dict[str, Any]
Restored = TypeVar("Restored")


class Checkpoints:
    """The checkpoints of one run or group, in <folder>/checkpoints/. What goes wrong is said once, through `say`."""

    def __init__(self, folder: RunFolder, every_seconds: float, say: Callable[[str], None]):
        """Write every so many seconds, or after every step for 0."""
        self.folder = folder
        self.place = folder.path / CHECKPOINTS
        self.every_seconds = every_seconds
        self.say = say
        self.seconds: float | None = None  # that the last write took
        self.spent = 0.0  # by all of them
        self._started = self._written = time.monotonic()
        self._failed = False

    def due(self, size: int) -> bool:
        """Whether it is time for one, of so many bytes: not while writing it would take more than its share of time."""
        now = time.monotonic()
        cost = size / SLOW_DISK if self.seconds is None else self.seconds
        affordable = self.spent + cost <= SHARE * (now - self._started)
        return self.every_seconds == 0 or (affordable and now - self._written >= self.every_seconds)

    def save(self, step: int, state: Saved) -> None:
        """Write the state before the update number `step`, synced and under its name in one go; keep the last two.

        A disk that is full costs a line in the log, once, and the run goes on; OSError if the run's folder is gone.
        """
        self._write(f"step_{step:010d}.ckpt", state, f"at step {step}")

    def save_part(self, name: str, state: Saved) -> None:
        """Write the state of what follows the last step, as `save` does, beside the checkpoints of the steps."""
        self._write(name, state, f"of {name}")

    def part(self, name: str, device: torch.device) -> Saved | None:
        """Return what `save_part` wrote, None if there is none or, with a line in the log, if it is damaged."""
        path = self.place / name
        if not path.exists():
            return None
        try:
            return read(path, device)
        except (Damaged, OSError) as error:
            self.say(f"warning:  {name} is passed over: {error}")
            return None

    def drop_part(self, name: str) -> None:
        """Remove what `save_part` wrote: what comes of it is written."""
        (self.place / name).unlink(missing_ok=True)

    def _write(self, name: str, state: Saved, which: str) -> None:
        start = time.monotonic()
        try:
            self.place.mkdir(exist_ok=True)
            write(self.folder, f"{CHECKPOINTS}/{name}", state)
            for old in _files(self.folder)[:-KEPT]:
                old.unlink()
        except OSError as error:
            if self.folder.lost:
                raise
            if not self._failed:
                self.say(f"warning:  no checkpoint {which}: {error.strerror or error}; the run goes on without")
            self._failed = True
        else:
            self._failed = False
        self._written = time.monotonic()
        self.seconds = self._written - start
        self.spent += self.seconds

    def newest(self, device: torch.device, restore: Callable[[Saved], Restored]) -> Restored | None:
        """Return what `restore` makes of the newest whole checkpoint, on the device; None if none is left.

        A checkpoint that is damaged, or that `restore` cannot use, is named, kept as <name>.damaged, and the one before
        it is tried.
        """
        remove_leftovers(self.place)
        files = _files(self.folder)
        for path in reversed(files):
            try:
                return restore(read(path, device))
            except (Damaged, OSError) as error:
                why = str(error)
            except (AttributeError, LookupError, TypeError, ValueError) as error:
                why = f"it holds no state that this version knows ({type(error).__name__}: {error})"
            self.say(f"warning:  checkpoint {path.name} is passed over: {why}; kept as {path.name}.damaged")
            path.replace(path.with_name(f"{path.name}.damaged"))
        if files:
            self.say("warning:  no checkpoint is left to go on from: the run starts afresh")
        elif self.folder.resumed:
            self.say("resumed:  from the start, since there is no checkpoint")
        return None


def steps_done(folder: RunFolder) -> int:
    """Return the step that the run in a folder has come to, by its newest checkpoint or its result."""
    steps = [int(path.stem.removeprefix("step_")) for path in _files(folder)]
    stored = (folder.read_json("result.json") or {}).get("steps")
    return max([0, *steps, stored if isinstance(stored, int) else 0])


def write(folder: RunFolder, name: str, state: Saved) -> None:
    """Write a state to a file of the folder, atomically."""
    with folder.writing(name) as temporary, open(temporary, "wb") as file:
        file.write(MAGIC + b"0" * 64 + b"\n")
        digest = dump(state, file)
        file.seek(len(MAGIC))
        file.write(digest.encode())
    # The rename itself is on the disk before an older checkpoint goes.
    directory = os.open(folder.path / CHECKPOINTS, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def dump(state: Saved, file: BinaryIO) -> str:
    """Write torch's zip of a state to a file and return its SHA-256; OSError if the file does not take it."""
    hashing = _Hashing(file)
    try:
        torch.save(state, cast(BinaryIO, hashing))
    except RuntimeError as error:
        # torch closes its zip whatever happened, and complains of that instead.
        raise hashing.failure or error from error
    return hashing.digest.hexdigest()


def read(path: Path, device: torch.device | str = "cpu") -> Saved:
    """Return the state in a file; Damaged if it is not a whole checkpoint. No code in it is run."""
    with open_regular(path) as file:
        header = file.read(HEADER)
        if len(header) < HEADER or not header.startswith(MAGIC):
            raise Damaged("it is empty" if not header else "it is no checkpoint, or was cut short")
        if header != MAGIC + hashlib.file_digest(file, "sha256").hexdigest().encode() + b"\n":
            raise Damaged("its checksum is wrong: it was cut short or altered")
        file.seek(HEADER)
        try:
            return torch.load(file, map_location=device, weights_only=True)
        except Exception as error:  # torch has many: a whole file that is no state was made by somebody else
            if isinstance(error, MemoryError) or "memory" in str(error):
                raise
            raise Damaged(f"its checksum is right, but it holds no state ({type(error).__name__})") from error


def _files(folder: RunFolder) -> list[Path]:
    """Return the checkpoints in their order, and nothing that only looks like one."""
    return sorted(path for path in (folder.path / CHECKPOINTS).glob("step_*.ckpt") if NAME.fullmatch(path.name))


class _Hashing(io.RawIOBase):
    """A file to write to that hashes what passes."""

    def __init__(self, file: BinaryIO):
        self.file = file
        self.digest = hashlib.sha256()
        self.failure: OSError | None = None

    def write(self, data: Any) -> int:
        self.digest.update(data)
        try:
            return self.file.write(data)
        except OSError as error:
            self.failure = error
            raise
