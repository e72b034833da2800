"""The user's own code and files that a run is made of: they belong to its identity as its config does.

Nothing is imported or run to find them: a class is looked up as Python would, and its module's text is read for what it
imports from beside it.
"""

import ast
import hashlib
import importlib.machinery
import os
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from repu_lab.configs.untrusted import OWN_PACKAGE

CUSTOM = "custom"
LARGEST = 2 * 10**9  # bytes of a file of data: hashing takes a second a GB


def activation_name(activation: Mapping[str, Any]) -> str:
    """Return what an activation is called: its name in the lab, or the user's class or function."""
    name = str(activation.get("name", "activation"))
    return str(activation.get("_target_") or name).rpartition(".")[2] if name == CUSTOM else name


def described(config: Any) -> str:
    """Return an activation with its parameters and the affine maps around it: `repu(p=2), tailor=dks`."""
    arguments = ", ".join(f"{k}={v}" for k, v in config.activation.items() if k not in ("name", "_target_"))
    return with_tailor(activation_name(config.activation) + (f"({arguments})" if arguments else ""), config.tailor.name)


def with_tailor(name: str, kind: object) -> str:
    """Return what an activation is called with the affine maps around it, `mrepu, tailor=dks`."""
    return name if kind in (None, "none") else f"{name}, tailor={kind}"


def own_files(config: Any) -> dict[str, str]:
    """Return the SHA-256 of every file of the user's own that a run is made of, by name: code and data."""
    return code_of(getattr(config, "activation", {})) | data_of(getattr(config, "task", None))


def code_of(activation: Mapping[str, Any]) -> dict[str, str]:
    """Return the SHA-256 of every file that a custom activation is made of, by name; {} for the lab's own.

    Its module, the modules beside it that this imports (in turn), and files that its arguments name. An installed
    package counts with the module that is named alone.
    """
    target = str(activation.get("_target_") or "")
    if not target or target.startswith(OWN_PACKAGE):
        return {}
    home = Path.cwd()
    first = _located(target.rpartition(".")[0], [str(home), *sys.path])
    if first is None:
        return {}  # which building will say
    if _is_installed(first):
        return {first.name: _digest(first, _changed(first))}
    files = {os.path.relpath(path, first.parent): path for path in _beside(first, home)}
    files |= {value: home / value for value in activation.values() if isinstance(value, str) and _is_file(home / value)}
    return {name: _digest(path, _changed(path)) for name, path in sorted(files.items())}


def data_of(task: Any) -> dict[str, str]:
    """Return the SHA-256 of every file of data that a task names, by name; {} for data of the lab's own.

    One that is missing or too large to be read is left out: building will say so.
    """
    named = [Path(name).expanduser() for name in (getattr(task, "path", None), getattr(task, "target", None)) if name]
    files = [path for path in named if getattr(task, "path", None) and _is_file(path)]
    return {path.name: _digest(path, _changed(path)) for path in files if path.stat().st_size <= LARGEST}


def _beside(first: Path, home: Path) -> Iterator[Path]:
    """Yield a module's file, and those of what it imports from its own folder or from `home`, in turn."""
    seen, waiting = {first}, [first]
    while waiting:
        path = waiting.pop()
        yield path
        for imported in _imports(path, _changed(path)):
            located = _located(imported, [str(path.parent), str(home)])
            if located is not None and located not in seen:
                seen.add(located)
                waiting.append(located)


def _is_installed(path: Path) -> bool:
    library = Path(os.__file__).parent
    return not {"site-packages", "dist-packages"}.isdisjoint(path.parts) or path.is_relative_to(library)


def _located(name: str, places: list[str]) -> Path | None:
    """Return the file of a module as Python's path finder sees it, without importing its packages."""
    located: Path | None = None
    for part in name.split("."):
        spec = importlib.machinery.PathFinder.find_spec(part, places) if part else None
        if spec is None:
            return located
        located = Path(spec.origin).resolve() if spec.origin and os.path.isfile(spec.origin) else None
        places = list(spec.submodule_search_locations or ())
    return located


@cache
def _imports(path: Path, _written: int) -> tuple[str, ...]:
    """Return the names of modules that a file imports, and of what could be one; nothing if it is no Python."""
    try:
        nodes = list(ast.walk(ast.parse(path.read_bytes())))
    except (SyntaxError, ValueError, RecursionError, OSError):
        return ()
    names: list[str] = []
    for node in nodes:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [node.module or "", *(f"{node.module or ''}.{alias.name}".lstrip(".") for alias in node.names)]
    return tuple(names)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _changed(path: Path) -> int:
    """Return when a file was last written: a process may outlive an edit."""
    return os.stat(path).st_mtime_ns


@cache
def _digest(path: Path, _written: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
