"""Number formats: where they end, how they round, and the layers at which a kernel leaves them."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from repu_lab.theory.angles import Floats

DTYPES = ("float16", "bfloat16", "float32", "float64")
HALF = ("float16", "bfloat16")
# rms error, in units of eps, that a layer adds: rounding of h and z; where sums are added up in the format itself also
# the sums' errors, which grow with the width. Measured at layers 1 to 127 of ReLU, LogSigmoid and RePU networks.
ROUNDING = 0.27


@dataclass(frozen=True)
class Limits:
    """A dtype's range as log10, and its spacing eps."""

    name: str
    largest: float
    smallest_normal: float
    smallest: float
    eps: float

    def rounding(self, width: int) -> float:
        """Return the rms error that a layer's arithmetic adds, relative to the size of what it computes."""
        return ROUNDING * self.eps * (1.0 if self.name in HALF else width**0.25)


def limits(dtype: str | torch.dtype) -> Limits:
    """Return the range of a floating dtype, given by name or as a torch dtype; ValueError unless one of DTYPES."""
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise ValueError(f"dtype={name!r} must be one of {', '.join(DTYPES)}")
    info = torch.finfo(getattr(torch, name))
    # The smallest subnormal is tiny * eps, which itself leaves float64 for float64 only in the product's rounding.
    return Limits(
        name, math.log10(info.max), math.log10(info.tiny), math.log10(info.tiny) + math.log10(info.eps), info.eps
    )


def overflow_layers(log10_K: Floats, dtype: str) -> dict[str, int | None]:
    """Return the first layer where K, and where a typical z = sqrt(K), exceeds the dtype's largest number, or None."""
    top = limits(dtype).largest
    return {"K": _first(log10_K > top), "z": _first(log10_K / 2 > top)}


def underflow_layers(log10_K: Floats, dtype: str) -> dict[str, int | None]:
    """Return the first layer where K, and where sqrt(K), falls below the dtype's smallest subnormal, or None."""
    bottom = limits(dtype).smallest
    return {"K": _first(log10_K < bottom), "z": _first(log10_K / 2 < bottom)}


def _first(condition: NDArray[np.bool_]) -> int | None:
    return int(condition.argmax()) + 1 if condition.any() else None
