"""Activations made of exponentials: sigmoidal ones, the gated linear units, and the ELU family."""

import math
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from repu_lab.activations.base import EXPONENTIAL_TAIL, GAUSSIAN_TAIL, Activation, WithDerivative, finite_number

SELU_SCALE = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717


class Tanh(Activation):
    """s(z) = tanh z."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(z)

    def derivative(self, z: Tensor) -> Tensor:
        return 1 - torch.tanh(z) ** 2

    def second_derivative(self, z: Tensor) -> Tensor:
        t = torch.tanh(z)
        return -2 * t * (1 - t**2)


class Erf(Activation):
    """s(z) = erf z = (2 / sqrt(pi)) int_0^z exp(-t^2) dt."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.erf(z)

    def derivative(self, z: Tensor) -> Tensor:
        return 2 / math.sqrt(math.pi) * torch.exp(-(z**2))

    def second_derivative(self, z: Tensor) -> Tensor:
        z = z.clamp(-GAUSSIAN_TAIL, GAUSSIAN_TAIL)
        return -4 / math.sqrt(math.pi) * z * torch.exp(-(z**2))


class Sin(Activation):
    """s(z) = sin z."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.sin(z)

    def derivative(self, z: Tensor) -> Tensor:
        return torch.cos(z)

    def second_derivative(self, z: Tensor) -> Tensor:
        return -torch.sin(z)


class Sigmoid(Activation):
    """s(z) = 1 / (1 + exp(-z))."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.sigmoid(z)

    def derivative(self, z: Tensor) -> Tensor:
        return torch.sigmoid(z) * torch.sigmoid(-z)

    def second_derivative(self, z: Tensor) -> Tensor:
        left, right = torch.sigmoid(z), torch.sigmoid(-z)
        return left * right * (right - left)


class Softplus(Activation):
    """s(z) = log(1 + exp z)."""

    def forward(self, z: Tensor) -> Tensor:
        # torch's default switches to the identity at z = 20, where exp(-z) is still 2e-9.
        return F.softplus(z, threshold=GAUSSIAN_TAIL)

    def derivative(self, z: Tensor) -> Tensor:
        return torch.sigmoid(z)

    def second_derivative(self, z: Tensor) -> Tensor:
        return torch.sigmoid(z) * torch.sigmoid(-z)


class SiLU(Activation):
    """s(z) = z / (1 + exp(-z)), also called swish."""

    def forward(self, z: Tensor) -> Tensor:
        return F.silu(z)

    def derivative(self, z: Tensor) -> Tensor:
        left, right = torch.sigmoid(z), torch.sigmoid(-z)
        return left + z.clamp(-EXPONENTIAL_TAIL, EXPONENTIAL_TAIL) * left * right

    def second_derivative(self, z: Tensor) -> Tensor:
        z = z.clamp(-EXPONENTIAL_TAIL, EXPONENTIAL_TAIL)
        left, right = torch.sigmoid(z), torch.sigmoid(-z)
        return left * right * (2 + z * (right - left))


class Mish(Activation):
    """s(z) = z tanh(log(1 + exp z))."""

    def forward(self, z: Tensor) -> Tensor:
        return F.mish(z)

    def derivative(self, z: Tensor) -> Tensor:
        t = torch.tanh(F.softplus(z, threshold=GAUSSIAN_TAIL))
        return t + z.clamp(-EXPONENTIAL_TAIL, EXPONENTIAL_TAIL) * torch.sigmoid(z) * (1 - t**2)

    def second_derivative(self, z: Tensor) -> Tensor:
        t = torch.tanh(F.softplus(z, threshold=GAUSSIAN_TAIL))
        z = z.clamp(-EXPONENTIAL_TAIL, EXPONENTIAL_TAIL)
        left, right = torch.sigmoid(z), torch.sigmoid(-z)
        return (1 - t**2) * left * (2 + z * (right - 2 * t * left))


class GELU(Activation):
    """s(z) = z Phi(z), Phi the cumulative normal distribution."""

    def forward(self, z: Tensor) -> Tensor:
        return F.gelu(z)

    def derivative(self, z: Tensor) -> Tensor:
        z = z.clamp(-GAUSSIAN_TAIL, GAUSSIAN_TAIL)
        return torch.special.ndtr(z) + z * _normal_density(z)

    def second_derivative(self, z: Tensor) -> Tensor:
        z = z.clamp(-GAUSSIAN_TAIL, GAUSSIAN_TAIL)
        return (2 - z**2) * _normal_density(z)


class GELUTanh(Activation):
    """The usual approximation of GELU, s(z) = z (1 + tanh u) / 2, u = sqrt(2/pi) (z + 0.044715 z^3)."""

    def forward(self, z: Tensor) -> Tensor:
        # torch's own derivative is NaN at 3e38.
        return WithDerivative.apply(z, partial(F.gelu, approximate="tanh"), self.derivative)

    def derivative(self, z: Tensor) -> Tensor:
        z = z.clamp(-GAUSSIAN_TAIL, GAUSSIAN_TAIL)
        t, du, _ = self._inner(z)
        return (1 + t) / 2 + z / 2 * (1 - t**2) * du

    def second_derivative(self, z: Tensor) -> Tensor:
        z = z.clamp(-GAUSSIAN_TAIL, GAUSSIAN_TAIL)
        t, du, ddu = self._inner(z)
        return (1 - t**2) * (du + z / 2 * (ddu - 2 * t * du**2))

    @staticmethod
    def _inner(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        scale, cubic = math.sqrt(2 / math.pi), 0.044715
        t = torch.tanh(scale * (z + cubic * z**3))
        return t, scale * (1 + 3 * cubic * z**2), scale * 6 * cubic * z


class ELU(Activation):
    """s(z) = z for z > 0 and alpha (exp z - 1) below."""

    kinks = (0.0,)

    def __init__(self, alpha: float = 1.0):
        """Take alpha, the negative of the limit at -infinity, any finite number."""
        super().__init__()
        self.alpha = finite_number("alpha", alpha)

    def forward(self, z: Tensor) -> Tensor:
        return F.elu(z, self.alpha)

    def derivative(self, z: Tensor) -> Tensor:
        return torch.where(z > 0, 1.0, self.alpha * torch.exp(z.clamp(max=0)))

    def second_derivative(self, z: Tensor) -> Tensor:
        return torch.where(z > 0, 0.0, self.alpha * torch.exp(z.clamp(max=0)))

    def extra_repr(self) -> str:
        return f"alpha={self.alpha:g}"


class SELU(Activation):
    """Scaled ELU, s(z) = 1.0507 ELU(z) with alpha = 1.6733 (Klambauer et al. 2017)."""

    kinks = (0.0,)

    def forward(self, z: Tensor) -> Tensor:
        return F.selu(z)

    def derivative(self, z: Tensor) -> Tensor:
        return SELU_SCALE * torch.where(z > 0, 1.0, SELU_ALPHA * torch.exp(z.clamp(max=0)))

    def second_derivative(self, z: Tensor) -> Tensor:
        return SELU_SCALE * torch.where(z > 0, 0.0, SELU_ALPHA * torch.exp(z.clamp(max=0)))


def _normal_density(z: Tensor) -> Tensor:
    return torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
