"""The forecast against published layers, plain matrix simulations and Monte-Carlo probabilities found elsewhere."""

import math

import numpy as np
import pytest

from repu_lab.activations import MRePU, ReLU, RePU, Tanh
from repu_lab.theory.forecast import QUANTILES, forecast

# First layer where K, and where a typical z, leaves float32, bfloat16, float64: p, C_W, k1 and the three pairs.
OVERFLOW = [
    (2, 1.0, 1.0, (9, 10), (9, 10), (12, 13)),
    (2, 2.0, 1.0, (8, 9), (8, 9), (11, 12)),
    (3, 1.0, 1.0, (6, 6), (6, 6), (7, 8)),
    (4, 1.0, 1.0, (5, 5), (5, 5), (6, 7)),
]
UNDERFLOW = [(2, 1.0, 0.5, (10, 11), (13, 14)), (2, 1.0, 0.1, (7, 8), (10, 11)), (3, 1.0, 0.1, (5, 6), (7, 8))]


@pytest.mark.parametrize(("p", "C_W", "k1", "float32", "bfloat16", "float64"), OVERFLOW)
def test_overflow_layers_of_repu(p, C_W, k1, float32, bfloat16, float64):
    """Each is the first integer above 1 + log_p[(T - ln K_*) / (ln K^1 - ln K_*)], and above float16's 11.09 too."""
    result = forecast(RePU(p), C_W=C_W, C_b=0.0, k1=k1, depth=14, width=64)
    log_star = -math.log(C_W * 2 ** (p - 1) * math.gamma(p + 0.5) / math.sqrt(math.pi)) / (p - 1)
    float16 = [math.floor(1 + math.log((f * 11.0898 - log_star) / (math.log(k1) - log_star), p)) + 1 for f in (1, 2)]
    for dtype, pair in zip(
        ("float16", "bfloat16", "float32", "float64"), (float16, bfloat16, float32, float64), strict=True
    ):
        assert result.overflow_layer[dtype] == {"K": pair[0], "z": pair[1]}, dtype
        assert result.underflow_layer[dtype] == {"K": None, "z": None}
    assert result.fate == "explodes"


@pytest.mark.parametrize(("p", "C_W", "k1", "float32", "float64"), UNDERFLOW)
def test_underflow_layers_of_repu(p, C_W, k1, float32, float64):
    result = forecast(RePU(p), C_W=C_W, C_b=0.0, k1=k1, depth=14, width=64)
    for dtype, pair in (("float32", float32), ("float64", float64)):
        assert result.underflow_layer[dtype] == {"K": pair[0], "z": pair[1]}
        assert result.overflow_layer[dtype] == {"K": None, "z": None}


def test_repu_in_the_default_of_torch_vanishes_and_relu_under_he_survives():
    repu = forecast(RePU(2), C_W=1 / 3, C_b=0.0, k1=1 / 3, depth=20, width=128, inputs=128)
    assert (repu.fate, repu.probability) == ("vanishes", 1.0) and "underflow" in repu.advice
    relu = forecast(ReLU(), C_W=2.0, C_b=0.0, k1=2.0, depth=50, width=128, inputs=128)
    assert relu.fate == "survives" and relu.survival_depth == 50


def test_a_gradient_that_underflows_before_the_signal_does():
    result = forecast(ReLU(), C_W=0.1, C_b=0.0, k1=1.0, depth=62, width=64, inputs=128)
    # 0.05 a layer in the mean square: 10^-0.65 in the size, 10^-40.3 over 62 layers, a bit less in the median network;
    # z stays above 10^-45.
    assert result.fate == "vanishes" and "gradient at layer 1 is 10^-41" in result.advice
    assert result.underflow_layer["float32"]["z"] is None
    assert abs(result.survival_depth - (37.9 - 1) / -math.log10(math.sqrt(0.05))) <= 2


@pytest.mark.parametrize(("C_W", "fate"), [(0.5, "vanishes"), (0.95, "survives")])
def test_tanh_in_the_ordered_phase_is_lost_to_rounding_with_biases(C_W, fate):
    """1 - c shrinks by chi_perp < 1 a layer: far from the critical line it passes float32's rounding by layer 60."""
    result = forecast(Tanh(), C_W=C_W, C_b=0.05 if C_W == 0.5 else 0.0, k1=1.0, depth=60, width=128, inputs=128)
    assert result.fate == fate
    if fate == "vanishes":
        assert "equal up to rounding" in result.advice
        layer = result.layer
        assert layer is not None and 10 ** result.log10_one_minus_correlation[layer - 1] < 1e-10
        assert result.survival_depth == layer - 2


def test_mrepu_is_undecided_between_collapse_and_blow_up():
    """P(blow-up) = 1 - exp(-n a_1 K^1) in the limit n, L -> infinity; by layer L it is smaller, and grows with K^1."""
    n, a_1 = 64, 3.0
    chances = []
    for x in (0.3, 1.0, 3.0):
        result = forecast(MRePU(1), C_W=1.0, C_b=0.0, k1=x / (n * a_1), depth=400, width=n)
        chances.append(result.probabilities["explodes"])
        error = math.sqrt(0.25 / result.networks)
        assert chances[-1] < 1 - math.exp(-x) + 4 * error
    assert chances[0] < chances[1] < chances[2] and 0.1 < chances[1] < 0.9


def plain_networks(activation, *, C_W, k1, depth, width, networks):
    """Return log10 of the conditional variance S^l of layers 2..depth+1 of full weight matrices, one input."""
    generator = np.random.default_rng(5)
    z = math.sqrt(k1) * generator.standard_normal((networks, width))
    values = []
    for _ in range(depth):
        h = activation(z)
        values.append(np.log10(C_W * (h**2).mean(1)))
        z = np.stack([generator.standard_normal((width, width)) @ row for row in h]) * math.sqrt(C_W / width)
    return np.stack(values, 1)


@pytest.mark.parametrize(("activation", "function", "C_W", "k1"), [
    (RePU(2), lambda z: np.maximum(z, 0) ** 2, 2 / 3, 1.0),
    (ReLU(), lambda z: np.maximum(z, 0), 2.0, 1.0),
    (MRePU(1), lambda z: z * np.maximum(1 + z, 0), 0.9, 0.02),
    (Tanh(), np.tanh, 1.2, 1.0),
], ids=("repu", "relu", "mrepu", "tanh"))  # fmt: skip
def test_quantiles_of_K_are_those_of_full_weight_matrices(activation, function, C_W, k1):
    """The share of plain networks below each forecast quantile, within 4.5 standard errors of both samples."""
    depth, width, networks = 4, 32, 2000
    result = forecast(activation, C_W=C_W, C_b=0.0, k1=k1, depth=depth, width=width)
    plain = plain_networks(function, C_W=C_W, k1=k1, depth=depth, width=width, networks=networks)
    for q, row in zip(QUANTILES, result.log10_K_quantiles, strict=True):
        share = (plain < row[1:]).mean(0)
        error = math.sqrt(q * (1 - q) * (1 / networks + 1 / result.networks))
        assert np.abs(share - q).max() < 4.5 * error, (q, share)


@pytest.mark.parametrize(("change", "words"), [
    ({"depth": 0}, "depth"), ({"C_W": -1.0}, "C_W"), ({"k1": 0.1}, "k1"), ({"dtype": "float8"}, "float16, bfloat16"),
])  # fmt: skip
def test_an_error_is_one_line_that_names_its_cause(change, words):
    with pytest.raises(ValueError) as caught:
        forecast(Tanh(), **{"C_W": 1.0, "C_b": 0.5, "k1": 1.0, "depth": 3, "width": 8, **change})
    assert words in str(caught.value) and "\n" not in str(caught.value)
