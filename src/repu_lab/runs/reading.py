"""The one reader of a run's folder, which anybody may have cut, filled or swapped.

Bounded, never waiting, and checked: the manifest of a finished run holds size and SHA-256 of every file that was
written, and what is not as it was written is Damaged, whoever asks.
"""

import hashlib
import os
from collections.abc import Iterator
from functools import cached_property
from io import BufferedReader
from pathlib import Path
from typing import Any

from repu_lab.configs.files import JSON_LIMIT, MEBIBYTE, Damaged, as_text, open_regular, parsed, read_bytes, read_object
from repu_lab.configs.untrusted import LARGEST, plain

# Larger files are compared by their size, until they are loaded: a stored result comes at once; the same where 10,000
# runs are shown.
CHECKED = 64 * MEBIBYTE
SMALL = MEBIBYTE // 16


class Contents:
    """What a run's folder holds, by its manifest."""

    def __init__(self, folder: Path | str):
        """Name the folder; its manifest is read when it is first asked for."""
        self.folder = os.fspath(folder)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What manifest.json says; Damaged if it is missing or cannot be read."""
        return read_object(os.path.join(self.folder, "manifest.json"))

    @cached_property
    def files(self) -> dict[str, dict[str, Any]]:
        """Size and SHA-256 of each file of a finished run, {} where the manifest lists none."""
        try:
            files = self.manifest.get("files")
        except Damaged:
            return {}
        entries = files.items() if isinstance(files, dict) else ()
        return {name: entry for name, entry in entries if isinstance(entry, dict)}

    def content(self, name: str, limit: int) -> bytes:
        """Return what a file holds, of at most `limit` bytes; Damaged if it is not as it was written."""
        content = read_bytes(os.path.join(self.folder, name), limit)
        if (entry := self.files.get(name)) is not None:
            digest = hashlib.sha256(content).hexdigest() if entry.get("sha256") else None
            _compare(name, entry, len(content), digest)
        return content

    def json(self, name: str, limit: int = JSON_LIMIT) -> dict[str, Any]:
        """Return the JSON object of a file, checked in the same way."""
        return parsed(as_text(self.content(name, limit), name), name)

    def config(self) -> dict[str, Any]:
        """Return the mapping in config.yaml, checked in the same way."""
        try:
            return plain(self.content("config.yaml", LARGEST))
        except Damaged:
            raise
        except ValueError as error:
            raise Damaged(f"config.yaml {error}") from error

    def stream(self, name: str) -> BufferedReader:
        """Open a file of any size that has been read through and is as it was written; the caller closes it."""
        file = open_regular(os.path.join(self.folder, name))
        try:
            if (entry := self.files.get(name)) is not None:
                _check(name, entry, file, limit=None)
                file.seek(0)
        except BaseException:
            file.close()
            raise
        return file

    def damage(self, limit: int = CHECKED) -> Iterator[tuple[str, str]]:
        """Yield name and reason of each listed file that is not as it was written; by size alone above the limit."""
        for name, entry in self.files.items():
            try:
                if os.path.basename(name) != name or name in ("", ".", ".."):
                    raise Damaged(f"manifest.json lists {name!r}, which is not in the folder")
                with open_regular(os.path.join(self.folder, name)) as file:
                    _check(name, entry, file, limit)
            except Damaged as error:
                yield name, str(error)


def error_line(folder: Path | str) -> str:
    """Return what a run failed of, in one line of its traceback.txt.

    Of Python's that is the first one behind the last frames; what is written of a process that died begins with it, and
    ends with its log.
    """
    try:
        text = read_bytes(os.path.join(folder, "traceback.txt"), MEBIBYTE).decode(errors="replace")
    except Damaged:
        text = ""
    lines = [line for line in text.splitlines() if line.strip()] or ["ended without a result"]
    tracebacks = [number for number, line in enumerate(lines) if line.startswith("Traceback")]
    if 0 in tracebacks:
        lines = [line for line in lines[tracebacks[-1] + 1 :] if not line.startswith(" ")] or lines[-1:]
    return lines[0].strip()


def file_entry(path: Path) -> dict[str, Any] | None:
    """Return size and SHA-256 of a file, None if it cannot be read."""
    try:
        with open_regular(path) as file:
            return {"bytes": os.fstat(file.fileno()).st_size, "sha256": _digest(file)}
    except (Damaged, OSError):
        return None


def _check(name: str, entry: dict[str, Any], file: BufferedReader, limit: int | None) -> None:
    size = os.fstat(file.fileno()).st_size
    hashed = entry.get("sha256") and size == entry.get("bytes") and (limit is None or size <= limit)
    try:
        _compare(name, entry, size, _digest(file) if hashed else None)
    except OSError as error:
        raise Damaged(f"{name} cannot be read ({error.strerror})") from error


def _compare(name: str, entry: dict[str, Any], size: int, digest: str | None) -> None:
    """Raise Damaged if a file is not as it was written; without a digest its size alone is compared."""
    if size != entry.get("bytes"):
        raise Damaged(f"{name} holds {size} of {_number(entry.get('bytes'))} bytes")
    if digest is not None and digest != entry["sha256"]:
        raise Damaged(f"{name} is not as it was written")


def _digest(file: BufferedReader) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()


def _number(value: Any) -> str:
    return str(value) if isinstance(value, int) and abs(value) < 1 << 64 else "?"
