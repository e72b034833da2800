"""The library's front door: names, and networks of plain torch that start as the lab's own and are forecast."""

import ast
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from torch import Tensor, nn

import repu_lab
from repu_lab import (
    ACTIVATIONS,
    MRePU,
    RePU,
    SplineRePU,
    as_activation,
    critical_initialization,
    forecast,
    forecast_network,
    initialize_,
    load_population,
    tailor,
)
from repu_lab.activations import GELU, ReLU, Tanh
from repu_lab.blocks import RESIDUAL
from repu_lab.configs.command import job_command
from repu_lab.configs.composition import compose_jobs
from repu_lab.networks.population import Population
from repu_lab.runs.building import build
from repu_lab.runs.job import run_job
from repu_lab.theory import Initialization, Law, mean_square
from repu_lab.theory.chain import chain

F64 = torch.float64


def plain(activation: nn.Module, *sizes: int, bias: bool = True, dtype: torch.dtype = F64) -> nn.Sequential:
    maps = [nn.Linear(i, o, bias=bias, dtype=dtype) for i, o in pairwise(sizes)]
    return nn.Sequential(*(module for linear in maps[:-1] for module in (linear, activation)), maps[-1])


def linears(network: nn.Module) -> list[nn.Linear]:
    return [module for module in network.modules() if isinstance(module, nn.Linear)]


def test_the_package_is_imported_without_torch() -> None:
    code = "import sys, repu_lab; print(repu_lab.__version__, 'torch' in sys.modules, 'numpy' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown == f"{repu_lab.__version__} False False\n"


def test_every_name_is_there_for_python_and_for_type_checkers_alike() -> None:
    (typed,) = (n for n in ast.parse(Path(repu_lab.__file__).read_text()).body if isinstance(n, ast.If))
    known = {alias.name: n.module for n in typed.body if isinstance(n, ast.ImportFrom) for alias in n.names}
    assert sorted(known) == sorted(repu_lab.__all__)
    for name, home in known.items():
        assert getattr(repu_lab, name) is getattr(sys.modules[str(home)], name)
        assert name in (repu_lab.__doc__ or ""), f"{name}: not in help(repu_lab)"


def test_a_name_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(AttributeError, match="no attribute 'MRepu'; it has ACTIVATIONS, Formula, MRePU, RePU"):
        repu_lab.MRepu  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


RMS_SKIPS = ("repu", "block=residual", "block.norm=rms", "block.branch=auto")


@pytest.mark.parametrize(
    "overrides",
    [
        ("gelu",),
        ("mrepu", "activation.p=2"),
        ("repu",),
        ("gelu", "residual=true"),
        ("repu", "block.norm=layer_after"),
        RMS_SKIPS,
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_of_ones_own_gets_the_weights_of_the_lab_s_with_this_seed(overrides, dtype) -> None:
    settings = [f"activation={overrides[0]}", *overrides[1:], "depth=3", "width=16", "seed=11", f"dtype={dtype}"]
    experiment = build(compose_jobs("train", settings)[0].config)
    wanted = experiment.population().member(0)
    network = Population(
        experiment.activation, experiment.sizes, block=experiment.law.block, dtype=getattr(torch, dtype)
    ).member(0)
    start = initialize_(network, seed=11)
    for mine, theirs in zip(network.parameters(), wanted.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert start.reason == experiment.rule.note
    assert start.C_W * (1 / 2 if "residual=true" in overrides else 1) == experiment.rule.C_W[1]


OWN = {
    "tanh": (nn.Tanh(), Tanh()), "gelu": (nn.GELU(), GELU()), "relu": (nn.ReLU(inplace=True), ReLU()),
    "prelu": (nn.PReLU(init=0.1), ACTIVATIONS["leaky_relu"](slope=0.1)),  # pyright: ignore[reportCallIssue]
    "repu": (RePU(2), RePU(2)), "spline": (SplineRePU(3), SplineRePU(3)), "mrepu": (MRePU(2), MRePU(2)),
}  # fmt: skip
SIZES = (300, 70, 170, 90, 50, 210)  # no square layer: a fan-in taken for a fan-out shows


@pytest.mark.parametrize("q", [1.0, 0.04])
@pytest.mark.parametrize("name", OWN)
def test_variances_are_theorys_for_torchs_activations_too(name: str, q: float) -> None:
    """Mean squares of N normal numbers scatter by sqrt(2/N); 12 of them within 4 standard errors."""
    activation, twin = OWN[name]
    network = plain(activation.to(F64), *SIZES)
    start = initialize_(network, seed=1, input_mean_square=q)
    wanted = critical_initialization(twin, len(SIZES) - 2)
    assert (start.C_W, start.C_b, start.k1) == pytest.approx((wanted.C_W, wanted.C_b, wanted.k1), rel=1e-9, abs=1e-15)
    C_W = [(wanted.k1 - wanted.C_b) / q] + [wanted.C_W] * (len(SIZES) - 2)
    for linear, variance in zip(linears(network), C_W, strict=True):
        W, b = linear.weight.detach(), linear.bias.detach()
        measured = W.square().mean().item() * linear.in_features
        assert abs(measured / variance - 1) < 4 * (2 / W.numel()) ** 0.5
        assert abs(W.mean().item()) < 4 * (variance / linear.in_features / W.numel()) ** 0.5
        assert abs(b.square().mean().item() - wanted.C_b) <= 4 * wanted.C_b * (2 / b.numel()) ** 0.5


@pytest.mark.parametrize("q", [1.0, 7.0])
def test_an_input_of_the_size_named_starts_at_k1(q: float) -> None:
    x = torch.ones(1, 200, dtype=F64) * q**0.5
    network = plain(GELU(), 200, 3000, 30, 2)
    start = initialize_(network, seed=2, input_mean_square=q)
    K = network[0](x).square().mean().item()
    assert abs(K / start.k1 - 1) < 4 * (2 / 3000) ** 0.5


@pytest.mark.parametrize("activation", [MRePU(1), GELU(), RePU(2)], ids=str)
def test_kernels_by_layer_follow_the_exact_chain_of_this_width(activation: nn.Module) -> None:
    """S^l = C_b + C_W mean s(z^(l-1))^2 of 120 networks against 3000 chains: Kolmogorov-Smirnov, p > 1e-4 a layer."""
    depth, width = 6, 24
    network = plain(activation, 6, *[width] * depth, 2)
    generator = torch.Generator().manual_seed(5)
    starts = [initialize_(network, generator=generator)]
    measured = [kernels(network, starts[0])]
    while len(measured) < 120:
        starts.append(initialize_(network, generator=generator))
        measured.append(kernels(network, starts[0]))
    (start,) = set(starts)
    law = chain(Law.of(as_activation(activation), start.C_W, start.C_b, start.k1, depth, width), 3000)
    for l in range(1, depth + 1):
        _, p = np.asarray(ks_2samp(np.log10(np.array(measured)[:, l]), law[:, l]))
        assert p > 1e-4, f"layer {l + 1}"


def kernels(network: nn.Sequential, start: Initialization) -> list[float]:
    """S^1 .. S^(L+1) of one input with |x|^2/n_0 = 1."""
    h = torch.tensor([[1.0, -1.0, 1.0, 1.0, -1.0, -1.0]], dtype=F64)
    S = [start.k1]
    with torch.no_grad():
        for linear, activation in zip(list(network)[:-1:2], list(network)[1::2], strict=True):
            h = activation(linear(h))
            S.append(start.C_b + start.C_W * h.square().mean().item())
    return S


@pytest.mark.parametrize("activation", [MRePU(1), GELU(), Tanh()], ids=str)
def test_without_biases_the_kernel_is_kept(activation) -> None:
    network = plain(activation, 6, 20, 20, 20, 2, bias=False)
    start = initialize_(network, seed=0)
    assert start.C_b == 0
    # K' = C_W g(K) = K at k1, where the point is not K = 0 itself (tanh).
    if "without the biases" in start.reason:
        assert start.C_W * float(mean_square(activation, start.k1)) == pytest.approx(start.k1, rel=1e-12)
    else:
        assert start == critical_initialization(activation, 3)
    with_output_alone = plain(GELU(), 6, 20, 20, 2)
    with_output_alone[-1] = nn.Linear(20, 2, bias=False, dtype=F64)
    assert initialize_(with_output_alone).C_b > 0


def test_draws_follow_the_seed_the_generator_or_torch_s_own() -> None:
    def weights(**how) -> Tensor:
        network = plain(Tanh(), 3, 5, 2)
        initialize_(network, **how)
        return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])

    assert torch.equal(weights(seed=4), weights(seed=4)) and not torch.equal(weights(seed=4), weights(seed=5))
    generator = torch.Generator().manual_seed(1)
    first, second = weights(generator=generator), weights(generator=generator)
    assert not torch.equal(first, second)
    assert torch.equal(first, weights(generator=torch.Generator().manual_seed(1)))
    networks = [plain(Tanh(), 3, 5, 2) for _ in range(2)]
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for network in networks:
            initialize_(network)
    for network, wanted in zip(networks, (first, second), strict=True):
        assert torch.equal(torch.cat([parameter.detach().flatten() for parameter in network.parameters()]), wanted)
    with pytest.raises(ValueError, match="seed=1 and a generator"):
        weights(seed=1, generator=generator)
    for wrong in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=r"input_mean_square=.* must be a positive"):
            weights(input_mean_square=wrong)
        with pytest.raises(ValueError, match=r"input_mean_square=.* must be a positive"):
            forecast_network(plain(Tanh(), 3, 5, 2), input_mean_square=wrong)


def test_nothing_is_written_before_a_refusal_and_parameters_of_activations_stay() -> None:
    mixed = nn.Sequential(*plain(Tanh(), 3, 5, 4), MRePU(1), nn.Linear(4, 2, dtype=F64))
    before = [parameter.clone() for parameter in mixed.parameters()]
    with pytest.raises(ValueError, match=r"something else than Tanh\(\)"):
        initialize_(mixed, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(before, mixed.parameters(), strict=True))
    slope = nn.PReLU(init=0.3, dtype=F64)
    network = plain(slope, 3, 5, 4, 2)
    initialize_(network, seed=0)
    assert slope.weight.item() == 0.3 and all(parameter.requires_grad for parameter in network.parameters())


def test_a_stored_member_starts_anew(tmp_path: Path) -> None:
    settings = ("activation=mrepu", "depth=4", "width=12", "steps=2", "batch_size=16", "probe=4", "members=2")
    (job,) = compose_jobs("train", [*settings, f"hydra.run.dir={tmp_path / 'run'}"])
    assert run_job(job_command("train"), job.config, job.folder) == 0
    population = load_population(job.folder)
    network, trained = population.member(0), population.member(0)
    initialize_(network, seed=0)
    wanted = build(job.config).population().member(0)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), wanted.parameters(), strict=True))
    assert not torch.equal(linears(network)[0].weight, linears(trained)[0].weight)


def test_a_network_s_forecast_is_theory_s_for_what_it_is_made_of() -> None:
    """RePU of depth 12, width 64 in float16: depth, width, activation and dtype found, variances measured."""
    network = plain(RePU(2), 64, *[64] * 12, 10, dtype=torch.float16)
    start = initialize_(network, seed=0)
    observed = forecast_network(network, inputs=32)
    wanted = forecast(RePU(2), C_W=start.C_W, C_b=0.0, k1=start.k1, depth=12, width=64, dtype="float16", inputs=32)
    assert (observed.law.depth, observed.law.width, observed.law.dtype, observed.inputs, observed.activation) == (
        12,
        64,
        "float16",
        32,
        "RePU(p=2)",
    )
    assert observed.fate == wanted.fate == "explodes"
    assert observed.layer is not None and wanted.layer is not None and abs(observed.layer - wanted.layer) <= 1
    error = (2 / 64**2) ** 0.5
    np.testing.assert_allclose(observed.law.C_W[:-1], start.C_W, rtol=4 * error)
    assert observed.law.C_b == (0.0,) * 12 and abs(observed.law.k1 - 1) < 4 * error


def test_forecast_before_and_after() -> None:
    """torch's own C_W = 1/3 loses the signal of GELU in 30 layers; its critical point keeps it."""
    torch.manual_seed(0)  # the bounds are of 4 standard errors, at 60 places: one draw in some hundreds lies outside
    network = plain(nn.GELU(), 64, *[100] * 30, 10, dtype=torch.float32)
    before = forecast_network(network, inputs=32)
    assert before.fate == "vanishes" and before.advice.endswith(
        "Next: initialize_(network): 100% of such networks survive."
    )
    np.testing.assert_allclose(before.law.C_W, 1 / 3, rtol=0.1)
    np.testing.assert_allclose(before.law.C_b[:-1], 1 / 300, rtol=4 * (0.8 / 100) ** 0.5)  # Var b^2 = 0.8 (E b^2)^2
    initialize_(network, seed=0)
    after = forecast_network(network, inputs=32, input_mean_square=1.0)
    assert after.fate == "survives" and "Next" not in after.advice
    assert forecast_network(network, input_mean_square=2.0).law.k1 > 1.5 * after.law.k1


def test_what_is_written_next_helps_where_no_weights_do() -> None:
    """RePU has no critical variances: the advice changes the activation, and then the network survives."""
    torch.manual_seed(0)
    sizes = (64, *[64] * 30, 10)
    advice = forecast_network(plain(RePU(2), *sizes, dtype=torch.float32), inputs=16).advice
    assert 'tailor(s, depth=30) in place of the activation s, then initialize_(network, weights="orthogonal")' in advice
    changed = plain(tailor(RePU(2), depth=30), *sizes, dtype=torch.float32)
    initialize_(changed, weights="orthogonal", seed=0)
    assert forecast_network(changed, inputs=16).fate == "survives"


@pytest.mark.parametrize("activation", [RePU(2), MRePU(2)], ids=str)
@pytest.mark.parametrize("depth", [9, 30])
def test_a_forecast_is_what_the_network_then_does(activation: nn.Module, depth: int) -> None:
    """The first layer with a non-finite preactivation of 32 inputs is in the range forecast, or next to it."""
    network = plain(activation, 64, *[128] * depth, 10, dtype=torch.float32)
    for linear in linears(network):
        nn.init.normal_(linear.weight, std=linear.in_features**-0.5)  # C_W = 1, k1 = 1
        nn.init.zeros_(linear.bias)
    expected = forecast_network(network, inputs=32)
    assert expected.fate == "explodes" and expected.layer_range is not None
    z = torch.randn(32, 64).sign()  # |x|^2/n_0 = 1
    first = 0
    with torch.no_grad():
        for l, module in enumerate(network):
            z = module(z)
            if not z.isfinite().all() and isinstance(module, nn.Linear):
                first = l // 2 + 1
                break
    low, high = expected.layer_range
    assert low - 1 <= first <= high + 1


def test_a_residual_network_is_forecast_as_torch_passes_it() -> None:
    network = Population(Tanh(), (3, 8, 8, 8, 2), block=RESIDUAL).member(0)
    assert "share 1/2" in initialize_(network, seed=0).reason
    observed = forecast_network(network, inputs=16, seed=3)
    assert observed.fate == "survives"
    # The batch and the gradient that it draws: 16 inputs of |x|^2/n_0 = 1 from this seed.
    random = torch.Generator().manual_seed(3)
    x = torch.randn(16, 3, generator=random, dtype=F64)
    first, *branches, last = [linear.double() for linear in network.modules() if isinstance(linear, nn.Linear)]
    z = [first(x / x.square().mean(1, keepdim=True).sqrt())]
    for branch in branches:
        z.append(z[-1] + branch(z[-1].tanh()))
    z.append(last(z[-1].tanh()))
    K = torch.stack([layer.square().mean(1) for layer in z]).detach().log10().numpy()
    np.testing.assert_allclose(observed.log10_K_quantiles[2], np.quantile(K, 0.5, axis=1, method="inverted_cdf"))
    gradients = torch.autograd.grad(z[-1], z, torch.randn(16, 2, generator=random, dtype=F64))
    size = torch.stack([gradient.square().sum() for gradient in gradients])
    np.testing.assert_allclose(observed.log10_gradient, (size / size[-1]).log10().numpy(), atol=1e-12)


def test_widths_that_differ_count_with_their_harmonic_mean() -> None:
    """Spread of log S^(L+1) of ReLU networks of widths 16, 64: that of two layers of width 25.6 (exact: 1 + 5/n)."""
    network = plain(ReLU(), 4, 16, 64, 3)
    generator = torch.Generator().manual_seed(0)
    S = []
    for _ in range(800):
        initialize_(network, generator=generator)
        with torch.no_grad():
            h = network[:4](torch.ones(1, 4, dtype=F64))
        S.append(2 * h.square().mean().item())
    expected = forecast_network(network)
    assert expected.law.width == 26
    wanted = (1 + 5 / 16) * (1 + 5 / 64) - 1
    assert (1 + 5 / expected.law.width) ** 2 - 1 == pytest.approx(wanted, rel=0.05)
    fourth = (np.array(S) - 1) ** 2
    assert abs(fourth.mean() - wanted) < 4 * fourth.std() / len(S) ** 0.5
