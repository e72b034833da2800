"""The neural tangent kernel."""

import numpy as np
import pytest
from laws import pair_ratio

from repu_lab.activations import ELU, GELU, MRePU, ReLU, RePU, Sin, Tanh
from repu_lab.theory import Law, gaussian, kernel, tangent_layers


@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
@pytest.mark.parametrize("depth", [50, 1000])
def test_repu_ratio_is_a_geometric_series(p, depth):
    """H/K = (q^l - 1) / (q - 1), q = p^2 / (2p - 1), whatever K is."""
    result = tangent_layers(Law.of(RePU(p), 1.0, 0.0, 0.9, depth))
    q, layer = p**2 / (2 * p - 1), np.arange(1, depth + 2)
    log10_ratio = np.log10(layer) if p == 1 else layer * np.log10(q) + np.log10((1 - q ** (-layer * 1.0)) / (q - 1))
    np.testing.assert_allclose(result.log10_ratio, log10_ratio, rtol=1e-12, atol=1e-12)
    log10_K = kernel.layers(RePU(p), 1.0, 0.0, 0.9, depth).log10_K
    finite = np.isfinite(log10_K)
    np.testing.assert_allclose(result.log10_H[finite], (log10_K + log10_ratio)[finite], rtol=1e-12)


@pytest.mark.parametrize("activation", [ReLU(), RePU(2), MRePU(1), GELU(), Tanh(), Sin(), ELU()], ids=str)
def test_recursion_as_it_is_written(activation):
    C_W, C_b, depth = 0.8, 0.03, 6
    one = tangent_layers(Law.of(activation, C_W, C_b, 0.3, depth))
    two = pair_ratio(Law.of(activation, C_W, C_b, 0.3, depth), 0.2, 0.1)
    K11, K22, K12 = 0.3, 0.2, 0.1
    H11, H12 = K11, K12
    for layer in range(depth):
        value, gain = gaussian.pair_mean(activation, K11, K22, K12)
        H11 = (
            C_b
            + C_W * float(gaussian.mean_square(activation, K11))
            + C_W * H11 * float(gaussian.mean_square_slope(activation, K11))
        )
        H12 = C_b + C_W * float(value) + C_W * float(gain) * H12
        K11, K22, K12 = (C_b + C_W * float(x) for x in (*gaussian.mean_square(activation, [K11, K22]), value))
        assert one.H[layer + 1] == pytest.approx(H11, rel=1e-12)
        assert two[layer + 1] == pytest.approx(H12 / np.sqrt(K11 * K22), rel=1e-12)


def test_a_pair_of_equal_inputs_is_one_input():
    for activation in (RePU(2), MRePU(2), GELU(), Tanh()):
        one = tangent_layers(Law.of(activation, 0.9, 0.0, 0.4, 8))
        two = pair_ratio(Law.of(activation, 0.9, 0.0, 0.4, 8), 0.4, 0.4)
        np.testing.assert_allclose(two, 10**one.log10_ratio, rtol=1e-10)


def test_past_overflow_the_ratio_goes_on():
    """MRePU_1 is RePU_2 there: H/K grows by 4/3 a layer."""
    result = tangent_layers(Law.of(MRePU(1), 1.0, 0.0, 1.0, 60))
    assert result.H[-1] == np.inf and np.isfinite(result.log10_H).all()
    ratio = 10.0**result.log10_ratio
    assert (ratio[-1] - 1) / ratio[-2] == pytest.approx(4 / 3, rel=1e-9)


def test_without_weights_only_the_bias_is_left():
    assert list(tangent_layers(Law.of(Tanh(), 0.0, 0.2, 1.0, 2)).H) == [1.0, pytest.approx(0.2), pytest.approx(0.2)]
