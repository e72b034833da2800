"""What the lab understands beyond Hydra's grammar: lists without brackets, ~ for the home folder, formulas; quoting."""

import os
import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from repu_lab.configs.command import job_command
from repu_lab.configs.schema import FORMULA, PATHS

QUOTES = ("'", '"')


def spelt_out(command: str, overrides: Sequence[str]) -> list[str]:
    """Write key=A,B as key=[A,B] for the keys that take a list, a path's ~ as the home folder, and quote formulas."""
    lists = [spec.name for spec in fields(job_command(command).config) if spec.metadata["several"]]
    return [_spelt_out(text, lists) for text in overrides]


def literal(value: Any) -> str:
    """Return a value in the grammar of Hydra's overrides."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(literal, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{literal(inner)}" for key, inner in value.items()) + "}"
    # Backslashes are doubled before a quote only, which is what the grammar undoes.
    inside = re.sub(r"(?<!\\)(\\*)('|\Z)", lambda match: match[1] * 2 + ("\\'" if match[2] else ""), str(value))
    inside = re.sub(r"(\\*)\$\{", r"\1\1\\${", inside)  # a name that holds ${ refers to nothing
    return f"'{inside}'"


def _spelt_out(text: str, lists: Sequence[str]) -> str:
    key, _, value = text.partition("=")
    if key == FORMULA and value and not value.startswith("choice("):
        return f"{key}={','.join(part if part[:1] in QUOTES else literal(part) for part in _parts(value))}"
    if key in lists and "," in value and not value.startswith("["):
        return f"{key}=[{value}]"
    bare = value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value
    if key in PATHS and bare.startswith("~") and (path := os.path.expanduser(bare)) != bare:
        return f"{key}={literal(path)}"
    return text


def _parts(text: str) -> list[str]:
    """Return what stands between the commas outside all brackets: several formulas."""
    depth, parts = 0, [""]
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]
