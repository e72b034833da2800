import dataclasses
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from repu_lab.activations import GELU, Activation, Erf, Identity, Monomial, MRePU, ReLU, RePU, Sigmoid, Softplus, Tanh
from repu_lab.activations.custom import as_activation
from repu_lab.networks.initialization import draw_, uniform_depth
from repu_lab.networks.population import Population
from repu_lab.runs.outcome import first_pass
from repu_lab.tasks import Split
from repu_lab.tasks.images import digits
from repu_lab.theory import Law, fate, kernel
from repu_lab.theory.chain import batch_chain
from repu_lab.theory.fate import FATES, Ends, first_ends, gradient_depth, judge, survival_depth
from repu_lab.theory.forecast import QUANTILES, forecast, forecast_law
from repu_lab.theory.formats import DTYPES, limits, overflow_layers, underflow_layers
from repu_lab.theory.inputs import Batch, Pair, batch_of, in_pairs, largest_pair, typical_pair
from repu_lab.theory.pair_chain import PairChain

Settings = dict[str, Any]
NOTHING = np.zeros(4, dtype=np.int64)


def measure(activation, *, C_W, C_b, k1, depth, width, dtype="float32", members=16):
    """Layers at which networks explode and vanish on a first batch of 128 digits, 0 where they do not.

    Vanished: from which layer on z correlates by less than KNOWN with that of the same weights in float64, or else
    where the lab's own first pass sees the gradient lost.
    """
    task, dtype = digits(), getattr(torch, dtype)
    sizes = [64, *[width] * depth, 10]
    population, exact = (Population(activation, sizes, members, dtype=kind) for kind in (dtype, torch.float64))
    draw_(population, uniform_depth("custom", sizes, C_W=C_W, C_b=C_b, k1=k1), range(members))
    x = task.train.x[:128].to(dtype)
    first = first_pass(population, task, Split(x, task.train.y[:128]))
    with torch.no_grad():
        exact.theta.copy_(population.theta)
        pairs = zip(population.preactivations(x), exact.preactivations(x.double()), strict=True)
        lost_LM = np.array([(correlation(z.double(), own) < fate.KNOWN).numpy() for z, own in pairs])
    from_here = lost_LM[::-1].cumprod(0)[::-1].astype(bool)
    equal = np.where(from_here.any(0), from_here.argmax(0) + 1, 0)
    gradient = np.where(lost_LM[-1], 0, first.vanished)
    vanished = np.where(equal > 0, equal, gradient)
    return first.exploded, np.where(first.exploded > 0, 0, vanished)


def correlation(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Of all units' values, centred over the inputs; 0 where one of the two is constant."""
    a, b = (z / z.abs().amax((1, 2), keepdim=True) for z in (a, b))
    a, b = (z - z.mean(1, keepdim=True) for z in (a, b))
    return ((a * b).sum((1, 2)) / (a.square().sum((1, 2)) * b.square().sum((1, 2))).sqrt()).nan_to_num(0.0)


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


def pairs(**columns) -> PairChain:
    """Made-up chains; what is not given is 0 at every layer."""
    shape = next(np.shape(value) for name, value in columns.items() if name != "log10_gain")
    zeros: dict[str, Any] = {field.name: np.zeros(shape) for field in dataclasses.fields(PairChain)}
    zeros["log10_gain"] = np.zeros((shape[0], shape[1] - 1))
    zeros["log10_own"] = np.full((shape[0], shape[1] - 1), -300.0)
    return PairChain(**zeros | {name: np.array(value, dtype=np.float64) for name, value in columns.items()})


@pytest.fixture
def exact(monkeypatch):
    """The thresholds without the spread that stands for what theory does not know."""
    for name in ("SPREAD_KNOWN", "SPREAD_GRADIENT", "SPREAD_COLLAPSE"):
        monkeypatch.setattr(fate, name, 0.0)


def linear(dtype: str, width: int, outputs: int = 10) -> Law:
    return Law.of(Identity(), 1.0, 0.0, 1.0, 1, width, outputs=outputs, dtype=dtype)


def faded(samples: PairChain, dtype: str = "float32", outputs: int = 10**6, width: int = 10**4, excess=0.0, inputs=2):
    law = linear(dtype, width, outputs)
    pair = Pair(1.0, 1.0, 1.0, excess)
    batch = Batch(inputs, np.eye(2), pair, pair, np.eye(2))
    return fate.fading(law, batch, samples, samples.log10_distance[:, -1], seed=0)


def test_outputs_are_lost_where_noise_hides_their_differences(exact):
    """They correlate 1 / sqrt(1 + 2N/D) with exact ones: below .5 where N > 3 D/2."""
    edge = math.log10(3)
    spread = np.array([[-2.0, -16, -16], [-2, -16, -16], [-16, -16, -16], [-2, -16, -2], [-2, -10, -10]])
    noise = spread + edge + np.array([[-1, 0.7, 0.7], [-1, 0.7, -0.7], [1, 1, 1], [-1, 1, -1], [-1, 1, 1]])
    samples = pairs(log10_spread=spread, log10_noise=noise)
    # The last one spreads over the inputs by 84 eps of its size: whatever hides that is chaos.
    assert faded(samples).equal.tolist() == [2, 0, 1, 0, 0]
    # In a batch of larger differences than the pair's less of this is lost.
    assert faded(samples, excess=0.85).equal.tolist() == [0, 0, 1, 0, 0]
    assert faded(samples, excess=2.0).equal.tolist() == [0] * 5
    assert faded(samples, inputs=1).equal.tolist() == [0] * 5  # a single input


def test_of_two_numbers_noise_may_look_like_the_signal(exact):
    """Two inputs and one output correlate by a sign; three by cos of a random angle, above .5 in a third of them."""
    samples = pairs(log10_spread=np.full((4000, 2), -30.0), log10_noise=np.full((4000, 2), -20.0))
    for freedom, chance in ((1, 1 / 2), (2, 1 / 3), (40, 0.0)):
        survived = (faded(samples, outputs=freedom).equal == 0).mean()
        assert abs(survived - chance) < 4 * math.sqrt(0.25 / 4000) * (chance > 0) + 1e-3
    # In float64 the twin has errors too, and 20 numbers correlate by more than .25 in 14 %.
    survived = (faded(samples, "float64", outputs=20).equal == 0).mean()
    assert abs(survived - 0.144) < 4 * math.sqrt(0.144 * 0.856 / 4000)
    # Where a layer leaves .64 gain width = 6e-6 units that differ, all inputs are the same numbers.
    same = dataclasses.replace(samples, log10_gain=np.full((4000, 1), -9.0))
    assert (faded(same, outputs=1).equal > 0).mean() > 0.999


def test_lost_gradient(exact):
    gain = np.array([[-30.0, -30.0, -30.0], [0, -40, -1], [-10, -10, -10], [5, 0, 0]])
    samples = pairs(log10_K=np.zeros((4, 4)), log10_gain=gain)
    # The rms gradients, over the output's norm: 10^-45, 10^-30, ... by the root of the width; float32's smallest normal
    # number is 10^-37.9, float16's 10^-4.2.
    assert faded(samples, width=1).lost.tolist() == [1, 0, 0, 0]
    assert faded(samples, "float16", width=1).lost.tolist() == [3, 2, 3, 0]
    assert faded(pairs(log10_K=np.zeros((1, 2)), log10_gain=[[-6.0]]), "float16", width=10**3).lost.tolist() == [1]


def test_collapsed_layer():
    """Below a third of a layer's squared error, .27 eps, times width^(1/4) where sums are the format's own."""
    edge = 2 * math.log10(0.27 * 2**-7) - math.log10(3)
    layers = np.array([0.0, edge - 0.1, edge + 0.1, edge - 0.1, edge - 0.1])
    law = linear("bfloat16", 4096)
    assert fate.collapsed_layer(law, layers) == 4
    assert fate.collapsed_layer(law, layers[:3]) == 0
    assert fate.collapsed_layer(law, layers[-1:]) == 1
    edge = 2 * math.log10(0.27 * 2**-23 * 4) - math.log10(3)
    assert fate.collapsed_layer(linear("float32", 256), np.array([0, edge - 0.1])) == 2
    assert fate.collapsed_layer(linear("float32", 256), np.array([0, edge + 0.1])) == 0


def test_collapsed(exact):
    """By the signal alone: inputs that noise as large as they are tells apart have collapsed too."""
    distances = [[0.0, -2.9], [-9, -3.1], [0, -np.inf]]
    samples = pairs(log10_distance=distances, log10_noise=np.full((3, 2), -2.0))
    assert faded(samples).collapsed.tolist() == [False, True, True]


def test_an_activation_that_its_own_arithmetic_loses_vanishes():
    """Float32's z - tanh z is 0 below 2e-4, exactly z^3 / 3; in float64 the same networks keep their signal."""
    tanhshrink = as_activation(torch.nn.Tanhshrink())
    for dtype, fate_of in (("float32", "vanishes"), ("float64", "survives")):
        expected = forecast(tanhshrink, C_W=0.95, C_b=0.0, k1=0.06, depth=3, width=156, inputs=128, dtype=dtype)
        assert expected.fate == fate_of and expected.probability > 0.99
        first = measure(tanhshrink, C_W=0.95, C_b=0.0, k1=0.06, depth=3, width=156, dtype=dtype)
        assert (first[1] > 0).all() == (fate_of == "vanishes")


@pytest.mark.parametrize(("followed", "pairs"), [(1, 1), (1, 2), (1, 64), (2, 2), (3, 64), (4, 9)])
def test_the_lower_median_of_more_pairs_than_are_followed(followed, pairs):
    """Of pairs whose logarithms share half of their variance; of two it is .4 of a standard deviation lower."""
    draw = np.random.default_rng(0)
    shared, own = draw.standard_normal((40_000, 1)), draw.standard_normal((40_000, pairs))
    logs = -4 + 0.8 * (math.sqrt(fate.SHARED) * shared + math.sqrt(1 - fate.SHARED) * own)
    some, all_ = (np.sort(logs[:, :n], 1)[:, (n - 1) // 2] for n in (followed, pairs))
    given = fate._lower_median(some, followed, pairs)
    assert np.median(given) == pytest.approx(np.median(all_), abs=0.03)
    assert given.std() == pytest.approx(all_.std(), rel=0.06)


def test_a_batch_collapses_as_often_as_all_of_its_pairs_say(exact):
    """z^2 of 42 points of a square, whose sizes differ: by a typical pair 1 % of the networks collapse, 47 % do."""
    x = np.random.default_rng(3).uniform(-1, 1, (42, 2))
    law = Law.of(Monomial(2), 0.86, 0.022, 0.4, 5, 23)
    covariance = 0.022 + 0.378 * 1.5 * x @ x.T / 2
    all_pairs = batch_chain(law, covariance, 1000).log10_distance
    expected = (all_pairs < math.log10(fate.COLLAPSE)).mean()
    given = forecast_law(law, 42, covariance=covariance).probabilities["collapses correlations"]
    assert 0.4 < expected < 0.6
    assert given == pytest.approx(expected, abs=3 * math.sqrt(0.25 / fate.MAX_PAIRED))


NONE = fate.Fading(NOTHING, NOTHING, np.zeros(4, dtype=bool))
ALIVE = np.zeros(4, dtype=bool)


def test_judge_follows_the_order_of_the_outcomes():
    ends = Ends(np.array([5, 0, 0, 0]), np.array([2, 3, 0, 0]))  # the first one explodes, whatever died before
    probabilities, seen, cause = judge(ends, NONE, ALIVE)
    assert probabilities == {"explodes": 0.25, "vanishes": 0.25, "collapses correlations": 0.0, "survives": 0.5}
    assert seen["explodes"].tolist() == [5] and seen["vanishes"].tolist() == [3] and cause == "zero"
    half = fate.Fading(np.array([7, 6, 0, 0]), np.array([9, 0, 0, 4]), np.array([True, False, True, True]))
    probabilities, seen, cause = judge(Ends(NOTHING, NOTHING), half, ALIVE)
    assert probabilities == {"explodes": 0, "vanishes": 0.75, "collapses correlations": 0.25, "survives": 0}
    assert seen["vanishes"].tolist() == [7, 6] and cause == "equal"
    # Of chains that explode themselves nothing is learnt about the others.
    probabilities, seen, cause = judge(Ends(NOTHING, NOTHING), half, np.array([True, True, False, False]))
    assert (probabilities["vanishes"], probabilities["collapses correlations"], cause) == (0.5, 0.5, "gradient")
    assert seen["vanishes"].tolist() == [4]


def test_survival_depth():
    # A network of depth L has layers up to L + 1: one that ends at layer 9 would live with 7 hidden layers.
    assert survival_depth(Ends(np.array([9, 9, 9, 12]), NOTHING), NOTHING, 50) == 7
    assert survival_depth(Ends(np.array([9, 9, 0, 0]), NOTHING), NOTHING, 50) == 50
    assert survival_depth(Ends(np.array([9, 0, 0, 0]), np.array([0, 5, 6, 0])), NOTHING, 50) == 7
    assert survival_depth(Ends(np.array([9, 0, 0, 0]), np.array([0, 5, 6, 6])), NOTHING, 50) == 4
    assert survival_depth(Ends(NOTHING, NOTHING), np.array([20, 0, 30, 25]), 50) == 28
    assert survival_depth(Ends(np.full(4, 2), NOTHING), NOTHING, 50) == 0


def test_gradient_depth():
    gain = np.array([[-30.0, -30, -30, -30], [-30, -30, -30, -30], [0, 0, 0, 0]])
    samples = pairs(log10_K=np.zeros((3, 5)), log10_gain=gain)
    # Two of three networks have 10^-15 a layer: 10^-45 at the third.
    assert gradient_depth(linear("float32", 1), samples) == 2
    assert gradient_depth(linear("float64", 1), samples) == 4
    assert gradient_depth(linear("float32", 10**16), samples) == 1


REPU: Settings = {"C_W": 1.0, "C_b": 0.0, "k1": 1.0, "depth": 50, "width": 256}


def test_repu_explodes_where_it_was_measured():
    result = forecast(RePU(2), **REPU, inputs=128)
    # 38 and 36 of 40 networks of this kind were first non-finite at layer 9, the rest at 10.
    assert result.fate == "explodes" and result.probability == 1 and result.layer == 9
    assert result.layer_range in ((9, 9), (9, 10))
    assert result.summary() in (
        "first pass explodes, float32 overflow at layer 9",
        "first pass explodes, float32 overflow at layer 9-10",
    )
    assert result.overflow_layer["float32"] == {"K": 9, "z": 10}
    assert result.overflow_layer["bfloat16"] == {"K": 9, "z": 10}
    assert result.overflow_layer["float64"] == {"K": 12, "z": 13}
    assert result.underflow_layer["float32"] == {"K": None, "z": None}
    assert result.survival_depth == 7
    assert "no C_W and k1 keep the signal" in result.advice


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


def test_a_batch_is_followed_where_a_few_inputs_run_away_though_none_of_the_single_ones_does(monkeypatch):
    """MRePU: of 20 single inputs none overflows, of batches of 32 four in five have one that does.

    Against real networks of the same law, on inputs of that size and as good as orthogonal.
    """
    monkeypatch.setattr("repu_lab.theory.forecast.MIN_CHAINS", 20)
    monkeypatch.setattr("repu_lab.theory.forecast.MAX_CHAINS", 20)
    law: Settings = {"C_W": 1.0, "C_b": 0.0, "k1": 0.009, "depth": 30, "width": 64}
    alone, together = (forecast(MRePU(1), **law, inputs=inputs) for inputs in (1, 32))
    assert alone.probabilities["explodes"] == 0
    sizes, members = (256, *[64] * 30, 10), 60
    population = Population(MRePU(1), sizes, members)
    draw_(population, uniform_depth("custom", sizes, C_W=1.0, C_b=0.0, k1=0.009), range(members))
    x = torch.randn(32, 256, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        z = population(x / x.square().mean(1, keepdim=True).sqrt())
    share = (~z.isfinite()).flatten(1).any(1).double().mean().item()
    assert abs(together.probabilities["explodes"] - share) < 3 * math.sqrt(0.25 / together.networks + 0.25 / members)
    assert share > 0.3


def test_the_extremes_of_more_inputs_than_are_followed_are_those_of_all_of_them(monkeypatch):
    """RePU: as many networks explode with 64 inputs, of which 8 are followed, as where all are; with 8 far fewer do."""
    monkeypatch.setattr(fate, "MAX_NETWORKS", 100)
    monkeypatch.setattr(fate, "BATCH_UNITS", 10**8)
    law = Law.of(RePU(2), 0.45, 0.0, 1.0, 12, 64)

    def exploded(followed: int, inputs: int) -> float:
        ends = fate.follow_batch(law, replace(batch_of(law, inputs), covariance=np.eye(followed)), seed=0)
        assert len(ends.exploded) >= 100
        return float((ends.exploded > 0).mean())

    error = math.sqrt(2 * 0.25 / 100)
    assert abs(exploded(8, 64) - exploded(64, 64)) < 3 * error
    assert exploded(64, 64) - exploded(8, 8) > 6 * error


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
    pair = kernel.correlations(Law.of(Tanh(), C_W, C_b, k1, depth), k1, 0.3 * k1)
    # The median over networks of width 64; the infinitely wide one is off by about 1/n.
    assert np.abs(result.correlation - pair.correlation).max() < 0.03
    assert sum(result.probabilities.values()) == pytest.approx(1) and set(result.probabilities) == set(FATES)
    assert result.survival_depth == depth and result.layer is None and result.layer_range is None
    assert tuple(C_W) == result.law.C_W and result.activation == "Tanh" and result.law.dtype == "float32"


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
    activation, settings, expected = CONFIGURATIONS[name]
    dtype = "float64" if "float64" in name else "float32"
    result = forecast(activation, **settings, dtype=dtype, inputs=128)
    assert result.fate == expected, result.summary()
    exploded, vanished = measure(activation, **settings, dtype=dtype)
    measured = {"explodes": exploded, "vanishes": vanished}
    if expected in measured:
        layers = measured[expected]
        assert (layers > 0).mean() > 0.7
        # A batch's differences are those of its most different inputs, RePU's the more so: they are lost a bit later.
        assert result.layer is not None and abs(np.median(layers[layers > 0]) - result.layer) <= 2
    else:
        assert (np.maximum(exploded, vanished) == 0).mean() > 0.7


@pytest.mark.parametrize(("name", "words"), [
    ("relu he", ("in all of", "networks drawn", "as large as")),
    ("tanh ordered", ("equal up to rounding", "multiplies small squared differences")),
    ("softplus", ("nearly equal", "slow")),
    ("relu lost gradient", ("preactivations underflow",)),
    ("gelu explodes", ("overflow float32", "smaller k1 or C_W")),
    ("repu2 down", ("lose the signal", "no C_W and k1 keep the signal")),
])  # fmt: skip
def test_advice_says_what_the_forecast_holds(name, words):
    activation, settings, _ = CONFIGURATIONS[name]
    result = forecast(activation, **settings, inputs=128)
    assert all(word in result.advice for word in words), result.advice
    assert "\n" not in result.summary() and result.summary().startswith(f"first pass {result.fate}")


def test_a_lost_gradient_is_told_of_the_finite_networks_that_lose_it():
    """Saturated units have s' = 0 in every finite network, while E s'^2 of the infinitely wide one is large."""
    result = forecast(Erf(), C_W=1e9, C_b=0.0, k1=1e9, depth=8, width=16, inputs=32)
    assert result.fate == "vanishes" and result.log10_gradient[0] > 0
    assert "the gradient at layer 1 is 0 times the output's" in result.advice and "10^" not in result.advice


def test_networks_that_die_where_infinitely_wide_ones_blow_up_are_not_told_the_latters_growth():
    """RePU of degree 1.5 at depth 121: log10 chi_perp of infinite width leaves float64's range of powers of ten."""
    result = forecast(
        RePU(1.5), C_W=1.937, C_b=0.008855, k1=0.5, depth=121, width=6, dtype="float16", inputs=4, outputs=1
    )
    assert result.log10_chi_perp[-2] > 308
    assert result.fate == "vanishes"
    assert "multiplies" not in result.advice


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


@pytest.mark.parametrize("outputs", [1, 10])
def test_errors_of_a_narrow_layer_lie_in_few_dimensions(outputs):
    """Two errors in proportion to the same h, through the same matrix: their correlation squared is 1/d on average."""
    width, inputs, networks = 12, 6, 4000
    generator = np.random.default_rng(0)
    h, W = (generator.standard_normal((networks, *shape)) for shape in ((1, width), (width, outputs)))
    a, b = ((h * generator.standard_normal((networks, inputs, width))) @ W for _ in range(2))
    a, b = (e - e.mean(1, keepdims=True) for e in (a, b))
    squared = (a * b).sum((1, 2)) ** 2 / ((a * a).sum((1, 2)) * (b * b).sum((1, 2)))
    law = linear("float32", width, outputs)
    at_rest = np.full((1, 1), 2 * math.log10(limits("float32").rounding(width)))  # all error is new
    d = float(fate.noise_dimension(law, inputs, at_rest, 3.0)[0])
    assert squared.mean() == pytest.approx(1 / d, rel=0.15)
    # An error that has passed another such map on average lies in fewer.
    older, q = at_rest + np.log10([[1.0, 2.0, 3.0]]), 2 * 3 / 14
    again = float(fate.noise_dimension(law, inputs, older, 3.0)[0])
    assert again == pytest.approx(5 * (outputs + 2 * q) / (1 + (outputs + 1) * q), rel=1e-12)
    assert fate.noise_dimension(law, 1, at_rest, 3.0) == 0


def test_pairs_that_stand_for_inputs_of_several_sizes():
    """Points on a line: the smaller of the typical pair comes first, the largest input leads; images have one size."""
    x = np.array([0.5, -1.0, 0.2, 0.4, 2.0, 0.5])
    covariance = np.outer(x, x)
    pair, lead = typical_pair(covariance, 0.9), largest_pair(covariance, 0.9)
    assert (pair.k1, pair.ratio, pair.distance) == pytest.approx((0.25, 16.0, 0.0))  # of three the middle one
    assert (lead.k1, lead.ratio, lead.distance) == pytest.approx((4.0, 0.04, 0.0))  # 1.6 away, as the median is
    alike = np.full((4, 4), 0.3) + 0.6 * np.eye(4)
    assert largest_pair(alike, 0.9) == typical_pair(alike, 0.9)


def test_the_nearest_pair_is_first_at_any_size():
    covariance = np.eye(4) + np.kron(np.diag([0.2, 0.7]), 1 - np.eye(2))
    nearest_first = covariance[np.ix_([2, 3, 0, 1], [2, 3, 0, 1])]
    for size in (1e-300, 1.0, 1e300):
        np.testing.assert_array_equal(in_pairs(size * covariance), size * nearest_first)


def test_points_on_a_line_do_not_collapse_where_their_networks_keep_them_apart():
    """MRePU p=2 tells collinear inputs apart by their size; one 1e9 times as large hid the angle to the other."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(34, 1, generator=generator, dtype=torch.float64) * 2 - 1
    x, depth, width, members = x / x.square().mean().sqrt(), 3, 128, 60
    sizes = (1, *[width] * depth, 1)
    population = Population(MRePU(2), sizes, members, dtype=torch.float64)
    draw_(population, uniform_depth("custom", sizes, C_W=2.0, C_b=0.0, k1=2.0), range(members))
    with torch.no_grad():
        h = MRePU(2)(population.preactivations(x)[depth - 1])
    h = h / torch.linalg.vector_norm(h, dim=2, keepdim=True)
    distance = ((h[:, ::2] - h[:, 1::2]).square().sum(-1) / 2).median(1).values.log10().numpy()
    theory = forecast(
        MRePU(2),
        C_W=2.0,
        C_b=0.0,
        k1=2.0,
        depth=depth,
        width=width,
        inputs=34,
        outputs=1,
        dtype="float64",
        covariance=(2 * x @ x.T).numpy(),
    )
    assert (distance > math.log10(fate.COLLAPSE)).all() and theory.probabilities["survives"] > 0.95
    stated = theory.log10_one_minus_correlation[-1]
    assert abs(np.median(distance) - stated) < 0.5, (np.median(distance), stated)
