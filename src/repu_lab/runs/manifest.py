"""What a run's folder says of itself, and whether it is the run that is asked for: manifest.json and config.yaml."""

import os
import platform
import socket
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from repu_lab import __version__
from repu_lab.configs.code import own_files
from repu_lab.configs.config import ConfigError, result_fields
from repu_lab.configs.text import escaped
from repu_lab.configs.untrusted import read_run_config

OWN_NAMES = ("lock", "config.yaml", "run.log", "checkpoints")  # what a run may leave that dies before its manifest
DECISIVE = ("device", "threads", "machine", "versions")  # what the bits of a run depend on, beside its config
PACKAGES = ("torch", "numpy", "scipy", "hydra-core", "tensorboard", "scikit-learn")


def started_manifest(before: Mapping[str, Any] | None, entries: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest of a run that starts, or goes on: then it keeps its first start and lists the others."""
    manifest = {"status": "running", **entries, **_circumstances(), "start": now(), "end": None}
    if before is not None and before.get("start"):
        resumed = before.get("resumed")
        earlier = resumed if isinstance(resumed, list) else []
        manifest |= {"start": before["start"], "resumed": [*earlier, manifest["start"]]}
    return manifest


def changes(before: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    """Return in words what differs of the circumstances that decide the last bits, '' if nothing."""
    changed = [key for key in DECISIVE if key in before and before[key] != manifest.get(key)]
    return ", ".join(f"{key} was {_brief(before[key], manifest.get(key))}" for key in changed)


def check_same(
    folder: Path, command: str, manifest: Mapping[str, Any], config: Any, may_differ: Collection[str]
) -> None:
    """Raise ConfigError for a folder that holds a run of another command or config, naming what differs."""
    differences = _differences(folder, config)
    before, now = manifest.get("code"), own_files(config)
    before = before if isinstance(before, Mapping) else {}
    changed = [name for name in sorted({*map(str, before), *now}) if before.get(name) != now.get(name)]
    cure = "choose another folder"
    if manifest.get("command", command) != command:
        cause = f"it is of repu-lab {manifest['command']}"
    elif differences is None:
        cause = "its config.yaml cannot be read"
    elif changed:
        cause = f"{', '.join(changed)} changed since"
    elif differences.keys() <= set(may_differ):
        return
    else:
        cause = ", ".join(differences.values())
        cure = f"only {', '.join(may_differ)} may differ" if may_differ else cure
    raise ConfigError(f"{folder} holds another run: {cause}; {cure}")


def check_unmarked(folder: Path, config: Any, may_differ: Collection[str]) -> None:
    """Raise ConfigError if a folder without a manifest holds files, unless its config.yaml is that of this run."""
    names: Iterable[str] = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    foreign = [name for name in names if not (name in OWN_NAMES or name.startswith("."))]
    differences = _differences(folder, config) if foreign else {}
    if differences is None or not differences.keys() <= set(may_differ):
        cause = f"holds files that are not of a run ({escaped(foreign[0])})"
        raise ConfigError(f"{folder} {cause}; choose another folder")


def now() -> str:
    """Return the time as manifests have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _differences(folder: Path, config: Any) -> dict[str, str] | None:
    """Return what differs from the run that lies here, key by key in words; None if that cannot be said."""
    try:
        # Not checked: an extension that is killed early has written its config and not its manifest.
        there = _flat(read_run_config(folder))
    except ValueError:
        return None
    here = _flat(result_fields(config))
    return {
        key: f"{key} is {there.get(key, 'left out')} there and {here.get(key, 'left out')} here"
        for key in here | there
        if here.get(key) != there.get(key)
    }


def _brief(before: Any, now: Any) -> str:
    """Return two values, of mappings only the entries that differ."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        keys = [key for key in before if before[key] != now.get(key)]
        before, now = {key: before[key] for key in keys}, {key: now.get(key) for key in keys}
    return f"{before}, is {now}"


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _circumstances() -> dict[str, Any]:
    """Return what the bits of a run may depend on beside config, device and threads, and who runs it."""
    return {
        "command_line": sys.argv,
        "versions": _versions(),
        "machine": f"{platform.system()} {platform.machine()} {_processor()}".strip(),
        "git_commit": _git_commit(),
        "process": os.getpid(),
        "host": socket.gethostname(),
    }


@cache
def _versions() -> dict[str, str]:
    versions = {"repu-lab": __version__, "python": platform.python_version()}
    return versions | {package: version(package) for package in PACKAGES}


@cache
def _processor() -> str:
    """Return the processor's name: what the kernel of a matrix product is chosen by."""
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


@cache
def _git_commit() -> str | None:
    """Commit of the lab's own checkout, with + if it has changes; None for an installed wheel."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        tracked = subprocess.run([*git, "ls-files", "--error-unmatch", __file__], capture_output=True, check=False)
        if tracked.returncode:
            return None
        commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD"], capture_output=True, check=False).returncode
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("+" if changed else "")
