"""Single values of a run's files: a config on one level, numbers that a float can hold, and how people read them."""

import json
import sys
from typing import Any

from repu_lab.configs.code import activation_name

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
        users_own = value.get("name") == "custom"
        for setting, inner in value.items():
            if setting == "name":
                flat[str(key)] = _scalar(activation_name(value) if users_own else inner)
            elif setting != "_target_" or users_own:
                flat[f"{key}.{setting}"] = _scalar(inner)
    return flat


def number(value: object) -> int | float | None:
    """Return a finite number, None for anything else, and for a whole number that no float can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= LARGEST:
        return None
    return value if abs(value) <= EXACT else float(value)


def shown(value: Scalar) -> str:
    """Return a value with at most four digits, '' for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def measured(value: Scalar) -> str:
    """Return a number of a network as `shown` does, a dash where there is none: untrained, or not finite."""
    return shown(value) or "-"


def is_number(text: str) -> bool:
    """Say whether a shown value is a number, a dash or nothing."""
    try:
        float(text.removeprefix("-") or 0)
    except ValueError:
        return False
    return True


def _scalar(value: object) -> Scalar:
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, (int, float)):
        return value if abs(value) <= LARGEST else str(value)
    return json.dumps(value, sort_keys=isinstance(value, dict))
