"""Reading files that anybody may have cut, filled or swapped: regular ones alone, bounded, and never waiting."""

import json
import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import Any

MEBIBYTE = 1 << 20
JSON_LIMIT = 256 * MEBIBYTE  # bytes; the result of a million members takes 200 MB
MOST_PARTS = 20_000_000  # of a JSON text, each of up to 100 bytes of memory: `[{},{},...` takes 30 times its file
# A zip file ends with this record: signature, counts, size and offset of its directory, length of a comment (0).
ZIP_END, ZIP_END_SIZE = b"PK\x05\x06", 22


class Damaged(ValueError):
    """A file that is missing or cannot be what it should be; the message names it and says why."""


def open_regular(path: Path | str) -> BufferedReader:
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


def read_named(path: Path | str, limit: int) -> bytes:
    """Return what a user named, a pipe or a device too, of at most `limit` bytes; Damaged says why it cannot be."""
    try:
        with open(path, "rb") as file:  # no more than needed, since a device may have no end
            content = file.read(limit + 1)
    except OSError as error:
        raise Damaged(error.strerror or type(error).__name__) from error
    if len(content) > limit:
        raise Damaged(f"is larger than {limit // 1024} kB")
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


def read_object(path: str) -> dict[str, Any]:
    """Return the JSON object of a file, with None for a NaN or an infinity; Damaged if it holds none."""
    return parsed(read_text(path, JSON_LIMIT), os.path.basename(path))


def parsed(text: str, name: str) -> dict[str, Any]:
    """Return the JSON object in the text of a file of this name; Damaged if it is none."""
    if sum(map(text.count, ",{[")) > MOST_PARTS:
        raise Damaged(f"{name} holds more than {MOST_PARTS} entries")
    try:
        value = json.loads(text, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{name} is cut short or no JSON") from error
    if not isinstance(value, dict):
        raise Damaged(f"{name} holds no object")
    return value


def check_archive(path: str) -> None:
    """Raise Damaged if a zip file (npz) lost its end, which is where its directory stands."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        end = os.pread(file.fileno(), ZIP_END_SIZE, max(0, size - ZIP_END_SIZE))
    if not (len(end) == ZIP_END_SIZE and end.startswith(ZIP_END)):
        raise Damaged(f"{os.path.basename(path)} is cut short")
