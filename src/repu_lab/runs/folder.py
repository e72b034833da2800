"""A run's folder: the only place that creates one or writes into it.

    manifest.json   status (running | interrupted | failed | finished), command line, versions, device, start, end
    config.yaml     the resolved config        result.json     the outcome, when finished
    run.log         what was printed           traceback.txt   when failed
    statistics.npz  per-layer numbers          events.*        for TensorBoard
    weights.pt      final weights              checkpoints/    the state of a run, the last two
    lock            held by the process that runs in it

Files are written to a temporary name, synced and renamed, so that none is ever half there; those of a finished run
stand in its manifest with size and SHA-256. A run that did not end goes on in its folder; one that is run afresh
(rerun=true) finds the old folder moved aside to <folder>.1, .2, ...; nothing of another run is overwritten.
"""

import errno
import json
import os
import traceback
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TextIO

import yaml

from repu_lab.configs.code import own_files
from repu_lab.configs.config import ConfigError, config_hash, result_fields
from repu_lab.configs.files import Damaged
from repu_lab.configs.text import escaped
from repu_lab.configs.untrusted import read_run_config
from repu_lab.runs.circumstances import circumstances
from repu_lab.runs.guarding import EVENTS, locked, own_copies, remove_leftovers, temporary_name
from repu_lab.runs.interruption import asked
from repu_lab.runs.reading import Contents, about_file

OWN_NAMES = ("lock", "config.yaml", "run.log", "checkpoints")  # what a run may leave that dies before its manifest
DECISIVE = ("device", "threads", "machine", "versions")  # what the bits of a run depend on, beside its config
SYNCED = 16  # files at once
SPELT = "backslashreplace"  # half of a sign, as names of files may hold
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # libyaml's, where it is, is ten times as fast


class RunFolder:
    """The folder of one run of one command."""

    def __init__(self, path: Path | str, *, echo: bool = True):
        """Name the folder; nothing is read or written yet. `echo`: print what is logged."""
        self.path = Path(path)
        self.echo = echo
        self.resumed = False  # whether a run that began earlier goes on here
        self.notes: dict[str, Any] = {}  # what the manifest tells of the run once it has ended
        self._held: TextIO | None = None  # the lock
        self._written: set[str] = set()
        self._waiting: dict[Path, Path] | None = None  # files that take their names at the end of synced_together

    def finished(
        self, command: str, config: Any, result: str, may_differ: Collection[str] = ()
    ) -> dict[str, Any] | None:
        """Return the stored result if this very run has finished here and is whole, else None; ConfigError for another.

        Another run is one of another command or config, but for the keys that may differ; and what is no run at all. A
        run whose files are damaged is whole enough if its result is, and no checkpoint is there to make them again.
        """
        manifest = self.manifest()
        if manifest is None and not os.path.lexists(self.path / "manifest.json"):
            self._check_own(config, may_differ)
            return None
        if manifest is None or manifest.get("config_hash") != config_hash(command, config):
            self._check_same(command, manifest or {}, config, may_differ)
            return None
        if manifest.get("status") != "finished":
            return None
        # Events alone are no reason: making them again means training again.
        damaged = [name for name in self.damaged() if not fnmatch(name, EVENTS)]
        if result in damaged or (damaged and any((self.path / "checkpoints").glob("*.ckpt"))):
            return None
        return self.read_json(result)

    def damaged(self) -> list[str]:
        """Return the names of the files of a finished run that are not as they were written, or not there."""
        return [name for name, _ in Contents(self.path).damage()]

    @property
    def lost(self) -> bool:
        """Whether the folder is gone; also if another one has taken its place since it was locked."""
        if self._held is None:
            return not self.path.is_dir()
        try:
            return not os.path.samestat(os.stat(self.path / "lock"), os.fstat(self._held.fileno()))
        except FileNotFoundError:
            return True

    def manifest(self) -> dict[str, Any] | None:
        """Return manifest.json, None where there is none that can be read."""
        return self.read_json("manifest.json")

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Return a JSON object of the folder, None if it is missing or damaged."""
        contents = Contents(self.path)
        try:
            return contents.manifest if name == "manifest.json" else contents.json(name)
        except Damaged:
            return None

    @contextmanager
    def run(
        self, command: str, config: Any, about: Mapping[str, Any], *, afresh: bool = False
    ) -> Iterator["RunFolder"]:
        """Hold the folder for a run: lock it, write config and manifest, and keep the status true whatever happens.

        The run is `finished` when the block ends, `interrupted` on KeyboardInterrupt, `failed` with traceback.txt on
        any other exception; exceptions go on to the caller. ConfigError if another process runs here. What is there
        stays, for the run to go on from, unless it starts `afresh`.
        """
        if afresh:
            self._move_aside()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:  # in /proc, or where a file has come in between
            raise ConfigError(f"{self.path}: cannot be made ({error.strerror}); name another place") from error
        with self.lock():
            remove_leftovers(self.path)
            before = self.manifest()
            damaged = self.damaged()
            self.write_text("config.yaml", yaml.dump(result_fields(config), Dumper=DUMPER, sort_keys=False))
            code = own_files(config)
            self._begin(before, command=command, config_hash=config_hash(command, config), code=code, **about)
            if damaged:
                self.log(f"warning:  not as it was written: {', '.join(damaged)}; made again")
            try:
                yield self
                (self.path / "traceback.txt").unlink(missing_ok=True)  # of an earlier attempt
                self._end("finished", files=self.written())
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt) or asked() is not None:
                    self._end("interrupted")
                    raise
                with suppress(OSError):  # a full disk, a folder that is gone: the exception itself says so
                    self.write_text("traceback.txt", traceback.format_exc())
                self._end("failed")
                raise

    def written(self) -> dict[str, Any]:
        """Return size and SHA-256 of each file that was written here, as a manifest lists them."""
        names = sorted(self._written | {path.name for path in self.path.glob(EVENTS)})
        return {name: about_file(self.path / name) for name in names}

    def write_json(self, name: str, value: Any) -> None:
        """Write strict JSON: a NaN or an infinity in it is a bug and raises ValueError."""
        self.write_text(name, json.dumps(value, indent=1, allow_nan=False) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write a text file atomically."""
        with self.writing(name) as temporary:
            temporary.write_text(text, encoding="utf-8", errors=SPELT)

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Give a temporary path to write; afterwards it is synced to the disk and takes the name in one step.

        FileNotFoundError if the folder is gone, or is not the one any more that the run holds.
        """
        if self.lost:
            told = "the folder was removed or replaced while the run was in it"
            raise FileNotFoundError(errno.ENOENT, told, str(self.path))
        target = self.path / name
        temporary = target.with_name(temporary_name(target.name))
        try:
            yield temporary
            if self._waiting is None or target.parent != self.path:  # a checkpoint never waits
                _sync(temporary)
                os.replace(temporary, target)
            else:
                self._waiting[target] = temporary
            if target.parent == self.path and name != "manifest.json":
                self._written.add(name)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def log(self, line: str) -> None:
        """Keep lines in run.log, and print them; what they tell of an older run may be somebody else's."""
        line = "\n".join(map(escaped, line.split("\n")))
        if self.echo:
            print(line, flush=True)
        if not self.lost:
            told = (line + "\n").encode("utf-8", "backslashreplace")
            with suppress(OSError), open(self.path / "run.log", "ab") as file:  # what was printed stands on the screen
                file.write(told)

    def _begin(self, before: Mapping[str, Any] | None, **about: Any) -> None:
        """Write the manifest of a run that starts, or goes on: then it keeps its first start and lists the others."""
        now = _now()
        manifest = {"status": "running", **about, **circumstances(), "start": now, "end": None}
        self.resumed = before is not None and bool(before.get("start"))
        if before is not None and self.resumed:
            resumed = before.get("resumed")
            manifest |= {"start": before["start"], "resumed": [*(resumed if isinstance(resumed, list) else []), now]}
            changed = [key for key in DECISIVE if key in before and before[key] != manifest.get(key)]
            if changed and (self.path / "checkpoints").is_dir():
                told = ", ".join(f"{key} was {_brief(before[key], manifest.get(key))}" for key in changed)
                self.log(f"warning:  goes on elsewhere ({told}): the last bits may differ from an unbroken run's")
        self.write_json("manifest.json", manifest)

    def _end(self, status: str, **about: Any) -> None:
        with suppress(OSError) if status != "finished" else nullcontext():
            manifest = self.manifest() or {}
            self.write_json("manifest.json", manifest | {"status": status, "end": _now()} | self.notes | about)

    def _check_same(
        self, command: str, manifest: Mapping[str, Any], config: Any, may_differ: Collection[str]
    ) -> None:  # fmt: skip
        """Refuse a folder that holds a run of another command or config, naming what differs."""
        differences = self._differences(config)
        changed = _changed_files(manifest.get("code"), config)
        cure = "choose another folder"
        if manifest.get("command", command) != command:
            told = f"it is of repu-lab {manifest['command']}"
        elif differences is None:
            told = "its config.yaml cannot be read"
        elif changed:
            told = f"{', '.join(changed)} changed since"
        elif differences.keys() <= set(may_differ):
            return
        else:
            told = ", ".join(differences.values())
            cure = f"only {', '.join(may_differ)} may differ" if may_differ else cure
        raise ConfigError(f"{self.path} holds another run: {told}; {cure}")

    def _differences(self, config: Any) -> dict[str, str] | None:
        """Return what differs from the run that lies here, key by key in words; None if that cannot be told."""
        try:
            # Not checked: an extension that is killed early has written its config and not its manifest.
            there = _flat(read_run_config(self.path))
        except ValueError:
            return None
        here = _flat(result_fields(config))
        return {
            key: f"{key} is {there.get(key)} there and {here.get(key)} here"
            for key in here | there
            if here.get(key) != there.get(key)
        }

    def _check_own(self, config: Any, may_differ: Collection[str]) -> None:
        """Refuse a folder without a manifest that holds files of others, unless its config.yaml is that of this run."""
        names = [path.name for path in self.path.iterdir()] if self.path.is_dir() else []
        foreign = [name for name in names if not (name in OWN_NAMES or name.startswith("."))]
        differences = self._differences(config) if foreign else {}
        if differences is None or not differences.keys() <= set(may_differ):
            told = f"holds files that are not of a run ({escaped(foreign[0])})"
            raise ConfigError(f"{self.path} {told}; choose another folder")

    def _move_aside(self) -> None:
        if not self.path.is_dir() or not any(self.path.iterdir()):
            return
        with self.lock():  # refuses if a live process runs in it
            here = self.path.resolve()
            if here == Path.cwd() or here in Path.cwd().parents:
                told = "rerun=true moves it aside, and the working directory is in it"
                raise ConfigError(f"{self.path}: {told}; change to another one")
            number = 1
            while os.path.lexists(aside := self.path.with_name(f"{self.path.name}.{number}")):
                number += 1
            try:
                self.path.rename(aside)
            except OSError as error:
                told = f"cannot be moved aside ({error.strerror}); choose another folder"
                raise ConfigError(f"{self.path}: {told}") from error

    def died(self, told: str) -> None:
        """Write down that the process of the run ended without a word."""
        if self.path.is_dir():
            self.write_text("traceback.txt", told + "\n")
            self._end("failed")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder; ConfigError if it cannot be held, or leads out of itself (see `locked`)."""
        with locked(self.path) as file:
            self._held = file
            try:
                if self.lost:
                    raise ConfigError(f"{self.path} was moved or removed by another run; type the command again")
                own_copies(self.path)
                yield
            finally:
                self._held = None


@contextmanager
def synced_together(folders: Collection[RunFolder]) -> Iterator[None]:
    """Let what is written into several folders take its names at the end of the block, whatever happens in it.

    Syncing a small file takes a disk 3 ms, and as long for eight at once.
    """
    waiting: dict[Path, Path] = {}
    for folder in folders:
        folder._waiting = waiting
    try:
        yield
    finally:
        for folder in folders:
            folder._waiting = None
        try:
            with ThreadPoolExecutor(SYNCED) as pool:
                list(pool.map(_sync, waiting.values()))
            for target, temporary in waiting.items():
                os.replace(temporary, target)
        finally:
            for temporary in waiting.values():  # of a disk that is full
                temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _brief(before: Any, now: Any) -> str:
    """Return two values, of mappings only the entries that differ."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        keys = [key for key in before if before[key] != now.get(key)]
        before, now = {key: before[key] for key in keys}, {key: now.get(key) for key in keys}
    return f"{before}, is {now}"


def _changed_files(before: Any, config: Any) -> list[str]:
    """Return the names of the user's own files that are not as they were when the run was made."""
    before, now = before if isinstance(before, Mapping) else {}, own_files(config)
    return [name for name in sorted({*map(str, before), *now}) if before.get(name) != now.get(name)]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
