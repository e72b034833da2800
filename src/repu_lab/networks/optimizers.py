"""SGD, Adam and AdamW whose learning rate, weight decay and clipping may differ from member to member.

torch.optim knows one learning rate a tensor. Here it runs at rate 1 on a tensor of zeros, which afterwards holds the
method's direction; that is scaled by each member's own rate. So the arithmetic of the methods stays torch's, fused.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

PerMember = float | Sequence[float] | Tensor
METHODS = ("adam", "adamw", "sgd")


class Optimizer:
    """theta <- theta + lr * direction(gradient), with lr, weight_decay and clip one number or one per member.

    weight_decay w: adam and sgd add w theta to the gradient, adamw multiplies theta by 1 - lr w. clip: the gradient
    (before decay) of a member is scaled to at most this Euclidean norm. The state is that of torch.optim.
    """

    def __init__(
        self, method: str, theta_MP: Tensor, *, lr: PerMember, weight_decay: PerMember = 0.0,
        clip: PerMember | None = None, momentum: float = 0.0, beta1: float = 0.9, beta2: float = 0.999,
    ):  # fmt: skip
        """Take the method's name and the tensor (M, P) it will update; momentum is sgd's, the betas are adam's."""
        if method not in METHODS:
            raise ValueError(f"optimizer {method!r}: must be one of {', '.join(METHODS)}")
        self.method = method
        self.lr_M1 = self._per_member(lr, theta_MP)
        self.weight_decay_M1 = self._per_member(weight_decay, theta_MP)
        self.clip_M1 = None if clip is None else self._per_member(clip, theta_MP)
        self._decays = bool((self.weight_decay_M1 != 0).any())
        self._direction_MP = torch.zeros_like(theta_MP, requires_grad=False).requires_grad_()
        fused = theta_MP.device.type in ("cpu", "cuda")
        self._torch: torch.optim.Optimizer = (
            torch.optim.SGD([self._direction_MP], lr=1.0, momentum=momentum, fused=fused)
            if method == "sgd"
            else torch.optim.Adam([self._direction_MP], lr=1.0, betas=(beta1, beta2), fused=fused)
        )

    @staticmethod
    def _per_member(value: PerMember, theta_MP: Tensor) -> Tensor:
        column = torch.as_tensor(value, dtype=theta_MP.dtype, device=theta_MP.device).reshape(-1, 1)
        if column.shape[0] not in (1, theta_MP.shape[0]):
            raise ValueError(f"{column.shape[0]} values for {theta_MP.shape[0]} members")
        return column.expand(theta_MP.shape[0], 1).contiguous()

    @torch.no_grad()
    def step(self, theta_MP: Tensor, grad_MP: Tensor, alive_M: Tensor) -> None:
        """Update the rows of theta whose step is finite, in place, and clear `alive_M` for the others.

        A row that is not alive, or whose step is not finite, keeps its last weights; no other row notices.
        """
        if self.clip_M1 is not None:
            norm_M1 = torch.linalg.vector_norm(grad_MP, dim=1, keepdim=True)
            grad_MP = grad_MP * (self.clip_M1 / norm_M1).clamp(max=1)
        if self._decays and self.method != "adamw":
            grad_MP = torch.addcmul(grad_MP, theta_MP, self.weight_decay_M1)
        step_MP = self._direction_MP
        step_MP.zero_()
        step_MP.grad = grad_MP
        self._torch.step()
        step_MP.grad = None
        step_MP.mul_(self.lr_M1)
        if self._decays and self.method == "adamw":
            step_MP.addcmul_(theta_MP, -self.lr_M1 * self.weight_decay_M1)
        # The largest entry of |step| is finite if and only if all are; one pass, and NaN propagates through it.
        alive_M &= torch.linalg.vector_norm(step_MP, ord=torch.inf, dim=1).isfinite()
        step_MP.masked_fill_(~alive_M.unsqueeze(1), 0)
        theta_MP.add_(step_MP)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the method (moments, step count)."""
        return self._torch.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned."""
        self._torch.load_state_dict(state)
