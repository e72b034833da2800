"""`repu-lab propagate`: measure signal propagation at initialization beside theory."""

from typing import TYPE_CHECKING

from repu_lab.configs.command import JobCommand, JobResult, lazy
from repu_lab.configs.schema import PropagateConfig

if TYPE_CHECKING:
    from repu_lab.runs.building import Experiment
    from repu_lab.runs.folder import RunFolder


def work(config: PropagateConfig, experiment: "Experiment", folder: "RunFolder") -> JobResult:
    """Measure every layer, and print it beside theory."""
    from repu_lab.runs.advice import say_next
    from repu_lab.runs.forecasting import announce
    from repu_lab.runs.memory import keys_named
    from repu_lab.runs.propagation import propagate

    with keys_named(config, experiment.device):
        expected = announce(experiment, folder)
        result = propagate(experiment, folder, expected)
    folder.log(f"{result['table']}\n{result['verdict']}\npicture:  {folder.path / 'propagation.png'}")
    say_next(experiment, expected, result["members"], folder)
    return result


COMMAND = JobCommand(
    name="propagate",
    purpose="measure signal propagation at initialization beside theory",
    config=PropagateConfig,
    examples=(
        "repu-lab propagate activation=repu depth=50",
        "repu-lab propagate -m activation=relu,tanh,mrepu depth=100 width=512",
    ),
    prepare=lazy("repu_lab.runs.job:build_job"),
    work=work,
    good=("survived",),
    forecast=lazy("repu_lab.runs.forecasting:forecast_run"),
)
