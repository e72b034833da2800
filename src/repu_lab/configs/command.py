"""What a command is, and the table of them: each is a file of repu_lab/commands/ that holds its COMMAND.

The command line, help, completion, Hydra's config store, plans, sweeps and tables all look commands up here, so that a
new one is one file and its conf/<name>.yaml. A command's file is read when it is first needed and imports what is heavy
inside its functions: `repu-lab --help` reads all of them in 50 ms.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import repu_lab

PLACE = Path(repu_lab.__file__).parent / "commands"
FIRST = ("train", "propagate", "theory", "reproduce")  # in every list; then the others by name
EXIT_FAILED, EXIT_NOT_MET = 1, 3

JobResult = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What a job is made of, what its manifest says of the circumstances, and whether the old folder is moved aside."""

    parts: Any = None
    circumstances: Mapping[str, Any] = field(default_factory=dict)
    afresh: bool = False


@dataclass(frozen=True, kw_only=True)
class JobCommand:
    """A command of key=value: each of its jobs is a checked config and a folder.

    prepare(config, folder): what the job is made of; ConfigError if it cannot run. Nothing is written.
    work(config, parts, folder): the job's result, made in its locked folder (runs.folder.RunFolder). It holds
    `outcomes`, how many networks ended how; its `table`, `verdict` and `text` are printed when it is stored already.
    ending(config, result): the exit code (0 done, 1 failed, 3 not as required) and, unless it is 0, why.
    """

    name: str
    purpose: str
    config: type  # the dataclass of its keys, see configs/schema.py
    examples: tuple[str, ...]
    prepare: Callable[[Any, Path], Prepared]
    work: Callable[[Any, Any, Any], JobResult]
    result: str | None = "result.json"  # the file of a job's result; None: each job finds out what is done
    good: tuple[str, ...] = ()  # the outcomes of networks that did well
    ending: Callable[[Any, JobResult], tuple[int, str]] = lambda config, result: (0, "")
    # What to do with a finished folder; returns a line to print.
    after: Callable[[Path], str | None] = lambda folder: None
    folder: Callable[[Any], str] | None = None  # a job's folder; None: named by its networks and a hash of the config
    populations: bool = False  # whether jobs that differ in what a member may have of its own are one population
    forecast: Callable[[Any], Any] | None = None  # theory's Forecast of those parts; ValueError if it has none
    columns: tuple[str, ...] = ()  # titles of a sweep's table; none: outcomes, metric and seconds
    row: Callable[[JobResult], tuple[str, ...]] | None = None  # the cells below them
    picture: Callable[[Sequence[Any]], str | None] = lambda jobs: None  # draws a sweep; returns where

    @property
    def sweeps(self) -> bool:
        """Whether -m makes a sweep of it: its config has a name for one."""
        return hasattr(self.config, "sweep")

    def help(self) -> str:
        """Return what `repu-lab NAME --help` prints."""
        from repu_lab.configs.usage import command_help

        return command_help(self)


@dataclass(frozen=True, kw_only=True)
class PathCommand:
    """A command of a folder and options; `run` takes what was typed and returns the exit code."""

    name: str
    purpose: str
    text: str  # its help
    run: Callable[[Sequence[str]], int]

    def help(self) -> str:
        """Return what `repu-lab NAME --help` prints."""
        return self.text


def lazy(target: str) -> Callable[..., Any]:
    """Return a function, named as `module:function`, that is imported when it is called."""

    def call(*arguments: Any) -> Any:
        module, _, name = target.partition(":")
        return getattr(import_module(module), name)(*arguments)

    return call


class _Table(Mapping[str, JobCommand | PathCommand]):
    def __getitem__(self, name: str) -> JobCommand | PathCommand:
        if name not in _names():
            raise KeyError(name)
        return import_module(f"repu_lab.commands.{name}").COMMAND

    def __iter__(self) -> Iterator[str]:
        return iter(_names())

    def __len__(self) -> int:
        return len(_names())


@cache
def _names() -> tuple[str, ...]:
    names = sorted(file.stem for file in PLACE.glob("*.py") if not file.stem.startswith("_"))
    return *(name for name in FIRST if name in names), *(name for name in names if name not in FIRST)


COMMANDS = _Table()


def job_command(name: str) -> JobCommand:
    """Return a command of key=value; KeyError if there is none of this name."""
    command = COMMANDS[name]
    if not isinstance(command, JobCommand):
        raise KeyError(name)
    return command


def job_commands() -> dict[str, JobCommand]:
    """Return all commands of key=value by name."""
    return {name: command for name, command in COMMANDS.items() if isinstance(command, JobCommand)}
