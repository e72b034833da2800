"""One job of a command: return the stored result, or run it in its folder and say what came of it.

torch is imported only when something has to be computed.
"""

import traceback
from pathlib import Path
from typing import Any

from repu_lab.runs.folder import RunFolder
from repu_lab.runs.schema import TrainConfig

EXIT_FAILED, EXIT_NOT_MET, EXIT_INTERRUPTED = 1, 3, 130


def prepare(command: str, config: Any, path: Path) -> None:
    """Raise ConfigError if a job cannot run: everything is built once, without a folder, unless the job is finished."""
    folder = RunFolder(path)
    if folder.finished(command, config) is None:
        from repu_lab.runs.building import build

        build(config)


def train(config: TrainConfig, path: Path) -> int:
    """Train in the folder and return the exit code: 0, 1 failed, 3 `require` not met, 130 interrupted."""
    folder = RunFolder(path)
    result = None if config.rerun else folder.finished("train", config)
    if result is not None:
        manifest = folder.manifest() or {}
        print(f"stored result of {manifest.get('end')} (commit {manifest.get('git_commit')}); rerun=true runs it again")
        print(f"{result['verdict']}\nfolder:   {path}")
        return exit_code(config, result)

    from repu_lab.runs import training
    from repu_lab.runs.building import build
    from repu_lab.runs.forecasting import forecast_run

    experiment = build(config)
    try:
        with folder.run("train", config, {"device": str(experiment.device), "threads": experiment.threads}):
            expected = None
            try:
                expected = forecast_run(experiment)
                folder.log(f"advice:   {expected.advice}")
            except ValueError as error:
                folder.log(f"forecast: none, since {error}")
            if experiment.rule.note:
                folder.log(f"start:    {experiment.rule.note}")
            result = training.train(experiment, folder, expected)
            folder.write_json("result.json", result)
            folder.log(
                f"{result['verdict']}\n"
                f"time:     {result['seconds']:.1f} s for {result['steps']} steps ({result['steps_per_second']:.0f} a "
                f"second), {result['statistics_share']:.1%} of it for statistics\n"
                f"folder:   {path}\n"
                f"look:     tensorboard --logdir {path.parent}"
            )
    except KeyboardInterrupt:
        print(f"interrupted; what was measured so far is in {path}")
        return EXIT_INTERRUPTED
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        print(
            f"failed: {type(error).__name__}: {error} ({last.name}, line {last.lineno}); see {path / 'traceback.txt'}"
        )
        return EXIT_FAILED
    return exit_code(config, result)


def exit_code(config: TrainConfig, result: dict[str, Any]) -> int:
    """Return 3 if some member did not end as `require` says, else 0."""
    met = config.require is None or set(result["outcomes"]) <= {config.require}
    if not met:
        print(f"require={config.require}: not met, {result['outcomes']}")
    return 0 if met else EXIT_NOT_MET
