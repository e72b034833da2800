"""Time the theory against its limits: criticality, recursions, a kernel matrix, a phase diagram, a forecast.

Run in the project's environment, on an otherwise idle machine: .venv/bin/python scripts/bench_theory.py
"""

import os
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from repu_lab.activations import ACTIVATIONS, GELU, Activation, MRePU, ReLU, RePU, Tanh, as_activation
from repu_lab.theory import Law, analyse, correlations, fate_map, layers, pair_mean
from repu_lab.theory.chain import chain
from repu_lab.theory.forecast import forecast

DEPTH = 100


class Smooth(nn.Module):
    """A user's own activation, of which the theory knows nothing: a softplus with a bend."""

    def forward(self, z: Tensor) -> Tensor:  # noqa: D102
        return nn.functional.softplus(z) - 0.5 * torch.exp(-z * z / 4)


class Kinked(nn.Module):
    """A user's own activation with two kinks that it does not declare."""

    def forward(self, z: Tensor) -> Tensor:  # noqa: D102
        return torch.clamp(z, -0.7, 1.3) + 0.1 * torch.tanh(z)


def own(kind: type[nn.Module]) -> Activation:
    """Return a fresh instance: nothing remembered of an earlier one is used."""
    return as_activation(kind())


def kernel_matrix(activation: Activation, C_W: float, inputs: int, depth: int) -> None:
    """Iterate the kernel of every pair of inputs, layer by layer; from a K small enough that MRePU stays finite."""
    x = np.random.default_rng(0).standard_normal((inputs, 64))
    K = 0.002 * x @ x.T / 64
    for _ in range(depth):
        diagonal = np.diag(K)
        K = C_W * pair_mean(activation, diagonal[:, None], diagonal[None, :], K)[0]


def cases() -> Iterator[tuple[str, float, Callable[[], object]]]:
    """Yield what is timed: name, limit in seconds, function."""
    closed = (RePU(2), RePU(2.5), MRePU(1), MRePU(3), ReLU(), GELU(), *(ACTIVATIONS[n]() for n in ("erf", "sin")))
    for activation in closed:
        yield f"criticality, {activation}", 0.1, lambda activation=activation: analyse(activation)
    for kind in (Smooth, Kinked):
        yield f"criticality, a user's own, {kind.__name__.lower()}", 0.5, lambda kind=kind: analyse(own(kind))
    maps = {
        "RePU(2)": (RePU(2), 2.0),
        "MRePU(1)": (MRePU(1), 2.0),
        "tanh": (Tanh(), 3.0),
        "GELU": (GELU(), 3.0),
    }
    for name, (activation, top) in maps.items():
        yield (
            f"fate map 200 x 200, depth 50, {name}",
            2.0,
            lambda activation=activation, top=top: fate_map(
                Law.of(activation, 1.0, 0.0, 1.0, 50), np.linspace(0, top, 200), np.linspace(0, 0.5, 200)
            ),
        )
    yield (
        "fate map 200 x 200, depth 50, a user's own, kinked",
        2.0,
        lambda: fate_map(Law.of(own(Kinked), 1.0, 0.0, 1.0, 50), np.linspace(0, 3.0, 200), np.linspace(0, 0.5, 200)),
    )
    recursions = {
        "RePU(2)": (lambda: RePU(2), 2 / 3, 0.0),
        "MRePU(1)": (lambda: MRePU(1), 1.0, 0.0),
        "ReLU": (ReLU, 2.0, 0.1),
        "GELU": (GELU, 2.0, 0.17),
        "tanh": (Tanh, 1.5, 0.05),
        "a user's own, smooth": (lambda: own(Smooth), 1.2, 0.05),
        "a user's own, kinked": (lambda: own(Kinked), 1.2, 0.05),
    }
    for name, (make, C_W, C_b) in recursions.items():
        k1 = 1e-3 if name == "MRePU(1)" else 1.0
        activation = make()
        yield (
            f"one input, {DEPTH} layers, {name}",
            0.010,
            lambda activation=activation, C_W=C_W, C_b=C_b, k1=k1: layers(activation, C_W, C_b, k1, DEPTH),
        )
        yield (
            f"two inputs, {DEPTH} layers, {name}",
            0.300 if name.endswith("kinked") else 0.050,
            (
                lambda activation=activation, C_W=C_W, C_b=C_b, k1=k1: correlations(
                    Law.of(activation, C_W, C_b, k1, DEPTH), k1, 0.5 * k1
                )
            ),
        )
    for p in (1, 2):
        yield (
            f"kernel matrix of 100 inputs, depth 10, MRePU({p})",
            2.0,
            lambda p=p: kernel_matrix(MRePU(p), 1.0, 100, 10),
        )
    # What `train` waits for: depth 50, width 256, a batch of 128; RePU at K_*, MRePU where it survives and where not.
    settings = {
        "RePU(2)": (RePU(2), 2 / 3, 0.0, 1.0),
        "MRePU(1), k1=1e-3": (MRePU(1), 1.0, 0.0, 1e-3),
        "MRePU(2), k1=0.1": (MRePU(2), 1.0, 0.0, 0.1),
        "ReLU": (ReLU(), 2.0, 0.0, 2.0),
        "tanh": (Tanh(), 1.5, 0.05, 1.0),
        "GELU": (GELU(), 2.0, 0.17, 3.0),
    }
    for name, (activation, C_W, C_b, k1) in settings.items():
        yield (
            f"forecast, depth 50, width 256, 128 inputs, {name}",
            0.3,
            lambda activation=activation, C_W=C_W, C_b=C_b, k1=k1: forecast(
                activation, C_W=C_W, C_b=C_b, k1=k1, depth=50, width=256, inputs=128
            ),
        )
    for name, (activation, C_W, C_b, k1) in list(settings.items())[:1] + list(settings.items())[-2:]:
        yield (
            f"exact chain, 1,000 networks of depth 50, width 256, {name}",
            1.0,
            lambda activation=activation, C_W=C_W, C_b=C_b, k1=k1: chain(
                Law.of(activation, C_W, C_b, k1, 50, 256), 1000
            ),
        )


def main(repetitions: int = 5) -> None:
    print(f"medians of {repetitions} runs after one, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for name, limit, function in cases():
        function()
        seconds, own_seconds = [], []  # by the wall clock, and of this thread: what an idle machine would take
        for _ in range(repetitions):
            start, own_start = time.perf_counter(), time.thread_time()
            function()
            seconds.append(time.perf_counter() - start)
            own_seconds.append(time.thread_time() - own_start)
        wall, cpu = (1e3 * statistics.median(times) for times in (seconds, own_seconds))
        verdict = "over " if cpu > 1e3 * limit else "limit"
        print(f"{wall:9.1f} ms (CPU {cpu:8.1f} ms)   {verdict} {1e3 * limit:5.0f} ms   {name}", flush=True)


if __name__ == "__main__":
    main()
