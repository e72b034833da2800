"""Reading files that anybody may have cut, filled or swapped: regular ones alone, bounded, and never waiting."""

import os
import stat
from pathlib import Path
from typing import BinaryIO


class Damaged(ValueError):
    """A file that is missing or cannot be what it should be; the message names it and says why."""


def open_regular(path: Path | str) -> BinaryIO:
    """Open a regular file, or what a link to one leads to, for reading; Damaged for anything else.

    A named pipe would wait for its writer for ever, a device may have no end.
    """
    name = os.path.basename(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise Damaged(f"{name} is missing") from error
    except (OSError, ValueError) as error:  # a name with NUL in it
        raise Damaged(f"{name} cannot be opened ({getattr(error, 'strerror', 'its name is none')})") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Damaged(f"{name} is no file")
    return open(descriptor, "rb")


def read_bytes(path: Path | str, limit: int) -> bytes:
    """Return the content of a file of at most `limit` bytes; Damaged for anything else."""
    name = os.path.basename(path)
    try:
        with open_regular(path) as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise Damaged(f"{name} cannot be read ({error.strerror})") from error
    if len(content) > limit:
        raise Damaged(f"{name} is larger than {limit} bytes")
    return content


def read_text(path: Path | str, limit: int) -> str:
    """Return a text file of at most `limit` bytes; Damaged for anything else."""
    return as_text(read_bytes(path, limit), os.path.basename(path))


def as_text(content: bytes, name: str) -> str:
    """Return what a file of this name holds as text; Damaged if it is none."""
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise Damaged(f"{name} is no text") from error
