"""The lab beside anyinit 0.4.0 and dks 0.1.2 on the same networks: writes docs/peers.md (10 minutes of CPU).

    python -m venv /tmp/peers
    /tmp/peers/bin/pip install --no-deps anyinit==0.4.0 dks==0.1.2 autograd absl-py
    PYTHONPATH=$(echo /tmp/peers/lib/python3*/site-packages) .venv/bin/python scripts/compare_peers.py [TOOL ...]

The lab does not need them, and --no-deps keeps them from bringing a torch of their own. With tools named, as
"repu-lab", the page keeps its rows of the others, which then need not be there.
"""

import itertools
import math
import re
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from repu_lab import forecast_network, initialize_, tailor
from repu_lab.activations import GELU, MRePU, ReLU, RePU, SiLU, Softplus, Tanh, as_activation
from repu_lab.tasks import on_device
from repu_lab.tasks.images import digits

PAGE = Path(__file__).resolve().parents[1] / "docs/peers.md"
DEPTH, WIDTH, SEEDS, STEPS, RATE = 50, 128, 2, 300, 1e-3
HEADER = """
| weights by: *it says* | K | gradient | cosine | accuracy |
|---|---|---|---|---|
"""


def introduction(seeds: int = SEEDS) -> str:
    """Return the page up to its table."""
    return f"""# Beside other tools

What the packages anyinit 0.4.0 and dks 0.1.2, torch's own defaults and repu-lab make of the same networks: {DEPTH}
hidden layers of width {WIDTH}, float32, on the handwritten digits. `python scripts/compare_peers.py` makes this page;
how to install the others stands at its top.

- *torch* leaves `nn.Linear` as it is.
- *anyinit* is `anyinit.initialize(network)`, by its theory (analytic) and by a batch of 64 digits (empirical), with
  RePU and MRePU registered. It scales the weights and keeps the activation.
- *dks* replaces the activation by a transformed one, with orthogonal weights: by DKS, or for ReLU by TAT, which makes
  it a leaky ReLU. Its PyTorch part knows a fixed list of names.
- *repu-lab* is `initialize_(network)`: it scales weights and biases and keeps the activation. What it says is
  `forecast_network(network, inputs=64).summary()`.
- *repu-lab, tailored* is `initialize_(network, weights="orthogonal")` of the activation `tailor(activation, {DEPTH})`,
  transformed by DKS, or for ReLU by TAT, as dks does it.

The columns, by activation:

- *K*: log10 of the size of the signal in layer {DEPTH} over that in layer 1. It is 0 if nothing grows or shrinks.
- *gradient*: log10 of the mean square gradient in layer 1 over that in layer {DEPTH}. Here too 0 is best.
- *cosine*: the mean cosine between the outputs of two inputs. At 1 they cannot be told apart.
- *accuracy*: on the test split, after {STEPS} steps of Adam at a rate of {RATE:g} with batches of 128. Nothing was
  tuned for it, and {DEPTH} *linear* layers reach .92 here. At this depth the lab's own rule takes smaller rates: 4e-4
  for tanh, which reaches .91 with it ([learning rates](learning_rates.md)).

Numbers are {medians_of(seeds)}. A dash stands where they are not finite, or where the tool does not take the
activation. What a tool says is of the last seed; anyinit counts layers by their place in the network.
"""


def medians_of(seeds: int) -> str:
    """Return how many networks a number is of."""
    return "of one network" if seeds == 1 else f"medians of {seeds} seeds"


class RePU2(nn.Module):
    """RePU of degree 2 in plain torch."""

    def forward(self, z: Tensor) -> Tensor:
        """Return max(0, z)^2."""
        return torch.relu(z) ** 2


class MRePU2(nn.Module):
    """MRePU of degree 2 in plain torch."""

    def forward(self, z: Tensor) -> Tensor:
        """Return z max(0, 1 + z)^2."""
        return z * torch.relu(1 + z) ** 2


ROWS: dict[str, tuple[Callable[[], nn.Module], Callable[[], nn.Module], str | None]] = {
    # name: torch's module, the lab's, dks's name
    "ReLU": (nn.ReLU, ReLU, "leaky_relu"),
    "tanh": (nn.Tanh, Tanh, "tanh"),
    "GELU": (nn.GELU, GELU, "gelu_exact"),
    "SiLU": (nn.SiLU, SiLU, "swish"),
    "softplus": (nn.Softplus, Softplus, "softplus"),
    "RePU 2": (RePU2, lambda: RePU(2), None),
    "MRePU 2": (MRePU2, lambda: MRePU(2), None),
}


def plain(activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Return a network as torch draws it."""
    sizes = [64, *[WIDTH] * DEPTH]
    hidden = [part for i, o in itertools.pairwise(sizes) for part in (nn.Linear(i, o), activation())]
    return nn.Sequential(*hidden, nn.Linear(WIDTH, 10))


def of_torch(row: str, seed: int, x: Tensor) -> tuple[nn.Module, str]:
    """torch.nn.Linear's own weights."""
    return plain(ROWS[row][0]), ""


def of_lab(row: str, seed: int, x: Tensor) -> tuple[nn.Module, str]:
    """repu_lab.initialize_, and what forecast_network says."""
    network = plain(ROWS[row][1])
    initialize_(network, seed=seed)
    return network, forecast_network(network, inputs=64).summary()


def of_tailor(row: str, seed: int, x: Tensor) -> tuple[nn.Module, str]:
    """repu_lab.tailor, and what forecast_network says."""
    activation: Any = ROWS[row][1]()
    network = plain(lambda: tailor(activation, DEPTH, "tat" if row == "ReLU" else "dks"))
    initialize_(network, seed=seed, weights="orthogonal")
    return network, forecast_network(network, inputs=64).summary()


def of_anyinit(mode: str) -> Callable[[str, int, Tensor], tuple[nn.Module, str]]:
    """anyinit.initialize, and what its report finds wrong."""

    def make(row: str, seed: int, x: Tensor) -> tuple[nn.Module, str]:
        import anyinit  # pyright: ignore[reportMissingImports]

        assert anyinit.__version__ == "0.4.0", "the page names that version"
        network = plain(ROWS[row][0])
        if ROWS[row][0] in (RePU2, MRePU2):
            anyinit.register_activation(ROWS[row][0], overwrite=True)
        report = anyinit.initialize(network, mode, x if mode == "empirical" else tuple(x.shape), seed=seed)
        try:
            report.assert_healthy()
        except AssertionError as error:
            return network, " ".join(str(error).split())
        return network, "healthy"

    return make


def of_dks(row: str, seed: int, x: Tensor) -> tuple[nn.Module, str]:
    """DKS (TAT for leaky ReLU): the activation transformed for this depth, uniform orthogonal weights, no biases."""
    from dks.pytorch import activation_transform, parameter_sampling_functions  # pyright: ignore[reportMissingImports]

    name = ROWS[row][2]
    if name is None:
        raise ValueError("takes no such activation")
    method = "TAT" if name == "leaky_relu" else "DKS"
    made = activation_transform.get_transformed_activations(
        [name],
        method=method,
        max_slope_func=lambda slope: slope**DEPTH,
        subnet_max_func=lambda value, one_layer: iterated(one_layer, value),
    )
    network = plain(lambda: as_activation(made[name]))
    for layer in network:
        if isinstance(layer, nn.Linear):
            parameter_sampling_functions.scaled_uniform_orthogonal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return network, ""


def iterated(function: Callable[[float], float], value: float) -> float:
    """Return a function of a layer applied once a hidden layer."""
    for _ in range(DEPTH):
        value = function(value)
    return value


TOOLS = {
    "torch": of_torch,
    "anyinit, analytic": of_anyinit("analytic"),
    "anyinit, empirical": of_anyinit("empirical"),
    "dks": of_dks,
    "repu-lab": of_lab,
    "repu-lab, tailored": of_tailor,
}


def measure(network: nn.Module, x: Tensor) -> tuple[float, float, float]:
    """Return log10 K^50/K^1, log10 of the gradients' ratio, and the mean cosine of pairs of outputs."""
    layers: list[Any] = []
    linear = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    hooks = [layer.register_forward_hook(lambda module, inputs, z: layers.append(z)) for layer in linear]
    z = network(x)
    for hook in hooks:
        hook.remove()
    gradients = torch.autograd.grad((z * torch.randn_like(z)).sum(), layers)
    K = [layer.double().square().mean().item() for layer in layers]
    G = [gradient.double().square().mean().item() for gradient in gradients]
    unit = nn.functional.normalize(z.double(), dim=1)
    cosine = (unit @ unit.T)[~torch.eye(len(x), dtype=torch.bool)].mean().item()
    return log10(K[-2], K[0]), log10(G[0], G[-2]), cosine


def log10(above: float, below: float) -> float:
    """Return log10 of a ratio; NaN where a number is not finite, minus infinity where the upper one is 0."""
    if not (math.isfinite(above) and math.isfinite(below) and below > 0):
        return math.nan
    return math.log10(above / below) if above > 0 else -math.inf


def train(network: nn.Module, task: Any) -> float:
    """Return the accuracy on the test split after some steps of Adam; NaN once the loss is not finite."""
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    for step in range(STEPS):
        batch = task.batch(step, 128)
        optimizer.zero_grad()
        loss = task.objective.losses(network(batch.x)[None], batch.y).mean()
        if not loss.isfinite():
            return math.nan
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return task.evaluate(network(task.test.x)[None]).metric.item()


def median(values: list[float], digits: int) -> str:
    """Return the median as text; a dash if one of them is NaN."""
    if not values or any(map(math.isnan, values)):
        return "–"
    return f"{statistics.median(values):z.{digits}f}"


def words(message: str) -> str:
    """Return what a tool says, with four digits at most and short enough for a cell."""
    short = re.sub(r"\d+\.\d+(?=%)", lambda number: f"{float(number[0]):.2g}", message)
    return short.removeprefix("AnyInit report is not healthy: ").replace("|", "\\|")[:160]


def line(tool: str, measured: list[tuple[float, ...]], message: str) -> str:
    """Return a line of the table: medians over the seeds measured so far."""
    columns = list(zip(*measured, strict=True)) or [()] * 4
    cells = [median(list(column), digits) for column, digits in zip(columns, (1, 1, 2, 2), strict=True)]
    said = f": *{words(message)}*" if message else ""
    return f"| {tool}{said} | {' | '.join(cells)} |\n"


def main(tools: Sequence[str]) -> int:
    """Measure the rows of some tools, all if none is named, and write the page after each seed."""
    task = on_device(digits(), "cpu", torch.float32)
    x = task.test.x[:64]
    lines: dict[tuple[str, ...], str] = {}
    measured: dict[tuple[str, str], list[tuple[float, ...]]] = {
        place: [] for place in itertools.product(ROWS, tools or TOOLS)
    }
    for seed in range(SEEDS):
        for row, tool in measured:
            torch.manual_seed(seed)
            message = ""
            try:
                network, message = TOOLS[tool](row, seed, x)
                measured[row, tool].append((*measure(network, x), train(network, task)))
            except ValueError as error:
                message = str(error)
            lines[row, tool] = line(tool, measured[row, tool], message)
            print(row, lines[row, tool], end="", flush=True)
        PAGE.write_text(page_of((rows_of(PAGE) if tools else {}) | lines, seed + 1), encoding="utf-8")
    return 0


def page_of(lines: Mapping[tuple[str, ...], str], seeds: int = SEEDS) -> str:
    """Return the page: its words, and a table for each activation, narrow enough for a phone."""
    tables = (f"\n## {row}\n{HEADER}" + "".join(lines.get((row, tool), "") for tool in TOOLS) for row in ROWS)
    return introduction(seeds) + "".join(tables)


def rows_of(page: Path) -> dict[tuple[str, ...], str]:
    """Return the rows of the page's tables by activation and tool."""
    rows, activation = {}, ""
    for text in page.read_text(encoding="utf-8").splitlines():
        if text.startswith("## "):
            activation = text.removeprefix("## ")
        elif text.startswith("| ") and text not in HEADER:
            rows[activation, re.split(" [|]|: ", text.removeprefix("| "))[0]] = f"{text}\n"
    return rows


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
