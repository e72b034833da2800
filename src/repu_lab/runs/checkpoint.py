"""Checkpoints: the state of a run in files that are either whole or recognised as damaged.

A file is a header line with the SHA-256 of what follows, then torch's zip of tensors and plain values, read with
weights_only=True, so that loading one runs no code. The last two are kept: while a new one is written the one before
is there, and should the newest be damaged later, so is its predecessor.
"""

import hashlib
import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch

from repu_lab.runs.folder import RunFolder

MAGIC = b"repu-lab checkpoint 1 sha256 "
HEADER = len(MAGIC) + 64 + 1
KEPT = 2
PLACE = "checkpoints"
# A checkpoint is not due before this many times the seconds that the last one took, so that writing stays below 2 %.
SPACING = 50
BLOCK = 1 << 22

Saved = dict[str, Any]


class Damaged(ValueError):
    """A file that is no whole checkpoint of this run: says why."""


class Checkpoints:
    """The checkpoints of one run or group, in <folder>/checkpoints/. What goes wrong is said once, through `say`."""

    def __init__(self, folder: RunFolder, every_seconds: float, say: Callable[[str], None]):
        """Write every so many seconds, or after every step for 0."""
        self.folder = folder
        self.place = folder.path / PLACE
        self.every_seconds = every_seconds
        self.say = say
        self.seconds = 0.0  # that the last write took
        self._written = time.monotonic()
        self._failed = False

    def due(self) -> bool:
        """Whether it is time for one."""
        wait = max(self.every_seconds, SPACING * self.seconds) if self.every_seconds else 0.0
        return time.monotonic() - self._written >= wait

    def save(self, step: int, state: Saved) -> None:
        """Write the state before the update number `step`, synced and under its name in one go; keep the last two.

        A disk that is full costs a line in the log, once, and the run goes on; OSError if the run's folder is gone.
        """
        start = time.monotonic()
        try:
            self.place.mkdir(exist_ok=True)
            write(self.folder, f"{PLACE}/step_{step:010d}.ckpt", state)
            for old in self._files()[:-KEPT]:
                old.unlink()
        except OSError as error:
            if not self.folder.path.is_dir():
                raise
            if not self._failed:
                self.say(f"warning:  no checkpoint at step {step}: {error.strerror or error}; the run goes on without")
            self._failed = True
        self._written = time.monotonic()
        self.seconds = self._written - start

    def newest(self, device: torch.device, identity: Any, fits: Callable[[Saved], str | None]) -> Saved | None:
        """Return the newest whole state of this run, on the device, None if there is none.

        A file that is damaged, or of another run, is named, renamed to <name>.damaged and passed over. `fits` says why
        a whole state cannot be used now (a complaint), None if it can.
        """
        for leftover in self.place.glob(".*"):  # of a write that was killed
            leftover.unlink()
        files = self._files()
        for path in reversed(files):
            try:
                state = read(path, device)
                if state.get("identity") != identity:
                    raise Damaged("it belongs to another run")
            except (Damaged, OSError) as error:
                self.say(f"warning:  checkpoint {path.name} is passed over: {error}; kept as {path.name}.damaged")
                path.replace(path.with_name(f"{path.name}.damaged"))
                continue
            complaint = fits(state)
            if complaint is None:
                return state
            self.say(f"warning:  checkpoint {path.name} is passed over: {complaint}")
        if files:
            self.say("warning:  no checkpoint is left to go on from: the run starts afresh")
        return None

    def _files(self) -> list[Path]:
        return sorted(self.place.glob("step_*.ckpt"))


def write(folder: RunFolder, name: str, state: Saved) -> None:
    """Write a state to a file of the folder, atomically."""
    with folder.writing(name) as temporary, open(temporary, "wb") as file:
        file.write(MAGIC + b"0" * 64 + b"\n")
        hashing = _Hashing(file)
        torch.save(state, cast(BinaryIO, hashing))
        file.seek(len(MAGIC))
        file.write(hashing.digest.hexdigest().encode())
    # The rename itself is on the disk before an older checkpoint goes.
    directory = os.open(folder.path / PLACE, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read(path: Path, device: torch.device | str = "cpu") -> Saved:
    """Return the state in a file; Damaged if it is not a whole checkpoint. No code in it is run."""
    with open(path, "rb") as file:
        header = file.read(HEADER)
        if len(header) < HEADER or not header.startswith(MAGIC):
            raise Damaged("it is empty" if not header else "it is no checkpoint, or was cut short")
        digest = hashlib.sha256()
        while block := file.read(BLOCK):
            digest.update(block)
        if header != MAGIC + digest.hexdigest().encode() + b"\n":
            raise Damaged("its checksum is wrong: it was cut short or altered")
        try:
            return torch.load(cast(BinaryIO, _Payload(file)), map_location=device, weights_only=True)
        except Exception as error:  # torch has many: a whole file that is no state was made by somebody else
            raise Damaged(f"its checksum is right, but it holds no state ({type(error).__name__})") from error


class _Hashing(io.RawIOBase):
    """A file to write to that hashes what passes."""

    def __init__(self, file: BinaryIO):
        self.file = file
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return self.file.write(data)


class _Payload(io.RawIOBase):
    """A file to read from that begins after the header."""

    def __init__(self, file: BinaryIO):
        self.file = file
        self.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return cast(io.BufferedReader, self.file).readinto(buffer)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self.file.seek(offset + (HEADER if whence == os.SEEK_SET else 0), whence) - HEADER

    def tell(self) -> int:
        return self.file.tell() - HEADER
