"""Can an activation carry a signal through depth, and train? Forecast by effective theory, measured on real networks.

At the shell: `repu-lab --help`. In Python, for networks in plain torch:

    from torch import nn
    from repu_lab import MRePU, forecast_network, initialize_

    hidden = [module for _ in range(49) for module in (nn.Linear(256, 256), MRePU(2))]
    network = nn.Sequential(nn.Linear(64, 256), MRePU(2), *hidden, nn.Linear(256, 10))
    print(forecast_network(network, inputs=128).summary())  # first pass explodes, float32 overflow at layer 7
    print(initialize_(network, seed=0))                     # Initialization(C_W=0.994..., C_b=..., k1=0.000166...)
    print(forecast_network(network, inputs=128).summary())  # first pass survives

Activations: RePU, MRePU, SplineRePU; ACTIVATIONS holds all by name; Formula("z * relu(1 + z)**a", a=2) is what you
             write; as_activation adapts a module of your own; tailor(RePU(2), depth=50) shapes one for a depth.
Networks:    initialize_, forecast_network; load_population returns those of a finished run, results a table of
             all runs below a folder.
Any network: examine(network, batch) reports every layer, assert_healthy(network, batch) is a line of a test suite,
             watch(network, optimizer) looks into a training loop of your own.
Theory:      analyse (all critical points, or why there is none), critical_initialization (variances for a depth),
             layers (K and susceptibilities by layer), forecast (what becomes of real networks).
Data:        task_of makes three splits, a loss and a metric of two tensors.

Each has its own help, as help(repu_lab.initialize_); the rest is in repu_lab.theory, repu_lab.activations and so on.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from repu_lab.activations import ACTIVATIONS, Formula, MRePU, RePU, SplineRePU, as_activation
    from repu_lab.catalogue.command import results
    from repu_lab.networks.modules import forecast_network, initialize_
    from repu_lab.runs.building import load_population
    from repu_lab.tasks.tensors import task_of
    from repu_lab.theory import analyse, critical_initialization, layers, tailor
    from repu_lab.theory.forecast import forecast
    from repu_lab.watching import assert_healthy, examine, watch

__version__ = "0.2.0"

# Imported when they are asked for: the command line starts without torch, which takes a second. There is no __dir__:
# with it help(repu_lab) would be 3,400 lines of torch's methods instead of one page.
_HOMES = {
    "activations": ("ACTIVATIONS", "Formula", "MRePU", "RePU", "SplineRePU", "as_activation"),
    "networks.modules": ("forecast_network", "initialize_"),
    "runs.building": ("load_population",),
    "catalogue.command": ("results",),
    "tasks.tensors": ("task_of",),
    "theory": ("analyse", "critical_initialization", "layers", "tailor"),
    "theory.forecast": ("forecast",),
    "watching": ("assert_healthy", "examine", "watch"),
}
__all__ = sorted(name for names in _HOMES.values() for name in names)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"repu_lab.{home}"), name)
    raise AttributeError(f"module 'repu_lab' has no attribute {name!r}; it has {', '.join(__all__)}")
