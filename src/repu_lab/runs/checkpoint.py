"""Checkpoints: the state of a run in a file that is either whole or recognised as damaged.

A file is a header line with the SHA-256 of what follows, then torch's zip of tensors and plain values, read with
weights_only=True, so that loading one runs no code. The last two are kept.
"""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch

from repu_lab.runs.folder import RunFolder

MAGIC = b"repu-lab checkpoint 1 sha256 "
HEADER = len(MAGIC) + 64 + 1
KEPT = 2
PLACE = "checkpoints"


def save(folder: RunFolder, step: int, state: dict[str, Any]) -> None:
    """Write the state after `step` updates, synced and under its name in one step; keep the last two."""
    (folder.path / PLACE).mkdir(exist_ok=True)
    with folder.writing(f"{PLACE}/{_name(step)}") as temporary, open(temporary, "wb") as file:
        file.write(MAGIC + b"0" * 64 + b"\n")
        hashing = _Hashing(file)
        torch.save(state, cast(BinaryIO, hashing))
        file.seek(len(MAGIC))
        file.write(hashing.digest.hexdigest().encode())
    for old in _files(folder.path)[:-KEPT]:
        old.unlink()


def load(
    folder: RunFolder, device: torch.device, config_hash: str, warn: Callable[[str], None]
) -> dict[str, Any] | None:
    """Return the newest whole state of this run, on the device, None if there is none.

    A damaged or foreign file is named to `warn`, renamed to <name>.damaged and passed over.
    """
    for path in reversed(_files(folder.path)):
        try:
            state = read(path, device)
            if state.get("config_hash") != config_hash:
                raise ValueError("it belongs to another run")
        except (OSError, ValueError) as error:
            warn(f"checkpoint {path.name} is passed over: {error}; kept as {path.name}.damaged")
            path.rename(path.with_name(f"{path.name}.damaged"))
            continue
        return state
    return None


def read(path: Path, device: torch.device) -> dict[str, Any]:
    """Return the state in a file; ValueError if it is not a whole checkpoint."""
    data = path.read_bytes()
    if len(data) <= HEADER or not data.startswith(MAGIC):
        raise ValueError(f"{len(data)} bytes that are no checkpoint" if data else "it is empty")
    digest, payload = data[len(MAGIC) : HEADER - 1].decode("ascii", "replace"), memoryview(data)[HEADER:]
    if hashlib.sha256(payload).hexdigest() != digest:
        raise ValueError("its checksum is wrong: it was cut short or altered")
    return torch.load(io.BytesIO(payload), map_location=device, weights_only=True)


class _Hashing(io.RawIOBase):
    """A file to write to that hashes what passes."""

    def __init__(self, file: BinaryIO):
        self.file = file
        self.digest = hashlib.sha256()

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return self.file.write(data)


def _name(step: int) -> str:
    return f"step_{step:010d}.ckpt"


def _files(folder: Path) -> list[Path]:
    return sorted((folder / PLACE).glob("step_*.ckpt"))
