"""Reading the files of a run folder that anybody may have cut, filled or swapped: bounded, and never waiting."""

import json
import os
import stat
import sys
from contextlib import suppress
from typing import Any

import yaml

from repu_lab.configs.code import activation_name

# libyaml reads a config in 0.4 ms, Python alone in 2.2: 10,000 of them make the difference.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MEBIBYTE = 1 << 20
RESULT_LIMIT = 256 * MEBIBYTE  # a million members take 200 MB
CONFIG_LIMIT = MEBIBYTE // 4
# A zip file ends with this record: signature, counts, size and offset of its directory, length of a comment (0).
ZIP_END, ZIP_END_SIZE = b"PK\x05\x06", 22
LARGEST = sys.float_info.max

Scalar = str | int | float | bool | None


class Damaged(ValueError):
    """A file that is missing or cannot be what it should be; the message names it and says why."""


def read_bytes(path: str, limit: int) -> bytes:
    """Return the content of a file of at most `limit` bytes; Damaged for anything else."""
    name = os.path.basename(path)
    try:
        # Without O_NONBLOCK a named pipe put there would wait for its writer for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise Damaged(f"{name} is missing") from error
    except (OSError, ValueError) as error:
        raise Damaged(f"{name} cannot be opened ({getattr(error, 'strerror', 'its name is none')})") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Damaged(f"{name} is no file")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise Damaged(f"{name} cannot be read ({error.strerror})") from error
    finally:
        os.close(descriptor)
    if len(content) > limit:
        raise Damaged(f"{name} is larger than {limit} bytes")
    return content


def read_text(path: str, limit: int) -> str:
    """Return a text file of at most `limit` bytes; Damaged for anything else."""
    try:
        return read_bytes(path, limit).decode()
    except UnicodeDecodeError as error:
        raise Damaged(f"{os.path.basename(path)} is no text") from error


def read_object(path: str, limit: int = RESULT_LIMIT) -> dict[str, Any]:
    """Return the JSON object of a file, with None for a NaN or an infinity; Damaged if it holds none."""
    text = read_text(path, limit)
    try:
        value = json.loads(text, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{os.path.basename(path)} is cut short or no JSON") from error
    if not isinstance(value, dict):
        raise Damaged(f"{os.path.basename(path)} holds no object")
    return value


def read_config(path: str) -> dict[str, Scalar]:
    """Return a run's config as one level: a group's choice under the group's name, its settings as group.key."""
    name = os.path.basename(path)
    text = read_text(path, CONFIG_LIMIT)
    try:
        # An alias lets a few lines stand for more than fits into memory; the lab writes none.
        if "*" in text and any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, Loader=LOADER)):
            raise Damaged(f"{name} has YAML aliases")
        tree = yaml.load(text, LOADER)  # a safe loader: makes no objects of classes
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise error if isinstance(error, Damaged) else Damaged(f"{name} is no YAML") from error
    if not isinstance(tree, dict):
        raise Damaged(f"{name} holds no keys")
    return flatten(tree)


def flatten(tree: dict[Any, Any]) -> dict[str, Scalar]:
    """Return a config's tree as one level; a class is named only where it is the user's own."""
    flat: dict[str, Scalar] = {}
    for key, value in tree.items():
        if not isinstance(value, dict):
            flat[str(key)] = _scalar(value)
            continue
        own = value.get("name") == "custom"
        for setting, inner in value.items():
            if setting == "name":
                flat[str(key)] = _scalar(activation_name(value) if own else inner)
            elif setting != "_target_" or own:
                flat[f"{key}.{setting}"] = _scalar(inner)
    return flat


def check_size(path: str, size: Any) -> None:
    """Raise Damaged if a file has another size than it was written with; a missing one is none."""
    with suppress(OSError):
        there = os.stat(path).st_size
        if isinstance(size, int) and there != size:
            raise Damaged(f"{os.path.basename(path)} holds {there} of {size} bytes")


def check_archive(path: str) -> None:
    """Raise Damaged if a zip file (npz) lost its end, which is where its directory stands; a missing one is none."""
    name = os.path.basename(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as error:
        raise Damaged(f"{name} cannot be opened ({error.strerror})") from error
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise Damaged(f"{name} is no file")
        end = os.pread(descriptor, ZIP_END_SIZE, max(0, about.st_size - ZIP_END_SIZE))
    finally:
        os.close(descriptor)
    if not (len(end) == ZIP_END_SIZE and end.startswith(ZIP_END)):
        raise Damaged(f"{name} is cut short")


def number(value: object) -> int | float | None:
    """Return a finite number as it is, None for anything else, and for a whole number that no float can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if abs(value) <= LARGEST else None


def _scalar(value: object) -> Scalar:
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, (int, float)):
        return value if abs(value) <= LARGEST else str(value)
    return json.dumps(value, default=str, sort_keys=isinstance(value, dict))
