"""Run the checked jobs of a command line and gather their exit codes; Hydra runs those of its own launchers."""

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from repu_lab.configs import config, mistakes
from repu_lab.configs.composition import Job
from repu_lab.configs.config import ConfigError
from repu_lab.configs.groups import conf_dir
from repu_lab.configs.spelling import literal
from repu_lab.runs.folder import RunFolder
from repu_lab.sweeps.job_table import extended
from repu_lab.sweeps.launching import launch, plan

FAILED, MISTAKE, NOT_MET = 1, 2, 3


def run_jobs(
    command: str, target: str, overrides: Sequence[str], jobs: Sequence[Job], show: Sequence[str], multirun: bool
) -> int:
    """Run the jobs by target, `module:function` of a config and a folder, or only show the config of one.

    Return the command's exit code; ConfigError if a job cannot run, before any has started.
    """
    if not show and getattr(jobs[0].config, "plan", False):
        return plan(command, jobs, jobs[0].launcher)
    if multirun and not show and jobs[0].launcher is not None:
        return launch(command, jobs, jobs[0].launcher)
    module, _, name = target.partition(":")
    commands = importlib.import_module(module)
    run: Callable[[Any, Path], int] = getattr(commands, name)
    if show:
        _hydra(command, lambda _: None, [*show, *overrides])
        return 0
    longer = {} if not multirun else {
        _relative(job.folder): steps for job in jobs if (steps := extended(command, job)) and not job.config.rerun
    }  # fmt: skip
    for job in jobs:
        if _relative(job.folder) not in longer:
            commands.prepare(command, job.config, job.folder)
    if not multirun:
        return run(jobs[0].config, _relative(jobs[0].folder))
    results: list[tuple[Path, int]] = []
    typed = sys.argv

    def task(cfg: DictConfig) -> None:
        # Its bare value: a $ in the working directory's name refers to nothing.
        runtime: Any = HydraConfig.get().runtime
        folder = _relative(Path(runtime._get_node("output_dir")._value()))
        with _argv(typed):  # what the run's manifest shall tell
            code = 0 if folder in longer else _run(command, run, cfg, folder)
        results.append((folder, code))

    # Hydra evaluates the sweep's folder once for each job, from the job's own overrides: it would be another one.
    _hydra(command, task, ["--multirun", *overrides, f"hydra.sweep.dir={literal(str(jobs[0].sweep))}"])
    codes = [code for _, code in results]
    _print_table(jobs, results, longer)
    return FAILED if any(code not in (0, NOT_MET) for code in codes) else max(codes, default=0)


def _hydra(command: str, task: Callable[[DictConfig], None], arguments: Sequence[str]) -> None:
    """Let Hydra do a task for each job of a command line, or show its config."""
    application = hydra.main(config_path=str(conf_dir()), config_name=command, version_base="1.3")(task)
    try:
        with _argv([sys.argv[0], *arguments]), _errors_raised():
            application()
    except (HydraException, OmegaConfBaseException, OSError) as error:
        raise ConfigError(mistakes.one_line(error)) from error


def _run(command: str, run: Callable[[Any, Path], int], cfg: DictConfig, folder: Path) -> int:
    try:
        return run(config.check(command, cfg), folder)
    except ConfigError as error:
        print(mistakes.escaped(f"repu-lab {command}: {error}"), file=sys.stderr)
        return MISTAKE


def _relative(path: Path) -> Path:
    """Return a path as seen from the working directory, as people type it, if it lies inside."""
    here, path = Path.cwd(), Path(os.path.abspath(path))
    return path.relative_to(here) if path.is_relative_to(here) else path


@contextmanager
def _argv(arguments: Sequence[str]) -> Iterator[None]:
    before = sys.argv
    sys.argv = list(arguments)
    try:
        yield
    finally:
        sys.argv = before


@contextmanager
def _errors_raised() -> Iterator[None]:
    """Let Hydra raise its errors instead of printing them and exiting."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before


def _print_table(
    jobs: Sequence[Job], results: Sequence[tuple[Path, int]], longer: Mapping[Path, int]
) -> None:  # fmt: skip
    """Print one line a job: what became of its members, what sets it apart from the others, where it lies.

    `longer`: the steps of those that were extended.
    """
    shared = set.intersection(*(set(job.overrides) for job in jobs)) if len(jobs) > 1 else set()
    rows = []
    for job, (folder, code) in zip(jobs, results, strict=False):
        outcomes = (RunFolder(folder).read_json("result.json") or {}).get("outcomes")
        became = "failed" if code else "done"
        if isinstance(outcomes, dict):
            became = ", ".join(f"{outcome} {count}" for outcome, count in outcomes.items())
        became = f"extended to {longer[folder]} steps, {became}" if folder in longer else became
        own = " ".join(override for override in job.overrides if override not in shared)
        rows.append((became, own, folder.name))
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    print(f"{len(results)} job{'s' * (len(results) != 1)} in {jobs[0].sweep}:")
    for became, overrides, name in rows:
        print(mistakes.escaped(f"  {became:{widths[0]}}  {overrides:{widths[1]}}  {name}"))
