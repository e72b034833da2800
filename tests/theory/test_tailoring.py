"""Tailored activations: the published numbers, an independent quadrature, and networks that keep what theory says."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from torch import Tensor, nn

from repu_lab import forecast, tailor
from repu_lab.activations import (
    ELU,
    GELU,
    SELU,
    Activation,
    Erf,
    Formula,
    Hardswish,
    Identity,
    LeakyReLU,
    Monomial,
    MRePU,
    ReLU,
    RePU,
    Sigmoid,
    SiLU,
    Sin,
    Softplus,
    SplineRePU,
    Tailored,
    Tanh,
)
from repu_lab.networks.initialization import critical, draw_
from repu_lab.networks.population import Population
from repu_lab.theory import Law, critical_initialization, pair_mean
from repu_lab.theory.affine_maps import Conditions
from repu_lab.theory.closed_forms import moments
from repu_lab.theory.forecast import forecast_law

F64 = torch.float64
NODES, WEIGHTS = np.polynomial.legendre.leggauss(24)

# What dks 0.1.2 (https://github.com/google-deepmind/dks, dks/base/activation_transform.py, _get_activations_params)
# gives where subnet_max_func composes 50 layers: input_scale, input_shift, output_scale, output_shift.
DKS_50 = {
    "dks": [
        (Tanh(), 0.12844047873558134, 0.5707795475033653, 10.60444762474457, -0.509807241736997),
        (Softplus(), 0.32662517344343067, 0.4093739676521258, 5.094842886884898, -0.9312843019625139),
        (GELU(), 0.12136061325779468, 0.2577426235683331, 11.751427782511497, -0.16054138480752198),
        (SiLU(), 0.18442861360101906, 0.3488179216642604, 8.081396143139461, -0.2124652446623589),
        (Erf(), 0.11115808156028459, 0.5896444417839709, 11.284620319436534, -0.5899278823147455),
    ],
    "tat": [
        (Tanh(), 0.08165523496544572, 0.5258489444577655, 15.941633675729026, -0.48318895474461715),
        (Softplus(), 0.21210121644715837, 0.5400250750406159, 7.455736272204588, -0.9970455848758711),
        (GELU(), 0.08174011958911562, 0.32683280121189434, 16.260477420110735, -0.20430295748668978),
        (SiLU(), 0.12335886359371669, 0.4474844794930547, 11.304155680448151, -0.27157239485807605),
    ],
}
# The same of its own tests/test_activation_transform.py: zeta = 1.2 and tau = .2 over all subnetworks of a ResNet.
RESNET = {
    "dks": [
        (Softplus(), 0.18761008168267976, 0.40688063442262007, 8.878672543665223, -0.9213466151411376),
        (Tanh(), 0.07461073057540868, 0.5566915199964182, 18.002635964442558, -0.5034378768692127),
        (GELU(), 0.07043253126531114, 0.259489297927707, 20.21158902315857, -0.15815378961903598),
    ],
    "tat": [
        (Softplus(), 0.15011489794748328, 0.5374599901127068, 10.54880187880574, -0.996481014465811),
        (Tanh(), 0.0580205218578313, 0.5218639804099805, 22.36066261763117, -0.4796430704354356),
    ],
}


def numbers(made: Tailored) -> list[float]:
    return [made.alpha, made.beta, made.gamma, made.delta]


@pytest.mark.parametrize(("kind", "case"), [(kind, case) for kind, cases in DKS_50.items() for case in cases])
def test_as_the_published_program(kind: str, case: tuple[Activation, float, float, float, float]) -> None:
    s, *published = case
    made = tailor(s, 50, kind)
    assert numbers(made) == pytest.approx(published, rel=2e-6)
    assert made.notes == ()


@pytest.mark.parametrize(("kind", "case"), [(kind, case) for kind, cases in RESNET.items() for case in cases])
def test_as_the_published_numbers(kind: str, case: tuple[Activation, float, float, float, float]) -> None:
    """The condition on one layer follows from the network's, x^(1/L) and tau / L for a plain one."""

    def largest(x: float, layer) -> float:
        start, weight = layer(layer(layer(x))), 0.36
        for blocks in (3, 4, 23, 3):
            for j in range(blocks):
                x = weight * (layer(x) if j == 0 else x) + (1 - weight) * layer(layer(layer(x)))
        return max(layer(x), start)

    s, *published = case
    if kind == "dks":
        target = brentq(lambda t: largest(1.0, lambda y: t * y) - 1.2, 1, 1.1, xtol=1e-15)
    else:
        target = brentq(lambda t: largest(0.0, lambda y: t + y) - 0.2, 0, 1, xtol=1e-15)
    asked = Conditions(s, float(target), curved=kind == "tat", free=True)  # pyright: ignore[reportArgumentType, reportCallIssue]
    alpha, beta, side = asked.solve()
    maps = asked.maps(alpha, beta, side)
    assert [alpha, beta, maps.gamma[0], maps.delta[0]] == pytest.approx(published, rel=2e-6)


def test_relu_family_as_the_published_program() -> None:
    """Homogeneous: relu(a u + 1) = a relu(u + 1 / a)."""
    made = tailor(ReLU(), 50)
    scale, delta, gamma = 0.4307876892103894, -1.0014815599689808, 2.342662307077366
    # Its 100,000 nodes do not know of the kink: steps of 2e-4 times the density there are 1e-5.
    assert numbers(made) == pytest.approx([1, 1 / scale, gamma * scale, delta / scale], rel=3e-5)
    assert made.notes[0].startswith("Q'(1) = 1 cannot be met, it is 0.944")
    for s in (ReLU(), LeakyReLU(0.3), RePU(1)):
        made = tailor(s, 50, "tat")
        assert isinstance(made.base, LeakyReLU)
        assert [made.base.slope, made.gamma] == pytest.approx([0.43052294850349426, 1.2989477863184222], rel=1e-7)
        assert made.title == f"{s.described}, TAT at depth 50"
        assert made.degree == 1


# Of powers and MRePU: found by another program, to the digits given.
POWERS = [
    (RePU(2), "shift", {"beta": 7.80, "chi_parallel": 1.008}),
    (RePU(3), "shift", {"beta": 15.6, "chi_parallel": 1.016}),
    (RePU(2), "tat", {"beta": -1.068901, "delta": -0.453054, "gamma": 1.967436, "chi_perp": 1, "chi_parallel": 1}),
    (RePU(3), "tat", {"beta": 0.545549, "delta": -6.086760, "gamma": 0.158171, "chi_perp": 1, "chi_parallel": 1}),
    (MRePU(1), "dks", {"alpha": 0.0439, "beta": -0.853, "chi_parallel": 1, "chi_perp": 1.5**0.02}),
    (MRePU(2), "tat", {"alpha": 0.0118, "beta": -0.452, "curvature": 0.006}),
]


@pytest.mark.parametrize(("s", "kind", "known"), POWERS)
def test_of_powers(s: Activation, kind: str, known: dict[str, float]) -> None:
    made = tailor(s, 50, kind).numbers()
    for name, value in known.items():
        digits = len(str(value).partition(".")[2]) if isinstance(value, float) else 9
        assert made[name] == pytest.approx(value, abs=0.51 * 10 ** -min(digits, 9)), name


class Bump(nn.Module):
    """A user's own: two kinks that it does not declare, and no derivative."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.where(z.abs() < 1, z * (1 - z.abs()), 0.1 * (z.sign() - z))


def average(made: Activation, of, kinks: tuple[float, ...]) -> float:
    """E of(u) by 24 nodes on panels of 1/8, cut at kinks: nothing of the lab's quadrature."""
    cuts = np.unique(np.concatenate((np.arange(-12, 12.01, 0.125), np.clip(kinks, -12, 12))))
    half = np.diff(cuts) / 2
    u = (cuts[:-1] + half)[:, None] + half[:, None] * NODES
    weights = half[:, None] * WEIGHTS * np.exp(-(u**2) / 2) / math.sqrt(2 * math.pi)
    return float((of(torch.from_numpy(u)).detach().numpy() * weights).sum())


def slope_by_autograd(made: Activation, u: Tensor) -> Tensor:
    assert isinstance(made, Tailored)
    u = u.clone().requires_grad_()
    value = made.gamma * (made.base(made.alpha * u + made.beta) + made.delta)
    return torch.autograd.grad(value.sum(), u)[0]


MADE = [
    (Tanh(), "dks", 50), (Tanh(), "tat", 5), (Softplus(), "shift", 50), (GELU(), "tat", 1000), (ELU(), "tat", 50),
    (SELU(), "dks", 10), (MRePU(1), "dks", 50), (MRePU(1, scale=10), "dks", 50), (MRePU(2), "dks", 200),
    (MRePU(1.5), "dks", 50), (RePU(2), "dks", 50), (RePU(3), "tat", 50), (RePU(2, shift=1), "shift", 20),
    (RePU(1.5), "shift", 50), (Hardswish(), "dks", 50), (Sin(), "dks", 50), (SplineRePU(2), "dks", 50),
    (ReLU(), "tat", 50), (Formula("z * relu(1 + z)**2"), "dks", 50), (Bump(), "dks", 20),
]  # fmt: skip


@pytest.mark.parametrize(("s", "kind", "depth"), MADE, ids=str)
def test_the_maps_by_another_quadrature(s: Activation, kind: str, depth: int) -> None:
    made = tailor(s, depth, kind)
    kinks = made.kinks
    if isinstance(s, Bump):
        kinks = tuple((kink - made.beta) / made.alpha for kink in (-1.0, 0.0, 1.0))
    if isinstance(s, (RePU, MRePU)) and s.p == 1.5:  # s' is a root beside the kink
        kinks = tuple(kink + sign * 4.0**-k for kink in kinks for k in range(1, 20) for sign in (-1, 1)) + kinks
    Q = average(made, lambda u: made(u) ** 2, kinks)
    mean = average(made, made, kinks)  # C(0) = mean^2
    # Q'(q) by parts, without the slope.
    parallel = average(made, lambda u: made(u) ** 2 * (u**2 - 1) / 2, kinks)
    perp = average(made, lambda u: slope_by_autograd(made, u) ** 2, kinks)
    assert pytest.approx(1, abs=1e-8) == Q
    assert parallel == pytest.approx(made.known["chi_parallel"], abs=1e-8)
    assert perp == pytest.approx(made.known["chi_perp"], abs=1e-8)
    if kind == "tat":
        assert perp == pytest.approx(1, abs=1e-8)
    else:
        assert mean == pytest.approx(0, abs=1e-8)
        assert perp == pytest.approx(1.5 ** (1 / depth), abs=1e-8)
    if kind != "shift" and not made.notes:
        assert parallel == pytest.approx(1, abs=1e-8)
    if "curvature" in made.known:
        bend = average(made, lambda u: made.second_derivative(u) ** 2, kinks)
        assert bend == pytest.approx(made.known["curvature"], rel=1e-7)
        assert made.notes or bend == pytest.approx(0.3 / depth, abs=1e-8)


@pytest.mark.parametrize("s", [MRePU(1), ELU(), Tanh(), Formula("z * relu(1 + z)**2")], ids=str)
@pytest.mark.parametrize("K", [0.1, 1.0, 30.0])
def test_theory_averages_it_right(s: Activation, K: float) -> None:
    made = tailor(s, 50)
    form, at = moments(made), np.array([K])
    kinks = tuple(kink / math.sqrt(K) for kink in made.kinks)

    def scaled(of):
        return lambda x: of(math.sqrt(K) * x)

    assert form.mean_square(at)[0] == pytest.approx(average(made, scaled(lambda u: made(u) ** 2), kinks), rel=1e-9)
    slope = average(made, scaled(lambda u: slope_by_autograd(made, u) ** 2), kinks)
    assert form.mean_square_slope(at)[0] == pytest.approx(slope, rel=1e-9)
    assert form.stein(at)[0] == pytest.approx(
        average(made, lambda x: made(math.sqrt(K) * x) ** 2 * (x**2 - 1) / 2, kinks) / K, rel=1e-8
    )
    u, weights = form.rule(at, 0.7)
    assert [weights.sum(), (weights * u).sum()] == pytest.approx([1, 0.7], rel=1e-12)
    value, gain = pair_mean(made, K, K, K)
    assert value == pytest.approx(form.mean_square(at)[0], rel=1e-9)
    assert gain == pytest.approx(slope, rel=1e-9)


@pytest.mark.parametrize(("s", "kind", "depth"), MADE[:-1], ids=str)
def test_derivatives_are_those_of_autograd(s: Activation, kind: str, depth: int) -> None:
    made = tailor(s, depth, kind)
    u = torch.linspace(-4.017, 4.003, 101, dtype=F64)
    u = u[(u[:, None] - torch.tensor([*made.kinks, 99.0])).abs().min(1).values > 0.02].requires_grad_()
    (slope,) = torch.autograd.grad(made(u).sum(), u)
    assert torch.allclose(slope, slope_by_autograd(made, u.detach()), rtol=1e-12, atol=1e-12)
    slope = made.derivative(u)
    bend = torch.autograd.grad(slope.sum(), u)[0] if slope.requires_grad else torch.zeros_like(u)
    assert torch.allclose(bend, made.second_derivative(u.detach()), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    ("dtype", "depth", "most"), [(torch.bfloat16, 50, 0.003), (torch.float16, 50, 4e-4), (torch.float32, 50, 1e-6),
                                 (torch.float32, 100_000, 1e-7)],
)  # fmt: skip
def test_rounding(dtype: torch.dtype, depth: int, most: float) -> None:
    """As it is written s_hat of MRePU loses 4 % in bfloat16, and 5e-5 in float32 at depth 100,000."""
    made = tailor(MRePU(1), depth)
    u = torch.randn(20_000, generator=torch.Generator().manual_seed(0)).to(dtype)
    exact = made.double()(u.double())
    lost = (made(u).double() - exact).square().mean().sqrt()
    assert made(u).dtype == dtype
    assert lost < most * exact.square().mean().sqrt()


def test_networks_start_at_one() -> None:
    start = critical_initialization(tailor(MRePU(1), 50), 50)
    assert (start.C_W, start.C_b, start.k1) == (1, 0, 1)
    assert start.reason.startswith("MRePU(p=1), DKS at depth 50, is made for K=1: chi_parallel=1, chi_perp=1.008")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tailor(Identity(), 50), "Identity cannot be tailored, since it is linear"),
        (lambda: tailor(LeakyReLU(1.0), 50), "LeakyReLU cannot be tailored, since it is linear"),
        (
            lambda: tailor(MRePU(1), 50, "tat"),
            "the slope of MRePU jumps or is too steep at z=-1, .*choose shift or dks",
        ),
        (lambda: tailor(MRePU(1.5), 50, "tat"), "the slope of MRePU jumps or is too steep at z=-1"),
        (lambda: tailor(Formula("sign(z) + z"), 50), "cannot be tailored, since s jumps at z=0: .* is infinite"),
        (lambda: tailor(Monomial(2), 50, "tat"), "no alpha and beta bring Monomial near its conditions"),
        (lambda: tailor(tailor(Tanh(), 5), 5), "Tanh, DKS at depth 5, is tailored already"),
        (lambda: tailor(Tanh(), 5, "dsk"), "kind='dsk' must be one of shift, dks, tat"),
        (lambda: tailor(Tanh(), 5, zeta=1), "zeta=1 must be a number above 1"),
        (lambda: tailor(Tanh(), 5, tau=0), "tau=0 must be a number above 0"),
        (lambda: tailor(ReLU(), 5, "tat", eta=1), "eta=1 must be a number above 0 and below 1"),
        (lambda: tailor(Tanh(), 0), "depth=0 must be an integer of at least 1"),
        (lambda: Tailored(Tanh(), 0.0, 0.0, 1.0, 0.0), "alpha=0.0 must be greater than 0"),
    ],
)
def test_what_cannot_be_done(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("s", "kind", "notes"),
    [
        (Tanh(), "shift", ("C'(1) = 1.00814 cannot be met, it is 1.17781",)),
        (Sigmoid(), "dks", ()),
        (
            RePU(1.5),
            "tat",
            ("C''(1) = 0.006 cannot be met, it is infinite: alpha and gamma are one freedom of s, of degree 1.5",),
        ),
        (RePU(2), "shift", ("K = 1 repels: a K beside it goes 1.5 times as far from it over the depth",)),
        (
            RePU(2),
            "tat",
            (
                "C''(1) = 0.006 cannot be met, it is 2.20724: alpha and gamma are one freedom of s, of degree 2",
                "K = 1 is half-stable: a K that finite width lifts above it runs away",
            ),
        ),
    ],
)
def test_what_cannot_be_met_is_said(s: Activation, kind: str, notes: tuple[str, ...]) -> None:
    assert tailor(s, 50, kind).notes == notes


def test_half_stable_networks_blow_up_and_shifted_ones_do_not() -> None:
    """The forecast of one input at width 128: critical in both senses, and lost; repelled, and kept."""
    half, shifted = (
        forecast(tailor(RePU(2), 50, kind), C_W=1.0, C_b=0.0, k1=1.0, depth=50, width=128, inputs=1)
        for kind in ("tat", "shift")
    )
    assert half.probabilities["explodes"] > 0.6
    assert shifted.probabilities["survives"] > 0.95


def preactivations(population: Population, x_BI: Tensor) -> list[Tensor]:
    """z^l (M, B, n) of every layer, by plain torch."""
    h, layers = x_BI.expand(population.members, -1, -1), []
    for W_MIO, b_M1O, *_ in population.affine_maps(population.theta):
        layers.append(torch.baddbmm(b_M1O, h, W_MIO))
        h = population.activation(layers[-1])
    return layers


def test_mrepu_of_depth_50_keeps_signal_and_angle() -> None:
    """32 networks of width 128: medians as in the exact chain, the mean correlation as at infinite width, to 3 s.e."""
    s, depth, width, members, c = tailor(MRePU(1), 50), 50, 128, 32, 0.5
    sizes = (64, *[width] * depth, 10)
    population = Population(s, sizes, members, dtype=torch.float32)
    draw_(population, critical(s, sizes), range(members))
    x, y = torch.randn(2, 64, dtype=F64, generator=torch.Generator().manual_seed(1))
    y = y - x * (x @ y) / (x @ x)
    x, y = x * 8 / x.norm(), y * 8 / y.norm()
    inputs = torch.stack((x, c * x + math.sqrt(1 - c**2) * y)).float()
    with torch.no_grad():
        layers = preactivations(population, inputs)
    expected = forecast_law(Law.of(s, 1.0, 0.0, 1.0, depth, width), 2, covariance=np.array([[1, c], [c, 1]]))
    wide = c
    for l, z_MBN in enumerate(layers[:depth], start=1):
        K = z_MBN.double().square().mean(2)
        cosines = (z_MBN[:, 0] * z_MBN[:, 1]).double().mean(1) / K.prod(1).sqrt()
        error = float(cosines.std()) / math.sqrt(members)
        if l in (10, 25, 50):
            assert abs(float(cosines.mean()) - wide) < 3 * error
            # A median's standard error is 1.25 that of a mean; the chain's has about the same.
            assert abs(float(cosines.median()) - expected.correlation[l - 1]) < 3 * 1.8 * error
            spread = 1.8 * float(K[:, 0].log10().std()) / math.sqrt(members)
            assert abs(float(K[:, 0].log10().median()) - expected.log10_K_quantiles[2][l - 1]) < 3 * spread
        wide = float(pair_mean(s, 1.0, 1.0, wide)[0])  # K stays 1, C_W is 1
    assert 0.3 < wide < 0.45  # nearly the angle of the inputs, which tanh has lost there


def test_a_plain_repu_network_realises_the_shift_by_its_biases() -> None:
    """y = u + beta: weights gamma W, biases beta + gamma delta sum_j W_ij, or beta of centred rows."""
    depth, width, members = 50, 64, 8
    s, sizes = tailor(RePU(2), depth, "shift"), (64, *[width] * depth, 10)
    assert s.alpha == 1
    tailored, plain = (Population(a, sizes, members, dtype=F64) for a in (s, RePU(2)))
    draw_(tailored, critical(s, sizes), range(members))
    inputs = torch.randn(4, 64, dtype=F64, generator=torch.Generator().manual_seed(0))
    inputs = inputs * 8 / inputs.norm(dim=1, keepdim=True)
    with torch.no_grad():
        maps = zip(tailored.affine_maps(tailored.theta), plain.affine_maps(plain.theta), strict=True)
        for l, ((W_MIO, _, *_), (V_MIO, b_M1O, *_)) in enumerate(maps):
            W_MIO -= W_MIO.mean(1, keepdim=True)
            V_MIO.copy_(s.gamma * W_MIO if l else W_MIO)
            b_M1O.copy_(s.gamma * s.delta * W_MIO.sum(1, keepdim=True) if l else torch.zeros_like(b_M1O))
            b_M1O += s.beta if l < depth else 0.0
            assert l == depth or torch.allclose(b_M1O, torch.full_like(b_M1O, s.beta), rtol=1e-9)
        u, y = preactivations(tailored, inputs), preactivations(plain, inputs)
    assert torch.allclose(u[-1], y[-1], rtol=1e-6, atol=1e-8)
    assert torch.allclose(u[24] + s.beta, y[24], rtol=1e-9)
    # beta^2 + 1 = 61.9, where another program found 62.07, 61.47, 61.27: one network's is off by 2 beta / sqrt(n) = 2.
    K = [float(y[l - 1].square().mean(2).median()) for l in (1, 25, 50)]
    assert pytest.approx([62.07, 61.47, 61.27], abs=3 * 2 / math.sqrt(members)) == K
