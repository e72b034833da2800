"""`repu-lab train`: train networks in a folder, or go on there."""

import sys
from typing import TYPE_CHECKING

from repu_lab.configs.command import EXIT_NOT_MET, JobCommand, JobResult, lazy
from repu_lab.configs.schema import TrainConfig

if TYPE_CHECKING:
    from repu_lab.runs.building import Experiment
    from repu_lab.runs.folder import RunFolder


def work(config: TrainConfig, experiment: "Experiment", folder: "RunFolder") -> JobResult:
    """Train, and say what became of the networks and what to try next."""
    from tqdm import tqdm

    from repu_lab.runs.advice import say_next
    from repu_lab.runs.checkpoint import Checkpoints
    from repu_lab.runs.forecasting import announce
    from repu_lab.runs.memory import needs
    from repu_lab.runs.pace import Pace
    from repu_lab.runs.state import TrainingRun
    from repu_lab.runs.training import train
    from repu_lab.runs.words import closing_lines

    run = TrainingRun(experiment=experiment, folder=folder, expected=announce(experiment, folder))
    checkpoints = Checkpoints(folder, config.checkpoint.every_seconds, folder.log)
    with tqdm(total=config.steps, unit="step", disable=None, leave=False) as bar:
        pace = Pace(bar, config.steps, needs(experiment), folder.log, terminal=sys.stderr.isatty())
        (result,) = train([run], checkpoints, pace)
    folder.log(closing_lines(result))
    say_next(experiment, run.expected, result["members"], folder)
    return result


def ending(config: TrainConfig, result: JobResult) -> tuple[int, str]:
    """Return whether every member ended as `require` asks, and if not, what became of them."""
    outcomes = result.get("outcomes")
    known = isinstance(outcomes, dict)
    if config.require is None or (known and set(outcomes) <= {config.require}):
        return 0, ""
    became = ", ".join(f"{count} {name}" for name, count in outcomes.items()) if known else "unknown"
    why = f"require={config.require}: not met, of {config.members} network{'s' * (config.members > 1)}: {became}"
    return EXIT_NOT_MET, why


COMMAND = JobCommand(
    name="train",
    purpose="train networks, say what became of them and why",
    config=TrainConfig,
    examples=(
        "repu-lab train activation=repu depth=50",
        "repu-lab train activation=mrepu activation.p=2 depth=50 width=256 members=32",
        "repu-lab train -m activation=repu,mrepu,relu depth=5,10,20,50",
        "repu-lab train experiment=repu_vanishes require=vanished",
        "repu-lab train activation=custom activation._target_=my_module.MyActivation",
    ),
    prepare=lazy("repu_lab.runs.job:build_job"),
    work=work,
    good=("trained",),
    ending=ending,
    populations=True,
    forecast=lazy("repu_lab.runs.forecasting:forecast_run"),
)
