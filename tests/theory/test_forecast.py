import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch

from repu_lab.activations import GELU, Activation, Erf, MRePU, ReLU, RePU, Sigmoid, Softplus, Tanh
from repu_lab.networks.initialization import initialize_, uniform_depth
from repu_lab.networks.population import Population
from repu_lab.runs.outcome import first_pass
from repu_lab.tasks import Split
from repu_lab.tasks.images import digits
from repu_lab.theory import kernel, tangent
from repu_lab.theory.chain import Chain
from repu_lab.theory.fate import (
    DTYPES,
    FATES,
    Ends,
    collapsed_layer,
    first_ends,
    gradient_depth,
    judge,
    limits,
    log10_one_minus_correlation,
    lost_gradient_layers,
    overflow_layers,
    rounding,
    survival_depth,
    underflow_layers,
)
from repu_lab.theory.forecast import QUANTILES, forecast

Settings = dict[str, Any]
NOTHING = np.zeros(4, dtype=np.int64)


def measure(activation, *, C_W, C_b, k1, depth, width, dtype="float32", members=16):
    """Fate and layers of the lab's own networks on a first batch of 128 digits."""
    task, dtype = digits(), getattr(torch, dtype)
    sizes = [64, *[width] * depth, 10]
    population = Population(activation, sizes, members, dtype=dtype)
    initialize_(population, uniform_depth("custom", sizes, C_W=C_W, C_b=C_b, k1=k1), range(members))
    return first_pass(population, task, Split(task.train.x[:128].to(dtype), task.train.y[:128]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_limits_are_those_of_torch(dtype):
    own = limits(dtype)
    info = torch.finfo(getattr(torch, dtype))
    assert own.largest == pytest.approx(math.log2(info.max) * math.log10(2), rel=1e-12)
    # The smallest number whose half rounds to zero.
    smallest = torch.tensor(info.tiny, dtype=getattr(torch, dtype)) * info.eps
    assert smallest > 0 and smallest / 2 == 0
    assert own.smallest == pytest.approx(math.log2(smallest.item()) * math.log10(2), rel=1e-12)
    assert limits(getattr(torch, dtype)) == own


def test_overflow_and_underflow_layers():
    log10_K = np.array([0.0, 5.0, 20.0, 40.0, 80.0, 400.0, 700.0])
    assert overflow_layers(log10_K, "float32") == {"K": 4, "z": 5}
    assert overflow_layers(log10_K, "float16") == {"K": 2, "z": 3}
    assert overflow_layers(log10_K, "float64") == {"K": 6, "z": 7}
    assert overflow_layers(log10_K[:3], "float32") == {"K": None, "z": None}
    assert underflow_layers(-log10_K, "float32") == {"K": 5, "z": 6}
    assert underflow_layers(np.array([-1.0, -np.inf]), "float64") == {"K": 2, "z": 2}


def test_first_ends():
    # Rows: |s(z^2)| overflows, so z^3 does; z^3 itself; all s(z^1) underflow; nothing.
    log10_z = np.array([[0.0, 20.0, 30.0], [0, 1, 39], [0, -30, -60], [0, 0, 0]])
    log10_h = np.array([[0.0, 39.0, 60.0], [0, 1, 39], [-50, -60, -99], [0, 0, 0]])
    ends = first_ends(log10_z, log10_h, limits("float32"))
    assert ends.exploded.tolist() == [3, 3, 0, 0]
    assert ends.died.tolist() == [0, 0, 2, 0]


def test_collapsed_layer():
    assert collapsed_layer(np.array([-1.0, -5.0, -20.0, -30.0]), 1e-7) == 3
    assert collapsed_layer(np.array([-1.0, -20.0, -5.0, -30.0]), 1e-7) == 4
    assert collapsed_layer(np.array([-1.0, -20.0, -5.0]), 1e-7) == 0
    assert collapsed_layer(np.array([-np.inf, -np.inf]), 1e-7) == 1


def test_rounding_grows_with_the_width_where_sums_are_rounded_too():
    assert rounding("bfloat16", 16) == rounding(torch.bfloat16, 4096) == pytest.approx(0.12 * 2**-7)
    assert rounding("float32", 256) == pytest.approx(4 * 0.12 * 2**-23)
    assert rounding("float64", 4096) == pytest.approx(2 * rounding("float64", 256))


def test_lost_gradient():
    gain = np.array([[-30.0, -30.0, -30.0], [0, -40, -1], [-10, -10, -10], [5, 0, 0]])
    samples = Chain(log10_K=np.zeros((4, 4)), log10_gain=gain)
    # The rms gradients, relative to the output's: 10^-45, 10^-30, ...; float32's smallest normal number is 10^-37.9.
    assert lost_gradient_layers(samples, limits("float32")).tolist() == [1, 0, 0, 0]
    assert lost_gradient_layers(samples, limits("float16")).tolist() == [3, 2, 3, 0]


def test_judge_follows_the_order_of_the_outcomes():
    ends = Ends(np.array([5, 0, 0, 0]), np.array([2, 3, 0, 0]))  # the first one explodes, whatever died before
    probabilities, seen = judge(ends, lost=NOTHING, collapsed=0, log10_distance=-1.0)
    assert probabilities == {"explodes": 0.25, "vanishes": 0.25, "collapses correlations": 0.0, "survives": 0.5}
    assert seen["explodes"].tolist() == [5] and seen["vanishes"].tolist() == [3]
    probabilities, _ = judge(ends, lost=NOTHING, collapsed=0, log10_distance=-4.0)
    assert probabilities["collapses correlations"] == 0.5 and probabilities["survives"] == 0
    probabilities, seen = judge(ends, lost=NOTHING, collapsed=7, log10_distance=-20.0)
    assert probabilities["vanishes"] == 0.75 and seen["vanishes"].tolist() == [7]
    probabilities, seen = judge(Ends(NOTHING, NOTHING), lost=np.array([0, 4, 6, 0]), collapsed=0, log10_distance=-1.0)
    assert probabilities["vanishes"] == 0.5 and seen["vanishes"].tolist() == [4, 6]


def test_survival_depth():
    # A network of depth L has layers up to L + 1: one that ends at layer 9 would live with 7 hidden layers.
    assert survival_depth(Ends(np.array([9, 9, 9, 12]), NOTHING), 0, 50) == 7
    assert survival_depth(Ends(np.array([9, 9, 0, 0]), NOTHING), 0, 50) == 50
    assert survival_depth(Ends(np.array([9, 0, 0, 0]), np.array([0, 5, 6, 0])), 0, 50) == 7
    assert survival_depth(Ends(np.array([9, 0, 0, 0]), np.array([0, 5, 6, 6])), 0, 50) == 4
    assert survival_depth(Ends(NOTHING, NOTHING), 20, 50) == 18
    assert survival_depth(Ends(np.full(4, 2), NOTHING), 0, 50) == 0


def test_gradient_depth():
    gain = np.array([[-30.0, -30, -30, -30], [-30, -30, -30, -30], [0, 0, 0, 0]])
    samples = Chain(log10_K=np.zeros((3, 5)), log10_gain=gain)
    # Two of three networks have 10^-15 a layer: 10^-45 at the third.
    assert gradient_depth(samples, limits("float32")) == 2
    assert gradient_depth(samples, limits("float64")) == 4


def test_correlation_below_rounding():
    C_W, C_b, k1, depth = 0.5, 0.1, 1.0, 60
    log10_D = log10_one_minus_correlation(Tanh(), C_W=C_W, C_b=C_b, k1=k1, correlation=0.2, depth=depth)
    exact = kernel.correlations(Tanh(), C_W, C_b, k1, k1, 0.2 * k1, depth).correlation
    assert np.allclose(10.0 ** log10_D[:8], 1 - exact[:8], rtol=1e-6)
    assert log10_D[-1] < -20
    # The last layers contract by chi_perp at the fixed point of K.
    chi_perp = kernel.layers(Tanh(), C_W, C_b, k1, depth).log10_chi_perp[-2]
    assert np.diff(log10_D)[-1] == pytest.approx(chi_perp, rel=1e-6)


REPU: Settings = {"C_W": 1.0, "C_b": 0.0, "k1": 1.0, "depth": 50, "width": 256}


def test_repu_explodes_where_it_was_measured():
    result = forecast(RePU(2), **REPU, inputs=128)
    # 38 and 36 of 40 networks of this kind were first non-finite at layer 9, the rest at 10.
    assert result.fate == "explodes" and result.probability == 1 and result.layer == 9
    assert result.layer_range in ((9, 9), (9, 10))
    assert result.summary() in (
        "explodes, float32 overflow at layer 9",
        "explodes, float32 overflow at layer 9-10",
    )
    assert result.overflow_layer["float32"] == {"K": 9, "z": 10}
    assert result.overflow_layer["bfloat16"] == {"K": 9, "z": 10}
    assert result.overflow_layer["float64"] == {"K": 12, "z": 13}
    assert result.underflow_layer["float32"] == {"K": None, "z": None}
    assert result.survival_depth == 7
    assert "No C_W and k1" in result.advice


def test_the_batch_decides_at_an_unstable_point():
    at_star: Settings = {**REPU, "C_W": 2 / 3}
    alone, together = (forecast(RePU(2), **at_star, inputs=inputs) for inputs in (1, 128))
    # P(blow-up) = .41 for one input; 40 of 40 networks exploded with 128, at layers 9 to 12.
    error = math.sqrt(0.41 * 0.59 / alone.networks)
    assert abs(alone.probabilities["explodes"] - 0.41) < 4 * error
    assert together.probabilities["explodes"] > 0.9
    assert together.layer_range is not None
    assert together.layer_range[0] >= 9 and together.layer_range[1] <= 12
    assert np.allclose(together.log10_K, 0)  # the infinitely wide network stays


def test_shapes_and_meaning_of_the_curves():
    C_W, C_b, k1, depth = [1.5, 2.0, 1.2], [0.1, 0.0, 0.2], 0.8, 3
    result = forecast(Tanh(), C_W=C_W, C_b=C_b, k1=k1, depth=depth, width=64, inputs=4, correlation=0.3)
    wide = kernel.layers(Tanh(), C_W, C_b, k1, depth)
    assert np.array_equal(result.log10_K, wide.log10_K) and result.layers.tolist() == [1, 2, 3, 4]
    assert result.log10_K_quantiles.shape == (len(QUANTILES), depth + 1)
    assert (np.diff(result.log10_K_quantiles, axis=0) >= 0).all()
    assert np.abs(result.log10_K_quantiles[2] - result.log10_K).max() < 0.05
    assert 10 ** result.log10_gradient[0] == pytest.approx(np.prod(wide.chi_perp[:3]), rel=1e-12)
    assert result.log10_gradient[-1] == 0
    assert np.allclose(10**result.log10_ntk, tangent.layers(Tanh(), C_W, C_b, k1, depth).H, rtol=1e-12)
    pair = kernel.correlations(Tanh(), C_W, C_b, k1, k1, 0.3 * k1, depth)
    assert np.allclose(result.correlation, pair.correlation, rtol=1e-9)
    assert sum(result.probabilities.values()) == pytest.approx(1) and set(result.probabilities) == set(FATES)
    assert result.survival_depth == depth and result.layer is None and result.layer_range is None
    assert tuple(C_W) == result.C_W and result.activation == "Tanh" and result.dtype == "float32"


def test_same_seed_same_forecast():
    settings: Settings = {**REPU, "C_W": 0.7}
    first, again = (forecast(RePU(2), **settings, inputs=8) for _ in range(2))
    other = forecast(RePU(2), **settings, inputs=8, seed=1)
    assert first.probabilities == again.probabilities
    assert np.array_equal(first.log10_K_quantiles, again.log10_K_quantiles)
    assert not np.array_equal(first.log10_K_quantiles, other.log10_K_quantiles)
    assert torch.get_num_threads() >= 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.fate = "survives"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("depth", [200, 1200])
def test_deep_homogeneous_networks(depth):
    result = forecast(RePU(3), C_W=1.0, C_b=0.0, k1=0.1, depth=depth, width=64, inputs=16)
    assert result.fate == "vanishes" and result.layer in (5, 6, 7)
    assert np.isfinite(result.log10_K[:200]).all()


CONFIGURATIONS: dict[str, tuple[Activation, Settings, str]] = {
    "repu2 up": (RePU(2), {"C_W": 1.5, "C_b": 0.0, "k1": 0.8, "depth": 20, "width": 64}, "explodes"),
    "repu2 down": (RePU(2), {"C_W": 0.5, "C_b": 0.0, "k1": 0.2, "depth": 20, "width": 64}, "vanishes"),
    "repu2 bias": (RePU(2), {"C_W": 1.0, "C_b": 0.05, "k1": 0.2, "depth": 30, "width": 128}, "vanishes"),
    "repu3 float64": (RePU(3), {"C_W": 1.0, "C_b": 0.0, "k1": 1.0, "depth": 10, "width": 64}, "explodes"),
    "mrepu1 large input": (MRePU(1), {"C_W": 1.0, "C_b": 0.0, "k1": 0.5, "depth": 30, "width": 64}, "explodes"),
    "mrepu1 small input": (MRePU(1), {"C_W": 1.0, "C_b": 0.0, "k1": 0.002, "depth": 20, "width": 128}, "survives"),
    "relu he": (ReLU(), {"C_W": 2.0, "C_b": 0.0, "k1": 2.0, "depth": 50, "width": 64}, "survives"),
    "relu lost gradient": (ReLU(), {"C_W": 0.1, "C_b": 0.0, "k1": 1.0, "depth": 80, "width": 32}, "vanishes"),
    "tanh ordered": (Tanh(), {"C_W": 0.5, "C_b": 0.1, "k1": 1.0, "depth": 50, "width": 64}, "vanishes"),
    "tanh": (Tanh(), {"C_W": 1.2, "C_b": 0.01, "k1": 1.0, "depth": 20, "width": 64}, "survives"),
    "gelu explodes": (GELU(), {"C_W": 400.0, "C_b": 0.0, "k1": 1.0, "depth": 50, "width": 64}, "explodes"),
    "sigmoid": (Sigmoid(), {"C_W": 1.0, "C_b": 0.0, "k1": 1.0, "depth": 20, "width": 64}, "vanishes"),
    "softplus": (Softplus(), {"C_W": 1.0, "C_b": 0.0, "k1": 1.0, "depth": 10, "width": 64}, "collapses correlations"),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_forecast_agrees_with_the_labs_networks(name):
    activation, settings, fate = CONFIGURATIONS[name]
    dtype = "float64" if "float64" in name else "float32"
    result = forecast(activation, **settings, dtype=dtype, inputs=128)
    assert result.fate == fate, result.summary()
    first = measure(activation, **settings, dtype=dtype)
    measured = {"explodes": first.exploded, "vanishes": first.vanished}
    if fate in measured:
        layers = measured[fate]
        assert (layers > 0).mean() > 0.7
        assert result.layer is not None and abs(np.median(layers[layers > 0]) - result.layer) <= 1
    else:
        assert (np.maximum(first.exploded, first.vanished) == 0).mean() > 0.7


@pytest.mark.parametrize(("name", "words"), [
    ("relu he", ("in all of", "networks drawn", "as large as")),
    ("tanh ordered", ("equal up to rounding", "multiplies small squared differences")),
    ("softplus", ("nearly equal", "slow")),
    ("relu lost gradient", ("preactivations underflow",)),
    ("gelu explodes", ("overflow float32", "smaller k1 or C_W")),
    ("repu2 down", ("lose the signal", "No C_W and k1")),
])  # fmt: skip
def test_advice_says_what_the_forecast_holds(name, words):
    activation, settings, _ = CONFIGURATIONS[name]
    result = forecast(activation, **settings, inputs=128)
    assert all(word in result.advice for word in words), result.advice
    assert "\n" not in result.summary() and result.summary().startswith(result.fate)


def test_a_lost_gradient_is_told_of_the_finite_networks_that_lose_it():
    """Saturated units have s' = 0 in every finite network, while E s'^2 of the infinitely wide one is large."""
    result = forecast(Erf(), C_W=1e9, C_b=0.0, k1=1e9, depth=8, width=16, inputs=32)
    assert result.fate == "vanishes" and result.log10_gradient[0] > 0
    assert "the gradient at layer 1 is 0 times the output's" in result.advice and "10^" not in result.advice


@pytest.mark.parametrize(("change", "message"), [
    ({"dtype": "int8"}, "dtype"),
    ({"depth": 0}, "depth"),
    ({"width": 0}, "width"),
    ({"inputs": 0}, "inputs"),
    ({"C_W": -1.0}, "C_W"),
    ({"k1": 0.0}, "k1"),
    ({"C_b": 2.0}, "k1"),
    ({"C_W": [1.0, 2.0]}, "C_W"),
])  # fmt: skip
def test_bad_input(change, message):
    settings: Settings = {"C_W": 1.0, "C_b": 0.0, "k1": 1.0, "depth": 3, "width": 8}
    with pytest.raises(ValueError, match=message):
        forecast(Tanh(), **settings | change)
