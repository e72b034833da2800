"""Activation functions s with s', s'', their kinks and their degree of homogeneity.

Every activation is an `nn.Module` applied elementwise. It knows what the theory needs: `derivative` (s'),
`second_derivative` (s'', its regular part), `kinks` (the points at which s is not analytic, where a quadrature
must be split) and `degree` (p if s(a z) = a^p s(z) for every a > 0, else None). At a kink s' and s'' take the value of
their limit from the left, as torch does for relu; factors that vanish are never multiplied by factors that overflow.
"""

from repu_lab.activations.base import Activation
from repu_lab.activations.checks import check_dtype
from repu_lab.activations.custom import Adapted, as_activation
from repu_lab.activations.formula import Formula
from repu_lab.activations.powers import (
    Hardswish,
    Identity,
    LeakyReLU,
    Monomial,
    MRePU,
    ReLU,
    RePU,
)
from repu_lab.activations.smooth import (
    ELU,
    GELU,
    SELU,
    Erf,
    GELUTanh,
    Mish,
    Sigmoid,
    SiLU,
    Sin,
    Softplus,
    Tanh,
)
from repu_lab.activations.splines import SplineRePU
from repu_lab.activations.tailored import Tailored

ACTIVATIONS: dict[str, type[Activation]] = {
    "elu": ELU,
    "erf": Erf,
    "gelu": GELU,
    "gelu_tanh": GELUTanh,
    "hardswish": Hardswish,
    "identity": Identity,
    "leaky_relu": LeakyReLU,
    "mish": Mish,
    "monomial": Monomial,
    "mrepu": MRePU,
    "relu": ReLU,
    "repu": RePU,
    "selu": SELU,
    "sigmoid": Sigmoid,
    "silu": SiLU,
    "sin": Sin,
    "softplus": Softplus,
    "spline_repu": SplineRePU,
    "tanh": Tanh,
}

__all__ = [name for name in dir() if not name.startswith("_")]  # pyright: ignore[reportUnsupportedDunderAll]
