"""s, s', s'' of every activation against derivatives of mpmath's own functions, at the kinks, and far out."""

import math
from typing import Any, cast

import mpmath
import pytest
import torch
from torch import nn

from repu_lab.activations import ACTIVATIONS, Activation, Formula, MRePU, RePU, SplineRePU, as_activation

F64 = torch.float64
CASES = {name: kind() for name, kind in ACTIVATIONS.items()} | {
    "repu p=0.75": RePU(0.75),
    "repu p=1": RePU(1),
    "repu p=1.5": RePU(1.5),
    "repu p=3": RePU(3),
    "mrepu p=2": MRePU(2),
    "mrepu p=2.5": MRePU(2.5),
    "mrepu p=1 scale=3": MRePU(1, 3),
    "mrepu p=2 scale=0.2": MRePU(2, 0.2),
    "mrepu p=1.5 scale=7": MRePU(1.5, 7),
    "monomial p=3": ACTIVATIONS["monomial"](p=3),
    "spline_repu p=3": SplineRePU(3),
    "spline_repu p=4": SplineRePU(4),
    "spline_repu skew": SplineRePU(3, shift=0.44),
    "spline_repu plateau": SplineRePU(2, plateau=4),
    "spline_repu both": SplineRePU(3, shift=-1.3, plateau=5),
    "leaky_relu slope=0.2": ACTIVATIONS["leaky_relu"](slope=0.2),
}


def spline(activation: Any):
    """Written anew: the sum of RePUs over its slope at 0, both as alternating sums."""
    m = mpmath

    def ramps(z, power: int):
        p, n = activation.p, activation.plateau
        return m.fsum(
            (-1) ** j * m.binomial(p + 1, j) * max(z + m.mpf(p + n) / 2 - i - j, m.mpf(0)) ** power / m.factorial(power)
            for i in range(n)
            for j in range(p + 2)
        )

    def s(z):
        d, p = m.mpf(activation.shift), activation.p
        return (ramps(z + d, p + 1) - ramps(d, p + 1)) / ramps(d, p)

    return s


def exact(name: str, activation: Activation):
    """The activation's definition, written once more with mpmath."""
    m = mpmath
    p, a = (getattr(activation, name, 1) for name in ("p", "scale"))
    softplus = lambda z: m.log(1 + m.exp(z))  # noqa: E731
    table = {
        "repu": lambda z: z**p if z > 0 else m.mpf(0),
        "mrepu": lambda z: z * (1 + z / m.mpf(a)) ** p if z > -a else m.mpf(0),
        "spline_repu": spline(activation),
        "monomial": lambda z: z**p,
        "identity": lambda z: z,
        "relu": lambda z: max(z, m.mpf(0)),
        "leaky_relu": lambda z: z if z > 0 else m.mpf(activation.slope) * z,
        "tanh": m.tanh,
        "erf": m.erf,
        "sin": m.sin,
        "sigmoid": lambda z: 1 / (1 + m.exp(-z)),
        "softplus": softplus,
        "silu": lambda z: z / (1 + m.exp(-z)),
        "mish": lambda z: z * m.tanh(softplus(z)),
        "gelu": lambda z: z * m.ncdf(z),
        "gelu_tanh": lambda z: z / 2 * (1 + m.tanh(m.sqrt(2 / m.pi) * (z + m.mpf("0.044715") * z**3))),
        "hardswish": lambda z: z * min(max(z + 3, 0), 6) / 6,
        "elu": lambda z: z if z > 0 else m.mpf(activation.alpha) * m.expm1(z),
        "selu": lambda z: m.mpf("1.0507009873554805") * (z if z > 0 else m.mpf("1.6732632423543772") * m.expm1(z)),
    }
    return table[name.split()[0]]


@pytest.mark.parametrize("name", CASES)
def test_values_and_derivatives_equal_those_of_the_definition(name):
    activation = CASES[name]
    z = torch.tensor([-7.3, -2.6, -1.7, -0.9, -0.31, -1e-3, 1e-3, 0.27, 0.8, 1.7, 2.6, 7.3], dtype=F64)
    s = exact(name, activation)
    with mpmath.workdps(40):
        wanted = torch.tensor(
            [[float(mpmath.diff(s, mpmath.mpf(v), n)) for v in z.tolist()] for n in (0, 1, 2)], dtype=F64
        )
    got = torch.stack([activation(z), activation.derivative(z), activation.second_derivative(z)])
    torch.testing.assert_close(got, wanted, rtol=2e-12, atol=2e-13)


@pytest.mark.parametrize("name", CASES)
def test_gradient_of_forward_is_derivative_everywhere_the_kinks_included(name):
    activation = CASES[name]
    z = torch.cat([torch.linspace(-6, 6, 241, dtype=F64), torch.tensor(activation.kinks, dtype=F64)]).requires_grad_()
    (gradient,) = torch.autograd.grad(activation(z).sum(), z)
    torch.testing.assert_close(gradient, activation.derivative(z.detach()), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", CASES)
def test_derivatives_at_kinks_are_their_limits_from_the_left(name):
    activation = CASES[name]
    for kink in activation.kinks:
        at, left = torch.tensor(kink, dtype=F64), torch.tensor(kink - 1e-9, dtype=F64)
        torch.testing.assert_close(activation.derivative(at), activation.derivative(left), rtol=0, atol=1e-6)
        torch.testing.assert_close(
            activation.second_derivative(at), activation.second_derivative(left), rtol=0, atol=1e-6
        )


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("size", [1e2, 1e10, 3e38])
def test_large_arguments_in_float32_give_no_nan(name, size):
    activation = CASES[name]
    z = torch.tensor([-size, size], dtype=torch.float32, requires_grad=True)
    value = activation(z)
    (gradient,) = torch.autograd.grad(value.sum(), z)
    for quantity in (value, gradient, activation.derivative(z), activation.second_derivative(z)):
        assert not quantity.isnan().any()
    # Where the exact value is representable it is returned: on the left RePU and MRePU are 0, not 0 * inf.
    if name.startswith(("repu", "mrepu")):
        assert value[0] == 0 and gradient[0] == 0
        assert activation(torch.tensor(-math.inf)) == 0


@pytest.mark.parametrize("name", [n for n, a in CASES.items() if a.degree is not None])
def test_homogeneous_activations_scale_by_their_degree(name):
    activation = CASES[name]
    z = torch.linspace(-3, 3, 13, dtype=F64)
    torch.testing.assert_close(activation(2 * z), 2 ** (activation.degree or 0) * activation(z), rtol=1e-14, atol=0)


@pytest.mark.parametrize(("p", "plateau"), [(2, 1), (3, 1), (4, 1), (7, 1), (2, 3), (3, 8)])
def test_spline_is_bounded_odd_and_exact_where_the_signal_is_small(p, plateau):
    s = SplineRePU(p, plateau=plateau)
    z = torch.tensor([1e-9, 0.4, p + plateau + 5.0], dtype=F64)
    assert torch.equal(s(-z), -s(z))
    assert abs(s(z)[0].item() / 1e-9 - 1) < 1e-15
    assert s(z)[2].item() == pytest.approx(plateau / 2 / s.slope_at_0, rel=1e-12)


@pytest.mark.parametrize("arguments", [(2,), (3, 0.44), (2, 0.0, 4), (2, -2.0, 8)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_spline_that_is_trained_has_the_bits_of_one_that_is_looked_at(arguments, dtype):
    s = SplineRePU(*arguments)
    z = torch.cat((torch.linspace(-6, 6, 301), torch.tensor([*s.kinks, math.inf, -math.inf]))).to(dtype)
    at = z.clone().requires_grad_()
    value, slope = s(at), s.derivative(at)
    (gradient,) = torch.autograd.grad(value.sum(), at)
    (bend,) = torch.autograd.grad(slope.sum(), at)
    assert torch.equal(value, s(z)) and torch.equal(gradient, s.derivative(z)) and torch.equal(slope, gradient)
    outside = (z <= torch.tensor(s.edges[0], dtype=dtype)) | (z >= torch.tensor(s.edges[1], dtype=dtype))
    assert not gradient[outside].any()
    atol = 1e-4 if dtype == torch.float32 else 0.3
    torch.testing.assert_close(bend, s.second_derivative(z), rtol=0.1, atol=atol)
    (third,) = torch.autograd.grad(s.second_derivative(at).sum(), at)
    smooth = (z.double()[:, None] - torch.tensor(s.kinks)).abs().amin(1) > 0.01
    low, high = (s.second_derivative(z.double() + side) for side in (-1e-3, 1e-3))
    torch.testing.assert_close(third.double()[smooth], ((high - low) / 2e-3)[smooth], rtol=0.1, atol=0.1)


def test_a_plateau_is_a_line_to_the_last_bit_and_a_shift_moves_it():
    z = torch.linspace(-1, 1, 41, dtype=F64)
    assert torch.equal(SplineRePU(2, plateau=4)(z), z)
    moved = SplineRePU(2, shift=-2.0, plateau=8)(torch.linspace(-1, 5, 41, dtype=F64))
    torch.testing.assert_close(moved, torch.linspace(-1, 5, 41, dtype=F64), rtol=0, atol=0)
    assert SplineRePU(2, shift=-2.0, plateau=8)(torch.tensor(-4.0)) > -2.1


@pytest.mark.parametrize(("p", "shift", "plateau"), [(3, 0.44, 1), (2, -1.5, 6)])
def test_a_skew_spline_is_exact_where_the_signal_is_small(p, shift, plateau):
    z = torch.tensor([1e-9, -1e-9], dtype=F64)
    s = SplineRePU(p, shift=shift, plateau=plateau)
    bend = s.second_derivative(0 * z)
    torch.testing.assert_close(s(z), z + bend * z**2 / 2, rtol=1e-15, atol=0)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: RePU(0.5), "p=0.5 must be greater than 1/2"),
        (lambda: RePU(cast(Any, "two")), "p='two' must be a finite number"),
        (lambda: RePU(21), "p=21 must be at most 20"), (lambda: MRePU(10), "p=10 must be at most 9"),
        (lambda: MRePU(0.9), "p=0.9 must be at least 1"),
        (lambda: MRePU(1, 0), "scale=0 must lie between 0.001 and 1000"),
        (lambda: SplineRePU(1), "p=1 must be an integer from 2"),
        (lambda: SplineRePU(2, shift=0.6), "shift=0.6 must be at most"),
        (lambda: SplineRePU(2, plateau=0), "plateau=0 must be an integer from 1"),
        (lambda: ACTIVATIONS["monomial"](p=1.5), "p=1.5 must be an integer"),
    ],
)  # fmt: skip
def test_invalid_parameters_are_named(build, says):
    with pytest.raises(ValueError, match=says):
        build()


class Square(nn.Module):
    def forward(self, z):
        return z * z / (1 + z * z)


def test_a_users_module_gets_its_derivatives_from_autograd():
    activation = as_activation(Square())
    z = torch.linspace(-3, 3, 31, dtype=F64)
    torch.testing.assert_close(activation.derivative(z), 2 * z / (1 + z * z) ** 2)
    torch.testing.assert_close(activation.second_derivative(z), (2 - 6 * z * z) / (1 + z * z) ** 3)
    assert not activation.derivative(z).requires_grad


@pytest.mark.parametrize("s", [SplineRePU(3, 0.44), Formula("z * relu(1 + z)**2"), MRePU(2), Square()], ids=repr)
def test_value_and_derivative_are_what_both_are_alone(s):
    activation, z = as_activation(s), torch.linspace(-3, 3, 31, dtype=F64)
    value, slope = activation.value_and_derivative(z)
    assert torch.equal(value, activation(z)) and torch.equal(slope, activation.derivative(z))
    assert not (value.requires_grad or slope.requires_grad)
