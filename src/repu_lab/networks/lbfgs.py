"""L-BFGS for the members of a population, each on its own: the last digits of a loss without noise.

torch's own implementation does it, with a line search that keeps the Wolfe conditions; importing it costs a second.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

HISTORY = 50  # pairs of steps and changes of the gradient, as many as physics-informed networks are usually given
EVALUATIONS = 2  # of the loss a step, at most, on average; a step of full length needs one
CHUNK = 50  # steps between two states that are handed out; each costs one evaluation more, 2 % of a chunk's

Saved = dict[str, Any]


def lbfgs(
    loss: Callable[[Tensor], Tensor], theta_MP: Tensor, steps: int, saved: Saved | None = None,
    keep: Callable[[Saved], None] = lambda state: None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Minimise every row of theta for at most `steps` steps; return the rows, and their losses before and after (M,).

    `loss` maps theta (1, P) to its losses (1,) and must be the same function at every call. A row whose loss is not
    finite, or that would end with a larger one, stays as it is. float64 only: in float32 the line search fails.
    `keep` is handed the state, tensors and plain values, every CHUNK steps; one of them as `saved`, all else being the
    same, leads to the same rows bit for bit.
    """
    if theta_MP.dtype != torch.float64:
        raise ValueError(f"L-BFGS needs float64, not {theta_MP.dtype}: in fewer digits its line search fails")
    losses_2M = theta_MP.new_full((2, len(theta_MP)), torch.nan)
    state = saved or {"theta": theta_MP.detach().clone(), "losses": losses_2M, "row": 0, "work": None}
    for row in range(state["row"], len(theta_MP)):
        state["row"] = row
        found, first, last = _minimised(loss, state, steps, keep)
        state["theta"][row], state["losses"][:, row], state["work"] = found[0], torch.cat([first, last]), None
    return state["theta"], *state["losses"]


def _minimised(
    loss: Callable[[Tensor], Tensor], state: Saved, steps: int, keep: Callable[[Saved], None]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the row at work, minimised, and its losses before and after; its place in theta still holds the start."""
    start_1P = state["theta"][state["row"]].unsqueeze(0).clone()
    with torch.no_grad():
        first = loss(start_1P)
    if steps == 0 or not first.isfinite().all():
        return start_1P, first, first
    work = state["work"] or {"moved": start_1P, "optimizer": {}, "calls": 0}
    moved = work["moved"].clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [moved], history_size=HISTORY, tolerance_grad=0.0, tolerance_change=0.0, line_search_fn="strong_wolfe"
    )
    settings = optimizer.param_groups[0]
    optimizer.state[moved] = about = dict(work["optimizer"])
    calls = work["calls"]

    def closure() -> Tensor:
        value = loss(moved).sum()
        (moved.grad,) = torch.autograd.grad(value, moved)
        return value

    while (done := about.get("n_iter", 0)) < steps:
        # Every call evaluates where it starts, which only the first of them counts: the bounds are those of one call.
        searched = about.get("func_evals", 0) - calls
        settings["max_iter"] = min(CHUNK, steps - done)
        settings["max_eval"] = EVALUATIONS * steps + 1 - searched
        if settings["max_eval"] <= 1:
            break
        optimizer.step(closure)
        calls += 1
        ended = about["n_iter"] < done + settings["max_iter"] or about["n_iter"] == steps
        if ended or not (about["d"] * about["t"]).any():
            break
        keep(state | {"work": {"moved": moved.detach(), "optimizer": dict(about), "calls": calls}})
    with torch.no_grad():
        last = loss(moved)
    better = bool((last < first).all()) and bool(moved.isfinite().all())
    return (moved.detach(), first, last) if better else (start_1P, first, first)
