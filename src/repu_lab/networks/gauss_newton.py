"""Damped Gauss-Newton on batches, with momentum: a sum of squares far beyond what a method of gradients reaches.

At theta, with the residuals r of a batch, their Jacobian J and the last direction p, a step subtracts

    d = mu p + J' (J J' + lambda)^-1 (r - mu J p),    lambda = DAMPING |r|,

or a half, a quarter, ... of it, until the batch's |r|^2 falls. d minimises lambda |d - mu p|^2 + |J d - r|^2. This is
Levenberg-Marquardt's, in the form for more parameters than residuals, with mu p in place of 0: what earlier batches
taught is kept where this one says nothing (SPRING: Goldshlager, Abrahamsen & Lin, arXiv:2401.10190;
for differential equations: Guzman-Cordero et al., arXiv:2505.12149).

Shapes: M members, P parameters, R residuals.
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

# Of tanh and GELU on Burgers' equation (7 x 20), errors after 25 s of CPU lay between 1e-4 and 2e-3 with momentum .9,
# .99 slowed the first hundred steps down tenfold, 0 ended at 1e-3 to 2e-3.
MOMENTUM, DAMPING = 0.9, 1e-2
HALVINGS = 15  # of a step that does not lower the batch's loss; then the batch is passed over
CHUNK = 20  # steps between two states that are handed out
BLOCK = 100  # columns of J J' that are made at once

Iterate = dict[str, Any]


class Residuals(Protocol):
    """What is squared and summed, of one network on the batch of a step."""

    def values(self, theta_P: Tensor, step: int) -> Tensor:
        """Return r, shape (R,)."""
        ...

    def jacobian(self, theta_P: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Return r and dr/dtheta, shapes (R,) and (R, P)."""
        ...


def gauss_newton(
    residuals: Residuals,
    theta_MP: Tensor,
    steps: int,
    saved: Iterate | None = None,
    keep: Callable[[Iterate], None] = lambda state: None,
) -> Tensor:
    """Return every row of theta after so many steps, one row after the other: rows do not know of each other.

    In the second half the longest step falls from the whole d to 0, which averages over batches. A row whose
    residuals are all 0, or not finite, or have no finite direction, stays where it is. float64 only: in float32 J J'
    has no small eigenvalues.
    `keep` is handed the state, tensors and plain values, every CHUNK steps; one of them as `saved`, all else being the
    same, leads to the same rows bit for bit.
    """
    if theta_MP.dtype != torch.float64:
        raise ValueError(f"Gauss-Newton needs float64, not {theta_MP.dtype}: J J' is singular in fewer digits")
    state = saved or {"member": 0, "step": 0, "theta": theta_MP.detach().clone(), "last": torch.zeros_like(theta_MP[0])}
    while state["member"] < len(theta_MP):
        if state["step"] == steps or not _step(residuals, state, steps):
            state |= {"member": state["member"] + 1, "step": 0, "last": torch.zeros_like(theta_MP[0])}
        elif state["step"] % CHUNK == 0:
            keep(state)
    return state["theta"]


def _step(residuals: Residuals, state: Iterate, steps: int) -> bool:
    """Move the member at work, and return whether it can go on."""
    theta_P, step = state["theta"][state["member"]], state["step"]
    r_R, J_RP = residuals.jacobian(theta_P, step)
    loss = r_R.square().sum()
    direction_P = _direction(r_R, J_RP, state["last"])
    if direction_P is None or not direction_P.isfinite().all():
        return False
    length = min(1.0, 2 - 2 * step / steps)
    for _ in range(HALVINGS):
        tried_P = theta_P - length * direction_P
        if residuals.values(tried_P, step).square().sum() < loss:  # False for NaN
            theta_P.copy_(tried_P)
            break
        length /= 2
    state |= {"step": step + 1, "last": direction_P}
    return True


def _direction(r_R: Tensor, J_RP: Tensor, last_P: Tensor) -> Tensor | None:
    """Return d, None where there is none; the damping is raised until J J' + lambda has a Cholesky factor."""
    damping = DAMPING * float(r_R.norm())
    if not 0 < damping < torch.inf:
        return None
    kernel_RR = _lower_half(J_RP)
    for _ in range(HALVINGS):
        damped_RR = kernel_RR + damping * torch.eye(len(r_R), dtype=r_R.dtype, device=r_R.device)
        factor_RR, failed = torch.linalg.cholesky_ex(damped_RR)
        if not failed:
            rest_R1 = (r_R - MOMENTUM * (J_RP @ last_P)).unsqueeze(1)
            return J_RP.T @ torch.cholesky_solve(rest_R1, factor_RR).squeeze(1) + MOMENTUM * last_P
        damping *= 10
    return None


def _lower_half(J_RP: Tensor) -> Tensor:
    """Return J J' up to its diagonal, which is what Cholesky reads: three fifths of the whole product's work."""
    kernel_RR = J_RP.new_zeros(len(J_RP), len(J_RP))
    for start in range(0, len(J_RP), BLOCK):
        rows = slice(start, start + BLOCK)
        kernel_RR[start:, rows] = J_RP[start:] @ J_RP[rows].T
    return kernel_RR
