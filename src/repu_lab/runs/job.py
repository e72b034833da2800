"""One job of a command: return the stored result, or do the work in its folder and say what came of it."""

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from repu_lab.configs.command import EXIT_FAILED, JobCommand, Prepared
from repu_lab.configs.config import ConfigError
from repu_lab.configs.files import Damaged
from repu_lab.configs.importing import uncollected
from repu_lab.configs.text import escaped, one_line
from repu_lab.runs.folder import RunFolder
from repu_lab.runs.interruption import requested_signal
from repu_lab.runs.paths import EVENTS, GROUPS, where_to_look
from repu_lab.runs.reading import Contents


def check_job(command: JobCommand, config: Any, path: Path) -> None:
    """Raise ConfigError if a job cannot run: everything is built once, without a folder, unless the job is finished."""
    if stored_result(command, config, RunFolder(path)) is None:
        command.prepare(config, path)


def run_job(command: JobCommand, config: Any, path: Path) -> int:
    """Do a job in its folder, or go on there; return the exit code: 0, 1 failed, 3 not as its config requires.

    Interrupted, after a checkpoint if there are any, if a signal asks.
    """
    folder = RunFolder(path)
    result = stored_result(command, config, folder)
    if result is not None and not config.rerun:
        _show_stored(folder, result)
    elif (result := _worked(command, config, folder)) is None:
        return EXIT_FAILED
    code, why = command.ending(config, result)
    if why:
        print(escaped(why))
    if (line := command.after(path)) is not None:
        folder.log(line)
    return code


def stored_result(command: JobCommand, config: Any, folder: RunFolder) -> dict[str, Any] | None:
    """Return the stored result of a job, None if it has to run; ConfigError if it cannot run in its folder."""
    resume = getattr(config, "resume", None)
    stored = folder.finished(command.name, config, command.result or "manifest.json", ("steps",) if resume else ())
    if command.result is None:
        return None
    if stored is None and resume:
        from repu_lab.runs.checkpoint import steps_done

        if (done := steps_done(folder)) > config.steps:
            raise ConfigError(f"steps={config.steps}: the run in {folder.path} has done {done}; give that many or more")
        if group := (folder.manifest() or {}).get("group"):
            jobs = group.get("jobs") if isinstance(group, dict) else group
            cause = f"was trained together with the other jobs of its sweep ({jobs}), whose bits depend on each other"
            raise ConfigError(f"resume={folder.path}: {cause}; type the sweep again")
    return stored


def build_job(config: Any, path: Path) -> Prepared:
    """Build the networks, the data and all else that a job is made of: what a command of networks prepares."""
    with uncollected():
        import torch

        from repu_lab.runs.building import build
    experiment = build(config)
    circumstances = {"device": str(experiment.device), "threads": torch.get_num_threads()}
    return Prepared(parts=experiment, circumstances=circumstances, afresh=config.rerun)


def _show_stored(folder: RunFolder, result: Mapping[str, Any]) -> None:
    manifest = folder.manifest() or {}
    if damaged := folder.damaged():
        print(f"warning:  not as it was written: {', '.join(damaged)}; rerun=true makes it again")
    made = f"stored result of {manifest.get('end')} (commit {manifest.get('git_commit')}); rerun=true runs it again"
    texts = [made, *(str(result[key]) for key in ("table", "verdict", "text") if key in result)]
    texts += [str(manifest["next"])] if manifest.get("next") else []
    for line in (line for text in texts for line in text.splitlines()):
        print(escaped(line))  # the folder may be somebody else's
    print(f"folder:   {folder.path}")


def _worked(command: JobCommand, config: Any, folder: RunFolder) -> Mapping[str, Any] | None:
    """Do a job's work, write its result and return it; print why and return None if it failed."""
    prepared = command.prepare(config, folder.path)
    warning = _extension(config, folder)
    try:
        with folder.run(command.name, config, prepared.circumstances, afresh=prepared.afresh):
            if warning is not None:
                folder.log(warning)
            result = command.work(config, prepared.parts, folder)
            if command.result is not None:
                folder.write_json(command.result, result)
            folder.log(f"folder:   {folder.path}")
            if any(folder.path.glob(EVENTS)):
                folder.log(where_to_look(folder.path.parent, folder.path.name))
    except KeyboardInterrupt:
        print(f"interrupted; the same command goes on with the run in {folder.path}")
        raise
    except ConfigError:
        raise
    except Exception as error:
        if requested_signal() is not None:
            raise
        last = traceback.extract_tb(error.__traceback__)[-1]
        file = folder.path / "traceback.txt"
        see = f"; see {file}" if file.exists() else ""
        print(f"failed: {type(error).__name__}: {one_line(error)} ({last.name}, line {last.lineno}){see}")
        return None
    return result


def _extension(config: Any, folder: RunFolder) -> str | None:
    """Return the warning for a job of a sweep that goes on to more steps than the sweep gave it, else None."""
    sweep = next((parent for parent in folder.path.absolute().parents if (parent / GROUPS).is_dir()), None)
    if getattr(config, "resume", None) is None or sweep is None:
        return None
    try:
        steps = Contents(folder.path).config().get("steps")
    except Damaged:
        return None
    if steps == config.steps:
        return None
    return (
        f"warning:  {folder.path.name} is a job of the sweep in {sweep}, which gave it {steps} steps; the sweep will "
        "show it as extended, and rerun=true runs it again"
    )
