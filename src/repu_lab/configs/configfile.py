"""`config=FILE`: a run's config.yaml, or its folder, given back to the command as the overrides that made it.

`resume=DIR` is the same with the folder as the place to run in.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from repu_lab.configs.command import job_command, job_commands
from repu_lab.configs.composition import composer
from repu_lab.configs.config import ConfigError, left_out
from repu_lab.configs.spelling import literal
from repu_lab.configs.text import nearest, printable
from repu_lab.configs.untrusted import foreign_target, read_plain, read_run_config, walk

EXPECTED = {"config": "the config.yaml of a run", "resume": "the folder of a run"}


def unfold(command: str, overrides: Sequence[str], multirun: bool = False) -> list[str]:
    """Put what a config=FILE says in front of the overrides, so that what else was typed wins over it.

    A group whose option is typed takes nothing from the file. A key that only other commands have is left out, so that
    `train` takes the networks of `theory`. ConfigError if the file cannot be read, or names a class outside repu_lab
    and `trust=true` was not typed: to make a class is to run its code.
    """
    named = {text.partition("=")[0].lstrip("+") for text in overrides}
    source = next(
        (key for key in ("resume", "config") if key in named and hasattr(job_command(command).config, key)), None
    )
    if source is None:
        return list(overrides)
    if source == "resume" and (multirun or "config" in named):
        raise ConfigError(f"resume=DIR: goes on with one run as it is; leave out {'-m' if multirun else 'config='}")
    with composer(command) as composing:
        parsed = [composing.parse(text) for text in overrides]
        groups = set(composing.groups)
    typed = {override.key_or_group: override.value() for override in parsed}
    path = typed.get(source)
    if path is None:
        return list(overrides)
    if not isinstance(path, str):
        raise ConfigError(f"{source}={printable(str(path))}: must be the text of one path, {EXPECTED[source]}")
    named_by = f"{source}={printable(path)}"
    if source == "resume" and os.path.isfile(path):
        raise ConfigError(f"{named_by}: is a file; name {EXPECTED[source]}")
    try:
        tree = read_run_config(path) if os.path.isdir(path) else read_plain(path)
    except ValueError as error:
        raise ConfigError(f"{named_by}: cannot be read ({error}); name {EXPECTED[source]}") from error
    tree = {key: value for key, value in tree.items() if not (key in groups and key in typed)}
    foreign = foreign_target(tree)
    if foreign is not None and typed.get("trust") is not True:
        raise ConfigError(f"{named_by}: would run {foreign}, which is not part of repu_lab; add trust=true to let it")
    keys = {name: _deciding(each.config) for name, each in job_commands().items()}
    valid, known = keys[command], {key for names in keys.values() for key in names}
    tree = {key: value for key, value in tree.items() if key in valid or key not in known}
    for key in tree:
        if key not in valid:
            cause = f"{printable(key)}: no such key in a run's config{nearest(key, valid)}; valid: {', '.join(valid)}"
            raise ConfigError(f"{named_by}: {cause}")
    for key, _ in walk(tree):
        if key and not re.fullmatch(r"[A-Za-z_]\w*", key, re.ASCII):
            raise ConfigError(f"{named_by}: {printable(repr(key))} is not a key")
    place = [f"hydra.run.dir={literal(path)}"] if source == "resume" else []
    usual = dict(left_out(job_command(command).config))
    return [*_overrides(tree, groups, usual), *overrides, *place]


def _deciding(schema: type) -> list[str]:
    return [spec.name for spec in fields(schema) if spec.metadata["affects_result"]]


def _overrides(tree: dict[str, Any], groups: set[str], usual: Mapping[str, Any]) -> Iterator[str]:
    """Yield what makes a tree; groups in `usual` may leave out their name."""
    for key, value in tree.items():
        if key not in groups or not isinstance(value, dict):
            yield f"{key}={literal(value)}"
            continue
        name = value.get("name")
        if name is not None or key not in usual:
            yield f"{key}={literal(name)}"
        for setting, inner in value.items():
            if setting == "name" or (setting == "_target_" and name != "custom"):
                continue
            new = "+" if key == "activation" and name == "custom" and setting != "_target_" else ""
            yield f"{new}{key}.{setting}={literal(inner)}"
