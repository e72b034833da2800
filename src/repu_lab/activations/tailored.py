"""An activation between affine maps, s_hat(u) = gamma (s(alpha u + beta) + delta), as theory/tailoring.py makes it."""

import torch
from torch import Tensor

from repu_lab.activations.base import Activation, WithDerivative, finite_number

# What rounding may take of a signal of size 1. Beyond it s is evaluated in the next wider format: with
# alpha = .044 (MRePU 1, DKS at depth 50) float32 loses 5e-7, bfloat16 4 % in bfloat16 and .2 % through float32.
ROUNDING = 1e-5
WIDER = {torch.float16: torch.float32, torch.bfloat16: torch.float32, torch.float32: torch.float64}
NAMES = {"shift": "shift", "dks": "DKS", "tat": "TAT"}


class Tailored(Activation):
    """s_hat(u) = gamma (s(alpha u + beta) + delta), alpha > 0.

    kind and depth: what it was solved for, see `repu_lab.tailor`; known: what is known of it at K = 1, by name; notes:
    which of the kind's conditions s cannot meet, and what that does, in words. Parameters of s stay parameters.
    """

    notes: tuple[str, ...] = ()

    def __init__(
        self,
        base: Activation,
        alpha: float,
        beta: float,
        gamma: float,
        delta: float,
        *,
        kind: str = "shift",
        depth: int = 1,
        name: str = "",
        known: dict[str, float] | None = None,
    ):
        """Take s and the four numbers; ValueError unless they are finite and alpha > 0. name: what s is called."""
        super().__init__()
        self.base, self.kind, self.depth, self.known = base, kind, depth, dict(known or {})
        self.alpha, self.beta = finite_number("alpha", alpha), finite_number("beta", beta)
        self.gamma, self.delta = finite_number("gamma", gamma), finite_number("delta", delta)
        if not self.alpha > 0:
            raise ValueError(f"alpha={alpha} must be greater than 0")
        self.name = name or base.described
        self.kinks = tuple((kink - self.beta) / self.alpha for kink in base.kinks)
        self.degree = base.degree if self.beta == 0 == self.delta else None
        # z = alpha u + beta and s(z) are rounded at their own size, and gamma makes a signal of size 1 of the rest.
        z = torch.tensor([self.beta], dtype=torch.float64)
        with torch.no_grad():
            sizes = base(z.clone()).abs() + (z * base.derivative(z)).abs()
        self._amplification = abs(self.gamma) * float(sizes)

    @property
    def title(self) -> str:
        """What s is called, and what it was made for: `MRePU(p=1), DKS at depth 50`."""
        return f"{self.name}, {NAMES[self.kind]} at depth {self.depth}"

    @property
    def described(self) -> str:
        return self.title  # the four numbers are said once, where a run starts

    def forward(self, z: Tensor) -> Tensor:
        if next(self.base.parameters(), None) is not None:
            return self._value(z)
        return WithDerivative.apply(z, self._value, self.derivative)

    def _value(self, u: Tensor) -> Tensor:
        wide = u.to(WIDER[u.dtype]) if self._rounds(u) else u
        return (self.gamma * (self.base(self._z(wide)) + self.delta)).to(u.dtype)

    def _rounds(self, u: Tensor) -> bool:
        known = u.dtype in WIDER and not (u.dtype == torch.float32 and u.device.type == "mps")  # it has no float64
        fixed = next(self.base.parameters(), None) is None  # those of s are cast with the network
        return known and fixed and self._amplification * torch.finfo(u.dtype).eps > ROUNDING

    def derivative(self, z: Tensor) -> Tensor:
        return self.gamma * self.alpha * self.base.derivative(self._z(z))

    def second_derivative(self, z: Tensor) -> Tensor:
        return self.gamma * self.alpha**2 * self.base.second_derivative(self._z(z))

    def _z(self, u: Tensor) -> Tensor:
        return self.alpha * u + self.beta

    def numbers(self) -> dict[str, float]:
        """Return alpha, beta, gamma, delta and what the maps have at 1, by name."""
        parts = {"alpha": self.alpha, "beta": self.beta, "gamma": self.gamma, "delta": self.delta}
        slope = getattr(self.base, "slope", None)  # of the negative side, which TAT chooses for the ReLU family
        return parts | ({} if slope is None else {"negative_slope": slope}) | self.known

    def extra_repr(self) -> str:
        return ", ".join(f"{key}={value:.6g}" for key, value in self.numbers().items())
