"""The same code on a GPU: presets end alike, steps wait for nothing, and what is fast gives what is plain.

Runs where a GPU is; `scripts/check_gpu.py` runs it with all else there is to check on one.
"""

import numpy as np
import pytest
import torch

from repu_lab import MRePU, forecast_network, initialize_
from repu_lab.networks.optimizers import Optimizer
from repu_lab.runs import stepping
from repu_lab.runs.graphs import equal_bits
from repu_lab.runs.observation import Observer
from repu_lab.runs.state import State
from repu_lab.runs.stepping import CAPTURED, PLAIN, WORTH, stepper, train_step
from repu_lab.tracking.digest import digests

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")

OWN = """
import torch
from torch import nn

class Leaky(nn.Module):
    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(0.25))

    def forward(self, z):
        return torch.where(z > 0, z, self.slope * z)

class Asks(nn.Module):
    def forward(self, z):
        return z.tanh() if float(z.detach().abs().amax()) < 1e30 else z.sin()
"""
CAPTURABLE = {
    "adam": [],
    "sgd": ["optimizer=sgd"],
    "momentum": ["optimizer=sgd", "optimizer.momentum=0.9", "optimizer.lr=1e-3"],
    "adamw": ["optimizer=adamw", "optimizer.weight_decay=0.01"],
    "decay": ["optimizer.weight_decay=0.01"],
    "clipped": ["optimizer.clip=1"],
    "float64": ["dtype=float64"],
    "bfloat16": ["dtype=bfloat16"],
    "float16": ["dtype=float16"],
    "tf32": ["precision=tf32"],
    "residual": ["residual=true"],
    "values": ["task=polynomial"],
    "an equation": ["task=burgers", "activation=gelu", "dtype=float64", "task.collocation=500"],
    "spline": ["activation=spline_repu"],
    "its own parameters": ["activation=custom", "activation._target_=mine.Leaky"],
    "some explode": ["activation=repu", "initialization=he", "depth=6", "members=8", "width=16"],
}


@pytest.fixture(autouse=True)
def full_precision():
    yield
    torch.set_float32_matmul_precision("highest")


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize("preset", ["repu_explodes", "repu_vanishes", "relu_trains"])
def test_presets_end_alike(run, preset, tmp_path):
    sizes = ("depth=20", "width=128", "batch_size=128", "steps=300", "members=2")
    outcomes = [
        run(f"experiment={preset}", *sizes, f"device={device}", f"hydra.run.dir={tmp_path / device}")[0]["outcomes"]
        for device in ("cpu", "cuda")
    ]
    assert outcomes[0] == outcomes[1]


def test_float64_losses_agree_over_50_steps(experiment):
    """To 1e-8 relative: float64 rounding (1e-16), amplified by 50 steps of a network that is not chaotic."""

    def losses(device: str) -> torch.Tensor:
        built = experiment("activation=gelu", "dtype=float64", "members=3", f"device={device}")
        state = State.start([built])
        rows = [
            train_step(state.population, state.optimizer, built.task, built.task.batch(step, 32), state.progress.alive)
            for step in range(50)
        ]
        return torch.stack(rows).cpu()

    torch.testing.assert_close(losses("cuda"), losses("cpu"), rtol=1e-8, atol=0)


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype feature")
@pytest.mark.parametrize("kind", CAPTURABLE)
def test_steps_are_captured_wait_for_nothing_and_give_the_plain_bits(experiment, mine, kind):
    built = experiment("activation=mrepu", "depth=4", "members=3", "device=cuda", *CAPTURABLE[kind])
    size = built.config.batch_size
    state, other = State.start([built]), State.start([built])
    step, line = stepper(state, built.task, size, 10 * WORTH)
    assert (state.stepping, line) == (CAPTURED, "")
    plain = stepping._plain(other, built.task, size)
    try:
        torch.cuda.set_sync_debug_mode("error")
        for number in range(60):  # more than an epoch of digits
            step(number)
            plain(number)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    changing = zip(stepping._changing(state), stepping._changing(other), strict=True)
    assert all(equal_bits(a, b) for a, b in changing)
    assert state.progress.updates.max() == 60


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype feature")
@pytest.mark.parametrize(
    "kind",
    ["adam", "bfloat16", "tf32", "residual", "values", "an equation", "spline", "its own parameters", "some explode"],
)
def test_looks_are_captured_wait_for_nothing_and_give_the_plain_bits(experiment, mine, kind):
    built = experiment("activation=mrepu", "depth=4", "members=3", "device=cuda", *CAPTURABLE[kind])
    state, said = State.start([built]), []
    observer, state.stepping = Observer(built, state, said.append), CAPTURED
    everyone = [slice(0, state.population.members)]
    first = observer.all(False)
    assert all(map(equal_bits, first.tensors(), observer.some(everyone, True).tensors()))
    with torch.no_grad():
        state.population.theta.mul_(1.5)
    try:
        torch.cuda.set_sync_debug_mode("error")
        again = observer.all(False)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(map(equal_bits, again.tensors(), observer.some(everyone, True).tensors()))
    assert not said


def test_what_is_sorted_on_the_device_is_what_the_host_sorts(experiment):
    built = experiment("activation=repu", "initialization=he", "depth=6", "members=12", "device=cuda")
    seen = Observer(built, State.start([built])).all(True).layers
    assert seen is not None
    for there, here in zip(
        digests(seen, [4, 4, 4], profiled=True), digests(seen.on_host(), [4, 4, 4], profiled=True), strict=True
    ):
        assert there.profile is not None and here.profile is not None and there.bad_members == here.bad_members
        for a, b in ((there.medians, here.medians), (there.counts, here.counts), (there.profile, here.profile)):
            assert all(np.array_equal(a[name], b[name], equal_nan=True) for name in b)


def test_what_cannot_be_captured_takes_plain_steps_and_trains(run, mine):
    result, folder = run(
        "activation=custom",
        "activation._target_=mine.Asks",
        "device=cuda",
        "steps=200",
        "width=64",
        "optimizer.lr=1e-3",
    )
    manifest, log = folder.manifest(), (folder.path / "run.log").read_text()
    assert manifest is not None and manifest["steps"] == PLAIN
    assert log.count("one kernel at a time, not as one graph") == 1
    assert result["members"][0]["metric"] > 0.8


def test_a_captured_run_goes_on_to_the_same_bits(run, tmp_path):
    """Extended from a checkpoint, that is with another graph, the weights are those of one run."""
    settings = ("activation=mrepu", "members=3", "device=cuda", "depth=4")
    _, whole = run(*settings, "steps=80", f"hydra.run.dir={tmp_path / 'whole'}")
    _, part = run(*settings, "steps=40", f"hydra.run.dir={tmp_path / 'part'}")
    _, part = run(*settings, "steps=80", f"hydra.run.dir={tmp_path / 'part'}", f"resume={tmp_path / 'part'}")
    theta = [torch.load(f.path / "weights.pt", weights_only=True)["theta"] for f in (whole, part)]
    manifest = part.manifest()
    assert torch.equal(*theta) and manifest is not None and manifest["steps"] == CAPTURED


@pytest.mark.parametrize("method", ["adam", "adamw"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_the_kernels_of_adam_do_what_torchs_functions_do(method, dtype):
    """20 steps of 70 members of 3,001 weights, rates and decays of their own; one member meets an infinite gradient."""
    random = torch.Generator().manual_seed(0)
    theta = torch.randn(70, 3001, generator=random, dtype=torch.float64).to(dtype).cuda()
    lr = torch.logspace(-5, -2, 70, dtype=torch.float64).tolist()
    decay = torch.linspace(0, 0.1, 70, dtype=torch.float64).tolist()
    ours, torchs = (Optimizer(method, theta, lr=lr, weight_decay=decay) for _ in range(2))
    assert ours.kernel is not None
    torchs.kernel, torchs._step_MP = None, torch.zeros_like(theta)
    rows = [(optimizer, theta.clone(), torch.ones(70, dtype=torch.bool).cuda()) for optimizer in (ours, torchs)]
    for step in range(20):
        gradient = torch.randn(70, 3001, generator=random, dtype=torch.float64).to(dtype).cuda()
        if step == 7:
            gradient[33, 1234] = torch.inf
        for optimizer, weights, alive in rows:
            optimizer.step(weights, gradient.clone(), alive)
    (_, a, alive), (_, b, other) = rows
    assert torch.equal(alive, other) and not alive[33] and alive.sum() == 69
    # theta is rounded 20 times, at most half a unit of its last place each, and of 16 bits the moments too.
    close = {torch.float64: 1e-13, torch.float32: 2e-6, torch.bfloat16: 20 * 2**-9, torch.float16: 20 * 2**-12}[dtype]
    torch.testing.assert_close(a, b, rtol=close, atol=close)
    assert not torch.equal(a[33], theta[33]), "it trained before"


def test_precision_tf32_is_another_arithmetic_and_highest_is_not(experiment):
    """tf32 keeps 10 bits: products are off by some 1e-4, those of float32 by some 1e-7; K of a layer barely moves."""

    def z(*settings: str) -> torch.Tensor:
        built = experiment("activation=tanh", "depth=5", "width=256", "device=cuda", *settings)
        torch.set_float32_matmul_precision("high" if built.config.precision == "tf32" else "highest")
        return built.population().preactivations(built.task.test.x[:32])[-2].detach().double()

    exact, single, tf32 = z("dtype=float64"), z(), z("precision=tf32")
    error = [((x - exact).norm() / exact.norm()).item() for x in (single, tf32)]
    assert error[0] < 1e-5 < 5e-5 < error[1] < 5e-3
    torch.testing.assert_close(tf32.square().mean(), exact.square().mean(), rtol=1e-3, atol=0)


def test_a_network_of_plain_torch_starts_and_is_forecast_as_on_the_cpu():
    networks = [
        torch.nn.Sequential(torch.nn.Linear(6, 9), MRePU(1), torch.nn.Linear(9, 9), MRePU(1), torch.nn.Linear(9, 2))
        for _ in range(2)
    ]
    networks[1].to("cuda")
    assert initialize_(networks[0], seed=3) == initialize_(networks[1], seed=3)
    for here, there in zip(*(network.parameters() for network in networks), strict=True):
        assert torch.equal(here, there.cpu()) and there.is_cuda
    assert forecast_network(networks[0]).advice == forecast_network(networks[1]).advice
    drawn = torch.Generator("cuda").manual_seed(1)
    assert initialize_(networks[1], generator=drawn).k1 > 0
