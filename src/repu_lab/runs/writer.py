"""Writing into a folder: under a temporary name, synced, then renamed, so that no file is ever half there."""

import errno
import json
import os
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from repu_lab.configs.config import ConfigError
from repu_lab.runs.lock import locked, own_copies
from repu_lab.runs.paths import EVENTS, temporary_name
from repu_lab.runs.reading import file_entry

SYNCED = 16  # files at once
SPELT = "backslashreplace"  # half of a sign, as names of files may hold


class Writer:
    """A folder that is written into, and held meanwhile if others might."""

    def __init__(self, path: Path | str):
        """Name the folder; nothing is read or written yet."""
        self.path = Path(path)
        self._lock: TextIO | None = None
        self._names: set[str] = set()  # of what was written
        self._waiting: dict[Path, Path] | None = None  # files that take their names at the end of synced_together

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder; ConfigError if it cannot be held, or leads out of itself (see `locked`)."""
        with locked(self.path) as file:
            self._lock = file
            try:
                if self.lost:
                    raise ConfigError(f"{self.path} was moved or removed by another run; type the command again")
                own_copies(self.path)
                yield
            finally:
                self._lock = None

    @property
    def lost(self) -> bool:
        """Whether the folder is gone; also if another one has taken its place since it was locked."""
        if self._lock is None:
            return not self.path.is_dir()
        try:
            return not os.path.samestat(os.stat(self.path / "lock"), os.fstat(self._lock.fileno()))
        except FileNotFoundError:
            return True

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Give a temporary path to write; afterwards it is synced to the disk and takes the name in one step.

        FileNotFoundError if the folder is gone, or is not the one any more that the run holds.
        """
        if self.lost:
            cause = "the folder was removed or replaced while the run was in it"
            raise FileNotFoundError(errno.ENOENT, cause, str(self.path))
        target = self.path / name
        temporary = target.with_name(temporary_name(target.name))
        try:
            yield temporary
            if self._waiting is None or target.parent != self.path:  # a checkpoint never waits
                _sync(temporary)
                os.replace(temporary, target)
            else:
                self._waiting[target] = temporary
            if target.parent == self.path and name != "manifest.json":
                self._names.add(name)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def write_json(self, name: str, value: Any) -> None:
        """Write strict JSON: a NaN or an infinity in it is a bug and raises ValueError."""
        self.write_text(name, json.dumps(value, indent=1, allow_nan=False) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write a text file atomically."""
        with self.writing(name) as temporary:
            temporary.write_text(text, encoding="utf-8", errors=SPELT)

    def written(self) -> dict[str, Any]:
        """Return size and SHA-256 of each file that was written here, as a manifest lists them."""
        names = sorted(self._names | {path.name for path in self.path.glob(EVENTS)})
        return {name: file_entry(self.path / name) for name in names}


@contextmanager
def synced_together(folders: Collection[Writer]) -> Iterator[None]:
    """Let what is written into several folders take its names at the end of the block, whatever happens in it.

    Syncing a small file takes a disk 3 ms, and as long for eight at once.
    """
    waiting: dict[Path, Path] = {}
    for folder in folders:
        folder._waiting = waiting
    try:
        yield
    finally:
        for folder in folders:
            folder._waiting = None
        try:
            with ThreadPoolExecutor(SYNCED) as pool:
                list(pool.map(_sync, waiting.values()))
            for target, temporary in waiting.items():
                os.replace(temporary, target)
        finally:
            for temporary in waiting.values():  # of a disk that is full
                temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
