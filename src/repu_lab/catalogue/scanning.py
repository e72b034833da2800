"""Every run folder below a folder, whatever state it is in."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from repu_lab.catalogue.values import Scalar, flatten, number
from repu_lab.configs.command import job_commands
from repu_lab.configs.files import Damaged, check_archive
from repu_lab.runs.lock import is_held
from repu_lab.runs.reading import CHECKED, SMALL, Contents, error_line

# running: a live process holds the lock; damaged: a file of it cannot be what it should be.
STATES = ("finished", "running", "interrupted", "failed", "damaged")
CLAIM = "claim"  # what a manifest has for a command in the folder of one of a reproduction's claims
MOST_MEMBERS = 1_000_000


class Member(NamedTuple):
    """What became of one network."""

    outcome: str
    seed: int | float | None = None
    layer: int | float | None = None  # where it failed
    step: int | float | None = None
    loss: float | None = None
    metric: float | None = None
    metric_name: str | None = None
    validation_loss: float | None = None
    validation_metric: float | None = None  # by which settings are chosen
    excursion_step: int | float | None = None
    excursion_size: float | None = None
    measures: Mapping[str, int | float | None] = MappingProxyType({})  # errors that the task adds: smaller is better


NUMBERS = tuple(name for name in Member._fields if name not in ("outcome", "metric_name", "measures"))


@dataclass(slots=True)
class Run:
    """A run folder: what it says of itself, and what became of its networks if it has a result."""

    path: Path
    folder: str  # as seen from the folder that was searched
    state: str = "damaged"
    note: str = ""  # why it has no result, or what is damaged
    command: str = ""
    config: dict[str, Scalar] = field(default_factory=dict)
    members: list[Member] = field(default_factory=list)
    seconds: float | None = None
    next: str = ""  # what it said to type next


def scan(root: Path | str, *, everything: bool = False) -> list[Run]:
    """Read every run folder below `root`, and `root` itself.

    Hidden folders (.groups) and what a later run moved aside (`<name>.1` beside `<name>`) count only if `everything`.
    Reproductions are no runs, but their runs are. Symbolic links are not followed.
    """
    root = os.fspath(root)
    runs = (
        read_run(path, root, small=CHECKED if path == root else SMALL)  # of one run alone all that it has can be hashed
        for path in run_folders(root, everything=everything)
    )
    return [run for run in runs if run.command in result_files() or run.state == "damaged"]


def run_folders(root: Path | str, *, everything: bool = False) -> Iterator[str]:
    """Yield the folders that hold a manifest.json."""
    waiting = [os.fspath(root)]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                beside = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
        except OSError:
            continue  # another user's, or just removed
        if "manifest.json" in beside:
            yield folder
        below = [name for name, is_folder in beside.items() if is_folder]
        if not everything:
            below = [name for name in below if not (name.startswith(".") or _moved_aside(name, beside, folder))]
        waiting += [os.path.join(folder, name) for name in sorted(below, reverse=True)]


def read_run(folder: str, root: Path | str, *, small: int = SMALL) -> Run:
    """Read one run folder; nothing in it can make this fail.

    Files that a finished run has written are hashed if they are read here or not larger than `small`, and else
    compared by their size.
    """
    run = Run(Path(folder), os.path.relpath(folder, root))
    contents = Contents(folder)
    damage: dict[str, str] = {}  # by file

    def read(name: str, reader: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return reader(*arguments)
        except Damaged as error:
            damage[name] = str(error)
            return {}

    manifest = read("manifest.json", lambda: contents.manifest)
    run.command, run.next = _text(manifest.get("command")), _text(manifest.get("next"))
    status = manifest.get("status")
    run.state = status if status in STATES else "damaged"
    if manifest and run.state == "damaged":
        damage["manifest.json"] = f"manifest.json has the status {_text(status)[:40] or 'nothing'}"
    if run.state == "running" and not read("lock", is_held, folder):
        run.state, run.note = "interrupted", "its process is gone"
    if run.state == "failed":
        run.note = error_line(folder)
    if manifest and run.command not in result_files():
        known = run.command == CLAIM or run.command in job_commands()
        if not known or contents.files.keys() & set(result_files().values()):
            run.state, run.note = "damaged", f"manifest.json has the command {run.command[:40] or 'nothing'}"
        return run
    run.config = flatten(read("config.yaml", contents.config))
    name = result_files().get(run.command, "result.json")
    if run.state == "finished" or (run.state == "damaged" and os.path.exists(os.path.join(folder, name))):
        result = read(name, contents.json, name)
        run.seconds = number(result.get("seconds"))
        run.members = (read(name, _members, name, result) or []) if result else []
        archive = os.path.join(folder, "statistics.npz")
        if "statistics.npz" not in contents.files and os.path.lexists(archive):
            read("statistics.npz", check_archive, archive)
        damage = dict(contents.damage(small)) | damage
    if damage:
        run.state, run.note = "damaged", "; ".join(filter(None, [run.note, *damage.values()]))
    return run


@cache
def result_files() -> dict[str, str]:
    """Return the file of a run's result by command; a command without one, a reproduction, is made of others' runs."""
    return {name: command.result for name, command in job_commands().items() if command.result is not None}


def _moved_aside(name: str, beside: Mapping[str, bool], folder: str) -> bool:
    match = re.fullmatch(r"(.+)\.\d+", name)
    there = os.path.join(folder, name, "manifest.json")
    return match is not None and beside.get(match[1], False) and os.path.exists(there)


def _members(name: str, result: Mapping[str, Any]) -> list[Member]:
    """Return the networks of a result: one by one (train), only counted (propagate), or the forecast one (theory)."""
    members, outcomes, fate = (result.get(key) for key in ("members", "outcomes", "fate"))
    if isinstance(members, list) and all(isinstance(record, dict) for record in members):
        return [_member(record) for record in members]
    if isinstance(outcomes, dict):
        counts = {name: number(count) or 0 for name, count in outcomes.items()}
        if min(counts.values(), default=0) >= 0 and sum(counts.values()) <= MOST_MEMBERS:
            return [Member(name) for name, count in counts.items() for _ in range(int(count))]
    if isinstance(fate, str):
        return [Member(fate)]
    raise Damaged(f"{name} holds no result")


def _member(record: Mapping[str, Any]) -> Member:
    measures = record.get("measures")
    return Member(
        outcome=_text(record.get("outcome")) or "unknown",
        metric_name=_text(record.get("metric_name")) or None,
        measures={name: number(value) for name, value in measures.items()} if isinstance(measures, dict) else {},
        **{name: number(record.get(name)) for name in NUMBERS},
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
