"""Files that a user names on the command line: tables, pages."""

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

from repu_lab.configs.config import ConfigError
from repu_lab.configs.text import printable
from repu_lab.runs.paths import is_own, temporary_name
from repu_lab.runs.reading import Contents

OF_A_RUN = ("manifest.json", "lock", "group.json", "claim.json")  # one of them lies beside every file of the lab's


def check_output(option: str, path: Path) -> None:
    """Raise ConfigError, in one line that names the option, if a text cannot be written there."""
    try:
        target, status = _resolved(path)
    except OSError as error:
        raise ConfigError(f"{option} {printable(str(path))}: cannot be written ({error.strerror})") from error
    why = None
    if status is not None and stat.S_ISDIR(status.st_mode):
        why = "is a folder; name a file"
    elif not target.parent.is_dir():
        missing = target.parent if path.is_symlink() else path.parent
        why = f"there is no folder {missing}; name a file in one that is there"
    elif _is_of_a_run(target):
        why = "is a file of a run, which would be damaged; name another one"
    elif status is not None and stat.S_ISREG(status.st_mode) and not os.access(target, os.W_OK):
        why = "is write-protected; name another file"
    if why is not None:
        raise ConfigError(f"{option} {printable(str(path))}: {printable(why)}")


def write_output(option: str, path: Path, text: str | bytes) -> None:
    """Write bytes, or a text as UTF-8, into what a user named; ConfigError, as above, if it cannot be.

    Links are followed. A regular file, or nothing, is replaced in one step; a device or a pipe is written into.
    """
    check_output(option, path)
    # The name of a folder may hold half of a sign.
    content = text if isinstance(text, bytes) else text.encode("utf-8", "backslashreplace")
    try:
        target, status = _resolved(path)
        if status is None or (stat.S_ISREG(status.st_mode) and _stream(status) is None):
            _replace(target, content, status)
            return
        sys.stdout.flush()
        with open(_stream(status) or path, "wb", closefd=_stream(status) is None) as file:
            file.write(content)
    except OSError as error:
        raise ConfigError(f"{option} {printable(str(path))}: cannot be written ({error.strerror})") from error


def _resolved(path: Path) -> tuple[Path, os.stat_result | None]:
    """Return what a path leads to, and what is known of it; None if it is not there."""
    try:
        return Path(os.path.realpath(path)), os.stat(path)
    except FileNotFoundError:
        return Path(os.path.realpath(path)), None


def _replace(target: Path, content: bytes, before: os.stat_result | None) -> None:
    temporary = target.with_name(temporary_name("repu-lab"))  # a name of 250 letters leaves no room for more
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if before is not None:
            temporary.chmod(stat.S_IMODE(before.st_mode))
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _stream(status: os.stat_result) -> int | None:
    """Return which of this process's own streams a file is (/dev/stdout): what was printed must not be replaced."""
    for number in (1, 2):
        with suppress(OSError):  # closed
            if os.path.samestat(os.fstat(number), status):
                return number
    return None


def _is_of_a_run(target: Path) -> bool:
    folder = target.parent.parent if target.parent.name == "checkpoints" else target.parent
    if not any((folder / name).exists() for name in OF_A_RUN):
        return False
    picture = (folder / "claim.json").exists() and target.suffix in (".svg", ".pdf", ".png")
    return picture or is_own(target.name) or target.name in Contents(folder).files
