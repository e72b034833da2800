"""The one place that locks folders and deletes in them: never through a link, never what somebody else put there."""

import fcntl
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from repu_lab.configs.config import ConfigError

EVENTS = "events.out.tfevents.*"
CHECKPOINTS = "checkpoints"
GROUPS = ".groups"  # in a sweep's folder: what its groups of jobs share
# What is written into, or removed, where it stands; all else takes its name in one step.
IN_PLACE = re.compile(r"lock|run\.log|events\.out\.tfevents\..*|.*\.ckpt|.*\.part")
# Every name that the lab gives to a file of a run or a group.
OWN = re.compile(
    r"lock|run\.log|traceback\.txt|table\.csv|config\.yaml|statistics\.npz|weights\.pt|events\.out\.tfevents\..*|"
    r"(manifest|result|theory|group|slurm|claim)\.json|(propagation|solution|kernel|susceptibilities|phase_diagram)\.png|"
    r"step_[0-9]{10}\.ckpt(\.damaged)?|lbfgs_[0-9]{6}\.part"
)


def is_own(name: str) -> bool:
    """Whether a file is called as the lab calls one of a run or a group."""
    return OWN.fullmatch(name) is not None


def temporary_name(name: str) -> str:
    """Return what a file is called while it is written."""
    return f".{name}.{os.getpid()}"


def check_inside(path: Path, root: Path) -> None:
    """Raise ConfigError if a folder on the way from `root`, itself left out, to `path` is a link, or is none."""
    inside = path.relative_to(root).parts
    for number in range(len(inside)):
        part = root.joinpath(*inside[: number + 1])
        if part.is_symlink() or (part.exists() and not part.is_dir()):
            raise ConfigError(f"{part}: is a link or no folder, and a sweep writes into its own folders; remove it")


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of a process that was killed."""
    for path in folder.glob(".*"):
        match = re.fullmatch(r"\.(.+)\.[0-9]+", path.name)
        if match and is_own(match[1]) and (path.is_symlink() or not path.is_dir()):
            path.unlink()


def remove_group(place: Path, sweep: Path) -> None:
    """Remove what the lab has written of a group, and the folder itself unless files of others are left in it."""
    check_inside(place / CHECKPOINTS, sweep)
    for folder in (place / CHECKPOINTS, place):
        remove_leftovers(folder)
        for path in folder.glob("*"):
            if is_own(path.name) and (path.is_symlink() or not path.is_dir()):
                path.unlink()
        with suppress(OSError):  # not there, or not empty
            folder.rmdir()


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
        with _open_lock(temporary) as own:
            _hold(own, folder)
            os.replace(temporary, folder / "lock")
            yield _signed(own)


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
