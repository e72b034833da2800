"""`config=FILE`: a run's config.yaml, or its folder, given back to the command as the overrides that made it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from repu_lab.configs.composition import composer
from repu_lab.configs.config import ConfigError

OWN_PACKAGE = "repu_lab."


def unfold(command: str, overrides: Sequence[str]) -> list[str]:
    """Put what a config=FILE says in front of the overrides, so that what else was typed wins over it.

    A group whose option is typed takes nothing from the file. ConfigError if the file cannot be read, or names a class
    outside repu_lab and `trust=true` was not typed: to make a class is to run its code.
    """
    if not any(text.partition("=")[0].lstrip("+") == "config" for text in overrides):
        return list(overrides)
    with composer(command) as composing:
        parsed = [composing.parse(text) for text in overrides]
        groups = set(composing.groups)
    typed = {override.key_or_group: override.value() for override in parsed}
    path = typed["config"]
    if path is None:
        return list(overrides)
    if not isinstance(path, str):
        raise ConfigError("config=...: takes the path of one config.yaml")
    try:
        file = Path(path) / "config.yaml" if Path(path).is_dir() else Path(path)
        tree = yaml.safe_load(file.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or "is no YAML"
        raise ConfigError(f"config={path}: cannot be read ({reason}); name the config.yaml of a run") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"config={path}: holds no keys; name the config.yaml of a run")
    target = str((tree.get("activation") or {}).get("_target_", OWN_PACKAGE))
    if not target.startswith(OWN_PACKAGE) and typed.get("trust") is not True and "activation" not in typed:
        raise ConfigError(f"config={path}: would run {target}, which is not part of repu_lab; add trust=true to let it")
    return [*_overrides(tree, groups - typed.keys(), set(typed) & groups), *overrides]


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
        return "{" + ",".join(f"{literal(key)}:{literal(inner)}" for key, inner in value.items()) + "}"
    escaped = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _overrides(tree: dict[str, Any], groups: set[str], settled: set[str]) -> Iterator[str]:
    for key, value in tree.items():
        if key in settled:
            continue
        if key not in groups or not isinstance(value, dict):
            yield f"{key}={literal(value)}"
            continue
        name = value.get("name")
        yield f"{key}={name}"
        for setting, inner in value.items():
            if setting == "name" or (setting == "_target_" and name != "custom"):
                continue
            new = "+" if key == "activation" and name == "custom" and setting != "_target_" else ""
            yield f"{new}{key}.{setting}={literal(inner)}"
