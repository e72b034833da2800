"""Pictures of what a run has learnt."""

from typing import Any

from torch import Tensor

from repu_lab.networks.population import Population
from repu_lab.runs.folder import RunFolder
from repu_lab.tasks import Task


def draw_solution(
    folder: RunFolder, task: Task, population: Population, theta_MP: Tensor, records: list[dict[str, Any]]
) -> None:
    """Write solution.png: of the members that solve Burgers' equation with a finite error, the one in the middle."""
    error = {i: record["measures"]["relative_l2"] for i, record in enumerate(records)}
    ranked = sorted((value, i) for i, value in error.items() if value is not None)
    if not ranked:
        return
    from repu_lab.figures.burgers import learnt_solution  # matplotlib: half a second that no first step waits for
    from repu_lab.tasks.burgers import solution

    value, member = ranked[(len(ranked) - 1) // 2]
    x, t, exact, (learnt,) = solution(population, task.form, theta_MP[member : member + 1])
    heading = f"member {member} of {len(records)}, the median: relative error {value:.3g}"
    figure = learnt_solution(x, t, exact, learnt, heading=heading)
    with folder.writing("solution.png") as path:
        figure.savefig(path, format="png", dpi=200)
