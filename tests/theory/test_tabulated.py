import numpy as np
import pytest
from torch import Tensor, nn

from repu_lab.activations import Adapted, SiLU, Softplus, SplineRePU, Tanh, as_activation
from repu_lab.theory import layers
from repu_lab.theory.closed_forms import moments
from repu_lab.theory.own_moments import ONE_INPUT
from repu_lab.theory.tabulated import Tabulated


class Kinked(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return z.clamp(-0.7, 1.3) + 0.1 * z


class Growing(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return (z * z / 8).exp()


ACTIVATIONS = {
    "tanh": Tanh(), "silu": SiLU(), "softplus": Softplus(), "spline": SplineRePU(2), "kinked": as_activation(Kinked()),
    "growing": Adapted(Growing()),
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_one_evaluation_gives_what_three_do(name):
    form = moments(ACTIVATIONS[name])
    K = np.geomspace(1e-8, 1e8, 70)
    together = form.one_input(K)
    for row, quantity in zip(together, ONE_INPUT, strict=True):
        np.testing.assert_allclose(row, getattr(form, quantity)(K), rtol=1e-14)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_table_is_the_quadrature(name):
    """Second visits interpolate; where the average is about to cease to exist they do not, and agree all the same."""
    form = moments(ACTIVATIONS[name])
    assert Tabulated(form).worthwhile
    table = Tabulated(form)
    K = np.exp(np.linspace(-12, 8, 250))
    direct = {quantity: getattr(form, quantity)(K) for quantity in ONE_INPUT}
    first = np.array([table.mean_square(value) for value in K])
    again = np.array([table.mean_square(value) for value in K])
    for values, quantity in (
        (first, "mean_square"),
        (again, "mean_square"),
        (table.mean_square_slope(K), "mean_square_slope"),
        (table.stein(K), "stein"),
    ):
        # g' of softplus at small K is what is left of terms that cancel: the quadrature itself is off by 1e-12 there.
        np.testing.assert_allclose(values, direct[quantity], rtol=2e-12 if quantity == "stein" else 2e-14)


def test_an_average_that_does_not_exist_is_nan_in_company_too():
    form = moments(ACTIVATIONS["growing"])  # E[s^2] exists for K < 2
    K = np.geomspace(0.1, 10, 30)
    alone = np.array([form.mean_square(K[i : i + 1])[0] for i in range(K.size)])
    assert np.isnan(alone[K > 2]).all() and np.isfinite(alone[K < 1]).all()
    np.testing.assert_allclose(form.mean_square(K), alone, rtol=1e-14)


@pytest.mark.parametrize("name", ["tanh", "silu", "spline", "kinked"])
def test_recursion_equals_the_direct_one(name):
    activation, C_W, C_b = ACTIVATIONS[name], 1.2, 0.05
    form, K = moments(activation), [0.7]
    for _ in range(20):
        K.append(C_b + C_W * float(form.mean_square(np.array([K[-1]]))[0]))
    kernel = layers(activation, C_W, C_b, K[0], 20)
    inside = np.array(K) < 1e20
    np.testing.assert_allclose(kernel.K[inside], np.array(K)[inside], rtol=1e-13)
    used = inside[:-1]
    np.testing.assert_allclose(
        kernel.chi_perp[:-1][used], C_W * form.mean_square_slope(np.array(K)[:-1][used]), rtol=1e-13
    )
