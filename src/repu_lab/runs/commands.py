"""One job of a command: return the stored result, or do the work in its folder and say what came of it.

torch is imported only when something has to be computed.
"""

import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from repu_lab.configs.config import ConfigError
from repu_lab.configs.files import Damaged
from repu_lab.configs.mistakes import escaped, one_line
from repu_lab.configs.schema import PropagateConfig, TheoryConfig, TrainConfig
from repu_lab.runs.folder import RunFolder
from repu_lab.runs.guarding import GROUPS
from repu_lab.runs.interruption import asked
from repu_lab.runs.reading import Contents

if TYPE_CHECKING:
    from repu_lab.runs.building import Experiment

EXIT_FAILED, EXIT_NOT_MET = 1, 3
RESULTS = {"train": "result.json", "propagate": "result.json", "theory": "theory.json"}


def prepare(command: str, config: Any, path: Path) -> None:
    """Raise ConfigError if a job cannot run: everything is built once, without a folder, unless the job is finished."""
    if _stored(command, config, RunFolder(path)) is None:
        if command == "theory":
            from repu_lab.runs.analysis import check_theory

            check_theory(config)
        else:
            from repu_lab.runs.building import build

            build(config)


def train(config: TrainConfig, path: Path) -> int:
    """Train in the folder, or go on there; return the exit code: 0, 1 failed, 3 `require` not met.

    Interrupted, after a checkpoint, if a signal asks.
    """

    def work(experiment: "Experiment", folder: RunFolder) -> dict[str, Any]:
        from repu_lab.runs.advice import next_command
        from repu_lab.runs.checkpoint import Checkpoints
        from repu_lab.runs.forecasting import announce
        from repu_lab.runs.memory import needs
        from repu_lab.runs.pace import Pace
        from repu_lab.runs.state import Run
        from repu_lab.runs.training import train

        run = Run(experiment=experiment, folder=folder, expected=announce(experiment, folder))
        checkpoints = Checkpoints(folder, config.checkpoint.every_seconds, folder.log)
        with tqdm(total=config.steps, unit="step", disable=None, leave=False) as bar:
            pace = Pace(bar, config.steps, needs(experiment), folder.log, terminal=sys.stderr.isatty())
            (result,) = train([run], checkpoints, pace)
        tell(folder, result)
        # Told, not stored: jobs that train together store what each would alone, and 256 of them are given no advice.
        if (told := next_command(experiment, run.expected, result["members"], path / "config.yaml")) is not None:
            folder.log(f"next:     {told}")
        return result

    code, result = _do("train", config, path, work)
    if code or meets(config, result):
        return code
    outcomes = result.get("outcomes")
    became = (
        ", ".join(f"{count} {name}" for name, count in outcomes.items()) if isinstance(outcomes, dict) else "unknown"
    )
    print(escaped(f"require={config.require}: not met, since of {config.members} networks became {became}"))
    return EXIT_NOT_MET


def meets(config: TrainConfig, result: Mapping[str, Any]) -> bool:
    """Whether every member ended as `require` asks."""
    outcomes = result.get("outcomes")
    return config.require is None or (isinstance(outcomes, dict) and set(outcomes) <= {config.require})


def tell(folder: RunFolder, result: Mapping[str, Any]) -> None:
    """Say what came of a training run and how long it took."""
    from repu_lab.runs.words import took

    folder.log(f"{result['verdict']}\ntime:     {took(result)}")


def propagate(config: PropagateConfig, path: Path) -> int:
    """Measure signal propagation at initialization beside theory; exit codes as for train."""

    def work(experiment: "Experiment", folder: RunFolder) -> dict[str, Any]:
        from repu_lab.runs.forecasting import announce
        from repu_lab.runs.memory import keys_named
        from repu_lab.runs.propagation import propagate

        with keys_named(config, experiment.device):
            result = propagate(experiment, folder, announce(experiment, folder))
        folder.log(f"{result['table']}\n{result['verdict']}\npicture:  {path / 'propagation.png'}")
        return result

    return _do("propagate", config, path, work)[0]


def theory(config: TheoryConfig, path: Path) -> int:
    """Say what theory knows of the activation; exit codes as for train."""

    def work(_: None, folder: RunFolder) -> dict[str, Any]:
        from repu_lab.configs.code import activation_name
        from repu_lab.runs.analysis import analyse_activation
        from repu_lab.theory.patience import waiting

        with waiting(activation_name(config.activation), folder.log) as watch:
            result = analyse_activation(config, folder)
        if watch.cost:
            folder.log(watch.cost)
        folder.log(result["text"])
        return result

    return _do("theory", config, path, work)[0]


def _do(command: str, config: Any, path: Path, work: Callable[[Any, RunFolder], dict[str, Any]]) -> tuple[int, Any]:
    """Return the exit code and the result, which is {} unless the code is 0."""
    folder = RunFolder(path)
    stored = _stored(command, config, folder)
    if stored is not None and not config.rerun:
        manifest = folder.manifest() or {}
        if damaged := folder.damaged():
            print(f"warning:  not as it was written: {', '.join(damaged)}; rerun=true makes it again")
        made = f"stored result of {manifest.get('end')} (commit {manifest.get('git_commit')})"
        told = [
            f"{made}; rerun=true runs it again",
            *(stored[key] for key in ("table", "verdict", "text") if key in stored),
        ]
        print(
            *(escaped(line) for text in told for line in str(text).splitlines()), sep="\n"
        )  # the folder may be foreign
        print(f"folder:   {path}")
        return 0, stored
    experiment = None
    if command != "theory":
        from repu_lab.runs.building import build

        experiment = build(config)
    about = {} if experiment is None else {"device": str(experiment.device), "threads": experiment.threads}
    warning = _extension(config, folder)
    try:
        with folder.run(command, config, about, afresh=config.rerun):
            if warning is not None:
                folder.log(warning)
            result = work(experiment, folder)
            folder.write_json(RESULTS[command], result)
            folder.log(f"folder:   {path}")
            if command != "theory":
                folder.log(f"look:     tensorboard --logdir {path.parent}")
    except KeyboardInterrupt:
        print(f"interrupted; the same command goes on with the run in {path}")
        raise
    except ConfigError:
        raise
    except Exception as error:
        if asked() is not None:
            raise
        last = traceback.extract_tb(error.__traceback__)[-1]
        see = f"; see {path / 'traceback.txt'}" if (path / "traceback.txt").exists() else ""
        print(f"failed: {type(error).__name__}: {one_line(error)} ({last.name}, line {last.lineno}){see}")
        return EXIT_FAILED, {}
    return 0, result


def _extension(config: Any, folder: RunFolder) -> str | None:
    """Return the warning for a job of a sweep that goes on to more steps than the sweep gave it, else None."""
    sweep = next((parent for parent in folder.path.absolute().parents if (parent / GROUPS).is_dir()), None)
    if getattr(config, "resume", None) is None or sweep is None:
        return None
    try:
        steps = Contents(folder.path).config().get("steps")
    except Damaged:
        return None
    told = f"is a job of the sweep in {sweep}, which gave it {steps} steps; the sweep will show it as extended"
    return f"warning:  {folder.path.name} {told}, and rerun=true runs it again" if steps != config.steps else None


def _stored(command: str, config: Any, folder: RunFolder) -> dict[str, Any] | None:
    """Return the stored result of a job, None if it has to run; ConfigError if it cannot run in its folder."""
    resume = getattr(config, "resume", None)
    stored = folder.finished(command, config, RESULTS[command], ("steps",) if resume else ())
    if stored is None and resume:
        from repu_lab.runs.checkpoint import steps_done

        if (done := steps_done(folder)) > config.steps:
            raise ConfigError(f"steps={config.steps}: the run in {folder.path} has done {done}; give that many or more")
        if group := (folder.manifest() or {}).get("group"):
            jobs = group.get("jobs") if isinstance(group, dict) else group
            told = f"was trained together with the other jobs of its sweep ({jobs})"
            raise ConfigError(f"resume={folder.path}: {told}, whose bits depend on each other; type the sweep again")
    return stored
