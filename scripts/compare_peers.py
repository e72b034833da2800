"""The lab beside anyinit 0.4.0 and dks 0.1.2 on the same networks, as a table.

    python -m pip install anyinit==0.4.0 dks==0.1.2    (into an environment of your own; the lab does not need them)
    python scripts/compare_peers.py

Plain networks of 50 hidden layers and width 128, float32, three seeds each. Measured in plain torch on 64 inputs of
|x|^2/n_0 = 1: log10 of K^50/K^1, and of the mean square gradient at layer 1 over that at layer 50, medians over seeds;
the correlation of inputs at the output, centred over them; and the accuracy on the digits after 300 steps of Adam at
1e-3, batch 128, which nothing was tuned for.
"""

import itertools
import math
import statistics
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from repu_lab import MRePU, RePU, as_activation, forecast_network, initialize_
from repu_lab.activations import GELU, SiLU, Softplus, Tanh
from repu_lab.activations import ReLU as LabReLU
from repu_lab.tasks import on_device
from repu_lab.tasks.images import digits

DEPTH, WIDTH, SEEDS, STEPS, RATE = 50, 128, 3, 300, 1e-3
ROWS: dict[str, tuple[Callable[[], nn.Module], Callable[[], nn.Module], str | None]] = {
    # name: torch's module, the lab's, dks's name
    "ReLU": (nn.ReLU, LabReLU, None),
    "tanh": (nn.Tanh, Tanh, "tanh"),
    "GELU": (nn.GELU, GELU, "gelu_exact"),
    "SiLU": (nn.SiLU, SiLU, "swish"),
    "softplus": (nn.Softplus, Softplus, "softplus"),
    "RePU 2": (lambda: RePU(2), lambda: RePU(2), None),
    "MRePU 2": (lambda: MRePU(2), lambda: MRePU(2), None),
}


def plain(activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Return a network as torch draws it."""
    sizes = [64, *[WIDTH] * DEPTH]
    hidden = [part for i, o in itertools.pairwise(sizes) for part in (nn.Linear(i, o), activation())]
    return nn.Sequential(*hidden, nn.Linear(WIDTH, 10))


def of_torch(row: str, seed: int) -> tuple[nn.Module, str]:
    """torch.nn.Linear's own weights."""
    return plain(ROWS[row][0]), ""


def of_lab(row: str, seed: int) -> tuple[nn.Module, str]:
    """repu_lab.initialize_, and what forecast_network says."""
    network = plain(ROWS[row][1])
    initialize_(network, seed=seed)
    return network, forecast_network(network, inputs=64).summary()


def of_anyinit(row: str, seed: int) -> tuple[nn.Module, str]:
    """anyinit.initialize, and what its report finds wrong."""
    import anyinit  # pyright: ignore[reportMissingImports]

    network = plain(ROWS[row][0])
    report = anyinit.initialize(network, "analytic", (64, 64))
    try:
        report.assert_healthy()
    except Exception as error:
        return network, " ".join(str(error).split())
    return network, "healthy"


def of_dks(row: str, seed: int) -> tuple[nn.Module, str]:
    """DKS: the activation transformed for this depth, uniform orthogonal weights, no biases."""
    from dks.pytorch import activation_transform, parameter_sampling_functions  # pyright: ignore[reportMissingImports]

    name = ROWS[row][2]
    if name is None:
        raise ValueError("not an activation that DKS takes")
    made = activation_transform.get_transformed_activations([name], max_slope_func=lambda slope: slope**DEPTH)
    network = plain(lambda: as_activation(made[name]))
    for layer in network:
        if isinstance(layer, nn.Linear):
            parameter_sampling_functions.scaled_uniform_orthogonal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return network, ""


TOOLS = {"torch": of_torch, "anyinit": of_anyinit, "dks": of_dks, "repu-lab": of_lab}


def measure(network: nn.Module, x: Tensor) -> tuple[float, float, float]:
    """Return log10 K^50/K^1, log10 of the gradients' ratio, and the mean correlation of pairs of outputs."""
    layers: list[Tensor] = []

    def keep(module: nn.Module, given: object, z: Tensor) -> None:
        layers.append(z)

    linear = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    hooks = [layer.register_forward_hook(keep) for layer in linear]
    z = network(x)
    for hook in hooks:
        hook.remove()
    gradients = torch.autograd.grad((z * torch.randn_like(z)).sum(), layers)
    K = [layer.double().square().mean().item() for layer in layers]
    G = [gradient.double().square().mean().item() for gradient in gradients]
    unit = nn.functional.normalize(z.double(), dim=1)
    pairs = (unit @ unit.T)[~torch.eye(len(x), dtype=torch.bool)].mean().item()
    return log10(K[-2], K[0]), log10(G[0], G[-2]), pairs


def log10(above: float, below: float) -> float:
    """Return log10 of a ratio; infinite or NaN as the numbers are."""
    if math.isnan(above) or math.isnan(below):
        return math.nan
    return math.log10(above / below) if 0 < above < math.inf and 0 < below < math.inf else (above or -1) * math.inf


def train(network: nn.Module, task: Any) -> float:
    """Return the accuracy on the test split after some steps of Adam."""
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    for step in range(STEPS):
        batch = task.batch(step, 128)
        optimizer.zero_grad()
        task.objective.losses(network(batch.x)[None], batch.y).mean().backward()
        optimizer.step()
    with torch.no_grad():
        return task.evaluate(network(task.test.x)[None]).metric.item()


def main() -> int:
    """Print the table, row by row."""
    task = on_device(digits(), "cpu", torch.float32)
    x = task.test.x[:64]
    print("| activation | weights by | log10 K^50/K^1 | log10 gradient | correlation | accuracy | it says |")
    print("|---|---|---|---|---|---|---|")
    for row in ROWS:
        for tool, make in TOOLS.items():
            numbers, accuracies, said = [], [], ""
            try:
                for seed in range(SEEDS):
                    torch.manual_seed(seed)
                    network, said = make(row, seed)
                    numbers.append(measure(network, x))
                    accuracies.append(train(network, task))
            except ValueError as error:
                said = str(error)
            cells = [f"{statistics.median(column):.1f}" for column in list(zip(*numbers, strict=True))[:2]] or [
                "–",
                "–",
            ]
            cells.append(f"{statistics.median(n[2] for n in numbers):.3f}" if numbers else "–")
            cells.append(f"{statistics.median(accuracies):.2f}" if accuracies else "–")
            print(f"| {row} | {tool} | {' | '.join(cells)} | {said[:160]} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
