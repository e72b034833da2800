"""L-BFGS for the members of a population side by side, each with steps of its own: a smooth loss to its last digits.

Nocedal's two-loop recursion (Mathematics of Computation 35, 1980) with a long history; the length of a step by
bisection until it keeps the weak Wolfe conditions (Lewis & Overton, Mathematical Programming 141, 2013), which nearly
always is the whole step, one evaluation.

Shapes: M members, m of them at work, P parameters, H steps remembered.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

# Steps remembered, as far as 64 MiB a member go. Burgers' equation (7 x 20, 3,000 points) in 120 s of CPU: an error of
# .0106 with 100, .0067 with 1,000.
HISTORY, FEWEST, ROOM = 1000, 50, 64 << 20
DECREASE, CURVATURE = 1e-4, 0.9  # of the Wolfe conditions: Nocedal & Wright's
TRIALS = 25  # evaluations of a step; 2^-24 of a direction is rounding
CHUNK = 50  # steps between two states that are handed out

Loss = Callable[[Tensor], Tensor]
Evaluate = Callable[[Tensor], tuple[Tensor, Tensor]]  # losses and gradients
Iterate = dict[str, Any]


def lbfgs(
    loss: Loss,
    theta_MP: Tensor,
    steps: int,
    saved: Iterate | None = None,
    keep: Callable[[Iterate], None] = lambda state: None,
    *,
    at_once: int | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Minimise every row of theta in at most `steps` steps; return the rows, and their losses before and after (M,).

    `loss` maps rows (m, P) to their losses (m,) and must be the same function at every call; `at_once`: how many rows
    it is given (None: all). A row whose loss is not finite stays as it is, and so does one that can go no lower.
    float64 only: in float32 the line search fails. `keep` is handed the state, tensors and plain values, every CHUNK
    steps; one of them as `saved`, all else being the same, leads to the same rows bit for bit.
    """
    if theta_MP.dtype != torch.float64:
        raise ValueError(f"L-BFGS needs float64, not {theta_MP.dtype}: in fewer digits its line search fails")
    evaluate = partial(_evaluated, loss, at_once)
    state = saved or _start(evaluate, theta_MP.detach(), steps)
    while state["step"] < steps and state["going"].any():
        _step(evaluate, state)
        if state["step"] % CHUNK == 0 and state["step"] < steps:
            keep(state)
    return state["theta"], state["first"], state["loss"]


def history(parameters: int) -> int:
    """Return how many steps are remembered of networks with so many parameters."""
    return max(FEWEST, min(HISTORY, ROOM // (16 * parameters)))


def _start(evaluate: Evaluate, theta_MP: Tensor, steps: int) -> Iterate:
    loss_M, gradient_MP = evaluate(theta_MP)
    M, P = theta_MP.shape
    H = min(history(P), max(steps, 1))
    return {
        "step": 0,
        "theta": theta_MP.clone(),
        "first": loss_M.clone(),
        "loss": loss_M,
        "gradient": gradient_MP,
        "going": loss_M.isfinite() & gradient_MP.isfinite().all(1),
        # The step s and the change y of the gradient at place i % H of step i; 1/(s y), 0 where there is none.
        "s": theta_MP.new_zeros(H, M, P),
        "y": theta_MP.new_zeros(H, M, P),
        "inverse": theta_MP.new_zeros(H, M, 1),
    }


def _step(evaluate: Evaluate, state: Iterate) -> None:
    """Do a step of every member that is going; one that cannot go lower forgets its history, and then ends."""
    theta_MP, gradient_MP, place = state["theta"], state["gradient"], state["step"] % len(state["s"])
    direction_MP = _direction(state)
    slope_M = (gradient_MP * direction_MP).sum(1)
    downhill = state["going"] & (slope_M < 0) & direction_MP.isfinite().all(1)
    stepped, at_MP, loss_M, new_MP = _searched(evaluate, state, direction_MP, slope_M, downhill)
    inverse = state["inverse"]
    fresh = ~(inverse > 0).any(0)[:, 0]
    s_MP, y_MP = at_MP - theta_MP, new_MP - gradient_MP
    product_M = (s_MP * y_MP).sum(1)
    state["s"][place], state["y"][place] = s_MP, y_MP
    inverse[:, ~stepped] = 0
    inverse[place] = torch.where(stepped & (product_M > 0), 1 / product_M, 0.0)[:, None]
    state["theta"], state["gradient"], state["loss"] = at_MP, new_MP, loss_M
    state["going"] &= torch.where(stepped, s_MP.any(1), ~fresh)  # a step of nothing but rounding is the end, too
    state["step"] += 1


def _direction(state: Iterate) -> Tensor:
    """Return -H g of every member by the two-loop recursion, newest pair first, then oldest first."""
    s, y, inverse, count = state["s"], state["y"], state["inverse"], state["step"]
    places = [i % len(s) for i in range(max(0, count - len(s)), count)]
    q_MP, weights = state["gradient"].clone(), []
    for i in reversed(places):
        weight_M1 = inverse[i] * (s[i] * q_MP).sum(1, keepdim=True)
        q_MP.addcmul_(weight_M1, y[i], value=-1)
        weights.append(weight_M1)
    last = places[-1] if places else 0
    curvature_M1 = inverse[last] * y[last].square().sum(1, keepdim=True)
    first_M1 = (1 / state["gradient"].abs().sum(1, keepdim=True)).clamp(max=1.0)  # torch's first step
    q_MP.mul_(torch.where(curvature_M1 > 0, 1 / curvature_M1, first_M1))
    for i, weight_M1 in zip(places, reversed(weights), strict=True):
        q_MP.addcmul_(weight_M1 - inverse[i] * (y[i] * q_MP).sum(1, keepdim=True), s[i])
    return q_MP.neg_()


def _searched(
    evaluate: Evaluate, state: Iterate, direction_MP: Tensor, slope_M: Tensor, downhill: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return which members found a step that keeps both conditions, and where all are then, with loss and gradient."""
    theta_MP, before_M = state["theta"], state["loss"]
    at_MP, loss_M, gradient_MP = theta_MP.clone(), before_M.clone(), state["gradient"].clone()
    stepped = torch.zeros_like(downhill)
    length_M, low_M = torch.ones_like(before_M), torch.zeros_like(before_M)
    high_M = torch.full_like(before_M, torch.inf)
    for _ in range(TRIALS):
        rows = torch.nonzero(downhill & ~stepped)[:, 0]
        if len(rows) == 0:
            break
        tried_mP = theta_MP[rows] + length_M[rows, None] * direction_MP[rows]
        tried_m, slopes_mP = evaluate(tried_mP)
        low = tried_m <= before_M[rows] + DECREASE * length_M[rows] * slope_M[rows]  # False for NaN
        turned = (slopes_mP * direction_MP[rows]).sum(1) >= CURVATURE * slope_M[rows]
        good = low & turned & slopes_mP.isfinite().all(1)
        at_MP[rows[good]], loss_M[rows[good]], gradient_MP[rows[good]] = tried_mP[good], tried_m[good], slopes_mP[good]
        stepped[rows[good]] = True
        low_M[rows] = torch.where(low, length_M[rows], low_M[rows])
        high_M[rows] = torch.where(low, high_M[rows], length_M[rows])
        length_M[rows] = torch.where(high_M[rows].isinf(), 2 * length_M[rows], (low_M[rows] + high_M[rows]) / 2)
    return stepped, at_MP, loss_M, gradient_MP


def _evaluated(loss: Loss, at_once: int | None, theta_MP: Tensor) -> tuple[Tensor, Tensor]:
    """Return losses (m,) and gradients (m, P), so many rows at once."""
    losses, gradients = [], []
    for rows_MP in theta_MP.split(at_once or len(theta_MP)):
        rows_MP = rows_MP.detach().requires_grad_()
        loss_M = loss(rows_MP)
        gradients.append(torch.autograd.grad(loss_M.sum(), rows_MP)[0])
        losses.append(loss_M.detach())
    return torch.cat(losses), torch.cat(gradients)
