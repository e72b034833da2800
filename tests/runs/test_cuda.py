"""The same code on a GPU: presets end alike, and float64 losses agree with the CPU's. Runs where a GPU is."""

import pytest
import torch

from repu_lab import MRePU, forecast_network, initialize_
from repu_lab.runs.state import State
from repu_lab.runs.stepping import train_step

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")


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
