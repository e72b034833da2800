"""L-BFGS for the members of a population, each on its own: the last digits of a loss without noise.

torch's own implementation does it, with a line search that keeps the Wolfe conditions; importing it costs a second.
"""

from collections.abc import Callable

import torch
from torch import Tensor

HISTORY = 50  # pairs of steps and changes of the gradient, as many as physics-informed networks are usually given
EVALUATIONS = 2  # of the loss a step, at most, on average; a step of full length needs one


def lbfgs(loss: Callable[[Tensor], Tensor], theta_MP: Tensor, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """Minimise every row of theta for at most `steps` steps; return the rows, and their losses before and after (M,).

    `loss` maps theta (1, P) to its losses (1,) and must be the same function at every call. A row whose loss is not
    finite, or that would end with a larger one, stays as it is. float64 only: in float32 the line search fails.
    """
    if theta_MP.dtype != torch.float64:
        raise ValueError(f"L-BFGS needs float64, not {theta_MP.dtype}: in fewer digits its line search fails")
    rows, before, after = [], [], []
    for theta_P in theta_MP.detach():
        row, first, last = _minimised(loss, theta_P.unsqueeze(0), steps)
        rows.append(row)
        before.append(first)
        after.append(last)
    return torch.cat(rows), torch.cat(before), torch.cat(after)


def _minimised(loss: Callable[[Tensor], Tensor], theta_1P: Tensor, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    with torch.no_grad():
        first = loss(theta_1P)
    if steps == 0 or not first.isfinite().all():
        return theta_1P, first, first
    moved = theta_1P.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [moved], max_iter=steps, max_eval=EVALUATIONS * steps + 1, history_size=HISTORY, tolerance_grad=0.0,
        tolerance_change=0.0, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> Tensor:
        value = loss(moved).sum()
        (moved.grad,) = torch.autograd.grad(value, moved)
        return value

    optimizer.step(closure)
    with torch.no_grad():
        last = loss(moved)
    better = bool((last < first).all()) and bool(moved.isfinite().all())
    return (moved.detach(), first, last) if better else (theta_1P, first, first)
