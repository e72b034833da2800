"""The arguments of a command that takes a path instead of overrides."""

import os
from collections.abc import Mapping, Sequence

from repu_lab.configs.config import ConfigError
from repu_lab.configs.text import nearest, printable


def parse(
    what: str, arguments: Sequence[str], options: Mapping[str, Sequence[str] | None]
) -> tuple[str, dict[str, list[str]]]:
    """Return the only path and the values given to each option, see `split`; ConfigError for no path or several."""
    paths, given = split(arguments, options)
    if len(paths) != 1:
        typed = f"got {len(paths)}: {printable(' '.join(paths))}" if paths else "none was given"
        raise ConfigError(f"{what}: takes one folder, {typed}")
    return paths[0], given


def split(
    arguments: Sequence[str], options: Mapping[str, Sequence[str] | None]
) -> tuple[list[str], dict[str, list[str]]]:
    """Return the paths and the values given to each option; ConfigError for an option or a value that is not valid.

    options: name -> its valid values, None where it takes any text, () where it takes none. Both `--by run` and
    `--by=run` are understood, and ~ for the home folder.
    """
    paths: list[str] = []
    given: dict[str, list[str]] = {}
    remaining = iter(arguments)
    for argument in remaining:
        name, equals, value = argument.partition("=")
        if not argument.startswith("-"):
            paths.append(os.path.expanduser(argument))
            continue
        if name not in options:
            raise ConfigError(f"{printable(name)}: no such option{nearest(name, options)}; valid: {', '.join(options)}")
        valid = options[name]
        if valid == ():
            if equals:
                raise ConfigError(f"{printable(argument)}: {name} takes no value")
            given[name] = []
            continue
        text = value if equals else next(remaining, None)
        choice = f", one of {', '.join(valid)}" if valid else ""
        if text is None:
            raise ConfigError(f"{name}: needs a value{choice}")
        if valid and text not in valid:
            raise ConfigError(f"{name} {printable(text)}: must be one of {', '.join(valid)}{nearest(text, valid)}")
        given.setdefault(name, []).append(os.path.expanduser(text) if text.startswith("~/") else text)
    return paths, given
