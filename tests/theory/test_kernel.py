"""The kernel and the correlation of two inputs, layer by layer."""

import mpmath as mp
import numpy as np
import pytest
from oracles import mrepu

from repu_lab.activations import ELU, GELU, LeakyReLU, MRePU, ReLU, RePU, Sigmoid, SplineRePU, Tanh
from repu_lab.theory import Law, gaussian, kernel
from repu_lab.theory.kernel import correlations, layers, log_g


@pytest.mark.parametrize("depth", [50, 1000])
@pytest.mark.parametrize(("p", "k1"), [(2, 1.0), (2, 0.3), (1.5, 4.0), (3, 0.2)])
def test_repu_is_exact_beyond_float64(p, k1, depth):
    """log K^l = p^(l-1) (log K^1 - log K_*) + log K_*, with mpmath's integers and logarithms."""
    result = layers(RePU(p), 1.0, 0.0, k1, depth)
    with mp.workdps(400):
        c = mp.mpf(2) ** (mp.mpf(p) - 1) * mp.gamma(mp.mpf(p) + 0.5) / mp.sqrt(mp.pi)
        fixed = -mp.log(c) / (mp.mpf(p) - 1)
        for layer in (1, 2, 9, depth, depth + 1):
            log10_K = (mp.mpf(p) ** (layer - 1) * (mp.log(mp.mpf(k1)) - fixed) + fixed) / mp.log(10)
            if abs(log10_K) < mp.mpf(10) ** 308:
                assert result.log10_K[layer - 1] == pytest.approx(float(log10_K), rel=3e-15, abs=1e-15)
            else:
                assert result.log10_K[layer - 1] == np.inf * float(mp.sign(log10_K))
    # chi_parallel = p (K/K_*)^(p-1), chi_perp / chi_parallel = p / (2p - 1), at any size.
    finite = np.abs(result.log10_K[:-1]) < 1e307
    expected = np.log10(p) + (p - 1) * (result.log10_K[:-1] - float(fixed / mp.log(10)))
    np.testing.assert_allclose(result.log10_chi_parallel[:-1][finite], expected[finite], rtol=1e-14, atol=1e-14)
    assert np.isnan(result.chi_parallel[-1]) and np.isnan(result.chi_perp[-1])


def test_repu_at_its_unstable_point_stays():
    for p in (2, 3, 0.75):
        c = float(gaussian.mean_square(RePU(p), 1.0))
        result = layers(RePU(p), 1 / c, 0.0, 1.0, 1000)
        np.testing.assert_allclose(result.K, 1.0, rtol=1e-14)
        np.testing.assert_allclose(result.chi_parallel[:-1], p, rtol=1e-14)


def test_mrepu_past_overflow():
    """Direct up to K = 1e24, straight lines in log K beyond: against 40 digits all the way to K = 1e441."""
    result = layers(MRePU(1), 1.0, 0.0, 1.0, 10)
    with mp.workdps(60):
        K = mp.mpf(1)
        for layer in range(1, 11):
            assert result.log10_K[layer - 1] == pytest.approx(float(mp.log10(K)), rel=1e-11)
            K = mrepu(1).averages(K)["mean_square"]
    assert result.K[-1] == np.inf and 440 < result.log10_K[-1] < 443


def test_values_at_each_layer_are_those_of_gaussian():
    for activation in (Tanh(), GELU(), MRePU(2), ELU(), SplineRePU(2), Sigmoid()):
        result = layers(activation, 1.3, 0.05, 0.4, 6)
        expected = 0.05 + 1.3 * gaussian.mean_square(activation, result.K[:-1])
        np.testing.assert_allclose(result.K[1:], expected, rtol=1e-14)
        np.testing.assert_allclose(
            result.chi_parallel[:-1], 1.3 * gaussian.stein(activation, result.K[:-1]), rtol=1e-12
        )
        # exp(log chi) at chi = 1e217 rounds by 500 eps.
        perp = 1.3 * gaussian.mean_square_slope(activation, result.K[:-1])
        np.testing.assert_allclose(result.chi_perp[:-1], perp, rtol=1e-12)
        finite = np.isfinite(result.K)
        np.testing.assert_allclose(result.log10_K[finite], np.log10(result.K[finite]), rtol=1e-13, atol=1e-15)


def test_variances_may_differ_from_map_to_map():
    for activation, C_b in ((RePU(2), 0.0), (Tanh(), 0.1), (ReLU(), 0.0)):
        C_W = np.array([1.0, 0.7, 1.9])
        together = layers(activation, C_W, [C_b, C_b / 2, 0.0], 0.8, 3)
        K = 0.8
        for i in range(3):
            K = layers(activation, C_W[i], [C_b, C_b / 2, 0.0][i], K, 1).K[1]
            assert together.K[i + 1] == pytest.approx(K, rel=1e-13)


def test_log_mean_square_is_continuous_where_it_changes_its_method():
    for activation in (Tanh(), GELU(), MRePU(2), ELU(), RePU(2.5), Sigmoid()):
        for edge in (kernel.SMALL_K, kernel.LARGE_K):
            x = np.log(edge) + np.array([-1e-9, 1e-9])
            low, high = log_g(activation, x)
            assert high - low == pytest.approx(0, abs=1e-7)
        assert np.isneginf(log_g(activation, np.array([-np.inf]))[0]) == (not isinstance(activation, Sigmoid))


def test_stable_points_are_approached_as_power_laws():
    """tanh: K ~ 1/(2l); ELU: K ~ 4/(k l)^2 with k = sqrt(2/pi), from the K^(3/2) term."""
    for activation, law in ((Tanh(), lambda layer: 1 / (2 * layer)), (ELU(), lambda layer: 2 * np.pi / layer**2)):
        K = layers(activation, 1.0, 0.0, 1.0, 799).K
        near, far = (abs(K[layer - 1] / law(layer) - 1) for layer in (200, 800))
        assert far < 0.03 and far < near / 2


def test_repu_correlations_go_to_the_universal_one_at_any_depth():
    for p, expected in ((2, 0.379956552999), (3, 0.131333771424), (1.5, 0.716445918158)):
        result = correlations(Law.of(RePU(p), 1.0, 0.0, 1.0, 1000), 0.5, 0.6)
        assert result.correlation[-1] == pytest.approx(expected, abs=1e-11)
        alone = layers(RePU(p), 1.0, 0.0, 0.5, 1000)
        np.testing.assert_array_equal(result.log10_K22, alone.log10_K)


def test_correlations_of_relu_and_deep_linear_networks():
    relu = correlations(Law.of(ReLU(), 2.0, 0.0, 1.0, 300), 1.0, 0.0)
    # 1 - r ~ 9 pi^2 / (2 l^2)
    assert (1 - relu.correlation[-1]) * 2 * 301**2 / (9 * np.pi**2) == pytest.approx(1, rel=0.1)
    linear = correlations(Law.of(LeakyReLU(1.0), 1.0, 0.0, 1.0, 300), 2.0, 0.3)
    np.testing.assert_allclose(linear.correlation, 0.3 / np.sqrt(2), rtol=1e-12)


def test_covariances_are_those_of_pair_mean():
    for activation in (Tanh(), MRePU(2), GELU(), RePU(2), ELU()):
        result = correlations(Law.of(activation, 0.9, 0.02, 0.5, 4), 0.4, 0.3)
        for i in range(4):
            pair = (result.K11[i], result.K22[i], result.K12[i])
            value, gain = gaussian.pair_mean(activation, *pair)
            assert result.K12[i + 1] == pytest.approx(0.02 + 0.9 * float(value), rel=1e-12)
            scale = np.sqrt(pair[0] * pair[1] / (result.K11[i + 1] * result.K22[i + 1]))
            assert result.gain[i] == pytest.approx(0.9 * float(gain) * scale, rel=1e-12)
        np.testing.assert_allclose(result.K11, layers(activation, 0.9, 0.02, 0.5, 4).K, rtol=1e-15)


def test_exploding_mrepu_forgets_everything_but_its_power():
    """Past overflow MRePU_p is RePU_(p+1): its pairs end at that one's correlation."""
    result = correlations(Law.of(MRePU(1), 1.0, 0.0, 1.0, 60), 1.0, 0.5)
    assert result.correlation[-1] == pytest.approx(0.379956552999, abs=1e-9)
    assert np.isfinite(result.correlation).all() and result.K11[-1] == np.inf


def test_nothing_is_left_without_weights():
    result = layers(Tanh(), 0.0, 0.0, 1.0, 3)
    assert list(result.K) == [1.0, 0.0, 0.0, 0.0] and np.isneginf(result.log10_K[-1])
    assert list(layers(RePU(2), 0.0, 0.0, 1.0, 2).K) == [1.0, 0.0, 0.0]
    assert list(layers(RePU(2), 0.0, 0.3, 1.0, 2).K) == [1.0, 0.3, 0.3]


def test_bad_input_says_why():
    for bad, message in (
        (lambda: layers(ReLU(), -1.0, 0.0, 1.0, 3), "C_W=-1.0 must be a finite number"),
        (lambda: layers(ReLU(), 1.0, -0.1, 1.0, 3), "C_b=-0.1 must be a finite number"),
        (lambda: layers(ReLU(), 1.0, 0.5, 0.4, 3), "k1=0.4 is smaller than C_b=0.5"),
        (lambda: layers(ReLU(), 1.0, 0.0, 1.0, 0), "depth=0 must be an integer of at least 1"),
        (lambda: layers(ReLU(), 1.0, 0.0, 1.0, 2.5), "depth=2.5 must be an integer"),  # pyright: ignore
        (lambda: layers(ReLU(), [1.0, 2.0], 0.0, 1.0, 3), "hold one for each of the 3 maps"),
        (lambda: layers(ReLU(), 1.0, 0.0, 0.0, 3), "k1=0.0 must be a positive finite number"),
        (lambda: correlations(Law.of(ReLU(), 1.0, 0.0, 1.0, 3), 1.0, 1.5), "it is a covariance"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            bad()
        assert "\n" not in str(error.value)
