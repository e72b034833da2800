"""The door: `repu-lab COMMAND ...`. Nothing heavy is imported before a command needs it.

Exit codes: 0 done, 1 a run failed, or standard output could not be written (a full disk), 2 a mistake in the command
line (one line says which, nothing was written), 3 `require=` was not met, 128 + n interrupted by signal n: 130 is
Ctrl-C, 143 SIGTERM. A sweep exits with 1 if any of its jobs failed, else 3 if any was not as required.
"""

import importlib
import itertools
import os
import sys
from collections.abc import Sequence
from errno import ENAMETOOLONG

from repu_lab import __version__
from repu_lab.runs.interruption import Interrupted, terminable
from repu_lab.runs.streams import standard_streams

# Name: what it does, and the function (config, folder) -> exit code that does it to one job. Each is a Hydra
# application over conf/<name>.yaml.
COMMANDS = {
    "train": ("train networks, say what became of them and why", "repu_lab.runs.commands:train"),
    "propagate": ("measure signal propagation at initialization beside theory", "repu_lab.runs.commands:propagate"),
    "theory": ("say what theory knows of an activation, without a network", "repu_lab.runs.commands:theory"),
    "reproduce": ("judge the claims of the paper, one after another", "repu_lab.report.reproducing:reproduce"),
}
# Name: what it does, and the module whose HELP is its help and whose command(arguments) gives its exit code.
PATH_COMMANDS = {
    "results": ("one table of all runs below a folder, also as CSV or JSON", "repu_lab.catalogue.command"),
    "report": ("one HTML page of a run, a sweep or a reproduction", "repu_lab.report.command"),
}

USAGE = """\
usage: repu-lab COMMAND [-m] [key=value ...]
       repu-lab results|report DIR

Will this activation, at this depth, width and initialization, carry a signal and train, and why?

commands:
{commands}

  repu-lab COMMAND --help     its keys, their defaults and valid values
  repu-lab --version          the version
  -m                          a sweep: several values for a key, as in depth=5,10,20

examples:
  repu-lab train activation=repu depth=50
  repu-lab train -m activation=repu,mrepu,relu depth=5,10,20,50
  tensorboard --logdir outputs

completion: eval "$(repu-lab -sc install=bash)", or zsh; in fish: repu-lab -sc install=fish | source
"""

MULTIRUN = ("-m", "--multirun")
HELP = ("-h", "--help")
COMPLETION = ("-sc", "--shell-completion")
# Hydra's own options that show a config instead of running it, and whether a value follows.
SHOW = {"-c": True, "--cfg": True, "--resolve": False}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    before, sys.argv = sys.argv, [sys.argv[0], *arguments]  # what was typed, for the manifests
    try:
        with standard_streams() as lost:
            code = _ended(arguments)
            if code == 0 and (why := lost()):
                return _complain(f"standard output cannot be written ({why})", 1)
            return code
    finally:
        sys.argv = before


def _ended(arguments: list[str]) -> int:
    try:
        with terminable():
            return _dispatch(arguments)
    except Interrupted as signal:
        return _complain("interrupted", signal.code)


def _dispatch(arguments: list[str]) -> int:
    multirun = [argument for argument in arguments if argument in MULTIRUN]
    rest = [argument for argument in arguments if argument not in MULTIRUN]
    if not rest or rest[0] in HELP:
        print(USAGE.format(commands="\n".join(f"  {name:12}{text}" for name, text in _purposes().items())), end="")
        return 0
    if rest[0] == "--version":
        print(f"repu-lab {__version__}")
        return 0
    try:
        os.getcwd()
    except OSError:
        return _complain(f"{rest[0][:80]}: the working directory was removed; go to another one", 2)
    if rest[0] in COMPLETION:
        from repu_lab.configs.completion import shell_completion

        return shell_completion(rest[1:], _purposes())
    name, *rest = rest
    if name in PATH_COMMANDS:
        return _path_command(name, [*multirun, *rest])
    if name not in COMMANDS:
        return _unknown_command(name)
    if any(argument in HELP for argument in rest):
        from repu_lab.configs.usage import command_help

        print(command_help(name, COMMANDS[name][0]), end="")
        return 0
    return _command(name, rest, bool(multirun))


def _purposes() -> dict[str, str]:
    return {name: text for name, (text, _) in (COMMANDS | PATH_COMMANDS).items()}


def _path_command(name: str, arguments: list[str]) -> int:
    module = importlib.import_module(PATH_COMMANDS[name][1])
    if any(argument in HELP for argument in arguments):
        print(module.HELP, end="")
        return 0
    from repu_lab.configs.config import ConfigError

    try:
        return module.command(arguments)
    except ConfigError as error:
        return _complain(f"{name}: {error}", 2)
    except OSError as error:
        return _refused(name, error)


def _command(name: str, arguments: list[str], multirun: bool) -> int:
    """Check every job of a command line, then let Hydra run them."""
    from repu_lab.configs.composition import compose_jobs
    from repu_lab.configs.config import ConfigError
    from repu_lab.configs.configfile import unfold
    from repu_lab.configs.points import has_points
    from repu_lab.configs.spelling import spelt_out

    try:
        show, overrides = _split(arguments)
        if multirun and name == "reproduce":
            raise ConfigError("-m: a reproduction is no sweep; leave it out (claim=6,7 names several claims)")
        multirun = multirun or has_points(overrides)
        overrides = unfold(name, spelt_out(name, overrides), multirun)
        jobs = compose_jobs(name, overrides, multirun)
        if show and multirun:
            raise ConfigError(f"{show[0]}: shows the config of one run; leave out -m")
        from repu_lab.sweeps.jobs import run_jobs

        return run_jobs(name, COMMANDS[name][1], overrides, jobs, show, multirun)
    except ConfigError as error:
        return _complain(f"{name}: {error}", 2)
    except OSError as error:
        return _refused(name, error)


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Part Hydra's options from the overrides; ConfigError for an option that is none."""
    from repu_lab.configs.config import ConfigError
    from repu_lab.configs.mistakes import nearest, printable

    options: list[str] = []
    overrides: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        if not argument.startswith("-"):
            overrides.append(argument)
        elif argument not in SHOW:
            valid = [*MULTIRUN, *HELP, *SHOW]
            hint = nearest(argument, valid)
            raise ConfigError(f"{printable(argument)}: no such option{hint}; valid: {', '.join(valid)}")
        else:
            options += [argument, *([next(remaining, "")] if SHOW[argument] else [])]
            if SHOW[argument] and options[-1].startswith("-"):
                raise ConfigError(f"{argument}: has no value, {printable(options[-1])} follows")
    for option, value in itertools.pairwise(options):
        if option in ("-c", "--cfg") and value not in ("job", "hydra", "all"):
            raise ConfigError(f"{option} {printable(value)}: must be job, hydra or all")
    if options and not any(option in ("-c", "--cfg") for option in options):
        raise ConfigError(f"{options[0]}: belongs to --cfg job, which shows the config")
    return options, overrides


def _unknown_command(name: str) -> int:
    from repu_lab.configs.mistakes import nearest, printable

    what = "option" if name.startswith("-") else "command"
    valid = ["--help", "--version"] if what == "option" else list(_purposes())
    if "=" in name and what == "command":
        return _complain(f"{printable(name)}: a command comes first, for example repu-lab train {printable(name)}", 2)
    return _complain(f"{printable(name)}: no such {what}{nearest(name, valid)}; valid: {', '.join(valid)}", 2)


def _refused(name: str, error: OSError) -> int:
    """Say what the system does not do, such as to write to a disk that is full."""
    code = 2 if error.errno == ENAMETOOLONG else 1
    return _complain(f"{name}: {error.filename or ''}: {error.strerror or error}", code)


def _complain(message: str, code: int) -> int:
    if not message.isprintable():  # names come from files and folders too: none of them speaks to the terminal
        from repu_lab.configs.mistakes import escaped

        message = escaped(message)
    print(f"repu-lab: {message}" if code != 2 else f"repu-lab {message}", file=sys.stderr)
    return code
