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

import os
import traceback
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

from repu_lab.configs.code import own_files
from repu_lab.configs.config import ConfigError, config_hash, result_fields
from repu_lab.configs.files import Damaged
from repu_lab.configs.text import escaped
from repu_lab.runs.interruption import requested_signal
from repu_lab.runs.manifest import changes, check_same, check_unmarked, now, started_manifest
from repu_lab.runs.paths import CHECKPOINTS, EVENTS, remove_leftovers
from repu_lab.runs.reading import Contents
from repu_lab.runs.writer import Writer

DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # libyaml's, where it is, is ten times as fast


class RunFolder(Writer):
    """The folder of one run of one command."""

    def __init__(self, path: Path | str, *, echo: bool = True):
        """Name the folder; nothing is read or written yet. `echo`: print what is logged."""
        super().__init__(path)
        self.echo = echo
        self.resumed = False  # whether a run that began earlier goes on here
        self.notes: dict[str, Any] = {}  # what the manifest says of the run once it has ended

    def finished(
        self, command: str, config: Any, result: str, may_differ: Collection[str] = ()
    ) -> dict[str, Any] | None:
        """Return the stored result if this run has finished here, else None.

        None also if the result is damaged, or any other file that going on from a checkpoint makes again; events alone
        are left, since that would mean training again. ConfigError if the folder holds another run, of another command
        or config but for the keys that may differ, or files that are not of a run.
        """
        manifest = self.manifest()
        if manifest is None and not os.path.lexists(self.path / "manifest.json"):
            check_unmarked(self.path, config, may_differ)
            return None
        if manifest is None or manifest.get("config_hash") != config_hash(command, config):
            check_same(self.path, command, manifest or {}, config, may_differ)
            return None
        if manifest.get("status") != "finished":
            return None
        damaged = [name for name in self.damaged() if not fnmatch(name, EVENTS)]
        if result in damaged or (damaged and any((self.path / CHECKPOINTS).glob("*.ckpt"))):
            return None
        return self.read_json(result)

    def damaged(self) -> list[str]:
        """Return the names of the files of a finished run that are not as they were written, or not there."""
        return [name for name, _ in Contents(self.path).damage()]

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
        self, command: str, config: Any, entries: Mapping[str, Any], *, afresh: bool = False
    ) -> Iterator["RunFolder"]:
        """Hold the folder for a run: lock it, write config and manifest, with these entries, and keep its status true.

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
            try:  # from the moment its manifest says `running`
                identity = {"command": command, "config_hash": config_hash(command, config), "code": code}
                manifest = started_manifest(before, identity | dict(entries))
                self.resumed = "resumed" in manifest
                if self.resumed and (changed := changes(before or {}, manifest)) and (self.path / CHECKPOINTS).is_dir():
                    self.log(f"warning:  goes on elsewhere ({changed}): last bits may differ from an unbroken run's")
                self.write_json("manifest.json", manifest)
                if damaged:
                    self.log(f"warning:  not as it was written: {', '.join(damaged)}; made again")
                yield self
                (self.path / "traceback.txt").unlink(missing_ok=True)  # of an earlier attempt
                self._end("finished", files=self.written())
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt) or requested_signal() is not None:
                    self._end("interrupted")
                    raise
                with suppress(OSError):  # a full disk, a folder that is gone: the exception itself says so
                    self.write_text("traceback.txt", traceback.format_exc())
                self._end("failed")
                raise

    def log(self, line: str) -> None:
        """Keep lines in run.log, and print them; they may quote a folder of somebody else."""
        line = "\n".join(map(escaped, line.split("\n")))
        if self.echo:
            print(line, flush=True)
        if not self.lost:
            text = (line + "\n").encode("utf-8", "backslashreplace")
            with suppress(OSError), open(self.path / "run.log", "ab") as file:  # what was printed stands on the screen
                file.write(text)

    def died(self, cause: str) -> None:
        """Write down that the process of the run ended without a word."""
        if self.path.is_dir():
            self.write_text("traceback.txt", cause + "\n")
            self._end("failed")

    def _end(self, status: str, **entries: Any) -> None:
        with suppress(OSError) if status != "finished" else nullcontext():
            manifest = self.manifest() or {}
            self.write_json("manifest.json", manifest | {"status": status, "end": now()} | self.notes | entries)

    def _move_aside(self) -> None:
        if not self.path.is_dir() or not any(self.path.iterdir()):
            return
        with self.lock():  # refuses if a live process runs in it
            here = self.path.resolve()
            if here == Path.cwd() or here in Path.cwd().parents:
                cause = "rerun=true moves it aside, and the working directory is in it"
                raise ConfigError(f"{self.path}: {cause}; change to another one")
            number = 1
            while os.path.lexists(aside := self.path.with_name(f"{self.path.name}.{number}")):
                number += 1
            try:
                self.path.rename(aside)
            except OSError as error:
                cause = f"cannot be moved aside ({error.strerror})"
                raise ConfigError(f"{self.path}: {cause}; choose another folder") from error
