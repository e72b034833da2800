"""The help of a command, made from its config's dataclass and from conf/."""

import dataclasses
import shutil
import textwrap
import typing
from collections.abc import Iterator, Mapping, Sequence

from omegaconf import DictConfig

from repu_lab.configs.command import JobCommand
from repu_lab.configs.composition import composer
from repu_lab.configs.groups import definition

OPTIONS = (
    ("-m", "a sweep, one job for each combination: depth=5,10 depth='range(5,50,5)' activation='glob(*repu)'"),
    ("--cfg job", "print the config instead of running it"),
    ("hydra.run.dir=DIR", "the run's folder; left out: outputs/ and a name made from the keys above"),
)


def command_help(command: JobCommand) -> str:
    """Return what `repu-lab COMMAND --help` prints."""
    with composer(command.name) as composing:
        cfg = composing.compose([])
        groups = composing.groups
    lines = [
        f"usage: repu-lab {command.name} {'[-m] ' * command.sweeps}[key=value ...]",
        "",
        f"{command.purpose[0].upper()}{command.purpose[1:]}.",
        "",
    ]
    parts = {
        "groups, with their default option:": list(_groups(cfg, groups)),
        "keys, with their defaults:": list(_keys(command.config, cfg, "")),
        "options:": [*OPTIONS[not command.sweeps :]],
    }
    for title, entries in parts.items():
        lines += [title, *_entries(entries), ""] if entries else []
    lines += ["examples:", *(f"  {example}" for example in command.examples)]
    lines += ["", "exit codes: 0 done, 1 failed, 2 a mistake in the command line, 3 require= not met, 130 interrupted"]
    return "\n".join(lines) + "\n"


def _groups(cfg: DictConfig, groups: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    for group, options in groups.items():
        if group.partition("/")[0] == "hydra":
            continue
        node = cfg.get(group)
        default = f"={node.get('name')}" if isinstance(node, DictConfig) else " (none)"
        yield f"{group}{default}", ", ".join(options)


def _keys(schema: type, cfg: DictConfig, prefix: str) -> Iterator[tuple[str, str]]:
    hints = typing.get_type_hints(schema)
    for spec in dataclasses.fields(schema):
        node = cfg._get_node(spec.name)
        key = f"{prefix}{spec.name}"
        if dataclasses.is_dataclass(hints[spec.name]) and isinstance(node, DictConfig):
            yield from _keys(typing.cast(type, hints[spec.name]), node, f"{key}.")
        elif isinstance(node, DictConfig):
            names = [name for name in node if name not in ("name", "_target_")]
            formula = definition(spec.name, str(node.get("name")))
            yield from ((f"{key}.{name}={node[name]}", f"{name} in {formula}") for name in names)
        elif spec.name != "name":
            value = cfg.get(spec.name)
            shown = "null" if value is None else str(value).lower() if isinstance(value, bool) else value
            check = spec.metadata["check"]
            valid = check.valid if check else "true or false" if hints[spec.name] is bool else ""
            yield f"{key}={shown}", spec.metadata["doc"] + (f" [{valid}]" if valid else "")


def _entries(entries: Sequence[tuple[str, str]], column: int = 30) -> Iterator[str]:
    width = max(60, min(120, shutil.get_terminal_size().columns))
    for left, right in entries:
        wrapped = textwrap.wrap(right, width - column) or [""]
        if len(left) > column - 3:  # the text begins below
            wrapped = ["", *wrapped]
        yield f"  {left:{column - 3}} {wrapped[0]}".rstrip()
        yield from (" " * column + line for line in wrapped[1:])
