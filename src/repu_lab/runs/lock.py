"""Holding a folder: one process at a time writes there, never through a link, and the system frees what is dead."""

import fcntl
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from repu_lab.configs.config import ConfigError
from repu_lab.configs.files import Damaged, open_regular
from repu_lab.runs.paths import CHECKPOINTS, IN_PLACE, is_own, temporary_name


@contextmanager
def locked(folder: Path) -> Iterator[TextIO]:
    """Hold a folder; ConfigError if nothing can be written there, or, naming the process, if another one does.

    Refused is also a folder that leads out of itself: a file behind a link would be cut, appended to or removed.
    A file with a second name (a hard link of a backup) is replaced by a copy before it is written into.
    """
    _refuse_links(folder)
    try:
        file = _open_lock(folder / "lock")
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written to ({error.strerror}); name another place") from error
    with file:
        _hold(file, folder)
        if os.fstat(file.fileno()).st_nlink < 2:
            yield _signed(file)
            return
        # The old lock stays held until the new one has its name: who opened it in between finds it replaced.
        temporary = folder / temporary_name("lock")
        with _open_lock(temporary) as copy:
            _hold(copy, folder)
            os.replace(temporary, folder / "lock")
            yield _signed(copy)


def is_held(folder: Path | str) -> bool:
    """Say whether a live process works in a run folder: it holds the lock. Damaged if the lock is no file."""
    try:
        with open_regular(os.path.join(folder, "lock")) as file:
            # A shared lock, given back at once: it can be had only while nobody works there.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except Damaged as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return False
        raise
    except OSError:  # a file system without locks
        return False
    return False


def own_copies(folder: Path) -> None:
    """Replace files of a held folder that are written into in place by copies where they have a second name."""
    for path in (Path(entry) for entry in _entries(folder) if IN_PLACE.fullmatch(entry.name)):
        if path.stat().st_nlink > 1 and path.name != "lock":
            temporary = path.with_name(temporary_name(path.name))
            shutil.copy2(path, temporary)
            os.replace(temporary, path)


def _refuse_links(folder: Path) -> None:
    for place in (folder, folder / CHECKPOINTS):
        for entry in _entries(place):
            is_folder = entry.is_dir(follow_symlinks=False)
            if entry.name == CHECKPOINTS and not is_folder:
                why = "is a link or a device" if entry.is_symlink() or not entry.is_file() else "is not a folder"
            elif is_folder and is_own(entry.name) and entry.name != "lock":  # which cannot be opened
                why = "is a folder"
            elif IN_PLACE.fullmatch(entry.name) and not is_folder and not entry.is_file(follow_symlinks=False):
                why = "is a link or a device"
            else:
                continue
            raise ConfigError(f"{entry.path}: {why}, and a run writes into its own files; remove it")


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return list(entries)


def _open_lock(path: Path) -> TextIO:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    return open(os.open(path, flags, 0o666), "r+", encoding="utf-8", errors="replace")


def _hold(file: TextIO, folder: Path) -> None:
    """Take the lock; it is given up by the system when its owner dies, however it dies."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigError(f"{folder} is in use by another run ({file.read(200).strip()})") from error


def _signed(file: TextIO) -> TextIO:
    file.truncate(0)
    file.seek(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}")
    file.flush()
    return file
