"""What random networks of one kind are drawn from: all that theory asks of a network."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np

from repu_lab.activations import Activation
from repu_lab.blocks import PLAIN, Block
from repu_lab.theory.angles import Array

Variances = float | Sequence[float] | Array

# What the matrices of the maps are: independent normal numbers; Haar orthogonal, or as much of one as a rectangle can
# be; or normal ones whose rows have no mean, but for the first map, whose inputs are data.
WEIGHTS = ("gaussian", "orthogonal", "centred")


@dataclass(frozen=True)
class Law:
    """Networks of the sizes n_0, n_1 .. n_L, n_{L+1} whose maps l = 2..L+1 have the variances C_W / n_{l-1} and C_b.

    k1 is K^1, the mean square of an input's first preactivations. `weights`, one of WEIGHTS: what is drawn with these
    variances; `block` is the kind of layer in front of such weights. `dtype` names the number format of the networks;
    theory itself is float64. ValueError unless C_W and C_b hold L variances and all sizes are at least 1, hidden ones 2
    where weights are centred.
    """

    activation: Activation
    C_W: tuple[float, ...]
    C_b: tuple[float, ...]
    k1: float
    sizes: tuple[int, ...]
    block: Block = PLAIN
    dtype: str = "float32"
    weights: str = "gaussian"

    def __post_init__(self) -> None:
        """Check the variances and the sizes."""
        if self.weights not in WEIGHTS:
            raise ValueError(f"weights={self.weights!r}: must be one of {', '.join(WEIGHTS)}")
        object.__setattr__(self, "block", self.block.behind(self.weights))
        check_depth(self.depth)
        check_positive(**{f"n_{l}": size for l, size in enumerate(self.sizes)})
        for name, values in (("C_W", self.C_W), ("C_b", self.C_b)):
            if len(values) != self.depth:
                raise ValueError(
                    f"{name} must be a number or hold one for each of the {self.depth} maps after the first"
                )
            check_variances(name, np.array(values))
        if self.weights == "centred" and 1 in self.sizes[1:-1]:
            raise ValueError("centred weights of one unit are 0: the width must be at least 2")

    @classmethod
    def of(
        cls,
        activation: Activation,
        C_W: Variances,
        C_b: Variances,
        k1: float,
        depth: int,
        width: int = 128,
        *,
        outputs: int = 10,
        block: Block = PLAIN,
        dtype: str = "float32",
        weights: str = "gaussian",
    ) -> Self:
        """Return the law of `depth` hidden layers of one width; variances are numbers, or one for each map.

        What is said of infinitely wide networks does not depend on the width.
        """
        check_depth(depth)
        check_positive(width=width)
        W, B = (
            (float(v),) * depth if isinstance(v, (int, float, np.number)) else tuple(map(float, v)) for v in (C_W, C_b)
        )
        return cls(activation, W, B, float(k1), (width, *[width] * depth, outputs), block, dtype, weights)

    @property
    def depth(self) -> int:
        """L, the number of hidden layers."""
        return len(self.sizes) - 2

    @property
    def width(self) -> int:
        """The width of the hidden layers, or their harmonic mean: fluctuations of K add up as sum_l 1/n_l."""
        return round(self.depth / sum(1 / n for n in self.sizes[1:-1]))

    @property
    def variances(self) -> tuple[Array, Array]:
        """a^2 C_W and a^2 C_b of the maps l = 2..L+1, where a multiplies what a map adds to a layer that is kept."""
        share = self.block.shares(self.depth)
        return np.array(self.C_W) * share, np.array(self.C_b) * share

    @property
    def shared(self) -> Array:
        """a^2 C_b of layers l = 1..L+1: the part of their variance that all inputs share. The first is as the next."""
        C_b = self.variances[1]
        return np.append(min(C_b[0], self.k1), C_b)

    @property
    def dimensions(self) -> tuple[int, ...]:
        """The dimension of the space in which orthogonal maps turn h, of whose coordinates `width` are z^l, l = 1..L+1.

        That of the larger side of the map; the output is followed as if it were of the hidden layers' width.
        """
        pairs = list(pairwise(self.sizes))[:-1]
        return *(round(self.width * max(1.0, i / o)) for i, o in pairs), self.width

    @property
    def is_power(self) -> bool:
        """Whether each kernel is a power of the one before: s homogeneous, no biases, nothing kept or normalised."""
        return self.block.bare and self.activation.degree is not None and not (self.skips.any() or any(self.C_b))

    @property
    def skips(self) -> Array:
        """Whether z^l is added to what the maps from layers l = 1..L give."""
        return self.block.skipped(self.depth)


def check_depth(depth: int) -> None:
    """Raise ValueError unless it is an integer of at least 1."""
    if not isinstance(depth, (int, np.integer)) or isinstance(depth, bool) or depth < 1:
        raise ValueError(f"depth={depth!r} must be an integer of at least 1: the number of hidden layers")


def check_positive(**counts: int) -> None:
    """Raise ValueError unless every count is an integer of at least 1."""
    for name, value in counts.items():
        if isinstance(value, bool) or int(value) != value or value < 1:
            raise ValueError(f"{name}={value!r} must be an integer of at least 1")


def check_variances(name: str, values: Array) -> None:
    """Raise ValueError unless all are finite and at least 0."""
    if not (np.isfinite(values).all() and (values >= 0).all()):
        shown = values[0] if values.ndim == 1 and len(set(values.tolist())) == 1 else values
        raise ValueError(f"{name}={shown} must be a finite number of at least 0: it is a variance")


def check_k1(name: str, k1: float, C_b: float) -> None:
    """Raise ValueError unless 0 < k1 < inf and k1 >= C_b, the biases' own contribution to the first preactivations."""
    if not 0 < k1 < np.inf:
        raise ValueError(f"{name}={k1} must be a positive finite number: the mean square of the first preactivation")
    if k1 < C_b:
        raise ValueError(f"{name}={k1:g} is smaller than C_b={C_b:g}: the biases alone already give that much")
