"""What networks are drawn from: sizes, variances, what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from repu_lab.activations import RePU, Tanh
from repu_lab.blocks import RESIDUAL, Block
from repu_lab.theory import Law


def test_numbers_stand_for_every_map() -> None:
    law = Law.of(Tanh(), 1.5, [0.1, 0.2, 0.3], 1.0, 3, 16)
    assert (law.C_W, law.C_b, law.sizes, law.depth, law.width) == (
        (1.5,) * 3,
        (0.1, 0.2, 0.3),
        (16,) * 4 + (10,),
        3,
        16,
    )


def test_width_is_the_harmonic_mean() -> None:
    law = Law.of(Tanh(), 1.0, 0.0, 1.0, 3)
    assert replace(law, sizes=(5, 7, 6, 7, 2)).width == round(3 / (1 / 7 + 1 / 6 + 1 / 7)) == 7
    assert replace(Law.of(Tanh(), 1.0, 0.0, 1.0, 2), sizes=(2, 10, 40, 1)).width == 16


def test_variances_of_branches_are_what_they_add() -> None:
    law = Law.of(Tanh(), 2.0, 0.4, 1.0, 3, block=Block(residual=True, branch=0.5))
    W, b = law.variances
    np.testing.assert_allclose((W, b), ([0.5, 0.5, 2.0], [0.1, 0.1, 0.4]), rtol=1e-15)
    assert law.skips.tolist() == [True, True, False]


def test_kernels_are_powers_of_each_other_in_plain_layers_without_biases() -> None:
    law = Law.of(RePU(2), 1.0, 0.0, 1.0, 3)
    bent = ({"activation": Tanh()}, {"C_b": (0.0, 0.0, 0.1)}, {"block": RESIDUAL}, {"block": Block(frozen=True)})
    assert law.is_power and not any(replace(law, **change).is_power for change in bent)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": (4, 3)}, "depth=0 must be an integer"),
        ({"sizes": (4, 8, 0, 8, 2)}, "n_2=0 must be an integer of at least 1"),
        ({"sizes": (4, 8, 1, 8, 2), "weights": "centred"}, "the width must be at least 2"),
        ({"C_W": (1.0, 1.0)}, "C_W must be a number or hold one for each of the 3 maps"),
        ({"C_b": (0.0, -0.1, 0.0)}, r"C_b=\[ 0.  -0.1  0. \] must be a finite number of at least 0"),
    ],
)
def test_what_is_no_law_is_refused(change, message) -> None:
    with pytest.raises(ValueError, match=message):
        replace(Law.of(Tanh(), 1.0, 0.0, 1.0, 3), **change)
