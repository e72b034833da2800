"""Reading a config.yaml that somebody else may have written: it is data, nothing in it runs, refers or grows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from repu_lab.configs.files import read_bytes, read_named
from repu_lab.configs.text import escaped, printable

OWN_PACKAGE = "repu_lab."
LARGEST = 2**16  # bytes; a run's own has a thousand, and the parser may take seconds for this much
DEEPEST = 50  # lists and mappings in each other


# libyaml reads a config in 0.7 ms, Python alone in 4: 10,000 of them make the difference.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_plain(file: Path | str) -> dict[str, Any]:
    """Return the mapping in a YAML file: keys are strings, values null, booleans, numbers, strings, lists, mappings.

    ValueError with the reason in a few words if the file cannot be read, is larger than 64 kB, is no YAML, or holds
    anything else: aliases, tags of Python's objects, dates, interpolations such as ${oc.env:HOME}.
    """
    return plain(read_named(file, LARGEST))


def read_run_config(folder: Path | str) -> dict[str, Any]:
    """Return the mapping in a run's config.yaml; ValueError as above, also for a pipe in its place."""
    return plain(read_bytes(Path(folder) / "config.yaml", LARGEST))


def plain(content: bytes) -> dict[str, Any]:
    """Return the mapping that a YAML file holds; ValueError as above."""
    try:
        text = content.decode()
        _check_depth(text)
        tree = yaml.load(text, LOADER)
    except UnicodeDecodeError as error:
        raise ValueError("is no text") from error
    except yaml.constructor.ConstructorError as error:
        raise ValueError(f"is no plain YAML: {printable(str(error.problem))}") from error
    except yaml.YAMLError as error:
        raise ValueError("is no YAML") from error
    except (ArithmeticError, AttributeError, LookupError) as error:  # of `!!int ''`, `!!bool x`, 1:1:1: ... without end
        raise ValueError(f"is no plain YAML: {type(error).__name__}") from error
    for key, value in walk(tree):
        _check_plain(key, value)
    if not isinstance(tree, dict):
        raise ValueError("holds no keys")
    return tree


def foreign_target(tree: Any) -> str | None:
    """Return the first `_target_`, at any depth, that is not of the lab's own packages; None if there is none."""
    targets = (value for key, value in walk(tree) if key == "_target_")
    foreign = (printable(str(value)) for value in targets if not str(value).startswith(OWN_PACKAGE))
    return next(foreign, None)


def walk(tree: Any, key: Any = "") -> Iterator[tuple[Any, Any]]:
    """Yield every value of a tree with its key, '' for the entries of a list."""
    yield key, tree
    inside = (
        tree.items() if isinstance(tree, dict) else (("", entry) for entry in tree) if isinstance(tree, list) else ()
    )
    for name, value in inside:
        yield from walk(value, name)


def _check_depth(text: str) -> None:
    """Refuse aliases, a few lines of which stand for more than any memory holds, and what is nested too deeply.

    libyaml takes seconds to find the end of 10,000 open brackets, and Python's stack, if they are closed, ends with
    the process. The lab writes neither, so that its own files are seldom looked through.
    """
    if "*" not in text and sum(map(text.count, "[{-?")) <= DEEPEST and " " * DEEPEST not in text:
        return
    depth = 0
    for event in yaml.parse(text, LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("has an alias (*name)")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError("is nested too deeply")


def _check_plain(key: Any, value: Any) -> None:
    if not isinstance(key, str):
        raise ValueError(f"has {printable(repr(key))} for a key")
    if not (value is None or isinstance(value, (bool, int, float, str, list, dict))):
        raise ValueError(f"holds a {type(value).__name__} under {printable(key)}")
    if isinstance(value, str) and "${" in value:
        raise ValueError(f"refers to something else under {printable(key)}: {escaped(value)[:60]}")
    if isinstance(value, int) and value.bit_length() > 1024:
        raise ValueError(f"holds a number of {value.bit_length()} bits under {printable(key)}")
