"""Adam's step of a population as two Triton kernels, for GPUs: see `Optimizer`, whose arithmetic on CPUs is torch's.

torch's fused Adam knows one rate a tensor, so that rates, decays and freezing by member are passes of their own over
theta: 17 reads and writes of its size where 9 do. On a GPU those are half of a step of many small networks.

    m <- beta1 m + (1 - beta1) g      v <- beta2 v + (1 - beta2) g^2      (g with decay, for adam)
    theta <- theta - lr (m / c1) / (sqrt(v / c2) + eps)                   (and - lr w theta, for adamw)

with c = 1 - beta^steps. Shapes: M members, P parameters; one program a member and block of parameters.
"""

from typing import Any

import torch
import triton  # pyright: ignore[reportMissingImports]  (comes with torch's CUDA builds)
import triton.language as tl  # pyright: ignore[reportMissingImports]
from torch import Tensor

BLOCK = 1024


class AdamKernel:
    """The two kernels with what they need of an optimizer: rates and decays (M, 1), and the method's constants."""

    def __init__(self, lr_M1: Tensor, weight_decay_M1: Tensor | None, decoupled: bool, betas: tuple[float, float]):
        """Take the rates, the decays (None: there are none), whether those are AdamW's, and beta1, beta2."""
        self._lr_M1 = lr_M1.double()
        self._decay_M1 = self._lr_M1 if weight_decay_M1 is None else weight_decay_M1.double()
        self._betas = torch.tensor(betas, dtype=torch.float64, device=lr_M1.device)
        self._lost_M = torch.zeros(len(lr_M1), dtype=torch.bool, device=lr_M1.device)
        self._constants: dict[str, Any] = {
            "DECAYS": weight_decay_M1 is not None,
            "DECOUPLED": decoupled,
            "BLOCK": BLOCK,
        }

    def __call__(
        self, theta_MP: Tensor, grad_MP: Tensor, state: dict[str, Tensor], alive_M: Tensor, epsilon: float
    ) -> None:
        """Update the rows whose step is finite, in place, and clear `alive_M` for the others; the gradient is lost."""
        M, P = theta_MP.shape
        corrections = 1 - self._betas ** state["steps"].add_(1)
        blocks = triton.cdiv(P, BLOCK)
        self._lost_M.zero_()
        _follow[(M * blocks,)](  # pyright: ignore[reportIndexIssue]
            grad_MP,
            theta_MP,
            state["mean"],
            state["square"],
            self._lr_M1,
            self._decay_M1,
            corrections,
            self._betas,
            self._lost_M,
            P,
            blocks,
            WIDE=theta_MP.dtype == torch.float64,
            EPSILON=epsilon,
            **self._constants,
        )
        alive_M &= ~self._lost_M
        _move[(M * blocks,)](grad_MP, theta_MP, alive_M, P, blocks, BLOCK=BLOCK)  # pyright: ignore[reportIndexIssue]


@triton.jit
def _follow(
    grad_MP,
    theta_MP,
    mean_MP,
    square_MP,
    lr_M,
    decay_M,
    corrections,
    betas,
    lost_M,
    P,
    blocks,
    DECAYS: tl.constexpr,
    DECOUPLED: tl.constexpr,
    WIDE: tl.constexpr,
    EPSILON: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Let the moments follow the gradient, put the step in its place, and mark the members whose step is not finite."""
    dtype = tl.float64 if WIDE else tl.float32
    row = tl.program_id(0) // blocks
    column = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    inside = column < P
    place = row.to(tl.int64) * P + column
    lr, decay = tl.load(lr_M + row).to(dtype), tl.load(decay_M + row).to(dtype)
    beta1, beta2 = tl.load(betas), tl.load(betas + 1)
    c1, c2 = tl.load(corrections).to(dtype), tl.load(corrections + 1).to(dtype)
    g = tl.load(grad_MP + place, mask=inside, other=0.0).to(dtype)
    theta = g
    if DECAYS:
        theta = tl.load(theta_MP + place, mask=inside, other=0.0).to(dtype)
        if not DECOUPLED:
            g += theta * decay
    m = tl.load(mean_MP + place, mask=inside, other=0.0).to(dtype)
    v = tl.load(square_MP + place, mask=inside, other=0.0).to(dtype)
    m = beta1.to(dtype) * m + (1 - beta1).to(dtype) * g
    v = beta2.to(dtype) * v + (1 - beta2).to(dtype) * g * g
    tl.store(mean_MP + place, m, mask=inside)
    tl.store(square_MP + place, v, mask=inside)
    # From v as it is, not as it is stored: in float16 (1 - beta2) g^2 of a small gradient would be 0.
    root = tl.sqrt(v / c2) if WIDE else tl.sqrt_rn(v / c2)
    step = -lr * (m / c1) / (root + EPSILON)
    if DECAYS and DECOUPLED:
        step -= lr * decay * theta
    step = step.to(grad_MP.dtype.element_ty)
    tl.store(grad_MP + place, step, mask=inside)
    lost = tl.where(inside & ~(tl.abs(step.to(dtype)) < float("inf")), 1, 0)
    if tl.max(lost, axis=0) > 0:
        tl.store(lost_M + row, True)  # whichever block is first: all of them write the same


@triton.jit
def _move(step_MP, theta_MP, alive_M, P, blocks, BLOCK: tl.constexpr):
    """Move the members that are alive by their step."""
    row = tl.program_id(0) // blocks
    if tl.load(alive_M + row):
        column = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
        inside = column < P
        place = row.to(tl.int64) * P + column
        theta = tl.load(theta_MP + place, mask=inside, other=0.0)
        step = tl.load(step_MP + place, mask=inside, other=0.0)
        tl.store(theta_MP + place, theta + step, mask=inside)
