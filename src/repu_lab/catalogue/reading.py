"""What a run's files say, as single values: a config on one level, numbers that a float can hold."""

import json
import os
import sys
from typing import Any

from repu_lab.configs.code import activation_name
from repu_lab.configs.files import Damaged, open_regular

# A zip file ends with this record: signature, counts, size and offset of its directory, length of a comment (0).
ZIP_END, ZIP_END_SIZE = b"PK\x05\x06", 22
LARGEST = sys.float_info.max
EXACT = 1 << 53  # whole numbers that are floats too; sums and means of larger ones leave what a float can hold

Scalar = str | int | float | bool | None


def flatten(tree: dict[Any, Any]) -> dict[str, Scalar]:
    """Return a config's tree as one level: a group's choice under the group's name, its settings as group.key.

    A class is named only where it is the user's own.
    """
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


def check_archive(path: str) -> None:
    """Raise Damaged if a zip file (npz) lost its end, which is where its directory stands."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        end = os.pread(file.fileno(), ZIP_END_SIZE, max(0, size - ZIP_END_SIZE))
    if not (len(end) == ZIP_END_SIZE and end.startswith(ZIP_END)):
        raise Damaged(f"{os.path.basename(path)} is cut short")


def number(value: object) -> int | float | None:
    """Return a finite number, None for anything else, and for a whole number that no float can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= LARGEST:
        return None
    return value if abs(value) <= EXACT else float(value)


def _scalar(value: object) -> Scalar:
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, (int, float)):
        return value if abs(value) <= LARGEST else str(value)
    return json.dumps(value, sort_keys=isinstance(value, dict))
