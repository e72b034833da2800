"""The door: `repu-lab COMMAND ...`. Nothing heavy is imported before a command needs it.

Exit codes: 0 done, 1 a run failed, or standard output could not be written (a full disk), 2 a mistake in the command
line (one line says which, nothing was written), 3 `require=` was not met, 128 + n interrupted by signal n: 130 is
Ctrl-C, 143 SIGTERM. A sweep exits with 1 if any of its jobs failed, else 3 if any was not as required.
"""

import os
import sys
from collections.abc import Sequence
from errno import ENAMETOOLONG
from pathlib import Path

from repu_lab import __version__
from repu_lab.configs.command import COMMANDS, JobCommand, PathCommand
from repu_lab.configs.importing import uncollected
from repu_lab.runs.interruption import Interrupted, terminable
from repu_lab.runs.streams import standard_streams

USAGE = """\
usage: repu-lab COMMAND [-m] [key=value ...]
       repu-lab results|report|compare DIR

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

# How often one of torch's threads looks whether the others are done before it sleeps; OpenMP's own 300,000 take its
# core from whoever else wants it, and from the thread it waits for.
SPINS = "2500"
MULTIRUN = ("-m", "--multirun")
HELP = ("-h", "--help")
COMPLETION = ("-sc", "--shell-completion")
# Hydra's own options that show a config instead of running it, with what they can show.
CFG, PARTS, RESOLVE = ("-c", "--cfg"), ("job", "hydra", "all"), "--resolve"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # read when torch is imported
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
        print(
            USAGE.format(commands="\n".join(f"  {name:12}{command.purpose}" for name, command in COMMANDS.items())),
            end="",
        )
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

        return shell_completion(rest[1:])
    name, *rest = rest
    command = COMMANDS.get(name)
    if command is None:
        return _unknown_command(name)
    if any(argument in HELP for argument in rest):
        print(command.help(), end="")
        return 0
    from repu_lab.configs.config import ConfigError

    try:
        if isinstance(command, PathCommand):
            return command.run([*multirun, *rest])
        return _run_jobs(command, rest, bool(multirun))
    except ConfigError as error:
        return _complain(f"{name}: {error}", 2)
    except OSError as error:  # what the system does not do, such as to write to a disk that is full
        code = 2 if error.errno == ENAMETOOLONG else 1
        return _complain(f"{name}: {error.filename or ''}: {error.strerror or error}", code)


def _run_jobs(command: JobCommand, arguments: list[str], multirun: bool) -> int:
    """Compose and check every job of a command line, and run them; ConfigError before any has started."""
    with uncollected():
        from repu_lab.configs.composition import compose_jobs, shown_config
        from repu_lab.configs.config import ConfigError
        from repu_lab.configs.configfile import unfold
        from repu_lab.configs.points import has_points
        from repu_lab.configs.spelling import spelt_out
    options, overrides = _split(arguments)
    if multirun and not command.sweeps:
        raise ConfigError(f"-m: {command.name} makes no sweep; leave it out, as in {command.examples[-1]}")
    multirun = multirun or has_points(overrides)
    overrides = unfold(command.name, spelt_out(command.name, overrides), multirun)
    jobs = compose_jobs(command.name, overrides, multirun)
    if options and multirun:
        raise ConfigError(f"{next(iter(options))}: shows the config of one run; leave out -m")
    if options:
        print(shown_config(command.name, overrides, options["--cfg"], "--resolve" in options), end="")
        return 0
    job = jobs[0]
    if getattr(job.config, "plan", False):
        from repu_lab.sweeps.launching import plan

        return plan(command.name, jobs, job.launcher)
    if job.launcher is not None:
        from repu_lab.sweeps.launching import launch

        return launch(command.name, jobs, job.launcher)
    from repu_lab.runs.job import run_job

    here, folder = Path.cwd(), Path(os.path.abspath(job.folder))
    return run_job(command, job.config, folder.relative_to(here) if folder.is_relative_to(here) else folder)


def _split(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """Part the options that show a config from the overrides; ConfigError for an option that is none."""
    from repu_lab.configs.config import ConfigError
    from repu_lab.configs.text import nearest, printable

    options: dict[str, str] = {}
    overrides: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        if not argument.startswith("-"):
            overrides.append(argument)
        elif argument in CFG:
            options["--cfg"] = part = next(remaining, "")
            if part not in PARTS:
                raise ConfigError(f"{argument} {printable(part)}: must be job, hydra or all")
        elif argument == RESOLVE:
            options[RESOLVE] = ""
        else:
            valid = [*MULTIRUN, *HELP, *CFG, RESOLVE]
            raise ConfigError(
                f"{printable(argument)}: no such option{nearest(argument, valid)}; valid: {', '.join(valid)}"
            )
    if options and "--cfg" not in options:
        raise ConfigError(f"{RESOLVE}: belongs to --cfg job, which shows the config")
    return options, overrides


def _unknown_command(name: str) -> int:
    from repu_lab.configs.text import nearest, printable

    what = "option" if name.startswith("-") else "command"
    valid = ["--help", "--version"] if what == "option" else list(COMMANDS)
    if "=" in name and what == "command":
        return _complain(f"{printable(name)}: a command comes first, for example repu-lab train {printable(name)}", 2)
    return _complain(f"{printable(name)}: no such {what}{nearest(name, valid)}; valid: {', '.join(valid)}", 2)


def _complain(message: str, code: int) -> int:
    if not message.isprintable():  # names come from files and folders too: none of them speaks to the terminal
        from repu_lab.configs.text import escaped

        message = escaped(message)
    print(f"repu-lab: {message}" if code != 2 else f"repu-lab {message}", file=sys.stderr)
    return code
