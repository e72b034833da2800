"""SGD, Adam and AdamW whose learning rate, weight decay and clipping may differ from member to member.

torch.optim knows one learning rate a tensor. Here its functions run at rate 1 on a tensor of zeros, which afterwards
holds the method's direction; that is scaled by each member's own rate. So the arithmetic of the methods stays torch's,
fused. (Its classes would do too, but making one imports torch._dynamo, more than a second.)

On a GPU Adam is two kernels of the lab's own, see `adam_kernel`.
"""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd

if TYPE_CHECKING:
    from repu_lab.networks.adam_kernel import AdamKernel

PerMember = float | Sequence[float] | Tensor
EPSILON = 1e-8  # torch's and Kingma, Ba's
METHODS = ("adam", "adamw", "sgd")


class Optimizer:
    """theta <- theta + lr * direction(gradient), with lr, weight_decay and clip one number or one per member.

    weight_decay w: adam and sgd add w theta to the gradient, adamw multiplies theta by 1 - lr w. clip: the gradient
    (before decay) of a member is scaled to at most this Euclidean norm. `state`: the method's tensors by name.
    """

    def __init__(
        self,
        method: str,
        theta_MP: Tensor,
        *,
        lr: PerMember,
        weight_decay: PerMember = 0.0,
        clip: PerMember | None = None,
        momentum: float = 0.0,
        beta1: float = 0.9,
        beta2: float = 0.999,
    ):
        """Take the method's name and the tensor (M, P) it will update; momentum is sgd's, the betas are adam's."""
        if method not in METHODS:
            raise ValueError(f"optimizer {method!r}: must be one of {', '.join(METHODS)}")
        self.method = method
        self.lr_M1 = self._per_member(lr, theta_MP)
        self.weight_decay_M1 = self._per_member(weight_decay, theta_MP)
        self.clip_M1 = None if clip is None else self._per_member(clip, theta_MP)
        self._decays = bool((self.weight_decay_M1 != 0).any())
        self._fused = theta_MP.device.type in ("cpu", "cuda")
        self._constants = {"momentum": momentum} if method == "sgd" else {"beta1": beta1, "beta2": beta2}
        zeros = torch.zeros_like(theta_MP, requires_grad=False)
        if method == "sgd":
            self.state = {"momentum": zeros} if momentum else {}
        else:
            steps = torch.zeros((), dtype=torch.float32, device=theta_MP.device if self._fused else "cpu")
            self.state = {"mean": zeros, "square": zeros.clone(), "steps": steps}
        self.kernel = self._adam_kernel(theta_MP) if method != "sgd" and theta_MP.is_cuda else None
        self._step_MP = torch.zeros_like(theta_MP, requires_grad=False) if self.kernel is None else None

    def _adam_kernel(self, theta_MP: Tensor) -> "AdamKernel | None":
        """Return Adam as kernels for this GPU; None, so that torch's functions serve, where they cannot be made."""
        betas = self._constants["beta1"], self._constants["beta2"]
        weight_decay_M1 = self.weight_decay_M1 if self._decays else None
        try:
            from repu_lab.networks.adam_kernel import AdamKernel  # Triton: only CUDA builds of torch bring it

            kernel = AdamKernel(self.lr_M1, weight_decay_M1, self.method == "adamw", betas)
            tiny = torch.zeros(len(theta_MP), 1, dtype=theta_MP.dtype, device=theta_MP.device)
            state = {"mean": tiny.clone(), "square": tiny.clone(), "steps": torch.zeros_like(self.state["steps"])}
            kernel(tiny, tiny.clone(), state, tiny[:, 0] == 0, EPSILON)  # compiles them
        except Exception as error:  # no Triton, no C compiler, a GPU too old: whatever it raises of those
            warnings.warn(f"Adam runs by torch's functions, not by the lab's kernels: {error}", stacklevel=2)
            return None
        return kernel

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
        if self.kernel is not None:
            self.kernel(theta_MP, grad_MP.contiguous(), self.state, alive_M, EPSILON)
            return
        if self._decays and self.method != "adamw":
            grad_MP = torch.addcmul(grad_MP, theta_MP, self.weight_decay_M1)
        step_MP = self._direction(grad_MP).mul_(self.lr_M1)
        if self._decays and self.method == "adamw":
            step_MP.addcmul_(theta_MP, -self.lr_M1 * self.weight_decay_M1)
        # NaN propagates through both; together they cost a tenth of the norm or of isfinite().all().
        alive_M &= step_MP.amax(dim=1).isfinite() & step_MP.amin(dim=1).isfinite()
        step_MP.masked_fill_(~alive_M.unsqueeze(1), 0)
        theta_MP.add_(step_MP)

    def _direction(self, grad_MP: Tensor) -> Tensor:
        assert self._step_MP is not None
        step_MP, state = self._step_MP.zero_(), self.state
        common: dict[str, Any] = {"fused": self._fused, "lr": 1.0, "weight_decay": 0.0, "maximize": False}
        if self.method == "sgd":
            buffers: list[Tensor | None] = [state.get("momentum")]
            sgd([step_MP], [grad_MP], buffers, dampening=0.0, nesterov=False, **self._constants, **common)
        else:
            moments = ([state["mean"]], [state["square"]], [], [state["steps"]])
            adam([step_MP], [grad_MP], *moments, amsgrad=False, eps=EPSILON, **self._constants, **common)
        return step_MP
